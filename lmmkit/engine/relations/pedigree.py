"""Pedigrees: the relationship matrix A of animals whose parents are known, by its sparse inverse.

With P the matrix of halves from parents, T = (I - P)^-1 and D the variance of what segregation adds,

    (1)  A = T D T',    A^-1 = (I - P)' D^-1 (I - P),    log|A| = sum log D
    (2)  D_i = 1 - sum over known parents (1 + F_parent) / 4,    A_ii = 1 + F_i
    (3)  F_i = A_sd / 2 = 1/2 sum_k T_sk D_k T_dk                 s and d its parents

Generation after generation: (3) needs the D of ancestors alone, once for each mating, and the rows of T of
those that have descendants yet to come.

Reference: Henderson (1976), A simple method for computing the inverse of a numerator relationship matrix,
Biometrics 32, 69-83; Quaas (1976), Computing the diagonal elements and inverse of a large numerator
relationship matrix, Biometrics 32, 949-953.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, eye_array, vstack

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.relations.relationship import Relationship
from lmmkit.errors import FitError, first_of

SHOWN = 8  # animals of a list that a message names


@dataclass(frozen=True, eq=False)
class Pedigree(Relationship):
    """The relationship matrix A of some animals.

    Attributes:
        animals: (J,) their names.
        sire: (J,) number of each one's father, -1: unknown.
        dam: (J,) number of each one's mother, -1: unknown.
        generations: The numbers of the animals, those of one generation together, parents first.
        added: Parents that were not listed as animals, and stand last as founders.
        both: Animals that are a sire and a dam.
    """

    animals: tuple[str, ...]
    sire: Ints
    dam: Ints
    generations: tuple[Ints, ...]
    added: tuple[str, ...] = ()
    both: tuple[str, ...] = ()

    @property
    def levels(self) -> int:
        """J."""
        return len(self.sire)

    @property
    def rank(self) -> int:
        """J: A is regular."""
        return self.levels

    @property
    def diagonal(self) -> Floats:
        """(J,) 1 + F."""
        return 1.0 + self.inbreeding

    @cached_property
    def inbreeding(self) -> Floats:
        """(J,) F: the share of an animal's loci at which both genes come from one ancestor's."""
        return _inbreeding(self)

    @cached_property
    def segregation(self) -> Floats:
        """(J,) D: (2)."""
        return 1.0 - _share(self.sire, self.inbreeding) - _share(self.dam, self.inbreeding)

    @cached_property
    def precision(self) -> csr_array:
        """(J, J) A^-1: (1)."""
        root = diags_array(1.0 / np.sqrt(self.segregation)) @ (eye_array(self.levels) - self.halves)
        return csr_array(root.T @ root)

    @cached_property
    def halves(self) -> csr_array:
        """(J, J) P, one half from each known parent."""
        pairs = [(parent >= 0).nonzero()[0] for parent in (self.sire, self.dam)]
        child = np.concatenate(pairs)
        parent = np.concatenate([self.sire[pairs[0]], self.dam[pairs[1]]])
        return csr_array((np.full(len(child), 0.5), (child, parent)), shape=(self.levels, self.levels))

    @property
    def logdet(self) -> float:
        """log|A|."""
        return float(np.log(self.segregation).sum())

    def unrelated(self, levels: Ints) -> bool:
        """Returns whether none of some animals is inbred, and no two of them have an ancestor in common."""
        if (self.inbreeding[levels] > 0.0).any():
            return False
        owner = np.full(self.levels, -1)  # whose ancestor an animal is
        owner[levels] = np.arange(len(levels))
        for members in self.generations[:0:-1]:
            for parent in (self.sire, self.dam):
                known = members[(parent[members] >= 0) & (owner[members] >= 0)]
                up, mine, before = parent[known], owner[known], owner[parent[known]]
                owner[up] = mine
                if ((before >= 0) & (before != mine)).any() or (owner[up] != mine).any():
                    return False
        return True

    def coloured(self, z: Floats) -> Floats:
        """Returns (J, m) T D^1/2 z: from parents to children, and what segregation adds."""
        u = np.sqrt(self.segregation)[:, None] * z.reshape(self.levels, -1)
        return self._down(u).reshape(z.shape)

    def times(self, x: Floats) -> Floats:
        """Returns (J, m) A x = T D T'x."""
        up = x.reshape(self.levels, -1).astype(np.float64)
        for members in self.generations[:0:-1]:
            for parent in (self.sire, self.dam):
                known = members[parent[members] >= 0]
                np.add.at(up, parent[known], 0.5 * up[known])
        return self._down(self.segregation[:, None] * up).reshape(x.shape)

    def _down(self, u: Floats) -> Floats:
        """T u, in place."""
        for members in self.generations[1:]:
            for parent in (self.sire, self.dam):
                known = members[parent[members] >= 0]
                u[known] += 0.5 * u[parent[known]]
        return u


def _share(parent: Ints, F: Floats) -> Floats:
    """What a known parent takes from the variance of segregation: (1 + F) / 4."""
    return np.where(parent >= 0, (1.0 + F[parent]) / 4.0, 0.0)


def pedigree_of(animals: Sequence[str], sires: Sequence[str], dams: Sequence[str]) -> Pedigree:
    """The pedigree of some animals.

    Args:
        animals: Their names, in any order.
        sires: The name of each one's father; empty: unknown.
        dams: The name of each one's mother; empty: unknown. Parents that are no animals of the list are
            added at its end, as founders.

    Raises:
        FitError: An animal stands there twice, without a name, is its own ancestor, or has one parent as
            sire and dam.

    >>> pedigree_of(["a", "b", "c", "d"], ["", "", "a", "c"], ["", "", "b", "b"]).inbreeding.tolist()
    [0.0, 0.0, 0.0, 0.25]
    """
    number = {name: i for i, name in enumerate(animals)}
    if len(number) < len(animals):
        seen = set[str]()
        twice = [name for name in animals if name in seen or seen.add(name)]
        raise FitError(f"A pedigree has {first_of(twice, SHOWN)} twice: keep one line of each animal.")
    if "" in number:
        raise FitError(f"A pedigree has no animal in line {number[''] + 1}: name it, or take the line out.")
    parents = dict.fromkeys(name for pair in zip(sires, dams, strict=True) for name in pair if name)
    added = tuple(name for name in parents if name not in number)
    number |= {name: len(animals) + i for i, name in enumerate(added)}
    number[""] = -1
    unknown = np.full(len(added), -1)
    sire = np.concatenate([np.array([number[s] for s in sires], dtype=np.intp), unknown])
    dam = np.concatenate([np.array([number[d] for d in dams], dtype=np.intp), unknown])
    names = (*animals, *added)
    same = np.flatnonzero((sire == dam) & (sire >= 0))
    if len(same):
        listed = first_of([f"{names[i]} (both {names[sire[i]]})" for i in same], SHOWN)
        raise FitError(
            f"A pedigree gives one parent as sire and as dam: {listed}. Correct it, or leave one unknown."
        )
    both = [int(i) for i in np.intersect1d(sire[sire >= 0], dam[dam >= 0])]
    generations = _generations(names, sire, dam)
    return Pedigree(names, sire, dam, generations, added, tuple(names[i] for i in both))


def _generations(names: Sequence[str], sire: Ints, dam: Ints) -> tuple[Ints, ...]:
    """Founders, then those whose parents all stand in earlier generations."""
    parents = [np.flatnonzero(parent >= 0) for parent in (sire, dam)]
    child = np.concatenate(parents)
    parent = np.concatenate([sire[parents[0]], dam[parents[1]]])
    order = np.argsort(parent, kind="stable")
    child, pointer = child[order], np.searchsorted(parent[order], np.arange(len(sire) + 1))
    waiting = (sire >= 0).astype(np.intp) + (dam >= 0)
    out, frontier, done = list[Ints](), np.flatnonzero(waiting == 0), 0
    while len(frontier):
        out.append(frontier)
        done += len(frontier)
        counts = pointer[frontier + 1] - pointer[frontier]
        inside = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        kids, times = np.unique(child[np.repeat(pointer[frontier], counts) + inside], return_counts=True)
        waiting[kids] -= times
        frontier = kids[waiting[kids] == 0]
    if done < len(sire):
        raise FitError(
            f"A pedigree makes an animal its own ancestor: {_cycle(names, sire, dam, waiting > 0)}. Correct "
            "one of these lines."
        )
    return tuple(out)


def _cycle(names: Sequence[str], sire: Ints, dam: Ints, left: NDArray[np.bool_]) -> str:
    """One cycle, from child to parent, among the animals that no generation takes."""
    at, path = int(np.flatnonzero(left)[0]), list[int]()
    while at not in path:
        path.append(at)
        at = int(sire[at] if sire[at] >= 0 and left[sire[at]] else dam[at])
    path = [*path[path.index(at) :], at]
    middle = ["..."] if len(path) > 2 * SHOWN else []
    shown = [names[i] for i in path]
    if middle:
        shown = [*shown[:SHOWN], *middle, *shown[-SHOWN:]]
    return " has the parent ".join(shown[:2]) + "".join(f", that {name}" for name in shown[2:])


def _inbreeding(pedigree: Pedigree) -> Floats:
    """(3), generation after generation."""
    sire, dam, J = pedigree.sire, pedigree.dam, pedigree.levels
    F, D, place = np.zeros(J), np.ones(J), np.full(J, -1)
    number = np.zeros(J, dtype=np.intp)  # of the generation
    for g, members in enumerate(pedigree.generations):
        number[members] = g
    last = np.full(J, -1)  # generation of an animal's last child
    for parent in (sire, dam):
        known = parent >= 0
        np.maximum.at(last, parent[known], number[known])
    rows, T = np.empty(0, dtype=np.intp), csr_array((0, J))
    for g, members in enumerate(pedigree.generations):
        s, d = sire[members], dam[members]
        full = (s >= 0) & (d >= 0)
        if full.any():
            pairs, mating = np.unique(s[full] * J + d[full], return_inverse=True)
            F[members[full]] = 0.5 * _kinship(T, place[pairs // J], place[pairs % J], D)[mating]
        D[members] = 1.0 - _share(s, F) - _share(d, F)
        if g + 1 == len(pedigree.generations):
            break
        own = members[last[members] > g]  # those with children to come
        halves = [_picked(T, place, parent[own]) for parent in (sire, dam)]
        unit = csr_array((np.ones(len(own)), own, np.arange(len(own) + 1)), shape=(len(own), J))
        stay = np.flatnonzero(last[rows] > g)
        T = csr_array(vstack([T[stay], 0.5 * (halves[0] + halves[1]) + unit], format="csr"))
        rows = np.concatenate([rows[stay], own])
        place[:] = -1
        place[rows] = np.arange(len(rows))
    return F


def _picked(T: csr_array, place: Ints, parent: Ints) -> csr_array:
    """The rows of T of each one's parent, zero where it is unknown."""
    known = np.flatnonzero(parent >= 0)
    pick = csr_array((np.ones(len(known)), (known, place[parent[known]])), shape=(len(parent), T.shape[0]))
    return csr_array(pick @ T)


def _kinship(T: csr_array, one: Ints, two: Ints, D: Floats) -> Floats:
    """sum_k T_ik D_k T_jk of pairs (i, j) of rows, some at a time."""
    out, size = np.empty(len(one)), np.diff(T.indptr)
    ends = np.cumsum(size[one] + size[two])
    begin = 0
    while begin < len(one):
        before = ends[begin - 1] if begin else 0
        end = max(int(np.searchsorted(ends, before + 4_000_000)), begin + 1)
        part = slice(begin, end)
        out[part] = T[one[part]].multiply(T[two[part]]) @ D
        begin = end
    return out
