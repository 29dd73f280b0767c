"""What varies within levels, how often it is seen, and the ranks of columns there: by hand."""

from __future__ import annotations

import numpy as np

from lmmkit.model.design_audit.within_levels import Levels, Span, _paired
from lmmkit.model.table.grouping import Grouping

CODES = np.array([2, 0, 2, 0, 4, 2, 4, 0, 0])  # levels 1 and 3 have no row


def levels() -> Levels:
    names = np.array(list("abcde"), object)
    return Levels(Grouping("g", CODES, 5, ((names, np.arange(5)),)))


def test_rows_stand_by_level() -> None:
    own = levels()
    assert own.rows.tolist() == [1, 3, 7, 8, 0, 2, 5, 4, 6]
    assert own.codes.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2]
    assert (own.size, own.counts.tolist(), own.starts.tolist()) == (3, [4, 3, 2], [0, 4, 7])


def test_cells_of_a_level_and_rows_of_a_cell() -> None:
    own, cells = levels(), np.array([3, 1, 3, 1, 0, 3, 2, 0, 1])
    assert own.varying(cells).tolist() == [True, False, True]
    each, counts = own.cell_counts(cells)
    assert each.tolist() == [2, 1, 2]
    assert counts.tolist() == [1, 3, 3, 1, 1]


def test_pairs_have_a_number_each() -> None:
    assert _paired(np.array([0, 1, 0, 1, 0]), np.array([2, 0, 0, 0, 2])).tolist() == [1, 2, 0, 2, 1]


def test_ranks_are_those_of_the_columns_within_each_level() -> None:
    x = np.array([5.0, 1, 5, 2, 0, 5, 3, 4, 1])  # constant in level c
    columns = [np.ones(9), x, x**2, 2 * x - 1]
    none = Span(levels())
    one, most = none.with_columns(columns[:1]), none.with_columns(columns)
    assert (none.rank.tolist(), one.rank.tolist(), most.rank.tolist()) == ([0, 0, 0], [1, 1, 1], [3, 1, 2])
    assert one.replicated.tolist() == [True, True, True]
    assert one.with_columns(columns[1:]).rank.tolist() == most.rank.tolist()
    assert most.replicated.tolist() == [True, True, False]
    for place, code in enumerate((0, 2, 4)):
        rows = np.column_stack(columns)[code == CODES]
        assert most.rank[place] == np.linalg.matrix_rank(rows)


def test_what_is_left_of_a_column_by_rounding_counts_for_nothing() -> None:
    """2e-8 and 5e-9 of its length beside a column of ones."""
    away = np.array([1.0, -1, 1, -1, 1, -1, -1, 1, -1])  # orthogonal to ones in levels a and e
    for share, more in ((2e-8, 1), (5e-9, 0)):
        span = Span(levels()).with_columns([np.ones(9), 1.0 + share * away])
        assert span.rank[[0, 2]].tolist() == [1 + more, 1 + more]
