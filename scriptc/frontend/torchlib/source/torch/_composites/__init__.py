"""Functions of torch that are compositions of others, by theme; `torch/__init__.py` and the method table name them."""
