"""Broken programs and what is said about them: every error's line, column, code and message.

A file holds blocks `### name entry=... input=A;B`, the source, a line `---`, and the expected errors, one `line:column CODE message` each.
Lines count from the first of the block; names from `torch` are imported before it.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scriptc.errors import CompileError
from scriptc.frontend.stage import compile_source

PRELUDE = "import torch, math\nimport torch.nn as nn\nimport torch.nn.functional as F\n"


@dataclass(frozen=True)
class Broken:
    """One broken program."""

    name: str
    entry: str | None
    inputs: tuple[str, ...]
    source: str
    expected: tuple[str, ...]


def programs(path: Path) -> Iterator[Broken]:
    """The programs of one file."""
    for block in re.split(r"^### ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        head, _, rest = block.partition("\n")
        source, _, expected = rest.partition("---\n")
        name, *marks = head.split()
        given = dict(m.partition("=")[::2] for m in marks)
        entry = None if given.get("entry") == "" else given.get("entry", "Net()" if "class Net" in source else "f")
        inputs = tuple(given.get("input", "x:float32[N,8]").split(";")) if given.get("input") != "" else ()
        yield Broken(name, entry, inputs, source, tuple(expected.splitlines()))


def told(program: Broken, folder: Path) -> list[str]:
    """What the compiler says of it: `line:column CODE message`, an error each."""
    path = folder / "model.py"
    path.write_text(PRELUDE + program.source, encoding="utf-8")
    try:
        compile_source(path, entry=program.entry, inputs=list(program.inputs))
    except CompileError as error:
        lines = []
        for d in error.diagnostics:
            span = d.location.span if d.location is not None else None
            place = f"{span.line - PRELUDE.count(chr(10))}:{span.column}" if span is not None and span.source.name == "model.py" else "-"
            message = d.message.replace(str(folder), "").replace("\n", " ")
            lines.append(f"{place} {d.code} {message}" + (f" [{d.hint}]" if d.hint and "did you mean" in d.hint else ""))
        return lines
    except Exception as error:
        return [f"a traceback of our own: {type(error).__name__}: {error}"]
    return ["compiles"]
