"""The answer of a study in a sentence with its interval: what the report says first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from lmmkit.model.design.design import Design
from lmmkit.study.report.numbers import Bound, Files, decimals_for

DEGREES = {
    "kenward-roger": "degrees of freedom and adjusted standard errors by Kenward and Roger",
    "satterthwaite": "degrees of freedom by Satterthwaite",
    "containment": "degrees of freedom by containment",
    "between-within": "between-within degrees of freedom",
    "residual": "residual degrees of freedom, which take no account of the number of groups",
    "normal": "normal quantiles, which take no account of the number of groups",
}
INTERVALS = {
    "wald": "are Wald intervals with {degrees}; tests of coefficients and terms have the same",
    "profile": "come from the profile likelihood (of the coefficients: the full, not the restricted one); "
    "tests have {degrees}",
    "bootstrap": "are percentiles of {refits} refits of a parametric bootstrap; tests have {degrees}",
}


def answer(files: Files, design: Design, focus: str | None) -> list[Markup]:
    """The headline sentences: what the focus does to the response, and how much groups differ.

    Args:
        files: The run.
        design: The design of the fit.
        focus: A column or a coefficient; by default the first that is not the intercept.
    """
    rows = _focused(files, design, focus)
    names = list(files.table("coefficients")["coefficient"])
    unit = _unit(files, design.response)
    if names[rows[0]] == "Intercept":
        first = _mean(files, design, rows[0], unit)
    elif len(rows) == 1 and _column(design, names[rows[0]]):
        first = _slope(files, design, rows[0], unit)
    else:
        first = _levels(files, design, rows, unit)
    return [first, _spread(files, unit)]


def method(files: Files) -> Markup:
    """How the intervals and the tests were made, in words."""
    kind = files.json("study.json")["inference"]["ci"]
    degrees = DEGREES[files.table("coefficients")["method"].iloc[0]]
    how = Markup(INTERVALS[kind]).format(degrees=degrees, refits=files.cell("intervals", 0, "refits"))
    return Markup("Intervals have a coverage of {} % and {}.").format(coverage(files), how)


def coverage(files: Files) -> Bound:
    """The coverage of the intervals, in per cent."""
    level = files.entry("study.json", "inference", "level")
    return Bound(level.value, level.file, level.place, f"{100 * level.value:.6g}")


def _focused(files: Files, design: Design, focus: str | None) -> list[int]:
    """Rows of the coefficients that the focus stands for."""
    names: list[str] = list(files.table("coefficients")["coefficient"])
    if focus in names:
        return [names.index(focus)]
    terms = {term.name: [design.fixed_names[i] for i in term.columns] for term in design.fixed_terms}
    wanted = terms.get(focus or "", [])
    rows = [names.index(name) for name in wanted if name in names]
    others = [row for row, name in enumerate(names) if name != "Intercept"]
    return rows or others[:1] or [0]


def _unit(files: Files, name: str) -> str:
    columns: dict[str, dict[str, Any]] = files.json("study.json")["data"]["columns"]
    return str(columns.get(name, {}).get("unit") or "")


def _with_unit(unit: str) -> Markup:
    return Markup(" {}").format(unit) if unit else Markup("")


def _column(design: Design, coefficient: str) -> bool:
    """Whether a coefficient is the slope of a numeric column by itself."""
    variables = design.composition.get(coefficient, ())
    return len(variables) == 1 and coefficient in design.frame.columns


def _estimate(files: Files, row: int) -> dict[str, Bound]:
    table = files.table("coefficients")
    decimals = decimals_for(float(table["se"].iloc[row]), files.trusted)
    return {name: files.cell("coefficients", row, name, decimals) for name in ("estimate", "low", "high")}


def _slope(files: Files, design: Design, row: int, unit: str) -> Markup:
    coefficient = files.table("coefficients")["coefficient"].iloc[row]
    found = _estimate(files, row)
    per = _unit(files, coefficient)
    step = Markup("{} of {}").format(per or "unit", coefficient)
    text = "Each further {} changes the mean of {} by <strong>{}{}</strong> ({} % interval {} to {}); {}."
    return Markup(text).format(
        step,
        design.response,
        found["estimate"],
        _with_unit(unit),
        coverage(files),
        found["low"],
        found["high"],
        _direction(found),
    )


def _direction(found: dict[str, Bound]) -> str:
    if found["low"].value > 0:
        return "the interval lies above zero"
    return "the interval lies below zero" if found["high"].value < 0 else "the interval includes zero"


def _mean(files: Files, design: Design, row: int, unit: str) -> Markup:
    found = _estimate(files, row)
    text = "The mean of {} over all groups is <strong>{}{}</strong> ({} % interval {} to {})."
    return Markup(text).format(
        design.response, found["estimate"], _with_unit(unit), coverage(files), found["low"], found["high"]
    )


def _levels(files: Files, design: Design, rows: Sequence[int], unit: str) -> Markup:
    """Coefficients of a factor or of an interaction, one after the other."""
    parts = [_level(files, row, unit) for row in rows]
    term = _term(files, design, rows[0])
    text = "For {} the model estimates, for the mean of {}: {} ({} % intervals).{}"
    return Markup(text).format(
        term, design.response, Markup("; ").join(parts), coverage(files), _reference(design, term)
    )


def _term(files: Files, design: Design, row: int) -> str:
    coefficient = files.table("coefficients")["coefficient"].iloc[row]
    owners = [
        term.name
        for term in design.fixed_terms
        if coefficient in [design.fixed_names[i] for i in term.columns]
    ]
    return owners[0] if owners else str(coefficient)


def _level(files: Files, row: int, unit: str) -> Markup:
    found = _estimate(files, row)
    coefficient = files.table("coefficients")["coefficient"].iloc[row]
    text = "{} <strong>{}{}</strong> ({} to {})"
    return Markup(text).format(coefficient, found["estimate"], _with_unit(unit), found["low"], found["high"])


def _reference(design: Design, term: str) -> str:
    """Against which level treatment-coded coefficients of a factor stand."""
    variables: Sequence[Any] = design.composition.get(term, ())
    coded = [name for name in design.fixed_names if name.startswith(f"{term}[T.")]
    levels = getattr(variables[0], "levels", None) if len(variables) == 1 else None
    if not coded or levels is None or len(levels) == 0:
        return ""
    return f" Each is a difference from level {levels[0]}."


def _spread(files: Files, unit: str) -> Markup:
    """How much the groups differ, next to the residual."""
    table = files.table("components")
    rows = [row for row in range(len(table)) if table["var2"].isna().iloc[row]]
    parts = [
        Markup("{} for {}").format(files.cell("components", row, "sdcor"), table["component"].iloc[row])
        for row in rows
    ]
    text = "Standard deviations between groups, and within them: {} (the response in {})."
    bare = "Standard deviations between groups, and within them: {}."
    return (
        Markup(text).format(Markup(", ").join(parts), unit)
        if unit
        else Markup(bare).format(Markup(", ").join(parts))
    )
