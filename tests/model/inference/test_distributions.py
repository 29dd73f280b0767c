"""Quantiles and tails of t and F, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lmmkit.model.inference.distributions import (
    f_quantile,
    f_tail,
    normal_quantile,
    t_quantile,
    t_tail,
)

DF = np.array([3.7, 20.0, np.inf])


def test_students_t():
    t = np.array([-2.0, 0.3, 4.0])
    np.testing.assert_allclose(t_tail(t, DF), 2 * stats.t.sf(np.abs(t), DF), rtol=1e-12)
    np.testing.assert_allclose(t_quantile(0.99, DF), stats.t.ppf(0.99, DF), rtol=1e-12)
    assert normal_quantile(0.975) == pytest.approx(1.959963984540054)
    assert np.isnan(t_tail(np.array([1.0]), np.array([np.nan]))).all()


def test_f():
    assert f_tail(3.0, 2, 7.5) == pytest.approx(stats.f.sf(3.0, 2, 7.5))
    assert f_tail(3.0, 4, np.inf) == pytest.approx(stats.chi2.sf(12.0, 4))
    assert f_quantile(0.95, 3, 7.5) == pytest.approx(stats.f.ppf(0.95, 3, 7.5))
    assert f_quantile(0.95, 4, np.inf) == pytest.approx(stats.chi2.ppf(0.95, 4) / 4)
