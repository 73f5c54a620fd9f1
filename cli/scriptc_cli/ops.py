"""scriptc ops"""
from __future__ import annotations

import json
from collections.abc import Callable

import click

from scriptc_cli.arguments import json_option


def _on_device() -> Callable[[str], str]:
    """What says of an op who does it on a GPU; the engine's tables need numba-cuda, or its simulator (NUMBA_ENABLE_CUDASIM=1)."""
    from scriptc.errors import CallError

    try:
        from scriptc_runtime.cuda.lowering import on_device
    except CallError:
        return lambda name: "told with the extra [cuda]"
    return on_device


@click.command("ops")
@json_option
def command(as_json: bool) -> None:
    """Print the table of operators: op, kind, reference, gradient, and what does it on a GPU."""

    on_device = _on_device()
    import scriptc.ir.ops  # noqa: F401  (registers the declarations)
    from scriptc.interp.registry import REFERENCES
    from scriptc.ir.registry import REGISTRY

    rows = []
    for name, definition in sorted(REGISTRY.items(), key=lambda item: (item[1].family, item[0])):
        gradient = "yes" if definition.vjp is not None else "by formula" if definition.kind == "elementwise" and definition.formula \
            else definition.no_gradient or "structural"
        reference = "yes" if name in REFERENCES else "interpreter"
        rows.append({"family": definition.family, "op": name, "version": definition.version, "kind": definition.kind,
                     "reference": reference, "gradient": gradient, "cuda": on_device(name), "doc": definition.doc.splitlines()[0]})
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['family']:<14} {row['op']:<28} {row['kind']:<12} gradient: {row['gradient']:<24.60} cuda: {row['cuda']:<24.60} "
                   f"{row['doc']}")
    click.echo(f"{len(rows)} ops", err=True)
