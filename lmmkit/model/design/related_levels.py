"""Whether a term with several memberships or a known covariance can be told from the residuals; what to say.

Its variance cannot be where Z K Z' is a multiple of the residuals' covariance matrix W^-1: rows that are
unrelated, each with a variance in the same proportion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.relations.pedigree import Pedigree
from lmmkit.errors import DataError
from lmmkit.model.formula.groups import Group
from lmmkit.model.table.grouping import Grouping, weight_matrix

Floats = NDArray[np.float64]

PROPORTIONAL = 1e-8


def check_told_apart(
    text: str, grouping: Grouping, columns: Sequence[Floats], weights: Floats | None
) -> None:
    """Refuse a term of one column whose variance cannot be told from the residual's.

    Raises:
        DataError: Z K Z' is a multiple of W^-1.
    """
    if len(columns) > 1:
        return
    noise = np.ones(len(grouping.codes)) if weights is None else 1.0 / weights
    variances = _unrelated(grouping, columns[0])
    if variances is None:
        return
    ratio = variances / noise
    if ratio.max() - ratio.min() <= PROPORTIONAL * ratio.max():
        known = f", and {grouping.known.words} relates none of them" if grouping.known else ""
        raise DataError(
            f"`{text}`: each of the {len(noise):,} rows has an effect of its own{known}: the variance cannot "
            "be told from the residual's; give relatives, or more rows for each level, or leave the term out."
        )


def _unrelated(grouping: Grouping, column: Floats) -> Floats | None:
    """(n,) variances of the rows' effects where no two rows are correlated, else None."""
    Z = weight_matrix(grouping)
    known = grouping.known
    if known is None:
        V = (Z @ Z.T).tocoo()
        return None if (V.data[V.row != V.col] != 0).any() else (Z.power(2).sum(axis=1)) * column**2
    if len(np.unique(grouping.codes)) < len(grouping.codes) and not grouping.members:
        return None  # two rows of one level
    if known.pedigree is not None:
        seen = np.flatnonzero(grouping.observed)
        return None if _have_common_ancestors(known.pedigree, seen) else column**2
    V = Z @ known.dense() @ Z.T
    diagonal = np.diag(V).copy()
    np.fill_diagonal(V, 0.0)
    return None if np.abs(V).max() > PROPORTIONAL * diagonal.max() else diagonal * column**2


def _have_common_ancestors(pedigree: Pedigree, animals: NDArray[np.intp]) -> bool:
    """Whether two of some animals have an ancestor in common, or one is an ancestor of another.

    One who is inbred counts as well: its variance is not that of the others.
    """
    owner: dict[int, int] = {}
    for animal in animals.tolist():
        ways = [animal]
        while ways:
            at = ways.pop()
            if at in owner:
                return True
            owner[at] = animal
            ways += [int(parent[at]) for parent in (pedigree.sire, pedigree.dam) if parent[at] >= 0]
    return False


def said(groupings: Mapping[str, Grouping], groups: Mapping[str, Group]) -> list[str]:
    """Sentences about members that are missing and levels without rows."""
    notices = list[str]()
    for label, grouping in groupings.items():
        if grouping.known is not None:
            notices += grouping.known.notices
        if grouping.members:
            notices += _missing_members(label, grouping)
            notices += _beside(groups[label], groups)
    return notices


def _missing_members(label: str, grouping: Grouping) -> list[str]:
    present = np.column_stack([weights != 0 for _, weights in grouping.members])
    count, most = present.sum(axis=1), present.shape[1]
    none, fewer = int((count == 0).sum()), int(((count > 0) & (count < most)).sum())
    notices = list[str]()
    if fewer:
        notices.append(
            f"`{label}`: {fewer:,} row{'s have' if fewer > 1 else ' has'} fewer than {most} members with a "
            "weight; what is missing is left out."
        )
    if none:
        notices.append(
            f"`{label}`: {none:,} row{'s have' if none > 1 else ' has'} no member, and "
            f"{'keep' if none > 1 else 'keeps'} the fixed part without an effect of `{label}`."
        )
    return notices


def _beside(group: Group, groups: Mapping[str, Group]) -> list[str]:
    """What a plain term of a member's column means beside the memberships."""
    return [
        f"`(... | {other})` beside `{group}`: a level of `{other}` has an effect of its own there, beside "
        f"its share as a member; leave (... | {other}) out unless that is meant."
        for other, plain in groups.items()
        if plain.members is None and set(plain.names) & set(group.names)
    ]
