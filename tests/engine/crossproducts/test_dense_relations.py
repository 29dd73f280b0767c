"""Levels that a matrix relates, made independent: against the matrices themselves."""

import numpy as np
import pytest
from engine.criterion.test_layouts import Case

from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.relations.relationship import dense_relationship
from lmmkit.engine.setup import set_up

N, LEVELS = 60, 9
RNG = np.random.default_rng(6)
CODES, OTHER, Y = RNG.integers(0, LEVELS - 2, N), RNG.integers(0, LEVELS - 2, N), RNG.normal(size=N)
HALF = RNG.normal(size=(LEVELS, 2 * LEVELS)) / 4


def made(K, members=()):
    """The set-up of one random intercept whose levels K relates, the last two of them without rows."""
    term = Term(0, CODES, LEVELS, (0,), Unstructured(1), members, dense_relationship(K))
    return set_up(Problem((np.ones(N),), (0,), Y, (term,)), reml=True)


@pytest.mark.parametrize("rank", [2 * LEVELS, 4])
def test_one_column_is_turned_to_levels_of_one_number_each(rank):
    K = HALF[:, :rank] @ HALF[:, :rank].T
    (factor,) = made(K).layout.chain
    seen = np.unique(CODES)
    assert factor.levels == min(rank, len(seen))
    whole = factor.half @ factor.half.T
    np.testing.assert_allclose(whole[seen][:, seen], K[seen][:, seen], atol=1e-12)
    np.testing.assert_allclose(whole.diagonal() + factor.unseen, K.diagonal(), atol=1e-12)
    np.testing.assert_allclose(factor.unseen[seen], 0.0, atol=1e-12)
    assert (factor.unseen.max() > 1e-3) == (rank > LEVELS)


def test_memberships_of_relatives_are_not_turned():
    K, half = HALF @ HALF.T, np.full(N, 0.5)
    setup = made(K, ((CODES, half), (OTHER, half)))
    assert setup.layout.chain == ()
    Z = 0.5 * (np.eye(LEVELS)[CODES] + np.eye(LEVELS)[OTHER])
    V, one = np.eye(N) + 0.49 * Z @ K @ Z.T, np.ones(N)
    XVX = one @ np.linalg.solve(V, one)
    e = Y - one @ np.linalg.solve(V, Y) / XVX
    deviance = np.linalg.slogdet(V)[1] + np.log(XVX)
    deviance += (N - 1) * (1.0 + np.log(2.0 * np.pi * (e @ np.linalg.solve(V, e)) / (N - 1)))
    assert setup.criterion.evaluate(np.array([0.7])).deviance == pytest.approx(deviance, abs=1e-9)


@pytest.mark.parametrize("name", ["matrix and slopes", "chain and matrix", "crossed and matrix"])
def test_deviances_are_those_of_the_matrices(name):
    case = Case(name)
    assert case.optimum.state.deviance == pytest.approx(case.dense(case.theta)[0], abs=1e-9)
