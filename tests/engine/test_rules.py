"""The table of rules: one page, every rule in use, every search reads it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from lmmkit.engine.rules import BATCH, PROFILE, SEARCH, table

ROOT = Path(__file__).parents[2]
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "lmmkit" / "engine").rglob("*.py"))


def test_the_page_is_the_table():
    page = (ROOT / "docs" / "search-rules.md").read_text(encoding="utf-8")
    assert table() in page


RULES = list(dict.fromkeys(f.name for rules in (SEARCH, PROFILE) for f in fields(rules)))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_read_by_a_search(rule):
    assert re.search(rf"(rules|SEARCH|PROFILE|BATCH)\.{rule}\b", SOURCE)


def test_every_rule_says_its_unit_what_it_is_and_what_halving_does():
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in table().splitlines()[2:]]
    assert {row[0] for row in rows} == {f"`{rule}`" for rule in RULES}
    assert all(len(row) == 7 and all((*row[4:], any(row[1:4]))) for row in rows)


def test_a_search_has_the_rules_that_it_reads_alone():
    read = {name: set(re.findall(r"(?:rules|BATCH)\.(\w+)", "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "lmmkit" / "engine" / name).glob("*.py")
    ))) - {"limit"} for name in ("replicates", "profiles")}  # fmt: skip
    assert {f.name for f in fields(BATCH)} == {"limit", *read["replicates"]}
    assert {f.name for f in fields(BATCH)} - {f.name for f in fields(PROFILE)} == {
        *("floor", "negligible", "suspect", "null_multiplier", "multiplier")
    }


def test_the_searches_differ_only_where_the_table_says_why():
    def changed(rules):
        return {f.name for f in fields(rules) if getattr(rules, f.name) != getattr(SEARCH, f.name, ())}

    alone = {*("saddle_curvature", "bound", "profiles", "elsewhere", "better", "outward", "nudge")}
    assert changed(PROFILE) - alone == {
        *("enough", "stalled", "correct_below", "halvings", "exact_after", "sizes")
    }
    assert changed(BATCH) == {"enough", "stalled", "limit"}
