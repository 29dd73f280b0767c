"""The table of rules: one page, every rule in use, every search reads it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from lmmkit.engine.search.rules import BATCH, PROFILE, SEARCH, Rules, table

ROOT = Path(__file__).parents[3]
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "lmmkit" / "engine").rglob("*.py"))


def test_the_page_is_the_table():
    page = (ROOT / "docs" / "search-rules.md").read_text(encoding="utf-8")
    assert table() in page


@pytest.mark.parametrize("rule", [rule.name for rule in fields(Rules)])
def test_every_rule_is_read_by_a_search(rule):
    assert re.search(rf"(rules|PROFILE)\.{rule}\b", SOURCE)


def test_every_rule_says_its_unit_what_it_is_and_what_halving_does():
    rows = [line.strip("| ").split(" | ") for line in table().splitlines()[2:]]
    assert [row[0] for row in rows] == [f"`{rule.name}`" for rule in fields(Rules)]
    assert all(len(row) == 7 and all(row) for row in rows)


def test_the_searches_differ_only_where_the_table_says_why():
    def changed(rules):
        return {f.name for f in fields(Rules) if getattr(rules, f.name) != getattr(SEARCH, f.name)}

    assert changed(PROFILE) == {"enough", "stalled", "correct_below", "halvings", "exact_after", "sizes"}
    assert changed(BATCH) == {"enough", "stalled", "limit"}
