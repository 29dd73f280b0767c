"""Which levels of a grouping factor meet which levels of another, and which values of the fixed terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lmmkit.model.design_audit.maximal import FactorAudit
from lmmkit.model.design_audit.within_levels import cells_of
from lmmkit.model.table.columns import Floats, Ints

BINS = 48  # rows and columns of a tile at most
MOST = 8  # tiles in a row

COLUMNS = ("group", "levels", "against", "values", "row", "rows", "column", "columns", "share")


def incidence(audits: Sequence[FactorAudit]) -> pd.DataFrame:
    """Tiles of a picture: a row for each bin in which a level of a factor meets a level, or a value.

    Args:
        audits: The factors; the one with most levels comes first in the table.

    Returns:
        DataFrame group, its levels, against (a factor with fewer levels, or a factor or number of the fixed
        terms), how many values that has, row and column of the bin, of how many rows and columns, and the
        share of its pairs that occur. Levels nested in others are in the order of these.
    """
    ordered = sorted(audits, key=lambda audit: -audit.levels.size)
    records = [
        record for place, audit in enumerate(ordered) for record in _of_factor(audit, ordered[place + 1 :])
    ]
    table = pd.DataFrame(records, columns=["group", "levels", "against", "values", "tile"])
    tiles = [_bins(*tile) for tile in table.pop("tile")]
    repeated = table.loc[table.index.repeat([len(tile) for tile in tiles])].reset_index(drop=True)
    if not tiles:
        return repeated.reindex(columns=list(COLUMNS))
    return pd.concat([repeated, pd.concat(tiles, ignore_index=True)], axis=1)[list(COLUMNS)]


def _of_factor(audit: FactorAudit, coarser: Sequence[FactorAudit]) -> Iterator[tuple[object, ...]]:
    """The tiles of one factor: its name and levels, what it meets, and the places of all its rows."""
    levels, rows = audit.levels, audit.rows
    plain = [other for other in coarser if not other.grouping.members and not audit.grouping.members]
    parents = [other.grouping.codes for other in plain if not levels.varying(other.grouping.codes).any()]
    order = np.lexsort([np.arange(levels.size), *(of[levels.rows[levels.starts]] for of in parents)])
    place = np.empty(levels.size, np.intp)
    place[order] = np.arange(levels.size)
    met = [(other.grouping.name, other.grouping.codes) for other in plain]
    variables = dict.fromkeys(e for term in audit.effect_of for e in term)
    met += [(e.text, cells_of([rows.values[e]], rows.count)) for e in variables]
    for name, codes in met[:MOST]:
        cells: Ints = np.unique(codes, return_inverse=True)[1]
        yield (
            audit.grouping.name,
            levels.size,
            name,
            int(cells.max()) + 1,
            (place[levels.codes], cells[levels.rows]),
        )


def _bins(down: Ints, across: Ints) -> pd.DataFrame:
    """The bins of pairs of places, and the share of their pairs that occur."""
    tall, wide = int(down.max()) + 1, int(across.max()) + 1
    pairs = np.unique(down * wide + across)
    rows, columns = min(tall, BINS), min(wide, BINS)
    row, column = pairs // wide * rows // tall, pairs % wide * columns // wide
    bins, counts = np.unique(row * columns + column, return_counts=True)
    share = counts / np.outer(_sizes(tall, rows), _sizes(wide, columns)).ravel()[bins]
    places = {"row": bins // columns, "rows": rows, "column": bins % columns, "columns": columns}
    return pd.DataFrame({**places, "share": share})


def _sizes(count: int, bins: int) -> Floats:
    """(bins,) how many places are in each bin."""
    return np.bincount(np.arange(count) * bins // count, minlength=bins).astype(float)
