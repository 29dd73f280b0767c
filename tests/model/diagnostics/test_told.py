"""Every check on fits with known faults: its sizes, both its sentences, and its advice."""

from __future__ import annotations

import pytest
from support.checks import FITS, expected, methods, of_rows, results, told

from lmmkit.model.diagnostics.diagnose import verdict_of


@pytest.mark.parametrize("name", FITS)
def test_sizes_sentences_and_advice_are_as_they_were_found_right(name):
    """Where one is to change: `PYTHONPATH=tests python -m support.checks`, then read the difference."""
    assert [*(line for one in results(name) for line in told(one)), *of_rows(name)] == expected()[name]


def test_methods_are_told_as_they_were_found_right():
    assert methods() == expected()["methods"]


@pytest.mark.parametrize(
    ("p", "verdict"), [(0.0099, "trouble"), (0.01, "look"), (0.0499, "look"), (0.05, "fine")]
)
def test_verdicts_turn_at_five_and_at_one_percent(p, verdict):
    assert verdict_of(p, matters=True) == verdict
