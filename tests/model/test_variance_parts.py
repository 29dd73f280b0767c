"""Parts of the variance of a response: shares of given parts, parts of a fit, and the total spread."""

from __future__ import annotations

import numpy as np
import pytest
from reference.cases import table
from support.designs import fitted

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.variance_parts import Shares, marginal_r2, own_shares, shares, spread_of, total_sd

PARTS = Shares(
    fixed=np.array([2.0, 0.0]),
    terms=np.array([[3.0, 1.0], [0.0, 2.0]]),
    residual=np.array([4.0, 2.0]),
    beta=np.array([[4.0, -8.0], [1.0, 0.0]]),
)


def test_shares_are_those_of_the_formulas():
    assert PARTS.random.tolist() == [4.0, 2.0]
    assert PARTS.total.tolist() == [10.0, 4.0]
    np.testing.assert_allclose(PARTS.r2(), [[0.2, 0.6], [0.0, 0.5]])
    np.testing.assert_allclose(PARTS.r2_marginal(), [[0.2], [0.0]])
    np.testing.assert_allclose(PARTS.icc(), [[0.5, 0.4], [0.5, 0.5]])
    np.testing.assert_allclose(PARTS.by_group(), [[3 / 8, 1 / 8], [0.0, 0.5]])
    np.testing.assert_allclose(PARTS.parts(), [[0.2, 0.3, 0.1, 0.4], [0.0, 0.0, 0.5, 0.5]])
    np.testing.assert_allclose(PARTS.effects(), np.array([[4.0, -8.0], [1.0, 0.0]]) / np.sqrt([[8.0], [4.0]]))


@pytest.mark.parametrize(("name", "weighted"), [("crossed", False), ("slopes", True)])
def test_parts_of_a_fit_are_the_traces(name, weighted):
    fit = fitted(name, weighted=weighted)
    at = fit.estimates
    found = own_shares(at)
    assert found.fixed.item() == pytest.approx(np.var(at.X @ at.beta, ddof=1))
    for t, term in enumerate(at.problem.terms):
        Z = at.problem.term_columns(term)
        assert found.terms[0, t] == pytest.approx(np.einsum("na,ab,nb->", Z, at.covariance(t), Z) / at.nobs)
    weights = 1.0 if at.problem.weights is None else at.problem.weights
    assert found.residual.item() == pytest.approx(fit.scale * np.mean(np.ones(at.nobs) / weights))
    assert marginal_r2(at) == pytest.approx(found.fixed.item() / found.total.item())
    assert total_sd(at) == pytest.approx(np.sqrt(found.terms.sum() + found.residual.item()))


def test_the_residual_part_is_the_mean_of_the_rows_variances_and_unknown_where_it_did_not_converge():
    data = table("sleep_full").assign(half=list("uv") * 90)
    fit = lmmkit.lmm("Reaction ~ Days + (1 | Subject)", data, residual="ident(half)")
    at = fit.estimates
    rows = fit.varcorr.query("group == 'Residual'")["vcov"]
    assert own_shares(at).residual.item() == pytest.approx(rows.mean())
    L = [np.repeat(L[None], 2, axis=0) for L in at.factors]
    both = shares(at, np.tile(at.beta, (2, 1)), L, np.full(2, at.sigma), np.array([at.rho, at.rho * np.nan]))
    assert np.isnan(both.residual).tolist() == [False, True]
    with pytest.raises(FitError) as caught:
        spread_of(at, None, None)
    assert str(caught.value) == (
        "With a residual structure the standard deviation may differ between cells: give sigma and edf, "
        "the one to "
        "measure in and its degrees of freedom."
    )
    assert spread_of(at, 2.0, 7) == (2.0, 7.0)


def test_the_total_spread_has_satterthwaites_degrees_of_freedom():
    """Of a balanced one-way layout: MS between and within are independent chi-squares."""
    fit = lmmkit.lmm("Yield ~ 1 + (1 | Batch)", table("dyestuff"))
    within = fit.scale
    between = 5 * fit.varcorr["vcov"].iloc[0] + within
    total = between / 5 + 4 / 5 * within
    df = total**2 / ((between / 5) ** 2 / 5 + (4 / 5 * within) ** 2 / 24)
    found = spread_of(fit.estimates, None, None)
    assert found.sd == pytest.approx(np.sqrt(total), rel=1e-9)
    assert found.df == pytest.approx(df, rel=1e-5)


@pytest.mark.parametrize(
    ("sigma", "edf", "said"),
    [
        (1.0, None, "sigma and edf, its degrees of freedom, are given both or not at all."),
        (None, 1.0, "sigma and edf, its degrees of freedom, are given both or not at all."),
        (0.0, 5, "sigma=0.0: a number above 0 is expected."),
        (1.0, -5, "edf=-5: a number above 0 is expected."),
        (True, 5, "sigma=True: a number above 0 is expected."),
        ("1", 5, "sigma='1': a number above 0 is expected."),
    ],
)
def test_a_spread_that_is_given_is_a_positive_number(sigma, edf, said):
    with pytest.raises(FitError) as caught:
        spread_of(fitted("slopes").estimates, sigma, edf)
    assert str(caught.value) == said
