"""scriptc inspect"""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from scriptc.ir.graph import Function, Program
from scriptc.ir.history import Change
from scriptc.location import printable
from scriptc_cli.arguments import archive_argument, json_option


@click.command("inspect")
@archive_argument
@click.option("--ir", is_flag=True, help="Print the functions as text.")
@click.option("--params", is_flag=True, help="List parameters and buffers.")
@click.option("--source", is_flag=True, help="Print the embedded source files.")
@json_option
def command(archive: Path, ir: bool, params: bool, source: bool, as_json: bool) -> None:
    """Show what ARCHIVE.pt holds."""
    from scriptc.ir.archive.encode import load_program, read_history

    program, file = load_program(str(archive))
    history = read_history(file)
    if as_json:
        click.echo(json.dumps(summary(program, file.root.hex(), history), indent=2))
        return
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
    if not (ir or params or source):
        click.echo(overview(program, file.root.hex(), history))


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
