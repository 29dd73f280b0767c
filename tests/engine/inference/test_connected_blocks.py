"""Dense information by connected blocks of V, against the low-rank forms and the sums over patterns."""

from __future__ import annotations

import numpy as np
import pytest
from engine.criterion.test_layouts import LAYOUTS, Case
from support.repeated import fitted

from lmmkit.engine.inference import connected_blocks
from lmmkit.engine.inference.connected_blocks import (
    LARGEST,
    block_information,
    connected_rows,
    why_too_large,
)
from lmmkit.engine.inference.information import (
    ExpectedInformation,
    differenced_information,
    theta_directions,
    variance_information,
)
from lmmkit.engine.inference.visits import visit_information, visit_variance_information
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
@pytest.mark.parametrize("name", LAYOUTS)
def test_blocks_equal_the_low_rank_forms(name, reml):
    optimum = Case(name, reml=reml).optimum
    low_rank = ExpectedInformation(optimum, theta_directions(optimum.layout, optimum.state.theta))
    agree(block_information(optimum), low_rank)


@pytest.mark.parametrize("residual", ["un(visit | id)", "ar1h(visit | id, by=arm)", "toep(visit | id)"])
@pytest.mark.parametrize("reml", [True, False])
def test_blocks_equal_the_sums_over_patterns(residual, reml):
    optimum = fitted(residual, reml).estimates.optimum
    agree(block_information(optimum), visit_information(optimum))


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
@pytest.mark.parametrize("name", LAYOUTS)
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
