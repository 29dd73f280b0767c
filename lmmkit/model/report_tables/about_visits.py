"""Tables about residuals over visits: what the structure fits, what the residuals show, other structures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.structures import correlation
from lmmkit.errors import FitError
from lmmkit.model.design.residual_design import ResidualDesign, RowDesign, VisitDesign
from lmmkit.model.diagnostics.serial import shifts
from lmmkit.model.fit import Fit
from lmmkit.model.formula.residual_formula import FAMILIES, IID, ResidualFormula, parse_residual
from lmmkit.model.inference.distributions import normal_quantile
from lmmkit.model.means.focus import Focus
from lmmkit.model.report_tables.about_answer import Estimand, one_number
from lmmkit.model.report_tables.panels import evenly_spaced
from lmmkit.model.report_tables.report_table import Facts, ReportTable, outside, printed
from lmmkit.model.selection.residual_structures import COLUMNS, residual_structures
from lmmkit.model.tables import residual_sds

Frame = pd.DataFrame
SHOWN = 24  # cells of which SDs and correlations are told
LAGS = 30
ROUNDING = (
    1e-12  # of an autocorrelation that is zero, as all are under `un` with means of its own for each visit
)
MOST_NUGGET, MOST_NUGGET_GROUP = 5_000, 200  # rows, and of a group, up to which a nugget is tried
IN_SECONDS = 60  # visits up to which structures with a parameter for every distance are tried


def residual_parameters(fit: Fit, bounds: Frame) -> Frame:
    """The parameters of the residual structure: parameter, estimate, low, high, interval.

    Args:
        fit: The fit.
        bounds: Its intervals: parameter, estimate, low, high, interval (the name of the method).
    """
    own = bounds[bounds["parameter"].isin(list(fit.residual_params.index))]
    return own[["parameter", "estimate", "low", "high", "interval"]].reset_index(drop=True)


def cell_sds(fit: Fit) -> Frame:
    """Standard deviations of the residuals in each cell (visit, level): as fitted, and of the residuals.

    Returns:
        DataFrame cell, rows, fitted, empirical: the root mean square of what the fit leaves; empty where
        residuals are neither over visits nor of several levels.
    """
    shape, names, codes = fit.design.residual, list[str](), np.empty(0, np.intp)
    fitted = np.empty(0)
    if isinstance(shape, VisitDesign):
        names, codes = _capital(shape.structure.labels), shape.arrays.cells
        fitted = np.sqrt(np.diag(fit.estimates.residual_covariance))
    elif shape and shape.ident:
        names, codes = [f"{shape.ident.name} {level}" for level in shape.ident.levels], shape.ident.codes
        fitted = residual_sds(fit.estimates)[1]
    if not names:
        return Frame(columns=["cell", "rows", "fitted", "empirical"])
    rows, squares = np.bincount(codes), np.bincount(codes, _weighted(fit) ** 2)
    table = Frame({"cell": names, "rows": rows, "fitted": fitted, "empirical": np.sqrt(squares / rows)})
    return table.iloc[evenly_spaced(len(table), SHOWN)].reset_index(drop=True)


def cell_correlations(fit: Fit) -> Frame:
    """Correlations of the residuals of a subject in two cells: as fitted, and of the residuals.

    The empirical ones take each pair of cells over the subjects with rows in both, around zero. Values that
    are missing at random move them: the model takes account of who is missing, a correlation does not.
    Pairs that no subject has, such as those of two levels of a factor between subjects, are left out.

    Returns:
        DataFrame pair, first, second, subjects, fitted, empirical; empty where residuals are not over visits.
    """
    shape, V = fit.design.residual, fit.estimates.residual_covariance
    columns = ["pair", "first", "second", "subjects", "fitted", "empirical"]
    if not isinstance(shape, VisitDesign):
        return Frame(columns=columns)
    labels = _capital(shape.structure.labels)
    shown = set(evenly_spaced(len(labels), SHOWN).tolist())
    pairs = shape.pairs
    sums = _products(shape, _weighted(fit)) if pairs else {}
    rows = [
        {
            "pair": f"{labels[a]} with {labels[b].removeprefix('Visit ')}",
            "first": labels[a],
            "second": labels[b],
            "subjects": int(sums[a, b][0]),
            "fitted": float(correlation(V, a, b)),
            "empirical": sums[a, b][1],
        }
        for a, b in pairs
        if {a, b} <= shown and sums[a, b][0]
    ]
    return Frame(rows, columns=columns)


def correlation_maps(pairs: Frame) -> Frame:
    """The same as square blocks, `fitted` and `empirical`: block, row, column, correlation."""
    both = pd.concat([pairs, pairs.rename(columns={"first": "second", "second": "first"})])
    names = list(dict.fromkeys([*pairs["first"], *pairs["second"]]))
    ones = Frame({"first": names, "second": names, "fitted": 1.0, "empirical": 1.0})
    whole = pd.concat([both, ones], ignore_index=True)
    blocks = [
        Frame({"block": kind, "row": whole["first"], "column": whole["second"], "correlation": whole[kind]})
        for kind in ("fitted", "empirical")
    ]
    return pd.concat(blocks, ignore_index=True)


def _of(fit: Fit) -> VisitDesign:
    shape = fit.design.residual
    assert isinstance(shape, VisitDesign)  # asked of such fits alone
    return shape


def _weighted(fit: Fit) -> Floats:
    """What the fit leaves of each row, times the root of its prior weight."""
    e, weights = np.asarray(fit.resid, np.float64), fit.estimates.problem.weights
    return e if weights is None else e * np.sqrt(weights)


def _capital(labels: tuple[str, ...]) -> list[str]:
    return [f"{label[:1].upper()}{label[1:]}" for label in labels]


def _products(shape: VisitDesign, e: Floats) -> dict[tuple[int, int], tuple[int, float]]:
    """For two cells how many subjects have both, and the correlation of their residuals around zero."""
    subjects, cells, T = shape.arrays.subjects, shape.arrays.cells, len(shape.cells)
    counts, sums, first, second = (np.zeros((T, T)) for _ in range(4))
    for i, j in shifts(subjects, shape.visits.times[shape.visits.codes]):
        np.add.at(counts, (cells[i], cells[j]), 1.0)
        for total, product in ((sums, e[i] * e[j]), (first, e[i] ** 2), (second, e[j] ** 2)):
            np.add.at(total, (cells[i], cells[j]), product)
    own = first + second.T  # of either cell, whichever is the earlier one
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = (sums + sums.T) / np.sqrt(own * own.T)
    both = counts + counts.T
    return {(a, b): (int(both[a, b]), float(correlation[a, b])) for a, b in shape.pairs}


def _farthest(sds: Frame) -> Facts:
    ratio = np.abs(np.log(sds["fitted"] / sds["empirical"]))
    return {
        "cells": len(sds),
        "least": float(sds["fitted"].min()),
        "most": float(sds["fitted"].max()),
        "farthest": float(np.expm1(ratio.max())),
    }


def _apart(pairs: Frame) -> Facts:
    gap = np.abs(pairs["fitted"] - pairs["empirical"])
    return {
        "pairs": len(pairs),
        "least": float(pairs["fitted"].min()),
        "most": float(pairs["fitted"].max()),
        "farthest": float(gap.max()),
    }


def autocorrelation(fit: Fit, *, level: float) -> Frame:
    """Autocorrelation of the normalised residuals of a subject by the distance of their visits.

    It is the mean product at a distance over the mean square; under the model it is near zero everywhere.

    Args:
        fit: The fit.
        level: Share of such values that lie between `low` and `high` where nothing is left.

    Returns:
        DataFrame lag, pairs, autocorrelation, low, high.

    Reference: Pinheiro & Bates (2000), section 5.3.3; Box, Jenkins & Reinsel (1994).
    """
    shape, r = _of(fit), np.asarray(fit.residuals("normalised"), np.float64)
    times = shape.visits.times[shape.visits.codes]
    width = int(times.max() - times.min()) + 1
    pairs, sums = np.zeros(width), np.zeros(width)
    for i, j in shifts(shape.arrays.subjects, times) if shape.subjects else ():
        lag = times[j] - times[i]
        pairs += np.bincount(lag, minlength=width)
        sums += np.bincount(lag, r[i] * r[j], minlength=width)
    lags = np.flatnonzero(pairs)[:LAGS]
    bound = normal_quantile(0.5 + level / 2) / np.sqrt(pairs[lags])
    found = sums[lags] / pairs[lags] / float(np.mean(r**2))
    return Frame(
        {
            "lag": lags,
            "pairs": pairs[lags].astype(np.intp),
            "autocorrelation": np.where(np.abs(found) < ROUNDING, 0.0, found),
            "low": -bound,
            "high": bound,
        }
    )


def _outside(acf: Frame) -> Facts:
    return {"lags": len(acf), "outside": int(outside(acf, "autocorrelation").sum())}


def structures(fit: Fit, data: Any, options: Mapping[str, Any], *, focus: Focus, df: str) -> Frame:
    """Other residual structures for the same rows and fixed part, and what the focus would be under each.

    Args:
        fit: The fit, with a residual structure.
        data: The table that it was fitted to.
        options: Further arguments of `lmm`.
        focus: What the study asks.
        df: Denominator degrees of freedom.

    Returns:
        DataFrame structure, npar, deviance, aic, bic, quantity (what the focus asks for) with its estimate,
        se and df, where it is one number, note (why there is no fit), chosen, d_deviance, d_aic, d_bic
        (distances from the least); empty where variances follow the fitted values, whose pseudo-likelihoods
        are not compared.
    """
    shape = fit.design.residual
    if shape is None or shape.formula.follows_fit:
        return Frame(columns=[*COLUMNS, "chosen", "d_deviance", "d_aic", "d_bic"])
    asked = _asked(fit, focus)
    L, quantity = (None, "") if asked is None else (asked.L, asked.name)
    return residual_structures(fit, _others(fit, shape), data, options, L=L, quantity=quantity, df=df)


def _others(fit: Fit, shape: ResidualDesign) -> list[str]:
    """Independent residuals, then every structure that the same words can say, by what it asks.

    Those that random effects of the same subjects hold already are left out.
    """
    own = shape.formula
    if own.group is None:
        return [IID, str(own)]
    alone = [str(ResidualFormula("identity", ident=own.ident, growing=own.growing))] if own.variance else []
    single = replace(own, ident=None, growing=None)
    if own.fades:
        small = fit.nobs <= MOST_NUGGET and int(np.bincount(shape.arrays.subjects).max()) <= MOST_NUGGET_GROUP
        places = own.coordinates or ((own.time,) if own.time else ())
        wider = ResidualFormula("expsp", group=own.group, coordinates=places, nugget=True)
        narrower = parse_residual(str(replace(wider, nugget=False)))
        found = [str(narrower), *([str(wider)] if small else [])]
        return list(dict.fromkeys([IID, *alone, *found, str(own)]))
    visits = shape.visits if isinstance(shape, RowDesign) else shape
    count = len(visits.visits.names) if isinstance(visits, VisitDesign) else 0
    tags = [
        tag for tag, (family, each) in FAMILIES.items() if not (own.variance and (each or family == "un"))
    ]
    cheap = [tag for tag in tags if count <= IN_SECONDS or FAMILIES[tag][0] in ("cs", "ar1")]
    base = own if own.variance else single
    found = [
        str(replace(base, correlation=FAMILIES[tag][0], heterogeneous=FAMILIES[tag][1]))
        for tag in cheap
        if not fit.design.random or FAMILIES[tag][0] in ("ar1", "ad")
    ]
    ordered = sorted(found, key=lambda text: text.startswith("un("))
    return list(dict.fromkeys([IID, *alone, *ordered, str(own)]))


def _asked(fit: Fit, focus: Focus) -> Estimand | None:
    try:
        return one_number(fit, focus)
    except FitError:
        return None


def _ranks(table: Frame) -> Facts:
    able = table[table["aic"].notna()]
    return {
        "structures": len(table),
        "failed": len(table) - len(able),
        "least estimate": float(able["estimate"].min()),
        "most estimate": float(able["estimate"].max()),
    }


TABLES = (
    ReportTable(
        "residual_parameters",
        "Parameters of the residual structure: SDs as ratios to the first, correlations, ranges in the "
        "unit of the distance.",
        printed(
            "parameter estimate low high interval", estimate=("Estimate", 3), low=("Low", 3), high=("High", 3)
        ),
    ),
    ReportTable(
        "cell_sds",
        "Standard deviations of the residuals: as fitted, and root mean squares of the residuals.",
        printed("cell rows fitted empirical", cell="Residuals"),
        _farthest,
    ),
    ReportTable(
        "cell_correlations",
        "Correlations of residuals: as fitted, and of the residuals of those who have both.",
        printed("pair subjects fitted empirical", pair="Residuals"),
        _apart,
    ),
    ReportTable("autocorrelation", facts=_outside),
    ReportTable(
        "structures",
        "Other residual structures for the same rows, and the focus under each.",
        printed("structure npar deviance aic bic quantity estimate se df note", quantity="Focus"),
        _ranks,
    ),
)
