"""Where the model packages lie: SCRIPTC_TEST_SITE names the folder that scripts/model-packages filled."""
from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the packages. In CI it must be there; elsewhere its tests are skipped."""
    folder = os.environ.get("SCRIPTC_TEST_SITE", "")
    if not folder or not Path(folder).is_dir():
        if os.environ.get("CI"):
            pytest.fail("SCRIPTC_TEST_SITE names no folder: run scripts/model-packages")
        pytest.skip("SCRIPTC_TEST_SITE is not set: run scripts/model-packages FOLDER")
    return Path(folder)


@pytest.fixture(scope="session")
def hub(site: Path) -> Path:
    """The folder of transformers and of what it imports."""
    folder = site.with_name(f"{site.name}-hub")
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder} is missing: run scripts/model-packages")
        pytest.skip(f"{folder} is missing: run scripts/model-packages FOLDER")
    return folder
