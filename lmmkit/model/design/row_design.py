"""Residuals that fade with time or distance, or whose variance follows a number, on the rows used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from lmmkit.engine.covariance.row_structure import RowStructure, Serial, Spatial, VarianceFunction
from lmmkit.engine.crossproducts.whitening import LARGEST_SUBJECT, serial, spatial
from lmmkit.engine.problem import RowResidual
from lmmkit.errors import DataError, FitError
from lmmkit.model.design.learned import codes_of
from lmmkit.model.design.residual_design import LevelNames, ResidualDesign
from lmmkit.model.design.rows_used import Source
from lmmkit.model.design.visit_design import VisitDesign, more, row_numbers, visit_design
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.residual_formula import INDEPENDENT, SERIAL, ResidualFormula
from lmmkit.model.table.columns import Floats, Ints
from lmmkit.model.table.evaluate import Evaluator
from lmmkit.model.table.grouping import Grouping, grouping


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
    variance, covariate = _variance(formula, ident, source)
    codes = np.arange(source.count) if subjects is None else subjects.codes
    names = () if subjects is None else LevelNames(subjects)
    times = positions = correlation = None
    if formula.correlation == SERIAL:
        assert subjects is not None
        assert formula.time is not None
        times = _measured(formula.time, source)
        correlation = _serial(formula, subjects, times, source)
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
    notices = (*(visits.notices if visits else ()), *_notices(formula))
    return RowDesign(formula, subjects, ident, notices, arrays, visits)


def _subjects(formula: ResidualFormula, source: Source) -> Grouping | None:
    """The groups of a process; all rows are one where none is named."""
    if formula.group is None:
        return None
    if not formula.group.names:
        one = np.zeros(source.count, np.intp)
        return Grouping("1", one, 1, ((np.array(["all rows"], object), np.zeros(1, np.intp)),))
    found = grouping(formula.group, source.evaluator, source.rows)
    if found.size == len(found.codes):
        raise DataError(
            f"residual `{formula}`: each of the {found.size:,} levels of `{found.name}` has one row, so no "
            "two residuals are of one group and no correlation can be estimated; groups with several rows "
            "are expected."
        )
    return found


def _variance(
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


def _serial(formula: ResidualFormula, subjects: Grouping, times: Floats, source: Source) -> Serial:
    order = np.lexsort((times, subjects.codes))
    _refuse_twice(formula, subjects, order, times[:, None], source)
    return serial(subjects.codes, times)


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
    order = np.lexsort((*positions.T, subjects.codes))
    _refuse_twice(formula, subjects, order, positions, source)
    return spatial(subjects.codes, positions, formula.nugget)


def _refuse_twice(
    formula: ResidualFormula, subjects: Grouping, order: Ints, places: Floats, source: Source
) -> None:
    """Refuse two rows of a group at one time or place, which the order has side by side."""
    same = np.diff(subjects.codes[order]) == 0
    twice = np.flatnonzero(same & (np.diff(places[order], axis=0) == 0.0).all(axis=1))
    if not len(twice):
        return
    numbers = row_numbers(source)
    first, second = int(order[twice[0]]), int(order[twice[0] + 1])
    one, other = sorted((int(numbers[first]), int(numbers[second])))
    at = ", ".join(f"{x:g}" for x in places[first])
    at = f"({at})" if formula.coordinates else f"{formula.time} {at}"
    whose = f"{subjects.name} {subjects.levels[subjects.codes[first]]}" if subjects.size > 1 else "The group"
    raise DataError(
        f"residual `{formula}`: {whose} has two rows at {at}, rows {one} and {other}{more(len(twice))}, "
        "whose correlation would be 1; one row is expected at each. Leave one out, average them, or name "
        "what tells them apart."
    )


def _notices(formula: ResidualFormula) -> Iterator[str]:
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
