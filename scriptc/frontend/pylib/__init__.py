"""Python's builtins and standard library, on static and dynamic values.

In: values of the language. Out: values of the language, Python's exceptions as the language raises them.
"""
