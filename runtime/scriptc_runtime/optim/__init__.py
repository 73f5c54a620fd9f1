"""Optimizers with torch's names, defaults, formulas and state_dict entries, over numpy.

In: parameters with gradients. Out: the parameters, updated in place; state to save and load.
"""
from scriptc_runtime.optim import lr_scheduler
from scriptc_runtime.optim.adam import Adam, AdamW
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
