"""Which factor is nested in which, by the rows; what stands in the chain and what beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine.crossproducts.test_crossproducts import COARSE, CROSSED, FINE, N, problem, term

from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.crossproducts.elimination_order import (
    build_layout,
    columns_of,
    holds_subjects,
    parents_of,
    random_columns,
    rest_columns,
    same_groups,
)
from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.problem import Residual, Term
from lmmkit.engine.relations.pedigree import pedigree_of
from lmmkit.engine.relations.relationship import dense_relationship

ROOT = np.random.default_rng(2).normal(size=(4, 3))
ANIMALS = pedigree_of(list("abcd"), ["", "", "a", "c"], ["", "", "b", "b"])


def layout_of(*terms, residual=None):
    given = replace(problem(*terms), residual=residual)
    prepared = prepare(given)
    return build_layout(given, prepared), prepared


@pytest.mark.parametrize("late", [False, True])
def test_a_level_has_one_parent_where_all_its_rows_agree(late):
    codes = np.arange(6_000) % 60 if late else np.array([0, 1, 2, 1, 0])
    coarse = codes // 2
    levels = int(codes.max()) + 1
    np.testing.assert_array_equal(parents_of(codes, levels, coarse), np.arange(levels) // 2)
    coarse[-1] += 1
    assert parents_of(codes, levels, coarse) is None


def test_groups_are_the_same_whatever_their_numbers():
    one = np.array([0, 0, 1, 2, 1])
    assert same_groups(one, np.array([5, 5, 0, 3, 0]))
    assert not same_groups(one, np.array([5, 5, 0, 0, 0]))
    assert not same_groups(np.array([5, 5, 0, 0, 0]), one)


def test_levels_hold_subjects_whose_rows_are_correlated():
    subjects, cells = np.repeat(np.arange(6), 2), np.tile([0, 1], 6)
    correlated = Residual(one_correlation("cs", (0, 1), ("0", "1")), cells, subjects)
    varied = Residual(one_correlation("ident", (0, 1), ("0", "1"), heterogeneous=True), cells, subjects)
    assert holds_subjects(subjects // 2, correlated)
    assert not holds_subjects(cells, correlated)
    assert holds_subjects(cells, varied)
    assert holds_subjects(cells, None)


@pytest.mark.parametrize(
    ("terms", "chain", "rest"),
    [
        ((term(0, FINE), term(1, COARSE)), [15, 3], []),
        ((term(0, COARSE), term(1, FINE), term(2, CROSSED)), [15, 3], [4]),
        ((term(0, CROSSED), term(1, COARSE)), [4], [3]),
        ((term(0, COARSE, 2), term(1, CROSSED)), [3], [4]),  # by effects, 6 beside 4
        ((Term(0, CROSSED, 4, (0,), Unstructured(1), ((CROSSED, np.ones(N)),)), term(1, COARSE)), [3], [4]),
        (
            (
                Term(0, CROSSED, 4, (0,), Unstructured(1), (), dense_relationship(ROOT @ ROOT.T)),
                term(1, COARSE),
            ),
            [3],
            [4],
        ),
        ((Term(0, CROSSED, 4, (0,), Unstructured(1), (), ANIMALS), term(1, COARSE)), [], [4, 3]),
    ],
)
def test_the_chain_is_of_plain_factors_each_within_the_next(terms, chain, rest):
    layout, _ = layout_of(*terms)
    assert [factor.levels for factor in layout.chain] == chain
    assert [factor.levels for factor in layout.rest] == rest
    assert layout.sparse == any(t.relation is ANIMALS for t in terms)


def test_beside_residuals_levels_that_a_matrix_relates_are_those_of_its_root():
    related = Term(0, CROSSED, 4, (0, 1), Unstructured(2), (), dense_relationship(ROOT @ ROOT.T))
    visits = Residual(one_correlation("cs", (0, 1), ("0", "1")), np.arange(N) % 2, np.arange(N) // 2)
    layout, prepared = layout_of(related, residual=visits)
    (factor,) = layout.rest
    assert (factor.levels, factor.width, factor.half.shape) == (3, 2, (4, 3))
    np.testing.assert_allclose(factor.half @ factor.half.T, ROOT @ ROOT.T, atol=1e-12)
    Z = random_columns(prepared, [layout_of(related)[0].rest[0]]).toarray()
    np.testing.assert_allclose(factor.Z.toarray(), Z @ np.kron(factor.half, np.eye(2)), atol=1e-12)
    assert columns_of(prepared, factor) is factor.Z
    scores = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(factor.spread(scores), scores @ factor.half.T)
    np.testing.assert_array_equal(factor.unseen, np.zeros(4))


def test_what_relatives_make_of_scores():
    layout, _ = layout_of(Term(0, CROSSED, 4, (0,), Unstructured(1), (), ANIMALS), term(1, COARSE))
    animals, plain = layout.rest
    scores, A = np.arange(8.0).reshape(2, 4), ANIMALS.times(np.eye(4))
    np.testing.assert_allclose(animals.spread(scores), scores @ A)
    np.testing.assert_array_equal(plain.spread(scores[:, :3]), scores[:, :3])


def test_columns_of_z_stand_level_by_level_and_factor_by_factor():
    layout, prepared = layout_of(term(0, FINE), term(1, CROSSED, 2), term(2, np.arange(N) * 11 % 13 % 5))
    Z = rest_columns(prepared, layout).toarray()
    assert Z.shape == (N, 8 + 5)
    expected = np.zeros((N, 13))
    first, second = layout.rest
    for row in range(N):
        expected[row, 2 * CROSSED[row] : 2 * CROSSED[row] + 2] = prepared.rows[list(first.rows), row]
        expected[row, 8 + second.codes[row]] = prepared.rows[second.rows[0], row]
    np.testing.assert_array_equal(Z, expected)


def test_a_problem_without_random_effects_has_an_empty_layout():
    layout, _ = layout_of()
    assert (layout.count, layout.size, layout.cuts, layout.factors) == (0, 0, (), ())
    assert layout.coordinates([]).shape == (0,)
    assert layout.free(np.empty(0)).shape == layout.bounded.shape == (0,)
