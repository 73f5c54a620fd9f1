"""Methods of Tensor whose functions are library source: which file each comes from, and which have an in-place form."""
from __future__ import annotations

from typing import Any

from scriptc.frontend.evaluator.calls import call
from scriptc.frontend.evaluator.core import Evaluator
from scriptc.frontend.torchlib.bindings.elementwise import inplace
from scriptc.frontend.torchlib.bindings.register import tensor_method

_METHODS = {
    "torch._composites.arithmetic":
        "deg2rad rad2deg sinc logit heaviside positive conj resolve_conj resolve_neg conj_physical isreal isposinf "
        "isneginf angle mvlgamma isin addr addbmm dist renorm",
    "torch._composites.arrangement":
        "rot90 fliplr flipud hsplit vsplit dsplit diagflat sum_to_size unsafe_chunk unsafe_split narrow_copy "
        "diagonal_scatter select_scatter slice_scatter as_strided_scatter kron",
    "torch._composites.selection":
        "take_along_dim masked_scatter argwhere put scatter_reduce index_reduce nonzero_static",
    "torch._composites.statistics":
        "aminmax msort kthvalue nanmedian mode cummax cummin logcumsumexp nanmean quantile nanquantile cov corrcoef "
        "diff histc unique unique_consecutive histogram",
    "torch._composites.drawing": "exponential_ log_normal_ cauchy_ geometric_ new_empty_strided",
    "torch.linalg": "cholesky cholesky_inverse cholesky_solve det logdet matrix_exp matrix_power slogdet triangular_solve",
}
# Where the method's name is not the function's.
_RENAMED = {"inverse": "inv", "qr": "plain_qr", "svd": "plain_svd", "pinverse": "plain_pinverse", "lu": "plain_lu", "lu_solve": "plain_lu_solve"}
_IN_PLACE = ("deg2rad rad2deg sinc logit heaviside mvlgamma addr addbmm renorm masked_scatter put scatter_reduce index_reduce "
             "conj_physical").split()


def library_function(module: str, name: str) -> Any:
    """A binding that calls a function of a library source file, which is read when it is first called."""
    def function(ev: Evaluator, input: Any, *arguments: Any, **keywords: Any) -> Any:
        found = ev.importer.attribute(ev, ev.importer.module(ev, module), name)
        return call(ev, found, [input, *arguments], keywords)
    return function


for _module, _names in _METHODS.items():
    for _name in _names.split():
        tensor_method(_name)(library_function(_module, _name))
        if _name in _IN_PLACE:
            inplace(_name, library_function(_module, _name))
for _name, _function in _RENAMED.items():
    tensor_method(_name)(library_function("torch.linalg", _function))
