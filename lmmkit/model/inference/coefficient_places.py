"""Where a coefficient holds: at which levels, over which factors, where which numbers are zero."""

from __future__ import annotations

import numpy as np

from lmmkit.model.design.design import Design
from lmmkit.model.formula.formula import term_name


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
