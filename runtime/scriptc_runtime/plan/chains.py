"""Chains of ops that one kernel does at its end: a product, then what happens to each element of its result."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from scriptc.ir.graph import Value
from scriptc_runtime.plan.bind import BoundOp
from scriptc_runtime.plan.clusters import Cluster, counted, finish

Continues: TypeAlias = Callable[[Sequence[BoundOp], BoundOp], bool]    # whether an op can be the next of a chain


def chains(ops: Sequence[BoundOp | Cluster], results: Sequence[Value], heads: frozenset[str], continues: Continues) -> list[BoundOp | Cluster]:
    """`ops` with such chains as clusters, each where its last op stood: nothing else reads what is inside."""
    uses = counted(ops, results)
    growing: dict[Value, list[BoundOp]] = {}     # by the value that the chain's last op makes
    last: dict[int, int] = {}                    # where a chain's last op stands
    found: list[list[BoundOp]] = []
    for index, bound in enumerate(ops):
        if not isinstance(bound, BoundOp):
            continue
        if bound.name in heads:
            chain = [bound]
            found.append(chain)
        else:
            value = next((v for v in bound.reads if v in growing and continues(growing[v], bound)), None)
            if value is None:
                continue
            chain = growing.pop(value)
            chain.append(bound)
        last[id(chain)] = index
        if len(bound.results) == 1 and uses[bound.results[0]] == 1:
            growing[bound.results[0]] = chain
    place = {last[id(chain)]: chain for chain in found if len(chain) > 1}
    inside = {id(bound) for chain in place.values() for bound in chain}
    made: list[BoundOp | Cluster] = []
    for index, item in enumerate(ops):
        if index in place:
            made.append(finish(place[index], uses))
        elif id(item) not in inside:
            made.append(item)
    return made
