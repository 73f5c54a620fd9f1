"""Memory shared with other libraries: DLPack and the CUDA array interface, both ways; the simulator's device memory is the host's."""
from __future__ import annotations

import gc
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from scriptc_runtime.cuda.engine import device
from scriptc_runtime.dlpack import CUDA, opened

import scriptc


class Other:
    """Another library's array on the GPU, made of ours."""

    def __init__(self, tensor: Any) -> None:
        self.tensor, self.streams = tensor, list[Any]()

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA, 0

    def __dlpack__(self, stream: Any = None) -> Any:
        self.streams.append(stream)
        return self.tensor.__dlpack__(stream=stream)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ml_dtypes.bfloat16, "int64", "uint8", "bool"], ids=lambda d: np.dtype(d).name)
def test_device_memory_goes_out_and_comes_back(dtype: Any) -> None:
    x = scriptc.Tensor(np.arange(6).reshape(2, 3).astype(dtype)).cuda()
    other = Other(x)
    assert x.__dlpack_device__() == (CUDA, 0)
    found = scriptc.from_dlpack(other)
    assert found.device == "cuda:0" and found.dtype is x.dtype and other.streams == [device().stream_number]
    assert found._array.address == x._array.address
    np.testing.assert_array_equal(found.cpu().numpy(), x.cpu().numpy())


def test_strides_are_kept() -> None:
    x = scriptc.Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)).cuda()
    found = scriptc.from_dlpack(Other(x.permute(1, 0)))
    np.testing.assert_array_equal((found * 2.0).cpu().numpy(), x.cpu().numpy().T * 2)


def test_lent_memory_goes_back_when_the_device_has_been_waited_for() -> None:
    x = scriptc.Tensor(np.ones(4, np.float32)).cuda()
    lent = opened(x.__dlpack__())
    returned: list[int] = []
    array = device().adopt(type(lent)(lent.address, lent.shape, lent.strides, lent.dtype, lent.device, lambda: returned.append(1)))
    del array
    gc.collect()
    assert not returned
    device().synchronize()
    assert returned == [1]
    lent.release()


def test_a_capsule_is_taken_once() -> None:
    capsule = scriptc.Tensor(np.ones(4, np.float32)).cuda().__dlpack__()
    opened(capsule).release()
    with pytest.raises(BufferError, match="taken already"):
        opened(capsule)


def test_the_cuda_array_interface_is_read() -> None:
    x = scriptc.Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)).cuda()

    class Described:
        __cuda_array_interface__ = x.__cuda_array_interface__
    found = scriptc.Tensor(Described())
    assert found.device == "cuda:0" and found._array.address == x._array.address
    Described.__cuda_array_interface__ = {**x.__cuda_array_interface__, "data": (x._array.address, True)}
    assert scriptc.Tensor(Described())._array.address != x._array.address      # what must not be written is copied
    Described.__cuda_array_interface__ = {**x.__cuda_array_interface__, "strides": (-12, 4)}
    with pytest.raises(BufferError, match="negative"):
        scriptc.Tensor(Described())


@pytest.mark.parametrize("dtype", ["float32", ml_dtypes.bfloat16, "int64", "bool"], ids=lambda d: np.dtype(d).name)
def test_host_memory_is_shared(dtype: Any) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    for source in (scriptc.Tensor(array), scriptc.Tensor(array.T)):
        found = scriptc.from_dlpack(source)
        assert np.shares_memory(np.asarray(found).view(np.uint8) if found.shape == (2, 3) else np.asarray(found), array)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(source))
    del source, array
    gc.collect()
    np.testing.assert_array_equal(np.asarray(found), np.arange(6).reshape(2, 3).astype(dtype).T)


def test_other_devices_are_refused() -> None:
    class Elsewhere:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 8, 0
    with pytest.raises(BufferError, match=r"DLPack device \(8, 0\)"):
        scriptc.from_dlpack(Elsewhere())
