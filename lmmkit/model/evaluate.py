"""Values of checked expressions: a walk over the tree, with numpy and the documented functions alone."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmkit.errors import DataError, FormulaError
from lmmkit.model.checker import bind, call_name
from lmmkit.model.expression import Expression
from lmmkit.model.frame import Mask, Table, missing_in
from lmmkit.model.functions import FUNCTIONS, Basis, State

Floats = NDArray[np.float64]
States = dict[str, State]

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True)
class Evaluator:
    """Evaluates expressions on one table.

    Attributes:
        table: Where the columns come from.
        states: What stateful functions learned, by their text; filled in when they are first met.
    """

    table: Table
    states: States

    def numbers(self, expression: Expression) -> Floats:
        """(n,) values; NaN where one of its columns is missing.

        Raises:
            DataError: It uses text, or yields what is not finite where its columns are.
        """
        values = self.columns(expression)
        if isinstance(values, Basis):
            raise FormulaError(f"`{expression}` makes several columns; one is expected.")
        return values

    def columns(self, expression: Expression) -> Floats | Basis:
        """As `numbers`, or several columns (n, k) from a spline or polynomial."""
        if expression.tree is None:
            return self.table.numbers(expression.text)
        inputs = {alias: self.table.numbers(name) for alias, name in expression.aliases if name in expression.variables}
        absent = _any_missing(inputs)
        if absent is not None:
            inputs = {alias: values[~absent] for alias, values in inputs.items()}
        values = self._finite(self._value(expression, expression.tree, inputs), expression, absent)
        return values if absent is None else _spread(values, absent)

    def _value(self, expression: Expression, node: ast.expr, inputs: Mapping[str, Floats]) -> Any:
        with np.errstate(all="ignore"):
            return _Walk(expression, inputs, self.states).value(node)

    def _finite(self, values: Any, expression: Expression, absent: Mask | None) -> Floats | Basis:
        block = values.values if isinstance(values, Basis) else values
        good = np.isfinite(block) if block.ndim == 1 else np.isfinite(block).all(axis=1)
        if good.all():
            return values
        rows = np.arange(self.table.rows) if absent is None else np.flatnonzero(~absent)
        bad = rows[~good]
        raise DataError(
            f"`{expression}` is not a finite number in {len(bad):,} row(s), first in row {bad[0] + 1}: correct "
            "the values there, leave the rows out, or mark them as missing."
        )


def _any_missing(inputs: Mapping[str, Floats]) -> Mask | None:
    masks = [mask for values in inputs.values() if (mask := missing_in(values)) is not None]
    return np.logical_or.reduce(masks) if masks else None


def _spread(values: Floats | Basis, absent: Mask) -> Floats | Basis:
    if isinstance(values, Basis):
        return Basis(values.labels, _spread_rows(values.values, absent), values.spare)
    return _spread_rows(values, absent)


def _spread_rows(values: Floats, absent: Mask) -> Floats:
    whole = np.full((len(absent), *values.shape[1:]), np.nan)
    whole[~absent] = values
    return whole


@dataclass(frozen=True)
class _Walk:
    expression: Expression
    inputs: Mapping[str, Floats]
    states: States

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return float(node.value)  # type: ignore[arg-type]
            case ast.Name(id=alias):
                return self.inputs[alias]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand)
            case ast.UnaryOp(operand=operand):
                return self.value(operand)
            case ast.BinOp(left=left, op=op, right=right):
                return np.asarray(_BINARY[type(op)](np.asarray(self.value(left)), np.asarray(self.value(right))))
            case ast.Call():
                return self._call(node)
            case _:
                raise AssertionError(f"unchecked node {type(node).__name__}")

    def _call(self, node: ast.Call) -> Any:
        function = FUNCTIONS[str(call_name(node))]
        argument = np.broadcast_to(self.value(node.args[0]), self._shape())
        state: State = {}
        if function.learns:
            state = self.states.setdefault(self.expression.part(node), {})
        try:
            return function.apply(argument, bind(node), state)
        except (ValueError, np.linalg.LinAlgError) as fault:
            raise FormulaError(f"`{self.expression.part(node)}` cannot be computed: {fault}") from None

    def _shape(self) -> tuple[int, ...]:
        return next(iter(self.inputs.values())).shape
