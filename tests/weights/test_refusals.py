"""Checkpoints that are more than weights, or are damaged, are refused with a code, and nothing in them runs."""
from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scriptc.errors import WeightsError
from scriptc.ir.weights import read_weights
from scriptc.ir.weights.torch_checkpoint import LEGACY_MAGIC
from tests.weights.forge import GOLDEN, checkpoint, number, tensor_pickle, text, zip_file

Refused = Callable[[bytes], str]
STORAGE = {"0": np.arange(6, dtype=np.float32).tobytes()}


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def named(module: str, name: str) -> bytes:
    """The pickle of {"a": module.name("x")}."""
    return b"\x80\x02}" + text("a") + f"c{module}\n{name}\n".encode() + text("x") + b"\x85Rs."


GADGETS = [tuple(name.split(":")) for name in """
    os:system posix:system nt:system os:popen os:execv subprocess:Popen subprocess:call subprocess:check_output
    builtins:eval builtins:exec builtins:compile builtins:open builtins:getattr builtins:setattr builtins:__import__
    builtins:map builtins:print builtins:bytearray builtins:set __builtin__:eval __builtin__:apply
    importlib:import_module runpy:run_path runpy:_run_code pty:spawn socket:socket shutil:rmtree webbrowser:open
    code:InteractiveInterpreter timeit:timeit pdb:run bdb:Bdb cProfile:run trace:Trace doctest:debug_script
    ctypes:CDLL _ctypes:dlopen operator:attrgetter operator:methodcaller functools:partial functools:reduce
    types:FunctionType types:CodeType marshal:loads pickle:loads _pickle:loads dill:loads joblib:load numpy:load
    numpy.testing._private.utils:runstring torch:load torch.hub:load torch.jit:load torch:Tensor
    torch._utils:_rebuild_qtensor torch._utils:_rebuild_sparse_tensor torch._utils:_rebuild_wrapper_subclass
    torch._tensor:_rebuild_from_type_v2 torch.storage:_load_from_bytes torch.fx.graph_module:reduce_graph_module
    torch.distributed.rpc:rpc_sync torch._inductor.codecache:compile_file
    torch.utils.data.datapipes.utils.decoder:basichandlers collections:Counter collections:defaultdict
    argparse:Namespace pathlib:PosixPath transformers.training_args:TrainingArguments __main__:Net torch:size
    torch:__builtins__ torch._utils:__dict__
""".split()]
GADGETS += [("", ""), ("torch", "Size\x00"), ("torch.", "Size"), ("collections ", "OrderedDict")]


@pytest.mark.parametrize("name", GADGETS, ids=".".join)
def test_a_name_outside_the_vocabulary_is_refused(refused: Refused, name: tuple[str, str]) -> None:
    assert refused(checkpoint(named(*name))) == "W0110"


@pytest.mark.parametrize("call", [Call(os.system, "true"), Call(eval, "1"), Call(getattr, 1, "real")])
def test_pickled_calls_are_refused(refused: Refused, call: Call) -> None:
    value = {"a": call}
    assert refused(checkpoint(pickle.dumps(value, 2))) == "W0110"
    assert refused(LEGACY_MAGIC + pickle.dumps(1001, 2) + pickle.dumps(value, 2)) in {"W0106", "W0110"}


@pytest.mark.parametrize(("name", "code", "said"), [
    ("module.pt", "W0111", "torch.nn.modules.linear.Linear"),
    ("module_legacy.pt", "W0111", "torch.nn.modules.linear.Linear"),
    ("namespace.pt", "W0111", "argparse.Namespace"), ("with_namespace.pt", "W0110", "argparse.Namespace"),
    ("protocol4.pt", "W0112", "pickle_protocol"), ("script.pt", "W0103", "TorchScript"),
])
def test_what_torch_saves_besides_weights_is_refused_with_a_remedy(name: str, code: str, said: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read_weights(GOLDEN / name)
    assert caught.value.code == code and said in str(caught.value) and "torch.save" in str(caught.value)


ORDERED = b"ccollections\nOrderedDict\n"
MALFORMED = {
    "an attribute on an OrderedDict": (b"\x80\x02" + ORDERED + b")R}" + text("__class__") + b"K\x01sb.", "W0113"),
    "an attribute on a dict": (b"\x80\x02}}" + text("__dict__") + b"K\x01sb.", "W0113"),
    "an attribute on a tensor": (tensor_pickle()[:-2] + b"}" + text("data") + b"Nsbs.", "W0113"),
    "a cycle": (b"\x80\x02}q\x00" + text("a") + b"h\x00s.", "W0108"),
    "a list in itself": (b"\x80\x02]q\x00h\x00a.", "W0108"),
    "a thousand laughs": (b"\x80\x02(]q\x00" + (b"(" + b"h\x00" * 60 + b"tq\x00") * 12 + b"t.", "W0108"),
    "deep tuples": (b"\x80\x02N" + b"\x85" * 100_000 + b".", "W0108"),
    "one pair list, copied often": (b"\x80\x02](" + b"K\x01K\x02\x86" * 5000 + b"eq\x00"
                                    + (ORDERED + b"h\x00\x85R") * 5000 + b".", "W0108"),
    "an unfinished list": (b"\x80\x02(.", "W0113"),
    "nothing": (b"\x80\x02.", "W0113"),
    "an empty file": (b"", "W0105"),
    "no end": (b"\x80\x02}", "W0105"),
    "bytes after the end": (b"\x80\x02}.x", "W0113"),
    "a mark in the memo": (b"\x80\x02(q\x00.", "W0113"),
    "a reference to nothing": (b"\x80\x02h\x07.", "W0113"),
    "a call of a text": (b"\x80\x02" + text("os.system") + b")R.", "W0113"),
    "a call of a dtype": (b"\x80\x02ctorch\nfloat32\n)R.", "W0113"),
    "a symbol left in the tree": (b"\x80\x02}" + text("a") + b"ctorch\nSize\ns.", "W0110"),
    "a storage left in the tree": (b"\x80\x02}" + text("a") + b"(" + text("storage") + b"ctorch\nFloatStorage\n"
                                   + text("0") + text("cpu") + b"K\x06tQs.", "W0110"),
    "a huge text": (b"\x80\x02X\xff\xff\xff\x7f.", "W0113"),
    "a text that is not UTF-8": (b"\x80\x02X\x01\x00\x00\x00\xff.", "W0113"),
    "a tuple as key": (b"\x80\x02})K\x01s.", "W0113"),
    "a float as key": (b"\x80\x02}G" + bytes(8) + b"K\x01s.", "W0113"),
    "a key without value": (b"\x80\x02}(K\x01u.", "W0113"),
    "an element of a dict": (b"\x80\x02}K\x01a.", "W0113"),
    "a name without end": (b"\x80\x02c" + b"x" * 1000, "W0113"),
    "a huge int": (b"\x80\x02}" + text("a") + b"\x8a\x40" + b"\x7f" * 64 + b"s.", "W0110"),
    "protocol 5": (b"\x80\x05}.", "W0112"),
    "a frame": (b"\x80\x02\x95" + bytes(8), "W0112"),
    "an INST": (b"\x80\x02(ios\nsystem\n.", "W0112"),
    "an OBJ": (b"\x80\x02(cos\nsystem\no.", "W0110"),
    "a NEWOBJ": (b"\x80\x02" + ORDERED + b")\x81.", "W0112"),
    "an extension": (b"\x80\x02\x82\x01.", "W0112"),
    "a textual persistent id": (b"\x80\x02Pos.system\n.", "W0112"),
    "a textual int": (b"\x80\x02I01\n.", "W0112"),
    "a bad persistent id": (b"\x80\x02NQ.", "W0113"),
    "a pickled module": (b"\x80\x02(" + text("module") + b"ctorch\nSize\ntQ.", "W0111"),
    "bytes": (b"\x80\x02}" + text("a") + b"c_codecs\nencode\n" + text("x") + text("latin1") + b"\x86Rs.", "W0110"),
    "many bytes": (b"\x80\x02c_codecs\nencode\n" + text("x" * 100) + text("latin1") + b"\x86R.", "W0113"),
    "an object dtype": (b"\x80\x02cnumpy\ndtype\n" + text("O8") + b"\x89\x88\x87R.", "W0113"),
    "a scalar of the wrong size": (b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n" + text("f8") + b"\x85R"
                                   + text("xx") + b"\x86R.", "W0113"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_pickle_is_refused(refused: Refused, case: str) -> None:
    raw, code = MALFORMED[case]
    assert refused(checkpoint(raw, STORAGE)) == code


TENSORS = {
    "beyond its storage": (tensor_pickle(shape=(3, 3)), "W0115"),
    "an offset beyond its storage": (tensor_pickle(offset=6, shape=(1,), strides=(1,)), "W0115"),
    "a stride beyond its storage": (tensor_pickle(shape=(2,), strides=(6,)), "W0115"),
    "expanded to a bomb": (tensor_pickle(shape=(1 << 40,), strides=(0,)), "W0108"),
    "expanded to a bomb in many dims": (tensor_pickle(shape=(1 << 20,) * 4, strides=(0,) * 4), "W0108"),
    "an empty bomb": (tensor_pickle(shape=(0, 1 << 40, 1 << 40), strides=(0, 0, 0)), "W0115"),
    "a negative size": (tensor_pickle(shape=(-1,), strides=(1,)), "W0113"),
    "a negative stride": (tensor_pickle(shape=(2,), strides=(-1,)), "W0113"),
    "a negative offset": (tensor_pickle(offset=-1), "W0113"),
    "a huge size": (tensor_pickle(shape=(1 << 62,), strides=(1,)), "W0113"),
    "shape and strides of two lengths": (tensor_pickle(shape=(2, 3), strides=(1,)), "W0113"),
    "seventeen dimensions": (tensor_pickle(shape=(1,) * 17, strides=(1,) * 17), "W0113"),
    "a storage of another size": (tensor_pickle(count=5), "W0115"),
    "a storage that is not there": (tensor_pickle(key="1"), "W0115"),
    "a storage outside the folder": (tensor_pickle(key="../0"), "W0113"),
    "a storage type that is none": (tensor_pickle(storage=b"ctorch\nfloat32\n"), "W0113"),
    "a half storage on float bytes": (tensor_pickle(storage=b"ctorch\nHalfStorage\n"), "W0115"),
    "bool bytes of four": (tensor_pickle(24, shape=(24,), strides=(1,), storage=b"ctorch\nBoolStorage\n"), "W0123"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(refused: Refused, case: str) -> None:
    raw, code = TENSORS[case]
    assert refused(checkpoint(raw, STORAGE)) == code


def test_views_that_would_be_copied_to_more_than_the_file_can_hold_are_refused(refused: Refused) -> None:
    one = tensor_pickle(1 << 16, 0, (256, 256), (1, 256))
    tensor = one[one.index(b"ctorch._utils"):-2]
    views = b"".join(text(str(n)) + tensor.replace(number(0) + b"(" + number(256), number(0) + b"(" + number(256 - n))
                     for n in range(64))
    raw = b"\x80\x02}(" + views + b"u."
    assert refused(checkpoint(raw, {"0": bytes(4 << 16)})) == "W0108"


def test_one_storage_with_two_types_is_refused(refused: Refused) -> None:
    first, second = tensor_pickle(), tensor_pickle(storage=b"ctorch\nIntStorage\n")
    raw = first[:-2] + b"s" + text("v") + second[second.index(b"ctorch._utils"):]
    assert refused(checkpoint(raw, STORAGE)) == "W0115"


@pytest.mark.parametrize(("members", "code"), [
    ({"b/x": b""}, "W0106"), ({"a/byteorder": b"big"}, "W0116"), ({"a/code/net.py": b""}, "W0103"),
    ({"a/constants.pkl": b""}, "W0103"), ({}, "W0130"), ({"a/data.pkl": b"\x80\x02]."}, "W0130"),
])
def test_other_containers_are_refused(reading: Callable[[bytes], Any], members: dict[str, bytes], code: str) -> None:
    with pytest.raises(WeightsError) as caught:
        reading(zip_file({"a/data.pkl": b"\x80\x02}."} | members))
    assert caught.value.code == code


def test_a_compressed_checkpoint_is_refused(refused: Refused) -> None:
    assert refused(zip_file({"a/data.pkl": tensor_pickle(), "a/data/0": STORAGE["0"]}, zipfile.ZIP_DEFLATED)) == "W0106"


def _legacy(**edits: Any) -> bytes:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}} | edits.get("system", {})
    parts = (pickle.dumps(edits.get("protocol", 1001), 2), pickle.dumps(system, 2), edits.get("raw", tensor_pickle()),
             pickle.dumps(edits.get("keys", ["0"]), 2), edits.get("count", 6).to_bytes(8, "little"), STORAGE["0"])
    return LEGACY_MAGIC + b"".join(parts) + edits.get("tail", b"")


def test_a_legacy_checkpoint_is_read(reading: Callable[[bytes], Any]) -> None:
    assert reading(_legacy()).tensors["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(("edits", "code"), [
    ({"protocol": 1002}, "W0106"), ({"system": {"protocol_version": 1}}, "W0106"),
    ({"system": {"little_endian": False}}, "W0116"),
    ({"keys": ["0", "0"]}, "W0106"), ({"keys": [0]}, "W0106"), ({"keys": "0"}, "W0106"), ({"keys": []}, "W0106"),
    ({"keys": ["1"]}, "W0115"), ({"count": 5}, "W0115"), ({"count": 1 << 62}, "W0115"), ({"tail": b"x"}, "W0106"),
    ({"raw": tensor_pickle(7), "count": 7}, "W0105"), ({"raw": named("os", "system")}, "W0110"),
])
def test_a_malformed_legacy_checkpoint_is_refused(refused: Refused, edits: dict[str, Any], code: str) -> None:
    assert refused(_legacy(**edits)) == code


@pytest.mark.parametrize("keep", range(0, len(_legacy()), 13))
def test_a_truncated_legacy_checkpoint_is_refused(refused: Refused, keep: int) -> None:
    assert refused(_legacy()[:keep]).startswith("W01")
