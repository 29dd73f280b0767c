"""Tables behind the pictures and pages about a fit: what is drawn or printed stands in a table first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy

from lmmkit.engine.search.algorithms import ALGORITHMS
from lmmkit.model.certificate import HOLDS, Certificate
from lmmkit.model.fit import Fit
from lmmkit.model.report_tables.panels import PanelChoice, panel_rows

Frame = pd.DataFrame
MANY_ROWS = 20_000


def coefficients(fit: Fit, *, df: str, level: float) -> Frame:
    """Fixed effects: coefficient, estimate, se, df, t, p, low, high, method."""
    return fit.coef_table(df=df, level=level).reset_index()


def components(fit: Fit, bounds: Frame) -> Frame:
    """Variances, covariances and correlations with the intervals of SDs and correlations.

    Args:
        fit: The fit.
        bounds: Its intervals: parameter, low, high, interval (the name of the method).

    Returns:
        DataFrame `component` (what it is, in words), group, var1, var2, vcov, sdcor, low, high, interval.
    """
    table = fit.varcorr
    keys = [_parameter(row) for row in table.to_dict("records")]
    names = [_component(row) for row in table.to_dict("records")]
    table.insert(0, "component", names)
    found = bounds.set_index("parameter")[["low", "high", "interval"]].reindex(keys)
    return pd.concat([table, found.reset_index(drop=True)], axis=1)


def _parameter(row: dict[Any, Any]) -> str:
    """The name of a row of varcorr in `Fit.conf_int`."""
    if row["var1"] is None:
        return "Residual.sd"
    if row["var2"] is None:
        return f"{row['group']}.sd.{row['var1']}"
    return f"{row['group']}.cor.{row['var2']}.{row['var1']}"


def _component(row: dict[Any, Any]) -> str:
    pair = [row["var1"], row["var2"]]
    named = " with ".join(name for name in pair if name is not None)
    return f"{row['group']}: {named}" if named else str(row["group"])


def deviations(parts: Frame) -> Frame:
    """The standard deviations among variance components: component, sd, low, high."""
    sds = parts[parts["var2"].isna()]
    return sds[["component", "sdcor", "low", "high"]].rename(columns={"sdcor": "sd"})


def correlations(fit: Fit) -> Frame:
    """Correlations of each term's random effects, and of the estimated fixed effects, as square blocks."""
    blocks = [
        (term.group, list(term.names), fit.estimates.covariance(place))
        for place, term in enumerate(fit.design.random)
        if term.structure.pairs
    ]
    if len(fit.params) > 1:
        blocks.append(("Estimates of the fixed effects", list(fit.params.index), fit.cov_params().to_numpy()))
    rows = [
        {"block": block, "row": a, "column": b, "correlation": _correlation(G, i, j)}
        for block, names, G in blocks
        for i, a in enumerate(names)
        for j, b in enumerate(names)
    ]
    return Frame(rows, columns=["block", "row", "column", "correlation"])


def _correlation(G: Any, i: int, j: int) -> float:
    scale = float(np.sqrt(G[i, i] * G[j, j]))
    return float(G[i, j]) / scale if scale > 0 else np.nan


def effects(fit: Fit, *, level: float) -> Frame:
    """Predicted random effects, those of each term in order of size.

    Returns:
        DataFrame term (group and name), group, name, level, estimate, se, low, high.
    """
    half = float(scipy.special.ndtri(0.5 + level / 2))
    tables = [
        Frame({"term": f"{group}: {name}", "group": group, "name": name, "level": b.index,
               "estimate": b[name].to_numpy(), "se": fit.ranef_se[group][name].to_numpy()})
        for group, b in fit.ranef.items()
        for name in b.columns
    ]  # fmt: skip
    table = pd.concat([part.sort_values("estimate", kind="stable") for part in tables], ignore_index=True)
    spread = half * table["se"]
    return table.assign(low=table["estimate"] - spread, high=table["estimate"] + spread)


def effect_pairs(fit: Fit) -> Frame:
    """Predicted effects of the factor with most terms, by level, with `normal:` quantiles of their ranks."""
    group = max(fit.ranef, key=lambda name: (fit.ranef[name].shape[1], len(fit.ranef[name])))
    table = fit.ranef[group].rename(columns=lambda name: f"{group}: {name}")
    for name in list(table.columns):
        table[f"normal:{name}"] = _normal_scores(table[name])
    return table.rename_axis("level").reset_index()


def _normal_scores(values: pd.Series[Any]) -> Any:
    return scipy.special.ndtri((values.rank() - 0.5) / len(values))


def lines(fit: Fit, data: Frame, choice: PanelChoice) -> Frame:
    """Rows for one panel per level: panel, x, y, with the model's mean at each x of the panel.

    Args:
        fit: The fit.
        data: The table it was fitted to: the columns shown need not stand in the model.
        choice: The columns of the panels.

    Returns:
        DataFrame panel, x, y, `fitted` (with the random effects) and `population` (without), both averaged
        over the rows of a panel that share an x.
    """
    marginal = pd.Series(fit.estimates.marginal_fit, index=fit.resid.index)
    rows = data.loc[fit.resid.index].assign(**{choice.y: fit.fittedvalues + fit.resid})
    table = panel_rows(rows, choice)
    table = table.assign(fitted=fit.fittedvalues.loc[table.index], population=marginal.loc[table.index])
    means = table.groupby(["panel", "x"], observed=True)[["fitted", "population"]].transform("mean")
    return table.assign(fitted=means["fitted"], population=means["population"])


def search_path(fit: Fit) -> Frame:
    """The search, step by step: the log without theta, and `excess`, the deviance over its final value."""
    table = fit.trace.drop(columns="theta")
    excess = table["deviance"] - fit.deviance
    visible = excess > np.finfo(float).eps * abs(fit.deviance)
    return table.assign(iteration=range(len(table)), excess=excess.where(visible))


def slopes(coefficients: Frame) -> Frame:
    """The coefficients that can share an axis: all but the intercept, or the intercept when it is alone."""
    others = coefficients[coefficients["coefficient"] != "Intercept"]
    return coefficients if others.empty else others.reset_index(drop=True)


def affordable_algorithms(fit: Fit) -> list[str]:
    """The algorithms that are worth their time: on many rows without those that go by small steps."""
    return ["newton", "pls", "direct"] if fit.nobs > MANY_ROWS else list(ALGORITHMS)


def surface_pair(fit: Fit) -> list[str]:
    """Two entries of theta to draw the deviance over, if the model has two or three and is not large."""
    naturals = zip(fit.theta.index, fit.estimates.naturals, strict=True)
    diagonal = [name for name, (_, natural) in naturals if natural.kind == "sd"]
    able = 2 <= len(fit.theta) <= 3 and len(diagonal) >= 2 and fit.nobs <= MANY_ROWS
    return [diagonal[0], diagonal[-1]] if able else []


def verdict(certificate: Certificate) -> dict[str, Any]:
    """A certificate as a whole, in plain values; its checks are in its table."""
    return {
        "passed": certificate.passed,
        "digits": certificate.digits,
        "full": certificate.full,
        "checks": len(certificate.results),
        "held": sum(result.verdict == HOLDS for result in certificate.results),
        "failed": [result.check for result in certificate.failed],
        "sentence": certificate.sentence(),
    }


def facts(fit: Fit, certificate: Certificate) -> Frame:
    """What is said of the fit as a whole, as a table: quantity, value."""
    names = ("nobs", "npar", "deviance", "llf", "aic", "bic", "sigma", "converged", "evaluations")
    values: dict[str, Any] = {name: getattr(fit, name) for name in names}
    values |= {"singular": fit.is_singular, "certificate": certificate.passed, "digits": certificate.digits}
    return Frame({"quantity": list(values), "value": pd.Series(list(values.values()), dtype=object)})


def summary(fit: Fit) -> dict[str, Any]:
    """The fit as a whole, in plain values."""
    singular = [
        term.group
        for term, null in zip(fit.design.random, fit.estimates.null_directions, strict=True)
        if null
    ]
    return {
        "formula": fit.formula,
        "method": "REML" if fit.reml else "ML",
        "algorithm": fit.algorithm,
        "nobs": fit.nobs,
        "ngroups": fit.ngroups,
        "npar": fit.npar,
        "deviance": fit.deviance,
        "llf": fit.llf,
        "aic": fit.aic,
        "bic": fit.bic,
        "sigma": fit.sigma,
        "iterations": len(fit.trace) - 1,
        "evaluations": fit.evaluations,
        "converged": fit.converged,
        "singular": fit.is_singular,
        "singular_terms": singular,
        "dropped_columns": fit.dropped_columns,
        "warnings": list(fit.design.warnings),
    }
