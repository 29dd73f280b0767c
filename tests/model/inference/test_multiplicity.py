"""Adjusted p-values and simultaneous intervals of families of tests."""

from __future__ import annotations

import functools
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

import lmmkit
from lmmkit.engine.inference.multivariate_t import largest_t
from lmmkit.engine.inference.studentized_range import quantile, tail
from lmmkit.model.inference.alternatives import Alternative
from lmmkit.model.inference.distributions import t_tail
from lmmkit.model.inference.multiplicity import ADJUSTMENTS, FamilyOfTests, check_adjust


def family(t, df, covariance=None, **more):
    t, df = np.asarray(t, float), np.broadcast_to(np.asarray(df, float), len(t))
    return FamilyOfTests(t, t_tail(t, df), df, np.eye(len(t)) if covariance is None else covariance, **more)


def differences(k):
    C = np.array([np.eye(k)[i] - np.eye(k)[j] for i, j in combinations(range(k), 2)])
    return C @ C.T


def test_adjustments_of_a_family():
    of = family([3.0, 2.0, 2.5, np.nan], 10.0)
    p = of.p
    np.testing.assert_allclose(of.adjusted("bonferroni").p, np.minimum(4 * p, 1))
    np.testing.assert_allclose(of.adjusted("sidak").p, 1 - (1 - p) ** 4, rtol=1e-12)
    holm = of.adjusted("holm").p
    np.testing.assert_allclose(holm[:3], [4 * p[0], max(2 * p[1], 3 * p[2]), 3 * p[2]])
    assert np.isnan(holm[3])
    np.testing.assert_array_equal(of.adjusted("none").p, p)


@pytest.mark.parametrize(
    ("adjust", "expected"),  # R 4.2.2: p.adjust(c(.001, .012, .014, .04, .3), method)
    [
        ("holm", [0.005, 0.048, 0.048, 0.08, 0.3]),
        ("hochberg", [0.005, 0.042, 0.042, 0.08, 0.3]),
        ("hommel", [0.005, 0.036, 0.042, 0.08, 0.3]),
        ("BH", [0.005, 0.07 / 3, 0.07 / 3, 0.05, 0.3]),
        ("BY", [137 / 12000, 137 / 60 * 0.07 / 3, 137 / 60 * 0.07 / 3, 137 / 1200, 137 / 200]),
    ],
)
def test_stepwise_methods_equal_r(adjust, expected):
    p = np.array([0.001, 0.012, 0.014, 0.04, 0.3])
    of = FamilyOfTests(stats.norm.isf(p / 2), p, np.full(5, np.inf), np.eye(5))
    np.testing.assert_allclose(of.adjusted(adjust).p, expected, rtol=1e-12)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_critical_values(level):
    df = np.array([5.0, 12.0, 30.0])
    by_rule = {
        "none": stats.t.ppf(0.5 + level / 2, df),
        "bonferroni": stats.t.ppf(1 - (1 - level) / 6, df),
        "holm": stats.t.ppf(1 - (1 - level) / 6, df),
        "BH": stats.t.ppf(1 - (1 - level) / 6, df),
        "sidak": stats.t.ppf(0.5 + level ** (1 / 3) / 2, df),
        "tukey": stats.studentized_range.ppf(level, 4, df) / np.sqrt(2),
        "scheffe": np.sqrt(3 * stats.f.ppf(level, 3, df)),
    }
    for adjust, expected in by_rule.items():
        found = family(np.ones(3), df, means=4).critical(level, adjust)
        np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize("tail_of", [0, -1, 1])
@pytest.mark.parametrize("adjust", ["none", "bonferroni", "sidak", "tukey", "scheffe", "mvt"])
def test_a_statistic_at_the_critical_value_has_the_level_as_its_p(adjust, tail_of):
    if tail_of and adjust in ("tukey", "scheffe"):
        return
    against, df = Alternative(tail_of), np.full(3, 11.0)
    C = differences(3)
    at = FamilyOfTests(np.ones(3), np.ones(3), df, C, 3, against).critical(0.9, adjust)
    t = at * (-1.0 if tail_of < 0 else 1.0)
    p = FamilyOfTests(t, against.test(t, np.ones(3), df).p, df, C, 3, against).adjusted(adjust).p
    np.testing.assert_allclose(p, 0.1, rtol=1e-6)


@pytest.mark.parametrize("means", [2, 4, 9])
def test_scheffes_numerator_is_the_rank_of_the_functions_whatever_means_they_are_of(means):
    """Of three differences of three means, two are independent; one that cannot be tested adds none."""
    t, df = np.array([1.5, -2.5, np.nan]), 11.0
    found = family(t, df, differences(3), means=means)
    np.testing.assert_allclose(found.adjusted("scheffe").p, stats.f.sf(t**2 / 2, 2, df), rtol=1e-9)
    wide = np.sqrt(2 * stats.f.ppf(0.9, 2, df))
    np.testing.assert_allclose(found.critical(0.9, "scheffe"), wide, rtol=1e-9)


@functools.cache
def of_differences(k):
    return largest_t(differences(k) / 2)


@pytest.mark.parametrize("k", [3, 6])
@pytest.mark.parametrize("df", [3.7, 20.3, np.inf])
@pytest.mark.parametrize("t", [0.7, 2.4, 6.0])
def test_multivariate_t_of_all_differences_is_the_studentized_range(k, df, t):
    """A singular correlation matrix, where scipy's own multivariate_t.cdf is wrong by a factor."""
    largest = of_differences(k)
    found, exact = largest.tail(t, df), tail(t * np.sqrt(2), k, df)
    assert abs(found.value - exact) < 5 * found.error + 1e-12
    assert found.value == pytest.approx(exact, rel=5e-3 if exact > 1e-6 else 0.05)
    assert largest.quantile(0.95, df) == pytest.approx(quantile(0.95, k, df) / np.sqrt(2), rel=1e-3)


@pytest.mark.parametrize("one_sided", [False, True])
def test_multivariate_t_of_comparisons_with_a_control_is_dunnetts_integral(one_sided):
    df, q = 9.5, 2.2  # unequal sizes: correlations lambda_i lambda_j
    lam = np.sqrt(np.array([0.3, 0.5, 0.6, 0.4]))
    R = np.outer(lam, lam) + np.diag(1 - lam**2)

    x, weight = np.polynomial.legendre.leggauss(200)
    s, z = (2.0 * (x + 1.0))[:, None, None], 8.0 * x[:, None]
    upper = stats.norm.cdf((q * s - lam * z) / np.sqrt(1 - lam**2))
    lower = 0.0 if one_sided else stats.norm.cdf((-q * s - lam * z) / np.sqrt(1 - lam**2))
    inside = np.prod(upper - lower, axis=2) * stats.norm.pdf(z[:, 0])
    s = s[:, 0, 0]
    exact = 1 - (2.0 * weight * 2 * df * s * stats.chi2.pdf(df * s**2, df)) @ inside @ (8.0 * weight)
    found = largest_t(R, one_sided=one_sided).tail(q, df)
    assert found.value == pytest.approx(exact, abs=5 * found.error)
    assert found.error < 1e-4


def test_one_sided_probabilities_of_negative_values():
    found = largest_t(np.eye(1), one_sided=True)
    for t in (-2.0, -0.3, 0.0, 0.4, 3.0):
        assert found.tail(t, 7.0).value == pytest.approx(stats.t.sf(t, 7), rel=1e-12)
    assert found.quantile(0.3, 7.0) == pytest.approx(stats.t.ppf(0.3, 7), rel=1e-8)


def test_the_same_seed_gives_the_same_number():
    first, second = (family([2.0, 2.2, 0.4], 8.0, differences(3)).adjusted("mvt") for _ in range(2))
    np.testing.assert_array_equal(first.p, second.p)
    assert (first.p >= family([2.0, 2.2, 0.4], 8.0).p).all()


def test_a_single_test_is_not_adjusted():
    of = family([2.0], 8.0)
    for adjust in ADJUSTMENTS:
        np.testing.assert_allclose(of.adjusted(adjust).p, of.p, rtol=1e-12)
        np.testing.assert_allclose(of.critical(0.9, adjust), stats.t.ppf(0.95, 8), rtol=1e-9)


@pytest.mark.parametrize(
    ("adjust", "against", "words"),
    [
        ("tuckey", Alternative(), "did you mean `tukey`"),
        ("fdr", Alternative(), "Choose one of: 'tukey'"),
        (None, Alternative(), "Choose one of"),
        ("tukey", Alternative(1), "these are one-sided tests: use mvt"),
        ("scheffe", Alternative(-1), "one-sided"),
        ("mvt", Alternative(0, 1.0), "these are equivalence tests: use sidak"),
    ],
)
def test_what_is_not_offered_is_refused(adjust, against, words):
    with pytest.raises(lmmkit.FitError, match=words):
        check_adjust(adjust, against)


@pytest.mark.parametrize(
    ("against", "adjust", "said"),
    [
        (Alternative(1), "tukey", "one-sided tests: use mvt, sidak, bonferroni, holm or none."),
        (Alternative(-1), "scheffe", "one-sided tests: use mvt, sidak, bonferroni, holm or none."),
        (Alternative(0, 1.0), "tukey", "equivalence tests: use sidak, bonferroni, holm or none."),
        (Alternative(0, 1.0), "mvt", "equivalence tests: use sidak, bonferroni, holm or none."),
        (Alternative(1, 1.0), "mvt", None),
        (Alternative(-1), "mvt", None),
        (Alternative(0, 1.0), "sidak", None),
        (Alternative(), "tukey", None),
        (Alternative(), "scheffe", None),
    ],
)
def test_adjustments_of_two_sided_tests_are_refused_for_others(against, adjust, said):
    if said is None:
        assert check_adjust(adjust, against) == adjust
        return
    with pytest.raises(lmmkit.FitError) as caught:
        check_adjust(adjust, against)
    assert str(caught.value) == f"adjust={adjust!r} is for two-sided tests, and these are {said}"
