"""Own estimates are those of each group's own regression; roots of profiles are those of the deviance."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.model.picture_tables import parameter_intervals
from lmmkit.model.picture_tables import shrinkage as shrinkages
from lmmkit.model.picture_tables.parameter_intervals import (
    _curve,
    beside_wald,
    compared_intervals,
    profile_zeta,
)
from lmmkit.model.picture_tables.shrinkage import _within, ellipses, shrinkage
from lmmkit.model.report_tables.about_fit import effect_pairs
from lmmkit.model.report_tables.about_inference import factor_means, intervals


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(8)
    group, x = np.repeat(np.arange(9), 7), np.tile(np.arange(7.0), 9)
    y = 3 + x + random.normal(size=9)[group] * 4 + random.normal(size=9)[group] * x + random.normal(size=63)
    table = pd.DataFrame({"y": y, "x": x, "g": [f"g{i}" for i in group], "h": list("uvw") * 21})
    return table.drop(index=range(1, 7))  # g0 has one row


@pytest.fixture(scope="module")
def fit(data):
    return lmm("y ~ x + (x | g)", data)


def test_own_estimates_are_the_regression_of_each_group_alone(fit, data):
    found = shrinkage(fit)
    assert (found.names, found.center) == (("Intercept", "x"), tuple(fit.params))
    for row in found.table.itertuples():
        own = data[data["g"] == row.level]
        assert row.rows == len(own)
        slope, start = np.polyfit(own["x"], own["y"], 1) if len(own) > 1 else (np.nan, np.nan)
        np.testing.assert_allclose([row.x, row.y], [start, slope], rtol=1e-9)
        np.testing.assert_allclose([row.x_model, row.y_model], fit.params + fit.ranef["g"].loc[row.level])


def test_terms_of_one_factor_stand_together_and_one_effect_has_places(data):
    split = shrinkage(lmm("y ~ x + (1 | g) + (0 + x | g)", data))
    whole = shrinkage(lmm("y ~ x + (x | g)", data))
    np.testing.assert_allclose(split.table[["x", "y"]], whole.table[["x", "y"]], rtol=1e-9)
    alone = lmm("y ~ 1 + (1 | g)", data)
    one = shrinkage(alone)
    assert (one.names, one.center[0]) == (("Intercept",), alone.params["Intercept"])
    assert np.isnan(one.center[1])
    means = data.groupby("g")["y"].mean()
    np.testing.assert_allclose(one.table["x"], means.loc[one.table["level"]], rtol=1e-9)
    assert one.table.sort_values("y")["x"].is_monotonic_increasing
    assert shrinkage(lmm("y ~ x", data, residual="ar1(x | g)")) is None
    beside = shrinkage(lmm("y ~ x + (1 | h) + (x | g)", data))
    assert (set(beside.table["group"]), set(beside.table["level"])) == ({"g"}, set(data["g"]))


def test_own_estimates_are_by_the_prior_weights_and_without_the_other_factors(data):
    w = 1.0 + np.arange(len(data)) % 3
    fit = lmm("y ~ x + (x | g) + (1 | h)", data.assign(w=w), weights="w")
    left = data["y"] - fit.ranef["h"].loc[data["h"], "Intercept"].to_numpy()
    for row in shrinkage(fit).table.itertuples():
        own = data["g"] == row.level
        if row.rows > 1:
            slope, start = np.polyfit(data["x"][own], left[own], 1, w=np.sqrt(w[own]))
            np.testing.assert_allclose([row.x, row.y], [start, slope], rtol=1e-7)


def test_a_relative_without_a_row_is_in_no_picture(data):
    names = [*(f"g{i}" for i in range(9)), "mother"]
    K = pd.DataFrame(np.eye(10), index=names, columns=names)
    table = shrinkage(lmm("y ~ x + (1 | g)", data, known={"g": K})).table
    assert sorted(table["level"]) == names[:9]
    assert (table["rows"] > 0).all()


def test_the_ellipse_is_a_contour_of_the_estimated_covariance(fit):
    corners = ellipses(fit, effect_pairs(fit))[["x", "y"]].to_numpy()
    G = fit.estimates.covariance(0)
    sizes = np.einsum("ni,ij,nj->n", corners, np.linalg.inv(G), corners)
    np.testing.assert_allclose(sizes, 5.991464547107979, rtol=1e-9)
    half = len(corners) // 2  # once around, and every half of the way on the other side
    np.testing.assert_allclose(corners[half:], -corners[: half + 1], rtol=1e-9, atol=1e-9)


def test_zeta_at_the_ends_is_the_quantile_and_it_rises(fit):
    bounds = intervals(fit, ci="profile", level=0.9, df="auto", seed=1)
    table = profile_zeta(fit, bounds, level=0.9)
    assert list(table["parameter"].unique()) == list(bounds["parameter"])
    for name, curve in table.groupby("parameter"):
        own = bounds.set_index("parameter").loc[name]
        assert (np.diff(curve["zeta"]) > 0).all()
        # Two values between each end and the estimate; none where these are one.
        halves = (np.linspace(own[end], curve["estimate"].iloc[0], 4) for end in ("low", "high"))
        np.testing.assert_allclose(
            curve["value"], np.unique(np.concatenate([*halves])), rtol=1e-9, atol=1e-12
        )
        ends = curve.iloc[[0, -1]]
        np.testing.assert_allclose(ends["value"], [own["low"], own["high"]])
        inside = own["low"] not in (0.0, -1.0), own["high"] != 1.0
        for zeta, found, sign in zip(ends["zeta"], inside, (-1, 1), strict=True):
            assert abs(zeta) < 1.6449 if not found else zeta == pytest.approx(sign * 1.644853627, abs=1e-5)
    assert profile_zeta(fit, intervals(fit, ci="wald", level=0.9, df="auto", seed=1), level=0.9).empty


@pytest.mark.parametrize(
    ("middle", "low", "high", "values", "ends"),
    [
        (0.5, 0.0, 1.25, [0.0, 1 / 6, 1 / 3, 0.5, 0.75, 1.0, 1.25], [0.0, 1.0]),
        (0.5, -1.0, 1.0, [-1.0, -0.5, 0.0, 0.5, 2 / 3, 5 / 6, 1.0], [-1.0, 0.0, 1.0]),
        (0.0, 0.0, 0.75, [0.0, 0.25, 0.5, 0.75], []),
        (0.75, -1.0, 0.75, [-1.0, -5 / 12, 1 / 6, 0.75], [-1.0]),
    ],
)
def test_a_search_at_an_end_of_the_domain_is_no_start_for_the_next(middle, low, high, values, ends):
    """A standard deviation of zero, a correlation of one: coordinates may have the other sign there."""
    asked = dict[float, str]()

    class Line:
        def __call__(self, value):
            asked[value] = "start"
            return (value - middle) ** 2 * 4, None

        def height(self, value):
            asked[value] = "none"
            return -1e-12 if value == -1.0 else (value - middle) ** 2 * 4  # below by rounding

    profiles = SimpleNamespace(held=lambda _: SimpleNamespace(estimate=middle), line=lambda _: Line())
    table = pd.DataFrame(_curve(profiles, "a", low, high))
    assert table["value"].tolist() == pytest.approx(values)
    zeta = [0.0 if value == -1.0 else 2 * (value - middle) for value in values]
    assert table["zeta"].tolist() == pytest.approx(zeta)
    assert sorted(value for value, how in asked.items() if how == "none") == ends
    assert (table[["parameter", "estimate", "low", "high"]] == ["a", middle, low, high]).all(axis=None)
    assert _curve(SimpleNamespace(held=lambda _: None), "b", 0.0, 1.0) == []


def test_twelve_parameters_are_profiled_where_variances_are_not_given(fit, data, monkeypatch):
    bounds = intervals(fit, ci="profile", level=0.9, df="auto", seed=1)
    monkeypatch.setattr(parameter_intervals, "MOST_PROFILED", 2)
    monkeypatch.setattr(parameter_intervals, "BETWEEN", 0)
    two = profile_zeta(fit, bounds.assign(low=lambda d: d["low"].where(d.index != 1)), level=0.9)
    assert two["parameter"].unique().tolist() == ["Intercept"]  # the second has no end below
    given = lmm("y ~ x + (1 | g)", data, variances={"g": 1.0, "Residual": 1.0})
    assert profile_zeta(given, bounds, level=0.9).empty
    assert beside_wald(given, bounds, "profile", level=0.9, df="auto").empty


def test_intervals_stand_beside_those_that_differ_alone(fit):
    bounds = intervals(fit, ci="auto", level=0.9, df="auto", seed=1)
    beside = beside_wald(fit, bounds, "auto", level=0.9, df="auto")
    assert not {"Intercept", "x"} & set(beside["parameter"])  # by Wald both times
    assert set(beside["method"]) == {"profile", "Wald"}
    assert (beside.groupby("parameter").size() == 2).all()
    assert beside_wald(fit, bounds, "wald", level=0.9, df="auto").empty
    assert compared_intervals({}).empty


def test_the_spread_of_both_kinds_is_over_the_levels_that_have_an_estimate_of_their_own():
    (told,) = (table.facts for table in shrinkages.TABLES if table.name == "shrinkage")
    table = pd.DataFrame({"x": [1.0, 3.0, np.nan, 9.0], "y": [0.0, 4.0, 1.0, np.nan]})
    table = table.assign(x_model=[1.0, 2.0, 7.0, 7.0], y_model=[1.0, 1.0, 7.0, 7.0])
    spread = {"x": 2**0.5, "y": 8**0.5, "x_model": 0.5**0.5, "y_model": 0.0}
    assert told(table) == {
        "levels": 4,
        "without": 2,
        **{name: pytest.approx(sd) for name, sd in spread.items()},
    }
    assert told(table[1:]) == {"levels": 3, "without": 2}


def test_a_parameter_has_two_intervals_that_are_told_and_differ_or_none():
    def ends(*rows):
        table = pd.DataFrame(rows, columns=["parameter", "low", "high"])
        return table.assign(estimate=1.0, interval="x")

    one = ends(("b", 0.0, 2.0), ("a", 0.0, 3.0), ("c", -1.0, 1.0), ("d", 0.0, np.inf), ("e", 0.0, 1.0))
    other = ends(("a", 0.0, 4.0), ("b", 0.5, 2.0), ("c", -1.0, 1.0), ("d", 0.0, 1.0), ("f", 0.0, 1.0))
    found = compared_intervals({"one": one, "other": other})
    rows = list(found[["parameter", "method", "low", "high"]].itertuples(index=False, name=None))
    assert rows == [
        ("b", "one", 0.0, 2.0), ("b", "other", 0.5, 2.0), ("a", "one", 0.0, 3.0), ("a", "other", 0.0, 4.0),
    ]  # fmt: skip


def test_lines_of_an_interaction_are_its_means(data):
    fit = lmm("y ~ h * k + (1 | g)", data.assign(k=list("pq") * 28 + ["p"]))
    means = factor_means(fit, df="normal", level=0.95)
    assert list(means.lines["mean"]) == list(means.table["mean"])
    for line, cell in zip(means.lines.itertuples(), means.table["cell"], strict=True):
        assert cell == f"h within k: {line.level}, {line.by.removeprefix('k: ')}"


@pytest.mark.parametrize(("far", "told"), [(1.0, True), (5e4, True), (1.5e5, False)])
def test_a_group_has_a_line_of_its_own_unless_its_columns_are_one_to_rounding(far, told):
    """Of x = far - 1 and far + 1 the scaled products have 1 / (2 far^2) as their least eigenvalue."""
    x, one = far + np.array([-1.0, 1.0]), np.zeros(2, np.intp)
    Z, y = np.column_stack([np.ones(2), x]), np.array([2.0, 6.0])
    own = _within(one, 1, Z, y, np.array([1.0, 3.0]))[0]
    assert np.isfinite(own).all() == told
    if told:
        np.testing.assert_allclose(Z @ own, y, rtol=1e-3)


def test_facts_tell_which_interval_leans_most_and_which_differ_most():
    facts = {table.name: table.facts for table in parameter_intervals.TABLES}
    ends = {"estimate": [2.0, 1.0, 0.0], "low": [1.0, 0.0, 0.0], "high": [3.0, 5.0, 9.0]}
    leaning = pd.DataFrame({"parameter": ["a", "b", "zero"], **ends})
    assert facts["profile_zeta"](pd.concat([leaning, leaning])) == {"parameters": 3, "most": 4.0, "place": 1}
    left = leaning.assign(low=[-4.0, 0.0, 0.0], high=[3.0, 1.5, 9.0])
    assert facts["profile_zeta"](left) == {"parameters": 3, "most": 6.0, "place": 0}
    rows = {"parameter": list("aabb"), "low": [0.0, 1.0, 0.0, 0.0], "high": [2.0, 2.0, 1.0, 3.0]}
    assert facts["interval_comparison"](pd.DataFrame(rows)) == {"parameters": 2, "most": 3.0, "place": 1}
    nothing = pd.DataFrame(
        {"parameter": list("aabb"), "low": [0.0, 0.0, 1.0, 0.0], "high": [2.0, 1.0, 1.0, 3.0]}
    )
    told = {"parameters": 2, "most": 2.0, "place": 0}  # an interval of length zero has no ratio
    assert facts["interval_comparison"](nothing) == told
    alone = pd.DataFrame({"parameter": list("aa"), "low": 1.0, "high": [1.0, 2.0]})
    assert facts["interval_comparison"](alone)["most"] == 1.0
    assert [made(leaning[:0]) for made in facts.values()] == [{"parameters": 0}] * 2
