"""What goes wrong, and how it is told: `Diagnostic`, the exception classes with their exit codes, `render`.

    ScriptcError
    ├── CompileError     the model source is rejected            exit 3
    ├── ArchiveError     an archive is rejected                  exit 4
    ├── WeightsError     a weights file is rejected              exit 4
    ├── VerificationError  results differ from the recorded ones exit 5
    ├── CallError        a loaded model is called wrongly        exit 2
    ├── TrainingError    a training run is set up wrongly        exit 2
    │   └── Diverged     its loss became nan or infinite         exit 6
    └── InternalError    a defect of scriptc itself              exit 1
"""
from __future__ import annotations

from collections.abc import Iterable

from scriptc.catalogue import CATALOGUE
from scriptc.location import Location, printable
from scriptc.records import Record

EXIT_DONE, EXIT_INTERNAL, EXIT_USAGE, EXIT_SOURCE, EXIT_FILE, EXIT_DIFFERENCE, EXIT_DIVERGED = range(7)


class Diagnostic(Record):
    """One thing that is wrong: a catalogue code, where, what, and what to do."""

    code: str
    message: str
    location: Location | None = None
    notes: tuple[str, ...] = ()
    hint: str | None = None

    def __init__(self, code: str, message: str, location: Location | None = None, notes: tuple[str, ...] = (), hint: str | None = None) -> None:
        # Written out: reading a hostile file ends here, and compiles nothing, not even our own text.
        for name, value in zip(type(self).__fields__, (code, message, location, notes, hint), strict=True):
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return render(self)


def diagnostic(code: str, location: Location | None = None, *, notes: Iterable[str] = (), hint: str | None = None,
               **values: object) -> Diagnostic:
    """A diagnostic from the catalogue; `values` fill the template of `code` (and of its hint)."""
    entry = CATALOGUE[code]
    filled = hint if hint is not None else (entry.hint.format(**values) if entry.hint else None)
    return Diagnostic(code, entry.template.format(**values), location, tuple(notes), filled)


def render(d: Diagnostic) -> str:
    """`file:line:col: error CODE: message`, the source line with carets, the notes, the call chain, the hint."""
    location = d.location
    place = f"{location.span}: " if location is not None and location.span is not None else ""
    lines = [f"{printable(place)}error {d.code}: {printable_lines(d.message)}"]
    if location is not None and location.span is not None:
        lines += location.span.excerpt()
    lines += [f"       = {printable_lines(note)}" for note in d.notes]
    if location is not None:
        if location.scope:
            lines.append(f"       = in module {printable(location.scope)}")
        shown = location.chain if len(location.chain) <= 12 else (*location.chain[:6], None, *location.chain[-5:])
        for site in shown:
            if site is None:
                lines.append(f"       = ... {len(location.chain) - 11} more calls ...")
            else:
                lines.append(f"       = called from {printable(str(site.span))} in {printable(site.function)}")
    if d.hint:
        lines.append(f"  help: {printable_lines(d.hint)}")
    return "\n".join(lines)


def printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


class ScriptcError(Exception):
    """Base of every error scriptc reports; carries the diagnostics and the exit code of the command line."""

    exit_code = EXIT_INTERNAL

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics

    @property
    def code(self) -> str:
        return self.diagnostics[0].code if self.diagnostics else ""

    def __str__(self) -> str:
        return "\n".join(render(d) for d in self.diagnostics)


class CompileError(ScriptcError):
    """The model source is rejected."""

    exit_code = EXIT_SOURCE


class ArchiveError(ScriptcError):
    """The archive is damaged, hostile, or of a version this release does not read."""

    exit_code = EXIT_FILE


class WeightsError(ScriptcError):
    """The weights file cannot be read safely, or does not fit the model."""

    exit_code = EXIT_FILE


class VerificationError(ScriptcError):
    """Results differ from the test vectors recorded in the archive."""

    exit_code = EXIT_DIFFERENCE


class CallError(ScriptcError):
    """A loaded model was called with arguments that do not fit it."""

    exit_code = EXIT_USAGE


class TrainingError(ScriptcError):
    """Options, data and model of a training run do not fit each other."""

    exit_code = EXIT_USAGE


class Diverged(TrainingError):
    """The loss became nan or infinite."""

    exit_code = EXIT_DIVERGED


class InternalError(ScriptcError):
    """A defect of scriptc itself; please report it with the source that shows it."""

    exit_code = EXIT_INTERNAL
