"""Residuals correlated in time or space, or of unequal variance, beside random effects; dense algebra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.dense import between
from support.differences import differences
from support.visits import STRUCTURES as VISITS

from lmmkit.engine.covariance.row_structure import RowStructure, VarianceFunction
from lmmkit.engine.covariance.structures import Diagonal, Unstructured
from lmmkit.engine.crossproducts.whitening import serial, spatial
from lmmkit.engine.problem import Problem, Residual, RowResidual, Term

SUBJECTS, MOST, SITES, ITEMS = 18, 6, 6, 5
IDENT = VarianceFunction("ident", ("ratio.y", "ratio.z"))
POWER = VarianceFunction("power", ("power",))
EXP = VarianceFunction("exp", ("exp",))
FUNCTIONS = {"ident": IDENT, "power": POWER, "exp": EXP}

RESIDUALS = [
    "car1",
    "ident",
    "power",
    "exp",
    "ident * car1",
    "power * car1",
    "expsp",
    "expsp nugget",
    "exp * expsp nugget",
    "un",
    "ar1h",
    "cs",
    "power * cs",
    "ident(f) * cs",
]
EFFECTS = ["", "1|g", "x|g", "x||g", "1|s + x|g", "1|g + 1|i", "1|i", "x|i", "m"]


def rows(seed=1):
    """Subjects of up to six rows each at uneven times, in sites; items crossed; rows in no order."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(SUBJECTS), rng.integers(1, MOST + 1, SUBJECTS))
    n = len(g)
    frame = {
        "g": g,
        "s": g % SITES,
        "i": rng.integers(0, ITEMS, n),
        "j": rng.integers(0, ITEMS, n),
        "t": np.concatenate([np.cumsum(rng.gamma(2.0, 1.0, c)) for c in np.bincount(g)]),
        "place": rng.uniform(0.0, 4.0, (n, 2)),
        "x": rng.normal(size=n) + 1.0,
        "v": rng.uniform(1.0, 5.0, n),
        "level": rng.integers(0, 3, n),
    }
    order = rng.permutation(n)
    return {name: values[order] for name, values in frame.items()}


def visits(seed=1):
    """At most four rows a subject, at different visits."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(SUBJECTS), 4)
    keep = rng.random(len(g)) < 0.8
    keep[:8] = True
    visit, n = np.tile(np.arange(4), SUBJECTS)[keep], int(keep.sum())
    g = np.unique(g[keep], return_inverse=True)[1]
    frame = {
        "g": g,
        "s": g % SITES,
        "i": rng.integers(0, ITEMS, n),
        "j": rng.integers(0, ITEMS, n),
        "visit": visit,
        "x": rng.normal(size=n) + 1.0,
        "v": rng.uniform(1.0, 5.0, n),
        "level": rng.integers(0, 2, n),
    }
    order = rng.permutation(n)
    return {name: values[order] for name, values in frame.items()}


def residual(name, frame):
    """The record of a structure."""
    parts = name.split(" * ")
    function = FUNCTIONS.get(parts[0])
    covariate = None
    if function is not None:
        covariate = frame["level" if parts[0] == "ident" else "v"].astype(float)
    correlation = parts[-1] if parts[-1] not in FUNCTIONS else ""
    g = frame["g"]
    if "visit" in frame:
        if function is None:
            cells = frame["visit"] + 4 * frame["level"] * ("*" in name)
            return Residual(VISITS[name], cells, g)
        return RowResidual(RowStructure(function, VISITS[correlation]), g, covariate, cells=frame["visit"])
    if correlation == "car1":
        structure = RowStructure(function, serial(g, frame["t"]))
        return RowResidual(structure, g, covariate, times=frame["t"])
    if correlation:
        process = spatial(g, frame["place"], nugget="nugget" in correlation)
        return RowResidual(RowStructure(function, process), g, covariate, positions=frame["place"])
    return RowResidual(RowStructure(function, None), np.arange(len(g)), covariate)


def terms(effects, frame):
    """The random effects: columns 0 and 1 are ones and x."""
    out = []
    for identity, piece in enumerate(filter(None, effects.split(" + "))):
        if piece == "m":
            members = (
                (frame["i"], np.full(len(frame["i"]), 0.5)),
                (frame["j"], np.full(len(frame["i"]), 0.5)),
            )
            out.append(Term(identity, frame["i"], ITEMS, (0,), Unstructured(1), members=members))
            continue
        columns, by = piece[:-1].rstrip("|"), piece[-1]
        kind, width = (Diagonal if "||" in piece else Unstructured), 1 + (columns == "x")
        levels = int(frame[by].max()) + 1
        out.append(Term(identity, frame[by], levels, (0, 1)[:width], kind(width)))
    return tuple(out)


def trial(name, effects, *, weighted=False, seed=1):
    """A problem of that residual structure and these random effects."""
    visited = any(word in name for word in ("un", "cs", "ar1h"))
    frame = (visits if visited else rows)(seed)
    rng, n = np.random.default_rng(seed + 100), len(frame["g"])
    columns = (np.broadcast_to(1.0, n), frame["x"], frame["v"])
    y = 3.0 + frame["x"] + rng.normal(size=SITES)[frame["s"]] + rng.normal(size=SUBJECTS)[frame["g"]]
    y = y + rng.normal(size=n) * np.sqrt(frame["v"])
    weights = rng.uniform(0.5, 2.0, n) if weighted else None
    problem = Problem(columns, (0, 1, 2), y, terms(effects, frame), weights)
    return replace(problem, residual=residual(name, frame))


def a_point(setup, seed=2):
    """Coordinates (theta | rho) of no particular place."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(0.3, 0.9, setup.layout.count)
    return np.append(theta, rng.uniform(0.1, 0.6, setup.criterion.source.count))


def residual_covariance(problem, rho):
    """R, (n, n), from its definition."""
    found, n = problem.residual, len(problem.response)
    same = found.subjects[:, None] == found.subjects
    w = np.ones(n) if problem.weights is None else problem.weights
    s = 1.0 / np.sqrt(np.outer(w, w))
    if isinstance(found, Residual):
        return np.where(same, found.structure.matrix(rho)[np.ix_(found.cells, found.cells)], 0.0) * s
    own, other = found.structure.cuts
    function, process = found.structure.variance, found.structure.correlation
    g = np.ones(n)
    if function is not None:
        v = found.covariate
        if function.kind == "ident":
            g = np.append(1.0, np.exp(rho[own]))[v.astype(int)]
        else:
            g = np.exp(rho[own][0] * (np.log(v) if function.kind == "power" else v))
    if process is None:
        return np.diag(g**2) * s
    if found.cells is not None:
        C = process.matrix(rho[other])[np.ix_(found.cells, found.cells)]
    else:
        places = found.times[:, None] if found.times is not None else found.positions
        h = np.linalg.norm(places[:, None] - places, axis=2)
        C = np.exp(-h / (process.unit * np.exp(rho[other][0])))
        if process.count == 2:
            C = C / (1.0 + np.exp(rho[other][1]))
        C[np.arange(n), np.arange(n)] = 1.0
    return np.where(same, C, 0.0) * np.outer(g, g) * s


def covariance(setup, theta):
    """V at sigma = 1, (n, n), from coordinates of a prepared problem."""
    problem, m = setup.problem, setup.layout.count
    V = residual_covariance(problem, theta[m:])
    factors = setup.layout.in_data_units(setup.prepared.term_bases, setup.layout.roots(theta[:m]))
    n = len(problem.response)
    for term, L in zip(problem.terms, factors, strict=True):
        Z = np.zeros((n, term.levels, len(term.columns)))
        for codes, weight in term.members or ((term.codes, np.ones(n)),):
            for c, position in enumerate(term.columns):
                np.add.at(Z, (np.arange(n), codes, c), weight * problem.columns[position])
        V = V + between(Z, L @ L.T)
    return V


def dense_fit(setup, theta, reml):
    """Deviance, P y and P of a point, by n x n matrices."""
    V, problem = covariance(setup, theta), setup.problem
    X, y = np.stack([problem.columns[c] for c in problem.fixed], axis=1), problem.response
    inverse = np.linalg.inv(V)
    XVX = X.T @ inverse @ X
    P = inverse - inverse @ X @ np.linalg.solve(XVX, X.T @ inverse)
    n, p = X.shape
    nu, r2 = n - p * reml, float(y @ P @ y)
    logdet = np.linalg.slogdet(V)[1] + (np.linalg.slogdet(XVX)[1] if reml else 0.0)
    return float(logdet + nu * (1.0 + np.log(2.0 * np.pi * r2 / nu))), P @ y, P


def dense_derivatives(setup, theta, at, reml):
    """Deviance, gradient and average information of a point `at` theta, by n x n matrices and differences."""
    deviance, Py, P = dense_fit(setup, theta, reml)
    dV = differences(lambda x: covariance(setup, x), theta)
    w, m, y = dV @ Py, setup.layout.count, setup.problem.response
    inner = P if reml else np.linalg.inv(covariance(setup, theta))
    precision = (len(y) - len(setup.problem.fixed) * reml) / (y @ Py)
    gradient = (dV * inner).sum(axis=(1, 2)) - precision * (w @ Py)
    scale = setup.prepared.scale**2  # of r2, which is of y in units of its spread
    H = at.precision / scale * (w @ P @ w.T) - at.precision / at.r2 / scale**2 * np.outer(w @ Py, w @ Py)
    H[:m, :m] += setup.layout.curvature(theta, at.D)
    return deviance, gradient, H
