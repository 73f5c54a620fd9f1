"""Products of matrices that both change from call to call, as a command."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scriptc_runtime.cpu.driver.native import In, Native, Out
from scriptc_runtime.cpu.tiles import product_commands
from scriptc_runtime.cpu.tiles.attention_commands import Operand
from scriptc_runtime.cpu.tiles.commands import At, Command
from scriptc_runtime.cpu.tiles.product_commands import is_column_major, is_row_major


class NativeMatmul(Native):
    """torch.matmul of any ranks: vectors are matrices of one row or column, batches are repeated where they are 1."""

    kernels = "matmul", "matvec", "copy"

    def __init__(self, work: int) -> None:
        self.work = work

    def takes(self, index: int, operand: np.ndarray) -> bool:
        """Rows or columns whose elements are neighbours."""
        return is_row_major(operand) or (operand.ndim > 1 and is_column_major(operand))

    def commands(self, operands: Sequence[Any], results: Sequence[np.ndarray], threads: int) -> list[Command] | None:
        """One command."""
        a, b = operands
        a, b = a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        c = results[0].reshape(*lead, a.shape[-2], b.shape[-1])
        return [product_commands.matmul(Operand(a, At(In(0))), Operand(b, At(In(1))), Operand(c, At(Out(0))), threads)]
