"""A program goes into an archive and comes out the same; a program that is not one is refused by name."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from scriptc.errors import ArchiveError
from scriptc.ir.archive.encode import encode_program, load_program, read_files, save_program, state_tensor, storage_name
from scriptc.ir.archive.format import Limits
from scriptc.ir.archive.reader import read_archive
from scriptc.ir.archive.vectors import RecordedCall, read_vectors
from scriptc.ir.archive.writer import write_archive
from scriptc.ir.dims import symbol
from scriptc.ir.graph import Literal, Program, StateEntry, Value, walk
from scriptc.ir.registry import REGISTRY
from scriptc.ir.types import FLOAT, TensorType, float32
from scriptc.records import replace

Tamper = Callable[[Callable[[dict[str, Any]], Any]], bytes]


def code_of(data: bytes) -> str:
    try:
        program, archive = load_program(data)
        with archive:
            read_vectors(archive, program)
            read_files(archive)
    except ArchiveError as error:
        assert str(error)
        return error.code
    return ""


# Round trips.

def test_a_program_comes_back_the_same(program: Program, program_file: Path) -> None:
    loaded, archive = load_program(program_file)
    with archive:
        assert encode_program(loaded) == encode_program(program)
        assert loaded.state == program.state
        assert loaded.modules == program.modules
        assert loaded.entry == program.entry
        assert [s.text for s in loaded.sources] == [s.text for s in program.sources]


def test_saving_what_was_loaded_gives_the_same_bytes(program_file: Path, tmp_path: Path) -> None:
    loaded, archive = load_program(program_file)
    with archive:
        tensors = {e.name: state_tensor(archive, e) for e in loaded.state}
        tensors |= {n: archive.tensor(n) for n in archive.tensors if n.startswith("optim/")}
        save_program(tmp_path / "again.pt", loaded, tensors, vectors=read_vectors(archive, loaded),
                     train=archive.section("train"), files=read_files(archive), user=archive.section("meta")["user"])
    assert (tmp_path / "again.pt").read_bytes() == program_file.read_bytes()


@pytest.mark.parametrize("key", ["forward", "forward:train"])
def test_values_keep_names_types_and_uses(key: str, program: Program, program_file: Path) -> None:
    loaded, archive = load_program(program_file)
    archive.close()
    for before, after in zip(walk(program.functions[key].ops), walk(loaded.functions[key].ops), strict=True):
        assert (before.name, before.attributes, before.version) == (after.name, after.attributes, after.version)
        for old, new in zip((*before.operands, *before.results), (*after.operands, *after.results), strict=True):
            assert (old.type, old.name, type(old)) == (new.type, new.name, type(new))
    assert loaded.functions[key].ops[0].operands[0] is loaded.functions[key].inputs[0]


def test_locations_come_back_with_their_chains(program: Program, program_file: Path) -> None:
    loaded, archive = load_program(program_file)
    archive.close()
    functions = program.functions["forward"], loaded.functions["forward"]
    for before, after in zip(*(walk(function.ops) for function in functions), strict=True):
        assert str(after.location) == str(before.location)
        assert after.location.scope == before.location.scope
        assert [(str(c.span), c.function) for c in after.location.chain] == [
            (str(c.span), c.function) for c in before.location.chain]
    assert loaded.functions["forward"].ops[0].location.span.source is loaded.sources[0]
    assert loaded.functions["forward"].ops[0].location.span.excerpt()[0].endswith("return x.relu()")


def test_without_source_lines_and_columns_stay_but_no_text(program: Program, tensors: Any, tmp_path: Path) -> None:
    save_program(tmp_path / "a.pt", program, tensors, source=False)
    assert b"x.relu()" not in (tmp_path / "a.pt").read_bytes()
    loaded, archive = load_program(tmp_path / "a.pt")
    archive.close()
    before, after = program.functions["forward"].ops[0].location, loaded.functions["forward"].ops[0].location
    assert str(after) == str(before) == "net.py:6:12"
    assert after.span.excerpt() == []


def test_the_text_of_our_own_library_is_not_stored(program_file: Path) -> None:
    assert b"def relu" not in program_file.read_bytes()


def test_a_stripped_archive_loads_without_locations(tampered: Tamper) -> None:
    program, archive = load_program(tampered(lambda s: (s.pop("source"), s.pop("srcmap"))))
    archive.close()
    assert program.sources == ()
    assert {str(op.location) for op in walk(program.functions["forward"].ops)} == {"<unknown>"}


def test_recorded_calls_come_back(program_file: Path) -> None:
    program, archive = load_program(program_file)
    calls = read_vectors(archive, program)
    x = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4)
    assert [(c.function, c.tolerance) for c in calls] == [("forward", 1e-4), ("forward:train", 1e-3)]
    assert np.array_equal(calls[0].inputs[0], x)
    assert calls[0].inputs[1:] == (True, 3)
    doubled, pair, mapping = calls[0].results
    assert np.array_equal(doubled, x * 2)
    assert pair[1] == (1, "s", None)
    assert list(mapping) == ["k", 3]
    assert mapping[3] == 1j


def test_training_state_and_files_pass_through(program_file: Path) -> None:
    _, archive = load_program(program_file)
    assert archive.section("train") == {"step": 3, "lr": [0.1]}
    assert archive.tensor("optim/fc.weight/exp_avg").sum() == 16
    assert read_files(archive) == {"labels.txt": b"cat\ndog\n"}


def test_tied_state_is_one_array_and_odd_names_are_kept(program_file: Path) -> None:
    program, archive = load_program(program_file)
    weight, head, table = (state_tensor(archive, entry) for entry in program.state)
    assert weight is head
    assert table.tolist() == [1.5, -2]
    assert program.state[2].name == "table.an odd/key"


@pytest.mark.parametrize(("name", "stored"), [
    ("layer1.0.conv1.weight", "layer1.0.conv1.weight"), ("optim/a", None), ("train:x", None), ("w x", None), ("", None),
    ("../w", None), ("ä", None), ("x" * 600, None), ("\ud800", None),
], ids=ascii)
def test_storage_names_fit_the_alphabet(name: str, stored: str | None) -> None:
    found = storage_name(name)
    assert found == stored if stored else found.startswith("state:") and len(found) == 70


# What cannot be saved.

def with_function(program: Program, **fields: Any) -> Program:
    return replace(program, functions=MappingProxyType({"forward": replace(program.functions["forward"], **fields)}))


@pytest.mark.parametrize(("change", "code"), [
    (lambda t: t.pop("fc.weight"), "A0152"),
    (lambda t: t.update({"fc.weight": np.zeros((4, 5), np.float32)}), "A0136"),
    (lambda t: t.update({"fc.weight": np.zeros((4, 4))}), "A0136"),
    (lambda t: t.update({"stray": np.zeros(1)}), "A0153"),
    (lambda t: t.update({"optim/a b": np.zeros(1)}), "A0118"),
], ids=["missing", "shape", "dtype", "stray", "bad name"])
def test_tensors_must_fit_the_state(change: Callable[[Any], Any], code: str, program: Program, tensors: Any,
                                    tmp_path: Path) -> None:
    change(tensors)
    with pytest.raises(ArchiveError) as caught:
        save_program(tmp_path / "a.pt", program, tensors)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_nothing_defines_is_not_saved(program: Program, tensors: Any, tmp_path: Path) -> None:
    stray = Value(TensorType(float32, (2,)), "stray")
    with pytest.raises(ArchiveError, match="stray"):
        save_program(tmp_path / "a.pt", with_function(program, results=(stray, stray)), tensors)


def test_a_value_defined_twice_is_not_saved(program: Program, tensors: Any, tmp_path: Path) -> None:
    function = program.functions["forward"]
    with pytest.raises(ArchiveError, match="twice"):
        save_program(tmp_path / "a.pt", with_function(program, ops=function.ops[:1] * 2), tensors)


@pytest.mark.parametrize("name", ["N*M", "N M", "?", "1"])
def test_a_size_whose_text_means_another_is_not_saved(name: str, program: Program, tensors: Any,
                                                      tmp_path: Path) -> None:
    odd = Value(TensorType(float32, (symbol(name),)))
    function = program.functions["forward"]
    inputs = (odd, *function.inputs[1:])
    with pytest.raises(ArchiveError) as caught:
        save_program(tmp_path / "a.pt", with_function(program, inputs=inputs, ops=(), results=(), updates={},
                                                      input_updates={}), tensors)
    assert caught.value.code in ("A0130", "A0150")
    assert list(tmp_path.iterdir()) == []


def test_a_literal_of_another_type_than_its_data_is_not_saved(program: Program, tensors: Any, tmp_path: Path) -> None:
    odd = Literal(FLOAT, "", 3)
    with pytest.raises(ArchiveError, match="literal"):
        save_program(tmp_path / "a.pt", with_function(program, results=(odd, odd)), tensors)


@pytest.mark.parametrize("files", [{"../x": b""}, {"a b": b""}, {"a": "text"}, {"a": bytes(17 << 20)}],
                         ids=["path", "space", "text", "too large"])
def test_files_must_have_plain_names_and_bytes(files: Any, program: Program, tensors: Any, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError):
        save_program(tmp_path / "a.pt", program, tensors, files=files)


# Hostile programs: every byte of the container is right.

def ir(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    return at("ir", *path, to=to)


def at(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def edit(sections: dict[str, Any]) -> None:
        inner: Any = sections
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = to(inner[path[-1]]) if callable(to) else to
    return edit


FUNCTION = ("functions", 0)
OP = (*FUNCTION, "ops", 0)
HOSTILE: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "no ir": ("A0127", lambda s: s.pop("ir")),
    "ir is a list": ("A0130", lambda s: s.update(ir=[])),
    "ir lacks a key": ("A0130", lambda s: s["ir"].pop("modules")),
    "ir has another key": ("A0130", lambda s: s["ir"].update(exec="import os")),
    "an unknown requirement": ("A0128", ir("requires", to=["encryption"])),
    "a later op set": ("A0128", ir("opsets", to={"core": 2})),
    "op set true": ("A0128", ir("opsets", to={"core": True})),
    "another domain": ("A0128", ir("opsets", to={"core": 1, "ai.onnx": 1})),
    "entry is bytes": ("A0130", ir("entry", to=b"Net()")),
    "types is a map": ("A0130", ir("types", to={})),
    "a type that is none": ("A0130", ir("types", 0, to="os.system")),
    "a type in another spelling": ("A0130", ir("types", 0, to="float32[ N,4]")),
    "a size that divides by zero": ("A0130", ir("types", 0, to="float32[(N)//(0)]")),
    "a negative size": ("A0130", ir("types", 0, to="float32[-1]")),
    "a size of 2**64": ("A0130", ir("types", 0, to="float32[18446744073709551616]")),
    "a type nested 1,000 deep": ("A0130", ir("types", 0, to="List[" * 1000 + "int" + "]" * 1000)),
    "a size nested 1,000 deep": ("A0130", ir("types", 0, to="float32[" + "(" * 1000 + "N" + ")" * 1000 + "]")),
    "an op that does not exist": ("A0131", ir("ops", 0, to=["os.system", 1])),
    "an op named like a method": ("A0131", ir("ops", 0, to=["__class__", 1])),
    "an op of a later version": ("A0132", ir("ops", 0, to=["relu", 99])),
    "an op of version 0": ("A0133", ir("ops", 0, to=["relu", 0])),
    "op version is text": ("A0130", ir("ops", 0, to=["relu", "1"])),
    "state entry is short": ("A0130", ir("state", 0, to=["fc.weight"])),
    "state twice": ("A0130", ir("state", 2, to=lambda e: ["fc.weight", *e[1:]])),
    "state of no tensor type": ("A0130", lambda s: (s["ir"]["types"].append("int"), s["ir"]["state"][0].__setitem__(
        1, len(s["ir"]["types"]) - 1))),
    "state of symbolic size": ("A0130", ir("state", 0, 1, to=0)),
    "state type out of range": ("A0130", ir("state", 0, 1, to=999)),
    "state of unknown kind": ("A0130", ir("state", 0, 2, to="code")),
    "requires_grad is 1": ("A0130", ir("state", 0, 3, to=1)),
    "alias of nothing": ("A0130", ir("state", 1, 4, to="nothing")),
    "alias of itself": ("A0130", ir("state", 1, 4, to="head.weight")),
    "alias of a number": ("A0130", ir("state", 1, 4, to=0)),
    "state without a tensor": ("A0136", ir("state", 0, 0, to="other.weight")),
    "state of another shape than its tensor": ("A0136", lambda s: (s["ir"]["types"].append("float32[2, 8]"), [
        e.__setitem__(1, len(s["ir"]["types"]) - 1) for e in s["ir"]["state"][:2]])),
    "module entry is short": ("A0130", ir("modules", 0, to=["a", "b"])),
    "function twice": ("A0130", ir("functions", 1, "key", to="forward")),
    "function key is a number": ("A0130", ir(*FUNCTION, "key", to=7)),
    "function is a list": ("A0130", ir("functions", 0, to=[])),
    "function lacks a key": ("A0130", lambda s: s["ir"]["functions"][0].pop("names")),
    "inputs negative": ("A0130", ir(*FUNCTION, "inputs", to=-1)),
    "inputs too many": ("A0130", ir(*FUNCTION, "inputs", to=10**6)),
    "reads unknown state": ("A0127", ir(*FUNCTION, "state", to=["nothing"])),
    "reads state twice": ("A0130", ir(*FUNCTION, "state", to=["fc.weight", "fc.weight"])),
    "reads state of another type": ("A0130", ir(*FUNCTION, "state", to=["table.an odd/key"])),
    "value type out of range": ("A0130", ir(*FUNCTION, "values", 0, to=-1)),
    "a value too many": ("A0130", ir(*FUNCTION, "values", to=lambda v: [*v, 0])),
    "a value too few": ("A0130", ir(*FUNCTION, "values", to=lambda v: v[:-1])),
    "a name for no value": ("A0130", ir(*FUNCTION, "names", to=[[10**9, "x"]])),
    "op is short": ("A0130", ir(*OP, to=[0])),
    "op index out of range": ("A0130", ir(*OP, 0, to=99)),
    "operand not yet defined": ("A0134", ir(*OP, 1, to=[5])),
    "operand negative": ("A0134", ir(*OP, 1, to=[-1])),
    "operand is nil": ("A0130", ir(*OP, 1, to=[None])),
    "operand is its own result": ("A0134", ir(*OP, 1, to=[4])),
    "operand from inside a region": ("A0134", ir(*FUNCTION, "results", 0, to=6)),
    "literal of 2**63": ("A0130", ir(*OP, 1, to=[[2**63]])),
    "literal of bytes": ("A0130", ir(*OP, 1, to=[[b"x"]])),
    "operands missing": ("A0135", ir(*OP, 1, to=[])),
    "operands too many": ("A0135", ir(*OP, 1, to=[0, 0])),
    "operand of the wrong type": ("A0135", ir(*OP, 1, to=[1])),
    "attribute unknown": ("A0135", ir(*OP, 2, to={"inplace": True})),
    "attribute missing": ("A0135", ir(*FUNCTION, "ops", -1, 2, to={})),
    "attribute of the wrong type": ("A0135", ir(*FUNCTION, "ops", -1, 2, to={"dtype": "bfloat16"})),
    "attribute of unknown dtype": ("A0130", ir(*FUNCTION, "ops", -1, 2, to={"dtype": {"dtype": "object"}})),
    "attribute is bytes": ("A0130", ir(*FUNCTION, "ops", -1, 2, to={"dtype": b"x"})),
    "dim out of range": ("A0135", ir(*FUNCTION, "ops", -2, 2, "dims", to=[7])),
    "dim of 2**63": ("A0135", ir(*FUNCTION, "ops", -2, 2, "dims", to=[2**63])),
    "result type changed": ("A0135", ir(*FUNCTION, "values", 4, to=1)),
    "results too many": ("A0130", ir(*OP, 3, to=10**9)),
    "results negative": ("A0130", ir(*OP, 3, to=-1)),
    "regions for an op without": ("A0130", ir(*OP, 4, to=1)),
    "regions 10**9": ("A0130", ir(*OP, 4, to=10**9)),
    "a region too many": ("A0130", ir(*FUNCTION, "regions", to=lambda r: [*r, [0, [], []]])),
    "a region too few": ("A0130", ir(*FUNCTION, "regions", to=lambda r: r[:-1])),
    "region is a map": ("A0130", ir(*FUNCTION, "regions", 0, to={})),
    "region with other results": ("A0135", ir(*FUNCTION, "regions", 3, 2, to=[])),
    "result index out of range": ("A0130", ir(*FUNCTION, "structure", "items", 0, to=7)),
    "structure of unknown kind": ("A0130", ir(*FUNCTION, "structure", "kind", to="set")),
    "structure keys missing": ("A0130", ir(*FUNCTION, "structure", "keys", to=[])),
    "structure key is nil": ("A0130", ir(*FUNCTION, "structure", "keys", 0, to=None)),
    "parameters leave out an input": ("A0130", ir(*FUNCTION, "parameters", to=lambda p: p[:1])),
    "parameters use an input twice": ("A0130", ir(*FUNCTION, "parameters", 0, 1, to=1)),
    "parameter name is bytes": ("A0130", ir(*FUNCTION, "parameters", 0, 0, to=b"x")),
    "update of unknown state": ("A0130", ir(*FUNCTION, "updates", 0, 0, to="nothing")),
    "update of another type": ("A0130", ir(*FUNCTION, "updates", 0, 1, to=1)),
    "update by a literal": ("A0130", ir(*FUNCTION, "updates", 0, 1, to=[1])),
    "update twice": ("A0130", ir(*FUNCTION, "updates", to=lambda u: u * 2)),
    "update of an input that is none": ("A0130", ir(*FUNCTION, "input_updates", 0, 0, to=9)),
    "locations for another function": ("A0130", at("srcmap", "functions", to={})),
    "a location too few": ("A0130", at("srcmap", "functions", "forward", to=lambda v: v[:-1])),
    "a location too many": ("A0130", at("srcmap", "functions", "forward", to=lambda v: [*v, -1])),
    "location out of range": ("A0130", at("srcmap", "functions", "forward", 0, to=99)),
    "location past the end of the file": ("A0130", at("srcmap", "locations", 0, 2, to=10**6)),
    "location in no file": ("A0130", at("srcmap", "locations", 0, 0, to=9)),
    "location under no name": ("A0130", at("srcmap", "locations", 0, 3, to=-1)),
    "a call that is its own caller": ("A0130", at("srcmap", "calls", 0, 4, to=0)),
    "a later call as caller": ("A0130", at("srcmap", "calls", 0, 4, to=1)),
    "chain out of range": ("A0130", at("srcmap", "locations", 0, 4, to=-2)),
    "source text changed": ("A0138", at("source", "files", 0, 2, to=lambda t: t.replace("* 2", "* 3"))),
    "source without a digest": ("A0130", at("source", "files", 0, 1, to=None)),
    "source is bytes": ("A0130", at("source", "files", 0, 2, to=b"x")),
    "source of negative lines": ("A0130", at("source", "files", 1, 2, to=[-1])),
    "source of 2**40 blanks": ("A0130", at("source", "files", 1, 2, to=[2**40])),
    "source of many long lines": ("A0130", at("source", "files", 1, 2, to=[1 << 20] * 100)),
    "listed sources out of range": ("A0130", at("source", "listed", to=3)),
    "vectors for no function": ("A0130", at("vectors", 0, "function", to="nothing")),
    "vector tensor of the weights": ("A0130", at("vectors", 0, "inputs", 0, to={"tensor": "fc.weight"})),
    "vector tensor missing": ("A0127", at("vectors", 0, "inputs", 0, to={"tensor": "vectors/9/9"})),
    "vector leaf of two kinds": ("A0130", at("vectors", 0, "inputs", 0, to={"list": [], "tuple": []})),
    "vector leaf unknown": ("A0130", at("vectors", 0, "inputs", 0, to={"set": []})),
    "vector key is a list": ("A0130", at("vectors", 0, "inputs", 0, to={"dict": [[{"list": []}, [1]]]})),
    "vector tolerance nan": ("A0130", at("vectors", 0, "tolerance", to=float("nan"))),
    "vector tolerance 2": ("A0130", at("vectors", 0, "tolerance", to=2.0)),
    "files is a list": ("A0130", lambda s: s.update(files=[])),
    "file outside": ("A0118", lambda s: s.update(files={"../../.bashrc": b""})),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_is_refused(name: str, tampered: Tamper) -> None:
    code, edit = HOSTILE[name]
    assert code_of(tampered(edit)) == code


def test_untouched_it_is_accepted(tampered: Tamper) -> None:
    assert code_of(tampered(lambda sections: None)) == ""


def nested(depth: int) -> Callable[[dict[str, Any]], None]:
    """`if` in `if` in `if`, as deep as asked."""
    def edit(sections: dict[str, Any]) -> None:
        function = sections["ir"]["functions"][0]
        which = sections["ir"]["ops"].index(["if", 1])
        function["ops"] = [[which, [1], {}, 0, 1]]
        function["regions"] = [[0, [[which, [1], {}, 0, 1]], []] for _ in range(depth)]
    return edit


def test_structures_cannot_be_nested_without_bound(tampered: Tamper) -> None:
    deep: Any = 0
    for _ in range(28):  # the container allows 64 levels in all, two for each of these
        deep = {"kind": "tuple", "label": "", "keys": [], "items": [deep]}
    assert code_of(tampered(ir(*FUNCTION, "structure", to=deep))) == ""
    assert code_of(tampered(at("vectors", 0, "inputs", to=[deep]))) == "A0130"


@pytest.mark.parametrize("limits", [Limits(operations=5), Limits(locations=2), Limits(type_characters=20)],
                         ids=["ops", "call sites", "types"])
def test_limits_of_programs_hold(limits: Limits, program_file: Path) -> None:
    with pytest.raises(ArchiveError) as caught:
        load_program(program_file, limits=limits)
    assert caught.value.code == "A0137"


def test_a_rule_that_fails_on_hostile_operands_refuses_the_file(program_file: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(*kinds: object, **attributes: object) -> object:
        raise IndexError("tuple index out of range")
    monkeypatch.setattr(REGISTRY["relu"], "rule", rule)
    with pytest.raises(ArchiveError, match="IndexError") as caught:
        load_program(program_file)
    assert caught.value.code == "A0135"


def test_regions_cannot_be_nested_without_bound(tampered: Tamper) -> None:
    assert code_of(tampered(nested(50_000))) == "A0130"


def test_call_chains_cannot_be_expanded_without_bound(tampered: Tamper) -> None:
    def edit(sections: dict[str, Any]) -> None:
        site = sections["srcmap"]["calls"][0][:4]
        sections["srcmap"]["calls"] = [[*site, n - 1] for n in range(900)]
        sections["srcmap"]["locations"] = [[0, 0, 0, 0, n % 900] for n in range(1000)]
    assert code_of(tampered(edit)) == ""
    def ring(sections: dict[str, Any]) -> None:
        edit(sections)
        sections["srcmap"]["calls"] += [[*sections["srcmap"]["calls"][0][:4], n - 1] for n in range(900, 1100)]
        sections["srcmap"]["locations"][0][4] = 1099
    assert code_of(tampered(ring)) == "A0130"


@pytest.mark.parametrize("text", [
    "int(" + "*".join([f"({'+'.join(f'a{n}' for n in range(60))})"] + ["x"] * 420) + ")",
    "int(" + "*".join(["(a+b)"] * 150) + ")",
    "int(" + "//".join(["(a+b+c)"] + ["2"] * 400) + ")",
    "int(" + "%".join(["(a+b+c)"] + ["x"] * 400) + ")",
    "int(" + "(" * 45 + "a" + ")//x" * 45 + ")",
    "float32[" + ", ".join(["*".join(["x"] * 499)] * 9) + "]",
], ids=["product of a sum", "product of sums", "quotients", "remainders", "nested", "nine products"])
def test_size_expressions_that_would_burn_time_are_refused(text: str, tampered: Tamper) -> None:
    assert code_of(tampered(ir("types", 0, to=text))) in ("A0130", "A0135")


def test_types_are_bounded_in_all(tampered: Tamper) -> None:
    assert code_of(tampered(lambda s: s["ir"]["types"].extend([f"int({'9' * 4000})"] * 300))) == "A0137"


def test_an_alias_must_be_tied_in_the_container(program: Program, tensors: Any, tmp_path: Path) -> None:
    apart = replace(program, state=(program.state[0], StateEntry("head.weight", program.state[0].type, "parameter"),
                                    program.state[2]))
    tensors["head.weight"] = tensors["fc.weight"].copy()
    save_program(tmp_path / "a.pt", apart, tensors)
    with read_archive(tmp_path / "a.pt") as archive:
        sections = {n: archive.section(n) for n in archive.sections}
        sections["ir"]["state"][1][4] = "fc.weight"
        write_archive(tmp_path / "b.pt", sections, {n: archive.tensor(n) for n in archive.tensors})
    assert code_of((tmp_path / "b.pt").read_bytes()) == "A0136"


def test_a_recorded_call_may_have_no_results(program: Program, tensors: Any, tmp_path: Path) -> None:
    save_program(tmp_path / "a.pt", program, tensors, vectors=[RecordedCall("forward", (), ())])
    loaded, archive = load_program(tmp_path / "a.pt")
    assert read_vectors(archive, loaded)[0].results == ()
