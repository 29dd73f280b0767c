"""Marginal means and slopes over a reference grid, side by side, and comparisons among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import block_diag

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.model.design.design import Design
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.alternatives import TWO_SIDED, Alternative, alternative
from lmmkit.model.inference.degrees_of_freedom import Denominators, denominators
from lmmkit.model.inference.distributions import t_quantile
from lmmkit.model.inference.linear_functions import combined, estimable, linear_table, linear_tests
from lmmkit.model.inference.multiplicity import adjusted_alone, check_adjust
from lmmkit.model.means.comparison_display import compact_letters, comparison_arrows
from lmmkit.model.means.contrast_families import (
    FAMILIES,
    PAIRS,
    Contrasts,
    check_family,
    given_contrasts,
    interaction_contrasts,
    named_contrasts,
)
from lmmkit.model.means.grid_weights import WEIGHTS, averaging, nested_in
from lmmkit.model.means.reference_grid import STEP, Grid, Reduce, reference_grid
from lmmkit.model.means.response_scale import ResponseScale, response_scale
from lmmkit.model.options import check_level, check_option, names_of
from lmmkit.model.table.grouping import level_texts
from lmmkit.model.variance_parts import spread_of, total_sd

Scale = Literal["model", "response"]


def marginal_means(
    estimates: Estimates,
    *,
    specs: str | Sequence[str],
    by: str | Sequence[str] | None,
    df: str,
    weights: str,
    at: Mapping[str, Sequence[Any]] | None,
    level: float,
    cov_reduce: Reduce | Mapping[str, Reduce] = "mean",
    kind: Scale = "model",
    bias_adjust: bool = False,
    sigma: float | None = None,
    slope_of: str | None = None,
) -> MarginalMeans:
    """Means of the response, or slopes, over the reference grid at each combination of some variables.

    A slope is a central difference over a thousandth of the covariate's range: exact where the mean is linear
    or quadratic in it.

    Args:
        estimates: The fit.
        specs: Variables whose values are told apart.
        by: Variables within whose values they are compared; those that a spec is nested in are added.
        df: Denominator degrees of freedom.
        weights: How the other points are averaged, one of `WEIGHTS`.
        at: Values of variables in place of all levels or of the mean.
        level: Coverage of the intervals.
        cov_reduce: What stands for a covariate.
        kind: Scale of the means: the model's, or the response's where the model's is a transformation.
        bias_adjust: On the scale of the response, whether means of the response are wanted (to second order)
            and not its values at the means of the transformed one.
        sigma: Standard deviation of the transformed response about its mean, for that; by default the total.
        slope_of: A covariate along which slopes are wanted; None for means.

    Raises:
        FitError: A variable that the fixed part does not have, a slope along a factor, or an option that is
            not offered.

    Reference: Searle, Speed & Milliken (1980); emmeans for the grid.
    """
    check_option("weights", weights, WEIGHTS)
    check_option("type", kind, ("model", "link", "response"))
    check_level("level", level)
    scale = response_scale(estimates.design.recipe.formula.response) if kind == "response" else None
    variance = _variance(estimates, scale, bias_adjust, sigma)
    grid = reference_grid(estimates.design, at, cov_reduce)
    told, groups = variable_names(specs, grid), variable_names(by, grid)
    if not len(estimates.beta):
        raise FitError("The fixed part has no coefficient, so there is no mean to estimate.")
    X, offset = (grid.X, grid.offset) if slope_of is None else _slopes(estimates, grid, slope_of)
    of = grid_averages(estimates.design, grid, np.column_stack([X, offset]), told, groups, weights)
    rows, possible = estimable(of.values[:, :-1], estimates)
    by_df = denominators(estimates, df)
    family = Family(
        estimates, by_df, rows, possible & of.known, of.values[:, -1], told, of.groups, of.cells, level,
        scale, variance,
    )  # fmt: skip
    name = "slope" if slope_of is not None else "mean" if scale is None else "response"
    table = MarginalMeans(family.table(name))
    table.family = family
    table.attrs.update(method=by_df.told, level=level, trouble=family.trouble)
    return table


class Averages(NamedTuple):
    """Averages of a grid's points, one for each combination of some axes' values.

    Attributes:
        values: (m, columns) averages.
        known: (m,) whether any point counts.
        cells: The combinations, specs and groups as columns.
        groups: Variables within whose values the others are compared.
    """

    values: Floats
    known: NDArray[np.bool_]
    cells: pd.DataFrame
    groups: tuple[str, ...]


def grid_averages(
    design: Design, grid: Grid, values: Floats, specs: Sequence[str], by: Sequence[str], weights: str
) -> Averages:
    """Averages over the axes that are not asked for.

    Args:
        design: Whose rows weigh the points.
        grid: The grid.
        values: (points, columns) what is averaged.
        specs: Variables whose values are told apart.
        by: Variables within whose values they are compared; those that a spec is nested in are added.
        weights: As in `averaging`.

    Raises:
        FitError: A variable is named twice.
    """
    told, nests = tuple(specs), nested_in(design, grid)
    twice = [name for name in {*told, *by} if (*told, *by).count(name) > 1]
    if twice:
        raise FitError(f"`{twice[0]}` is named twice in specs and by; name each variable once.")
    outer = [name for inner in (*told, *by) for name in nests.get(inner, ())]
    groups = (*by, *dict.fromkeys(name for name in outer if name not in (*told, *by)))
    kept = [grid.position(name) for name in (*told, *groups)][::-1]
    of = averaging(design, grid, kept, weights)
    order = [*kept, *(i for i in range(len(grid.axes)) if i not in kept)]
    both = values.reshape(*grid.shape, -1).transpose(*order, len(grid.shape))
    made = np.einsum("mr,mrp->mp", np.nan_to_num(of.W), both.reshape(*of.W.shape, values.shape[-1]))
    known = np.asarray(~np.isnan(of.W[of.exists]).any(axis=1))
    return Averages(made[of.exists], known, _cells(grid, kept)[of.exists].reset_index(drop=True), groups)


def _variance(
    estimates: Estimates, scale: ResponseScale | None, bias_adjust: bool, sigma: float | None
) -> float:
    """Of the transformed response about its mean, where that is to be allowed for; else 0."""
    if not bias_adjust and sigma is None:
        return 0.0
    if scale is None or not bias_adjust:
        raise FitError(
            "bias_adjust=True and its sigma are for means on the scale of a transformed response: give "
            "type='response' and bias_adjust=True, or leave both out."
        )
    if sigma is None:
        return total_sd(estimates) ** 2
    if isinstance(sigma, (bool, str)) or not 0.0 <= float(sigma) < np.inf:
        raise FitError(f"sigma={sigma!r}: a standard deviation is a number from 0 up.")
    return float(sigma) ** 2


def variable_names(given: Any, grid: Grid) -> tuple[str, ...]:
    """Variables as they are called in the data, whether they were given in back-quotes or not."""
    if given is None:
        return ()
    names: list[Any] = [given] if isinstance(given, str) or not hasattr(given, "__iter__") else list(given)
    for name in names:
        if not isinstance(name, str):
            raise FitError(f"{name!r} is no name: variables are named by text.")
    found = tuple(map(grid.named, names))
    for name in found:
        if name not in grid.names and any(mark in name for mark in "~|"):
            raise FitError(f"`{name}`: write the variable alone; what stands after the bar goes into `by`.")
    return found


def _slopes(estimates: Estimates, grid: Grid, variable: str) -> tuple[Floats, Floats]:
    """Derivatives of the columns of X and of the offset along a covariate."""
    variable = grid.named(variable)
    values = grid.axes[grid.position(variable)].values
    if not all(isinstance(value, (int, float, np.number)) for value in values):
        raise FitError(f"`{variable}` is a factor, which has no slope: take its marginal means instead.")
    step = STEP * float(np.ptp(estimates.design.frame[variable].to_numpy(float))) / 2.0
    up, down = grid.moved(variable, step), grid.moved(variable, -step)
    return (up.X - down.X) / (2.0 * step), (up.offset - down.offset) / (2.0 * step)


def _cells(grid: Grid, kept: list[int]) -> pd.DataFrame:
    """The combinations of some axes' values, the last varying fastest; the columns in reverse order."""
    if not kept:
        return pd.DataFrame({"cell": ["overall"]})
    axes = [grid.axes[i] for i in kept]
    product = pd.MultiIndex.from_product([axis.labels for axis in axes], names=[axis.name for axis in axes])
    return product.to_frame(index=False).iloc[:, ::-1]


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
        scale: The response's transformation, where its own scale is wanted.
        variance: Of the transformed response about its mean, where that is allowed for.
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
    scale: ResponseScale | None = None
    variance: float = 0.0

    def table(self, name: str) -> pd.DataFrame:
        """The functions themselves: `name`, se, df, low, high; NaN for what cannot be estimated."""
        table = linear_table(
            self.labels,
            self.L,
            self.estimates,
            self.by,
            self.level,
            offset=self.offset,
            possible=self.possible,
        )
        if self.scale is not None:
            value, slope = self.scale.back(table["estimate"].to_numpy(), self.variance)
            bounds = {
                end: self.scale.back(table[end].to_numpy(), self.variance).value for end in ("low", "high")
            }
            table = table.assign(estimate=value, se=slope * table["se"], **bounds)
        return table.rename(columns={"estimate": name})[[name, "se", "df", "low", "high"]]

    @property
    def sign(self) -> str:
        """What stands between two means in the label of their contrast."""
        return "/" if self.scale is not None and self.scale.is_log else "-"

    @property
    def trouble(self) -> str:
        """Which functions are NaN, and why; empty without any."""
        bad = [self.names(np.array([i]))[0] or "overall" for i in np.flatnonzero(~self.possible)]
        if not bad:
            return ""
        return (
            f"{len(bad)} of {len(self.L)} cannot be estimated and are NaN: {', '.join(bad[:5])}"
            f"{', ...' if len(bad) > 5 else ''}. They need combinations of levels that no row of the fit has."
        )

    def plain(self) -> MarginalMeans:
        """Its table on the scale of the model."""
        family = replace(self, scale=None, variance=0.0)
        table = MarginalMeans(family.table("mean"))
        table.family = family
        return table

    def compare(self, weigh: Weigh, asked: Testing) -> pd.DataFrame:
        """Contrasts of the functions within each group: estimate, se, df, t, p, low, high."""
        blocks = [(where, weigh(self, where)) for where in self.blocks()]
        together = [blocks] if asked.family == "all" else [[block] for block in blocks]
        table = pd.concat([self._family(parts, asked) for parts in together])
        if asked.across != "none":
            table["p"] = _across(table["p"].to_numpy(), [len(made.C) for _, made in blocks], asked.across)
        attrs = {"adjust": asked.adjust} | ({"across": asked.across} if asked.across != "none" else {})
        table.attrs.update(method=self.by.told, level=self.level, trouble=self.trouble, **attrs)
        return table

    @property
    def labels(self) -> pd.Index[Any]:
        """The rows of its table."""
        return _index(self.cells)

    def take(self, where: NDArray[np.intp]) -> Family:
        """Some of the functions."""
        cells = self.cells.iloc[where].reset_index(drop=True)
        parts = {"L": self.L[where], "possible": self.possible[where], "offset": self.offset[where]}
        return replace(self, cells=cells, **parts)

    def blocks(self) -> list[NDArray[np.intp]]:
        """Positions of the functions of each group."""
        if not self.groups:
            return [np.arange(len(self.L))]
        codes = self.cells.groupby(list(self.groups), sort=False, observed=True).ngroup().to_numpy()
        return [np.flatnonzero(codes == code) for code in range(codes.max(initial=-1) + 1)]

    @property
    def value(self) -> Floats:
        """(m,) the functions on the scale of the model."""
        return self.L @ self.estimates.beta + self.offset

    def pairs(self) -> Iterator[tuple[NDArray[np.intp], slice]]:
        """Positions of the functions of each group, and those of its pairs among all pairs."""
        first = 0
        for where in self.blocks():
            count = len(where) * (len(where) - 1) // 2
            yield where, slice(first, first + count)
            first += count

    def _family(self, parts: Sequence[tuple[NDArray[np.intp], Contrasts]], asked: Testing) -> pd.DataFrame:
        """The contrasts of some groups, adjusted together."""
        frames = [
            pd.DataFrame(made.labels, columns=pd.Index(made.names)).assign(
                **{name: self.cells[name].iloc[where[0]] for name in self.groups}
            )
            for where, made in parts
        ]
        where, C = self._weights(parts)
        table = linear_table(
            _index(pd.concat(frames, ignore_index=True)),
            combined(C, self.L[where]),
            self.estimates,
            self.by,
            self.level,
            adjust=asked.adjust,
            **self._tested(where, C, asked),
        )
        return self._as_ratios(table, C)

    @staticmethod
    def _weights(parts: Sequence[tuple[NDArray[np.intp], Contrasts]]) -> tuple[NDArray[np.intp], Floats]:
        """Positions of the functions of some groups, and all contrasts on them."""
        where = np.concatenate([where for where, _ in parts])
        return where, np.asarray(block_diag(*(made.C for _, made in parts)), np.float64)

    def _tested(self, where: NDArray[np.intp], C: Floats, asked: Testing) -> dict[str, Any]:
        """How contrasts of some functions are tested, as `linear_tests` takes it."""
        return {
            "offset": C @ self.offset[where],
            "possible": ~((C != 0.0) & ~self.possible[where]).any(axis=1),
            "null": asked.null,
            "against": asked.against,
            "means": len(where),
        }

    def p_values(self, weigh: Weigh, asked: Testing) -> Floats:
        """P-values of the contrasts within each group, each group a family: those of `compare`, alone."""
        found = list[Floats]()
        for where in self.blocks():
            where, C = self._weights([(where, weigh(self, where))])
            L, options = combined(C, self.L[where]), self._tested(where, C, asked)
            tests = linear_tests(L, self.estimates, self.by, **options)
            found.append(tests.family.adjusted(asked.adjust).p)
        return np.concatenate(found)

    def _as_ratios(self, table: pd.DataFrame, C: Floats) -> pd.DataFrame:
        """On the response's scale differences of logarithms are ratios; other contrasts stay as they are."""
        if (
            self.scale is None
            or not self.scale.is_log
            or np.abs(C.sum(axis=1)).max() > 1e-9 * np.abs(C).max()
        ):
            return table
        value, slope = self.scale.ratio(table["estimate"].to_numpy())
        others = {
            n: self.scale.ratio(table[n].to_numpy()).value for n in ("low", "high", "null") if n in table
        }
        table = table.assign(estimate=value, se=slope * table["se"], **others)
        return table.rename(columns={"estimate": "ratio"})

    def names(self, where: NDArray[np.intp]) -> list[str]:
        """The values of specs in some cells, each as one text."""
        rows = self.cells.iloc[where]
        return [" ".join(level_texts(row)) for row in rows[list(self.specs)].itertuples(index=False)]

    def levels(self, where: NDArray[np.intp]) -> dict[str, list[str]]:
        """The values of each spec in some cells, which are all their combinations.

        Raises:
            FitError: They are not.
        """
        rows = self.cells.iloc[where]
        found = {name: list(dict.fromkeys(level_texts(rows[name]))) for name in self.specs}
        full = (
            pd.MultiIndex.from_product(list(found.values())[::-1]) if found else pd.MultiIndex.from_tuples([])
        )
        mine = list(zip(*(level_texts(rows[name]) for name in reversed(self.specs)), strict=True))
        if list(full) != mine:
            raise FitError(
                "Interaction contrasts need every combination of the levels, in the table's own order: this "
                "table has some of them."
            )
        return found


Weigh = Callable[[Family, NDArray[np.intp]], Contrasts]


@dataclass(frozen=True)
class Testing:
    """How contrasts are tested.

    Attributes:
        adjust: Adjustment within a family.
        family: "by" for one family in each value of `by`, "all" for one of all contrasts.
        across: Adjustment of the p-values of each contrast across the values of `by`, on top.
        null: The value tested.
        against: The alternative.
    """

    adjust: str
    family: str = "by"
    across: str = "none"
    null: float = 0.0
    against: Alternative = TWO_SIDED


def _across(p: Floats, counts: Sequence[int], adjust: str) -> Floats:
    """P-values of each contrast adjusted across the groups, which have as many each."""
    if len(set(counts)) > 1:
        raise FitError(
            "cross_adjust compares one contrast across the values of `by`, and these have different "
            "contrasts: use family='all' instead."
        )
    return np.stack([adjusted_alone(own, adjust) for own in p.reshape(-1, counts[0]).T], axis=1).ravel()


def _index(cells: pd.DataFrame) -> pd.Index[Any]:
    if cells.shape[1] == 1:
        return pd.Index(cells.iloc[:, 0], name=cells.columns[0])
    return pd.MultiIndex.from_frame(cells)


class MarginalMeans(pd.DataFrame):
    """Marginal means (or slopes) by the values of some variables, with their comparisons.

    A DataFrame `mean` (or `slope`, or `response` on the scale of a transformed response), `se`, `df`, `low`,
    `high`; `attrs["trouble"]` says which are NaN and why. What pandas makes of it (rounded, sorted, some
    rows) compares the means whose rows it has, with all their digits.
    """

    _metadata = ["family"]  # noqa: RUF012  pandas' own protocol
    family: Family | None = None

    @property
    def _constructor(self) -> Callable[..., MarginalMeans]:
        return MarginalMeans

    @property
    def shown(self) -> Family:
        """The means whose rows the table has.

        Raises:
            FitError: It has other rows.
        """
        known = self.family
        where = np.array([-1]) if known is None else known.labels.get_indexer(self.index)
        if known is None or (where < 0).any() or len(set(where)) < len(where):
            raise FitError(
                "The rows of this table are no longer those of marginal_means(), so it cannot tell what to "
                "compare: ask the table that marginal_means() gave, or some of its rows."
            )
        return known.take(where)

    def pairs(self, adjust: str = "tukey", **options: Any) -> pd.DataFrame:
        """All differences, the first less the second: estimate, se, df, t, p, low, high.

        Args:
            adjust: As for `contrast`.
            options: Others of `contrast`.

        Raises:
            FitError: An option that is not offered, or one mean only.
        """
        return self.contrast("pairwise", adjust, **options)

    def contrast(
        self,
        method: str | Mapping[str, Sequence[float]] | Sequence[float] | None = None,
        adjust: str | None = None,
        *,
        ref: str | Sequence[str] | None = None,
        interaction: str | Sequence[str] | None = None,
        family: str = "by",
        cross_adjust: str = "none",
        null: float = 0.0,
        side: str = "two-sided",
        delta: float = 0.0,
    ) -> pd.DataFrame:
        """Contrasts of the means within each value of `by`: estimate, se, df, t, p, low, high.

        On the scale of a response whose logarithm was modelled contrasts are ratios, in a column `ratio`, and
        tested on the scale of the model (of log1p: ratios of 1 + y); those of square roots stay on it.

        Args:
            method: "pairwise", "revpairwise", "consec" (each less the one before), "trt.vs.ctrl" (each less
                the control `ref`), "trt.vs.ctrlk" (less the last), "eff" (less the mean of all), "del.eff"
                (less the mean of the others), "mean_chg" (mean after less mean before), "poly" or "identity";
                or one number per mean, or such by label.
            adjust: tukey (for pairs), dunnett (for comparisons with a control), mvt (multivariate t, as
                dunnett; the numerical error is in `p_error`), scheffe, sidak, bonferroni, holm, hochberg,
                hommel, BH, BY or none; by default tukey for pairs, dunnett for comparisons with a control,
                mvt for consec and mean_chg, BH for eff and del.eff, else none. The intervals of stepwise
                methods are bonferroni's.
            ref: The control, or several whose mean it is; by default the first.
            interaction: A family for each of specs, or one for all: their products, in place of `method`.
            family: What is adjusted together: the contrasts "by" each value of `by`, or "all".
            cross_adjust: Adjustment of p across the values of `by`, on top: bonferroni, sidak, holm,
                hochberg, hommel, BH, BY or none.
            null: The value tested, on the scale of the model.
            side: As in `Fit.contrast`.
            delta: As in `Fit.contrast`, on the scale of the model.

        Raises:
            FitError: Not as many numbers as there are means, or an option that is not offered.

        References:
            The families as in the R package emmeans; Dunnett (1955); Hothorn, Bretz & Westfall (2008).

        >>> from lmmkit import lmm
        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> means = fit.marginal_means("x", at={"x": [0, 1, 2]})
        >>> means.contrast("poly")["estimate"].round(3).to_dict()
        {'linear': 4.333, 'quadratic': 0.0}
        """
        weigh, asked = self._asked(
            method,
            adjust,
            ref=ref,
            interaction=interaction,
            family=family,
            cross_adjust=cross_adjust,
            null=null,
            side=side,
            delta=delta,
        )
        return self.shown.compare(weigh, asked)

    def _asked(
        self,
        method: str | Mapping[str, Sequence[float]] | Sequence[float] | None,
        adjust: str | None,
        *,
        ref: str | Sequence[str] | None = None,
        interaction: str | Sequence[str] | None = None,
        family: str = "by",
        cross_adjust: str = "none",
        null: float = 0.0,
        side: str = "two-sided",
        delta: float = 0.0,
    ) -> tuple[Weigh, Testing]:
        """What `contrast` is asked for.

        Raises:
            FitError: An option that is not offered.
        """
        weigh, own = _weigher(method, ref, interaction)
        against = alternative(side, delta)
        chosen = check_adjust(own if adjust is None else adjust, against)
        if chosen == "tukey" and (method not in PAIRS or (family == "all" and len(self.shown.blocks()) > 1)):
            raise FitError(
                "adjust='tukey' is for all pairs of one set of means; use mvt, sidak, holm, bonferroni or "
                "none here."
            )
        if chosen == "dunnett" and not str(method).startswith("trt.vs.ctrl"):
            raise FitError(
                "adjust='dunnett' is for comparisons with a control; mvt is the same for any contrasts."
            )
        check_option("family", family, ("by", "all"))
        if check_adjust(cross_adjust) in ("tukey", "dunnett", "mvt", "scheffe"):
            raise FitError(
                f"cross_adjust={cross_adjust!r}: choose sidak, bonferroni, holm, hochberg, hommel, BH, BY or "
                "none."
            )
        return weigh, Testing(chosen, family, cross_adjust, _null(null), against)

    def letters(self, adjust: str = "tukey", alpha: float = 0.05) -> pd.DataFrame:
        """The means in order of size with a column `letters`: those that share a letter do not differ.

        Args:
            adjust: Adjustment of the pairs' p-values, as for `contrast`.
            alpha: The level at which two means differ.

        Raises:
            FitError: An option that is not offered.

        Reference: Piepho (2004), An algorithm for a letter-based representation of all-pairwise comparisons.

        >>> from lmmkit import lmm
        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.marginal_means("x", at={"x": [0, 1, 2]}).letters()["letters"].to_dict()
        {0: 'a', 1: 'b', 2: 'c'}
        """
        check_level("alpha", alpha)
        weigh, asked = self._asked("pairwise", adjust)
        family = self.shown
        size, p, parts = family.value, family.p_values(weigh, asked), list[pd.DataFrame]()
        for where, own in family.pairs():
            differ = np.zeros((len(where), len(where)), bool)
            differ[np.triu_indices(len(where), 1)] = p[own] < alpha
            order = np.argsort(np.where(family.possible[where], size[where], np.inf), kind="stable")
            told = np.array(compact_letters((differ | differ.T)[np.ix_(order, order)]), object)
            told[~family.possible[where[order]]] = ""
            parts.append(pd.DataFrame(self).iloc[where[order]].assign(letters=told))
        table = pd.concat(parts)
        table.attrs.update(self.attrs | {"adjust": adjust, "alpha": alpha})
        return table

    def arrows(self, adjust: str = "tukey", alpha: float = 0.05) -> pd.DataFrame:
        """The means with comparison arrows: `left` and `right` ends, which overlap where two do not differ.

        `attrs["trouble"]` names the pairs of which the arrows do not say what their test does. An end to the
        side where there is no other mean is NaN. For `lmmkit.plots.comparison_arrows`.

        Args:
            adjust: Adjustment of the pairs' intervals, as for `contrast`.
            alpha: The level at which two means differ.

        Raises:
            FitError: An option that is not offered.

        Reference: The comparison arrows of the R package emmeans.
        """
        check_level("alpha", alpha)
        family = replace(self.shown, level=1.0 - alpha)
        size, pairs = family.value, family.plain().pairs(adjust)
        half = ((pairs["high"] - pairs["low"]) / 2.0).to_numpy()
        ends, trouble = np.full((2, len(size)), np.nan), list[str]()
        for where, own in family.pairs():
            made = comparison_arrows(size[where], half[own])
            ends[:, where] = made.left, made.right
            trouble += [str(pairs.index[own][at]) for at in made.wrong]
        if family.scale is not None:
            ends = family.scale.back(ends, family.variance).value
        table = pd.DataFrame(self).assign(left=ends[0], right=ends[1])
        told = f"The arrows do not show what the tests say of {', '.join(trouble)}." if trouble else ""
        table.attrs.update(self.attrs | {"adjust": adjust, "alpha": alpha, "trouble": told})
        return table

    def effect_sizes(
        self, method: str = "pairwise", *, sigma: float | None = None, edf: float | None = None
    ) -> pd.DataFrame:
        """Contrasts over a standard deviation: estimate, se, df, low, high.

        Args:
            method: As for `contrast`.
            sigma: The standard deviation; by default the total one, random effects included.
            edf: Its degrees of freedom, which widen `se`; by default Satterthwaite's for the total one.

        Raises:
            FitError: An option that is not offered; sigma without its edf, or means on the response's scale.

        References: Westfall, Kenny & Judd (2014) for sigma; emmeans' eff_size for the standard error.

        >>> from lmmkit import lmm
        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.marginal_means("x", at={"x": [0, 1]}).effect_sizes().round(2)["estimate"].to_dict()
        {'0 - 1': -0.68}
        """
        family = self.shown
        if family.scale is not None:
            raise FitError("Effect sizes are on the scale of the model: leave type='response' out.")
        spread = spread_of(family.estimates, sigma, edf)
        table = family.plain().contrast(method, "none")
        d, df = table["estimate"] / spread.sd, table["df"].to_numpy()
        se = np.sqrt((table["se"] / spread.sd) ** 2 + d**2 / (2.0 * spread.df))
        half = t_quantile(0.5 + family.level / 2.0, df) * se
        sizes = pd.DataFrame({"estimate": d, "se": se, "df": df, "low": d - half, "high": d + half})
        sizes.attrs.update(method=family.by.told, level=family.level, sigma=spread.sd, edf=spread.df)
        return sizes


def _null(null: Any) -> float:
    if isinstance(null, (bool, str)) or not np.isscalar(null) or not np.isfinite(float(null)):  # pyright: ignore[reportArgumentType]
        raise FitError(f"null={null!r:.60}: a finite number is expected.")
    return float(null)  # pyright: ignore[reportArgumentType]


def _weigher(method: Any, ref: Any, interaction: Any) -> tuple[Weigh, str]:
    """The contrasts asked for, and the adjustment that goes with them."""
    if interaction is not None:
        if method is not None or ref is not None:
            raise FitError("interaction names the family of each variable: leave method and ref out.")
        return _products(interaction), "none"
    if ref is not None and method != "trt.vs.ctrl":
        raise FitError("ref is the control of method='trt.vs.ctrl': leave it out, or use that.")
    if isinstance(method, str):
        name = method
        check_family(name)
        return lambda family, where: named_contrasts(name, family.names(where), ref, family.sign), FAMILIES[
            name
        ][1]
    if method is None:
        raise FitError(f"contrast() needs a family of contrasts or numbers. Families: {', '.join(FAMILIES)}.")
    return lambda family, where: given_contrasts(method, family.names(where)), "none"


def _products(interaction: Any) -> Weigh:
    """Products of a family for each of specs."""
    names = names_of("interaction", interaction)
    for name in names:
        check_family(name)

    def made(family: Family, where: NDArray[np.intp]) -> Contrasts:
        if len(names) not in (1, len(family.specs)):
            raise FitError(
                f"interaction names {len(names)} families, and specs has {len(family.specs)} variables: give "
                "one for each, or one for all."
            )
        # The table's first variable varies fastest; products are made with the last one fastest.
        levels = family.levels(where)
        each = names * len(levels) if len(names) == 1 else names
        found = interaction_contrasts(each[::-1], dict(reversed(levels.items())), family.sign)
        return Contrasts([label[::-1] for label in found.labels], found.C, found.names[::-1])

    return made
