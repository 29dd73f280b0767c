"""Curves along predictors and fitted values."""

import re
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.model.diagnostics.linearity import MATTERS, Linearity, along_ranks, places, spline_columns


def rows(curve, *, seed=1, groups=30, each=10):
    """An effect of x, which varies between and within groups."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), each)
    x = rng.uniform(0.5, 4.5, size=len(g))
    y = curve(x) + rng.normal(size=groups)[g] + rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "g": g, "two": np.arange(len(g)) % 2})


def found(formula, table):
    """What `diagnose` has of linearity, by what it is along."""
    table = lmmkit.diagnose(lmmkit.lmm(formula, table), replicates=199).table
    return table[table.check == "linearity"].set_index("of")


@pytest.mark.parametrize(
    "x", [np.arange(20.0), np.array([1.0, 2, 3] * 5), np.repeat([0.0, 1.0], 6), np.r_[np.zeros(30), 1:6]]
)
def test_columns_of_a_spline_are_orthonormal_and_span_the_straight_line(x):
    W = spline_columns(x)
    np.testing.assert_allclose(W.T @ W, np.eye(W.shape[1]), atol=1e-10)
    assert W.shape[1] == min(4, len(np.unique(x)) - 1)
    line = x - x.mean()
    np.testing.assert_allclose(W @ (W.T @ line), line, atol=1e-8 * np.abs(line).max())


def test_places_go_from_the_lowest_to_the_highest_value():
    x = np.random.default_rng(1).normal(size=500)
    at = x[places(x)]
    assert (np.diff(at) > 0).all()
    assert at[0] == x.min()
    assert at[-1] == x.max()


def test_a_bend_is_found_with_its_size_and_its_remedy():
    table = rows(lambda x: (x - 2.5) ** 2)
    row, sigma = found("y ~ x + (1 | g)", table).loc["x"], lmmkit.lmm("y ~ x + (1 | g)", table).sigma
    assert row.adjusted < 0.02
    assert "poly(x, 2)" in row.remedy
    assert row["size"] * sigma == pytest.approx(np.std((np.linspace(0.5, 4.5, 999) - 2.5) ** 2), rel=0.15)


BENT = re.compile(
    r"it lies \S+ ?\S* (?:above|below) what the model has|"
    r"smooth lies \S+ standard deviations (?:above|below) where"
)


@cache
def bent():
    """A straight line fitted to a parabola, which lies above it at its ends and below in the middle."""
    fit = lmmkit.lmm("y ~ x + (1 | g)", rows(lambda x: (x - 2.5) ** 2))
    return fit, Linearity(fit.estimates), fit.residuals("normalised").to_numpy()


@pytest.mark.parametrize("along", ["x", "fitted values"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_bend_lies_above_or_below_and_matters_from_a_share_of_the_residual_sd_on(along, sign):
    fit, check, residuals = bent()
    fitted = np.repeat(fit.estimates.fitted[:, None], 3, axis=1)
    noise = np.random.default_rng(2).normal(size=len(residuals))

    def found(scale):
        if along == "x":
            return check._along(check.bends[0], scale * residuals[:, None])
        sets = np.column_stack([scale * residuals, noise, -noise])
        return check._along_fitted(SimpleNamespace(fitted=fitted, normalised=sets))

    size = found(1.0).size
    for share in (0.999, 1.001):
        one = found(sign * share * MATTERS / size)
        assert one.size == pytest.approx(share * MATTERS)
        assert one.matters == (share > 1.0)
        at = float(one.where.rpartition(" ")[2])
        low, high = (1.0, 4.0) if along == "x" else np.quantile(fitted, [0.15, 0.85])
        above = (not low < at < high) == (sign > 0)
        said = BENT.search(str(one.notable))
        assert said, str(one.notable)
        assert "above" in said[0] if above else "below" in said[0]


def test_a_logarithm_is_named_where_it_fits_best():
    assert "log(x)" in found("y ~ x + (1 | g)", rows(lambda x: 4.0 * np.log(x))).loc["x"].remedy


@pytest.mark.parametrize("formula", ["y ~ poly(x, 2) + (1 | g)", "y ~ bs(x, df=4) + (1 | g)"])
def test_a_model_that_bends_has_no_bend_left(formula):
    table = found(formula, rows(lambda x: (x - 2.5) ** 2, seed=4))
    assert set(table.verdict) == {"fine"}


def test_a_predictor_of_two_values_has_no_curve():
    table = found("y ~ two + (1 | g)", rows(lambda x: 0.0 * x))
    assert table.loc["predictors"].verdict == "not checked"


def test_the_curve_along_a_predictor_does_not_depend_on_its_unit():
    table = rows(lambda x: x)
    one, other = (
        Linearity(lmmkit.lmm("y ~ x + (x | g)", table.assign(x=c + s * table.x)).estimates).bends[0]
        for c, s in ((0.0, 1.0), (1000.0, 0.01))
    )
    np.testing.assert_allclose(one.se, other.se, rtol=1e-4)


def test_the_smooth_along_fitted_values_is_that_of_their_order():
    rng = np.random.default_rng(2)
    fitted, z = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    curve, x = along_ranks(fitted, z)
    sorted_z = np.take_along_axis(z, np.argsort(fitted, axis=0), axis=0)
    again, _ = along_ranks(np.sort(fitted, axis=0), sorted_z)
    np.testing.assert_allclose(curve, again)
    assert (np.diff(x) > 0).all()


def test_a_product_of_effects_shows_along_the_fitted_values():
    rng = np.random.default_rng(3)
    g, h = np.repeat(np.arange(20), 12), np.tile(np.arange(12), 20)
    a, b = 2.0 * rng.normal(size=20), 2.0 * rng.normal(size=12)
    y = np.exp((8 + a[g] + b[h]) / 4) + rng.normal(size=240)
    table = found("y ~ 1 + (1 | g) + (1 | h)", pd.DataFrame({"y": y, "g": g, "h": h}))
    assert table.loc["fitted values"].adjusted < 0.02
    assert "log(y)" in table.loc["fitted values"].remedy
