"""Error codes of the syntax range."""
from scriptc.catalogue.entry import Entry

ENTRIES: dict[str, Entry] = {
}
