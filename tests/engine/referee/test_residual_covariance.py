"""R of every structure is its definition, and what the referee makes of it is what dense matrices give."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import multivariate_normal
from support.visits import STRUCTURES

from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.problem import Problem, Residual
from lmmkit.engine.referee.equation_residuals import Claim
from lmmkit.engine.referee.residual_covariance import (
    CorrelatedResiduals,
    PrintedParameter,
    as_printed,
    gls_sums,
)

SUBJECTS, TIMES = 14, np.array([0, 1, 2, 4])  # a gap: the visit at 3 was never held


def rho(family, group=0):
    """Parameters of a correlation over TIMES, of one level of `by=`."""
    shift = 0.05 * group
    if family in ("cs", "ar1"):
        return [PrintedParameter("rho", group, 0, 0, 0.4 + shift)]
    if family == "toep":
        return [
            PrintedParameter("rho", group, lag, 0, value)
            for lag, value in zip(range(1, 5), (0.5 + shift, 0.3, 0.2, 0.1), strict=True)
        ]
    if family == "ad":
        pairs = zip(TIMES[:-1], TIMES[1:], (0.6, -0.3 - shift, 0.5), strict=True)
        return [PrintedParameter("rho", group, int(s), int(t), value) for s, t, value in pairs]
    values = iter((0.5, 0.3 + shift, 0.2, 0.6, 0.1, -0.2))
    pairs = [(int(s), int(t)) for s in TIMES for t in TIMES if s < t]
    return [PrintedParameter("rho", group, s, t, next(values)) for s, t in pairs] if family == "un" else []


def drawn(family, heterogeneous, groups=1):
    """Residuals of some subjects, a third of whose rows are missing, in no order."""
    rng = np.random.default_rng(3)
    T = len(TIMES) * groups
    subjects, cells = (
        grid.ravel() for grid in np.meshgrid(range(SUBJECTS), range(len(TIMES)), indexing="ij")
    )
    cells = cells + len(TIMES) * (subjects % groups)
    kept = rng.permutation(len(cells))[: len(cells) * 2 // 3]
    sds = [PrintedParameter("sd", 0, level, 0, 1 + 0.2 * level) for level in range(1, T)]
    correlation = [p for g in range(groups) for p in rho(family, g)]
    return CorrelatedResiduals(
        correlation=family,
        subjects=subjects[kept],
        cells=cells[kept],
        group=np.repeat(np.arange(groups), len(TIMES)),
        time=np.tile(TIMES, groups),
        level=np.arange(T) * heterogeneous,
        parameters=(*(sds if heterogeneous else []), *correlation),
    )


FAMILIES = ["ident", "cs", "ar1", "toep", "un", "ad"]
every_structure = pytest.mark.parametrize(
    ("family", "heterogeneous", "groups"),
    [(family, heterogeneous, groups) for family in FAMILIES for heterogeneous, groups in ((0, 1), (1, 2))],
)


def by_hand(residuals, i, j):
    """The covariance of two rows, in words of one syllable."""
    a, b = residuals.cells[i], residuals.cells[j]
    if residuals.subjects[i] != residuals.subjects[j]:
        return 0.0
    group = residuals.group[a]
    sd = {p.first: p.value for p in residuals.parameters if p.kind == "sd"}
    value = {(p.first, p.second): p.value for p in residuals.parameters if p[:2] == ("rho", group)}
    size = sd.get(residuals.level[a], 1.0) * sd.get(residuals.level[b], 1.0)
    s, t = sorted((residuals.time[a], residuals.time[b]))
    if i == j:
        c = 1.0
    elif residuals.correlation == "ident":
        c = 0.0
    elif residuals.correlation == "cs":
        c = value[0, 0]
    elif residuals.correlation == "ar1":
        c = value[0, 0] ** (t - s)
    elif residuals.correlation == "toep":
        c = value[t - s, 0]
    elif residuals.correlation == "un":
        c = value[s, t]
    else:
        between = [x for x in TIMES if s <= x <= t]
        c = np.prod([value[x, y] for x, y in pairwise(between)])
    return size * c


@every_structure
def test_r_is_its_definition_pair_by_pair(family, heterogeneous, groups):
    residuals = drawn(family, heterogeneous, groups)
    weights = np.linspace(0.5, 2.0, len(residuals.cells))
    places = range(len(weights))
    expected = [[by_hand(residuals, i, j) / np.sqrt(weights[i] * weights[j]) for j in places] for i in places]
    np.testing.assert_allclose(residuals.matrix(weights).toarray(), expected, rtol=1e-14, atol=1e-15)


def solution(residuals, weights, reml):
    """Of a regression with this R: the dense estimates, and what the referee is handed."""
    rng = np.random.default_rng(5)
    n = len(residuals.cells)
    X = np.column_stack([np.ones(n), residuals.time[residuals.cells], rng.normal(size=n)])
    V = residuals.matrix(weights).toarray()
    y = X @ [3.0, 1.0, -1.0] + np.linalg.cholesky(V) @ rng.normal(size=n)
    factor = cho_factor(V)
    vcov = np.linalg.inv(X.T @ cho_solve(factor, X))
    beta = vcov @ X.T @ cho_solve(factor, y)
    e = y - X @ beta
    sigma = np.sqrt(e @ cho_solve(factor, e) / (n - reml * X.shape[1]))
    return X, V, y, vcov, beta, sigma


def summed(residuals, weights, reml):
    """What the referee makes of the dense estimates."""
    X, _, y, vcov, beta, sigma = solution(residuals, weights, reml)
    n, p = X.shape
    problem = Problem(tuple(X.T), tuple(range(p)), y + 2.0, (), weights, np.full(n, 2.0))
    claim = Claim(
        reml=reml, kept=tuple(range(p)), beta=beta, unscaled_vcov=vcov, factors=(), rho=np.empty(0),
        sigma=float(sigma), deviance=0.0, null_directions=(), converged=True, evaluations=1,
        problem=problem, b=(),
    )  # fmt: skip
    H = np.linalg.cholesky(vcov)
    return gls_sums(residuals, claim, H), H, sigma


def profiled(residuals, y, X, weights, reml):
    """The deviance from dense matrices, with beta and sigma at their best."""
    V = residuals.matrix(weights).toarray()
    factor = cho_factor(V)
    information = X.T @ cho_solve(factor, X)
    e = y - X @ np.linalg.solve(information, X.T @ cho_solve(factor, y))
    n, p = X.shape
    nu = n - reml * p
    sigma = np.sqrt(e @ cho_solve(factor, e) / nu)
    value = -2 * multivariate_normal(cov=sigma**2 * V).logpdf(e)
    return value + reml * (np.linalg.slogdet(information)[1] - p * np.log(2 * np.pi * sigma**2))


@pytest.mark.parametrize("reml", [True, False])
@every_structure
def test_sums_are_those_of_dense_matrices(family, heterogeneous, groups, reml):
    residuals = drawn(family, heterogeneous, groups)
    weights = np.linspace(0.5, 2.0, len(residuals.cells)) if heterogeneous else None
    sums, H, sigma = summed(residuals, weights, reml)
    X, V, y, *_ = solution(residuals, weights, reml)
    n, p = X.shape
    np.testing.assert_allclose(sums.information, np.eye(p), atol=1e-12)
    np.testing.assert_allclose(sums.normal, 0.0, atol=1e-11)
    assert sums.square == pytest.approx(sigma**2 * (n - reml * p), rel=1e-12)
    roots = np.ones(n) if weights is None else np.sqrt(weights)
    columns = np.column_stack([y, X]) * roots[:, None]
    np.testing.assert_allclose(sums.largest, np.abs(columns).max(axis=0), rtol=1e-14)
    assert sums.log_det == pytest.approx(np.linalg.slogdet(V)[1], abs=1e-10)
    whole = np.linalg.inv(residuals.matrix(None).toarray())
    assert 20 * np.linalg.eigvalsh(whole)[-1] >= sums.spread >= np.linalg.eigvalsh(whole)[-1] * (1 - 1e-12)
    values = np.linspace(-1.0, 2.0, n)
    np.testing.assert_allclose(residuals.solved(values), whole @ values, rtol=0, atol=1e-12)
    B = residuals.whitener().toarray()
    np.testing.assert_allclose(B.T @ B, whole, rtol=0, atol=1e-12)
    found = sums.deviance(H, n, sigma, reml=reml)
    assert found == pytest.approx(profiled(residuals, y, X, weights, reml), abs=1e-9)


def moved(residuals, place, by):
    parameters = list(residuals.parameters)
    parameters[place] = parameters[place]._replace(value=parameters[place].value + by)
    return replace(residuals, parameters=tuple(parameters))


@pytest.mark.parametrize("reml", [True, False])
@every_structure
def test_gradient_and_distance_are_those_of_differences(family, heterogeneous, groups, reml):
    residuals = drawn(family, heterogeneous, groups)
    weights = np.linspace(0.5, 2.0, len(residuals.cells)) if heterogeneous else None
    X, _, y, *_ = solution(residuals, weights, reml)
    sums, *_ = summed(residuals, weights, reml)
    count = len(residuals.parameters)
    if count == 0:
        assert sums.distance_to_optimum() == 0.0
        return
    steps = [
        [profiled(moved(residuals, i, h), y, X, weights, reml) for h in (1e-5, -1e-5)] for i in range(count)
    ]
    differences = np.array([(up - down) / 2e-5 for up, down in steps])
    gradient = sums.gradient
    np.testing.assert_allclose(gradient, differences, atol=1e-6)
    V = residuals.matrix(weights).toarray()
    scale = 1.0 if weights is None else np.sqrt(np.outer(weights, weights))
    scale = (residuals.subjects[:, None] == residuals.subjects) / scale
    everywhere = np.ix_(residuals.cells, residuals.cells)
    ways = [np.linalg.solve(V, residuals.derivatives[i][everywhere] * scale) for i in range(count)]
    C = np.array([[np.trace(a @ b) for a in ways] for b in ways])
    traces = np.array([np.trace(a) for a in ways])
    C -= np.outer(traces, traces) / len(V)
    expected = np.sqrt(gradient @ np.linalg.solve(C, gradient) / 2)
    assert sums.distance_to_optimum() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "name", [name for name in STRUCTURES if name != "ident(f) * un"]
)  # which nobody reads
def test_what_is_printed_says_all_of_r(name):
    structure = STRUCTURES[name]
    rho = np.random.default_rng(1).normal(scale=0.4, size=structure.count)
    residual = Residual(structure, np.arange(structure.size), np.zeros(structure.size, np.intp))
    printed = list(zip(structure.names, structure.natural(rho), strict=True))
    written = as_printed(residual, printed)
    meet = written.time[:, None] != written.time  # two cells at one visit are never of one subject
    meet |= np.eye(structure.size, dtype=bool)
    np.testing.assert_allclose(written.R[meet], structure.matrix(rho)[meet], rtol=1e-13, atol=1e-15)
    with pytest.raises(KeyError):
        as_printed(residual, printed[:-1])


def test_two_rows_of_a_subject_in_one_cell_have_no_r():
    residuals = drawn("cs", False)
    cells = residuals.cells.copy()
    first = np.flatnonzero(residuals.subjects == residuals.subjects[0])
    cells[first] = 0
    with pytest.raises(np.linalg.LinAlgError, match="in one cell"):
        _ = replace(residuals, cells=cells).patterns


def test_more_cells_than_an_integer_has_bits():
    rng = np.random.default_rng(0)
    subjects, times = np.repeat(np.arange(6), 80), np.tile(np.arange(80), 6)
    kept = rng.random(480) < 0.9
    parameter = PrintedParameter("rho", 0, 0, 0, 0.5)
    flat = np.zeros(80, np.intp)
    residuals = CorrelatedResiduals(
        "ar1", subjects[kept], times[kept], flat, np.arange(80), flat, (parameter,)
    )
    assert sum(pattern.rows.size for pattern in residuals.patterns) == kept.sum()
    for cells, rows in residuals.patterns:
        assert (times[kept][rows] == cells[:, None]).all()
        assert (np.ptp(subjects[kept][rows], axis=0) == 0).all()


def test_one_visit_has_no_correlation_and_of_equal_names_the_earlier_is_first():
    for family in ("cs", "ar1", "toep", "ad", "un"):
        residual = Residual(one_correlation(family, [4], ["w4"]), np.zeros(3, int), np.arange(3))
        assert as_printed(residual, []).R.tolist() == [[1.0]]
    names = ("1", "1.1", "1.2", "2")
    structure = one_correlation("un", range(4), names)
    printed = list(zip(structure.names, np.linspace(0.1, 0.9, structure.count), strict=True))
    assert len(dict(printed)) < len(printed)
    residual = Residual(structure, np.arange(4), np.zeros(4, int))
    found = {p[2:4]: p.value for p in as_printed(residual, printed).parameters if p.kind == "rho"}
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert [found[pair] for pair in pairs] == [value for name, value in printed if name.startswith("cor.")]
