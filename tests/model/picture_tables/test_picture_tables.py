"""Own estimates are those of each group's own regression; roots of profiles are those of the deviance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.model.picture_tables.parameter_intervals import beside_wald, compared_intervals, profile_zeta
from lmmkit.model.picture_tables.shrinkage import ellipses, shrinkage
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
    one = shrinkage(lmm("y ~ 1 + (1 | g)", data))
    means = data.groupby("g")["y"].mean()
    np.testing.assert_allclose(one.table["x"], means.loc[one.table["level"]], rtol=1e-9)
    assert one.table.sort_values("y")["x"].is_monotonic_increasing
    assert shrinkage(lmm("y ~ x", data, residual="ar1(x | g)")) is None


def test_the_ellipse_is_a_contour_of_the_estimated_covariance(fit):
    corners = ellipses(fit, effect_pairs(fit))[["x", "y"]].to_numpy()
    G = fit.estimates.covariance(0)
    sizes = np.einsum("ni,ij,nj->n", corners, np.linalg.inv(G), corners)
    np.testing.assert_allclose(sizes, 5.991464547107979, rtol=1e-9)


def test_zeta_at_the_ends_is_the_quantile_and_it_rises(fit):
    bounds = intervals(fit, ci="profile", level=0.9, df="auto", seed=1)
    table = profile_zeta(fit, bounds, level=0.9)
    assert list(table["parameter"].unique()) == list(bounds["parameter"])
    for name, curve in table.groupby("parameter"):
        own = bounds.set_index("parameter").loc[name]
        assert (np.diff(curve["zeta"]) > 0).all()
        ends = curve.iloc[[0, -1]]
        np.testing.assert_allclose(ends["value"], [own["low"], own["high"]])
        inside = own["low"] not in (0.0, -1.0), own["high"] != 1.0
        for zeta, found, sign in zip(ends["zeta"], inside, (-1, 1), strict=True):
            assert abs(zeta) < 1.6449 if not found else zeta == pytest.approx(sign * 1.644853627, abs=1e-5)
    assert profile_zeta(fit, intervals(fit, ci="wald", level=0.9, df="auto", seed=1), level=0.9).empty


def test_intervals_stand_beside_those_that_differ_alone(fit):
    bounds = intervals(fit, ci="auto", level=0.9, df="auto", seed=1)
    beside = beside_wald(fit, bounds, "auto", level=0.9, df="auto")
    assert not {"Intercept", "x"} & set(beside["parameter"])  # by Wald both times
    assert set(beside["method"]) == {"profile", "Wald"}
    assert (beside.groupby("parameter").size() == 2).all()
    assert beside_wald(fit, bounds, "wald", level=0.9, df="auto").empty
    assert compared_intervals({}).empty


def test_lines_of_an_interaction_are_its_means(data):
    fit = lmm("y ~ h * k + (1 | g)", data.assign(k=list("pq") * 28 + ["p"]))
    means = factor_means(fit, df="normal", level=0.95)
    assert list(means.lines["mean"]) == list(means.table["mean"])
    for line, cell in zip(means.lines.itertuples(), means.table["cell"], strict=True):
        assert cell == f"h within k: {line.level}, {line.by.removeprefix('k: ')}"
