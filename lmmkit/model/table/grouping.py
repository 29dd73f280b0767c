"""Grouping factors in the data: codes of the rows, levels in order, and how two groupings relate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from lmmkit.errors import DataError, first_of
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.groups import Group
from lmmkit.model.table.columns import CodedColumn, Floats, Ints, Mask, Table, of_rows, renumbered
from lmmkit.model.table.evaluate import Evaluator
from lmmkit.model.table.known import Known
from lmmkit.model.table.labels import in_order, label_of, level_texts

Member = tuple[Ints, Floats]


@dataclass(frozen=True, eq=False)
class Grouping:
    """A grouping factor on the rows used; every level occurs, but for those that a known covariance adds.

    Attributes:
        name: lme4's label: `g`, `cask:batch`; `mm(t1, t2)`.
        codes: (n,) level of each row; where rows belong to several, that of the first.
        size: Number of levels.
        parts: For each column of the grouping its levels, and which of them each level has.
        members: Where rows belong to several levels, for each membership (n,) levels and (n,) weights.
        known: The known covariance of the levels' effects; None: they are independent.
    """

    name: str
    codes: Ints
    size: int
    parts: tuple[tuple[Any, Ints], ...]
    members: tuple[Member, ...] = ()
    known: Known | None = None

    @property
    def plain(self) -> bool:
        """Whether each row has one level, and the levels are independent."""
        return not self.members and self.known is None

    @property
    def held(self) -> tuple[Member, ...]:
        """The memberships of the rows, mostly one."""
        return self.members or ((self.codes, np.ones(len(self.codes))),)

    @cached_property
    def row_variances(self) -> Floats | None:
        """(n,) variance of the rows' effects where a level has variance 1; None where it is 1 in all rows."""
        if self.plain:
            return None
        if not self.members:
            assert self.known is not None
            return self.known.relationship.diagonal[self.codes]
        M = weight_matrix(self)
        if self.known is None:
            return np.asarray(M.power(2).sum(axis=1), np.float64)
        pairs = [(a, b) for a in self.members for b in self.members]
        return sum((v * w * self.known.pairs(c, d) for (c, v), (d, w) in pairs), np.zeros(len(self.codes)))

    @cached_property
    def observed(self) -> NDArray[np.bool_]:
        """(J,) which levels have rows."""
        seen = np.zeros(self.size, bool)
        for codes, weights in self.held:
            seen[codes[weights != 0]] = True
        return seen

    @cached_property
    def levels(self) -> pd.Index[str]:
        """Names of the levels: `308`, or `a:A` for an interaction."""
        texts = [level_texts(levels)[which] for levels, which in self.parts]
        joined = texts[0]
        for text in texts[1:]:
            joined = np.array([f"{a}:{b}" for a, b in zip(joined, text, strict=True)], object)
        return pd.Index(joined, dtype="str" if joined.size else object, name=self.name)


def grouping(group: Group, evaluator: Evaluator, rows: Ints | None, known: Known | None = None) -> Grouping:
    """A grouping factor on the rows used, unused levels left out.

    The levels of an interaction vary fastest in its last column, as in R; those of a known covariance are its
    labels, all of them.

    Raises:
        DataError: Members that cannot be used, or levels that the known covariance does not have.
    """
    made = _several(group, evaluator, rows) if group.members else _single(group, evaluator.table, rows)
    return made if known is None else _related(made, known, rows)


def _several(group: Group, evaluator: Evaluator, rows: Ints | None) -> Grouping:
    """Several memberships a row."""
    found = members(group, evaluator, rows)
    size = len(found.levels)
    return Grouping(group.label, found.each[0][0], size, ((found.levels, np.arange(size)),), found.each)


def _related(plain: Grouping, known: Known, rows: Ints | None) -> Grouping:
    """The same with the levels of a known covariance."""
    place = known.labels.get_indexer(plain.levels)
    absent = np.flatnonzero(place < 0)
    if len(absent):
        where = np.flatnonzero(np.any([(c == absent[0]) & (w != 0) for c, w in plain.held], axis=0))
        first = int(where[0] if rows is None else rows[where[0]]) + 1
        labels = [str(level) for level in plain.levels[absent]]
        raise DataError(
            f"known: `{plain.name}` has {len(absent):,} level{'s' if len(absent) > 1 else ''} in the rows "
            f"used that {known.words} does not list: {first_of(labels, 5)} ({labels[0]} in row {first}); "
            "add them, or leave their rows out."
        )
    size = len(known.labels)
    each = tuple((place[codes].astype(np.intp), weights) for codes, weights in plain.members)
    codes = place[plain.codes].astype(np.intp)
    return Grouping(plain.name, codes, size, ((known.labels, np.arange(size)),), each, known)


def _single(group: Group, table: Table, rows: Ints | None) -> Grouping:
    """One level a row."""
    parts = [_used(table, name, rows) for name in group.names]
    codes, size, levels = parts[0]
    if len(parts) == 1:
        return Grouping(group.label, codes, size, ((levels, np.arange(size)),))
    which = [np.arange(size)]
    for other, width, _ in parts[1:]:
        codes, pairs = renumbered(codes * width + other, size * width)
        size = len(pairs)
        which = [index[pairs // width] for index in which] + [pairs % width]
    sources = [levels for _, _, levels in parts]
    return Grouping(group.label, codes, size, tuple(zip(sources, which, strict=True)))


def _used(table: Table, name: str, rows: Ints | None) -> tuple[Ints, int, Any]:
    factor = table.factor(name)
    codes, present = factor.used(rows)
    levels = factor.levels if len(present) == len(factor.levels) else factor.levels[present]
    return codes, len(present), levels


def labels_of(names: Sequence[str]) -> list[str]:
    """Names made unique as R does: `g`, `g.1`, `g.2`."""
    taken = set(names)
    seen: dict[str, int] = {}
    labels: list[str] = []
    for name in names:
        if name not in seen:
            seen[name] = 0
            labels.append(name)
            continue
        seen[name] += 1
        while f"{name}.{seen[name]}" in taken:
            seen[name] += 1
        labels.append(f"{name}.{seen[name]}")
        taken.add(labels[-1])
    return labels


FEW = 12
MOST_CELLS = 50_000_000


@dataclass(frozen=True)
class Relation:
    """Two grouping factors, the finer one first.

    Attributes:
        fine: Name of the factor with more levels.
        coarse: Name of the other.
        kind: nested (each level of `fine` within one of `coarse`) or crossed.
        cells: Number of combinations of levels that occur.
    """

    fine: str
    coarse: str
    kind: str
    cells: int


def relations(groupings: Sequence[Grouping]) -> tuple[Relation, ...]:
    """The relation of every pair."""
    return tuple(_pair(a, b) for a, b in combinations(groupings, 2) if not (a.members or b.members))


def _pair(first: Grouping, second: Grouping) -> Relation:
    fine, coarse = (first, second) if first.size >= second.size else (second, first)
    if determines(fine, coarse):
        return Relation(fine.name, coarse.name, "nested", fine.size)
    return Relation(fine.name, coarse.name, "crossed", cell_count(fine, coarse))


def determines(fine: Grouping, coarse: Grouping) -> bool:
    """Whether each level of `fine` lies within one level of `coarse`."""
    parent = np.empty(fine.size, np.intp)
    parent[fine.codes] = coarse.codes
    return bool((parent[fine.codes] == coarse.codes).all())


def cell_count(first: Grouping, second: Grouping) -> int:
    """Number of combinations of levels that occur."""
    return len(renumbered(first.codes * second.size + second.codes, first.size * second.size)[1])


def same_grouping(groupings: Sequence[Grouping]) -> tuple[str, str] | None:
    """Two factors that divide the rows alike, or None."""
    for a, b in combinations(groupings, 2):
        if a.size == b.size and a.known is None and b.known is None and _alike(a, b):
            return a.name, b.name
    return None


def _alike(first: Grouping, second: Grouping) -> bool:
    """Whether two factors of as many levels give the rows the same effects, up to their names."""
    if first.plain and second.plain:
        return determines(first, second)
    one, two = weight_matrix(first), weight_matrix(second)
    return abs(one @ one.T - two @ two.T).max() <= 1e-12


def weight_matrix(factor: Grouping) -> sparse.csr_array:
    """(n, J) weight of each level in each row."""
    rows = np.tile(np.arange(len(factor.codes)), len(factor.held))
    codes = np.concatenate([codes for codes, _ in factor.held])
    weights = np.concatenate([weights for _, weights in factor.held])
    return sparse.csr_array((weights, (rows, codes)), shape=(len(factor.codes), factor.size))


def reused_labels(groupings: Sequence[Grouping]) -> list[str]:
    """Sentences about factors whose labels begin anew within each level of another.

    Casks a, b, c within batches A, B, ..., or pupils 1 to 23, 1 to 27, ... within classes read as crossed
    although each batch has casks and each class pupils of its own. It is said when the labels are bare
    numbers or letters, those within every level of the other factor are the first ones, and the cells have
    several rows each (with one row the nested reading has no variance to estimate). Where all cells occur,
    only a factor of few labels is suspected: others are mostly items that every person has seen.
    """
    plain = [grouping for grouping in groupings if len(grouping.parts) == 1 and grouping.plain]
    if len(plain) < 2:
        return []
    found = dict[frozenset[str], str]()
    for child in sorted(plain, key=lambda grouping: grouping.size):
        for parent in plain if _is_running(list(child.levels)) else ():
            pair = frozenset((child.name, parent.name))
            text = None if child is parent or pair in found else _reuse(child, parent, groupings)
            if text is not None:
                found[pair] = text
    return list(found.values())


def reused_within(child: Grouping, parent: Grouping) -> str | None:
    """The same sentence of one factor and one that it may lie within, such as subjects and arms; or None."""
    if child.parts[1:] or not child.plain or not _is_running(list(child.levels)):
        return None
    return _reuse(child, parent, [child])


def _is_running(labels: list[str]) -> bool:
    """Whether labels are bare numbers or letters in a row: 1, 2, 3 or a, b, c."""
    numbers = all(label.isascii() and label.isdigit() for label in labels)
    letters = all(label.isascii() and label.isalpha() and len(label) == 1 for label in labels)
    if not (numbers or letters):
        return False
    places = sorted(int(label) if numbers else ord(label) for label in labels)
    return places == list(range(places[0], places[0] + len(places)))


def _reuse(child: Grouping, parent: Grouping, groupings: Sequence[Grouping]) -> str | None:
    names = {child.name, parent.name}
    if any(names <= set(g.name.replace("(", "").replace(")", "").split(":")) for g in groupings):
        return None
    if child.size * parent.size > MOST_CELLS:
        return None
    counts = np.bincount(parent.codes * child.size + child.codes, minlength=parent.size * child.size)
    present = counts.reshape(parent.size, child.size)[:, _by_value(child)] > 0
    cells, full = int(present.sum()), bool(present.all())
    first_ones = bool((present[:, 1:] <= present[:, :-1]).all())
    if not first_ones or cells <= max(parent.size, child.size) or 2 * len(child.codes) < 3 * cells:
        return None
    if full and (child.size > FEW or child.size >= parent.size):
        return None
    either = full and parent.size <= FEW and _is_running(list(parent.levels))
    other = f"; if it is the other way round, (1 | {child.name}/{parent.name})" if either else ""
    return (
        f"`{child.name}` has {child.size} levels, but {cells} within `{parent.name}`: if each level of "
        f"`{parent.name}` has levels of `{child.name}` of its own under the same labels, "
        f"write (1 | {parent.name}/{child.name}){other}."
    )


def _by_value(factor: Grouping) -> Ints:
    """Its levels in the order of their numbers, where they are numbers."""
    labels = list(factor.levels)
    return np.array(sorted(range(len(labels)), key=lambda i: (len(labels[i]), labels[i])), np.intp)


# Rows that belong to several levels: which, and with what share


@dataclass(frozen=True, eq=False)
class Members:
    """The memberships of some rows.

    Attributes:
        levels: (J,) the levels that occur in any of the columns.
        each: For each column (n,) levels and (n,) weights, both 0 where the row has no such member.
    """

    levels: Any
    each: tuple[Member, ...]


def members(group: Group, evaluator: Evaluator, rows: Ints | None) -> Members:
    """The memberships of the rows used; the levels are the union of the columns'.

    Raises:
        DataError: Columns of different types, no member anywhere, or weights that cannot be used.
    """
    table = evaluator.table
    factors = [
        replace(factor, codes=of_rows(factor.codes, rows)) for factor in map(table.factor, group.names)
    ]
    _check_types(group, table)
    levels = _union(factors)
    codes = [_coded(factor, levels) for factor in factors]
    if not any((code >= 0).any() for code in codes):
        raise DataError(f"`{group}`: no row has a member in {_listed(group.names)}; leave the term out.")
    return Members(levels, shares(group, evaluator, codes, rows))


def shares(
    group: Group, evaluator: Evaluator, codes: Sequence[Ints], rows: Ints | None
) -> tuple[Member, ...]:
    """Codes with the weight of each membership, 0 where there is none.

    Args:
        group: The grouping factor.
        evaluator: Reads its weights, on all rows of its table.
        codes: For each column (n,) levels of the rows, -1 for none.
        rows: Positions of the rows in the table; None for all.

    Raises:
        DataError: A weight is missing, negative where weights are scaled, or all of a row are 0 there.
    """
    assert group.members is not None
    present = np.column_stack([code >= 0 for code in codes])
    weights = np.where(present, _weights(group, evaluator, present, rows), 0.0)
    pairs = zip(codes, weights.T, strict=True)
    return tuple((np.maximum(code, 0), np.ascontiguousarray(weight)) for code, weight in pairs)


def _weights(group: Group, evaluator: Evaluator, present: Mask, rows: Ints | None) -> Floats:
    """(n, m) weights of each member."""
    assert group.members is not None
    n, given = len(present), group.members.weights
    if not given:
        return np.ones_like(present, float) / np.maximum(present.sum(axis=1, keepdims=True), 1)
    columns = [of_rows(evaluator.numbers(w), rows) if isinstance(w, Expression) else w for w in given]
    weights = np.column_stack([np.broadcast_to(column, n) for column in columns]).astype(float)
    gaps = present & np.isnan(weights)
    if gaps.any():
        row, member = np.argwhere(gaps)[0]
        raise DataError(
            f"`{group}`: the weight `{given[member]}` is missing in row {_place(row, rows)}, which has a "
            f"member in `{group.names[member]}` ({gaps.any(axis=1).sum():,} such rows); fill it, or leave "
            "the member empty."
        )
    return _scaled(group, weights, present, rows) if group.members.scale else weights


def _scaled(group: Group, weights: Floats, present: Mask, rows: Ints | None) -> Floats:
    """Weights of which those of each row sum to 1."""
    negative = present & (weights < 0)
    if negative.any():
        row, member = np.argwhere(negative)[0]
        raise DataError(
            f"`{group}`: the weight of `{group.names[member]}` is {weights[row, member]:g} in row "
            f"{_place(row, rows)} ({negative.any(axis=1).sum():,} such rows), and scale=TRUE divides the "
            "weights of a row by their sum: positive ones are expected. Write scale=FALSE to take weights as "
            "they are, such as c(1, -1) for a difference."
        )
    sums = np.where(present, weights, 0.0).sum(axis=1)
    empty = np.flatnonzero(present.any(axis=1) & (sums == 0))
    if len(empty):
        raise DataError(
            f"`{group}`: the weights of row {_place(empty[0], rows)} are all 0 ({len(empty):,} such rows), "
            "which cannot be scaled to sum to 1; give positive weights, or leave its members empty."
        )
    return weights / np.where(sums == 0, 1.0, sums)[:, None]


def _check_types(group: Group, table: Table) -> None:
    """Refuse numbers beside text: whether 7 is "7" cannot be told."""
    kinds = {name: _kind(table, name) for name in group.names if not table.column(name).isna().all()}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"`{name}` holds {_plural(kind)}" for name, kind in kinds.items())
        raise DataError(
            f"`{group}`: {told}; members are levels of one grouping factor, so its columns are expected to "
            "be of one type: make all of them text, or all of them numbers."
        )


def _kind(table: Table, name: str) -> str:
    try:
        return table.kind(name)
    except DataError:  # dates and the like, which may well be labels
        return f"{table.column(name).dtype} values"


def _plural(kind: str) -> str:
    return {"number": "numbers", "truth": "truth values"}.get(kind, kind)


def _union(factors: Sequence[CodedColumn]) -> Any:
    """The levels that occur, in a Categorical's order where all columns have it, else sorted."""
    present = [pd.Index(f.levels)[np.unique(f.codes[f.codes >= 0])] for f in factors]
    first = pd.Index(factors[0].levels)
    if all(pd.Index(f.levels).equals(first) for f in factors[1:]):
        occurs = np.zeros(len(first), bool)
        for factor in factors:
            occurs[factor.codes[factor.codes >= 0]] = True
        return first[occurs]
    together = present[0]
    for other in present[1:]:
        together = together.append(other)
    distinct = list(dict.fromkeys(together.tolist()))
    try:
        return pd.Index(sorted(distinct), dtype=object)
    except TypeError:
        named = {label_of(level): level for level in distinct}
        return pd.Index([named[label] for label in in_order(named)], dtype=object)


def _coded(factor: CodedColumn, levels: Any) -> Ints:
    """(n,) places among the levels, -1 where missing."""
    place = pd.Index(levels).get_indexer(pd.Index(factor.levels))
    if not len(place):
        return np.full(len(factor.codes), -1, np.intp)
    return np.where(factor.codes >= 0, place[factor.codes], -1).astype(np.intp)


def _place(row: int, rows: Ints | None) -> int:
    """The number of a row, from 1, in the table as given."""
    return int(row if rows is None else rows[row]) + 1


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
