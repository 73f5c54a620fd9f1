"""Relocatable ELF64 objects for x86-64, laid out in memory and linked: machine code without LLVM in the process.

    table = Object(code).functions()        # ObjectError if the file is damaged or needs what this loader does not know
    address = load(code, "kernel")          # the same, then in executable memory

Every offset and size of the file is checked before it is used; a reference to a symbol that neither the object nor `EXTERNAL` defines is
refused. The memory is written first and made executable afterwards, never both at once; where the system forbids that too, the pages of
an anonymous file are mapped executable instead. Format: the System V ABI and its AMD64 supplement, chapter 4.
"""
from __future__ import annotations

import ctypes
import functools
import mmap
import os
import struct
import sys
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

PAGE = mmap.PAGESIZE
LARGEST = 64 << 20      # bytes of one object, and of one object in memory
_FLOATING = ("acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs floor fma fmod hypot log log10 log1p "
             "log2 nearbyint pow rint round sin sincos sinh sqrt tan tanh trunc").split()
EXTERNAL = frozenset(("memcpy", "memmove", "memset", "memcmp", "bzero", *_FLOATING, *(f"{name}f" for name in _FLOATING)))

_NOBITS, _SYMTAB, _RELA, _REL = 8, 2, 4, 9
_WRITE, _ALLOCATE, _EXECUTE, _THREAD_LOCAL = 1, 2, 4, 0x400
_ABS64, _PC32, _PLT32, _GOTPCREL, _PC64, _GOTPCRELX, _REX_GOTPCRELX = 1, 2, 4, 9, 24, 41, 42
_WIDTH = {_ABS64: 8, _PC64: 8, _PC32: 4, _PLT32: 4, _GOTPCREL: 4, _GOTPCRELX: 4, _REX_GOTPCRELX: 4}
_BY_SLOT = frozenset({_GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX})
_SLOT = 16              # an address, and a jump through it
_UNDEFINED = 0
_RELOCATABLE, _X86_64 = 1, 62


NOTHING: Mapping[str, int] = MappingProxyType({})


class ObjectError(Exception):
    """An object file that cannot be loaded, and why."""


class MemoryRefused(ObjectError):
    """The system lets this process have no executable memory of its own."""


class Section(NamedTuple):
    """A section's header, as it stands in the file."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


class Symbol(NamedTuple):
    """A symbol: its section, the value in it, and its name."""

    name: str
    section: int
    value: int


class Relocation(NamedTuple):
    """Write (`symbol` + `addend`), in the manner of `kind`, at `offset` of section `target`."""

    target: int
    offset: int
    kind: int
    symbol: int
    addend: int


class Object:
    """An object file, read and checked. ObjectError if it is not one that this loader can place.

    `known`: names that it may refer to, besides EXTERNAL.
    """

    def __init__(self, code: bytes, known: Collection[str] = ()) -> None:
        if len(code) > LARGEST:
            raise ObjectError(f"the object has {len(code)} bytes, more than {LARGEST}")
        self.code = code
        self.elsewhere = known
        self.sections = self._sections()
        self.places, self.parts = self._layout()
        self.symbols = self._symbols()
        self.relocations = self._relocations()

    def _unpack(self, form: str, offset: int) -> tuple[Any, ...]:
        if offset + struct.calcsize(form) > len(self.code):
            raise ObjectError(f"the object ends before byte {offset + struct.calcsize(form)}")
        return struct.unpack_from(form, self.code, offset)

    def _sections(self) -> list[Section]:
        identity, kind, machine = self._unpack("<16sHH", 0)
        if identity[:7] != b"\x7fELF\x02\x01\x01" or kind != _RELOCATABLE or machine != _X86_64:
            raise ObjectError("not a relocatable ELF64 object for x86-64")
        (start,) = self._unpack("<Q", 0x28)
        size, count = self._unpack("<HH", 0x3A)
        if size != 64 or count == 0 or start + size * count > len(self.code):
            raise ObjectError("its table of sections is damaged")
        found = [Section._make(self._unpack("<IIQQQQIIQQ", start + size * i)) for i in range(count)]
        for section in found[1:]:
            if section.kind != _NOBITS and section.offset + section.size > len(self.code):
                raise ObjectError("a section lies outside the file")
            if section.size > LARGEST or section.alignment > PAGE or section.alignment & section.alignment - 1:
                raise ObjectError("a section's size or alignment is out of range")
        return found

    def _layout(self) -> tuple[dict[int, int], dict[int, tuple[int, int]]]:
        """Offset in memory of each section that takes part, and (start, end) of the pages for each protection."""
        places: dict[int, int] = {}
        parts: dict[int, tuple[int, int]] = {}
        end = 0
        for protection in (_EXECUTE, 0, _WRITE):
            start = end
            for index, section in enumerate(self.sections):
                if index == 0 or not section.flags & _ALLOCATE or section.flags & (_WRITE | _EXECUTE) != protection:
                    continue
                alignment = max(section.alignment, 16)
                end = (end + alignment - 1) // alignment * alignment
                places[index] = end
                end += section.size
                if end > LARGEST:
                    raise ObjectError("its sections take too much memory")
            end = _pages(end)
            parts[protection] = start, end
        if any(s.flags & _ALLOCATE and (i not in places or s.flags & _THREAD_LOCAL) for i, s in enumerate(self.sections) if i):
            raise ObjectError("a section asks for memory of each thread, or for memory both writable and executable")
        return places, parts

    def _table(self, section: Section, form: str) -> list[tuple[Any, ...]]:
        size = struct.calcsize(form)
        if section.entry != size or section.size % size or section.kind == _NOBITS:
            raise ObjectError("a table's entries have the wrong size")
        return list(struct.iter_unpack(form, self.code[section.offset:section.offset + section.size]))

    def _symbols(self) -> list[Symbol]:
        tables = [s for s in self.sections if s.kind == _SYMTAB]
        if len(tables) != 1 or not 0 < tables[0].link < len(self.sections):
            raise ObjectError("it has no symbol table, or several")
        strings = self.sections[tables[0].link]
        if strings.kind == _NOBITS:
            raise ObjectError("its names are missing")
        names = self.code[strings.offset:strings.offset + strings.size]
        found = []
        for name, _, _, section, value, _ in self._table(tables[0], "<IBBHQQ"):
            end = names.find(b"\0", name)
            if end < 0:
                raise ObjectError("a symbol's name lies outside the table of names")
            if section in self.places and value > self.sections[section].size:
                raise ObjectError("a symbol lies outside its section")
            found.append(Symbol(names[name:end].decode("latin-1"), section, value))
        return found

    def _relocations(self) -> list[Relocation]:
        found = []
        for section in self.sections:
            if section.kind == _REL and section.info in self.places:
                raise ObjectError("relocations without addends are not for x86-64")
            if section.kind != _RELA or section.info not in self.places:
                continue
            target = self.sections[section.info]
            for offset, info, addend in self._table(section, "<QQq"):
                kind, symbol = info & 0xFFFFFFFF, info >> 32
                if kind not in _WIDTH:
                    raise ObjectError(f"a relocation of kind {kind}")
                if target.kind == _NOBITS or offset + _WIDTH[kind] > target.size or symbol >= len(self.symbols):
                    raise ObjectError("a relocation lies outside its section, or refers to no symbol")
                if not self._known(self.symbols[symbol]):
                    raise ObjectError(f"it refers to {self.symbols[symbol].name or 'nothing'}, which is not defined")
                found.append(Relocation(section.info, offset, kind, symbol, addend))
        return found

    def _known(self, symbol: Symbol) -> bool:
        if symbol.section == _UNDEFINED:
            return symbol.name in EXTERNAL or symbol.name in self.elsewhere
        return symbol.section in self.places

    def functions(self) -> dict[str, int]:
        """Offset in memory of each name in the executable sections."""
        return {s.name: self.places[s.section] + s.value for s in self.symbols
                if s.section in self.places and self.sections[s.section].flags & _EXECUTE and s.value < self.sections[s.section].size}

    def slots(self) -> dict[int, int]:
        """Offset in memory of an address and a jump through it, for each symbol that is reached that way: behind the code, in its pages."""
        wanted = dict.fromkeys(r.symbol for r in self.relocations
                               if self.symbols[r.symbol].section == _UNDEFINED or r.kind in _BY_SLOT)
        return {symbol: _SLOT * i for i, symbol in enumerate(wanted)}


def load(code: bytes, name: str) -> int:
    """The address of function `name` of an object, in memory that is kept for ever.

    ObjectError if it cannot be loaded; MemoryRefused where the system forbids executable memory.
    """
    return load_all(code, (name,))[0]


def load_all(code: bytes, names: Sequence[str], known: Mapping[str, int] = NOTHING) -> list[int]:
    """`load` for several functions of one object, which may refer to the functions at the addresses `known`."""
    made = Object(code, known)
    offsets = made.functions()
    for name in names:
        if name not in offsets:
            raise ObjectError(f"it has no function {name}")
    # The slots lie in front of the code, in executable pages.
    front = _pages(len(made.slots()) * _SLOT)
    size = max(front + made.parts[_WRITE][1], PAGE)
    base = _map(None, size, 0, _PRIVATE | _ANONYMOUS, -1)
    image = linked(made, base, front, known)
    parts = [(0, front + made.parts[_EXECUTE][1], mmap.PROT_READ | mmap.PROT_EXEC), *(
        (front + start, front + end, mmap.PROT_READ | extra)
        for extra, (start, end) in ((0, made.parts[0]), (mmap.PROT_WRITE, made.parts[_WRITE])))]
    _fill(base, image.ljust(size, b"\0"), [p for p in parts if p[1] > p[0]])
    return [base + front + offsets[name] for name in names]


def linked(made: Object, base: int, front: int, known: Mapping[str, int] = NOTHING) -> bytes:
    """The object's memory as it is to stand at address `base`, with `front` bytes for its slots before the first section."""
    code, slots = made.code, made.slots()
    memory = bytearray(front + made.parts[_WRITE][1])
    for index, place in made.places.items():
        section = made.sections[index]
        if section.kind != _NOBITS:
            memory[front + place:front + place + section.size] = code[section.offset:section.offset + section.size]

    def value(index: int) -> int:
        symbol = made.symbols[index]
        if symbol.section == _UNDEFINED:
            return known.get(symbol.name) or _external(symbol.name)
        return base + front + made.places[symbol.section] + symbol.value

    for index, slot in slots.items():
        # jmp *[rip - 14]: through the address that stands before it.
        memory[slot:slot + _SLOT] = struct.pack("<Q", value(index)) + b"\xff\x25" + struct.pack("<i", -14) + b"\xcc\xcc"
    for target, at, kind, index, addend in made.relocations:
        spot = front + made.places[target] + at
        if kind in _BY_SLOT:
            meant = base + slots[index]
        elif made.symbols[index].section == _UNDEFINED and kind in (_PC32, _PLT32):
            meant = base + slots[index] + 8
        else:
            meant = value(index)
        meant += addend - (0 if kind == _ABS64 else base + spot)
        try:
            struct.pack_into("<q" if _WIDTH[kind] == 8 else "<i", memory, spot, meant)
        except struct.error:
            raise ObjectError("a relocation does not reach its symbol") from None
    return bytes(memory)


def architecture() -> str:
    """The processor's family; importing `platform` takes a millisecond where the system itself tells."""
    if hasattr(os, "uname"):
        return os.uname().machine
    import platform

    return platform.machine()


def supported() -> bool:
    """Whether this process can run what this loader loads."""
    return sys.platform == "linux" and architecture() == "x86_64"


def _pages(size: int) -> int:
    """`size` in whole pages."""
    return (size + PAGE - 1) // PAGE * PAGE


# Memory, by the C library: Python's own mmap takes no address and cannot change a protection.

_PRIVATE, _FIXED, _ANONYMOUS = 0x02, 0x10, 0x20


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    library.mmap.restype = ctypes.c_void_p
    library.mprotect.argtypes, library.mprotect.restype = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int], ctypes.c_int
    return library


def _map(address: int | None, size: int, protection: int, flags: int, file: int, offset: int = 0) -> int:
    found: int | None = _library().mmap(address, size, protection, flags, file, offset)
    if found is None or found == ctypes.c_void_p(-1).value:
        raise MemoryRefused(f"the system refuses memory for code (errno {ctypes.get_errno()})")
    return found


def _protect(address: int, size: int, protection: int) -> None:
    if _library().mprotect(address, size, protection) != 0:
        raise MemoryRefused(f"the system refuses executable memory (errno {ctypes.get_errno()})")


def _fill(base: int, image: bytes, parts: list[tuple[int, int, int]]) -> None:
    """Put `image` at the reserved address `base`, each part (start, end, protection) with its protection."""
    try:
        _protect(base, len(image), mmap.PROT_READ | mmap.PROT_WRITE)
        ctypes.memmove(base, image, len(image))
        for start, end, protection in parts:
            _protect(base + start, end - start, protection)
    except MemoryRefused:
        _fill_from_file(base, image, parts)


def _fill_from_file(base: int, image: bytes, parts: list[tuple[int, int, int]]) -> None:
    """The same where written memory may not become executable: the pages of a file that has no name."""
    try:
        file = os.memfd_create("scriptc")
    except (AttributeError, OSError) as error:
        raise MemoryRefused(f"the system refuses executable memory: {error}") from None
    try:
        with os.fdopen(file, "wb", closefd=False) as stream:
            stream.write(image)
        for start, end, protection in parts:
            _map(base + start, end - start, protection, _PRIVATE | _FIXED, file, start)
    finally:
        os.close(file)


@functools.cache
def _mathematics() -> ctypes.CDLL:
    return ctypes.CDLL("libm.so.6")


def _external(name: str) -> int:
    """The address of a function of the C library or its mathematics. ObjectError if there is none."""
    assert name in EXTERNAL
    for library in (_library, _mathematics):
        try:
            found = ctypes.cast(getattr(library(), name), ctypes.c_void_p).value
        except (OSError, AttributeError):
            continue
        if found:
            return found
    raise ObjectError(f"this system has no {name}")
