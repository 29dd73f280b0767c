"""Pareto-smoothed weights: the shape of known tails, and what smoothing does."""

import numpy as np
import pytest
import scipy.stats

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


@pytest.mark.parametrize(("carried", "known"), [(1, False), (94, False), (95, True)])
def test_draws_few_of_which_carry_all_the_weight_have_no_finite_shape(carried, known):
    ratios = np.full(1000, -np.inf)  # of which the tail is 95
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
