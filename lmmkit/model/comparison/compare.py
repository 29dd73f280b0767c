"""Likelihood ratio tests between nested fits, each with the reference distribution that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.variance_tests.chi_bar_squared import cone_weights, mixture_tail
from lmmkit.engine.variance_tests.covariance_families import null_covariance, units
from lmmkit.errors import FitError
from lmmkit.model.comparison.nesting import (
    Nesting,
    fixed_nesting,
    random_nesting,
    refuse_different_data,
    same_fixed,
)
from lmmkit.model.estimates import Estimates, refitted
from lmmkit.model.fit import Fit
from lmmkit.model.threads import one_thread

MEASURES = ["npar", "llf", "deviance", "aic", "bic"]
COLUMNS = [*MEASURES, "stat", "df", "p", "reference", "note"]
REFITTED = "refitted by maximum likelihood: the fixed parts or the criteria differ"


@dataclass(frozen=True, eq=False)
class Reference:
    """The distribution of a likelihood ratio where the smaller model holds.

    Attributes:
        first: Degrees of freedom of the first component.
        weights: Of chi2(first), chi2(first + 1), ...
        note: What to know about it.
    """

    first: int
    weights: Floats
    note: str = ""

    def __str__(self) -> str:
        if len(self.weights) == 1:
            return f"chi2({self.first})"
        parts = [f"{_share(w)} chi2({self.first + j})" for j, w in enumerate(self.weights)]
        return " + ".join(parts)


def _share(weight: float) -> str:
    return {0.5: "1/2", 0.25: "1/4"}.get(weight, f"{weight:.3f}")


def compare(*fits: Fit, refit: bool = True, seed: int = 0) -> pd.DataFrame:
    """Likelihood ratio tests of nested fits, from the smallest to the largest.

    A variance is tested on the boundary of its domain, where the statistic has a mixture of chi-squared
    distributions: 1/2 chi2(k) + 1/2 chi2(k + 1) for one random effect with k covariances; simulated weights
    where there is no formula. Fits whose fixed parts differ are fitted again by maximum likelihood.

    Args:
        fits: Two fits or more of the same rows; each must be a special case of the next larger one.
        refit: Fit again by maximum likelihood where that is needed; False makes it an error.
        seed: Seed of the simulated weights.

    Returns:
        A row per model, named by its formula: npar, llf, deviance, aic, bic; and against the row above stat
        (the likelihood ratio), df (parameters added), p, reference (its distribution) and note.

    Raises:
        FitError: Fits of different rows, models that are not nested, or REML fits of different fixed parts
            with `refit=False`.

    Reference: Self & Liang (1987); Stram & Lee (1994).

    >>> from lmmkit.model.fit import lmm
    >>> frame = pd.DataFrame({"y": [3.0, 4, 7, 6, 9, 12, 2, 2, 5], "x": [0, 1, 2] * 3})
    >>> frame["g"] = list("aaabbbccc")
    >>> table = compare(lmm("y ~ 1 + (1 | g)", frame), lmm("y ~ x + (1 | g)", frame))
    >>> table["reference"].tolist(), round(float(table["p"].iloc[1]), 4)
    (['', 'chi2(1)'], 0.0006)
    """
    strange = [type(fit).__name__ for fit in cast("Sequence[Any]", fits) if not isinstance(fit, Fit)]
    if strange:
        raise FitError(f"compare() takes fits of lmm(); {strange[0]} is none. Call compare(fit1, fit2).")
    if len(fits) < 2:
        raise FitError(f"compare() was given {len(fits)} fit; two or more are expected.")
    estimates = [fit.estimates for fit in fits]
    refuse_different_data(estimates)
    estimates, note = _one_criterion(estimates, refit)
    ordered = sorted(estimates, key=lambda e: e.npar)
    tests: list[dict[str, Any]] = [dict.fromkeys(("stat", "df", "p"), np.nan) | {"reference": "", "note": ""}]
    tests += [_test(small, large, seed) for small, large in pairwise(ordered)]
    for row in tests:
        row["note"] = "; ".join(filter(None, [note, row["note"]]))
    measured = [{name: getattr(e, name) for name in MEASURES} for e in ordered]
    rows = [measures | test for measures, test in zip(measured, tests, strict=True)]
    return pd.DataFrame(rows, index=pd.Index(_labels(ordered), name="model"), columns=COLUMNS)


def _one_criterion(estimates: list[Estimates], refit: bool) -> tuple[list[Estimates], str]:
    """The fits by one criterion that may be compared between them, and what was done for it."""
    if not any(e.reml for e in estimates):
        return estimates, ""
    if all(e.reml for e in estimates) and all(same_fixed(estimates[0], e) for e in estimates[1:]):
        return estimates, ""
    if not refit:
        raise FitError(
            "REML criteria of models with different fixed parts (or of a REML and an ML fit) cannot be "
            "compared: fit all with reml=False, or let compare() do it with refit=True."
        )
    return [refitted(e, reml=False) for e in estimates], REFITTED


def _labels(estimates: Sequence[Estimates]) -> list[str]:
    """Formulas; numbered where one occurs twice."""
    texts = [e.design.formula for e in estimates]
    return [
        f"{text} [{texts[:i].count(text) + 1}]" if texts.count(text) > 1 else text
        for i, text in enumerate(texts)
    ]


def _test(small: Estimates, large: Estimates, seed: int) -> dict[str, Any]:
    """The larger model against the smaller one."""
    if small.npar == large.npar:
        raise FitError(
            f"`{small.design.formula}` and `{large.design.formula}` have {small.npar} parameters both: a "
            "likelihood ratio needs a smaller model within a larger one. Compare them by aic or bic."
        )
    nesting = random_nesting(small.problem, large.problem)
    if nesting is None or not fixed_nesting(small, large):
        raise FitError(
            f"`{small.design.formula}` is not a special case of `{large.design.formula}`: a likelihood ratio "
            "needs nested models. Compare them by aic or bic."
        )
    stat = max(small.deviance - large.deviance, 0.0)
    notes = ["the smaller fit is singular itself: approximate"] if small.is_singular else []
    if not (small.converged and large.converged):
        notes.append("a fit has not converged")
    reference = _reference(small, large, nesting, seed)
    return {
        "stat": stat,
        "df": float(large.npar - small.npar),
        "p": mixture_tail(stat, reference.weights, reference.first),
        "reference": str(reference),
        "note": "; ".join(filter(None, [reference.note, *notes])),
    }


def _reference(small: Estimates, large: Estimates, nesting: Nesting, seed: int) -> Reference:
    """Chi-squared inside the cone, a mixture on its boundary."""
    added = large.npar - small.npar
    if not nesting.cones:
        return Reference(added, np.ones(1))
    first = added - nesting.constrained
    if nesting.constrained == 1:
        return Reference(first, np.array([0.5, 0.5]), "a variance on the boundary of its domain")
    sizes = [cone.size for cone in nesting.cones]
    with one_thread():
        covariance = _null_covariance(small, large, nesting)
        weights = cone_weights(covariance, sizes, seed)
    how = "weights by formula" if nesting.constrained == 2 else "simulated weights"
    return Reference(first, weights, f"several variances on the boundary of their domain: {how}")


def _null_covariance(small: Estimates, large: Estimates, nesting: Nesting) -> Floats:
    """Covariance of the parts of the larger model's matrices that the smaller one sets to zero."""
    factors = small.factors
    if small.is_singular:  # on the same face, but off its edge
        factors = tuple(L + 0.01 * np.eye(len(L)) * max(float(np.abs(L).max()), 1.0) for L in factors)
    matrices = nesting.place(factors, units(small.problem))
    nulls = [(cone.term, cone.basis) for cone in nesting.cones]
    return null_covariance(large.problem, matrices, nulls, reml=small.reml)
