"""scriptc bench"""
from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from scriptc_cli.arguments import archive_argument, json_option
from scriptc_cli.run import read_inputs
from scriptc_cli.samples import made_inputs, read_sizes, size_options


@click.command("bench")
@archive_argument
@click.option("--input", "inputs", multiple=True, metavar="[NAME=]FILE",
              help="An argument, as for `scriptc run`; without any, inputs are made from the signature.")
@size_options
@click.option("--method", default="forward", show_default=True, help="The method to call.")
@click.option("--iterations", type=click.IntRange(1), default=100, show_default=True, help="Calls that are timed.")
@click.option("--warmup", type=click.IntRange(0), default=10, show_default=True, help="Calls before them; the first waits for native code.")
@click.option("--threads", type=click.IntRange(1), help="Threads of one call; all processors unless said.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@json_option
def command(archive: Path, inputs: tuple[str, ...], sizes: tuple[str, ...], method: str, iterations: int, warmup: int, threads: int | None,
            device: str, as_json: bool) -> None:
    """Time calls of ARCHIVE.pt."""
    from scriptc_runtime.cpu.team import get_num_threads, set_num_threads
    from scriptc_runtime.device import device_named

    import scriptc

    if threads is not None:
        set_num_threads(threads)
    start = time.perf_counter()
    model = scriptc.load(str(archive), device=device, wait=True)
    loaded = time.perf_counter() - start
    model.eval()
    arguments, keywords = read_inputs(inputs) if inputs else made_inputs(model.function(method), read_sizes(sizes))
    called = model if method == "forward" else getattr(model, method)
    place = device_named(device)

    def call() -> None:
        called(*arguments, **keywords)
        if place is not None:
            place.synchronize()     # the call has only been queued

    with scriptc.no_grad():
        start = time.perf_counter()
        call()
        first = time.perf_counter() - start
        for _ in range(warmup):
            call()
        times = timed(call, iterations)
    report = {
        "method": method, "inputs": [described(a) for a in (*arguments, *keywords.values())], "device": device, "threads": get_num_threads(),
        "iterations": iterations, **statistics(times), "load_s": loaded, "first_call_s": first, "peak_bytes": peak_bytes(),
    }
    click.echo(json.dumps(report, indent=2) if as_json else shown(report))


def timed(call: Callable[[], None], iterations: int) -> np.ndarray:
    """Seconds of each call. Python's collector waits meanwhile: it is no part of a call."""
    times = np.empty(iterations)
    collects = gc.isenabled()
    gc.disable()
    try:
        for index in range(iterations):
            start = time.perf_counter()
            call()
            times[index] = time.perf_counter() - start
    finally:
        if collects:
            gc.enable()
    return times


def statistics(times: np.ndarray) -> dict[str, float]:
    """Median, percentiles, extremes; calls a second by the median."""
    median, p90, p99 = np.percentile(times, [50, 90, 99])
    return {"median_s": float(median), "p90_s": float(p90), "p99_s": float(p99), "min_s": float(times.min()), "max_s": float(times.max()),
            "calls_per_s": float(1.0 / median)}


def described(value: Any) -> str:
    """`float32[1, 3, 224, 224]`"""
    return f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else repr(value)[:80]


def peak_bytes() -> int | None:
    """The most memory this process held; None where the system does not tell."""
    try:
        with Path("/proc/self/status").open(encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


def shown(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"{report['method']}({', '.join(report['inputs'])})  {report['device']}, {report['threads']} thread{'s' * (report['threads'] != 1)}, "
             f"{report['iterations']} calls"]
    lines += [f"{name:<11} {1e3 * report[key]:10.3f} ms" for name, key in (
        ("median", "median_s"), ("p90", "p90_s"), ("p99", "p99_s"), ("min", "min_s"), ("max", "max_s"), ("load", "load_s"),
        ("first call", "first_call_s"))]
    lines.append(f"{'throughput':<11} {report['calls_per_s']:10.1f} calls/s")
    if report["peak_bytes"] is not None:
        lines.append(f"{'peak memory':<11} {report['peak_bytes'] / 2**20:10.1f} MiB")
    return "\n".join(lines)
