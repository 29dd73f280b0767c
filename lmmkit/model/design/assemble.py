"""The arrays of an estimation problem from a settled recipe: columns stored once, terms in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import pandas as pd

from lmmkit.engine.problem import Problem
from lmmkit.engine.problem import Term as ProblemTerm
from lmmkit.errors import FormulaError
from lmmkit.model.design.identifiability import (
    Draft,
    check_groupings,
    check_response,
    check_same,
    check_terms,
    check_weights,
)
from lmmkit.model.design.learned import Recipe, columns_of
from lmmkit.model.design.rows_used import OFFSET, WEIGHTS, Request, Source
from lmmkit.model.design.variables import Column, Values
from lmmkit.model.formula.bars import Bar
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.formula import Formula
from lmmkit.model.formula.term_algebra import term_name
from lmmkit.model.table.grouping import Grouping, grouping, labels_of, order_of_terms
from lmmkit.model.table.levels import Floats
from lmmkit.model.table.relations import same_grouping


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
class Assembly:
    """The arrays with their names."""

    problem: Problem
    fixed_names: tuple[str, ...]
    fixed_terms: tuple[FixedTerm, ...]
    random: tuple[RandomTerm, ...]


def assemble(
    request: Request, source: Source, recipe: Recipe, values: Mapping[Expression, Values]
) -> Assembly:
    """Columns, codes and names on the rows used.

    Raises:
        DataError: Values that cannot be used, or variances that the rows cannot tell apart.
        FormulaError: Random-effects terms whose columns depend on each other.
    """
    response = source.used(source.evaluator.numbers(request.formula.response))
    weights = source.extra(request.weights, WEIGHTS)
    check_response(response, request.formula.response.text)
    check_weights(weights)
    store = _Store()
    blocks = [columns_of(products, values, source.count) for products in recipe.fixed]
    fixed = tuple(place for block in blocks for place in store.add(block))
    drafts = _drafts(recipe, values, source, store)
    check_terms(drafts, weights)
    terms, random = _ordered(drafts)
    problem = Problem(tuple(store.columns), fixed, response, terms, weights, _offset(request, source))
    names = tuple(name for block in blocks for name, _ in block)
    return Assembly(problem, names, _fixed_terms(request.formula, blocks), random)


def _fixed_terms(formula: Formula, blocks: list[list[Column]]) -> tuple[FixedTerm, ...]:
    ends = list(accumulate((len(block) for block in blocks), initial=0))
    spans = zip(formula.fixed, ends, ends[1:], strict=False)
    return tuple(FixedTerm(term_name(term), tuple(range(start, end))) for term, start, end in spans)


def _offset(request: Request, source: Source) -> Floats | None:
    parts = [source.used(source.evaluator.numbers(offset)) for offset in request.formula.offsets]
    extra = source.extra(request.offset, OFFSET)
    parts += [] if extra is None else [extra]
    return sum(parts[1:], parts[0]) if parts else None


class _Store:
    """The distinct columns of X and Z, by name."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}
        self.columns: list[Floats] = []

    def add(self, columns: Iterable[Column]) -> tuple[int, ...]:
        """Positions of `columns`, which are kept unless they are there already."""
        return tuple(self._place(name, values) for name, values in columns)

    def _place(self, name: str, values: Floats) -> int:
        place = self.positions.setdefault(name, len(self.columns))
        if place == len(self.columns):
            self.columns.append(values)
        elif not _alike(self.columns[place], values):
            raise FormulaError(
                f"Two different columns of the design would be called `{name}`: rename the data's column."
            )
        return place


def _alike(first: Floats, second: Floats) -> bool:
    """Whether two columns of one name are one column, judged by some of their rows."""
    step = max(len(first) // 1_000, 1)
    return first is second or bool((first[::step] == second[::step]).all())


def _drafts(
    recipe: Recipe, values: Mapping[Expression, Values], source: Source, store: _Store
) -> list[Draft]:
    bars = recipe.formula.random
    distinct = {bar.group.label: bar.group for bar in bars}
    groupings = {label: grouping(group, source.table, source.rows) for label, group in distinct.items()}
    check_groupings(groupings, source.count)
    check_same(same_grouping(list(groupings.values())))
    drafts: list[Draft] = []
    for bar, products in zip(bars, recipe.random, strict=True):
        columns = [column for scoped in products for column in columns_of(scoped, values, source.count)]
        drafts += _bar_drafts(bar, columns, groupings[bar.group.label], store)
    return drafts


def _bar_drafts(bar: Bar, columns: list[Column], factor: Grouping, store: _Store) -> list[Draft]:
    places = store.add(columns)
    names = tuple(name for name, _ in columns)
    arrays = tuple(store.columns[place] for place in places)
    draft = Draft(bar.text, factor, names, arrays, places, bar.structure == "correlated")
    return draft.blocks() if bar.structure == "split" else [draft]


def _ordered(drafts: list[Draft]) -> tuple[tuple[ProblemTerm, ...], tuple[RandomTerm, ...]]:
    """The terms by decreasing number of levels, with their labels."""
    ordered = [drafts[i] for i in order_of_terms([draft.grouping.size for draft in drafts])]
    numbers = {name: i for i, name in enumerate(dict.fromkeys(draft.grouping.name for draft in ordered))}
    labels = labels_of([draft.grouping.name for draft in ordered])
    terms = tuple(
        ProblemTerm(numbers[d.grouping.name], d.grouping.codes, d.grouping.size, d.places, d.correlated)
        for d in ordered
    )
    named = zip(labels, ordered, strict=True)
    random = tuple(
        RandomTerm(label, d.grouping.name, d.names, d.correlated, d.grouping) for label, d in named
    )
    return terms, random
