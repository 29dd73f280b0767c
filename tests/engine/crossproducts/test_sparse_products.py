"""Z'Z of relatives and what their relation adds to it, entry by entry against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from engine.crossproducts.test_crossproducts import check_moment_equations

from lmmkit.engine.covariance.structures import Diagonal, Unstructured
from lmmkit.engine.crossproducts.crossproducts import collect
from lmmkit.engine.crossproducts.elimination_order import build_layout, rest_columns
from lmmkit.engine.crossproducts.moment_start import scales
from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.crossproducts.sparse_products import SparseProducts
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.relations.pedigree import pedigree_of

N, ANIMALS = 60, 7
PEDIGREE = pedigree_of(
    [f"a{i}" for i in range(ANIMALS)],
    ["", "", "a0", "a0", "a2", "a4", ""],
    ["", "", "a1", "a1", "a3", "", ""],
)


@pytest.fixture(scope="module")
def made():
    """Slopes of animals beside a crossed factor of one column: prepared rows, layout, cross-products."""
    rng = np.random.default_rng(3)
    columns = (np.broadcast_to(1.0, N), rng.normal(size=N) + 3.0)
    animals = Term(0, np.arange(N) * 5 % ANIMALS, ANIMALS, (0, 1), Unstructured(2), (), PEDIGREE)
    crossed = Term(1, np.arange(N) * 7 % 11 % 4, 4, (0,), Diagonal(1))
    given = Problem(columns, (0, 1), rng.normal(size=N) * 2.0 + 5.0, (animals, crossed))
    prepared = prepare(given)
    layout = build_layout(given, prepared)
    raw = collect(prepared, layout)
    assert isinstance(raw.rest, SparseProducts)
    return prepared, layout, raw


def test_products_and_precision_are_those_of_dense_matrices(made):
    prepared, layout, raw = made
    products, Z = raw.rest, rest_columns(prepared, layout).toarray()
    assert [factor.levels * factor.width for factor in layout.rest] == [14, 4]
    np.testing.assert_allclose(products.cross.toarray(), Z.T @ Z, atol=1e-12)
    np.testing.assert_allclose(products.diagonal(), (Z**2).sum(axis=0))
    A = PEDIGREE.times(np.eye(ANIMALS))
    P = np.eye(18)
    P[:14, :14] = np.kron(np.linalg.inv(A), np.eye(2))
    np.testing.assert_allclose(products.precision.toarray(), P, atol=1e-12)
    assert products.logdet == pytest.approx(2.0 * np.linalg.slogdet(A)[1])
    W = prepared.rows[[*prepared.fixed, -1]].T
    np.testing.assert_array_equal(products.W, W)
    np.testing.assert_allclose(raw.rest_fixed, Z.T @ W, atol=1e-12)
    L = (np.array([[0.8, 0.0], [-0.3, 0.5]]), np.array([[1.3]]))
    Lambda = np.eye(18) * 1.3
    Lambda[:14, :14] = np.kron(np.eye(ANIMALS), L[0])
    C = products.matrix(products.system(L)).toarray()
    np.testing.assert_allclose(C, P + Lambda.T @ Z.T @ Z @ Lambda, atol=1e-11)
    half = products.matrix(products.times_roots(products.S, L)).toarray()
    np.testing.assert_allclose(half, Z.T @ Z @ Lambda, atol=1e-11)


def test_entries_are_found_by_their_row_and_column(made):
    products = made[2].rest
    there = products.matrix(np.ones(len(products.S))).toarray() > 0.0
    row, column = (part.ravel() for part in np.meshgrid(np.arange(18), np.arange(18), indexing="ij"))
    at, found = products.found(row, column)
    np.testing.assert_array_equal(found.reshape(18, 18), there)
    assert not there.all()
    np.testing.assert_array_equal(products.rows[at[found]], row[found])
    np.testing.assert_array_equal(products.pattern.pattern.indices[at[found]], column[found])
    np.testing.assert_array_equal(products.rows[products.turned], products.pattern.pattern.indices)
    np.testing.assert_array_equal(products.pattern.pattern.indices[products.turned], products.rows)
    # a level's columns are a full block, whatever is zero there
    assert there.reshape(9, 2, 9, 2)[:7, :, :7].any(axis=(1, 3)).tolist() == there[:14:2, :14:2].tolist()
    for f, (start, k, levels) in enumerate(((0, 2, 7), (14, 1, 4))):
        for c, entries in enumerate(products.by_row[f]):
            assert set(products.rows[entries]) == {start + c + k * level for level in range(levels)}
            assert len(entries) == there[start + c : start + k * levels : k].sum()


def test_blocks_of_two_factors_stand_at_their_levels(made):
    prepared, layout, raw = made
    products, Z = raw.rest, rest_columns(prepared, layout).toarray()
    S = Z.T @ Z
    for f, g in ((0, 0), (0, 1), (1, 0)):
        (rows, k), (columns, width) = products.spans[f], products.spans[g]
        blocks, i, j = products.blocks(products.S, f, g)
        whole = np.zeros((layout.rest[f].levels, k, layout.rest[g].levels, width))
        whole[i, :, j] = blocks
        np.testing.assert_allclose(whole.reshape(S[rows, columns].shape), S[rows, columns], atol=1e-12)
    own = products.own(products.S, 0)
    assert own.shape == (7, 2, 2)
    np.testing.assert_allclose(own[3], S[6:8, 6:8], atol=1e-12)


def test_the_moment_equations_take_relatives_as_independent(made):
    check_moment_equations(*made)
    prepared, layout, raw = made
    Z = rest_columns(prepared, layout).toarray()
    sizes = np.sqrt((Z**2).sum(axis=0))
    first, second = scales(raw, layout)
    np.testing.assert_allclose(first, np.sqrt((sizes[:14] ** 2).reshape(7, 2).mean(axis=0)))
    np.testing.assert_allclose(second, np.sqrt((sizes[14:] ** 2).mean()))
