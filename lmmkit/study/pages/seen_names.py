"""What readers see for the names of columns and levels: the labels of a study, in names made of names too."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import pandas as pd

from lmmkit.study.pages.marks import MarkedText, Name

#: Columns of tables whose texts are formulas, sentences and fixed words, no names.
_NO_NAMES = {
    *("candidate", "reference", "formula", "reason", "note", "method", "definition", "adjusted", "interval"),
    *("status", "relation", "role", "type", "unit", "verdict", "check", "threshold", "share", "algorithm"),
    *("what", "notice", "code", "structure"),
}


AT = ", at "


@dataclass(frozen=True)
class Labels:
    """The labels of columns, and of levels by column, and what names of a model as a whole are called.

    >>> labels = Labels({"f": "Treatment"}, {"f": {"b": "Drug B"}})
    >>> [labels.of(name) for name in ("f", "f[T.b]:x", "f: a - b", "(1 | f)", "x, at f b")]
    ['Treatment', 'Treatment: Drug B:x', 'Treatment: a - Drug B', '(1 | f)', 'x, at Treatment Drug B']
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    names: Mapping[str, str] = field(default_factory=dict[str, str])

    def with_names(self, table: pd.DataFrame) -> Labels:
        """With the names of a model too: a table of `name` and what readers see, `seen`."""
        return replace(self, names=dict(zip(table["name"], table["seen"], strict=True)))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        names = "|".join(map(re.escape, sorted({*self.columns, *self.levels}, key=len, reverse=True)))
        level = r"\[(?:[A-Z]\.)?(?P<level>[^\[\]]*)\]"
        return re.compile(rf"(?<![\w.])(?P<name>{names})(?:{level}|(?P<cells>: .*)$|(?![\w.]))")

    @cached_property
    def _places(self) -> re.Pattern[str]:
        """What stands before a level or value at which a name holds: `, at h `, of columns with labels."""
        names = "|".join(map(re.escape, sorted({*self.columns, *self.levels}, key=len, reverse=True)))
        return re.compile(rf"{AT}({names}) ")

    def of(self, name: str) -> str:
        """A name of a column, coefficient, term or cell as readers see it; formulas stay as they are."""
        if name in self.names:
            return self.names[name]
        group, colon, inner = name.partition(": ")
        if colon and inner in self.names:  # a random effect: its group, then what it is of
            return f"{self.of(group)}: {self.names[inner]}"
        if not (self.columns or self.levels) or "|" in name or "~" in name:
            return name
        what, *places = self._places.split(name)
        if places:  # `f: a less b, at h low`
            told = zip(places[::2], places[1::2], strict=True)
            where = (f"{self.of(column)} {self.level(column, level)}" for column, level in told)
            return AT.join([self.of(what), *where])
        if colon and " within " in group and (told := self._within(group, inner)):
            return told
        return self._pattern.sub(self._labelled, name)

    def _within(self, family: str, cell: str) -> str:
        """A mean or a difference of one factor within levels of others: `f within h: a - b, low`."""
        first, _, others = family.partition(" within ")
        names = [first, *others.split(" and ")]
        levels = cell.split(", ")
        if len(levels) != len(names):
            return ""
        within = " and ".join(map(self.of, names[1:]))
        held = [self.level(name, level) for name, level in zip(names[1:], levels[1:], strict=True)]
        compared = " - ".join(self._part(first, level) for level in levels[0].split(" - "))
        return f"{self.of(first)} within {within}: {', '.join([compared, *held])}"

    def _labelled(self, found: re.Match[str]) -> str:
        name, level, cells = found["name"], found["level"], found["cells"]
        label = self.columns.get(name, name)
        if level is not None:
            return f"{label}: {self.level(name, level)}"
        if cells is None:
            return label
        sign = next((sign for sign in (" - ", " less ") if sign in cells), " - ")
        return f"{label}: {sign.join(self._part(name, cell) for cell in cells[2:].split(sign))}"

    def _part(self, name: str, cell: str) -> str:
        """A level of a column, or the column whose effect varies by it; behind it where that holds."""
        known = [level for level in self.levels.get(name, {}) if f"{cell}{AT}".startswith(f"{level}{AT}")]
        level = max(known, key=len, default="")
        return self.level(name, level) + cell.removeprefix(level) if known else self.of(cell)

    def level(self, group: str, level: str) -> str:
        """A level of a column, or of columns joined by colons, as readers see it.

        >>> Labels({}, {"f": {"b": "Drug B"}}).level("g:f", "308:b")
        '308:Drug B'
        """
        names, parts = group.split(":"), level.split(":")
        if len(names) != len(parts):
            names, parts = [group], [level]
        return ":".join(self.levels.get(n, {}).get(part, part) for n, part in zip(names, parts, strict=True))

    def told(self, text: MarkedText) -> MarkedText:
        """A text with its names as readers see them."""
        parts = [Name(self.of(part.text)) if isinstance(part, Name) else part for part in text.parts]
        return MarkedText(tuple(parts))

    def shown(self, table: pd.DataFrame, **levels: str) -> pd.DataFrame:
        """A table with its names as readers see them, for a picture; its numbers stay.

        Args:
            table: The table of a run.
            levels: For columns of the table that hold levels, the grouping that these belong to.
        """
        if not (self.columns or self.levels or self.names):
            return table
        texts = [
            name for name in table if pd.api.types.is_string_dtype(table[name]) or table[name].dtype == object
        ]
        made = {str(name): table[name].map(self._cell) for name in texts if name not in {*_NO_NAMES, *levels}}
        made |= {name: table[name].map(partial(self._level_cell, group)) for name, group in levels.items()}
        if {"group", "level"} <= set(table):
            pairs = zip(table["group"], table["level"], strict=True)
            made["level"] = pd.Series([self._level_cell(str(g), cell) for g, cell in pairs], table.index)
        return table.assign(**made)

    def told_by(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of lines with one column `by` in words for its columns `by <name>`, for a picture.

        >>> Labels({"f": "Dose"}, {}).told_by(pd.DataFrame({"x": [1], "by f": ["a"], "by z": [0.5]}))
           x               by
        0  1  Dose: a, z: 0.5
        """
        names = [str(name) for name in table if str(name).startswith("by ")]
        parts = [self._told_by(name.removeprefix("by "), table[name]) for name in names]
        words = [", ".join(row) for row in zip(*parts, strict=True)] if parts else ""
        return table.drop(columns=names).assign(by=words)

    def _told_by(self, name: str, cells: pd.Series[Any]) -> list[str]:
        plain = [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells]
        return [f"{self.of(name)}: {self.level(name, cell)}" for cell in plain]

    def headed(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table whose columns are called by names, as readers see them."""
        return table.set_axis([self.of(str(name)) for name in table], axis=1)

    def _cell(self, cell: Any) -> Any:
        return self.of(cell) if isinstance(cell, str) else cell

    def _level_cell(self, group: str, cell: Any) -> Any:
        return self.level(group, cell) if isinstance(cell, str) else cell

    def cell(self, column: str, text: str) -> str:
        """The text of a cell of a printed table."""
        return text if column in _NO_NAMES else self.of(text)


#: Of a study that gives none.
NO_LABELS = Labels()


def labels_of(columns: Mapping[str, Mapping[str, Any]]) -> Labels:
    """The labels in the columns of a study, as plain data."""
    return Labels(
        {name: spec["label"] for name, spec in columns.items() if spec.get("label")},
        {name: spec["labels"] for name, spec in columns.items() if spec.get("labels")},
    )
