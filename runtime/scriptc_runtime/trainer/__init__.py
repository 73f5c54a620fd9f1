"""Training an archive from data files: what `scriptc train` does, for Python.

In: an archive, `Settings`. Out: a trained archive, checkpoints to resume from, logs.
"""
from scriptc_runtime.trainer.run import Interrupted, Result, Trainer
from scriptc_runtime.trainer.settings import Settings

__all__ = ["Interrupted", "Result", "Settings", "Trainer"]
