"""The intermediate representation: types, SSA graph with regions, op registry, text form, verifier, passes, autodiff, archive.

In: what the front end emits through `Builder`, or what the archive reader decodes. Out: `Program`, the one object every later step takes.
"""
