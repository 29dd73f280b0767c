"""The closed list of what an expression may hold, checked node by node before anything is computed."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from lmmkit.errors import FormulaError
from lmmkit.model.formula.functions import FUNCTIONS
from lmmkit.model.formula.safe_expressions import MARKERS, bind, call_name, coding_request, constant

Purpose = Literal["formula", "derive", "exclude"]

DEEPEST = 100
LARGEST_POWER = 100

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.Mod, ast.FloorDiv)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)


@dataclass
class Checker:
    """One pass over a tree; `variables` are the columns found, in order.

    Attributes:
        text: The expression as typed, for messages.
        columns: {identifier in the tree: column}.
        purpose: What the expression is for, which decides what it may hold.
    """

    text: str
    columns: Mapping[str, str]
    purpose: Purpose
    variables: list[str] = field(default_factory=list[str])

    def check(self, tree: ast.expr) -> None:
        """Check a whole expression.

        Raises:
            FormulaError: At the first thing that is not offered.
        """
        if self.purpose == "exclude":
            self._condition(tree, 0)
        elif call_name(tree) in MARKERS and self.purpose == "formula":
            self._marker(tree)
        else:
            self._value(tree, 0, top=self.purpose == "formula")
        if not self.variables:
            self._refuse("it uses no column")

    def _refuse(self, why: str) -> NoReturn:
        raise FormulaError(f"`{self.text}` cannot be used: {why}.")

    def _condition(self, node: ast.expr, depth: int) -> None:
        self._bound(depth)
        match node:
            case ast.BoolOp(values=values):
                for value in values:
                    self._condition(value, depth + 1)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self._condition(operand, depth + 1)
            case ast.Compare(left=left, ops=ops, comparators=others):
                self._comparison(left, ops, others, depth)
            case ast.Name():
                self._column(node)
            case _:
                self._refuse(
                    "a condition compares columns: `Days > 2`, `site in ['a', 'b']`, joined by and, or, not"
                )

    def _comparison(self, left: ast.expr, ops: list[ast.cmpop], others: list[ast.expr], depth: int) -> None:
        if not all(isinstance(op, _COMPARISONS) for op in ops):
            self._refuse("only ==, !=, <, <=, >, >=, in and not in compare")
        self._comparand(left, depth + 1)
        for op, other in zip(ops, others, strict=True):
            if isinstance(op, (ast.In, ast.NotIn)):
                self._options(other)
            else:
                self._comparand(other, depth + 1)

    def _comparand(self, node: ast.expr, depth: int) -> None:
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            self._value(node, depth)

    def _value(self, node: ast.expr, depth: int, *, top: bool = False) -> None:
        self._bound(depth)
        match node:
            case ast.Constant():
                self._number(node.value)
            case ast.Name():
                self._column(node)
            case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
                self._value(operand, depth + 1)
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _ARITHMETIC):
                self._power(op, right)
                self._value(left, depth + 1)
                self._value(right, depth + 1)
            case ast.Call(func=ast.Name(id=name)):
                self._call(node, name, depth, top=top)
            case _:
                self._refuse("an expression holds columns, numbers, + - * / ^ and the documented functions")

    def _bound(self, depth: int) -> None:
        if depth > DEEPEST:
            self._refuse(f"it is nested more than {DEEPEST} deep")

    def _number(self, value: object) -> None:
        if not isinstance(value, (int, float)) or abs(value) > 1e300:
            self._refuse(f"{value!r} is not a number to calculate with")

    def _column(self, node: ast.Name) -> None:
        name = self.columns.get(node.id)
        if name is None:
            self._refuse(f"`{node.id}` needs brackets and an argument")
        if name not in self.variables:
            self.variables.append(name)

    def _power(self, op: ast.operator, exponent: ast.expr) -> None:
        if isinstance(op, ast.Pow) and isinstance(exponent, ast.Constant):
            self._number(exponent.value)
            if abs(exponent.value) > LARGEST_POWER:  # type: ignore[arg-type]
                self._refuse(f"a power is at most {LARGEST_POWER}")

    def _call(self, node: ast.Call, name: str, depth: int, *, top: bool) -> None:
        if name == "group_mean":
            self._group_mean(node, depth)
            return
        if name in MARKERS:
            self._refuse(f"`{name}()` makes a factor: it stands alone, in a formula")
        if name not in FUNCTIONS:
            self._refuse(f"`{name}()` has no meaning here")
        if FUNCTIONS[name].wide and not top:
            self._refuse(f"`{name}()` makes several columns: it stands alone, in a formula")
        self._value(self._first(node, name), depth + 1)
        self._options(*node.args[1:], *(word.value for word in node.keywords))
        try:
            bind(node)
        except ValueError as fault:
            self._refuse(str(fault))

    def _first(self, node: ast.Call, name: str) -> ast.expr:
        if not node.args or isinstance(node.args[0], ast.Starred):
            self._refuse(f"`{name}()` takes a column first")
        return node.args[0]

    def _group_mean(self, node: ast.Call, depth: int) -> None:
        if len(node.args) != 2 or node.keywords or not isinstance(node.args[1], ast.Name):
            self._refuse("group_mean takes a column and a grouping column: group_mean(x, g)")
        self._value(node.args[0], depth + 1)
        self._column(node.args[1])

    def _marker(self, tree: ast.expr) -> None:
        assert isinstance(tree, ast.Call)
        name = str(call_name(tree))
        inner = self._first(tree, name)
        self._value(inner, 1)
        try:
            coding_request(tree, self.columns)
        except ValueError as fault:
            self._refuse(str(fault))

    def _options(self, *nodes: ast.expr) -> None:
        for node in nodes:
            try:
                constant(node)
            except ValueError as fault:
                self._refuse(str(fault))
