"""The face of a posterior: `posterior()` draws, `Posterior` answers.

Every number that is printed has the digits that its Monte Carlo error supports, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.posterior.draws import Draws
from lmmkit.engine.posterior.group_effects import GroupEffects
from lmmkit.engine.posterior.priors import Prior
from lmmkit.errors import FitError, did_you_mean
from lmmkit.escape import html, terminal
from lmmkit.model.design.design import Design
from lmmkit.model.estimates import Estimates
from lmmkit.model.fit import Fit
from lmmkit.model.inference.linear_functions import combinations
from lmmkit.model.means.marginal_means import MarginalMeans
from lmmkit.model.options import Seed, check_level, check_option, whole
from lmmkit.model.posterior import other_programs
from lmmkit.model.posterior.densities import Densities, levels_of, nested_terms, rows_by_level
from lmmkit.model.posterior.drawing import draw_posterior
from lmmkit.model.posterior.loo import PredictiveDensity, in_sample, leave_out, penalised
from lmmkit.model.posterior.power_scaling import sensitivity
from lmmkit.model.posterior.predictive import PredictiveCheck, predictive_check
from lmmkit.model.posterior.prior_words import ModelPriors
from lmmkit.model.posterior.to_arviz import inference_data
from lmmkit.model.posterior.weighted import (
    Draws1,
    refuse_too_few,
    resampled,
    sorted_draws,
    summary,
    trusted_text,
)
from lmmkit.model.resampling.variance_shares import ICC, R2
from lmmkit.model.tables import parameter_names
from lmmkit.model.text_table import TextTable
from lmmkit.model.threads import one_thread
from lmmkit.model.variance_parts import Shares, shares

PRINTED = {
    "mean": ("mean", "mcse"), "sd": ("sd", "sd_mcse"), "low": ("low", "low_mcse"), "high": ("high",
    "high_mcse"),
}  # fmt: skip
ROPE = ["low", "high", "inside", "below", "above", "mcse"]


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of a fitted model, as weighted draws.

    Attributes:
        estimates: The fit whose model and data it has.
        draws: The draws of the covariance parameters and the fixed effects.
        model_priors: The prior of each.
    """

    estimates: Estimates
    draws: Draws
    model_priors: ModelPriors

    # What was drawn

    @property
    def design(self) -> Design:
        """Terms, names and arrays."""
        return self.estimates.design

    @property
    def k_hat(self) -> float:
        """Shape of the tail of the importance weights: up to 0.7 the draws can be trusted."""
        return self.draws.k_hat

    @property
    def effective(self) -> float:
        """Independent draws of equal weight that these are worth."""
        return self.draws.effective

    @property
    def weights(self) -> Floats:
        """(r,) weights of the draws, which sum to one."""
        return self.draws.weights

    @cached_property
    def priors(self) -> pd.DataFrame:
        """The prior of each coefficient and parameter: prior, default (by lmmkit, or asked for), note."""
        rows = [
            {
                "parameter": each.parameter,
                "prior": each.prior.text,
                "default": each.default,
                "note": INTERCEPT_NOTE if each.parameter == "Intercept" and each.default else "",
            }
            for each in self.model_priors.named
        ]
        return pd.DataFrame(rows).set_index("parameter")

    @property
    def prior_of(self) -> dict[str, Prior]:
        """The priors as distributions, by name."""
        return {each.parameter: each.prior for each in self.model_priors.named}

    def draws_frame(self) -> pd.DataFrame:
        """(r, m) the draws: coefficients, standard deviations, correlations, residual parameters, sigma.

        Their weights are `weights`; `Posterior.table` summarises them.
        """
        values = np.column_stack([self.draws.beta, self.draws.natural])
        return pd.DataFrame(values, columns=[*self.estimates.names, *parameter_names(self.estimates)])

    # Summaries

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each coefficient and parameter, with 95 % intervals; see `summary`."""
        return self.summary()

    def summary(self, level: float = 0.95) -> pd.DataFrame:
        """Mean, sd, quantiles, HDI, probability of direction, effective draws, Monte Carlo errors.

        Args:
            level: Coverage of the intervals: `low` to `high` of equal tails, `hdi_low` to `hdi_high` the
                shortest.

        Returns:
            DataFrame by parameter: mean, sd, low, median, high, hdi_low, hdi_high, direction (the larger of
                the
            probabilities of being above and below zero), effective, mcse, sd_mcse, low_mcse, median_mcse,
            high_mcse, k_hat.

        Raises:
            FitError: A level that is none.
        """
        return self._summary(self.draws_frame(), level)

    def of(self, function: Callable[[pd.DataFrame], Any], level: float = 0.95) -> pd.DataFrame:
        """The posterior of any function of the parameters.

        Args:
            function: Takes the draws as a DataFrame, a column for each name of `table`, and gives a number
                for each
                draw: a vector, or a DataFrame or a mapping of such by name.
            level: Coverage of the intervals.

        Raises:
            FitError: It gives something else.
        """
        if not callable(function):
            raise FitError(f"of: a function of the draws is expected, not {type(function).__name__}.")
        found: Any = function(self.draws_frame())
        kind = type(found).__name__
        try:
            named: dict[Any, Any] = (
                dict(cast("Any", found)) if isinstance(found, Mapping | pd.DataFrame) else {"function": found}
            )
            frame = pd.DataFrame({str(name): np.asarray(x, np.float64) for name, x in named.items()})
        except (TypeError, ValueError):
            frame = pd.DataFrame()
        if len(frame) != self.draws.count:
            raise FitError(
                f"of: the function gave {kind}; a number for each of the {self.draws.count:,} draws is "
                "expected, or such vectors by name."
            )
        return self._summary(frame, level)

    def rope(self, ranges: Mapping[str, Sequence[float]]) -> pd.DataFrame:
        """Probabilities of regions of practical equivalence: low, high, inside, below, above, mcse.

        Args:
            ranges: By name of a coefficient or parameter the least and greatest value that are as good as
                none.

        Raises:
            FitError: A name that the model does not have, or no two numbers in rising order.
        """
        frame, rows = self.draws_frame(), dict[str, dict[str, float]]()
        for name, given in ranges.items():
            low, high = checked_range(name, given)
            if name not in frame:
                raise FitError(
                    f"rope: the model has no {name}{did_you_mean(name, list(frame.columns)) or '.'}"
                )
            one = sorted_draws(frame[name].to_numpy(), self.weights, self.draws.inefficiency)
            inside, error = one.share(low, high)
            below = one.share(-math.inf, low)[0]
            rows[name] = {
                "low": low, "high": high, "inside": inside, "below": below,
                "above": max(0.0, 1.0 - inside - below), "mcse": error,
            }  # fmt: skip
        return pd.DataFrame.from_dict(rows, orient="index", columns=ROPE)

    def contrast(self, L: Any, level: float = 0.95) -> pd.DataFrame:
        """The posterior of linear combinations of the coefficients, written as `Fit.contrast` takes them.

        Raises:
            FitError: A combination that cannot be read or estimated.
        """
        of = combinations(L, self.estimates)
        values = self.draws.beta @ of.L.T - of.null
        return self._summary(pd.DataFrame(values, columns=pd.Index(of.labels)), level)

    def marginal_means(
        self,
        specs: str | Sequence[str],
        by: str | Sequence[str] | None = None,
        level: float = 0.95,
        **options: Any,
    ) -> pd.DataFrame:
        """The posterior of marginal means over the reference grid.

        Args:
            specs: As of `Fit.marginal_means`.
            by: As there.
            level: Coverage of the intervals.
            options: weights, at and cov_reduce, as there.

        Raises:
            FitError: As there.
        """
        means = Fit(self.estimates).marginal_means(specs, by, "normal", **options)
        return self._of_family(means, level)

    def pairs(
        self,
        specs: str | Sequence[str],
        by: str | Sequence[str] | None = None,
        level: float = 0.95,
        **options: Any,
    ) -> pd.DataFrame:
        """The posterior of all differences of marginal means within the values of `by`; arguments as there.

        Nothing is adjusted for their number: a posterior of several differences is one posterior.
        """
        family = Fit(self.estimates).marginal_means(specs, by, "normal", **options).shown
        drawn = self.draws.beta @ family.L.T + family.offset
        made = dict[str, Floats]()
        for where in family.blocks():
            names = family.names(where)
            inside = "".join(f" | {family.cells[g].iloc[where[0]]}" for g in family.groups)
            for i in range(len(where)):
                for j in range(i + 1, len(where)):
                    difference = drawn[:, where[i]] - drawn[:, where[j]]
                    known = family.possible[where[i]] and family.possible[where[j]]
                    made[f"{names[i]} - {names[j]}{inside}"] = difference if known else difference * np.nan
        return self._summary(pd.DataFrame(made), level)

    def r2(self, level: float = 0.95) -> pd.DataFrame:
        """The posterior of marginal and conditional R2, defined as by `Fit.r2`."""
        found, names = self._shares.r2(), [*R2]
        if not self.estimates.random:
            found, names = found[:, :1], names[:1]
        return self._summary(pd.DataFrame(found, columns=names), level)

    def icc(self, level: float = 0.95) -> pd.DataFrame:
        """The posterior of adjusted and unadjusted intraclass correlation, defined as by `Fit.icc`.

        Raises:
            FitError: The model has no random effects.
        """
        if not self.estimates.random:
            raise FitError("An intraclass correlation is a share of random effects, and this model has none.")
        return self._summary(pd.DataFrame(self._shares.icc(), columns=[*ICC]), level)

    # The groups

    def ranef(self, level: float = 0.95) -> pd.DataFrame:
        """The posterior of every random effect: group, level, term, and the columns of `summary`."""
        return self._by_level(lambda effects: self._summary(pd.DataFrame(effects), level))

    def ranks(self, level: float = 0.95) -> pd.DataFrame:
        """The rank of every level among those of its factor, 1 the greatest effect, with its uncertainty.

        Returns:
            DataFrame group, level, term, mean, low, median, high (ranks), first and last (probabilities of
            being the greatest and the least), mcse of the mean.
        """
        check_level("level", level)
        tail = (1.0 - level) / 2.0

        def ranked(effects: Floats) -> pd.DataFrame:
            order = np.argsort(-effects, axis=1, kind="stable")
            rank = np.empty(effects.shape)
            np.put_along_axis(rank, order, np.arange(1.0, effects.shape[1] + 1.0)[None], axis=1)
            each = [sorted_draws(column, self.weights, self.draws.inefficiency) for column in rank.T]
            columns = {
                "mean": [one.mean for one in each],
                "low": [_step(one, tail) for one in each],
                "median": [_step(one, 0.5) for one in each],
                "high": [_step(one, 1.0 - tail) for one in each],
                "first": self.weights @ (rank == 1.0),
                "last": self.weights @ (rank == effects.shape[1]),
                "mcse": [one.mcse for one in each],
            }
            return pd.DataFrame(columns)

        return self._by_level(ranked)

    def _by_level(self, of: Callable[[Floats], pd.DataFrame]) -> pd.DataFrame:
        """A table of (r, J) draws of each effect, a row for each level: group, level, term, its columns."""
        tables = list[pd.DataFrame]()
        for term, b in zip(self.estimates.random, self.effects, strict=True):
            for place, name in enumerate(term.names):
                levels = [str(x) for x in term.levels]
                keys = pd.DataFrame({"group": term.group, "level": levels, "term": name})
                tables.append(pd.concat([keys, of(b[:, :, place]).reset_index(drop=True)], axis=1))
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    @cached_property
    def effects(self) -> tuple[Floats, ...]:
        """(r, J, k) draws of the random effects of each term, given the parameters of each draw.

        Raises:
            FitError: The levels that rows connect are too many.
        """
        problem = self.estimates.problem
        if not problem.terms:
            return ()
        mean = self.draws.beta @ self.estimates.X.T
        mean = mean if problem.offset is None else mean + problem.offset
        roots = [L * self.sigma[:, None, None] for L in self.factors]
        with one_thread():
            return GroupEffects(problem, mean, roots, self.sigma, self.rho, self.draws.seed).drawn()

    # Checks

    def predictive_check(
        self, level: Literal["new", "group"] = "new", n: int = 200, coverage: float = 0.95
    ) -> PredictiveCheck:
        """Data sets from the posterior beside the data.

        Args:
            level: From "new" levels of the grouping factors, or from the "group"s that there are.
            n: How many.
            coverage: Of the intervals of their statistics.

        Raises:
            FitError: An option that is not offered.
        """
        check_option("level", level, ("new", "group"))
        check_level("coverage", coverage)
        places = resampled(self.weights, whole("n", n, "data sets"), self.draws.seed)
        at = self.densities(places, effects=level == "group")
        return predictive_check(at, level, self.draws.seed, coverage)

    def loo(
        self, kind: Literal["conditional", "marginal"] = "conditional", group: str | None = None
    ) -> PredictiveDensity:
        """Expected log predictive density of what is left out, by Pareto-smoothed importance sampling.

        Args:
            kind: "conditional" leaves out rows, whose groups stay known by their other rows; "marginal"
                leaves out levels of a grouping factor with all their rows, and predicts new levels.
            group: That factor, by default the one with most levels. Rows are predicted with its effects
                integrated out, so that the draws need to bear less.

        Raises:
            FitError: An option that is not offered, or residuals that are correlated across what is left out.
        """
        at, log_weights = self.densities(), self.draws.log_weights
        rows = self.design.frame.index.to_numpy()
        if kind == "conditional" and not self._has_levels:
            return leave_out(at.rows(), log_weights, rows.tolist(), kind, "row")
        codes, names, inside, of = self._left_out(kind, group)
        if kind == "marginal":
            return leave_out(at.levels(codes, inside), log_weights, names, kind, of)
        ordered = rows[np.concatenate(rows_by_level(codes))].tolist()
        found = leave_out(at.rows_within(codes, inside), log_weights, ordered, kind, "row")
        residual = self.estimates.problem.residual
        known = residual is None or residual.independent
        return replace(found, p=in_sample(at.rows(), log_weights) - found.elpd if known else math.nan)

    def waic(
        self, kind: Literal["conditional", "marginal"] = "conditional", group: str | None = None
    ) -> PredictiveDensity:
        """Watanabe's criterion as an expected log predictive density; arguments as of `loo`.

        Raises:
            FitError: As `loo`, or rows whose residuals are correlated, which have no densities of their own.
        """
        at, log_weights = self.densities(), self.draws.log_weights
        if kind == "conditional":
            return penalised(at.rows(), log_weights, self.design.frame.index.tolist(), kind, "row")
        codes, names, inside, of = self._left_out(kind, group)
        return penalised(at.levels(codes, inside), log_weights, names, kind, of)

    def sensitivity(self) -> pd.DataFrame:
        """How far each quantity hangs on the priors and on the likelihood: prior, likelihood, diagnosis.

        From 0.05 on it matters. The flat priors have no power that could be raised.
        """
        own, priors = self.draws, self.draws.log_prior
        return sensitivity(self.draws_frame(), own.log_weights, priors, own.log_likelihood)

    # Elsewhere

    def to_arviz(self, log_likelihood: bool = True) -> Any:
        """ArviZ's InferenceData (a DataTree from version 1 on), its draws of equal weight by resampling.

        Args:
            log_likelihood: Whether the log densities of the rows are in it, for ArviZ's comparisons.

        Raises:
            ImportError: ArviZ is not installed.
        """
        own = self.draws
        places = resampled(self.weights, own.count, own.seed)
        stats = {"log_weight": own.log_weights[places], "log_prior": own.log_prior[places]}
        return inference_data(
            self.estimates,
            self.draws_frame().iloc[places],
            [b[places] for b in self.effects],
            stats,
            np.concatenate(list(self.densities(places).rows()), axis=1) if log_likelihood else None,
        )

    def to_bambi(self) -> str:
        """Python text that draws the same model under the same priors by Bambi.

        Raises:
            FitError: Bambi has no such model: correlated effects among others.
        """
        return other_programs.to_bambi(self.design, self.prior_of, self.draws.count, self.draws.seed)

    def to_brms(self) -> str:
        """R text that draws the same model under the same priors by brms.

        Raises:
            FitError: It cannot be written for brms exactly.
        """
        return other_programs.to_brms(self.design, self.prior_of, self.draws.count, self.draws.seed)

    def other_programs(self) -> dict[str, str]:
        """The texts for Bambi and brms, or why there is none."""
        found = dict[str, str]()
        for name, write in (("bambi", self.to_bambi), ("brms", self.to_brms)):
            try:
                found[name] = write()
            except FitError as error:
                found[name] = f"none: {error}"
        return found

    def to_dict(self) -> dict[str, Any]:
        """What was found, in plain numbers, text, lists and dicts."""
        return {
            "formula": self.design.formula,
            "draws": self.draws.count,
            "seed": self.draws.seed,
            "effective": self.effective,
            "k_hat": self.k_hat,
            "trusted": self.draws.trusted,
            "how": self.how,
            "priors": self.priors["prior"].to_dict(),
            "table": self.table.to_dict("index"),
        }

    @property
    def how(self) -> str:
        """How the draws were made, in words."""
        if self.draws.by_chains:
            return "the no-U-turn sampler"
        return f"importance sampling from proposal {self.draws.rounds}, the first one at the mode"

    def __str__(self) -> str:
        return "\n\n".join([self._title(), self._printed().text(), *map(terminal, self._notes())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{html(note)}</p>" for note in self._notes())
        return f"<p>{html(self._title())}</p>{self._printed().html()}{notes}"

    # Parts

    def _title(self) -> str:
        return terminal(
            f"Posterior of {self.design.formula}: {self.draws.count:,} draws, worth {self.effective:,.0f}, "
            + ("by chains that have mixed" if self.draws.by_chains else f"k-hat {self.k_hat:.2f}")
        )

    def _printed(self) -> TextTable:
        """The table with the digits that the Monte Carlo errors support."""
        rows: list[tuple[str, ...]] = [("", *PRINTED, "direction", "effective", "prior")]
        priors = self.priors["prior"]
        for name, row in self.table.iterrows():
            numbers = [trusted_text(float(row[v]), float(row[e])) for v, e in PRINTED.values()]
            direction = f"{float(row['direction']):.2f}" if str(name) in self.estimates.names else ""
            rows.append(
                (str(name), *numbers, direction, f"{float(row['effective']):,.0f}", str(priors[str(name)]))
            )
        return TextTable(
            "Means, standard deviations, 95 % intervals of equal tails", rows, numbers_right=True
        )

    def _notes(self) -> list[str]:
        return ["Each number has the digits that its Monte Carlo error, less than one of the last, supports."]

    def _summary(self, frame: pd.DataFrame, level: float) -> pd.DataFrame:
        found = summary(frame, self.weights, level, self.draws.inefficiency)
        return found.assign(k_hat=self.k_hat)

    def _of_family(self, means: MarginalMeans, level: float) -> pd.DataFrame:
        family = means.shown
        drawn = self.draws.beta @ family.L.T + family.offset
        drawn[:, ~family.possible] = np.nan
        found = self._summary(pd.DataFrame(drawn), level)
        found.index = family.labels
        return found

    @cached_property
    def factors(self) -> tuple[Floats, ...]:
        """(r, k, k) Lambda of each term, G = sigma^2 Lambda Lambda'."""
        roots = self.draws.density.parts.roots(self.draws.phi)
        return tuple(np.ascontiguousarray(A.transpose(2, 0, 1)) / self.sigma[:, None, None] for A in roots)

    @property
    def sigma(self) -> Floats:
        """(r,) draws of the residual standard deviation."""
        return self.draws.natural[:, -1]

    @property
    def rho(self) -> Floats:
        """(r, m) draws of the coordinates of the residual structure."""
        return self.draws.phi[self.draws.density.parts.of_rho].T

    @property
    def _has_levels(self) -> bool:
        """Whether the rows lie in levels that stand by themselves."""
        terms, residual = self.estimates.problem.terms, self.estimates.problem.residual
        if not terms:
            return residual is not None and not residual.independent
        return all(term.plain for term in terms)

    @cached_property
    def _shares(self) -> Shares:
        return shares(self.estimates, self.draws.beta, self.factors, self.sigma, self.rho)

    def densities(self, places: Any = slice(None), *, effects: bool = True) -> Densities:
        """What log densities of the data need of some of the draws, the random effects among it or not."""
        return Densities(
            self.estimates,
            self.draws.beta[places],
            [L[places] for L in self.factors],
            self.sigma[places],
            self.rho[places],
            [b[places] for b in self.effects] if effects else [],
        )

    def _left_out(self, kind: str, group: str | None) -> tuple[Ints, list[str], list[int], str]:
        """The codes and names of the levels whose effects are integrated out, those terms, the factor."""
        check_option("kind", kind, ("conditional", "marginal"))
        known = self.estimates.ngroups
        if not known:
            raise FitError("The model has no groups to leave out; kind='conditional' leaves out rows.")
        group = max(known, key=lambda name: known[name]) if group is None else group
        codes, names = levels_of(self.estimates, group)
        return codes, names, nested_terms(self.estimates, codes), group


INTERCEPT_NOTE = "brms has student_t(3, median y, scale) on the intercept of centred columns; here it is flat"


def posterior(
    fit: Fit,
    priors: Mapping[str, Any] | None = None,
    draws: int = 4000,
    *,
    seed: Seed = 20240101,
    workers: int = 1,
    digits: int | None = None,
) -> Posterior:
    """The posterior of a fitted model.

    The fixed and random effects are integrated out exactly, the covariance parameters drawn by importance
    sampling; `Posterior.k_hat` says whether the draws can be trusted.

    Args:
        fit: The fit.
        priors: By name, such as `{"sd": "half_normal(30)", "Subject.cor": "lkj(2)", "Days": "normal(0,
            20)"}`: a coefficient or parameter, a term's or all standard deviations (`sd`) or correlations
            (`cor`), all coefficients but the intercept (`beta`). By default half student_t(3, 0, s) on
            standard deviations, s the larger of 2.5 and the median absolute deviation of the response,
            lkj(1) on correlations, flat on coefficients, as brms has them but for the intercept.
        draws: How many.
        seed: Of the random numbers: equal seeds give equal draws.
        workers: Threads; the draws do not depend on it.
        digits: Significant digits that the means, medians and ends of the 95 % intervals of all parameters
            are asked to have; by default as many as the draws give.

    Raises:
        FitError: Priors that cannot be read or give no posterior, too few draws (for the digits asked: it
            says how many would do), a model that has none, or draws that their k-hat says cannot be trusted.

    References:
        Vehtari, Simpson, Gelman, Yao & Gabry (2024), Pareto smoothed importance sampling, JMLR 25(72), 1-58.
    """
    asked = None if digits is None else whole("digits", digits, "significant digits")
    drawn, known = draw_posterior(fit.estimates, priors, draws, seed, workers)
    found = Posterior(fit.estimates, drawn, known)
    if asked is not None:
        refuse_too_few(found.table, drawn.count, asked)
    return found


def checked_range(name: str, given: Any) -> tuple[float, float]:
    """The least and the greatest value of a region of practical equivalence.

    Raises:
        FitError: No two numbers in rising order.
    """
    try:
        low, high = (float(value) for value in given)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not low < high:
        raise FitError(
            f"rope: {name}: {given!r:.60}: two numbers are expected, the second above the first: [-1, 1]."
        )
    return low, high


def _step(draws: Draws1, p: float) -> float:
    """A quantile of whole numbers: the least with at least that share of the weight at or below it."""
    return float(draws.x[min(int(np.searchsorted(np.cumsum(draws.w), p)), len(draws.x) - 1)])
