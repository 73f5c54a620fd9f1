"""A whole training step as one function.

In: a model, a loss in Python, an optimizer. Out: `TrainStep`, called with a batch. `joint` records the loss behind the model, `program` adds
backward, clipping and the optimizer's rule, `step` runs the plan of it all on the model's own memory.
"""
from scriptc_runtime.training.step import TrainStep, train_step

__all__ = ["TrainStep", "train_step"]
