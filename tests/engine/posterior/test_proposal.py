"""Proposals: the mode by Newton's method, split t distributions and their mixtures, what is learned."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

from lmmkit.engine.posterior import proposal as module
from lmmkit.engine.posterior.proposal import (
    DF,
    Mode,
    SplitT,
    TMixture,
    at_mode,
    curvature_at,
    find_mode,
    learned,
    raised,
    wider,
)
from lmmkit.errors import FitError

CURVATURE = np.array([[2.0, 0.6], [0.6, 1.0]])
AT = np.array([0.3, -0.2])
SPLIT = SplitT(1.0, AT, np.array([[1.5, 0.0], [0.7, 0.4]]), np.array([[0.8, 2.0], [3.0, 1.0]]), 4.0)


def normal(phi):
    """A log density with that mode and curvature, and its gradient."""
    off = phi - AT
    return 7.0 - 0.5 * off @ CURVATURE @ off, -CURVATURE @ off


def quartic(phi):
    """One that Newton's first steps are too long or too short for."""
    off = phi - AT
    return -(off**4).sum() - 0.05 * off @ off, -4.0 * off**3 - 0.1 * off


def test_the_mode_of_a_normal_density_takes_two_steps():
    found = find_mode(normal, np.array([1.0, 1.5]))
    np.testing.assert_allclose(found.phi, AT, atol=1e-8)
    np.testing.assert_allclose(found.curvature, CURVATURE, atol=1e-8)
    assert found.evaluations == 1 + 2 + 1 + 2  # the start, the curvature, a step, the curvature there


def test_no_step_is_longer_than_two_in_a_coordinate():
    asked = []

    def slope(phi):
        asked.append(phi)
        return normal(phi)

    find_mode(slope, np.array([0.3, 40.0]))
    far = [np.abs(b - a).max() for a, b in pairwise(asked)]
    assert max(far) <= 2.0 + 2e-5


@pytest.mark.parametrize("start", [[0.31, -0.2], [3.0, 2.0], [-4.0, 9.0]])
def test_the_mode_is_found_where_the_curvature_changes_much(start):
    found = find_mode(quartic, np.array(start))
    value, slope = quartic(found.phi)
    assert slope @ np.linalg.solve(raised(found.curvature), slope) < 1e-4
    assert value > -1e-3
    np.testing.assert_allclose(found.curvature, curvature_at(quartic, found.phi, slope))


def test_a_mode_at_the_end_of_what_a_prior_allows_is_where_the_search_ends():
    def slope(phi):
        return normal(phi) if phi[0] <= 0.0 else (-np.inf, np.zeros(2))

    found = find_mode(slope, np.array([-1.0, 0.0]))
    assert -1e-4 < found.phi[0] <= 0.0
    with pytest.raises(FitError, match="no density where the search for its mode begins: the priors exclude"):
        find_mode(slope, np.array([1.0, 0.0]))


def test_a_curvature_is_taken_to_the_other_side_where_there_is_no_density():
    for beyond in ((-np.inf, np.zeros(2)), (0.0, np.full(2, np.nan))):
        at = AT - [0.1, 0.0]
        found = curvature_at(lambda phi, b=beyond: normal(phi) if phi[0] <= 0.2 else b, at, normal(at)[1])
        np.testing.assert_allclose(found, CURVATURE, atol=1e-8)


def test_no_direction_is_flatter_than_the_least_curvature():
    vectors = np.array([[0.6, -0.8], [0.8, 0.6]])
    for given, kept in (((3.0, 0.01), (3.0, 0.05)), ((-2.0, 0.0), (2.0, 0.05)), ((0.2, 0.06), (0.2, 0.06))):
        np.testing.assert_allclose(
            raised((vectors * given) @ vectors.T), (vectors * kept) @ vectors.T, atol=1e-12
        )


def test_a_split_t_with_equal_sides_is_the_multivariate_t_distribution():
    whole = replace(SPLIT, sides=np.full((2, 2), 1.3))
    known = scipy.stats.multivariate_t(AT, 1.3**2 * SPLIT.root @ SPLIT.root.T, 4.0)
    phi = np.array([[0.1, 2.0, -3.0], [0.5, -1.0, 4.0]])
    np.testing.assert_allclose(whole.logpdf(phi), known.logpdf(phi.T))


def test_a_split_t_has_a_scale_to_each_side_and_all_its_mass():
    one = SplitT(1.0, np.array([0.5]), np.array([[1.5]]), np.array([[0.8], [3.0]]), 5.0)

    def density(x):
        return float(np.exp(one.logpdf(np.array([[x]]))[0]))

    below, above = (scipy.integrate.quad(density, *ends)[0] for ends in ((-np.inf, 0.5), (0.5, np.inf)))
    assert (below, above) == pytest.approx((0.8 / 3.8, 3.0 / 3.8), abs=1e-7)
    t = scipy.stats.t(5.0)
    for x, scale in ((-2.0, 0.8 * 1.5), (4.0, 3.0 * 1.5)):
        assert density(x) / density(0.5) == pytest.approx(t.pdf((x - 0.5) / scale) / t.pdf(0.0))
    np.testing.assert_allclose(SPLIT.distances(AT[:, None] + SPLIT.root @ np.diag([-0.8, 2.0])), [1.0, 4.0])


def test_draws_of_a_split_t_have_its_distribution():
    one = SplitT(1.0, np.array([0.5]), np.array([[1.5]]), np.array([[0.8], [3.0]]), 5.0)
    p = (np.arange(120) + 0.5) / 120
    z, uniform = (each.ravel() for each in np.meshgrid(scipy.stats.norm.ppf(p), p))
    x = np.sort(one.at(z[None], uniform)[0])
    t = scipy.stats.t(5.0)
    expected = {  # 0.8 / 3.8 of them lie below the middle
        -1.0: 2 * 0.8 / 3.8 * t.cdf(-1.5 / 1.2),
        0.5: 0.8 / 3.8,
        2.0: 0.8 / 3.8 + 3.0 / 3.8 * (2 * t.cdf(1.5 / 4.5) - 1),
        9.0: 0.8 / 3.8 + 3.0 / 3.8 * (2 * t.cdf(8.5 / 4.5) - 1),
    }
    for place, share in expected.items():
        assert np.searchsorted(x, place) / len(x) == pytest.approx(share, abs=0.006)


def test_draws_of_a_mixture_are_of_its_components_by_their_shares():
    parts = tuple(
        SplitT(share, np.full(2, mean), 1e-3 * np.eye(2), np.ones((2, 2)))
        for share, mean in ((0.2, 0.0), (0.5, 1.0), (0.3, 2.0))
    )
    mixture = TMixture(parts)
    assert mixture.size == 4
    u = np.zeros((4, 1000))
    u[3] = scipy.stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    found = mixture.draw(u).round(6)
    np.testing.assert_array_equal(found, np.repeat([0.0, 1.0, 2.0], [200, 500, 300])[None].repeat(2, axis=0))
    phi = np.array([[0.0, 1.0005], [0.0, 1.0]])
    expected = np.log(sum(np.exp(part.logpdf(phi)) * part.share for part in parts))
    np.testing.assert_allclose(mixture.logpdf(phi), expected)
    u = np.random.default_rng(1).normal(size=(4, 5))
    chi2 = scipy.stats.chi2(4.0).ppf(scipy.stats.norm.cdf(u[2]))
    whole = replace(SPLIT, sides=np.ones((2, 2)))
    expected = AT[:, None] + whole.root @ u[:2] * np.sqrt(4.0 / chi2)
    np.testing.assert_allclose(TMixture((whole,)).draw(u), expected, rtol=1e-9)


def test_scales_at_the_mode_are_those_with_which_a_t_falls_no_faster():
    """A density that falls as a t distribution with 6 degrees of freedom does, three times as wide above."""
    curvature = np.diag([4.0, 0.25])
    root = np.sqrt(1.1 / np.diag(curvature))

    def log_density(phi):
        z = (phi - AT[:, None]) / root[:, None]
        z = np.where(z > 0, z / 3.0, z / 1.5)
        return 5.0 - (DF + 1.0) / 2.0 * np.log1p(z**2 / DF).sum(axis=0)

    (found,) = at_mode(Mode(AT, curvature, 0), log_density).components
    np.testing.assert_allclose(found.root, np.diag(root))
    np.testing.assert_allclose(found.sides, [[1.5, 1.5], [3.0, 3.0]])
    assert (found.share, found.df, found.mean.tolist()) == (1.0, 6.0, AT.tolist())
    for given, kept in (
        (lambda phi: np.zeros(phi.shape[1]), 8.0),
        (lambda phi: -1e6 * (phi**2).sum(axis=0), 0.8),
    ):
        (found,) = at_mode(Mode(np.zeros(2), curvature, 0), given).components
        np.testing.assert_array_equal(found.sides, np.full((2, 2), kept))


def test_each_axis_has_its_own_scales():
    def log_density(phi):
        z = np.linalg.solve(root, phi - AT[:, None])
        scales = np.where(z > 0, np.array([[1.0], [4.0]]), np.array([[2.0], [3.0]]))
        return -(DF + 1.0) / 2.0 * np.log1p((z / scales) ** 2 / DF).sum(axis=0)

    root = np.linalg.cholesky(1.1 * np.linalg.inv(CURVATURE))
    (found,) = at_mode(Mode(AT, CURVATURE, 0), log_density).components
    np.testing.assert_allclose(found.root, root)
    np.testing.assert_allclose(found.sides, [[2.0, 3.0], [1.0, 4.0]])


def test_a_proposal_that_was_not_enough_gets_wider_with_heavier_tails():
    found = wider(SPLIT)
    np.testing.assert_array_equal(found.sides, 1.5 * SPLIT.sides)
    assert found.df == 3.0
    assert (found.share, found.mean is SPLIT.mean, found.root is SPLIT.root) == (1.0, True, True)


def test_a_mixture_is_learned_from_many_effective_draws_and_one_component_from_few():
    rng = np.random.default_rng(3)
    first = SplitT(1.0, AT, SPLIT.root, np.ones((2, 2)))
    phi = AT[:, None] + SPLIT.root @ rng.normal(size=(2, 3000))
    found = learned(first, phi, np.zeros(3000))
    assert [len(learned(first, phi[:, :n], np.zeros(n)).components) for n in (61, 59)] == [4, 2]
    shares = [c.share for c in found.components]
    assert shares[0] == 0.2
    assert sum(shares) == pytest.approx(1.0)
    assert found.components[0].mean is first.mean
    # What is learned has the mean and about the spread of the draws, 1.1 times over.
    mean = sum(c.share * c.mean for c in found.components[1:]) / 0.8
    np.testing.assert_allclose(mean, phi.mean(axis=1), atol=0.06)


def test_one_component_is_the_t_distribution_of_most_likelihood():
    first = SplitT(1.0, np.array([0.5]), np.array([[2.0]]), np.ones((2, 1)))
    phi = np.array([[-3.0, -1.0, -0.4, 0.0, 0.1, 0.7, 1.5, 2.2, 4.0, 9.0, 0.3, 0.6]])
    log_ratios = np.linspace(0.0, -1.0, 12)
    w = np.exp(log_ratios)

    def less(x):
        return -w @ scipy.stats.t(6.0, x[0], np.exp(x[1])).logpdf(phi[0])

    mean, log_sd = scipy.optimize.minimize(less, [0.0, 0.0]).x
    (_, one) = learned(first, phi, log_ratios).components
    assert one.mean[0] == pytest.approx(mean, abs=0.02)
    assert one.root[0, 0] == pytest.approx(math.sqrt(1.1) * np.exp(log_sd), rel=0.01)
    assert one.sides.tolist() == [[1.0], [1.0]]


def test_components_are_learned_by_eight_steps_of_em():
    """As of Cappe et al. (2008), with densities by scipy; no scale matrix is narrower than 1e-3."""
    first = SplitT(1.0, np.zeros(2), np.eye(2), np.ones((2, 2)))
    rng = np.random.default_rng(8)
    z = rng.normal(size=(2, 241)) + np.repeat([[-6.0, 0.0, 9.0], [0.0, 0.0, 2.0]], [60, 110, 71], axis=1)
    w = np.full(241, 1.0 / 241)
    axis = np.linalg.eigh(np.cov(z))[1][:, -1]
    order = np.argsort(axis @ z)
    means = [z[:, order[at]] for at in (40, 120, 200)]  # by whom 1/6, 1/2 and 5/6 of the weight are reached
    spreads, shares = [np.cov(z, ddof=0) + 1e-3 * np.eye(2)] * 3, np.full(3, 1.0 / 3.0)
    for _ in range(8):
        densities = [
            scipy.stats.multivariate_t(m, S, 6.0).pdf(z.T) for m, S in zip(means, spreads, strict=True)
        ]
        own = shares[:, None] * np.array(densities)
        own = w * own / own.sum(axis=0)
        shares = own.sum(axis=1)
        for k in range(3):
            off = z - means[k][:, None]
            near = own[k] * 8.0 / (6.0 + (off * np.linalg.solve(spreads[k], off)).sum(axis=0))
            means[k] = z @ near / near.sum()
            off = z - means[k][:, None]
            spreads[k] = off * near @ off.T / shares[k] + 1e-3 * np.eye(2)
    found = learned(first, z, np.zeros(241)).components[1:]
    np.testing.assert_allclose([c.share for c in found], 0.8 * shares, rtol=1e-7)
    np.testing.assert_allclose([c.mean for c in found], means, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose([c.root @ c.root.T for c in found], [1.1 * S for S in spreads], atol=1e-6)


def test_weights_are_evened_out_until_enough_draws_are_effective():
    log_ratios = np.append(np.linspace(0.0, 60.0, 199), -np.inf)
    for wanted in (10.0, 40.0):
        found = module._evened(log_ratios, wanted)
        assert np.exp(found).sum() == pytest.approx(1.0)
        assert 1.0 / (np.exp(found) ** 2).sum() == pytest.approx(wanted, rel=1e-6)
        assert found[-1] == -np.inf
        assert np.ptp(np.diff(found[:-1])) < 1e-12  # a power of what they were
    np.testing.assert_allclose(module._evened(np.zeros(50), 20.0), -math.log(50.0))
