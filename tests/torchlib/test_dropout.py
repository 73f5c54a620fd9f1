"""What can be said of random layers whose numbers are our own: what is dropped together, how often, and what is kept in the mean."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scriptc.frontend.stage import compile_source
from scriptc.interp.interpreter import run_function


def result(expression: str, x: np.ndarray, folder: Path) -> np.ndarray:
    path = folder / "model.py"
    path.write_text(f"import torch\nimport torch.nn as nn\nfrom torch.nn import functional as F\n\n\ndef f(x):\n    return {expression}\n")
    compiled = compile_source(path, entry="f", inputs=[f"x:float32[{','.join(map(str, x.shape))}]"], seed=3)
    return np.asarray(run_function(compiled.program.functions["forward"], [x.copy()], compiled.tensors).results[0])


@pytest.mark.parametrize(("expression", "shape", "together"), [
    ("F.dropout(x, 0.25)", (100, 200), ()), ("F.dropout1d(x, 0.25)", (50, 60, 7), (2,)), ("F.dropout1d(x, 0.25)", (2000, 7), (1,)),
    ("F.dropout2d(x, 0.25)", (50, 60, 3, 5), (2, 3)), ("F.dropout2d(x, 0.25)", (50, 60, 5), (2,)),
    ("F.dropout3d(x, 0.25)", (50, 60, 3, 2, 2), (2, 3, 4)),
    ("F.dropout3d(x, 0.25)", (2000, 3, 2, 2), (1, 2, 3)), ("nn.functional.dropout(x, p=0.25, training=True, inplace=True)", (100, 100), ()),
])
def test_dropped_parts_are_whole_and_the_rest_scaled(expression: str, shape: tuple[int, ...], together: tuple[int, ...], tmp_path: Path) -> None:
    found = result(expression, np.ones(shape, np.float32), tmp_path)
    assert set(np.unique(found).tolist()) == {0.0, np.float32(1 / 0.75)}
    assert abs((found == 0).mean() - 0.25) < 0.05
    if together:
        assert (np.ptp(found, axis=together) == 0).all()


@pytest.mark.parametrize(("expression", "shape"), [
    ("F.alpha_dropout(x, 0.2, True)", (200, 200)), ("F.feature_alpha_dropout(x, 0.2, True)", (200, 200, 2, 2))])
def test_alpha_dropout_keeps_mean_and_variance(expression: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    found = result(expression, np.random.default_rng(0).standard_normal(shape).astype(np.float32), tmp_path)
    assert abs(found.mean()) < 0.03
    assert abs(found.var() - 1) < 0.05


def test_rrelu_draws_slopes_between_its_bounds(tmp_path: Path) -> None:
    found = result("F.rrelu(x, 0.2, 0.4, training=True)", np.concatenate([np.full(500, -1), np.ones(500)]).astype(np.float32), tmp_path)
    assert (found[500:] == 1).all()
    assert -0.4 <= found[:500].min() < found[:500].max() <= -0.2
    assert abs(found[:500].mean() + 0.3) < 0.02


def test_soft_gumbel_samples_are_distributions(tmp_path: Path) -> None:
    found = result("F.gumbel_softmax(x, tau=0.5)", np.tile(np.log(np.array([[0.7, 0.2, 0.1]], np.float32)), (3000, 1)), tmp_path)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert abs((found.argmax(1) == 0).mean() - 0.7) < 0.03
