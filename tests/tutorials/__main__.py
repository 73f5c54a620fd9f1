"""Write what the commands of the tutorials print into their pages."""
from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.tutorials.harness import FOLDER, prepare, run, steps


def main(names: list[str]) -> None:
    for path in sorted(FOLDER.glob("*.md")):
        if path.name == "README.md" or (names and path.stem not in names):
            continue
        page = path.read_text()
        made, position = "", 0
        with tempfile.TemporaryDirectory() as folder:
            environment = prepare(Path(folder))
            for block, output in steps(page):
                printed = run(block, Path(folder), environment)
                if output is not None:
                    made += page[position:output.start] + f"```text\n{printed}```\n"
                    position = output.end
        path.write_text(made + page[position:])
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
