"""Tables behind the pictures and pages about a fit: what is drawn or printed stands in a table first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy

from lmmkit.engine.covariance.structures import correlation
from lmmkit.model.certificate import Certificate
from lmmkit.model.design.residual_design import ResidualDesign, VisitDesign
from lmmkit.model.fit import Fit
from lmmkit.model.inference.distributions import normal_quantile
from lmmkit.model.inference.open_directions import not_identified
from lmmkit.model.report_tables.report_table import Facts, ReportTable, excludes_zero, printed
from lmmkit.model.table.grouping import reused_labels

Frame = pd.DataFrame
RESIDUAL = "Residual"
EFFECTS = ["term", "group", "name", "level", "estimate", "se", "low", "high"]


def components(fit: Fit, bounds: Frame) -> Frame:
    """Variances, covariances and correlations with the intervals of SDs and correlations.

    Args:
        fit: The fit.
        bounds: Its intervals: parameter, low, high, interval (the name of the method).

    Returns:
        DataFrame `component` (what it is, in words), group, var1, var2, vcov, sdcor, low, high, interval.
    """
    table = fit.varcorr
    named = (_named(row, fit.design.residual, set(bounds["parameter"])) for row in table.to_dict("records"))
    keys, names = zip(*named, strict=True)
    table.insert(0, "component", list(names))
    single = bounds[~bounds["parameter"].duplicated(keep=False)]  # of one name for two, neither is told here
    found = single.set_index("parameter")[["low", "high", "interval"]].reindex(list(keys))
    found = found.reset_index(drop=True)
    # An interval of all values says nothing of a correlation at the edge of what is possible.
    whole = table["var2"].notna() & (found["low"] <= -1.0) & (found["high"] >= 1.0)
    found.loc[whole, ["low", "high"]] = np.nan
    found.loc[whole, "interval"] = "none: the data exclude no correlation"
    return pd.concat([table, found], axis=1)


def _named(row: dict[Any, Any], residual: ResidualDesign | None, known: set[str]) -> tuple[str, str]:
    """The name of a row of varcorr in `Fit.conf_int`, and what it is in words.

    Of a residual structure the SD of the first cell or level is a parameter, and of `un` each correlation;
    the others are functions of several parameters, and have no name there. A structure of one variance has
    one SD for all its effects.
    """
    group, first, second = row["group"], row["var1"], row["var2"]
    if group == RESIDUAL and isinstance(residual, VisitDesign):
        cells = residual.cell_names
        if second is None:
            return "Residual.sd" if first == cells[0] else "", f"{group}: {first}"
        name = _correlation_name(residual, cells.index(first), cells.index(second))
        return name, f"{group}: {first} with {second}"
    if group == RESIDUAL and first is not None:
        own = residual is None or residual.ident is None or first == residual.ident.levels[0]
        return "Residual.sd" if own else "", f"{group}: {first}"
    if first is None:
        return "Residual.sd", group
    if second is None:
        own, shared = f"{group}.sd.{first}", f"{group}.sd"
        return shared if own not in known and shared in known else own, f"{group}: {first}"
    return f"{group}.cor.{second}.{first}", f"{group}: {first} with {second}"


def _correlation_name(residual: VisitDesign, a: int, b: int) -> str:
    """The name of the parameter that the correlation of two cells is; nothing where it is none."""
    if residual.formula.correlation != "un":
        return ""
    first, second = sorted(residual.cells[cell].visit for cell in (a, b))
    prefix = f"{residual.by.levels[residual.cells[a].by]}." if residual.by else ""
    return f"{prefix}cor.{residual.visits.names[first]}.{residual.visits.names[second]}"


def standard_deviations(parts: Frame) -> Frame:
    """The standard deviations among variance components: component, name (of the effect), sd, low, high."""
    sds = parts[parts["var2"].isna()].rename(columns={"sdcor": "sd"})
    names = sds["var1"].where(sds["group"] != RESIDUAL)
    return sds.assign(name=names)[["component", "name", "sd", "low", "high"]]


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
        {"block": block, "row": a, "column": b, "correlation": float(correlation(G, i, j))}
        for block, names, G in blocks
        for i, a in enumerate(names)
        for j, b in enumerate(names)
    ]
    return Frame(rows, columns=["block", "row", "column", "correlation"])


def effects(fit: Fit, *, level: float) -> Frame:
    """Predicted random effects, those of each term in order of size; none without random effects.

    Returns:
        DataFrame term (group and name), group, name, level, estimate, se, low, high.
    """
    half = normal_quantile(0.5 + level / 2)
    tables = [
        Frame({"term": f"{group}: {name}", "group": group, "name": name, "level": b.index,
               "estimate": b[name].to_numpy(), "se": fit.ranef_se[group][name].to_numpy()})
        for group, b in fit.ranef.items()
        for name in b.columns
    ]  # fmt: skip
    if not tables:
        return Frame(columns=EFFECTS)
    table = pd.concat([part.sort_values("estimate", kind="stable") for part in tables], ignore_index=True)
    spread = half * table["se"]
    return table.assign(low=table["estimate"] - spread, high=table["estimate"] + spread)


def _clear(effects: Frame) -> Facts:
    """For each term how many of its intervals exclude zero, of how many."""
    counts = excludes_zero(effects).groupby(effects["term"], sort=False).agg(["sum", "size"])
    return {
        "terms": len(counts),
        **{f"{term}: exclude zero": int(n) for term, n in counts["sum"].items()},
        **{f"{term}: levels": int(n) for term, n in counts["size"].items()},
    }


def effect_pairs(fit: Fit) -> Frame:
    """Predicted effects of the factor with most terms, by level, with `normal:` quantiles of their ranks."""
    group = max(fit.ranef, key=lambda name: (fit.ranef[name].shape[1], len(fit.ranef[name])))
    table = fit.ranef[group].rename(columns=lambda name: f"{group}: {name}")
    for name in list(table.columns):
        table[f"normal:{name}"] = scipy.special.ndtri((table[name].rank() - 0.5) / len(table))
    return table.rename_axis("level").reset_index()


def effects_of_pairs(scatter: Frame) -> list[str]:
    """The columns of a table of `effect_pairs` that are effects: group and name of each."""
    return [str(name) for name in scatter if name != "level" and not str(name).startswith("normal:")]


def terms_of_pairs(scatter: Frame) -> list[str]:
    """Their names without their group."""
    return [term.partition(": ")[2] for term in effects_of_pairs(scatter)]


def _straight(scatter: Frame) -> Facts:
    """The correlation of each term's effects with their normal quantiles."""
    told = {
        f"{term}: straight": float(scatter[term].corr(scatter[f"normal:{term}"]))
        for term in effects_of_pairs(scatter)
    }
    return {"levels": len(scatter), **told}


def _overall(fit: Fit) -> dict[str, Any]:
    """The numbers of a fit as a whole."""
    names = ("nobs", "npar", "deviance", "llf", "aic", "bic", "sigma", "converged", "evaluations")
    return {name: getattr(fit, name) for name in names} | {"singular": fit.is_singular}


def facts(fit: Fit, certificate: Certificate) -> Frame:
    """What is said of the fit as a whole, as a table: quantity, value."""
    values = _overall(fit) | {"certificate": certificate.passed, "digits": certificate.digits}
    return Frame({"quantity": list(values), "value": pd.Series(list(values.values()), dtype=object)})


def summary(fit: Fit) -> dict[str, Any]:
    """The fit as a whole, in plain values."""
    terms = zip(fit.design.random, fit.estimates.null_directions, strict=True)
    return {
        "formula": fit.formula,
        "method": "REML" if fit.reml else "ML",
        "algorithm": fit.algorithm,
        **_overall(fit),
        "ngroups": fit.ngroups,
        "iterations": len(fit.trace) - 1,
        "singular_terms": [term.group for term, null in terms if null],
        "dropped_columns": fit.dropped_columns,
        "residual": _residual_structure(fit.design.residual),
        "reused": reused_labels(fit.design.groupings),
        "warnings": [*not_identified(fit.estimates), *_boundary(fit), *fit.design.warnings],
    }


def _boundary(fit: Fit) -> list[str]:
    """A correlation of the residuals that has come to zero, in words."""
    residual = fit.design.residual
    said = residual.boundary(fit.estimates.residual_params) if residual else ""
    return [f"{said[:1].upper()}{said[1:]}"] if said else []


def _residual_structure(residual: ResidualDesign | None) -> dict[str, str] | None:
    """The residual structure as read and in words; None where residuals are independent."""
    return None if residual is None else {"structure": str(residual.formula), "words": residual.words}


TABLES = (
    ReportTable(
        "components",
        "Variances and covariances; standard deviations and correlations with intervals.",
        printed(
            "component vcov sdcor low high interval",
            vcov="Variance or covariance",
            sdcor=("SD or correlation", "sized"),
            low=("Low", "sized"),
            high=("High", "sized"),
        ),
    ),
    ReportTable("correlations"),
    ReportTable("effects", facts=_clear),
    ReportTable("effect_pairs", facts=_straight),
)
