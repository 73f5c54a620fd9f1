"""import_module finds what `import` finds."""
from _scriptc import find_module


def import_module(name, package=None):
    if name.startswith("."):
        level = 0
        while name.startswith("."):
            name = name[1:]
            level += 1
        parts = package.split(".")
        name = ".".join(parts[:len(parts) - level + 1] + ([name] if name else []))
    module = find_module(name)
    if module is None:
        raise ModuleNotFoundError("No module named " + repr(name))
    return module


def reload(module):
    return module
