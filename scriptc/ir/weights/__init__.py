"""Weights files: safetensors, npz and PyTorch checkpoints, read without PyTorch and without trusting the file.

In: a path, and the names, shapes and dtypes a model expects. Out: read-only arrays by name, or WeightsError.
Nothing in a file is imported, called or executed: a pickle is read as a small data language with a fixed vocabulary.
"""
from scriptc.ir.weights.names import Matched, match_names
from scriptc.ir.weights.read import Weights, read_tree, read_weights

__all__ = ["Matched", "Weights", "match_names", "read_tree", "read_weights"]
