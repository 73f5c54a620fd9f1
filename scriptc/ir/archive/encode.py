"""A `Program` with its tensors to an archive and back: `save_program`, `load_program`.

Sections: `ir` {"opsets", "requires", "entry", "types": [text], "ops": [[name, version]],
"state": [[name, type, kind, requires_grad, alias]], "modules": [[path, class, description]], "functions": [...]}
(see `functions`); `source` and `srcmap` (see `locations`); `meta` {"producer", "signature", "user"} for people and
other tools; where given, `history` [[operation, [target], {setting}]], `vectors`, `train` (the caller's plain value: epoch,
step, optimizer, schedule) and `files`.
State is stored under `storage_name` of its entry, optimizer tensors under `optim/`, the rest under `train/`.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from scriptc.errors import ScriptcError
from scriptc.ir.archive.canonical import Plain
from scriptc.ir.archive.format import DEFAULT_LIMITS, ELEMENTS, Limits, is_name, reject
from scriptc.ir.archive.functions import Tables, decode_function, encode_function
from scriptc.ir.archive.layout import check_requirements
from scriptc.ir.archive.locations import LocationEncoder, decode_locations, decode_sources
from scriptc.ir.archive.plain import decode_type, refuse, take, take_index, take_list, take_map, take_strings
from scriptc.ir.archive.reader import ArchiveFile, read_archive
from scriptc.ir.graph import Function, ModuleEntry, Program, StateEntry
from scriptc.ir.history import Change
from scriptc.ir.types import TensorType, Type
from scriptc.ir.verify import verify
from scriptc.location import Location, Source

if TYPE_CHECKING:
    from scriptc.ir.archive.atomic import FileSystem
    from scriptc.ir.archive.vectors import RecordedCall

OPSETS = {"core": 1}
PRODUCER = "scriptc"
TRAINING_PREFIXES = ("optim/", "train/")
_STATE_KINDS = ("parameter", "buffer", "constant", "hidden")
_FILES_BYTES = 16 << 20


def storage_name(name: str) -> str:
    """The archive's tensor name for state entry `name`: the name itself where it is spelled in the archive's alphabet.

    Others (a ParameterDict takes any string) are named by their digest; the entry keeps the original.
    """
    if is_name(name) and "/" not in name and ":" not in name:
        return name
    return "state:" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def save_program(path: str | os.PathLike[str], program: Program, tensors: Mapping[str, np.ndarray], *,
                 source: bool = True, vectors: Sequence[RecordedCall] | None = None, train: Plain = None,
                 files: Mapping[str, bytes] | None = None, history: Sequence[Change] = (), user: Mapping[str, Plain] | None = None,
                 producer: str = PRODUCER, limits: Limits = DEFAULT_LIMITS, filesystem: FileSystem | None = None,
                 durable: bool = True) -> bytes:
    """Write `program` and its tensors to `path`; returns the archive's root digest.

    `tensors`: an array for each state entry by name (an alias may be left out), and training state under `optim/` and
    `train/`. `source=False` keeps lines and columns of locations, but no text. ArchiveError if something does not fit.
    """
    sections = encode_program(program, source=source)
    sections["meta"] = {"producer": producer, "signature": _signature(program), "user": dict(user or {})}
    stored = _state_tensors(program, tensors)
    if vectors:
        from scriptc.ir.archive.vectors import encode_vectors

        sections["vectors"], recorded = encode_vectors(vectors)
        stored |= recorded
    if train is not None:
        sections["train"] = train
    if history:
        sections["history"] = [[c.operation, list(c.targets), dict(c.settings)] for c in history]
    if files:
        sections["files"] = _checked_files(dict(files))
    from scriptc.ir.archive.atomic import OPERATING_SYSTEM  # what only saving needs, loading does not import
    from scriptc.ir.archive.writer import write_archive

    return write_archive(path, sections, stored, limits=limits, filesystem=filesystem or OPERATING_SYSTEM, durable=durable)


def load_program(path: str | os.PathLike[str] | bytes, *, mmap: bool = True, root: bytes | None = None,
                 limits: Limits = DEFAULT_LIMITS) -> tuple[Program, ArchiveFile]:
    """The program in an archive, verified, and the open archive, which holds its tensors (`state_tensor`).

    Parameters as of `read_archive`. ArchiveError if the file is damaged, hostile or of another version.
    """
    archive = read_archive(path, mmap=mmap, root=root, limits=limits)
    try:
        return program_of(archive), archive
    except BaseException:
        archive.close()
        raise


def program_of(archive: ArchiveFile) -> Program:
    """The program in an open archive, verified. ArchiveError if it is none."""
    return decode_program({name: archive.section(name) for name in ("ir", "source", "srcmap")
                           if name in archive.sections or name == "ir"}, archive)


def state_tensor(archive: ArchiveFile, entry: StateEntry) -> np.ndarray:
    """The array of a state entry, read-only; entries that are tied give one array."""
    return archive.tensor(storage_name(entry.name))


def read_files(archive: ArchiveFile) -> dict[str, bytes]:
    """The extra files in an archive: never executed, and only extracted by an explicit command. ArchiveError."""
    return _checked_files(archive.section("files")) if "files" in archive.sections else {}


def read_history(archive: ArchiveFile) -> tuple[Change, ...]:
    """What was done to the program since it was compiled; empty where the archive does not say. ArchiveError."""
    if "history" not in archive.sections:
        return ()
    return tuple(_decode_change(plain) for plain in take_list(archive.section("history"), "history"))


def _decode_change(plain: Plain) -> Change:
    operation, targets, settings = take_list(plain, "history", 3)
    if type(settings) is not dict or not all(value is None or type(value) in (int, float, bool, str) for value in settings.values()):
        refuse("history", "settings of numbers and strings", settings)
    return Change(take(operation, str, "history"), tuple(take_strings(targets, "history")), MappingProxyType(settings))


def encode_program(program: Program, *, source: bool = True) -> dict[str, Plain]:
    """Sections `ir`, `source` and `srcmap`."""
    tables = Tables()
    locations = LocationEncoder(program.sources)
    functions = []
    for key, function in program.functions.items():
        functions.append(encode_function(key, function, tables))
        locations.add(key, function)
    state = [[e.name, tables.types.setdefault(e.type, len(tables.types)), e.kind, e.requires_grad, e.alias]
             for e in program.state]
    ir = {
        "opsets": dict(OPSETS), "requires": [], "entry": program.entry,
        "types": [_type_text(kind) for kind in tables.types], "ops": [list(pair) for pair in tables.ops],
        "state": state,
        "modules": [[m.path, m.class_name, m.description] for m in program.modules], "functions": functions,
    }
    return {"ir": ir, **locations.sections(source)}


def _type_text(kind: Type) -> str:
    text = str(kind)
    if decode_type(text, "a type of the program") != kind:
        reject("A0150", what=f"type {text[:200]}", reason="its text means another type")
    return text


def decode_program(sections: Mapping[str, Plain], archive: ArchiveFile) -> Program:
    """The inverse of `encode_program`; state is compared with the archive's tensors, and the program verified."""
    limits = archive.limits
    check_requirements(sections["ir"])
    opsets, _, entry, types, ops, state, modules, functions = take_map(
        sections["ir"], "ir", "opsets", "requires", "entry", "types", "ops", "state", "modules", "functions")
    if type(opsets) is not dict or set(opsets) - set(OPSETS) or type(opsets.get("core")) is not int \
            or not 1 <= opsets["core"] <= OPSETS["core"]:
        reject("A0128", found=f"op sets {opsets!r}"[:100])
    if sum(map(len, take_strings(types, "ir.types"))) > limits.type_characters:
        reject("A0137", limit=limits.type_characters, what="characters of types")
    kinds = [decode_type(text, "ir.types") for text in types]
    entries = _decode_state(state, kinds, archive)
    pairs = [_decode_op_version(pair) for pair in take_list(ops, "ir.ops")]
    keys = _decode_keys(functions)
    sources, listed, locations = _decode_places(sections, keys, limits)
    by_name = {e.name: e for e in entries}
    decoded = {key: decode_function(plain, kinds, pairs, by_name, locations.get(key), limits)
               for key, plain in zip(keys, functions, strict=True)}
    tree = tuple(_decode_module(plain) for plain in take_list(modules, "ir.modules"))
    program = Program(MappingProxyType(decoded), entries, tree, tuple(sources[:listed]), take(entry, str, "ir.entry"))
    for key, function in decoded.items():
        _check_state_types(key, function, by_name)
    _verify(program)
    return program


def _verify(program: Program) -> None:
    """Types follow from operands, by the rules of the ops themselves."""
    try:
        verify(program)
    except ScriptcError as error:
        reject("A0135", reason=error.diagnostics[0].message if error.diagnostics else str(error))
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError,
            ValueError) as error:
        # A rule met operands or attributes that no compiled source gives it: that refuses the file as well.
        reject("A0135", reason=f"{type(error).__name__}: {error}"[:200])


def _decode_keys(functions: Plain) -> list[str]:
    keys = [take(plain, dict, "ir.functions").get("key") for plain in take_list(functions, "ir.functions")]
    names = take_strings(keys, "ir.functions")
    if len(set(names)) != len(names):
        refuse("ir.functions", "functions with different keys", names)
    return names


def _decode_op_version(pair: Plain) -> tuple[str, int]:
    name, version = take_list(pair, "ir.ops", 2)
    return take(name, str, "ir.ops"), take(version, int, "ir.ops")


def _decode_module(plain: Plain) -> ModuleEntry:
    path, class_name, description = take_strings(take_list(plain, "ir.modules", 3), "ir.modules")
    return ModuleEntry(path, class_name, description)


def _decode_places(sections: Mapping[str, Plain], keys: list[str],
                   limits: Limits) -> tuple[list[Source], int, Mapping[str, list[Location]]]:
    """Sources and locations; an archive may have been stripped of both."""
    if "source" not in sections or "srcmap" not in sections:
        return [], 0, {}
    sources, listed = decode_sources(sections["source"], limits)
    return sources, listed, decode_locations(sections["srcmap"], sources, keys, limits)


def _decode_state(state: Plain, types: list[Type], archive: ArchiveFile) -> tuple[StateEntry, ...]:
    entries: dict[str, StateEntry] = {}
    for plain in take_list(state, "ir.state"):
        name, kind_index, kind, requires_grad, alias = take_list(plain, "ir.state", 5)
        type_ = types[take_index(kind_index, len(types), "ir.state")]
        if type(name) is not str or name in entries:
            refuse("ir.state", "entries with different names", name)
        if kind not in _STATE_KINDS:
            refuse("ir.state", f"one of {', '.join(_STATE_KINDS)}", kind)
        if not isinstance(type_, TensorType) or type_.shape is None or not all(type(d) is int for d in type_.shape):
            refuse("ir.state", "a tensor type with known sizes", str(type_))
        entry = StateEntry(name, type_, kind, take(requires_grad, bool, "ir.state"), alias)
        if alias is not None:
            owner = entries.get(alias) if type(alias) is str else None
            if owner is None or owner.alias is not None or owner.type != type_:
                refuse("ir.state", "an alias of an earlier entry of the same type", alias)
        _check_stored(entry, archive)
        entries[name] = entry
    return tuple(entries.values())


def _check_stored(entry: StateEntry, archive: ArchiveFile) -> None:
    """The index alone is read: no payload is touched."""
    stored = archive.tensors.get(storage_name(entry.name))
    found = "missing" if stored is None else f"{ELEMENTS[stored.code].name}{list(stored.dims)}"
    shape = list(entry.type.shape or ())
    if found != f"{entry.type.dtype}{shape}":
        reject("A0136", name=entry.name[:200], expected=f"{entry.type.dtype}{shape}", found=found)
    if entry.alias is not None and stored != archive.tensors.get(storage_name(entry.alias)):
        reject("A0136", name=entry.name[:200], expected=f"tied to {entry.alias[:200]!r}", found="stored apart")


def _check_state_types(key: str, function: Function, state: Mapping[str, StateEntry]) -> None:
    """What a function reads and writes has the dtype and rank of the entry, and its size wherever it is known."""
    for name, value in (*function.state.items(), *function.updates.items()):
        kind, stored = value.type, state[name].type
        sizes = kind.shape if isinstance(kind, TensorType) else ()
        if not isinstance(kind, TensorType) or kind.dtype is not stored.dtype or not _covers(sizes, stored.shape):
            refuse(f"function {key!r}"[:120], f"state {name[:100]!r} of type {stored}", str(kind))


def _covers(sizes: Sequence[object] | None, stored: Sequence[object] | None) -> bool:
    if sizes is None or stored is None:
        return True
    return len(sizes) == len(stored) and all(a == b for a, b in zip(sizes, stored, strict=True) if isinstance(a, int))


def _state_tensors(program: Program, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    stored: dict[str, np.ndarray] = {}
    for entry in program.state:
        # An alias is stored under its owner's memory, whatever array was given for it.
        array = tensors.get(entry.name if entry.alias is None else entry.alias)
        if array is None:
            reject("A0152", name=entry.name)
        found = f"{array.dtype.name}{list(array.shape)}"
        expected = f"{entry.type.dtype}{list(entry.type.shape or ())}"
        if found != expected:
            reject("A0136", name=entry.name, expected=expected, found=found)
        stored[storage_name(entry.name)] = array
    names = {entry.name for entry in program.state}
    for name, array in tensors.items():
        if name not in names:
            if not name.startswith(TRAINING_PREFIXES):
                reject("A0153", name=name, known=" or ".join(f"{p}..." for p in TRAINING_PREFIXES))
            stored[name] = array
    return stored


def _checked_files(files: Plain) -> dict[str, bytes]:
    if type(files) is not dict or not all(type(content) is bytes for content in files.values()):
        refuse("files", "a map of bytes", files)
    for name in files:
        if not is_name(name):
            reject("A0118", what="file", found=repr(name)[:80])
    if sum(map(len, files.values())) > _FILES_BYTES:
        reject("A0110", what="section 'files'", found=sum(map(len, files.values())), limit=_FILES_BYTES)
    return files


def _signature(program: Program) -> Plain:
    """For people and other tools; loading reads the functions themselves."""
    return [{"function": key, "parameters": [p.name for p in f.parameters], "inputs": [str(v.type) for v in f.inputs],
             "results": [str(v.type) for v in f.results]} for key, f in program.functions.items()]


