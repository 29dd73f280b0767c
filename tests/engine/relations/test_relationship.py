"""What a known matrix of levels may be: both sides of every bound, and what is said beyond it."""

import numpy as np
import pytest

from lmmkit.engine.relations.relationship import DenseRelationship, dense_relationship
from lmmkit.errors import FitError


def pair(r):
    """(2, 2) of a correlation."""
    return np.array([[1.0, r], [r, 1.0]])


def test_a_root_is_choleskys_where_earlier_levels_leave_some_variance():
    for left, triangular in ((1.1e-4, True), (0.9e-4, False)):
        relation = DenseRelationship(pair(np.sqrt(1.0 - left)))
        np.testing.assert_allclose(relation.half @ relation.half.T, relation.K, atol=1e-14)
        assert (relation.half[0, 1] == 0.0) == triangular
        assert relation.rank == 2


@pytest.mark.parametrize(("share", "rank"), [(1.5e-12, 3), (0.5e-12, 2)])
def test_directions_of_rounding_are_none(share, rank):
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    relation = DenseRelationship(Q * np.array([4.0, 1.0, 4.0 * share]) @ Q.T)
    assert relation.rank == rank
    assert relation.levels == 3
    np.testing.assert_allclose(relation.half @ relation.half.T, relation.K, atol=1e-11)


def test_levels_are_unrelated_where_k_is_a_multiple_of_the_identity():
    K = 3.0 * np.eye(4)
    K[3, 3] = 2.0
    K[2, 1] = K[1, 2] = 2.9e-8
    relation = DenseRelationship(K)
    assert relation.unrelated(np.array([0, 1, 2]))
    assert not relation.unrelated(np.array([0, 3]))
    K[2, 1] = K[1, 2] = 3.1e-8
    assert not DenseRelationship(K).unrelated(np.array([0, 1, 2]))
    assert DenseRelationship(K).unrelated(np.array([0, 1]))
    assert relation.diagonal.tolist() == [3.0, 3.0, 3.0, 2.0]


def test_what_misses_its_transpose_by_rounding_is_made_symmetric():
    K = 1e6 * pair(0.5)
    K[0, 1] += 0.9e-2
    made = dense_relationship(K).K
    np.testing.assert_array_equal(made, made.T)
    assert made[0, 1] == pytest.approx(5e5 + 0.45e-2, rel=1e-12)
    K[0, 1] += 0.2e-2
    with pytest.raises(FitError, match="not symmetric: 500000 in row 1, column 2, 500000 in row 2, column 1"):
        dense_relationship(K)
    small = 1e-6 * pair(0.5)
    small[0, 1] += 1.1e-14
    with pytest.raises(FitError, match="not symmetric"):
        dense_relationship(small)


def test_a_negative_eigenvalue_is_rounding_up_to_a_share_of_the_largest():
    dense_relationship(pair(1.0 + 1.9e-8))
    with pytest.raises(
        FitError,
        match=r"not positive semidefinite: its least eigenvalue is -2\.1e-08, its largest 2\. "
        "It is no covariance matrix: check how it was made, or bend it",
    ):
        dense_relationship(pair(1.0 + 2.1e-8))
    with pytest.raises(FitError, match="least eigenvalue is -3, its largest -1"):
        dense_relationship(np.diag([-1.0, -3.0]))


@pytest.mark.parametrize(
    ("K", "said"),
    [
        (np.empty((0, 0)), r"has shape \(0, 0\); a square one was expected"),
        (np.ones(3), r"has shape \(3,\); a square one"),
        (np.array([[1.0, np.inf], [0.0, 1.0]]), "has inf in row 1, column 2: give a number"),
        (np.array([[1.0, 0.2], [0.3, 1.0]]), "0.2 in row 1, column 2, 0.3 in row 2, column 1. Give a cov"),
    ],
)
def test_what_is_no_matrix_of_relations_is_refused_with_its_place(K, said):
    with pytest.raises(FitError, match=said):
        dense_relationship(K)
