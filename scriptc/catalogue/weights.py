"""Error codes of weights, W01xx: files from W0101, pickles from W0110, other formats from W0120, fitting from W0130."""
from scriptc.catalogue.entry import Entry

_DAMAGED = "the file is damaged; fetch it again, or save it again"
_STATE_DICT = ("where you trust the file and have PyTorch, load it and save only the weights: "
               "torch.save(model.state_dict(), 'weights.pt')")

ENTRIES: dict[str, Entry] = {
    "W0101": Entry("file not found", "there is no weights file {path}"),
    "W0102": Entry("file not readable", "the weights file cannot be read: {reason}"),
    "W0103": Entry("another format", "this is {format}, not a weights file", "{remedy}"),
    "W0104": Entry("unknown format", "a file that begins with {found} is no weights file scriptc knows",
                   "use safetensors, npz, or torch.save(model.state_dict(), FILE)"),
    "W0105": Entry("truncated file", "the file ends inside {what}", _DAMAGED),
    "W0106": Entry("malformed container", "{what}", _DAMAGED),
    "W0107": Entry("checksum differs", "the data of {name!r} does not match its checksum", _DAMAGED),
    "W0108": Entry("too large", "{what}: {found}, the limit is {limit}"),
    "W0110": Entry("refused symbol", "the checkpoint's pickle names {symbol}, which plain weights do not need; "
                                     "scriptc never imports or calls what a file names", _STATE_DICT),
    "W0111": Entry("a pickled object", "the checkpoint holds a whole pickled {symbol} object, not a state_dict",
                   _STATE_DICT),
    "W0112": Entry("refused pickle operation", "the checkpoint's pickle uses operation {found} (byte {offset}), "
                                               "which torch.save does not write by default",
                   "save it again with torch.save(state_dict, FILE), without pickle_protocol"),
    "W0113": Entry("malformed pickle", "byte {offset} of the checkpoint's pickle: {what}", _DAMAGED),
    "W0114": Entry("bad tensor", "byte {offset} of the checkpoint's pickle: a tensor {what}", _DAMAGED),
    "W0115": Entry("bad storage", "storage {key!r}: {what}", _DAMAGED),
    "W0116": Entry("byte order", "the checkpoint was saved on a big-endian machine",
                   "save it again on a little-endian one"),
    "W0120": Entry("malformed safetensors header", "{what}", _DAMAGED),
    "W0121": Entry("element type not supported", "tensor {name!r} has element type {found}", "known are {known}"),
    "W0122": Entry("malformed array", "array {name!r}: {what}", _DAMAGED),
    "W0123": Entry("bad element", "tensor {name!r} is bool, but holds bytes other than 0 and 1", _DAMAGED),
    "W0130": Entry("no weights", "the file holds no tensors{where}"),
    "W0131": Entry("several sets of weights", "the file holds several sets of weights, and none is called {known}",
                   "save the one you mean alone; found: {found}"),
    "W0132": Entry("no such part", "the file has no part {key!r}", "it has: {known}"),
    "W0140": Entry("weights are missing", "{count} of the model's {total} tensors are missing in the weights file"),
    "W0141": Entry("unexpected weights", "{count} tensors of the weights file are not in the model"),
    "W0142": Entry("shapes differ", "{count} tensors have another shape than in the model"),
    "W0143": Entry("element types differ", "{count} tensors have an element type that does not convert to the model's"),
}
