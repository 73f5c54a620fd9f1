"""The CUDA engine: `check` compares everything it does with the CPU, `speed` its times with torch's on the same GPU, `inspect` looks at kernels."""
from __future__ import annotations

import json
from pathlib import Path


def main(names: list[str], *, checking: bool, inspecting: bool, workers: int | None, rounds: int, written: Path | None) -> int:
    """Run the checks or the measurements; an exit code."""
    if checking:
        from benchmarks.cuda import check

        return int(check.main(names, workers) > 0)
    if inspecting:
        from benchmarks.cuda import inspect

        return inspect.main(names)
    from benchmarks.cuda import speed

    rows = list(speed.rows(names, rounds))
    if written:
        written.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0
