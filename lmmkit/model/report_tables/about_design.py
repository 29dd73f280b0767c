"""The design of a fit: where [X Z] has entries, binned for a picture, and the textbook's matrices in full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.referee.henderson import MixedModel
from lmmkit.engine.referee.textbook import to_dense
from lmmkit.errors import FitError
from lmmkit.model.certificate import written_out
from lmmkit.model.design.design import Design
from lmmkit.model.estimates import Estimates
from lmmkit.model.report_tables.report_table import Facts, ReportTable, printed
from lmmkit.model.table.known import Known

ROWS, COLUMNS = 200, 240  # bins at most
NARROWEST = 6
DRAWN = 400  # levels whose relationship matrix is drawn whole
SAMPLED = 100  # of more levels: those whose pairs are looked at
UNRELATED = 1e-10  # of the largest diagonal entry, below which a covariance is rounding
MOST_ROWS = 5_000  # V of more rows would not be written out by anybody


class _ColumnGroup(NamedTuple):
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


def _filled(parts: pd.DataFrame) -> Facts:
    share = parts["entries"].sum() / (parts["rows"] * parts["columns"]).sum()
    return {"columns": int(parts["columns"].sum()), "share filled": float(share)}


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


def _parts(design: Design) -> Iterator[_ColumnGroup]:
    """X, then each column of each random-effects term."""
    problem = design.problem
    n = len(problem.response)
    fixed = [(np.full(n, place), problem.columns[i] != 0) for place, i in enumerate(problem.fixed)]
    yield _ColumnGroup("X", len(fixed), fixed)
    for term, random in zip(problem.terms, design.random, strict=True):
        for i, name in zip(term.columns, random.names, strict=True):
            entries = [(term.codes, problem.columns[i] != 0)]
            yield _ColumnGroup(f"{random.group}: {name}", term.levels, entries)


def matrices_of(estimates: Estimates) -> MixedModel:
    """y, X, Z, G and R of a fit in full, in the units of the data: y = X beta + Z u + e, var(u) G, var(e) R.

    Args:
        estimates: The fit, `Fit.estimates`.

    Raises:
        FitError: The data have too many rows for matrices of rows x rows.
    """
    if estimates.nobs > MOST_ROWS:
        raise FitError(
            f"The matrices of {estimates.nobs:,} rows are not written out in full; the limit is "
            f"{MOST_ROWS:,} rows. Fit a part of the data."
        )
    return to_dense(written_out(estimates))


class Relatives(NamedTuple):
    """What is drawn of the known covariance K of a factor's levels.

    Attributes:
        group: The factor.
        matrix: K, whole, or between `SAMPLED` evenly spaced levels where there are more than `DRAWN`.
        diagonal: (J,) its diagonal; of a pedigree 1 + inbreeding.
        eigenvalues: (J,) of K in falling order; None where it is not drawn whole.
    """

    group: str
    matrix: Floats
    diagonal: Floats
    eigenvalues: Floats | None


def relatives(design: Design) -> list[Relatives]:
    """The known covariances of a model: drawn whole, or by histograms where they have many levels."""
    return [_relatives(group.name, group.known) for group in design.groupings if group.known is not None]


def _relatives(name: str, known: Known) -> Relatives:
    J, diagonal = len(known.labels), known.relationship.diagonal
    if J > DRAWN:
        return Relatives(name, known.dense(np.linspace(0, J - 1, SAMPLED).astype(np.intp)), diagonal, None)
    K = known.dense()
    return Relatives(name, K, diagonal, np.maximum(np.linalg.eigvalsh(K)[::-1], 0.0))


def relationships(drawn: list[Relatives]) -> pd.DataFrame:
    """A row per known covariance: levels, pairs, how many are related, the closest, the range of eigenvalues.

    Returns:
        DataFrame group, levels, pairs (looked at), related (K is not zero), closest (largest K of two),
        diagonal (its mean), least and largest (eigenvalue; NaN where not drawn whole).
    """
    rows = list[dict[str, Any]]()
    for one in drawn:
        pairs = one.matrix[np.tril_indices(len(one.matrix), -1)]
        ends = (np.nan, np.nan) if one.eigenvalues is None else (one.eigenvalues[-1], one.eigenvalues[0])
        rows.append(
            {
                "group": one.group,
                "levels": len(one.diagonal),
                "pairs": len(pairs),
                "related": int(np.count_nonzero(np.abs(pairs) > UNRELATED * np.abs(one.diagonal).max())),
                "closest": float(pairs.max(initial=0.0)),
                "diagonal": float(one.diagonal.mean()),
                "least": float(ends[0]),
                "largest": float(ends[1]),
            }
        )
    return pd.DataFrame(rows)


TABLES = (
    ReportTable("design_parts", facts=_filled),
    ReportTable("relationships"),
    ReportTable(
        "design_audit",
        "What the design can tell of random effects: a row for each grouping factor and fixed term.",
        printed(
            "group term varies levels varying rows_least cell_rows_least effect verdict reason",
            varying="of them with several values",
            rows_least="Fewest rows a level",
            cell_rows_least="Fewest rows a cell",
            effect="Random effect",
        ),
    ),
    ReportTable("design_relations"),
    ReportTable(
        "error_rates",
        "Type I error and power of the choice and of the test that follows it, by simulation on this design.",
        printed(
            "procedure type1 type1_se power power_se singular failed model model_share",
            procedure="Random effects",
            type1=("Type I error", 3),
            type1_se=("Monte Carlo error", 3),
            power=("Power", 3),
            power_se=("Monte Carlo error of power", 3),
            singular=("Singular fits", 3),
            failed="Not tested",
            model="Most frequent model",
            model_share=("Its share", 3),
        ),
    ),
)
