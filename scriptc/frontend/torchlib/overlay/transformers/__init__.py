"""`from transformers import Name` finds the module of the package that defines the name."""
from _scriptc import find_definition, find_module

__version__ = "5.0.0"

_FOLDERS = ("models/*/configuration_*.py", "models/*/modeling_*.py", "*.py", "utils/*.py", "generation/*.py", "loss/*.py")


def __getattr__(name):
    module = find_definition("transformers", _FOLDERS, name)
    if module is None:
        raise AttributeError("module 'transformers' has no attribute " + repr(name))
    return getattr(find_module(module), name)
