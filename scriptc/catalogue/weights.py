"""Error codes of the weights range."""
from scriptc.catalogue.entry import Entry

ENTRIES: dict[str, Entry] = {
}
