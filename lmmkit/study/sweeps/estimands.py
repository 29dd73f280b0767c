"""What a sweep follows through its cells: one estimand for all, found in each cell's own fit.

Of a number it is the average slope over the rows of the base study, whatever the cell's formula makes of
it; of a factor the difference of two marginal means. A coefficient would be a slope at zero in one cell and
an average one in the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import LmmkitError, StudyError
from lmmkit.model.design.design import Design, build_design
from lmmkit.model.fit import Fit, load
from lmmkit.model.formula.spelling import same_name
from lmmkit.model.means.focus import INTERCEPT, Focus, find_focus, focus_term, is_factor, levels_of_column
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
        is_slope: Whether it is an average slope.
    """

    name: str
    focus: Focus
    frame: pd.DataFrame
    is_slope: bool


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
        StudyError: The focus is a factor of more than two levels, and the study names no contrast.
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
        return Followed("the intercept", focus, frame, is_slope=False)
    where = "".join(f" at {name} {value:g}" if isinstance(value, float) else f" at {name} {value}"
                    for name, value in focus.at.items())  # fmt: skip
    if not is_factor(design, focus.variable):
        return Followed(
            f"the average slope of {settings.model.response} along {focus.variable}{where}",
            focus,
            frame,
            is_slope=True,
        )
    if not has_one_difference(design, focus):
        raise StudyError(
            f"report.contrast: {focus.variable} has more than two levels, and a sweep follows one "
            f"number: name two of "
            f"them in the base study, such as report: {{contrast: [{_two(design, focus)}]}}"
        )
    if focus.contrast is None:
        focus = replace(focus, contrast=direction(design, focus.variable))
    first, second = focus.contrast or ("", "")
    name = f"the difference of {settings.model.response} between {focus.variable} {first} and {second}{where}"
    return Followed(name, focus, frame, is_slope=False)


def _two(design: Design, focus: Focus) -> str:
    levels = list(levels_of_column(design, focus.variable))
    return f"{levels[1]}, {levels[0]}"


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
        focus = _focus_here(of, fit)
        found = estimand(fit, focus, _rows(of, fit) if of.is_slope else None)
        if found is None:
            return InCell({}, None, "it is no single number here")
        row = fit.contrast(found.L, df=df, level=level).iloc[0]
        numbers = {name: float(row[name]) for name in ESTIMATES}
        if of.is_slope and (test := bend_test(fit, focus, df=df)) is not None:
            numbers |= {"F": test[0], "F_p": test[1]}
        return InCell(numbers, found.L)
    except LmmkitError as error:
        return InCell({}, None, str(error))


def _focus_here(of: Followed, fit: Fit) -> Focus:
    if of.focus.term == INTERCEPT:
        return find_focus(fit.design, INTERCEPT)
    if of.focus.variable not in fit.design.recipe.fixed_columns():
        raise StudyError(f"the fixed part has no {of.focus.variable}")
    known = fit.design.recipe.fixed_columns()
    at = {name: value for name, value in of.focus.at.items() if name in known}
    return replace(find_focus(fit.design, of.focus.variable, None, at), contrast=of.focus.contrast)


def _rows(of: Followed, fit: Fit) -> pd.DataFrame:
    """The base study's rows with the columns that a cell's fixed part uses.

    A column that does not meet the variable in a term does not matter to its slope: any value will do.
    """
    own, frame = fit.design.frame, of.frame.copy()
    terms = [{name for e in term for name in e.variables} for term in fit.design.recipe.formula.fixed]
    meeting = {name for columns in terms if of.focus.variable in columns for name in columns}
    for name in fit.design.recipe.fixed_columns():
        if name in meeting and name not in frame:
            raise StudyError(
                f"the base study has no column {name}, with which {of.focus.variable} interacts here"
            )
        if name not in meeting:
            frame[name] = [own[name].iloc[0]] * len(frame)
    return frame
