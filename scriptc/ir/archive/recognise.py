"""Other formats, told by their content, with what to do about them."""
from __future__ import annotations

from typing import NamedTuple

_WEIGHTS = "it holds weights, not a program: scriptc compile MODEL.py --weights FILE -o OUT.pt"
_STATE = ("save its weights with torch.save(model.state_dict(), 'weights.pt'), "
          "then scriptc compile MODEL.py --weights weights.pt -o OUT.pt")
_SOURCE = "compile the model from its PyTorch source: scriptc compile MODEL.py -o OUT.pt"
_UNPACK = "decompress it first"


class Foreign(NamedTuple):
    """A format that is not ours: its name, and what the user can do."""

    format: str
    remedy: str


# (offset, bytes there, what it is); the first match counts.
_MAGIC: tuple[tuple[int, bytes, Foreign], ...] = (
    (0, b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", Foreign("a PyTorch checkpoint from before 1.6", _WEIGHTS)),
    (0, b"\x89HDF\r\n\x1a\n", Foreign("an HDF5 file", "convert its weights to npz or safetensors")),
    (0, b"\x93NUMPY", Foreign("a numpy array (.npy)", "it is no program: scriptc run ARCHIVE --input NAME=FILE")),
    (0, b"GGUF", Foreign("a GGUF file", _SOURCE)),
    (4, b"TFL3", Foreign("a TensorFlow Lite model", _SOURCE)),
    (4, b"ET12", Foreign("an ExecuTorch program", _SOURCE)),
    (257, b"ustar", Foreign("a tar archive", "PyTorch's oldest checkpoints are tar files: " + _STATE)),
    (0, b"\x1f\x8b", Foreign("a gzip file", _UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Foreign("a zstd file", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Foreign("a 7z archive", _UNPACK)),
)
_ZIP = b"PK\x03\x04"
_ZIP_NAME = slice(30, 30 + 256)  # a local header is 30 bytes, then the first member's name
EDGE_BYTES = 1 << 16


def recognise(first: bytes, last: bytes) -> Foreign | None:
    """What a file is whose first and last bytes (up to `EDGE_BYTES` each) are these; None if unknown."""
    for offset, magic, foreign in _MAGIC:
        if first[offset:offset + len(magic)] == magic:
            return foreign
    if first.startswith(_ZIP):
        return _recognise_zip(first, last)
    if first[:1] == b"\x80" and first[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return Foreign("a pickle", _STATE)
    if 2 <= int.from_bytes(first[:8], "little") <= 100 << 20 and first[8:9] == b"{":
        return Foreign("a safetensors file", _WEIGHTS)
    # ONNX is bare protobuf: ir_version (field 1), then producer, graph or opset_import.
    if first[:1] == b"\x08" and first[1:2] <= b"\x20" and first[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42"):
        return Foreign("an ONNX model", _SOURCE)
    return None


def _recognise_zip(first: bytes, last: bytes) -> Foreign:
    """By member names, which stand in the local headers and again in the directory at the end."""
    edges = first + last
    if b"/constants.pkl" in edges or b"/code/" in edges:
        return Foreign("a TorchScript archive", _STATE)
    if b"archive_format" in edges or b"models/model.json" in edges:
        return Foreign("a torch.export program (.pt2)", _STATE)
    if b"data.pkl" in edges:
        return Foreign("a PyTorch checkpoint", _WEIGHTS)
    if b".npy" in first[_ZIP_NAME]:
        return Foreign("a numpy archive (.npz)", _WEIGHTS)
    if b"config.json" in edges and b".weights.h5" in edges:
        return Foreign("a Keras model", "convert its weights to npz or safetensors")
    return Foreign("a zip file", _WEIGHTS)
