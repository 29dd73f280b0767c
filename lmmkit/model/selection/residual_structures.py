"""Residual structures as candidates: one model under each of them, and what an estimate would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError, LmmkitError, did_you_mean
from lmmkit.model.design.design import without_random_effects
from lmmkit.model.estimates import estimate
from lmmkit.model.fit import Fit, lmm
from lmmkit.model.formula.residual_formula import IID

COLUMNS = ("structure", "npar", "deviance", "aic", "bic", "quantity", "estimate", "se", "df", "note")
NUMBERS = ("estimate", "se", "df")


def residual_structures(
    fit: Fit,
    structures: Sequence[str],
    data: Any,
    options: Mapping[str, Any],
    *,
    L: Floats | None = None,
    quantity: str = "",
    df: str = "auto",
) -> pd.DataFrame:
    """A model of the same rows, random and fixed part under several residual structures, side by side.

    Args:
        fit: The model under one of them.
        structures: The structures, as `lmm` takes them; "iid" is independent residuals of one variance.
        data: The table that it was fitted to.
        options: Further arguments of `lmm`.
        L: (l, p) what is asked of the coefficients; one row, or None for nothing.
        quantity: What it is called.
        df: Denominator degrees of freedom.

    Returns:
        DataFrame structure, npar, deviance, aic, bic, quantity with its estimate, se and df, note (why there
        is no fit), chosen (whether it is that of `fit`), d_deviance, d_aic, d_bic (distances from the least).
    """
    own = fit.design.residual
    here = IID if own is None else str(own.formula)
    rows = [
        {"structure": text, "chosen": text == here, **_found(fit, text, data, options, L, quantity, df)}
        for text in structures
    ]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "chosen"])
    for name in ("deviance", "aic", "bic"):
        table[f"d_{name}"] = table[name] - table[name].min()
    return table


def row_of(fit: Fit, coefficient: str | None) -> tuple[Floats | None, str]:
    """The row that asks for one coefficient, and its name.

    Raises:
        FitError: The model has no such coefficient.
    """
    if coefficient is None:
        return None, ""
    names = list(fit.params.index)
    if coefficient not in names:
        near = did_you_mean(coefficient, names) or "."
        raise FitError(
            f"focus={coefficient!r} is no coefficient{near} The model has {', '.join(names[:12])}."
        )
    return np.eye(len(names))[[names.index(coefficient)]], coefficient


def _found(
    fit: Fit,
    text: str,
    data: Any,
    options: Mapping[str, Any],
    L: Floats | None,
    quantity: str,
    df: str,
) -> dict[str, Any]:
    """The measures of one structure, or why there are none."""
    try:
        other = _fitted(fit, text, data, options)
        # Of independent rows n - p is exact, whatever the method.
        method = "residual" if text == IID and not fit.design.random else df
        found = dict.fromkeys(NUMBERS, np.nan) if L is None else other.contrast(L, df=method).iloc[0]
    except LmmkitError as error:
        return {"note": str(error)}
    measures = {name: getattr(other, name) for name in ("npar", "deviance", "aic", "bic")}
    estimates = {name: found[name] for name in NUMBERS}
    note = "" if other.converged else "its search did not converge"
    return {**measures, "quantity": quantity, **estimates, "note": note}


def _fitted(fit: Fit, text: str, data: Any, options: Mapping[str, Any]) -> Fit:
    own = fit.design.residual
    if text == (IID if own is None else str(own.formula)):
        return fit
    if text == IID and not fit.design.random:
        return Fit(
            estimate(without_random_effects(fit.formula, fit.design), reml=fit.reml, algorithm="newton")
        )
    given: dict[str, Any] = {**options, "residual": text}
    return lmm(fit.formula, data, **given)
