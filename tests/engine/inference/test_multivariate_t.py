"""The largest t and the studentized range, where they are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lmmkit.engine.inference import studentized_range
from lmmkit.engine.inference.multivariate_t import largest_t


@pytest.mark.parametrize("df", [7.0, np.inf])
def test_the_largest_of_one_is_a_t(df):
    both, upper = largest_t(np.eye(1)), largest_t(np.eye(1), one_sided=True)
    for q in (0.7, 2.5):
        assert both.tail(q, df).value == pytest.approx(2.0 * stats.t.sf(q, df), rel=1e-9)
        assert upper.tail(q, df).value == pytest.approx(stats.t.sf(q, df), rel=1e-9)
        assert upper.tail(-q, df).value == pytest.approx(stats.t.cdf(q, df), rel=1e-9)
    assert upper.tail(0.0, df).value == pytest.approx(0.5, rel=1e-9)
    assert both.tail(-1.0, df).value == both.tail(0.0, df).value == 1.0
    assert both.quantile(0.95, df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-8)
    assert upper.quantile(0.2, df) == pytest.approx(stats.t.ppf(0.2, df), rel=1e-8)
    assert upper.quantile(0.001, df) == pytest.approx(stats.t.ppf(0.001, df), rel=1e-8)


def test_of_independent_normal_statistics_the_largest_is_known_and_its_error_is_told():
    for one_sided in (False, True):
        inside = stats.norm.cdf(1.8) - (0.0 if one_sided else stats.norm.sf(1.8))
        found = largest_t(np.eye(3), one_sided=one_sided).tail(1.8, np.inf)
        assert abs(found.value - (1.0 - inside**3)) < max(6.0 * found.error, 1e-6)
        assert 0.0 < found.error < 1e-4


def test_what_is_not_a_number_has_none():
    largest = largest_t(np.eye(1))
    assert np.isnan([*largest.tail(np.nan, 5.0), *largest.tail(1.0, np.nan)]).all()
    assert np.isnan(largest.quantile(0.95, np.nan))
    for q, df in ((np.nan, 5.0), (1.0, np.nan)):
        assert np.isnan(studentized_range.tail(q, 3, df))
    assert np.isnan(studentized_range.quantile(0.95, 3, np.nan))


@pytest.mark.parametrize("df", [1.0, 6.5, 400.0, np.inf])
def test_the_range_of_two_means_is_a_t_times_the_root_of_two(df):
    for q in (0.3, 3.0, 30.0):
        expected = 2.0 * stats.t.sf(q / np.sqrt(2.0), df)
        assert studentized_range.tail(q, 2, df) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert studentized_range.quantile(0.9, 2, df) == pytest.approx(np.sqrt(2.0) * stats.t.ppf(0.95, df))
    assert studentized_range.tail(0.0, 2, df) == studentized_range.tail(-1.0, 2, df) == 1.0


def test_the_range_of_four_means_is_scipys():
    for q, df in ((2.5, 9.0), (6.0, 30.0)):
        expected = stats.studentized_range.sf(q, 4, df)
        assert studentized_range.tail(q, 4, df) == pytest.approx(expected, rel=1e-7)
