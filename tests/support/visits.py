"""Repeated visits with dropout under every residual structure, and their deviance by dense algebra."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.linalg import solve_triangular

from lmmkit.engine.covariance.residual_structure import CellBlock, ResidualStructure, one_correlation
from lmmkit.engine.problem import Problem, Residual

TIMES = (1, 2, 3, 5)  # a gap, which counts for ar1
VISITS = ("1", "2", "3", "5")
CLOSE = (1, 2, 3, 4)  # every distance occurs, as toep needs


def by_group(correlation, heterogeneous):
    """Two groups of subjects, each with parameters of its own."""
    ratios = (-1, 0, 1, 2) if heterogeneous else (-1,) * 4
    first = CellBlock(correlation, (0, 1, 2, 3), TIMES, ratios, VISITS, "A.")
    ratios = (3, 4, 5, 6) if heterogeneous else (0,) * 4
    second = CellBlock(correlation, (4, 5, 6, 7), TIMES, ratios, VISITS, "B.")
    names = (
        (*(f"A.ratio.{v}" for v in VISITS[1:]), *(f"B.ratio.{v}" for v in VISITS))
        if heterogeneous
        else ("B.ratio.1" if correlation == "un" else "B.ratio",)
    )
    labels = tuple(f"visit {v} of arm {g}" for g in "AB" for v in VISITS)
    return ResidualStructure((first, second), names, labels)


def product(correlation):
    """A variance for each level of a factor of rows, times one correlation of the visits."""
    block = CellBlock(correlation, tuple(range(8)), TIMES * 2, (-1,) * 4 + (0,) * 4, VISITS)
    labels = tuple(f"visit {v} of level {f}" for f in "xy" for v in VISITS)
    return ResidualStructure((block,), ("ratio.y",), labels)


def ident():
    """A variance for each level of a factor, no correlation."""
    block = CellBlock("ident", (0, 1, 2), (0, 1, 2), (-1, 0, 1), ("x", "y", "z"))
    return ResidualStructure((block,), ("ratio.y", "ratio.z"), ("level x", "level y", "level z"))


STRUCTURES = {
    "un": one_correlation("un", TIMES, VISITS),
    "cs": one_correlation("cs", TIMES, VISITS),
    "csh": one_correlation("cs", TIMES, VISITS, heterogeneous=True),
    "toep": one_correlation("toep", CLOSE, VISITS),
    "toeph": one_correlation("toep", CLOSE, VISITS, heterogeneous=True),
    "ar1": one_correlation("ar1", TIMES, VISITS),
    "ar1h": one_correlation("ar1", TIMES, VISITS, heterogeneous=True),
    "ad": one_correlation("ad", TIMES, VISITS),
    "adh": one_correlation("ad", TIMES, VISITS, heterogeneous=True),
    "ident(f)": ident(),
    "ident(f) * cs": product("cs"),
    "ident(f) * ar1": product("ar1"),
    "ident(f) * un": product("un"),
    "cs by arm": by_group("cs", False),
    "csh by arm": by_group("cs", True),
    "ar1 by arm": by_group("ar1", False),
    "un by arm": by_group("un", False),
}


def true_rho(structure, seed=3):
    """Coordinates of a member with correlations of some size."""
    return np.random.default_rng(seed).uniform(0.1, 0.5, structure.count)


def trial(name, *, subjects=60, complete=False, weighted=False, seed=1, rho=None, shuffled=False):
    """A problem of that structure, simulated at `rho`: subjects drop out, and miss a visit now and then."""
    rng, structure = np.random.default_rng(seed), STRUCTURES[name]
    rho = true_rho(structure) if rho is None else rho
    visit, subject = np.tile(np.arange(4), subjects), np.repeat(np.arange(subjects), 4)
    arm = subject % 2
    level = rng.integers(0, 2, len(visit))
    if "by arm" in name:
        cells = visit + 4 * arm
    elif name == "ident(f)":
        cells = rng.integers(0, 3, len(visit))
        subject = np.arange(len(visit))
    else:
        cells = visit + 4 * level * ("*" in name)
    if not complete:
        last = rng.choice([2, 3, 4, 4, 4], subjects)[np.arange(len(visit)) // 4]
        keep = (visit < last) & (rng.random(len(visit)) > 0.05)
        visit, subject, cells, arm = visit[keep], subject[keep], cells[keep], arm[keep]
    if shuffled:
        order = rng.permutation(len(visit))
        visit, subject, cells, arm = visit[order], subject[order], cells[order], arm[order]
    subject = np.unique(subject, return_inverse=True)[1]
    weights = rng.uniform(0.5, 2.0, len(visit)) if weighted else None
    R, noise = structure.matrix(rho), rng.normal(size=len(visit))
    root = cache(lambda here: np.linalg.cholesky(R[np.ix_(here, here)]))
    for rows in np.split(np.argsort(subject, kind="stable"), np.cumsum(np.bincount(subject))[:-1]):
        noise[rows] = root(tuple(cells[rows].tolist())) @ noise[rows]
    if weights is not None:
        noise /= np.sqrt(weights)
    dummies = [(visit == v).astype(float) for v in (1, 2, 3)]
    columns = (np.broadcast_to(1.0, len(visit)), arm.astype(float), *dummies, *(arm * d for d in dummies))
    y = 10.0 + 2.0 * arm + visit + 1.5 * noise
    residual = Residual(structure, cells, subject)
    return Problem(columns, tuple(range(len(columns))), y, (), weights, residual=residual)


def covariance(structure, rho, cells, subjects, weights=None):
    """R of all rows, (n, n), from its definition."""
    same = subjects[:, None] == subjects
    s = 1.0 if weights is None else 1.0 / np.sqrt(np.outer(weights, weights))
    return np.where(same, structure.matrix(rho)[np.ix_(cells, cells)], 0.0) * s


def dense_deviance(problem, rho, reml):
    """The profiled deviance, by n x n matrices."""
    residual = problem.residual
    V = covariance(residual.structure, rho, residual.cells, residual.subjects, problem.weights)
    half = np.linalg.cholesky(V)
    rows = np.stack([*(problem.columns[c] for c in problem.fixed), problem.response], axis=1)
    R = np.linalg.qr(solve_triangular(half, rows, lower=True), mode="r")  # its last column is that of y
    n, p = len(rows), len(problem.fixed)
    nu, r2 = n - p * reml, R[p, p] ** 2
    logdet = 2.0 * np.log(half.diagonal()).sum() + 2.0 * reml * np.log(np.abs(R.diagonal()[:p])).sum()
    return float(logdet + nu * (1.0 + np.log(2.0 * np.pi * r2 / nu)))
