"""The staged evaluator: one walk over the AST, with values that are known now and values that are not.

In: AST nodes and frames. Out: values; ops appended to the builder for whatever depends on a dynamic value.
"""
