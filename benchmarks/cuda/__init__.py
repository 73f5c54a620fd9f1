"""The CUDA engine: `check` compares everything it does with the CPU, `speed` compares its times with torch's on the same GPU."""
from __future__ import annotations

import json
from pathlib import Path


def main(names: list[str], *, checking: bool, workers: int | None, rounds: int, written: Path | None) -> int:
    """Run the checks or the measurements; an exit code."""
    if checking:
        from benchmarks.cuda import check

        return int(check.main(names, workers) > 0)
    from benchmarks.cuda import speed

    rows = list(speed.rows(names, rounds))
    if written:
        written.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0
