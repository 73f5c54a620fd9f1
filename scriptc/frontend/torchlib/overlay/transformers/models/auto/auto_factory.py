"""The classes that choose a model's class by its configuration. Nothing is loaded or registered from a hub, and nothing is documented."""
from importlib import import_module

from .configuration_auto import model_type_to_module_name


def getattribute_from_module(module, attr):
    if attr is None:
        return None
    if isinstance(attr, (tuple, list)):
        return tuple([getattribute_from_module(module, name) for name in attr])
    if hasattr(module, attr):
        return getattr(module, attr)
    return getattr(import_module("transformers"), attr)


class _LazyAutoMapping:
    """From a configuration's class to the model's class, which is looked up when it is asked for."""

    def __init__(self, config_mapping, model_mapping):
        self._config_mapping = config_mapping
        self._model_mapping = model_mapping
        self._extra_content = {}

    def _model_types(self, key):
        """The model types of a configuration's class, the one that counts first: the last, then the others in order."""
        kinds = [kind for kind, name in self._config_mapping.items() if name == key.__name__]
        return kinds[-1:] + kinds[:-1]

    def _load_attr_from_module(self, model_type, attr):
        return getattribute_from_module(import_module("transformers.models." + model_type_to_module_name(model_type)), attr)

    def __getitem__(self, key):
        if key in self._extra_content:
            return self._extra_content[key]
        for kind in self._model_types(key):
            if kind in self._model_mapping:
                return self._load_attr_from_module(kind, self._model_mapping[kind])
        raise KeyError(key)

    def get(self, key, default=None):
        return self[key] if key in self else default

    def __contains__(self, key):
        if key in self._extra_content:
            return True
        kinds = self._model_types(key) if hasattr(key, "__name__") else []
        return len(kinds) > 0 and kinds[0] in self._model_mapping

    def keys(self):
        own = [self._load_attr_from_module(kind, name) for kind, name in self._config_mapping.items() if kind in self._model_mapping]
        return own + list(self._extra_content.keys())

    def values(self):
        return [self[key] for key in self.keys()]

    def items(self):
        return [(key, self[key]) for key in self.keys()]

    def __iter__(self):
        return iter(self.keys())

    def __len__(self):
        return len([kind for kind in self._config_mapping if kind in self._model_mapping]) + len(self._extra_content)

    def register(self, key, value, exist_ok=False):
        self._extra_content[key] = value


def _get_model_class(config, model_mapping):
    supported = model_mapping[type(config)]
    if not isinstance(supported, (list, tuple)):
        return supported
    names = {model.__name__: model for model in supported}
    for architecture in getattr(config, "architectures", None) or []:
        if architecture in names:
            return names[architecture]
    return supported[0]


class _BaseAutoModelClass:
    _model_mapping = None

    def __init__(self, *args, **kwargs):
        name = self.__class__.__name__
        raise OSError(name + " is designed to be instantiated using the `" + name + ".from_pretrained(pretrained_model_name_or_path)` or `"
                      + name + ".from_config(config)` methods.")

    @classmethod
    def from_config(cls, config, **kwargs):
        kwargs.pop("trust_remote_code", None)
        if type(config) not in cls._model_mapping:
            raise ValueError("Unrecognized configuration class " + str(config.__class__) + " for this kind of AutoModel: " + cls.__name__ + ".")
        model_class = _get_model_class(config, cls._model_mapping)
        text_config_class = config.sub_configs.get("text_config", None)
        if text_config_class is not None and getattr(model_class, "config_class", None) == text_config_class:
            config = config.get_text_config()
        return model_class._from_config(config, **kwargs)

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        raise OSError("weights are given with --weights; build the model from its configuration")

    @classmethod
    def register(cls, config_class, model_class, exist_ok=False):
        cls._model_mapping.register(config_class, model_class, exist_ok=exist_ok)


class _BaseAutoBackboneClass(_BaseAutoModelClass):
    _model_mapping = None


def auto_class_update(cls, checkpoint_for_example="", head_doc=""):
    return cls


def get_values(model_mapping):
    result = []
    for model in model_mapping.values():
        result += list(model) if isinstance(model, (list, tuple)) else [model]
    return result


def add_generation_mixin_to_remote_model(model_class):
    return model_class
