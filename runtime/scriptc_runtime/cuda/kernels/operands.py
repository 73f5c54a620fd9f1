"""How the blocks of a product's operands come from global into shared memory: the text of the copies, per kind of operand.

Every copy has a flag: where it is false, zeros arrive and nothing is read.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scriptc_runtime.cuda.kernels.layouts import Layout

DENSE, IMAGE = "dense", "image"


@dataclass(frozen=True, slots=True)
class Source:
    """What an operand of a product is made from.

    `dense`: a matrix; its element (row, k) is at base + row * ld + k if `deep`, else at base + k * ld + row.
    `planes`: a dense operand whose neighbours are the pixels of several images, element (row, (n, p)) at base + n * images + row * ld + p if `deep`,
    else element ((n, p), k) at base + n * images + k * ld + p. `vector`: 16-byte pieces are aligned and whole.
    `image`: windows of planes [N, C, H, W] by a table. Wide, rows are pixels and the depth runs over the elements of a window; deep, the depth
    runs over pixels and rows are the elements of a window (weight gradients).
    `taps`: wide, the depth runs over the places of the window and, innermost, over a number of channels that is a multiple of the block's depth;
    deep, rows are channels at the one place of the window that z counts.
    `upsample`: the window moves over planes with upsample - 1 zeros between their lines and columns (gradients of strided convolutions).
    """

    kind: str
    deep: bool
    vector: bool = False
    planes: bool = False
    taps: bool = False
    upsample: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    """One operand in a kernel: its name there (`a` or `b`), what it is, how its blocks lie and where in shared memory the first one does, and how
    many threads copy them."""

    name: str
    source: Source
    layout: Layout
    start: int
    threads: int

    @property
    def _piece(self) -> int:
        return self.layout.piece if self.source.vector else 1

    @property
    def _fast(self) -> int:
        """Pieces that lie side by side in a line."""
        return self.layout.pitch // self._piece

    @property
    def _apart(self) -> int:
        """Lines between two that one thread copies."""
        return self.threads // self._fast

    @property
    def _count(self) -> int:
        """Pieces that one thread copies."""
        assert self.threads % self._fast == 0 and self.layout.size % (self.threads * self._piece) == 0, self
        return self.layout.size // (self.threads * self._piece)

    def setup(self, first: str) -> Iterator[str]:
        """What a thread knows before the first copy; `first`: the block's first row in the whole operand."""
        n, source = self.name, self.source
        yield f"{n}_fast = (t % {self._fast}) * {self._piece}"
        yield f"{n}_line = t // {self._fast}"
        for i in range(max(1, self.layout.period // self._apart) if self._apart < self.layout.period else 1):
            line = f"{n}_line + {i * self._apart}"
            yield f"{n}_to{i} = " + (self.layout.text(line, f"{n}_fast") if source.deep else self.layout.text(f"{n}_fast", line))
        if source.deep:
            yield f"{n}_left = {n}_rows - {first} - {n}_line"        # rows from this thread's first on
            yield f"{n}_from = {n}_base + ({first} + {n}_line) * {n}_ld"
            yield f"{n}_step = {self._apart} * {n}_ld"
            if source.taps:
                yield f"{n}_no, {n}_dh, {n}_dw, {n}_no = load_4(table, 4 * z_inner)"
            return
        yield f"{n}_row = {first} + {n}_fast"
        if source.kind == DENSE:
            yield f"{n}_ok = {n}_row < {n}_rows"
            if source.planes:
                yield f"{n}_n = divide({n}_row, pixels)"
                yield f"{n}_from = {n}_base + {n}_n * {n}_images + {n}_row - {n}_n * pixels + {n}_line * {n}_ld"
            else:
                yield f"{n}_from = {n}_base + {n}_row + {n}_line * {n}_ld"
            yield f"{n}_step = {self._apart} * {n}_ld"
            return
        yield from self._pixel(f"{n}_row", f"{n}_row < {n}_rows", f"{n}_base")
        if source.taps:
            yield f"{n}_tap = divide(depth_start, channels)"
            yield f"{n}_c = depth_start - {n}_tap * channels"
            yield f"{n}_step = {self._apart} * {n}_ld"

    def _pixel(self, pixel: str, valid: str, base: str) -> Iterator[str]:
        """The top left of a pixel's window, and its image."""
        n = self.name
        yield f"{n}_n = divide({pixel}, pixels)"
        yield f"{n}_p = {pixel} - {n}_n * pixels"
        yield f"{n}_oh = divide({n}_p, out_width)"
        yield f"{n}_h0 = pick({valid}, {n}_oh * stride_h, -1073741824)"
        yield f"{n}_w0 = ({n}_p - {n}_oh * out_width) * stride_w"
        yield f"{n}_image = {base} + {n}_n * {n}_images"

    def _to(self, i: int) -> str:
        """Where piece `i` goes in the block."""
        turns = max(1, self.layout.period // self._apart) if self._apart < self.layout.period else 1
        further = (i // turns) * turns * self._apart * self.layout.pitch
        return f"{self.name}_stage + {self.name}_to{i % turns} + {further}"

    def _copied(self, i: int, index: str, flag: str) -> str:
        n = self.name
        if self.source.vector:
            return f"copy_async_16(shared, {self._to(i)}, {n}, {index}, {flag})"
        if self.layout.itemsize == 4:
            return f"copy_async_4(shared, {self._to(i)}, {n}, {index}, {flag})"
        return f"shared[{self._to(i)}] = {n}[{index}] if {flag} else nothing"

    def copies(self, stage: str, k0: str) -> Iterator[str]:
        """Copy the block at depth `k0` to `stage` (0 to STAGES - 1)."""
        n, source = self.name, self.source
        yield f"{n}_stage = {self.start} + {stage} * {self.layout.size}"
        if source.kind == IMAGE:
            yield from self._image_copies(k0)
        elif source.deep:
            yield f"{n}_k = {k0} + {n}_fast"
            yield f"{n}_ok = {n}_k < depth_end"
            if source.planes:
                yield f"{n}_n = divide({n}_k, pixels)"
                yield f"{n}_at = {n}_from + {n}_n * {n}_images + {n}_k - {n}_n * pixels"
            else:
                yield f"{n}_at = {n}_from + {n}_k"
            for i in range(self._count):
                yield self._copied(i, f"{n}_at + {i} * {n}_step", f"{n}_ok & ({i * self._apart} < {n}_left)")
        else:
            yield f"{n}_at = {n}_from + {k0} * {n}_ld"
            yield f"{n}_end = depth_end - {k0} - {n}_line"
            for i in range(self._count):
                yield self._copied(i, f"{n}_at + {i} * {n}_step", f"{n}_ok & ({i * self._apart} < {n}_end)")

    def _image_copies(self, k0: str) -> Iterator[str]:
        n = self.name
        if self.source.deep:
            yield f"{n}_k = {k0} + {n}_fast"
            yield from self._pixel(f"{n}_k", f"{n}_k < depth_end", f"{n}_from" if self.source.taps else f"{n}_base")
            if self.source.taps:
                yield from self._place()
            for i in range(self._count):
                flag = f"{n}_go & ({i * self._apart} < {n}_left)"
                if self.source.taps:
                    yield self._copied(i, f"{n}_at + {i} * {n}_step", flag)
                    continue
                yield f"{n}_off, {n}_dh, {n}_dw, {n}_no = load_4(table, 4 * ({n}_rows - max({n}_left - {i * self._apart}, 1)))"
                yield from self._place()
                yield self._copied(i, f"{n}_at + {n}_off", flag)
        elif self.source.taps:
            yield f"{n}_no, {n}_dh, {n}_dw, {n}_no = load_4(table, 4 * {n}_tap)"
            yield from self._place()
            yield f"{n}_at += ({n}_c + {n}_line) * {n}_ld"
            for i in range(self._count):
                yield self._copied(i, f"{n}_at + {i} * {n}_step", f"{n}_go")
            yield f"{n}_c += {self.layout.depth}"
            yield f"{n}_tap = pick({n}_c < channels, {n}_tap, {n}_tap + 1)"
            yield f"{n}_c = pick({n}_c < channels, {n}_c, 0)"
        else:
            for i in range(self._count):
                yield f"{n}_k = {k0} + {n}_line + {i * self._apart}"
                yield f"{n}_off, {n}_dh, {n}_dw, {n}_no = load_4(table, 4 * pick({n}_k < depth_end, {n}_k, depth_all))"
                yield from self._place()
                yield self._copied(i, f"{n}_at + {n}_off", f"{n}_go")

    def _place(self) -> Iterator[str]:
        """Where the window's element (dh, dw) lies in its plane, and whether it is there."""
        n = self.name
        yield f"{n}_h = {n}_h0 + {n}_dh"
        yield f"{n}_w = {n}_w0 + {n}_dw"
        yield f"{n}_go = ({n}_h >= 0) & ({n}_w >= 0)"
        if self.source.upsample > 1:
            s = self.source.upsample
            yield f"{n}_go = {n}_go & ({n}_h % {s} == 0) & ({n}_w % {s} == 0)"
            yield f"{n}_h = {n}_h // {s}"
            yield f"{n}_w = {n}_w // {s}"
        yield f"{n}_go = {n}_go & ({n}_h < height) & ({n}_w < width)"
        yield f"{n}_at = {n}_image + {n}_h * width + {n}_w"
