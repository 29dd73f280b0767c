"""Known covariances between the levels of a grouping factor, as users give them: a matrix or a pedigree.

`lmm(..., known={"animal": K})` says Var(u) = sigma_u^2 K in place of sigma_u^2 I. What is read here has a
label for each level, what is wrong with it is said with its labels, and levels without rows are kept, for
they are predicted too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from lmmkit.errors import DataError, Findings, FormulaError, did_you_mean
from lmmkit.model.table.columns import Floats, Ints, open_table
from lmmkit.model.table.labels import level_texts

SIRES, DAMS = ("sire", "father"), ("dam", "mother")
ANIMALS = ("animal", "id", "individual")
#: How files write a parent that is not known.
UNKNOWN = re.compile(r"\s*(0+|NA|NaN|nan|None|<NA>|[.*?-])?\s*")
SYMMETRIC = 1e-8  # of the largest entry: what two roundings of one covariance may differ by
SEMIDEFINITE = 1e-8  # of the largest eigenvalue: how negative rounding may make the least one
SHOWN = 5  # labels in a message


@dataclass(frozen=True, eq=False)
class KnownMatrix:
    """A covariance matrix of the levels' effects, up to a scale.

    Attributes:
        labels: (J,) the levels.
        matrix: (J, J) K, symmetric and positive semidefinite.
    """

    labels: pd.Index[str]
    matrix: Floats = field(repr=False)
    notices: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What it is, for a summary."""
        return f"a known covariance matrix of {len(self.labels):,} levels"

    @cached_property
    def eigenvalues(self) -> Floats:
        """(J,) eigenvalues of K, the largest first."""
        return np.linalg.eigvalsh(self.matrix)[::-1].astype(np.float64)


@dataclass(frozen=True, eq=False)
class Pedigree:
    """Who descends from whom: K is the numerator relationship matrix A.

    Attributes:
        labels: (J,) the animals: those of the table in its order, then parents that it does not list.
        sires: (J,) position of each one's sire, -1 where unknown.
        dams: (J,) position of each one's dam, -1 where unknown.
        notices: Sentences about what was added or looks wrong.
    """

    labels: pd.Index[str]
    sires: Ints = field(repr=False)
    dams: Ints = field(repr=False)
    notices: tuple[str, ...] = ()

    @property
    def founders(self) -> int:
        """Animals neither of whose parents is known."""
        return int(((self.sires < 0) & (self.dams < 0)).sum())

    @property
    def words(self) -> str:
        """What it is, for a summary."""
        animals = f"{len(self.labels):,} animal{'s' if len(self.labels) != 1 else ''}"
        return f"a pedigree of {animals}, {self.founders:,} founder{'s' if self.founders != 1 else ''}"


Known = KnownMatrix | Pedigree


def read_known(given: Any, groups: Sequence[str]) -> dict[str, Known]:
    """Known covariances by grouping factor.

    Args:
        given: By grouping factor a square DataFrame with labels, or a pedigree: a table of animal, sire, dam.
        groups: The grouping factors of the model.

    Raises:
        FormulaError: Not a mapping, or of a factor that is not in the model.
        DataError: A matrix or pedigree that cannot be used; the message names the labels.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise FormulaError(
            "known: covariances by grouping factor are expected, such as known={'animal': K}, not "
            f"{type(given).__name__}."
        )
    made, found = dict[str, Known](), Findings()
    for group, one in cast("Mapping[Any, Any]", given).items():
        with found.part("known", str(group)):
            if group not in groups:
                raise FormulaError(_not_in_model(str(group), groups))
            made[group] = read_one(one, group)
    found.raise_found()
    return made


def _not_in_model(group: str, groups: Sequence[str]) -> str:
    has = ", ".join(f"`{name}`" for name in groups) or "none"
    return (
        f"known: `{group}` is no grouping factor of the model{did_you_mean(group, groups) or '.'} "
        f"It has {has}; write (1 | {group}) into the formula, or leave `{group}` out of known."
    )


def read_one(given: Any, group: str) -> Known:
    """One known covariance, from whatever the user has it in."""
    if isinstance(given, KnownMatrix | Pedigree):
        return given
    frame = _as_frame(given, group)
    parents = _parents(frame, group)
    return _matrix(frame, group) if parents is None else _pedigree(frame, group, parents)


def _as_frame(given: Any, group: str) -> pd.DataFrame:
    expected = (
        "a square DataFrame with the labels of the levels as index and columns, or a pedigree, a table with "
        "the columns animal, sire and dam"
    )
    if isinstance(given, pd.DataFrame):
        return given
    kind = type(given).__name__
    if isinstance(given, np.ndarray | list | tuple):
        raise DataError(
            f"known: `{group}` is given as {kind}, which says nothing about the levels that "
            f"its rows stand for; {expected} is expected: pd.DataFrame(K, index=labels, columns=labels)."
        )
    import narwhals as nw

    try:
        return nw.from_native(given, eager_only=True).to_pandas()
    except TypeError:
        raise DataError(f"known: `{group}` is given as {kind}; {expected} is expected.") from None


# Matrices


def _matrix(frame: pd.DataFrame, group: str) -> KnownMatrix:
    where = f"known: the matrix of `{group}`"
    if frame.shape[0] != frame.shape[1]:
        raise DataError(
            f"{where} has {frame.shape[0]:,} rows and {frame.shape[1]:,} columns; a square one is expected, "
            "with the labels of the levels as index and columns, or a pedigree: a table with the columns "
            "animal, sire and dam."
        )
    if not len(frame):
        raise DataError(f"{where} is empty.")
    labels = pd.Index(level_texts(frame.columns), dtype=object)
    rows = pd.Index(level_texts(frame.index), dtype=object)
    # Without an index of its own (CSV, polars) the rows are in the order of the columns.
    rows = labels if isinstance(frame.index, pd.RangeIndex) and not rows.equals(labels) else rows
    _check_once(labels, f"{where} has the column labels")
    _check_once(rows, f"{where} has the row labels")
    order = rows.get_indexer(labels)
    if (order < 0).any():
        only, other = labels[order < 0], rows[labels.get_indexer(rows) < 0]
        raise DataError(
            f"{where}: its rows and columns are labelled differently: {_some(only)} among the columns alone, "
            f"{_some(other)} among the rows alone; the same labels are expected in both."
        )
    K = _numbers(frame, where)[order]
    _check_symmetric(K, labels, where)
    K = (K + K.T) / 2.0
    _check_semidefinite(K, labels, where)
    return KnownMatrix(labels.astype("str"), K)


def _numbers(frame: pd.DataFrame, where: str) -> Floats:
    try:
        K = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        bad = [str(name) for name, column in frame.items() if not pd.api.types.is_numeric_dtype(column.dtype)]
        raise DataError(f"{where} holds text in column {_some(bad)}; numbers are expected.") from None
    i, j = np.nonzero(~np.isfinite(K))
    if len(i):
        raise DataError(
            f"{where} has no finite number at row {frame.index[i[0]]}, column {frame.columns[j[0]]} "
            f"({len(i):,} in all); every covariance is needed, 0 for unrelated levels."
        )
    return K


def _check_once(labels: pd.Index[Any], what: str) -> None:
    twice = labels[labels.duplicated()].unique()
    if len(twice):
        raise DataError(f"{what} {_some(twice)} more than once; each level is expected once.")


def _check_symmetric(K: Floats, labels: pd.Index[Any], where: str) -> None:
    apart = np.abs(K - K.T)
    i, j = divmod(int(apart.argmax()), len(K))
    if apart[i, j] > SYMMETRIC * float(np.abs(K).max()):
        raise DataError(
            f"{where} is not symmetric: {K[i, j]:.6g} at row {labels[i]}, column {labels[j]}, but "
            f"{K[j, i]:.6g} at row {labels[j]}, column {labels[i]}; a covariance matrix is expected."
        )


def _check_semidefinite(K: Floats, labels: pd.Index[Any], where: str) -> None:
    if not K.any():
        raise DataError(f"{where} is zero throughout; covariances are expected.")
    negative = np.flatnonzero(np.diag(K) < 0)
    if len(negative):
        i = int(negative[0])
        raise DataError(
            f"{where} has the negative variance {K[i, i]:.6g} at {labels[i]}; a covariance matrix is "
            "expected."
        )
    values = np.linalg.eigvalsh(K)
    if values[0] < -SEMIDEFINITE * values[-1]:
        raise DataError(
            f"{where} is not positive semidefinite: its least eigenvalue is {values[0]:.6g}, the largest "
            f"{values[-1]:.6g}; no effects have such covariances. Was it rounded, or put together from "
            "parts? Take it from where it was computed, or add a constant to its diagonal and say so."
        )


# Pedigrees


def _parents(frame: pd.DataFrame, group: str) -> tuple[Any, Any, Any] | None:
    """The columns of animal, sire and dam; None where the table is no pedigree."""
    names = {str(name).strip().lower(): name for name in frame.columns}
    sire = next((names[word] for word in SIRES if word in names), None)
    dam = next((names[word] for word in DAMS if word in names), None)
    labelled = frame.shape[0] == frame.shape[1] and set(map(str, frame.index)) == set(map(str, frame.columns))
    if labelled or (sire is None and dam is None):
        return None
    others = [name for name in frame.columns if name not in (sire, dam)]
    own = [names[word] for word in (group.lower(), *ANIMALS) if word in names]
    if sire is None or dam is None or not (own or len(others) == 1):
        listed = ", ".join(map(str, frame.columns))
        raise DataError(
            f"known: the pedigree of `{group}` has the columns {listed}; animal (or `{group}`), sire and dam "
            "are expected."
        )
    return (own or others)[0], sire, dam


def _pedigree(frame: pd.DataFrame, group: str, parents: tuple[Any, Any, Any]) -> Pedigree:
    where = f"known: the pedigree of `{group}`"
    texts = [_texts(frame, name) for name in parents]
    animals, sires, dams = (pd.Index(column, dtype=object) for column in texts)
    _check_animals(animals, where)
    listed = set(texts[0])
    added = list(
        dict.fromkeys(p for column in texts[1:] for p in column if p is not None and p not in listed)
    )
    labels = animals.append(pd.Index(added, dtype=object))
    none = np.full(len(added), -1, np.intp)
    sire, dam = (
        np.concatenate([np.where(column.isna(), -1, labels.get_indexer(column)).astype(np.intp), none])
        for column in (sires, dams)
    )
    _check_parents(sire, dam, labels, where)
    return Pedigree(labels.astype("str"), sire, dam, tuple(_notices(sire, dam, labels, added, where)))


def _texts(frame: pd.DataFrame, name: Any) -> list[str | None]:
    """A column of labels, None where it holds none."""
    column = open_table(frame.rename(columns={name: str(name)}), [str(name)]).factor(str(name))
    levels = [None if UNKNOWN.fullmatch(text) else text for text in level_texts(column.levels).tolist()]
    return [levels[code] if code >= 0 else None for code in column.codes]


def _check_animals(animals: pd.Index[Any], where: str) -> None:
    nameless = np.flatnonzero(animals.isna())
    if len(nameless):
        raise DataError(
            f"{where} names no animal in {len(nameless):,} of its rows, first in row {nameless[0] + 1} "
            "(empty, NA and 0 mean unknown); a label is expected in each row."
        )
    twice = animals[animals.duplicated()].unique()
    if len(twice):
        rows = ", ".join(str(row + 1) for row in np.flatnonzero(animals == twice[0])[:SHOWN])
        more = f" (and {len(twice) - 1:,} more animals)" if len(twice) > 1 else ""
        raise DataError(
            f"{where} lists {twice[0]} more than once, in rows {rows}{more}; one row an animal is expected."
        )


def _check_parents(sire: Ints, dam: Ints, labels: pd.Index[Any], where: str) -> None:
    same = np.flatnonzero((sire >= 0) & (sire == dam))
    if len(same):
        i = int(same[0])
        raise DataError(
            f"{where} gives {labels[i]} the same animal, {labels[sire[i]]}, as sire and dam (row {i + 1}; "
            f"{len(same):,} such rows); two parents are expected: leave the one that is not known empty."
        )
    circle = _circle(sire, dam)
    if circle:
        path = " -> ".join(str(labels[i]) for i in circle)
        raise DataError(
            f"{where} makes {labels[circle[0]]} its own ancestor: {path} (each a parent of the one before); "
            "one of these parents is wrong."
        )


def _circle(sire: Ints, dam: Ints) -> list[int]:
    """Animals from child to parent back to the first one; none where nobody is its own ancestor."""
    left = np.ones(len(sire), bool)
    while left.any():  # animals all of whose parents are done are done: one generation a round
        waits = np.zeros(len(left), bool)
        for parent in (sire, dam):
            waits |= (parent >= 0) & left[parent]
        done = left & ~waits
        if not done.any():
            break
        left &= ~done
    if not left.any():
        return []
    at = int(np.flatnonzero(left)[0])
    path: list[int] = []
    while at not in path:  # each that is left has a parent that is left
        path.append(at)
        at = int(sire[at]) if sire[at] >= 0 and left[sire[at]] else int(dam[at])
    return [*path[path.index(at) :], at]


def _notices(sire: Ints, dam: Ints, labels: pd.Index[Any], added: Sequence[str], where: str) -> list[str]:
    notices = list[str]()
    if len(added):
        verb = (
            "are parents that it does not list: they are"
            if len(added) > 1
            else "is a parent that it does not list: it is"
        )
        ending = (
            "founders, whose parents are unknown"
            if len(added) > 1
            else "a founder, whose parents are unknown"
        )
        notices.append(f"{where}: {_some(added)} {verb} added as {ending}.")
    both = np.intersect1d(sire[sire >= 0], dam[dam >= 0])
    if len(both):
        notices.append(
            f"{where}: {_some(labels[both])} {'are' if len(both) > 1 else 'is'} a sire here and a dam there; "
            "is a label used for two animals?"
        )
    return notices


def _some(labels: Any) -> str:
    """Some labels, and how many more there are."""
    known = [str(label) for label in labels]
    more = f" and {len(known) - SHOWN:,} more" if len(known) > SHOWN else ""
    return (", ".join(known[:SHOWN]) or "none") + more
