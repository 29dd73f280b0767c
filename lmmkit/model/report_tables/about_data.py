"""Tables about the data before any model: columns, gaps, groups, how groups relate, spacing, panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.model.report_tables.report_table import Facts, ReportTable, printed

EVEN = 1e-9  # relative difference below which two steps count as one

Frame = pd.DataFrame
Groups = Mapping[str, Sequence[str]]  # a grouping factor's label, and its columns


def axis_label(name: str, unit: str | None) -> str:
    """Axis text of a column: its name and, when it has one, its unit.

    >>> axis_label("Reaction", "ms"), axis_label("Machine", None)
    ('Reaction (ms)', 'Machine')
    """
    return f"{name} ({unit})" if unit else name


def columns(frame: Frame, response: str, groups: Groups, units: Mapping[Any, str]) -> Frame:
    """One row per column: role, type, unit, counts, and the five numbers of a numeric one.

    >>> table = columns(pd.DataFrame({"y": [1.0, 2.0, None]}), "y", {}, {"y": "ms"})
    >>> table[["column", "role", "unit", "missing"]].to_dict("records")
    [{'column': 'y', 'role': 'response', 'unit': 'ms', 'missing': 1}]
    """
    grouping = {name: f"grouping ({label})" for label, names in groups.items() for name in names}
    roles = grouping | {response: "response"}
    rows = [
        {
            "column": name,
            "role": roles.get(name, "other"),
            "unit": units.get(name, ""),
            **_summary(frame[name]),
        }
        for name in map(str, frame.columns)
    ]
    return Frame(rows)


def dropped(rows: Frame) -> Frame:
    """The ledger of rows by reason: status, reason, rows.

    >>> ledger = pd.DataFrame({"status": ["kept", "kept", "dropped"], "reason": ["", "", "missing y"]})
    >>> dropped(ledger)["rows"].tolist()
    [2, 1]
    """
    counts = rows.groupby(["status", "reason"]).size().rename("rows").reset_index()
    return counts.sort_values(["status", "rows"], ascending=False, kind="stable", ignore_index=True)


def notices(sentences: Sequence[str]) -> Frame:
    """What was settled in reading a file, a sentence a row.

    >>> notices(["g: blanks around the text of 3 cells are taken off"]).shape
    (1, 1)
    """
    return Frame({"notice": list(sentences)}, dtype="str")


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

    The count stands first, under a name that no column of the data has.

    >>> missing_patterns(pd.DataFrame({"a": [1, None], "b": [1, 2]}))["rows"].tolist()
    [1, 1]
    """
    holes = frame.isna().astype(int)
    count = "rows"
    while count in holes.columns:
        count = f"number of {count}"
    counts = holes.groupby(list(holes.columns), sort=True).size().rename(count).reset_index()
    ordered = counts.sort_values(count, ascending=False, kind="stable", ignore_index=True)
    return ordered[[count, *holes.columns]]


def _gaps(patterns: Frame) -> Facts:
    """How many rows and columns there are, and rows with a gap: at all, and by column."""
    holes, rows = patterns.iloc[:, 1:], patterns.iloc[:, 0]
    lost = holes.mul(rows, axis=0).sum()
    return {
        "rows": int(rows.sum()),
        "incomplete": int(rows[holes.any(axis=1)].sum()),
        "patterns": len(patterns),
        "columns": len(holes.columns),
        **{f"without {name}": int(count) for name, count in lost.items()},
    }


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


def levels_of(frame: Frame, names: Sequence[str]) -> pd.Series[Any]:
    """Each row's level of the grouping factor made of some columns, the parts joined by a colon.

    >>> levels_of(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), ["b", "a"]).tolist()
    ['x:1', 'y:2']
    """
    if not names:
        return pd.Series("all rows", index=frame.index)
    joined = frame[names[0]].astype(str)
    for name in names[1:]:
        joined = joined + ":" + frame[name].astype(str)
    return joined


def group_sizes(frame: Frame, groups: Groups) -> Frame:
    """For each grouping factor, how many of its levels have how many rows.

    >>> group_sizes(pd.DataFrame({"g": ["a", "a", "b"]}), {"g": ["g"]}).to_dict("list")
    {'group': ['g', 'g'], 'rows': [1, 2], 'levels': [1, 1]}
    """
    none = Frame({"group": [], "rows": [], "levels": []})
    tables = [_sizes(label, levels_of(frame, names)) for label, names in groups.items()]
    return pd.concat(tables, ignore_index=True) if tables else none


def _sizes(label: str, levels: pd.Series[Any]) -> Frame:
    counts = levels.value_counts().value_counts().sort_index()
    return Frame({"group": label, "rows": counts.index, "levels": counts.to_numpy()})


def balance(frame: Frame, groups: Groups) -> Frame:
    """One row per grouping factor: levels, and rows per level (least, median, most), balanced or not.

    >>> balance(pd.DataFrame({"g": ["a", "a", "b"]}), {"g": ["g"]})["balanced"].tolist()
    [False]
    """
    sizes = {label: levels_of(frame, names).value_counts() for label, names in groups.items()}
    rows = [
        {"group": label, "levels": len(n), "least": n.min(), "median": n.median(), "most": n.max()}
        for label, n in sizes.items()
    ]
    table = Frame(rows, columns=["group", "levels", "least", "median", "most"])
    return table.assign(balanced=table["least"] == table["most"])


def relations(frame: Frame, groups: Groups) -> Frame:
    """How each two grouping factors stand to each other: nested, fully or partly crossed.

    >>> frame = pd.DataFrame({"a": [1, 1, 2], "b": ["x", "y", "z"]})
    >>> relations(frame, {"b": ["b"], "a": ["a"]})["relation"].tolist()
    ['b is nested in a']
    """
    codes = {label: pd.factorize(levels_of(frame, names))[0] for label, names in groups.items()}
    rows = [_relation(a, b, codes[a], codes[b]) for a, b in combinations(groups, 2)]
    return Frame(rows, columns=["first", "second", "relation", "pairs", "possible"])


def _relation(a: str, b: str, codes_a: Any, codes_b: Any) -> dict[str, Any]:
    of_a, of_b = int(codes_a.max()) + 1, int(codes_b.max()) + 1
    pairs = len(np.unique(codes_a.astype(np.int64) * of_b + codes_b))
    if pairs == of_a * of_b:
        relation = f"{a} and {b} are fully crossed"
    elif pairs in (of_a, of_b):
        relation = f"{a} is nested in {b}" if pairs == of_a else f"{b} is nested in {a}"
    else:
        relation = f"{a} and {b} are partly crossed"
    return {"first": a, "second": b, "relation": relation, "pairs": pairs, "possible": of_a * of_b}


def spacing(frame: Frame, groups: Groups, names: Sequence[str]) -> Frame:
    """How numeric columns move within the levels of each group: constant, or in even or uneven steps.

    >>> frame = pd.DataFrame({"g": list("aab"), "t": [0, 1, 5]})
    >>> spacing(frame, {"g": ["g"]}, ["t"])["steps"].tolist()
    ['even']
    """
    rows = [
        {"column": name, "group": label, **_steps(frame[name], levels_of(frame, columns))}
        for label, columns in groups.items()
        for name in names
    ]
    return Frame(rows, columns=["column", "group", "distinct", "step_min", "step_max", "steps"])


def _steps(values: pd.Series[Any], levels: pd.Series[Any]) -> dict[str, Any]:
    points = Frame({"level": levels.to_numpy(), "value": values.to_numpy(dtype=float)}).drop_duplicates()
    points = points.sort_values(["level", "value"], kind="stable")
    step = points["value"].diff()[points["level"].eq(points["level"].shift())]
    low, high = (float(step.min()), float(step.max())) if len(step) else (np.nan, np.nan)
    steps = "even" if high - low <= EVEN * high else "uneven" if len(step) else "constant in each level"
    return {"distinct": int(values.nunique()), "step_min": low, "step_max": high, "steps": steps}


TABLES = (
    ReportTable(
        "reading", "Lines of the file by what they are.", printed("what lines", what="Lines", lines="Number")
    ),
    ReportTable(
        "codes",
        "Cells that mean a missing value.",
        printed("column code cells"),
    ),
    ReportTable("notices", "What was settled in reading the file.", printed("notice")),
    ReportTable(
        "dropped",
        "Rows of the input by what became of them.",
        printed("status reason rows"),
    ),
    ReportTable(
        "columns",
        "Columns that the study uses, over the rows kept.",
        printed(
            "column role type unit distinct min median max",
            distinct="Distinct values",
            min="Minimum",
            max="Maximum",
        ),
    ),
    ReportTable("missing", facts=_gaps),
    ReportTable(
        "balance",
        "Grouping factors: levels, and rows in a level.",
        printed("group levels least median most", least="Fewest rows", most="Most rows"),
    ),
    ReportTable(
        "relations",
        "How the grouping factors relate.",
        printed("relation pairs possible", pairs="Pairs that occur", possible="Pairs possible"),
    ),
)
