"""Columns of a table by themselves: what they are read as, codes and levels, gaps, and what is refused."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lmmkit.errors import DataError
from lmmkit.model.table.columns import (
    CodedColumn,
    all_finite,
    compress,
    factor_of_column,
    finite,
    integer_factor,
    missing_in,
    of_rows,
    open_table,
    renumbered,
)

FRAME = pd.DataFrame(
    {
        "x": [1.0, np.nan, 3.0],
        "n": [1, 2, 3],
        "flag": [True, False, True],
        "maybe": [True, None, False],
        "t": ["b", None, "a"],
        "cat": pd.Categorical(["u", "v", "u"]),
        "none": [None, None, None],
        "dec": [Decimal("1.5"), None, Decimal(2)],
        "when": pd.to_datetime(["2020-01-01"] * 3),
        "odd": ["a", 1, None],
        "both": [1, 2.5, None],
        "inf": [1.0, np.inf, -np.inf],
    }
).astype(dict.fromkeys(("maybe", "none", "dec", "odd", "both"), object))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x", "number"),
        ("n", "number"),
        ("dec", "number"),
        ("both", "number"),
        ("flag", "truth"),
        ("maybe", "truth"),
        ("t", "text"),
        ("cat", "text"),
        ("none", "text"),
    ],
)
def test_a_column_reads_as_numbers_truth_or_text(name, kind):
    assert open_table(FRAME, [name]).kind(name) == kind


def test_a_column_of_fixed_width_text_is_text():
    column = pd.Series(np.array(["a", "b"]))
    assert open_table(pd.DataFrame({"t": column}), ["t"]).kind("t") == "text"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("x", [1.0, np.nan, 3.0]),
        ("n", [1.0, 2.0, 3.0]),
        ("flag", [1.0, 0.0, 1.0]),
        ("maybe", [1.0, np.nan, 0.0]),
        ("dec", [1.5, np.nan, 2.0]),
        ("both", [1.0, 2.5, np.nan]),
    ],
)
def test_numbers_have_a_gap_where_the_column_has_one(name, values):
    table = open_table(FRAME, [name])
    np.testing.assert_array_equal(table.numbers(name), values)
    assert table.numbers(name).dtype == np.float64
    gaps = np.isnan(values)
    if gaps.any():
        np.testing.assert_array_equal(table.missing(name), gaps)
    else:
        assert table.missing(name) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "t",
            "Column `t` holds text ('b', 'a', ...); numbers are expected. If it holds numbers written as "
            "text, "
            "see which cells are no numbers, and make it a column of numbers first.",
        ),
        (
            "cat",
            "Column `cat` holds categories ('u', 'v', ...); numbers are expected. If it holds numbers "
            "written as "
            "text, see which cells are no numbers, and make it a column of numbers first.",
        ),
        ("none", "Column `none` has no value: all 3 rows are missing."),
        (
            "odd",
            "Column `odd` holds mixed-integer values; numbers or text are expected: convert it first (a "
            "date to "
            "a number of days, for example).",
        ),
        (
            "inf",
            "Column `inf` is infinite in 2 row(s), first in row 2; finite numbers are expected: correct "
            "the value "
            "or mark it as missing.",
        ),
    ],
)
def test_a_column_without_numbers_is_refused(name, said):
    with pytest.raises(DataError) as caught:
        open_table(FRAME, [name]).numbers(name)
    assert str(caught.value) == said


def test_dates_are_no_numbers_but_may_be_levels():
    table = open_table(FRAME, ["when"])
    with pytest.raises(DataError, match=r"^Column `when` holds datetime64\[\w+\] values; numbers or text"):
        table.kind("when")
    assert len(table.factor("when").levels) == 1


def test_text_shows_three_of_its_values_and_no_more():
    table = open_table(pd.DataFrame({"t": list("dcbad")}), ["t"])
    with pytest.raises(DataError, match=r"holds text \('d', 'c', 'b', \.\.\.\); numbers"):
        table.numbers("t")


def test_a_table_reads_each_column_once():
    table = open_table(FRAME, ["x", "t"])
    assert table.rows == 3
    assert table.column("x") is table.column("x")
    assert table.numbers("x") is table.numbers("x")
    assert table.factor("t") is table.factor("t")


def test_gaps_are_those_of_the_last_reading():
    table = open_table(FRAME, ["t", "cat"])
    assert list(table.missing("t")) == [False, True, False]
    assert table.missing("cat") is None


@pytest.mark.parametrize(
    ("columns", "wanted", "said"),
    [
        ([], ["x"], "The table has no columns."),
        (["x", "y", "x"], ["y", "x"], "The data have more than one column `x`; rename or drop one."),
        (["x", "y"], ["X"], "In the data there is no column `X`; did you mean `x`? Columns: x, y."),
        (
            ["x", 1, 2, 3, 4],
            ["y"],
            "In the data there is no column `y`. Columns: x. Names that are not text cannot be used in a "
            "formula: [1, 2, 3]; rename them.",
        ),
    ],
)
def test_what_a_table_lacks_is_said(columns, wanted, said):
    with pytest.raises(DataError) as caught:
        open_table(pd.DataFrame([list(range(len(columns)))], columns=columns), wanted)
    assert str(caught.value) == said


def test_two_columns_of_a_name_that_nobody_wants_do_no_harm():
    frame = pd.DataFrame([[1, 2, 3]], columns=["x", "x", "y"])
    assert list(open_table(frame, ["y"]).numbers("y")) == [3.0]


def test_a_table_without_rows_is_refused():
    with pytest.raises(DataError, match=r"^The table has no rows\.$"):
        open_table(FRAME[:0], ["x"])


def test_what_is_no_table_is_named_by_its_type():
    with pytest.raises(DataError) as caught:
        open_table({"y": [1]}, ["y"])
    assert str(caught.value) == (
        "The data are a builtins.dict; a pandas or polars DataFrame or an Arrow table is expected (a lazy "
        "frame "
        "must be collected first)."
    )


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@pytest.mark.parametrize("sign", ["", "u"])
def test_arrows_integers_with_gaps_stay_integers(sign, bits):
    kind = f"{sign}int{bits}"
    top = int(np.iinfo(kind).max)
    table = pa.table({"g": pa.array([top, None, top - 1], kind), "h": pa.array([1, 2, 3], kind)})
    opened = open_table(table, ["g", "h"])
    assert [str(value) for value in opened.factor("g").levels] == [str(top - 1), str(top)]
    assert list(opened.factor("g").codes) == [1, -1, 0]
    assert opened.column("h").dtype == np.dtype(kind)


@pytest.mark.parametrize(
    ("column", "levels"),
    [
        (pl.Series(["z", "b", "c"], dtype=pl.Enum(["z", "c", "b"])), ["z", "c", "b"]),
        (pl.Series(["z", "b", "c"], dtype=pl.Categorical), ["b", "c", "z"]),
        (pl.Series(["z", "b", "c"]), ["b", "c", "z"]),
    ],
)
def test_levels_of_polars_have_the_order_of_an_enum_alone(column, levels):
    assert (
        list(open_table(pl.DataFrame({"g": column, "n": [1, 2, 3]}), ["g", "n"]).factor("g").levels) == levels
    )


def test_levels_of_a_dictionary_of_arrow_keep_their_order():
    column = pa.DictionaryArray.from_arrays([0, 1, 2], ["z", "b", "c"])
    assert list(open_table(pa.table({"g": column}), ["g"]).factor("g").levels) == ["z", "b", "c"]


# Factors


@pytest.mark.parametrize(
    ("column", "levels", "codes"),
    [
        ([5, -3, 5, 0], [-3, 0, 5], [2, 0, 2, 1]),
        ([2, 0, 1, 2], [0, 1, 2], [2, 0, 1, 2]),
        ([10**9, 0, 10**9, 7], [0, 7, 10**9], [2, 0, 2, 1]),
        ([True, False, True, True], [False, True], [1, 0, 1, 1]),
        ([2.5, np.nan, -1.0, 2.5], [-1.0, 2.5], [1, -1, 0, 1]),
        (["b", None, "a", "b"], ["a", "b"], [1, -1, 0, 1]),
        (pd.Categorical(["b", None, "c", "b"], ["c", "a", "b"]), ["c", "a", "b"], [2, -1, 0, 2]),
        (pd.array([3, None, 1, 3], "Int64"), [1, 3], [1, -1, 0, 1]),
        (pd.to_datetime(["2021-01-01", None, "2020-01-01", "2021-01-01"]), None, [1, -1, 0, 1]),
    ],
)
def test_codes_count_the_levels_in_order_and_are_minus_one_where_missing(column, levels, codes):
    made = factor_of_column(pd.Series(column), "g")
    assert list(made.codes) == codes
    assert made.codes.dtype == np.intp
    assert levels is None or list(made.levels) == levels
    if -1 in codes:
        assert list(made.missing) == [code == -1 for code in codes]
    else:
        assert made.missing is None


def test_a_long_column_of_text_is_coded_as_a_short_one():
    values = ["c", "a", None, "b"] * 501
    long = factor_of_column(pd.Series(values, dtype="str"), "g")
    assert list(long.codes[:4]) == [2, 0, -1, 1]
    assert list(long.levels) == ["a", "b", "c"]


def test_text_beside_numbers_cannot_be_ordered():
    with pytest.raises(DataError) as caught:
        factor_of_column(pd.Series(["a", 1], name="g"), "g")
    assert str(caught.value) == (
        "Column `g` mixes text with other values; make it all text, or a Categorical with an order."
    )


@pytest.mark.parametrize("bad", [2.0**53, -(2.0**53)])
def test_floating_ids_beyond_the_whole_numbers_are_refused_with_their_row(bad):
    assert len(factor_of_column(pd.Series([1.0, 2.0**53 - 1]), "g").levels) == 2
    with pytest.raises(DataError) as caught:
        factor_of_column(pd.Series([np.nan, 1.0, bad]), "g")
    assert str(caught.value) == (
        f"Column `g` groups rows by floating numbers such as {bad} (row 3), too large to be told apart: "
        "different ids may be one number. Read the column as text, or as integers (in pandas dtype='Int64')."
    )


def test_an_infinite_id_is_refused():
    with pytest.raises(DataError, match=r"`g` is infinite in 1 row\(s\), first in row 2;"):
        factor_of_column(pd.Series([1.0, np.inf]), "g")


def test_integers_as_wide_as_their_type_are_coded():
    wide = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max, 0])
    assert list(integer_factor(wide).codes) == [0, 2, 1]
    far = np.array([2**64 - 1, 2**64 - 3], np.uint64)
    assert [int(level) for level in integer_factor(far).levels] == [2**64 - 3, 2**64 - 1]
    assert list(integer_factor(far).codes) == [1, 0]


def test_levels_that_some_rows_have_are_renumbered():
    column = CodedColumn(np.array([3, 0, 3, 1]), np.array(list("abcd")))
    codes, present = column.used(None)
    assert (list(codes), list(present)) == ([2, 0, 2, 1], [0, 1, 3])
    codes, present = column.used(np.array([0, 2]))
    assert (list(codes), list(present)) == ([0, 0], [3])
    assert CodedColumn(np.array([], np.intp), np.array([])).missing is None
    assert list(of_rows(column.codes, np.array([3]))) == [1]
    assert of_rows(column.codes, None) is column.codes


@pytest.mark.parametrize("size", [9, 10**9])
def test_codes_are_renumbered_alike_by_a_table_and_by_sorting(size):
    codes, old = renumbered(np.array([8, 2, 8, 5]), size)
    assert (list(codes), list(old)) == ([2, 0, 2, 1], [2, 5, 8])
    assert codes.dtype == np.intp


def test_codes_without_gaps_are_left_alone():
    codes = np.array([1, 0, 2])
    assert compress(codes, 3)[0] is codes
    assert list(compress(codes, 3)[1]) == [0, 1, 2]


# Numbers


@pytest.mark.parametrize(
    ("values", "whole", "gaps"),
    [
        ([1.0, 2.0], True, None),
        ([np.nan, 2.0], False, [True, False]),
        ([1.0, np.inf], False, None),
        ([-np.inf, 1.0], False, None),
    ],
)
def test_gaps_and_infinities_are_told_apart(values, whole, gaps):
    column = np.array(values)
    assert all_finite(column) == whole
    found = missing_in(column)
    assert (found if found is None else list(found)) == gaps
    if np.isinf(column).any():
        with pytest.raises(DataError, match="`v` is infinite in 1 row"):
            finite(column, "v")
    else:
        assert finite(column, "v") is column
