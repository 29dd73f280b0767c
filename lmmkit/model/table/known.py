"""Known covariances between the levels of a grouping factor, as users give them: a matrix or a pedigree.

`lmm(..., known={"animal": K})` says Var(u) = sigma_u^2 K in place of sigma_u^2 I. What is read here has a
label for each level, what is wrong with it is said with its labels, and levels without rows are kept, for
they are predicted too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from lmmkit.engine.relations.pedigree import Pedigree, pedigree_of
from lmmkit.engine.relations.relationship import Relationship, dense_relationship
from lmmkit.errors import DataError, Findings, FitError, FormulaError, did_you_mean, first_of
from lmmkit.model.formula.formula import Formula
from lmmkit.model.table.columns import Floats, Ints, open_table
from lmmkit.model.table.labels import level_texts

SIRES, DAMS = ("sire", "father"), ("dam", "mother")
ANIMALS = ("animal", "id", "individual")
#: How files write a parent that is not known.
UNKNOWN = re.compile(r"\s*(0+|NA|NaN|nan|None|<NA>|[.*?-])?\s*")
SYMMETRIC = 1e-8  # of the largest entry: what two roundings of one covariance may differ by
SHOWN = 5  # labels in a message
CHUNK = 500  # columns of K that are made at once


@dataclass(frozen=True, eq=False)
class Known:
    """A known covariance K of the levels of a factor, up to its scale.

    Attributes:
        labels: (J,) the levels: of a pedigree its animals in the table's order, then parents that it lacks.
        relationship: K, for the engine.
        matrix: (J, J) K as given; None of a pedigree, whose K is the numerator relationship matrix.
        notices: Sentences about what was added or looks wrong.
    """

    labels: pd.Index[str]
    relationship: Relationship = field(repr=False)
    matrix: Floats | None = field(default=None, repr=False)
    notices: tuple[str, ...] = ()

    @property
    def pedigree(self) -> Pedigree | None:
        """Who descends from whom; None where K is given as a matrix."""
        return self.relationship if isinstance(self.relationship, Pedigree) else None

    @property
    def words(self) -> str:
        """What it is: "a pedigree of 12 animals, 3 founders"."""
        J, of = len(self.labels), self.pedigree
        if of is None:
            return f"a known covariance matrix of {J:,} level{'s' if J != 1 else ''}"
        founders = int(((of.sire < 0) & (of.dam < 0)).sum())
        inbred = int((of.inbreeding > 0).sum())
        return (
            f"a pedigree of {J:,} animal{'s' if J != 1 else ''}, {founders:,} "
            f"founder{'s' if founders != 1 else ''}{f', {inbred:,} inbred' if inbred else ''}"
        )

    def dense(self, levels: Ints | None = None) -> Floats:
        """K between some levels, or all, in full."""
        at = np.arange(len(self.labels)) if levels is None else levels
        if self.matrix is not None:
            return self.matrix[np.ix_(at, at)]
        unit = np.zeros((len(self.labels), len(at)))
        unit[at, np.arange(len(at))] = 1.0
        return self.relationship.times(unit)[at]

    def pairs(self, first: Ints, second: Ints) -> Floats:
        """(n,) K between n pairs of levels."""
        levels, at = np.unique(second, return_inverse=True)
        out = np.empty(len(first))
        for start in range(0, len(levels), CHUNK):
            block = levels[start : start + CHUNK]
            unit = np.zeros((len(self.labels), len(block)))
            unit[block, np.arange(len(block))] = 1.0
            mine = np.flatnonzero((at >= start) & (at < start + CHUNK))
            out[mine] = self.relationship.times(unit)[first[mine], at[mine] - start]
        return out

    def frame(self) -> pd.DataFrame:
        """As `read_one` takes it: a square table with labels, or animal, sire, dam."""
        of = self.pedigree
        if of is None:
            return pd.DataFrame(self.matrix, index=self.labels, columns=self.labels)
        names = np.append(self.labels.to_numpy(dtype=object), "")  # place -1: unknown
        return pd.DataFrame({"animal": names[:-1], "sire": names[of.sire], "dam": names[of.dam]})


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


def known_of(known: Mapping[str, Any] | None, formula: Formula) -> dict[str, Any] | None:
    """Those known covariances whose factors a formula has, such as a candidate with fewer terms."""
    groups = {bar.group.label for bar in formula.random}
    return {group: one for group, one in (known or {}).items() if group in groups} or None


def _not_in_model(group: str, groups: Sequence[str]) -> str:
    has = ", ".join(f"`{name}`" for name in groups) or "none"
    return (
        f"known: `{group}` is no grouping factor of the model{did_you_mean(group, groups) or '.'} "
        f"It has {has}; write (1 | {group}) into the formula, or leave `{group}` out of known."
    )


def read_one(given: Any, group: str) -> Known:
    """One known covariance, from whatever the user has it in."""
    if isinstance(given, Known):
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


def _matrix(frame: pd.DataFrame, group: str) -> Known:
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
    negative = np.flatnonzero(np.diag(K) < 0)
    if len(negative):
        i = int(negative[0])
        raise DataError(f"{where} has the negative variance {K[i, i]:.6g} at {labels[i]}; none is negative.")
    with _said_of(where):
        return Known(labels.astype("str"), dense_relationship(K), (K + K.T) / 2.0)


@contextmanager
def _said_of(where: str) -> Generator[None]:
    """Errors of the engine about a relationship, with what it is of."""
    try:
        yield
    except FitError as error:
        raise DataError(f"{where} cannot be used. {error}") from None


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


def _pedigree(frame: pd.DataFrame, group: str, parents: tuple[Any, Any, Any]) -> Known:
    where = f"known: the pedigree of `{group}`"
    animals, sires, dams = (_texts(frame, name) for name in parents)
    _check_animals(animals, where)
    same = [i for i, sire in enumerate(sires) if sire and sire == dams[i]]
    if same:
        i = same[0]
        raise DataError(
            f"{where} gives {animals[i]} the same animal, {sires[i]}, as sire and dam (row {i + 1}; "
            f"{len(same):,} such rows); two parents are expected: leave the one that is not known empty."
        )
    with _said_of(where):
        made = pedigree_of(animals, sires, dams)
    return Known(pd.Index(made.animals, dtype="str"), made, None, tuple(_notices(made, where)))


def _texts(frame: pd.DataFrame, name: Any) -> list[str]:
    """A column of labels, empty where it holds none."""
    column = open_table(frame.rename(columns={name: str(name)}), [str(name)]).factor(str(name))
    levels = ["" if UNKNOWN.fullmatch(text) else text for text in level_texts(column.levels).tolist()]
    return [levels[code] if code >= 0 else "" for code in column.codes]


def _check_animals(animals: Sequence[str], where: str) -> None:
    nameless = [i for i, animal in enumerate(animals) if not animal]
    if nameless:
        raise DataError(
            f"{where} names no animal in {len(nameless):,} of its rows, first in row {nameless[0] + 1} "
            "(empty, NA and 0 mean unknown); a label is expected in each row."
        )
    twice = [animal for animal, count in Counter(animals).items() if count > 1]
    if twice:
        rows = [str(i + 1) for i, animal in enumerate(animals) if animal == twice[0]][:SHOWN]
        more = f" (and {len(twice) - 1:,} more animals)" if len(twice) > 1 else ""
        raise DataError(
            f"{where} lists {twice[0]} more than once, in rows {', '.join(rows)}{more}; one row an animal is "
            "expected."
        )


def _notices(pedigree: Pedigree, where: str) -> Iterator[str]:
    if pedigree.added:
        several = "are parents that it does not list: they are added as founders"
        one = "is a parent that it does not list: it is added as a founder"
        told = several if len(pedigree.added) > 1 else one
        yield f"{where}: {_some(pedigree.added)} {told}, whose parents are unknown."
    if pedigree.both:
        verb = "are" if len(pedigree.both) > 1 else "is"
        yield (
            f"{where}: {_some(pedigree.both)} {verb} a sire here and a dam there; is a label used for two "
            "animals?"
        )


def _some(labels: Any) -> str:
    """Some labels, and how many more there are."""
    return first_of([str(label) for label in labels], SHOWN) or "none"
