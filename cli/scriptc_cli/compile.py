"""scriptc compile"""
from __future__ import annotations

import time
from pathlib import Path

import click

from scriptc_cli.arguments import source_options


@click.command("compile")
@source_options
@click.option("--weights", type=click.Path(path_type=Path), help="safetensors, npz, or a PyTorch checkpoint (read without executing it).")
@click.option("--no-strict", is_flag=True, help="Accept weights that are missing or left over; they are listed.")
@click.option("--seed", default=0, show_default=True, help="Seed of the initial weights: torch.manual_seed's numbers.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The archive to write [default: the source's name with .pt].")
def command(model: Path, entry: str | None, inputs: tuple[str, ...], search: tuple[Path, ...], methods: tuple[str, ...],
            weights: Path | None, no_strict: bool, seed: int, output: Path | None) -> None:
    """Compile MODEL.py to an archive. The source is parsed, never executed."""
    from scriptc.compiler import compile_program
    from scriptc.ir.archive.encode import save_program

    started = time.perf_counter()
    compiled = compile_program(model, entry=entry, inputs=inputs, weights=weights, search=search, methods=methods, seed=seed,
                               strict=not no_strict)
    target = output or model.with_suffix(".pt")
    root = save_program(target, compiled.program, compiled.tensors)
    for note in compiled.notes:
        click.echo(note, err=True)
    parameters = sum(t.size for e in compiled.program.state if e.kind == "parameter" and e.alias is None
                     for t in (compiled.tensors[e.name],))
    click.echo(f"{target}: {parameters:,} parameters, {len(compiled.program.functions)} functions, "
               f"root {root.hex()[:16]}, {time.perf_counter() - started:.2f} s", err=True)
