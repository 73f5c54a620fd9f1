"""What is refused, with which code, on which line."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from scriptc.errors import CompileError
from scriptc.frontend.stage import Compiled
from tests.frontend.conftest import HEADER

FIRST = HEADER.count("\n")

CASES = {
    "linear features": ("class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(64, 10)\n"
                        "    def forward(self, x):\n        return self.fc(x)\n", ("x:float32[N,32]",), "E0465", 6),
    "undefined name": ("class Net(nn.Module):\n    def forward(self, x):\n        return torch.relu(xx)\n", ("x:float32[N]",), "E0203", 3),
    "broadcast": ("def f(x, y):\n    return x + y\n", ("x:float32[2,3]", "y:float32[2,4]"), "E0410", 2),
    "missing attribute": ("class Net(nn.Module):\n    def forward(self, x):\n        return self.nothing(x)\n", ("x:float32[N]",), "E0204", 3),
    "raise in a constructor": ("class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        raise ValueError('no')\n",
                               ("x:float32[N]",), "E0204", 4),
    "one branch only": ("def f(x):\n    if x.sum() > 0:\n        y = x\n    return y\n", ("x:float32[N]",), "E0210", 4),
    "unavailable package": ("import nowhere\ndef f(x):\n    return nowhere.g(x)\n", ("x:float32[N]",), "E0220", 3),
    "eval": ("def f(x):\n    return eval('x')\n", ("x:float32[N]",), "E0202", 2),
}


@pytest.mark.parametrize("name", CASES)
def test_faults_are_named_at_their_line(name: str, compile_text: Callable[..., Compiled]) -> None:
    text, inputs, code, line = CASES[name]
    with pytest.raises(CompileError) as refused:
        compile_text(text, "Net()" if "class Net" in text else "f", inputs)
    found = refused.value.diagnostics[0]
    assert found.code == code, str(refused.value)
    assert found.location is not None and found.location.span is not None
    assert found.location.span.line == FIRST + line
    assert "^" in str(refused.value)


@pytest.mark.parametrize("text", ["x:float33[N]", "x:float32[N", "x=(", "x:float32[a b]"])
def test_bad_inputs_are_refused(text: str, compile_text: Callable[..., Compiled]) -> None:
    with pytest.raises(CompileError) as refused:
        compile_text("def f(x):\n    return x\n", "f", (text,))
    assert refused.value.code == "E0231"
