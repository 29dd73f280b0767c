"""Rows: what is missing is dropped and listed, or an error; weights and offset; tables of other libraries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError
from lmmkit.model.design.design import build_design


@pytest.fixture
def gappy() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "y": np.arange(12.0) % 5,
            "x": np.arange(12.0),
            "a": list("uvw") * 4,
            "g": list("kkllmm") * 2,
            "w": np.arange(12.0) + 1,
            "o": np.arange(12.0) / 7,
        }
    )
    for row, column in enumerate(frame.columns):
        frame.loc[row + (column == "o"), column] = None
    frame.loc[6, "y"] = None
    return frame


def test_rows_with_a_missing_value_are_dropped_and_listed(gappy):
    design = build_design("y ~ x + a + (1 | g)", gappy, weights="w", offset="o")
    assert list(design.rows) == [5, 7, 8, 9, 10, 11]
    assert list(design.dropped["row"]) == [0, 1, 2, 3, 4, 6]
    assert list(design.dropped["columns"]) == ["y", "x", "a", "g", "w", "y, o"]
    assert set(design.dropped["reason"]) == {"missing value"}
    assert list(design.problem.response) == list(gappy["y"][design.rows])
    assert list(design.problem.weights) == list(gappy["w"][design.rows])
    assert list(design.problem.offset) == list(gappy["o"][design.rows])


def test_columns_that_are_not_used_drop_nothing(gappy):
    assert len(build_design("x ~ 1 + (1 | a)", gappy).rows) == 10


def test_nothing_is_listed_when_nothing_is_missing(factorial):
    design = build_design("y ~ x + (1 | g)", factorial)
    assert len(design.dropped) == 0
    assert list(design.dropped.columns) == ["row", "reason", "columns"]
    assert list(design.rows) == list(range(len(factorial)))


def test_missing_values_can_be_an_error(gappy):
    with pytest.raises(DataError, match=r"`y` in 2 row\(s\), first in row 1; `x` in 1 row"):
        build_design("y ~ x + (1 | g)", gappy, missing="error")


def test_vectors_lose_the_rows_that_the_table_loses(gappy):
    weights, offset = np.arange(12.0) + 1, np.arange(12.0)
    weights[11] = np.nan
    design = build_design("y ~ x + (1 | g)", gappy, weights=weights, offset=list(offset))
    assert 11 not in design.rows
    assert list(design.problem.weights) == list(weights[design.rows])
    assert list(design.problem.offset) == list(offset[design.rows])
    assert "(weights)" in set(design.dropped["columns"])


def test_offsets_add_up(factorial):
    design = build_design("y ~ x + offset(z) + offset(log(x)) + (1 | g)", factorial, offset="x")
    expected = factorial["z"] + np.log(factorial["x"]) + factorial["x"]
    np.testing.assert_allclose(design.problem.offset, expected)


def test_levels_that_only_dropped_rows_have_are_left_out(factorial):
    frame = factorial.copy()
    frame.loc[(frame["a"] == "p") | (frame["g"] == 0), "y"] = np.nan
    design = build_design("y ~ 0 + a + (1 | g) + (1 | a:h)", frame)
    assert design.fixed_names == ("a[q]", "a[r]")
    sizes = {term.factor: term.grouping.size for term in design.random}
    assert sizes == {"a:h": 10, "g": 8}
    assert list(design.random[1].levels) == [str(g) for g in range(1, 9)]


def test_states_are_learned_from_all_rows_where_the_column_is_known(factorial):
    """As in R, which evaluates the columns of the model frame before it drops rows."""
    frame = factorial.copy()
    frame.loc[:9, "y"] = np.nan
    frame.loc[100:104, "x"] = np.nan
    design = build_design("y ~ center(x) + (1 | g)", frame)
    np.testing.assert_allclose(design.problem.columns[1], frame["x"][design.rows] - frame["x"].mean())


def test_a_transformed_response_is_named_by_its_text(factorial):
    design = build_design("log(x) ~ z + (1 | g)", factorial)
    assert design.response == "log(x)"
    np.testing.assert_allclose(design.problem.response, np.log(factorial["x"]))


def tables(frame: pd.DataFrame) -> dict[str, object]:
    import polars
    import pyarrow

    return {
        "polars": polars.DataFrame(frame.to_dict("list")),
        "arrow": pyarrow.table(frame.to_dict("list")),
        "arrow in pandas": frame.convert_dtypes(dtype_backend="pyarrow"),
        "nullable": frame.convert_dtypes(),
        "object": frame.astype(object),
    }


@pytest.mark.parametrize("kind", ["polars", "arrow", "arrow in pandas", "nullable", "object"])
def test_tables_of_any_library_give_the_same_design(kind, gappy):
    frame = gappy.assign(k=[3, 1, 2, 2, 1, 3] * 2, flag=[True, False, False] * 4)
    formula = "y ~ x * a + flag + C(k) + (x | g) + (1 | k)"
    plain = build_design(formula, frame, weights="w")
    clean = frame.astype(object).where(frame.notna(), None)
    other = build_design(formula, tables(clean)[kind], weights="w")
    assert other.fixed_names == plain.fixed_names
    assert [list(t.levels) for t in other.random] == [list(t.levels) for t in plain.random]
    for mine, theirs in zip(plain.problem.columns, other.problem.columns, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert list(plain.dropped["row"]) == list(other.dropped["row"])


def test_the_order_of_categories_comes_along_from_polars_and_arrow():
    import polars
    import pyarrow

    values = ["z", "b", "z", "b", "c", "c"]
    y = [1.0, 2, 4, 3, 5, 9]
    enum = polars.DataFrame({"y": y, "g": polars.Series(values, dtype=polars.Enum(["z", "c", "b"]))})
    loose = polars.DataFrame({"y": y, "g": polars.Series(values, dtype=polars.Categorical)})
    dictionary = pyarrow.DictionaryArray.from_arrays([0, 1, 0, 1, 2, 2], ["z", "b", "c"])
    arrow = pyarrow.table({"y": y, "g": dictionary})
    orders = [list(build_design("y ~ 1 + (1 | g)", data).random[0].levels) for data in (enum, loose, arrow)]
    assert orders == [["z", "c", "b"], ["b", "c", "z"], ["z", "b", "c"]]


def test_columns_scattered_in_memory_are_gathered():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), columns=["y", "x"]).assign(
        g=[1, 2] * 10
    )
    assert build_design("y ~ x + (1 | g)", frame).problem.columns[1].strides == (8,)
