"""Every table of the report on small fits, its facts, and how its columns are printed."""

from __future__ import annotations

import pytest
from support.tables import PARTS, declared, expected, told


@pytest.mark.parametrize("part", PARTS)
def test_tables_and_facts_are_as_they_were_found_right(part):
    """Where one is to change: `PYTHONPATH=tests python -m support.tables`, then read the difference."""
    assert told(part) == expected()[part]


def test_titles_and_roundings_are_as_they_were_found_right():
    assert declared() == expected()["declared"]
