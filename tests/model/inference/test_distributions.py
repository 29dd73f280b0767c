"""Quantiles and tails of t and F, and of families of tests, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lmmkit.model.inference.distributions import (
    adjusted_p,
    critical,
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


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_critical_values(level):
    df = np.array([5.0, 12.0, 30.0])
    by_rule = {
        "none": stats.t.ppf(0.5 + level / 2, df),
        "bonferroni": stats.t.ppf(1 - (1 - level) / 6, df),
        "holm": stats.t.ppf(1 - (1 - level) / 6, df),
        "sidak": stats.t.ppf(0.5 + level ** (1 / 3) / 2, df),
        "tukey": stats.studentized_range.ppf(level, 4, df) / np.sqrt(2),
    }
    for adjust, expected in by_rule.items():
        np.testing.assert_allclose(critical(level, df, adjust, 4), expected, rtol=1e-7)


@pytest.mark.parametrize("adjust", ["none", "bonferroni", "sidak", "tukey"])
def test_a_statistic_at_the_critical_value_has_the_level_as_its_p(adjust):
    df = np.full(3, 11.0)
    p = adjusted_p(critical(0.9, df, adjust, 3), df, adjust, 3)
    np.testing.assert_allclose(p, 0.1, rtol=1e-7)
