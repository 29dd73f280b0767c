"""What responses say of each level, against the docstring's formulas with V and P written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.designs import frame

from lmmkit.engine.relations.relationship import DenseRelationship
from lmmkit.engine.replicates import predictions as module
from lmmkit.engine.replicates.batch_sums import share
from lmmkit.engine.replicates.predictions import OneVariance, at_own_variances
from lmmkit.engine.setup import set_up
from lmmkit.model.design.design import build_design

r = np.random.default_rng(8)
TABLE = pd.DataFrame(frame(3, 48))
TABLE["id"], TABLE["t"] = np.repeat(np.arange(16), 3), np.tile(np.arange(3), 16)
Y = r.normal(size=(48, 5)) + 3.0


def expected(problem, factors, R, y, *, reml):
    """beta, sigma, c = K Z'P y and b = T c of one response, of matrices written out."""
    n = len(y)
    root = np.ones(n) if problem.weights is None else np.sqrt(problem.weights)
    V, spreads = R / np.outer(root, root), []
    for term, L in zip(problem.terms, factors, strict=True):
        K = np.eye(term.levels) if term.relation is None else term.relation.K
        Z = np.eye(term.levels)[term.codes][:, :, None] * problem.term_columns(term)[:, None]
        spreads.append(np.einsum("ij,nja->nia", K, Z))
        V = V + np.einsum("nia,ab,mib->nm", spreads[-1], L @ L.T, Z)
    X = problem.X(range(len(problem.fixed)))
    left = y if problem.offset is None else y - problem.offset
    inverse = np.linalg.inv(V)
    beta = np.linalg.solve(X.T @ inverse @ X, X.T @ inverse @ left)
    Py = inverse @ (left - X @ beta)
    scores = [np.einsum("nia,n->ia", spread, Py) for spread in spreads]
    b = [c @ L @ L.T for c, L in zip(scores, factors, strict=True)]
    return beta, np.sqrt(left @ Py / (n - reml * len(beta))), scores, b


def assert_same(found, wanted):
    """Every column of what was found against one response at a time."""
    assert found.beta.shape[1] == len(found.sigma) == len(wanted)
    for i, (beta, sigma, scores, b) in enumerate(wanted):
        np.testing.assert_allclose(found.beta[:, i], beta, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(found.sigma[i], sigma, rtol=1e-10)
        for own, c in zip((*found.scores, *found.b), (*scores, *b), strict=True):
            np.testing.assert_allclose(own[..., i], c, rtol=1e-8, atol=1e-10)


def drawn_factors(problem):
    """A root of each term's covariance matrix, of no special kind."""
    widths = [len(term.columns) for term in problem.terms]
    return [np.tril(r.uniform(0.3, 1.0, size=(k, k))) for k in widths]


@pytest.mark.parametrize(
    ("formula", "residual", "weighted", "reml"),
    [
        ("y ~ x + (x | g) + (1 | h)", None, True, True),
        ("y ~ x + (1 | top/g)", None, False, False),
        ("y ~ 0 + (x | g)", None, False, True),
        ("y ~ x + (1 | h)", "cs(t | id)", True, True),
        ("y ~ x", "cs(t | id)", False, False),
    ],
)
def test_at_one_variance_all_responses_are_mapped_as_the_formulas_say(
    formula, residual, weighted, reml, monkeypatch
):
    monkeypatch.setattr(module, "TOGETHER", 2)
    extra = {"weights": "w", "offset": "o"} if weighted else {}
    problem = build_design(formula, TABLE, residual=residual, **extra).problem
    factors, R, rho = drawn_factors(problem), np.eye(48), np.empty(0)
    if residual is not None:
        rho = np.array([0.7])
        R = np.kron(np.eye(16), problem.residual.structure.matrix(rho))
    found = OneVariance(problem, tuple(factors), rho, reml=reml).predictions(Y)
    assert_same(found, [expected(problem, factors, R, y, reml=reml) for y in Y.T])


def test_the_scores_of_related_levels_are_spread_over_their_relatives():
    problem = build_design("y ~ x + (x | g)", TABLE).problem
    root = r.normal(size=(12, 12))
    term = replace(problem.terms[0], relation=DenseRelationship(root @ root.T + 2.0 * np.eye(12)))
    problem = replace(problem, terms=(term,))
    factors = drawn_factors(problem)
    found = OneVariance(problem, tuple(factors), np.empty(0), reml=True).predictions(Y)
    assert_same(found, [expected(problem, factors, np.eye(48), y, reml=True) for y in Y.T])


@pytest.mark.parametrize(
    ("formula", "weighted", "reml"),
    [
        ("y ~ x + (x | g) + (1 | h)", True, True),
        ("y ~ x + (1 | top/g)", False, False),
        ("y ~ 0 + (x | g)", False, True),
    ],
)
def test_at_their_own_variances_each_response_is_mapped_by_its_own_matrix(formula, weighted, reml):
    extra = {"weights": "w", "offset": "o"} if weighted else {}
    problem = build_design(formula, TABLE, **extra).problem
    each = [drawn_factors(problem) for _ in Y.T]
    factors = tuple(np.array(own) for own in zip(*each, strict=True))
    found = at_own_variances(share(set_up(problem, reml=reml)), Y, factors)
    wanted = [expected(problem, own, np.eye(48), y, reml=reml) for own, y in zip(each, Y.T, strict=True)]
    assert_same(found, wanted)
