"""Data that cannot be used and models that the data cannot identify: refused, with words that help."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.factorial import full_factorial

from lmmkit.errors import DataError, FormulaError
from lmmkit.model.design import variables
from lmmkit.model.design.design import build_design
from lmmkit.model.design.identifiability import check_sizes

N = len(full_factorial())
FRAME = full_factorial().assign(
    obs=[str(i) for i in range(N)],
    pair=np.arange(N) // 2,
    one="same",
    const=5.0,
    zero=0.0,
    inf=[np.inf, *[1.0] * (N - 1)],
    none=np.nan,
    nothing=None,
    text=[str(i) for i in range(N)],
    double=lambda frame: 2 * frame["x"],
    negative=[-1.0, *[1.0] * (N - 1)],
    relabelled=lambda frame: "g" + frame["g"].astype(str),
    when=pd.Timestamp("2020-01-01"),
    mixed=["a", 1] * (N // 2),
    complicated=1j,
    **{"log(x)": 1.0, "Intercept": np.arange(N) % 3.0},
    half=[np.nan, 1.0] * (N // 2),
    other_half=[1.0, np.nan] * (N // 2),
)


@pytest.mark.parametrize(
    ("formula", "options", "said"),
    [
        ("ghost ~ x + (1 | g)", {}, "no column `ghost`"),
        ("y ~ X + (1 | g)", {}, "did you mean `x`?"),
        ("y ~ x + (1 | group)", {}, "no column `group`"),
        ("y ~ x + (1 | g)", {"weights": "wieghts"}, "no column `wieghts`"),
        ("text ~ x + (1 | g)", {}, "Column `text` holds text ('0', '1', '2', ...)"),
        ("c ~ x + (1 | g)", {}, "holds categories"),
        ("inf ~ x + (1 | g)", {}, "Column `inf` is infinite in 1 row(s), first in row 1"),
        ("y ~ inf + (1 | g)", {}, "is infinite"),
        ("y ~ log(inf) + (1 | g)", {}, "is infinite"),
        ("y ~ x + (1 | inf)", {}, "is infinite"),
        ("y ~ x + (1 | g)", {"offset": "inf"}, "is infinite"),
        ("none ~ x + (1 | g)", {}, f"Column `none` has no value: all {N} rows are missing"),
        ("nothing ~ x + (1 | g)", {}, "Column `nothing` has no value"),
        ("y ~ none + (1 | g)", {}, "Column `none` has no value"),
        ("y ~ x + (1 | none)", {}, "Column `none` has no value"),
        ("y ~ x + (1 | nothing)", {}, "Column `nothing` has no value"),
        ("half ~ other_half + (1 | g)", {}, "No row is left"),
        ("const ~ x + (1 | g)", {}, f"The response `const` is 5 in all {N} rows used"),
        ("y ~ one + (1 | g)", {}, "has one level only (same)"),
        ("y ~ x + (1 | one)", {}, "`one` has one level only"),
        ("y ~ x + (one | g)", {}, "has one level only"),
        ("y ~ x + (1 | obs)", {}, f"`obs` has {N} levels in {N} rows"),
        ("y ~ x + (0 + x | obs)", {}, "one row each"),
        ("y ~ x + (1 | obs:g)", {}, "one row each"),
        ("y ~ x + (1 | g)", {"weights": "negative"}, "not positive, first -1"),
        ("y ~ x + (1 | g)", {"weights": np.zeros(N)}, "not positive, first 0"),
        ("y ~ x + (1 | g)", {"weights": "none"}, "Column `none` has no value"),
        ("y ~ x + (1 | g)", {"weights": np.full(N, np.inf)}, "infinite"),
        ("y ~ x + (1 | g)", {"weights": [1.0, 2.0]}, f"a vector of {N} numbers is expected"),
        ("y ~ x + (1 | g)", {"offset": 3.0}, f"a vector of {N} numbers is expected"),
        ("y ~ x + (1 | g)", {"offset": ["a"] * N}, "a vector of numbers is expected"),
        ("y ~ x + (1 | g)", {"missing": "ignore"}, "'drop' or 'error' is expected"),
        ("y ~ when + (1 | g)", {}, "holds datetime64"),
        ("y ~ mixed + (1 | g)", {}, "holds mixed-integer values"),
        ("y ~ x + (1 | mixed)", {}, "mixes text with other values"),
        ("y ~ complicated + (1 | g)", {}, "holds complex"),
        ("y ~ log(z) + (1 | g)", {}, "is not a finite number"),
        ("y ~ log(a) + (1 | g)", {}, "holds text"),
        ("log(z) ~ x + (1 | g)", {}, "is not a finite number"),
        ("y ~ x + (1 | g) + (1 | relabelled)", {}, "divide the rows alike"),
        ("y ~ x + (1 | a:b) + (0 + x | b:a)", {}, "divide the rows alike"),
        ("y ~ x + (a * b * c * C(k) | g)", {}, "so 1,485 variances and covariances"),
        ("y ~ x + (C(k) | pair)", {}, "cannot be told from the residual's"),
    ],
)
def test_data_that_cannot_be_used_are_refused(formula, options, said):
    with pytest.raises(DataError) as caught:
        build_design(formula, FRAME, **options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("y ~ x", "statsmodels' OLS"),
        ("y ~ y + (1 | g)", "stands among the terms too"),
        ("y ~ x + (x + double | g)", "`double` follows from `Intercept`, `x`"),
        ("y ~ x + (const | g)", "`const` follows from `Intercept`"),
        ("y ~ x + (0 + zero | g)", "`zero` is zero in every row"),
        ("y ~ x + (x + I(x + 3) | g)", "follows from"),
        ("y ~ x + (a * b | g)", None),
        ("y ~ x + (cr(x, df=4) | g)", "follows from"),
        ("y ~ x + (x + double || g)", "are the same up to scale"),
        ("y ~ x + diag(x + double | g)", "are the same up to scale"),
        ("y ~ x + (1 | g) + (x | g)", "both let `Intercept` vary over `g`"),
        ("y ~ x + (x | g) + (1 | g)", "both let `Intercept` vary over `g`"),
        ("y ~ x + (x | g) + (0 + double | g)", "both let `double` vary over `g`"),
        ("y ~ x + (1 | g) + (0 + a | g)", "vary over `g`"),
        ("y ~ x + (1 | g) + (1 | g)", "are the same up to scale"),
        ("y ~ x + (1 | g) + (0 + const | g)", "vary over `g`"),
        ("y ~ `log(x)` + (log(x) | g)", "Two different columns of the design would be called `log(x)`"),
        ("y ~ poly(k, 3) + (1 | g)", "degree 3 needs more than 3 distinct values"),
        ("y ~ bs(x, df=2) + (1 | g)", "`bs(x, df=2)` cannot be computed"),
        ("y ~ Intercept + (1 | g)", "would be called `Intercept`"),
        ("y ~ x + (1 | g) + (0 + x | g) + (0 + z | g)", None),
        ("y ~ x + (0 + I(x - 2) | g) + (0 + x | g) + (1 | g)", None),
    ],
)
def test_models_that_are_not_identified_are_refused(formula, said):
    if said is None:
        build_design(formula, FRAME)
        return
    with pytest.raises(FormulaError) as caught:
        build_design(formula, FRAME)
    assert said in str(caught.value)


def test_an_empty_cell_of_an_interaction_in_a_random_term_is_named():
    frame = FRAME[(FRAME["a"] != "p") | (FRAME["b"] != "v")]
    with pytest.raises(FormulaError, match=r"`a\[p\]:b\[v\]` is zero in every row"):
        build_design("y ~ x + (0 + a:b | g)", frame)


def test_numeric_slopes_with_as_many_rows_as_effects_are_a_model():
    build_design("y ~ x + (x | pair)", FRAME)


def test_badly_scaled_columns_are_no_duplicates():
    frame = FRAME.assign(year=2e9 + np.arange(N), tiny=FRAME["z"] * 1e-9)
    build_design("y ~ year + (year + tiny | g)", frame)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pd.DataFrame(), "has no columns"),
        (pd.DataFrame({"y": [], "x": [], "g": []}), "has no rows"),
        ([1, 2, 3], "a pandas or polars DataFrame or an Arrow table is expected"),
        ({"y": [1]}, "a pandas or polars DataFrame or an Arrow table is expected"),
        (None, "a pandas or polars DataFrame or an Arrow table is expected"),
        (pd.DataFrame([[1, 2, 3, 4]], columns=["y", "x", "x", "g"]), "more than one column `x`"),
        (pd.DataFrame([[1, 2, 3]], columns=[0, 1, "g"]), "Names that are not text cannot be used"),
    ],
)
def test_what_is_no_table_with_the_columns_is_refused(data, said):
    with pytest.raises(DataError) as caught:
        build_design("y ~ x + (1 | g)", data)
    assert said in str(caught.value)


def test_a_lazy_table_is_refused():
    import polars

    lazy = polars.LazyFrame({"y": [1.0], "x": [1.0], "g": [1]})
    with pytest.raises(DataError, match="must be collected first"):
        build_design("y ~ x + (1 | g)", lazy)


def test_columns_with_one_name_do_no_harm_when_they_are_not_used():
    frame = pd.concat([FRAME, FRAME[["z"]]], axis=1)
    build_design("y ~ x + (1 | g)", frame)


def test_a_factor_of_very_many_levels_is_no_fixed_effect():
    n = 40_000
    frame = pd.DataFrame({"y": np.arange(n) % 7, "id": np.arange(n).astype(str), "g": np.arange(n) % 5})
    with pytest.raises(DataError, match=r"write `\(1 \| id\)` for a random one"):
        build_design("y ~ id + (1 | g)", frame)


def test_a_weight_vector_with_another_index_is_refused():
    weights = pd.Series(np.ones(N), index=np.arange(N)[::-1])
    with pytest.raises(DataError, match="another index"):
        build_design("y ~ x + (1 | g)", FRAME, weights=weights)


@pytest.mark.parametrize("formula", [None, 3, ["y ~ x + (1 | g)"], b"y ~ x + (1 | g)"])
def test_a_formula_is_text(formula):
    with pytest.raises(FormulaError, match="A formula is text"):
        build_design(formula, FRAME)


@pytest.mark.parametrize(
    "contrasts", [3, {"a": None}, {"a": 2.0}, {"a": {"one": "two"}}, {"a": [[1], [2, 3]]}]
)
def test_codings_that_make_no_sense_are_refused(contrasts):
    with pytest.raises(FormulaError, match="contrasts"):
        build_design("y ~ a + (1 | g)", FRAME, contrasts=contrasts)


@pytest.mark.parametrize(
    ("bound", "most", "formula", "said"),
    [
        ("MOST_MARGINS", 4, "y ~ a:b + (1 | g)", "`a:b` has more than 3 margins"),
        ("MOST_PRODUCTS", 6, "y ~ 0 + a:b + (1 | g)", "`a:b` has 6 columns, more than 5"),
        ("MOST_VALUES", 2 * N, "y ~ a + (1 | g)", "`a` has 2 levels, each of which would be a fixed effect"),
    ],
)
def test_a_design_of_very_many_columns_is_refused_at_its_bound(monkeypatch, bound, most, formula, said):
    frame = FRAME.assign(
        a=np.where(np.arange(N) % 2, "p", "q"), b=np.array(["u", "v", "w"])[np.arange(N) % 3]
    )
    monkeypatch.setattr(variables, bound, most)
    build_design(formula, frame)
    monkeypatch.setattr(variables, bound, most - 1)
    with pytest.raises((FormulaError, DataError)) as caught:
        build_design(formula, frame)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("y", "x", "what"),
    [
        (9e139, 1.0, None),
        (1.1e140, 1.0, "The size of the response is 1.1e+140"),
        (-1.1e140, 1.0, "The size of the response is 1.1e+140"),
        (1.1e-140, 1.0, None),
        (9e-141, 1.0, "The size of the response is 9e-141"),
        (1.0, 1.1e140, "The size of `x` is 1.1e+140"),
        (1.0, 9e-141, "The size of `x` is 9e-141"),
        (1.0, 0.0, None),
        (1e100, 1e-39, None),
        (1e100, 1e-41, "The size of the response beside `x` is 1e+141"),
        (1e-100, 1e41, "The size of the response beside `x` is 1e-141"),
    ],
)
def test_a_size_whose_square_is_beyond_a_double_is_refused(y, x, what):
    columns = [("x", np.array([0.0, x]))]
    if what is None:
        check_sizes(np.array([0.0, y]), columns)
        return
    with pytest.raises(DataError) as caught:
        check_sizes(np.array([0.0, y]), columns)
    assert str(caught.value).startswith(what)


@pytest.mark.parametrize(("rows", "refused"), [(6, True), (7, False)])
def test_as_many_variances_as_rows_are_too_many(rows, refused):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(rows, 3)), columns=["y", "x", "z"]).assign(g=np.arange(rows) % 2)
    try:
        build_design("y ~ 1 + (x + z | g)", frame)
        found = ""
    except DataError as error:
        found = str(error)
    assert ("has 3 columns and so 6 variances and covariances, which 6 rows" in found) == refused


@pytest.mark.parametrize(
    ("formula", "hint"),
    [("y ~ x + (1 | g) + (x | g)", True), ("y ~ x + (x | g) + (0 + double | g)", False)],
)
def test_how_an_intercept_stands_beside_a_slope_is_told_where_it_is_meant(formula, hint):
    with pytest.raises(FormulaError) as caught:
        build_design(formula, FRAME)
    assert ("Write (x | g) alone, or (1 | g) + (0 + x | g)" in str(caught.value)) == hint


def test_an_effect_for_each_row_of_a_level_takes_the_residuals_place():
    frame = FRAME.assign(side=np.where(np.arange(N) % 2, "left", "right"))
    with pytest.raises(
        DataError, match=r"has 2 effects for each of .* levels, and no level has more rows than that"
    ):
        build_design("y ~ x + (0 + side | pair)", frame)
    build_design("y ~ x + (0 + side | pair)", pd.concat([frame, frame[:1]]))


@pytest.mark.parametrize(
    ("variances", "weights", "refused"),
    [
        (np.ones(8), None, True),
        (np.full(8, 2.5), None, True),
        (np.arange(1.0, 9.0), None, False),
        (np.ones(8), np.arange(1.0, 9.0), False),
        (1.0 / np.arange(1.0, 9.0), np.arange(1.0, 9.0), True),
    ],
)
def test_effects_of_unrelated_rows_in_proportion_to_the_residuals_are_refused(variances, weights, refused):
    rows = [f"r{i}" for i in range(8)]
    frame = pd.DataFrame({"y": np.sin(np.arange(8.0)), "obs": rows})
    known = {"obs": pd.DataFrame(np.diag(variances), index=rows, columns=rows)}
    try:
        build_design("y ~ 1 + (1 | obs)", frame, known=known, weights=weights)
        found = ""
    except DataError as error:
        found = str(error)
    told = (
        "each of the 8 rows has an effect of its own, and a known covariance matrix of 8 levels relates none"
    )
    assert (told in found) == refused


def test_two_factors_that_divide_the_rows_alike_are_a_model_where_one_has_relatives():
    levels = [str(level) for level in FRAME["g"].unique()]
    K = pd.DataFrame(0.3 + 0.7 * np.eye(len(levels)), index=levels, columns=levels)
    design = build_design("y ~ x + (1 | g) + (1 | relabelled)", FRAME, known={"g": K})
    assert design.ngroups == {"g": len(levels), "relabelled": len(levels)}
