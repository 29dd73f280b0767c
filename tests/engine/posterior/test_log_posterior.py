"""The density of the covariance parameters: by dense algebra, one by one and many at once; its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from model.posterior.test_drawing import MODELS, density, fitted, numbers

from lmmkit.engine.posterior import log_posterior as module
from lmmkit.engine.posterior.log_posterior import LogPosterior, NormalPriors
from lmmkit.model.posterior.prior_words import default_scale


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_finite_differences(name):
    at, phi = density(name, (("x", "normal(1, 0.3)"),) if "x" in fitted(name).params else ())
    point, step = phi + 0.2, 1e-5
    slope = at.slope(point)[1]
    for i, way in enumerate(np.eye(len(phi)) * step):
        found = (at.slope(point + way)[0] - at.slope(point - way)[0]) / (2 * step)
        assert slope[i] == pytest.approx(found, rel=1e-5, abs=2e-5)


@pytest.mark.parametrize("name", ["slopes", "weights", "three", "apart", "crossed", "nested", "cs", "toep"])
def test_one_by_one_is_the_batch(name):
    at, points, batch = numbers(name, (("sigma", "gamma(3, 2)"),))
    alone = LogPosterior(at.setup, at.parts, at.effects)
    alone.__dict__["batched"] = False
    single = alone.drawn(points, np.zeros((at.p, 9)))
    assert at.batched
    for field in ("log_posterior", "log_prior", "log_likelihood", "beta"):
        np.testing.assert_allclose(getattr(batch, field), getattr(single, field), rtol=1e-9, atol=1e-9)


def dense(name, natural, beta, priors):
    """Log prior, likelihood at beta, and the integral over beta, from V written out."""
    e = fitted(name).estimates
    n, V = e.nobs, natural["sigma"] ** 2 * np.eye(e.nobs)
    for term, G in zip(e.problem.terms, natural["G"], strict=True):
        Z = np.stack([e.problem.columns[c] for c in term.columns], axis=1)
        V = V + (Z @ G @ Z.T) * (term.codes[:, None] == term.codes)
    X, y = e.X, e.problem.response
    log_V, inverse = np.linalg.slogdet(V)[1], np.linalg.inv(V)
    P, m = priors
    Q = X.T @ inverse @ X + P
    best = np.linalg.solve(Q, X.T @ inverse @ y + P @ m)
    r, off = y - X @ beta, y - X @ best
    own = P.diagonal()[P.diagonal() > 0]
    likelihood = -0.5 * (n * np.log(2 * np.pi) + log_V + r @ inverse @ r)
    marginal = -0.5 * (n * np.log(2 * np.pi) + log_V + off @ inverse @ off + (best - m) @ P @ (best - m))
    marginal += 0.5 * (len(m) * np.log(2 * np.pi) - np.linalg.slogdet(Q)[1] + np.log(own / 2 / np.pi).sum())
    return likelihood, marginal, best, Q


@pytest.mark.parametrize("asked", [(), (("x", "normal(1, 0.3)"), ("Intercept", "normal(0, 4)"))])
def test_likelihood_and_priors_of_slopes_are_those_of_dense_algebra(asked):
    at, points, _ = numbers("slopes", (*asked, ("g.cor", "lkj(2.5)"), ("sigma", "gamma(3, 2)")))
    z = np.random.default_rng(6).normal(size=(2, 9))
    here = at.drawn(points, z)
    scale = default_scale(fitted("slopes").estimates.problem.response)
    P = np.diag([4.0**-2, 0.3**-2]) if asked else np.zeros((2, 2))
    m = np.array([0.0, 1.0])
    for i, (s0, rho, s1, sigma) in enumerate(at.parts.natural(points).T):
        G = np.array([[s0**2, rho * s0 * s1], [rho * s0 * s1, s1**2]])
        likelihood, marginal, best, Q = dense("slopes", {"G": [G], "sigma": sigma}, here.beta[i], (P, m))
        prior = (scipy.stats.t(3, 0, scale).logpdf([s0, s1]) + np.log(2)).sum()
        prior += scipy.stats.beta(2.5, 2.5, -1, 2).logpdf(rho) + scipy.stats.gamma(3, scale=0.5).logpdf(sigma)
        jacobian = at.parts.log_density(points)[i] - at.parts.log_prior(points)[i]
        assert here.log_likelihood[i] == pytest.approx(likelihood, abs=1e-9)
        assert here.log_posterior[i] == pytest.approx(marginal + prior + jacobian, abs=1e-9)
        np.testing.assert_allclose(here.mean[i], best, rtol=1e-9)
        off = here.beta[i] - best  # a root of Q^-1 times z
        assert off @ Q @ off == pytest.approx(z[:, i] @ z[:, i])
        of_beta = scipy.stats.norm(m, [4.0, 0.3]).logpdf(here.beta[i]).sum() if asked else 0.0
        assert here.log_prior[i] == pytest.approx(prior + of_beta, abs=1e-9)


@pytest.mark.parametrize("name", ["slopes", "crossed", "cs", "car1"])
def test_far_out_a_draw_has_no_weight_and_raises_nothing(name):
    at, phi = density(name)
    ways = np.concatenate([np.eye(len(phi)), np.ones((1, len(phi)))]).T
    points = np.concatenate([phi[:, None] + size * ways for size in (-400.0, -30.0, 30.0, 400.0)], axis=1)
    found = at.drawn(points, np.zeros((at.p, points.shape[1])))
    assert not np.isnan(found.log_posterior).any()
    assert (found.log_posterior[-len(phi) - 1 :] < found.log_posterior.max() - 20).all()


def test_normal_priors_are_those_of_scipy_and_flat_ones_have_no_density():
    some = NormalPriors(np.array([1.0, 0.0, -2.0]), np.array([0.25, 0.0, 4.0]))
    beta = np.array([[0.5, 7.0, -2.5], [3.0, -1.0, 0.0]])
    expected = scipy.stats.norm([1.0, -2.0], [2.0, 0.5]).logpdf(beta[:, [0, 2]]).sum(axis=1)
    np.testing.assert_allclose(some.log_density(beta), expected)
    none = NormalPriors(np.zeros(3), np.zeros(3))
    assert none.log_density(beta).tolist() == [0.0, 0.0]
    assert (some.flat, none.flat) == (False, True)


ALONE = {"ar1 of residuals", "car1", "un", "cs of residuals", "power", "ident"}
ALONE |= {"ou"}  # eight columns for the eight rows of each group: nothing of y is left beside them


def test_many_points_go_together_where_rows_are_independent_and_the_table_is_small(monkeypatch):
    assert {name for name in MODELS if not density(name)[0].batched} == ALONE
    at = density("crossed")[0]
    monkeypatch.setattr(module, "LARGEST_TABLE", module.table_size(at.setup.layout, at.p))
    assert LogPosterior(at.setup, at.parts, at.effects).batched
    monkeypatch.setattr(module, "LARGEST_TABLE", module.LARGEST_TABLE - 1)
    assert not LogPosterior(at.setup, at.parts, at.effects).batched


@pytest.mark.parametrize(("name", "sizes"), [("crossed", [40, 40, 20]), ("car1", [16, 4])])
def test_points_in_chunks_and_by_threads_are_the_same_points(monkeypatch, name, sizes):
    at, phi = density(name)
    points = phi[:, None] + np.random.default_rng(3).uniform(-0.4, 0.4, (len(phi), sum(sizes)))
    z = np.random.default_rng(4).normal(size=(at.p, sum(sizes)))
    whole = at.drawn(points, z)
    monkeypatch.setattr(module, "CACHE", 28 * 40)  # fourteen levels of two columns
    monkeypatch.setattr(module, "LEAST_BATCH", 2)
    cuts = list(at._chunks(sum(sizes)))
    assert [cut.stop - cut.start for cut in cuts] == sizes
    for workers in (1, 2):
        parts = at.drawn(points, z, workers)
        for field in ("log_posterior", "log_prior", "log_likelihood", "beta", "mean"):
            np.testing.assert_allclose(getattr(parts, field), getattr(whole, field), rtol=1e-10)


def test_outside_of_a_prior_there_is_neither_density_nor_slope():
    at, phi = density("apart", (("sigma", "uniform(0, 9)"),))
    inside, outside = ([*phi[:-1], np.log(sigma)] for sigma in (8.99, 9.01))
    assert np.isfinite(at.slope(np.array(inside))[0])
    assert at.slope(np.array(inside))[1].any()
    for point in (np.array(outside), np.full(len(phi), 800.0)):
        with np.errstate(all="ignore"):
            value, slope = at.slope(point)
        assert value == -np.inf
        np.testing.assert_array_equal(slope, np.zeros(len(phi)))


def test_matrices_are_told_apart_that_are_positive_definite_to_rounding():
    good, flat = np.diag([2.0, 1.0]), np.ones((2, 2))
    thin = np.diag([1.0, 1e-12])
    broken = np.array([[1.0, np.nan], [np.nan, 1.0]])
    given = np.array([good, flat, thin, broken, -good, np.diag([np.inf, 1.0])])
    assert module._positive(given).tolist() == [True, False, True, False, False, False]
    assert module._positive(given[[0, 2, 3]]).tolist() == [True, True, False]


def test_a_root_is_made_triangular_with_no_negative_diagonal():
    A = np.array([[1.0, -2.0, 0.0], [0.5, 1.0, 1.0], [0.0, 2.0, -1.0]])
    L = module._triangular(A)
    np.testing.assert_allclose(L @ L.T, A @ A.T)
    np.testing.assert_array_equal(L, np.tril(L))
    assert (L.diagonal() >= 0.0).all()
    low = np.tril(A)
    assert module._triangular(low) is low
