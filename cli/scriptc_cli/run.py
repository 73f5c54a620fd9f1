"""scriptc run"""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from scriptc_cli.arguments import archive_argument, json_option


@click.command("run")
@archive_argument
@click.option("--input", "inputs", multiple=True, metavar="[NAME=]FILE",
              help="An argument: .npy, one array of a .npz (FILE.npz:KEY), .json; without NAME, the next positional one. Repeatable.")
@click.option("--method", default="forward", show_default=True, help="The method to call.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the results to this .npz (or .npy for a single one).")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--profile", "profiled", is_flag=False, flag_value="-", metavar="[FILE.json]",
              help="Tell on standard error where the time goes, by op, module and source line; FILE.json gets a trace for chrome://tracing.")
@json_option
def command(archive: Path, inputs: tuple[str, ...], method: str, output: Path | None, device: str, profiled: str | None, as_json: bool) -> None:
    """Run ARCHIVE.pt on inputs from files."""
    import scriptc

    model = scriptc.load(str(archive), device=device, wait=profiled is not None)
    model.eval()
    arguments, keywords = read_inputs(inputs)
    function = model if method == "forward" else getattr(model, method)
    with scriptc.no_grad():
        result = function(*arguments, **keywords)
        if profiled is not None:
            show_profile(model, method, arguments, keywords, None if profiled == "-" else Path(profiled))
    named = dict(flatten("output", result))
    if output is not None:
        write(output, named)
        click.echo(f"{output}: {', '.join(f'{k} {v.dtype}{list(v.shape)}' for k, v in named.items())}", err=True)
    elif as_json:
        click.echo(json.dumps({k: v.tolist() for k, v in named.items()}))
    else:
        for key, value in named.items():
            click.echo(f"{key}: {value.dtype}{list(value.shape)}\n{np.array2string(value, threshold=40, precision=5)}")


REPEATS = 20      # of each step of a profile


def show_profile(model: Any, method: str, arguments: list[Any], keywords: dict[str, Any], trace: Path | None) -> None:
    """Time the call and its steps; a table to standard error, a trace to a file."""
    from scriptc_runtime.cpu.roofline import peaks

    from scriptc_cli.bench import timed
    from scriptc_cli.profile import entries, table, write_trace

    function = model if method == "forward" else getattr(model, method)
    whole = float(np.median(timed(lambda: function(*arguments, **keywords), REPEATS)))
    limits = peaks()
    rows = entries(model.profile(*arguments, method=method, repeats=REPEATS, **keywords), limits)
    click.echo(table(rows, whole, limits), err=True)
    if trace is not None:
        write_trace(trace, rows)
        click.echo(f"{trace}: {len(rows)} steps", err=True)


def read_inputs(inputs: tuple[str, ...]) -> tuple[list[Any], dict[str, Any]]:
    """(positional, named) arguments."""
    arguments: list[Any] = []
    keywords: dict[str, Any] = {}
    for text in inputs:
        name, equals, rest = text.partition("=")
        if equals and name.isidentifier():
            keywords[name] = read_value(rest)
        else:
            arguments.append(read_value(text))
    return arguments, keywords


def read_value(text: str) -> Any:
    """The content of one input file. BadParameter if it cannot be read."""
    name, colon, key = text.rpartition(":")
    if not colon or not name.endswith(".npz"):
        name, key = text, ""
    path = Path(name)
    if not path.is_file():
        raise click.BadParameter(f"there is no file {name}", param_hint="--input")
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                if not key and len(arrays.files) == 1:
                    key = arrays.files[0]
                if key not in arrays.files:
                    raise click.BadParameter(f"{name} holds {', '.join(arrays.files)}; choose one with {name}:KEY", param_hint="--input")
                return arrays[key]
        if path.suffix == ".json":
            return from_json(json.loads(path.read_text()))
    except (ValueError, OSError, EOFError) as error:
        raise click.BadParameter(f"{name}: {error}", param_hint="--input") from None
    raise click.BadParameter(f"{name}: expected .npy, .npz or .json", param_hint="--input")


def from_json(value: Any) -> Any:
    """Lists of numbers as arrays (floats as float32), other values as they are."""
    if isinstance(value, list) and value:
        array = np.asarray(value)
        if array.dtype.kind == "f":
            return array.astype(np.float32)
        return array if array.dtype.kind in "bi" else [from_json(v) for v in value]
    return {k: from_json(v) for k, v in value.items()} if isinstance(value, dict) else value


def flatten(path: str, value: Any) -> list[tuple[str, np.ndarray]]:
    """Results by path: output, output.0, output.logits."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [entry for k, v in value.items() for entry in flatten(f"{path}.{k}", v)]
    if isinstance(value, tuple | list):
        fields = getattr(value, "_fields", None) or range(len(value))
        return [entry for k, v in zip(fields, value, strict=True) for entry in flatten(f"{path}.{k}", v)]
    if hasattr(value, "__dict__") and not hasattr(value, "__array__"):
        return [entry for k, v in vars(value).items() for entry in flatten(f"{path}.{k}", v)]
    return [(path, np.asarray(value.cpu() if hasattr(value, "cpu") else value))]


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Results to a file."""
    if path.suffix == ".npy":
        if len(arrays) != 1:
            raise click.BadParameter(f"a .npy holds one array, the result has {len(arrays)}; use .npz", param_hint="--output")
        np.save(path, next(iter(arrays.values())))
    elif path.suffix == ".npz":
        np.savez(path, **arrays)  # type: ignore[arg-type]
    else:
        raise click.BadParameter("expected a .npz or .npy file", param_hint="--output")
