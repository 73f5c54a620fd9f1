"""numpy while a model is built: what is known is computed, what is not is refused with its place."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scriptc.errors import CompileError
from scriptc.frontend.stage import compile_source
from scriptc.interp.interpreter import run_function


def compiled(source: str, tmp_path: Path) -> list[np.ndarray]:
    path = tmp_path / "program.py"
    path.write_text("import numpy as np\nimport torch\n" + source, encoding="utf-8")
    made = compile_source(path, entry="f", inputs=["float32[3]"])
    return list(run_function(made.program.functions["forward"], [np.arange(3, dtype=np.float32)], made.tensors).results)


def test_an_array_is_computed_when_the_model_is_built(tmp_path: Path) -> None:
    out, = compiled("scale = np.linspace(1, 2, 3) ** 2\ndef f(x):\n    return x * torch.from_numpy(scale).float()", tmp_path)
    np.testing.assert_allclose(out, np.arange(3) * np.linspace(1, 2, 3) ** 2, rtol=1e-6)


@pytest.mark.parametrize(("body", "code"), [
    ("return torch.from_numpy(np.cumsum([x.sum().item(), 2.0]))", "E0211"),
    ("return x + float(np.sum(x))", "E0211"),
    ("return x + np.zeros((100000, 100000, 100))[0, 0, 0]", "E0201"),
    ("return x + float(np.ones(3) @ np.ones(4))", "E0204"),
])
def test_what_numpy_cannot_do_here_is_a_located_error(body: str, code: str, tmp_path: Path) -> None:
    with pytest.raises(CompileError) as caught:
        compiled(f"def f(x):\n    {body}", tmp_path)
    assert caught.value.diagnostics[0].code == code
    assert "program.py" in str(caught.value)
