"""Documentation is written for people; a compiled model has none."""


def auto_docstring(obj=None, **kwargs):
    return (lambda decorated: decorated) if obj is None else obj


def auto_class_docstring(cls, *args, **kwargs):
    return cls


def auto_method_docstring(func, *args, **kwargs):
    return func


def parse_docstring(*args, **kwargs):
    return {}, None, None


def set_min_indent(text, indent_level):
    return text


class ClassAttrs:
    pass


class ClassDocstring:
    pass


class ImageProcessorArgs:
    pass


class ModelArgs:
    pass


class ModelOutputArgs:
    pass
