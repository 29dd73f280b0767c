"""Sparse factors and their selected inverse, among them one whose factor has entries that cancel."""

import numpy as np
import pytest
from scipy.sparse import csr_array, diags_array, eye_array, random_array

from lmmkit.engine.linalg import sparse_cholesky
from lmmkit.engine.linalg.sparse_cholesky import SparseCholesky, sparse_pattern
from lmmkit.engine.relations.pedigree import pedigree_of
from lmmkit.errors import FitError


def relatives(size, generations, sires):
    """A closed population: a few sires a generation, dams at random."""
    rng, per = np.random.default_rng(size), size // generations
    names = [f"i{i}" for i in range(size)]
    parents = [["", ""] for _ in names]
    for i in range(per, size):
        first = (i // per - 1) * per
        parents[i] = [names[first + rng.integers(sires)], names[first + rng.integers(sires, per)]]
    return pedigree_of(names, *map(list, zip(*parents, strict=True)))


def random_matrix(n, seed):
    """Sparse, symmetric, dominated by its diagonal."""
    half = random_array((n, n), density=1.5 / n, rng=np.random.default_rng(seed))
    return half @ half.T + eye_array(n)


MATRICES = {
    "one": csr_array(np.array([[4.0]])),
    "diagonal": diags_array([1.0, 2.0, 3.0]),
    "band": diags_array([np.full(40, 3.0), np.full(39, -1.0), np.full(39, -1.0)], offsets=[0, 1, -1]),
    "arrow": csr_array(np.eye(12) * 20 + np.r_[np.ones((1, 12)), np.zeros((11, 12))] + np.eye(1, 12).T),
    "full": csr_array(np.ones((25, 25)) + np.eye(25)),
    "two parts": random_matrix(30, 1),
    "random": random_matrix(120, 2),
    "animals": relatives(300, 5, 4).precision + 0.7 * eye_array(300),
    "inverse of A": relatives(400, 5, 4).precision,
    "inverse of A, deep": relatives(300, 30, 2).precision,
}


def made(name):
    """The matrix, its factor and its inverse by dense algebra."""
    C = csr_array(MATRICES[name])
    C.sort_indices()
    C = csr_array((C + C.T) / 2.0)
    C.sort_indices()
    return C, SparseCholesky(sparse_pattern(C), C.data), np.linalg.inv(C.toarray())


@pytest.mark.parametrize("chunk", [2_000_000, 10])
@pytest.mark.parametrize("name", MATRICES)
def test_selected_inverse_and_determinant_are_those_of_dense_algebra(name, chunk, monkeypatch):
    monkeypatch.setattr(sparse_cholesky, "CHUNK", chunk)
    C, factor, inverse = made(name)
    rows = np.repeat(np.arange(len(inverse)), np.diff(C.indptr))
    np.testing.assert_allclose(factor.inverse, inverse[rows, C.indices], rtol=1e-10, atol=1e-12)
    assert C.data @ factor.inverse == pytest.approx(len(inverse), abs=1e-9)
    assert factor.logdet == pytest.approx(np.linalg.slogdet(C.toarray())[1], abs=1e-9)
    B = np.random.default_rng(0).normal(size=(len(inverse), 3))
    np.testing.assert_allclose(factor.solve(B), inverse @ B, atol=1e-10)


def test_entries_of_the_factor_that_cancel_stay_in_its_pattern():
    C, factor, _ = made("inverse of A")
    assert factor.lu.L.nnz - len(factor.d) < factor.pattern.fill  # SuperLU has dropped some
    assert np.isfinite(factor.inverse).all()
    again = SparseCholesky(factor.pattern, (C + 0.5 * eye_array(400)).tocsr().data)
    np.testing.assert_allclose(
        again.inverse, np.linalg.inv((C + 0.5 * eye_array(400)).toarray())[C.nonzero()], atol=1e-12
    )


def test_a_matrix_that_is_not_positive_definite_is_refused():
    C = csr_array(MATRICES["band"])
    C.sort_indices()
    for data in (csr_array(C - 3.5 * eye_array(40)).data, 0.0 * C.data):  # and one without any pivot
        with pytest.raises(
            FitError,
            match="not positive definite: the columns of the random-effects terms are too nearly collinear",
        ):
            SparseCholesky(sparse_pattern(C), data)


@pytest.mark.parametrize(
    ("limit", "value", "offered"),
    [("LARGEST_FRONT", 8, "40,000,000 and 8"), ("MOST", 500, "500 and 8,000")],
)
def test_fill_beyond_the_limit_is_refused_with_its_number(monkeypatch, limit, value, offered):
    monkeypatch.setattr(sparse_cholesky, limit, value)
    with pytest.raises(
        FitError,
        match=rf"a dense block of \d+ rows or more; up to {offered} are .* sire model \(the records' sires",
    ):
        sparse_pattern(csr_array(MATRICES["animals"]))


def test_a_front_alone_tells_of_its_entries(monkeypatch):
    """All 25 rows are one dense block, whose 24 below the first make 24 x 23 / 2 pairs."""
    monkeypatch.setattr(sparse_cholesky, "LARGEST_FRONT", 20)
    with pytest.raises(FitError, match="more than 276 entries and a dense block of 24 rows"):
        sparse_pattern(csr_array(MATRICES["full"]))


def test_fill_counts_what_is_below_the_diagonal():
    _, factor, inverse = made("full")
    assert factor.pattern.fill == len(inverse) * (len(inverse) - 1) // 2
    assert made("diagonal")[1].pattern.fill == 0
    assert made("band")[1].pattern.fill == 39
