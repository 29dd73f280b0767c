"""How the columns of one coding of the factors follow from those of another, whatever the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.model.design.learned import Products, Recipe, columns_of
from lmmkit.model.design.variables import Values, Variable, coding
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.formula import Term

Variables = Mapping[Expression, Variable]
ROUNDING = 1e-10  # a coefficient between codings below this is zero


@dataclass(frozen=True, eq=False)
class Codings:
    """Three codings of one fixed part: as fitted, by treatment contrasts, and with a column per cell.

    Attributes:
        columns: Columns of each term in the first two.
        cells: Columns of each term in the third, cells with a reference level last.
        treatment_to_fitted: (p, p) W of X = X_treatment W.
        cells_from_treatment: (p, m) K of X_cells = X_treatment K.
    """

    columns: tuple[tuple[int, ...], ...]
    cells: tuple[tuple[int, ...], ...]
    treatment_to_fitted: Floats
    cells_from_treatment: Floats


def codings(recipe: Recipe) -> Codings:
    """The codings of a recipe's fixed part.

    They are read off made-up rows: every cell of every term several times, numbers drawn at random.
    """
    terms, variables = recipe.formula.fixed, recipe.variables
    used = {e: variables[e] for term in terms for e in term}
    rows = _rows(terms, used)
    plain = {e: replace(values, variable=_treatment(values.variable)) for e, values in rows.items()}
    count = len(next(iter(rows.values())).codes) if rows else 1
    fitted, columns = _stacked(recipe.fixed, rows, count)
    treatment, _ = _stacked(recipe.fixed, plain, count)
    blocks = [_cells(term, rows, count) for term in terms]
    return Codings(
        columns,
        _spans([block.shape[1] for block in blocks]),
        _solved(treatment, fitted),
        _solved(treatment, np.column_stack([np.empty((count, 0)), *blocks])),
    )


def _treatment(variable: Variable) -> Variable:
    """A factor in treatment coding; left alone when its own coding spans less."""
    if variable.kind != "factor" or not _complete(variable):
        return variable
    return replace(variable, coding=coding("treatment", variable.levels))


def _complete(variable: Variable) -> bool:
    """Whether a factor's coding spans all differences of its levels."""
    return variable.coding is not None and variable.coding.matrix.shape[1] == len(variable.levels) - 1


def _rows(terms: Sequence[Term], variables: Variables) -> dict[Expression, Values]:
    """Values of every variable on rows that hold each cell of each term several times."""
    draw = np.random.default_rng(0)
    repeats = 2 + sum(_width(variable) for variable in variables.values() if variable.kind != "factor")
    cells = [cell for term in terms for cell in _cells_of(term, variables)] * repeats
    out: dict[Expression, Values] = {}
    for expression, variable in variables.items():
        codes = draw.integers(0, max(len(variable.levels), 1), len(cells))
        fixed = np.array([cell.get(expression, -1) for cell in cells])
        numbers = draw.normal(size=(len(cells), _width(variable)))
        if variable.spare is not None:
            place = variable.labels.index(variable.spare)
            numbers[:, place] = 1.0 - np.delete(numbers, place, axis=1).sum(axis=1)
        numbers = numbers[:, 0] if variable.kind == "number" else numbers
        out[expression] = Values(variable, numbers, np.where(fixed < 0, codes, fixed))
    return out


def _width(variable: Variable) -> int:
    """Columns of a numeric variable."""
    return len(variable.labels) if variable.kind == "basis" else 1


def _cells_of(term: Term, variables: Variables) -> list[dict[Expression, int]]:
    """The combinations of levels of a term's factors."""
    factors = [e for e in term if variables[e].kind == "factor"]
    levels = [range(len(variables[e].levels)) for e in factors]
    return [dict(zip(factors, cell, strict=True)) for cell in product(*levels)]


def _stacked(
    products: Products, values: Mapping[Expression, Values], count: int
) -> tuple[Floats, tuple[tuple[int, ...], ...]]:
    """X of a coding, and the columns of each term."""
    blocks = [[column for _, column in columns_of(scoped, values, count)] for scoped in products]
    X = np.column_stack([np.empty((count, 0)), *(column for block in blocks for column in block)])
    return X, _spans([len(block) for block in blocks])


def _spans(widths: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Positions of blocks of columns laid side by side."""
    ends = list(accumulate(widths, initial=0))
    return tuple(tuple(range(end - width, end)) for end, width in zip(ends[1:], widths, strict=True))


def _cells(term: Term, values: Mapping[Expression, Values], count: int) -> Floats:
    """A column for every cell of a term, those with a reference level last."""
    parts = [_every_level(values[e]) for e in term]
    chosen = sorted(product(*parts), key=lambda cell: any(reference for _, reference in cell))
    columns = [np.prod([column for column, _ in cell], axis=0) * np.ones(count) for cell in chosen]
    return np.column_stack(columns)


def _every_level(values: Values) -> list[tuple[Floats, bool]]:
    """Each column of a variable in full, and whether it is a reference level's."""
    variable = values.variable
    short = variable.kind == "factor" and not _complete(variable)
    columns = [column for _, column in values.columns(reduced=short)]
    whole = variable.kind == "factor" and not short
    return [(column, whole and j == 0) for j, column in enumerate(columns)]


def _solved(X: Floats, Y: Floats) -> Floats:
    """B of Y = X B, rounding taken out."""
    B = np.asarray(np.linalg.lstsq(X, Y, rcond=None)[0], dtype=np.float64)
    B[np.abs(B) < ROUNDING] = 0.0
    return B
