"""The exact restricted likelihood ratio test, against RLRsim and against brute force."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from reference.cases import HERE, read
from reference.cases import fitted as reference
from scipy.stats import f as f_distribution
from support.designs import fitted

import lmmkit
from lmmkit.engine.relations.relationship import DenseRelationship
from lmmkit.engine.replicates.refit import refit
from lmmkit.engine.variance_tests import exact_rlrt as module
from lmmkit.engine.variance_tests.exact_rlrt import Spectrum, balanced_tail, draws, spectrum
from lmmkit.errors import FitError

KNOWN = json.loads((HERE / "resampling" / "rlrt.json").read_text(encoding="utf-8"))
TESTED = {"dyestuff": None, "dyestuff2": None, "pastes_batch": "batch", "ergostool": None}


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: case["id"])
def test_p_values_are_those_of_a_million_draws(case):
    if case["id"] == "SiRstv":
        m = lmmkit.lmm("y ~ 1 + (1 | treatment)", read("SiRstv.csv", ["treatment"]))
    else:
        m = reference(case["id"].removesuffix("_batch"), "REML")
    found = m.rlrt(TESTED.get(case["id"]))
    assert found.statistic == pytest.approx(case["statistic"], abs=1e-8)
    assert found.p == pytest.approx(case["p"], abs=4 * case["mc_se"])
    assert found.exact == (case["id"] != "pastes_batch")
    assert ("approximate" in found.method) == (case["id"] == "pastes_batch")


def test_a_statistic_of_zero_has_p_one():
    found = reference("dyestuff2", "REML").rlrt()
    assert (found.statistic, found.p) == (0.0, 1.0)


def test_balanced_data_give_the_f_test():
    m = reference("dyestuff", "REML")
    frame = m.design.frame
    means = frame.groupby("Batch", observed=True)["Yield"].transform("mean")
    between = ((means - frame["Yield"].mean()) ** 2).sum() / 5
    within = ((frame["Yield"] - means) ** 2).sum() / 24
    assert m.rlrt().p == pytest.approx(f_distribution.sf(between / within, 5, 24), rel=1e-8)


def test_ml_fit_is_tested_by_reml():
    assert reference("dyestuff", "ML").rlrt().p == pytest.approx(
        reference("dyestuff", "REML").rlrt().p, rel=1e-6
    )


def test_draws_of_a_balanced_design_follow_its_exact_distribution():
    found = Spectrum(np.array([4.0]), np.array([8.0]), 32)
    values = np.concatenate(list(draws(found, 40_000, 3)))
    for at in (0.5, 2.0, 6.0):
        p = balanced_tail(found, at)
        assert np.mean(values >= at) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 40_000))


def unbalanced():
    """One factor with levels of very different sizes, a covariate, weights."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(7), [2, 3, 3, 5, 8, 12, 15])
    x = rng.normal(size=len(g))
    y = x + rng.normal(size=7)[g] * 0.2 + rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "g": g, "w": rng.uniform(0.5, 2, len(g))})


def test_spectrum_is_that_of_the_matrix_written_out():
    frame = unbalanced()
    m = lmmkit.lmm("y ~ x + (1 | g)", frame, weights="w")
    root = np.sqrt(frame.w.to_numpy())[:, None]
    Z = pd.get_dummies(frame.g).to_numpy(float) * root
    X = np.column_stack([np.ones(len(frame)), frame.x]) * root
    left = Z - X @ np.linalg.lstsq(X, Z)[0]
    expected = np.sort(np.linalg.eigvalsh(Z.T @ left))[-6:]
    found = spectrum(m.estimates.problem, 0)
    np.testing.assert_allclose(np.repeat(found.mu, found.counts.astype(int)), expected, rtol=1e-9)


def test_a_balanced_design_has_one_eigenvalue_also_beside_predictors_of_its_groups():
    g = np.repeat(np.arange(6), 5)
    table = pd.DataFrame({"y": np.sin(np.arange(30.0)), "g": g, "a": g % 2, "b": g // 3})
    found = spectrum(lmmkit.lmm("y ~ a + b + (1 | g)", table).estimates.problem, 0)
    assert (len(found.mu), found.counts.tolist(), found.nu) == (1, [3.0], 27)


def test_unbalanced_test_agrees_with_refits_under_the_null():
    m = lmmkit.lmm("y ~ x + (1 | g)", unbalanced())
    found = m.rlrt(n=40_000, seed=2)
    assert 0.005 < found.p < 0.3
    assert (found.draws, found.exact) == (40_000, True)
    rng, frame = np.random.default_rng(1), unbalanced()
    X = np.column_stack([np.ones(len(frame)), frame.x])
    Y = rng.normal(size=(250, len(frame))).T
    rest = Y - X @ np.linalg.lstsq(X, Y)[0]
    nu = len(Y) - 2
    plain = nu * (1 + np.log(2 * np.pi * (rest**2).sum(axis=0) / nu)) + np.linalg.slogdet(X.T @ X)[1]
    refits = refit(m.estimates.problem, lambda first, count: Y[:, first : first + count], 250, reml=True)
    share = np.mean(plain - refits.deviance >= found.statistic)
    assert share == pytest.approx(found.p, abs=4 * np.sqrt(found.p / 250))


def test_draws_depend_on_the_seed_alone():
    found = Spectrum(np.array([1.0, 3.0]), np.array([2.0, 1.0]), 20)
    long, short = (np.concatenate(list(draws(found, n, 4))) for n in (12_000, 300))
    assert np.array_equal(long[:300], short)


def test_several_columns_and_too_many_levels_are_refused(monkeypatch):
    with pytest.raises(FitError) as caught:
        fitted("slopes").rlrt()
    assert str(caught.value) == (
        "The term has 2 columns, and the exact test is for one variance alone: use a bootstrap test."
    )
    problem = fitted("one factor").estimates.problem
    monkeypatch.setattr(module, "MOST", 12)
    assert spectrum(problem, 0).counts.sum() == 11  # 12 levels, with the mean in X
    monkeypatch.setattr(module, "MOST", 11)
    with pytest.raises(FitError) as caught:
        spectrum(problem, 0)
    assert str(caught.value) == (
        "The exact test takes the eigenvalues of a 12 x 12 matrix; it is offered up to 11 levels. Use a "
        "bootstrap test."
    )


@pytest.mark.parametrize("kind", ["members", "relation"])
def test_spectrum_of_memberships_and_of_related_levels_is_that_of_their_covariance(kind):
    """The positive eigenvalues of Z K Z' without the fixed effects."""
    problem = lmmkit.lmm("y ~ x + (1 | g)", unbalanced(), weights="w").estimates.problem
    r, term, n = np.random.default_rng(3), problem.terms[0], len(problem.response)
    Z, K = np.eye(7)[term.codes], np.eye(7)
    if kind == "members":
        other, share = r.integers(0, 7, n), r.uniform(0.2, 0.8, n)
        term = replace(term, members=((term.codes, 1.0 - share), (other, share)))
        Z = (1.0 - share)[:, None] * Z + share[:, None] * np.eye(7)[other]
    else:
        K = np.cov(r.normal(size=(7, 20)))
        term = replace(term, relation=DenseRelationship(K))
    root = np.sqrt(problem.weights)[:, None]
    X = root * problem.X(range(2))
    M = np.eye(n) - X @ np.linalg.pinv(X)
    expected = np.linalg.eigvalsh(M @ (root * Z) @ K @ (root * Z).T @ M)
    found = spectrum(replace(problem, terms=(term,)), 0)
    assert found.nu == n - 2
    wanted = expected[-int(found.counts.sum()) :]
    assert expected[-len(wanted) - 1] < 1e-9 < wanted[0]
    np.testing.assert_allclose(np.repeat(found.mu, found.counts.astype(int)), wanted, rtol=1e-7)
