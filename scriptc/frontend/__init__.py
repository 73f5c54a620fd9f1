"""The front end: text to AST, and the staged walk that turns a constructed model's methods into IR.

In: paths of model source, an entry expression, input descriptions, weights. Out: a `Program` and its tensors.
"""
