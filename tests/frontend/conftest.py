"""Fixtures for front-end tests: compile a few lines of source."""
from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from scriptc.compiler import optimized
from scriptc.frontend.stage import Compiled, compile_source
from scriptc.ir.verify import verify

HEADER = """import math
import torch
import torch.nn as nn
import torch.nn.functional as F
from typing import *
from torch import Tensor
"""


@pytest.fixture
def compile_text(tmp_path: Path) -> Callable[..., Compiled]:
    """Compile source text (with the usual imports before it), verify the program before and after the passes."""
    def run(text: str, entry: str | None = None, inputs: tuple[str, ...] = (), header: str = HEADER) -> Compiled:
        path = tmp_path / "model.py"
        path.write_text(header + textwrap.dedent(text))
        compiled = compile_source(path, entry=entry, inputs=inputs)
        verify(compiled.program)
        result = optimized(compiled, [])
        verify(result.program)
        return result
    return run
