"""Optimizers with torch's names, defaults, formulas and state_dict entries: each an expression that one native call applies.

In: parameters with gradients. Out: the parameters, updated in place; state to save and load.
"""
from scriptc_runtime.optim import lr_scheduler
from scriptc_runtime.optim.adafactor import Adafactor
from scriptc_runtime.optim.adam import Adam, AdamW
from scriptc_runtime.optim.adam_variants import Adamax, Lion, NAdam, RAdam
from scriptc_runtime.optim.adaptive import Adadelta, Adagrad, RMSprop
from scriptc_runtime.optim.asgd import ASGD
from scriptc_runtime.optim.base import Optimizer
from scriptc_runtime.optim.lbfgs import LBFGS
from scriptc_runtime.optim.rprop import Rprop
from scriptc_runtime.optim.sgd import SGD

__all__ = [
    "ASGD", "LBFGS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "NAdam", "Optimizer", "RAdam", "RMSprop", "Rprop",
    "lr_scheduler",
]
