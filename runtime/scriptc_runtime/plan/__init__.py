"""From a typed function and concrete shapes to a table of kernels over one arena.

In: an IR region, the types its inputs have in this call. Out: a `Plan`, run as often as the shapes recur.
Knows no device: the engines (`cpu`) register their kernels with `lowering`.
"""
