"""One backend's first answer in a process of its own: `python benchmarks/first.py BACKEND MODEL THREADS SHAPES SECONDS INPUT...`.

MODEL is a file of the backend's, each INPUT a .npy. It prints a line when the output is there: seconds since its first line, kilobytes of peak
memory, the output's first element. Then a line for each of SHAPES (`1x3x160x160,...`, may be empty): the seconds of the first and of the
second call with an input of that shape. Then, for SECONDS, a line a call: its seconds. Nothing is imported but what the backend needs.
"""
from __future__ import annotations

import time

BEGAN = time.perf_counter()

import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402


def scriptc_call(model: str, threads: int) -> Callable[..., Any]:
    from scriptc_runtime.cpu.team import set_num_threads

    import scriptc

    set_num_threads(threads)
    module = scriptc.load(model)
    module.eval()

    def call(*inputs: np.ndarray) -> Any:
        with scriptc.no_grad():
            return module(*inputs)
    return call


def onnxruntime_call(model: str, threads: int) -> Callable[..., Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))[0]


def openvino_call(model: str, threads: int) -> Callable[..., Any]:
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return lambda *inputs: request.infer(list(inputs), share_inputs=True)[0]


def torchscript_call(model: str, threads: int) -> Callable[..., Any]:
    import torch

    torch.set_num_threads(threads)
    module = torch.jit.load(model)
    return lambda *inputs: module(*map(torch.from_numpy, inputs)).numpy()


CALLS = {"scriptc": scriptc_call, "onnxruntime": onnxruntime_call, "openvino": openvino_call, "torchscript": torchscript_call}


def peak_kilobytes() -> int:
    """The most memory this process held; ru_maxrss would be the parent's where that is more."""
    try:
        with Path("/proc/self/status").open(encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


def main(backend: str, model: str, threads: str, shapes: str, lasts: str, *inputs: str) -> None:
    arrays = [np.load(path) for path in inputs]
    call = CALLS[backend](model, int(threads))
    result = np.asarray(call(*arrays))
    print(time.perf_counter() - BEGAN, peak_kilobytes(), float(result.reshape(-1)[0]), flush=True)
    for shape in filter(None, shapes.split(",")):
        array = np.resize(arrays[0], tuple(map(int, shape.split("x"))))
        print(seconds(call, [array]), seconds(call, [array]), flush=True)
    until = time.perf_counter() + float(lasts)
    while time.perf_counter() < until:
        print(seconds(call, arrays), flush=True)


def seconds(call: Callable[..., Any], arrays: list[np.ndarray]) -> float:
    """How long a call takes until its output is there."""
    start = time.perf_counter()
    np.asarray(call(*arrays))
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*sys.argv[1:])
