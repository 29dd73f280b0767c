"""Draws of random effects: linear in their random numbers, so that mean and covariance are had exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.visits import STRUCTURES

from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.posterior import group_effects as module
from lmmkit.engine.posterior.group_effects import GroupEffects
from lmmkit.engine.problem import Problem, Residual, Term
from lmmkit.engine.relations.relationship import dense_relationship
from lmmkit.errors import FitError

N = 16
RNG = np.random.default_rng(9)
X, Y, W = RNG.normal(size=N), 3.0 * RNG.normal(size=N), RNG.uniform(0.5, 2.0, N)
G, H = np.arange(N) // 4, np.arange(N) * 7 % 3  # four levels of four rows, crossed with three
COLUMNS = (np.ones(N), X)
ONE, SLOPES, OTHER = (
    Term(0, G, 4, (0,), Unstructured(1)),
    Term(0, G, 4, (0, 1), Unstructured(2)),
    Term(1, H, 3, (0, 1), Unstructured(2)),
)
SAME = (G[:, None] == G).astype(float)  # subjects, of residuals
RELATED = dense_relationship(np.eye(3) + 0.4)
MEMBERS = ((H, np.full(N, 0.75)), ((H + 1) % 3, np.full(N, 0.5)))
TERMS = {
    "one": (ONE,),
    "slopes": (SLOPES,),
    "crossed, the larger factor first": (SLOPES, OTHER),
    "crossed, the smaller factor first": (OTHER, ONE),
    "two terms of a factor around another": (ONE, OTHER, replace(ONE, columns=(1,))),
    "two terms of the smaller factor": (replace(OTHER, columns=(1,)), SLOPES, replace(OTHER, columns=(0,))),
    "related": (replace(OTHER, relation=RELATED), ONE),
    "members": (SLOPES, replace(OTHER, members=MEMBERS)),
    "residuals": (SLOPES, OTHER),
}


def asked(name, weights, draws):
    """Some draws, each with parameters of its own."""
    terms = TERMS[name]
    residual = None
    if name == "residuals":
        residual = Residual(STRUCTURES["ar1h"], np.arange(N) % 4, G)
    problem = Problem(COLUMNS, (0,), Y, terms, W if weights else None, None, residual)
    rng = np.random.default_rng(2)
    roots = [np.tril(rng.uniform(0.4, 1.5, (draws, k, k))) for k in (len(t.columns) for t in terms)]
    rho = rng.uniform(-0.4, 0.4, (draws, residual.structure.count if residual else 0))
    mean = rng.normal(size=(draws, N))
    return GroupEffects(problem, mean, roots, rng.uniform(0.7, 1.4, draws), rho, 3)


def dense(effects, i):
    """Conditional mean and covariance matrix of all effects under draw i, term by term, column by column."""
    problem, Z, G = effects.problem, [], []
    for term, root in zip(problem.terms, effects.roots, strict=True):
        base = term.on_rows(np.eye(term.levels))
        Z += [base * COLUMNS[c][:, None] for c in term.columns]
        K = np.eye(term.levels) if term.relation is None else term.relation.times(np.eye(term.levels))
        G.append(np.kron(root[i] @ root[i].T, K))
    Z, V = np.concatenate(Z, axis=1), effects.sigma[i] ** 2 * np.eye(N)
    whole, at = np.zeros((Z.shape[1],) * 2), 0
    for block in G:
        whole[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    if problem.residual is not None:
        R = problem.residual.structure.matrix(effects.rho[i])
        V = effects.sigma[i] ** 2 * R[np.ix_(problem.residual.cells, problem.residual.cells)] * SAME
    if problem.weights is not None:
        V = V / np.sqrt(np.outer(problem.weights, problem.weights))
    gain = whole @ Z.T @ np.linalg.inv(Z @ whole @ Z.T + V)
    return gain @ (problem.response - effects.mean[i]), whole - gain @ Z @ whole


def flat(found, i):
    """All effects of draw i, term by term, column by column."""
    return np.concatenate([b[i].T.ravel() for b in found])


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("name", TERMS)
def test_means_are_those_of_the_conditional_distribution(monkeypatch, name, weights):
    monkeypatch.setattr(module, "normals", lambda seed, first, count, size, purpose: np.zeros((size, count)))
    effects = asked(name, weights, 3)
    found = effects.drawn()
    assert [b.shape for b in found] == [(3, t.levels, len(t.columns)) for t in TERMS[name]]
    for i in range(3):
        np.testing.assert_allclose(flat(found, i), dense(effects, i)[0], atol=1e-10)


@pytest.mark.parametrize("name", TERMS)
def test_covariances_are_those_of_the_conditional_distribution(monkeypatch, name):
    one = asked(name, True, 1)
    q = sum(t.rank * len(t.columns) for t in TERMS[name])
    same = GroupEffects(
        one.problem,
        np.repeat(one.mean, q + 1, axis=0),
        [np.repeat(root, q + 1, axis=0) for root in one.roots],
        np.repeat(one.sigma, q + 1),
        np.repeat(one.rho, q + 1, axis=0),
        3,
    )
    units = np.eye(q, q + 1)  # the last draw is the mean

    def normals(seed, first, count, size, purpose):
        assert (seed, size, purpose) == (3, q, 40)
        return units[:, first : first + count]

    monkeypatch.setattr(module, "normals", normals)
    monkeypatch.setattr(module, "NUMBERS", 1000)  # some draws at a time
    found = same.drawn()
    C = np.array([flat(found, i) - flat(found, q) for i in range(q)])
    np.testing.assert_allclose(C.T @ C, dense(one, 0)[1], atol=1e-10)


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("slopes", 2 * 4 * 2 * 2**2),  # r J k (k + 0)^2, nothing being left of other factors
        ("crossed, the larger factor first", 2 * (4 * 2 * (2 + 6) ** 2 + 6**3)),
        ("members", 2 * (N * 14**2 + 14**3)),  # r (n q^2 + q^3)
    ],
)
def test_effects_are_drawn_up_to_a_bound_of_work(monkeypatch, name, work):
    monkeypatch.setattr(module, "WORK", work)
    asked(name, False, 2).drawn()
    monkeypatch.setattr(module, "WORK", work - 1)
    with pytest.raises(FitError, match="so many levels that rows connect are not drawn; ask for fewer draws"):
        asked(name, False, 2).drawn()
