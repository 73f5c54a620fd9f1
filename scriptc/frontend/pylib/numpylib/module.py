"""The names of `numpy`, `numpy.random` and `numpy.linalg`: a table of numpy's own functions, called on known values."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scriptc.frontend.evaluator.calls import call
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.evaluator.operators import BINARY, binary
from scriptc.frontend.pylib.builtin_classes import builtin_class
from scriptc.frontend.pylib.iteration import items_of
from scriptc.frontend.pylib.numpylib.arrays import (
    ABSTRACT_SCALARS,
    SCALARS,
    changeable,
    check_size,
    host_call,
    is_array,
    numpy_class,
    wrap,
)
from scriptc.frontend.storage import TensorValue
from scriptc.frontend.values import Builtin, Class, Dynamic, Instance, PyList

_FUNCTIONS = (
    "array asarray ascontiguousarray asfortranarray empty empty_like zeros zeros_like ones ones_like full full_like arange linspace logspace "
    "geomspace eye identity diag tri tril triu tril_indices triu_indices meshgrid indices concatenate stack vstack hstack dstack "
    "column_stack split array_split append insert delete reshape transpose moveaxis swapaxes rollaxis expand_dims squeeze ravel flip "
    "fliplr flipud roll rot90 tile repeat broadcast_to broadcast_arrays atleast_1d atleast_2d atleast_3d pad sum prod mean std var median "
    "max min amax amin argmax argmin argsort sort cumsum cumprod diff ptp percentile quantile all any count_nonzero nonzero where argwhere "
    "searchsorted unique bincount histogram digitize isin clip dot matmul outer inner vdot kron tensordot einsum trace cross interp allclose "
    "isclose array_equal add subtract multiply divide true_divide floor_divide mod remainder power float_power negative absolute abs fabs "
    "sign sqrt square cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh "
    "arctanh deg2rad rad2deg degrees radians hypot floor ceil trunc rint round fix maximum minimum fmax fmin gcd lcm isnan isinf isfinite "
    "nan_to_num logical_and logical_or logical_not logical_xor greater greater_equal less less_equal equal not_equal bitwise_and "
    "bitwise_or bitwise_xor left_shift right_shift sinc hanning hamming blackman bartlett kaiser i0 ndim shape size copy unravel_index "
    "ravel_multi_index can_cast result_type promote_types gradient convolve conj real imag angle iscomplexobj isscalar ix_ "
    "take take_along_axis triu_indices_from tril_indices_from nanmean nansum nanmax nanmin resize average polyval"
).split()
_LINALG = "norm inv pinv det svd eig eigh eigvals qr cholesky solve matrix_rank matrix_power lstsq".split()
_DRAWS = ("rand randn random random_sample sample uniform normal randint permutation choice standard_normal beta binomial exponential "
          "gamma poisson laplace truncnorm lognormal integers").split()
_TAKES_SHAPE = {"zeros", "ones", "empty", "full"}
# On a number that is only known at run time: the function of `math` with the same values.
_SCALAR = {"sqrt": "sqrt", "exp": "exp", "log": "log", "log2": "log2", "log10": "log10", "log1p": "log1p", "sin": "sin", "cos": "cos",
           "tan": "tan", "tanh": "tanh", "ceil": "ceil", "floor": "floor", "arctan2": "atan2", "arctan": "atan"}
_RANDOM_SEED = 0      # numpy draws differently in each process until it is seeded; two compilations must not


def numpy_modules(ev: Evaluator) -> dict[str, dict[str, Any]]:
    """Module name -> its names."""
    names: dict[str, Any] = {
        "pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan, "euler_gamma": float(np.euler_gamma), "newaxis": None,
        "ndarray": numpy_class("ndarray"), "dtype": numpy_class("dtype"), "bool": numpy_class("bool_"), "half": numpy_class("float16"),
        "single": numpy_class("float32"), "double": numpy_class("float64"), "intp": numpy_class("int64"), "uint": numpy_class("uint64"),
        "int_": numpy_class("int64"), "float_": numpy_class("float64"), "cfloat": numpy_class("complex128"), "__version__": np.__version__,
        **{n: numpy_class(n) for n in (*SCALARS, *ABSTRACT_SCALARS)},
        "finfo": Builtin("finfo", _limits(np.finfo, ("eps", "max", "min", "tiny", "bits"))),
        "iinfo": Builtin("iinfo", _limits(np.iinfo, ("max", "min", "bits"))),
        "fill_diagonal": Builtin("fill_diagonal", _changing(np.fill_diagonal)), "copyto": Builtin("copyto", _changing(np.copyto)),
        "set_printoptions": Builtin("set_printoptions", lambda ev, a, k: None), "seterr": Builtin("seterr", lambda ev, a, k: None),
    }
    for name in _FUNCTIONS:
        names[name] = Builtin(name, _function(name, getattr(np, name)))
    return {"numpy": names, "numpy.random": _random_module(),
            "numpy.linalg": {n: Builtin(n, _function(n, getattr(np.linalg, n))) for n in _LINALG},
            "numpy.typing": {"ArrayLike": numpy_class("ndarray"), "NDArray": numpy_class("ndarray"), "DTypeLike": numpy_class("dtype")}}


def _function(name: str, host: Callable[..., Any]) -> Any:
    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        _check(ev, name, arguments, keywords)
        if isinstance(host, np.ufunc) and any(isinstance(a, TensorValue) for a in arguments):
            ev.error("E0222", name=f"numpy.{name} of a tensor", hint="use the torch function of that name")
        if _has_dynamic(arguments):
            return _at_run_time(ev, name, arguments, keywords)
        if name in ("array", "asarray") and arguments and isinstance(arguments[0], Dynamic):
            ev.error("E0211", what=f"numpy.{name} of a value that is only known at run time")
        return wrap(ev, host_call(ev, host, arguments, keywords))
    return invoke


def _has_dynamic(arguments: list[Any]) -> bool:
    for value in arguments:
        if isinstance(value, Dynamic):
            return True
        items = value.content if isinstance(value, PyList) and not isinstance(value.content, Dynamic) else value
        if isinstance(items, list | tuple) and any(isinstance(i, Dynamic) for i in items):
            return True
    return False


def _at_run_time(ev: Evaluator, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """The few functions that models call on sizes and numbers of the running program: `np.prod(x.shape)`, `np.sqrt(n)`."""
    if name in _SCALAR and not keywords and all(isinstance(a, Dynamic | int | float) for a in arguments):
        result = ev.op("scalar_math", *arguments, function=_SCALAR[name])
        return call(ev, builtin_class("float"), [result], {}) if name in ("ceil", "floor") else result
    if name in ("prod", "sum") and len(arguments) == 1 and not keywords:
        items = items_of(ev, arguments[0])
        total: Any = 1 if name == "prod" else 0
        for item in items:
            total = binary(ev, "Mult" if name == "prod" else "Add", total, item)
        return total
    if name in ("max", "min", "amax", "amin", "maximum", "minimum", "abs", "absolute") and not keywords:
        known = {"amax": "max", "amin": "min", "maximum": "max", "minimum": "min", "absolute": "abs"}.get(name, name)
        return call(ev, ev.importer.builtin(known), arguments, {})
    kinds = {"power": "Pow", "multiply": "Mult", "add": "Add", "subtract": "Sub", "divide": "Div", "floor_divide": "FloorDiv", "mod": "Mod"}
    if name in kinds and len(arguments) == 2 and not keywords and kinds[name] in BINARY:
        return binary(ev, kinds[name], *arguments)
    return ev.error("E0211", what=f"numpy.{name} of a value that is only known at run time", hint="use the torch function of that name")


def _check(ev: Evaluator, name: str, arguments: list[Any], keywords: dict[str, Any]) -> None:
    """The number of elements a call would make, for the functions whose arguments say it."""
    numbers = [a for a in arguments if isinstance(a, int | float) and not isinstance(a, bool) and math.isfinite(a)]
    if name in _TAKES_SHAPE or name in _DRAWS:
        shapes = [arguments[0]] if name in _TAKES_SHAPE and arguments else list(arguments) if name in ("rand", "randn") \
            else [keywords.get("size", arguments[-1] if arguments else 1)]
        sizes = [i for s in [keywords.get("shape", ()), *shapes] for i in (items_of(ev, s) if isinstance(s, tuple | PyList) else [s])]
        check_size(ev, math.prod(abs(i) for i in sizes if isinstance(i, int)))
    elif name in ("eye", "identity", "tri"):
        check_size(ev, math.prod(numbers[:2]) if len(numbers) > 1 else numbers[0] ** 2 if numbers else 0)
    elif name == "arange" and numbers:
        start, stop = (0, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
        check_size(ev, abs(stop - start) / abs(numbers[2] if len(numbers) > 2 and numbers[2] else 1))
    elif name in ("linspace", "logspace", "geomspace"):
        count = keywords.get("num", arguments[2] if len(arguments) > 2 else 50)
        check_size(ev, count if isinstance(count, int) else 0)
    elif name in ("tile", "repeat") and len(arguments) > 1:
        times = arguments[1]
        factors = items_of(ev, times) if isinstance(times, tuple | PyList) else [times]
        size = arguments[0].native.size if is_array(arguments[0]) else 1
        check_size(ev, size * math.prod(abs(i) for i in factors if isinstance(i, int)))
    elif name in ("outer", "kron") and all(is_array(a) for a in arguments[:2]):
        check_size(ev, math.prod(a.native.size for a in arguments[:2]))


def _limits(host: Callable[..., Any], fields: tuple[str, ...]) -> Any:
    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Instance:
        found = host_call(ev, host, arguments, keywords)
        made = Instance(Class(host.__name__, (), {}, "numpy"))
        made.slots.update({f: wrap(ev, getattr(found, f)) for f in fields})
        return made
    return invoke


def _changing(host: Callable[..., Any]) -> Any:
    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
        if arguments and is_array(arguments[0]):
            changeable(ev, arguments[0])
        host_call(ev, host, arguments, keywords)
    return invoke


def _random_module() -> dict[str, Any]:
    legacy = np.random.RandomState(_RANDOM_SEED)

    def draw(name: str, generator: Any) -> Builtin:
        def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
            _check(ev, name, arguments, keywords)
            return wrap(ev, host_call(ev, getattr(generator, name), arguments, keywords))
        return Builtin(name, invoke)

    def names_of(generator: Any) -> dict[str, Any]:
        return {**{n: draw(n, generator) for n in _DRAWS if hasattr(generator, n)},
                "shuffle": Builtin("shuffle", _shuffle(generator))}

    def seed(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
        host_call(ev, legacy.seed, arguments, keywords)

    def make(host: Callable[..., Any], name: str) -> Builtin:
        def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> Instance:
            made = Instance(Class(name, (), {}, "numpy.random"))
            made.slots.update(names_of(host_call(ev, host, arguments or [_RANDOM_SEED], keywords)))
            return made
        return Builtin(name, invoke)
    return {**names_of(legacy), "seed": Builtin("seed", seed), "RandomState": make(np.random.RandomState, "RandomState"),
            "default_rng": make(np.random.default_rng, "Generator")}


def _shuffle(generator: Any) -> Any:
    def invoke(ev: Evaluator, arguments: list[Any], keywords: dict[str, Any]) -> None:
        target = arguments[0]
        if isinstance(target, PyList) and not isinstance(target.content, Dynamic):
            order = list(range(len(target.content)))
            generator.shuffle(order)
            items = list(target.content)
            target.change()[:] = [items[i] for i in order]
        elif is_array(target):
            host_call(ev, generator.shuffle, [changeable(ev, target)], {})
        else:
            ev.throw("TypeError", "shuffle() takes a list or an array")
    return invoke
