"""The answer of a study in a sentence with its interval: what the report says first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

from lmmkit.model.design.design import Design
from lmmkit.model.design.variables import Variable
from lmmkit.model.report_tables.about_inference import focused
from lmmkit.study.pages.marks import Mark, MarkedText, Name, fill, join
from lmmkit.study.report.captions import with_unit
from lmmkit.study.report.numbers import Files

DEGREES = {
    "kenward-roger": "degrees of freedom and adjusted standard errors by Kenward and Roger",
    "kenward-roger-observed": "degrees of freedom and adjusted standard errors by Kenward and Roger, from "
    "observed information",
    "satterthwaite": "degrees of freedom by Satterthwaite",
    "unbounded": "degrees of freedom and standard errors from variances that may be negative",
    "containment": "degrees of freedom by containment",
    "inner-outer": "inner-outer degrees of freedom, as nlme has them",
    "between-within": "between-within degrees of freedom",
    "residual": "residual degrees of freedom, which take no account of the number of groups",
    "normal": "normal quantiles, which take no account of the number of groups",
}
INTERVALS = {
    "auto": "are, of coefficients, Wald intervals with {}, which tests of coefficients and terms have too; "
    "of variance components, from the profile likelihood where the table of components says so, else by Wald",
    "wald": "are Wald intervals with {}; tests of coefficients and terms have the same",
    "profile": "come from the profile likelihood (of the coefficients: the full, not the restricted one); "
    "tests have {}",
    "bootstrap": "are percentiles of {} refits of a parametric bootstrap; tests have {}",
}


def answer(files: Files, design: Design, focus: str | None) -> list[MarkedText]:
    """The headline sentences: what the focus does to the response, and how much groups differ.

    Args:
        files: The run.
        design: The design of the fit.
        focus: A column or a coefficient; by default the first that is not the intercept.
    """
    rows = focused(design, list(files.table("coefficients")["coefficient"]), focus)
    first = _coefficient(files, rows[0])
    unit = _unit(files, design.response)
    if first == "Intercept":
        mean = _estimate(files, rows[0], unit, coverage(files))
        sentence = fill("The mean of {} over all groups is {}.", Name(design.response), mean)
    elif len(rows) == 1 and _is_column(design, first):
        sentence = _slope(files, design, rows[0], unit)
    elif len(rows) == 1 and (found := _difference_within(design, first)):
        sentence = _within(files, design, rows[0], unit, found)
    else:
        sentence = _levels(files, design, rows, unit)
    return [sentence, _spread(files, design, unit)]


def method(files: Files) -> MarkedText:
    """How the intervals and the tests were made, in words."""
    kind = files.json("study.json")["inference"]["ci"]
    degrees = DEGREES[str(files.table("coefficients")["method"].iloc[0]).partition(":")[0]]
    refits = [files.cell("intervals", 0, "refits")] if kind == "bootstrap" else []
    how = fill(INTERVALS[kind], *refits, degrees)
    return fill("Intervals have a coverage of {} and {}.", coverage(files), how)


def coverage(files: Files) -> Mark:
    """The coverage of the intervals, in per cent."""
    level = files.json("study.json")["inference"]["level"]
    return files.entry("study.json", "inference", "level", text=f"{100 * level:.6g} %")


def _coefficient(files: Files, row: int) -> str:
    return str(files.table("coefficients")["coefficient"].iloc[row])


def _unit(files: Files, name: str) -> str:
    return str(files.json("study.json")["data"]["columns"].get(name, {}).get("unit") or "")


def _is_column(design: Design, coefficient: str) -> bool:
    """Whether a coefficient is the slope of a numeric column by itself."""
    return len(design.composition.get(coefficient, ())) == 1 and coefficient in design.frame.columns


def _estimate(files: Files, row: int, unit: str, level: Mark | None = None) -> MarkedText:
    """An estimate with its unit and its interval, whose coverage may be said elsewhere."""
    estimate, low, high = (
        files.cell("coefficients", row, name, "trusted") for name in ("estimate", "low", "high")
    )
    said = fill("{} interval ", level) if level else ""
    strong = Markup("<strong>{}</strong>").format(fill("{}{}", estimate, with_unit(unit)))
    return fill("{} ({}{} to {})", strong, said, low, high)


def _slope(files: Files, design: Design, row: int, unit: str) -> MarkedText:
    name = _coefficient(files, row)
    return fill(
        "Each further {} of {} changes the mean of {} by {}; {}.",
        Name(_unit(files, name) or "unit"),
        Name(name),
        Name(design.response),
        _estimate(files, row, unit, coverage(files)),
        _against_zero(*files.table("coefficients")[["low", "high"]].iloc[row]),
    )


class _Difference(NamedTuple):
    """A difference of two levels of a factor within one level of each other factor.

    Attributes:
        factor: The factor.
        level: The coefficient is the mean of this level
        base: less that of this one.
        within: Each other factor with its level.
    """

    factor: str
    level: str
    base: str
    within: list[tuple[str, str]]


def _difference_within(design: Design, coefficient: str) -> _Difference | None:
    """What `arm[T.drug]:visit[w8]` stands for; None for another form, or where more terms have the factor."""
    for term, variables in design.composition.items():
        choices = [
            [*_levels_of(variable, plain=True), *_levels_of(variable, plain=False)] for variable in variables
        ]
        for parts in product(*choices) if len(choices) > 1 and all(choices) else ():
            coded = [part for part in parts if part.base]
            if len(coded) != 1 or ":".join(part.label for part in parts) != coefficient:
                continue
            others = [used for name, used in design.composition.items() if name != term]
            if any(str(each.expression) == coded[0].factor for used in others for each in used):
                return None  # the coefficient is a difference of such differences, or at a covariate's zero
            within = [(part.factor, part.level) for part in parts if not part.base]
            return _Difference(coded[0].factor, coded[0].level, coded[0].base, within)
    return None


class _LevelLabel(NamedTuple):
    """A level of a factor as a coefficient names it; `base` where it is a difference from that level."""

    label: str
    factor: str
    level: str
    base: str


def _levels_of(variable: Variable, *, plain: bool) -> list[_LevelLabel]:
    """The levels of a factor as they stand alone, or as treatment coding has them."""
    name, levels = str(variable.expression), variable.levels
    if plain:
        return [_LevelLabel(f"{name}[{level}]", name, level, "") for level in levels]
    coded = [_LevelLabel(f"{name}[T.{level}]", name, level, levels[0]) for level in levels[1:]]
    treatment = levels and variable.names(reduced=True) == tuple(each.label for each in coded)
    return coded if treatment else []


def _within(files: Files, design: Design, row: int, unit: str, found: _Difference) -> MarkedText:
    """The difference of two levels of a factor within levels of others, such as that of arms at a visit."""
    within = [fill("{} {}", Name(factor), Name(level)) for factor, level in found.within]
    return fill(
        "At {} the mean of {} for {} {} less that for {} {} is {}; {}.",
        join(", ", within),
        Name(design.response),
        Name(found.factor),
        Name(found.level),
        Name(found.factor),
        Name(found.base),
        _estimate(files, row, unit, coverage(files)),
        _against_zero(*files.table("coefficients")[["low", "high"]].iloc[row]),
    )


def _against_zero(low: float, high: float) -> str:
    if low > 0:
        return "the interval lies above zero"
    return "the interval lies below zero" if high < 0 else "the interval includes zero"


def _levels(files: Files, design: Design, rows: Sequence[int], unit: str) -> MarkedText:
    """Coefficients of a factor or of an interaction, one after the other."""
    parts = [fill("{} {}", Name(_coefficient(files, row)), _estimate(files, row, unit)) for row in rows]
    term = _term(design, _coefficient(files, rows[0]))
    text = "For {} the model estimates, for the mean of {}: {} ({} intervals).{}"
    listed, reference = join("; ", parts), _reference(design, term)
    return fill(text, Name(term), Name(design.response), listed, coverage(files), reference)


def _term(design: Design, coefficient: str) -> str:
    """The term that a coefficient belongs to."""
    owners = (
        term.name
        for term in design.fixed_terms
        if coefficient in [design.fixed_names[i] for i in term.columns]
    )
    return next(owners, coefficient)


def _reference(design: Design, term: str) -> MarkedText:
    """Against which level treatment-coded coefficients of a factor stand."""
    variables = design.composition.get(term, ())
    coded = any(name.startswith(f"{term}[T.") for name in design.fixed_names)
    levels = getattr(variables[0], "levels", None) if len(variables) == 1 else None
    if not coded or levels is None or len(levels) == 0:
        return MarkedText()
    return fill(" Each is a difference from level {}.", Name(str(levels[0])))


def _spread(files: Files, design: Design, unit: str) -> MarkedText:
    """How much the groups differ, next to the residual; without random effects, the residuals alone."""
    table = files.table("components")
    what, names = "Standard deviations between groups, and within them", "component"
    if not design.random:
        what, names = "Standard deviations of the residuals", "var1"
    parts = [
        fill("{} for {}", files.cell("components", row, "sdcor"), Name(str(table[names].iloc[row])))
        for row in range(len(table))
        if pd.isna(table["var2"].iloc[row])
    ]
    end = fill(" (the response in {})", Name(unit)) if unit else ""
    return fill("{}: {}{}.", what, join(", ", parts), end)
