"""`scriptc.utils`: data sets and loaders by torch's import paths (`from scriptc.utils.data import DataLoader`)."""
from scriptc_runtime.utils import data

__all__ = ["data"]
