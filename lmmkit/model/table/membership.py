"""Rows that belong to several levels of one grouping factor: which, and with what share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.errors import DataError
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.groups import Group
from lmmkit.model.table.columns import CodedColumn, Floats, Ints, Mask, Table
from lmmkit.model.table.evaluate import Evaluator
from lmmkit.model.table.labels import in_order, label_of

Member = tuple[Ints, Floats]
Rows = NDArray[np.intp] | None


@dataclass(frozen=True, eq=False)
class Members:
    """The memberships of some rows.

    Attributes:
        levels: (J,) the levels that occur in any of the columns.
        each: For each column (n,) levels and (n,) weights, both 0 where the row has no such member.
    """

    levels: Any
    each: tuple[Member, ...]


def members(group: Group, evaluator: Evaluator, rows: Rows) -> Members:
    """The memberships of the rows used; the levels are the union of the columns'.

    Raises:
        DataError: Columns of different types, no member anywhere, or weights that cannot be used.
    """
    table = evaluator.table
    factors = [_on(table.factor(name), rows) for name in group.names]
    _check_types(group, table)
    levels = _union(factors)
    codes = [_coded(factor, levels) for factor in factors]
    if not any((code >= 0).any() for code in codes):
        raise DataError(f"`{group}`: no row has a member in {_listed(group.names)}; leave the term out.")
    return Members(levels, shares(group, evaluator, codes, rows))


def shares(group: Group, evaluator: Evaluator, codes: Sequence[Ints], rows: Rows) -> tuple[Member, ...]:
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


def _weights(group: Group, evaluator: Evaluator, present: Mask, rows: Rows) -> Floats:
    """(n, m) weights of each member."""
    assert group.members is not None
    n, given = len(present), group.members.weights
    if not given:
        return np.ones_like(present, float) / np.maximum(present.sum(axis=1, keepdims=True), 1)
    columns = [_on_rows(evaluator.numbers(w), rows) if isinstance(w, Expression) else w for w in given]
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


def _scaled(group: Group, weights: Floats, present: Mask, rows: Rows) -> Floats:
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


def _on(factor: CodedColumn, rows: Rows) -> CodedColumn:
    return factor if rows is None else CodedColumn(factor.codes[rows], factor.levels)


def _on_rows(values: Floats, rows: Rows) -> Floats:
    return values if rows is None else values[rows]


def _place(row: int, rows: Rows) -> int:
    """The number of a row, from 1, in the table as given."""
    return int(row if rows is None else rows[row]) + 1


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
