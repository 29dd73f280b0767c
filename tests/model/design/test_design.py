"""A design as a whole: what it hands on, how it meets new rows, how it is saved, what it says of itself."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError, FormulaError
from lmmkit.model.design.design import build_design, design_from_dict
from lmmkit.model.table.grouping import Relation

RICH = (
    "y ~ poly(x, 2) * a + bs(z, df=5) + center(x):flag + C(k, sum) + offset(log(x)) "
    "+ (ns(x, df=2) + b || h) + (z | g:b)"
)


def test_terms_know_their_columns_and_what_they_multiply(factorial):
    design = build_design("y ~ x * c + (1 | g)", factorial)
    assert dict(design.fixed_terms) == {"Intercept": (0,), "x": (1,), "c": (2, 3), "x:c": (4, 5)}
    assert [v.expression.text for v in design.composition["x:c"]] == ["x", "c"]
    factor = design.composition["c"][0]
    assert (factor.kind, factor.levels) == ("factor", ("m", "k", "l"))
    np.testing.assert_array_equal(factor.coding.matrix, [[0, 0], [1, 0], [0, 1]])


def test_predictors_tell_what_a_grid_must_hold(factorial):
    predictors = build_design("y ~ log(x) * c + flag + C(k) + (z | g)", factorial).predictors
    assert list(predictors) == ["x", "c", "flag", "k"]
    assert predictors["c"].levels == ("m", "k", "l")
    assert predictors["k"].levels == (1, 3, 7)
    assert predictors["x"].levels is None
    assert predictors["x"].mean == pytest.approx(factorial["x"].mean())


def test_new_rows_meet_the_codings_knots_and_means_of_the_fit(factorial):
    design = build_design(RICH, factorial)
    rows = [3, 50, 101]
    made = design.new_data(factorial.iloc[rows])
    problem = design.problem
    np.testing.assert_allclose(made.X, np.column_stack([problem.columns[j][rows] for j in problem.fixed]))
    np.testing.assert_allclose(made.offset, problem.offset[rows])
    for Z, ((codes, _),), term in zip(made.Z, made.held, problem.terms, strict=True):
        np.testing.assert_allclose(Z, np.column_stack([problem.columns[j][rows] for j in term.columns]))
        np.testing.assert_array_equal(codes, term.codes[rows])


def test_a_grid_needs_the_fixed_columns_alone(factorial):
    design = build_design("y ~ x * c + (z | g)", factorial)
    X = design.fixed_matrix(pd.DataFrame({"x": [2.0, 3.0], "c": ["l", "m"]}))
    np.testing.assert_array_equal(X, [[1, 2, 0, 1, 0, 2], [1, 3, 0, 0, 0, 0]])


def test_predictions_without_groups_need_no_group(factorial):
    design = build_design("y ~ x + offset(log(z)) + (1 | g)", factorial.assign(z=factorial["x"] + 1))
    made = design.fixed_data(pd.DataFrame({"x": [2.0], "z": [np.e]}))
    assert (made.X.tolist(), made.offset.tolist(), made.Z, made.held) == ([[1.0, 2.0]], [1.0], (), ())


def test_whole_numbers_are_one_level_however_they_are_stored(factorial):
    design = build_design("y ~ C(k) + (1 | g)", factorial)
    X = design.fixed_matrix(pd.DataFrame({"k": [1.0, 7.0]}))
    np.testing.assert_array_equal(X, [[1, 0, 0], [1, 0, 1]])


def test_unseen_levels_of_a_group_are_marked(factorial):
    design = build_design("y ~ x + (1 | g) + (1 | g:b)", factorial)
    new = pd.DataFrame({"x": 1.0, "g": ["0", "8", "99", "4"], "b": ["v", "w", "u", "u"]})
    held = design.new_data(new).held
    codes = {term.factor: own for term, ((own, _),) in zip(design.random, held, strict=True)}
    assert list(codes["g"]) == [0, 8, -1, 4]
    assert list(design.random[0].levels[codes["g:b"][[0, 3]]]) == ["0:v", "4:u"]
    assert list(codes["g:b"][[1, 2]]) == [-1, -1]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"x": None}, DataError, "no column `x`"),
        ({"g": None}, DataError, "no column `g`"),
        ({"x": np.nan}, DataError, "Column `x` is missing in 2 of the new rows, first in row 1"),
        ({"c": "zz"}, DataError, "levels that the fit has not seen: zz; known: m, k, l"),
        ({"c": 3.0}, DataError, "not seen: 3"),
        ({"x": "text"}, DataError, "holds text"),
        ({"x": np.inf}, DataError, "is infinite"),
        ({"z": 1e6}, FormulaError, "`bs(z, df=5)` cannot be computed"),
    ],
)
def test_new_rows_that_cannot_be_used_are_refused(change, error, said, factorial):
    design = build_design("y ~ x * c + bs(z, df=5) + (1 | g)", factorial)
    new = factorial.iloc[:2].assign(**{name: value for name, value in change.items() if value is not None})
    new = new.drop(columns=[name for name, value in change.items() if value is None])
    with pytest.raises(error) as caught:
        design.new_data(new)
    assert said in str(caught.value)


def test_an_offset_vector_says_nothing_about_new_rows(factorial):
    design = build_design("y ~ x + (1 | g)", factorial, offset=np.ones(len(factorial)))
    with pytest.raises(DataError, match="offset as a vector"):
        design.new_data(factorial)
    named = build_design("y ~ x + (1 | g)", factorial, offset="z")
    np.testing.assert_array_equal(named.new_data(factorial[:3]).offset, factorial["z"][:3])


@pytest.mark.parametrize("extras", [{}, {"weights": "x", "offset": "z"}, "vectors"])
def test_a_design_comes_back_from_plain_values_and_its_frame(extras, factorial):
    frame = factorial.copy()
    frame.loc[:20, "y"] = np.nan
    if extras == "vectors":
        extras = {"weights": frame["x"].to_numpy(), "offset": frame["z"]}
    design = build_design(RICH, frame, **extras)
    again = design_from_dict(json.loads(json.dumps(design.to_dict())), design.frame)
    assert again.fixed_names == design.fixed_names
    assert [(t.group, t.names, t.structure, *t.levels) for t in again.random] == [
        (t.group, t.names, t.structure, *t.levels) for t in design.random
    ]
    for mine, theirs in zip(design.problem.columns, again.problem.columns, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for name in ("weights", "offset"):
        mine, theirs = getattr(design.problem, name), getattr(again.problem, name)
        assert (mine is None and theirs is None) or np.array_equal(mine, theirs)
    np.testing.assert_array_equal(again.fixed_matrix(factorial[:9]), design.fixed_matrix(factorial[:9]))
    assert again.to_dict() == design.to_dict()


def test_a_damaged_design_is_refused(factorial):
    design = build_design("y ~ a + (1 | g)", factorial)
    spec = design.to_dict()
    del spec["variables"][0]["kind"]
    with pytest.raises(DataError, match="saved design cannot be read"):
        design_from_dict(spec, design.frame)


def test_factors_know_how_they_relate(factorial):
    frame = factorial.assign(school=factorial["g"], cls=factorial["g"] * 10 + factorial["h"])
    design = build_design("y ~ x + (1 | school) + (1 | cls) + (1 | c)", frame)
    assert design.relations == (
        Relation("cls", "school", "nested", frame["cls"].nunique()),
        Relation("cls", "c", "crossed", len(frame[["cls", "c"]].drop_duplicates())),
        Relation("school", "c", "crossed", 27),
    )


def casks(rows: int) -> pd.DataFrame:
    """Batches A to J with casks a to c each, and some rows of every cask."""
    cells = [(batch, cask) for batch in "ABCDEFGHIJ" for cask in "abc"] * rows
    frame = pd.DataFrame(cells, columns=["batch", "cask"])
    return frame.assign(y=np.random.default_rng(0).normal(size=len(frame)))


def test_labels_that_begin_anew_in_every_group_are_pointed_out():
    (warning,) = build_design("y ~ 1 + (1 | batch) + (1 | cask)", casks(2)).warnings
    assert "`cask` has 3 levels, but 30 within `batch`" in warning
    assert "(1 | batch/cask)" in warning


def test_labels_of_their_own_are_not_suspected():
    frame = casks(2)
    frame["cask"] = "oak " + frame["cask"]
    assert build_design("y ~ 1 + (1 | batch) + (1 | cask)", frame).warnings == ()


@pytest.mark.parametrize(
    ("formula", "rows"),
    [
        ("y ~ 1 + (1 | batch/cask)", 2),
        ("y ~ 1 + (1 | batch) + (1 | cask) + (1 | batch:cask)", 2),
        ("y ~ 1 + (1 | batch) + (1 | cask)", 1),
    ],
)
def test_no_nesting_is_suspected_where_it_is_written_or_impossible(formula, rows):
    assert build_design(formula, casks(rows)).warnings == ()


def test_a_design_says_what_it_holds():
    frame = casks(2).assign(x=np.arange(60.0))
    frame.loc[3, "y"] = np.nan
    text = str(build_design("y ~ x + (x | batch) + (1 | cask)", frame))
    for said in (
        "y ~ 1 + x + (1 + x | batch) + (1 | cask)",
        "59 of 60 rows; 1 dropped",
        "batch  10      Intercept, x  20       3",
        "2 x 2 blocks",
        "batch and cask are crossed: 30 of 30 cells occur.",
        "Note: `cask`",
    ):
        assert said in text


def test_names_are_escaped_in_html(factorial):
    design = build_design("y ~ `<b>x</b>` + (1 | g)", factorial.assign(**{"<b>x</b>": factorial["x"]}))
    html = design._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;x&lt;/b&gt;" in html


def test_of_two_factors_of_one_size_the_first_is_told_first():
    i = np.arange(32)
    frame = pd.DataFrame({"y": np.sin(i * 1.3), "g": i % 4, "h": i // 8})
    for first, second in ("gh", "hg"):
        (relation,) = build_design(f"y ~ 1 + (1 | {first}) + (1 | {second})", frame).relations
        assert (relation.fine, relation.coarse, relation.kind, relation.cells) == (
            first,
            second,
            "crossed",
            16,
        )
