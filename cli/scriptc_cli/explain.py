"""scriptc explain"""
from __future__ import annotations

import click

from scriptc.catalogue import CATALOGUE


@click.command("explain")
@click.argument("code")
def command(code: str) -> None:
    """Explain the error CODE, such as E0465."""
    entry = CATALOGUE.get(code.upper())
    if entry is None:
        from difflib import get_close_matches

        near = get_close_matches(code.upper(), CATALOGUE, 3)
        raise click.BadParameter(f"there is no error {code}" + (f"; near: {', '.join(near)}" if near else ""), param_hint="CODE")
    click.echo(f"{code.upper()}: {entry.title}\n\nmessage  {entry.template}" + (f"\nhelp     {entry.hint}" if entry.hint else ""))
