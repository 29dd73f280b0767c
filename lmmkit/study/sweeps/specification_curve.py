"""The specification curve: one coefficient in every cell of a sweep, and how far the cells agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from lmmkit.study.sweeps.results import Result

ESTIMATED, SINGULAR, UNCONVERGED = "estimated", "singular", "not converged"
ABSENT, FAILED = "no such coefficient", "failed"

Floats = NDArray[np.float64]


class JointTest(NamedTuple):
    """One joint test of the curve.

    Attributes:
        name: What is tested.
        observed: The statistic in the data.
        p: Share of replicates under the null that are as extreme.
    """

    name: str
    observed: float
    p: float


def curve_table(results: Sequence[Result], coefficient: str, alpha: float) -> pd.DataFrame:
    """One row per cell in the order of the estimates, those without one last.

    Args:
        results: The cells.
        coefficient: Whose curve.
        alpha: Level of significance.

    Returns:
        Columns `cell, estimate, se, low, high, p, significant, state`.
    """
    rows = [_row(result, coefficient, alpha) for result in results]
    table = pd.DataFrame(rows)
    table["significant"] = pd.array(table["significant"].to_list(), dtype="boolean")
    return table.sort_values(["estimate", "cell"], na_position="last", ignore_index=True)


def agreement(curve: pd.DataFrame) -> dict[str, Any]:
    """How many of all cells agree in sign and significance; those without an estimate agree with nobody."""
    estimate = curve["estimate"].to_numpy(dtype="float64")
    significant = curve["significant"].to_numpy(dtype=bool, na_value=False)
    positive, negative = estimate > 0, estimate < 0
    sign = "positive" if positive.sum() >= negative.sum() else "negative"
    same = positive if sign == "positive" else negative
    return {
        "cells": len(curve),
        "estimated": int(np.isfinite(estimate).sum()),
        **{word: int((curve["state"] == word).sum()) for word in (SINGULAR, UNCONVERGED, ABSENT, FAILED)},
        "sign": sign,
        "same sign": int(same.sum()),
        "same sign, significant": int((same & significant).sum()),
        "opposite sign, significant": int((~same & significant).sum()),
        "share of same sign": float(same.mean()),
        "share of same sign, significant": float((same & significant).mean()),
        "median": _median(estimate),
        "lowest": float(np.nanmin(estimate)) if np.isfinite(estimate).any() else None,
        "highest": float(np.nanmax(estimate)) if np.isfinite(estimate).any() else None,
    }


def joint_tests(
    observed: tuple[Floats, Floats], null: tuple[Floats, Floats], alpha: float
) -> tuple[list[JointTest], int]:
    """The three joint tests of Simonsohn, Simmons & Nelson (2020), two-sided, and the replicates they use.

    The median estimate; the number of significant estimates in the dominant direction; the aggregate of the
    z values by Stouffer. p = (1 + replicates as extreme) / (1 + replicates). A replicate in which a cell
    could not be fitted is judged by the others.

    Args:
        observed: Estimates and standard errors of the cells, (k,) each.
        null: The same in replicates under the null, (k, n) each.
        alpha: Level of significance of one estimate.
    """
    found = _statistics(observed[0][:, None], observed[1][:, None], alpha)
    drawn = _statistics(*null, alpha)
    tests = [_test(name, float(found[name][0]), drawn[name]) for name in found]
    return tests, len(drawn["median estimate"])


def _test(name: str, observed: float, null: Floats) -> JointTest:
    # A replicate that ties with the data up to rounding counts as as extreme.
    extreme = int((np.abs(null) >= abs(observed) * (1.0 - 1e-12)).sum())
    return JointTest(name, observed, (1 + extreme) / (1 + len(null)))


def _statistics(estimate: Floats, se: Floats, alpha: float) -> dict[str, Floats]:
    """The three statistics of each replicate, (n,), from (k, n) estimates and standard errors."""
    known = np.isfinite(estimate / se)
    fitted = known.any(axis=0)
    estimate, known = np.where(known, estimate, np.nan)[:, fitted], known[:, fitted]
    z = estimate / se[:, fitted]
    critical = float(ndtri(1.0 - alpha / 2.0))
    with np.errstate(invalid="ignore"):
        dominant = np.where((z > 0).sum(axis=0) >= (z < 0).sum(axis=0), z, -z)
        significant: Floats = (dominant > critical).sum(axis=0).astype(np.float64)
    return {
        "median estimate": np.nanmedian(estimate, axis=0),
        "significant in the dominant direction": significant,
        "aggregate z (Stouffer)": np.nansum(z, axis=0) / np.sqrt(known.sum(axis=0)),
    }


def _row(result: Result, coefficient: str, alpha: float) -> dict[str, Any]:
    names = ("estimate", "se", "low", "high", "p")
    values = {name: result.value(f"{coefficient}.{name}") for name in names}
    known = {name: np.nan if value is None else float(value) for name, value in values.items()}
    absent = not np.isfinite(known["estimate"])
    significant = None if absent else bool(known["p"] < alpha)
    return {
        "cell": result.made.cell.number,
        **known,
        "significant": significant,
        "state": _state(result, absent),
    }


def _state(result: Result, absent: bool) -> str:
    if result.made.error is not None:
        return FAILED
    if absent:
        return ABSENT
    if result.value("converged") is False:
        return UNCONVERGED
    return SINGULAR if result.value("singular") is True else ESTIMATED


def _median(values: Floats) -> float | None:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else None
