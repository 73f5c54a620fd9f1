"""One backend on one workload, in a process of its own: `python -m benchmarks.worker BACKEND WORKLOAD THREADS FOLDER`.

It prepares itself, writes its output to FOLDER, prints `ready`, and then, for each line it reads, times a burst of calls and prints the
median in seconds. Between bursts it waits for the next line and uses no core.
"""
from __future__ import annotations

import importlib
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import packages
from benchmarks.suite import EVERY, Workload

BURST = 0.25        # seconds of calls between two answers
Run = Callable[[], Any]


class NotMeant(Exception):
    """A backend that is another one's twin for this workload: nothing to time, and nothing to tell."""


def eager_model(workload: Workload) -> Any:
    """The model with weights that every backend shares."""
    import torch

    torch.manual_seed(0)
    if workload.search and not set(map(str, workload.search)) <= set(sys.path):
        packages.importable(workload.search, workload.bare, workload.stubs)
    module = importlib.import_module(f"benchmarks.models.{workload.file}")
    model = eval(workload.entry, vars(module)).eval()
    for p in model.parameters():
        p.requires_grad_(False)
    return model


def scriptc_archive(workload: Workload, folder: Path, varying: bool = False) -> Path:
    """The model compiled by scriptc; `varying` names the sizes of an image, so that every size fits."""
    import scriptc

    archive = folder / f"{workload.name}{'.varying' if varying else ''}.pt"
    if not archive.exists():
        import torch

        weights = folder / f"{workload.name}.pth"
        torch.save(eager_model(workload).state_dict(), weights)
        scriptc.compile(workload.source, entry=workload.entry, inputs=["float32[N,3,H,W]"] if varying else workload.inputs,
                        weights=weights if workload.name != "control" else None, search=workload.search).save(archive)
    return archive


def scriptc_run(workload: Workload, threads: int, folder: Path) -> Run:
    import scriptc

    scriptc_threads(threads)
    model = scriptc.load(scriptc_archive(workload, folder), wait=True)     # steady speed: with its native code
    model.eval()
    inputs_ = workload.arrays()

    def run() -> Any:
        with scriptc.no_grad():
            return model(*inputs_)
    return run


def scriptc_threads(threads: int) -> None:
    from scriptc_runtime.cpu.team import set_num_threads

    set_num_threads(threads)


def torch_run(workload: Workload, threads: int, folder: Path, form: str) -> Run:
    import torch

    torch.set_num_threads(threads)
    model = eager_model(workload)
    inputs = [torch.from_numpy(a) for a in workload.arrays()]
    if form == "channels_last":
        if inputs[0].dim() != 4:
            raise NotMeant
        model = model.to(memory_format=torch.channels_last)
        inputs = [x.to(memory_format=torch.channels_last) for x in inputs]
    if form == "compile":
        import torch._inductor.config as inductor

        inductor.freezing = True
        model = torch.compile(model)
    if form == "script":
        made = torch.jit.script(model) if workload.script else torch.jit.trace(model, tuple(inputs))
        model = torch.jit.optimize_for_inference(torch.jit.freeze(made.eval()))

    def run() -> Any:
        with torch.no_grad() if form == "compile" else torch.inference_mode():      # freezing wants the former
            return model(*inputs)
    return run


def exported(workload: Workload, folder: Path, varying: bool = False) -> Path:
    """The model as ONNX, by torch's exporter; `varying` leaves the sizes of an image open."""
    import torch

    path = folder / f"{workload.name}{'.varying' if varying else ''}.onnx"
    if not path.exists():
        model = eager_model(workload)
        inputs = tuple(torch.from_numpy(a) for a in workload.arrays())
        axes = {"image": {0: "N", 2: "H", 3: "W"}} if varying else None
        try:
            torch.onnx.export(torch.jit.script(model) if workload.script else model, inputs, str(path), dynamo=False, opset_version=17,
                              input_names=["image"] if varying else None, dynamic_axes=axes)
        except Exception:
            if not workload.search:
                raise
            torch.onnx.export(model, inputs, str(path), dynamo=True, verbose=False)     # what one exporter cannot do, the other may
    return path


def onnxruntime_run(workload: Workload, threads: int, folder: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = onnxruntime.InferenceSession(str(exported(workload, folder)), options, providers=["CPUExecutionProvider"])
    feed = {i.name: a for i, a in zip(session.get_inputs(), workload.arrays(), strict=True)}
    return lambda: session.run(None, feed)[0]


def openvino_run(workload: Workload, threads: int, folder: Path) -> Run:
    import openvino

    model = openvino.Core().compile_model(str(exported(workload, folder)), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    request = model.create_infer_request()
    inputs = workload.arrays()
    return lambda: request.infer(inputs, share_inputs=True, share_outputs=True)[0]


BACKENDS: dict[str, Callable[[Workload, int, Path], Run]] = {
    "scriptc": scriptc_run,
    "eager": lambda w, t, f: torch_run(w, t, f, "eager"),
    "eager-channels-last": lambda w, t, f: torch_run(w, t, f, "channels_last"),
    "torch.compile": lambda w, t, f: torch_run(w, t, f, "compile"),
    "torchscript": lambda w, t, f: torch_run(w, t, f, "script"),
    "onnxruntime": onnxruntime_run,
    "openvino": openvino_run,
}


def first(result: Any) -> np.ndarray:
    """The first tensor of a result."""
    return np.asarray(result[0] if isinstance(result, tuple | list) else result)


def serve(backend: str, workload: Workload, threads: int, folder: Path) -> None:
    """Prepare, write the output, then time a burst for each line read."""
    warnings.simplefilter("ignore")
    try:
        run = BACKENDS[backend](workload, threads, folder)
        result = run()
        until = time.perf_counter() + 1.0
        count = 0
        while count < 3 or time.perf_counter() < until:
            run()
            count += 1
    except NotMeant:
        print("not meant", flush=True)
        return
    except ImportError as error:
        print(f"missing {error.name}", flush=True)
        return
    except Exception as error:
        print(f"failed {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", flush=True)
        return
    np.save(folder / f"{workload.name}.{backend}.{threads}.npy", first(result))
    print("ready", flush=True)
    for _ in sys.stdin:
        times = []
        until = time.perf_counter() + BURST
        while len(times) < 5 or time.perf_counter() < until:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        print(statistics.median(times), flush=True)


if __name__ == "__main__":
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = sys.argv[3]
    serve(sys.argv[1], EVERY[sys.argv[2]], int(sys.argv[3]), Path(sys.argv[4]))
