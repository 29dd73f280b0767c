"""statsmodels' MixedLM as a second opinion, for models with one grouping factor."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lmmkit.model.estimates import Estimates
from lmmkit.study.audit.opinion import Opinion, fixed_columns, response

NAME = "statsmodels MixedLM"
MOST_ROWS = 20_000


def ask_statsmodels(estimates: Estimates) -> Opinion:
    """The fit of statsmodels; a note where it cannot fit the model."""
    note = _obstacle(estimates)
    if note:
        return Opinion(NAME, note)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Any = _model(estimates).fit(reml=estimates.reml, method=["bfgs", "lbfgs"], maxiter=500)
            deviance, beta = -2.0 * float(found.llf), np.asarray(found.fe_params, dtype=np.float64)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError, IndexError) as error:
        return Opinion(NAME, f"it failed: {error}")
    if not np.isfinite(deviance):
        return Opinion(NAME, "it found no finite likelihood")
    return Opinion(NAME, deviance=deviance, beta=beta)


def _obstacle(estimates: Estimates) -> str:
    problem = estimates.problem
    if len({term.factor for term in problem.terms}) > 1:
        return "it fits one grouping factor; this model has more"
    if len(problem.terms) > 1 and any(term.structure.pairs for term in problem.terms):
        return "it fits one covariance matrix beside none"
    if problem.weights is not None:
        return "it has no prior weights"
    if any(estimates.null_directions):
        return "the fit is singular, which its parametrisation cannot reach"
    if not estimates.kept:
        return "it needs fixed effects"
    return f"more than {MOST_ROWS:,} rows" if estimates.nobs > MOST_ROWS else ""


def _model(estimates: Estimates) -> Any:
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    problem = estimates.problem
    y, X = response(problem), np.column_stack(fixed_columns(estimates))
    codes = problem.terms[0].codes
    Z = [np.column_stack([problem.columns[c] for c in term.columns]) for term in problem.terms]
    if len(Z) == 1 and len(problem.terms[0].structure.cones) == 1:
        return MixedLM(y, X, codes, exog_re=Z[0])
    columns = [column[:, None] for part in Z for column in part.T]
    rows = [np.flatnonzero(codes == level) for level in range(problem.terms[0].levels)]
    names = [f"c{i}" for i in range(len(columns))]
    parts = [[column[of] for of in rows] for column in columns]
    labels = [[["v"] for _ in rows] for _ in columns]
    return MixedLM(y, X, codes, exog_re=None, exog_vc=VCSpec(names, labels, parts), use_sqrt=True)
