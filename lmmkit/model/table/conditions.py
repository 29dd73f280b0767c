"""Conditions over columns, row by row; a comparison with a missing value is neither true nor false."""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.errors import DataError, FormulaError
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.safe_expressions import constant
from lmmkit.model.table.columns import Table

Truth = pd.arrays.BooleanArray

_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """A condition on one table.

    Attributes:
        expression: The checked expression.
        table: Where the columns come from.
        calculate: Values of an arithmetic part of it.
    """

    expression: Expression
    table: Table
    calculate: Callable[[Expression, ast.expr], Any]

    def holds(self) -> NDArray[np.bool_]:
        """(n,) True where it holds for sure: a comparison with a missing value is not known to hold.

        Raises:
            DataError: A column that is no truth value stands alone.
            FormulaError: Text is compared with numbers, or ordered.
        """
        if self.expression.tree is None:
            return np.asarray(self._truth_column(self.expression.text).fillna(False), bool)
        return np.asarray(self._value(self.expression.tree).fillna(False), bool)

    def _value(self, node: ast.expr) -> Truth:
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self._value(value) for value in values]
                return functools.reduce(_both if isinstance(op, ast.And) else _either, parts)
            case ast.UnaryOp(operand=operand):
                return ~self._value(operand)
            case ast.Name(id=alias):
                return self._truth_column(dict(self.expression.aliases)[alias])
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._comparisons([left, *others], ops)
            case _:
                raise AssertionError(f"unchecked {type(node).__name__}")

    def _truth_column(self, name: str) -> Truth:
        if self.table.kind(name) != "truth":
            raise DataError(
                f"`{self.expression}`: column `{name}` is not true or false; compare it with a value."
            )
        values = self.table.numbers(name)
        return Truth(values == 1, np.isnan(values))

    def _comparisons(self, sides: list[ast.expr], ops: list[ast.cmpop]) -> Truth:
        truth = self._comparison(sides[0], ops[0], sides[1])
        for left, op, right in zip(sides[1:], ops[1:], sides[2:], strict=False):
            truth = truth & self._comparison(left, op, right)
        return truth

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Truth:
        if isinstance(op, (ast.In, ast.NotIn)):
            found = self._membership(left, constant(right))
            return ~found if isinstance(op, ast.NotIn) else found
        first, second = self._side(left), self._side(right)
        text = {_is_text(first), _is_text(second)}
        if text == {True, False} or (text == {True} and not isinstance(op, (ast.Eq, ast.NotEq))):
            self._refuse_text()
        return self._truth(_COMPARE[type(op)](first, second), _missing(first) | _missing(second))

    def _refuse_text(self) -> None:
        raise FormulaError(
            f"`{self.expression}` compares text with a number, or orders text: text is compared with text in "
            "quotes, by ==, != and in."
        )

    def _membership(self, left: ast.expr, wanted: list[Any]) -> Truth:
        side = self._side(left)
        if any(_is_text(side) != isinstance(value, str) for value in wanted):
            self._refuse_text()
        return self._truth(np.isin(np.asarray(side), np.asarray(wanted)), _missing(side))

    def _truth(self, values: Any, missing: Any) -> Truth:
        rows = self.table.rows
        return Truth(np.broadcast_to(values, rows).copy(), np.broadcast_to(missing, rows).copy())

    def _side(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name):
            name = dict(self.expression.aliases)[node.id]
            if self.table.kind(name) == "text":
                return self._texts(name)
        return self.calculate(self.expression, node)

    def _texts(self, name: str) -> NDArray[Any]:
        factor = self.table.factor(name)
        labels = np.array([*(str(level) for level in factor.levels), None], object)
        return labels[factor.codes]


def _both(left: Truth, right: Truth) -> Truth:
    return left & right


def _either(left: Truth, right: Truth) -> Truth:
    return ~(~left & ~right)


def _is_text(side: Any) -> bool:
    return isinstance(side, str) or getattr(side, "dtype", np.dtype(float)).kind == "O"


def _missing(side: Any) -> NDArray[np.bool_]:
    values: NDArray[Any] = np.asarray(side)
    return np.asarray(pd.isna(values))
