"""The workloads' models: plain PyTorch, imported by the peers and read by scriptc."""
