"""What a sweep follows through its cells: one estimand for all, found in each cell's own fit.

Of a number it is the average slope over the rows of the base study, whatever the cell's formula makes of
it; of a factor the difference of two marginal means; of an interaction of two columns how much the one or the
other changes with the second column. A coefficient would be a slope at zero in one cell and an average one in
the next, and that of an interaction another number under another coding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import LmmkitError, StudyError
from lmmkit.model.design.design import Design, build_design
from lmmkit.model.fit import Fit, load
from lmmkit.model.formula.spelling import same_name
from lmmkit.model.means.focus import (
    INTERCEPT,
    Focus,
    find_focus,
    focus_term,
    is_factor,
    levels_of_column,
    moderators,
)
from lmmkit.model.report_tables.about_answer import bend_test, direction, estimand, has_one_difference
from lmmkit.study.data.known_files import read_known_files
from lmmkit.study.data.load_table import load_table
from lmmkit.study.files.study import design_options
from lmmkit.study.runs.plan import Plan

ESTIMATES = ("estimate", "se", "low", "high", "p")


@dataclass(frozen=True)
class Followed:
    """The estimand of a sweep.

    Attributes:
        name: What it is, in words.
        focus: The base study's focus.
        frame: The rows of the base study that its fit uses.
        along: The numbers per unit of which it is told: none of a difference of means.
        beside: Of an interaction the column with which the slope or the difference changes.
        ends: Two values of that column: what is found at the second is taken from what is found at the first.
    """

    name: str
    focus: Focus
    frame: pd.DataFrame
    along: tuple[str, ...] = ()
    beside: str = ""
    ends: tuple[Any, ...] = ()


@dataclass(frozen=True)
class InCell:
    """The estimand in a cell.

    Attributes:
        numbers: estimate, se, low, high, p; F and F_p of all terms of a number that bends.
        L: (p,) on the kept coefficients; None where it is not estimated.
        why: Why it is not estimated.
    """

    numbers: dict[str, float]
    L: Floats | None
    why: str = ""


def followed(base: Plan, summary: Sequence[str]) -> Followed:
    """The estimand of a sweep: of the first entry of `summary` that is a term, else of the study's focus.

    Args:
        base: The base study.
        summary: Quantities that the sweep names.

    Raises:
        StudyError: The focus is a factor of more than two levels, and the study names no contrast; or an
            interaction that is no single number.
        LmmkitError: The base study cannot be read.
    """
    settings, report = base.study.settings, base.study.settings.report
    table = load_table(settings.data, base.base)
    related = read_known_files(settings.model.known, base.base)
    options: dict[str, Any] = {**design_options(settings.model), "known": related or None}
    design = build_design(settings.model.formula, table.frame, **options)
    known = [*design.fixed_names]
    named = [
        name for entry in summary for name in (entry, entry.rpartition(".")[0])
        if name and (focus_term(design.recipe.formula, name) is not None or same_name(name, known))
    ]  # fmt: skip
    asked = next(iter(named), report.focus)
    own = asked == report.focus or not named
    focus = find_focus(design, asked, report.contrast if own else None, report.at if own else None)
    frame = (
        design.source.table.frame
        if design.source.rows is None
        else design.source.table.frame.iloc[design.rows]
    )
    if focus.term == INTERCEPT:
        return Followed("the intercept", focus, frame)
    y, x = settings.model.response, focus.variable
    where = "".join(f" at {name} {value:g}" if isinstance(value, float) else f" at {name} {value}"
                    for name, value in focus.at.items())  # fmt: skip
    as_such = asked is not None and same_name(asked, design.recipe.fixed_columns()) is None
    if as_such and focus.within and focus.contrast is None and not set(focus.within) & set(focus.at):
        return _interaction(design, focus, frame, y, where)
    if not is_factor(design, x):
        return Followed(f"the average slope of {y} along {x}{where}", focus, frame, (x,))
    if not has_one_difference(design, focus):
        raise StudyError(
            f"report.contrast: {x} has more than two levels, and a sweep follows one number: name two of "
            f"them in the base study, such as report: {{contrast: [{_two(design, x)}]}}"
        )
    first, second = focus.contrast or direction(design, x)
    name = f"the difference of {y} between {x} {first} and {second}{where}"
    return Followed(name, replace(focus, contrast=(first, second)), frame)


def _interaction(design: Design, focus: Focus, frame: pd.DataFrame, y: str, where: str) -> Followed:
    """How much a slope, or a difference of two means, changes with another column.

    Raises:
        StudyError: There are several other columns, or a factor of more than two levels.
    """
    x, (z, *others) = focus.variable, focus.within
    many = [n for n in (x, z) if is_factor(design, n) and len(levels_of_column(design, n)) != 2]
    if others or many:
        value = next(iter(levels_of_column(design, z))) if is_factor(design, z) else f"{frame[z].mean():.3g}"
        pair = f", contrast: [{_two(design, x)}]" if is_factor(design, x) else ""
        raise StudyError(
            f"report.focus: the interaction {focus.term} is several numbers, and a sweep follows one: ask "
            f"for one of its columns in the base study, such as report: {{focus: {x}{pair}, "
            f"at: {{{z}: {value}}}}}"
        )
    if is_factor(design, x):
        one, other = direction(design, x)
        focus = replace(focus, contrast=(one, other))
        along, what = (), f"the difference of {y} between {x} {one} and {other}"
    else:
        along, what = (x,), f"the average slope of {y} along {x}"
    if is_factor(design, z):
        ends = direction(design, z)
        name = f"the difference between {z} {ends[0]} and {ends[1]} in {what}{where}"
    else:
        along, ends = (*along, z), (float(frame[z].max()), float(frame[z].min()))
        name = f"the change per unit of {z} of {what}{where}"
    return Followed(name, focus, frame, along, z, ends)


def _two(design: Design, factor: str) -> str:
    first, second = list(levels_of_column(design, factor))[:2]
    return f"{second}, {first}"


def in_cell(of: Followed, folder: Path, *, df: str, level: float) -> InCell:
    """The estimand in the fit of a run.

    Args:
        of: The estimand.
        folder: The run.
        df: Denominator degrees of freedom.
        level: Coverage of the interval.
    """
    fit = load(folder / "fit")
    try:
        L = _weights(of, fit)
        row = fit.contrast(L, df=df, level=level).iloc[0]
        numbers = {name: float(row[name]) for name in ESTIMATES}
        bends = bend_test(fit, _focus_here(of, fit), df=df) if of.along and not of.beside else None
        return InCell(numbers | dict(zip(("F", "F_p"), bends or (), strict=False)), L)
    except LmmkitError as error:
        return InCell({}, None, str(error))


def _weights(of: Followed, fit: Fit) -> Floats:
    """(p,) the estimand's weights on the kept coefficients of a fit.

    Raises:
        StudyError: It is another quantity here, or the formula does not have it.
        FitError: The data cannot estimate it.
    """
    focus, frame = _focus_here(of, fit), None
    if focus.term != INTERCEPT and is_factor(fit.design, focus.variable) == (focus.variable in of.along):
        raise StudyError(f"{focus.variable} is a factor in one study and a number in the other")
    if of.along:
        frame = _rows(of, fit)
    if not of.beside:
        return _estimand(fit, focus, frame)
    if of.beside not in moderators(fit.design, focus.variable):
        raise StudyError(f"the fixed part has no interaction of {focus.variable} and {of.beside}")
    first, second = (_estimand(fit, _focus_here(of, fit, {of.beside: end}), frame) for end in of.ends)
    return (first - second) / (of.ends[0] - of.ends[1] if of.beside in of.along else 1.0)


def _estimand(fit: Fit, focus: Focus, frame: pd.DataFrame | None) -> Floats:
    found = estimand(fit, focus, frame)
    assert found is not None  # of a factor a contrast is named
    return found.L


def _focus_here(of: Followed, fit: Fit, given: Mapping[str, Any] = MappingProxyType({})) -> Focus:
    """The focus in a fit, with values of other columns beside its own."""
    if of.focus.term == INTERCEPT:
        return find_focus(fit.design, INTERCEPT)
    known = fit.design.recipe.fixed_columns()
    if of.focus.variable not in known:
        raise StudyError(f"the fixed part has no {of.focus.variable}")
    at = {name: value for name, value in {**of.focus.at, **given}.items() if name in known}
    return replace(find_focus(fit.design, of.focus.variable, None, at), contrast=of.focus.contrast)


def _rows(of: Followed, fit: Fit) -> pd.DataFrame:
    """The base study's rows with the columns that a cell's fixed part uses.

    A column that does not meet the variable in a term does not matter to its slope: any value will do.
    """
    own, frame = fit.design.frame, of.frame.copy()
    terms = fit.design.recipe.formula.columns_of_terms()
    meeting = {name for columns in terms if of.focus.variable in columns for name in columns}
    for name in fit.design.recipe.fixed_columns():
        if name in meeting and name not in frame:
            raise StudyError(
                f"the base study has no column {name}, with which {of.focus.variable} interacts here"
            )
        if name not in meeting:
            frame[name] = [own[name].iloc[0]] * len(frame)
    return frame
