from transformers.generation import GenerationMixin
from transformers.utils.generic import ModelOutput


class GenerateDecoderOnlyOutput(ModelOutput):
    pass


GENERATION_MODES_MAPPING = {}
