"""R of rows that fade with time or distance, and whose variance follows a number, from its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.covariance.row_structure import RowStructure, Serial, Spatial, VarianceFunction
from lmmkit.engine.problem import Problem, RowResidual
from lmmkit.engine.referee.equation_residuals import Claim
from lmmkit.engine.referee.row_covariance import MarkovRows, WrittenRows, rows_as_printed

N = 60
RNG = np.random.default_rng(4)
SUBJECTS = np.sort(RNG.permutation(np.arange(N) % 9))
TIMES, PLACES = RNG.uniform(0, 10, N), RNG.uniform(0, 5, (N, 2))
CELLS = np.concatenate([np.arange(count) for count in np.bincount(SUBJECTS)])
LEVELS, NUMBER = RNG.integers(0, 3, N), RNG.uniform(0.5, 2.0, N)
VARIANCES = {
    "": (None, None, []),
    "ident": (VarianceFunction("ident", ("ratio.b", "ratio.c")), LEVELS.astype(float), [1.3, 0.7]),
    "power": (VarianceFunction("power", ("power",)), NUMBER, [0.6]),
    "exp": (VarianceFunction("exp", ("exp",)), NUMBER, [-0.4]),
}
WEEKS = tuple(map(str, range(7)))
CORRELATIONS = {
    "": (None, {}, []),
    "car1": (Serial(1.0, 0.01), {"times": TIMES}, [2.5]),
    "expsp": (Spatial(1.0, 0.01, nugget=False), {"positions": PLACES}, [1.5]),
    "nugget": (Spatial(1.0, 0.01, nugget=True), {"positions": PLACES}, [1.5, 0.2]),
    "ar1": (one_correlation("ar1", range(7), WEEKS), {"cells": CELLS}, [0.4]),
    "csh": (
        one_correlation("cs", range(7), WEEKS, heterogeneous=True),
        {"cells": CELLS},
        [*np.linspace(0.8, 1.4, 6), 0.3],
    ),
}
NAMES = [(v, c) for v in VARIANCES for c in CORRELATIONS if v or c]
every_structure = pytest.mark.parametrize(("variance", "correlation"), NAMES)


def drawn(variance, correlation, order=slice(None)):
    """What the referee is handed, in any order of rows, and the parameters."""
    (g, v, ratios), (c, where, own) = VARIANCES[variance], CORRELATIONS[correlation]
    subjects = SUBJECTS if correlation else np.arange(N)
    arrays = {name: values[order] for name, values in where.items()}
    covariate = None if v is None else v[order]
    residual = RowResidual(RowStructure(g, c), subjects[order], covariate, **arrays)
    return residual, dict(zip(residual.structure.names, [*ratios, *own], strict=True))


def by_hand(residual, values, weights, i, j):
    """One entry of R."""
    sd = 1.0
    for row in (i, j):
        if "ratio.b" in values:
            sd *= [1.0, values["ratio.b"], values["ratio.c"]][int(residual.covariate[row])]
        sd *= abs(residual.covariate[row]) ** values["power"] if "power" in values else 1.0
        sd *= np.exp(residual.covariate[row] * values["exp"]) if "exp" in values else 1.0
        sd *= values.get(f"ratio.{residual.cells[row]}", 1.0) if residual.cells is not None else 1.0
        sd /= np.sqrt(weights[row])
    if residual.subjects[i] != residual.subjects[j]:
        return 0.0
    if i == j:
        return sd
    if residual.cells is not None:
        lag = abs(int(residual.cells[i]) - int(residual.cells[j]))
        return sd * values["rho"] ** (lag if "ratio.1" not in values else 1)
    h = (
        abs(residual.times[i] - residual.times[j])
        if residual.times is not None
        else np.linalg.norm(residual.positions[i] - residual.positions[j])
    )
    return sd * (1 - values.get("nugget", 0.0)) * np.exp(-h / values["range"])


@pytest.mark.parametrize("order", [slice(None), np.random.default_rng(1).permutation(N)])
@every_structure
def test_r_is_its_definition_pair_by_pair(variance, correlation, order):
    residual, values = drawn(variance, correlation, order)
    written, weights = rows_as_printed(residual, values.items()), np.linspace(0.5, 2.0, N)
    places = range(N)
    expected = [[by_hand(residual, values, weights, i, j) for j in places] for i in places]
    np.testing.assert_allclose(written.matrix(weights).toarray(), expected, rtol=1e-13, atol=1e-15)
    whole = np.linalg.inv(written.matrix(None).toarray())
    B, ones = written.whitener().toarray(), np.linspace(-1.0, 2.0, N)
    size = np.abs(whole).max()
    np.testing.assert_allclose(B.T @ B, whole, rtol=0, atol=1e-11 * size)
    np.testing.assert_allclose(written.solved(ones), whole @ ones, rtol=0, atol=1e-11 * size)
    log_det = -2.0 * np.log(np.abs(np.diag(B))).sum()
    assert log_det == pytest.approx(np.linalg.slogdet(written.matrix(None).toarray())[1], abs=1e-9)
    largest = np.linalg.eigvalsh(whole)[-1]
    assert largest * (1 - 1e-12) <= written.spread <= 20 * largest


def solution(residual, values, weights, reml):
    """Of a regression with this R: the dense estimates, and what the referee is handed."""
    rng = np.random.default_rng(5)
    X = np.column_stack([np.ones(N), rng.normal(size=N)])
    V = rows_as_printed(residual, values.items()).matrix(weights).toarray()
    y = X @ [3.0, 1.0] + np.linalg.cholesky(V) @ rng.normal(size=N)
    vcov = np.linalg.inv(X.T @ np.linalg.solve(V, X))
    beta = vcov @ X.T @ np.linalg.solve(V, y)
    e = y - X @ beta
    sigma = float(np.sqrt(e @ np.linalg.solve(V, e) / (N - 2 * reml)))
    problem = Problem(tuple(X.T), (0, 1), y, (), weights)
    return X, y, Claim(
        reml=reml, kept=(0, 1), beta=beta, unscaled_vcov=vcov, factors=(), rho=np.empty(0), sigma=sigma,
        deviance=0.0, null_directions=(), converged=True, evaluations=1, problem=problem, b=(),
    )  # fmt: skip


def profiled(residual, values, X, y, weights, reml):
    """The deviance from dense matrices, with beta and sigma at their best."""
    V = rows_as_printed(residual, values.items()).matrix(weights).toarray()
    information = X.T @ np.linalg.solve(V, X)
    e = y - X @ np.linalg.solve(information, X.T @ np.linalg.solve(V, y))
    sigma = np.sqrt(e @ np.linalg.solve(V, e) / (N - 2 * reml))
    value = -2 * multivariate_normal(cov=sigma**2 * V).logpdf(e)
    return value + reml * (np.linalg.slogdet(information)[1] - 2 * np.log(2 * np.pi * sigma**2))


@pytest.mark.parametrize("reml", [True, False])
@every_structure
def test_sums_gradient_and_distance_are_those_of_dense_matrices(variance, correlation, reml):
    residual, values = drawn(variance, correlation, np.random.default_rng(2).permutation(N))
    weights = np.linspace(0.5, 2.0, N) if variance == "power" else None
    X, y, claim = solution(residual, values, weights, reml)
    H = np.linalg.cholesky(claim.unscaled_vcov)
    sums = rows_as_printed(residual, values.items()).sums(claim, H)
    np.testing.assert_allclose(sums.information, np.eye(2), atol=1e-11)
    np.testing.assert_allclose(sums.normal, 0.0, atol=1e-10)
    assert sums.square == pytest.approx(claim.sigma**2 * (N - 2 * reml), rel=1e-11)
    expected = profiled(residual, values, X, y, weights, reml)
    assert sums.deviance(H, N, claim.sigma, reml=reml) == pytest.approx(expected, abs=1e-8)

    def at(name, h):
        return profiled(residual, values | {name: values[name] + h}, X, y, weights, reml)

    differences = [(at(name, 1e-5) - at(name, -1e-5)) / 2e-5 for name in values]
    visits = correlation in ("ar1", "csh")  # whose gradient is in another order
    found = np.sort(sums.gradient) if visits else sums.gradient
    np.testing.assert_allclose(found, np.sort(differences) if visits else differences, atol=1e-5)
    V = rows_as_printed(residual, values.items()).matrix(weights).toarray()

    def slope(name):
        step = [rows_as_printed(residual, (values | {name: values[name] + h}).items()) for h in (1e-6, -1e-6)]
        return (step[0].matrix(weights) - step[1].matrix(weights)).toarray() / 2e-6

    ways = [np.linalg.solve(V, slope(name)) for name in values]
    C, traces = np.array([[np.trace(a @ b) for a in ways] for b in ways]), np.array(list(map(np.trace, ways)))
    C -= np.outer(traces, traces) / N
    distance = np.sqrt(differences @ np.linalg.solve(C, differences) / 2)
    assert sums.distance_to_optimum() == pytest.approx(distance, rel=1e-4)


@pytest.mark.parametrize("variance", list(VARIANCES))
def test_rows_in_time_by_their_order_and_written_out_are_one(variance):
    residual, values = drawn(variance, "car1", np.random.default_rng(3).permutation(N))
    markov = rows_as_printed(residual, values.items())
    assert isinstance(markov, MarkovRows)
    _, _, claim = solution(residual, values, None, True)
    H = np.linalg.cholesky(claim.unscaled_vcov)
    one, other = markov.sums(claim, H), WrittenRows(markov.of).sums(claim, H)
    for name in ("information", "normal", "square", "log_det", "gradient", "curvature"):
        ours, theirs = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10 * max(np.abs(theirs).max(), 1.0))


def test_many_rows_in_pieces_are_the_same(monkeypatch):
    residual, values = drawn("power", "car1", np.random.default_rng(3).permutation(N))
    written = rows_as_printed(residual, values.items())
    _, _, claim = solution(residual, values, None, True)
    H = np.linalg.cholesky(claim.unscaled_vcov)
    whole = written.sums(claim, H)
    monkeypatch.setattr("lmmkit.engine.referee.row_covariance.CHUNK", 21)
    pieces = written.sums(claim, H)
    for name in ("information", "log_det", "gradient", "curvature"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("correlation", ["car1", "expsp"])
def test_a_short_range_is_one_all_the_same(correlation):
    residual, values = drawn("power", correlation)
    values = values | {"range": 0.2}
    written, weights = rows_as_printed(residual, values.items()), np.ones(N)
    R = np.array([[by_hand(residual, values, weights, i, j) for j in range(N)] for i in range(N)])
    np.testing.assert_allclose(written.matrix(None).toarray(), R, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(R @ written.solved(TIMES), TIMES, atol=1e-9)


@pytest.mark.parametrize("correlation", ["car1", "expsp"])
def test_a_range_of_zero_is_no_correlation_and_no_parameter(correlation):
    residual, values = drawn("power", correlation)
    written = rows_as_printed(residual, (values | {"range": 0.0}).items())
    np.testing.assert_allclose(written.matrix(None).toarray(), np.diag(NUMBER**1.2), atol=1e-15)
    assert written.of.moving == [0]
    alone = replace(residual, structure=RowStructure(residual.structure.variance, None))
    other = rows_as_printed(alone, [("power", 0.6)])
    np.testing.assert_allclose(written.solved(TIMES), other.solved(TIMES), rtol=1e-14)
