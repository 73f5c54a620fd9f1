"""The archive: one safe msgpack file for a program, its weights, test vectors and training state.

In: a `Program` and numpy arrays, or the path of a file that may be hostile. Out: a file written atomically and the same
bytes for the same content, or the same `Program` and read-only arrays; ArchiveError for everything else.
"""
