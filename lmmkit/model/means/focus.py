"""What a study asks about: a term of the fixed part, the variable of it that is looked at, and the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError, did_you_mean
from lmmkit.model.design.design import Design
from lmmkit.model.design.variables import Variable
from lmmkit.model.estimates import Estimates
from lmmkit.model.formula.expression import named_column
from lmmkit.model.formula.formula import Formula, Term, term_name
from lmmkit.model.formula.spelling import same_name
from lmmkit.model.means.reference_grid import axis_of
from lmmkit.model.table.grouping import level_texts

INTERCEPT = "Intercept"


@dataclass(frozen=True)
class Focus:
    """A term and what of it is asked.

    Attributes:
        term: Its name; `Intercept` for the intercept.
        variable: The column along which, or between whose levels, the response is compared; "" of the
            intercept.
        within: The term's other columns.
        contrast: Two levels of a factor: the mean of the first less that of the second.
        at: Values of other columns at which it is asked, by name; levels as text.
        absent: What was asked for in a model that does not have it; then this is the first term.
    """

    term: str
    variable: str = ""
    within: tuple[str, ...] = ()
    contrast: tuple[str, str] | None = None
    at: Mapping[str, Any] = field(default_factory=dict[str, Any])
    absent: str = ""


def focus_term(formula: Formula, asked: str | None) -> Term | None:
    """The term that a study's focus names: by its name, by one of its columns, or the first one for None.

    Args:
        formula: The formula.
        asked: The focus as written.

    Returns:
        The term, empty for the intercept; None where the focus names neither term nor column.

    Raises:
        FitError: The fixed part is empty.
    """
    terms = {term_name(term): term for term in formula.fixed}
    if not terms:
        raise FitError("The formula has no fixed part to ask about.")
    if asked is None:
        return next((term for term in formula.fixed if term), formula.fixed[0])
    found = same_name(asked, terms) or next((n for n in terms if _parts(n) == _parts(asked)), None)
    if found is not None:
        return terms[found]
    columns = {name: term for term in reversed(formula.fixed) for name in _columns(term)}
    name = same_name(asked, columns)
    return columns[name] if name else None


def unknown_focus(asked: str, formula: Formula, coefficients: Iterable[str] = ()) -> FitError:
    """What is said of a focus that names nothing."""
    terms = [term_name(term) for term in formula.fixed]
    columns = [name for term in formula.fixed for name in _columns(term)]
    near = did_you_mean(asked, list(dict.fromkeys([*terms, *columns, *coefficients]))) or "."
    return FitError(f"{asked!r} is no term of the formula{near} Its terms: {', '.join(terms)}")


def find_focus(
    design: Design,
    asked: str | None = None,
    contrast: Sequence[Any] | str | None = None,
    at: Mapping[str, Any] | None = None,
) -> Focus:
    """What a study's focus, contrast and values stand for in a design.

    A coefficient stands for its term; one that is a difference of two levels within levels of others, such
    as `arm[T.drug]:visit[w8]`, names these levels too.

    Args:
        design: The design.
        asked: A term, a column of one, a coefficient; None for the first term that is no intercept.
        contrast: Two levels of the factor, as `[first, second]` or `first - second`.
        at: Values of other columns of the fixed part.

    Raises:
        FitError: It names nothing, levels that there are not, or a contrast of what is no factor.
    """
    formula, term = design.recipe.formula, focus_term(design.recipe.formula, asked)
    given: dict[str, Any] = {}
    levels: tuple[str, str] | None = None
    if term is None:
        assert asked is not None
        coefficient = same_name(asked, design.fixed_names)
        if coefficient is None:
            raise unknown_focus(asked, formula, design.fixed_names)
        name = next(
            t.name for t in design.fixed_terms if coefficient in (design.fixed_names[i] for i in t.columns)
        )
        term = next(each for each in formula.fixed if term_name(each) == name)
        levels, given = _levels_named(design, term, coefficient)
    if not term:
        if contrast or at:
            raise FitError("report.contrast and report.at are about a term; the focus is the intercept.")
        return Focus(INTERCEPT)
    columns = list(dict.fromkeys(_columns(term)))
    variable = _looked_at(design, columns, asked, set(given))
    focus = Focus(term_name(term), variable, tuple(name for name in columns if name != variable))
    values = given | {_moderator(design, focus, name): value for name, value in (at or {}).items()}
    settled = {name: _value(design, name, value) for name, value in values.items()}
    if contrast is not None:
        levels = _contrast(design, variable, contrast)
    return replace(focus, contrast=levels, at=settled)


def is_factor(design: Design, name: str) -> bool:
    """Whether the levels of a column are compared, and no slope along it is taken."""
    return bool(pd.api.types.is_bool_dtype(design.frame[name])) or axis_of(design, name).factor


def levels_of_column(design: Design, name: str) -> dict[str, Any]:
    """The levels of a factor, or of a column of truth values, in order: their text and their value."""
    if pd.api.types.is_bool_dtype(design.frame[name]):
        return {"False": False, "True": True}
    values = axis_of(design, name).values
    return dict(zip(level_texts(list(values)), values, strict=True))


def moderators(design: Design, variable: str) -> list[str]:
    """The columns on which the effect of a variable depends, in the order of the formula."""
    terms = [list(_columns(term)) for term in design.recipe.formula.fixed]
    return [
        n for n in dict.fromkeys(name for term in terms if variable in term for name in term) if n != variable
    ]


def largest_interactions(design: Design, variable: str) -> list[str]:
    """Names of the terms of a variable with others that are part of no larger term."""
    terms = {term_name(term): frozenset(_columns(term)) for term in design.recipe.formula.fixed}
    mine = {name: columns for name, columns in terms.items() if variable in columns and len(columns) > 1}
    return [name for name, columns in mine.items() if not any(columns < other for other in mine.values())]


def interaction_rows(estimates: Estimates, focus: Focus) -> Floats | None:
    """(r, p) rows of the coefficients of an interaction that is asked for as such, on the kept ones.

    None of a single column, where levels or values are named, and where coefficients are no interaction on
    any coding: a part of it is left out, or a wider term has its columns.
    """
    design = estimates.design
    terms = {term_name(term): term for term in design.recipe.formula.fixed}
    own = terms.get(focus.term, ())
    if len(own) < 2 or focus.at or focus.contrast is not None:
        return None
    columns = {name: set(_columns(term)) for name, term in terms.items()}
    known = {frozenset(term) for term in terms.values()}
    wider = any(columns[focus.term] <= other for name, other in columns.items() if name != focus.term)
    if wider or any(frozenset(own) - {part} not in known for part in own):
        return None
    mine = next(term.columns for term in design.fixed_terms if term.name == focus.term)
    L = np.eye(len(estimates.kept))[[i for i, c in enumerate(estimates.kept) if c in mine]]
    return L if len(L) else None


def _parts(name: str) -> frozenset[str]:
    return frozenset(part.strip() for part in name.replace("*", ":").split(":"))


def _columns(term: Term) -> Iterable[str]:
    return (name for expression in term for name in expression.variables)


def _looked_at(design: Design, columns: Sequence[str], asked: str | None, held: set[str]) -> str:
    """The column asked for by name, else of an interaction the first number, else the first factor.

    The visits of a residual structure, and what has a level given, are what others are compared within.
    """
    if asked is not None and named_column(asked) in columns:
        return named_column(asked)
    residual = design.residual
    visits = str(residual.formula.time) if residual and residual.formula.time else ""
    free = [name for name in columns if name not in held and name != visits] or list(columns)
    return next((name for name in free if not is_factor(design, name)), free[0])


def _moderator(design: Design, focus: Focus, name: str) -> str:
    known = [each for each in design.recipe.fixed_columns() if each != focus.variable]
    found = same_name(str(name), known)
    if found is None:
        near = did_you_mean(str(name), known) or "."
        raise FitError(
            f"report.at: `{name}` is no other column of the fixed part{near} They are: {', '.join(known)}"
        )
    return found


def _value(design: Design, name: str, given: Any) -> Any:
    """A value of a column as tables have it: a level's text, or a number."""
    if is_factor(design, name):
        known = level_texts(list(levels_of_column(design, name)))
        (text,) = level_texts([given])
        if str(text) not in map(str, known):
            near = did_you_mean(str(text), list(map(str, known))) or "."
            raise FitError(
                f"report.at: `{name}` has no level {text}{near} Its levels: {', '.join(map(str, known))}"
            )
        return str(text)
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise FitError(f"report.at: `{name}` is a number; {given!r:.60} is none")
    return float(given)


def _contrast(design: Design, variable: str, given: Sequence[Any] | str) -> tuple[str, str]:
    """The two levels that a contrast names."""
    if not is_factor(design, variable):
        raise FitError(
            f"report.contrast: `{variable}` is a number, which has a slope and no levels; leave it out"
        )
    known = list(map(str, levels_of_column(design, variable)))
    pairs = [list(map(str, given))]
    if isinstance(given, str):
        parts = given.split(" - ")
        pairs = [[" - ".join(parts[:i]).strip(), " - ".join(parts[i:]).strip()] for i in range(1, len(parts))]
    found = [pair for pair in pairs if len(pair) == 2 and pair[0] != pair[1] and set(pair) <= set(known)]
    if not found:
        unknown = [level for pair in pairs for level in pair if level not in known]
        near = did_you_mean(unknown[0], known) or "." if unknown else "."
        raise FitError(
            f"report.contrast: two levels of `{variable}` are expected, such as [{known[1]}, {known[0]}], "
            f"not {given!r:.60}{near} Its levels: {', '.join(known)}"
        )
    return found[0][0], found[0][1]


def _levels_named(
    design: Design, term: Term, coefficient: str
) -> tuple[tuple[str, str] | None, dict[str, Any]]:
    """Of `arm[T.drug]:visit[w8]` the levels that it compares, and those within which it does."""
    variables = [design.recipe.variables[expression] for expression in term]
    choices = [[*_labels(each, plain=True), *_labels(each, plain=False)] for each in variables]
    for parts in product(*choices) if len(term) > 1 and all(choices) else ():
        compared = [part for part in parts if part[2] is not None]
        if len(compared) == 1 and ":".join(part[0] for part in parts) == coefficient:
            within = {str(part[3]): part[1] for part in parts if part[2] is None}
            return (compared[0][1], str(compared[0][2])), within
    return None, {}


def _labels(variable: Variable, *, plain: bool) -> list[tuple[str, str, str | None, str]]:
    """Label, level, base (None of a level by itself) and column of each column of a factor."""
    if variable.kind != "factor" or len(variable.expression.variables) != 1:
        return []
    names, column = variable.names(reduced=not plain), variable.expression.variables[0]
    if plain:
        return [(name, level, None, column) for name, level in zip(names, variable.levels, strict=True)]
    base = reference_level(variable)
    kept = [level for level in variable.levels if level != base]
    return [(name, level, base, column) for name, level in zip(names, kept, strict=True)] if base else []


def reference_level(variable: Variable) -> str | None:
    """The level that a factor's treatment-coded columns are differences from; None under another coding."""
    if variable.coding is None:
        return None
    matrix, levels = variable.coding.matrix, variable.levels
    if matrix.shape[1] != len(levels) - 1 or not ((matrix == 0.0) | (matrix == 1.0)).all():
        return None
    if (matrix.sum(axis=0) != 1.0).any():
        return None
    bare = [level for level, row in zip(levels, matrix, strict=True) if not row.any()]
    return bare[0] if len(bare) == 1 else None


def where_zero(design: Design, term: str = "Intercept") -> list[dict[str, str]]:
    """Where all other columns of the terms that contain a term are zero.

    Args:
        design: The design.
        term: A fixed term; the intercept is contained in all.

    Returns:
        By variable `of` (its column, or its expression) and `kind`: `level` with the level that is the
        coding's zero, `mean` over the levels with equal weights, `zero` of an expression, or `beside` of a
        column that other terms have too.
    """
    terms = {term_name(each): each for each in design.recipe.formula.fixed}
    own = set(terms.get(term, ()))
    beside = [e for each in terms.values() if own < set(each) for e in each if e not in own]
    found = dict[str, dict[str, str]]()
    for expression in beside:
        variable = design.recipe.variables[expression]
        name = expression.variables[0] if len(expression.variables) == 1 else expression.text
        if variable.coding is None:
            found[expression.text] = {"of": expression.text, "kind": "zero"}
            continue
        matrix = variable.coding.matrix
        bare = [level for level, row in zip(variable.levels, matrix, strict=True) if not row.any()]
        even = bool((np.abs(matrix.sum(axis=0)) < 1e-9 * np.abs(matrix).max()).all())
        if bare:
            found[name] = {"of": name, "kind": "level", "level": bare[0]}
        else:
            found[name] = {"of": name, "kind": "mean"} if even else {"of": expression.text, "kind": "zero"}
    columns = {name for e in own for name in e.variables if design.recipe.variables[e].coding is None}
    for expression in (e for each in terms.values() for e in each if e not in own):
        for name in (
            columns & set(expression.variables) if design.recipe.variables[expression].coding is None else ()
        ):
            found.setdefault(name, {"of": name, "kind": "beside"})
    return list(found.values())
