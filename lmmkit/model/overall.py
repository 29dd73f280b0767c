"""Criteria of a whole fit, and the fit as plain numbers and text."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lmmkit.model import tables
from lmmkit.model.certificate import Certificate
from lmmkit.model.estimates import Estimates


class Criteria(NamedTuple):
    """Deviance with a price on parameters."""

    aic: float
    bic: float


def criteria(estimates: Estimates) -> Criteria:
    """AIC and BIC, with p + theta + 1 parameters and, in BIC, log of the rows used."""
    k = estimates.npar
    return Criteria(estimates.deviance + 2.0 * k, estimates.deviance + k * float(np.log(estimates.nobs)))


def as_dict(estimates: Estimates, certificate: Certificate) -> dict[str, Any]:
    """What a fit found: every value a number, text, None, list or dict."""
    design = estimates.design
    return {
        "formula": design.formula,
        "reml": estimates.reml,
        "algorithm": estimates.algorithm,
        "nobs": estimates.nobs,
        "ngroups": {grouping.name: grouping.size for grouping in design.groupings},
        "params": dict(zip(estimates.names, estimates.beta.tolist(), strict=True)),
        "bse": dict(zip(estimates.names, tables.standard_errors(estimates).tolist(), strict=True)),
        "vcov": estimates.vcov.tolist(),
        "dropped_columns": estimates.aliased,
        "theta": dict(zip(tables.theta_names(estimates), estimates.theta.tolist(), strict=True)),
        "sigma": estimates.sigma,
        "varcorr": _varcorr(estimates),
        "deviance": estimates.deviance,
        "llf": -estimates.deviance / 2.0,
        "aic": criteria(estimates).aic,
        "bic": criteria(estimates).bic,
        "npar": estimates.npar,
        "df_model": len(estimates.beta),
        "converged": estimates.converged,
        "is_singular": any(estimates.null_directions),
        "evaluations": estimates.evaluations,
        "certificate": {
            "passed": certificate.passed,
            "digits": certificate.digits,
            "checks": certificate.checks.to_dict("records"),
        },
        "warnings": list(design.warnings),
    }


def _varcorr(estimates: Estimates) -> list[dict[str, Any]]:
    """Rows of varcorr, a correlation that is not defined as None."""
    rows = tables.varcorr(estimates).to_dict("records")
    return [
        {str(k): None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()} for row in rows
    ]
