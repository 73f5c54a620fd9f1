"""numpy for code that runs while a model is built: arrays are values known at compile time, computed by numpy itself.

In: calls of `np.*` on numbers, sequences, arrays and known tensors. Out: arrays (`Instance`s of `ndarray`), Python numbers, or a
located error where a value is only known when the program runs.
"""
