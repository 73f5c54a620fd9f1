"""How the readers of this folder refuse: one line at each check."""
from __future__ import annotations

from typing import Any

from scriptc.errors import WeightsError, diagnostic


def refusal(code: str, **values: Any) -> WeightsError:
    """The error to raise, from the catalogue."""
    return WeightsError(diagnostic(code, **values))


def need(condition: bool, code: str, **values: Any) -> None:
    """WeightsError `code` unless `condition`; `values` must be cheap, since they are always evaluated."""
    if not condition:
        raise refusal(code, **values)
