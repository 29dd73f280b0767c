"""The referee's relationship matrices, by definitions that the engine does not use."""

from __future__ import annotations

import numpy as np
import pytest

from lmmkit.engine.referee import kinship
from lmmkit.engine.relations.pedigree import pedigree_of
from lmmkit.engine.relations.relationship import dense_relationship


def some_pedigree(seed, animals=120, founders=10):
    """Animals with parents among those before them, some unknown, in a shuffled order."""
    rng = np.random.default_rng(seed)
    sire, dam = np.full(animals, -1), np.full(animals, -1)
    for i in range(founders, animals):
        sire[i], dam[i] = rng.permutation(i)[:2]
    sire[rng.integers(0, animals, 8)] = -1
    place = rng.permutation(animals)
    shuffled = [np.full(animals, -1), np.full(animals, -1)]
    for out, parent in zip(shuffled, (sire, dam), strict=True):
        out[place] = np.where(parent >= 0, place[parent], -1)
    return shuffled


@pytest.mark.parametrize("seed", range(4))
def test_the_table_the_rules_and_the_engine_agree(seed):
    sire, dam = some_pedigree(seed)
    A = kinship.tabular(sire, dam)
    names = [str(i) for i in range(len(sire))]
    parents = [["" if p < 0 else names[p] for p in parent] for parent in (sire, dam)]
    np.testing.assert_allclose(pedigree_of(names, *parents).times(np.eye(len(sire))), A, atol=1e-13)
    F = kinship.inbreeding(sire, dam)
    np.testing.assert_allclose(F, np.diag(A) - 1, atol=1e-14)
    np.testing.assert_allclose(kinship.inverse(sire, dam, F) @ A, np.eye(len(sire)), atol=1e-10)


def test_inbreeding_of_large_pedigrees_is_given_up(monkeypatch):
    monkeypatch.setattr(kinship, "MOST_PAIRS", 20)
    assert kinship.inbreeding(*some_pedigree(1)) is None


def test_full_sibs_and_their_child():
    sire, dam = np.array([-1, -1, 0, 0, 2]), np.array([-1, -1, 1, 1, 3])
    A = kinship.tabular(sire, dam)
    assert (A[2, 3], A[4, 4], A[0, 4]) == (0.5, 1.25, 0.5)
    back = kinship.tabular(np.array([-1, -1, 0, 0]), np.array([-1, -1, 1, 2]))  # a daughter and her sire
    assert (back[3, 3], back[0, 3]) == (1.25, 0.75)


def test_a_known_matrix_is_written_out_and_rooted():
    half = np.random.default_rng(3).normal(size=(6, 6)) * np.array([1.0, 1.0, 1.0, 1e-4, 1e-5, 0.0])
    relation = dense_relationship(half @ half.T)
    np.testing.assert_allclose(kinship.written_out(relation), half @ half.T, atol=1e-14)
    root = kinship.root(relation)
    assert root.shape == (6, 5)
    np.testing.assert_allclose(root @ root.T, half @ half.T, atol=1e-13)


def test_what_is_written_out_and_what_is_followed():
    assert (kinship.WRITTEN, kinship.MOST_PAIRS) == (2_000, 300_000)
    unknown = [""] * 2_001
    founders = pedigree_of([str(i) for i in range(2_001)], unknown, unknown)
    assert not kinship.is_small(founders)
    assert kinship.is_small(dense_relationship(np.eye(3)))
