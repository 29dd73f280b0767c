"""Where families over visits begin: what moments tell, within bounds, and what they do not."""

import numpy as np
import pytest

from lmmkit.engine.covariance.correlations import CORRELATIONS, RAISED_START, WIDEST_START

TIMES = (1, 2, 4)


def moments(near, far, across):
    """(3, 3) correlations one, two and three apart."""
    return np.array([[1.0, near, across], [near, 1.0, far], [across, far, 1.0]])


@pytest.mark.parametrize("name", CORRELATIONS)
def test_one_visit_has_no_correlation(name):
    family = CORRELATIONS[name]((7,))
    assert family.count == 0
    assert family.matrix(np.empty(0)).tolist() == [[1.0]]
    assert family.start(np.eye(1)).shape == family.natural(np.empty(0)).shape == (0,)
    assert family.jacobian(np.empty(0)).shape == (0, 1, 1)
    assert family.naturals(["7"]) == []


@pytest.mark.parametrize(
    ("name", "edge"), [("cs", 2 * WIDEST_START - 1), ("ar1", 0.95), ("ad", 0.95), ("toep", 0.95)]
)
def test_moments_next_to_a_bound_are_no_start(name, edge):
    family = CORRELATIONS[name](TIMES[:2])
    for value in (1.0, -1.0, 1.3, -2.0):
        x = family.start(np.array([[1.0, value], [value, 1.0]]))
        assert family.matrix(x)[0, 1] == pytest.approx(np.sign(value) * edge)
    x = family.start(np.array([[1.0, 0.4], [0.4, 1.0]]))
    assert family.matrix(x)[0, 1] == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["cs", "ar1", "ad", "toep"])
def test_moments_that_no_subject_tells_are_zero(name):
    family = CORRELATIONS[name](TIMES)
    C = np.where(np.eye(3, dtype=bool), 1.0, np.nan)
    np.testing.assert_allclose(family.matrix(family.start(C)), np.eye(3), atol=1e-12)


def test_a_mean_of_all_pairs_is_that_of_those_that_are_known():
    family = CORRELATIONS["cs"](TIMES)
    assert family.matrix(family.start(moments(0.2, 0.4, np.nan)))[0, 1] == pytest.approx(0.3)


def test_autoregression_begins_with_the_nearest_pairs():
    family = CORRELATIONS["ar1"](TIMES)
    assert family.matrix(family.start(moments(0.6, 0.1, 0.1)))[0, 1] == pytest.approx(0.6)
    far = family.start(moments(np.nan, 0.36, 0.9))  # two apart: rho is the root
    assert family.matrix(far)[0, 1] == pytest.approx(0.6)
    assert family.start(moments(np.nan, -0.36, 0.9)) == pytest.approx([0.0])  # no square is negative
    odd = CORRELATIONS["ar1"]((0, 3))
    assert odd.start(np.array([[1.0, -0.5], [-0.5, 1.0]])) == pytest.approx([-np.arctanh(0.5)])
    assert odd.natural(odd.start(np.array([[1.0, -0.5], [-0.5, 1.0]]))) == pytest.approx([-(0.5 ** (1 / 3))])
    even = CORRELATIONS["ar1"]((0, 2, 6))
    assert even.natural(np.array([np.arctanh(0.49)])) == pytest.approx([0.7])
    assert np.isnan(even.natural(np.array([-0.3])))


def test_products_of_neighbours_begin_with_neighbours():
    family = CORRELATIONS["ad"](TIMES)
    C = family.matrix(family.start(moments(0.5, -0.4, 0.9)))
    np.testing.assert_allclose(C, moments(0.5, -0.4, -0.2))


def test_moments_that_are_no_covariance_matrix_are_raised_to_one():
    family = CORRELATIONS["un"](TIMES)
    C = moments(0.9, 0.9, -0.9)
    M = family.matrix(family.start(C))
    values, vectors = np.linalg.eigh(C)
    raised = (vectors * np.maximum(values, RAISED_START)) @ vectors.T
    np.testing.assert_allclose(M, raised / raised[0, 0], atol=1e-12)
    fine = moments(0.9, 0.9, 0.82)
    np.testing.assert_allclose(family.matrix(family.start(4.0 * fine)), fine, atol=1e-12)


def test_a_bound_is_told_within_its_share_of_the_range():
    family = CORRELATIONS["cs"](TIMES)
    for share, told in ((0.9e-6, True), (1.1e-6, False)):
        x = np.array([np.log(share / (1.0 - share))])
        said = family.at_bound(x, 1e-6)
        assert bool(said) == told
        assert not told or said == "the correlation of 3 visits has run to its lower bound, -0.5"
    assert CORRELATIONS["cs"]((1,)).at_bound(np.empty(0), 1e-6) == ""
    assert CORRELATIONS["ar1"](TIMES).at_bound(np.array([-20.0]), 1e-6) == ""


def test_units_are_those_of_logs_and_of_entries():
    family = CORRELATIONS["un"](TIMES)
    x = np.array([0.5, -0.4, np.log(2.0), 0.3, np.log(3.0)])  # l21, l31, log l22, l32, log l33
    sds = np.sqrt(family.matrix(x).diagonal())
    np.testing.assert_allclose(family.units(x), [sds[1], sds[2], 1.0, sds[2], 1.0])
    assert CORRELATIONS["ad"](TIMES).units(np.zeros(2)).tolist() == [1.0, 1.0]
