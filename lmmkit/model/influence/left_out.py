"""What is left out one by one: rows, levels of a grouping factor, or values of any column."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lmmkit.engine.influence.deletion import RowSets, units_of
from lmmkit.errors import FitError, did_you_mean
from lmmkit.model.design.design import Design
from lmmkit.model.formula.spelling import same_name
from lmmkit.model.table.columns import factor_of_column
from lmmkit.model.table.grouping import Grouping
from lmmkit.model.table.labels import level_texts

ROWS = "rows"


class LeftOut(NamedTuple):
    """The units, and what they are called.

    Attributes:
        of: "rows", or the name of the factor.
        labels: (u,) of the units.
        units: Their rows.
    """

    of: str
    labels: pd.Index[Any]
    units: RowSets


def left_out(design: Design, of: str) -> LeftOut:
    """The units that a name stands for.

    Args:
        design: The design.
        of: "rows", a grouping factor (subjects of a residual structure included), or a column of the table.

    Raises:
        FitError: There is no such factor or column, or it has one level.
    """
    n = len(design.problem.response)
    residual = design.residual
    groupings = {grouping.name: grouping for grouping in design.groupings}
    if residual is not None and residual.subjects is not None:
        groupings.setdefault(residual.subjects.name, residual.subjects)
    table = _table(design)
    known = list(dict.fromkeys([ROWS, *groupings, *(str(name) for name in table.columns)]))
    found = of if of in groupings or of == ROWS else same_name(str(of), known)
    if found is None:  # `arm:g` for `g:arm`
        found = next(
            (name for name in groupings if sorted(name.split(":")) == sorted(str(of).split(":"))), None
        )
    if found is None:
        near = did_you_mean(str(of), known) or "."
        raise FitError(
            f"influence(of={of!r}): there is no such factor or column{near} Give 'rows' or one of: "
            f"{', '.join(known[1:13])}{', ...' if len(known) > 13 else ''}."
        )
    if found == ROWS and found not in groupings:
        return LeftOut(ROWS, design.frame.index, units_of(np.arange(n), n))
    if found in groupings:
        return _of_grouping(groupings[found])
    column = table[found]
    coded = factor_of_column(column, found)
    met, codes = np.unique(coded.codes, return_inverse=True)
    missing = int(met[0] < 0)
    levels = [str(level) for level in level_texts(coded.levels)[met[missing:]]]
    return _checked(LeftOut(found, pd.Index(levels, name=found), units_of(codes - missing, len(levels))))


def _table(design: Design) -> pd.DataFrame:
    """The columns of the table on the rows used."""
    frame = design.source.table.frame
    given = design.request.given
    if given is not None and isinstance(given.data, pd.DataFrame) and len(given.data) == len(frame):
        frame = given.data
    return frame if design.source.rows is None else frame.iloc[design.source.rows]


def _of_grouping(grouping: Grouping) -> LeftOut:
    """Levels with rows, each with all rows that it has a part in."""
    seen = np.flatnonzero(grouping.observed)
    labels = pd.Index(grouping.levels[seen], name=grouping.name)
    if not grouping.members:
        place = np.full(grouping.size, -1, dtype=np.intp)
        place[seen] = np.arange(len(seen))
        return _checked(LeftOut(grouping.name, labels, units_of(place[grouping.codes], len(seen))))
    stacks = list[Any]()
    for unit, level in enumerate(seen.tolist()):
        mine = np.any([(codes == level) & (weights != 0.0) for codes, weights in grouping.held], axis=0)
        stacks.append((np.array([unit]), np.flatnonzero(mine)[None]))
    return _checked(LeftOut(grouping.name, labels, RowSets(len(seen), tuple(stacks))))


def _checked(found: LeftOut) -> LeftOut:
    if found.units.count < 2:
        raise FitError(
            f"influence(of={found.of!r}): it has {found.units.count} level in the rows used, and without it "
            "no row is left. Name a factor with two levels or more, or 'rows'."
        )
    return found
