"""The columns behind the fixed terms, as a grid of values needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.model.design.learned import Recipe
from lmmkit.model.design.rows_used import Source
from lmmkit.model.design.variables import is_factor, marked_column
from lmmkit.model.table.levels import compress


@dataclass(frozen=True)
class Predictor:
    """A column that the fixed terms use.

    Attributes:
        name: The column.
        levels: Its levels on the rows used, in order, when the formula takes it for a factor; else None.
        mean: Its mean on the rows used when it is numbers; else None.
    """

    name: str
    levels: tuple[Any, ...] | None = None
    mean: float | None = None


def predictors(recipe: Recipe, source: Source) -> dict[str, Predictor]:
    """The columns of the fixed terms, in order of appearance; a factor anywhere is a factor."""
    factors = _factors(recipe, source)
    names = dict.fromkeys(
        name for term in recipe.formula.fixed for factor in term for name in factor.variables
    )
    return {name: _predictor(name, source, as_factor=name in factors) for name in names}


def _factors(recipe: Recipe, source: Source) -> set[str]:
    expressions = {factor for term in recipe.formula.fixed for factor in term}
    return {marked_column(e)[0].text for e in expressions if is_factor(e, source.evaluator)}


def _predictor(name: str, source: Source, *, as_factor: bool) -> Predictor:
    if not as_factor:
        return Predictor(name, mean=float(np.mean(source.used(source.table.numbers(name)))))
    factor = source.table.factor(name)
    codes = factor.codes if source.rows is None else factor.codes[source.rows]
    _, present = compress(codes, len(factor.levels))
    return Predictor(name, levels=tuple(pd.Index(factor.levels)[present].tolist()))
