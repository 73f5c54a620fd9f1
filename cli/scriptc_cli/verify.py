"""scriptc verify"""
from __future__ import annotations

from pathlib import Path

import click

from scriptc_cli.arguments import archive_argument


@click.command("verify")
@archive_argument
def command(archive: Path) -> None:
    """Check ARCHIVE.pt: structure, every checksum, the types of every op, and its test vectors where it has some."""
    from scriptc_runtime.vectors import verify_vectors

    from scriptc.ir.archive.encode import load_program

    program, file = load_program(str(archive))
    file.verify()
    count = verify_vectors(program, file)
    click.echo(f"{archive}: ok, root {file.root.hex()}, {len(file.tensors)} tensors, {count} test vectors", err=True)
