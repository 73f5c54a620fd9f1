"""Judges the cases of one operator: compile each, run it on the reference interpreter, compare with torch's result and gradients."""
from __future__ import annotations

import importlib.util
import itertools
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scriptc_runtime.runner import Runner

from scriptc.errors import CompileError
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.imports import Importer
from scriptc.frontend.signatures import parse_input
from scriptc.frontend.stage import State, construct, parse_file, stage_method, uncaught
from scriptc.frontend.torchlib.bindings.random import Stream
from scriptc.frontend.values import LanguageError
from scriptc.interp.interpreter import evaluate, run_function
from scriptc.ir.autodiff import differentiate
from scriptc.ir.graph import Fixed, Function, Group, Leaf
from scriptc.ir.passes.pipeline import optimize
from scriptc.ir.types import TensorType, dtype_of
from tests.opdb.cases import COARSE, OPEN_GRADIENTS, ORDERED, RANDOM, UNINITIALISED, UNSIGNED, Case, cases, left_out, source

# Tolerances: torch.testing.assert_close's, widened for accumulation in another order.
TOLERANCES = {torch.float32: (2e-5, 2e-5), torch.float64: (1e-7, 1e-7), torch.float16: (2e-3, 2e-3), torch.bfloat16: (2e-2, 2e-2)}


@dataclass
class Finding:
    """What became of one case that did not pass."""

    status: str          # differ | broken | refused | missing | gradient
    case: Case
    detail: str


@dataclass
class Report:
    """All that was found of one entry of the database."""

    name: str
    variant: str = ""
    tried: int = 0
    passed: int = 0
    gradients: int = 0
    gradients_passed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)     # why samples or gradients were left out
    findings: list[Finding] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        return f"{self.name}{f'.{self.variant}' if self.variant else ''}"

    @property
    def status(self) -> str:
        """The gravest thing found: `broken`, `differ`, `gradient`, `refused`, `missing`, or `agree` or `left out`."""
        found = {f.status for f in self.findings}
        return next((s for s in ("broken", "differ", "gradient", "refused", "missing") if s in found), "agree" if self.tried else "left out")


class Session:
    """The functions of one source file, compiled one by one over one parse of the library."""

    def __init__(self, given: Sequence[Case], folder: Path, importer: Importer | None = None, varying: bool = False,
                 engine: bool = False) -> None:
        self.varying, self.engine = varying, engine
        number = next(_NUMBERS)
        self.path = folder / f"samples{number}.py"
        self.path.write_text(source(given), encoding="utf-8")
        self.importer = importer or Importer([folder], parse_file)
        spec = importlib.util.spec_from_file_location("opdb_samples", self.path)
        assert spec is not None and spec.loader is not None
        self.eager = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.eager)
        self.frame: Any = None

    def compile(self, index: int, case: Case) -> tuple[Function, dict[str, np.ndarray]]:
        ev = Evaluator(self.importer)
        ev.generator = Stream(0)
        if self.frame is None:
            self.frame = self.importer.main(ev, self.path)
        specs = [parse_input(f"{n}:{spec_of(t, self.varying)}") for n, t in zip(case.parameters, case.tensors, strict=True)]
        try:
            target = construct(ev, self.frame, f"s{index}", self.path)
            state = State(ev, None)
            function = stage_method(ev, state, "forward", target, target, specs, self.frame)
            return function, state.collect({"forward": function})[1]
        except LanguageError as error:
            raise uncaught(ev, error) from None


_NUMBERS = itertools.count()


def spec_of(tensor: torch.Tensor, varying: bool) -> str:
    """The tensor's type as `--input` has it; with `varying`, equal sizes above 1 get one name."""
    sizes = [f"S{s}" if varying and s > 1 else str(s) for s in tensor.shape]
    return f"{str(tensor.dtype).removeprefix('torch.')}[{','.join(sizes)}]"


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()   # the gradient of a sparse embedding
    if tensor.dtype is torch.bfloat16:
        import ml_dtypes

        return tensor.detach().float().numpy().astype(ml_dtypes.bfloat16)
    return tensor.detach().resolve_conj().resolve_neg().numpy(force=True).copy()


def rebuilt(structure: Any, leaves: Sequence[Any]) -> Any:
    """The nested result with tuples and lists as tuples."""
    if isinstance(structure, Leaf):
        return leaves[structure.index]
    if isinstance(structure, Fixed):
        return structure.value
    assert isinstance(structure, Group)
    return tuple(rebuilt(item, leaves) for item in structure.items)


def difference(found: Any, wanted: Any, values: bool = True, factor: float = 1.0) -> str:
    """'' where a result is torch's, else what differs."""
    if isinstance(wanted, torch.Tensor):
        if not isinstance(found, np.ndarray):
            return f"{type(found).__name__} for a tensor"
        if found.dtype.name != str(wanted.dtype).removeprefix("torch."):
            return f"dtype {found.dtype} for {str(wanted.dtype).removeprefix('torch.')}"
        if found.shape != tuple(wanted.shape):
            return f"shape {found.shape} for {tuple(wanted.shape)}"
        if not values:
            return ""
        rtol, atol = TOLERANCES.get(wanted.dtype, (0.0, 0.0))
        kind = np.float64 if wanted.dtype in TOLERANCES else found.dtype
        ours, theirs = found.astype(kind), to_numpy(wanted).astype(kind)
        if atol:
            # Sums cancel: what is lost is in proportion to the largest terms.
            atol *= factor * max(1.0, float(np.abs(theirs[np.isfinite(theirs)]).max(initial=1.0)))
        close = np.isclose(ours, theirs, rtol=rtol * factor, atol=atol, equal_nan=kind is np.float64)
        if close.all():
            return ""
        wrong = ~close
        place = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(wrong)))
        return f"{int(wrong.sum())} of {wrong.size} values, first {np.atleast_1d(ours)[place]} for {np.atleast_1d(theirs)[place]}"
    if isinstance(wanted, tuple | list):
        if not isinstance(found, tuple) or len(found) != len(wanted):
            return f"{len(found) if isinstance(found, tuple) else type(found).__name__} results for {len(wanted)}"
        return next((d for a, b in zip(found, wanted, strict=True) if (d := difference(a, b, values, factor))), "")
    if isinstance(found, np.generic):
        found = found.item()
    if type(found) is not type(wanted):
        return f"a {type(found).__name__} for a {type(wanted).__name__}"
    return "" if found == wanted or found != found else f"{found!r} for {wanted!r}"


def picks_equal_elements(found: Any, wanted: Any, x: torch.Tensor) -> bool:
    """True where indices differ from torch's only among equal elements, whose order torch leaves open."""
    found, wanted = (found, wanted) if isinstance(found, tuple) else ((found,), (wanted,))
    ours, theirs = torch.from_numpy(np.asarray(found[-1])), wanted[-1]
    if not ours.numel() or ours.shape != theirs.shape or ours.dtype != theirs.dtype or difference(found[:-1], tuple(wanted[:-1])):
        return False
    for dim in range(x.dim()):
        a, b = (i if i.dim() == x.dim() else i.unsqueeze(dim) for i in (ours, theirs))
        fits = all(m <= n for d, (m, n) in enumerate(zip(a.shape, x.shape, strict=True)) if d != dim)
        if fits and int(a.max()) < x.shape[dim] and int(b.max()) < x.shape[dim] and torch.equal(x.gather(dim, a), x.gather(dim, b)):
            return True
    return False


def sizes_of_vectors(found: Any, wanted: Any) -> tuple[Any, Any]:
    """Absolute values; where vectors complete a decomposition to a square one, the shapes of both and what is determined."""
    if len(wanted) == 3 and [r.shape for r in found] == [tuple(r.shape) for r in wanted]:
        count, rows, columns = wanted[1].shape[-1], wanted[0].shape[-2], max(wanted[2].shape[-2:])
        if count not in (wanted[0].shape[-1], 0) or wanted[2].shape[-1] == wanted[2].shape[-2] != count:
            # torch.svd gives V, torch.linalg.svd its transpose: the singular values and the smaller side's vectors are compared.
            kept = (0, 1) if rows <= columns else (1, 2)
            found, wanted = [found[i] for i in kept], [wanted[i] for i in kept]
    return tuple(np.asarray(np.abs(r)) for r in found), tuple(r.abs() for r in wanted)


def contradicted(function: Function, results: Sequence[Any]) -> str:
    """'' where the results have the types that the rules gave, else what differs."""
    for value, result in zip(function.results, results, strict=True):
        kind = value.type
        if not isinstance(kind, TensorType):
            continue
        array = np.asarray(result)
        shape = kind.shape
        if kind.dtype is not dtype_of(array) or (shape is not None and (
                len(shape) != array.ndim or any(isinstance(d, int) and d != s for d, s in zip(shape, array.shape, strict=True)))):
            return f"the rule gives {kind}, the reference {array.dtype}{list(array.shape)}"
    return ""


def refusal(error: CompileError) -> tuple[str, str]:
    """Whether the library lacks a name or refuses its use, and the words."""
    found = error.diagnostics[0]
    text = f"{found.code} {found.message}"
    lacks = found.code in ("E0220", "E0222") or "has no attribute" in found.message or "is not defined" in found.message
    return ("missing" if lacks else "refused"), text


def judge(info: Any, folder: Path, dtypes: Sequence[str], *, limit: int | None = None, form: str = "function",
          importer: Importer | None = None, varying: bool = False, engine: bool = False) -> Report:
    """Compile, run and compare the samples of one entry. An `importer` that serves several entries parses the library once."""
    report = Report(info.name, info.variant_test_name)
    if why := left_out(report.full_name):
        report.reasons[why] += 1
        return report
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given: list[Case] = []
        try:
            for case in cases(info, dtypes, limit, form):
                if isinstance(case, Case):
                    given.append(case)
                else:
                    report.reasons[case] += 1
        except Exception as error:
            report.reasons[f"torch cannot draw its samples: {type(error).__name__}"] += 1
        if not given:
            if not report.reasons:
                report.reasons["no samples of these dtypes"] += 1
            return report
        session = Session(given, folder, importer, varying, engine)
        for index, case in enumerate(given):
            examine(session, index, case, report)
    return report


def examine(session: Session, index: int, case: Case, report: Report) -> None:
    """One case: its result, and in double precision its gradients."""
    try:
        torch.manual_seed(0)
        leaves = [t.clone() for t in case.tensors]
        wanted = getattr(session.eager, f"s{index}")(*leaves)
    except Exception as error:
        report.reasons[f"eager torch raises {type(error).__name__}"] += 1
        return
    if any(isinstance(t, torch.Tensor) and (t.is_complex() or t.layout is not torch.strided) for t in flattened(wanted)):
        report.reasons["gives complex or sparse tensors"] += 1
        return
    report.tried += 1

    def add(status: str, detail: str) -> None:
        report.findings.append(Finding(status, case, detail))

    try:
        function, state = session.compile(index, case)
        arrays = [to_numpy(t) for t in case.tensors]
        results = on_engine(function, arrays, state) if session.engine else run_function(function, arrays, state).results
        found = rebuilt(function.structure, results)
    except CompileError as error:
        add(*refusal(error))
        return
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        add("broken", f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})")
        return
    same_signs = True
    if report.name in UNSIGNED:
        same_signs = not difference(found, wanted)
        found, wanted = sizes_of_vectors(found, wanted)
    wrong = difference(found, wanted, values=report.name not in UNINITIALISED + RANDOM, factor=COARSE.get(report.name, 1.0)) \
        or contradicted(function, results)
    if wrong and report.name in ORDERED and picks_equal_elements(found, wanted, case.tensors[0]):
        wrong = ""
    if wrong:
        add("differ", wrong)
        return
    report.passed += 1
    if case.dtype == "float64" and not session.engine and report.name not in UNINITIALISED + RANDOM and same_signs \
            and report.full_name not in OPEN_GRADIENTS:
        compare_gradients(session, index, case, function, state, report)


def on_engine(function: Function, arrays: list[np.ndarray], state: dict[str, np.ndarray]) -> list[Any]:
    """The results of the CPU engine after all passes; of the second run, which reuses working memory."""
    runner = Runner(optimize(function, evaluate))
    arguments = [*arrays, *(state[name] for name in runner.function.state)]
    runner.run(arguments)
    return runner.run(arguments)[:len(function.results)]


def flattened(value: Any) -> list[Any]:
    """The leaves of nested tuples and lists."""
    return [leaf for item in value for leaf in flattened(item)] if isinstance(value, tuple | list) else [value]


def compare_gradients(session: Session, index: int, case: Case, function: Function, state: dict[str, np.ndarray], report: Report) -> None:
    """The gradients of random cotangents are torch.autograd's."""
    leaves = [t.clone().requires_grad_(t.is_floating_point()) for t in case.tensors]
    wrt = [i for i, t in enumerate(leaves) if t.requires_grad]
    try:
        torch.manual_seed(0)
        wanted = [t for t in flattened(getattr(session.eager, f"s{index}")(*leaves)) if isinstance(t, torch.Tensor)]
    except RuntimeError:
        return
    indices = [i for i, t in enumerate(wanted) if t.is_floating_point() and t.requires_grad]
    if not indices or not wrt:
        return
    arrays = [to_numpy(t) for t in case.tensors]
    report.gradients += 1
    try:
        gradient = differentiate(function, wrt_inputs=wrt)
        forward = run_function(gradient.forward, arrays, state)
        generator = np.random.default_rng(7)
        cotangents = {i: generator.standard_normal(tuple(wanted[i].shape)).astype(to_numpy(wanted[i]).dtype) for i in indices}
        try:
            expected = torch.autograd.grad([wanted[i] for i in indices], [leaves[i] for i in wrt],
                                           [torch.from_numpy(cotangents[i].astype(np.float64)).to(wanted[i].dtype) for i in indices],
                                           allow_unused=True)
        except RuntimeError:
            report.gradients -= 1
            report.reasons["torch has no gradient"] += 1
            return
        if report.name in UNSIGNED and difference(tuple(forward.results[:len(wanted)]), wanted):
            report.gradients -= 1
            report.reasons["its vectors have other signs"] += 1
            return
        seeds = [cotangents.get(i, np.zeros_like(forward.results[i])) for i in gradient.result_indices]
        found = run_function(gradient.backward, [*seeds, *forward.results[len(function.results):]], state).results
    except CompileError as error:
        report.gradients -= 1
        report.reasons[f"no gradient: {error.diagnostics[0].message}"] += 1
        return
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        report.findings.append(Finding("broken", case, f"gradient: {type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"))
        return
    for ours, theirs, leaf in zip(found, expected, (leaves[i] for i in wrt), strict=True):
        if wrong := difference(ours, torch.zeros_like(leaf) if theirs is None else theirs, factor=10.0):
            report.findings.append(Finding("gradient", case, wrong))
            return
    report.gradients_passed += 1
