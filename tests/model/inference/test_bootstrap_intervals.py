"""Intervals from a bootstrap, against percentiles and the BCa formula written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from reference.cases import fitted as reference
from scipy.stats import norm
from support.designs import FORMULAS, fitted, frame

import lmmkit
from lmmkit.errors import PartialResult
from lmmkit.model.inference.confidence_intervals import parameters_without_units
from lmmkit.model.resampling.bootstrap import acceleration, bca, percentile, replicate
from lmmkit.model.resampling.simulate import Simulator


def order_statistic(values, share):
    """The (n + 1) share-th value in order, between two by interpolation."""
    ordered = sorted(v for v in values if math.isfinite(v))
    place = (len(ordered) + 1) * share
    below = math.floor(place)
    if below < 1 or below >= len(ordered):
        return ordered[0] if below < 1 else ordered[-1]
    return ordered[below - 1] + (place - below) * (ordered[below] - ordered[below - 1])


def by_hand(values, estimate, jackknife, level):
    """BCa: Davison & Hinkley (1997), equations 5.20 to 5.22 and the jackknife's acceleration."""
    values = [v for v in values if math.isfinite(v)]
    below = (sum(v < estimate for v in values) + sum(v == estimate for v in values) / 2) / len(values)
    w = norm.ppf(below)
    middle = sum(jackknife) / len(jackknife)
    cubes = sum((middle - j) ** 3 for j in jackknife)
    squares = sum((middle - j) ** 2 for j in jackknife)
    a = cubes / (6 * squares**1.5)
    shares = [norm.cdf(w + (w + z) / (1 - a * (w + z))) for z in norm.ppf([(1 - level) / 2, (1 + level) / 2])]
    return [order_statistic(values, share) for share in shares]


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("shift", [-0.4, 0.0, 0.4])  # of the estimate: the bias to correct
@pytest.mark.parametrize("skew", [-1, 1])
def test_bca_is_its_formula(level, shift, skew):
    rng = np.random.default_rng(1)
    values = rng.normal(size=1_999)
    jackknife = skew * rng.exponential(size=15) ** 2
    expected = by_hand(values, shift, jackknife, level)
    assert bca(values, shift, jackknife, level) == pytest.approx(expected, rel=1e-12)
    assert expected != pytest.approx(percentile(values, level), abs=1e-3)


def test_bca_takes_ties_and_values_that_are_not_defined():
    values = np.array([1.0, 2.0, 2.0, 3.0, 4.0, np.nan, 7.0])
    jackknife = np.array([1.0, 2.0, 4.0])
    assert bca(values, 2.0, jackknife, 0.5) == pytest.approx(by_hand(values, 2.0, jackknife, 0.5), rel=1e-12)
    assert np.isnan(bca(values, np.nan, jackknife, 0.5)).all()
    assert np.isnan(bca(np.full(3, np.nan), 2.0, jackknife, 0.5)).all()


def test_bca_beyond_all_replicates_is_the_outermost():
    values = np.arange(1.0, 100.0)
    assert bca(values, 500.0, np.array([1.0, 1.0]), 0.9) == (99.0, 99.0)
    assert bca(values, -500.0, np.array([1.0, 1.0]), 0.9) == (1.0, 1.0)


def test_bias_moves_both_bounds_its_way():
    """More than half of the replicates below the estimate: the estimate is low among what it may be."""
    values = np.random.default_rng(3).normal(size=4_000)
    plain = percentile(values, 0.9)
    low, high = bca(values, 0.5, np.array([-1.0, 0.0, 1.0]), 0.9)
    assert low > plain[0]
    assert high > plain[1]


def test_acceleration_of_a_mean_is_a_sixth_of_its_skewness():
    y = np.array([0.0, 0.0, 1.0, 5.0])
    jackknife = (y.sum() - y) / 3
    deviations = y - y.mean()
    expected = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    assert expected > 0  # a long right tail
    assert acceleration(jackknife) == pytest.approx(expected, rel=1e-12)
    assert acceleration(-jackknife) == pytest.approx(-expected, rel=1e-12)
    assert acceleration(np.array([])) == acceleration(np.ones(3)) == 0.0


def parameters_of(fit):
    """Coefficients, SDs and correlations in the order of conf_int, from the tables that users see."""
    rows = fit.varcorr
    entries = {(row.group, row.var1, row.var2): row.sdcor for row in rows.itertuples()}
    intercept, x = entries["g", "Intercept", None], entries["g", "x", None]
    return [*fit.params, intercept, entries["g", "Intercept", "x"], x, entries["Residual", None, None]]


def test_the_jackknife_refits_the_model_without_each_unit():
    table, model = frame(), FORMULAS["slopes"]
    rests = [table[table.g != level] for level in range(12)]
    expected = [parameters_of(lmmkit.lmm(model, rest)) for rest in rests]
    np.testing.assert_allclose(
        parameters_without_units(fitted("slopes").estimates), expected, rtol=1e-4, atol=1e-5
    )


def test_bca_intervals_are_made_of_replicates_and_jackknife():
    m, table = fitted("slopes"), frame()
    replicates = m.bootstrap(199, seed=4)
    jackknife = np.array(
        [parameters_of(lmmkit.lmm(FORMULAS["slopes"], table[table.g != level])) for level in range(12)]
    )
    found = m.conf_int("bootstrap", n=199, seed=4, kind="bca", level=0.9)
    point = parameters_of(m)
    for i, name in enumerate(found.index):
        expected = by_hand(replicates[name], point[i], jackknife[:, i], 0.9)
        np.testing.assert_allclose(found.loc[name, ["low", "high"]].astype(float), expected, rtol=1e-4)


def test_percentile_intervals_are_made_of_replicates():
    m = fitted("slopes")
    replicates = m.bootstrap(199, seed=4)
    found = m.conf_int("bootstrap", n=199, seed=4, level=0.9)
    for name in found.index:
        expected = [order_statistic(replicates[name], share) for share in (0.05, 0.95)]
        np.testing.assert_allclose(found.loc[name, ["low", "high"]].astype(float), expected, rtol=1e-12)


def test_fates_of_the_refits_are_counted(monkeypatch):
    m = reference("pastes", "REML")
    whole = replicate(Simulator(m.estimates, 1), 60)
    whole.failures[3] = "no"
    whole.converged[[3, 5]] = False
    singular = int(whole.singular.sum())
    monkeypatch.setattr("lmmkit.model.inference.confidence_intervals.replicate", lambda *_, **__: whole)
    with pytest.warns(PartialResult, match="1 of 60 replicates"):
        counts = m.conf_int("bootstrap", n=60, seed=1).attrs["replicates"]
    assert counts == {"n": 60, "failed": 1, "not converged": 1, "singular": singular}
