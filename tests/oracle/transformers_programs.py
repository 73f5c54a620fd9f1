"""Small programs on the models of `transformers`: each builds one from a tiny configuration and returns plain tensors.

`sizes` names the sizes of the two calls each is compared on; `fills` how an input is made where it is not ids or normal numbers.
"""
from __future__ import annotations

from dataclasses import dataclass, field

TEXT = "vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37, max_position_embeddings=64"
STILL = "hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0"
IMAGE = "hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37, image_size=32, patch_size=8"


@dataclass(frozen=True)
class Net:
    """`family` is the package's folder; `build` an expression over its classes; `body` the statements of forward."""

    family: str
    build: str
    inputs: dict[str, str]
    body: str
    sizes: tuple[dict[str, int], ...] = ({"B": 2, "S": 7}, {"B": 3, "S": 11})
    fills: dict[str, str] = field(default_factory=dict)
    more: str = ""

    def source(self) -> str:
        """The program as a user would write it."""
        names = ", ".join(sorted({part for part in self.build.replace("(", " ").replace(",", " ").split() if part.endswith("Config")}))
        model = self.build.partition("(")[0]
        body = "\n".join(f"        {line}" for line in self.body.split("\n"))
        return f"""from torch import nn
from transformers.models.{self.family}.configuration_{self.family} import {names}
from transformers.models.{self.family}.modeling_{self.family} import {model}
{self.more}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = {self.build}

    def forward(self, {", ".join(self.inputs)}):
{body}
"""


IDS = {"input_ids": "int64[B,S]"}
MASKED = {**IDS, "attention_mask": "int64[B,S]"}
LABELLED = {**MASKED, "labels": "int64[B,S]"}
MASK = {"attention_mask": "padding"}
PIXELS = {"pixel_values": "float32[B,3,32,32]"}
IMAGES = ({"B": 2}, {"B": 1})
LOSS = "out = self.model(input_ids=input_ids, attention_mask=attention_mask, labels=labels)\nreturn out.logits, out.loss"

NETS: dict[str, Net] = {
    "bert with padding": Net("bert", f"BertModel(BertConfig({TEXT}))", MASKED,
                             "out = self.model(input_ids, attention_mask)\nreturn out.last_hidden_state, out.pooler_output", fills=MASK),
    "bert hidden states and attentions": Net(
        "bert", f"BertModel(BertConfig({TEXT}, attn_implementation='eager'))", MASKED,
        "out = self.model(input_ids, attention_mask, output_hidden_states=True, output_attentions=True)\nreturn out.hidden_states, out.attentions",
        fills=MASK),
    "bert sentence loss": Net("bert", f"BertForSequenceClassification(BertConfig({TEXT}, {STILL}, num_labels=3))",
                              {**MASKED, "labels": "int64[B]"}, LOSS, fills={**MASK, "labels": "classes"}),
    "gpt2 loss": Net("gpt2", "GPT2LMHeadModel(GPT2Config(vocab_size=99, n_positions=64, n_embd=32, n_layer=2, n_head=4, "
                             "resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))", LABELLED, LOSS, fills=MASK),
    "llama prefill and one step": Net(
        "llama", f"LlamaForCausalLM(LlamaConfig({TEXT}, num_key_value_heads=2))", {**IDS, "next_ids": "int64[B,1]"},
        "first = self.model(input_ids, use_cache=True)\nsecond = self.model(next_ids, past_key_values=first.past_key_values, use_cache=True)\n"
        "return first.logits, second.logits"),
    "qwen2 step with a given cache": Net(
        "qwen2", f"Qwen2ForCausalLM(Qwen2Config({TEXT}, num_key_value_heads=2))",
        {"input_ids": "int64[B,1]", **{f"{part}{layer}": "float32[B,2,S,8]" for layer in (0, 1) for part in "kv"}},
        "cache = DynamicCache([(k0, v0), (k1, v1)])\nout = self.model(input_ids, past_key_values=cache, use_cache=True)\n"
        "return out.logits, [(layer.keys, layer.values) for layer in out.past_key_values.layers]",
        more="from transformers.cache_utils import DynamicCache"),
    "gemma2 with a window": Net("gemma2", f"Gemma2ForCausalLM(Gemma2Config({TEXT}, num_key_value_heads=2, head_dim=8, sliding_window=4))", MASKED,
                                "return self.model(input_ids, attention_mask).logits", fills=MASK),
    "mixtral": Net("mixtral", f"MixtralForCausalLM(MixtralConfig({TEXT.replace('37', '36')}, num_key_value_heads=2, num_local_experts=4))", MASKED,
                   "return self.model(input_ids, attention_mask).logits", fills=MASK),
    "mamba": Net("mamba", "MambaForCausalLM(MambaConfig(vocab_size=99, hidden_size=32, state_size=4, num_hidden_layers=1))", IDS,
                 "return self.model(input_ids).logits"),
    "t5": Net("t5", "T5ForConditionalGeneration(T5Config(vocab_size=99, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4))",
              {**MASKED, "decoder_input_ids": "int64[B,T]"},
              "return self.model(input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=decoder_input_ids).logits",
              sizes=({"B": 2, "S": 7, "T": 5}, {"B": 3, "S": 11, "T": 6}), fills=MASK),
    "whisper": Net("whisper", "WhisperForConditionalGeneration(WhisperConfig(vocab_size=99, num_mel_bins=20, d_model=32, encoder_layers=1, "
                              "decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=37, decoder_ffn_dim=37, "
                              "max_source_positions=30, max_target_positions=20, pad_token_id=98, decoder_start_token_id=97))",
                   {"input_features": "float32[B,20,60]", "decoder_input_ids": "int64[B,T]"},
                   "return self.model(input_features=input_features, decoder_input_ids=decoder_input_ids).logits",
                   sizes=({"B": 2, "T": 5}, {"B": 1, "T": 6})),
    "wav2vec2": Net("wav2vec2", "Wav2Vec2ForCTC(Wav2Vec2Config(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=37, "
                                "conv_dim=[16, 16], conv_stride=[5, 2], conv_kernel=[10, 3], num_feat_extract_layers=2, vocab_size=32, "
                                "apply_spec_augment=False, "
                                "num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2))",
                    {"input_values": "float32[B,T]"}, "return self.model(input_values).logits", sizes=({"B": 2, "T": 800}, {"B": 1, "T": 1000})),
    "vit": Net("vit", f"ViTForImageClassification(ViTConfig({IMAGE}, num_labels=5))", PIXELS, "return self.model(pixel_values).logits", IMAGES),
    "swin": Net("swin", "SwinModel(SwinConfig(image_size=32, patch_size=2, embed_dim=16, depths=[1, 2], num_heads=[2, 4], window_size=4))", PIXELS,
                "return self.model(pixel_values).last_hidden_state", IMAGES),
    "convnext": Net("convnext", "ConvNextModel(ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]))",
                    {"pixel_values": "float32[B,3,H,W]"}, "return self.model(pixel_values).last_hidden_state",
                    ({"B": 2, "H": 32, "W": 32}, {"B": 1, "H": 48, "W": 64})),
    "clip": Net("clip", f"CLIPModel(CLIPConfig(projection_dim=16, text_config=dict({TEXT}), vision_config=dict({IMAGE})))",
                {"input_ids": "int64[N,S]", **PIXELS},
                "out = self.model(input_ids=input_ids, pixel_values=pixel_values)\nreturn out.logits_per_image, out.text_embeds",
                ({"B": 2, "N": 3, "S": 7}, {"B": 1, "N": 2, "S": 9})),
}
TRAINED = ("bert sentence loss", "gpt2 loss")
