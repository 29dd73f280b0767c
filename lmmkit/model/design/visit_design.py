"""Residuals over visits on the rows used: subjects, visits, cells, and what the engine is handed of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse

from lmmkit.engine.covariance.residual_structure import CellBlock, ResidualStructure
from lmmkit.engine.problem import Residual
from lmmkit.errors import DataError, FormulaError
from lmmkit.model.design.learned import codes_of
from lmmkit.model.design.residual_design import LevelNames, ResidualDesign
from lmmkit.model.design.rows_used import Source
from lmmkit.model.design.variables import factor_of, is_factor, marked_column
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.groups import Group
from lmmkit.model.formula.residual_formula import INDEPENDENT, ResidualFormula
from lmmkit.model.table.columns import Floats, Ints, compress
from lmmkit.model.table.evaluate import Evaluator
from lmmkit.model.table.grouping import Grouping, determines, grouping, level_texts
from lmmkit.model.table.labels import EXACT, label_of

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
    structure = _structure(formula, by, ident, visits, cells)
    _check_distances(formula, structure, visits)
    owners = np.arange(source.count) if subjects is None else subjects.codes
    names = () if subjects is None else LevelNames(subjects)
    arrays = Residual(structure, codes, owners, names)
    notices = tuple(_notices(formula, visits, source))
    return VisitDesign(formula, subjects, ident, notices, arrays, by, visits, cells)


# Visits


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
    codes, present = compress(factor.codes if source.rows is None else factor.codes[source.rows], len(texts))
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
    if subjects.size == len(subjects.codes):
        raise DataError(
            f"residual `{formula}`: each of the {subjects.size:,} levels of `{subjects.name}` has one row, "
            "so no two residuals are of one subject and no correlation can be estimated; subjects with "
            "several rows are expected."
        )


def _check_rows(
    formula: ResidualFormula, subjects: Grouping, by: Grouping | None, visits: Visits, source: Source
) -> None:
    if by is not None and not determines(subjects, by):
        raise DataError(_in_two_groups(formula, subjects, by))
    key = subjects.codes * len(visits.names) + visits.codes
    _, present = _renumbered(key, subjects.size * len(visits.names))
    if len(present) < len(key):
        order = np.argsort(key, kind="stable")
        twice = np.flatnonzero(key[order][1:] == key[order][:-1])
        first, second = int(order[twice[0]]), int(order[twice[0] + 1])
        numbers = row_numbers(source)
        raise DataError(
            f"residual `{formula}`: {subjects.name} {subjects.levels[subjects.codes[first]]} has two rows at "
            f"visit {visits.names[visits.codes[first]]}, rows {numbers[first]} and {numbers[second]}"
            f"{more(len(twice))}; one row is expected for each visit of a subject. Leave one out, average "
            "them, or name what tells them apart."
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
    return f" (and so {count - 1:,} more times)" if count > 1 else ""


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
        yield (
            f"residual `{formula}` counts the rows used of each subject: the {dropped:,} rows dropped for "
            "missing values leave no gap. Where a gap is to count, name the column of the visits."
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
    codes, present = _renumbered(key, (by.size if by else 1) * widths[0] * widths[1])
    group, rest = np.divmod(present, widths[0] * widths[1])
    visit, level = np.divmod(rest, widths[1])
    cells = tuple(VisitCell(int(g), int(v), int(i)) for g, v, i in zip(group, visit, level, strict=True))
    return cells, codes


def _renumbered(key: Ints, size: int) -> tuple[Ints, Ints]:
    """Numbers below `size` without gaps, and those that occur, in order."""
    if size <= 4 * len(key) + 65_536:
        return compress(key, size)
    present, codes = np.unique(key, return_inverse=True)
    return codes.astype(np.intp), present


def _structure(
    formula: ResidualFormula,
    by: Grouping | None,
    ident: Grouping | None,
    visits: Visits,
    cells: Sequence[VisitCell],
) -> ResidualStructure:
    ratios, names = _ratios(formula, by, ident, visits, cells)
    blocks = list[CellBlock]()
    for group in range(by.size if by else 1):
        mine = [number for number, cell in enumerate(cells) if cell.by == group]
        here = [cells[number] for number in mine]
        blocks.append(
            CellBlock(
                correlation="ident" if formula.correlation == INDEPENDENT else formula.correlation,
                cells=tuple(mine),
                times=tuple(_times(formula, visits, here)),
                ratios=tuple(ratios[number] for number in mine),
                visits=tuple(visits.names[v] for v in sorted({cell.visit for cell in here})),
                prefix=_prefix(by, group),
            )
        )
    labels = tuple(_label(formula, by, ident, visits, cell) for cell in cells)
    return ResidualStructure(tuple(blocks), names, labels)


def _times(formula: ResidualFormula, visits: Visits, here: Sequence[VisitCell]) -> Iterator[int]:
    """When each cell of a block is; levels of `ident` alone stand apart, and `toep` counts steps."""
    step = visits.step if formula.correlation == "toep" else 1
    for number, cell in enumerate(here):
        yield number if formula.group is None else int(visits.times[cell.visit]) // step


def _ratios(
    formula: ResidualFormula,
    by: Grouping | None,
    ident: Grouping | None,
    visits: Visits,
    cells: Sequence[VisitCell],
) -> tuple[list[int], tuple[str, ...]]:
    """Which SD ratio each cell has, -1 for the first cell's or that of the first level, and their names.

    They are `ratio.8`, `B.ratio.8`, `B.ratio`, `ratio.Male`; a block of `un` has the others of its own.
    """
    first = dict[int, str]()
    for cell in cells:
        first.setdefault(cell.by, visits.names[cell.visit])
    names = list[str]()
    for cell in cells:
        own = visits.names[cell.visit] if formula.correlation != "un" else first[cell.by]
        if ident:
            names.append(f"ratio.{ident.levels[cell.ident]}")
        else:
            names.append(_prefix(by, cell.by) + (f"ratio.{own}" if formula.heterogeneous else "ratio"))
    first_of_all = f"ratio.{ident.levels[0]}" if ident else names[0]
    free = [name for name in dict.fromkeys(names) if name != first_of_all]
    which = {name: number for number, name in enumerate(free)}
    return [which.get(name, -1) for name in names], tuple(free)


def _prefix(by: Grouping | None, group: int) -> str:
    return f"{by.levels[group]}." if by else ""


def _label(
    formula: ResidualFormula, by: Grouping | None, ident: Grouping | None, visits: Visits, cell: VisitCell
) -> str:
    """What a sentence calls a cell: `visit 8 of arm B`, `Sex Male`."""
    parts = list[str]()
    if formula.group:
        parts.append(f"visit {visits.names[cell.visit]}")
    if ident:
        parts.append(f"{ident.name} {ident.levels[cell.ident]}")
    named = ", ".join(parts)
    return f"{named} of {by.name} {by.levels[cell.by]}" if by else named
