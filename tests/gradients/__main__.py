"""The gradients of whole models beside torch's: python -m tests.gradients SITE [MODEL ...]

SITE is the folder that `scripts/model-packages SITE` has filled. A model passes where float32 is within 1e-3 of torch's, or, where rounding alone
drives torch further from double precision than that, as near to it as torch, and in double precision within 1e-6.
"""
from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from pathlib import Path

from tests.gradients.measure import Row, measured
from tests.gradients.models import MODELS

ASKED = 1e-3            # of float32 to torch
PRECISE = 1e-6          # of double precision: constants that the sources make in float32 stay what they are


def verdict(row: Row) -> str:
    """What a row shows."""
    if row.double[0] > PRECISE:
        return "DIFFERS in double precision"
    if row.error[0] <= ASKED:
        return "agrees"
    return "as near to double precision as torch" if row.own[0] <= 2 * row.rounding[0] else "LESS ACCURATE than torch"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.gradients", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"some of {', '.join(MODELS)}")
    options = parser.parse_args()
    failed = 0
    for name in options.models or MODELS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows = measured(name, options.site, Path(folder))
            except Exception:
                failed += 1
                print(f"{name:<19} failed\n{traceback.format_exc(limit=-3)}", flush=True)
                continue
        for row in rows:
            answer = verdict(row)
            failed += answer[0].isupper()
            print(f"{row}  {answer}", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
