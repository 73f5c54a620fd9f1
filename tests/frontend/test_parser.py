"""The parser against CPython: equal trees, equal error lines, newer syntax by golden dumps."""
from __future__ import annotations

import ast
import json
import random
import sys
import sysconfig
import warnings
from pathlib import Path

import pytest

from scriptc.errors import CompileError
from scriptc.frontend import tables
from scriptc.frontend.parser import parse, read_source
from scriptc.frontend.syntax import dump
from scriptc.location import Source
from tests.frontend.compare_with_cpython import Positions, compare_file, difference

SAMPLE = 300


def standard_library_sample() -> list[Path]:
    root = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(f for f in root.rglob("*.py") if "site-packages" not in f.parts and f.stat().st_size < 60_000)
    return random.Random(0).sample(files, min(SAMPLE, len(files)))


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="positions are compared with CPython 3.11's")
def test_trees_equal_cpythons_over_a_sample_of_the_standard_library() -> None:
    different = {str(f): found for f in standard_library_sample() if (found := compare_file(f)[0]) is not None}
    assert not different


NEWER = {
    "type Alias = int": "TypeAlias(name=Name(id='Alias', ctx=Store()), type_params=[], value=Name(id='int', ctx=Load()))",
    "type L[T] = list[T]": "TypeAlias(name=Name(id='L', ctx=Store()), type_params=[TypeVar(name='T', bound=None, default_value=None)], "
                           "value=Subscript(value=Name(id='list', ctx=Load()), slice=Name(id='T', ctx=Load()), ctx=Load()))",
    "def f[T: int, *Ts, **P](x: T): pass": "type_params=[TypeVar(name='T', bound=Name(id='int', ctx=Load()), default_value=None), "
                                           "TypeVarTuple(name='Ts', default_value=None), ParamSpec(name='P', default_value=None)]",
    "class C[T = int](B): pass": "type_params=[TypeVar(name='T', bound=None, default_value=Name(id='int', ctx=Load()))]",
    'f"{d["key"]}"': "JoinedStr(values=[FormattedValue(value=Subscript(value=Name(id='d', ctx=Load()), slice=Constant(value='key', kind=None)",
    'f"{f"{1}"}"': "FormattedValue(value=JoinedStr(values=[FormattedValue(value=Constant(value=1, kind=None)",
    "with (open(a) as b, open(c)): pass": "With(items=[withitem(context_expr=Call(func=Name(id='open', ctx=Load())",
    "match x:\n case [1, *rest] if rest: pass\n case {'k': v, **o}: pass\n case P(a, b=2) | None: pass\n case _: pass":
        "match_case(pattern=MatchMapping(keys=[Constant(value='k', kind=None)], patterns=[MatchAs(pattern=None, name='v')], rest='o')",
    "try: pass\nexcept* ValueError as e: pass": "TryStar(",
    "match = 1; case = match; type = case": "Assign(targets=[Name(id='match', ctx=Store())]",
}


@pytest.mark.parametrize("text", NEWER, ids=lambda t: t[:24])
def test_newer_syntax_gives_the_documented_tree(text: str) -> None:
    assert NEWER[text] in dump(parse(Source("new.py", text + "\n")))


STATEMENTS = [
    "x = (1 + 2", "x = 1 +", "if x\n    y = 1", "def f(:\n    pass", "for i in range(3)\n    pass", "x = [1, 2", "y = }", "x = (1]",
    "class A\n    pass", "while True\n    pass", "return = 3", "x = 'abc", "x = '''abc", "1 = x", "f() = 1", "x + 1 = 2",
    "def f(a, a=1, b): pass", "f(a=1, 2)", "f(**k, *a)", "import", "from x import", "x = 5 5", "x ==== 2", "lambda x: = 3",
    "else:\n    pass", "try:\n    pass\nx = 1", "x = {1: 2, 3}", "del f()", "a b", "@\ndef f(): pass", "with open(x) as 1: pass",
    "print 'x'", "x = 0777", "x = 1__0", "def f(*): pass", "a, b += 1", "x: int: str = 1", "raise x from", "assert", "global",
    "x = yield = 1", "for 1 in x: pass", "not = 1", "x = $", "x = ?", "  x = 1", "if True:\nx = 1", "def f():\n    x = 1\n  y = 2",
    "x = (\n1,\n2\n", "f(x for x in y, 1)", "x = self := f(1)", "return y := 1", "x = (1 +\n2 * $)", "x = y z\nw = '''abc",
    "x = y z\nw = 1__0", "x = y z\nw = (1", "x = y z\nw = 1)", "x = 1 \\ 2", "try:\n    x = 1", "def f(a,(\n    b,\n    c):\n    return g(",
    "x |= = *y", "x = [a\n     b]", "def f(\n    a: int\n    b: int): pass", "f(\n    a\n    b=1)", "from a import b, ",
    "from a import (b\n c)", "def f(a\n  b): pass", "x = a[b]  \\\n  c.d(e)",
]


def broken_sources() -> list[str]:
    """200 broken files: each bad statement alone and behind good code of various kinds."""
    before = ["", "import os\n\n\ndef good(a, b=1):\n    return a + b\n\n\n", "class C:\n    x = 1\n\n    def m(self):\n        return self.x\n\n",
              '"""Docstring\nover lines."""\nx = [1,\n     2]\n']
    return [prefix + statement + "\nlast = 1\n" for statement in STATEMENTS for prefix in before]


def test_errors_are_on_the_line_cpython_reports() -> None:
    wrong = []
    sources = broken_sources()
    for text in sources:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ast.parse(text)
                continue
            except SyntaxError as error:
                expected = error.lineno
        try:
            parse(Source("broken.py", text))
            found = None
        except CompileError as refused:
            location = refused.diagnostics[0].location
            found = location.span.line if location is not None and location.span is not None else None
        if found != expected:
            wrong.append((text, expected, found))
    assert len(sources) >= 200
    assert not wrong, "\n".join(f"line {e} expected, {f} found: {t!r}" for t, e, f in wrong[:20])


@pytest.mark.parametrize(("text", "code"), [("x = (1\n", "E0101"), ("if x\n    pass\n", "E0121"), ("x = 'a\n", "E0105"), ("1 = x\n", "E0106"),
                                            ("  x = 1\n", "E0119"), ("x = )\n", "E0103"), ("x = (]\n", "E0104"), ("f'{}'\n", "E0118"),
                                            ("def f():\n", "E0120"), ("x = $\n", "E0110"), ("x = 010\n", "E0123"), ("x = 1 \\ 2\n", "E0124"),
                                            ("x = [a\n b]\n", "E0125")])
def test_error_codes_name_the_fault(text: str, code: str) -> None:
    with pytest.raises(CompileError) as refused:
        parse(Source("broken.py", text))
    assert refused.value.code == code


@pytest.mark.parametrize("text", ["x |= *a, b", "x = *a, b", "for i in *a, b: pass", "x = [y := 1, y]", "print(y := 1)", "a[b := 1]",
                                  "@(d := e)\ndef f(): pass", "from a import (b, c as d,)", "from a import b, c as d",
                                  "import ªb, x.ﬁ\nﬁ.ﬁ(ﬁ=ﬁ)\ndef ﬁ(ﬁ): global ªb"])
def test_rarer_forms_give_cpythons_tree(text: str) -> None:
    source = Source("forms.py", text + "\n")
    assert difference(parse(source), ast.parse(source.text), source, Positions(source.text), "Module", False) is None


def test_shipped_tables_belong_to_the_grammar() -> None:
    stored = json.loads(tables.TABLES.read_text(encoding="utf-8"))
    assert stored["key"]["grammar"] == tables.key()["grammar"], "run python -m scriptc.frontend.tables"


@pytest.mark.parametrize("content", [None, "", "[]", '{"key": {"grammar": "another"}}'], ids=["absent", "empty", "list", "stale"])
def test_unusable_tables_are_computed_anew(content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grammar.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(tables, "TABLES", path)
    monkeypatch.setattr(tables, "build", lambda transformer: "computed")
    assert tables.load(None) == "computed"


@pytest.mark.parametrize(("data", "text"), [
    (b"\xef\xbb\xbfx = 1\n", "x = 1\n"), ("x = 'é'\n".encode(), "x = 'é'\n"), (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "x = 'é'\n"),
    (b"#!/bin/sh\n# vim: set fileencoding=ascii :\nx = 1\n", "x = 1\n")], ids=["byte-order mark", "utf-8", "latin-1", "ascii in line 2"])
def test_sources_are_decoded_as_python_decodes_them(data: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "encoded.py"
    path.write_bytes(data)
    assert read_source(path).text.endswith(text)


@pytest.mark.parametrize(("data", "code", "line"), [
    (b"x = 1\ny = '\xff'\n", "E0122", 2), (b"# coding: ascii\n\nx = '\xe9'\n", "E0122", 3), (b"# coding: no-such\n", "E0122", 1),
    (b"# coding: undefined\n", "E0122", 1), (b"# coding: hex\n", "E0122", 1), (b"x = 1\ny = \0\n", "E0110", 2)])
def test_undecodable_sources_are_refused_where_they_are_wrong(data: bytes, code: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "encoded.py"
    path.write_bytes(data)
    with pytest.raises(CompileError) as refused:
        read_source(path)
    location = refused.value.diagnostics[0].location
    assert refused.value.code == code and location is not None and location.span is not None and location.span.line == line


@pytest.mark.parametrize(("text", "code"), [
    ("x = " + "(" * 300 + ")" * 300, "E0126"), ("".join(" " * i + "if x:\n" for i in range(200)) + " " * 200 + "y", "E0126"),
    ('f"{' * 300 + "1" + '}"' * 300, "E0126"), ('f"{' * 3000, "E0126"), ("9" * 5000, "E0127"), ("x = ١", "E0110"), ("x² = 1", "E0110"),
    ('f"{' + "(" * 5000, "E0105"), ("(" * 150, "E0101"), ("*" * 5000, "E0100")])
def test_hostile_texts_are_refused_with_a_diagnostic(text: str, code: str) -> None:
    with pytest.raises(CompileError) as refused:
        parse(Source("hostile.py", text + "\n"))
    assert refused.value.code == code
