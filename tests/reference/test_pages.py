"""The generated pages say what the catalogue, the registry and the broken programs say now."""
from __future__ import annotations

from tests.reference.pages import ROOT, pages


def test_the_pages_are_up_to_date() -> None:
    made = pages()
    there = {f"{folder}/{p.name}": p.read_text(encoding="utf-8") for folder in ("errors", "ops") for p in (ROOT / "docs" / folder).glob("*.md")}
    stale = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
    assert stale == [], "run: python -m tests.reference.pages"


def test_every_operator_is_described() -> None:
    assert all(len(text) > 40 for text in pages().values())
