"""Algebra of many small matrices, and the products of a coupling, against numpy one matrix at a time."""

import numpy as np
import pytest

from lmmkit.engine.linalg import levelwise
from lmmkit.engine.linalg.cross_blocks import (
    STRIP,
    Dense,
    Sparse,
    counting_argsort,
    index_type,
    mirrored,
    occurring,
)
from lmmkit.engine.linalg.two_part_covariance import Sandwich

LEVELS = 5


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def stacked(matrices):
    """(J, k, m) as the kernels store it, level last."""
    return np.ascontiguousarray(np.moveaxis(np.array(matrices), 0, -1))


def positive(rng, k, levels=LEVELS):
    A = rng.normal(size=(levels, k, k + 1))
    return A @ A.transpose(0, 2, 1)


@pytest.mark.parametrize("k", [1, 2, 4, levelwise.WIDE + 1])
def test_cholesky_and_its_solves(rng, k):
    A, B = positive(rng, k), rng.normal(size=(LEVELS, k, 3))
    C, inverse = levelwise.cholesky(stacked(A))
    np.testing.assert_allclose(C, stacked(np.linalg.cholesky(A)), atol=1e-13)
    np.testing.assert_allclose(inverse, 1 / np.einsum("aaj->aj", C))
    half = [np.linalg.solve(np.linalg.cholesky(a), b) for a, b in zip(A, B, strict=True)]
    np.testing.assert_allclose(levelwise.forward(C, inverse, stacked(B)), stacked(half), atol=1e-12)
    back = [np.linalg.solve(np.linalg.cholesky(a).T, b) for a, b in zip(A, B, strict=True)]
    np.testing.assert_allclose(levelwise.backward(C, inverse, stacked(B)), stacked(back), atol=1e-12)


@pytest.mark.parametrize("k", [2, levelwise.WIDE + 1])
def test_a_pivot_is_null_below_a_share_of_its_diagonal(k):
    A = np.stack([100.0 * np.eye(k)] * 2)
    for level, left in enumerate((1.1e-12, 0.9e-12)):
        A[level, -1, :2] = A[level, :2, -1] = [60.0, 80.0][:2] if k > 2 else [100.0, 0.0]
        A[level, -1, -1] = 100.0 * (1.0 + left)
        if k == 2:
            A[level] = [[100.0, 100.0], [100.0, 100.0 * (1.0 + left)]]
    C, inverse = levelwise.cholesky(stacked(A), null=levelwise.NULL_PIVOT)
    assert (inverse[-1] == 0.0).tolist() == [False, True]
    assert (C[-1, -1] == 0.0).tolist() == [False, True]
    X = levelwise.forward(C, inverse, levelwise.identity(k, 2))
    assert (X[-1, :, 1] == 0.0).all()
    assert np.isfinite(levelwise.backward(C, inverse, levelwise.identity(k, 2))).all()


def test_a_null_pivot_leaves_a_zero_column_and_zero_solutions(rng):
    A = positive(rng, 3)
    A[2] = np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) * (1 + 1e-14 * np.eye(3))  # pivots of rounding
    A[3, 0] = A[3, :, 0] = 0.0  # a column that the level does not hold
    C, inverse = levelwise.cholesky(stacked(A), null=levelwise.NULL_PIVOT)
    np.testing.assert_allclose(np.einsum("acj,bcj->abj", C, C), stacked(A), atol=1e-13)
    assert (inverse == 0).T.tolist() == [[False] * 3] * 2 + [
        [False, True, True],
        [True, False, False],
        [False] * 3,
    ]
    B = stacked(rng.normal(size=(LEVELS, 3, 2)))
    assert (levelwise.forward(C, inverse, B)[1:, :, 2] == 0).all()
    assert (levelwise.backward(C, inverse, B)[0, :, 3] == 0).all()
    assert np.isfinite(levelwise.forward(C, inverse, B)).all()


def test_products_level_by_level(rng):
    A, B, C = (rng.normal(size=(LEVELS, *shape)) for shape in [(3, 2), (2, 4), (5, 2)])
    a, b, c = stacked(A), stacked(B), stacked(C)
    np.testing.assert_allclose(levelwise.times(a, b), stacked(A @ B))
    np.testing.assert_allclose(levelwise.transposed_times(stacked(A.swapaxes(1, 2)), b), stacked(A @ B))
    np.testing.assert_allclose(levelwise.times_transposed(a, c), stacked(A @ C.swapaxes(1, 2)))
    M = rng.normal(size=(2, 2))
    np.testing.assert_allclose(levelwise.constant_times(M, b), stacked(M @ B))
    np.testing.assert_allclose(levelwise.times_constant(a, M), stacked(A @ M))
    np.testing.assert_allclose(levelwise.summed(a, stacked(A * 2)), 2 * np.einsum("jka,jkb->ab", A, A))
    np.testing.assert_array_equal(levelwise.identity(2, 3), stacked([np.eye(2)] * 3))


def test_the_shortest_solution_of_singular_equations():
    A = np.diag([2.0, 1.0, 0.0])
    np.testing.assert_allclose(levelwise.least_solved(A, np.array([2.0, 3.0, 0.0])), [1.0, 3.0, 0.0])
    tiny = np.diag([1.0, 1e-13])  # below a share of 1e-12: rounding
    np.testing.assert_allclose(levelwise.least_solved(tiny, np.ones(2)), [1.0, 0.0])
    noise = np.diag([1.0, 1e-3])
    np.testing.assert_allclose(levelwise.least_solved(noise, np.ones(2)), [1.0, 1e3])
    np.testing.assert_allclose(levelwise.least_solved(noise, np.ones(2), 2e-3), [1.0, 0.0])
    assert levelwise.least_solved(np.zeros((0, 0)), np.zeros(0)).shape == (0,)


def coupling(rng, k=2, levels=LEVELS, size=7):
    """The same coupling with all its pairs and with the occurring ones, and the matrix it stands for."""
    held = rng.random((levels, size)) < 0.5
    held[1] = False  # a level that meets nothing
    values = rng.normal(size=(k, levels, size)) * held
    level, column = np.nonzero(held)
    pointer = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
    return Dense(values), Sparse(pointer, column, values[:, level, column], size), values


@pytest.mark.parametrize("kind", [0, 1])
def test_the_products_of_a_coupling(rng, kind, monkeypatch):
    monkeypatch.setattr("lmmkit.engine.linalg.cross_blocks.SLAB", 2)  # levels in several slabs
    *both, values = coupling(rng)
    B, k, size = both[kind], len(values), values.shape[2]
    M, Y = rng.normal(size=(size, 3)), rng.normal(size=(k, 3, LEVELS))
    core, E = stacked(positive(rng, k)), positive(rng, size, 1)[0]
    np.testing.assert_allclose(B.times(M), np.einsum("ajc,cm->amj", values, M), atol=1e-13)
    np.testing.assert_allclose(B.transposed_times(Y), np.einsum("ajc,amj->cm", values, Y), atol=1e-13)
    gram = np.einsum("ajc,abj,bjd->cd", values, core, values)
    np.testing.assert_allclose(B.gram(core), gram, atol=1e-12)
    quadratic = np.einsum("ajc,cd,bjd->abj", values, E, values)
    np.testing.assert_allclose(B.quadratic(E), quadratic, atol=1e-12)
    lifted = np.einsum("abj,bjc->ajc", core, values)
    if isinstance(B, Sparse):
        lifted = lifted[:, B.level, B.column]
    np.testing.assert_allclose(B.lifted(core), lifted, atol=1e-13)
    some = np.einsum("ajc,cd->ajd", values[:, 1:3], E)
    np.testing.assert_allclose(B.rows(1, 3, E), some, atol=1e-13)
    if isinstance(B, Sparse):
        np.testing.assert_array_equal(B.dense(), values)


@pytest.mark.parametrize("size", [1, STRIP, 2 * STRIP + 3])
def test_a_lower_triangle_is_mirrored(rng, size):
    A = positive(rng, size, 1)[0]
    np.testing.assert_array_equal(mirrored(np.tril(A)), np.tril(A) + np.tril(A, -1).T)


def test_counting_keeps_the_order_of_equals():
    codes = np.array([2, 0, 1, 0, 2, 0])
    assert counting_argsort(codes, 3).tolist() == np.argsort(codes, kind="stable").tolist()


def test_occurring_pairs():
    codes, column = np.array([1, 0, 1, 0, 1]), np.array([3, 2, 3, 0, 2])
    pointer, columns, order, starts = occurring(codes, 3, column, 4)
    assert pointer.tolist() == [0, 2, 4, 4]
    assert columns.tolist() == [0, 2, 2, 3]
    assert [(codes[i], column[i]) for i in order] == [(0, 0), (0, 2), (1, 2), (1, 3), (1, 3)]
    assert starts.tolist() == [0, 1, 2, 3]


def test_index_types_are_as_small_as_they_may_be():
    assert [index_type(2**31 - 1), index_type(2**31)] == [np.int32, np.int64]


def test_a_covariance_in_two_parts_keeps_its_digits():
    S = np.array([[1.0, -1e9], [0.0, 1.0]])
    parts = Sandwich(S, np.array([[2.0, 0.5], [0.5, 1.0]]))
    np.testing.assert_allclose(parts.whole(), S @ parts.core @ S.T)
    L = np.array([[1.0, 1e9], [0.0, 1.0]])
    np.testing.assert_allclose(parts.variances(L), [2.0, 1.0])
    np.testing.assert_allclose(parts.between(L), parts.core)
