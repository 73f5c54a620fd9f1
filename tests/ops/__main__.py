"""Gradcheck over every differentiable op, in double precision: python -m tests.ops [OP ...]

Per op: how many samples, the largest relative distance of its gradients along a random direction from difference quotients, and how many samples
agree with torch.autograd (within 1e-10). An op without a sample is told, and so is one whose distance is above 1e-6.
"""
from __future__ import annotations

import importlib.util
import sys
import warnings
from collections import defaultdict

from scriptc.ir.registry import REGISTRY
from tests.ops.agreement import GRADIENT_TOLERANCE, check_torch_gradient, slopes
from tests.ops.test_lists import PROGRAMS
from tests.ops.test_samples import DIFFERENTIABLE
from tests.samples import Sample

WITH_TORCH = importlib.util.find_spec("torch") is not None


def distance(sample: Sample) -> float:
    """How far the gradients are from the differences: relative, or absolute where they are small."""
    along, slope = slopes(sample)
    return abs(along - slope) / max(1.0, abs(slope))


def agrees_with_torch(sample: Sample) -> bool:
    try:
        check_torch_gradient(sample)
    except AssertionError:
        return False
    return True


def main() -> None:
    warnings.simplefilter("ignore")
    samples: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in DIFFERENTIABLE:
        samples[sample.op].append(sample)
    lists = {name.partition(",")[0] for name in PROGRAMS} | {"optional_wrap"}
    bad = 0
    wanted = [n for n, op in REGISTRY.items() if op.vjp is not None and (not sys.argv[1:] or n in sys.argv[1:])]
    for name in sorted(wanted):
        if name in lists:
            print(f"{name:<32} in programs on lists: tests/ops/test_lists.py")
            continue
        given = samples[name]
        by_differences = [distance(s) for s in given if s.differences]
        by_torch = [agrees_with_torch(s) for s in given if s.torch] if WITH_TORCH else []
        worst = max(by_differences, default=0.0)
        failed = not given or worst > GRADIENT_TOLERANCE or not all(by_torch)
        bad += failed
        print(f"{name:<32} {len(given):3} samples  differences: {len(by_differences):3}, worst {worst:.1e}  torch: {sum(by_torch)} of {len(by_torch)}"
              f"{'  FAILED' if failed else ''}", flush=True)
    print(f"{len(wanted)} differentiable ops, {bad} without a sample or beyond {GRADIENT_TOLERANCE}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
