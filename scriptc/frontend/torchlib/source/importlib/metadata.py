class PackageNotFoundError(ModuleNotFoundError):
    pass


def version(name):
    if name == "torch":
        import torch

        return torch.__version__
    raise PackageNotFoundError("No package metadata was found for " + name)


def packages_distributions():
    return {}
