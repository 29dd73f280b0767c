"""The influence of groups and rows on the answer of a study, as tables of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lmmkit.errors import FitError
from lmmkit.model.fit import Fit
from lmmkit.model.influence.influence import Influence, influence
from lmmkit.model.influence.left_out import ROWS
from lmmkit.model.means.focus import Focus
from lmmkit.model.report_tables.report_table import ReportTable

REFITS = 10  # of the largest of each grouping factor, and those whose conclusion turns
MOST_ROWS = 2_000  # up to which single rows are left out too
LISTED = 30  # rows of the data that the table lists
ROW = "row"  # what stands for a grouping factor where single rows are left out
COLUMNS = [
    *(
        "left_out",
        "group",
        "level",
        "rows",
        "cooks",
        "mdffits",
        "covratio",
        "estimate",
        "change",
        "se",
        "df",
        "p",
    ),
    *("turns", "answer", "method", "note"),
]
SUMMARY = [
    *("group", "units", "refitted", "focus", "estimate", "p", "low", "high", "least_p", "most_p"),
    *("turned", "others", "lost", "note"),
]

Frame = pd.DataFrame


@dataclass(frozen=True)
class Pulls:
    """What was found.

    Attributes:
        table: A row per group or row of the data left out, those of the largest Cook's distance first within
            each `group`: `answer` says whether the answer to the focus turns on it, `turns` what does.
        summary: A row per `group`: how many `units` it has and how many were `refitted` or found by a step,
            the `focus` with its `estimate` and `p` on all rows, their range without any one of them, how many
            of them the answer (`turned`) or a variance (`others`) turns on, how many are not estimable
            (`lost`); `note`, why nothing was left out.
    """

    table: Frame
    summary: Frame

    def of_first_group(self) -> Frame:
        """The rows of the first group that the table has."""
        groups = self.table["group"].astype(str).tolist()
        return self.table.iloc[: groups.count(groups[0])]

    @property
    def focus(self) -> str:
        """What the focus is."""
        return str(self.summary["focus"].dropna().iloc[0])

    @property
    def whole(self) -> float:
        """Its estimate on all rows; NaN of several."""
        return (
            float(self.summary["estimate"].dropna().iloc[0])
            if self.summary["estimate"].notna().any()
            else np.nan
        )


def pulls(fit: Fit, focus: Focus, rows: Sequence[int], *, df: str, level: float) -> Pulls:
    """The fit without each level of every grouping factor, and without each row of a small table.

    Args:
        fit: The fit.
        focus: What the study asks.
        rows: The number in its file of each row of the table that it was fitted to.
        df: Denominator degrees of freedom.
        level: Coverage of the intervals: its complement is the level of the test.
    """
    parts, told = list[Frame](), list[dict[str, object]]()
    names = [grouping.name for grouping in fit.design.groupings]
    subjects = fit.design.residual.subjects if fit.design.residual is not None else None
    if subjects is not None and subjects.name not in names and subjects.size > 1:
        names.append(subjects.name)
    small = fit.nobs <= MOST_ROWS and fit.design.held is None
    for of in [*names, *([ROWS] if small and ROWS not in names else [])]:
        try:
            found = influence(
                fit, of, focus=focus, df=df, refits=1 if of == ROWS else REFITS, alpha=1.0 - level
            )
        except FitError as error:
            told.append({"group": of, "note": str(error)})
            continue
        group = ROW if of == ROWS and ROWS not in names else of
        parts.append(_rows(found, group, rows, fit))
        told.append(_told(found, group))
    table = pd.concat(parts, ignore_index=True) if parts else Frame(columns=COLUMNS)
    return Pulls(table, Frame(told, columns=SUMMARY))


def _rows(found: Influence, group: str, rows: Sequence[int], fit: Fit) -> Frame:
    table = found.table
    labels = [str(label) for label in table.index]
    if group == ROW:
        place = pd.Series(np.arange(fit.nobs), index=range(fit.nobs))
        numbers = [rows[int(fit.design.rows[i])] for i in place]
        order = fit.design.frame.index.get_indexer(table.index)
        labels = [str(numbers[i]) for i in order] if fit.design.frame.index.is_unique else labels
    answers = {turn.label for turn in found.found.turns if found.found.turns_answer(turn)}
    own = table.assign(left_out=[f"{group} {label}" for label in labels], group=group, level=labels)
    own = own.assign(answer=[str(label) in answers for label in table.index])
    listed = own["turns"].ne("") | (np.arange(len(own)) < LISTED) if group == ROW else own["rows"] > 0
    return own[listed].reset_index(drop=True).reindex(columns=COLUMNS)


def _told(found: Influence, group: str) -> dict[str, object]:
    told = found.found
    answers = sum(told.turns_answer(turn) for turn in told.turns)
    return {
        "group": group, "units": told.units, "refitted": told.refitted, "focus": told.focus,
        "estimate": told.whole.estimate, "p": told.whole.p, "low": told.low, "high": told.high,
        "least_p": told.least, "most_p": told.most, "turned": answers,
        "others": len(told.turns) - answers, "lost": len(told.lost), "note": "",
    }  # fmt: skip


TABLES = (
    ReportTable(
        "influence",
        "The fit without each group, those without which the fixed effects move most first.",
        {
            "group": "Of",
            "level": "Left out",
            "rows": "Rows",
            "cooks": ("Cook's distance", 3),
            "estimate": "Focus without it",
            "p": ("p without it", "probability"),
            "method": "Found by",
        },
        texts=("level",),
    ),
    ReportTable("influences"),
)
