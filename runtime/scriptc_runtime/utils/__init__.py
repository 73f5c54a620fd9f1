"""`scriptc.utils`, by torch's name: the folder of `data`.

In: datasets. Out: batches.
"""
from scriptc_runtime.utils import data

__all__ = ["data"]
