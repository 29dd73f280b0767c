"""Tables behind the pictures of intervals: the signed root of the profile, and methods beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import numpy as np
import pandas as pd

from lmmkit.errors import FitError
from lmmkit.model.estimates import refitted
from lmmkit.model.fit import Fit
from lmmkit.model.inference.confidence_intervals import Method, Profiles
from lmmkit.model.report_tables.about_inference import intervals
from lmmkit.model.report_tables.report_table import Facts, ReportTable
from lmmkit.model.threads import one_thread

Frame = pd.DataFrame
ZETA = ["parameter", "value", "zeta", "estimate", "low", "high"]
COMPARED = ["parameter", "method", "estimate", "low", "high"]
BETWEEN = 2  # values of each half of an interval between its end and the estimate
MOST_PROFILED = 12  # parameters


def profile_zeta(fit: Fit, bounds: Frame, *, level: float) -> Frame:
    """The signed root of the profile deviance above its minimum, over each interval found by profiles.

    A straight line says that a symmetric interval would have done as well; where it bends an interval must
    lean. The intervals' ends are taken from the table, and values between are profiled anew: four a
    parameter, with coefficients on the ML fit, as their intervals are.

    Args:
        fit: The fit.
        bounds: Its `intervals`: parameter, estimate, low, high, interval; of those by profile the first 12.
        level: Coverage of those intervals.

    Returns:
        DataFrame parameter, value, zeta, estimate, low, high (the interval, in each row).
    """
    mine = bounds[bounds["interval"].astype(str).str.startswith("profile")].head(MOST_PROFILED)
    mine = _told(mine, "estimate", "low", "high")
    if not len(mine) or fit.estimates.design.held is not None:
        return Frame(columns=ZETA)
    with one_thread():
        own = Profiles(fit.estimates, level)
        fixed = set(fit.estimates.names)
        if fit.reml and not fixed.isdisjoint(mine["parameter"]):
            of_fixed = Profiles(refitted(fit.estimates, reml=False), level)
        else:
            of_fixed = own
        rows = [
            row
            for name, low, high in zip(mine["parameter"], mine["low"], mine["high"], strict=True)
            for row in _curve(of_fixed if name in fixed else own, str(name), float(low), float(high))
        ]
    return Frame(rows, columns=ZETA)


def _curve(profiles: Profiles, name: str, low: float, high: float) -> list[dict[str, object]]:
    """The rows of one parameter in order of value; none where it cannot be held."""
    parameter = profiles.held(name)
    if parameter is None:
        return []
    line, middle = profiles.line(parameter), parameter.estimate
    found = {middle: 0.0}
    for end in (low, high):
        for step in range(1, BETWEEN + 2) if end != middle else ():
            value = end if step > BETWEEN else middle + (end - middle) * step / (BETWEEN + 1)
            with suppress(FitError):
                edge = value in (-1.0, 0.0, 1.0)  # there coordinates may change sign: no start for others
                height = line.height(value) if edge else line(value)[0]
                found[value] = float(np.copysign(np.sqrt(max(height, 0.0)), value - middle))
    own = {"parameter": name, "estimate": middle, "low": low, "high": high}
    return [{**own, "value": value, "zeta": found[value]} for value in sorted(found)]


def compared_intervals(made: Mapping[str, Frame]) -> Frame:
    """The intervals of each parameter by several methods, beside each other.

    Args:
        made: `intervals` by the name of their method, in the order of drawing: parameter, estimate, low,
            high, interval.

    Returns:
        DataFrame parameter, method, estimate, low, high, those of one parameter together. A method that gave
        no interval has no row; neither has a parameter with fewer than two, or whose two are the same.
    """
    parts = [table.assign(method=name) for name, table in made.items()]
    if not parts:
        return Frame(columns=COMPARED)
    whole = pd.concat(parts, ignore_index=True)[COMPARED]
    order = whole["parameter"].unique().tolist()
    table = _told(whole, "low", "high").drop_duplicates(["parameter", "low", "high"])
    table = Frame(table[table.groupby("parameter")["method"].transform("size") > 1])
    place = table["parameter"].map(order.index)
    return table.loc[place.sort_values(kind="stable").index].reset_index(drop=True)


def _told(table: Frame, *columns: str) -> Frame:
    """The rows that have a finite number in each of the columns."""
    return Frame(table[np.isfinite(table[list(columns)].to_numpy(float)).all(axis=1)])


def beside_wald(fit: Fit, bounds: Frame, ci: Method, *, level: float, df: str) -> Frame:
    """The intervals of a study beside Wald's, which cost next to nothing: `compared_intervals` of both.

    Args:
        fit: The fit.
        bounds: Its `intervals` by `ci`.
        ci: What made them; of Wald's own nothing is compared.
        level: Coverage.
        df: Denominator degrees of freedom of Wald's coefficients.
    """
    if ci == "wald" or fit.estimates.design.held is not None:
        return Frame(columns=COMPARED)
    walds = intervals(fit, ci="wald", level=level, df=df, seed=0)
    return compared_intervals({"profile" if ci == "auto" else ci: bounds, "Wald": walds})


def _arms(zeta: Frame) -> Facts:
    """How many parameters are drawn, and how unlike the two halves of the interval that leans most are."""
    if not len(zeta):
        return {"parameters": 0}
    each = zeta.drop_duplicates("parameter")
    upper, lower = each["high"] - each["estimate"], each["estimate"] - each["low"]
    arms = np.sort(np.column_stack([upper, lower]), axis=1)  # one of length zero is not told
    ratios = np.divide(arms[:, 1], arms[:, 0], out=np.ones(len(arms)), where=arms[:, 0] > 0.0)
    return {"parameters": len(each), "most": float(ratios.max()), "place": int(ratios.argmax())}


def _ratios(table: Frame) -> Facts:
    """How many parameters are compared, and the longest over the shortest interval where they differ most."""
    if not len(table):
        return {"parameters": 0}
    lengths = (table["high"] - table["low"]).groupby(table["parameter"], sort=False)
    ratios = (lengths.max() / lengths.min()).replace(np.inf, np.nan).fillna(1.0)
    return {"parameters": len(ratios), "most": float(ratios.max()), "place": int(ratios.to_numpy().argmax())}


TABLES = (ReportTable("profile_zeta", facts=_arms), ReportTable("interval_comparison", facts=_ratios))
