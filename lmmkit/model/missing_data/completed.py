"""The rows that should have a response: those of the fit, those whose response is missing, and absent visits.

A visit that a subject has no row for is a row with a missing response too, where all else about it is known:
columns that are the same on all rows of a subject, or of a visit. Missing predictors are refused by name: the
model describes the response given the predictors, and says nothing about these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariates import awaits_fitted
from lmmkit.engine.imputation.missing_responses import NOBODY
from lmmkit.engine.imputation.parameter_draws import DrawnEffects
from lmmkit.engine.problem import Problem, Residual
from lmmkit.errors import DataError, FitError, did_you_mean
from lmmkit.model.design.design import Design, design_from_dict
from lmmkit.model.design.learned import codes_of
from lmmkit.model.design.residual_design import VisitCell, VisitDesign
from lmmkit.model.design.rows_used import missing_in_words, open_source
from lmmkit.model.estimates import Estimates, refuse_held
from lmmkit.model.inference.linear_functions import estimable
from lmmkit.model.table.columns import Mask, open_table
from lmmkit.model.table.grouping import level_texts

SHOWN = 4


@dataclass(frozen=True, eq=False)
class Completed:
    """A fit's problem on all rows that should have a response.

    Attributes:
        estimates: The fit.
        design: Its design on these rows; what stands in its response where that is missing means nothing.
        missing: (n,) where the response is.
        made: (n,) which rows the table does not have: visits at which a subject is absent.
    """

    estimates: Estimates
    design: Design
    missing: Mask
    made: Mask

    @cached_property
    def problem(self) -> Problem:
        """The arrays, with the kept fixed effects alone."""
        return _kept(self.design.problem, self.estimates.kept)

    @cached_property
    def observed(self) -> Problem:
        """The same of the rows of the fit."""
        return _kept(self.estimates.problem, self.estimates.kept)

    @cached_property
    def X(self) -> Floats:
        """(n, p) the kept fixed effects."""
        return self.matrix(self.design.frame)

    def matrix(self, frame: pd.DataFrame) -> Floats:
        """(n, p) the kept fixed effects on a table like that of the rows."""
        return self.design.fixed_matrix(frame)[:, list(self.estimates.kept)]

    @cached_property
    def offset(self) -> Floats:
        """(n,) known part of the mean."""
        offset = self.problem.offset
        return np.zeros(len(self.missing)) if offset is None else offset

    @property
    def response(self) -> Floats:
        """(n,) the response, where it is there."""
        return self.problem.response

    @property
    def random(self) -> bool:
        """Whether there are random effects."""
        return bool(self.problem.terms)

    @property
    def visits(self) -> VisitDesign | None:
        """The residual structure, where it is one over the visits of subjects."""
        residual = self.design.residual
        return residual if isinstance(residual, VisitDesign) and residual.formula.group else None

    @cached_property
    def terms(self) -> tuple[int, ...]:
        """For each term of these rows its place among the terms of the fit, which has fewer levels."""
        places = {(t.group, t.names): i for i, t in enumerate(self.estimates.random)}
        return tuple(places[term.group, term.names] for term in self.design.random)

    @cached_property
    def _levels(self) -> tuple[Ints, ...]:
        """For each term of these rows the places of the fit's levels."""
        known = (self.estimates.random[place].levels for place in self.terms)
        return tuple(
            term.levels.get_indexer(levels).astype(np.intp)
            for term, levels in zip(self.design.random, known, strict=True)
        )

    def factors(self, of_fit: Sequence[Floats]) -> tuple[Floats, ...]:
        """Lambda of each term of these rows, from those of the fit's terms."""
        return tuple(of_fit[place] for place in self.terms)

    def mean(self, effects: DrawnEffects, fresh: Sequence[Floats] | None = None) -> Floats:
        """(n,) X beta + Z b and the offset.

        Args:
            effects: On the fit's terms and levels.
            fresh: (J, k) effects for levels that the fit has not, of each term of these rows; zero without.
        """
        b = list[Floats]()
        for number, (term, place, levels) in enumerate(
            zip(self.problem.terms, self.terms, self._levels, strict=True)
        ):
            own = np.zeros((term.levels, len(term.columns))) if fresh is None else fresh[number].copy()
            own[levels] = effects.b[place]
            b.append(own)
        return self.problem.plus_random(self.X @ effects.beta + self.offset, b)

    @cached_property
    def tail(self) -> Mask:
        """(n,) rows after the last response of their subject; of no visits, all whose response is missing."""
        if self.visits is None:
            return self.missing
        residual = self.visits.arrays
        number = residual.structure.visits[residual.cells]
        last = np.full(int(residual.subjects.max()) + 1, -1)
        np.maximum.at(last, residual.subjects[~self.missing], number[~self.missing])
        return self.missing & (number > last[residual.subjects])

    def levels_of(self, column: str) -> list[str]:
        """The text of a column's value on each row."""
        return [str(text) for text in level_texts(self.design.frame[column].tolist())]

    @cached_property
    def sds(self) -> Floats:
        """(n,) standard deviation of each row's response given its fixed effects."""
        problem, fit = self.problem, self.estimates
        total = np.full(len(self.missing), fit.sigma**2)
        if problem.residual is not None:
            total *= problem.residual.sds(fit.rho) ** 2
        if problem.weights is not None:
            total /= problem.weights
        for term, factor in zip(problem.terms, self.factors(fit.factors), strict=True):
            Z = problem.term_columns(term)
            share = sum((w**2 for _, w in term.members), np.zeros(len(Z))) if term.members else 1.0
            total += share * ((Z @ (fit.sigma * factor)) ** 2).sum(axis=1)
        return np.sqrt(total)


def _kept(problem: Problem, kept: Sequence[int]) -> Problem:
    return replace(problem, fixed=tuple(problem.fixed[i] for i in kept))


def complete(estimates: Estimates, data: Any = None) -> Completed:
    """The rows of a fit, those whose response is missing, and those of absent visits.

    Args:
        estimates: The fit.
        data: A table with the rows of the fit and those whose response is missing; by default the one that
            the fit was given.

    Raises:
        DataError: A predictor is missing, no response is, or a visit that a subject lacks cannot be made out.
        FitError: The variances are given, or follow the fitted values.
    """
    refuse_held(estimates, "Imputation", "and it draws them")
    if awaits_fitted(estimates.design.problem):
        raise FitError(
            "power(fitted): the variance of a missing response would follow its own fitted value; take "
            "power(x) or exp(x) of a covariate."
        )
    frame, missing = _rows(estimates.design, data)
    made = _absent(estimates.design, frame)
    whole = pd.concat([frame, made]) if len(made) else frame
    lacking = np.concatenate([missing, np.ones(len(made), bool)])
    if not lacking.any():
        raise DataError(
            f"No response is missing: every row of the table has its `{estimates.design.response}`"
            + (", and every subject has all visits" if _who_and_when(estimates.design) else "")
            + ", so that there is nothing to impute."
        )
    design = _design(estimates, whole, lacking)
    found = Completed(estimates, design, lacking, np.arange(len(whole)) >= len(frame))
    _check_cells(found)
    _check_estimable(found)
    return found


def _rows(design: Design, data: Any) -> tuple[pd.DataFrame, Mask]:
    """The rows of the fit and those whose response is missing, in the table's order; which lack it."""
    source = design.source if data is None else open_source(replace(design.request, missing="drop"), data)
    responses = design.recipe.formula.response.variables
    lost = {name: mask for name, mask in source.lost.items() if name not in responses}
    if lost:
        raise DataError(
            f"Predictors are missing: {missing_in_words(lost)}. The model describes the response given its "
            "predictors and cannot impute these: fill them, or leave these rows (or their subjects) out of "
            "the table, and fit again."
        )
    used = np.arange(source.table.rows) if source.rows is None else source.rows
    if data is not None and not np.array_equal(
        source.used(source.evaluator.numbers(design.recipe.formula.response)), design.problem.response
    ):
        raise DataError(
            f"data: its {len(used):,} rows with a response are not the {design.source.count:,} rows of the "
            "fit; the table that was fitted is expected, with the rows whose response is missing. A row may "
            "have been dropped for a value that the model does not use: fill it, or leave its column out."
        )
    names = list(dict.fromkeys(design.request.columns()))
    frame = source.table.frame[names].assign(**source.vectors)
    missing = np.ones(len(frame), bool)
    missing[used] = False
    for name in responses:
        column = frame[name]
        if bool(column.isna().any()):
            frame[name] = column.where(~column.isna(), column.iloc[used[0]])
    return frame, missing


def _who_and_when(design: Design) -> tuple[list[str], str] | None:
    """Columns of the subject and of its visits, where one row is expected at each; else None."""
    residual = design.residual
    if not isinstance(residual, VisitDesign) or residual.ident is not None:
        return None
    group, time = residual.formula.group, residual.formula.time
    if group is None or time is None or len(time.variables) != 1:
        return None
    return list(group.names), time.variables[0]


def _absent(design: Design, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the visits that subjects have no row for."""
    known = _who_and_when(design)
    if known is None:
        return frame.iloc[:0]
    names, time = known
    subject = frame.groupby(names, observed=True, sort=False).ngroup().to_numpy()
    visit, values = pd.factorize(frame[time], sort=False)
    has = np.zeros((subject.max() + 1, len(values)), bool)
    has[subject, visit] = True
    who, when = np.nonzero(~has)
    if not len(who):
        return frame.iloc[:0]
    of_subject = np.unique(subject, return_index=True)[1]
    of_visit = np.unique(visit, return_index=True)[1]
    made = frame.iloc[of_subject[who]].copy()
    unknown = list[str]()
    responses = design.recipe.formula.response.variables
    for name in frame.columns:
        codes = pd.factorize(frame[name], sort=False)[0]
        if name in responses or (codes[of_subject][subject] == codes).all():
            continue
        if not (codes[of_visit][visit] == codes).all():
            unknown.append(str(name))
            continue
        made[name] = frame[name].iloc[of_visit[when]].array
    if unknown:
        first = frame.iloc[of_subject[who[0]]]
        told = ", ".join(f"{name} {first[name]}" for name in names)
        raise DataError(
            f"{len(who):,} visits have no row ({told} at {time} {values[when[0]]} is the first), and what "
            f"{', '.join(f'`{name}`' for name in unknown)} would be there is not known: such columns differ "
            "between the rows of a subject. Give these rows, with an empty response."
        )
    made.index = pd.RangeIndex(len(frame), len(frame) + len(made))
    return made


def _design(estimates: Estimates, frame: pd.DataFrame, missing: Mask) -> Design:
    """The design on these rows with the codings of the fit, the fit's response where there is one."""
    known = {name: each.frame() for name, each in estimates.design.request.known.items()}
    design = design_from_dict(estimates.design.to_dict(), frame.reset_index(drop=True), known)
    response = design.problem.response.copy()
    response[~missing] = estimates.design.problem.response
    return replace(design, problem=replace(design.problem, response=response))


def _check_cells(found: Completed) -> None:
    """Every cell of a missing response has one that is there."""
    mine, fitted = found.design.residual, found.estimates.design.residual
    if not isinstance(mine, VisitDesign) or not isinstance(fitted, VisitDesign):
        return
    fresh = [name for name in mine.cell_names if name not in fitted.cell_names]
    if fresh:
        raise DataError(
            f"No response is there at {', '.join(fresh[:SHOWN])}: nothing tells the variance of those that "
            "are missing. Leave these rows out of the table."
        )


def _check_estimable(found: Completed) -> None:
    """The mean of every missing response is a function that the data can estimate."""
    X = found.design.fixed_matrix(found.design.frame.iloc[np.flatnonzero(found.missing)])
    _, possible = estimable(X, found.estimates)
    if not possible.all():
        left = ", ".join(found.estimates.dropped_columns[:SHOWN])
        raise DataError(
            f"The mean of {int((~possible).sum()):,} of the {int(found.missing.sum()):,} missing responses "
            f"cannot be estimated (left out of the fit: {left}). Leave these rows out of the table, or "
            "simplify the fixed part."
        )


@dataclass(frozen=True, eq=False)
class Arms:
    """The arms of the rows, and what a row would be in the reference arm.

    Attributes:
        column: The arm's column.
        reference: The reference arm.
        of: (n,) the arm of each row, as text.
        other: (n, p) the kept fixed effects, were it the reference arm.
        cells: (n,) the cell of R that it would be in; -1 on the rows of the reference arm.
    """

    column: str
    reference: str
    of: list[str]
    other: Floats
    cells: Ints


def arms(found: Completed, column: str, reference: Any) -> Arms:
    """The arms of the rows.

    Args:
        found: The rows.
        column: The arm's column.
        reference: The reference arm.

    Raises:
        FitError: No such column among the fixed effects, or no such arm.
        DataError: A subject in two arms, or a visit without any response of the reference arm.
    """
    of = arm_levels(found, column)
    text = str(level_texts([reference])[0]) if reference is not None else ""
    known = list(dict.fromkeys(of))
    if text not in known:
        near = did_you_mean(text, known) or "."
        raise FitError(
            f"reference={reference!r}: the reference arm is one of the levels of `{column}`{near} They are: "
            f"{', '.join(sorted(known))}."
        )
    frame = found.design.frame
    value = frame[column].iloc[of.index(text)]
    other = frame.assign(**{column: pd.Series([value] * len(frame), frame.index).astype(frame[column].dtype)})
    return Arms(column, text, of, found.matrix(other), _reference_cells(found, column, other, of, text))


def arm_levels(found: Completed, column: str) -> list[str]:
    """(n,) the arm of each row, as text.

    Raises:
        FitError: The fixed part does not have the column, or one value of it.
        DataError: A subject in two arms.
    """
    known = found.design.recipe.fixed_columns()
    if column not in known:
        near = did_you_mean(str(column), known) or "."
        raise FitError(
            f"arm={column!r}: the arm is a column of the fixed part of the model{near} Its columns: "
            f"{', '.join(known)}."
        )
    of = found.levels_of(column)
    if len(set(of)) < 2:
        raise FitError(f"arm={column!r}: all rows are of one arm, {of[0]}; two are expected.")
    if found.visits is not None and found.visits.subjects is not None:
        subjects = found.visits.arrays.subjects
        codes = pd.factorize(pd.Series(of))[0]
        first = np.zeros(subjects.max() + 1, np.intp)
        first[subjects] = codes
        twice = np.flatnonzero(first[subjects] != codes)
        if len(twice):
            name = found.visits.subjects.levels[subjects[twice[0]]]
            raise DataError(
                f"arm={column!r}: {found.visits.subjects.name} {name} is in two arms; one arm for each "
                "subject is expected."
            )
    return of


def _reference_cells(
    found: Completed, column: str, other: pd.DataFrame, of: Sequence[str], reference: str
) -> Ints:
    """(n,) the cells of R, were the rows of the reference arm; -1 where they are."""
    visits = found.visits
    assert visits is not None
    mine, here = visits.arrays.cells, np.array([arm == reference for arm in of])
    cells = mine.copy()
    if visits.by is not None and visits.formula.by is not None and column in visits.formula.by.names:
        groups = codes_of(visits.by, visits.formula.by.names, open_table(other, visits.formula.by.names))
        places = {cell: number for number, cell in enumerate(visits.cells)}
        known = visits.cells
        wanted: list[VisitCell] = [
            VisitCell(int(group), known[int(cell)].visit, known[int(cell)].ident)
            for group, cell in zip(groups, mine, strict=True)
        ]
        absent: list[VisitCell] = [cell for cell in wanted if cell not in places]
        if absent:
            raise DataError(
                f"The reference arm {reference} has no response at visit "
                f"{visits.visits.names[absent[0].visit]}, so that nothing tells what a missing one of "
                "another arm would be there; take covariance='common'."
            )
        cells = np.array([places[cell] for cell in wanted], np.intp)
    return np.where(here, NOBODY, cells)


def residual_of(problem: Problem) -> Residual:
    """The structure over visits of a problem that has one."""
    assert isinstance(problem.residual, Residual)
    return problem.residual
