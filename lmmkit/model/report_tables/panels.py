"""Which columns a picture of the data by group shows, and the rows for its panels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.model.report_tables.about_data import Groups, levels_of, relations

PANELS = 24

Frame = pd.DataFrame


@dataclass(frozen=True)
class PanelChoice:
    """The columns of a picture by group.

    Attributes:
        y: Column of the response.
        x: Column along the axis.
        group: Label of the grouping factor whose levels have a panel each; "" for one panel of all rows.
        columns: The columns of that factor.
    """

    y: str
    x: str
    group: str
    columns: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, from which `PanelChoice(**values)` is made again."""
        return asdict(self)


def choose_panels(
    frame: Frame, y: str, groups: Groups, predictors: Sequence[str] = (), focus: str | None = None
) -> PanelChoice:
    """The response's column against the one that the study asks about, by group.

    That is a column of the focus, or else of the first predictor: never one that the model does not have.
    Of several that a focus names (`x:f`) a number comes before factors, and before both what varies within
    groups, as a time does. Without predictors a grouping factor is along the axis: the inner of nested
    ones, or the one with fewer levels of crossed ones.

    Args:
        frame: The rows used.
        y: Column of the response.
        groups: The columns of each grouping factor, by its label.
        predictors: Columns of the model, those of the fixed part first, in the order of the formula.
        focus: A column, term or coefficient: `x`, `x:f`, `log(x)`, `f[T.b]`.

    >>> frame = pd.DataFrame({"y": [1.0, 2, 3, 4], "t": [0, 1, 0, 1], "g": list("aabb")})
    >>> choose_panels(frame, "y", {"g": ["g"]}, ["t"])
    PanelChoice(y='y', x='t', group='g', columns=('g',))
    """
    known = [name for name in predictors if name in frame.columns and name != y]
    x = _along(frame, focus_columns(focus or "", known) or known[:1], groups)
    if x is None:
        return _among_groups(frame, y, groups)
    if not groups:
        return PanelChoice(y, x, "", ())
    able = [label for label in groups if _varies(frame, x, groups[label])] or [
        label for label in groups if x not in groups[label]
    ]
    if not able:
        return PanelChoice(y, x, "", ())
    group = max(able, key=lambda label: levels_of(frame, groups[label]).nunique())
    return PanelChoice(y, x, group, tuple(groups[group]))


def focus_columns(focus: str, predictors: Sequence[str]) -> list[str]:
    """The columns that a focus names, in its order; what stands in brackets is a level.

    >>> focus_columns("arm[T.drug]:log(1 + week)", ["week", "arm", "drug"])
    ['arm', 'week']
    """
    text = re.sub(r"\[[^\[\]]*\]", "", focus)
    found = {name: re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text) for name in predictors}
    places = {name: match.start() for name, match in found.items() if match}
    return sorted(places, key=lambda name: places[name])


def _along(frame: Frame, names: Sequence[str], groups: Groups) -> str | None:
    numeric = [name for name in names if pd.api.types.is_numeric_dtype(frame[name])]
    ordered = [*numeric, *(name for name in names if name not in numeric)]
    moving = (name for name in ordered if any(_varies(frame, name, of) for of in groups.values()))
    return next(moving, next(iter(ordered), None))


def _varies(frame: Frame, x: str, names: Sequence[str]) -> bool:
    return x not in names and bool((frame.groupby(list(names), observed=True)[x].nunique() > 1).any())


def _among_groups(frame: Frame, y: str, groups: Groups) -> PanelChoice:
    if not groups:
        return PanelChoice(y, "", "", ())
    labels = sorted(groups, key=lambda label: -levels_of(frame, groups[label]).nunique())
    if len(labels) == 1:
        return PanelChoice(y, groups[labels[0]][0], "", ())
    fine, coarse = labels[0], labels[1]
    nested = "nested" in relations(frame, {fine: groups[fine], coarse: groups[coarse]})["relation"].item()
    inner = [name for name in groups[fine] if name not in groups[coarse]]
    if nested and inner:
        return PanelChoice(y, inner[0], coarse, tuple(groups[coarse]))
    return PanelChoice(y, groups[coarse][0], fine, tuple(groups[fine]))


def panel_rows(frame: Frame, choice: PanelChoice, limit: int = PANELS) -> Frame:
    """Rows for one small picture per level: columns panel, x, y; at most `limit` levels.

    Of more levels than that, those evenly spaced in their order are taken, the same every time.

    >>> frame = pd.DataFrame({"g": ["b", "a"], "t": [0, 1], "y": [2, 3]})
    >>> panel_rows(frame, PanelChoice("y", "t", "g", ("g",)))["panel"].tolist()
    ['a', 'b']
    """
    levels_in_order = _ordered_levels(frame, choice.columns)
    drawn: list[str] = [levels_in_order[place] for place in evenly_spaced(len(levels_in_order), limit)]
    levels = levels_of(frame, choice.columns)
    x = frame[choice.x] if choice.x else pd.Series("all rows", index=frame.index)
    table = Frame({"panel": levels, "x": x, "y": frame[choice.y]})
    table = table[table["panel"].isin(drawn)]
    return table.assign(panel=pd.Categorical(table["panel"], drawn)).sort_values("panel", kind="stable")


def _ordered_levels(frame: Frame, names: Sequence[str]) -> list[str]:
    cells = frame[list(names)].drop_duplicates()
    return levels_of(cells.sort_values(list(names), kind="stable") if names else frame[:1], names).tolist()


def evenly_spaced(count: int, limit: int) -> NDArray[np.intp]:
    """Returns at most `limit` of the places 0, ..., count - 1: the first, the last, and some between.

    >>> evenly_spaced(9, 3).tolist()
    [0, 4, 8]
    """
    return np.linspace(0, count - 1, min(limit, count)).round().astype(np.intp)
