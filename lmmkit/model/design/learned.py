"""What a formula learned from a table, and how its columns are made again on other rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lmmkit.errors import DataError
from lmmkit.model.design.coding import Scoped, product_columns, structure
from lmmkit.model.design.contrasts import Coding
from lmmkit.model.design.rows_used import Source
from lmmkit.model.design.variables import Column, Values, Variable, learn, reread
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.formula import Formula
from lmmkit.model.formula.term_algebra import Term
from lmmkit.model.table.evaluate import Evaluator, States

Products = tuple[tuple[Scoped, ...], ...]


@dataclass(frozen=True, eq=False)
class Recipe:
    """A formula with its levels, codings, knots and means settled.

    Attributes:
        formula: The formula.
        variables: Each factor of its terms.
        states: What stateful functions learned.
        fixed: For each fixed term the products that code it.
        random: For each bar the same.
    """

    formula: Formula
    variables: Mapping[Expression, Variable]
    states: States
    fixed: Products
    random: tuple[Products, ...]

    def fixed_values(self, evaluator: Evaluator) -> dict[Expression, Values]:
        """The factors of the fixed terms on new rows."""
        return self._reread((e for term in self.formula.fixed for e in term), evaluator)

    def values(self, evaluator: Evaluator, rows: NDArray[np.intp] | None = None) -> dict[Expression, Values]:
        """All factors on new rows, or on some of them."""
        return self._reread(self.variables, evaluator, rows)

    def _reread(
        self, expressions: Iterable[Expression], evaluator: Evaluator, rows: NDArray[np.intp] | None = None
    ) -> dict[Expression, Values]:
        return {e: reread(self.variables[e], evaluator, rows) for e in dict.fromkeys(expressions)}

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, numbers and text."""
        return {
            "formula": str(self.formula),
            "variables": [_variable_to_dict(variable) for variable in self.variables.values()],
            "states": {text: encode(state) for text, state in self.states.items()},
        }


def learn_recipe(
    formula: Formula, source: Source, contrasts: Mapping[str, Any]
) -> tuple[Recipe, dict[Expression, Values]]:
    """Settle the recipe on the rows used, and give its factors there."""
    expressions = dict.fromkeys(e for term in _terms(formula) for e in term)
    values = {e: learn(e, source.evaluator, source.rows, contrasts) for e in expressions}
    variables = {e: value.variable for e, value in values.items()}
    return _recipe(formula, variables, source.evaluator.states), values


def recipe_from_dict(spec: Mapping[str, Any], formula: Formula) -> Recipe:
    """The recipe that `to_dict` wrote."""
    try:
        stored = {item["text"]: item for item in spec["variables"]}
        expressions = dict.fromkeys(e for term in _terms(formula) for e in term)
        variables = {e: _variable_from_dict(e, stored[e.text]) for e in expressions}
        states = {text: decode(state) for text, state in spec["states"].items()}
    except (KeyError, TypeError, ValueError) as fault:
        raise DataError(f"The saved design cannot be read ({type(fault).__name__}: {fault}).") from None
    return _recipe(formula, variables, states)


def _recipe(formula: Formula, variables: Mapping[Expression, Variable], states: States) -> Recipe:
    return Recipe(
        formula,
        variables,
        states,
        structure(formula.fixed, variables),
        tuple(structure(bar.terms, variables) for bar in formula.random),
    )


def _terms(formula: Formula) -> Iterator[Term]:
    yield from formula.fixed
    for bar in formula.random:
        yield from bar.terms


def columns_of(products: tuple[Scoped, ...], values: Mapping[Expression, Values], rows: int) -> list[Column]:
    """Named columns of one term."""
    return [column for scoped in products for column in product_columns(scoped, values, rows)]


def _variable_to_dict(variable: Variable) -> dict[str, Any]:
    coding = variable.coding
    return {
        "text": variable.expression.text,
        "kind": variable.kind,
        "levels": list(variable.levels),
        "labels": list(variable.labels),
        "spare": variable.spare,
        "coding": None
        if coding is None
        else {"labels": list(coding.labels), "matrix": coding.matrix.tolist()},
    }


def _variable_from_dict(expression: Expression, item: Mapping[str, Any]) -> Variable:
    stored = item["coding"]
    coding = None
    if stored is not None:
        coding = Coding(
            tuple(stored["labels"]), np.array(stored["matrix"], float).reshape(len(item["levels"]), -1)
        )
    return Variable(
        expression, str(item["kind"]), tuple(item["levels"]), coding, tuple(item["labels"]), item["spare"]
    )


def encode(value: Any) -> Any:
    """A state as JSON can hold it: arrays and dicts with keys that are not text are marked as such."""
    match value:
        case np.ndarray():
            return {"array": cast("NDArray[Any]", value).tolist()}
        case np.generic():
            return cast("Any", value).item()
        case dict():
            return {"pairs": [[key, encode(item)] for key, item in cast("dict[Any, Any]", value).items()]}
        case list() | tuple():
            return [encode(item) for item in cast("list[Any]", value)]
        case _:
            return value


def decode(value: Any) -> Any:
    """What `encode` wrote."""
    match value:
        case {"array": numbers}:
            return np.array(numbers, float)
        case {"pairs": pairs}:
            return {key: decode(item) for key, item in pairs}
        case list():
            return [decode(item) for item in cast("list[Any]", value)]
        case _:
            return value
