"""Statements and patterns: from reductions of the grammar to AST nodes, one method a rule."""
from __future__ import annotations

from typing import Any

from lark import Token, Transformer

from scriptc.frontend import literals
from scriptc.frontend.parts import AUGMENTED, BINARY, DEL, LOAD, STORE, AsItem, Bare, Group, Part, describe, end, is_token, make, node, start, without
from scriptc.frontend.syntax import INSTANCES, KINDS, Node
from scriptc.frontend.tokens import syntax_error
from scriptc.location import Source


class StatementBuilder(Transformer[Any, Any]):
    """Callbacks of statements and patterns; `source` is set before each parse."""

    source: Source
    case_end = 0   # where the last case block ends: a match statement ends with it

    # Errors and targets.

    def fail(self, code: str, at: Any, **values: object) -> Any:
        raise syntax_error(code, self.source, start(at), end(at), **values)

    def target(self, child: Any, context: Node, what: str = "assign to") -> Any:
        """An expression as the target of an assignment, `del`, `for` or `with`."""
        found = node(child)
        kind = type(found).__name__
        if kind in ("Name", "Attribute", "Subscript"):
            found.ctx = context
        elif kind == "Starred" and context is STORE:
            found.ctx = context
            self.target(found.value, context)
        elif kind in ("Tuple", "List"):
            found.ctx = context
            for element in found.elts:
                self.target(element, context, what)
        else:
            self.fail("E0106", child, what=f"cannot {what} {describe(found)}")
        return found

    # Modules and simple statements.

    def file_input(self, children: list[Any]) -> Any:
        body = [s for c in children if not isinstance(c, Token) for s in (c.value if isinstance(c, Part) else [c])]
        return KINDS["Module"](body, [])

    def eval_input(self, children: list[Any]) -> Any:
        return KINDS["Expression"](node(children[0]))

    def fstring_input(self, children: list[Any]) -> Any:
        return node(children[0])

    def simple_stmts(self, children: list[Any]) -> Part:
        return Part(without(children, "SEMI", "NEWLINE"), start(children[0]), end(children[-2] if len(children) > 1 else children[-1]))

    def expr_stmt(self, children: list[Any]) -> Any:
        found = node(children[0])
        return KINDS["Expr"](found).at(start(children[0]), end(children[0]))

    def assign_stmt(self, children: list[Any]) -> Any:
        parts = without(children, "EQUAL")
        targets = []
        for part in parts[:-1]:
            if type(node(part)).__name__ in ("Yield", "YieldFrom"):
                self.fail("E0106", part, what="assignment to yield expression not possible")
            targets.append(self.target(part, STORE))
        return make("Assign", children, targets, node(parts[-1]), None)

    def augassign(self, children: list[Any]) -> Token:
        return children[0]

    def augassign_stmt(self, children: list[Any]) -> Any:
        found = node(children[0])
        if type(found).__name__ not in ("Name", "Attribute", "Subscript"):
            self.fail("E0106", children[0], what=f"'{describe(found)}' is an illegal expression for augmented assignment")
        return make("AugAssign", children, self.target(children[0], STORE), INSTANCES[AUGMENTED[children[1].type]], node(children[2]))

    def annassign(self, children: list[Any]) -> Any:
        found = node(children[0])
        if type(found).__name__ not in ("Name", "Attribute", "Subscript"):
            self.fail("E0106", children[0], what="only a single name, attribute or subscript can be annotated")
        simple = int(isinstance(children[0], Node) and type(found).__name__ == "Name")
        value = node(children[4]) if len(children) > 4 else None
        return make("AnnAssign", children, self.target(children[0], STORE), node(children[2]), value, simple)

    def pass_stmt(self, children: list[Any]) -> Any:
        return make("Pass", children)

    def break_stmt(self, children: list[Any]) -> Any:
        return make("Break", children)

    def continue_stmt(self, children: list[Any]) -> Any:
        return make("Continue", children)

    def return_stmt(self, children: list[Any]) -> Any:
        return make("Return", children, node(children[1]) if len(children) > 1 else None)

    def raise_stmt(self, children: list[Any]) -> Any:
        parts = [node(c) for c in without(children, "RAISE", "FROM")]
        return make("Raise", children, parts[0] if parts else None, parts[1] if len(parts) > 1 else None)

    def del_stmt(self, children: list[Any]) -> Any:
        found = children[1]
        parts = node(found).elts if isinstance(found, Bare) else [found]
        targets = [self.target(e, DEL, "delete") for e in parts]
        return make("Delete", children, targets)

    def global_stmt(self, children: list[Any]) -> Any:
        return make("Global", children, [str(c) for c in children if is_token(c, "NAME")])

    def nonlocal_stmt(self, children: list[Any]) -> Any:
        return make("Nonlocal", children, [str(c) for c in children if is_token(c, "NAME")])

    def assert_stmt(self, children: list[Any]) -> Any:
        parts = [node(c) for c in without(children, "ASSERT", "COMMA")]
        return make("Assert", children, parts[0], parts[1] if len(parts) > 1 else None)

    def type_stmt(self, children: list[Any]) -> Any:
        name = make("Name", [children[1]], str(children[1]), STORE)
        params = children[2].value if isinstance(children[2], Part) and not isinstance(children[2], Group) else []
        return make("TypeAlias", children, name, params, node(children[-1]))

    def import_name(self, children: list[Any]) -> Any:
        return make("Import", children, without(children, "IMPORT", "COMMA"))

    def import_from(self, children: list[Any]) -> Any:
        level = next((c.value for c in children if isinstance(c, Part) and type(c.value) is int), 0)
        module = next((c.value for c in children if isinstance(c, Part) and type(c.value) is str), None)
        names = children[-1]
        return make("ImportFrom", children, module, names.value, level)

    def dots(self, children: list[Any]) -> Part:
        return Part(sum(3 if c.type == "ELLIPSIS" else 1 for c in children), start(children[0]), end(children[-1]))

    def import_targets(self, children: list[Any]) -> Part:
        if is_token(children[0], "STAR"):
            return Part([make("alias", children, "*", None)], start(children[0]), end(children[0]))
        return Part([c for c in children if not isinstance(c, Token)], start(children[0]), end(children[-1]))

    def import_as_name(self, children: list[Any]) -> Any:
        return make("alias", children, str(children[0]), str(children[2]) if len(children) > 2 else None)

    def dotted_as_name(self, children: list[Any]) -> Any:
        return make("alias", children, children[0].value, str(children[2]) if len(children) > 2 else None)

    def dotted_name(self, children: list[Any]) -> Part:
        return Part("".join(children), start(children[0]), end(children[-1]))

    # Compound statements.

    def suite(self, children: list[Any]) -> Part:
        body: list[Any] = []
        last = 0
        for child in children:
            if isinstance(child, Part):
                body += child.value
                last = child.end   # with a final semicolon, as CPython counts
            elif not isinstance(child, Token):
                body.append(child)
                last = child.end
        return Part(body, body[0].start, last)

    def if_stmt(self, children: list[Any]) -> Any:
        orelse: list[Any] = []
        last = children[3]
        tail = children[4:]
        stop = end(tail[-1]) if tail else end(last)
        for part in reversed(tail):
            if part.value[0] == "else":
                orelse = part.value[1]
            else:
                _, test, body = part.value
                orelse = [KINDS["If"](test, body, orelse).at(part.start, stop)]
        return KINDS["If"](node(children[1]), children[3].value, orelse).at(start(children[0]), stop)

    def elif_(self, children: list[Any]) -> Part:
        return Part(("elif", node(children[1]), children[3].value), start(children[0]), end(children[-1]))

    def else_(self, children: list[Any]) -> Part:
        return Part(("else", children[2].value), start(children[0]), end(children[-1]))

    def while_stmt(self, children: list[Any]) -> Any:
        return make("While", children, node(children[1]), children[3].value, children[4].value[1] if len(children) > 4 else [])

    def for_stmt(self, children: list[Any]) -> Any:
        return make("For", children, self.target(children[1], STORE), node(children[3]), children[5].value,
                    children[6].value[1] if len(children) > 6 else [], None)

    def try_stmt(self, children: list[Any]) -> Any:
        handlers, orelse, final, star = [], [], [], False
        for part in children[3:]:
            if isinstance(part, Node):
                handlers.append(part)
            elif part.value[0] == "star":
                handlers.append(part.value[1])
                star = True
            elif part.value[0] == "else":
                orelse = part.value[1]
            else:
                final = part.value[1]
        return make("TryStar" if star else "Try", children, children[2].value, handlers, orelse, final)

    def except_(self, children: list[Any]) -> Any:
        star = is_token(children[1], "STAR")
        parts = without(children, "EXCEPT", "STAR", "COLON", "AS")
        body = parts[-1].value
        kind = node(parts[0]) if len(parts) > 1 else None
        name = str(parts[1]) if len(parts) > 2 else None
        handler = make("ExceptHandler", children, kind, name, body)
        return Part(("star", handler), handler.start, handler.end) if star else handler

    def finally_(self, children: list[Any]) -> Part:
        return Part(("finally", children[2].value), start(children[0]), end(children[-1]))

    def with_stmt(self, children: list[Any]) -> Any:
        items = [c for c in children[1:-2] if not isinstance(c, Token)]
        made = [KINDS["withitem"](e, t) for e, t in self.with_items(items)]
        return make("With", children, made, children[-1].value, None)

    def with_items(self, items: list[Any]) -> list[tuple[Any, Any]]:
        """The items; a single parenthesised list of expressions is a list of items (Python 3.9)."""
        if len(items) == 1 and items[0].value[1] is None:
            child = items[0].value[0]
            if isinstance(child, Group) and isinstance(child.value, AsItem):
                return [child.value.value]
            found = node(child)
            if isinstance(found, Part):
                return [e.value if isinstance(e, AsItem) else (node(e), None) for e in found.value]
            if type(found).__name__ == "Tuple" and found.elts \
                    and not any(type(e).__name__ in ("Starred", "NamedExpr") for e in found.elts) and not isinstance(child, Group):
                return [(e, None) for e in found.elts]
        return [(self.plain(e), t) for e, t in (i.value for i in items)]

    def plain(self, child: Any) -> Any:
        found = node(child)
        if isinstance(found, Part):
            self.fail("E0100", found, token="as")
        return found

    def with_item(self, children: list[Any]) -> Part:
        found = self.target(children[2], STORE) if len(children) > 2 else None
        return Part((children[0] if found is None else node(children[0]), found), start(children[0]), end(children[-1]))

    def async_stmt(self, children: list[Any]) -> Any:
        return self.asynchronous(children)

    def async_funcdef(self, children: list[Any]) -> Any:
        return self.asynchronous(children)

    def asynchronous(self, children: list[Any]) -> Any:
        inner = children[1]
        kind = {"FunctionDef": "AsyncFunctionDef", "With": "AsyncWith", "For": "AsyncFor"}[type(inner).__name__]
        return KINDS[kind](*(getattr(inner, f) for f in inner._fields)).at(start(children[0]), inner.end)

    def decorated(self, children: list[Any]) -> Any:
        definition = children[-1]
        definition.decorator_list = [c.value for c in children[:-1]]
        return definition

    def decorator(self, children: list[Any]) -> Part:
        return Part(node(children[1]), start(children[0]), end(children[1]))

    def funcdef(self, children: list[Any]) -> Any:
        type_params = next((c.value for c in children if isinstance(c, Part) and isinstance(c.value, list) and c is not children[-1]), [])
        arguments = next((c for c in children if type(c).__name__ == "arguments"), None) or self.arguments_node([])
        arrow = next((i for i, c in enumerate(children) if is_token(c, "ARROW")), None)
        returns = node(children[arrow + 1]) if arrow is not None else None
        return make("FunctionDef", children, str(children[1]), arguments, children[-1].value, [], returns, None, type_params)

    def params(self, children: list[Any]) -> Any:
        return self.arguments_node(without(children, "COMMA"))

    lparams = params

    def arguments_node(self, items: list[Any]) -> Any:
        """The arguments node of a parameter list; what Python's grammar forbids is refused."""
        positional_only: list[Any] = []
        plain: list[Any] = []
        defaults: list[Any] = []
        keyword_only: list[Any] = []
        keyword_defaults: list[Any] = []
        star = None
        bare = False
        keywords = None
        for item in items:
            kind, argument, default = item.value
            if keywords is not None:
                self.fail("E0107", item, reason="parameters cannot follow a ** parameter")
            if kind == "/":
                if positional_only or not plain or star or bare:
                    self.fail("E0107", item, reason="/ must come after a parameter and before *")
                positional_only, plain = plain, []
            elif kind == "*":
                if star or bare:
                    self.fail("E0107", item, reason="* may appear only once")
                star, bare = argument, argument is None
            elif kind == "**":
                keywords = argument
            elif star or bare:
                keyword_only.append(argument)
                keyword_defaults.append(default)
            else:
                if default is None and defaults:
                    self.fail("E0107", item, reason="parameter without a default follows parameter with a default")
                plain.append(argument)
                if default is not None:
                    defaults.append(default)
        if bare and not keyword_only:
            self.fail("E0107", items[-1], reason="named parameters must follow bare *")
        return KINDS["arguments"](positional_only, plain, star, keyword_only, keyword_defaults, keywords, defaults)

    def param(self, children: list[Any]) -> Part:
        first = children[0]
        place = (start(first), end(children[-1]))
        if first.type == "SLASH":
            return Part(("/", None, None), *place)
        if first.type in ("STAR", "POW"):
            rest = children[1:]
            if not rest:
                return Part(("*", None, None), *place)
            return Part((str(first), self.argument_node(rest), None), *place)
        equal = next((i for i, c in enumerate(children) if is_token(c, "EQUAL")), None)
        head = children if equal is None else children[:equal]
        return Part(("", self.argument_node(head), None if equal is None else node(children[equal + 1])), *place)

    lparam = param

    def argument_node(self, children: list[Any]) -> Any:
        annotation = node(children[2]) if len(children) > 2 else None
        return make("arg", children, str(children[0]), annotation, None)

    def classdef(self, children: list[Any]) -> Any:
        type_params = next((c.value for c in children[2:3] if isinstance(c, Part) and isinstance(c.value, list)), [])
        call = next((c.value for c in children if isinstance(c, Part) and isinstance(c.value, tuple)), ([], []))
        return make("ClassDef", children, str(children[1]), call[0], call[1], children[-1].value, [], type_params)

    def type_params(self, children: list[Any]) -> Part:
        return Part(without(children, "LSQB", "RSQB", "COMMA"), start(children[0]), end(children[-1]))

    def type_param(self, children: list[Any]) -> Any:
        first = children[0]
        equal = next((i for i, c in enumerate(children) if is_token(c, "EQUAL")), None)
        default = None if equal is None else node(children[equal + 1])
        if first.type == "STAR":
            return make("TypeVarTuple", children, str(children[1]), default)
        if first.type == "POW":
            return make("ParamSpec", children, str(children[1]), default)
        bound = node(children[2]) if len(children) > 2 and is_token(children[1], "COLON") else None
        return make("TypeVar", children, str(first), bound, default)

    # Match.

    def match_stmt(self, children: list[Any]) -> Any:
        cases = [c for c in children if type(c).__name__ == "match_case"]
        return KINDS["Match"](node(children[1]), cases).at(start(children[0]), self.case_end)

    def subject(self, children: list[Any]) -> Any:
        return children[0]

    def case_block(self, children: list[Any]) -> Any:
        self.case_end = children[-1].end
        guard = children[2].value if isinstance(children[2], Part) else None
        return KINDS["match_case"](node(children[1]), guard, children[-1].value)

    def guard(self, children: list[Any]) -> Part:
        return Part(node(children[1]), start(children[0]), end(children[-1]))

    def patterns(self, children: list[Any]) -> Any:
        items = [node(c) for c in without(children, "COMMA")]
        if len(children) == 1 and type(items[0]).__name__ != "MatchStar":
            return children[0]
        return Bare(make("MatchSequence", children, items), start(children[0]), end(children[-1]))

    def star_pattern(self, children: list[Any]) -> Any:
        name = str(children[1])
        return make("MatchStar", children, None if name == "_" else name)

    def as_pattern(self, children: list[Any]) -> Any:
        return children[0] if len(children) == 1 else make("MatchAs", children, node(children[0]), str(children[2]))

    def or_pattern(self, children: list[Any]) -> Any:
        return children[0] if len(children) == 1 else make("MatchOr", children, [node(c) for c in without(children, "BAR")])

    def literal_pattern(self, children: list[Any]) -> Any:
        first = children[0]
        if isinstance(first, Token):
            return make("MatchSingleton", children, {"NONE": None, "TRUE": True, "FALSE": False}[first.type])
        value = first
        if len(children) > 1:
            right = number_node([children[2]])
            value = make("BinOp", children, first, INSTANCES[BINARY[children[1].type]], right)
        return make("MatchValue", children, value)

    def signed_number(self, children: list[Any]) -> Any:
        number = number_node(children[-1:])
        return number if len(children) == 1 else make("UnaryOp", children, INSTANCES["USub"], number)

    def name_pattern(self, children: list[Any]) -> Any:
        if len(children) == 1:
            name = str(children[0])
            return make("MatchAs", children, None, None if name == "_" else name)
        return make("MatchValue", children, self.dotted(children))

    def dotted(self, children: list[Any]) -> Any:
        value = make("Name", children[:1], str(children[0]), LOAD)
        for index in range(2, len(children), 2):
            value = make("Attribute", children[:index + 1], value, str(children[index]), LOAD)
        return value

    def group_pattern(self, children: list[Any]) -> Any:
        if len(children) == 2:
            return make("MatchSequence", children, [])
        inner = children[1]
        found = node(inner)
        if isinstance(inner, Bare):
            return make("MatchSequence", children, found.patterns)
        return Group(found, start(children[0]), end(children[-1]))

    def sequence_pattern(self, children: list[Any]) -> Any:
        if len(children) == 2:
            return make("MatchSequence", children, [])
        found = node(children[1])
        return make("MatchSequence", children, found.patterns if isinstance(children[1], Bare) else [found])

    def mapping_pattern(self, children: list[Any]) -> Any:
        keys, patterns, rest = [], [], None
        for item in children:
            if isinstance(item, Part):
                if item.value[0] is None:
                    rest = item.value[1]
                else:
                    keys.append(item.value[0])
                    patterns.append(item.value[1])
        return make("MatchMapping", children, keys, patterns, rest)

    def mapping_item(self, children: list[Any]) -> Part:
        place = (start(children[0]), end(children[-1]))
        if is_token(children[0], "POW"):
            return Part((None, str(children[1])), *place)
        key = children[0]
        if type(key).__name__ == "MatchValue":
            value = key.value
        elif type(key).__name__ == "MatchSingleton":
            value = KINDS["Constant"](key.value, None).at(key.start, key.end)
        else:
            value = KINDS["Name"](key.name, LOAD).at(key.start, key.end)
        return Part((value, node(children[2])), *place)

    def class_pattern(self, children: list[Any]) -> Any:
        name = children[0]
        cls = name.value if type(name).__name__ == "MatchValue" else KINDS["Name"](name.name or "_", LOAD).at(name.start, name.end)
        patterns, names, keyword_patterns = [], [], []
        for item in children[1:]:
            if isinstance(item, Part) and isinstance(item.value, tuple):
                names.append(item.value[0])
                keyword_patterns.append(item.value[1])
            elif not isinstance(item, Token):
                patterns.append(node(item))
        return make("MatchClass", children, cls, patterns, names, keyword_patterns)

    def class_argument(self, children: list[Any]) -> Any:
        if len(children) == 1:
            return children[0]
        return Part((str(children[0]), node(children[2])), start(children[0]), end(children[-1]))


def number_node(children: list[Any]) -> Any:
    """The Constant of a number token."""
    return make("Constant", children, literals.number(str(children[0])), None)
