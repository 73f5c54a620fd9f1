"""scriptc ops"""
from __future__ import annotations

import json

import click

from scriptc_cli.arguments import json_option


@click.command("ops")
@json_option
def command(as_json: bool) -> None:
    """Print the table of operators: op, kind, reference, gradient, CPU."""
    import scriptc.ir.ops  # noqa: F401  (registers the declarations)
    from scriptc.interp.registry import REFERENCES
    from scriptc.ir.registry import REGISTRY

    rows = []
    for name, definition in sorted(REGISTRY.items(), key=lambda item: (item[1].family, item[0])):
        gradient = "yes" if definition.vjp is not None else "by formula" if definition.kind == "elementwise" and definition.formula \
            else definition.no_gradient or "structural"
        reference = "yes" if name in REFERENCES else "interpreter"
        rows.append({"family": definition.family, "op": name, "version": definition.version, "kind": definition.kind,
                     "reference": reference, "gradient": gradient, "doc": definition.doc.splitlines()[0]})
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['family']:<14} {row['op']:<28} {row['kind']:<12} gradient: {row['gradient']:<24.60} {row['doc']}")
    click.echo(f"{len(rows)} ops", err=True)
