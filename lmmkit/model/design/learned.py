"""What a formula learned from a table, and its columns on other rows: predictions, grids, diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.errors import DataError, Findings
from lmmkit.model.design.rows_used import Request, Source
from lmmkit.model.design.variables import (
    Coding,
    Column,
    Scoped,
    Values,
    Variable,
    coded_products,
    coding,
    is_factor,
    learn,
    marked_column,
    product_columns,
    reread,
)
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.formula import Formula
from lmmkit.model.formula.groups import Group
from lmmkit.model.table.columns import Floats, Ints, Table, open_table
from lmmkit.model.table.evaluate import Evaluator, States
from lmmkit.model.table.grouping import Grouping, Member, shares
from lmmkit.model.table.labels import level_texts

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

    def values(
        self, evaluator: Evaluator, rows: NDArray[np.intp] | None = None, *, fixed: bool = False
    ) -> dict[Expression, Values]:
        """The factors of all terms, or of the fixed ones, on new rows or on some of them."""
        wanted = dict.fromkeys(e for term in self.formula.fixed for e in term) if fixed else self.variables
        return {e: reread(self.variables[e], evaluator, rows) for e in wanted}

    def fixed_columns(self) -> list[str]:
        """Names of the columns that the fixed terms use, in order of appearance."""
        return list(dict.fromkeys(name for term in self.formula.fixed for e in term for name in e.variables))

    def opened(self, frame: Any, wanted: Iterable[str], spare: Iterable[str] = ()) -> Evaluator:
        """A table with what was learned, without missing values in the columns wanted but `spare` ones."""
        wanted = list(wanted)
        table = open_table(frame, [*wanted, *spare])
        for name in dict.fromkeys(wanted):
            absent = np.flatnonzero(table.frame[name].isna())
            if len(absent):
                raise DataError(
                    f"Column `{name}` is missing in {len(absent):,} of the new rows, first in row "
                    f"{absent[0] + 1}; fill it or leave the rows out."
                )
        return Evaluator(table, self.states)

    def X(self, evaluator: Evaluator) -> Floats:
        """(m, p) columns of the fixed effects on the rows of another table."""
        values, rows = self.values(evaluator, fixed=True), evaluator.table.rows
        columns = [array for products in self.fixed for _, array in columns_of(products, values, rows)]
        return np.column_stack(columns) if columns else np.empty((rows, 0))

    def reduced(self, formula: Formula) -> Recipe:
        """The same of a formula with fewer terms."""
        return _recipe(formula, {e: self.variables[e] for e in _factors(formula)}, self.states)

    def contrasts(self) -> dict[str, dict[str, list[float]]]:
        """Codings of factors that are not the default, as the argument of that name takes them."""
        return {
            variable.expression.text: dict(zip(own.labels, own.matrix.T.tolist(), strict=True))
            for variable in self.variables.values()
            if (own := variable.coding) is not None and variable.expression.is_column
            if own.labels != coding("treatment", variable.levels).labels
        }

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
    values, found = dict[Expression, Values](), Findings()
    for expression in _factors(formula):
        with found.part("formula"):
            values[expression] = learn(expression, source.evaluator, source.rows, contrasts)
    found.raise_found()
    variables = {e: value.variable for e, value in values.items()}
    return _recipe(formula, variables, source.evaluator.states), values


def recipe_from_dict(spec: Mapping[str, Any], formula: Formula) -> Recipe:
    """The recipe that `to_dict` wrote."""
    try:
        stored = {item["text"]: item for item in spec["variables"]}
        variables = {e: _variable_from_dict(e, stored[e.text]) for e in _factors(formula)}
        states = {text: decode(state) for text, state in spec["states"].items()}
    except (KeyError, TypeError, ValueError) as fault:
        raise DataError(f"The saved design cannot be read ({type(fault).__name__}: {fault}).") from None
    return _recipe(formula, variables, states)


def _factors(formula: Formula) -> dict[Expression, None]:
    """The factors of all terms, each once, in order of appearance."""
    terms = (formula.fixed, *(bar.terms for bar in formula.random), [bar.positions for bar in formula.random])
    return dict.fromkeys(e for part in terms for term in part for e in term)


def _recipe(formula: Formula, variables: Mapping[Expression, Variable], states: States) -> Recipe:
    fixed, *random = (
        coded_products(terms, variables) for terms in (formula.fixed, *(bar.terms for bar in formula.random))
    )
    return Recipe(formula, variables, states, fixed, tuple(random))


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
        "coding": coding and {"labels": list(coding.labels), "matrix": coding.matrix.tolist()},
    }


def _variable_from_dict(expression: Expression, item: Mapping[str, Any]) -> Variable:
    coding, levels = item["coding"], tuple(item["levels"])
    if coding is not None:
        coding = Coding(tuple(coding["labels"]), np.array(coding["matrix"], float).reshape(len(levels), -1))
    return Variable(expression, str(item["kind"]), levels, coding, tuple(item["labels"]), item["spare"])


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
    expressions = {e for term in recipe.formula.fixed for e in term}
    factors = {marked_column(e)[0].text for e in expressions if is_factor(e, source.evaluator)}
    found: dict[str, Predictor] = {}
    for name in recipe.fixed_columns():
        if name in factors:
            column = source.table.factor(name)
            present = pd.Index(column.levels)[column.used(source.rows)[1]]
            found[name] = Predictor(name, levels=tuple(present.tolist()))
        else:
            found[name] = Predictor(name, mean=float(np.mean(source.used(source.table.numbers(name)))))
    return found


@dataclass(frozen=True, eq=False)
class NewData:
    """A design's columns on new rows.

    Attributes:
        X: (m, p) columns of the fixed effects.
        offset: (m,) known part of the mean, or None.
        Z: For each random-effects term its (m, k) columns.
        held: For each random-effects term the memberships of the rows, mostly one: (m,) levels of the fit, -1
            for one that it has not seen, and (m,) weights.
    """

    X: Floats
    offset: Floats | None
    Z: tuple[Floats, ...]
    held: tuple[tuple[Member, ...], ...]

    def new_share(self, term: int, *, whole: bool) -> Floats:
        """(m,) root of the squared weights of the levels that the fit has not seen, or of the whole row's."""
        squares = [np.where((codes < 0) | whole, weights, 0.0) ** 2 for codes, weights in self.held[term]]
        return np.sqrt(np.sum(squares, axis=0))

    @property
    def new_Z(self) -> tuple[Floats, ...]:
        """For each random-effects term its (m, k) columns, where all of a row's levels are new."""
        return tuple(z * self.new_share(t, whole=True)[:, None] for t, z in enumerate(self.Z))

    def parts(self) -> Parts:
        """The rows' random parts, each of one level."""
        return parts_of(self.Z, self.held)

    def unseen(self, term: int) -> NDArray[np.bool_]:
        """(m,) whether a row has a level of a term that the fit has not seen."""
        return np.any([(codes < 0) & (weights != 0) for codes, weights in self.held[term]], axis=0)


class Parts(NamedTuple):
    """Random parts of rows, each of one level a term.

    Attributes:
        row: (e,) the row that a part is of.
        Z: For each term (e, k), the weight of the membership in it; zero for a level not seen.
        codes: For each term (e,) levels, from 0 up.
    """

    row: Ints
    Z: tuple[Floats, ...]
    codes: tuple[Ints, ...]


def parts_of(Z: Sequence[Floats], held: Sequence[tuple[Member, ...]]) -> Parts:
    """The random parts of rows: as many a row as it has memberships in the term with most of them."""
    rows = len(Z[0]) if Z else 0
    most = max((len(each) for each in held), default=1)
    none: Member = (np.zeros(rows, np.intp), np.zeros(rows))
    padded = [[*each, *[none] * (most - len(each))] for each in held]
    weighted = tuple(
        np.concatenate([np.where(codes >= 0, w, 0.0)[:, None] * z for codes, w in each])
        for z, each in zip(Z, padded, strict=True)
    )
    codes = tuple(np.concatenate([np.maximum(codes, 0) for codes, _ in each]) for each in padded)
    return Parts(np.tile(np.arange(rows), most), weighted, codes)


def offset_columns(request: Request) -> list[str]:
    """The columns of the known part of the mean, which must be columns on new rows."""
    if request.offset is not None and not isinstance(request.offset, str):
        raise DataError(
            "The fit had its offset as a vector, which says nothing about new rows; fit with a column name "
            "as offset."
        )
    names = [name for offset in request.formula.offsets for name in offset.variables]
    return [*names, *([] if request.offset is None else [request.offset])]


def members_of(factor: Grouping, group: Group, evaluator: Evaluator) -> tuple[Member, ...]:
    """The memberships of new rows in the fit's levels, -1 for a level that it has not seen.

    Raises:
        DataError: Weights of members that cannot be used.
    """
    table = evaluator.table
    if not factor.members:
        return ((codes_of(factor, group.names, table), np.ones(table.rows)),)
    texts = pd.Index(level_texts(factor.parts[0][0]))
    present, seen = list[Ints](), list[Ints]()
    for name in group.names:
        fresh = table.factor(name)
        place = np.append(texts.get_indexer(pd.Index(level_texts(fresh.levels))), -1).astype(np.intp)
        seen.append(place[fresh.codes])
        present.append(fresh.codes)
    weighed = shares(group, evaluator, present, None)
    return tuple((codes, weights) for codes, (_, weights) in zip(seen, weighed, strict=True))


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
