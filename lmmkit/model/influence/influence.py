"""What a fit owes to each row, or each level of a factor: the fit without it, and what it would say then."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.influence.deletion import Deletions, RowSets, deletions
from lmmkit.engine.influence.geometry import Geometry, geometry
from lmmkit.engine.influence.newton_step import MOST_WORK, NewtonSteps, Stepped
from lmmkit.engine.influence.remaining import refit_seconds
from lmmkit.errors import FitError
from lmmkit.escape import html, terminal
from lmmkit.model import tables
from lmmkit.model.estimates import Estimates
from lmmkit.model.fit import Fit
from lmmkit.model.inference.anova import joint_test
from lmmkit.model.inference.degrees_of_freedom import BY_LEVELS, denominators
from lmmkit.model.inference.distributions import f_tail
from lmmkit.model.inference.linear_functions import combinations
from lmmkit.model.influence.conclusions import Conclusions, conclusions
from lmmkit.model.influence.left_out import ROWS, LeftOut, left_out
from lmmkit.model.influence.without_unit import FocusTest, Without, focus_test, p_of, refit
from lmmkit.model.leverage import row_pulls
from lmmkit.model.means.focus import Focus, find_focus, interaction_rows, is_factor
from lmmkit.model.options import check_level, whole
from lmmkit.model.report_tables.about_answer import one_number
from lmmkit.model.text_table import TextTable
from lmmkit.model.threads import one_thread

EXACT, STEP, HELD, LOST = "exact refit", "one step", "variances held", "not estimable"
LARGEST = 20  # units that are refitted in any case
MORE = 20  # and so many more whose conclusion turns by a step, or with the variances held
AFFORDED = 5.0  # seconds, as `refit_seconds` has them by size, within which all are refitted
LONG = 0.5  # seconds by size of a refit whose Satterthwaite's df would cost as much again
SHOWN = 10  # units that are printed
NO_STEP = "no step: it is for independent residuals, without a residual structure"

Frame = pd.DataFrame
Refits = Literal["auto", "all"] | int


@dataclass(frozen=True, eq=False)
class Influence:
    """The fit without each unit, the largest Cook's distance first.

    Attributes:
        table: A row per unit: `rows` (how many it has), `cooks`, `cooks_lme4` (times (u - p) / u, u units, as
            lme4 has it), `mdffits`, `covratio`, `covtrace`; `estimate` of the focus without it, its `change`,
            `se`, `df`, `p`; `turns`, what of the conclusions is different without it; of each variance
            `rvc.<name>`, its relative change, of a correlation or another parameter `change.<name>`, its
            change; `method`, how the row was found; `cooks_held`, Cook's distance with the variances held;
            `note`. Of single rows also `hat`, `leverage`, `deleted`, `studentised`.
        of: "rows", or the name of the factor.
        focus: What the focus is.
        whole: Its test on all rows.
        found: What the conclusions are, and which units they turn on.
    """

    table: Frame
    of: str
    focus: str
    whole: FocusTest
    found: Conclusions

    @property
    def sentence(self) -> str:
        """Whether any conclusion turns on one unit."""
        return self.found.sentence()

    @property
    def methods(self) -> dict[str, int]:
        """How many units were found in which way."""
        return {str(name): int(n) for name, n in self.table["method"].value_counts(sort=False).items()}

    @property
    def drawn(self) -> Frame:
        """What `plots.influence` draws: level, cooks, estimate, method, answer (whether it turns on it)."""
        answers = {str(turn.label) for turn in self.found.turns if self.found.turns_answer(turn)}
        levels = [str(label) for label in self.table.index]
        own = self.table[["cooks", "estimate", "method"]].reset_index(drop=True)
        return own.assign(level=levels, answer=[level in answers for level in levels])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, NaN as None."""
        rows = self.table.reset_index(names=self.of).astype(object)
        return {
            "of": self.of,
            "focus": self.focus,
            "whole": self.whole._asdict(),
            "sentence": self.sentence,
            "methods": self.methods,
            "table": rows.where(rows.notna(), None).to_dict("records"),
        }

    def _printed(self) -> TextTable:
        names = ["rows", "cooks", "mdffits", "covratio", "estimate", "p", "turns", "method"]
        head = (self.of, *names)
        shown = self.table.head(SHOWN)
        cells = [head]
        for label, row in zip(shown.index, shown[names].itertuples(index=False), strict=True):
            cells.append((str(label), *(_cell(value) for value in row)))
        return TextTable(f"Without each of {self.of}, the largest first:", cells, numbers_right=True)

    def __str__(self) -> str:
        how = ", ".join(f"{n:,} by {name}" for name, n in self.methods.items())
        more = f"{len(self.table):,} in all: {how}."
        return "\n\n".join([terminal(self.sentence), self._printed().text(), more])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p>{html(self.sentence)}</p>{self._printed().html()}"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def influence(
    fit: Fit,
    of: str = ROWS,
    *,
    focus: Any = None,
    df: str = "auto",
    refits: Refits = "auto",
    alpha: float = 0.05,
) -> Influence:
    """The fit without each row, or without each level of a factor.

    With the variances held every deletion has a closed form, and every unit gets it. Then the variances move:
    by one Newton step from those of all rows, with the exact gradient and Hessian of the criterion without
    the unit; and by a refit for the 20 of the largest Cook's distance, for up to 20 more whose conclusion
    turns, and for all where that is cheap by its size (a rule of rows, effects and parameters, never of the
    clock). The column `method` says which: "exact refit", "one step", "variances held".

    Args:
        fit: The fit.
        of: "rows", a grouping factor such as "Subject" or "cask:batch", or any column of the table.
        focus: What the conclusion is about: a combination as `Fit.contrast` reads it, several of which are
            tested together, or a term or column; an interaction is tested by its coefficients; by default
            the first term that is no intercept.
        df: Denominator degrees of freedom of its test. A step takes those of the whole fit, changed as
            Satterthwaite's change; rules of counts stay as they are.
        refits: "auto", "all", or how many of the largest are refitted (and those whose conclusion turns);
            0 for none at all.
        alpha: Level of the test.

    Raises:
        FitError: No such factor, column or focus, or a fit too large for the closed form.

    References: Christensen, Pearson & Johnson (1992), Case-deletion diagnostics for mixed models,
    Technometrics 34, 38-45, and Demidenko & Stukel (2005) for deletion in mixed models; Belsley, Kuh & Welsch
    (1980), Regression Diagnostics, Wiley, for COVRATIO; Loy & Hofmann (2014), HLMdiag: a suite of diagnostics
    for hierarchical linear models in R, Journal of Statistical Software 56(5), for the names of the measures.

    >>> from lmmkit import lmm
    >>> found = influence(lmm("y ~ x + (1 | g)", frame), "g")
    >>> found.table["cooks"].round(3).to_dict()
    {'b': 1.043, 'c': 0.626, 'a': 0.054}
    """
    check_level("alpha", alpha)
    if refits not in ("auto", "all", 0):
        whole("refits", refits, "units that are refitted (or 'auto', or 'all')")
    with one_thread():
        return _Deleting(fit, left_out(fit.design, of), focus, df, alpha).run(refits)


class _Deleting:
    """The work, part by part."""

    def __init__(self, fit: Fit, out: LeftOut, focus: Any, df: str, alpha: float) -> None:
        self.fit, self.out, self.df, self.alpha = fit, out, df, alpha
        self.estimates: Estimates = fit.estimates
        self.name, self.L = _focus(fit, focus)
        self.by = denominators(self.estimates, df)
        self.whole = focus_test(self.estimates, self.L, self.by)
        self.parameters = tables.parameters(self.estimates)
        self.shape: Geometry = geometry(self.estimates.optimum)
        optimum = self.estimates.optimum
        self.scale, self.basis = optimum.prepared.scale, optimum.prepared.basis
        self.inverse = _inverse(self.estimates.vcov)

    @property
    def units(self) -> RowSets:
        return self.out.units

    def run(self, refits: Refits) -> Influence:
        held = deletions(self.shape, self.units)
        u, p = self.units.count, len(self.estimates.beta)
        self.beta = np.full((u, p), np.nan)
        self.vcov = np.full((u, p, p), np.nan)
        self.values = np.full((u, len(self.parameters)), np.nan)
        self.tests = np.full((u, 4), np.nan)
        self.method = np.full(u, HELD, dtype=object)
        self.note = np.full(u, "", dtype=object)
        self._hold(held)
        order = np.argsort(-np.nan_to_num(self.cooks(), nan=-1.0), kind="stable")
        wanted = self._wanted(refits, held, order)
        if not wanted[held.estimable].all():
            self._step(held, order)
            if refits != 0:
                wanted |= self._more(held, wanted)
        cooks_held = self.cooks_held
        for unit in np.flatnonzero(wanted & held.estimable).tolist():
            self._refit(unit)
        if self.estimates.design.held is not None:
            self.method[held.estimable] = EXACT
        return self._told(held, cooks_held)

    # The three ways

    def _hold(self, held: Deletions) -> None:
        """The variances held, and sigma with them."""
        self._set(np.arange(self.units.count), held.shift, held.Phi, self.estimates.sigma**2)
        self.cooks_held = self.cooks()
        lost = ~held.estimable
        self.method[lost] = LOST
        for unit in np.flatnonzero(lost).tolist():
            names = [
                name
                for name, weight in zip(self.estimates.names, held.lost[unit], strict=True)
                if abs(weight) > 1e-6 * np.abs(held.lost[unit]).max()
            ]
            self.note[unit] = f"without it the rows do not estimate {', '.join(names)}"

    def _set(self, units: Any, shift: Floats, Phi: Floats, variance: Any, df: Floats | None = None) -> None:
        """Fixed effects (a shift in prepared units) and the test of the focus."""
        S, est = self.basis, self.estimates
        own = np.broadcast_to(variance, len(units))
        self.beta[units] = est.beta - self.scale * shift @ S.T
        self.vcov[units] = own[:, None, None] * (S @ Phi @ S.T)
        wide = self.whole.se / float(np.sqrt(self.L[0] @ est.vcov @ self.L[0])) if len(self.L) == 1 else 1.0
        for i, unit in enumerate(np.asarray(units).tolist()):
            beta, vcov = self.beta[unit], self.vcov[unit]
            own_df = self.whole.df if df is None else float(df[i])
            if not np.isfinite(beta).all():
                continue
            if len(self.L) != 1:
                self.tests[unit] = np.nan, np.nan, own_df, self._joint_p(beta, vcov, own_df)
                continue
            estimate, se = float(self.L[0] @ beta), wide * float(np.sqrt(self.L[0] @ vcov @ self.L[0]))
            self.tests[unit] = estimate, se, own_df, p_of(estimate, se, own_df)

    def _joint_p(self, beta: Floats, vcov: Floats, df: float) -> float:
        """P of the F test of independent rows, scaled as that of the whole fit."""
        if not len(self.L):
            return np.nan
        return f_tail(self.stretch * self._mean_square(beta, vcov), len(self.L), df)

    def _mean_square(self, beta: Floats, vcov: Floats) -> float:
        """F with the unadjusted covariance matrix."""
        value, inner = self.L @ beta, self.L @ vcov @ self.L.T
        return float(value @ np.linalg.solve(inner, value)) / len(self.L)

    @cached_property
    def stretch(self) -> float:
        """What the method of the test makes of that F on all rows: Kenward-Roger's adjustment and scale."""
        whole_F = joint_test(self.estimates, self.L, self.by).F
        return whole_F / self._mean_square(self.estimates.beta, self.estimates.vcov)

    def _wanted(self, refits: Refits, held: Deletions, order: Any) -> NDArray[np.bool_]:
        """Which units are refitted before any step is looked at."""
        u = self.units.count
        if self.estimates.design.held is not None or not len(self.parameters):
            return np.zeros(u, bool)
        if refits == "all":
            return np.ones(u, bool)
        cheap = u * refit_seconds(self.estimates.optimum) <= AFFORDED
        if refits == "auto" and cheap:
            return np.ones(u, bool)
        wanted = np.zeros(u, bool)
        wanted[
            [unit for unit in order if held.estimable[unit]][: LARGEST if refits == "auto" else refits]
        ] = True
        return wanted

    def _step(self, held: Deletions, order: Any) -> None:
        """The Newton step for as many of the largest as its work allows."""
        est = self.estimates
        if est.design.held is not None:
            return
        if est.problem.residual is not None:
            self.note[held.estimable] = NO_STEP
        if est.problem.residual is not None or not est.random:
            return
        steps = NewtonSteps(self.shape)
        sizes = self.units.sizes[order].astype(float)
        reached = np.cumsum(np.where(held.estimable[order], sizes, 0.0)) * steps.work <= MOST_WORK
        large = self.units.sizes > max(2_000, 1)
        wanted = np.zeros(self.units.count, bool)
        wanted[order[reached]] = True
        wanted &= held.estimable & ~large
        if not wanted.any():
            return
        found = steps.run(self.units, wanted)
        whole = steps.whole()
        units = np.flatnonzero(np.isfinite(found.variance))
        self.note[wanted & np.isnan(found.variance)] = (
            "no step: without it the deviance does not curve upwards at these variances"
        )
        if not len(units):
            return
        df = self._changed_df(found, whole, units)
        state = est.optimum.state
        variance = self.scale**2 * found.variance[units]
        self._set(units, state.beta - found.beta[units], found.Phi[units], variance, df)
        layout, bases = est.optimum.layout, est.optimum.prepared.term_bases
        for unit, sigma2 in zip(units.tolist(), variance.tolist(), strict=True):
            factors = layout.in_data_units(bases, [own[unit] for own in found.roots])
            self.values[unit] = _parameters(est, factors, float(np.sqrt(sigma2)))
        self.method[units] = STEP

    def _changed_df(self, found: Stepped, whole: Stepped, units: Any) -> Floats:
        """(units,) df of the whole fit times the ratio of Satterthwaite's without the unit and with it."""
        if len(self.L) != 1 or not np.isfinite(self.whole.df):
            return np.full(len(units), self.whole.df)
        row = self.L[0] @ self.basis
        ratio = found.degrees_of_freedom(row)[units] / whole.degrees_of_freedom(row)[0]
        fine = np.isfinite(ratio) & (ratio > 0.0)
        return self.whole.df * np.where(fine, ratio, 1.0)

    def _more(self, held: Deletions, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """RowSets whose conclusion turns by what is known of them so far, the largest distances first."""
        turned = np.array([self._turns(unit) != "" for unit in range(self.units.count)])
        more = np.flatnonzero(turned & ~wanted & held.estimable)
        more = more[np.argsort(-self.cooks()[more], kind="stable")][:MORE]
        out = np.zeros(self.units.count, bool)
        out[more] = True
        return out

    def _known_df(self, unit: int) -> float | None:
        """Degrees of freedom that a refit takes over: of rules of counts, and beyond a size of the step."""
        large = refit_seconds(self.estimates.optimum) > LONG and self.by.method == "satterthwaite"
        return float(self.tests[unit, 2]) if large or self.by.method in BY_LEVELS else None

    def _refit(self, unit: int) -> None:
        keep = np.ones(self.estimates.nobs, bool)
        keep[self.units.rows(unit)] = False
        try:
            made: Without = refit(self.estimates, keep, self.L, self.df, self._known_df(unit))
        except FitError as error:
            self.note[unit] = f"no refit: {str(error)[:1].lower()}{str(error)[1:]}"
            return
        self.beta[unit], self.vcov[unit], self.values[unit] = made.beta, made.vcov, made.parameters
        self.tests[unit] = made.test
        self.method[unit], self.note[unit] = EXACT, ""

    # What is told

    def cooks(self) -> Floats:
        """(u,) (b - b_(A))' Var(b)^-1 (b - b_(A)) / p."""
        shift = self.beta - self.estimates.beta
        return np.einsum("up,pq,uq->u", shift, self.inverse, shift) / (shift.shape[1] or np.nan)

    def _turns(self, unit: int) -> str:
        """What of the conclusions is another one without a unit."""
        estimate, _, _, p = self.tests[unit]
        out = list[str]()
        if np.isfinite(p) and np.isfinite(self.whole.p) and (p < self.alpha) != (self.whole.p < self.alpha):
            out.append("p")
        if np.isfinite(estimate) and estimate * self.whole.estimate < 0.0:
            out.append("sign")
        for name, before, after in zip(self.names, self.parameters, self.values[unit], strict=True):
            if ".sd" in name and np.isfinite(after) and (before > 0.0) != (after > 0.0):
                out.append(f"{name} {'vanishes' if before > 0.0 else 'appears'}")
        return ", ".join(out)

    @property
    def names(self) -> list[str]:
        return tables.parameter_names(self.estimates)

    def _told(self, held: Deletions, cooks_held: Floats) -> Influence:
        shift = self.beta - self.estimates.beta
        p = shift.shape[1] or np.nan
        inverses = np.array([_inverse(own) for own in self.vcov]).reshape(self.vcov.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            logs = np.linalg.slogdet(self.vcov)[1] - np.linalg.slogdet(self.estimates.vcov)[1]
            columns: dict[str, Any] = {
                "rows": held.sizes,
                "cooks": self.cooks(),
                "cooks_lme4": self.cooks() * (self.units.count - p) / self.units.count,
                "mdffits": np.einsum("up,upq,uq->u", shift, inverses, shift) / p,
                "covratio": np.exp(logs),
                "covtrace": np.abs(np.einsum("pq,uqp->u", self.inverse, self.vcov) - p),
                "estimate": self.tests[:, 0],
                "change": self.tests[:, 0] - self.whole.estimate,
                "se": self.tests[:, 1],
                "df": self.tests[:, 2],
                "p": self.tests[:, 3],
                "turns": [self._turns(unit) for unit in range(self.units.count)],
            }
            for name, before, after in zip(self.names, self.parameters, self.values.T, strict=True):
                if ".sd" in name:
                    columns[f"rvc.{name}"] = (after / before) ** 2 - 1.0 if before > 0.0 else after * np.nan
                else:
                    columns[f"change.{name}"] = after - before
        if self.out.of == ROWS:
            pulls = row_pulls(self.estimates, self.shape)
            columns |= {name: getattr(pulls, name) for name in ("hat", "leverage", "deleted", "studentised")}
        columns |= {"cooks_held": cooks_held, "method": self.method, "note": self.note}
        table = Frame(columns, index=self.out.labels)
        order = np.argsort(-np.nan_to_num(table["cooks"].to_numpy(), nan=np.inf), kind="stable")
        table = table.iloc[order]
        found = conclusions(table, self.out.of, self.name, self.whole, self.alpha)
        return Influence(table, self.out.of, self.name, self.whole, found)


def _focus(fit: Fit, focus: Any) -> tuple[str, Floats]:
    """What is looked at, and its rows on the kept coefficients."""
    p = len(fit.params)
    if not p:
        return "no fixed effect", np.zeros((0, 0))
    asked = focus if isinstance(focus, Focus) else None
    if focus is None or isinstance(focus, str):
        try:
            asked = find_focus(fit.design, focus)
        except FitError:
            if focus is None:
                raise
    if asked is None or (isinstance(focus, str) and focus in fit.params.index):
        found = combinations(focus, fit.estimates)
        return ", ".join(found.labels), _independent(found.L)
    one = one_number(fit, asked)
    if one is not None:
        return one.name, one.L[None]
    apart = interaction_rows(fit.estimates, asked)
    if apart is not None:
        return f"interaction {asked.term}", apart
    assert is_factor(fit.design, asked.variable)
    own = fit.marginal_means(asked.variable, df="normal").family
    assert own is not None
    L = own.L[own.possible]
    return f"differences between the levels of {asked.variable}", _independent(L[1:] - L[:1])


def _independent(L: Floats) -> Floats:
    """Rows that span the same functions, none of which follows from the others."""
    if len(L) < 2:
        return L
    _, sizes, rows = np.linalg.svd(L, full_matrices=False)
    return rows[sizes > 1e-9 * sizes[0]]


def _inverse(V: Floats) -> Floats:
    """V^-1 by way of a unit diagonal; NaN of what has none."""
    if not np.isfinite(V).all() or not len(V):
        return V * np.nan
    size = np.sqrt(V.diagonal())
    return np.linalg.inv(V / np.outer(size, size)) / np.outer(size, size)


def _parameters(estimates: Estimates, factors: tuple[Floats, ...], sigma: float) -> Floats:
    """SDs, correlations, and sigma, in the order of `tables.parameter_names`."""
    pairs = zip(estimates.random, factors, strict=True)
    values = [term.structure.natural(sigma**2 * L @ L.T) for term, L in pairs]
    return np.concatenate([*values, [sigma]])
