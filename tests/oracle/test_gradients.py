"""The gradients of small models from real packages are torch's: float32 within 1e-3, double precision within 1e-6."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.gradients.__main__ import ASKED, PRECISE
from tests.gradients.models import QUICK

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("name", QUICK)
def test_gradients_are_torchs(name: str, site: Path, hub: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.gradients.measure import measured

    for row in measured(name, site, tmp_path):
        assert row.error[0] <= ASKED, row
        assert row.double[0] <= PRECISE, row
