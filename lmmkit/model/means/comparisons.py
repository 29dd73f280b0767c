"""Linear functions of the fixed effects side by side: their table, and comparisons among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.degrees_of_freedom import Denominators
from lmmkit.model.inference.multiplicity import ADJUSTMENTS, adjusted_p, critical
from lmmkit.model.inference.wald import linear_table
from lmmkit.model.options import check_option
from lmmkit.model.table.grouping import level_texts


@dataclass(frozen=True, eq=False)
class Family:
    """Linear functions of the coefficients, one per combination of some variables' values.

    Attributes:
        estimates: The fit.
        by: Degrees of freedom.
        L: (m, p) on the kept coefficients.
        possible: (m,) which of them the data can estimate.
        offset: (m,) known part of each.
        specs: Variables whose values are compared.
        groups: Variables within whose values they are compared.
        cells: The combinations, specs and groups as columns.
        level: Coverage of the intervals.
    """

    estimates: Estimates
    by: Denominators
    L: Floats
    possible: NDArray[np.bool_]
    offset: Floats
    specs: tuple[str, ...]
    groups: tuple[str, ...]
    cells: pd.DataFrame
    level: float

    def table(self, name: str) -> pd.DataFrame:
        """The functions themselves: `name`, se, df, low, high; NaN for what cannot be estimated."""
        table = linear_table(_index(self.cells), self.L, self.estimates, self.by, self.level)
        shifted = table.assign(**{c: table[c] + self.offset for c in ("estimate", "low", "high")})
        shifted.loc[~self.possible] = np.nan
        return shifted.rename(columns={"estimate": name})[[name, "se", "df", "low", "high"]]

    def compare(self, weights: Callable[[int], tuple[list[str], Floats]], adjust: str) -> pd.DataFrame:
        """Contrasts of the functions within each group: estimate, se, df, t, p, low, high."""
        check_option("adjust", adjust, ADJUSTMENTS)
        return pd.concat([self._within(where, weights, adjust) for where in self._blocks()])

    def _blocks(self) -> list[NDArray[np.intp]]:
        """Positions of the functions of each group."""
        if not self.groups:
            return [np.arange(len(self.L))]
        codes = self.cells.groupby(list(self.groups), sort=False, observed=True).ngroup().to_numpy()
        return [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]

    def _within(
        self, where: NDArray[np.intp], weights: Callable[[int], tuple[list[str], Floats]], adjust: str
    ) -> pd.DataFrame:
        labels, C = weights(len(where))
        index = _index(self._labelled(labels, where))
        table = linear_table(index, C @ self.L[where], self.estimates, self.by, self.level)
        table.loc[((C != 0.0) & ~self.possible[where]).any(axis=1)] = np.nan
        offset = C @ self.offset[where]
        table["estimate"] += offset
        table["t"] = table["estimate"] / table["se"]
        t, df = table["t"].to_numpy(), table["df"].to_numpy()
        half = critical(df, self.level, adjust, len(where)) * table["se"]
        p = adjusted_p(t, df, adjust, len(where))
        table = table.assign(p=p, low=table["estimate"] - half, high=table["estimate"] + half)
        table.attrs.update(adjust=adjust)
        return table

    def _labelled(self, labels: list[str], where: NDArray[np.intp]) -> pd.DataFrame:
        """Labels of contrasts beside the values of the group."""
        named = pd.DataFrame({"contrast": labels})
        return named.assign(**{name: self.cells[name].iloc[where[0]] for name in self.groups})

    def names(self) -> list[str]:
        """The values of specs in each cell of the first group, as one text."""
        rows = self.cells.iloc[self._blocks()[0]]
        return [" ".join(level_texts(row)) for row in rows[list(self.specs)].itertuples(index=False)]


def _index(cells: pd.DataFrame) -> pd.Index[Any]:
    if cells.shape[1] == 1:
        return pd.Index(cells.iloc[:, 0], name=cells.columns[0])
    return pd.MultiIndex.from_frame(cells)


class MarginalMeans(pd.DataFrame):
    """Marginal means (or slopes) by the values of some variables, with their comparisons.

    A DataFrame `mean` (or `slope`), `se`, `df`, `low`, `high`.
    """

    _metadata = ["family"]  # noqa: RUF012  pandas' own protocol
    family: Family

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def pairs(self, adjust: str = "tukey") -> pd.DataFrame:
        """All differences, the first less the second: estimate, se, df, t, p, low, high.

        Args:
            adjust: tukey, holm, bonferroni, sidak or none, for p-values and intervals, within each value of
                `by`; the intervals of holm are bonferroni's.

        Raises:
            FitError: An adjustment that is not offered, or one mean only.
        """
        names = self.family.names()
        if len(names) < 2:
            raise FitError("pairs() needs two means or more; this table has one per group.")
        return self.family.compare(lambda count: _pairs(names, count), adjust)

    def contrast(
        self, weights: Mapping[str, Sequence[float]] | Sequence[float], adjust: str = "none"
    ) -> pd.DataFrame:
        """Linear combinations of the means within each value of `by`.

        Args:
            weights: One number per mean, or such by label.
            adjust: holm, bonferroni, sidak or none.

        Raises:
            FitError: Not as many weights as there are means, or an adjustment that is not offered.
        """
        if adjust == "tukey":
            raise FitError("adjust='tukey' is for all pairs; use sidak, holm, bonferroni or none here.")
        given = weights if isinstance(weights, Mapping) else {"contrast": weights}
        return self.family.compare(lambda count: _given(given, count), adjust)


def _pairs(names: list[str], count: int) -> tuple[list[str], Floats]:
    """Labels and weights of all differences."""
    pairs = list(combinations(range(count), 2))
    C = np.zeros((len(pairs), count))
    for row, (i, j) in zip(C, pairs, strict=True):
        row[i], row[j] = 1.0, -1.0
    return [f"{names[i]} - {names[j]}" for i, j in pairs], C


def _given(weights: Mapping[str, Sequence[float]], count: int) -> tuple[list[str], Floats]:
    """Labels and weights as the user gave them."""
    if not weights:
        raise FitError("contrast() was given no combination: one or more are expected.")
    return [str(label) for label in weights], np.array([_row(*item, count) for item in weights.items()])


def _row(label: str, given: Any, count: int) -> Floats:
    """One combination's weights, checked."""
    try:
        row = np.array(list(given), dtype=np.float64)
    except (TypeError, ValueError):
        raise FitError(
            f"contrast `{label}`: {count} numbers are expected, one for each mean, not {given!r:.60}."
        ) from None
    if len(row) != count:
        raise FitError(f"contrast `{label}` has {len(row)} weights for {count} means: give one for each.")
    if not np.isfinite(row).all() or not row.any():
        raise FitError(f"contrast `{label}` needs finite weights that are not all zero.")
    return row
