"""Imputed responses against dense algebra over whole subjects, and draws against covariance matrices."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from lmmkit import Fit, lmm
from lmmkit.engine.arrays import Floats
from lmmkit.engine.imputation.complete_visits import complete_visits
from lmmkit.engine.imputation.missing_responses import Assumption, residuals_given
from lmmkit.engine.imputation.parameter_draws import (
    DrawnEffects,
    ParameterDraws,
    Parameters,
    effects_at,
    effects_count,
)
from lmmkit.engine.solve import solve
from lmmkit.model.missing_data.completed import Arms, Completed, arms, complete
from lmmkit.model.missing_data.conditional_means import ConditionalMeans
from lmmkit.model.missing_data.imputations import Analysis, Imputation

ALL: tuple[Assumption, ...] = (
    "missing-at-random",
    "jump-to-reference",
    "copy-reference",
    "copy-increments",
)
VISITS = ["v1", "v2", "v3", "v4"]
EFFECT = "arm[T.drug]:visit[v4]"


N = 30


def trial(n: int = N, seed: int = 3) -> pd.DataFrame:
    """Two arms over four visits: dropout, two gaps, and one subject of the drug without any response."""
    rng = np.random.default_rng(seed)
    V = (
        4.0
        * 0.6 ** np.abs(np.subtract.outer(range(4), range(4)))
        * np.outer([1, 1.2, 1.4, 1.7], [1, 1.2, 1.4, 1.7])
    )
    arm = np.repeat(["placebo", "drug"], n // 2)
    x = rng.normal(20.0, 3.0, n)
    effect = np.outer(arm == "drug", [0.0, -1.0, -2.0, -3.0])
    y = 0.5 * x[:, None] + effect + rng.multivariate_normal(np.zeros(4), V, n)
    for subject, last in zip(rng.choice(n, n // 3, replace=False), rng.integers(1, 4, n // 3), strict=True):
        y[subject, last:] = np.nan
    y[2, 1] = y[n - 2, 0] = np.nan  # gaps
    y[n - 1] = np.nan
    wide = pd.DataFrame(y, columns=VISITS).assign(
        id=range(1, n + 1), arm=arm, x=x, w=rng.uniform(0.5, 2.0, n)
    )
    long = wide.melt(["id", "arm", "x", "w"], VISITS, "visit", "y")
    long["arm"] = pd.Categorical(long["arm"], ["placebo", "drug"])
    return long.sort_values(["id", "visit"], ignore_index=True)


@cache
def fitted(
    formula: str = "y ~ visit + arm:visit + x",
    residual: str = "un(visit | id)",
    reml: bool = True,
    weights: str = "",
) -> Fit:
    return lmm(formula, trial(), residual=residual, reml=reml, weights=weights or None)


def parts(fit: Fit) -> tuple[Completed, Arms]:
    rows = complete(fit.estimates)
    return rows, arms(rows, "arm", "placebo")


def dense(fit: Fit, assumption: Assumption) -> Floats:
    """Conditional means, subject by subject, from the joint distribution of Carpenter et al."""
    rows, told = parts(fit)
    problem = rows.problem
    own, other = rows.X @ fit.estimates.beta, told.other @ fit.estimates.beta
    R = fit.scale * problem.residual.structure.matrix(fit.estimates.rho)
    w = np.ones(len(own)) if problem.weights is None else problem.weights
    out = rows.response.copy()
    subjects, cells = problem.residual.subjects, problem.residual.cells
    order = problem.residual.structure.visits
    for subject in np.unique(subjects):
        here = np.flatnonzero(subjects == subject)
        here = here[np.argsort(order[cells[here]])]
        lacking = rows.missing[here]
        if not lacking.any():
            continue
        D = np.diag(1.0 / np.sqrt(w[here]))
        T = D @ R[np.ix_(cells[here], cells[here])] @ D
        mu = own[here].copy()
        last = np.flatnonzero(~lacking)[-1] if not lacking.all() else -1
        a, b = np.arange(last + 1), np.arange(last + 1, len(here))
        if last >= 0:  # gaps at random
            o, g = a[~lacking[a]], a[lacking[a]]
            out[here[g]] = mu[g] + T[np.ix_(g, o)] @ np.linalg.solve(T[np.ix_(o, o)], (out[here] - mu)[o])
        if assumption != "missing-at-random" and told.of[here[0]] != "placebo" and len(b):
            theirs = told.cells[here]
            S = D @ R[np.ix_(theirs, theirs)] @ D
            if assumption == "copy-reference" or last < 0:
                mu, T = other[here], S
            else:
                mu[b] = other[here[b]]
                if assumption == "copy-increments":
                    mu[b] += own[here[last]] - other[here[last]]
                B = S[np.ix_(b, a)] @ np.linalg.inv(S[np.ix_(a, a)])
                new = np.empty_like(T)
                new[np.ix_(a, a)] = T[np.ix_(a, a)]
                new[np.ix_(b, a)] = B @ T[np.ix_(a, a)]
                new[np.ix_(a, b)] = new[np.ix_(b, a)].T
                new[np.ix_(b, b)] = S[np.ix_(b, b)] - B @ (S[np.ix_(a, a)] - T[np.ix_(a, a)]) @ B.T
                T = new
        e = (out[here] - mu)[a]
        out[here[b]] = mu[b] + (T[np.ix_(b, a)] @ np.linalg.solve(T[np.ix_(a, a)], e) if last >= 0 else 0.0)
    return out


@pytest.mark.parametrize("assumption", ALL)
@pytest.mark.parametrize(
    ("residual", "weights"),
    [("un(visit | id)", ""), ("un(visit | id, by=arm)", ""), ("toeph(visit | id)", "w")],
)
def test_conditional_means_are_those_of_the_joint_distribution(
    assumption: Assumption, residual: str, weights: str
) -> None:
    fit = fitted(residual=residual, weights=weights)
    rows, told = parts(fit)
    at = Parameters(fit.estimates.factors, fit.estimates.rho, fit.sigma)
    found = Imputation(rows, told).over_visits([at], fit.estimates.beta[None], (assumption,))[0, 0]
    np.testing.assert_allclose(found, dense(fit, assumption), rtol=0, atol=1e-10)


def by_dense_algebra(fit: Fit, assumption: Assumption) -> float:
    """Generalised least squares on the conditional means of `dense`, V over all rows."""
    rows, _ = parts(fit)
    residual = rows.problem.residual
    R = residual.structure.matrix(fit.estimates.rho)[np.ix_(residual.cells, residual.cells)]
    V = np.where(residual.subjects[:, None] == residual.subjects, R, 0.0)
    P = np.linalg.solve(V, rows.X)
    beta = np.linalg.solve(rows.X.T @ P, P.T @ dense(fit, assumption))
    return float(beta[fit.params.index.get_loc(EFFECT)])


@cache
def jackknifed(residual: str = "un(visit | id)", reml: bool = True) -> tuple[Floats, Floats]:
    fit = fitted(residual=residual, reml=reml)
    rows, told = parts(fit)
    L = (fit.params.index == EFFECT).astype(float)
    return ConditionalMeans(Imputation(rows, told), Analysis(rows, L, "auto")).estimates(ALL)


@pytest.mark.parametrize(("residual", "reml"), [("un(visit | id)", True), ("ar1(visit | id)", False)])
def test_the_estimate_from_conditional_means_is_least_squares_by_dense_algebra(
    residual: str, reml: bool
) -> None:
    fit, (whole, without) = fitted(residual=residual, reml=reml), jackknifed(residual, reml)
    expected = [by_dense_algebra(fit, each) for each in ALL]
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-10)
    assert whole[0] == pytest.approx(fit.params[EFFECT], abs=1e-10)  # at random that of the likelihood
    assert without.shape == (N, 4)


def test_the_jackknife_fits_again_without_each_subject() -> None:
    fit, data, (_, without) = fitted(), trial(), jackknifed()
    for unit in (0, N // 2 + 2, N - 1):
        less = lmm(fit.formula, data[data["id"] != unit + 1], residual="un(visit | id)")
        expected = [by_dense_algebra(less, each) for each in ALL]
        np.testing.assert_allclose(without[unit], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("residual", "reml"), [("un(visit | id)", True), ("un(visit | id, by=arm)", False)])
def test_complete_visits_are_fitted_as_one_by_one(residual: str, reml: bool) -> None:
    fit = fitted(residual=residual, reml=reml)
    rows, told = parts(fit)
    Y = Imputation(rows, told).drawn(3, 5, ALL[:2])["jump-to-reference"]
    visits = complete_visits(rows.problem)
    assert visits is not None
    assert visits.free
    beta, Phi = visits.unstructured(Y, reml=reml)
    for number, y in enumerate(Y.T):
        one = solve(replace(rows.problem, response=y), reml=reml)
        np.testing.assert_allclose(beta[number], one.beta, rtol=0, atol=1e-7)
        np.testing.assert_allclose(Phi[number], one.sigma**2 * one.unscaled_vcov, rtol=1e-6, atol=1e-9)


def test_draws_are_spread_as_the_conditional_distribution_is() -> None:
    """Drawn responses are linear in their normal numbers, so that their covariance is had exactly."""
    fit = fitted(residual="un(visit | id, by=arm)")
    rows, told = parts(fit)
    at = Parameters(fit.estimates.factors, fit.estimates.rho, fit.sigma)
    imputation, n = Imputation(rows, told), len(rows.missing)
    subject = rows.problem.residual.subjects
    mine = np.flatnonzero(rows.missing & (np.array(told.of) == "drug"))
    someone = next(s for s in subject[mine] if 2 <= rows.missing[subject == s].sum() <= 3)
    here = np.flatnonzero((subject == someone) & rows.missing)
    lead = np.flatnonzero((subject == someone) & ~rows.missing)
    z = np.zeros((len(here) + 1, n))
    z[np.arange(len(here)), here] = 1.0
    made = imputation.over_visits([at] * len(z), np.tile(fit.estimates.beta, (len(z), 1)), ALL[:2], z)
    R = fit.scale * rows.problem.residual.structure.matrix(at.rho)
    for number, cells in enumerate((rows.problem.residual.cells, told.cells)):
        A = (made[number, :-1] - made[number, -1])[:, here]
        i, j = cells[here], cells[lead]
        expected = R[np.ix_(i, i)] - R[np.ix_(i, j)] @ np.linalg.solve(R[np.ix_(j, j)], R[np.ix_(j, i)])
        np.testing.assert_allclose(A.T @ A, expected, rtol=0, atol=1e-10)


def test_fixed_and_random_effects_are_drawn_from_hendersons_equations() -> None:
    frame = pd.DataFrame({"g": np.repeat(list("abcdef"), 5), "x": np.tile(np.arange(5.0), 6)})
    frame["y"] = 2.0 + frame["x"] + np.random.default_rng(8).normal(0, 2, 30)
    fit = lmm("y ~ x + (x | g)", frame)
    problem = fit.estimates.problem
    at = Parameters((np.array([[1.5, 0.0], [0.3, 0.6]]),), np.empty(0), 1.3)
    k, n = effects_count(problem), fit.nobs

    def drawn(u: Floats) -> Floats:
        found = effects_at(problem, at, u[:k], u[k:], reml=True)
        return np.concatenate([found.beta, found.b[0].ravel()])

    mean = drawn(np.zeros(k + n))
    A = np.array([drawn(unit) - mean for unit in np.eye(k + n)])
    Z = np.zeros((n, 12))
    codes = problem.terms[0].codes
    Z[np.arange(n), 2 * codes], Z[np.arange(n), 2 * codes + 1] = 1.0, frame["x"]
    W = np.hstack([fit.estimates.X, Z])
    C = W.T @ W
    C[2:, 2:] += np.linalg.inv(np.kron(np.eye(6), at.factors[0] @ at.factors[0].T))
    np.testing.assert_allclose(mean, np.linalg.solve(C, W.T @ problem.response), rtol=0, atol=1e-10)
    np.testing.assert_allclose(A.T @ A, at.sigma**2 * np.linalg.inv(C), rtol=0, atol=1e-10)


def test_serial_residuals_are_imputed_given_their_neighbours() -> None:
    data = trial().assign(day=lambda d: d["visit"].str[1:].astype(float))
    data.loc[data["id"] == N, "y"] = data.loc[data["id"] == N - 1, "y"].to_numpy() + 1.0
    fit = lmm("y ~ visit + arm:visit + x", data, residual="car1(day | id)")
    rows = complete(fit.estimates)
    at = Parameters(fit.estimates.factors, fit.estimates.rho, fit.sigma)
    mean = rows.mean(DrawnEffects(fit.estimates.beta, ()))
    e = residuals_given(
        rows.problem, rows.missing, at.rho, at.sigma, rows.response - mean, np.zeros(len(mean))
    )
    subject, day = rows.problem.residual.subjects, rows.problem.residual.times
    R = np.where(
        subject[:, None] == subject, np.exp(-np.abs(day[:, None] - day) / fit.residual_params["range"]), 0.0
    )
    o, m = ~rows.missing, rows.missing
    expected = R[np.ix_(m, o)] @ np.linalg.solve(R[np.ix_(o, o)], (rows.response - mean)[o])
    np.testing.assert_allclose(e[m], expected, rtol=0, atol=1e-9)


def test_parameters_are_drawn_about_the_estimates_with_the_curvature_of_the_deviance() -> None:
    fit = fitted()
    draws = ParameterDraws(fit.estimates.optimum, fit.estimates.information)
    at = draws.draw(np.zeros(draws.count))
    np.testing.assert_allclose(at.rho, fit.estimates.rho, rtol=0, atol=1e-14)
    assert at.sigma == pytest.approx(fit.sigma, rel=1e-13)
    logs = np.log([draws.draw(unit).sigma / fit.sigma for unit in np.eye(draws.count)])
    spread = fit.estimates.curvature.spread
    assert (logs**2).sum() == pytest.approx(spread.covariance[-1, -1], rel=1e-10)


def test_more_imputations_begin_with_the_same_ones() -> None:
    rows, told = parts(fitted())
    few, more = (Imputation(rows, told).drawn(count, 4, ALL[:2]) for count in (3, 5))
    np.testing.assert_array_equal(few["jump-to-reference"], more["jump-to-reference"][:, :3])
    gone = lmm("y ~ x + (1 | id)", trial())
    few, more = (Imputation(complete(gone.estimates)).drawn(count, 4, ALL[:1]) for count in (2, 3))
    np.testing.assert_array_equal(few["missing-at-random"], more["missing-at-random"][:, :2])


def test_visits_without_a_row_are_rows_without_a_response() -> None:
    data = trial()
    data = data[data["id"] != N]
    whole, absent = (
        lmm("y ~ visit + arm:visit + x", d, residual="un(visit | id)") for d in (data, data.dropna())
    )
    one, other = complete(whole.estimates), complete(absent.estimates)
    assert one.made.sum() == 0
    assert other.made.sum() == one.missing.sum() == other.missing.sum()
    order = np.lexsort((other.design.frame["visit"], other.design.frame["id"]))
    np.testing.assert_array_equal(other.X[order], one.X)
    np.testing.assert_array_equal(other.tail[order], one.tail)
    assert not one.problem.terms
