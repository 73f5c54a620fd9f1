"""Surgery on loaded models: heads, adapters, fresh weights, storage; all saved with their history."""
from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scriptc_runtime import Module, load, optim, surgery
from scriptc_runtime.nn import functional

import scriptc
from scriptc.errors import CallError
from scriptc.ir.equality import equal_functions, equal_programs
from scriptc.ir.history import Change

SOURCE = '''
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Linear(8, 8)
        self.value = nn.Linear(8, 8, bias=False)
        self.table = nn.Parameter(torch.eye(8))

    def forward(self, x):
        for _ in range(int(x.shape[0])):
            x = torch.tanh(self.query(x)) + self.value(x)
        return x @ self.table


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3, padding=1, stride=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.embedding = nn.Embedding(8, 8, padding_idx=0)
        self.block = Block()
        self.drop = nn.Dropout(0.25)
        self.fc = nn.Linear(8, 6)

    def forward(self, x):
        x = self.norm(self.depthwise(torch.relu(self.conv(x))))
        x = x.mean((2, 3)) + self.embedding(torch.tensor(3))
        return self.fc(self.drop(self.block(x)))


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 6)
        self.tied = nn.Linear(6, 6, bias=False)
        self.other = nn.Linear(6, 6, bias=False)
        self.other.weight = self.tied.weight

    def forward(self, x):
        return self.other(self.tied(self.fc(x).reshape(-1, 2, 3).flatten(1)))
'''
X = np.random.default_rng(0).standard_normal((2, 2, 6, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("surgery") / "model.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture(scope="module")
def compiled(source: Path) -> Module:
    return scriptc.compile(source, entry="Net()", inputs=["x:float32[2,2,6,6]"])


@pytest.fixture(scope="module")
def fixed(source: Path) -> Module:
    return scriptc.compile(source, entry="Fixed()", inputs=["x:float32[N,4]"])


@pytest.fixture
def model(compiled: Module) -> Module:
    return copy.deepcopy(compiled)


def output(model: Module) -> np.ndarray:
    with scriptc.no_grad():
        return np.array(model(X))


def disturb(model: Module) -> None:
    rng = np.random.default_rng(1)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.copy_((0.3 * rng.standard_normal(parameter.shape)).astype(parameter.numpy().dtype))


def reloaded(model: Module, folder: Path) -> Module:
    model.save(folder / "changed.pt")
    return load(folder / "changed.pt")


# Heads.

def test_a_head_of_another_size(model: Module, tmp_path: Path) -> None:
    before = model.state_dict()["conv.weight"].numpy()
    assert surgery.replace_head(model, "fc", out_features=3) is model
    assert output(model).shape == (2, 3) and model.state_dict()["conv.weight"].numpy() is before
    assert next(m for m in model.program.modules if m.path == "fc").description == "in_features=8, out_features=3, bias=True"
    model.train()
    loss = functional.cross_entropy(model(X), np.array([0, 2]))
    loss.backward()
    assert model.state_dict()["fc.weight"].shape == (3, 8)
    assert dict(model.named_parameters())["fc.weight"].grad.shape == (3, 8)  # type: ignore[union-attr]
    again = reloaded(model.eval(), tmp_path)
    assert np.array_equal(output(again), output(model))
    assert again.history == (Change("replace_head", ("fc",), {"out_features": 3, "bias": True, "keep": False, "seed": 0}),)


@pytest.mark.oracle
@pytest.mark.parametrize(("path", "make"), [("fc", lambda nn: nn.Linear(8, 5)), ("conv", lambda nn: nn.Conv2d(2, 8, 3, padding=1, stride=2))])
def test_fresh_heads_are_those_torch_draws(model: Module, path: str, make: Callable[[Any], Any]) -> None:
    torch = pytest.importorskip("torch")
    surgery.replace_head(model, path, 5 if path == "fc" else 8, seed=7)
    torch.manual_seed(7)
    expected = make(torch.nn)
    for name, parameter in expected.named_parameters():
        assert np.array_equal(model.state_dict()[f"{path}.{name}"].numpy(), parameter.detach().numpy())


def test_a_head_without_a_bias_and_with_one_again(model: Module) -> None:
    surgery.replace_head(model, "fc", 3, bias=False)
    assert "fc.bias" not in model.state_dict() and output(model).shape == (2, 3)
    surgery.replace_head(model, "fc", 4, bias=True)
    assert model.state_dict()["fc.bias"].shape == (4,) and output(model).shape == (2, 4)


@pytest.mark.parametrize("size", [4, 9])
def test_a_resized_head_keeps_its_first_outputs(model: Module, size: int) -> None:
    before = output(model)
    surgery.replace_head(model, "fc", size, keep=True)
    count = min(size, 6)
    assert np.allclose(output(model)[:, :count], before[:, :count], rtol=1e-6) and output(model).shape == (2, size)


@pytest.mark.parametrize(("path", "size", "code"), [("head", 3, "R0160"), ("embedding", 3, "R0161"), ("norm", 3, "R0161"), ("fc", 0, "R0161")])
def test_what_is_no_head_is_refused(model: Module, path: str, size: int, code: str) -> None:
    with pytest.raises(CallError) as caught:
        surgery.replace_head(model, path, size)
    assert caught.value.code == code and model.history == () and output(model).shape == (2, 6)


def test_a_size_that_the_program_relies_on_is_told_with_its_line(fixed: Module) -> None:
    with pytest.raises(CallError, match=r"model\.py") as caught:
        surgery.replace_head(copy.deepcopy(fixed), "fc", 5)
    assert "replace_head" in str(caught.value) and "reshape" in str(caught.value)


def test_shared_weights_are_refused(fixed: Module) -> None:
    with pytest.raises(CallError, match="shares its weight"):
        surgery.replace_head(copy.deepcopy(fixed), "tied", 5)
    with pytest.raises(CallError, match="R0160"):
        surgery.add_lora(copy.deepcopy(fixed), "tied")


# Adapters.

def test_fresh_adapters_change_nothing(model: Module) -> None:
    before = output(model)
    surgery.add_lora(model, "*", rank=2)
    assert np.array_equal(output(model), before)
    assert model.history[0].targets == ("conv", "block.table", "block.query", "block.value", "fc")   # the grouped convolution is none


def test_only_adapters_and_what_is_named_learn(model: Module) -> None:
    surgery.add_lora(model, ["query", "fc"], rank=2, alpha=4, trainable="norm.*")
    free = {name for name, p in model.named_parameters() if p.requires_grad}
    assert free == {"norm.weight", "norm.bias", *(f"{p}.lora_{x}.weight" for p in ("block.query", "fc") for x in "AB")}


def test_gradients_are_those_of_the_formula(model: Module) -> None:
    surgery.add_lora(model, "fc", rank=3, alpha=6)
    disturb(model)
    g = np.arange(12, dtype=np.float32).reshape(2, 6)
    model.eval()
    (model(X) * g).sum().backward()
    a, b = (np.asarray(model.state_dict()[f"fc.lora_{x}.weight"], np.float64) for x in "AB")
    grads = {n: np.asarray(p.grad, np.float64) for n, p in model.named_parameters() if p.grad is not None}
    assert set(grads) == {"fc.lora_A.weight", "fc.lora_B.weight"}
    # For the layer's input h: dL/dA = s (g B)ᵀ h, from which h is known, and dL/dB = s gᵀ (h Aᵀ).
    h = np.linalg.lstsq(2.0 * (g @ b).T, grads["fc.lora_A.weight"], rcond=None)[0]
    assert np.allclose(2.0 * g.T @ (h @ a.T), grads["fc.lora_B.weight"], rtol=1e-3, atol=1e-4)


def test_merged_adapters_give_the_same_results_and_leave_the_program_as_it_was(model: Module, compiled: Module, tmp_path: Path) -> None:
    surgery.add_lora(model, "*", rank=2, alpha=3, dropout=0.5)
    disturb(model)
    expected = output(model)
    again = reloaded(model, tmp_path)
    assert np.array_equal(output(again), expected)
    surgery.merge_lora(again)
    assert np.max(np.abs(output(again) - expected)) <= 1e-6 * max(1.0, float(np.max(np.abs(expected))))
    assert np.max(np.abs(expected - output(compiled))) > 1e-2
    assert all(equal_functions(again.program.functions[k], f) for k, f in compiled.program.functions.items())
    assert [c.operation for c in reloaded(again, tmp_path).history] == ["add_lora", "merge_lora"]


def test_unloaded_adapters_leave_the_model_as_it_was(model: Module, compiled: Module) -> None:
    surgery.add_lora(model, ["conv", "fc"], rank=2)
    disturb(model)
    surgery.unload_lora(model, "conv")
    assert [n for n in model.state_dict() if ".lora_" in n] == ["fc.lora_A.weight", "fc.lora_B.weight"]
    surgery.unload_lora(model)
    assert np.array_equal(output(model), output(compiled)) and equal_programs(model.program, compiled.program)


def test_adapters_learn(model: Module) -> None:
    surgery.add_lora(model, ["conv", "fc", "block.value"], rank=2, dropout=0.0)
    frozen = {n: t.numpy().copy() for n, t in model.state_dict().items() if ".lora_" not in n and "norm" not in n}
    optimizer = optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.05)
    losses = []
    for _ in range(25):
        loss = functional.cross_entropy(model(X), np.array([1, 4]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert all(np.array_equal(model.state_dict()[n].numpy(), a) for n, a in frozen.items())


def test_dropout_of_adapters_draws_from_the_model_and_only_in_train_mode(model: Module) -> None:
    surgery.add_lora(model, "fc", rank=2, dropout=0.5)
    disturb(model)
    assert np.array_equal(output(model), output(model))
    model.train()
    model.manual_seed(3)
    first, second = output(model), output(model)
    model.manual_seed(3)
    assert not np.array_equal(first, second) and np.array_equal(output(model), first)


def test_a_model_without_a_random_state_gets_one(fixed: Module, tmp_path: Path) -> None:
    model = copy.deepcopy(fixed)
    surgery.add_lora(model, "fc", rank=2, dropout=0.5, seed=5)
    disturb(model)
    x = np.ones((3, 4), np.float32)
    again = reloaded(model, tmp_path)
    model.train()
    again.train()
    with scriptc.no_grad():
        first, second = np.array(model(x)), np.array(model(x))
        assert not np.array_equal(first, second) and np.array_equal(again(x), first)
    surgery.unload_lora(model)
    assert equal_programs(model.program, fixed.program)


@pytest.mark.parametrize(("patterns", "settings", "code"), [
    ("nothing", {}, "R0160"), (["fc", "norm"], {}, "R0160"), ("depthwise", {}, "R0160"), ("fc", {"rank": 0}, "R0161"),
    ("fc", {"dropout": 1.0}, "R0161")])
def test_adapters_that_cannot_be_are_refused(model: Module, patterns: Any, settings: dict[str, Any], code: str) -> None:
    with pytest.raises(CallError) as caught:
        surgery.add_lora(model, patterns, **settings)
    assert caught.value.code == code and model.history == ()


def test_a_layer_takes_one_adapter(model: Module) -> None:
    surgery.add_lora(model, "fc")
    with pytest.raises(CallError, match="already"):
        surgery.add_lora(model, "fc")


# Fresh weights.

@pytest.mark.oracle
def test_weights_are_drawn_anew_as_by_torch() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    model = scriptc.compile(Path(__file__).with_name("layers_to_reinitialize.py"), entry="Layers()", inputs=["x:float32[2,4,8]"])
    theirs = nn.ModuleDict({
        "linear": nn.Linear(8, 8), "conv": nn.Conv1d(4, 4, 3, padding=1), "transposed": nn.ConvTranspose1d(4, 4, 3, padding=1),
        "norm": nn.BatchNorm1d(4),
        "layer_norm": nn.LayerNorm(8), "group_norm": nn.GroupNorm(2, 4), "embedding": nn.Embedding(5, 8, padding_idx=2), "lstm": nn.LSTM(8, 8, 2),
        "gru": nn.GRU(8, 8, bidirectional=True), "cell": nn.LSTMCell(8, 8), "bilinear": nn.Bilinear(8, 8, 8), "prelu": nn.PReLU()})
    surgery.reinitialize(model, "*", seed=11)
    torch.manual_seed(11)
    for layer in theirs.values():
        layer.reset_parameters()
    found = model.state_dict()
    for name, value in theirs.state_dict().items():
        near = 1e-6 if name.startswith("embedding") else 0.0   # logarithm and cosine differ in the last bit
        assert np.allclose(found[name].numpy(), value.numpy(), rtol=near, atol=near), name


def test_only_what_matches_is_drawn_anew(model: Module, compiled: Module) -> None:
    surgery.reinitialize(model, "block.*", seed=1)
    changed = {n for n, t in model.state_dict().items() if not np.array_equal(t.numpy(), compiled.state_dict()[n].numpy())}
    assert changed == {"block.query.weight", "block.query.bias", "block.value.weight"}
    assert model.history == (Change("reinitialize", ("block.query", "block.value"), {"seed": 1}),)


# Storage.

@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_parameters_are_stored_in_half(model: Module, compiled: Module, dtype: str, tmp_path: Path) -> None:
    model.to(dtype)
    assert {str(p.dtype) for p in model.parameters()} == {dtype} and {str(b.dtype) for b in model.buffers()} == {"float32", "int64"}
    rounded = {n: t.numpy().astype(model.state_dict()[n].numpy().dtype).astype(t.numpy().dtype) for n, t in compiled.state_dict().items()}
    expected = copy.deepcopy(compiled)
    expected.load_state_dict(rounded)
    assert np.allclose(output(model), output(expected), rtol=1e-6, atol=1e-6)
    again = reloaded(model, tmp_path)
    assert np.array_equal(output(again), output(model)) and again.history[-1] == Change("store_as", (), {"dtype": dtype})


def test_halves_train(model: Module) -> None:
    model.bfloat16().train()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(15):
        loss = functional.cross_entropy(model(X), np.array([1, 4]))
        loss.backward()
        assert all(str(p.grad.dtype) == "bfloat16" for p in model.parameters() if p.grad is not None)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_storage_goes_back_without_a_trace_in_the_program(model: Module, compiled: Module) -> None:
    model.requires_grad_(False, "conv.*").half().bfloat16().float()
    assert equal_programs(model.program, compiled.program) and not dict(model.named_parameters())["conv.weight"].requires_grad
    assert model.to("float32") is model and len(model.history) == 3


def test_other_storage_is_refused(model: Module) -> None:
    with pytest.raises(CallError, match="float64"):
        model.to("float64")


def test_adapters_and_heads_of_a_model_in_halves(model: Module) -> None:
    surgery.replace_head(model.bfloat16(), "fc", 4)
    surgery.add_lora(model, "fc", rank=2)
    disturb(model)
    before = output(model)
    assert str(model.state_dict()["fc.weight"].dtype) == "bfloat16" and str(model.state_dict()["fc.lora_A.weight"].dtype) == "float32"
    surgery.merge_lora(model)
    assert np.allclose(output(model), before, atol=0.02)


def test_freezing_by_pattern(model: Module) -> None:
    model.freeze().unfreeze("fc.*")
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {"fc.weight", "fc.bias"}
