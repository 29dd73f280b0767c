"""Sets of cells that subjects have rows in: one by one, some of them, and how far variances may be."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_visits import over

from lmmkit.engine.crossproducts.patterns import WIDEST, Patterns, pairs_of, patterns_of, refuse_out_of_range
from lmmkit.engine.problem import Residual
from lmmkit.errors import FitError

# three subjects at visits 1 and 2, two at 1 and 3, one at 2 and 3
SOME = Patterns(np.array([[0, 1], [0, 2], [1, 2]]), np.array([3, 2, 1]), np.arange(12).reshape(6, 2))


def test_patterns_are_gone_through_one_after_the_other():
    assert SOME.pattern.tolist() == [0, 0, 0, 1, 1, 2]
    assert SOME.starts.tolist() == [0, 3, 5, 6]
    found = [(cells.tolist(), rows.tolist()) for cells, rows in SOME.each()]
    assert found == [
        ([0, 1], [[0, 1], [2, 3], [4, 5]]),
        ([0, 2], [[6, 7], [8, 9]]),
        ([1, 2], [[10, 11]]),
    ]


@pytest.mark.parametrize(("here", "rows"), [(slice(0, 1), 3), (slice(1, 3), 3), (slice(2, 9), 1)])
def test_some_patterns_have_their_own_rows(here, rows):
    part = SOME.some(here)
    assert [cells.tolist() for cells, _ in part.each()] == SOME.cells[here].tolist()
    assert part.rows.tolist() == SOME.rows[SOME.starts[here.start] :][:rows].tolist()


def test_a_pattern_has_its_part_of_a_matrix():
    A = np.arange(18.0).reshape(2, 3, 3)
    inside = SOME.inside(A)
    assert inside.shape == (2, 3, 2, 2)
    assert inside[1, 1].tolist() == [[9.0, 11.0], [15.0, 17.0]]


def test_pairs_are_counted_over_patterns_of_all_sizes():
    cells, subjects = np.array([0, 1, 2, 1, 0, 2, 0]), np.array([0, 0, 0, 1, 1, 2, 3])
    pairs = pairs_of(Residual(over("un"), cells, subjects))
    assert pairs.tolist() == [[3, 2, 1], [2, 2, 1], [1, 1, 2]]
    assert [group.cells.shape[1] for group in patterns_of(Residual(over("un"), cells, subjects))] == [1, 2, 3]


@pytest.mark.parametrize(
    ("R", "refused"),
    [
        (np.diag([1.0, 0.9 * WIDEST]), False),
        (np.diag([1.0, 1.1 * WIDEST]), True),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), True),
        (np.diag([1.0, np.inf]), True),
    ],
)
def test_variances_are_numbers_of_a_widest_ratio(R, refused):
    stack = np.stack([np.eye(2), R])
    if refused:
        with pytest.raises(FitError, match="has left the range of floating-point numbers"):
            refuse_out_of_range(stack)
    else:
        refuse_out_of_range(stack)
