"""Every layout of grouping factors against plain dense algebra: V built in full, inverted, differentiated."""

from functools import cache, cached_property

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.engine.covariance.structures import Diagonal, Unstructured
from lmmkit.engine.criterion.criterion import Criterion, Held
from lmmkit.engine.criterion.gradient import conditional_blocks
from lmmkit.engine.crossproducts import crossproducts as moments
from lmmkit.engine.crossproducts.dense_relations import independent
from lmmkit.engine.crossproducts.elimination_order import build_layout
from lmmkit.engine.crossproducts.product_sources import Fixed
from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.optimum import Optimum
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.relations.pedigree import pedigree_of
from lmmkit.engine.relations.relationship import dense_relationship
from lmmkit.errors import FitError

ROWS = 150
# (levels, columns, unstructured, the earlier term that it contains or None[, memberships of a row, or what
# relates the levels])
LAYOUTS = {
    "single": [(12, 2, True, None)],
    "single intercept": [(12, 1, True, None)],
    "diagonal": [(12, 2, False, None)],
    "crossed": [(15, 1, True, None), (8, 1, True, None)],
    "crossed slopes": [(15, 2, True, None), (8, 2, False, None)],
    "chain of two": [(20, 2, True, None), (6, 1, True, 0)],
    "chain of three": [(30, 1, True, None), (12, 2, True, 0), (4, 2, True, 1)],
    "chain and rest": [(30, 1, True, None), (12, 2, True, 0), (7, 2, True, None)],
    "chain of three and two crossed": [
        (30, 2, True, None),
        (12, 1, True, 0),
        (4, 2, True, 1),
        (7, 1, True, None),
        (5, 2, True, None),
    ],
    "memberships": [(12, 1, True, None, 2)],
    "memberships with slopes": [(12, 2, True, None, 3)],
    "memberships and crossed": [(12, 2, True, None, 2), (15, 1, True, None)],
    "chain and memberships": [(30, 2, True, None), (12, 1, True, 0), (7, 2, False, None, 2)],
    "matrix": [(16, 1, True, None, "matrix")],
    "matrix and slopes": [(16, 2, True, None, "matrix")],
    "singular matrix": [(16, 1, True, None, "singular")],
    "singular matrix with slopes": [(16, 2, False, None, "singular")],
    "chain and matrix": [(30, 2, True, None), (12, 1, True, 0), (16, 2, True, None, "matrix")],
    "crossed and matrix": [(30, 1, True, None), (8, 1, True, None), (16, 1, True, None, "singular")],
    "pedigree": [(60, 1, True, None, "pedigree")],
    "pedigree with slopes": [(60, 2, True, None, "pedigree")],
    "pedigree and litters": [(60, 1, True, None, "pedigree"), (12, 1, True, None)],
    "pedigree and slopes of others": [(40, 2, False, None, "pedigree"), (12, 2, True, None), (5, 1, True, 1)],
    "pedigree, matrix and memberships": [
        (40, 1, True, None, "pedigree"),
        (16, 2, True, None, "singular"),
        (7, 1, True, None, 2),
    ],
}


def is_related(name):
    """Whether a known matrix relates levels of a layout."""
    return any(isinstance(part, str) for factor in LAYOUTS[name] for part in factor)


PLAIN = [name for name in LAYOUTS if not is_related(name)]


@cache
def relation_of(kind, levels):
    """A relation of some levels, the last five of which have no rows, and its K."""
    rng = np.random.default_rng(9)
    if kind == "pedigree":
        names = [f"i{i}" for i in range(levels)]
        parents = [["", ""] if i < 8 else [names[p] for p in rng.permutation(i)[:2]] for i in range(levels)]
        parents[9][0] = parents[20][1] = ""
        relation = pedigree_of(names, *map(list, zip(*parents, strict=True)))
        return relation, relation.times(np.eye(levels))
    half = rng.normal(size=(levels, levels // 2 if kind == "singular" else 2 * levels))
    K = half @ half.T / levels
    return dense_relationship(K), K


def problem_of(layout, weighted):
    """A random problem of one layout."""
    rng = np.random.default_rng(3)
    columns = [np.broadcast_to(1.0, ROWS), *(rng.normal(size=ROWS) * 3 + 5 for _ in range(3))]
    terms = []
    for factor, (levels, k, unstructured, child, *more) in enumerate(layout):
        kind = more[0] if more and isinstance(more[0], str) else ""
        if kind:
            codes = rng.integers(0, levels - 5, ROWS)
        elif child is None:
            codes = np.concatenate([np.arange(levels), rng.integers(0, levels, ROWS - levels)])
        else:
            below = terms[child].codes
            parents = np.concatenate([np.arange(levels), rng.integers(0, levels, below.max() + 1 - levels)])
            codes = parents[below]
        structure = Unstructured(k) if unstructured else Diagonal(k)
        members = [(rng.permutation(codes), rng.uniform(0, 1, ROWS)) for _ in range(0 if kind else sum(more))]
        for number, (_, weight) in enumerate(members):
            weight[number:5] = 0.0  # rows with some memberships, or none
        codes = members[0][0] if members else codes
        relation = relation_of(kind, levels)[0] if kind else None
        terms.append(Term(factor, codes, levels, tuple(range(k)), structure, tuple(members), relation))
    y = rng.normal(size=ROWS) + 2
    for term in terms:
        for column in term.columns:
            y = y + rng.normal(size=term.levels)[term.codes] * columns[column] * 0.5
    weights = rng.uniform(0.5, 2, ROWS) if weighted else None
    return Problem(tuple(columns), (0, 1), y, tuple(terms), weights)


class Case:
    """One problem with its criterion, and the same by dense algebra."""

    def __init__(self, name, *, reml=True, weighted=False):
        problem = problem_of(LAYOUTS[name], weighted)
        self.prepared = prepare(problem)
        self.layout = build_layout(problem, self.prepared)
        raw = moments.collect(self.prepared, self.layout)
        absorbed = moments.absorb(raw, self.prepared, self.layout)
        self.layout, raw, absorbed = independent(self.prepared, self.layout, raw, absorbed)
        self.criterion = Criterion(
            Fixed(absorbed), self.layout, ROWS, len(self.prepared.fixed), reml=reml, constant=0.0
        )
        self.theta = np.random.default_rng(1).normal(size=self.layout.count) * 0.7
        self.optimum = Optimum(problem, self.prepared, self.criterion.evaluate(self.theta), [])
        self.reml, self.name = reml, name

    @cached_property
    def between(self):
        """Z and K of each factor, in order of elimination."""
        return [(self.Z(factor), self.K(factor)) for factor in self.layout.factors]

    def Z(self, factor):
        """Dense Z of one factor, (n, J k), level by level."""
        Z = np.zeros((ROWS, len(self.K(factor)), factor.width))
        for codes, weight in factor.members or [(factor.codes, 1.0)]:
            for column, row in enumerate(factor.rows):
                Z[np.arange(ROWS), codes, column] += weight * self.prepared.rows[row]
        return Z.reshape(ROWS, -1)

    def K(self, factor):
        """What relates the levels of a factor, (J, J)."""
        if factor.relation is None:
            return np.eye(factor.levels)
        levels, _, _, _, kind = LAYOUTS[self.name][factor.pieces[0].term]
        return relation_of(kind, levels)[1]

    def V(self, theta):
        """I + Z (K x T) Z'."""
        pairs = zip(self.between, self.layout.roots(theta), strict=True)
        return np.eye(ROWS) + sum(Z @ np.kron(K, L @ L.T) @ Z.T for (Z, K), L in pairs)

    def dense(self, theta):
        """Deviance, P and y."""
        X, y = self.prepared.rows[list(self.prepared.fixed)].T, self.prepared.rows[-1]
        V = self.V(theta)
        inverse = np.linalg.inv(V)
        XVX = X.T @ inverse @ X
        P = inverse - inverse @ X @ np.linalg.solve(XVX, X.T @ inverse)
        nu, r2 = ROWS - 2 * self.reml, y @ P @ y
        deviance = np.linalg.slogdet(V)[1] + nu * (1 + np.log(2 * np.pi * r2 / nu))
        return deviance + self.reml * np.linalg.slogdet(XVX)[1], P, y


@cache
def dense_slopes(name, reml, weighted):
    """The deviance by dense algebra and its slopes by differences, whichever way products are kept."""
    case = Case(name, reml=reml, weighted=weighted)
    steps = 1e-5 * np.eye(len(case.theta))
    slopes = [(case.dense(case.theta + s)[0] - case.dense(case.theta - s)[0]) / 2e-5 for s in steps]
    return case.dense(case.theta)[0], slopes


@pytest.fixture(params=["as chosen", "every pair listed"])
def coupling(request, monkeypatch):
    """Both ways of keeping the cross-products between crossed factors."""
    if request.param == "every pair listed":
        monkeypatch.setattr(moments, "SMALL", 0)
        monkeypatch.setattr(moments, "FILL", 10.0)


@pytest.mark.usefixtures("coupling")
@pytest.mark.parametrize(("reml", "weighted"), [(True, True), (False, False)])
@pytest.mark.parametrize("name", LAYOUTS)
def test_deviance_and_gradient_equal_dense_algebra(name, reml, weighted):
    state = Case(name, reml=reml, weighted=weighted).optimum.state
    deviance, slopes = dense_slopes(name, reml, weighted)
    assert state.deviance == pytest.approx(deviance, abs=1e-10)
    np.testing.assert_allclose(state.gradient, slopes, rtol=1e-6, atol=1e-6 * np.abs(slopes).max())


@pytest.mark.parametrize("name", LAYOUTS)
def test_hessian_is_average_information_and_the_curvature_of_the_cone(name):
    case = Case(name)
    state, (_, P, y) = case.optimum.state, case.dense(case.theta)
    steps = 1e-6 * np.eye(len(case.theta))
    slopes = [(case.V(case.theta + s) - case.V(case.theta - s)) / 2e-6 for s in steps]
    w = np.array([dV @ P @ y for dV in slopes])
    nu, r2, q = ROWS - 2, y @ P @ y, w @ P @ y
    expected = (
        nu / r2 * w @ P @ w.T - nu / r2**2 * np.outer(q, q) + case.layout.curvature(case.theta, state.D)
    )
    np.testing.assert_allclose(state.hessian, expected, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("name", LAYOUTS)
def test_random_effects_and_their_variances_equal_dense_algebra(name):
    case = Case(name)
    _, P, y = case.dense(case.theta)
    Z = np.concatenate([case.Z(f) for f in case.layout.factors], axis=1)
    G = np.zeros((Z.shape[1], Z.shape[1]))
    at = 0
    for f, L in zip(case.layout.factors, case.optimum.state.L, strict=True):
        K = case.K(f)
        size = len(K) * f.width
        G[at : at + size, at : at + size] = np.kron(K, L @ L.T)
        at += size
    variance = G - G @ Z.T @ np.linalg.inv(case.V(case.theta)) @ Z @ G
    b = G @ Z.T @ P @ y
    at = 0
    scores = np.append(-case.optimum.state.beta, 1.0)
    blocks = conditional_blocks(case.optimum.state.forward, case.optimum.state.reverse, case.layout)
    for position, (f, L) in enumerate(zip(case.layout.factors, case.optimum.state.L, strict=True)):
        J, k = len(case.K(f)), f.width
        size = J * k
        mine = slice(at, at + size)
        ours = (L @ L.T) @ f.spread(case.optimum.state.reverse.scores(case.layout, position, scores))
        np.testing.assert_allclose(ours.T.ravel(), b[mine], atol=1e-10)
        expected = variance[mine, mine].reshape(J, k, J, k)
        np.testing.assert_allclose(blocks[position], np.einsum("jajb->jab", expected), atol=1e-10)
        at += size


@pytest.mark.parametrize("name", LAYOUTS)
def test_full_likelihood_at_its_profiled_values_is_the_profiled_deviance(name):
    case = Case(name, reml=False)
    state = case.optimum.state
    log_sigma = 0.5 * np.log(state.r2 / case.criterion.nu)
    full = case.criterion.evaluate(case.theta, Held(precision=np.exp(-2 * log_sigma), beta=state.beta))
    assert full.deviance == pytest.approx(state.deviance, abs=1e-9)
    np.testing.assert_allclose([*full.beta_slopes, full.log_sigma_slope], 0.0, atol=1e-8)
    np.testing.assert_allclose(full.gradient, state.gradient, atol=1e-8)


@pytest.mark.parametrize(
    ("bars", "said"),
    [("(1 | inner) + (1 | crossed)", "dense matrix"), ("(1 | outer / inner) + (1 | small)", "couples them")],
)
def test_crossed_factors_beyond_memory_are_refused(bars, said):
    rng = np.random.default_rng(3)
    inner = np.arange(90_000) % 45_000
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=90_000),
            "inner": inner,
            "outer": inner % 30_000,
            "crossed": rng.permutation(90_000) % 15_100,
            "small": rng.permutation(90_000) % 14_000,
        }
    )
    with pytest.raises(FitError, match=said):
        lmmkit.lmm(f"y ~ 1 + {bars}", frame)
