"""A function of the IR as plain values and back.

    {"key": "forward", "name": "forward", "parameters": [[name, structure, keyword_only, optional], ...],
     "inputs": 1, "state": ["fc.weight", ...], "values": [type, ...], "names": [[value, "x"], ...],
     "ops": [[op, operands, attributes, results, regions], ...], "regions": [[parameters, ops, results], ...],
     "results": [operand, ...], "structure": ..., "updates": [[state, operand], ...],
     "input_updates": [[input, operand], ...]}

Values are numbered in the order of definition: inputs, state, then for each op its regions' parameters and ops, then
its results. So an op states how many results and regions it has, and `values` gives each number its type (an index into
the program's types). Regions stand in one list in the order in which ops meet them: nesting does not deepen the file.
An operand is a value's number, or `[constant]`. `op` is an index into the program's list of ops and versions.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from scriptc.errors import diagnostic
from scriptc.ir.archive.canonical import Plain
from scriptc.ir.archive.format import Limits, reject
from scriptc.ir.archive.plain import (
    decode_attribute,
    decode_constant,
    decode_structure,
    encode_attribute,
    encode_constant,
    encode_structure,
    refuse,
    take,
    take_index,
    take_list,
    take_map,
    take_strings,
)
from scriptc.ir.archive.upgrades import PlainOp, upgrade
from scriptc.ir.graph import (
    Attribute,
    Function,
    Literal,
    Op,
    Parameter,
    Region,
    StateEntry,
    Value,
    leaves,
    literal,
)
from scriptc.ir.registry import REGISTRY, OpError
from scriptc.ir.types import Type
from scriptc.location import UNKNOWN, Location
from scriptc.records import Record, field

_KEYS = ("key", "name", "parameters", "inputs", "state", "values", "names", "ops", "regions", "results", "structure",
         "updates", "input_updates")
_DEEPEST = 64
_MOST_REGIONS = 64  # of one op


class Tables(Record, frozen=False, slots=True):
    """What the functions of one program share while it is encoded: types and (op, version) pairs, each once."""

    types: dict[Type, int] = field(default_factory=dict)
    ops: dict[tuple[str, int], int] = field(default_factory=dict)


def encode_function(key: str, function: Function, tables: Tables) -> Plain:
    """The plain form of `function`. ArchiveError if it uses a value that it does not define."""
    return _Encoder(key, tables).function(function)


class _Encoder:
    def __init__(self, key: str, tables: Tables) -> None:
        self.key = key
        self.tables = tables
        self.numbers: dict[Value, int] = {}
        self.values: list[int] = []
        self.names: list[list[Plain]] = []
        self.regions: list[Plain] = []

    def function(self, f: Function) -> Plain:
        for value in (*f.inputs, *f.state.values()):
            self.define(value)
        ops = [self.op(op) for op in f.ops]
        return {
            "key": self.key, "name": f.name,
            "parameters": [[p.name, encode_structure(p.structure), p.keyword_only, p.optional] for p in f.parameters],
            "inputs": len(f.inputs), "state": list(f.state), "values": self.values, "names": self.names, "ops": ops,
            "regions": self.regions, "results": self.operands(f.results), "structure": encode_structure(f.structure),
            "updates": [[name, self.operand(value)] for name, value in f.updates.items()],
            "input_updates": [[number, self.operand(value)] for number, value in f.input_updates.items()],
        }

    def define(self, value: Value) -> None:
        if value in self.numbers:
            reject("A0150", what=f"function {self.key!r}", reason="it defines one value twice")
        number = self.numbers[value] = len(self.values)
        self.values.append(self.tables.types.setdefault(value.type, len(self.tables.types)))
        if value.name:
            self.names.append([number, value.name])

    def op(self, op: Op) -> Plain:
        index = self.tables.ops.setdefault((op.name, op.version), len(self.tables.ops))
        operands = self.operands(op.operands)
        for region in op.regions:
            self.region(region)
        for value in op.results:
            self.define(value)
        attributes = {name: encode_attribute(value) for name, value in op.attributes.items()}
        return [index, operands, attributes, len(op.results), len(op.regions)]

    def region(self, region: Region) -> None:
        place = len(self.regions)
        self.regions.append(None)  # its own nested regions come after it
        for value in region.params:
            self.define(value)
        ops = [self.op(op) for op in region.ops]
        self.regions[place] = [len(region.params), ops, self.operands(region.results)]

    def operands(self, values: tuple[Value, ...]) -> list[Plain]:
        return [self.operand(value) for value in values]

    def operand(self, value: Value) -> Plain:
        if isinstance(value, Literal):
            if literal(value.data).type != value.type:
                reject("A0150", what=f"function {self.key!r}", reason=f"a literal {value.data!r} is typed {value.type}")
            return [encode_constant(value.data)]
        if value not in self.numbers:
            reject("A0150", what=f"function {self.key!r}", reason=f"it uses value {value.name!r}, never defined")
        return self.numbers[value]


def decode_function(plain: Plain, types: list[Type], ops: list[tuple[str, int]], state: Mapping[str, StateEntry],
                    locations: Sequence[Location] | None, limits: Limits) -> Function:
    """The function that `plain` describes. ArchiveError unless every reference in it is to something that exists.

    Ops are looked up in the registry, brought up to date and their attributes checked; that result types follow
    from operands is the verifier's to check.
    """
    return _Decoder(plain, types, ops, locations, limits).function(state)


class _Decoder:
    def __init__(self, plain: Plain, types: list[Type], ops: list[tuple[str, int]],
                 locations: Sequence[Location] | None, limits: Limits) -> None:
        key = plain.get("key") if type(plain) is dict else None
        self.where = f"function {key!r}"[:120]
        self.fields = dict(zip(_KEYS, take_map(plain, self.where, *_KEYS), strict=True))
        self.ops = ops
        self.locations = locations
        self.located = 0
        kinds = take_list(self.fields["values"], self.where)
        self.types = [types[take_index(kind, len(types), self.where)] for kind in kinds]
        self.names = self.decode_names()
        self.values: list[Value | None] = []
        self.regions = iter(take_list(self.fields["regions"], self.where))
        self.left = limits.operations
        self.limit = limits.operations

    def function(self, state: Mapping[str, StateEntry]) -> Function:
        where, fields = self.where, self.fields
        location = self.location()
        count = take(fields["inputs"], int, where)
        if not 0 <= count <= len(self.types):
            refuse(where, "a count of inputs", count)
        inputs = self.define(count)
        names = take_strings(fields["state"], where)
        for name in names:
            if name not in state:
                reject("A0127", what="state", name=name[:200], known=f"{len(state)} entries")
        if len(set(names)) != len(names):
            refuse(where, "each state entry once", names)
        reads = dict(zip(names, self.define(len(names)), strict=True))
        ops = self.decode_ops(fields["ops"], 0)
        results = self.operands(fields["results"])
        updates = self.pairs(fields["updates"])
        input_updates = self.pairs(fields["input_updates"])
        for name in updates:
            if type(name) is not str or name not in state:
                refuse(where, "updates of state entries", name)
        for number in input_updates:
            take_index(number, count, where)
        if len(self.values) != len(self.types) or next(self.regions, None) is not None:
            refuse(where, "as many values and regions as its ops define", len(self.types))
        if self.locations is not None and self.located != len(self.locations):
            refuse(where, "one location for each op", len(self.locations))
        structure = decode_structure(fields["structure"], len(results), where)
        parameters = self.decode_parameters(count)
        return Function(take(fields["name"], str, where), parameters, inputs, MappingProxyType(reads), ops, results,
                        structure, MappingProxyType(updates), MappingProxyType(input_updates), location)

    def decode_names(self) -> dict[int, str]:
        names: dict[int, str] = {}
        for entry in take_list(self.fields["names"], self.where):
            number, name = take_list(entry, self.where, 2)
            names[take_index(number, len(self.types), self.where)] = take(name, str, self.where)
        return names

    def decode_parameters(self, inputs: int) -> tuple[Parameter, ...]:
        parameters: list[Parameter] = []
        for entry in take_list(self.fields["parameters"], self.where):
            name, structure, keyword_only, optional = take_list(entry, self.where, 4)
            parameters.append(Parameter(take(name, str, self.where), decode_structure(structure, inputs, self.where),
                                        take(keyword_only, bool, self.where), take(optional, bool, self.where)))
        used = [leaf for parameter in parameters for leaf in leaves(parameter.structure)]
        if used != list(range(inputs)):
            refuse(self.where, f"parameters whose leaves are the inputs 0 to {inputs - 1}", used)
        return tuple(parameters)

    def pairs(self, plain: Plain) -> dict[Plain, Value]:
        pairs: dict[Plain, Value] = {}
        for entry in take_list(plain, self.where):
            key, operand = take_list(entry, self.where, 2)
            if type(key) not in (int, str) or key in pairs:
                refuse(self.where, "each update once", key)
            pairs[key] = self.operand(operand)
        return pairs

    def location(self) -> Location:
        if self.locations is None:
            return UNKNOWN
        if self.located == len(self.locations):
            refuse(self.where, "one location for each op", self.located)
        self.located += 1
        return self.locations[self.located - 1]

    def define(self, count: int) -> tuple[Value, ...]:
        first = len(self.values)
        if count < 0 or first + count > len(self.types):
            refuse(self.where, f"{len(self.types)} values in all", first + count)
        made = tuple(Value(self.types[n], self.names.get(n, "")) for n in range(first, first + count))
        self.values.extend(made)
        return made

    def operand(self, plain: Plain) -> Value:
        if type(plain) is int:
            value = self.values[plain] if 0 <= plain < len(self.values) else None
            if value is None:
                reject("A0134", where=self.where, found=plain)
            return value
        return literal(decode_constant(take_list(plain, self.where, 1)[0], self.where))

    def operands(self, plain: Plain) -> tuple[Value, ...]:
        return tuple(self.operand(operand) for operand in take_list(plain, self.where))

    def decode_ops(self, plain: Plain, depth: int) -> tuple[Op, ...]:
        if depth > _DEEPEST:
            refuse(self.where, f"regions nested at most {_DEEPEST} deep", depth)
        entries = take_list(plain, self.where)
        self.left -= len(entries)
        if self.left < 0:
            reject("A0137", limit=self.limit, what="ops")
        return tuple(self.decode_op(entry, depth) for entry in entries)

    def decode_op(self, plain: Plain, depth: int) -> Op:
        index, operands, attributes, results, regions = take_list(plain, self.where, 5)
        location = self.location()
        name, version = self.ops[take_index(index, len(self.ops), self.where)]
        current = upgrade(PlainOp(name, version, take_list(operands, self.where), take(attributes, dict, self.where)))
        values = self.operands(current.operands)
        most = _MOST_REGIONS if REGISTRY[current.name].takes_regions else 0
        if not 0 <= take(regions, int, self.where) <= most:
            refuse(self.where, f"at most {most} regions for {current.name}", regions)
        nested = tuple(self.region(depth) for _ in range(regions))
        return Op(current.name, values, self.attributes(current), self.define(take(results, int, self.where)), nested,
                  location, current.version)

    def attributes(self, op: PlainOp) -> Mapping[str, Attribute]:
        given = {name: decode_attribute(value, self.where) for name, value in op.attributes.items()}
        try:
            return REGISTRY[op.name].check_attributes(given)
        except OpError as error:
            reject("A0135", reason=f"{self.where}: {diagnostic(error.code, **error.values).message}")  # type: ignore[arg-type]

    def region(self, depth: int) -> Region:
        entry = next(self.regions, None)
        count, ops, results = take_list(entry, self.where, 3)
        first = len(self.values)
        params = self.define(take(count, int, self.where))
        region = Region(params, self.decode_ops(ops, depth + 1), self.operands(results))
        # What a region defines is not visible outside it.
        self.values[first:] = [None] * (len(self.values) - first)
        return region
