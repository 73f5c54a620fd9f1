"""The reference interpreter: every op once more in plain numpy, slow and obvious.

In: a function of the IR and numpy arrays. Out: numpy arrays. Constant folding, the cold-cache fallback and every kernel test use it.
"""
