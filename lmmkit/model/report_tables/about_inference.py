"""Inference as tables: intervals, tests of terms, marginal means, comparisons, shares of variance."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.errors import FitError, PartialResult
from lmmkit.model.comparison.compare import compare, model_text
from lmmkit.model.fit import Fit, lmm
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.inference.confidence_intervals import Method
from lmmkit.model.inference.fixed_effect_terms import fixed_effects
from lmmkit.model.means.focus import reference_level, where_zero
from lmmkit.model.means.marginal_means import MarginalMeans
from lmmkit.model.means.reference_grid import reference_grid
from lmmkit.model.report_tables.report_table import Facts, ReportTable, excludes_zero, printed
from lmmkit.model.table.known import known_of
from lmmkit.model.tables import parameter_names, parameters

Frame = pd.DataFrame
REFITS = 1_000  # of a parametric bootstrap
MOST_MEANS = 30  # of one family: more have too many differences to be read
LINES = ["family", "group", "level", "by", "mean", "low", "high"]
MEANS = ["cell", "family", "mean", "se", "df", "low", "high", "method"]
PAIRS = ["contrast", "family", "estimate", "se", "df", "t", "p", "low", "high", "method", "adjusted"]
TESTS = ["candidate", "relation", "stat", "df", "p", "reference", "note"]
NAMES = {
    "wald": "Wald",
    "profile": "profile likelihood ({criterion})",
    "bootstrap": "parametric bootstrap, percentile ({criterion})",
}
SHARES = {"marginal": "R2", "conditional": "R2", "adjusted": "ICC", "unadjusted": "ICC"}


@dataclass(frozen=True)
class Means:
    """Marginal means of the factors of a fixed part, and their differences.

    Attributes:
        table: cell (family and level), family, mean, se, df, low, high, method; a row per mean.
        pairs: contrast, family, estimate, se, df, t, p, low, high, method, adjusted.
        lines: Means of factors that interact: family, group (the first factor), level (of it), by (the levels
            of the others, in words), mean, low, high.
    """

    table: Frame
    pairs: Frame
    lines: Frame


def intervals(fit: Fit, *, ci: Method, level: float, df: str, seed: int) -> Frame:
    """Intervals of the coefficients, then of standard deviations and correlations.

    Args:
        fit: The fit.
        ci: auto, wald, profile or bootstrap (of `REFITS` refits).
        level: Coverage.
        df: Denominator degrees of freedom of the coefficients, for auto and wald.
        seed: Seed of the bootstrap.

    Returns:
        DataFrame parameter, estimate, low, high, interval (the method in words), refits (of a bootstrap),
        note (what could not be found, and why).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialResult)  # the notes say it
        table = fit.conf_int(ci, level, df, n=REFITS, seed=seed)
    trouble: Mapping[str, str] = table.attrs.get("trouble", {})
    names = [_made(ci, each) for each in table["criterion"]]
    notes = [trouble.get(str(name)) or _refits(table) for name in table.index]
    random = dict(zip(parameter_names(fit.estimates), parameters(fit.estimates).tolist(), strict=True))
    known = {**fit.residual_params, **random, **fit.params}
    table.insert(0, "estimate", [known[name] for name in table.index])
    bounds = table[["estimate", "low", "high"]].rename_axis("parameter").reset_index()
    return bounds.assign(interval=names, refits=REFITS if ci == "bootstrap" else None, note=notes)


def _made(ci: Method, criterion: str) -> str:
    """The method behind an interval in words, from the criterion that `conf_int` gave."""
    if ci == "auto":
        ci = "profile" if ", profile" in criterion else "wald"
        criterion = criterion.replace(", profile", "")
    return NAMES[ci].format(criterion=criterion)


def _refits(table: Frame) -> str:
    """What became of the refits of a bootstrap, where not all went well."""
    counts: Mapping[str, int] = table.attrs.get("replicates", {})
    return ", ".join(f"{count} {what}" for what, count in counts.items() if what != "n" and count)


def coefficients(fit: Fit, bounds: Frame, *, df: str, level: float) -> Frame:
    """Fixed effects: coefficient, estimate, se, df, t, p, low, high, method, interval (what made the bounds).

    Args:
        fit: The fit.
        bounds: Its `intervals`.
        df: Denominator degrees of freedom of the tests.
        level: Coverage.
    """
    table = fit.coef_table(df=df, level=level).reset_index()
    found = bounds.set_index("parameter").loc[table["coefficient"]]
    for name in ("low", "high", "interval"):
        table[name] = found[name].to_numpy()
    return table


def slopes(coefficients: Frame) -> Frame:
    """The coefficients that can share an axis: all but the intercept, or the intercept when it is alone."""
    others = coefficients[coefficients["coefficient"] != "Intercept"]
    return coefficients if others.empty else others.reset_index(drop=True)


def _drawn(coefficients: Frame) -> Facts:
    return {"drawn": len(slopes(coefficients))}


def anova(fit: Fit, *, df: str) -> Frame:
    """F tests of the terms, type III: term, num_df, den_df, F, p, method."""
    return fit.anova(type=3, df=df).reset_index()


def factor_means(fit: Fit, *, df: str, level: float) -> Means:
    """Marginal means of the factors of the fixed part with all their differences (Tukey).

    Factors that interact are taken together: the first is compared within the levels of the others.

    Args:
        fit: The fit.
        df: Denominator degrees of freedom.
        level: Coverage of the intervals.
    """
    tables, pairs, lines = [Frame(columns=MEANS)], [Frame(columns=PAIRS)], [Frame(columns=LINES)]
    for family in _families(fit):
        means = fit.marginal_means(family[0], family[1:], df, level=level)
        tables.append(_told(means, family, means).rename(columns={"told": "cell"}))
        if len(means) > 1:
            differences = _told(means.pairs("tukey"), family, means).rename(columns={"told": "contrast"})
            pairs.append(differences.assign(adjusted="Tukey"))
        if len(family) > 1:
            lines.append(_lines(means, family, tables[-1]))
    return Means(_stacked(tables), _stacked(pairs), _stacked(lines))


def _lines(means: MarginalMeans, family: list[str], told: Frame) -> Frame:
    """Means of factors that interact, along the first of them."""
    levels = {name: means.index.get_level_values(name).astype(str) for name in family}
    cells = zip(*(levels[name] for name in family[1:]), strict=True)
    by = [", ".join(f"{name}: {cell}" for name, cell in zip(family[1:], row, strict=True)) for row in cells]
    return told.assign(group=family[0], level=levels[family[0]], by=by)


def _stacked(tables: list[Frame]) -> Frame:
    """Tables one below the other, with the columns of the first, which is empty."""
    columns = list(tables[0].columns)
    return pd.concat(tables[1:], ignore_index=True)[columns] if len(tables) > 1 else tables[0]


def _told(table: Frame, family: list[str], means: MarginalMeans) -> Frame:
    """A table of means or differences with its labels as one column of text, and the method."""
    name = " within ".join(filter(None, [family[0], " and ".join(family[1:])]))
    levels = [table.index.get_level_values(i).astype(str) for i in range(table.index.nlevels)]
    labels = [f"{name}: {', '.join(label)}" for label in zip(*levels, strict=True)]
    plain = Frame(table).reset_index(drop=True)
    return plain.assign(told=labels, family=name, method=means.attrs["method"])


def _families(fit: Fit) -> list[list[str]]:
    """Factors that interact, together, in the order of the grid; those with too many levels left out.

    The visits of a residual structure come last: other factors are compared within visits.
    """
    axes = _factors(fit)
    residual = fit.design.residual
    visits = str(residual.formula.time) if residual and residual.formula.time else ""
    axes = dict(sorted(axes.items(), key=lambda axis: axis[0] == visits))
    found = {frozenset(effect.factors & axes.keys()) for effect in fixed_effects(fit.design.recipe)}
    largest = [each for each in found if each and not any(each < other for other in found)]
    families = sorted([name for name in axes if name in each] for each in largest)
    return [family for family in families if math.prod(axes[name] for name in family) <= MOST_MEANS]


def _factors(fit: Fit) -> dict[str, int]:
    """How many levels each factor has; none where their combinations are too many for a grid."""
    try:
        grid = reference_grid(fit.design)
    except FitError:
        return {}
    return {axis.name: len(axis.values) for axis in grid.axes if axis.factor}


def _spans(lines: Frame) -> Facts:
    """How far the means of each line lie apart: the lines of the family whose spans differ most."""
    if not len(lines):
        return {"lines": 0}
    groups = lines.groupby(["family", "by"], sort=False)["mean"]
    spans = (groups.max() - groups.min()).reset_index()
    first, span = groups.head(1).index.to_numpy(), spans["mean"].to_numpy(np.float64)
    widths = list[tuple[float, int, int]]()
    for family in spans["family"].unique():
        mine = np.flatnonzero(spans["family"].to_numpy() == family)
        most, least = mine[span[mine].argmax()], mine[span[mine].argmin()]
        widths.append((float(span[most] - span[least]), int(most), int(least)))
    _, most, least = max(widths, key=lambda each: each[0])
    told = {"most": float(span[most]), "least": float(span[least])}
    return {"lines": len(spans), **told, "most row": int(first[most]), "least row": int(first[least])}


def _clear(pairs: Frame) -> Facts:
    return {"pairs": len(pairs), "exclude zero": int(excludes_zero(pairs).sum())}


def _outcomes(candidates: Frame) -> Facts:
    error = candidates["error"]
    return {
        "candidates": len(candidates),
        "singular": int(candidates["singular"].sum()),
        "failed": int((error.notna() & (error != "")).sum()),
    }


def _steps(path: Frame) -> Facts:
    compared = path["against"].notna() & (path["against"] != "")
    return {
        "steps": int(path["step"].max()) if len(path) else 0,
        "comparisons": int(compared.sum()),
        "taken": int((path["taken"] & compared).sum()),
    }


def comparisons(
    fit: Fit, candidates: Iterable[Mapping[str, Any]], data: Any, options: Mapping[str, Any], *, seed: int
) -> Frame:
    """Likelihood ratio tests of a fit against every candidate that it contains or that contains it.

    Args:
        fit: The model chosen.
        candidates: Each with `candidate` (its text), `formula`, `chosen`, `converged` and `error`.
        data: The table that all are fitted to.
        options: Further arguments of `lmm`.
        seed: Seed of simulated reference distributions.

    Returns:
        DataFrame candidate, relation (to the model chosen), stat, df, p, reference, note (why there is no
        test, if so).
    """
    rows = [
        {"candidate": each["candidate"], **_test(fit, each["formula"], data, options, seed)}
        for each in candidates
        if not each["chosen"] and each["converged"] and not each["error"]
    ]
    return Frame(rows, columns=TESTS)


def _test(fit: Fit, formula: str, data: Any, options: Mapping[str, Any], seed: int) -> dict[str, Any]:
    try:
        parsed = parse_formula(formula)
        given: dict[str, Any] = {**options, "known": known_of(options.get("known"), parsed)}
        alone = not parsed.random and fit.design.residual is None
        table = compare(fit, formula if alone else lmm(formula, data, **given), seed=seed)
    except FitError as error:
        return {"note": str(error)}
    row = table.iloc[-1]
    if not row["reference"]:
        return {"note": row["note"]}
    relation = (
        "within the model chosen" if row.name == model_text(fit.estimates) else "contains the model chosen"
    )
    return {"relation": relation, **{name: row[name] for name in ("stat", "df", "p", "reference", "note")}}


def shares(fit: Fit, *, ci: Method, level: float, seed: int) -> Frame:
    """R2 and intraclass correlation, with intervals where `ci` is bootstrap; heritability of relatives.

    Returns:
        DataFrame share (its name), estimate, low, high, definition.
    """
    refits = REFITS if ci == "bootstrap" else None
    parts = [made(refits, seed, level) for made in ([fit.r2, fit.icc] if fit.design.random else [fit.r2])]
    meaning: dict[str, str] = {
        key: value for part in parts for key, value in part.attrs["definition"].items()
    }
    table = pd.concat([Frame(part) for part in parts])
    names = [f"{SHARES[name]} {name}" for name in meaning]
    table = table.assign(share=names, definition=list(meaning.values()))
    return pd.concat([table, *_heritability(fit, refits, level, seed)])[
        ["share", "estimate", "low", "high", "definition"]
    ].reset_index(drop=True)


def _heritability(fit: Fit, refits: int | None, level: float, seed: int) -> list[Frame]:
    """Heritability of each factor with a known covariance; nothing where it is not one share."""
    if not fit.design.has_relatives:
        return []
    try:
        found = fit.h2(refits, seed, level)
    except FitError:
        return []
    told = [
        f"variance of {group} over the sum of the variances, {how}" for group, how in found["method"].items()
    ]
    return [found.assign(share=[f"Heritability {group}" for group in found.index], definition=told)]


def standardised(fit: Fit) -> Frame:
    """Differences between levels of factors over the total standard deviation: coefficient, estimate.

    Of main effects under treatment coding that take part in no interaction; no rows where no total is
    defined.
    """
    variables = {name: each for name, each in fit.design.composition.items() if len(each) == 1}
    mine = [
        fit.design.fixed_names[i]
        for term in fit.design.fixed_terms
        if term.name in variables
        and reference_level(variables[term.name][0]) is not None
        and not where_zero(fit.design, term.name)
        for i in term.columns
        if fit.design.fixed_names[i].startswith(f"{term.name}[T.")
    ]
    try:
        table = fit.effect_sizes()
    except FitError:
        return Frame(columns=["coefficient", "estimate"])
    own = table.loc[[name for name in mine if name in table.index], ["estimate"]]
    return own.rename_axis("coefficient").reset_index()


TABLES = (
    ReportTable(
        "coefficients",
        "Fixed effects with standard errors, tests of zero and intervals.",
        printed("coefficient estimate se df t p low high method interval", t=("Statistic", 2)),
        _drawn,
    ),
    ReportTable(
        "anova",
        "F tests of the terms of the fixed part, type III.",
        printed("term num_df den_df F p method", method="F and df by"),
    ),
    ReportTable(
        "means",
        "Marginal means: other factors averaged with equal weights, covariates at their means.",
        printed("cell mean se df low high method", cell="Level", mean=("Mean", "trusted")),
    ),
    ReportTable(
        "pairs",
        "Differences of the marginal means, p and interval adjusted for all of a family.",
        printed(
            "contrast estimate se df t p low high method adjusted",
            contrast="Difference",
            adjusted="Adjusted by",
        ),
        _clear,
    ),
    ReportTable(
        "candidates",
        "Every candidate, with the reason why it was taken or not.",
        printed("candidate npar deviance aic bic caic p reason", candidate="Random effects"),
        _outcomes,
    ),
    ReportTable(
        "selection_path",
        "The comparisons of the choice, step by step: what the larger model has more, and its test.",
        printed("step stage what candidate stat df p outcome", df="Parameters"),
        _steps,
    ),
    ReportTable(
        "term_components",
        "Principal components of the random effects, of the first and of the chosen model: SD over that of "
        "the residuals and share of the variance; apart from those share and direction of the standardised "
        "effects.",
        printed(
            "candidate group component sd share correlation_share direction",
            candidate="Random effects",
            sd=("Relative SD", 4),
            share=("Share", 4),
            correlation_share=("Share (standardised)", 4),
            direction="Direction (standardised)",
        ),
    ),
    ReportTable(
        "comparisons",
        "Likelihood ratio tests of the model chosen against the candidates that it contains, or is within.",
        printed(
            "candidate relation stat df p reference note",
            candidate="Random effects",
            df="Parameters between",
            reference="Reference distribution",
        ),
    ),
    ReportTable("effect_sizes"),
    ReportTable("interactions", facts=_spans),
    ReportTable(
        "shares",
        "Shares of variance: how much the model explains, and how alike members of a group are.",
        printed(
            "share estimate low high definition", estimate=("Estimate", 3), low=("Low", 3), high=("High", 3)
        ),
    ),
)
