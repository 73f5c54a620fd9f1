"""Where ops stand in the user's source: sections `source` and `srcmap`.

`source`: {"files": [[name, sha256, text] or [name, None, lengths of lines], ...], "listed": n}; the program lists the
first n.
`srcmap`: {"names": [...], "calls": [[file, start, end, function, caller], ...],
           "locations": [[file, start, end, scope, call], ...], "functions": {key: [own location, one for each op...]}}.
Files, names, calls and locations refer to each other by index, -1 for none; a call's `caller` is an earlier call. Ops
are numbered as `graph.walk` visits them. Without its text a file is stored as the lengths of its lines, which keeps
line and column of every location but shows no excerpt.
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterable

from scriptc.ir.archive.canonical import Plain
from scriptc.ir.archive.format import Limits, reject
from scriptc.ir.archive.plain import refuse, take_index, take_list, take_map, take_strings
from scriptc.ir.graph import Function, walk
from scriptc.location import UNKNOWN, CallSite, Location, Source, Span

_LONGEST_CHAIN = 1000
LIBRARY = "<library>/"


class LocationEncoder:
    """Collects the locations of a program's functions into the two sections."""

    def __init__(self, listed: Iterable[Source]) -> None:
        self._files: dict[int, int] = {}
        self._sources: list[Source] = []
        for source in listed:
            self._file(source)
        self._listed = len(self._sources)
        self._names: dict[str, int] = {}
        self._calls: dict[tuple[int, int, int, int, int], int] = {}
        self._chains: dict[int, int] = {}
        self._kept: list[tuple[CallSite, ...]] = []  # keeps ids in `_chains` from being used again
        self._locations: dict[tuple[int, int, int, int, int], int] = {}
        self._functions: dict[str, list[int]] = {}

    def add(self, key: str, function: Function) -> None:
        """Take the locations of one function and its ops."""
        places = [function.location, *(op.location for op in walk(function.ops))]
        self._functions[key] = [self._location(place) for place in places]

    def sections(self, texts: bool) -> dict[str, Plain]:
        """Sections `source` and `srcmap`; without `texts` only the lengths of lines are kept."""
        files = [_encode_source(source, texts) for source in self._sources]
        return {
            "source": {"files": files, "listed": self._listed},
            "srcmap": {"names": list(self._names), "calls": [list(c) for c in self._calls],
                       "locations": [list(place) for place in self._locations], "functions": self._functions},
        }

    def _file(self, source: Source) -> int:
        if id(source) not in self._files:
            self._files[id(source)] = len(self._sources)
            self._sources.append(source)
        return self._files[id(source)]

    def _name(self, text: str) -> int:
        return self._names.setdefault(text, len(self._names))

    def _location(self, location: Location) -> int:
        span = location.span
        if span is None and not location.scope and not location.chain:
            return -1
        place = (-1, 0, 0) if span is None else (self._file(span.source), span.start, span.end)
        entry = (*place, self._name(location.scope), self._chain(location.chain))
        return self._locations.setdefault(entry, len(self._locations))

    def _chain(self, chain: tuple[CallSite, ...]) -> int:
        if not chain:
            return -1
        known = self._chains.get(id(chain))
        if known is None:
            caller = -1
            for site in reversed(chain[:_LONGEST_CHAIN]):
                span = site.span
                entry = (self._file(span.source), span.start, span.end, self._name(site.function), caller)
                caller = self._calls.setdefault(entry, len(self._calls))
            known = self._chains[id(chain)] = caller
            self._kept.append(chain)
        return known


def _encode_source(source: Source, texts: bool) -> Plain:
    # Our own library is not the user's to read, line numbers are enough; a blank text was stored without it before.
    if not texts or source.name.startswith(LIBRARY) or not source.text.strip(" \n"):
        return [source.name, None, [len(line) for line in source.text.split("\n")]]
    return [source.name, _digest(source.text), source.text]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def decode_sources(section: Plain, limits: Limits) -> tuple[list[Source], int]:
    """The files of section `source`, and how many of them are the program's own. ArchiveError."""
    files, listed = take_map(section, "source", "files", "listed")
    sources: list[Source] = []
    blank = 0
    for entry in take_list(files, "source.files"):
        name, digest, text = take_list(entry, "source.files", 3)
        if type(name) is not str or type(digest) is not (type(None) if type(text) is list else bytes):
            refuse("source.files", "[name, sha256, text] or [name, None, lengths of lines]", entry)
        if type(text) is list:
            if not all(type(length) is int and 0 <= length <= limits.section_bytes for length in text):
                refuse("source.files", "lengths of lines", text)
            blank += sum(text) + len(text)
            if blank > limits.section_bytes:
                refuse("source.files", f"at most {limits.section_bytes} characters", blank)
            text = "\n".join(" " * length for length in text)
        elif type(text) is not str:
            refuse("source.files", "a text", text)
        elif _digest(text) != digest:
            reject("A0138", name=name[:200])
        sources.append(Source(name, text))
    return sources, take_index(listed, len(sources) + 1, "source.listed")


def decode_locations(section: Plain, sources: list[Source], keys: Iterable[str],
                     limits: Limits) -> dict[str, list[Location]]:
    """For each function key: its own location, then one for each op in the order of `graph.walk`. ArchiveError."""
    names, calls, entries, functions = take_map(section, "srcmap", "names", "calls", "locations", "functions")
    names = take_strings(names, "srcmap.names")
    sites = _decode_calls(calls, sources, names)
    locations = [UNKNOWN]
    chains: dict[int, tuple[CallSite, ...]] = {-1: ()}
    left = limits.locations
    for entry in take_list(entries, "srcmap.locations"):
        file, start, end, scope, call = take_list(entry, "srcmap.locations", 5)
        span = None if file == -1 and type(file) is int else _span(sources, file, start, end, "srcmap.locations")
        call = take_index(call, len(sites), "srcmap.locations") if call != -1 else -1
        if call not in chains:
            chains[call] = _expand(sites, call)
            left -= len(chains[call])
            if left < 0:
                reject("A0137", limit=limits.locations, what="call sites")
        locations.append(Location(span, names[take_index(scope, len(names), "srcmap.locations")], chains[call]))
    if type(functions) is not dict or list(functions) != list(keys):
        refuse("srcmap.functions", "the program's functions", functions)
    return {key: _look_up(indices, locations) for key, indices in functions.items()}


def _look_up(indices: Plain, locations: list[Location]) -> list[Location]:
    """-1 is unknown: `locations` begins with it."""
    return [locations[take_index(i + 1 if type(i) is int else i, len(locations), "srcmap.functions")]
            for i in take_list(indices, "srcmap.functions")]


def _decode_calls(calls: Plain, sources: list[Source], names: list[str]) -> list[tuple[CallSite, int]]:
    sites: list[tuple[CallSite, int]] = []
    for entry in take_list(calls, "srcmap.calls"):
        file, start, end, function, caller = take_list(entry, "srcmap.calls", 5)
        span = _span(sources, file, start, end, "srcmap.calls")
        site = CallSite(span, names[take_index(function, len(names), "srcmap.calls")])
        # Only earlier calls can be callers, so that no chain is a ring.
        sites.append((site, take_index(caller, len(sites), "srcmap.calls") if caller != -1 else -1))
    return sites


def _expand(sites: list[tuple[CallSite, int]], call: int) -> tuple[CallSite, ...]:
    chain: list[CallSite] = []
    while call != -1:
        if len(chain) == _LONGEST_CHAIN:
            refuse("srcmap.calls", f"chains of at most {_LONGEST_CHAIN} calls", "a longer one")
        site, call = sites[call]
        chain.append(site)
    return tuple(chain)


def _span(sources: list[Source], file: Plain, start: Plain, end: Plain, where: str) -> Span:
    source = sources[take_index(file, len(sources), where)]
    size = len(source.text) + 1
    start = take_index(start, size, where)
    end = take_index(end, size, where)
    return Span(source, start, max(start, end))
