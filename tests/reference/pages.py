"""The pages under docs/errors and docs/ops, made from the catalogue, the op registry and the broken programs of tests/diagnostics.

`python -m tests.reference.pages` writes them; a test tells when they are out of date.
"""
from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import scriptc.ir.ops  # noqa: F401  (registers the declarations)
from scriptc.catalogue import CATALOGUE
from scriptc.interp.registry import REFERENCES
from scriptc.ir.registry import REGISTRY, OpDef
from tests.diagnostics.harness import Broken, programs

ROOT = Path(__file__).parents[2]
BROKEN = ROOT / "tests" / "diagnostics"
RANGES = {"E01": "Syntax", "E02": "Language", "E03": "Language", "E04": "Operators", "E05": "Internal", "A01": "Archives", "W01": "Weights",
          "R01": "Running", "R02": "Training"}


def pages() -> dict[str, str]:
    """Every page: path under docs -> text."""
    examples = examples_by_code()
    made = {f"errors/{code}.md": error_page(code, examples.get(code)) for code in CATALOGUE}
    made["errors/README.md"] = error_index()
    families: defaultdict[str, list[OpDef]] = defaultdict(list)
    for definition in REGISTRY.values():
        families[definition.family].append(definition)
    for family, ops in families.items():
        made[f"ops/{family}.md"] = family_page(family, sorted(ops, key=lambda d: d.name))
    made["ops/README.md"] = op_index(families)
    return made


def examples_by_code() -> dict[str, tuple[Broken, str]]:
    """For each code the first broken program that is told of with it, and what is said."""
    found: dict[str, tuple[Broken, str]] = {}
    for path in sorted(BROKEN.glob("*.txt")):
        for program in programs(path):
            for line in program.expected:
                if match := re.match(r"\S+ ([EAWR]\d{4}) ", line):
                    found.setdefault(match[1], (program, line))
    return found


def error_page(code: str, example: tuple[Broken, str] | None) -> str:
    entry = CATALOGUE[code]
    parts = [f"# {code}: {entry.title}", "", "The message, with what it names in braces:", "", f"    {entry.template}", ""]
    if entry.hint:
        parts += ["What helps:", "", f"    {entry.hint}", ""]
    if example is not None:
        program, line = example
        parts += ["For example,", "", "```python", program.source.rstrip(), "```", ""]
        if program.inputs:
            parts += [f"compiled with {' '.join(f'`--input {text!r}`' for text in program.inputs)}, gives", ""]
        else:
            parts += ["gives", ""]
        parts += [f"    {line}", ""]
    return "\n".join(parts)


def error_index() -> str:
    lines = ["# Errors", "", "Every message carries a code; `scriptc explain CODE` prints its entry."]
    for start, title in RANGES.items():
        rows = [f"* [{code}]({code}.md) {entry.title}" for code, entry in sorted(CATALOGUE.items()) if code.startswith(start)]
        if rows:
            lines += ["", f"## {title} ({start}xx)", "", *rows]
    return "\n".join([*lines, ""])


def signature(definition: OpDef) -> str:
    operands = [o.name if not getattr(o, "variadic", False) else f"*{o.name}" for o in definition.operands]
    return f"{definition.name}({', '.join([*operands, *(f'{a}=' for a in definition.attributes)])})"


def gradient_of(definition: OpDef) -> str:
    if definition.vjp is not None:
        return "its own rule"
    if definition.kind == "elementwise" and definition.formula:
        return "by its formula"
    return f"none: {definition.no_gradient}" if definition.no_gradient else "structural"


def family_page(family: str, ops: list[OpDef]) -> str:
    lines = [f"# {family}", ""]
    for definition in ops:
        reference = "numpy" if definition.name in REFERENCES else "the interpreter"
        lines += [f"## {definition.name}", "", f"    {signature(definition)}", "", *doc_lines(definition.doc),
                  f"Version {definition.version}. Gradient: {gradient_of(definition)}. Reference: {reference}.", ""]
    return "\n".join(lines)


def doc_lines(doc: str) -> Iterator[str]:
    for line in doc.strip().splitlines():
        yield line.strip()
    yield ""


def op_index(families: dict[str, list[OpDef]]) -> str:
    total = sum(len(ops) for ops in families.values())
    lines = ["# Operators", "", f"{total} ops in {len(families)} families; `scriptc ops` prints the table.", ""]
    lines += [f"* [{family}]({family}.md): {', '.join(sorted(d.name for d in ops))}" for family, ops in sorted(families.items())]
    return "\n".join([*lines, ""])


def write() -> None:
    """Write every page and remove those that are no more."""
    made = pages()
    for folder in ("errors", "ops"):
        for old in (ROOT / "docs" / folder).glob("*.md"):
            if f"{folder}/{old.name}" not in made:
                old.unlink()
    for name, text in made.items():
        path = ROOT / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
