"""Dense information by connected blocks of V, against the low-rank forms and the sums over patterns."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from engine.criterion.test_layouts import PLAIN, Case
from engine.referee.test_row_covariance import N, drawn, every_structure
from support.repeated import fitted

from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.inference import connected_blocks
from lmmkit.engine.inference.connected_blocks import (
    LARGEST,
    block_information,
    connected_rows,
    residual_blocks,
    why_too_large,
)
from lmmkit.engine.inference.information import (
    ExpectedInformation,
    differenced_information,
    theta_directions,
    variance_information,
)
from lmmkit.engine.inference.visits import VisitInformation, visit_variance_information
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.referee.row_covariance import rows_as_printed
from lmmkit.errors import FitError

QUANTITIES = ("Phi", "slopes", "matrix", "edge", "without_fixed")


def agree(one, other):
    """Every quantity of two pieces of information."""
    for name in QUANTITIES:
        ours, theirs = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10 * np.abs(theirs).max(), err_msg=name)
    W = np.random.default_rng(1).normal(size=2 * other.matrix.shape[:1])
    W = W + W.T
    expected = other.middle(W)
    np.testing.assert_allclose(one.middle(W), expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", PLAIN)
def test_blocks_equal_the_low_rank_forms(name, reml):
    optimum = Case(name, reml=reml).optimum
    low_rank = ExpectedInformation(optimum, theta_directions(optimum))
    agree(block_information(optimum), low_rank)


@pytest.mark.parametrize("residual", ["un(visit | id)", "ar1h(visit | id, by=arm)", "toep(visit | id)"])
@pytest.mark.parametrize("reml", [True, False])
def test_blocks_equal_the_sums_over_patterns(residual, reml):
    optimum = fitted(residual, reml).estimates.optimum
    agree(block_information(optimum), VisitInformation(optimum))


def test_blocks_in_small_chunks_are_the_same(monkeypatch):
    optimum = fitted("un(visit | id)").estimates.optimum
    whole = block_information(optimum).matrix
    monkeypatch.setattr(connected_blocks, "CHUNK", 1)
    np.testing.assert_allclose(block_information(optimum).matrix, whole, rtol=1e-12)


def same_information(ours, theirs):
    """Two pieces of information on all parameters, one by differences."""
    np.testing.assert_array_equal(ours.free, theirs.free)
    size = np.sqrt(np.abs(np.diag(theirs.hessian)))
    np.testing.assert_allclose(
        ours.hessian / np.outer(size, size), theirs.hessian / np.outer(size, size), atol=1e-6
    )
    np.testing.assert_allclose(ours.gradient, theirs.gradient, atol=1e-6 * np.abs(theirs.gradient).max())


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", PLAIN)
def test_differences_equal_the_exact_information_on_theta(name, reml):
    optimum = Case(name, reml=reml).optimum
    same_information(differenced_information(optimum), variance_information(optimum))


@pytest.mark.parametrize("residual", ["un(visit | id)", "ar1h(visit | id)"])
def test_differences_equal_the_exact_information_on_rho(residual):
    optimum = fitted(residual).estimates.optimum
    same_information(differenced_information(optimum), visit_variance_information(optimum))


def test_every_row_is_in_one_block_with_all_that_its_levels_connect():
    optimum = fitted("cs(visit | id)").estimates.optimum
    subjects, blocks = optimum.problem.residual.subjects, connected_rows(optimum.problem)
    rows = np.concatenate([block.ravel() for block in blocks])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(subjects)))
    for block in blocks:
        assert (subjects[block] == subjects[block[:, :1]]).all()
        assert (np.bincount(subjects)[subjects[block]] == block.shape[1]).all()


def test_large_blocks_are_refused_with_their_size():
    assert why_too_large([np.zeros((3, 20), int)]) == ""
    assert "1,001 rows" in why_too_large([np.zeros((1, LARGEST + 1), int)])
    assert "101 sizes" in why_too_large([np.zeros((101, LARGEST), int)])


def test_what_does_not_fit_offers_satterthwaite(monkeypatch):
    monkeypatch.setattr(connected_blocks, "LARGEST", 2)
    with pytest.raises(FitError, match=r"largest has 3 rows, of at most 2\. Use df='satterthwaite'"):
        _ = block_information(fitted("cs(visit | id)").estimates.optimum).matrix


def at(residual, rho):
    """What of an optimum R is made from."""
    return SimpleNamespace(problem=SimpleNamespace(residual=residual), state=SimpleNamespace(rho=rho))


@every_structure
def test_r_of_the_engine_is_the_referees_and_its_slopes_are_differences(variance, correlation):
    residual, _ = drawn(variance, correlation, np.random.default_rng(6).permutation(N))
    structure, rows = residual.structure, np.arange(N)[None]
    rho = np.random.default_rng(8).uniform(-0.5, 0.5, structure.count)
    R, slopes = residual_blocks(at(residual, rho), rows)
    printed = zip(structure.names, structure.natural(rho), strict=True)
    np.testing.assert_allclose(R[0], rows_as_printed(residual, printed).matrix(None).toarray(), atol=1e-13)
    for i, slope in enumerate(slopes):
        step = 1e-6 * (np.arange(len(rho)) == i)
        up, down = (residual_blocks(at(residual, rho + s), rows)[0] for s in (step, -step))
        np.testing.assert_allclose(slope, (up - down) / 2e-6, atol=1e-8)


def test_a_level_connects_rows_in_whichever_place_they_have_it():
    first, second, weights = np.array([0, 1, 2, 3]), np.array([1, 4, 3, 5]), np.ones(4)
    members = ((first, weights), (second, weights))
    term = Term(0, first, 6, (0,), Unstructured(1), members)
    problem = Problem((np.ones(4),), (0,), np.arange(4.0), (term,))
    np.testing.assert_array_equal(connected_rows(problem)[0], [[0, 1], [2, 3]])
