"""Many responses on one design: the numbers of one at a time, in any company."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.cases import fitted as reference
from support.designs import FORMULAS, fitted, frame

import lmmkit
from lmmkit.engine.replicates import refit as replicates
from lmmkit.engine.replicates.random_streams import normals
from lmmkit.engine.replicates.refit import fits_in_batches, refit
from lmmkit.engine.rules import BATCH
from lmmkit.engine.setup import set_up
from lmmkit.engine.solve import solve
from lmmkit.model.resampling.simulate import Simulator

RESULTS = ("beta", "sigma", "deviance", "converged", "singular")


def same(one, two, rows=slice(None)):
    """Whether two sets of replicates are equal bit by bit."""
    pairs = [(getattr(one, name), getattr(two, name)) for name in RESULTS]
    pairs += list(zip(one.factors, two.factors, strict=True))
    return all(np.array_equal(a[rows], b, equal_nan=True) for a, b in pairs)


def drawn(m, count, **how):
    """Refits of responses drawn from a fit."""
    e = m.estimates
    return refit(e.problem, Simulator(e, 7).draw, count, reml=e.reml, **how)


def ordinary(m, count):
    """The same, one ordinary solve each."""
    e = m.estimates
    columns = Simulator(e, 7).draw(0, count).T
    return [solve(replace(e.problem, response=y), reml=e.reml) for y in columns]


def require_equal(found, alone):
    """Optima to rounding, singular ones named alike."""
    np.testing.assert_allclose(found.deviance, [s.deviance for s in alone], atol=1e-8)
    np.testing.assert_allclose(found.beta, [s.beta for s in alone], atol=1e-6)
    np.testing.assert_allclose(found.sigma, [s.sigma for s in alone], rtol=1e-6)
    for t, factors in enumerate(found.factors):
        np.testing.assert_allclose(factors, [s.factors[t] for s in alone], atol=1e-5)
    assert found.singular.tolist() == [any(s.null_directions) for s in alone]
    assert found.converged.all()
    errors = [s.sigma * np.sqrt(s.unscaled_vcov.diagonal()) for s in alone]
    np.testing.assert_allclose(found.errors, errors, rtol=1e-4)


@pytest.mark.parametrize(("reml", "weighted"), [(True, True), (False, False)])
@pytest.mark.parametrize("name", FORMULAS)
def test_each_replicate_is_an_ordinary_solve(name, reml, weighted):
    m = fitted(name, reml=reml, weighted=weighted)
    assert fits_in_batches(set_up(m.estimates.problem, reml=reml))
    require_equal(drawn(m, 9), ordinary(m, 9))


@pytest.mark.parametrize("criterion", ["REML", "ML"])
@pytest.mark.parametrize("name", ["sleep_full", "penicillin", "pastes", "machines_vector", "dyestuff2"])
def test_replicates_of_the_reference_models_are_ordinary_solves(name, criterion):
    m = reference(name, criterion)
    require_equal(drawn(m, 9), ordinary(m, 9))


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), columns=st.sampled_from(["1", "x", "x + z"]), reml=st.booleans())
def test_replicates_of_random_designs_are_ordinary_solves(seed, columns, reml):
    m = lmmkit.lmm(f"y ~ x + ({columns} | g)", frame(seed, 120), reml=reml)
    found, alone = drawn(m, 9), ordinary(m, 9)
    np.testing.assert_allclose(found.deviance, [s.deviance for s in alone], atol=1e-6)


@pytest.mark.parametrize("name", ["slopes", "three columns", "nested and crossed"])
def test_numbers_do_not_depend_on_the_chunk_or_the_workers(name, monkeypatch):
    m = fitted(name, reml=False)
    whole = drawn(m, 40)
    for cache in (1, 2_000):
        monkeypatch.setattr(replicates, "CACHE", cache)
        assert same(whole, drawn(m, 40, workers=2))


@pytest.mark.parametrize("largest", [replicates.LARGEST_TABLE, 0])
def test_functions_of_the_fixed_effects_have_their_covariance_matrices(largest, monkeypatch):
    monkeypatch.setattr(replicates, "LARGEST_TABLE", largest)
    m = fitted("crossed")
    L = np.array([[1.0, 0.5], [0.0, -2.0], [0.0, 1.0]])
    found, alone = drawn(m, 3, functions=L), ordinary(m, 3)
    expected = [s.sigma**2 * (L @ s.unscaled_vcov @ L.T) for s in alone]
    np.testing.assert_allclose(found.function_variances, expected, rtol=1e-5, atol=1e-9)


def test_the_first_replicates_of_many_are_those_of_few():
    m = fitted("slopes")
    assert same(drawn(m, 50), drawn(m, 3), rows=slice(0, 3))


def test_designs_too_large_for_batches_are_fitted_one_by_one(monkeypatch):
    m = fitted("crossed")
    together = drawn(m, 6)
    monkeypatch.setattr(replicates, "LARGEST_TABLE", 0)
    alone = drawn(m, 6)
    assert alone.alone.all()
    assert not together.alone.any()
    np.testing.assert_allclose(alone.deviance, together.deviance, atol=1e-9)


def test_replicates_the_batch_leaves_are_fitted_alone(monkeypatch):
    monkeypatch.setattr("lmmkit.engine.replicates.refit.BATCH", replace(BATCH, limit=1))
    m = fitted("slopes", reml=False)
    found = drawn(m, 12)
    assert found.alone.any()
    assert found.converged.all()
    np.testing.assert_allclose(found.deviance, [s.deviance for s in ordinary(m, 12)], atol=1e-8)


def test_a_response_that_cannot_be_fitted_is_named_and_kept():
    e = fitted("slopes").estimates
    X = np.column_stack([e.problem.columns[c] for c in e.problem.fixed])

    def source(first, count):
        return np.column_stack([X @ [1.0, 2.0], np.full(len(X), 3.0), e.problem.response])[
            :, first : first + count
        ]

    found = refit(e.problem, source, 3, reml=True)
    assert sorted(found.failures) == [0, 1]
    assert "reproduce the response exactly" in found.failures[0]
    assert np.isnan(found.deviance[:2]).all()
    assert found.converged.tolist() == [False, False, True]
    assert found.deviance[2] == pytest.approx(e.deviance, abs=1e-9)


def test_progress_counts_to_the_end(monkeypatch):
    monkeypatch.setattr(replicates, "CACHE", 1)
    seen = []
    drawn(fitted("one factor"), 20, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(8, 20), (16, 20), (20, 20)]


def test_streams_of_different_purposes_differ():
    assert not (normals(1, 0, 1, 5) == normals(1, 0, 1, 5, purpose=2)).any()


def test_simulation_has_the_moments_of_the_model():
    m = fitted("crossed", weighted=True)
    e, y = m.estimates, m.simulate(4_000, seed=3)
    np.testing.assert_allclose(y.mean(axis=1), e.marginal_fit, atol=0.15)
    expected = e.sigma**2 / e.problem.weights
    for t, term in enumerate(e.problem.terms):
        Z = np.column_stack([e.problem.columns[c] for c in term.columns])
        expected = expected + np.einsum("ia,ab,ib->i", Z, e.covariance(t), Z)
    np.testing.assert_allclose(y.var(axis=1) / expected, 1.0, atol=0.12)
    level = m.simulate(2_000, seed=3, level="group")
    np.testing.assert_allclose(level.mean(axis=1), e.fitted, atol=0.15)
    np.testing.assert_allclose(level.var(axis=1), e.sigma**2 / e.problem.weights, rtol=0.2)
