"""`scriptc.utils.data`: datasets, samplers and the loader, with torch's names, and torch's order for the same seed.

In: arrays, or anything that is indexed or iterated. Out: batches of tensors.
"""
from scriptc_runtime.utils.data.collate import default_collate, default_convert
from scriptc_runtime.utils.data.dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from scriptc_runtime.utils.data.loader import DataLoader
from scriptc_runtime.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from scriptc_runtime.utils.data.workers import WorkerInfo, get_worker_info

__all__ = [
    "BatchSampler", "ConcatDataset", "DataLoader", "Dataset", "IterableDataset", "RandomSampler", "Sampler", "SequentialSampler",
    "Subset", "SubsetRandomSampler", "TensorDataset", "WeightedRandomSampler", "WorkerInfo", "default_collate", "default_convert",
    "get_worker_info", "random_split",
]
