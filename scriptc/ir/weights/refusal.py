"""The one way a weights file is refused."""
from __future__ import annotations

from pathlib import Path

from scriptc.errors import WeightsError, diagnostic


def refuse(path: Path, reason: str) -> WeightsError:
    """W0103 with the reason."""
    return WeightsError(diagnostic("W0103", path=str(path), reason=reason))
