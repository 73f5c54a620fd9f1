"""The error catalogue: every code scriptc can report, its message template and its remedy.

One module a range: syntax E01xx, language E02xx and E03xx, operators E04xx, archive A01xx, weights W01xx, running R01xx,
training R02xx.
In: nothing. Out: `CATALOGUE`, code -> `Entry`.
"""
from scriptc.catalogue import archive, language, operators, running, syntax, training, weights
from scriptc.catalogue.entry import Entry

CATALOGUE: dict[str, Entry] = {
    **syntax.ENTRIES, **language.ENTRIES, **operators.ENTRIES, **archive.ENTRIES, **weights.ENTRIES, **running.ENTRIES,
    **training.ENTRIES,
}

__all__ = ["CATALOGUE", "Entry"]
