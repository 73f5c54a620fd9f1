class FakeTensor:
    """A tensor without content, which no program being compiled meets."""
