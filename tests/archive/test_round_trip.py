"""Properties of the container over generated content."""
from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scriptc.errors import ArchiveError
from scriptc.ir.archive.canonical import pack, unpack
from scriptc.ir.archive.encode import storage_name
from scriptc.ir.archive.format import DEFAULT_LIMITS, ELEMENTS, is_name, numpy_dtype, pad_before
from scriptc.ir.archive.plain import (
    decode_attribute,
    decode_constant,
    decode_structure,
    decode_type,
    encode_attribute,
    encode_constant,
    encode_structure,
)
from scriptc.ir.archive.reader import read_archive
from scriptc.ir.archive.writer import write_archive
from scriptc.ir.dims import add, floor_divide, modulo, multiply, symbol
from scriptc.ir.graph import Fixed, Group, Leaf
from scriptc.ir.types import (
    BOOL,
    COMPLEX,
    DTYPES,
    FLOAT,
    NONE,
    STR,
    DictType,
    IntType,
    ListType,
    OptionalType,
    TensorType,
    TupleType,
)

THOROUGH = settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True,
                    database=None)
ON_DISK = settings(THOROUGH, max_examples=200)

words = st.text("aZ09_", min_size=1, max_size=3)
names = st.lists(words, min_size=1, max_size=3).map(".".join) | st.lists(words, min_size=1, max_size=3).map("/".join)
integers = st.integers(-2**63, 2**64 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
leaf = st.none() | st.booleans() | integers | st.floats() | texts | st.binary(max_size=40)
plain = st.recursive(leaf, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
                     max_leaves=10)


def make_array(code: str, shape: list[int], seed: int) -> np.ndarray:
    """Any bit patterns, but for the types in which not every pattern is an element."""
    rng, dtype, count = np.random.default_rng(seed), numpy_dtype(code), int(np.prod(shape))
    if code == "bool" or ELEMENTS[code].bits < 8:
        low, high = {"bool": (0, 2), "i4": (-8, 8), "u4": (0, 16)}[code]
        return rng.integers(low, high, count).astype(np.int8).astype(dtype).reshape(shape)
    return rng.integers(0, 256, count * dtype.itemsize, dtype=np.uint8).view(dtype).reshape(shape)


arrays = st.builds(make_array, st.sampled_from(sorted(ELEMENTS)), st.lists(st.integers(0, 4), max_size=4),
                   st.integers(0, 2**32))
contents = st.tuples(st.dictionaries(names, plain, max_size=4), st.dictionaries(names, arrays, max_size=5))


def written(sections: Any, tensors: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_archive(Path(folder) / "a.pt", sections, tensors, durable=False)
        return (Path(folder) / "a.pt").read_bytes()


def same(a: Any, b: Any) -> bool:
    return msgpack.packb(a) == msgpack.packb(b)


@ON_DISK
@given(contents)
def test_what_is_written_is_read(content: Any) -> None:
    sections, tensors = content
    with read_archive(written(sections, tensors)) as archive:
        assert sorted(archive.sections) == sorted(sections)
        assert all(same(archive.section(name), value) for name, value in sections.items())
        assert list(archive.tensors) == list(tensors)
        for name, array in tensors.items():
            found = archive.tensor(name)
            assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


@ON_DISK
@given(contents)
def test_read_and_written_again_the_bytes_are_the_same(content: Any) -> None:
    data = written(*content)
    with read_archive(data) as archive:
        again = written({n: archive.section(n) for n in archive.sections},
                        {n: archive.tensor(n) for n in archive.tensors})
    assert again == data


@ON_DISK
@given(contents, st.randoms(use_true_random=False))
def test_the_order_of_sections_does_not_matter(content: Any, random: Any) -> None:
    sections, tensors = content
    shuffled = list(sections)
    random.shuffle(shuffled)
    assert written({n: sections[n] for n in shuffled}, tensors) == written(sections, tensors)


@ON_DISK
@given(contents)
def test_other_readers_see_the_same_document(content: Any) -> None:
    sections, tensors = content
    document = msgpack.unpackb(written(sections, tensors))
    assert same(document["sections"], {n: sections[n] for n in sorted(sections)})
    for name, (blob, code, dims) in document["index"]["tensors"].items():
        assert dims == list(tensors[name].shape)
        if ELEMENTS[code].bits >= 8:
            assert document["blobs"][2 * blob + 1] == tensors[name].tobytes()


@ON_DISK
@given(contents, st.data())
def test_one_changed_byte_is_refused(content: Any, data: Any) -> None:
    good = written(*content)
    position = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda v: v != good[position]))
    with pytest.raises(ArchiveError), read_archive(good[:position] + bytes([value]) + good[position + 1:]) as archive:
        archive.verify()


@THOROUGH
@given(plain)
def test_plain_values_have_one_encoding(value: Any) -> None:
    raw = pack(value, "it", DEFAULT_LIMITS)
    assert pack(unpack(raw, "it", DEFAULT_LIMITS), "it", DEFAULT_LIMITS) == raw


@THOROUGH
@given(st.binary(max_size=60))
def test_bytes_are_decoded_only_if_they_are_the_encoding(raw: bytes) -> None:
    try:
        value = unpack(raw, "it", DEFAULT_LIMITS)
    except ArchiveError:
        return
    assert msgpack.packb(value) == raw


@THOROUGH
@given(st.text(max_size=30))
def test_names_spell_no_path(text: str) -> None:
    if is_name(text):
        assert re.fullmatch(r"[A-Za-z0-9_:./-]+", text)
        assert not text.startswith(("/", ".", "-"))
        assert not any(part in ("", ".", "..") for part in text.split("/"))


@THOROUGH
@given(st.text(max_size=80))
def test_every_state_name_has_a_storage_name_of_its_own(text: str) -> None:
    assert is_name(storage_name(text))
    assert storage_name(text) == text or storage_name(text).startswith("state:")


@THOROUGH
@given(st.integers(0, 2**40))
def test_payloads_begin_at_multiples_of_64(position: int) -> None:
    assert 0 <= pad_before(position) < 64
    assert (position + 2 + pad_before(position) + 5) % 64 == 0


def through_bytes(value: Any) -> Any:
    return unpack(pack(value, "it", DEFAULT_LIMITS), "it", DEFAULT_LIMITS)


scalars = (st.none() | st.booleans() | st.integers(-2**63, 2**63 - 1) | st.floats(allow_nan=False) | texts)
attributes = st.recursive(scalars | st.sampled_from(list(DTYPES.values())),
                          lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=8)


@THOROUGH
@given(attributes)
def test_attributes_come_back(value: Any) -> None:
    assert decode_attribute(through_bytes(encode_attribute(value)), "it") == value


@THOROUGH
@given(scalars | st.complex_numbers(allow_nan=False))
def test_constants_come_back(value: Any) -> None:
    found = decode_constant(through_bytes(encode_constant(value)), "it")
    assert (found, type(found)) == (value, type(value))


def groups(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    unkeyed = st.builds(lambda kind, items: Group(kind, tuple(items)), st.sampled_from(["tuple", "list"]),
                        st.lists(inner, max_size=3))
    keyed = st.builds(lambda items: Group("dict", tuple(items.values()), tuple(items)),
                      st.dictionaries(texts | st.integers(-9, 9), inner, max_size=3))
    return unkeyed | keyed


@THOROUGH
@given(st.recursive(st.integers(0, 4).map(Leaf) | scalars.map(Fixed), groups, max_leaves=8))
def test_structures_come_back(structure: Any) -> None:
    assert decode_structure(through_bytes(encode_structure(structure)), 5, "it") == structure


symbols = st.sampled_from([symbol(n) for n in "NHWC"])
sizes = st.recursive(symbols | st.integers(1, 64), lambda inner: st.builds(
    lambda f, a, b: f(a, b), st.sampled_from([add, multiply, floor_divide, modulo]), inner, inner), max_leaves=4)
dims = st.none() | st.integers(0, 2**40) | sizes.filter(lambda d: d is not None and not isinstance(d, int))
shapes = st.none() | st.lists(dims, max_size=4).map(tuple)
tensor_types = st.builds(TensorType, st.sampled_from(list(DTYPES.values())), shapes)
types = st.recursive(
    tensor_types | dims.map(IntType) | st.sampled_from([FLOAT, BOOL, COMPLEX, STR, NONE]),
    lambda inner: inner.map(ListType) | inner.map(OptionalType)
    | st.lists(inner, max_size=3).map(lambda elements: TupleType(tuple(elements)))
    | st.builds(DictType, inner, inner), max_leaves=5)


@THOROUGH
@given(types)
def test_types_come_back(kind: Any) -> None:
    assert decode_type(str(kind), "it") == kind
