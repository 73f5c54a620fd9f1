"""Methods of Tensor whose functions are library source: which file each comes from, and which have an in-place form."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.calls import call
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.torchlib.bindings.elementwise import inplace
from scriptc.frontend.torchlib.bindings.register import tensor_method

_METHODS = {
    "torch._composites.arithmetic": "",
}
_IN_PLACE = ""


def library_function(module: str, name: str) -> Any:
    """A binding that calls a function of a library source file, which is read when it is first called."""
    def function(ev: Evaluator, input: Any, *arguments: Any, **keywords: Any) -> Any:
        found = ev.importer.attribute(ev, ev.importer.module(ev, module), name)
        return call(ev, found, [input, *arguments], keywords)
    return function


for _module, _names in _METHODS.items():
    for _name in _names.split():
        tensor_method(_name)(library_function(_module, _name))
        if _name in _IN_PLACE.split():
            inplace(_name, library_function(_module, _name))
