"""scriptc check"""
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from scriptc.errors import CompileError, Diagnostic
from scriptc_cli.arguments import json_option, source_options


@click.command("check")
@source_options
@json_option
def command(model: Path, entry: str | None, inputs: tuple[str, ...], search: tuple[Path, ...], methods: tuple[str, ...],
            as_json: bool) -> None:
    """Report what keeps MODEL.py from compiling; nothing is written."""
    from scriptc.compiler import check

    try:
        check(model, entry=entry, inputs=inputs, search=search, methods=methods)
    except CompileError as error:
        if not as_json:
            raise
        click.echo(json.dumps([as_object(d) for d in error.diagnostics], indent=2))
        sys.exit(error.exit_code)
    if as_json:
        click.echo("[]")
    else:
        click.echo(f"{model}: compiles", err=True)


def as_object(d: Diagnostic) -> dict[str, Any]:
    """A diagnostic for editors: lines and columns count from 1."""
    place: dict[str, Any] = {}
    if d.location is not None and d.location.span is not None:
        span = d.location.span
        end_line, end_column = span.source.position(span.end)
        place = {"file": span.source.shown, "line": span.line, "column": span.column, "end_line": end_line, "end_column": end_column}
    return {"code": d.code, "message": d.message, **place, "notes": list(d.notes), "help": d.hint}
