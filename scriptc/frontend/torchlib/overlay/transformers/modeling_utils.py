"""The base class of the package's models, as far as a model that runs and trains needs it: configuration, initial weights, tied weights,
the choice of the attention function. Loading, sharding, quantisation and the hub are not here.
"""
import re

import torch
from torch import nn

from . import initialization as init
from . import masking_utils
from .configuration_utils import PreTrainedConfig
from .generation import GenerationConfig
from .integrations.sdpa_attention import sdpa_attention_forward
from .loss.loss_utils import LOSS_MAPPING
from .modeling_rope_utils import ROPE_INIT_FUNCTIONS
from .utils.generic import GeneralInterface
from .utils.output_capturing import _CAN_RECORD_REGISTRY, OutputRecorder


def _is_tracing(tensor=None):
    """Masks are made, as where torch exports: leaving out one that hides nothing would be a branch on its content before every attention."""
    return tensor is not None


masking_utils.is_tracing = _is_tracing


class AttentionInterface(GeneralInterface):
    _global_mapping = {"sdpa": sdpa_attention_forward}

    def get_interface(self, attn_implementation, default):
        if attn_implementation is None or attn_implementation == "eager":
            return default
        if attn_implementation not in self:
            raise KeyError("`" + str(attn_implementation) + "` is not a valid attention implementation here; use `eager` or `sdpa`")
        return super().get(attn_implementation, default)


ALL_ATTENTION_FUNCTIONS = AttentionInterface()


def get_torch_context_manager_or_global_device():
    return None


def slice_logits_to_keep(hidden_states, logits_to_keep):
    if isinstance(logits_to_keep, torch.Tensor) and logits_to_keep.ndim == 2:
        if logits_to_keep.dtype == torch.bool:
            return hidden_states[logits_to_keep]
        return torch.take_along_dim(hidden_states, logits_to_keep[..., None], dim=1)
    if isinstance(logits_to_keep, int):
        logits_to_keep = slice(-logits_to_keep, None)
    return hidden_states[:, logits_to_keep, :]


class ModuleUtilsMixin:
    @property
    def device(self):
        return torch.device("cpu")

    @property
    def dtype(self):
        for parameter in self.parameters():
            if parameter.is_floating_point():
                return parameter.dtype
        return torch.get_default_dtype()

    def num_parameters(self, only_trainable=False, exclude_embeddings=False):
        return sum([p.numel() for p in self.parameters() if p.requires_grad or not only_trainable])

    def invert_attention_mask(self, encoder_attention_mask):
        if encoder_attention_mask.dim() == 3:
            extended = encoder_attention_mask[:, None, :, :]
        else:
            extended = encoder_attention_mask[:, None, None, :]
        extended = extended.to(dtype=self.dtype)
        return (1.0 - extended) * torch.finfo(self.dtype).min

    def get_extended_attention_mask(self, attention_mask, input_shape, device=None, dtype=None):
        dtype = self.dtype if dtype is None else dtype
        if attention_mask.dim() == 3:
            extended = attention_mask[:, None, :, :]
        elif attention_mask.dim() == 2:
            extended = attention_mask[:, None, None, :]
        else:
            raise ValueError("Wrong shape for input_ids or attention_mask")
        extended = extended.to(dtype=dtype)
        return (1.0 - extended) * torch.finfo(dtype).min


class EmbeddingAccessMixin:
    _input_embed_layer = "embed_tokens"

    def get_input_embeddings(self):
        name = self._input_embed_layer
        for holder in (self, getattr(self, "embeddings", None), getattr(self, "model", None)):
            if holder is not None and getattr(holder, name, None) is not None:
                return getattr(holder, name)
        for inner in (getattr(self, "language_model", None), getattr(self, "base_model", None)):
            if inner is not None and inner is not self and hasattr(inner, "get_input_embeddings"):
                return inner.get_input_embeddings()
        raise NotImplementedError("`get_input_embeddings` has to be defined by " + self.__class__.__name__)

    def set_input_embeddings(self, value):
        name = self._input_embed_layer
        for holder in (self, getattr(self, "embeddings", None), getattr(self, "model", None)):
            if holder is not None and hasattr(holder, name):
                setattr(holder, name, value)
                return
        if self.base_model is not self:
            self.base_model.set_input_embeddings(value)

    def get_output_embeddings(self):
        return getattr(self, "lm_head", None)

    def set_output_embeddings(self, new_embeddings):
        if getattr(self, "lm_head", None) is not None:
            self.lm_head = new_embeddings


class PreTrainedModel(nn.Module, EmbeddingAccessMixin, ModuleUtilsMixin):
    config_class = None
    generation_config_class = GenerationConfig
    _auto_class = None
    base_model_prefix = ""
    _is_stateful = False
    model_tags = None
    main_input_name = "input_ids"
    input_modalities = "text"
    _no_split_modules = None
    _skip_keys_device_placement = None
    _keep_in_fp32_modules = None
    _keep_in_fp32_modules_strict = None
    _tied_weights_keys = None
    _keys_to_ignore_on_load_missing = None
    _keys_to_ignore_on_load_unexpected = None
    _keys_to_ignore_on_save = None
    _supports_sdpa = False
    _supports_flash_attn = False
    _supports_flex_attn = False
    _compatible_flash_implementations = None
    _supports_context_parallel = True
    supports_gradient_checkpointing = False
    _can_compile_fullgraph = False
    _supports_attention_backend = False
    _can_record_outputs = None
    is_gradient_checkpointing = False

    def __init__(self, config, *inputs, **kwargs):
        super().__init__()
        if not isinstance(config, PreTrainedConfig):
            raise TypeError("Parameter config in `" + self.__class__.__name__ + "(config)` should be an instance of class `PreTrainedConfig`.")
        self.config = config
        self.name_or_path = config.name_or_path
        self.kernel_config = None
        self.config._attn_implementation_internal = self.get_correct_attn_implementation(self.config._attn_implementation)
        self.config._experts_implementation_internal = "eager"
        if self.can_generate():
            self.generation_config = self.generation_config_class()
        loss_type = self.__class__.__name__
        if loss_type not in LOSS_MAPPING:
            found = [name for name in LOSS_MAPPING if name in loss_type]
            loss_type = found[0] if found else None
        self.loss_type = loss_type
        _CAN_RECORD_REGISTRY[self] = self._can_record_outputs

    def get_correct_attn_implementation(self, requested_attention, is_init_check=False):
        if requested_attention is None:
            return "sdpa" if self._supports_sdpa else "eager"
        if requested_attention == "sdpa" and not self._supports_sdpa:
            raise ValueError(self.__class__.__name__ + " does not support an attention implementation through scaled_dot_product_attention.")
        if requested_attention not in ("eager", "sdpa"):
            raise ValueError("Specified `attn_implementation=" + repr(requested_attention) + "` is not supported here; use `eager` or `sdpa`.")
        return requested_attention

    @classmethod
    def _from_config(cls, config, **kwargs):
        if kwargs.get("attn_implementation") is not None:
            config._attn_implementation = kwargs["attn_implementation"]
        return cls(config)

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        raise OSError("weights are given with --weights; build the model from its configuration")

    @classmethod
    def can_generate(cls):
        return "GenerationMixin" in [base.__name__ for base in cls.__mro__] or hasattr(cls, "prepare_inputs_for_generation")

    @property
    def base_model(self):
        return getattr(self, self.base_model_prefix, self)

    def post_init(self):
        self.all_tied_weights_keys = self.get_expanded_tied_weights_keys()
        for name, module in self.named_children():
            inner = getattr(module, "all_tied_weights_keys", None)
            if inner:
                for target, source in inner.items():
                    self.all_tied_weights_keys[name + "." + target] = name + "." + source
        self.init_weights()

    def init_weights(self):
        self.initialize_weights()
        self.tie_weights(recompute_mapping=False)

    @torch.no_grad()
    def initialize_weights(self):
        self._initialize_below(self, self._initialize_weights)

    def _initialize_below(self, module, function):
        for child in module.children():
            if isinstance(child, PreTrainedModel):
                child._initialize_below(child, child._initialize_weights)
            else:
                self._initialize_below(child, function)
        function(module)

    def _initialize_weights(self, module, is_custom_code=False):
        if getattr(module, "_is_hf_initialized", False):
            return
        self._init_weights(module)
        module._is_hf_initialized = True

    def _init_weights(self, module):
        config = self.config
        if hasattr(config, "initializer_range"):
            std = config.initializer_range or 0.02
        elif hasattr(config, "init_std"):
            std = config.init_std
        elif hasattr(config, "initializer_factor"):
            std = config.initializer_factor
        else:
            std = getattr(config.get_text_config(), "initializer_range", 0.02)
        kind = module.__class__.__name__
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d)):
            if getattr(module, "weight", None) is not None:
                init.normal_(module.weight, mean=0.0, std=std)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if "weight" in name:
                    init.xavier_uniform_(parameter)
                elif "bias" in name:
                    init.constant_(parameter, 0.0)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=std)
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.MultiheadAttention):
            module._reset_parameters()
        elif isinstance(module, (nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)) or "LayerNorm" in kind or "RMSNorm" in kind:
            if getattr(module, "weight", None) is not None:
                init.ones_(module.weight)
            if getattr(module, "bias", None) is not None:
                init.zeros_(module.bias)
            if getattr(module, "running_mean", None) is not None:
                init.zeros_(module.running_mean)
                init.ones_(module.running_var)
                init.zeros_(module.num_batches_tracked)
        elif "RotaryEmbedding" in kind and hasattr(module, "original_inv_freq"):
            functions = {"axial": getattr(module, "compute_axial_rope_parameters", None),
                         "ntk_alpha": getattr(module, "compute_ntk_alpha_rope_parameters", None),
                         "default": getattr(module, "compute_default_rope_parameters", None), **ROPE_INIT_FUNCTIONS}
            frequencies, _ = functions[module.rope_type](module.config)
            init.copy_(module.inv_freq, frequencies)
            init.copy_(module.original_inv_freq, frequencies)

    def get_expanded_tied_weights_keys(self, all_submodels=False):
        if all_submodels:
            expanded = {}
            for prefix, module in self.named_modules(remove_duplicate=False):
                if isinstance(module, PreTrainedModel):
                    start = prefix + "." if prefix else ""
                    for target, source in module.get_expanded_tied_weights_keys().items():
                        expanded[start + target] = start + source
            return expanded
        mapping = self._tied_weights_keys
        if not getattr(self.config, "tie_word_embeddings", False) or mapping is None:
            return {}
        plain = re.compile(r"^[A-Za-z0-9_\.]+(weight)|(bias)$")
        if all([plain.match(k) is not None for k in list(mapping.keys()) + list(mapping.values())]):
            return dict(mapping)
        names = sorted([n for n, _ in self.named_parameters(remove_duplicate=False)] + [n for n, _ in self.named_buffers(remove_duplicate=False)])
        expanded = {}
        for target, source in mapping.items():
            sources = [n for n in names if re.search("^" + source, n) is not None]
            targets = [n for n in names if re.search("^" + target, n) is not None]
            if not sources or not targets or len(targets) % len(sources) != 0:
                raise ValueError("cannot tie " + target + " to " + source)
            for index, name in enumerate(targets):
                chosen = sources[index % len(sources)]
                expanded[name] = expanded.get(chosen, chosen)
        return expanded

    def tie_weights(self, missing_keys=None, recompute_mapping=True):
        keys = self.get_expanded_tied_weights_keys(all_submodels=True) if recompute_mapping else self.all_tied_weights_keys
        for target, source in keys.items():
            source_module, _, source_name = source.rpartition(".")
            value = getattr(self.get_submodule(source_module) if source_module else self, source_name)
            target_module, _, target_name = target.rpartition(".")
            setattr(self.get_submodule(target_module) if target_module else self, target_name, value)

    @property
    def loss_function(self):
        if hasattr(self, "_loss_function"):
            return self._loss_function
        loss_type = getattr(self, "loss_type", None)
        return LOSS_MAPPING[loss_type if loss_type in LOSS_MAPPING else "ForCausalLM"]

    @loss_function.setter
    def loss_function(self, value):
        self._loss_function = value

    def get_encoder(self, modality=None):
        return getattr(self, "encoder", None) or self.base_model.get_encoder()

    def get_decoder(self):
        return getattr(self, "decoder", None) or self.base_model.get_decoder()

    def get_parameter_or_buffer(self, target):
        module, _, name = target.rpartition(".")
        return getattr(self.get_submodule(module) if module else self, name)

    def warn_if_padding_and_no_attention_mask(self, input_ids, attention_mask):
        pass

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs=None, **kwargs):
        pass

    def gradient_checkpointing_disable(self):
        pass

    def add_model_tags(self, tags):
        pass

    def get_compiled_call(self, compile_config):
        return self.__call__


class PreTrainedAudioTokenizerBase(PreTrainedModel):
    pass


def unwrap_model(model, recursive=False):
    return model
