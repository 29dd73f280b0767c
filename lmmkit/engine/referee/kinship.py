"""The relationship matrix of a pedigree from its definition, and its inverse by Henderson's rules.

Coefficients by recursion on the younger of two animals (Emik & Terrill 1949, the tabular method), s and d the
parents of x, unknown ones left out:

    a_xy = (a_sy + a_dy) / 2   where y is no descendant of x,        a_xx = 1 + a_sd / 2

A is filled row by row where it fits in memory. Of larger pedigrees only the pairs are followed that the
inbreeding coefficients F = a_xx - 1 ask for; A^-1 is then the sum over animals x of (Henderson 1976)

    w w' / m_x,    w = 1 at x, -1/2 at each known parent,    m_x = 1 - (known parents (1 + F)) / 4

Nothing here is shared with the code that fits, which goes by A = T D T'.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.relations.pedigree import Pedigree
from lmmkit.engine.relations.relationship import DenseRelationship, Relationship

WRITTEN = 2_000  # levels up to which K is written out
MOST_PAIRS = 300_000  # pairs of ancestors that inbreeding coefficients may ask for: about a second


def is_small(relation: Relationship) -> bool:
    """Whether K can be written out."""
    return relation.levels <= WRITTEN


def written_out(relation: Relationship) -> Floats:
    """(J, J) K in full."""
    if isinstance(relation, Pedigree):
        return tabular(relation.sire, relation.dam)
    assert isinstance(relation, DenseRelationship)
    return relation.half @ relation.half.T


def root(relation: Relationship) -> Floats:
    """(J, r) S with K = S S', by eigenvectors."""
    values, vectors = np.linalg.eigh(written_out(relation))
    held = values > 1e-13 * values[-1]
    return vectors[:, held] * np.sqrt(values[held])


def tabular(sire: Ints, dam: Ints) -> Floats:
    """A, a row an animal, parents before children."""
    A = np.zeros((len(sire), len(sire)))
    for done, x in enumerate(order := _parents_first(sire, dam)):
        before = order[:done]
        for parent in (sire[x], dam[x]):
            if parent >= 0:
                A[x, before] += 0.5 * A[parent, before]
        A[before, x] = A[x, before]
        A[x, x] = 1.0 + (0.5 * A[sire[x], dam[x]] if min(sire[x], dam[x]) >= 0 else 0.0)
    return A


def inverse(sire: Ints, dam: Ints, F: Floats) -> sparse.csr_array:
    """A^-1, (J, J), by Henderson's rules from inbreeding coefficients F (J,)."""
    J = len(sire)
    share = sum((np.where(p >= 0, (1.0 + F[p]) / 4.0, 0.0) for p in (sire, dam)), np.zeros(J))
    segregates = 1.0 / (1.0 - share)
    # Each animal's w as (place, value) of itself and of its parents; place J is that of the unknown.
    places = np.column_stack([np.arange(J), np.where(sire >= 0, sire, J), np.where(dam >= 0, dam, J)])
    weights = np.array([1.0, -0.5, -0.5])
    rows = np.repeat(places, 3, axis=1).ravel()
    columns = np.tile(places, 3).ravel()
    values = (segregates[:, None] * np.outer(weights, weights).ravel()).ravel()
    whole = sparse.csr_array(sparse.coo_array((values, (rows, columns)), shape=(J + 1, J + 1)))
    return whole[:J, :J]


def inbreeding(sire: Ints, dam: Ints) -> Floats | None:
    """(J,) F: half the relationship of the parents; None where that asks for more pairs than `MOST_PAIRS`.

    From the youngest generation to the oldest each pair of animals is replaced by pairs with their parents,
    and on the way back the relationships of these are summed.
    """
    J, age = len(sire), _generation(sire, dam)
    both = (sire >= 0) & (dam >= 0)
    keys = np.unique(_key(sire[both], dam[both], J))
    waiting: dict[int, list[Ints]] = {}
    _sorted_in(waiting, keys, age, J)
    levels = list[tuple[int, Ints]]()
    total = 0
    for g in range(int(age.max(initial=0)), -1, -1):
        mine = np.unique(np.concatenate(waiting.pop(g, [np.empty(0, np.intp)])))
        total += len(mine)
        if total > MOST_PAIRS:
            return None
        levels.append((g, mine))
        children, _ = _replaced(mine, sire, dam, age, J)
        _sorted_in(waiting, np.unique(children[children >= 0]), age, J)
    known, values = np.empty(0, np.intp), np.empty(0)
    for _, mine in reversed(levels):
        children, halves = _replaced(mine, sire, dam, age, J)
        own = (mine // J == mine % J).astype(np.float64)
        at = np.minimum(np.searchsorted(known, children), max(len(known) - 1, 0))
        found = np.where(children >= 0, values[at], 0.0) if len(known) else np.zeros(children.shape)
        mean = own + (halves * found).sum(axis=1)
        order = np.argsort(np.concatenate([known, mine]), kind="stable")
        known, values = np.concatenate([known, mine])[order], np.concatenate([values, mean])[order]
    F = np.zeros(J)
    F[both] = 0.5 * values[np.searchsorted(known, _key(sire[both], dam[both], J))]
    return F


def _key(one: Ints, two: Ints, J: int) -> Ints:
    """A number for each unordered pair."""
    return np.minimum(one, two) * J + np.maximum(one, two)


def _sorted_in(waiting: dict[int, list[Ints]], keys: Ints, age: Ints, J: int) -> None:
    """Puts pairs where their younger member's generation is worked on."""
    younger = np.maximum(age[keys // J], age[keys % J])
    for g in np.unique(younger).tolist():
        waiting.setdefault(g, []).append(keys[younger == g])


def _replaced(pairs: Ints, sire: Ints, dam: Ints, age: Ints, J: int) -> tuple[Ints, Floats]:
    """(m, 4) the pairs that a pair's relationship is made of, -1 for none, and (m, 1) the part of each."""
    one, two = pairs // J, pairs % J
    one, two = np.where(age[one] >= age[two], one, two), np.where(age[one] >= age[two], two, one)
    same, level = one == two, (age[one] == age[two]) & (one != two)
    out = np.full((len(pairs), 4), -1, np.intp)
    parents = (sire[one], dam[one])
    for place, parent in enumerate(parents):  # the younger one's parents with the other
        held = ~same & ~level & (parent >= 0)
        out[held, place] = _key(parent[held], two[held], J)
    for place, (mine, other) in enumerate((a, b) for a in parents for b in (sire[two], dam[two])):
        held = level & (mine >= 0) & (other >= 0)  # of one generation: neither descends from the other
        out[held, place] = _key(mine[held], other[held], J)
    held = same & (parents[0] >= 0) & (parents[1] >= 0)
    out[held, 0] = _key(parents[0][held], parents[1][held], J)
    return out, np.where(level, 0.25, 0.5)[:, None]


def _parents_first(sire: Ints, dam: Ints) -> Ints:
    """The animals, none before a parent of its own."""
    return np.argsort(_generation(sire, dam), kind="stable")


def _generation(sire: Ints, dam: Ints) -> Ints:
    """(J,) the longest way from an animal up to a founder."""
    age = np.zeros(len(sire), np.intp)
    while True:
        older = [np.where(p >= 0, age[p] + 1, 0) for p in (sire, dam)]
        fresh = np.maximum(*older)
        if (fresh == age).all():
            return age
        age = fresh
