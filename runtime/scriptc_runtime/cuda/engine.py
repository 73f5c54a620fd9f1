"""The device: arrays in its memory, copies to and from the host, launches, and the errors that kernels report.

One stream, one lock: work of several threads is ordered as they come. A kernel that refuses an element (an index out of range) raises a flag
instead of touching memory; the flag is read wherever the host waits for the device, and becomes the error that the CPU raises at once.
"""
from __future__ import annotations

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cuda import compilation, launches
from scriptc_runtime.cuda.launches import BLOCKS_PER_MULTIPROCESSOR, THREADS, Refusal, Work
from scriptc_runtime.cuda.numba_cuda import SIMULATED, require
from scriptc_runtime.cuda.pool import Pool
from scriptc_runtime.cuda.simulation import Simulated, flat
from scriptc_runtime.device import DeviceArray, Shape, contiguous_strides
from scriptc_runtime.plan.plan import annotate

STAGING = 4 << 20       # bytes of pinned memory through which small arrays travel
MOST_CONSTANTS, LARGEST_CONSTANT = 512, 1 << 16     # tables that are kept, and the bytes of one


class LentBlock:
    """Bytes that another library lent; when the block is collected, they wait to be given back."""

    __slots__ = ("_engine", "_release", "address", "nbytes")

    def __init__(self, engine: Engine, address: int, nbytes: int, release: Callable[[], None]) -> None:
        self._engine, self._release = engine, release
        self.address, self.nbytes = address, nbytes

    def __del__(self) -> None:
        self._engine.returning.append(self._release)


class Engine:
    """One GPU, or the simulator."""

    name = "cuda:0"
    target = "cuda"

    def __init__(self, driver: Any = None) -> None:
        self.driver: Any = _driver() if driver is None else driver
        self.properties = self.driver.properties
        self.pool = Pool(self.driver)
        self.lock = threading.RLock()
        self.host_calls: Counter[str] = Counter()      # ops that the host's references answered
        self.counts: Counter[str] = Counter()          # launches, graph launches, uploads, downloads
        self._functions: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self._refusals: list[Refusal] = []
        self._known: dict[tuple[Any, ...], int] = {}
        self._unread = False                           # something that may have raised the flag was launched since it was read
        self._staging = self.driver.pinned(STAGING)
        self._staged: Any = None                       # the mark behind the last copy from the staging memory
        self._constants: OrderedDict[Any, DeviceArray] = OrderedDict()
        self.returning: list[Callable[[], None]] = []  # what gives back lent memory, once the device has been waited for
        self.flag = self.upload(np.zeros(3, np.int64))

    # Arrays.

    def empty(self, shape: Shape, dtype: np.dtype) -> DeviceArray:
        """An uninitialised contiguous array."""
        return DeviceArray(self, self.pool.take(math.prod(shape) * dtype.itemsize), 0, shape, contiguous_strides(shape), dtype)

    def upload(self, array: np.ndarray) -> DeviceArray:
        """A copy of an array of the host; later changes of it are not seen."""
        source = np.ascontiguousarray(array).reshape(array.shape)
        made = self.empty(array.shape, source.dtype)
        if not made.size:
            return made
        data = source.reshape(-1).view(np.uint8)     # numpy knows no interface of half types
        with self.lock:
            self.driver.enter()
            self.counts["uploads"] += 1
            if made.nbytes <= STAGING:
                if self._staged is not None and not self.driver.arrive(self._staged):
                    self.driver.synchronize()
                self._staging[:made.nbytes] = data
                self.driver.upload(made.address, self._staging.__array_interface__["data"][0], made.nbytes)
                self._staged = self.driver.mark()
            else:
                self.driver.upload(made.address, data.__array_interface__["data"][0], made.nbytes)
                self.driver.synchronize()
        return made

    def constant(self, array: np.ndarray) -> DeviceArray:
        """The array in the device's memory: the same memory for the same content, so that a table is moved once."""
        if array.nbytes > LARGEST_CONSTANT:
            return self.upload(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        with self.lock:
            found = self._constants.get(key)
            if found is None:
                found = self._constants[key] = self.upload(array)
                if len(self._constants) > MOST_CONSTANTS:
                    self._constants.popitem(last=False)
            else:
                self._constants.move_to_end(key)
        return found

    def download(self, array: DeviceArray) -> np.ndarray:
        """A copy in the host's memory. Waits for the device; raises what kernels refused until now."""
        source = array if array.is_contiguous else array.copy()
        made = np.empty(array.shape, array.dtype)
        with self.lock:
            self.driver.enter()
            self.counts["downloads"] += 1
            if made.size:
                target = made.reshape(-1).view(np.uint8)
                if made.nbytes <= STAGING:
                    if self._staged is not None and not self.driver.arrive(self._staged):
                        self.driver.synchronize()
                    self.driver.download(self._staging.__array_interface__["data"][0], source.address, made.nbytes)
                    target[:] = self._staging[:made.nbytes]
                else:
                    self.driver.download(target.__array_interface__["data"][0], source.address, made.nbytes)
                self._give_back()
            self._raise_refusals()
        return made

    def synchronize(self) -> None:
        """Wait for everything launched. Raises what kernels refused."""
        with self.lock:
            self.driver.enter()
            self.driver.synchronize()
            self._give_back()
            self._raise_refusals()

    def _give_back(self) -> None:
        """Return lent memory that nobody uses any more; the device has been waited for."""
        while self.returning:
            self.returning.pop()()

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        work = Work(self)
        work.copy(target, source)
        work.run()

    def fill(self, target: DeviceArray, value: Any) -> None:
        work = Work(self)
        work.fill(target, value)
        work.run()

    def cast(self, target: DeviceArray, source: DeviceArray) -> None:
        """target = source, in its own dtype."""
        from scriptc_runtime.cuda.movement import cast

        work = Work(self)
        cast(work, source, target)
        work.run()

    def add(self, a: DeviceArray, b: DeviceArray, out: DeviceArray) -> None:
        """out = a + b of one shape and dtype; out may be one of them."""
        from scriptc_runtime.cuda.movement import add

        work = Work(self)
        add(work, a, b, out)
        work.run()

    # Launches.

    def grid(self, count: int) -> tuple[int, int]:
        """(blocks, threads) for threads that stride over `count` things."""
        if self.driver.simulated:
            return launches.simulated_grid(count)
        most = self.properties.multiprocessors * BLOCKS_PER_MULTIPROCESSOR
        return min(-(-count // THREADS), most), THREADS

    def run(self, work: Work) -> None:
        """Launch the work now."""
        with self.lock:
            self.driver.enter()
            self.launch(work)

    def launch(self, work: Work) -> None:
        """Launch the work; the caller holds the lock."""
        self.counts["launches"] += len(work.launches)
        self._unread = self._unread or work.checked
        self._put(work)

    def _put(self, work: Work) -> None:
        for item in work.launches:
            if self.driver.simulated:
                kernel = compilation.made(item.kernel) if isinstance(item.kernel, compilation.Text) else item.kernel
                self.driver.launch(kernel, item.grid, item.block, item.shared, [self._simulated(a) for a in item.arguments])
                continue
            given = [self._argument(a) for a in item.arguments]
            function = self._function(item.kernel, tuple(kind for kind, _ in given), item.shared)
            parameters = compilation.Parameters(given)
            self.driver.launch(function, item.grid, item.block, item.shared, parameters.table)

    def capture(self, work: Work) -> Any:
        """The work as a graph; it does not run. The caller holds the lock and has prepared the work."""
        self.driver.begin_capture()
        try:
            self._put(work)
        except BaseException:
            self.driver.abandon_capture()
            raise
        return self.driver.end_capture()

    def launch_graph(self, graph: Any, checked: bool) -> None:
        """Launch a captured work; the caller holds the lock."""
        self.counts["graphs"] += 1
        self._unread = self._unread or checked
        self.driver.launch_graph(graph)

    def forget(self, graph: Any) -> None:
        """Drop a graph."""
        with self.lock:
            self.driver.destroy_graph(graph)

    def prepare(self, work: Work) -> None:
        """Compile and load every kernel of the work."""
        if not self.driver.simulated:
            for item in work.launches:
                self._function(item.kernel, tuple(self._argument(a)[0] for a in item.arguments), item.shared)

    def _function(self, kernel: Any, types: tuple[str, ...], shared: int) -> Any:
        found = self._functions.get((kernel, types))
        if found is None:
            entry, code = compilation.image(kernel, types, self.properties.capability)
            found = self._functions[kernel, types] = self.driver.load(code, entry, shared)
        return found

    def _argument(self, value: Any) -> tuple[str, Any]:
        if isinstance(value, DeviceArray):
            dtype = compilation.element_type(value.dtype)
            return f"{dtype.name}[]", (value.address, _span(value), dtype.itemsize)
        return value.dtype.name, value.item()

    def _simulated(self, value: Any) -> Any:
        if not isinstance(value, DeviceArray):
            return value
        if value.flat is None:
            value.flat = flat(value.address, _span(value), compilation.element_type(value.dtype))
        return value.flat

    # Errors of kernels.

    def refusal(self, refusal: Refusal) -> int:
        """A number for this refusal, from 1 on."""
        key = getattr(refusal.make, "key", refusal.make), id(refusal.op)
        number = self._known.get(key)
        if number is None:
            self._refusals.append(refusal)
            number = self._known[key] = len(self._refusals)
        return number

    def _raise_refusals(self) -> None:
        if not self._unread:
            return
        found = np.zeros(3, np.int64)
        self.driver.download(found.__array_interface__["data"][0], self.flag.address, found.nbytes)
        self._unread = False
        if found[0]:
            self.driver.clear(self.flag.address, found.nbytes)
            refusal = self._refusals[int(found[0]) - 1]
            error = refusal.make(int(found[1]), int(found[2]))
            annotate(error, refusal.op)
            raise error

    def called_host(self, name: str) -> None:
        """Count an op that the host answered."""
        self.host_calls[name] += 1

    def statistics(self) -> dict[str, int]:
        """Memory in bytes, and what was done how often."""
        pool = self.pool.statistics
        return {"held": pool.held, "used": pool.used, "peak": pool.peak, "allocations": pool.allocations, "reuses": pool.reuses,
                "host_calls": sum(self.host_calls.values()), **self.counts}

    def export(self, array: DeviceArray, stream: Any) -> Any:
        """A DLPack capsule over the array's memory, with which the device has finished: any stream may read it."""
        from scriptc_runtime.dlpack import capsule

        self.synchronize()
        return capsule(array)

    @property
    def stream_number(self) -> int:
        """The stream of all work, as other libraries name it."""
        return int(self.driver.stream)

    def adopt(self, lent: Any, stream: int | None = None) -> DeviceArray:
        """An array over memory that another library lends (`dlpack.Lent`), after what its `stream` has to do there.

        The memory goes back when no array is over it and the device has been waited for: launches may still read it before that.
        """
        with self.lock:
            self.driver.enter()
            if stream is not None:
                self.driver.synchronize_all()
        reach = 1 + sum((n - 1) * s for n, s in zip(lent.shape, lent.strides, strict=True)) if math.prod(lent.shape) else 0
        return DeviceArray(self, LentBlock(self, lent.address, reach * lent.dtype.itemsize, lent.release), 0, lent.shape, lent.strides, lent.dtype)


def _span(array: DeviceArray) -> int:
    """The elements from an array's first to its last."""
    return 0 if array.size == 0 else 1 + sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True))


def _driver() -> Any:
    """The hardware, or the simulator. CallError R0114 without a GPU."""
    require()
    from scriptc_runtime.cuda.driver import Hardware

    return Simulated() if SIMULATED else Hardware()


_engines: list[Engine] = []


def device() -> Engine:
    """The engine of this process, made on first use. CallError R0114 without a GPU."""
    if not _engines:
        _engines.append(Engine())
    return _engines[0]


def use(engine: Engine) -> None:
    """Make this the engine of the process, before anything asked for one."""
    assert not _engines
    _engines.append(engine)


def memory_of(engine: Callable[[], Engine]) -> Any:
    """What plans need to know of the device's memory."""
    class Memory:
        def arena(self, size: int) -> DeviceArray:
            return engine().empty((max(size, 1),), np.dtype(np.uint8))

        def view(self, arena: DeviceArray, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> DeviceArray:
            return DeviceArray(arena.device, arena.block, arena.offset + offset, shape, contiguous_strides(shape), dtype)

        def empty(self, shape: Sequence[int], dtype: np.dtype) -> DeviceArray:
            return engine().empty(tuple(shape), dtype)
    return Memory()
