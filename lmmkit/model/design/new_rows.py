"""The columns of a settled design on the rows of another table: for predictions, grids, diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.errors import DataError
from lmmkit.model.design.learned import Recipe, columns_of
from lmmkit.model.design.rows_used import Request
from lmmkit.model.table.columns import Table, open_table
from lmmkit.model.table.evaluate import Evaluator
from lmmkit.model.table.grouping import Grouping, level_texts
from lmmkit.model.table.levels import Floats, Ints


@dataclass(frozen=True, eq=False)
class NewData:
    """A design's columns on new rows.

    Attributes:
        X: (m, p) columns of the fixed effects.
        offset: (m,) known part of the mean, or None.
        Z: For each random-effects term its (m, k) columns.
        codes: For each random-effects term the (m,) levels of the fit, -1 for one that it has not seen.
    """

    X: Floats
    offset: Floats | None
    Z: tuple[Floats, ...]
    codes: tuple[Ints, ...]


def fixed_matrix(recipe: Recipe, frame: Any) -> Floats:
    """(m, p) X on the rows of `frame`."""
    wanted = [name for term in recipe.formula.fixed for factor in term for name in factor.variables]
    table = _open(frame, wanted)
    return _fixed(recipe, Evaluator(table, recipe.states))


def _fixed(recipe: Recipe, evaluator: Evaluator) -> Floats:
    values = recipe.fixed_values(evaluator)
    rows = evaluator.table.rows
    columns = [array for products in recipe.fixed for _, array in columns_of(products, values, rows)]
    return np.column_stack(columns) if columns else np.empty((rows, 0))


def new_data(
    recipe: Recipe,
    request: Request,
    terms: Sequence[tuple[str, tuple[str, ...]]],
    factors: Mapping[str, Grouping] | None,
    frame: Any,
) -> NewData:
    """X, offset, Z and codes on the rows of `frame`; `terms` gives each term's factor and columns.

    Without `factors` the rows need no grouping columns and have levels that the fit has not seen.
    """
    _check_offset(request)
    table = _open(frame, _used(recipe, request, grouped=factors is not None))
    evaluator = Evaluator(table, recipe.states)
    return NewData(
        _fixed(recipe, evaluator),
        _offset(request, evaluator),
        *_random(recipe, terms, factors, evaluator),
    )


def fixed_data(recipe: Recipe, request: Request, frame: Any) -> NewData:
    """X and offset alone, for predictions without the random effects."""
    _check_offset(request)
    names = [name for term in recipe.formula.fixed for factor in term for name in factor.variables]
    evaluator = Evaluator(_open(frame, [*names, *_offset_names(request)]), recipe.states)
    return NewData(_fixed(recipe, evaluator), _offset(request, evaluator), (), ())


def _check_offset(request: Request) -> None:
    if request.offset is not None and not isinstance(request.offset, str):
        raise DataError(
            "The fit had its offset as a vector, which says nothing about new rows; fit with a column name "
            "as offset."
        )


def _offset_names(request: Request) -> list[str]:
    names = [name for offset in request.formula.offsets for name in offset.variables]
    return names + ([request.offset] if isinstance(request.offset, str) else [])


def _used(recipe: Recipe, request: Request, *, grouped: bool) -> list[str]:
    names = [name for factor in recipe.variables for name in factor.variables]
    if grouped:
        names += [name for bar in recipe.formula.random for name in bar.group.names]
    return names + _offset_names(request)


def _open(frame: Any, wanted: Iterable[str]) -> Table:
    """The table, without missing values in the columns wanted."""
    table = open_table(frame, wanted)
    for name in dict.fromkeys(wanted):
        absent = np.flatnonzero(table.frame[name].isna())
        if len(absent):
            raise DataError(
                f"Column `{name}` is missing in {len(absent):,} of the new rows, first in row "
                f"{absent[0] + 1}; fill it or leave the rows out."
            )
    return table


def _offset(request: Request, evaluator: Evaluator) -> Floats | None:
    parts = [evaluator.numbers(offset) for offset in request.formula.offsets]
    if isinstance(request.offset, str):
        parts.append(evaluator.table.numbers(request.offset))
    return sum(parts[1:], parts[0]) if parts else None


def _random(
    recipe: Recipe,
    terms: Sequence[tuple[str, tuple[str, ...]]],
    factors: Mapping[str, Grouping] | None,
    evaluator: Evaluator,
) -> tuple[tuple[Floats, ...], tuple[Ints, ...]]:
    values = recipe.values(evaluator)
    rows = evaluator.table.rows
    made = dict(
        column for bar in recipe.random for products in bar for column in columns_of(products, values, rows)
    )
    Z = tuple(np.column_stack([made[name] for name in names]) for _, names in terms)
    if factors is None:
        return Z, tuple(np.full(rows, -1, np.intp) for _ in terms)
    groups = {bar.group.label: bar.group.names for bar in recipe.formula.random}
    codes = {name: codes_of(factors[name], names, evaluator.table) for name, names in groups.items()}
    return Z, tuple(codes[factor] for factor, _ in terms)


def codes_of(factor: Grouping, names: Sequence[str], table: Table) -> Ints:
    """(m,) the fit's levels on new rows, -1 for a level that it has not seen; levels are matched as text."""
    keys, known = np.zeros(table.rows, np.intp), np.zeros(factor.size, np.intp)
    unseen = np.zeros(table.rows, bool)
    for name, (levels, which) in zip(names, factor.parts, strict=True):
        texts = pd.Index(level_texts(levels))
        fresh = table.factor(name)
        part = texts.get_indexer(pd.Index(level_texts(fresh.levels)))[fresh.codes]
        unseen |= part < 0
        keys, known = keys * len(texts) + part, known * len(texts) + which
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known[order], keys), factor.size - 1)
    codes = order[place]
    return np.where(unseen | (known[codes] != keys), -1, codes)
