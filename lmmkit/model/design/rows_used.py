"""From the user's table to the rows that a model uses: what is missing, and where, is found here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.errors import DataError, Findings, FormulaError, did_you_mean
from lmmkit.model.design.variables import is_factor, marked_column
from lmmkit.model.formula.expression import Expression, parse_expression
from lmmkit.model.formula.formula import Formula
from lmmkit.model.formula.residual_formula import ResidualFormula
from lmmkit.model.table.columns import Floats, Mask, Table, finite, missing_in, of_rows, open_table
from lmmkit.model.table.evaluate import Evaluator, evaluate_expression
from lmmkit.model.table.known import Known

WEIGHTS, OFFSET = "(weights)", "(offset)"


MISSING = ("drop", "error", "exclude")


class Given(NamedTuple):
    """A table, and the weights and offset beside it, as the user gave them."""

    data: Any
    weights: Any
    offset: Any


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked of a table: a formula and the arguments beside it, as the user gave them.

    Attributes:
        subset: The condition that the rows met which are the table; None where all were asked for.
        given: Table, weights and offset with the rows outside the subset too; None where these are lost.
        residual: The residual structure; None for independent residuals.
        known: Known covariances of levels by grouping factor.
        variances: Variances that are held, by group; None: they are estimated.
    """

    formula: Formula
    weights: Any = None
    offset: Any = None
    contrasts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    missing: str = "drop"
    subset: str | None = None
    given: Given | None = field(default=None, repr=False)
    residual: ResidualFormula | None = None
    known: Mapping[str, Known] = field(default_factory=dict[str, Known])
    variances: Mapping[str, Any] | None = None

    def columns(self) -> list[str]:
        """Names of the columns it uses, repetitions included."""
        out = self.needed()
        for bar in self.formula.random:
            out += bar.group.columns() if bar.group.members else []
        return out

    def needed(self) -> list[str]:
        """Names of the columns without whose value a row cannot be used: all but those of members."""
        out = [name for expression in self.formula.expressions() for name in expression.variables]
        for bar in self.formula.random:
            out += () if bar.group.members else bar.group.names
        out += [extra for extra in (self.weights, self.offset) if isinstance(extra, str)]
        return out if self.residual is None else [*out, *self.residual.columns()]


@dataclass(frozen=True, eq=False)
class Source:
    """A table with the rows that a model uses.

    Attributes:
        evaluator: Reads columns and expressions, on all rows.
        vectors: Weights and offset that were given as vectors, on all rows, by `(weights)`, `(offset)`.
        lost: For each column with missing values where they are.
        rows: Positions of the rows used; None when all are.
    """

    evaluator: Evaluator
    vectors: Mapping[str, Floats]
    lost: Mapping[str, Mask]
    rows: NDArray[np.intp] | None

    @property
    def table(self) -> Table:
        """The table, all rows."""
        return self.evaluator.table

    @property
    def count(self) -> int:
        """Number of rows used."""
        return self.evaluator.table.rows if self.rows is None else len(self.rows)

    def used(self, values: Floats) -> Floats:
        """The rows used of a column."""
        return of_rows(values, self.rows)

    def weights(self, given: Any) -> Floats | None:
        """Prior weights, a column or a vector, on the rows used."""
        if given is None:
            return None
        return self.used(self.table.numbers(given) if isinstance(given, str) else self.vectors[WEIGHTS])


def offset_of(request: Request, evaluator: Evaluator, vectors: Mapping[str, Floats]) -> Floats | None:
    """The known part of the mean on all rows: `offset(...)` in the formula and the argument beside it."""
    parts = [evaluator.numbers(offset) for offset in request.formula.offsets]
    if isinstance(request.offset, str):
        parts.append(evaluator.table.numbers(request.offset))
    elif request.offset is not None:
        parts.append(vectors[OFFSET])
    return sum(parts[1:], parts[0]) if parts else None


def open_source(request: Request, data: Any, evaluator: Evaluator | None = None) -> Source:
    """Read every column that is asked for and find the rows without a missing value.

    Raises:
        DataError: No table, no such column, values that cannot be used, no row left; or, under
            missing="error", a missing value.
    """
    wanted = list(dict.fromkeys(request.columns()))
    evaluator = evaluator or Evaluator(open_table(data, wanted))
    _read(request, evaluator)
    table, given = evaluator.table, ((WEIGHTS, request.weights), (OFFSET, request.offset))
    vectors = {
        label: _vector(values, label.strip("()"), table)
        for label, values in given
        if values is not None and not isinstance(values, str)
    }
    masks = {name: table.missing(name) for name in dict.fromkeys(request.needed())}
    masks |= {label: missing_in(values) for label, values in vectors.items()}
    lost = {name: mask for name, mask in masks.items() if mask is not None}
    if not lost:
        return Source(evaluator, vectors, lost, None)
    if request.missing == "error":
        raise DataError(
            f"Values are missing: {missing_in_words(lost)}. Fill or leave out these rows, or use "
            "missing='drop'."
        )
    rows = np.flatnonzero(~np.logical_or.reduce(list(lost.values())))
    if len(rows) == 0:
        raise DataError(_no_rows(lost, table.rows))
    return Source(evaluator, vectors, lost, rows)


def _read(request: Request, evaluator: Evaluator) -> None:
    """Read each column once, as what the formula takes it for."""
    if request.missing not in MISSING:
        raise DataError(f"missing={request.missing!r}: 'exclude', 'drop' or 'error' is expected.")
    factors, found = set[str](), Findings()
    for expression in dict.fromkeys(request.formula.expressions()):
        with found.part("formula"):
            factors.update(_read_one(expression, evaluator))
    for bar in request.formula.random:
        for name in bar.group.names:
            with found.part("formula"):
                evaluator.table.factor(name)
        for weight in bar.group.members.weights if bar.group.members else ():
            if isinstance(weight, Expression):
                with found.part("formula"):
                    evaluator.numbers(weight)
    for label, extra in (("weights", request.weights), ("offset", request.offset)):
        if isinstance(extra, str):
            with found.part(label):
                evaluator.table.numbers(extra)
    if request.residual is not None:
        with found.part("residual"):
            _read_residual(request.residual, evaluator)
    with found.part("contrasts"):
        _check_contrasts(request.contrasts, factors)
    found.raise_found()


def _read_one(expression: Expression, evaluator: Evaluator) -> list[str]:
    """Read the columns of an expression; names of those that it takes for factors."""
    if is_factor(expression, evaluator):
        inner, _ = marked_column(expression)
        if inner.is_column:
            evaluator.table.factor(inner.text)
            return [inner.text]
    for name in expression.variables:
        evaluator.table.numbers(name)
    return []


def _read_residual(residual: ResidualFormula, evaluator: Evaluator) -> None:
    """Read the columns of a residual structure: what is measured as numbers, visits as what they are."""
    if residual.time is not None and residual.time not in residual.measured:
        _read_one(residual.time, evaluator)
    for expression in residual.measured:
        for name in expression.variables:
            evaluator.table.numbers(name)
    for group in residual.groups():
        for name in group.names:
            evaluator.table.factor(name)


def _check_contrasts(contrasts: Mapping[str, Any], factors: set[str]) -> None:
    if not hasattr(contrasts, "items"):
        raise FormulaError(
            f"contrasts: codings by name of factor are expected, such as {{'f': 'sum'}}, not "
            f"{type(contrasts).__name__}."
        )
    for name in contrasts:
        if name not in factors:
            known = ", ".join(sorted(factors)) or "none"
            raise FormulaError(
                f"contrasts: `{name}` is no factor of the formula{did_you_mean(str(name), factors)} "
                f"(factors: {known})."
            )


def subset_of(given: Given, subset: Any) -> Given:
    """The rows of a table that meet a condition, and of the vectors beside it.

    Args:
        given: Table and vectors.
        subset: A condition in the formula's language, such as `Days > 1 and Subject != '335'`. A row whose
            value is missing does not meet it.

    Raises:
        FormulaError: The condition cannot be read, or asks for what is not offered.
        DataError: A column is absent, or no row meets it.
    """
    if not isinstance(subset, str):
        raise FormulaError(
            f"subset: a condition such as 'Days > 1' is expected, not {type(subset).__name__}; for rows that "
            "are known by their place give the table with these rows."
        )
    condition = parse_expression(subset, "exclude")
    table = open_table(given.data, condition.variables)
    meets = evaluate_expression(condition, table.frame)
    if not meets.any():
        raise DataError(f"subset: none of the {table.rows:,} rows meets `{subset}`.")
    return picked(given, np.flatnonzero(meets), table)


def picked(given: Given, rows: NDArray[np.intp], table: Table) -> Given:
    """Some rows, by position, of a table and of the vectors beside it; `table` is the same one, read."""
    data = given.data
    if isinstance(data, pd.DataFrame):
        data = data.iloc[rows]
    else:
        import narwhals as nw

        data = nw.from_native(data, eager_only=True)[rows].to_native()
    return Given(data, *(_some(vector, rows, table) for vector in given[1:]))


def _some(vector: Any, rows: NDArray[np.intp], table: Table) -> Any:
    """The rows of a vector; one that does not fit the table is left as it is, and refused with it."""
    if vector is None or isinstance(vector, str) or is_misplaced(vector, table.frame):
        return vector
    if isinstance(vector, pd.Series):
        return cast("pd.Series[Any]", vector).iloc[rows]
    try:
        values = np.asarray(vector)
    except ValueError:
        return vector
    return values[rows] if values.shape == (table.rows,) else vector


def _vector(given: Any, what: str, table: Table) -> Floats:
    rows = table.rows
    if is_misplaced(given, table.frame):
        raise DataError(
            f"{what}: the Series has another index than the table; give it that index, or its `to_numpy()` "
            "to go by position."
        )
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{what}: a column name or a vector of numbers is expected, not {type(given).__name__}."
        ) from None
    if values.shape != (rows,):
        raise DataError(
            f"{what}: a column name or a vector of {rows:,} numbers is expected, not shape {values.shape}."
        )
    return finite(values, f"({what})")


def is_misplaced(given: Any, frame: pd.DataFrame) -> bool:
    """Whether a Series has other row labels than a table."""
    return isinstance(given, pd.Series) and not given.index.equals(frame.index)


def missing_in_words(lost: Mapping[str, Mask]) -> str:
    """In how many rows each column has no value, and the first of them."""
    return "; ".join(
        f"`{name}` in {int(mask.sum()):,} row(s), first in row {np.flatnonzero(mask)[0] + 1}"
        for name, mask in lost.items()
    )


def _no_rows(lost: Mapping[str, Mask], rows: int) -> str:
    empty = [name for name, mask in lost.items() if mask.all()]
    if empty:
        return f"Column `{empty[0]}` has no value: all {rows:,} rows are missing, so no row is left."
    counts = ", ".join(f"`{name}` {int(mask.sum()):,}" for name, mask in lost.items())
    return f"No row is left: each of the {rows:,} rows misses a value (missing per column: {counts})."


def ledger(lost: Mapping[str, Mask]) -> pd.DataFrame:
    """One line per dropped row: its position, the reason, the columns that are missing."""
    if not lost:
        return pd.DataFrame({"row": np.empty(0, np.intp), "reason": [], "columns": []})
    names = np.array(list(lost))
    masks = np.column_stack(list(lost.values()))
    rows = np.flatnonzero(masks.any(axis=1))
    columns = [", ".join(names[mask]) for mask in masks[rows]]
    return pd.DataFrame({"row": rows, "reason": "missing value", "columns": columns})
