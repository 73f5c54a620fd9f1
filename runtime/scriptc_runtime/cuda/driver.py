"""The CUDA driver as the engine uses it: memory, copies, modules, launches and graphs on one stream, every answer checked.

Through cuda-bindings, in the device's primary context, which numba and torch share.
"""
from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scriptc.errors import InternalError, diagnostic

OUT_OF_MEMORY = 2


@dataclass(frozen=True, slots=True)
class Properties:
    """What is known of a device."""

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    total_memory: int


class Hardware:
    """One GPU. Methods are called under the engine's lock; addresses are ints, sizes are bytes."""

    simulated = False

    def __init__(self, number: int = 0) -> None:
        from cuda.bindings import driver

        self._driver: Any = driver
        self._entered = threading.local()
        self._check(driver.cuInit(0))
        self._device = self._check(driver.cuDeviceGet(number))
        self._context = self._check(driver.cuDevicePrimaryCtxRetain(self._device))
        self._check(driver.cuCtxSetCurrent(self._context))
        self.stream = self._check(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING.value))
        attribute = driver.CUdevice_attribute

        def read(name: str) -> int:
            return int(self._check(driver.cuDeviceGetAttribute(getattr(attribute, f"CU_DEVICE_ATTRIBUTE_{name}"), self._device)))

        name = self._check(driver.cuDeviceGetName(128, self._device))
        self.properties = Properties(bytes(name).split(b"\0")[0].decode(), (read("COMPUTE_CAPABILITY_MAJOR"), read("COMPUTE_CAPABILITY_MINOR")),
                                     read("MULTIPROCESSOR_COUNT"), int(self._check(driver.cuDeviceTotalMem(self._device))))

    def _check(self, answer: Any) -> Any:
        """What a call gave. CallError R0124 for want of memory, InternalError for any other failure."""
        code, *rest = answer
        if int(code) != 0:
            if int(code) == OUT_OF_MEMORY:
                raise MemoryError("the GPU's memory is full")
            name = self._driver.cuGetErrorName(code)[1]
            raise InternalError(diagnostic("R0125", problem=name.decode() if isinstance(name, bytes) else str(code)))
        return rest[0] if len(rest) == 1 else tuple(rest) if rest else None

    def enter(self) -> None:
        """Make the context the calling thread's own, if that was not done yet."""
        if not getattr(self._entered, "done", False):
            self._check(self._driver.cuCtxSetCurrent(self._context))
            self._entered.done = True

    # Memory.

    def allocate(self, size: int) -> int:
        return int(self._check(self._driver.cuMemAlloc(size)))

    def free(self, address: int) -> None:
        self._check(self._driver.cuMemFree(address))

    def free_memory(self) -> int:
        """Bytes that the device has left."""
        return int(self._check(self._driver.cuMemGetInfo())[0])

    def pinned(self, size: int) -> np.ndarray:
        """`size` bytes of the host's memory that the device copies from and to without detours; never freed."""
        address = int(self._check(self._driver.cuMemAllocHost(size)))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def upload(self, address: int, source: int, size: int) -> None:
        """From the host; the source may be reused when the stream has come so far."""
        self._check(self._driver.cuMemcpyHtoDAsync(address, source, size, self.stream))

    def download(self, target: int, address: int, size: int) -> None:
        """To the host; waits for it."""
        self._check(self._driver.cuMemcpyDtoHAsync(target, address, size, self.stream))
        self.synchronize()

    def move(self, target: int, source: int, size: int) -> None:
        self._check(self._driver.cuMemcpyDtoDAsync(target, source, size, self.stream))

    def clear(self, address: int, size: int) -> None:
        self._check(self._driver.cuMemsetD8Async(address, 0, size, self.stream))

    def synchronize(self) -> None:
        self._check(self._driver.cuStreamSynchronize(self.stream))

    def synchronize_all(self) -> None:
        """Wait for the streams of other libraries too."""
        self._check(self._driver.cuCtxSynchronize())

    # Kernels.

    def load(self, image: bytes, entry: str, dynamic_bytes: int) -> Any:
        """The function `entry` of a compiled module, allowed this much dynamic shared memory."""
        module = self._check(self._driver.cuModuleLoadData(image))
        function = self._check(self._driver.cuModuleGetFunction(module, entry.encode()))
        if dynamic_bytes > 48 << 10:
            which = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            self._check(self._driver.cuFuncSetAttribute(function, which, dynamic_bytes))
        return function

    def launch(self, function: Any, grid: Sequence[int], block: Sequence[int], shared: int, parameters: int) -> None:
        """`parameters` is where the table of pointers to the arguments stands."""
        self._check(self._driver.cuLaunchKernel(function, *grid, *block, shared, self.stream, parameters, 0))

    # Graphs.

    def begin_capture(self) -> None:
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._check(self._driver.cuStreamBeginCapture(self.stream, mode))

    def end_capture(self) -> Any:
        """What was launched since, ready to be launched again."""
        graph = self._check(self._driver.cuStreamEndCapture(self.stream))
        try:
            return self._check(self._driver.cuGraphInstantiate(graph, 0))
        finally:
            self._driver.cuGraphDestroy(graph)

    def abandon_capture(self) -> None:
        """End a capture that failed."""
        code, graph = self._driver.cuStreamEndCapture(self.stream)
        if int(code) == 0 and graph:
            self._driver.cuGraphDestroy(graph)

    def launch_graph(self, graph: Any) -> None:
        answer = self._driver.cuGraphLaunch(graph, self.stream)
        if answer[0]:
            self._check(answer)

    def destroy_graph(self, graph: Any) -> None:
        self._driver.cuGraphExecDestroy(graph)

    # Time.

    def mark(self) -> Any:
        """An event that stands at the present end of the stream."""
        event = self._check(self._driver.cuEventCreate(0))
        self._check(self._driver.cuEventRecord(event, self.stream))
        return event

    def elapsed_ms(self, start: Any, end: Any) -> float:
        """The time between two marks; waits for the second."""
        self._check(self._driver.cuEventSynchronize(end))
        return float(self._check(self._driver.cuEventElapsedTime(start, end)))

    def arrive(self, event: Any) -> bool:
        """True if the stream has passed a mark."""
        return int(self._driver.cuEventQuery(event)[0]) == 0
