"""The likelihood ratio test of two models, its distribution by the parametric bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lmmkit.engine.problem import Floats
from lmmkit.engine.replicates.refit import refit
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates, estimate
from lmmkit.model.inference.restricted_lrt import ZERO, VarianceTest
from lmmkit.model.options import whole
from lmmkit.model.resampling.simulate import Seed, Simulator, seed_of
from lmmkit.model.threads import one_thread

SAME = 1e-8  # of a column's norm: what may be left of it outside the other model's fixed effects


def bootstrap_test(
    smaller: Estimates,
    larger: Estimates,
    *,
    n: int = 1000,
    seed: Seed = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> VarianceTest:
    """The likelihood ratio test of two models of one response, its distribution by the parametric bootstrap.

    Responses are drawn from the smaller model and both models are fitted to each:
    p = (1 + #{t* >= t}) / (1 + B). Both are compared by REML if both were fitted so and have the same fixed
    effects, else by ML.

    Args:
        smaller: The null model.
        larger: The alternative.
        n: Number of replicates.
        seed: Seed of the random numbers.
        workers: Threads; the numbers do not depend on it.
        progress: Called with the refits done and their number.

    Raises:
        FitError: The models are not fitted to the same rows and response, or no replicate could be fitted.

    Reference: Davison & Hinkley (1997), Bootstrap Methods and their Application, section 4.2.
    """
    count = whole("n", n, "replicates")
    _require_same_response(smaller, larger)
    reml = smaller.reml and larger.reml and same_fixed(smaller, larger)
    null, other = _by(smaller, reml), _by(larger, reml)
    source = Simulator(null, seed_of(seed))
    deviances = list[Floats]()
    with one_thread():
        for place, model in enumerate((null, other)):
            report = _half(progress, place, count)
            fitted = refit(model.problem, source.draw, count, reml=reml, workers=workers, progress=report)
            deviances.append(fitted.deviance)
    gains = deviances[0] - deviances[1]
    known = gains[np.isfinite(gains)]
    if not len(known):
        raise FitError(f"None of the {count} replicates could be fitted by both models.")
    statistic = max(null.deviance - other.deviance, 0.0)
    above = int(np.count_nonzero(known >= statistic - ZERO))
    method = f"parametric bootstrap, {'REML' if reml else 'ML'}"
    return VarianceTest(statistic, (1 + above) / (1 + len(known)), method, len(known), count - len(known))


def _half(
    progress: Callable[[int, int], None] | None, place: int, count: int
) -> Callable[[int, int], None] | None:
    """Progress of one of the two models as a part of both."""
    if progress is None:
        return None

    def report(done: int, _: int) -> None:
        progress(place * count + done, 2 * count)

    return report


def _by(estimates: Estimates, reml: bool) -> Estimates:
    """The fit by REML or ML."""
    if estimates.reml == reml:
        return estimates
    return estimate(estimates.design, reml=reml, algorithm=estimates.algorithm)


def _require_same_response(one: Estimates, two: Estimates) -> None:
    """Both models explain the same numbers."""
    if one.nobs != two.nobs:
        raise FitError(
            f"The models are fitted to {one.nobs:,} and {two.nobs:,} rows; they can only be compared on the "
            "same rows. Leave out the rows with missing values before fitting either."
        )
    pairs = (
        ("response", one.problem.response, two.problem.response),
        ("prior weights", one.problem.weights, two.problem.weights),
        ("offset", one.problem.offset, two.problem.offset),
    )
    for what, a, b in pairs:
        same = (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b))
        if not same:
            raise FitError(f"The models differ in their {what}; they can only be compared on the same data.")


def same_fixed(one: Estimates, two: Estimates) -> bool:
    """Whether the fixed effects of both models span the same space."""
    X, Y = (_columns(estimates) for estimates in (one, two))
    return X.shape == Y.shape and _spans(X, Y) and _spans(Y, X)


def _columns(estimates: Estimates) -> Floats:
    """(n, p) X at columns of norm 1."""
    problem = estimates.problem
    X = np.array([problem.columns[problem.fixed[i]] for i in estimates.kept]).reshape(-1, estimates.nobs).T
    return X / np.sqrt(np.einsum("ij,ij->j", X, X))


def _spans(X: Floats, Y: Floats) -> bool:
    """Whether the columns of Y are combinations of those of X."""
    left = Y - X @ np.linalg.lstsq(X, Y)[0]
    return bool(np.abs(left).max(initial=0.0) < SAME)
