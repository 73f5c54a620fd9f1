"""Damaged programs end in errors that are told, never in a traceback of the compiler."""
from __future__ import annotations

from tests.diagnostics.fuzz import escapes


def test_nothing_but_compile_errors_comes_out() -> None:
    assert escapes(300, 1) == []
