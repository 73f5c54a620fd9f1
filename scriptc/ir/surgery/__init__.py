"""Changes to a finished program: other heads, adapters, other storage. Each is a function from program to program.

In: a `Program`. Out: another one, verified by the caller; no tensors are touched here.
"""
