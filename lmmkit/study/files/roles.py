"""What a model uses each column for: as a number, as labels of groups, or alone in the formula."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lmmkit.model.formula.expression import MARKERS, Expression, call_name, parse_expression
from lmmkit.model.formula.formula import Formula
from lmmkit.model.formula.residual_formula import ResidualFormula
from lmmkit.study.files.schema import Role


class _Use(NamedTuple):
    column: str
    kind: str  # number, predictor, group, member or weight (of a member)


def roles(
    formulas: Iterable[Formula],
    numbers: Iterable[str],
    derive: Iterable[str],
    exclude: Iterable[str],
    residual: ResidualFormula | None = None,
) -> dict[str, Role]:
    """The role of every column that formulas, expressions or arguments use.

    Args:
        formulas: The model's formula and its candidates.
        numbers: Columns that must be numbers: weights, offset.
        derive: Expressions of new columns.
        exclude: Conditions; they decide only where nothing else does.
        residual: The residual structure: times, coordinates and what variances follow are numbers, visits are
            what they are, all else are labels.

    >>> from lmmkit.model.formula.formula import parse_formula
    >>> roles([parse_formula("log(y) ~ x + day + (1 | g) + (1 | day)")], [], [], [])
    {'y': 'number', 'x': 'predictor', 'day': 'predictor and group', 'g': 'group'}
    """
    uses = [use for formula in formulas for use in _of_formula(formula)]
    uses += [_Use(name, "number") for name in numbers]
    if residual is not None:
        uses += [_Use(name, "number") for each in residual.measured for name in each.variables]
        uses += _of_expression(residual.time) if residual.time not in (None, *residual.measured) else ()
        uses += [_Use(name, "group") for group in residual.groups() for name in group.names]
    uses += [use for text in derive for use in _of_expression(parse_expression(text, "derive"))]
    known = {use.column for use in uses}
    conditions = [use for text in exclude for use in _of_condition(parse_expression(text, "exclude"))]
    uses += [use for use in conditions if use.column not in known]
    kinds: dict[str, set[str]] = {}
    for use in uses:
        kinds.setdefault(use.column, set()).add(use.kind)
    return {name: _role(found) for name, found in kinds.items()}


def _role(kinds: set[str]) -> Role:
    if kinds == {"member"}:
        return "member"
    if kinds == {"weight"}:
        return "member weight"
    kinds = {"group" if kind == "member" else "number" if kind == "weight" else kind for kind in kinds}
    if kinds == {"group"}:
        return "group"
    if "number" in kinds:
        return "number and group" if "group" in kinds else "number"
    return "predictor and group" if "group" in kinds else "predictor"


def _of_formula(formula: Formula) -> Iterator[_Use]:
    response = formula.response
    yield from (_Use(name, "number") for name in response.variables)
    for expression in formula.expressions():
        if expression is not response:
            yield from _of_expression(expression)
    for offset in formula.offsets:
        yield from (_Use(name, "number") for name in offset.variables)
    for bar in formula.random:
        kind = "member" if bar.group.members else "group"
        yield from (_Use(name, kind) for name in bar.group.names)
        if bar.group.members:
            weights = [name for name in bar.group.columns() if name not in bar.group.names]
            yield from (_Use(name, "weight") for name in weights)


def _of_expression(expression: Expression) -> Iterator[_Use]:
    """A column alone may be number or factor; `C(x)` and the second argument of group_mean take labels."""
    tree = expression.tree
    if tree is None:
        yield _Use(expression.text, "predictor")
        return
    if call_name(tree) in MARKERS and isinstance(tree, ast.Call) and isinstance(tree.args[0], ast.Name):
        yield _Use(expression.column(tree.args[0]), "group")
        return
    calls = [node for node in ast.walk(tree) if call_name(node) == "group_mean"]  # pyright: ignore[reportArgumentType]
    labels = {id(call.args[1]) for call in calls if isinstance(call, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in dict(expression.aliases):
            yield _Use(expression.column(node), "group" if id(node) in labels else "number")


def _of_condition(condition: Expression) -> Iterator[_Use]:
    """Columns compared with text hold labels, those compared with numbers numbers; the others either."""
    if condition.tree is None:
        yield _Use(condition.text, "predictor")
        return
    kinds: dict[str, str] = {}
    for node in ast.walk(condition.tree):
        if isinstance(node, ast.Compare):
            parts = [part for side in (node.left, *node.comparators) for part in ast.walk(side)]
            texts = [isinstance(part.value, str) for part in parts if isinstance(part, ast.Constant)]
            kind = "predictor" if not texts else "group" if any(texts) else "number"
            kinds |= {part.id: kind for part in parts if isinstance(part, ast.Name)}
    for alias, name in condition.aliases:
        yield _Use(name, kinds.get(alias, "predictor"))
