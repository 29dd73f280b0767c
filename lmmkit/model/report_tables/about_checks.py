"""What the residuals and the predicted effects say about the assumptions: outliers, variances, distributions.

Each check has a size beside its p value, and both decide: in many rows a trifle is significant, in few rows
nothing is. Its verdict is `serious`, `slight` or `nothing found`, or `not checked` with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.inference.prediction_error import PredictionError
from lmmkit.model.blups import ranef_table
from lmmkit.model.estimates import Estimates
from lmmkit.model.fit import Fit
from lmmkit.model.inference.degrees_of_freedom import is_small
from lmmkit.model.inference.distributions import t_tail
from lmmkit.model.report_tables.report_table import ReportTable
from lmmkit.model.residual_kinds import normalised
from lmmkit.model.threads import one_thread

SERIOUS, SLIGHT, NOTHING, UNCHECKED = "serious", "slight", "nothing found", "not checked"
ALPHA, CLEAR = 0.05, 0.01  # of a slight and of a serious finding
RATIO = 1.5  # of standard deviations, from which a difference is serious
SKEW, KURTOSIS = 1.0, 2.0  # from which a departure from normality is serious
LEAST_ROWS = 20  # for a test of normality
LEAST_IN_GROUP = 3  # rows of a group whose spread is compared
LEAST_LEVELS = 10  # of a factor whose predicted effects are judged
SHOWN = 20  # outlying rows that are listed
CHECKS = [
    "check",
    "of",
    "statistic",
    "df",
    "p",
    "size",
    "low",
    "high",
    "count",
    "total",
    "least",
    "most",
    "verdict",
    "note",
]
OUTLIERS = ["row", "groups", "observed", "fitted", "studentised", "p"]
LEVELS = ["term", "level", "estimate", "studentised", "p"]

Frame = pd.DataFrame


@dataclass(frozen=True)
class Checks:
    """What was found.

    Attributes:
        table: check, of (what), statistic, df, p, size, low, high, count, total, least and most (levels),
            verdict, note (why a check was not made).
        rows: Outlying rows: row (its number in the file), groups (its levels), observed, fitted, studentised,
            p (Holm's, among all rows); the largest one in any case.
        levels: The same of predicted random effects: term, level, estimate, studentised, p.
    """

    table: Frame
    rows: Frame
    levels: Frame


def checks(fit: Fit, rows: Sequence[int]) -> Checks:
    """The assumptions of a fit against its residuals and predicted effects.

    Args:
        fit: The fit.
        rows: The number in its file of each row of the table that it was fitted to.
    """
    found = studentised(fit.estimates)
    outlying = _outlying_rows(fit, found, [int(rows[int(place)]) for place in fit.design.rows])
    levels = _outlying_levels(fit)
    parts = [
        _outliers(found, outlying),
        _against_fitted(fit, found.values),
        *_between_groups(fit, found.values),
        _normality(found.values),
        *_levels_found(fit, levels),
        _independence(fit),
    ]
    texts = ["check", "of", "least", "most", "verdict", "note"]
    table = Frame(parts, columns=CHECKS).astype(dict.fromkeys(texts, object))
    return Checks(table, outlying, levels)


@dataclass(frozen=True, eq=False)
class Studentised:
    """Residuals in units of their own standard deviation.

    Attributes:
        values: (n,) of Student's t with `df` each where the model holds; NaN of a row that fits itself.
        df: Degrees of freedom; infinite where they are standardised alone.
        kind: studentised, standardised or normalised.
    """

    values: Floats
    df: float
    kind: str


def studentised(estimates: Estimates) -> Studentised:
    """Conditional residuals over their standard deviation, each judged by a scale that leaves it out.

    e_i has the variance sigma^2 (1 / w_i - v_i), sigma^2 v_i being the prediction error variance of the
    fitted value: e_i over its root is the test of a shift of the mean in row i. Under a residual structure,
    for large fits, and where rows have several levels or levels are related, residuals are divided by their
    fitted standard deviation alone.

    Reference: Cook & Weisberg (1982), Residuals and Influence in Regression, 2.2.1, for the step to the scale
    without the row; Haslett & Hayes (1998), Residuals for the linear model with general covariance structure.
    """
    problem = estimates.problem
    e = problem.response - estimates.fitted
    if problem.residual is not None:
        return Studentised(normalised(estimates), np.inf, "normalised")
    if not is_small(estimates) or not all(term.plain for term in problem.terms):
        return Studentised(e / estimates.noise, np.inf, "standardised")
    Z = tuple(np.stack([problem.columns[c] for c in term.columns], axis=1) for term in problem.terms)
    codes = tuple(term.codes for term in problem.terms)
    with one_thread():
        v = PredictionError(estimates.optimum).variance(estimates.X, Z, codes)
    left = (estimates.noise / estimates.sigma) ** 2 - v
    free = left > 1e-8 * (estimates.noise / estimates.sigma) ** 2
    t = np.where(free, e / (estimates.sigma * np.sqrt(np.where(free, left, 1.0))), np.nan)
    df = len(e) - len(estimates.beta)
    if df < 3:
        return Studentised(t, np.inf, "standardised")
    rest = np.maximum(df - t**2, 1e-12 * df)
    return Studentised(t * np.sqrt((df - 1.0) / rest), df - 1.0, "studentised")


def _holm(p: Floats) -> Floats:
    """P values adjusted for their number, step by step; NaN stay."""
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    out = np.full(len(p), np.nan)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return out


def _verdict(p: float, *, serious: bool = True) -> str:
    if not np.isfinite(p):
        return UNCHECKED
    if p < CLEAR and serious:
        return SERIOUS
    return SLIGHT if p < ALPHA else NOTHING


def _outlying_rows(fit: Fit, found: Studentised, numbers: Sequence[int]) -> Frame:
    p = _holm(t_tail(found.values, np.full(len(found.values), found.df)))
    order = np.argsort(-np.abs(np.nan_to_num(found.values)), kind="stable")
    clear = [i for i in order[:SHOWN] if p[i] < ALPHA] or order[:1].tolist()
    names = [(g.name, list(map(str, g.levels)), g.codes) for g in fit.design.groupings]
    rows: list[dict[str, Any]] = [
        {
            "row": numbers[i],
            "groups": ", ".join(_told(name, levels[codes[i]]) for name, levels, codes in names),
            "observed": float(fit.estimates.problem.response[i]),
            "fitted": float(fit.estimates.fitted[i]),
            "studentised": float(found.values[i]),
            "p": float(p[i]),
        }
        for i in clear
    ]
    return Frame(rows, columns=OUTLIERS)


def _told(group: str, level: str) -> str:
    """A level with its group's name, unless it begins with that: `Subject 332`, `field 9`."""
    return level if level.lower().startswith(f"{group.lower()} ") else f"{group} {level}"


def _outliers(found: Studentised, rows: Frame) -> dict[str, Any]:
    p, t = float(rows["p"].iloc[0]), float(rows["studentised"].iloc[0])
    count = int((_holm(t_tail(found.values, np.full(len(found.values), found.df))) < ALPHA).sum())
    return {
        "check": "outlying rows", "of": found.kind, "statistic": abs(t), "df": found.df, "p": p,
        "size": abs(t),
        "count": count, "total": len(found.values), "verdict": _verdict(p),
    }  # fmt: skip


def _against_fitted(fit: Fit, t: Floats) -> dict[str, Any]:
    """Koenker's test whether squares rise with the fitted values, and the SDs of their thirds."""
    head = {"check": "variance along fitted values", "of": "fitted values"}
    known = np.isfinite(t)
    x, squares = fit.estimates.fitted[known], t[known] ** 2
    if known.sum() < LEAST_ROWS or np.ptp(x) <= 1e-12 * max(float(np.abs(x).max()), 1e-300):
        return {**head, "verdict": UNCHECKED, "note": "too few rows, or one fitted value"}
    r = float(np.corrcoef(x, squares)[0, 1])
    statistic = float(known.sum()) * r**2
    p = float(scipy.special.chdtrc(1, statistic))
    order = np.argsort(x, kind="stable")
    low, high = (float(np.sqrt(np.mean(squares[part]))) for part in np.array_split(order, 3)[::2])
    ratio = max(low, high) / max(min(low, high), 1e-300)
    return {
        **head, "statistic": statistic, "df": 1.0, "p": p, "size": ratio, "low": low * fit.sigma,
        "high": high * fit.sigma, "total": int(known.sum()), "verdict": _verdict(p, serious=ratio >= RATIO),
    }  # fmt: skip


def _between_groups(fit: Fit, t: Floats) -> Iterator[dict[str, Any]]:
    """Levene's test (Brown and Forsythe's, about medians) between levels of each factor."""
    for name, levels, codes in _factors(fit):
        known = np.isfinite(t)
        order = np.argsort(codes[known], kind="stable")
        counts = np.bincount(codes[known], minlength=len(levels))
        parts = np.split(t[known][order], np.cumsum(counts)[:-1])
        large = [pair for pair in zip(levels, parts, strict=True) if len(pair[1]) >= LEAST_IN_GROUP]
        head = {"check": "variance between groups", "of": name}
        if len(large) < 2 or len(large) < len(levels) / 2:
            yield {**head, "verdict": UNCHECKED, "note": f"fewer than {LEAST_IN_GROUP} rows in most levels"}
            continue
        statistic, p = (
            float(value) for value in scipy.stats.levene(*(part for _, part in large), center="median")
        )
        sds = np.array([np.sqrt(np.mean(part**2)) for _, part in large])
        low, high = (
            float(value) for value in np.quantile(sds, [0.25, 0.75] if len(large) > 4 else [0.0, 1.0])
        )
        least, most = large[int(sds.argmin())][0], large[int(sds.argmax())][0]
        yield {
            **head, "statistic": statistic, "df": float(len(large) - 1), "p": p,
            "size": high / max(low, 1e-300),
            "low": float(sds.min()) * fit.sigma, "high": float(sds.max()) * fit.sigma, "count": len(large),
            "total": int(known.sum()), "verdict": _verdict(p, serious=high / max(low, 1e-300) >= RATIO),
            "least": least, "most": most,
        }  # fmt: skip


def _factors(fit: Fit) -> Iterator[tuple[str, list[str], Ints]]:
    """Grouping factors, then the factors of the fixed part: name, levels, the level of each row."""
    if fit.design.residual is not None:
        return
    taken = set[str]()
    for grouping in fit.design.groupings:
        taken.add(grouping.name)
        yield grouping.name, list(map(str, grouping.levels)), grouping.codes
    for name, axis in ((n, fit.design.frame[n]) for n in fit.design.recipe.fixed_columns()):
        if name not in taken and not pd.api.types.is_numeric_dtype(axis):
            codes, levels = pd.factorize(axis, sort=True)
            yield name, list(map(str, levels)), np.asarray(codes, np.intp)


def _normality(t: Floats) -> dict[str, Any]:
    """D'Agostino and Pearson's test, with skewness and excess kurtosis."""
    known, head = t[np.isfinite(t)], {"check": "normal residuals", "of": "residuals"}
    if len(known) < LEAST_ROWS:
        return {**head, "verdict": UNCHECKED, "note": f"fewer than {LEAST_ROWS} rows"}
    statistic, p = (float(value) for value in scipy.stats.normaltest(known))
    lean, tails = float(scipy.stats.skew(known)), float(scipy.stats.kurtosis(known))
    serious = abs(lean) >= SKEW or abs(tails) >= KURTOSIS
    return {
        **head, "statistic": statistic, "df": 2.0, "p": p, "size": tails, "low": lean, "total": len(known),
        "verdict": _verdict(p, serious=serious),
    }  # fmt: skip


def _outlying_levels(fit: Fit) -> Frame:
    """Predicted effects over the standard deviation that they have where the model holds; largest first."""
    if not fit.design.random or not is_small(fit.estimates):
        return Frame(columns=LEVELS)
    table, parts = ranef_table(fit.estimates, error="prediction", level=0.95), list[Frame]()
    for place, term in enumerate(fit.design.random):
        if not term.grouping.plain:  # levels that are related have variances of their own
            continue
        for name, variance in zip(term.names, np.diagonal(fit.estimates.covariance(place)), strict=True):
            own = table[(table["group"] == term.group) & (table["term"] == name)]
            left = variance - own["se"].to_numpy() ** 2
            if len(own) < LEAST_LEVELS or variance <= 0.0:
                continue
            z = np.where(left > 1e-8 * variance, own["estimate"] / np.sqrt(np.maximum(left, 1e-300)), np.nan)
            p = _holm(t_tail(z, np.full(len(z), np.inf)))
            mine = Frame({"term": f"{term.group}: {name}", "level": own["level"].to_numpy(),
                          "estimate": own["estimate"].to_numpy(), "studentised": z, "p": p})  # fmt: skip
            mine = Frame(mine[np.isfinite(mine["p"])]).sort_values("p", kind="stable")
            shown = (mine["p"].to_numpy() < ALPHA) | (np.arange(len(mine)) == 0)
            parts.append(mine.iloc[np.flatnonzero(shown)[:SHOWN]])
    return pd.concat(parts, ignore_index=True) if parts else Frame(columns=LEVELS)


def _levels_found(fit: Fit, levels: Frame) -> Iterator[dict[str, Any]]:
    for term, own in levels.groupby("term", sort=False):
        z, p = float(own["studentised"].iloc[0]), float(own["p"].iloc[0])
        yield {
            "check": "outlying groups", "of": term, "statistic": abs(z), "df": np.inf, "p": p, "size": abs(z),
            "count": int((own["p"] < ALPHA).sum()), "verdict": _verdict(p), "most": str(own["level"].iloc[0]),
        }  # fmt: skip


def _independence(fit: Fit) -> dict[str, Any]:
    why = "the data name no order of the rows within a group"
    shape = fit.design.residual
    if shape is not None and shape.formula.group is not None:
        why = "see the fitted and the empirical correlations"
    return {"check": "independence", "of": "residuals", "verdict": UNCHECKED, "note": why}


TABLES = (
    ReportTable(
        "checks",
        "Checks of the assumptions.",
        {
            "check": "Check",
            "of": "Of",
            "statistic": ("Statistic", 2),
            "df": "df",
            "p": ("p", "probability"),
            "verdict": "Verdict",
        },
        texts=("of", "least", "most"),
    ),
    ReportTable(
        "outliers",
        "The rows farthest from what the model expects, p adjusted for the number of rows (Holm).",
        {
            "row": "Row of the file",
            "groups": "Of",
            "observed": "Observed",
            "fitted": "Fitted",
            "studentised": ("Standardised residual", 2),
            "p": ("p", "probability"),
        },
    ),
    ReportTable("outlying_levels", texts=("level",)),
)
