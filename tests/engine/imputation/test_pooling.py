"""Rubin's rules by hand, and the jackknife."""

from __future__ import annotations

import numpy as np
import pytest

from lmmkit.engine.imputation.pooling import jackknife, rubin


def test_barnard_and_rubin_by_hand() -> None:
    q, u = np.array([1.0, 2.0, 4.0, 5.0]), np.array([0.5, 0.6, 0.4, 0.5])
    pooled = rubin(q, u, 30.0)
    W, B = 0.5, 10.0 / 3.0  # deviations -2, -1, 1, 2
    T = W + 1.25 * B
    share = 1.25 * B / T
    old, observed = 3.0 / share**2, 31.0 / 33.0 * 30.0 * (1.0 - share)
    assert pooled.estimate == 3.0
    assert (pooled.within, pooled.between) == (0.5, pytest.approx(10.0 / 3.0, rel=1e-14))
    assert pooled.se == pytest.approx(np.sqrt(T), rel=1e-14)
    assert pooled.df == pytest.approx(old * observed / (old + observed), rel=1e-14)
    assert pooled.lost == pytest.approx(share, rel=1e-12)
    assert pooled.monte_carlo == pytest.approx(np.sqrt(B / 4.0), rel=1e-14)


def test_without_variance_between_the_degrees_of_freedom_are_those_of_the_rows() -> None:
    pooled = rubin(np.full(5, 2.0), np.ones(5), 12.0)
    assert pooled.df == pytest.approx(12.0 * 13.0 / 15.0, rel=1e-14)
    assert np.isinf(rubin(np.full(5, 2.0), np.ones(5), np.inf).df)
    assert pooled.lost == pytest.approx(0.0, abs=1e-14)
    assert (pooled.se, pooled.monte_carlo) == (1.0, 0.0)


def test_with_infinitely_many_rows_they_are_rubins_first_ones() -> None:
    pooled = rubin(np.array([1.0, 2.0, 3.0]), np.ones(3), np.inf)
    share = (4.0 / 3.0) / (7.0 / 3.0)
    assert pooled.df == pytest.approx(2.0 / share**2, rel=1e-14)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    y = np.array([1.0, 4.0, 2.0, 7.0, 5.5])
    without = (y.sum() - y) / 4.0
    pooled = jackknife(float(y.mean()), without)
    assert pooled.se == pytest.approx(y.std(ddof=1) / np.sqrt(5.0), rel=1e-13)
    assert np.isinf(pooled.df)
    assert pooled.estimate == y.mean()
    assert np.isnan([pooled.lost, pooled.within, pooled.between]).all()
    assert pooled.monte_carlo == 0.0
    assert np.isnan(jackknife(1.0, np.ones(4)).lost)
