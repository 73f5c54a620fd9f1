"""scriptc optimize"""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from scriptc.ir.graph import Function, Program, walk
from scriptc_cli.arguments import archive_argument, json_option
from scriptc_cli.samples import made_leaves, read_sizes, size_options

if TYPE_CHECKING:
    from scriptc.ir.archive.vectors import RecordedCall


@click.command("optimize")
@archive_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The archive to write.")
@click.option("--drop-training", is_flag=True,
              help="Keep the evaluation forms only: batch norms are folded into the layers before them, and what only training needs goes.")
@click.option("--tolerance", default=1e-4, show_default=True, type=click.FloatRange(0),
              help="The largest difference of results that is allowed, relative to each result's largest magnitude.")
@size_options
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and write nothing.")
@json_option
def command(archive: Path, output: Path | None, drop_training: bool, tolerance: float, sizes: tuple[str, ...], dry_run: bool,
            as_json: bool) -> None:
    """Write a smaller archive that computes the same as ARCHIVE.pt.

    Dead, repeated and constant ops are removed, and tensors that nothing reads. The results of both archives are compared on the recorded
    calls, or on inputs made from the signature, before anything is written.
    """
    from scriptc.errors import VerificationError, diagnostic
    from scriptc.interp.interpreter import evaluate
    from scriptc.ir.archive.encode import load_program, read_files, read_history, save_program, state_tensor
    from scriptc.ir.archive.vectors import read_vectors
    from scriptc.ir.freezing import shrink
    from scriptc.ir.history import Change
    from scriptc.ir.verify import verify

    if output is None and not dry_run:
        raise click.UsageError("say where to write with -o OUT.pt, or give --dry-run")
    program, file = load_program(str(archive))
    before = {e.name: state_tensor(file, e) for e in program.state if e.alias is None}
    shrunk = shrink(program, before, evaluate, drop_training=drop_training)
    verify(shrunk.program)
    recorded = [call for call in read_vectors(file, program) if call.function in shrunk.program.functions]
    worst, calls = compared(program, before, shrunk.program, shrunk.tensors, recorded, read_sizes(sizes))
    if not worst <= tolerance:
        raise VerificationError(diagnostic("R0141", difference=f"{worst:.3g}", tolerance=f"{tolerance:.3g}"))
    report: dict[str, Any] = {
        "done": list(shrunk.notes), "ops": [count_ops(program), count_ops(shrunk.program)],
        "tensors": [len(before), len(shrunk.tensors)], "bytes": [total_bytes(before), total_bytes(shrunk.tensors)],
        "largest_difference": worst, "tolerance": tolerance, "compared_calls": calls, "output": None if dry_run else str(output),
    }
    if not dry_run:
        assert output is not None
        settings = MappingProxyType({"drop_training": drop_training})
        meta = file.section("meta") if "meta" in file.sections else None
        user = meta.get("user") if isinstance(meta, dict) else None
        training = {n: file.tensor(n) for n in file.tensors if n.startswith(("optim/", "train/"))} if not drop_training else {}
        root = save_program(output, shrunk.program, {**shrunk.tensors, **training}, vectors=recorded or None, files=read_files(file) or None,
                            train=file.section("train") if "train" in file.sections and not drop_training else None,
                            history=(*read_history(file), Change("optimize", (), settings)), user=user if isinstance(user, dict) else None)
        with load_program(str(output))[1] as written:
            written.verify()
        report["root"] = root.hex()
    click.echo(json.dumps(report, indent=2) if as_json else shown(report))


def compared(old: Program, old_tensors: Mapping[str, np.ndarray], new: Program, new_tensors: Mapping[str, np.ndarray],
             recorded: Sequence[RecordedCall], sizes: Mapping[str, int]) -> tuple[float, int]:
    """(the largest relative difference of results, the number of calls): of recorded calls, or one per function on inputs made for it."""
    from scriptc_runtime.vectors import difference

    calls: list[tuple[str, Sequence[Any]]] = [(call.function, call.inputs) for call in recorded]
    if not calls:
        calls = [(key, made_leaves(function, sizes)) for key, function in new.functions.items() if not key.partition(":")[2].startswith("train")]
    worst = 0.0
    for key, inputs in calls:
        wanted = results_of(old.functions[key], inputs, old, old_tensors)
        found = results_of(new.functions[key], inputs, new, new_tensors)
        for a, b in zip(found, wanted, strict=True):
            worst = max(worst, difference(a, b))
    return worst, len(calls)


def results_of(function: Function, inputs: Sequence[Any], program: Program, tensors: Mapping[str, np.ndarray]) -> list[Any]:
    """The results of a function on the engine, without what it does to state; lists and other containers as their parts."""
    from scriptc_runtime.plan.policy import waiting
    from scriptc_runtime.runner import Runner

    owners = {e.name: e.alias or e.name for e in program.state}
    with waiting():
        results = Runner(function).run([*inputs, *(tensors[owners[name]] for name in function.state)])
    return [part for result in results[:len(function.results)] for part in _parts(result)]


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [part for v in value.values() for part in _parts(v)]
    return [part for v in value for part in _parts(v)] if isinstance(value, list | tuple) else [] if value is None else [value]


def count_ops(program: Program) -> int:
    return sum(sum(1 for _ in walk(function.ops)) for function in program.functions.values())


def total_bytes(tensors: Mapping[str, np.ndarray]) -> int:
    return sum(array.nbytes for array in tensors.values())


def shown(report: Mapping[str, Any]) -> str:
    """The report for people."""
    lines = [*report["done"]] or ["nothing to do"]
    lines += [f"{name}: {report[name][0]:,} -> {report[name][1]:,}" for name in ("ops", "tensors", "bytes")]
    lines.append(f"largest difference of results {report['largest_difference']:.3g} in {report['compared_calls']} calls "
                 f"(allowed {report['tolerance']:g})")
    lines.append(f"written to {report['output']}, root {report['root'][:16]}" if report["output"] else "nothing was written")
    return "\n".join(lines)
