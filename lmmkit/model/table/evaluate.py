"""Values of checked expressions and conditions, row by row, without Python's `eval`."""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.errors import DataError, FormulaError
from lmmkit.model.formula.expression import Expression, bind, call_name, constant
from lmmkit.model.formula.functions import FUNCTIONS, Basis, Function, State
from lmmkit.model.table.columns import Table, open_table

Floats = NDArray[np.float64]
States = dict[str, State]
Truth = pd.arrays.BooleanArray

_BINARY: Mapping[type[ast.operator], Callable[[Floats, Floats], Floats]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.FloorDiv: np.floor_divide,
    ast.Pow: np.power,
}

_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class _Condition:
    """A condition on one table; its values are true, false or not known."""

    expression: Expression
    evaluator: Evaluator

    def holds(self) -> NDArray[np.bool_]:
        """(n,) True where it holds for sure: a comparison with a missing value is not known to hold.

        Raises:
            DataError: A column that is no truth value stands alone.
            FormulaError: Text is compared with numbers, or ordered.
        """
        tree = self.expression.tree
        known = self._truth_column(self.expression.text) if tree is None else self._value(tree)
        return np.asarray(known.fillna(False), bool)

    def _value(self, node: ast.expr) -> Truth:
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = map(self._value, values)
                return _all(parts) if isinstance(op, ast.And) else ~_all(~part for part in parts)
            case ast.UnaryOp(operand=operand):
                return ~self._value(operand)
            case ast.Name():
                return self._truth_column(self.expression.column(node))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return _all(map(self._comparison, [left, *others[:-1]], ops, others))
            case _:
                raise AssertionError(f"unchecked {type(node).__name__}")

    def _truth_column(self, name: str) -> Truth:
        if self.evaluator.table.kind(name) != "truth":
            raise DataError(
                f"`{self.expression}`: column `{name}` is not true or false; compare it with a value."
            )
        values = self.evaluator.table.numbers(name)
        return Truth(values == 1, np.isnan(values))

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Truth:
        first = self._side(left)
        if isinstance(op, (ast.In, ast.NotIn)):
            wanted = constant(right)
            self._check_text(mixed=any(_is_text(first) != isinstance(value, str) for value in wanted))
            found = self._truth(np.isin(np.asarray(first), np.asarray(wanted)), _missing(first))
            return ~found if isinstance(op, ast.NotIn) else found
        second = self._side(right)
        ordered = _is_text(first) and not isinstance(op, (ast.Eq, ast.NotEq))
        self._check_text(mixed=_is_text(first) != _is_text(second) or ordered)
        return self._truth(_COMPARE[type(op)](first, second), _missing(first) | _missing(second))

    def _check_text(self, *, mixed: bool) -> None:
        if mixed:
            raise FormulaError(
                f"`{self.expression}` compares text with a number, or orders text: text is compared with "
                "text in quotes, by ==, != and in."
            )

    def _truth(self, values: Any, missing: Any) -> Truth:
        rows = self.evaluator.table.rows
        return Truth(np.broadcast_to(values, rows).copy(), np.broadcast_to(missing, rows).copy())

    def _side(self, node: ast.expr) -> Any:
        """Numbers, or texts with None where missing."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name) and self.evaluator.table.kind(self.expression.column(node)) == "text":
            factor = self.evaluator.table.factor(self.expression.column(node))
            return np.array([*map(str, factor.levels), None], object)[factor.codes]
        return self.evaluator.part(self.expression, node)


def _all(parts: Iterable[Truth]) -> Truth:
    return functools.reduce(lambda left, right: left & right, parts)


def _is_text(side: Any) -> bool:
    return isinstance(side, str) or getattr(side, "dtype", np.dtype(float)).kind == "O"


def _missing(side: Any) -> NDArray[np.bool_]:
    values: NDArray[Any] = np.asarray(side)
    return np.asarray(pd.isna(values))


def evaluate_expression(expression: Expression, frame: pd.DataFrame) -> NDArray[Any]:
    """(n,) values of a checked expression on a table.

    Args:
        expression: From `check_expression` or `parse_expression`.
        frame: A table with its columns.

    Returns:
        float64, NaN where a column is missing; for a condition bool, False where it cannot be known;
        for a column alone its values.

    Raises:
        DataError: The columns hold what it cannot calculate with, or a result is not finite.

    >>> from lmmkit.model.formula.expression import parse_expression
    >>> evaluate_expression(parse_expression("x^2 / 2"), pd.DataFrame({"x": [1, 2, 3]})).tolist()
    [0.5, 2.0, 4.5]
    """
    evaluator = Evaluator(open_table(frame, expression.variables))
    if expression.purpose == "exclude":
        return _Condition(expression, evaluator).holds()
    if expression.is_column:
        return frame[expression.text].to_numpy()
    return evaluator.numbers(expression)


@dataclass(frozen=True)
class Evaluator:
    """Evaluates expressions on one table.

    Attributes:
        table: Where the columns come from.
        states: What stateful functions learned, by their text; filled in when they are first met.
    """

    table: Table
    states: States = field(default_factory=dict[str, State])

    def numbers(self, expression: Expression) -> Floats:
        """(n,) values; NaN where one of its columns is missing.

        Raises:
            DataError: It uses text, or yields what is not finite where its columns are.
            FormulaError: It makes several columns.
        """
        values = self.columns(expression)
        if isinstance(values, Basis):
            raise FormulaError(f"`{expression}` makes several columns; one is expected here.")
        return values

    def columns(self, expression: Expression) -> Floats | Basis:
        """As `numbers`, or several columns (n, k) from a spline or polynomial."""
        if expression.tree is None:
            return self.table.numbers(expression.text)
        values = self.part(expression, expression.tree)
        block = values.values if isinstance(values, Basis) else values
        if not np.isfinite(block).all():
            self._check_finite(block, expression)
        return values

    def part(self, expression: Expression, node: ast.expr) -> Any:
        """Values of a part of an expression, not checked to be finite."""
        with np.errstate(all="ignore"):
            return self._value(expression, node)

    def _check_finite(self, block: Floats, expression: Expression) -> None:
        good = np.isfinite(block) if block.ndim == 1 else np.isfinite(block).all(axis=1)
        masks = [self.table.missing(name) for name in expression.variables]
        bad = np.flatnonzero(~np.logical_or.reduce([good, *(mask for mask in masks if mask is not None)]))
        if len(bad):
            raise DataError(
                f"`{expression}` is not a finite number in {len(bad):,} row(s), first in row {bad[0] + 1}: "
                "correct the values there, leave the rows out, or mark them as missing."
            )

    def _value(self, of: Expression, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=int() | float()):
                return float(node.value)  # type: ignore[arg-type]
            case ast.Name():
                return self.table.numbers(of.column(node))
            case ast.UnaryOp(op=op, operand=operand):
                value = self._value(of, operand)
                return -value if isinstance(op, ast.USub) else value
            case ast.BinOp(left=left, op=op, right=right):
                return _BINARY[type(op)](self._value(of, left), self._value(of, right))
            case ast.Call():
                return self._call(of, node)
            case _:
                raise AssertionError(f"unchecked {type(node).__name__}")

    def _call(self, of: Expression, node: ast.Call) -> Any:
        name = str(call_name(node))
        argument = np.broadcast_to(self._value(of, node.args[0]), self.table.rows)
        if name == "group_mean":
            assert isinstance(node.args[1], ast.Name)
            return self._group_mean(argument, of.column(node.args[1]))
        function = FUNCTIONS[name]
        try:
            if function.learns:
                return self._learned(function, argument, node, of.part(node))
            return function.apply(argument, bind(node), {})
        except (ValueError, TypeError, IndexError, np.linalg.LinAlgError) as fault:
            raise FormulaError(f"`{of.part(node)}` cannot be computed: {fault}.") from None

    def _learned(self, function: Function, argument: Floats, node: ast.Call, text: str) -> Floats | Basis:
        """What a stateful function makes of the rows where its argument is known."""
        state = self.states.setdefault(text, {})
        absent = np.isnan(argument)
        if not absent.any():
            return function.apply(argument, bind(node), state)
        if absent.all():
            return argument
        made = function.apply(argument[~absent], bind(node), state)
        values = made.values if isinstance(made, Basis) else made
        whole = np.full((len(absent), *values.shape[1:]), np.nan)
        whole[~absent] = values
        return replace(made, values=whole) if isinstance(made, Basis) else whole

    def _group_mean(self, values: Floats, group: str) -> Floats:
        codes = self.table.factor(group).codes
        known = ~np.isnan(values) & (codes >= 0)
        count = np.bincount(codes[known], minlength=codes.max() + 1)
        means = np.bincount(codes[known], values[known], minlength=codes.max() + 1) / count
        return np.where(codes < 0, np.nan, means[codes])
