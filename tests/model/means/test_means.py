"""Marginal means, slopes and families of comparisons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.cases import fitted, table
from reference.unbalanced import DATA, unbalanced
from scipy.stats import studentized_range

import lmmkit
from lmmkit.engine.inference.studentized_range import quantile, tail
from lmmkit.model.inference.distributions import t_tail


@pytest.fixture(scope="module")
def frame():
    return pd.read_csv(DATA / "unbalanced_2.csv").assign(two=lambda d: np.where(d["z"] > 0, 5.0, 2.0))


def test_balanced_means_are_the_cells_averages():
    fit = fitted("cake_factor", "REML")
    raw = fit.design.frame.groupby("recipe")["angle"].mean()
    np.testing.assert_allclose(fit.marginal_means("recipe")["mean"], raw, rtol=1e-10)


def test_proportional_weights_average_over_the_rows():
    fit = unbalanced(1)
    counts = fit.design.frame["b"].value_counts(normalize=True).sort_index()
    cells = fit.marginal_means(["a", "b"], df="residual")["mean"].unstack("b")
    expected = cells @ counts
    found = fit.marginal_means("a", df="residual", weights="proportional")["mean"]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_covariates_stand_at_their_means_and_two_values_are_kept(frame):
    fit = lmmkit.lmm("y ~ a + x * two + (1 | g)", frame)
    at = {"x": [frame["x"].mean()], "two": [2.0, 5.0]}
    plain, given = fit.marginal_means("a", df="residual"), fit.marginal_means("a", df="residual", at=at)
    np.testing.assert_allclose(plain, given, rtol=1e-12)
    low, high = (fit.marginal_means("a", df="residual", at={"two": [v]})["mean"] for v in (2.0, 5.0))
    np.testing.assert_allclose(plain["mean"], (low + high) / 2, rtol=1e-12)
    assert fit.marginal_means("two", df="residual").index.tolist() == [2.0, 5.0]


def test_an_offset_is_part_of_the_means(frame):
    with_offset = lmmkit.lmm("y ~ a + offset(z) + (1 | g)", frame)
    without = lmmkit.lmm("I(y - z) ~ a + (1 | g)", frame)
    gap = with_offset.marginal_means("a")["mean"] - without.marginal_means("a")["mean"]
    np.testing.assert_allclose(gap, frame["z"].mean(), rtol=1e-9)
    np.testing.assert_allclose(with_offset.marginal_means("a").pairs(), without.marginal_means("a").pairs())


def test_the_order_is_that_of_the_levels_and_by_stands_outside():
    means = fitted("cake_factor", "REML").marginal_means("recipe", by="temperature")
    assert means.index.names == ["recipe", "temperature"]
    assert means.index[:4].tolist() == [("A", "175"), ("B", "175"), ("C", "175"), ("A", "185")]
    pairs = means.pairs()
    assert pairs.index[:4].tolist() == [(f"{p}", "175") for p in ("A - B", "A - C", "B - C")] + [
        ("A - B", "185")
    ]
    assert list(pairs.columns) == ["estimate", "se", "df", "t", "p", "low", "high"]


def test_pairs_within_by_are_families_of_their_own():
    means = fitted("cake_factor", "REML").marginal_means("recipe", by="temperature")
    row = means.pairs("bonferroni").iloc[0]
    assert row["p"] == pytest.approx(min(3 * t_tail(np.array([row["t"]]), np.array([row["df"]]))[0], 1.0))


def test_contrasts_of_means():
    means = fitted("machines_nested", "REML").marginal_means("Machine")
    rest = means.contrast({"A against the others": [1, -0.5, -0.5]})
    assert rest["estimate"].iloc[0] == pytest.approx(means["mean"] @ [1, -0.5, -0.5])
    np.testing.assert_allclose(means.contrast([1, -1, 0]), means.pairs("none").iloc[[0]])


def test_a_cell_without_data_is_not_estimated():
    means = unbalanced(19).marginal_means(["a", "b"])
    assert means.loc[("C", "W")].isna().all()
    assert means["mean"].notna().sum() == 8
    pairs = means.pairs("holm")
    assert pairs["p"].isna().sum() == 8


def test_slopes_of_a_curve_are_its_derivative(frame):
    fit = lmmkit.lmm("y ~ x + I(x^2) + (1 | g)", frame)
    found = fit.slopes("x", "x", at={"x": [0.0, 2.0]}, df="residual")
    expected = [fit.params["x"], fit.params["x"] + 4 * fit.params["I(x^2)"]]
    np.testing.assert_allclose(found["slope"], expected, rtol=1e-9)


def test_slopes_without_variables_average_over_the_grid():
    fit = fitted("orthodont_slope", "REML")
    assert fit.slopes("age")["slope"].iloc[0] == pytest.approx(
        fit.contrast("age + 0.5*age:Sex[T.Male]")["estimate"].iloc[0]
    )
    assert fit.marginal_means([]).index.tolist() == ["overall"]


def test_the_table_is_a_frame_that_names_its_method():
    means = fitted("machines_nested", "REML").marginal_means("Machine")
    assert isinstance(means, pd.DataFrame)
    assert list(means.columns) == ["mean", "se", "df", "low", "high"]
    assert means.attrs["method"] == means.pairs().attrs["method"] == "kenward-roger"
    assert type(means["mean"]) is pd.Series


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda fit: fit.marginal_means("machine"), "no variable of the fixed part; its variables: Machine"),
        (lambda fit: fit.marginal_means("Worker"), "no variable of the fixed part"),
        (lambda fit: fit.marginal_means("Machine", by="Machine"), "named twice"),
        (lambda fit: fit.marginal_means("~Machine"), "write the variable alone"),
        (
            lambda fit: fit.marginal_means("Machine", weights="cell"),
            "Choose one of: 'equal', 'proportional'",
        ),
        (lambda fit: fit.marginal_means("Machine", at={"dose": [1]}), "no variable of the fixed part"),
        (lambda fit: fit.marginal_means("Machine", level=95), "between 0 and 1"),
        (lambda fit: fit.marginal_means("Machine", df="exact"), "Choose one of"),
        (lambda fit: fit.marginal_means("Machine").pairs("shaffer"), "Choose one of: 'tukey'"),
        (lambda fit: fit.marginal_means([]).pairs(), "two means or more"),
        (lambda fit: fit.marginal_means("Machine").contrast([1, -1]), "2 weights for 3 means"),
        (lambda fit: fit.marginal_means("Machine").contrast([1, -1, 0], "tukey"), "for all pairs"),
        (lambda fit: fit.marginal_means("Machine").contrast([0, 0, 0]), "not all zero"),
        (lambda fit: fit.marginal_means("Machine").contrast([1, -1, np.nan]), "finite"),
        (lambda fit: fit.marginal_means("Machine").contrast("A-B"), "'A-B' are not known"),
        (lambda fit: fit.marginal_means("Machine").contrast({"A": 1, "B": -1}), "3 numbers are expected"),
        (lambda fit: fit.marginal_means("Machine").contrast({}), "no combination"),
        (lambda fit: fit.marginal_means(3), "named by text"),
        (lambda fit: fit.marginal_means([None]), "named by text"),
        (lambda fit: fit.marginal_means("Machine", at={"Machine": []}), "no value is given"),
        (lambda fit: fit.marginal_means("Machine", at=["A"]), "values by name"),
        (lambda fit: fit.slopes("Machine"), "is a factor, which has no slope"),
    ],
)
def test_what_is_not_offered_is_refused_with_words(ask, words):
    with pytest.raises(lmmkit.FitError, match=words):
        ask(fitted("machines_nested", "REML"))


def test_unknown_levels_are_refused():
    with pytest.raises(lmmkit.LmmkitError, match="has not seen: D"):
        fitted("machines_nested", "REML").marginal_means("Machine", at={"Machine": ["A", "D"]})


@pytest.mark.parametrize("k", [2, 3, 6, 30])
@pytest.mark.parametrize("df", [2.0, 3.7, 20.3, 500.0])
@pytest.mark.parametrize("q", [0.1, 1.0, 3.5, 6.0])
def test_studentized_range_equals_scipys(q, k, df):
    assert tail(q, k, df) == pytest.approx(studentized_range.sf(q, k, df), rel=1e-9, abs=1e-13)


@pytest.mark.parametrize(("level", "k", "df"), [(0.95, 3, 20.0), (0.99, 6, 2.5), (0.5, 12, 100.0)])
def test_quantiles_of_the_range_equal_scipys(level, k, df):
    assert quantile(level, k, df) == pytest.approx(studentized_range.ppf(level, k, df), rel=1e-8)


@pytest.mark.parametrize("t", [0.5, 3.0, 12.0, 40.0])
@pytest.mark.parametrize("df", [1.0, 5.0, 80.0, np.inf])
def test_the_range_of_two_means_is_students_t_far_into_its_tail(t, df):
    expected = t_tail(np.array([t]), np.array([df]))[0]
    assert tail(t * np.sqrt(2), 2, df) == pytest.approx(expected, rel=1e-8)


def test_an_offset_has_a_slope_too(frame):
    fit = lmmkit.lmm("y ~ x + offset(2 * x) + (1 | g)", frame)
    found = fit.slopes("x", df="residual")
    assert found["slope"].iloc[0] == pytest.approx(fit.params["x"] + 2.0, rel=1e-9)


@pytest.mark.parametrize("adjust", ["bonferroni", "sidak", "tukey"])
def test_an_interval_that_ends_at_zero_has_the_level_as_its_p(adjust):
    means = fitted("cake_factor", "REML").marginal_means("temperature", df="residual", level=0.9)
    pairs = means.pairs(adjust)
    assert ((pairs["low"] > 0) | (pairs["high"] < 0)).equals(pairs["p"] < 0.1)
    np.testing.assert_allclose(pairs["low"] + pairs["high"], 2 * pairs["estimate"])
    assert pairs.attrs["adjust"] == adjust


def test_what_pandas_makes_of_a_table_keeps_its_verbs():
    """Rounded, filtered, sorted: the means whose rows are there are compared, with all their digits."""
    fit = fitted("machines_nested", "REML")
    means = fit.marginal_means("Machine")
    whole = means.pairs("none")
    pd.testing.assert_frame_equal(means.round(1).pairs("none"), whole)
    kept = means[means["mean"] > 55]
    pd.testing.assert_frame_equal(kept.pairs("none"), whole.loc[["B - C"]])
    turned = means.sort_values("mean", ascending=False).pairs("none")
    assert turned.loc["C - A", "estimate"] == -whole.loc["A - C", "estimate"]
    assert means.loc[["A", "C"]].contrast([1, -1])["se"].item() == whole.loc["A - C", "se"]
    for lost in (means.reset_index(), means.T, pd.concat([means, means])):
        with pytest.raises(lmmkit.FitError, match="no longer those of marginal_means"):
            lost.pairs()


def test_groups_of_which_a_filter_leaves_different_means():
    frame = table("machines_nested").assign(half=lambda d: list("uv") * (len(d) // 2))
    means = lmmkit.lmm("score ~ Machine * half + (1 | Worker)", frame).marginal_means("Machine", "half")
    left = means.drop(index=[("A", "v")]).pairs("none")
    assert [label for label, half in left.index if half == "u"] == ["A - B", "A - C", "B - C"]
    assert [label for label, half in left.index if half == "v"] == ["B - C"]
    pd.testing.assert_frame_equal(left, means.pairs("none").loc[left.index])
