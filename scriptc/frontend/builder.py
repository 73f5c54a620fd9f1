"""Expressions: from reductions of the grammar to AST nodes; together with the statements, the whole builder.

No other tree is kept: a method is called as soon as the parser has recognised its rule.
"""
from __future__ import annotations

from typing import Any

from scriptc.frontend import literals
from scriptc.frontend.parts import BINARY, COMPARE, LOAD, STORE, UNARY, AsItem, Bare, Group, Part, describe, end, is_token, make, node, start, without
from scriptc.frontend.statement_builder import StatementBuilder, number_node
from scriptc.frontend.syntax import INSTANCES, KINDS


class TreeBuilder(StatementBuilder):
    """All callbacks of the grammar."""

    def sequence(self, children: list[Any]) -> Any:
        if len(children) == 1:
            return children[0]
        made = make("Tuple", children, [node(c) for c in without(children, "COMMA")], LOAD)
        return Bare(made, made.start, made.end)

    testlist = testlist_star_expr = testlist_star_named = exprlist = sequence

    def namedexpr(self, children: list[Any]) -> Any:
        found = node(children[0])
        if type(found).__name__ != "Name" or isinstance(children[0], Group):
            self.fail("E0106", children[0], what=f"cannot use assignment expressions with {describe(found)}")
        found.ctx = STORE
        return make("NamedExpr", children, found, node(children[2]))

    def ternary(self, children: list[Any]) -> Any:
        return make("IfExp", children, node(children[2]), node(children[0]), node(children[4]))

    def lambdef(self, children: list[Any]) -> Any:
        arguments = children[1] if type(children[1]).__name__ == "arguments" else self.arguments_node([])
        return make("Lambda", children, arguments, node(children[-1]))

    def or_test(self, children: list[Any]) -> Any:
        return make("BoolOp", children, INSTANCES["Or"], [node(c) for c in children[::2]])

    def and_test(self, children: list[Any]) -> Any:
        return make("BoolOp", children, INSTANCES["And"], [node(c) for c in children[::2]])

    def not_test(self, children: list[Any]) -> Any:
        return make("UnaryOp", children, INSTANCES["Not"], node(children[1]))

    def comparison(self, children: list[Any]) -> Any:
        return make("Compare", children, node(children[0]), [c.value for c in children[1::2]], [node(c) for c in children[2::2]])

    def comp_op(self, children: list[Any]) -> Part:
        kind = "IsNot" if len(children) == 2 and children[0].type == "IS" else COMPARE[children[0].type]
        return Part(INSTANCES[kind], start(children[0]), end(children[-1]))

    def star_expr(self, children: list[Any]) -> Any:
        return make("Starred", children, node(children[1]), LOAD)

    def binary(self, children: list[Any]) -> Any:
        return make("BinOp", children, node(children[0]), INSTANCES[BINARY[children[1].type]], node(children[2]))

    def unary(self, children: list[Any]) -> Any:
        return make("UnaryOp", children, INSTANCES[UNARY[children[0].type]], node(children[1]))

    def await_expr(self, children: list[Any]) -> Any:
        return make("Await", children, node(children[1]))

    def call(self, children: list[Any]) -> Any:
        positional, keywords = children[2].value if len(children) > 3 else ([], [])
        for argument in positional:
            # A generator that is the only argument owns the call's parentheses.
            if type(argument).__name__ == "GeneratorExp" and argument.start is None:
                argument.at(start(children[1]), end(children[-1]))
        return make("Call", children, node(children[0]), positional, keywords)

    def arguments(self, children: list[Any]) -> Part:
        positional: list[Any] = []
        keywords: list[Any] = []
        items = without(children, "COMMA")
        for item in items:
            if type(item).__name__ == "keyword":
                keywords.append(item)
                continue
            found = node(item)
            if type(found).__name__ == "GeneratorExp" and found.start is None and (len(items) > 1 or is_token(children[-1], "COMMA")):
                self.fail("E0108", found.elt)
            if keywords and type(found).__name__ != "Starred" and any(k.arg is not None for k in keywords):
                self.fail("E0109", item, reason="positional argument follows keyword argument")
            if keywords and any(k.arg is None for k in keywords):
                self.fail("E0109", item, reason="positional argument follows keyword argument unpacking"
                          if type(found).__name__ != "Starred" else "iterable argument unpacking follows keyword argument unpacking")
            positional.append(found)
        return Part((positional, keywords), start(children[0]), end(children[-1]))

    def argument(self, children: list[Any]) -> Any:
        first = children[0]
        if len(children) == 1:
            return first
        if is_token(first, "STAR"):
            return make("Starred", children, node(children[1]), LOAD)
        if is_token(first, "POW"):
            return make("keyword", children, None, node(children[1]))
        if len(children) == 2:
            return KINDS["GeneratorExp"](node(first), children[1].value)
        if children[1].type == "WALRUS":
            return self.namedexpr(children)
        found = node(first)
        if type(found).__name__ != "Name" or isinstance(first, Group):
            self.fail("E0106", first, what='expression cannot contain assignment, perhaps you meant "=="?')
        return make("keyword", children, found.id, node(children[2]))

    def subscript(self, children: list[Any]) -> Any:
        return make("Subscript", children, node(children[0]), node(children[2]), LOAD)

    def subscripts(self, children: list[Any]) -> Any:
        if len(children) == 1 and type(node(children[0])).__name__ != "Starred":
            return children[0]
        return make("Tuple", children, [node(c) for c in without(children, "COMMA")], LOAD)

    def slice_(self, children: list[Any]) -> Any:
        parts: list[Any] = [None, None, None]
        index = 0
        for child in children:
            if is_token(child, "COLON"):
                index += 1
            else:
                parts[index] = node(child)
        return make("Slice", children, *parts)

    def attribute(self, children: list[Any]) -> Any:
        return make("Attribute", children, node(children[0]), str(children[2]), LOAD)

    # Atoms.

    def name(self, children: list[Any]) -> Any:
        return make("Name", children, str(children[0]), LOAD)

    def number(self, children: list[Any]) -> Any:
        return number_node(children)

    def constant(self, children: list[Any]) -> Any:
        value = {"NONE": None, "TRUE": True, "FALSE": False, "ELLIPSIS": ...}[children[0].type]
        return make("Constant", children, value, None)

    def strings(self, children: list[Any]) -> Any:
        return literals.strings(self, children)

    def empty_tuple(self, children: list[Any]) -> Any:
        return make("Tuple", children, [], LOAD)

    def group_items(self, children: list[Any]) -> Any:
        if any(isinstance(c, AsItem) for c in children):
            return children[0] if len(children) == 1 else Part(without(children, "COMMA"), start(children[0]), end(children[-1]))
        return self.sequence(children)

    def as_item(self, children: list[Any]) -> AsItem:
        return AsItem((node(children[0]), self.target(children[2], STORE)), start(children[0]), end(children[-1]))

    def group(self, children: list[Any]) -> Any:
        inner = children[1]
        found = node(inner)
        if isinstance(inner, Bare):
            return found.at(start(children[0]), end(children[-1]))
        if type(found).__name__ == "Starred":
            self.fail("E0106", inner, what="cannot use starred expression here")
        return Group(found, start(children[0]), end(children[-1]))

    def generator(self, children: list[Any]) -> Any:
        return make("GeneratorExp", children, node(children[1]), children[2].value)

    def empty_list(self, children: list[Any]) -> Any:
        return make("List", children, [], LOAD)

    def elements(self, child: Any) -> list[Any]:
        """The elements between brackets: a bare tuple's own, or the one."""
        found = node(child)
        if isinstance(child, Bare):
            return found.elts
        return [found]

    def list_display(self, children: list[Any]) -> Any:
        return make("List", children, self.elements(children[1]), LOAD)

    def list_comp(self, children: list[Any]) -> Any:
        return make("ListComp", children, node(children[1]), children[2].value)

    def empty_dict(self, children: list[Any]) -> Any:
        return make("Dict", children, [], [])

    def dict_display(self, children: list[Any]) -> Any:
        items = children[1].value
        return make("Dict", children, [k for k, _ in items], [v for _, v in items])

    def dict_items(self, children: list[Any]) -> Part:
        return Part([c.value for c in without(children, "COMMA")], start(children[0]), end(children[-1]))

    def dict_item(self, children: list[Any]) -> Part:
        pair = (None, node(children[1])) if is_token(children[0], "POW") else (node(children[0]), node(children[2]))
        return Part(pair, start(children[0]), end(children[-1]))

    def dict_comp(self, children: list[Any]) -> Any:
        return make("DictComp", children, node(children[1]), node(children[3]), children[4].value)

    def set_display(self, children: list[Any]) -> Any:
        return make("Set", children, self.elements(children[1]))

    def set_comp(self, children: list[Any]) -> Any:
        return make("SetComp", children, node(children[1]), children[2].value)

    def comp_for(self, children: list[Any]) -> Part:
        return Part([c.value for c in children], start(children[0]), end(children[-1]))

    def comp_clause(self, children: list[Any]) -> Part:
        is_async = is_token(children[0], "ASYNC")
        rest = children[1:] if is_async else children
        clause = KINDS["comprehension"](self.target(rest[1], STORE), node(rest[3]), [c.value for c in rest[4:]], int(is_async))
        return Part(clause, start(children[0]), end(children[-1]))

    def comp_if(self, children: list[Any]) -> Part:
        return Part(node(children[1]), start(children[0]), end(children[-1]))

    def yield_expr(self, children: list[Any]) -> Any:
        if len(children) > 1 and is_token(children[1], "FROM"):
            return make("YieldFrom", children, node(children[2]))
        return make("Yield", children, node(children[1]) if len(children) > 1 else None)
