"""Columns of Z that are positions: which there are, and the rows that stand on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lmmkit.engine.covariance.patterned import Exponential
from lmmkit.engine.covariance.structure_tags import Positions
from lmmkit.errors import DataError, FormulaError, first_of
from lmmkit.model.design.variables import Column, Values
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.formula import Bar
from lmmkit.model.table.columns import Floats, Ints

MOST = 400  # positions of a term: every level has an effect for each
SHOWN = 4  # positions that a refusal names


def coordinates(bar: Bar, values: Mapping[Expression, Values]) -> Floats:
    """(n, d) coordinates of the rows.

    Raises:
        FormulaError: One of them is no column of numbers.
    """
    columns = list[Floats]()
    for expression in bar.positions:
        found = values[expression]
        if found.variable.kind != "number":
            raise FormulaError(
                f"`{bar.text}`: `{expression}` is no column of numbers; pos() takes coordinates. For levels "
                f"in an order of their own write `ar1(0 + {expression} | {bar.group})`."
            )
        columns.append(np.asarray(found.numbers, dtype=np.float64))
    return np.column_stack(columns)


def distinct(bar: Bar, rows: Floats) -> tuple[Positions, Ints]:
    """The positions that occur, in increasing order, and where each row stands among them.

    Raises:
        DataError: They are too many.
    """
    found, codes = np.unique(rows, axis=0, return_inverse=True)
    if len(found) > MOST:
        raise DataError(
            f"`{bar.text}`: the rows have {len(found):,} distinct positions, each an effect of every level; "
            f"at most {MOST} are fitted. Round the coordinates, or fit a part of the data; where levels have "
            f"one row at each, residual='expsp({_spelled(bar)} | {bar.group}, nugget=TRUE)' is that model."
        )
    return tuple(tuple(map(float, row)) for row in found), codes.reshape(-1)


def _spelled(bar: Bar) -> str:
    return ", ".join(map(str, bar.positions))


def names(positions: Positions) -> tuple[str, ...]:
    """What the columns are called: `pos(0.5)`, `pos(1, 2.5)`."""
    return tuple(f"pos({', '.join(f'{value:.12g}' for value in place)})" for place in positions)


def indicators(positions: Positions, codes: Ints) -> list[Column]:
    """Named columns, 1 on the rows that stand on a position."""
    return [(name, (codes == j).astype(np.float64)) for j, name in enumerate(names(positions))]


def known_positions(bar: Bar, structure: Exponential, rows: Floats) -> Ints:
    """Where each of some new rows stands among the positions of a fit.

    Raises:
        DataError: A row stands where no row of the fit does.
    """
    places = {place: j for j, place in enumerate(structure.positions)}
    codes = [places.get(tuple(map(float, row)), -1) for row in rows]
    unseen = [names((tuple(row),))[0] for row, code in zip(rows, codes, strict=True) if code < 0]
    if unseen:
        raise DataError(_unseen(bar, list(dict.fromkeys(unseen))))
    return np.array(codes, dtype=np.intp)


def _unseen(bar: Bar, unseen: Sequence[str]) -> str:
    return (
        f"`{bar.text}`: no row of the fit stands at {first_of(unseen, SHOWN)}, so there are no "
        "effects to predict with there. Predict at positions of the fit, or without this term (random=False)."
    )
