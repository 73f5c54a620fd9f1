"""Forges of weights files: zip checkpoints around any pickle, safetensors around any header."""
from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent / "golden"


def zip_file(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file of the members, with right checksums."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name), raw, method)
    return out.getvalue()


def checkpoint(pickled: bytes, storages: Mapping[str, bytes] | None = None, **more: bytes) -> bytes:
    """A zip checkpoint around a pickle."""
    members = {"a/data.pkl": pickled, **{f"a/{name}": raw for name, raw in more.items()}}
    return zip_file(members | {f"a/data/{key}": raw for key, raw in (storages or {}).items()})


def tensor_pickle(count: int = 6, offset: int = 0, shape: tuple[int, ...] = (2, 3),
                  strides: tuple[int, ...] = (3, 1), *, storage: bytes = b"ctorch\nFloatStorage\n", key: str = "0") -> bytes:
    """The pickle of {"w": tensor}, as torch.save spells it."""
    return (b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + storage + text(key)
            + text("cpu") + number(count) + b"tQ" + number(offset) + sizes(shape) + sizes(strides)
            + b"\x89ccollections\nOrderedDict\n)RtRs.")


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def sizes(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def safetensors_file(header: Any, body: bytes = b"") -> bytes:
    """A safetensors file around a header, which is encoded unless it is bytes."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + body


def same(left: np.ndarray, right: np.ndarray) -> bool:
    """Same dtype, shape and bytes."""
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def named_calls(command: str) -> list[bytes]:
    """Pickles that would run a shell command if what they name were called."""
    calls = [b"cos\nsystem\n" + text(command) + b"\x85R", b"cposix\nsystem\n" + text(command) + b"\x85R",
             b"(" + text(command) + b"ios\nsystem\n", b"(cos\nsystem\n" + text(command) + b"o",
             b"cbuiltins\neval\n" + text(f"__import__('os').system({command!r})") + b"\x85R",
             b"csubprocess\ngetoutput\n" + text(command) + b"\x85R"]
    return [b"\x80\x02}" + text("w") + call + b"s." for call in calls]
