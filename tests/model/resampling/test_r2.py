"""R2, intraclass correlation, effect sizes."""

from __future__ import annotations

import numpy as np
import pytest
from reference.cases import fitted as reference
from support.designs import fitted


def test_sleepstudy_has_the_known_shares():
    m = reference("sleep_full", "REML")
    assert m.r2()["estimate"].round(3).to_dict() == {"marginal": 0.279, "conditional": 0.799}
    assert m.icc()["estimate"].round(3).to_dict() == {"adjusted": 0.722, "unadjusted": 0.521}
    assert m.r2()[["low", "high"]].isna().all(axis=None)
    assert "Nakagawa" in m.r2().attrs["definition"]["marginal"]


def test_shares_are_those_of_the_matrices_written_out():
    m = fitted("nested and crossed", weighted=True)
    e, problem = m.estimates, m.estimates.problem
    X = np.column_stack([problem.columns[problem.fixed[i]] for i in e.kept])
    fixed = np.var(X @ e.beta, ddof=1)
    random = 0.0
    for t, term in enumerate(problem.terms):
        Z = np.column_stack([problem.columns[c] for c in term.columns])
        random += np.trace(Z @ e.covariance(t) @ Z.T) / e.nobs
    residual = np.mean(e.sigma**2 / problem.weights)
    total = fixed + random + residual
    np.testing.assert_allclose(m.r2()["estimate"], [fixed / total, (fixed + random) / total], rtol=1e-10)
    np.testing.assert_allclose(
        m.icc()["estimate"], [random / (random + residual), random / total], rtol=1e-10
    )
    np.testing.assert_allclose(m.effect_sizes()["estimate"], e.beta / np.sqrt(random + residual), rtol=1e-10)


def test_a_zero_variance_is_zero():
    m = reference("dyestuff2", "REML")
    assert m.icc()["estimate"].tolist() == [0.0, 0.0]
    assert m.r2()["estimate"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("what", ["r2", "icc", "effect_sizes"])
def test_bounds_come_from_a_bootstrap_and_hold_the_estimate(what):
    m = reference("sleep_full", "REML")
    table = getattr(m, what)(n=300, seed=4)
    assert (table["low"] < table["estimate"]).all()
    assert (table["estimate"] < table["high"]).all()
    assert table.equals(getattr(m, what)(n=300, seed=4))
    wide = getattr(m, what)(n=300, seed=4, level=0.99)
    assert (wide["low"] < table["low"]).all()
