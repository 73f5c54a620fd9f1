"""How a block of an operand lies in shared memory, so that lanes which read together read from different banks.

`deep`: the elements of the depth are neighbours, else those of the rows. Pieces of 16 bytes are permuted, nothing is padded.
"""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """`rows` x `depth` elements of `itemsize` bytes."""

    deep: bool
    rows: int
    depth: int
    itemsize: int = 4

    @property
    def piece(self) -> int:
        """Elements in 16 bytes."""
        return 16 // self.itemsize

    @property
    def pieces(self) -> int:
        """Pieces of a row: 4 or 8 if deep."""
        return self.depth // self.piece

    @property
    def size(self) -> int:
        return self.rows * self.depth

    def place(self, row: int, k: int) -> int:
        """Where element (row, k) lies."""
        if self.deep:
            key = row & 7 if self.pieces == 8 else row >> 1 & 3
            return row * self.depth + ((k // self.piece) ^ key) * self.piece + k % self.piece
        if self.itemsize == 4:
            return k * self.rows + (row ^ 8 * (k & 3))
        return k * self.rows + ((row >> 3) ^ (k & self.mask)) * 8 + (row & 7)

    @property
    def mask(self) -> int:
        """Of wide half types: by how many pieces a line is permuted at most."""
        return min(self.rows // 8, 8) - 1

    def text(self, row: str, k: str) -> str:
        """`place` in a kernel's words."""
        if self.deep:
            piece, key = self.piece, f"(({row}) & 7)" if self.pieces == 8 else f"((({row}) >> 1) & 3)"
            return f"({row}) * {self.depth} + ((({k}) >> {piece.bit_length() - 1}) ^ {key}) * {piece} + (({k}) & {piece - 1})"
        if self.itemsize == 4:
            return f"({k}) * {self.rows} + (({row}) ^ (8 * (({k}) & 3)))"
        return f"({k}) * {self.rows} + ((({row}) >> 3) ^ (({k}) & {self.mask})) * 8 + (({row}) & 7)"

    @property
    def period(self) -> int:
        """Lines (rows if deep, else steps of the depth) after which places differ by a constant only."""
        return 8 if self.deep or self.itemsize == 2 else 4

    @property
    def pitch(self) -> int:
        """Elements of a line."""
        return self.depth if self.deep else self.rows
