"""Several models of the same rows side by side, with tests between those that are nested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.variance_tests.chi_bar_squared import cone_weights, mixture_tail
from lmmkit.engine.variance_tests.covariance_families import null_covariance, units
from lmmkit.engine.variance_tests.residual_families import residuals_nested
from lmmkit.engine.variance_tests.residual_rules import follows_fit
from lmmkit.errors import FitError
from lmmkit.model.comparison.bootstrap_lrt import bootstrap_test
from lmmkit.model.comparison.nesting import (
    Nesting,
    covariance_nesting,
    refuse_different_data,
    restriction,
    same_fixed,
)
from lmmkit.model.comparison.pattern_nesting import without_idle_patterns
from lmmkit.model.design.design import without_random_effects
from lmmkit.model.estimates import Estimates, estimate, refitted
from lmmkit.model.inference.degrees_of_freedom import METHODS, kenward_roger, null_directions
from lmmkit.model.inference.distributions import f_tail
from lmmkit.model.options import check_option
from lmmkit.model.threads import one_thread

Method = Literal["lrt", "bootstrap", "kenward-roger"]
MEASURES = ["npar", "llf", "deviance", "aic", "bic", "aicc"]
COLUMNS = [*MEASURES, "stat", "df", "p", "reference", "note"]
TESTS = ("lrt", "bootstrap", "kenward-roger")
FEW = 50  # levels below which the chi-squared test of fixed effects is pointed out: 5 % become about 6 at 50
APART = 1e-6  # difference of the deviances of two models that are one from which they differ
REFITTED = "refitted by maximum likelihood: the fixed parts or the criteria differ"


@runtime_checkable
class Fitted(Protocol):
    """What `lmm` gives."""

    @property
    def estimates(self) -> Estimates:
        """Its numbers."""
        ...


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


def compare(
    *models: Fitted | str,
    method: Method = "lrt",
    refit: bool = True,
    n: int = 1000,
    seed: int = 0,
    workers: int = 1,
) -> pd.DataFrame:
    """Several models of the same rows: information criteria of all, and tests between those that are nested.

    Each model is tested against the largest smaller one that is a special case of it: the row above, unless
    the note names another. By "lrt" a variance is tested on the boundary of its domain, where the statistic
    has a mixture of chi-squared distributions: 1/2 chi2(k) + 1/2 chi2(k + 1) for one random effect with k
    covariances; simulated weights where there is no formula. Fixed effects are tested by chi-squared, which
    is too often significant where groups are few: "bootstrap" simulates the statistic's distribution under
    the smaller model, "kenward-roger" takes the scaled F test of the larger one's REML fit. Models whose
    fixed parts differ are fitted again by maximum likelihood, criteria included. Residual structures that lie
    in each other, as `cs` in `toep` and that in `un`, and variance functions, are tested by chi-squared; a
    correlation that fades with time or distance by 1/2 chi2(0) + 1/2 chi2(1), a range of zero being the end
    of its domain. Where a parameter has no meaning in the smaller model (a nugget without a correlation),
    and where random effects and a residual structure are added at once, there is no test but "bootstrap". A
    random intercept and `cs` of the same subjects are one model where the correlation is not negative.

    Args:
        models: Fits of the same rows; or the formula of a model without random effects, such as `"y ~ x"`,
            which is fitted to the rows of the first fit.
        method: "lrt", "bootstrap" (of every test), or "kenward-roger" (of fixed effects; variances by "lrt").
        refit: Fit again by maximum likelihood where that is needed; False makes it an error.
        n: Replicates, for "bootstrap".
        seed: Seed of the simulated weights and of the bootstrap.
        workers: Threads, for "bootstrap"; the numbers do not depend on it.

    Returns:
        A row per model, by number of parameters, named by its formula: npar, llf, deviance, aic, bic and aicc
        (of n = rows used); and of its test stat (the likelihood ratio, or F), df (parameters added), p,
        reference (its distribution) and note.

    Raises:
        FitError: No fit or one model alone, fits of different rows, an option that is not offered, or REML
            fits of different fixed parts with `refit=False`.
        FormulaError, DataError: A formula that has random effects, cannot be read, or does not fit the table.

    Reference: Self & Liang (1987); Stram & Lee (1994); Halekoh & Hojsgaard (2014), Journal of Statistical
    Software 59(9); AICc as Hurvich & Tsai (1989).

    >>> from lmmkit.model.fit import lmm
    >>> frame = pd.DataFrame({"y": [3.0, 4, 7, 6, 9, 12, 2, 2, 5], "x": [0, 1, 2] * 3})
    >>> frame["g"] = list("aaabbbccc")
    >>> models = lmm("y ~ 1 + (1 | g)", frame), lmm("y ~ x + (1 | g)", frame)
    >>> table = compare(*models)
    >>> table["reference"].tolist(), round(float(table["p"].iloc[1]), 4)
    (['', 'chi2(1)'], 0.0006)
    >>> compare(*models, method="kenward-roger")["reference"].tolist()
    ['', 'F(1, 5)']
    """
    check_option("method", method, TESTS)
    estimates = _estimates(models)
    refuse_different_data(estimates)
    estimates, note = _one_criterion(estimates, refit)
    ordered = sorted(estimates, key=lambda e: e.npar)
    labels = _labels(ordered)
    how = How(method, n, seed, workers)
    tests = [tested(ordered[: i + 1], labels, how) for i in range(len(ordered))]
    for row in tests:
        row["note"] = "; ".join(filter(None, [note, row["note"]]))
    measured = [{name: getattr(e, name) for name in MEASURES} for e in ordered]
    rows = [measures | test for measures, test in zip(measured, tests, strict=True)]
    table = pd.DataFrame(rows, index=pd.Index(labels, name="model"), columns=COLUMNS)
    table.attrs["nobs"] = ordered[0].nobs
    return table


@dataclass(frozen=True)
class How:
    """How models are tested against each other."""

    method: Method
    n: int
    seed: int
    workers: int


def _estimates(models: Sequence[Any]) -> list[Estimates]:
    """Of each model; formulas without random effects are fitted to the rows of the first fit."""
    strange = [type(model).__name__ for model in models if not isinstance(model, Fitted | str)]
    if strange:
        raise FitError(
            f"compare() takes fits of lmm(), and formulas of models without random effects; {strange[0]} is "
            "neither. Call compare(fit1, fit2)."
        )
    if len(models) < 2:
        raise FitError(f"compare() was given {len(models)} fit; two or more are expected.")
    first = next((model.estimates for model in models if isinstance(model, Fitted)), None)
    if first is None:
        raise FitError("compare() was given formulas alone: one model at least must be a fit of lmm().")
    return [
        model.estimates
        if isinstance(model, Fitted)
        else estimate(without_random_effects(model, first.design), reml=first.reml, algorithm="newton")
        for model in models
    ]


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
    texts = [model_text(e) for e in estimates]
    return [
        f"{text} [{texts[:i].count(text) + 1}]" if texts.count(text) > 1 else text
        for i, text in enumerate(texts)
    ]


def model_text(estimates: Estimates) -> str:
    """A model's formula, and its residual structure where it has one."""
    residual = estimates.design.residual
    return f"{estimates.formula}, {residual.formula}" if residual else estimates.formula


def tested(models: Sequence[Estimates], labels: Sequence[str], how: How) -> dict[str, Any]:
    """The test of the last of some models against the largest of those that lie in it."""
    large = models[-1]
    if follows_fit(large.problem):
        return _untested(PSEUDO)
    for i in range(len(models) - 2, -1, -1):
        step = _step(models[i], large)
        if step is None:
            continue
        test = _test(step, how)
        against = f"against `{labels[i]}`" if i < len(models) - 2 else ""
        return test | {"note": "; ".join(filter(None, [against, test["note"]]))}
    if len(models) == 1:
        return _untested(f"bic and aicc of n = {large.nobs:,} rows")
    others = ", nor is any smaller model here" if len(models) > 2 else ""
    twin = next((i for i in range(len(models) - 2, -1, -1) if _alike(models[i], large)), None)
    if twin is not None:
        where = _where(models[twin], large)
        return _untested(f"the same model as `{labels[twin]}`{where}: nothing to test")
    return _untested(
        f"`{labels[len(models) - 2]}` is not a special case of `{labels[len(models) - 1]}`{others}: "
        "without a test; compare them by aic, aicc or bic"
    )


AT_THE_EDGE = (
    "a variance of the smaller fit is zero, beyond which the larger model has negative covariances: the "
    "likelihood ratio has no chi-squared distribution there; leave that random effect out of the smaller "
    "model, or use method='bootstrap'"
)
WITHOUT_TEST = "compare by aic, aicc or bic, or use method='bootstrap'"
ONE_VARIANCE = "a variance on the boundary of its domain"
AT_BOUND = "a variance or a correlation on the boundary of its domain"
AT_NO_CORRELATION = "a range or a nugget on the boundary of its domain, zero"
PSEUDO = (
    "the variance follows the fitted values: a pseudo-likelihood, of which neither a likelihood ratio nor "
    "aic, aicc or bic can be compared with those of other models"
)
NO_TEST: dict[str, Any] = dict.fromkeys(("stat", "df", "p"), np.nan) | {"reference": "", "note": ""}


def _untested(note: str) -> dict[str, Any]:
    """A line without a test, and why."""
    return NO_TEST | {"note": note}


@dataclass(frozen=True, eq=False)
class _Step:
    """A model within another.

    Attributes:
        small: The smaller one.
        large: The larger one.
        rows: (l, p) of the hypothesis on the larger one's coefficients.
        nesting: How the random parts lie within each other.
    """

    small: Estimates
    large: Estimates
    rows: Floats
    nesting: Nesting

    @property
    def added(self) -> int:
        """Parameters."""
        return self.large.npar - self.small.npar

    def notes(self) -> Iterator[str]:
        """What to know about any test of it."""
        if self.small.is_singular:
            yield "the smaller fit is singular itself: approximate"
        if not (self.small.converged and self.large.converged):
            yield "a fit has not converged"


def _step(small: Estimates, large: Estimates) -> _Step | None:
    """A model within another; None where it does not lie there."""
    likelihoods = not (follows_fit(small.problem) or follows_fit(large.problem))
    rows = restriction(small, large) if likelihoods and small.npar < large.npar else None
    nesting = None if rows is None else covariance_nesting(small.problem, large.problem)
    return None if rows is None or nesting is None else _Step(small, large, rows, nesting)


def _alike(one: Estimates, other: Estimates) -> bool:
    """Whether two models with as many parameters are one, wherever correlations are not negative."""
    if one.npar != other.npar or not same_fixed(one, other):
        return False
    return any(residuals_nested(a.problem, b.problem) for a, b in ((one, other), (other, one)))


def _where(one: Estimates, other: Estimates) -> str:
    """For which correlations the two are one."""
    if not (one.random or other.random):
        return ""
    apart = abs(one.deviance - other.deviance) > APART
    return f" where the correlation is not negative{', and here it is' if apart else ''}"


def _test(step: _Step, how: How) -> dict[str, Any]:
    """The larger model against the smaller one."""
    if how.method == "bootstrap":
        return _bootstrap(step, how)
    if how.method == "kenward-roger" and len(step.rows):
        return _kenward_roger(step)
    if step.small.is_singular and step.nesting.absorbed:
        return _untested(AT_THE_EDGE)
    if step.nesting.unfit:
        return _untested(f"{step.nesting.unfit}: {WITHOUT_TEST}")
    stat = max(step.small.deviance - step.large.deviance, 0.0)
    reference = _reference(step, how.seed)
    notes = [reference.note, _few_groups(step), *step.notes()]
    return {
        "stat": stat,
        "df": float(step.added),
        "p": mixture_tail(stat, reference.weights, reference.first),
        "reference": str(reference),
        "note": "; ".join(filter(None, notes)),
    }


def _few_groups(step: _Step) -> str:
    """The way to a test of fixed effects that holds where groups are few."""
    fewest = min(step.large.ngroups.items(), key=lambda item: item[1], default=("", FEW))
    if not len(step.rows) or fewest[1] >= FEW:
        return ""
    others = "'bootstrap' or 'kenward-roger'" if len(step.rows) == step.added else "'bootstrap'"
    return (
        f"{fewest[0]} has {fewest[1]} levels: with few groups chi-squared finds fixed effects too often; use "
        f"method={others}"
    )


def _bootstrap(step: _Step, how: How) -> dict[str, Any]:
    """The likelihood ratio with its distribution simulated under the smaller model."""
    found = bootstrap_test(step.small, step.large, n=how.n, seed=how.seed, workers=how.workers)
    failed = f"{found.failed:,} of {how.n:,} replicates could not be fitted" if found.failed else ""
    notes = [f"Monte Carlo standard error of p {found.p_error:.2g}", failed]
    if not (step.small.converged and step.large.converged):
        notes.append("a fit has not converged")
    return {
        "stat": found.statistic,
        "df": float(step.added),
        "p": found.p,
        "reference": f"{found.method}, {found.draws:,} replicates",
        "note": "; ".join(filter(None, notes)),
    }


def _kenward_roger(step: _Step) -> dict[str, Any]:
    """The scaled F test of the larger model's REML fit."""
    if len(step.rows) < step.added:
        return _untested(
            "Kenward-Roger tests fixed effects in one random part, and here both parts differ: use "
            "method='bootstrap', or a model between the two"
        )
    large = refitted(step.large, reml=True)
    if large.is_singular:
        return _untested(
            f"Kenward-Roger is not defined for a singular fit ({'; '.join(null_directions(large))}): "
            "use method='bootstrap'"
        )
    correlated = bool(large.random) or large.problem.residual is not None
    try:
        by = kenward_roger(large) if correlated else METHODS["residual"](large)
    except FitError as error:
        return _untested(str(error))
    test = by.f_test(step.rows, large.beta, range(len(large.beta)))
    found = "scaled F of the REML fit" if correlated else "F of least squares, exact"
    return {
        "stat": test.F,
        "df": float(test.num_df),
        "p": f_tail(test.F, test.num_df, test.den_df),
        "reference": f"F({test.num_df}, {test.den_df:.6g})",
        "note": found + ("" if large.converged else "; a fit has not converged"),
    }


def reference_between(small: Estimates, large: Estimates, seed: int = 0) -> Reference | None:
    """The distribution of the likelihood ratio of a model in a larger one; None: it is not known.

    Raises:
        FitError: The data do not tell the larger model's covariance parameters apart.
    """
    step = _step(small, large)
    if step is None or step.nesting.unfit or (small.is_singular and step.nesting.absorbed):
        return None
    return _reference(step, seed)


def _reference(step: _Step, seed: int) -> Reference:
    """Chi-squared inside the cone, a mixture on its boundary."""
    nesting = step.nesting
    if nesting.edges:
        edge = AT_NO_CORRELATION if step.large.problem.residual is not None else AT_BOUND
        return Reference(step.added - 1, np.array([0.5, 0.5]), edge)
    if not nesting.cones:
        return Reference(step.added, np.ones(1))
    first = step.added - nesting.constrained
    if nesting.constrained == 1:
        return Reference(first, np.array([0.5, 0.5]), ONE_VARIANCE)
    sizes = [cone.size for cone in nesting.cones]
    with one_thread():
        weights = cone_weights(_null_covariance(step.small, step.large, nesting), sizes, seed)
    how = "weights by formula" if nesting.constrained == 2 else "simulated weights"
    return Reference(first, weights, f"several variances on the boundary of their domain: {how}")


def _null_covariance(small: Estimates, large: Estimates, nesting: Nesting) -> Floats:
    """Covariance of the parts of the larger model's matrices that the smaller one sets to zero."""
    factors = small.factors
    if small.is_singular:  # on the same face, but off its edge
        factors = tuple(L + 0.01 * np.eye(len(L)) * max(float(np.abs(L).max()), 1.0) for L in factors)
    matrices = nesting.place(factors, units(without_idle_patterns(small.problem)))
    nulls = [(cone.term, cone.basis) for cone in nesting.cones]
    return null_covariance(without_idle_patterns(large.problem), matrices, nulls, reml=small.reml)
