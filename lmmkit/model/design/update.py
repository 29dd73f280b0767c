"""A model changed a little: its design again from the table that it was given; and the table that it uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.errors import FitError, did_you_mean
from lmmkit.model.design.design import Design, build_design
from lmmkit.model.design.rows_used import OFFSET, WEIGHTS, Given
from lmmkit.model.design.variables import Values
from lmmkit.model.formula.formula import update_formula

ARGUMENTS = ("weights", "offset", "residual", "known", "variances", "contrasts", "missing", "subset")


def updated_design(design: Design, formula: str | None, data: Any, changes: Mapping[str, Any]) -> Design:
    """The design of a model with another formula, other rows or other arguments.

    Args:
        design: The model as it is.
        formula: The change, a dot for what was there; None for none.
        data: Another table; None for the one that the model was given.
        changes: Arguments of `lmm` by name, in place of those of then.

    Raises:
        FormulaError, DataError: As `build_design`, or the formula takes away what it does not have.
        FitError: An argument that is not offered, vectors that belong to another table, or a response that
            the table does not have.
    """
    for name in changes:
        if name not in ARGUMENTS:
            near = did_you_mean(name, ARGUMENTS)
            offered = ", ".join(("data", "reml", "algorithm", *ARGUMENTS))
            raise FitError(f"update() has no argument `{name}`{near or '.'} It takes {offered}.")
    request = design.request
    given, subset = request.given, request.subset
    if given is None:  # read from a file: its rows are those of the subset
        given, subset = Given(design.source.table.frame, request.weights, request.offset), None
    kept: dict[str, Any] = {"weights": given.weights, "offset": given.offset, "missing": request.missing}
    kept |= {"contrasts": request.contrasts, "subset": subset}
    kept["variances"] = request.variances
    kept["residual"] = None if request.residual is None else str(request.residual)
    if data is not None:
        for name in ("weights", "offset"):
            if name not in changes and not (kept[name] is None or isinstance(kept[name], str)):
                raise FitError(
                    f"The {name} of this fit are a vector that goes with its own table: with other data give "
                    f"{name} too, or {name}=None for none."
                )
    new = design.recipe.formula if formula is None else update_formula(design.recipe.formula, formula)
    if "known" not in changes:
        groups = {bar.group.label for bar in new.random}
        kept["known"] = {name: known for name, known in request.known.items() if name in groups}
    if "contrasts" not in changes:
        named = {name for e in new.expressions() for name in e.variables}
        kept["contrasts"] = {name: how for name, how in request.contrasts.items() if name in named}
    made = build_design(new, given.data if data is None else data, **{**kept, **changes})
    return made if data is not None else _with_own_response(design, made)


def _with_own_response(design: Design, made: Design) -> Design:
    """A new design of the old table, with the response of the fit where it is not the table's."""
    table, own = design.source, design.problem.response
    if np.array_equal(table.used(table.evaluator.numbers(design.recipe.formula.response)), own):
        return made
    if made.response == design.response and np.array_equal(made.rows, design.rows):
        return replace(made, problem=replace(made.problem, response=own))
    raise FitError(
        f"This fit was made by refit(y): its response is not `{design.response}` of its table, so that other "
        "rows or another response cannot be taken from there. Update the first fit, and call refit(y) of it."
    )


def model_frame(design: Design) -> pd.DataFrame:
    """What the model sees, on the rows used: response, variables, grouping factors, weights and offset.

    Variables are evaluated and named as the formula writes them (`log(dose)`, `poly(x, 2)[1]`); factors are
    Categoricals with their levels.
    """
    columns: dict[str, Any] = {design.response: design.problem.response}
    values = design.recipe.values(design.source.evaluator, design.source.rows)
    for value in values.values():
        columns |= _columns(value)
    groups = [name for bar in design.recipe.formula.random for name in bar.group.columns()]
    residual = design.request.residual
    for name in [*groups, *(residual.columns() if residual else ())]:
        columns.setdefault(name, design.frame[name].to_numpy())
    for name, known in ((WEIGHTS, design.problem.weights), (OFFSET, design.problem.offset)):
        if known is not None:
            columns[name] = known
    return pd.DataFrame(columns, index=design.frame.index)


def _columns(value: Values) -> dict[str, Any]:
    """The columns of one variable."""
    variable = value.variable
    if variable.kind == "factor":
        return {
            variable.expression.text: pd.Categorical.from_codes(
                value.codes, dtype=pd.CategoricalDtype(list(variable.levels))
            )
        }
    return dict(value.columns(reduced=False))
