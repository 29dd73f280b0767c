"""The page of a sweep: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lmmkit.study.pages import templates
from lmmkit.study.sweeps.results import Result
from lmmkit.study.sweeps.sweep import Sweep

LONGEST = 1_000  # rows of the table on the page; results.csv has all
DIGITS = 6


def render(sweep: Sweep, results: Sequence[Result], page: Mapping[str, Any]) -> str:
    """The page of a sweep.

    Args:
        sweep: The sweep.
        results: Its cells.
        page: `table`, `focus`, `alpha`; with a focus also `curve`, `agreement`, `picture`, `tests`,
            `replicates`.
    """
    table: pd.DataFrame = page["table"]
    return templates.render(
        "sweep.html",
        sweep=sweep,
        cells=len(results),
        failed=[result.made for result in results if result.made.error],
        elsewhere=sum(bool(result.elsewhere) for result in results),
        head=list(table.columns),
        numeric=[pd.api.types.is_numeric_dtype(table[name]) for name in table],
        rows=[[cell_text(cell) for cell in row] for row in table.head(LONGEST).itertuples(index=False)],
        left=max(len(table) - LONGEST, 0),
        image=templates.image_address(page["picture"]) if page["focus"] else None,
        counts=page.get("agreement"),
        tests=page.get("tests", []),
        replicates=page.get("replicates", 0),
        focus=page["focus"],
        alpha=page["alpha"],
        text=cell_text,
        share=share,
    )


def cell_text(value: Any) -> str:
    """A value as the table shows it.

    >>> cell_text(251.40510484848), cell_text(None), cell_text(True)
    ('251.405', '', 'yes')
    """
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def share(part: int, whole: int) -> str:
    """A count among all, with its share.

    >>> share(3, 4)
    '3 of 4 (75 %)'
    """
    return f"{part} of {whole} ({100 * part / whole:.0f} %)"
