"""Residuals that fade with time or distance, or whose variance follows a number, on the rows used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.distance import pdist

from lmmkit.engine.covariance.row_structure import RowStructure, Serial, Spatial, VarianceFunction
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

MOST_NEAR = 3_000  # rows of one group in the plane: their covariance matrix is held whole, 72 MB each
MOST_DISTANCES = 2_000_000  # of which the median is taken, as a unit


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
        assert formula.time is not None
        times = _measured(formula, formula.time, source)
        correlation = _serial(formula, codes, times, subjects, source)
    elif formula.fades:
        positions = np.column_stack([_measured(formula, each, source) for each in formula.coordinates])
        correlation = _spatial(formula, codes, positions, subjects, source)
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
    values = _measured(formula, growing.of, source)
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


def _measured(formula: ResidualFormula, expression: Expression, source: Source) -> Floats:
    """(n,) times, coordinates or numbers on the rows used."""
    return np.asarray(source.used(source.evaluator.numbers(expression)), np.float64)


def _serial(
    formula: ResidualFormula, codes: Ints, times: Floats, subjects: Grouping | None, source: Source
) -> Serial:
    assert subjects is not None
    order = np.lexsort((times, codes))
    gaps, same = np.diff(times[order]), np.diff(codes[order]) == 0
    twice = np.flatnonzero(same & (gaps == 0.0))
    if len(twice):
        first, second = order[twice[0]], order[twice[0] + 1]
        at = f"{formula.time} {times[first]:g}"
        raise DataError(_met_twice(formula, subjects, at, int(first), int(second), len(twice), source))
    found = gaps[same]
    return Serial(unit=float(np.median(found)), closest=float(found.min()))


def _spatial(
    formula: ResidualFormula, codes: Ints, positions: Floats, subjects: Grouping | None, source: Source
) -> Spatial:
    assert subjects is not None
    sizes = np.bincount(codes)
    largest = int(sizes.argmax())
    if sizes[largest] > MOST_NEAR:
        where = f"{subjects.name} {subjects.levels[largest]}" if len(sizes) > 1 else "the one group"
        raise DataError(
            f"residual `{formula}`: {where} has {sizes[largest]:,} rows, whose covariance matrix would take "
            f"{8e-9 * float(sizes[largest]) ** 2:.1f} GB and is held and factored at every step; at most "
            f"{MOST_NEAR:,} rows a group are taken. Divide the plane into groups, or average rows that are "
            "near each other."
        )
    order = np.argsort(codes, kind="stable")
    distances, nearest, kept = list[Floats](), np.inf, 0
    for rows in np.split(order, np.cumsum(sizes)[:-1]):
        apart = pdist(positions[rows])
        if not len(apart):
            continue
        least = int(apart.argmin())
        if apart[least] == 0.0:
            first, second = (rows[each[least]] for each in np.triu_indices(len(rows), 1))
            at = "(" + ", ".join(f"{x:g}" for x in positions[first]) + ")"
            count = int((apart == 0.0).sum())
            raise DataError(_met_twice(formula, subjects, at, int(first), int(second), count, source))
        nearest = min(nearest, float(apart[least]))
        if kept < MOST_DISTANCES:
            distances.append(apart)
            kept += len(apart)
    return Spatial(float(np.median(np.concatenate(distances))), nearest, formula.nugget)


def _met_twice(
    formula: ResidualFormula,
    subjects: Grouping,
    at: str,
    first: int,
    second: int,
    count: int,
    source: Source,
) -> str:
    numbers = row_numbers(source)
    whose = f"{subjects.name} {subjects.levels[subjects.codes[first]]}" if subjects.size > 1 else "The group"
    one, other = sorted((int(numbers[first]), int(numbers[second])))
    return (
        f"residual `{formula}`: {whose} has two rows at {at}, rows {one} and {other}{more(count)}, whose "
        "correlation would be 1; one row is expected at each. Leave one out, average them, or name what "
        "tells them apart."
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
