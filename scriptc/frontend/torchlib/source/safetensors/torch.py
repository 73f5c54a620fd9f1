def load_file(*args, **kwargs):
    raise OSError("weights are given with --weights")


def save_file(*args, **kwargs):
    raise OSError("a compiled model is saved as an archive")


def load_model(*args, **kwargs):
    raise OSError("weights are given with --weights")


def save_model(*args, **kwargs):
    raise OSError("a compiled model is saved as an archive")
