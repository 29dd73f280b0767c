"""Variances that may be negative: against dense n x n algebra, and the balanced analysis of variance."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd
import pytest
import scipy
from support.dense import covariance_parts

import lmmkit
from lmmkit import lmm


class Dense:
    """The restricted deviance over sigma at V = R + sum t_i V_i, with its derivatives, by n x n matrices."""

    def __init__(self, t, parts, X, y):
        *Vs, R = parts
        self.V = R + sum(a * part for a, part in zip(t, Vs, strict=True))
        inverse = np.linalg.inv(self.V)
        XVX = X.T @ inverse @ X
        P = inverse - inverse @ X @ np.linalg.solve(XVX, X.T @ inverse)
        nu, r2 = len(y) - X.shape[1], y @ P @ y
        self.variance, self.Py = r2 / nu, P @ y
        self.inside = np.linalg.eigvalsh(self.V)[0] > 1e-9
        self.value = np.linalg.slogdet(self.V)[1] + np.linalg.slogdet(XVX)[1] + nu * np.log(abs(r2))
        self.q = np.array([self.Py @ part @ self.Py for part in Vs])
        self.gradient = np.array([np.trace(P @ part) for part in Vs]) - self.q / self.variance
        traces = np.array([[np.sum(P @ a * (P @ b).T) for b in Vs] for a in Vs])
        curved = np.array([[self.Py @ a @ P @ b @ self.Py for b in Vs] for a in Vs])
        self.joint = 2 * curved / self.variance - traces  # in t at a fixed scale of V
        self.hessian = self.joint - np.outer(self.q, self.q) / (self.variance * r2)


def dense(estimates):
    """se and df of every coefficient."""
    problem, X = estimates.problem, estimates.X
    y = problem.response if problem.offset is None else problem.response - problem.offset
    V0, parts = covariance_parts(problem, estimates.factors)
    rows = np.array([part.ravel() for part in parts[:-1]]).T
    t = np.linalg.lstsq(rows, (V0 - parts[-1]).ravel(), rcond=None)[0]
    at = Dense(t, parts, X, y)
    for _ in range(60):
        values, vectors = np.linalg.eigh(at.hessian)
        step, share = -vectors @ ((vectors.T @ at.gradient) / np.abs(values)), 1.0
        if -at.gradient @ step < 1e-16:  # what is left to gain
            break
        trial = Dense(t + step, parts, X, y)
        while share > 1e-9 and (not trial.inside or trial.value > at.value):
            share /= 2
            trial = Dense(t + share * step, parts, X, y)
        if share <= 1e-9:
            break
        t, at = t + share * step, trial
    assert np.abs(at.gradient).max() < 1e-4
    inverse = np.linalg.inv(V0)
    B = np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    nu = len(y) - X.shape[1]
    edge = at.q[:, None] / at.variance
    H = np.block([[at.joint, edge], [edge.T, np.array([[nu]])]])  # in t and the log of the scale
    covariance = at.variance * np.diag(B @ at.V @ B.T)
    slopes = at.variance * np.array([np.diag(B @ part @ B.T) for part in [*parts[:-1], at.V]])
    return np.sqrt(covariance), 2 * covariance**2 / np.einsum(
        "ip,ij,jp->p", slopes, 2 * np.linalg.inv(H), slopes
    )


def frame(sizes, seed, sd=0.0):
    """Groups of some sizes, treated in turn, with a covariate within them."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(len(sizes)), sizes)
    x = np.concatenate([np.arange(size) - 1.0 for size in sizes])
    y = 50 + 8 * (rng.normal(size=len(g)) + sd * rng.normal(size=len(sizes))[g])
    h = rng.integers(0, 5, len(g))
    return pd.DataFrame({"y": y, "g": g, "arm": g % 2, "x": x, "h": h, "w": rng.uniform(0.5, 2, len(g))})


def singular(formula, sizes, count, **options):
    """The first so many singular fits over the seeds."""
    return list(itertools.islice(singular_fits(formula, tuple(sizes), **options), count))


@functools.cache
def fit_of(formula, sizes, seed, **options):
    return lmm(formula, frame(sizes, seed), **options)


def singular_fits(formula, sizes, **options):
    fits = (fit_of(formula, sizes, seed, **options) for seed in range(60))
    return (fit for fit in fits if fit.is_singular)


CASES = [
    ("y ~ arm + x + (1 | g)", [4] * 8, {}),
    ("y ~ arm + x + (1 | g)", [3, 4, 4, 5, 5, 6, 6, 7], {}),
    ("y ~ arm + x + (1 | g)", [4] * 7, {"weights": "w", "offset": "w"}),
    ("y ~ arm * x + (x || g)", [5] * 8, {}),
    ("y ~ arm + x + (1 | g) + (1 | h)", [4] * 8, {}),
]


@pytest.mark.parametrize(("formula", "sizes", "options"), CASES)
def test_standard_errors_and_degrees_of_freedom_equal_dense_algebra(formula, sizes, options):
    told = 0
    for fit in singular(formula, sizes, 5, **options):
        try:
            table = fit.coef_table("unbounded")
        except lmmkit.FitError:
            continue
        se, df = dense(fit.estimates)
        np.testing.assert_allclose(table["se"], se, rtol=2e-6)
        np.testing.assert_allclose(table["df"], df, rtol=2e-4)
        np.testing.assert_array_equal(table["estimate"], fit.params)
        told += 1
    assert told >= 1


def test_a_balanced_design_has_the_test_of_the_analysis_of_variance():
    data = next(
        data for data in (frame([4] * 8, s) for s in range(50)) if lmm("y ~ arm + (1|g)", data).is_singular
    )
    means = data.groupby("g")["y"].mean().to_numpy().reshape(4, 2)
    between = 4 * ((means - means.mean(axis=0)) ** 2).sum() / 6
    F = 16 * (means.mean(axis=0) - means.mean()) @ (means.mean(axis=0) - means.mean()) / between
    row = lmm("y ~ arm + (1 | g)", data).coef_table("unbounded").loc["arm"]
    assert row["t"] ** 2 == pytest.approx(F, rel=1e-9)
    assert row["df"] == pytest.approx(6.0, rel=1e-7)
    assert row["p"] == pytest.approx(scipy.stats.f.sf(F, 1, 6), rel=1e-6)


def test_a_fit_inside_the_cone_is_its_own_optimum():
    for formula in ("y ~ arm + x + (1 | g)", "y ~ arm * x + (x | g)"):
        fit = lmm(
            formula,
            frame([3, 5, 6, 7, 7, 8, 9, 4], 5, sd=1.5).assign(y=lambda d: d["y"] + d["g"] % 3 * d["x"]),
        )
        if fit.is_singular:
            continue
        one, two = fit.coef_table("unbounded"), fit.coef_table("satterthwaite")
        np.testing.assert_allclose(one[["se", "df", "p"]], two[["se", "df", "p"]], rtol=1e-5)


def test_it_is_refused_where_the_likelihood_runs_to_the_boundary_of_v():
    said = []
    for fit in singular("y ~ arm + (1 | g)", [20, 2, 2, 3, 3, 2, 4, 4], 12):
        try:
            table = fit.coef_table("unbounded")
            assert (table["se"] > 0).all()
        except lmmkit.FitError as error:
            said.append(str(error))
    assert said
    assert all("stops being positive definite" in words for words in said)


def test_it_is_refused_for_maximum_likelihood_and_for_many_random_effects():
    data = frame([4] * 8, 1)
    with pytest.raises(lmmkit.FitError, match=r"df='unbounded' is defined for REML fits"):
        lmm("y ~ arm + (1 | g)", data, reml=False).coef_table("unbounded")
    many = frame([2] * 501, 1)
    with pytest.raises(lmmkit.FitError, match=r"501 here, at most 500"):
        lmm("y ~ arm + (1 | g)", many).coef_table("unbounded")


def test_tests_of_terms_and_means_have_it_too():
    [fit] = singular("y ~ arm + x + (1 | g)", [4] * 8, 1)
    table = fit.coef_table("unbounded")
    anova = fit.anova(df="unbounded")
    np.testing.assert_allclose(anova["F"], table["t"].iloc[1:] ** 2, rtol=1e-9)
    np.testing.assert_allclose(anova["den_df"], table["df"].iloc[1:], rtol=1e-9)
    difference = fit.slopes("arm", df="unbounded").to_numpy()
    assert np.isfinite(difference.astype(float)).all()


def test_auto_takes_it_where_a_fit_is_singular_and_names_the_zero():
    [fit] = singular("y ~ arm + x + (1 | g)", [4] * 8, 1)
    table = fit.coef_table()
    assert (table["method"] == "unbounded: the variance of g.Intercept is estimated as zero").all()
    pd.testing.assert_frame_equal(
        table.drop(columns="method"), fit.coef_table("unbounded").drop(columns="method")
    )
    assert fit.marginal_means("arm").attrs["method"].endswith("g.Intercept is estimated as zero")
    assert "g.Intercept is estimated as zero" in str(fit.summary())


def test_auto_stays_on_the_face_where_it_is_not_defined():
    for fit in singular("y ~ arm + (1 | g)", [20, 2, 2, 3, 3, 2, 4, 4], 12):
        table, face = fit.coef_table(), fit.coef_table("satterthwaite")
        if table["method"].str.startswith("satterthwaite: the variance of g.Intercept").all():
            np.testing.assert_array_equal(table[["se", "df", "p"]], face[["se", "df", "p"]])
            return
    raise AssertionError("every fit had an optimum")


def test_variances_by_arm_that_no_arm_tells_apart_give_welch_s_test():
    """With arm constant in a group one of T's three entries is open; what is left is a variance per arm."""
    for fit in singular("y ~ arm + (arm | g)", [4] * 8, 3):
        means = fit.design.frame.groupby(["arm", "g"])["y"].mean().to_numpy().reshape(2, 4)
        parts = means.var(axis=1, ddof=1) / 4
        row = fit.coef_table("unbounded").loc["arm"]
        assert row["se"] ** 2 == pytest.approx(parts.sum(), rel=1e-7)
        assert row["df"] == pytest.approx(parts.sum() ** 2 / (parts**2 / 3).sum(), rel=1e-5)
