"""Pareto-smoothed weights: the shape of known tails, and what smoothing does."""

import numpy as np
import pytest
import scipy.stats

from lmmkit.engine.posterior import pareto
from lmmkit.engine.posterior.pareto import fit_pareto, pareto_quantiles, smooth, threshold


@pytest.mark.parametrize("k", [-0.4, 0.0, 0.3, 0.8])
def test_the_shape_of_a_known_tail_is_found(k):
    x = scipy.stats.genpareto.ppf((np.arange(4000) + 0.5) / 4000, k, scale=2.0)
    shape, scale = fit_pareto(x)
    assert shape == pytest.approx(k, abs=0.03)
    assert scale == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("k", [-0.4, 0.0, 0.3, 0.8])
def test_quantiles_are_those_of_the_generalized_pareto_distribution(k):
    p = np.array([0.01, 0.5, 0.999])
    np.testing.assert_allclose(pareto_quantiles(p, k, 2.0), scipy.stats.genpareto.ppf(p, k, scale=2.0), 1e-12)


def test_k_hat_tells_of_a_proposal_with_thin_tails():
    # Exponentials of rate 1 weighted by those of proposals of rate 1 / (1 - k): the ratios have the shape k.
    for k in (0.3, 0.9):
        rate = 1.0 / (1.0 - k)
        x = scipy.stats.expon.ppf((np.arange(4000) + 0.5) / 4000) / rate
        assert smooth((rate - 1.0) * x).k_hat == pytest.approx(k, abs=0.06)


def test_weights_sum_to_one_and_are_no_larger_than_the_largest_was():
    ratios = np.random.default_rng(1).standard_cauchy(1000)
    found = smooth(ratios)
    assert np.exp(found.log_weights).sum() == pytest.approx(1.0)
    assert found.log_weights.max() - found.log_weights.min() <= ratios.max() - ratios.min() + 1e-9
    assert (np.argsort(found.log_weights) == np.argsort(ratios)).all()


def test_equal_weights_have_no_tail():
    found = smooth(np.zeros(500))
    assert found.k_hat == -np.inf
    np.testing.assert_allclose(np.exp(found.log_weights), 1.0 / 500)


@pytest.mark.parametrize(
    ("draws", "carried", "known"),
    [(1000, 1, False), (1000, 94, False), (1000, 95, True), (100, 19, False), (100, 20, True)],
)
def test_draws_few_of_which_carry_all_the_weight_have_no_finite_shape(draws, carried, known):
    ratios = np.full(draws, -np.inf)  # the tail: a fifth of them, or three roots of their number if fewer
    ratios[:carried] = np.linspace(-1.0, 0.0, carried)
    found = smooth(ratios)
    assert (found.k_hat < np.inf) == known
    assert np.exp(found.log_weights).sum() == pytest.approx(1.0)
    assert np.isneginf(found.log_weights[carried:]).all()


@pytest.mark.parametrize(("larger", "known"), [(71, False), (72, True)])
def test_weights_that_are_mostly_those_at_the_cut_have_no_finite_shape(larger, known):
    ratios = np.zeros(1000)
    ratios[:larger] = np.linspace(0.1, 1.0, larger)
    assert (smooth(ratios).k_hat < np.inf) == known


def test_few_draws_bear_less():
    assert threshold(100) == pytest.approx(0.5)
    assert threshold(10_000) == pytest.approx(0.7)


@pytest.mark.parametrize(("draws", "smoothed"), [(20, False), (21, True)])
def test_a_tail_of_fewer_than_five_is_left_as_it_is(draws, smoothed):
    ratios = np.sqrt(np.arange(draws)) + 3.0
    found = smooth(ratios)
    assert np.isnan(found.k_hat) == (not smoothed)
    changed = np.ptp((found.log_weights - ratios)[-5:]) > 1e-6
    assert (changed, np.exp(found.log_weights).sum()) == (smoothed, pytest.approx(1.0))


def test_a_tail_gets_quantiles_of_the_distribution_that_is_fitted_to_it():
    ratios = np.random.default_rng(2).normal(size=400) * 1.5 + 7.0
    ordered = np.sort(ratios) - ratios.max()
    cut = np.exp(ordered[-61])  # 60 = 3 sqrt(400) make the tail
    k, sigma = fit_pareto(np.exp(ordered[-60:]) - cut)
    p = (np.arange(60) + 0.5) / 60
    tail = np.log(np.minimum(scipy.stats.genpareto.ppf(p, k, scale=sigma) + cut, 1.0))
    expected = np.concatenate([ordered[:-60], tail])
    found = smooth(ratios)
    assert found.k_hat == pytest.approx(k)
    np.testing.assert_allclose(np.sort(found.log_weights), expected - np.log(np.exp(expected).sum()))


def test_the_shape_is_drawn_to_a_half_by_ten_observations_and_the_scale_is_not(monkeypatch):
    x = scipy.stats.genpareto.ppf((np.arange(30) + 0.5) / 30, 0.1, scale=2.0)
    shape, scale = fit_pareto(x)
    monkeypatch.setattr(pareto, "PRIOR_SIZE", 0.0)
    plain, same = fit_pareto(x)
    assert shape == pytest.approx((30 * plain + 10 * 0.5) / 40)
    assert scale == same
    assert plain == pytest.approx(0.1, abs=0.15)
