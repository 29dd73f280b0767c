"""The posterior as tables: priors, densities, summaries beside the estimates, the answer, ranks, checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import betaln

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.natural_scales import ends
from lmmkit.engine.posterior.pareto import threshold
from lmmkit.engine.posterior.priors import LKJ, Flat, Prior
from lmmkit.engine.problem import RowResidual
from lmmkit.errors import FitError
from lmmkit.model.fit import Fit
from lmmkit.model.means.focus import Focus, interaction_rows
from lmmkit.model.posterior.posterior import Posterior, checked_range
from lmmkit.model.posterior.weighted import sorted_draws
from lmmkit.model.report_tables.about_answer import estimand
from lmmkit.model.report_tables.report_table import Facts, ReportTable, outside, printed

Frame = pd.DataFrame
#: Columns of a summary under the names that they have beside an estimate with bounds of its own.
BESIDE = {
    "mean": "mean", "sd": "sd", "low": "lower", "median": "median", "high": "upper", "hdi_low": "hdi_low",
    "hdi_high": "hdi_high", "direction": "direction", "effective": "effective", "mcse": "mean_mcse",
    "sd_mcse": "sd_mcse", "low_mcse": "lower_mcse", "median_mcse": "median_mcse", "high_mcse": "upper_mcse",
}  # fmt: skip
POINTS = 161  # of a density that is drawn
SHOWN_MASS = 0.998  # of the draws between the ends of its axis
NEAR_ZERO = 0.4  # share of its end below which an axis of what is not negative begins at zero
DATA_SETS = 200  # of a predictive check
MOST_RANKED = 60  # levels of a factor whose ranks are told
LEFT_OUT = 2e8  # draws times rows times the effects of a level, beyond which nothing is left out
MOST_BLOCKS = 100_000  # draws times subjects with correlations of their own, beyond which none is
ANSWER = [
    "quantity", "estimate", "se", "estimate_low", "estimate_high", *BESIDE.values(), "not_above", "rope_low",
    "rope_high", "inside", "inside_mcse",
]  # fmt: skip


def priors(found: Posterior) -> Frame:
    """The priors: parameter, prior, by (lmmkit or the study), note."""
    table = found.priors.reset_index()
    by = ["lmmkit" if default else "the study" for default in table["default"]]
    return table.assign(by=by)[["parameter", "prior", "by", "note"]]


def draws(found: Posterior) -> Frame:
    """How the draws were made and what they are worth: quantity, value."""
    own = found.draws
    facts: dict[str, Any] = {
        "draws": own.count,
        "effective_draws": found.effective,
        "k_hat": found.k_hat if math.isfinite(found.k_hat) else math.nan,
        "k_hat_limit": threshold(own.count),
        "rounds": own.rounds,
        "evaluations": own.evaluations,
    }
    return Frame({"quantity": list(facts), "value": [float(value) for value in facts.values()]})


def parameters(found: Posterior, bounds: Frame, level: float) -> Frame:
    """Every coefficient and parameter: its estimate and interval, then its posterior, and its prior.

    Args:
        found: The posterior.
        bounds: Table of intervals: parameter, estimate, low, high, interval.
        level: Coverage of the intervals.
    """
    own = found.summary(level)[list(BESIDE)].rename(columns=BESIDE).rename_axis("parameter").reset_index()
    beside = bounds.rename(columns={"low": "estimate_low", "high": "estimate_high"})
    columns = ["parameter", "estimate", "estimate_low", "estimate_high", "interval"]
    table = beside[columns].merge(own, on="parameter", how="right")
    return table.assign(prior=found.priors["prior"].loc[table["parameter"]].to_numpy())


def answer(
    found: Posterior,
    focus: Focus,
    rope: Sequence[float] | Mapping[str, Sequence[float]] | None,
    *,
    df: str,
    level: float,
) -> Frame:
    """What the study asks about, estimated and drawn, then what it names regions of practical equivalence of.

    Args:
        found: The posterior.
        focus: What the study asks.
        rope: Region of practical equivalence of the focus, or regions by parameter.
        df: Degrees of freedom of the estimates' intervals.
        level: Coverage of the intervals.

    Returns:
        DataFrame of `ANSWER`: `not_above` is the probability of zero or less.

    Raises:
        FitError: A region of something that the model does not have.
    """
    fit, rows = Fit(found.estimates), list[dict[str, Any]]()
    common = None if rope is None or isinstance(rope, Mapping) else checked_range("the focus", rope)
    for name, L in _asked(fit, focus).items():
        estimate = fit.contrast(L, df=df, level=level).iloc[0]
        rows.append(_answered(found, name, found.draws.beta @ L, estimate, common, level))
    for name, own in rope.items() if isinstance(rope, Mapping) else ():
        frame = found.draws_frame()
        found.rope({name: own})  # refuses what the model does not have
        rows.append(_answered(found, name, frame[name].to_numpy(), None, checked_range(name, own), level))
    return Frame(rows, columns=ANSWER)


def _asked(fit: Fit, focus: Focus) -> dict[str, Floats]:
    """The coefficients of an interaction, the one number of the focus, or all differences of two means."""
    apart = interaction_rows(fit.estimates, focus)
    if apart is not None:
        return {str(fit.params.index[int(np.argmax(row))]): row for row in apart}
    try:
        one = estimand(fit, focus)
        if one is not None:
            return {one.name.replace("slope of", "Slope of", 1): one.L}
        family = fit.marginal_means(focus.variable, df="normal").shown
    except FitError:
        return {}
    names, L = family.names(np.arange(len(family.L))), family.L
    pairs = [(i, j) for i in range(len(L)) for j in range(i + 1, len(L)) if family.possible[[i, j]].all()]
    return {f"{focus.variable}: {names[i]} less {names[j]}": L[i] - L[j] for i, j in pairs}


def _answered(
    found: Posterior, name: str, x: Floats, estimate: Any, rope: tuple[float, float] | None, level: float
) -> dict[str, Any]:
    summary = found.of(lambda _: x, level).iloc[0]
    row: dict[str, Any] = {"quantity": name, **{new: summary[old] for old, new in BESIDE.items()}}
    one = sorted_draws(x, found.weights, found.draws.inefficiency)
    row["not_above"] = one.share(-math.inf, 0.0)[0]
    if estimate is not None:
        names = {"estimate": "estimate", "estimate_low": "low", "estimate_high": "high", "se": "se"}
        row |= {new: estimate[old] for new, old in names.items()}
    if rope is not None:
        inside, error = one.share(*rope)
        row |= {"rope_low": rope[0], "rope_high": rope[1], "inside": inside, "inside_mcse": error}
    return row


# Densities


def densities(found: Posterior) -> Frame:
    """Densities to draw: parameter, x, prior, likelihood, posterior; the prior is NaN where it is flat.

    The likelihood of a parameter is what its posterior would be under a flat prior on it, the other
    parameters
    averaged over: the draws with its own prior taken out of their weights, scaled to one over the axis.
    """
    frame, w, parts = found.draws_frame(), found.weights, list[Frame]()
    for each in found.model_priors.named:
        x = frame[each.parameter].to_numpy()
        low, high = _axis(x, w, each.prior, each.kind)
        grid = np.linspace(low, high, POINTS)
        prior = _prior_density(found, each.parameter, each.prior, grid)
        without = w if prior is None else _without(found, each.parameter, each.prior, x, w)
        likelihood = _kernel(x, without, grid, *ends(each.kind))
        likelihood = likelihood / max(float(np.trapezoid(likelihood, grid)), 1e-300)
        parts.append(
            Frame(
                {
                    "parameter": each.parameter,
                    "x": grid,
                    "prior": np.full(POINTS, math.nan) if prior is None else prior,
                    "likelihood": likelihood,
                    "posterior": _kernel(x, w, grid, *ends(each.kind)),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _axis(x: Floats, w: Floats, prior: Prior, kind: str) -> tuple[float, float]:
    one = sorted_draws(x, w)
    tail = (1.0 - SHOWN_MASS) / 2.0
    if kind == "cor" or isinstance(prior, LKJ):
        return -1.0, 1.0
    low, high = one.quantile(tail), one.quantile(1.0 - tail)
    return (0.0, high) if kind in ("sd", "range") and low < NEAR_ZERO * high else (low, high)


def _columns_of(found: Posterior, parameter: str) -> int:
    """k of the correlation matrix that a correlation stands in."""
    for term in found.estimates.random:
        if parameter.startswith(f"{term.group}.cor."):
            return len(term.names)
    return 2


def _prior_density(found: Posterior, parameter: str, prior: Prior, grid: Floats) -> Floats | None:
    """The marginal prior density; None where it is flat."""
    if isinstance(prior, Flat):
        return None
    with np.errstate(divide="ignore"):
        if isinstance(prior, LKJ):  # one correlation among k columns is 2 Beta(a, a) - 1
            a = prior.shape(_columns_of(found, parameter), 0)
            log_left = np.log1p(-np.minimum(grid**2, 1.0))
            return (
                np.exp((a - 1.0) * log_left - betaln(a, a)) / 2.0 ** (2.0 * a - 1.0)
                if a != 1.0
                else 0.5 + 0.0 * grid
            )
        return np.exp(prior.logpdf(np.maximum(grid, 1e-300) if prior.support[0] == 0.0 else grid))


def _without(found: Posterior, parameter: str, prior: Prior, x: Floats, w: Floats) -> Floats:
    """The weights of the draws with a parameter's own prior taken out."""
    own = _prior_density(found, parameter, prior, x)
    assert own is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.where((w > 0.0) & (own > 0.0), w / own, 0.0)
    return out / out.sum()


def _kernel(x: Floats, w: Floats, grid: Floats, low: float, high: float) -> Floats:
    """A weighted kernel density, mass beyond the ends of the domain folded back.

    Reference: Silverman (1986), Density Estimation, 3.4.2 for the width, 2.10 for the reflection.
    """
    used = w > 0.0
    one = sorted_draws(x[used], w[used] / w[used].sum())
    spread = min(one.sd, (one.quantile(0.75) - one.quantile(0.25)) / 1.34) or one.sd
    width = 1.06 * spread * (1.0 / float(one.w @ one.w)) ** -0.2
    if not width > 0.0:
        return np.zeros_like(grid)
    images = [one.x, *([2.0 * end - one.x for end in (low, high) if math.isfinite(end)])]
    out = np.zeros_like(grid)
    for image in images:
        z = (grid[:, None] - image[None]) / width
        out += np.exp(-0.5 * z**2) @ one.w
    return out / (width * math.sqrt(2.0 * math.pi))


# Groups and checks


def ranks(found: Posterior, level: float) -> Frame:
    """Ranks of the levels of the factors that have no more of them than can be told.

    Returns:
        DataFrame effect (its name), group, level, term, mean, low, median, high, first, last, mcse; no rows
        without such a factor.
    """
    few = [term.group for term in found.estimates.random if len(term.levels) <= MOST_RANKED]
    columns = ["effect", "group", "level", "term", "mean", "low", "median", "high", "first", "last", "mcse"]
    if not few:
        return Frame(columns=columns)
    try:
        table = found.ranks(level)
    except FitError:  # the effects of so many levels are not drawn
        return Frame(columns=columns)
    table = table[table["group"].isin(few)].sort_values(["group", "term", "mean"], kind="stable")
    names = [f"{row.group} {row.level}: {row.term}" for row in table.itertuples()]
    return table.assign(effect=names)[columns].reset_index(drop=True)


@dataclass(frozen=True)
class Predicted:
    """A posterior predictive check.

    Attributes:
        table: statistic, observed, mean, low, high, p, outside.
        bins: low, high, observed, median, least, most.
    """

    table: Frame
    bins: Frame


def predicted(found: Posterior, level: float) -> Predicted:
    """Statistics of the data beside those of data sets from the posterior, for new levels of the groups."""
    made = found.predictive_check("new", DATA_SETS, level)
    return Predicted(made.table.assign(outside=outside(made.table, "observed")), made.bins)


def left_out(found: Posterior) -> Frame:
    """LOO and WAIC: measure, method, kind, of, elpd, elpd_mcse, se, p, worst, trouble.

    Conditional, of rows, and marginal, of the levels of the factor with most; large data sets have none.
    """
    rows = list[Frame]()
    estimates = found.estimates
    widest = max((len(term.columns) for term in estimates.problem.terms), default=1)
    large = found.draws.count * estimates.nobs * widest > LEFT_OUT
    residual = estimates.problem.residual
    if isinstance(residual, RowResidual) and not residual.independent:  # each subject's block of each draw
        large = large or found.draws.count * (int(residual.subjects.max()) + 1) > MOST_BLOCKS
    for kind in () if large else ("conditional", "marginal"):
        for make in (found.loo, found.waic):
            try:
                rows.append(make(kind).table)
            except FitError:
                continue
    if not rows:
        columns = ["method", "kind", "of", "elpd", "elpd_mcse", "se", "p", "worst", "trouble"]
        return Frame(columns=["measure", *columns])
    table = pd.concat(rows, ignore_index=True)
    names = {"loo": "leave-one-out", "waic": "WAIC"}
    told = [f"{names[m]}, {kind}" for m, kind in zip(table["method"], table["kind"], strict=True)]
    table.insert(0, "measure", told)
    return table


def diagnosed(table: Frame) -> list[int]:
    """The rows of a table of sensitivities that say something; a file has nothing where there is nothing."""
    return [row for row, told in enumerate(table["diagnosis"]) if isinstance(told, str) and told]


def sensitivity(found: Posterior) -> Frame:
    """How far each parameter hangs on priors and likelihood: parameter, prior, likelihood, diagnosis."""
    return found.sensitivity().rename_axis("parameter").reset_index()


# How they are printed


def _parameter_facts(table: Frame) -> Facts:
    inside = (table["mean"] >= table["estimate_low"]) & (table["mean"] <= table["estimate_high"])
    return {"parameters": len(table), "covered": int(inside.sum())}


def _prior_facts(table: Frame) -> Facts:
    return {"parameters": len(table), "flat": int((table["prior"] == "flat").sum())}


def _answer_facts(table: Frame) -> Facts:
    return {f"above zero {row}": 1.0 - p for row, p in enumerate(table["not_above"].tolist())}


def _rank_facts(table: Frame) -> Facts:
    return {"rows": len(table), "sure of first": int((table["first"] >= 0.5).sum())}


def _predicted_facts(table: Frame) -> Facts:
    return {"statistics": len(table), "outside": int(table["outside"].sum())}


def _sensitive_facts(table: Frame) -> Facts:
    return {
        "parameters": len(table),
        "sensitive": len(diagnosed(table)),
        "largest": float(table["prior"].max()),
    }


TABLES = (
    ReportTable(
        "posterior",
        "Estimates with their intervals, and the posterior beside them.",
        printed(
            "parameter estimate estimate_low estimate_high mean sd lower upper effective",
            estimate="Estimate",
            estimate_low="Low",
            estimate_high="High",
            mean=("Posterior mean", "drawn"),
            sd=("Posterior SD", "drawn"),
            lower=("Lower", "drawn"),
            upper=("Upper", "drawn"),
            effective=("Effective draws", 0),
        ),
        _parameter_facts,
    ),
    ReportTable(
        "posterior_priors",
        "The priors.",
        printed("parameter prior by note", by="Named by"),
        _prior_facts,
    ),
    ReportTable("posterior_draws"),
    ReportTable("posterior_answer", facts=_answer_facts),
    ReportTable("posterior_densities"),
    ReportTable(
        "posterior_ranks",
        "Ranks of the groups by their effects, the greatest first, with what is not known of them.",
        printed("effect mean low high", mean=("Mean rank", 1), low=("Low", 0), high=("High", 0)),
        _rank_facts,
        ("level",),
    ),
    ReportTable(
        "posterior_predictive",
        "Statistics of the data beside those of data sets drawn from the posterior.",
        printed("statistic observed mean low high", mean="Mean of the data sets", low="Low", high="High"),
        _predicted_facts,
    ),
    ReportTable("posterior_bins"),
    ReportTable(
        "posterior_loo",
        "Expected log predictive density of what is left out: rows whose groups are known, or whole groups.",
        printed(
            "measure of elpd se p worst trouble",
            of="Left out",
            elpd=("Log density", "drawn"),
            se=("SE", 1),
            p=("Effective parameters", 1),
            worst=("Worst k-hat or variance", 2),
            trouble="Note",
        ),
    ),
    ReportTable(
        "posterior_sensitivity",
        "Sensitivity to prior and likelihood, each raised to a power.",
        printed(
            "parameter prior likelihood diagnosis",
            prior=("To the priors", 3),
            likelihood=("To the likelihood", 3),
        ),
        _sensitive_facts,
    ),
)
