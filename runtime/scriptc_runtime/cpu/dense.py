"""Linear layers by the product tile: rows of x against weights that were packed once."""
from __future__ import annotations

from typing import Any

import numpy as np

from scriptc_runtime import versions
from scriptc_runtime.cpu import team
from scriptc_runtime.cpu.scratch import Scratch
from scriptc_runtime.cpu.tiles import layouts, library
from scriptc_runtime.cpu.tiles.commands import CACHE_BYTES, NO_LIMITS
from scriptc_runtime.cpu.tiles.geometry import LANES, MOST_ROWS, PANEL, VECTOR_BYTES

_FLOAT = 4
_FREE = np.array(NO_LIMITS, np.float32)


class Dense:
    """x [rows, depth] times weight [columns, depth] transposed, plus bias. `plain` does it while the library is being compiled."""

    def __init__(self, rows: int, depth: int, columns: int, plain: Any) -> None:
        self.rows, self.depth, self.columns = rows, depth, columns
        self._plain = plain
        self._full_depth = -(-depth // LANES) * LANES
        self._full_columns = -(-columns // LANES) * LANES
        self._padded = Scratch((rows, self._full_depth), np.dtype(np.float32), fill=0.0) if self._full_depth != depth else None
        self._wide = Scratch((rows, self._full_columns), np.dtype(np.float32)) if self._full_columns != columns else None
        places = np.arange(rows, dtype=np.int64)
        self._a_rows = places * (self._full_depth * _FLOAT)
        self._c_rows = places * (self._full_columns * _FLOAT)
        self._table = np.array([1, 0, 1, 0, self._full_depth // LANES, VECTOR_BYTES, VECTOR_BYTES], np.int64)
        self._packed: tuple[np.ndarray, np.ndarray | None, tuple[int | None, int | None], np.ndarray, np.ndarray] | None = None

    def _pack(self, weight: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        counts = versions.version(weight), 0 if bias is None else versions.version(bias)
        known = self._packed
        if known is None or known[0] is not weight or known[1] is not bias or known[2] != counts or None in counts:
            whole = np.zeros((self._full_depth, self.columns), np.float32)
            whole[:self.depth] = weight.T
            known = self._packed = weight, bias, counts, layouts.panels(whole), layouts.pack_bias(bias, self.columns)
        return known[3], known[4]

    def __call__(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, out: tuple[np.ndarray, ...]) -> None:
        entry = library.ready(self.rows * self.depth * self.columns)
        if entry is None or (versions.version(weight) is None and self.rows < 4 * MOST_ROWS):
            self._plain(x, weight, bias, out=out)     # packing would cost more than it gives
            return
        panels, start = self._pack(weight, bias)
        source = np.ascontiguousarray(x).reshape(self.rows, self.depth)
        target = out[0].reshape(self.rows, self.columns)
        if self._padded is None and self._wide is None:
            self._run(entry, source, panels, start, target)
        elif self._wide is None:
            assert self._padded is not None
            with self._padded.lend() as padded:
                padded[:, :self.depth] = source
                self._run(entry, padded, panels, start, target)
        else:
            with self._wide.lend() as wide:
                if self._padded is not None:
                    with self._padded.lend() as padded:
                        padded[:, :self.depth] = source
                        self._run(entry, padded, panels, start, wide)
                else:
                    self._run(entry, source, panels, start, wide)
                np.copyto(target, wide[:, :self.columns])

    def _run(self, entry: library.Entry, x: np.ndarray, panels: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
        by_panels = panels.nbytes > x.nbytes
        chunk = self.rows if by_panels else max(MOST_ROWS, CACHE_BYTES // (self._full_depth * _FLOAT) // MOST_ROWS * MOST_ROWS)
        words = np.array([x.ctypes.data, panels.ctypes.data, y.ctypes.data, bias.ctypes.data, 0, self._a_rows.ctypes.data,
                          self._c_rows.ctypes.data, self._table.ctypes.data, _FREE.ctypes.data, self.rows, self._full_columns // LANES,
                          self._full_depth * PANEL * VECTOR_BYTES, chunk, 1, 0, 0, by_panels], np.int64)
        call = np.array([library.NAMES.index("product"), words.ctypes.data], np.int64)
        work = self.rows * self._full_depth * self._full_columns
        team.run(entry, call, team.get_num_threads() if work >= team.ENOUGH else 1)
