"""Grouping factors in the data: codes of the rows, levels in order, and how two groupings relate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.model.formula.random_terms import Group
from lmmkit.model.table.columns import Table
from lmmkit.model.table.levels import Ints, compress


@dataclass(frozen=True, eq=False)
class Grouping:
    """A grouping factor on the rows used; every level occurs.

    Attributes:
        name: lme4's label: `g`, `cask:batch`.
        codes: (n,) level of each row.
        size: Number of levels.
        parts: For each column of the grouping its levels, and which of them each level has.
    """

    name: str
    codes: Ints
    size: int
    parts: tuple[tuple[Any, Ints], ...]

    @cached_property
    def levels(self) -> pd.Index[str]:
        """Names of the levels: `308`, or `a:A` for an interaction."""
        texts = [level_texts(levels)[which] for levels, which in self.parts]
        joined = texts[0]
        for text in texts[1:]:
            joined = np.array([f"{a}:{b}" for a, b in zip(joined, text, strict=True)], object)
        return pd.Index(joined, dtype="str" if joined.size else object, name=self.name)


def level_texts(levels: Any) -> NDArray[Any]:
    """Levels as text: whole numbers without a decimal point, as R writes them."""
    values = pd.Index(levels).tolist()
    return np.array([f"{level:.15g}" if isinstance(level, float) else str(level) for level in values], object)


def grouping(group: Group, table: Table, rows: NDArray[np.intp] | None) -> Grouping:
    """A grouping factor on the rows used, unused levels left out.

    The levels of an interaction vary fastest in its last column, as in R.
    """
    parts = [_used(table, name, rows) for name in group.names]
    codes, size, levels = parts[0]
    if len(parts) == 1:
        return Grouping(group.label, codes, size, ((levels, np.arange(size)),))
    which = [np.arange(size)]
    for other, width, _ in parts[1:]:
        codes, pairs = _combined(codes, size, other, width)
        size = len(pairs)
        which = [index[pairs // width] for index in which] + [pairs % width]
    sources = [levels for _, _, levels in parts]
    return Grouping(group.label, codes, size, tuple(zip(sources, which, strict=True)))


def _used(table: Table, name: str, rows: NDArray[np.intp] | None) -> tuple[Ints, int, Any]:
    factor = table.factor(name)
    codes = factor.codes if rows is None else factor.codes[rows]
    codes, present = compress(codes, len(factor.levels))
    levels = factor.levels if len(present) == len(factor.levels) else factor.levels[present]
    return codes, len(present), levels


def _combined(left: Ints, size: int, right: Ints, width: int) -> tuple[Ints, Ints]:
    """Codes of the pairs that occur, and for each the number left * width + right."""
    pairs = left * width + right
    if size * width <= 4 * len(pairs) + 65_536:
        return compress(pairs, size * width)
    present, codes = np.unique(pairs, return_inverse=True)
    return codes.astype(np.intp, copy=False), present


def order_of_terms(sizes: Sequence[int]) -> list[int]:
    """lme4's order of the terms: by decreasing number of levels, ties as written."""
    return sorted(range(len(sizes)), key=lambda i: -sizes[i])


def labels_of(names: Sequence[str]) -> list[str]:
    """Names made unique as R does: `g`, `g.1`, `g.2`."""
    taken = set(names)
    seen: dict[str, int] = {}
    labels: list[str] = []
    for name in names:
        if name not in seen:
            seen[name] = 0
            labels.append(name)
            continue
        seen[name] += 1
        while f"{name}.{seen[name]}" in taken:
            seen[name] += 1
        labels.append(f"{name}.{seen[name]}")
        taken.add(labels[-1])
    return labels
