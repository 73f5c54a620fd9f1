"""Error codes of weights files, W01xx."""
from scriptc.catalogue.entry import Entry

ENTRIES: dict[str, Entry] = {
    "W0101": Entry("weights file not found", "there is no file {path}"),
    "W0102": Entry("unknown kind of weights file", "{path}: {found}",
                   "give a safetensors, npz, or PyTorch checkpoint file (torch.save of a state_dict)"),
    "W0103": Entry("damaged or unsafe weights file", "{path}: {reason}"),
    "W0104": Entry("the checkpoint refers to code", "{path}: it refers to {symbol}, which is not data",
                   "save the state_dict, not the whole module: torch.save(model.state_dict(), ...)"),
    "W0105": Entry("weights do not fit", "{path}: {summary}",
                   "check --entry and its arguments; --no-strict accepts names that are missing or left over"),
    "W0106": Entry("no tensors", "{path}: no tensors were found in it"),
}
