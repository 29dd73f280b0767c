"""Residual structures on the rows used: their names and words, and what the engine is handed of them.

Over visits R is a matrix over visits and levels. Where residuals fade with time or distance, or their
variance follows a number, it is made of numbers of the rows.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, overload

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray

from lmmkit.engine.covariance.residual_structure import CellBlock, ResidualStructure
from lmmkit.engine.covariance.row_structure import RowStructure, Spatial, VarianceFunction
from lmmkit.engine.crossproducts.whitening import LARGEST_SUBJECT, serial, spatial
from lmmkit.engine.problem import Residual, RowResidual
from lmmkit.errors import DataError, FitError, FormulaError
from lmmkit.model.design.learned import codes_of
from lmmkit.model.design.rows_used import Source
from lmmkit.model.design.variables import factor_of, is_factor, marked_column
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.groups import Group
from lmmkit.model.formula.residual_formula import INDEPENDENT, SERIAL, ResidualFormula
from lmmkit.model.table.columns import Floats, Ints, renumbered
from lmmkit.model.table.evaluate import Evaluator
from lmmkit.model.table.grouping import Grouping, determines, grouping
from lmmkit.model.table.labels import EXACT, label_of, level_texts


@dataclass(frozen=True, eq=False)
class LevelNames(Sequence[str]):
    """Names of the levels of a grouping factor, made when one is asked for."""

    grouping: Grouping

    def __len__(self) -> int:
        return self.grouping.size

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return str(self.grouping.levels[index])


@dataclass(frozen=True, eq=False)
class ResidualDesign(ABC):
    """A residual structure with its names on the rows used.

    Attributes:
        formula: The structure as read.
        subjects: The subjects; None where all rows are independent.
        ident: What the variance differs by, or None.
        notices: What the user should look at, in sentences.
        arrays: What the engine is handed.
    """

    formula: ResidualFormula
    subjects: Grouping | None
    ident: Grouping | None
    notices: tuple[str, ...]
    arrays: Residual | RowResidual

    @property
    @abstractmethod
    def structure(self) -> ResidualStructure | RowStructure:
        """What R may be."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the r parameters."""
        return self.structure.names

    @property
    def words(self) -> str:
        """The structure in words."""
        return in_words(self.formula)

    def printed(self, values: Floats) -> dict[str, float]:
        """The parameters with what is told beside them: of `car1` the correlation of rows one unit apart.

        Args:
            values: (r,) natural parameters.
        """
        own = dict(zip(self.names, values.tolist(), strict=True))
        if self.formula.correlation == SERIAL:
            return {**own, "rho": correlation_of_unit(own["range"])}
        return own

    def boundary(self, values: Floats) -> str:
        """What is said where the correlation has come to its bound, zero; nothing elsewhere.

        Args:
            values: (r,) natural parameters.
        """
        if self.printed(values).get("range") != 0.0:
            return ""
        kind = "serial correlation" if self.formula.correlation == SERIAL else "correlation with distance"
        return (
            f"no {kind}; the range is at its bound zero, where rows are independent, and the model is the "
            "one without it."
        )

    @abstractmethod
    def variance_columns(self) -> list[str]:
        """Names of the columns that a row's variance depends on."""

    @abstractmethod
    def own_rows(self) -> Floats | Ints:
        """(n,) what the variances of the rows used depend on: cells, or values of a variance function."""

    @abstractmethod
    def new_rows(self, evaluator: Evaluator, fitted: Floats) -> Floats | Ints:
        """(m,) the same of the rows of another table; -1, or NaN, where the fit has none.

        Args:
            evaluator: Reads the table; of its columns `variance_columns` are needed.
            fitted: (m,) predicted means of the rows.
        """

    @abstractmethod
    def variances(self, rho: Floats, rows: Floats | Ints) -> Floats:
        """(m,) variances of rows relative to sigma^2, NaN where they are unknown.

        Args:
            rho: (r,) coordinates.
            rows: (m,) of `own_rows` or `new_rows`.
        """

    @abstractmethod
    def variance_slopes(self, rho: Floats, rows: Floats | Ints) -> Floats:
        """(m, r) their derivatives."""


def correlation_of_unit(reach: float) -> float:
    """The correlation of two rows one unit of time apart, exp(-1 / range); 0 where there is none."""
    return 0.0 if reach == 0.0 else float(np.exp(-1.0 / reach))


_CORRELATIONS = {
    "un": "every correlation between two visits free",
    "cs": "one correlation for all pairs of visits",
    "toep": "one correlation for each distance between visits",
    "ar1": "the correlation rho to the power of the distance between visits (first-order autoregression)",
    "ad": "a correlation for each pair of neighbouring visits, others their products (antedependence)",
}


def in_words(formula: ResidualFormula) -> str:
    """What a structure says, in words: `a variance for each visit, ...`.

    >>> from lmmkit.model.formula.residual_formula import parse_residual
    >>> in_words(parse_residual("ident(sex)"))
    'Residuals: a variance for each level of sex, no correlation.'
    >>> in_words(parse_residual("power(dose)"))
    'Residuals: a standard deviation that follows a power of dose, no correlation.'
    """
    variance = _variance(formula)
    if formula.group is None:
        return f"Residuals: {variance}, no correlation."
    within = f"Residuals within {formula.group.label}" if formula.group.names else "Residuals"
    if formula.fades:
        return f"{within}: {variance}, {_fading(formula)}."
    correlation, order = _CORRELATIONS[formula.correlation], ""
    if formula.time is None:
        order = ", the visits being the order of rows"
    what = f"{variance}, {correlation}{order}; no further independent residual."
    if formula.by and formula.variance:
        what = f"{variance}; for each level of {formula.by.label} apart {correlation}{order}; no further "
        what += "independent residual."
    elif formula.by:
        what = f"for each level of {formula.by.label} apart {what}"
    return f"{within}: {what}"


def _variance(formula: ResidualFormula) -> str:
    if formula.ident:
        return f"a variance for each level of {formula.ident.label}"
    if formula.growing is None:
        return "a variance for each visit" if formula.heterogeneous else "one variance"
    of = formula.growing.of
    if of is None:
        return "a standard deviation that follows a power of the fitted values (pseudo-likelihood)"
    if formula.growing.kind == "power":
        return f"a standard deviation that follows a power of {of.text}"
    return f"a standard deviation that grows exponentially with {of.text}"


def _fading(formula: ResidualFormula) -> str:
    """What fades with what: `serial correlation that decays with day`."""
    if formula.correlation == SERIAL:
        assert formula.time is not None
        return (
            f"serial correlation that decays exponentially with the distance in {formula.time.text} "
            "(continuous-time autoregression); no further independent residual"
        )
    place = ", ".join(each.text for each in formula.coordinates)
    rest = "and a nugget that no two rows share" if formula.nugget else "no further independent residual"
    joined = " " if formula.nugget else "; "
    return f"correlation that decays exponentially with the distance in {place}{joined}{rest}"


# Over visits


#: Families in which the order of the visits counts, and those in which their distances do.
ORDERED, DISTANT = ("ar1", "toep", "ad"), ("ar1", "toep")
MOST_VISITS = 2_000  # of which R, a matrix over visits, is factored at every step
SHOWN = 6


class Visits(NamedTuple):
    """The visits of some rows.

    Attributes:
        codes: (n,) visit of each row.
        times: (v,) when each is, as a whole number; distances count where the structure knows of them.
        names: (v,) what each is called.
        unused: Declared ones that no row has.
    """

    codes: Ints
    times: Ints
    names: tuple[str, ...]
    unused: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        """The greatest whole number that divides all distances."""
        return int(np.gcd.reduce(self.times - self.times[0])) or 1


class VisitCell(NamedTuple):
    """Positions of a cell's group of `by=`, visit and level of `ident`, 0 where there is none."""

    by: int
    visit: int
    ident: int


@dataclass(frozen=True, eq=False)
class VisitDesign(ResidualDesign):
    """Residuals whose covariance is a matrix over visits and levels, with its names.

    Attributes:
        by: What the structure has parameters of its own for, or None.
        visits: The visits.
        cells: The combinations that occur, in the order of the engine's cells.
    """

    arrays: Residual
    by: Grouping | None
    visits: Visits
    cells: tuple[VisitCell, ...]

    @property
    def structure(self) -> ResidualStructure:
        """What R may be."""
        return self.arrays.structure

    @cached_property
    def cell_names(self) -> tuple[str, ...]:
        """Names of the cells: `8`, `8.Male` with a level of `ident`, `B.8` in a group of `by=`."""
        return tuple(_cell_name(self, cell) for cell in self.cells)

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Positions of the cells that one subject may have together: of one group, at two visits."""
        numbered = list(enumerate(self.cells))
        return [
            (i, j)
            for i, a in numbered
            for j, b in numbered[i + 1 :]
            if self.formula.group and a.by == b.by and a.visit != b.visit
        ]

    @cached_property
    def seen_pairs(self) -> list[tuple[int, int]]:
        """Those of `pairs` that some subject has rows in."""
        arrays = self.arrays
        one = np.ones(len(arrays.cells))
        has = scipy.sparse.csr_array((one, (arrays.subjects, arrays.cells)))
        both = (has.T @ has).toarray()
        return [(i, j) for i, j in self.pairs if both[i, j]]

    @cached_property
    def _telling(self) -> dict[str, tuple[Group, Grouping]]:
        """The factors that a row's variance depends on: `ident` where there is one, else `by`."""
        kind = "ident" if self.ident else "by"
        named, found = (self.formula.ident, self.ident) if self.ident else (self.formula.by, self.by)
        return {kind: (named, found)} if named and found else {}

    def variance_columns(self) -> list[str]:
        """Names of the columns that a row's variance depends on."""
        names = [name for group, _ in self._telling.values() for name in group.names]
        timed = self.formula.time if self.formula.heterogeneous else None
        return [*names, *(timed.variables if timed else ())]

    def own_rows(self) -> Ints:
        """(n,) the cells of the rows used."""
        return self.arrays.cells

    def new_rows(self, evaluator: Evaluator, fitted: Floats) -> Ints:
        """(m,) a cell with the residual variance of each row of another table, -1 where the fit has none."""
        table = evaluator.table
        codes = {kind: codes_of(of, group.names, table) for kind, (group, of) in self._telling.items()}
        if self.formula.heterogeneous:
            codes["visit"] = self._visits_of(self.formula.time, evaluator)
        if not codes:
            return np.zeros(table.rows, np.intp)
        known = dict[tuple[int, ...], int]()
        for number, cell in enumerate(self.cells):
            known.setdefault(tuple(getattr(cell, kind) for kind in codes), number)
        rows = zip(*(each.tolist() for each in codes.values()), strict=True)
        return np.array([known.get(row, -1) for row in rows], np.intp)

    def variances(self, rho: Floats, rows: Floats | Ints) -> Floats:
        """(m,) variances of rows relative to sigma^2, NaN in a cell that the fit has not."""
        cells = np.asarray(rows, np.intp)
        return np.where(cells >= 0, np.diag(self.structure.matrix(rho))[cells], np.nan)

    def variance_slopes(self, rho: Floats, rows: Floats | Ints) -> Floats:
        """(m, r) their derivatives."""
        cells = np.asarray(rows, np.intp)
        return np.einsum("raa->ar", self.structure.jacobian(rho))[cells]

    def _visits_of(self, time: Expression | None, evaluator: Evaluator) -> Ints:
        """(m,) visits on new rows, -1 where the fit has none of that name."""
        if time is None:  # the order of rows says nothing of new ones
            return np.full(evaluator.table.rows, -1)
        if is_factor(time, evaluator):
            factor = factor_of(time, evaluator)
            names, codes = level_texts(factor.levels), factor.codes
        else:
            values, codes = np.unique(evaluator.numbers(time), return_inverse=True)
            names = level_texts(values)
        known = {name: code for code, name in enumerate(self.visits.names)}
        return np.array([known.get(str(name), -1) for name in names], np.intp)[codes]


def _cell_name(design: VisitDesign, cell: VisitCell) -> str:
    parts = [str(design.by.levels[cell.by])] if design.by else []
    if design.formula.group:
        parts.append(design.visits.names[cell.visit])
    if design.ident:
        parts.append(str(design.ident.levels[cell.ident]))
    return ".".join(parts)


def visit_design(formula: ResidualFormula, source: Source) -> VisitDesign:
    """Subjects, visits and cells of the rows used, with what the engine needs of them.

    Raises:
        FormulaError: Visits that are no whole numbers, or whose order cannot be told.
        DataError: A subject in two groups of `by=` or twice at one visit, rows of which no two are of one
            subject, or distances between visits that `toep` has a correlation for and that do not occur.
    """
    subjects, by, ident = (
        grouping(group, source.evaluator, source.rows) if group else None
        for group in (formula.group, formula.by, formula.ident)
    )
    if subjects is None:
        visits = Visits(np.zeros(source.count, np.intp), np.zeros(1, np.intp), ("",))
    else:
        _check_subjects(formula, subjects)
        visits = _visits(formula, source, subjects)
        _check_rows(formula, subjects, by, visits, source)
    cells, codes = _cells(by, ident, visits)
    structure = _Layout(formula, by, ident, visits, cells).structure()
    _check_distances(formula, structure, visits)
    owners = np.arange(source.count) if subjects is None else subjects.codes
    names = () if subjects is None else LevelNames(subjects)
    arrays = Residual(structure, codes, owners, names)
    notices = tuple(_notices(formula, visits, source))
    return VisitDesign(formula, subjects, ident, notices, arrays, by, visits, cells)


# The visits


def _visits(formula: ResidualFormula, source: Source, subjects: Grouping) -> Visits:
    if formula.time is None:
        codes = _order_of_rows(subjects)
        count = int(codes.max()) + 1
        visits = Visits(codes, np.arange(count), tuple(str(i + 1) for i in range(count)))
    elif is_factor(formula.time, source.evaluator):
        visits = _declared(formula, formula.time, source)
    else:
        visits = _numbered(formula, source.used(source.evaluator.numbers(formula.time)))
    if len(visits.names) > MOST_VISITS:
        raise DataError(
            f"residual `{formula}`: there are {len(visits.names):,} visits, at most {MOST_VISITS:,} are "
            "taken; group the times into fewer."
        )
    return visits


def _order_of_rows(subjects: Grouping) -> Ints:
    """(n,) how many rows of its subject stand before each row."""
    order = np.argsort(subjects.codes, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(subjects.codes, minlength=subjects.size))[:-1]])
    codes = np.empty(len(order), np.intp)
    codes[order] = np.arange(len(order)) - first[subjects.codes[order]]
    return codes


def _declared(formula: ResidualFormula, time: Expression, source: Source) -> Visits:
    """Levels of a factor, equally spaced in their declared order."""
    factor = factor_of(time, source.evaluator)
    texts = [str(text) for text in level_texts(factor.levels)]
    _check_order(formula, time, texts, source.evaluator)
    codes, present = factor.used(source.rows)
    names = tuple(texts[int(level)] for level in present)
    absent = tuple(text for text in texts if text not in set(names))
    return Visits(codes, present.astype(np.intp), names, absent)


def _check_order(formula: ResidualFormula, time: Expression, texts: list[str], evaluator: Evaluator) -> None:
    """Refuse text such as `week 10` before `week 2` where the order counts and letters alone have made it."""
    natural = sorted(texts, key=_natural)
    if natural != texts and _by_letters(formula, time, texts, evaluator):
        raise FormulaError(
            f"residual `{formula}`: the visits of `{time}` are text, whose order of letters is "
            f"{', '.join(texts[:SHOWN])}; {', '.join(natural[:SHOWN])} seems to be meant. Declare their "
            "order: a Categorical, or `levels` of the column in a study."
        )


def _by_letters(
    formula: ResidualFormula, time: Expression, texts: Sequence[str], evaluator: Evaluator
) -> bool:
    """Whether the order of three visits or more counts, and is that of the letters of their names.

    A Categorical may have been made by sorting; one that says that it is ordered was not.
    """
    if formula.correlation not in ORDERED or len(texts) < 3 or not is_factor(time, evaluator):
        return False
    column, request = marked_column(time)
    if request.levels is not None or not column.is_column or evaluator.table.kind(column.text) != "text":
        return False
    kind = evaluator.table.column(column.text).dtype
    declared = isinstance(kind, pd.CategoricalDtype) and bool(kind.ordered)
    return not declared and list(texts) == sorted(texts)


def _natural(text: str) -> list[tuple[int, int, str]]:
    """A key that puts `week 2` before `week 10`."""
    words, word = list[str](), ""
    for letter in text:
        if word and letter.isdecimal() != word[-1].isdecimal():
            words.append(word)
            word = ""
        word += letter
    words.append(word)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in words]


def _words_apart(texts: Sequence[str]) -> bool:
    """Whether names differ by more than a number or one letter, so that letters may put them in any order."""
    return len({re.sub(r"\d+", "0", text) for text in texts}) > 1 and max(map(len, texts)) > 1


def _numbered(formula: ResidualFormula, values: Floats) -> Visits:
    """Whole numbers."""
    uneven = np.flatnonzero(~((values == np.round(values)) & (np.abs(values) < EXACT)))
    if len(uneven):
        raise FormulaError(
            f"residual `{formula}`: the visits `{formula.time}` are numbers such as {values[uneven[0]]:g}; "
            f"whole numbers, or levels of a factor are expected. `factor({formula.time})` takes the distinct "
            "values as visits, equally spaced."
        )
    whole = values.astype(np.int64)
    times, codes = np.unique(whole, return_inverse=True)
    names = tuple(label_of(int(time)) for time in times)
    return Visits(codes.astype(np.intp), (times - times[0]).astype(np.intp), names)


# What cannot be


def _check_subjects(formula: ResidualFormula, subjects: Grouping) -> None:
    """Refuse subjects, or groups of a process, of one row each."""
    if subjects.size == len(subjects.codes):
        what = "group" if formula.fades else "subject"
        raise DataError(
            f"residual `{formula}`: each of the {subjects.size:,} levels of `{subjects.name}` has one row, "
            f"so no two residuals are of one {what} and no correlation can be estimated; {what}s with "
            "several rows are expected."
        )


def _check_rows(
    formula: ResidualFormula, subjects: Grouping, by: Grouping | None, visits: Visits, source: Source
) -> None:
    if by is not None and not determines(subjects, by):
        raise DataError(_in_two_groups(formula, subjects, by))
    key = subjects.codes * len(visits.names) + visits.codes
    if len(renumbered(key, subjects.size * len(visits.names))[1]) < len(key):
        _refuse_twice(formula, subjects, visits.codes[:, None], source, visits.names)


def _refuse_twice(
    formula: ResidualFormula,
    subjects: Grouping,
    places: NDArray[Any],
    source: Source,
    visits: Sequence[str] = (),
) -> None:
    """Refuse two rows of a subject at one visit, time or place.

    Args:
        formula: The structure.
        subjects: The subjects, or groups.
        places: (n, d) times or coordinates, or positions among the `visits`.
        source: The rows used.
        visits: Names of the visits.
    """
    order = np.lexsort((*places.T, subjects.codes))
    same = np.diff(subjects.codes[order]) == 0
    twice = np.flatnonzero(same & (np.diff(places[order], axis=0) == 0.0).all(axis=1))
    if not len(twice):
        return
    numbers = row_numbers(source)
    first, second = int(order[twice[0]]), int(order[twice[0] + 1])
    one, other = numbers[first], numbers[second]  # in the table's order, which sorting has kept
    whose = f"{subjects.name} {subjects.levels[subjects.codes[first]]}"
    whose = "The group" if formula.fades and subjects.size == 1 else whose
    if visits:
        at, why = f"visit {visits[places[first, 0]]}", "; one row is expected for each visit of a subject"
    else:
        at = ", ".join(f"{x:g}" for x in places[first])
        at = f"({at})" if formula.coordinates else f"{formula.time} {at}"
        why = ", whose correlation would be 1; one row is expected at each"
    raise DataError(
        f"residual `{formula}`: {whose} has two rows at {at}, rows {one} and {other}{more(len(twice))}{why}. "
        "Leave one out, average them, or name what tells them apart."
    )


def _check_distances(formula: ResidualFormula, structure: ResidualStructure, visits: Visits) -> None:
    """Refuse `toep` where no two visits are some distance apart: nothing tells the correlation at it."""
    if formula.correlation != "toep":
        return
    for block in structure.blocks:
        times = np.array(block.times)
        gone = sorted(
            set(range(1, int(np.ptp(times)) + 1)) - set(np.abs(np.subtract.outer(times, times)).flat)
        )
        if gone:
            lags = [str(lag * visits.step) for lag in gone]
            listed = ", ".join(lags[:SHOWN]) + (", ..." if len(lags) > SHOWN else "")
            where = f" of `{formula.by}` {block.prefix.removesuffix('.')}" if formula.by else ""
            spaced = (
                "a Categorical of the visits that occur"
                if formula.time is None or visits.unused
                else f"`factor({formula.time})`"
            )
            raise DataError(
                f"residual `{formula}`: the visits{where} are {', '.join(block.visits[:SHOWN])}"
                f"{', ...' if len(block.visits) > SHOWN else ''}, no two of them {listed} steps apart, and "
                "nothing tells the correlation at such a distance. Take ar1, whose one correlation serves "
                f"every distance, or count the visits as equally spaced: {spaced}."
            )


def row_numbers(source: Source) -> Ints:
    """(n,) numbers from 1 of the rows used, in the table."""
    return 1 + (np.arange(source.table.rows) if source.rows is None else source.rows)


def more(count: int) -> str:
    """The end of a sentence about the first of several."""
    others = "once" if count == 2 else f"{count - 1:,} times"
    return f" (and so {others} more)" if count > 1 else ""


def _in_two_groups(formula: ResidualFormula, subjects: Grouping, by: Grouping) -> str:
    parent = np.full(subjects.size, -1)
    parent[subjects.codes] = by.codes
    row = int(np.flatnonzero(parent[subjects.codes] != by.codes)[0])
    subject = int(subjects.codes[row])
    found = np.unique(by.codes[subjects.codes == subject])
    levels = ", ".join(by.levels[found[:SHOWN]])
    return (
        f"residual `{formula}`: {subjects.name} {subjects.levels[subject]} has rows in {len(found)} levels "
        f"of `{by.name}` ({levels}); by= takes a factor that is constant within each subject. Where labels "
        f"of subjects are used again, write `{subjects.name}:{by.name}`."
    )


def _notices(formula: ResidualFormula, visits: Visits, source: Source) -> Iterator[str]:
    if visits.unused:
        shown = ", ".join(visits.unused[:SHOWN]) + (", ..." if len(visits.unused) > SHOWN else "")
        counted = (
            "they count as visits in the distances between the others"
            if formula.correlation in DISTANT
            else "they are left out of the residual structure"
        )
        yield f"residual `{formula}`: no row has the declared visits {shown}; {counted}."
    words = formula.time if _words_apart(visits.names) else None
    if words and _by_letters(formula, words, visits.names, source.evaluator):
        yield (
            f"residual `{formula}`: the visits stand in the order of their letters, "
            f"{', '.join(visits.names[:SHOWN])}; declare the order if it is another."
        )
    if formula.correlation == "toep" and visits.step > 1:
        yield f"residual `{formula}`: one step of the lags is {visits.step} of {formula.time}."
    if formula.time is None and formula.group and source.lost:
        dropped = source.table.rows - source.count
        rows, leave = ("row", "leaves") if dropped == 1 else ("rows", "leave")
        yield (
            f"residual `{formula}` counts the rows used of each subject: the {dropped:,} {rows} dropped for "
            f"missing values {leave} no gap. Where a gap is to count, name the column of the visits."
        )


# Cells and blocks


def _cells(by: Grouping | None, ident: Grouping | None, visits: Visits) -> tuple[tuple[VisitCell, ...], Ints]:
    """The combinations that occur, by group, visit and level, and that of each row."""
    widths = [len(visits.names), ident.size if ident else 1]
    key = visits.codes * widths[1]
    if by:
        key += widths[0] * widths[1] * by.codes
    if ident:
        key += ident.codes
    codes, present = renumbered(key, (by.size if by else 1) * widths[0] * widths[1])
    group, rest = np.divmod(present, widths[0] * widths[1])
    visit, level = np.divmod(rest, widths[1])
    cells = tuple(VisitCell(int(g), int(v), int(i)) for g, v, i in zip(group, visit, level, strict=True))
    return cells, codes


class _Layout(NamedTuple):
    """Visits and levels, and the cells that occur of them."""

    formula: ResidualFormula
    by: Grouping | None
    ident: Grouping | None
    visits: Visits
    cells: tuple[VisitCell, ...]

    def prefix(self, group: int) -> str:
        """What stands before the parameters of a group of `by=`."""
        return f"{self.by.levels[group]}." if self.by else ""

    def label(self, cell: VisitCell) -> str:
        """What a sentence calls a cell: `visit 8 of arm B`, `Sex Male`."""
        visit = f"visit {self.visits.names[cell.visit]}" if self.formula.group else ""
        level = f"{self.ident.name} {self.ident.levels[cell.ident]}" if self.ident else ""
        named = ", ".join(filter(None, (visit, level)))
        return f"{named} of {self.by.name} {self.by.levels[cell.by]}" if self.by else named

    def times(self, here: Sequence[VisitCell]) -> Iterator[int]:
        """When each cell of a block is; levels of `ident` alone stand apart, and `toep` counts steps."""
        step = self.visits.step if self.formula.correlation == "toep" else 1
        for number, cell in enumerate(here):
            yield number if self.formula.group is None else int(self.visits.times[cell.visit]) // step

    def ratios(self) -> tuple[list[int], tuple[str, ...]]:
        """Which SD ratio each cell has, -1 for the first cell's or that of the first level, and their names.

        They are `ratio.8`, `B.ratio.8`, `B.ratio`, `ratio.Male`; a block of `un` has the others of its own.
        """
        first = dict[int, str]()
        for cell in self.cells:
            first.setdefault(cell.by, self.visits.names[cell.visit])
        names = list[str]()
        for cell in self.cells:
            own = self.visits.names[cell.visit] if self.formula.correlation != "un" else first[cell.by]
            if self.ident:
                names.append(f"ratio.{self.ident.levels[cell.ident]}")
            else:
                names.append(
                    self.prefix(cell.by) + (f"ratio.{own}" if self.formula.heterogeneous else "ratio")
                )
        first_of_all = f"ratio.{self.ident.levels[0]}" if self.ident else names[0]
        free = [name for name in dict.fromkeys(names) if name != first_of_all]
        which = {name: number for number, name in enumerate(free)}
        return [which.get(name, -1) for name in names], tuple(free)

    def structure(self) -> ResidualStructure:
        """What R may be: a block for each group."""
        (ratios, names), kind = self.ratios(), self.formula.correlation
        blocks = list[CellBlock]()
        for group in range(self.by.size if self.by else 1):
            mine = [number for number, cell in enumerate(self.cells) if cell.by == group]
            here = [self.cells[number] for number in mine]
            blocks.append(
                CellBlock(
                    correlation="ident" if kind == INDEPENDENT else kind,
                    cells=tuple(mine),
                    times=tuple(self.times(here)),
                    ratios=tuple(ratios[number] for number in mine),
                    visits=tuple(self.visits.names[v] for v in sorted({cell.visit for cell in here})),
                    prefix=self.prefix(group),
                )
            )
        return ResidualStructure(tuple(blocks), names, tuple(map(self.label, self.cells)))


# Made of numbers of the rows


@dataclass(frozen=True, eq=False)
class RowDesign(ResidualDesign):
    """Residuals whose covariance is made of numbers of their rows, with its names.

    Attributes:
        visits: The visits of a correlation over visits, whose variance follows a number; else None.
    """

    arrays: RowResidual
    visits: VisitDesign | None

    @property
    def structure(self) -> RowStructure:
        """What R may be."""
        return self.arrays.structure

    def variance_columns(self) -> list[str]:
        """Names of the columns that a row's variance depends on."""
        if self.formula.ident:
            return list(self.formula.ident.names)
        of = self.formula.growing.of if self.formula.growing else None
        return list(of.variables) if of else []

    def own_rows(self) -> Floats:
        """(n,) values of the variance function: positions of levels, numbers; zeros where there is none."""
        covariate = self.arrays.covariate
        return np.zeros(len(self.arrays.subjects)) if covariate is None else covariate

    def new_rows(self, evaluator: Evaluator, fitted: Floats) -> Floats:
        """(m,) the same of the rows of another table; NaN where the variance function has no value."""
        formula, rows = self.formula, evaluator.table.rows
        if formula.ident and self.ident:
            codes = codes_of(self.ident, formula.ident.names, evaluator.table)
            return np.where(codes >= 0, codes, np.nan)
        if formula.growing is None:
            return np.zeros(rows)
        if formula.growing.of is None:
            return np.abs(fitted)
        values = evaluator.numbers(formula.growing.of)
        return np.where(values > 0.0, values, np.nan) if formula.growing.kind == "power" else values

    def variances(self, rho: Floats, rows: Floats | Ints) -> Floats:
        """(m,) variances of rows relative to sigma^2, NaN where they are unknown."""
        variance, values = self.structure.variance, np.asarray(rows, np.float64)
        if variance is None:
            return np.ones(len(values))
        return np.where(np.isnan(values), np.nan, variance.sds(rho[self.structure.cuts[0]], values) ** 2)

    def variance_slopes(self, rho: Floats, rows: Floats | Ints) -> Floats:
        """(m, r) their derivatives; a correlation moves none of them."""
        out, values = np.zeros((len(rows), self.structure.count)), np.asarray(rows, np.float64)
        if self.structure.variance is not None:
            own = self.structure.variance.slopes(values).T
            out[:, self.structure.cuts[0]] = 2.0 * self.variances(rho, rows)[:, None] * own
        return out


def row_design(formula: ResidualFormula, source: Source) -> RowDesign:
    """Subjects, times, places and the numbers that variances follow, of the rows used.

    Raises:
        FormulaError: Visits that are no whole numbers, or whose order cannot be told.
        DataError: Times that are text, two rows of a group at one time or place, groups of one row each, or
            of more rows than a matrix is held for; a power of a number that is not positive; a number that
            does not vary.
    """
    over_visits = not formula.fades and formula.correlation != INDEPENDENT
    visits = visit_design(replace(formula, ident=None, growing=None), source) if over_visits else None
    subjects = visits.subjects if visits else _subjects(formula, source)
    ident = grouping(formula.ident, source.evaluator, source.rows) if formula.ident else None
    variance, covariate = _variance_function(formula, ident, source)
    codes = np.arange(source.count) if subjects is None else subjects.codes
    names = () if subjects is None else LevelNames(subjects)
    times = positions = correlation = None
    if formula.correlation == SERIAL:
        assert subjects is not None
        assert formula.time is not None
        times = _measured(formula.time, source)
        _refuse_twice(formula, subjects, times[:, None], source)
        correlation = serial(subjects.codes, times)
    elif formula.fades:
        assert subjects is not None
        positions = np.column_stack([_measured(each, source) for each in formula.coordinates])
        correlation = _spatial(formula, subjects, positions, source)
    elif visits:
        correlation = visits.structure
    arrays = RowResidual(
        RowStructure(variance, correlation),
        codes,
        covariate,
        times,
        positions,
        visits.arrays.cells if visits else None,
        names,
    )
    notices = (*(visits.notices if visits else ()), *_notices_on_fit(formula))
    return RowDesign(formula, subjects, ident, notices, arrays, visits)


def _subjects(formula: ResidualFormula, source: Source) -> Grouping | None:
    """The groups of a process; all rows are one where none is named."""
    if formula.group is None:
        return None
    if not formula.group.names:
        one = np.zeros(source.count, np.intp)
        return Grouping("1", one, 1, ((np.array(["all rows"], object), np.zeros(1, np.intp)),))
    found = grouping(formula.group, source.evaluator, source.rows)
    _check_subjects(formula, found)
    return found


def _variance_function(
    formula: ResidualFormula, ident: Grouping | None, source: Source
) -> tuple[VarianceFunction | None, Floats | None]:
    """The variance function and its values."""
    if ident:
        names = tuple(f"ratio.{level}" for level in ident.levels[1:])
        return VarianceFunction("ident", names), ident.codes.astype(np.float64)
    growing = formula.growing
    if growing is None:
        return None, None
    function = VarianceFunction(growing.kind, (growing.kind,), growing.of is None)
    if growing.of is None:
        return function, None
    values = _measured(growing.of, source)
    if growing.kind == "power":
        _check_positive(formula, growing.of, values, source)
    if np.ptp(values) == 0.0:
        raise DataError(
            f"residual `{formula}`: `{growing.of}` is {values[0]:g} in every row, so that no variance "
            "follows it; leave the variance function out."
        )
    return function, values


def _check_positive(formula: ResidualFormula, of: Expression, values: Floats, source: Source) -> None:
    bad = np.flatnonzero(~(values > 0.0))
    if len(bad):
        raise DataError(
            f"residual `{formula}`: `{of}` is {values[bad[0]]:g} in row {row_numbers(source)[bad[0]]}"
            f"{more(len(bad))}, and a power of it is no standard deviation there; positive numbers are "
            f"expected. Leave these rows out, move the numbers as in `power({of} + 1)`, or take `exp({of})`."
        )


def _measured(expression: Expression, source: Source) -> Floats:
    """(n,) times, coordinates or numbers on the rows used."""
    return np.asarray(source.used(source.evaluator.numbers(expression)), np.float64)


def _spatial(formula: ResidualFormula, subjects: Grouping, positions: Floats, source: Source) -> Spatial:
    sizes = np.bincount(subjects.codes)
    largest = int(sizes.argmax())
    if sizes[largest] > LARGEST_SUBJECT:
        where = f"{subjects.name} {subjects.levels[largest]}" if len(sizes) > 1 else "the one group"
        raise DataError(
            f"residual `{formula}`: {where} has {sizes[largest]:,} rows, whose covariance matrix would take "
            f"{8e-9 * float(sizes[largest]) ** 2:.1f} GB and is held and factored at every step; at most "
            f"{LARGEST_SUBJECT:,} rows a group are taken. Divide the plane into groups, or average rows that "
            "are near each other."
        )
    _refuse_twice(formula, subjects, positions, source)
    return spatial(subjects.codes, positions, formula.nugget)


def _notices_on_fit(formula: ResidualFormula) -> Iterator[str]:
    if formula.follows_fit:
        yield (
            f"residual `{formula}`: the variances follow the fitted values, so that the fit is one of "
            "pseudo-likelihood: its deviance, AIC and BIC are those of the last variances, and are compared "
            "with no other model's."
        )


def refuse_lost_sign(residual: ResidualDesign, rho: Floats) -> None:
    """Refuse a negative correlation where all distances are even, so that it is no power of any rho.

    Raises:
        FitError: It is so.
    """
    visits = residual.visits if isinstance(residual, RowDesign) else residual
    for name, value in zip(residual.names, residual.structure.natural(rho), strict=True):
        if np.isnan(value) and isinstance(visits, VisitDesign):
            time, step = residual.formula.time, visits.visits.step
            raise FitError(
                f"residual `{residual.formula}`: visits {step} apart have a negative correlation, and all "
                f"distances are even, so that it is no power of any {name}. `factor({time})` in place of "
                f"`{time}` takes the visits as equally spaced, one step apart."
            )
