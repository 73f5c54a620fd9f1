"""All syntax errors of a file: after each, its line is taken for a harmless statement and the rest is read again."""
from __future__ import annotations

from scriptc.errors import CompileError, Diagnostic
from scriptc.frontend.parser import parse
from scriptc.frontend.tokens import syntax_error
from scriptc.location import Location, Source, Span
from scriptc.records import replace

MAX_FAULTS = 20
HEADER = "if 1:"
# Open brackets and strings swallow what follows: errors after them say nothing.
SWALLOWING = ("E0119", "E0101")


def syntax_faults(source: Source, first: CompileError) -> list[Diagnostic]:
    """`first` and the syntax errors behind it, in the order of their lines."""
    found = list(first.diagnostics)
    lines = source.text.splitlines(keepends=True)
    error = first
    mended: set[int] = set()
    while error.code not in SWALLOWING and len(found) < MAX_FAULTS:
        place = error.diagnostics[0].location
        if place is None or place.span is None or place.span.line in mended or not mend(lines, place.span.line - 1):
            break
        mended.add(place.span.line)
        try:
            parse(Source(source.name, "".join(lines), source.path))
            break
        except CompileError as following:
            error = following
        found += [d for d in (moved(d, source) for d in error.diagnostics) if d.location is not None and d.location.span is not None
                  and d.location.span.line not in mended]
    return found


def mend(lines: list[str], index: int) -> bool:
    """Put a statement of the same length in the place of a line; False if none is as short."""
    if index >= len(lines):
        return False
    line = lines[index]
    text = line.rstrip()
    indent = len(text) - len(text.lstrip())
    follows = next((other for other in lines[index + 1:] if other.strip()), "")
    opens = len(follows) - len(follows.lstrip()) > indent
    statement = HEADER if opens else "0"
    if len(text) - indent < len(statement):
        return False
    lines[index] = text[:indent] + statement.ljust(len(text) - indent) + line[len(text):]
    return True


def moved(d: Diagnostic, source: Source) -> Diagnostic:
    """The diagnostic at the same place of the file as it is."""
    if d.location is None or d.location.span is None:
        return d
    return replace(d, location=Location(Span(source, d.location.span.start, d.location.span.end), d.location.scope, d.location.chain))


def check_placement(source: Source, tree: object) -> None:
    """`break` and `continue` outside a loop, `return` outside a function: CPython's compiler refuses them, its parser does not."""
    pending: list[tuple[object, bool, bool]] = [(tree, False, False)]
    while pending:
        node, in_function, in_loop = pending.pop()
        kind = type(node).__name__
        if kind in ("Break", "Continue") and not in_loop:
            raise syntax_error("E0129", source, node.start, node.end, word=kind.lower(), block="a loop")  # type: ignore[attr-defined]
        if kind == "Return" and not in_function:
            raise syntax_error("E0129", source, node.start, node.end, word="return", block="a function")  # type: ignore[attr-defined]
        if kind in ("FunctionDef", "AsyncFunctionDef"):
            in_function, in_loop = True, False
        elif kind == "ClassDef":
            in_function, in_loop = False, False
        loops = kind in ("For", "AsyncFor", "While")
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inside = in_loop or (loops and name == "body")
            for child in reversed(block if isinstance(block := getattr(node, name, None), list) else []):
                pending.append((child, in_function, inside))
