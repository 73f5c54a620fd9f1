"""Error codes of Python's syntax, E01xx."""
from scriptc.catalogue.entry import Entry

ENTRIES: dict[str, Entry] = {
    "E0100": Entry("invalid syntax", "invalid syntax: unexpected {token}"),
    "E0101": Entry("bracket never closed", "'{bracket}' was never closed"),
    "E0102": Entry("inconsistent dedent", "unindent does not match any outer indentation level"),
    "E0103": Entry("unmatched bracket", "unmatched '{bracket}'"),
    "E0104": Entry("brackets do not match", "closing parenthesis '{bracket}' does not match opening parenthesis '{opened}' on line {line}"),
    "E0105": Entry("unterminated string", "unterminated {what} literal"),
    "E0106": Entry("bad target", "{what}"),
    "E0107": Entry("bad parameter list", "{reason}"),
    "E0108": Entry("bare generator argument", "Generator expression must be parenthesized"),
    "E0109": Entry("bad argument order", "{reason}"),
    "E0110": Entry("invalid character", "invalid character {character!r}"),
    "E0111": Entry("invalid number", "invalid number literal"),
    "E0112": Entry("bytes beside text", "cannot mix bytes and nonbytes literals"),
    "E0113": Entry("non-ASCII bytes", "bytes can only contain ASCII literal characters"),
    "E0114": Entry("bad escape", "malformed {escape} escape"),
    "E0115": Entry("lone brace in f-string", "f-string: single '}}' is not allowed"),
    "E0116": Entry("bad conversion", "f-string: invalid conversion character: expected 's', 'r', or 'a'"),
    "E0117": Entry("unclosed field", "f-string: expecting '}}'"),
    "E0118": Entry("empty field", "f-string: valid expression required before '}}'"),
    "E0119": Entry("unexpected indent", "unexpected indent"),
    "E0120": Entry("block expected", "expected an indented block"),
    "E0121": Entry("colon expected", "expected ':'"),
    "E0122": Entry("cannot decode", "cannot decode the source as {encoding}: {reason}"),
}
