"""Rows that a model uses: what a request needs, the ledger of lost rows, subsets, and whole refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lmmkit.errors import DataError, LmmkitError
from lmmkit.model.design.design import build_design
from lmmkit.model.design.rows_used import Given, Request, ledger, open_source, picked, subset_of
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.formula.residual_formula import parse_residual
from lmmkit.model.table.columns import open_table

NAN = np.nan
FRAME = pd.DataFrame(
    {
        "y": [1.0, 2, NAN, 4, 5, 7],
        "x": [NAN, 1, NAN, 3, 4, 4],
        "a": list("ppqqpq"),
        "b": ["k", "l", "k", None, "l", "k"],
        "w": [1.0, 2, 1, 2, 1, 2],
        "o": [0.5, 1, 1.5, 2, 2.5, 3],
    },
    index=list("uvwxyz"),
)


def opened(formula, frame=FRAME, **more):
    return open_source(Request(parse_formula(formula), **more), frame)


def test_a_request_needs_all_columns_but_those_of_members():
    made = Request(
        parse_formula("log(y) ~ x * a + offset(o) + (1 | b) + (1 | mm(c, d, weights=c(v, w)))"),
        weights="k",
        offset="l",
        residual=parse_residual("ar1(t | b)"),
    )
    assert set(made.needed()) == {"y", "x", "a", "o", "b", "k", "l", "t"}
    assert set(made.columns()) == {"y", "x", "a", "o", "b", "k", "l", "t", "c", "d", "v", "w"}
    assert set(Request(parse_formula("y ~ 1 + (1 | b)"), weights=[1.0]).needed()) == {"y", "b"}


def test_rows_without_a_missing_value_are_used():
    source = opened("y ~ x + (1 | b)")
    assert source.rows.tolist() == [1, 4, 5]
    assert source.count == 3
    assert {name: mask.tolist() for name, mask in source.lost.items()} == {
        "y": [False, False, True, False, False, False],
        "x": [True, False, True, False, False, False],
        "b": [False, False, False, True, False, False],
    }
    assert source.used(np.arange(6.0)).tolist() == [1, 4, 5]
    assert source.weights(None) is None
    assert source.weights("w").tolist() == [2, 1, 2]
    whole = opened("o ~ w + (1 | a)")
    assert (whole.rows, whole.count, dict(whole.lost)) == (None, 6, {})


def test_a_gap_in_a_vector_loses_its_row():
    source = opened("o ~ 1 + (1 | a)", weights=[1, 1, 1, 1, 1, NAN], offset=[NAN, 1, 1, 1, 1, 1])
    assert source.rows.tolist() == [1, 2, 3, 4]
    assert list(source.lost) == ["(weights)", "(offset)"]
    assert source.weights([1.0]).tolist() == [1, 1, 1, 1]


def test_each_lost_row_has_a_line():
    found = ledger(opened("y ~ x + (1 | b)").lost)
    assert found.to_dict("list") == {
        "row": [0, 2, 3],
        "reason": ["missing value"] * 3,
        "columns": ["x", "y, x", "b"],
    }
    assert ledger({}).shape == (0, 3)


@pytest.mark.parametrize(
    ("formula", "more", "said"),
    [
        (
            "y ~ x + (1 | b)",
            {"missing": "error"},
            "Values are missing: `y` in 1 row(s), first in row 3; `x` in 2 row(s), first in row 1; `b` in "
            "1 row(s), "
            "first in row 4. Fill or leave out these rows, or use missing='drop'.",
        ),
        (
            "y ~ x + (1 | b)",
            {"missing": "keep"},
            "missing='keep': 'exclude', 'drop' or 'error' is expected.",
        ),
        (
            "y ~ half + other + (1 | b)",
            {},
            "No row is left: each of the 6 rows misses a value (missing per column: `y` 1, `half` 3, "
            "`other` 3, "
            "`b` 1).",
        ),
        (
            "y ~ C(gone) + (1 | b)",
            {},
            "Column `gone` has no value: all 6 rows are missing, so no row is left.",
        ),
        (
            "y ~ a + (1 | b)",
            {"contrasts": {"A": "sum"}},
            "contrasts: `A` is no factor of the formula; did you mean `a`? (factors: a).",
        ),
        (
            "y ~ x + (1 | b)",
            {"contrasts": {"zzz": "sum"}},
            "contrasts: `zzz` is no factor of the formula (factors: none).",
        ),
        (
            "y ~ x + (1 | b)",
            {"contrasts": 3},
            "contrasts: codings by name of factor are expected, such as {'f': 'sum'}, not int.",
        ),
        (
            "y ~ x + (1 | b)",
            {"weights": pd.Series(range(6))},
            "weights: the Series has another index than the table; give it that index, or its `to_numpy()` "
            "to go by "
            "position.",
        ),
        (
            "y ~ x + (1 | b)",
            {"offset": ["a"] * 6},
            "offset: a column name or a vector of numbers is expected, not list.",
        ),
        (
            "y ~ x + (1 | b)",
            {"weights": [1.0]},
            "weights: a column name or a vector of 6 numbers is expected, not shape (1,).",
        ),
        (
            "y ~ x + (1 | b)",
            {"offset": [1.0, 1, 1, np.inf, 1, 1]},
            "Column `(offset)` is infinite in 1 row(s), first in row 4; finite numbers are expected: "
            "correct the "
            "value or mark it as missing.",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(formula, more, said):
    frame = FRAME.assign(half=[NAN, 1] * 3, other=[1, NAN] * 3, gone=None)
    with pytest.raises(LmmkitError) as caught:
        opened(formula, frame, **more)
    assert str(caught.value) == said


def test_a_coding_may_be_given_to_a_marked_column():
    assert opened("y ~ C(w) + (1 | b)", contrasts={"w": "sum"}).count == 4


def test_offsets_of_the_formula_and_beside_it_add_up():
    design = build_design("y ~ x + offset(o) + offset(w) + (1 | a)", FRAME, offset=[1.0, 2, 3, 4, 5, 6])
    assert design.problem.offset.tolist() == [1 + 2 + 2, 2 + 2 + 4, 2.5 + 1 + 5, 3 + 2 + 6]
    assert build_design("y ~ x + (1 | a)", FRAME).problem.offset is None


# Subsets


@pytest.mark.parametrize("table", [FRAME, pl.from_pandas(FRAME)])
def test_a_subset_picks_rows_of_the_table_and_of_its_vectors(table):
    made = subset_of(Given(table, np.arange(6.0), [6, 5, 4, 3, 2, 1]), "x > 1 or a == 'p'")
    assert made.data["o"].to_list() == [0.5, 1, 2, 2.5, 3]
    assert made.weights.tolist() == [0, 1, 3, 4, 5]
    assert made.offset.tolist() == [6, 5, 3, 2, 1]
    assert subset_of(Given(table, "w", None), "x > 1")[1:] == ("w", None)


def test_vectors_that_do_not_fit_stay_as_they_are():
    rows, table = np.array([5, 0]), open_table(FRAME, ["y"])
    series = pd.Series(range(6), index=FRAME.index)
    assert picked(Given(FRAME, series, None), rows, table).weights.index.tolist() == ["z", "u"]
    for odd in ([1.0], pd.Series(range(6)), [[1], [2, 3]]):
        assert picked(Given(FRAME, odd, None), rows, table).weights is odd


@pytest.mark.parametrize(
    ("subset", "said"),
    [
        ("x > 9", "subset: none of the 6 rows meets `x > 9`."),
        (
            [0, 1],
            "subset: a condition such as 'Days > 1' is expected, not list; for rows that are known by "
            "their place "
            "give the table with these rows.",
        ),
    ],
)
def test_a_subset_is_a_condition_that_some_row_meets(subset, said):
    with pytest.raises(LmmkitError) as caught:
        subset_of(Given(FRAME, None, None), subset)
    assert str(caught.value) == said
    assert isinstance(caught.value, DataError) == isinstance(subset, str)
