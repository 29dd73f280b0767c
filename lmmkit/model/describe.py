"""Tables about the data before any model: columns, gaps, groups, how groups relate, spacing, panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

PANELS = 24
EVEN = 1e-9  # relative difference below which two steps count as one

Frame = pd.DataFrame


def axis_label(name: str, unit: str | None) -> str:
    """Axis text of a column: its name and, when it has one, its unit.

    >>> axis_label("Reaction", "ms"), axis_label("Machine", None)
    ('Reaction (ms)', 'Machine')
    """
    return f"{name} ({unit})" if unit else name


def columns(frame: Frame, roles: Mapping[str, str], units: Mapping[str, str | None]) -> Frame:
    """One row per column: role in the model, type, unit, counts, and the five numbers of a numeric one.

    >>> columns(pd.DataFrame({"y": [1.0, 2.0, None]}), {"y": "response"}, {"y": "ms"}).loc[0, "missing"]
    np.int64(1)
    """
    rows = [
        {
            "column": name,
            "role": roles.get(name, "not used"),
            "unit": units.get(name) or "",
            **_summary(frame[name]),
        }
        for name in map(str, frame.columns)
    ]
    return Frame(rows)


def _summary(values: pd.Series[Any]) -> dict[str, Any]:
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    counts = {
        "type": "number" if numeric else "factor",
        "rows": len(values),
        "missing": int(values.isna().sum()),
        "distinct": int(values.nunique()),
    }
    names = ("min", "lower", "median", "upper", "max")
    numbers = values.quantile([0, 0.25, 0.5, 0.75, 1]).tolist() if numeric else [np.nan] * len(names)
    return counts | dict(zip(names, numbers, strict=True))


def missing_patterns(frame: Frame) -> Frame:
    """Rows by the set of columns that are missing in them, the most frequent pattern first.

    >>> missing_patterns(pd.DataFrame({"a": [1, None], "b": [1, 2]}))["rows"].tolist()
    [1, 1]
    """
    holes = frame.isna().astype(int)
    counts = holes.groupby(list(holes.columns), sort=True).size().rename("rows").reset_index()
    ordered = counts.sort_values("rows", ascending=False, kind="stable", ignore_index=True)
    return ordered[["rows", *holes.columns]]


def histogram(values: pd.Series[Any], bins: int = 24) -> Frame:
    """Counts of a numeric column: a bar per value when it takes few integers, else equal bins.

    >>> histogram(pd.Series([1, 1, 2]))["rows"].tolist()
    [2, 1]
    """
    numbers = values.dropna().to_numpy(dtype=float)
    low, high = float(numbers.min()), float(numbers.max())
    few = high - low < bins and not np.any(numbers % 1)
    edges = np.arange(low - 0.5, high + 1) if few else np.linspace(low, high, bins + 1)
    counts = np.histogram(numbers, edges.tolist())[0]
    return Frame({"left": edges[:-1], "right": edges[1:], "rows": counts})


def levels_of(frame: Frame, group: str) -> pd.Series[str]:
    """Each row's level of a grouping factor; the levels of `a:b` are written `x:y`.

    >>> levels_of(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), "b:a").tolist()
    ['x:1', 'y:2']
    """
    parts = [frame[name].astype(str) for name in group.split(":")]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + ":" + part
    return joined


def group_sizes(frame: Frame, groups: Sequence[str]) -> Frame:
    """For each grouping factor, how many of its levels have how many rows.

    >>> group_sizes(pd.DataFrame({"g": ["a", "a", "b"]}), ["g"]).to_dict("list")
    {'group': ['g', 'g'], 'rows': [1, 2], 'levels': [1, 1]}
    """
    tables = [_sizes(frame, group) for group in groups]
    return pd.concat(tables, ignore_index=True)


def _sizes(frame: Frame, group: str) -> Frame:
    rows = levels_of(frame, group).value_counts()
    counts = rows.value_counts().sort_index()
    return Frame({"group": group, "rows": counts.index, "levels": counts.to_numpy()})


def balance(frame: Frame, groups: Sequence[str]) -> Frame:
    """One row per grouping factor: levels, and rows per level (least, median, most), balanced or not.

    >>> balance(pd.DataFrame({"g": ["a", "a", "b"]}), ["g"])["balanced"].tolist()
    [False]
    """
    sizes = {group: levels_of(frame, group).value_counts() for group in groups}
    rows = [
        {"group": group, "levels": len(n), "least": n.min(), "median": n.median(), "most": n.max(),
         "balanced": bool(n.min() == n.max())}
        for group, n in sizes.items()
    ]  # fmt: skip
    return Frame(rows)


def relations(frame: Frame, groups: Sequence[str]) -> Frame:
    """How each two grouping factors stand to each other: nested, fully or partly crossed.

    >>> relations(pd.DataFrame({"a": [1, 1, 2], "b": ["x", "y", "z"]}), ["b", "a"])["relation"].tolist()
    ['b is nested in a']
    """
    codes = {group: pd.factorize(levels_of(frame, group))[0] for group in groups}
    rows = [_relation(a, b, codes[a], codes[b]) for a, b in combinations(groups, 2)]
    return Frame(rows, columns=["first", "second", "relation", "pairs", "possible"])


def _relation(a: str, b: str, codes_a: Any, codes_b: Any) -> dict[str, Any]:
    of_a, of_b = int(codes_a.max()) + 1, int(codes_b.max()) + 1
    pairs = len(np.unique(codes_a.astype(np.int64) * of_b + codes_b))
    words = {
        pairs == of_a * of_b: f"{a} and {b} are fully crossed",
        pairs == of_b: f"{b} is nested in {a}",
        pairs == of_a: f"{a} is nested in {b}",
    }
    relation = words.get(True, f"{a} and {b} are partly crossed")
    return {"first": a, "second": b, "relation": relation, "pairs": pairs, "possible": of_a * of_b}


def spacing(frame: Frame, group: str, names: Sequence[str]) -> Frame:
    """How numeric columns move within the levels of a group: constant, or stepping evenly or not.

    >>> spacing(pd.DataFrame({"g": list("aab"), "t": [0, 1, 5]}), "g", ["t"])["steps"].tolist()
    ['even']
    """
    levels = levels_of(frame, group)
    rows = [{"column": name, "group": group, **_steps(frame[name], levels)} for name in names]
    return Frame(rows, columns=["column", "group", "distinct", "varies", "step_min", "step_max", "steps"])


def _steps(values: pd.Series[Any], levels: pd.Series[str]) -> dict[str, Any]:
    points = Frame({"level": levels.to_numpy(), "value": values.to_numpy(dtype=float)}).drop_duplicates()
    points = points.sort_values(["level", "value"], kind="stable")
    step = points["value"].diff()[points["level"].eq(points["level"].shift())]
    spread = {"distinct": int(values.nunique()), "varies": len(step) > 0}
    if step.empty:
        return spread | {"step_min": np.nan, "step_max": np.nan, "steps": "constant within every level"}
    low, high = float(step.min()), float(step.max())
    return spread | {
        "step_min": low,
        "step_max": high,
        "steps": "even" if high - low <= EVEN * high else "uneven",
    }


def panels(frame: Frame, *, x: str, y: str, group: str, limit: int = PANELS) -> Frame:
    """Rows for one small picture per level: columns panel, x, y; at most `limit` levels.

    Of more levels than that, those evenly spaced in their order are taken, the same every time.

    >>> table = pd.DataFrame({"g": ["b", "a"], "t": [0, 1], "y": [2, 3]})
    >>> panels(table, x="t", y="y", group="g")["panel"].tolist()
    ['a', 'b']
    """
    shown = _spread(_ordered_levels(frame, group), limit)
    table = Frame({"panel": levels_of(frame, group), "x": frame[x], "y": frame[y]})
    table = table[table["panel"].isin(shown)]
    return table.assign(panel=pd.Categorical(table["panel"], shown)).sort_values("panel", kind="stable")


def _ordered_levels(frame: Frame, group: str) -> list[str]:
    cells = frame[group.split(":")].drop_duplicates()
    return levels_of(cells.sort_values(list(cells.columns), kind="stable"), group).tolist()


def _spread(levels: list[str], limit: int) -> list[str]:
    places = np.linspace(0, len(levels) - 1, min(limit, len(levels))).round().astype(int)
    return [levels[place] for place in places]
