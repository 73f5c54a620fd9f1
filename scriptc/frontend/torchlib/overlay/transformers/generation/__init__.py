"""Generation is a loop around a model; a compiled model is the model."""


class GenerationMixin:
    def prepare_inputs_for_generation(self, *args, **kwargs):
        raise NotImplementedError("generate() is not compiled; call forward in a loop")

    def generate(self, *args, **kwargs):
        raise NotImplementedError("generate() is not compiled; call forward in a loop")


class GenerationConfig:
    def __init__(self, **kwargs):
        for name, value in kwargs.items():
            setattr(self, name, value)

    @classmethod
    def from_model_config(cls, config):
        return cls()

    @staticmethod
    def _get_default_generation_params():
        return {}


class CompileConfig:
    pass


class GenerationMode:
    pass


class LogitsProcessor:
    pass


class LogitsProcessorList(list):
    pass


class StoppingCriteria:
    pass


class StoppingCriteriaList(list):
    pass


class ClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    pass
