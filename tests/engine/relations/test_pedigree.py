"""Pedigrees: A and what is asked of it from the definition, and every refusal with the animals it names."""

import numpy as np
import pytest

from lmmkit.engine.relations.pedigree import pedigree_of
from lmmkit.errors import FitError


def tabular(pedigree):
    """A by the tabular method, for animals listed parents first."""
    A = np.zeros((pedigree.levels,) * 2)
    for x, (s, d) in enumerate(zip(pedigree.sire, pedigree.dam, strict=True)):
        for parent in (s, d):
            if parent >= 0:
                A[x, :x] += 0.5 * A[parent, :x]
        A[:x, x] = A[x, :x]
        A[x, x] = 1.0 + (0.5 * A[s, d] if min(s, d) >= 0 else 0.0)
    return A


FAMILY = [
    ("a", "", ""),
    ("b", "", ""),
    ("c", "a", "b"),
    ("d", "a", "b"),
    ("e", "c", "d"),
    ("f", "", "e"),
    ("g", "e", "f"),
    ("h", "a", ""),
    ("z", "", ""),
]


def family():
    return pedigree_of(*map(list, zip(*FAMILY, strict=True)))


def test_every_answer_is_that_of_the_matrix():
    pedigree = family()
    A = tabular(pedigree)
    np.testing.assert_allclose(pedigree.times(np.eye(9)), A, atol=1e-14)
    np.testing.assert_allclose(pedigree.precision.toarray(), np.linalg.inv(A), atol=1e-12)
    assert pedigree.logdet == pytest.approx(np.linalg.slogdet(A)[1])
    np.testing.assert_allclose(pedigree.diagonal, A.diagonal())
    np.testing.assert_allclose(pedigree.inbreeding, A.diagonal() - 1.0)
    root = pedigree.coloured(np.eye(9))
    np.testing.assert_allclose(root @ root.T, A, atol=1e-14)
    assert (pedigree.rank, pedigree.levels, pedigree.added) == (9, 9, ())
    assert pedigree.times(np.ones(9)).shape == (9,)


def test_animals_are_unrelated_where_a_is_the_identity():
    pedigree = family()
    A = tabular(pedigree)
    for one in range(9):
        assert pedigree.unrelated(np.array([one])) == (A[one, one] == 1.0)
        for two in range(one):
            here = np.array([one, two])
            assert pedigree.unrelated(here) == np.array_equal(A[np.ix_(here, here)], np.eye(2))
    assert not pedigree.unrelated(np.array([4, 8]))  # one of them inbred
    listed = [("p", "", ""), ("q", "", ""), ("r", "", ""), ("x", "p", ""), ("y", "q", ""), ("z", "p", "r")]
    other = pedigree_of(*map(list, zip(*listed, strict=True)))
    assert other.unrelated(np.array([3, 4]))
    assert not other.unrelated(np.array([3, 4, 5]))  # of four parents one is shared


def test_a_list_names_eight_and_counts_the_others():
    names = [f"i{n}" for n in range(9)]
    for count, more in ((8, ""), (9, " and 1 more")):
        own, none = names[:count], [""] * count
        first = ", ".join(names[:8])
        with pytest.raises(FitError, match=f"has {first}{more} twice: keep one line of each animal"):
            pedigree_of(own * 2, none * 2, none * 2)


def test_one_parent_of_both_kinds_is_named():
    with pytest.raises(
        FitError,
        match=r"as sire and as dam: b \(both a\), c \(both a\). Correct it, or leave one unknown",
    ):
        pedigree_of(["a", "b", "c"], ["", "a", "a"], ["", "a", "a"])


def cycle(length):
    """Animals that are each the child of the next, the last one of the first."""
    names = [f"i{n}" for n in range(length)]
    return names, [*names[1:], names[0]], [""] * length


def test_a_cycle_is_told_from_child_to_parent_and_its_middle_left_out_where_it_is_long():
    with pytest.raises(
        FitError, match=r"its own ancestor: i0 has the parent i1, that i2, that i0\. Correct one"
    ):
        pedigree_of(*cycle(3))
    with pytest.raises(FitError) as short:
        pedigree_of(*cycle(15))
    assert str(short.value).count("that i") == 14  # 15 animals, the first of them again
    assert "..." not in str(short.value)
    with pytest.raises(FitError) as long:
        pedigree_of(*cycle(16))
    assert (
        "i0 has the parent i1, that i2, that i3, that i4, that i5, that i6, that i7, that ..., that i9"
        in str(long.value)
    )
    assert str(long.value).endswith("that i15, that i0. Correct one of these lines.")


def test_a_cycle_is_told_without_what_leads_to_it():
    """x descends from a cycle, by its dam: its sire is a founder."""
    with pytest.raises(FitError, match=r"ancestor: b has the parent c, that b\. Correct"):
        pedigree_of(["x", "s", "b", "c"], ["s", "", "c", "b"], ["b", "", "", ""])


def test_parents_not_listed_stand_last_as_founders():
    pedigree = pedigree_of(["c", "d"], ["a", "c"], ["b", "x"])
    assert (pedigree.animals, pedigree.added) == (("c", "d", "a", "b", "x"), ("a", "b", "x"))
    assert pedigree.sire.tolist() == [2, 0, -1, -1, -1]
    assert pedigree.dam.tolist() == [3, 4, -1, -1, -1]
    assert pedigree.both == ()
    assert [members.tolist() for members in pedigree.generations] == [[2, 3, 4], [0], [1]]
