"""From a formula and a table to the arrays of an estimation problem, with the names of everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.problem import Problem
from lmmkit.engine.problem import Term as ProblemTerm
from lmmkit.model.coding import product_columns, structure
from lmmkit.model.evaluate import Evaluator
from lmmkit.model.expression import Expression
from lmmkit.model.formula import Formula, parse_formula
from lmmkit.model.frame import Floats, Mask, open_table
from lmmkit.model.grouping import Grouping, grouping, labels_of, order_of_terms
from lmmkit.model.terms import term_name
from lmmkit.model.variables import Column, Values, Variable, is_factor, learn, marked_column

Rows = NDArray[np.intp] | None


class FixedTerm(NamedTuple):
    """A term of the fixed part and the positions of its columns in X."""

    name: str
    columns: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class RandomTerm:
    """One random-effects term.

    Attributes:
        group: Its label in theta and varcorr: the grouping factor, `.1` after a repeated one.
        factor: The grouping factor.
        names: Names of its columns.
        correlated: Whether its effects have covariances.
        grouping: Codes and levels.
    """

    group: str
    factor: str
    names: tuple[str, ...]
    correlated: bool
    grouping: Grouping = field(repr=False)

    @property
    def levels(self) -> pd.Index[str]:
        """Names of the levels, in the order of the codes."""
        return self.grouping.levels


@dataclass(frozen=True, eq=False)
class Design:
    """Everything a formula asks of a table.

    Attributes:
        formula: The formula in canonical spelling.
        response: Name of the response.
        problem: The arrays, for the engine.
        fixed_names: Names of the columns of X.
        fixed_terms: Terms of the fixed part with the positions of their columns.
        random: Random-effects terms, parallel to `problem.terms`: by decreasing number of levels.
        variables: Each factor of a term by its text, with levels and coding.
        warnings: What the user should look at, in sentences.
    """

    formula: str
    response: str
    problem: Problem
    fixed_names: tuple[str, ...]
    fixed_terms: tuple[FixedTerm, ...]
    random: tuple[RandomTerm, ...]
    variables: Mapping[str, Variable]
    warnings: tuple[str, ...]
    kept: Rows
    lost: Mapping[str, Mask]

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """(n,) positions of the rows used."""
        return np.arange(len(self.problem.response)) if self.kept is None else self.kept


class _Store:
    """Distinct columns by name."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}
        self.columns: list[Floats] = []

    def add(self, columns: Iterable[Column]) -> tuple[int, ...]:
        return tuple(self._place(name, values) for name, values in columns)

    def _place(self, name: str, values: Floats) -> int:
        if name not in self.positions:
            self.positions[name] = len(self.columns)
            self.columns.append(values)
        return self.positions[name]


def build_design(
    formula: str,
    data: Any,
    *,
    weights: str | Any = None,
    offset: str | Any = None,
    contrasts: Mapping[str, Any] | None = None,
    missing: Literal["drop", "error"] = "drop",
) -> Design:
    """Columns, codes and names that a formula asks of a table."""
    parsed = parse_formula(formula)
    groups = {bar.group.label: bar.group for bar in parsed.random}
    wanted = [name for e in parsed.expressions() for name in e.variables]
    wanted += [name for group in groups.values() for name in group.names]
    wanted += [extra for extra in (weights, offset) if isinstance(extra, str)]
    table = open_table(data, wanted)
    evaluator = Evaluator(table, {})
    for expression in parsed.expressions():
        _touch(expression, evaluator)
    for group in groups.values():
        for name in group.names:
            table.factor(name)
    for extra in (weights, offset):
        if isinstance(extra, str):
            table.numbers(extra)
    lost = {name: mask for name in dict.fromkeys(wanted) if (mask := table.missing(name)) is not None}
    rows = np.flatnonzero(~np.logical_or.reduce(list(lost.values()))) if lost else None
    values = {
        expression: learn(expression, evaluator, rows, contrasts or {})
        for expression in dict.fromkeys(e for t in _all_terms(parsed) for e in t)
    }
    variables = {expression: value.variable for expression, value in values.items()}
    n = table.rows if rows is None else len(rows)
    store = _Store()
    names: list[str] = []
    fixed_terms: list[FixedTerm] = []
    fixed: list[int] = []
    for term, products in zip(parsed.fixed, structure(parsed.fixed, variables), strict=True):
        columns = [c for scoped in products for c in product_columns(scoped, values, n)]
        fixed_terms.append(FixedTerm(term_name(term), tuple(range(len(names), len(names) + len(columns)))))
        names += [name for name, _ in columns]
        fixed += store.add(columns)
    groupings = {label: grouping(group, table, rows) for label, group in groups.items()}
    drafts: list[tuple[str, tuple[str, ...], tuple[int, ...], bool]] = []
    for bar in parsed.random:
        columns = [
            c for products in structure(bar.terms, variables) for s in products for c in product_columns(s, values, n)
        ]
        places = store.add(columns)
        if bar.structure == "split":
            drafts += [(bar.group.label, (c[0],), (p,), True) for c, p in zip(columns, places, strict=True)]
        else:
            drafts.append((bar.group.label, tuple(c[0] for c in columns), places, bar.structure != "diagonal"))
    order = order_of_terms([groupings[draft[0]].size for draft in drafts])
    drafts = [drafts[i] for i in order]
    labels = labels_of([draft[0] for draft in drafts])
    numbering = {label: i for i, label in enumerate(groupings)}
    random = tuple(
        RandomTerm(label, d[0], d[1], d[3], groupings[d[0]]) for label, d in zip(labels, drafts, strict=True)
    )
    terms = tuple(
        ProblemTerm(numbering[d[0]], groupings[d[0]].codes, groupings[d[0]].size, d[2], d[3]) for d in drafts
    )
    y = evaluator.numbers(parsed.response)
    y = y if rows is None else y[rows]
    off = [evaluator.numbers(o) for o in parsed.offsets]
    if offset is not None:
        off.append(table.numbers(offset) if isinstance(offset, str) else np.asarray(offset, float))
    total = sum(off[1:], off[0]) if off else None
    total = total if total is None or rows is None else total[rows]
    w = None
    if weights is not None:
        w = table.numbers(weights) if isinstance(weights, str) else np.asarray(weights, float)
        w = w if rows is None else w[rows]
    problem = Problem(tuple(store.columns), tuple(fixed), y, terms, w, total)
    return Design(
        str(parsed),
        parsed.response.text,
        problem,
        tuple(names),
        tuple(fixed_terms),
        random,
        {v.expression.text: v for v in variables.values()},
        (),
        rows,
        lost,
    )


def _all_terms(parsed: Formula):
    yield from parsed.fixed
    for bar in parsed.random:
        yield from bar.terms


def _touch(expression: Expression, evaluator: Evaluator) -> None:
    if is_factor(expression, evaluator):
        inner, _ = marked_column(expression)
        if inner.is_column:
            evaluator.table.factor(inner.text)
            return
    for name in expression.variables:
        evaluator.table.numbers(name)
