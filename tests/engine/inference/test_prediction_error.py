"""Prediction errors in layouts of every kind, against the inverse of Henderson's matrix written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag
from support import designs

import lmmkit
from lmmkit.engine.crossproducts import crossproducts
from lmmkit.engine.inference import prediction_error as joint
from lmmkit.engine.inference.information import optimum_at
from lmmkit.engine.referee import henderson
from lmmkit.engine.referee.textbook import to_dense, write_out
from lmmkit.engine.relations.relationship import DenseRelationship
from lmmkit.errors import DataError
from lmmkit.model.design.design import build_design

FORMULAS = [
    "y ~ x + (x | s) + (1 | c) + (1 | top)",
    "y ~ x + (1 | s) + (x | c) + (x | u) + (1 | v)",
    "y ~ x + (1 | s) + (0 + x | s) + (1 | c) + (x | top) + (1 | u) + (1 | v)",
    "y ~ x + (1 | u) + (1 | v)",
    "y ~ 0 + (1 | s) + (1 | u)",
    "y ~ x + (1 | many) + (1 | u)",
]


@pytest.fixture(scope="module")
def frame():
    """Three nested factors and two that are crossed with them."""
    rng = np.random.default_rng(3)
    n = 500
    s, u, v = rng.integers(0, 60, n), rng.integers(0, 7, n), rng.integers(0, 9, n)
    table = pd.DataFrame({"x": rng.normal(size=n), "s": s, "c": s // 5, "top": s // 20, "u": u, "v": v})
    table["w"], table["many"] = rng.uniform(0.5, 2, n), rng.permutation(n) % 200
    effects = rng.normal(size=60)[s] + 1.5 * rng.normal(size=12)[s // 5] + rng.normal(size=3)[s // 20]
    noise = rng.normal(size=n) / np.sqrt(table.w)
    return table.assign(
        y=table.x + effects + rng.normal(size=7)[u] * table.x + rng.normal(size=9)[v] / 2 + noise
    )


def mixed_rows():
    """Rows whose levels were never seen together."""
    rng = np.random.default_rng(4)
    top = {"s": 60, "c": 12, "top": 3, "u": 7, "v": 9, "many": 200}
    return pd.DataFrame(
        {"x": rng.normal(size=40), **{name: rng.integers(0, n, 40) for name, n in top.items()}}
    )


@pytest.mark.parametrize(
    ("formula", "dense"),
    [*((formula, True) for formula in FORMULAS), (FORMULAS[1], False), (FORMULAS[5], False)],
)
def test_errors_of_any_combination_of_levels_are_hendersons(formula, dense, frame, monkeypatch):
    monkeypatch.setattr(joint, "CELLS", 700)  # several chunks
    if not dense:  # couplings hold the pairs that occur alone
        monkeypatch.setattr(crossproducts, "SMALL", 0)
        monkeypatch.setattr(crossproducts, "FILL", np.inf)
    m = lmmkit.lmm(formula, frame, weights="w")
    e, new = m.estimates, m.design.new_data(mixed_rows())
    errors = henderson.prediction_errors(to_dense(write_out(e.problem, e.kept, e.factors, e.sigma)))
    C = np.block([[errors.beta, errors.cross], [errors.cross.T, errors.u]])
    Z = []
    for term, z, ((codes, _),) in zip(e.problem.terms, new.Z, new.held, strict=True):
        placed = np.zeros((len(z), term.levels, z.shape[1]))
        placed[np.arange(len(z)), codes] = z
        Z.append(placed.reshape(len(z), -1))
    rows = np.hstack([new.X[:, list(e.kept)], *Z])
    expected = np.sqrt(np.einsum("ij,jk,ik->i", rows, C, rows))
    np.testing.assert_allclose(m.predict(mixed_rows()).se, expected, rtol=1e-9)


def test_weights_of_new_rows_enter_the_prediction_interval(frame):
    m = lmmkit.lmm("y ~ x + (1 | u)", frame, weights="w")
    rows = mixed_rows()
    plain = m.predict(rows, interval="prediction")
    heavy = m.predict(rows.assign(w=4.0), interval="prediction")
    one = 1.959963984540054
    for found, noise in ((plain, m.scale), (heavy, m.scale / 4)):  # with a per cent or two for theta
        ratio = ((found.high - found.fit) / one) ** 2 / (found.se**2 + noise)
        assert ratio.between(1.0, 1.2).all()


def test_weights_of_new_rows_must_be_positive(frame):
    m = lmmkit.lmm("y ~ x + (1 | u)", frame, weights="w")
    with pytest.raises(DataError, match="in row 2"):
        m.predict(mixed_rows().assign(w=[1.0, np.nan, *np.ones(38)]))


@pytest.mark.parametrize("random", ["(1 | g)", "(x | g) + (1 | h)", "(1 | g) + (1 | h)"])
def test_errors_of_related_levels_are_those_of_hendersons_matrix_with_their_covariance(random):
    table = pd.DataFrame(designs.frame(4, 60))
    problem = build_design(f"y ~ x + {random}", table, weights="w").problem
    r = np.random.default_rng(2)
    K = np.cov(r.normal(size=(12, 30)))
    first = problem.terms[0]
    problem = replace(problem, terms=(replace(first, relation=DenseRelationship(K)), *problem.terms[1:]))
    widths = [len(term.columns) for term in problem.terms]
    factors = tuple(np.tril(r.uniform(0.4, 1.0, size=(k, k))) for k in widths)
    columns, inner = [problem.X(range(2))], [np.zeros((2, 2))]
    for term, L in zip(problem.terms, factors, strict=True):
        own = np.eye(term.levels)[term.codes][:, :, None] * problem.term_columns(term)[:, None]
        columns.append(own.reshape(60, -1))
        levels = K if term.relation else np.eye(term.levels)
        inner.append(np.linalg.inv(np.kron(levels, L @ L.T)))
    W = np.hstack(columns)
    C = np.linalg.inv(W.T @ (problem.weights[:, None] * W) + block_diag(*inner))
    expected = np.einsum("ij,jk,ik->i", W, C, W)
    error = joint.PredictionError(optimum_at(problem, factors, reml=True))
    Z = tuple(problem.term_columns(term) for term in problem.terms)
    codes = tuple(term.codes for term in problem.terms)
    np.testing.assert_allclose(error.variance(problem.X(range(2)), Z, codes), expected, rtol=1e-8)
    rows, sign = [0, 7, 30], np.array([1.0, 1.0, -1.0])
    whole = np.array([W[0], W[7] - W[30]])
    x = whole[:, :2]
    parts = tuple(z[rows] * sign[:, None] for z in Z)
    found = error.of_functions(x, parts, tuple(c[rows] for c in codes), np.array([0, 1, 1]))
    np.testing.assert_allclose(found, np.einsum("ij,jk,ik->i", whole, C, whole), rtol=1e-8)
