"""Where the design matrix [X Z] has entries, binned for a picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.model.design.design import Design

ROWS, COLUMNS = 200, 240  # bins at most
NARROWEST = 6


class _Part(NamedTuple):
    """Columns of [X Z] that belong together: their number, and the column of every entry by row."""

    name: str
    size: int
    columns: list[tuple[NDArray[np.intp], NDArray[np.bool_]]]


def design_parts(design: Design) -> pd.DataFrame:
    """The parts of [X Z]: part, rows, columns, entries (not zero), and its bins from start to stop."""
    parts = list(_parts(design))
    total = sum(part.size for part in parts)
    widths = [max(min(part.size, NARROWEST), round(part.size / max(total / COLUMNS, 1))) for part in parts]
    stops = np.cumsum(widths)
    return pd.DataFrame(
        {
            "part": [part.name for part in parts],
            "rows": len(design.problem.response),
            "columns": [part.size for part in parts],
            "entries": [sum(int(present.sum()) for _, present in part.columns) for part in parts],
            "start": stops - widths,
            "stop": stops,
        }
    )


def design_cells(design: Design) -> pd.DataFrame:
    """The bins of [X Z] that hold entries: row, column, and the share of their entries that are not zero."""
    n, table = len(design.problem.response), design_parts(design)
    rows, width = min(n, ROWS), int(table["stop"].iloc[-1])
    down = np.arange(n) * rows // n
    counts = np.zeros(rows * width)
    size = np.zeros(width)
    for part, start, stop in zip(_parts(design), table["start"], table["stop"], strict=True):
        bins = start + np.arange(part.size) * (stop - start) // part.size
        size += np.bincount(bins, minlength=width)
        for codes, present in part.columns:
            counts += np.bincount((down * width + bins[codes])[present], minlength=rows * width)
    share = counts.reshape(rows, width) / np.outer(np.bincount(down), size)
    row, column = np.nonzero(share)
    return pd.DataFrame({"row": row, "column": column, "share": share[row, column]})


def _parts(design: Design) -> Iterator[_Part]:
    """X, then each column of each random-effects term."""
    problem = design.problem
    n = len(problem.response)
    fixed = [(np.full(n, place), problem.columns[i] != 0) for place, i in enumerate(problem.fixed)]
    yield _Part("X", len(fixed), fixed)
    for term, random in zip(problem.terms, design.random, strict=True):
        for i, name in zip(term.columns, random.names, strict=True):
            entries = [(term.codes, problem.columns[i] != 0)]
            yield _Part(f"{random.group}: {name}", term.levels, entries)
