"""Write what is said now of each broken program into its file: `python -m tests.diagnostics [FILE...]`. Read the difference before you commit it."""
from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.diagnostics.harness import programs, told

if __name__ == "__main__":
    for path in [Path(a) for a in sys.argv[1:]] or sorted(Path(__file__).parent.glob("*.txt")):
        heads = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("### ")]
        blocks = []
        for head, program in zip(heads, programs(path), strict=True):
            with tempfile.TemporaryDirectory() as folder:
                blocks.append(f"{head}\n{program.source}---\n" + "".join(f"{line}\n" for line in told(program, Path(folder))))
        path.write_text("".join(blocks), encoding="utf-8")
