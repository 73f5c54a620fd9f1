"""Names that models inherit from or import; nothing here reaches a network."""


class ModelHubMixin:
    def __init_subclass__(cls, **kwargs):
        pass

    def save_pretrained(self, *args, **kwargs):
        raise NotImplementedError("a compiled model is saved as an archive")

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        raise OSError("weights are given with --weights; nothing is downloaded")

    def push_to_hub(self, *args, **kwargs):
        raise OSError("nothing is uploaded")


class PyTorchModelHubMixin(ModelHubMixin):
    pass


class ModelCard:
    pass


class ModelCardData:
    pass


class HfApi:
    pass


def hf_hub_download(*args, **kwargs):
    raise OSError("nothing is downloaded while a model is compiled")


def snapshot_download(*args, **kwargs):
    raise OSError("nothing is downloaded while a model is compiled")


def hf_hub_url(*args, **kwargs):
    raise OSError("nothing is downloaded while a model is compiled")


def cached_download(*args, **kwargs):
    raise OSError("nothing is downloaded while a model is compiled")
