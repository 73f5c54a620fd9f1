"""The parts of torch.nn.functional by theme; `torch.nn.functional` gathers their names."""
