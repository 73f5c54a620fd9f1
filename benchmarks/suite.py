"""The workloads: a model, its inputs, and the ratio to the best peer that is asked for at least."""
from __future__ import annotations

from dataclasses import dataclass

IMAGE = ((1, 3, 224, 224),)


@dataclass(frozen=True)
class Workload:
    """`file` of benchmarks/models, the expression that constructs the model, the inputs' shapes (float32), and the least ratio."""

    name: str
    file: str
    entry: str
    shapes: tuple[tuple[int, ...], ...]
    least: float
    script: bool = False        # the export keeps control flow only from TorchScript


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

STARTS = ("mlp", "resnet18", "resnet50")     # whose first output is timed
