from _scriptc import find_module


class ModuleSpec:
    def __init__(self, name):
        self.name = name
        self.origin = None
        self.loader = None


def find_spec(name, package=None):
    return ModuleSpec(name) if find_module(name) is not None else None
