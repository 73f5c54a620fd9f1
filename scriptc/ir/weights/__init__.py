"""Weights files: safetensors, npz and PyTorch checkpoints (zip and legacy), read without executing anything.

In: a path. Out: a plain tree of numpy arrays, and names matched against what a model expects.
"""
from scriptc.ir.weights.names import Matched, match_names
from scriptc.ir.weights.read import Weights, read_tree, read_weights

__all__ = ["Matched", "Weights", "match_names", "read_tree", "read_weights"]
