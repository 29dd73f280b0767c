"""Tests and intervals of models of repeated visits, against n x n matrices made of differences of V."""

from __future__ import annotations

import numpy as np
import pytest
from support.dense import textbook
from support.repeated import STRUCTURES, dense, fitted

HYPOTHESES = ["armB", "visit[T.w2]", "armB:visit[T.w4]"]


def rows(fit):
    """Single rows and sets of rows of hypotheses."""
    p = len(fit.params)
    draw = np.random.default_rng(p)
    return [
        *np.eye(p)[:, None],
        draw.normal(size=(1, p)),
        np.eye(p)[2:4],
        np.eye(p)[1:],
        draw.normal(size=(2, p)),
    ]


@pytest.mark.parametrize("residual", STRUCTURES)
def test_the_fit_is_where_the_derivatives_of_the_likelihood_vanish(residual):
    for reml in (True, False):
        written = dense(residual, reml=reml)
        np.testing.assert_allclose(written.gradient, 0.0, atol=1e-5)
        np.testing.assert_allclose(fitted(residual, reml).bse, np.sqrt(np.diag(written.Phi)), rtol=1e-7)


@pytest.mark.parametrize("method", ["kenward-roger", "kenward-roger-observed"])
@pytest.mark.parametrize("residual", STRUCTURES)
def test_kenward_roger_is_the_papers_formula_in_any_parameters(residual, method):
    fit, written = fitted(residual), dense(residual, observed=method.endswith("observed"))
    table = fit.coef_table(method)
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(written.adjusted)), rtol=1e-6)
    found = (
        fit.estimates.kenward_roger_observed if method.endswith("observed") else fit.estimates.kenward_roger
    )
    for L in rows(fit):
        np.testing.assert_allclose(found.scaling(L), textbook(len(L), *written.moments(L)), rtol=1e-5)
    np.testing.assert_allclose(
        table["df"], [textbook(1, *written.moments(L[None]))[0] for L in np.eye(len(table))], rtol=1e-5
    )


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("residual", STRUCTURES)
def test_satterthwaite_has_the_exact_hessian(residual, reml):
    fit, written = fitted(residual, reml), dense(residual, reml=reml)
    expected = [written.satterthwaite(c) for c in np.eye(len(fit.params))]
    np.testing.assert_allclose(fit.coef_table("satterthwaite")["df"], expected, rtol=1e-5)
