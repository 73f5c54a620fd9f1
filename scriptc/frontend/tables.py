"""The grammar's LALR tables as a JSON file beside the grammar, so that a first parse need not compute them.

    python -m scriptc.frontend.tables      writes grammar.json anew after a change of grammar.lark

Lark's own cache is pickled, and a pickle runs whatever was put into it; JSON is data only. A file that does not belong to
this grammar and this Lark is not used: the tables are then computed, which takes most of a second.
"""
from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import lark
from lark import Lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

from scriptc.frontend.tokens import GrammarLexer

GRAMMAR = Path(__file__).with_name("grammar.lark")
TABLES = GRAMMAR.with_suffix(".json")
STARTS = ["file_input", "eval_input", "fstring_input"]


def build(transformer: Any = None) -> Lark:
    """The parser computed from the grammar."""
    return Lark(GRAMMAR.read_text(encoding="utf-8"), parser="lalr", lexer=GrammarLexer, start=STARTS, keep_all_tokens=True,
                maybe_placeholders=False, transformer=transformer)


def load(transformer: Any) -> Lark:
    """The parser from its tables if they belong to the grammar as it is, else computed; `transformer` gets the reductions."""
    try:
        stored = json.loads(TABLES.read_text(encoding="utf-8"), object_pairs_hook=with_integer_keys)
    except (OSError, ValueError):
        return build(transformer)
    if not isinstance(stored, dict) or stored.get("key") != key():
        return build(transformer)
    data = stored["data"]
    data["options"]["lexer"] = data["parser"]["lexer_conf"]["lexer_type"] = GrammarLexer
    found: Lark = Lark._load_from_dict(data, stored["memo"], transformer=transformer)
    return found


def key() -> dict[str, str]:
    """What the tables depend on: the grammar's text and Lark's release."""
    return {"grammar": hashlib.sha256(GRAMMAR.read_text(encoding="utf-8").encode()).hexdigest(), "lark": lark.__version__}


def with_integer_keys(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    """JSON turns the tables' integer keys into text; this turns them back."""
    return {int(name) if name.isdecimal() else name: value for name, value in pairs}


def text() -> str:
    """The content of the tables' file."""
    data, memo = build().memo_serialize([TerminalDef, Rule])
    # The lexer is a class of ours, which `load` puts back.
    data["options"]["lexer"] = data["parser"]["lexer_conf"]["lexer_type"] = None
    return json.dumps({"key": key(), "data": data, "memo": memo}, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    TABLES.write_text(text(), encoding="utf-8")
