"""scriptc inspect"""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from scriptc.ir.graph import Function, Program
from scriptc.ir.history import Change
from scriptc.location import printable
from scriptc_cli.arguments import archive_argument, json_option
from scriptc_cli.samples import made_inputs, read_sizes, size_options


@click.command("inspect")
@archive_argument
@click.option("--ir", is_flag=True, help="Print the functions as text.")
@click.option("--params", is_flag=True, help="List parameters and buffers.")
@click.option("--source", is_flag=True, help="Print the embedded source files.")
@click.option("--memory", is_flag=True, help="Plan a call of forward, for the sizes given by --size, and tell what memory it takes.")
@size_options
@json_option
def command(archive: Path, ir: bool, params: bool, source: bool, memory: bool, sizes: tuple[str, ...], as_json: bool) -> None:
    """Show what ARCHIVE.pt holds."""
    from scriptc.ir.archive.encode import load_program, read_history

    program, file = load_program(str(archive))
    history = read_history(file)
    planned = memory_of(archive, read_sizes(sizes)) if memory else None
    if as_json:
        click.echo(json.dumps({**summary(program, file.root.hex(), history), **({"memory": planned} if planned else {})}, indent=2))
        return
    if planned is not None:
        click.echo("\n".join(f"{name:<9} {size:,} bytes" for name, size in planned.items()))
    if ir:
        from scriptc.ir.printer import print_program

        click.echo(print_program(program))
    if params:
        for entry in program.state:
            note = f" = {entry.alias}" if entry.alias else "" if entry.requires_grad or entry.kind != "parameter" else " frozen"
            click.echo(f"{entry.kind:<9} {entry.name}: {entry.type}{note}")
    if source:
        for text in program.sources:
            click.echo(f"==> {text.name} <==\n{text.text}")
    if not (ir or params or source or memory):
        click.echo(overview(program, file.root.hex(), history))


def memory_of(archive: Path, sizes: Mapping[str, int]) -> dict[str, int]:
    """Bytes of a call of `forward` with inputs of these sizes: inputs, state, what lies between, results."""
    import math

    import numpy as np

    import scriptc
    from scriptc.ir.types import TensorType

    model = scriptc.load(str(archive))
    arguments, keywords = made_inputs(model.function(), sizes)
    plan = model.plan(*arguments, **keywords)
    results = [k for k in plan.result_types if isinstance(k, TensorType) and k.shape is not None]
    return {"inputs": sum(a.nbytes for a in (*arguments, *keywords.values()) if isinstance(a, np.ndarray)),
            "state": sum(a.nbytes for a in {id(a): a for a in model.tensors().values()}.values()),
            "working": plan.working_bytes,
            "results": sum(math.prod(d for d in k.shape or () if isinstance(d, int)) * k.dtype.itemsize for k in results)}


def overview(program: Program, root: str, history: Sequence[Change] = ()) -> str:
    """A screenful about an archive."""
    lines = [f"root      {root}", f"entry     {program.entry}"]
    lines += [f"function  {signature(f)}" for f in program.functions.values()]
    kinds: dict[str, list[int]] = {}
    for entry in program.state:
        if entry.alias is None:
            size = 1
            for dim in entry.type.shape or ():
                size *= dim if isinstance(dim, int) else 0
            kinds.setdefault(entry.kind, []).append(size * entry.type.dtype.itemsize)
    lines += [f"{kind:<9} {len(sizes)} tensors, {sum(sizes):,} bytes" for kind, sizes in kinds.items()]
    lines += [f"history   {printable(str(change))}" for change in history]
    lines += [f"module    {m.path or '.'}: {m.class_name}({m.description})" for m in program.modules[:40]]
    if len(program.modules) > 40:
        lines.append(f"          ... {len(program.modules) - 40} more")
    return "\n".join(lines)


def signature(function: Function) -> str:
    """`forward(x: float32[N, 3]) -> float32[N, 10]`"""
    inputs = ", ".join(f"{v.name}: {v.type}" for v in function.inputs)
    return f"{function.name}({inputs}) -> {', '.join(str(v.type) for v in function.results)}"


def summary(program: Program, root: str, history: Sequence[Change] = ()) -> dict[str, Any]:
    """The archive for programs."""
    return {
        "root": root, "entry": program.entry,
        "functions": [{"name": f.name, "inputs": [{"name": v.name, "type": str(v.type)} for v in f.inputs],
                       "results": [str(v.type) for v in f.results], "ops": len(f.ops)} for f in program.functions.values()],
        "state": [{"name": e.name, "kind": e.kind, "type": str(e.type), "requires_grad": e.requires_grad, "alias": e.alias}
                  for e in program.state],
        "modules": [{"path": m.path, "class": m.class_name, "description": m.description} for m in program.modules],
        "sources": [s.name for s in program.sources],
        "history": [{"operation": c.operation, "targets": list(c.targets), "settings": dict(c.settings)} for c in history],
    }
