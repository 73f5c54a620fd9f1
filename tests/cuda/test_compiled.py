"""What kernels are compiled to, where numba-cuda is installed: no GPU is needed for it, but a process without the simulator."""
from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
def test_reductions_and_turned_copies_use_wide_accesses_and_no_local_memory() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    paths = [str(ROOT), str(ROOT / "runtime"), environment.get("PYTHONPATH", "")]
    done = subprocess.run([sys.executable, "-c", "import sys; from benchmarks.cuda.inspect import main; main(sys.argv[1:])", "mean", "permute"],
                          env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}, capture_output=True, text=True, timeout=600,
                          check=True)
    rows = [line.split(maxsplit=6) for line in done.stdout.splitlines()[1:]]
    assert rows and not [r for r in rows if "Error" in r[6]]
    assert not [r for r in rows if r[2] != "0" or r[4] != "0"], "local memory or spilled registers"
    whole = [r for r in rows if "'sum'" in r[6] and "threads=64, " in r[6]]
    assert whole and all(int(r[0]) >= 8 for r in whole)
