"""The restricted likelihood ratio test of one variance, exact in finite samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lmmkit.engine.solve import solve
from lmmkit.engine.variance_tests.exact_rlrt import balanced_tail, draws, spectrum
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates, refuse_held
from lmmkit.model.options import Seed, seed_of, whole
from lmmkit.model.threads import one_thread

ZERO = 1e-8  # a statistic up to this is rounding


@dataclass(frozen=True)
class VarianceTest:
    """The outcome of a test.

    Attributes:
        statistic: Twice the gain in log-likelihood.
        p: Probability of as much under the smaller model.
        method: What was done, in words.
        draws: Draws behind p; 0 where it needs none.
        failed: Replicates that could not be fitted; they count neither for nor against.
        exact: Whether the distribution is exact in finite samples (up to Monte Carlo error).
    """

    statistic: float
    p: float
    method: str
    draws: int
    failed: int = 0
    exact: bool = False

    @property
    def p_error(self) -> float:
        """Monte Carlo standard error of p."""
        return float(np.sqrt(self.p * (1.0 - self.p) / self.draws)) if self.draws else 0.0


def rlrt(estimates: Estimates, term: str | None = None, *, n: int = 100_000, seed: Seed = 0) -> VarianceTest:
    """The restricted likelihood ratio test that one variance is zero.

    Exact in finite samples where the tested term is the only random effect. With others beside it the
    distribution is that of the tested term alone, which is an approximation and is called so. A statistic of
    zero has p = 1. A fit by ML is refitted by REML.

    Args:
        estimates: A fit with the term.
        term: The label of the term, such as `Subject` or `cask:batch`; it may be left out if there is one.
        n: Draws, where the design is not balanced.
        seed: Seed of the random numbers.

    Raises:
        FitError: No such term, a term with several columns, too many levels, or a residual structure.

    Reference: Crainiceanu & Ruppert (2004), Journal of the Royal Statistical Society B 66, 165-185; with
    other random effects beside it, Scheipl, Greven & Kuechenhoff (2008), Computational Statistics & Data
    Analysis 52, 3283-3299.
    """
    count, number = whole("n", n, "draws"), seed_of(seed)
    refuse_held(estimates, "rlrt()", "there is nothing to test about them")
    tested, problem = _position(estimates, term), estimates.problem
    if problem.residual is not None:
        raise FitError(
            "The exact distribution of this test is that of independent residuals of one variance, and this "
            "model has a residual structure. Compare it with the model without the term: compare(smaller, "
            "larger), or compare(smaller, larger, method='bootstrap')."
        )
    found = spectrum(problem, tested)
    others = tuple(other for i, other in enumerate(problem.terms) if i != tested)
    with one_thread():
        larger = estimates.deviance if estimates.reml else solve(problem, reml=True).deviance
        gain = solve(replace(problem, terms=others), reml=True).deviance - larger
    statistic = gain if gain > ZERO else 0.0
    kind = "approximate RLRT: other random effects stand beside the tested one" if others else "exact RLRT"
    if statistic == 0.0:
        return VarianceTest(0.0, 1.0, kind, 0, exact=not others)
    if len(found.mu) == 1:
        return VarianceTest(statistic, balanced_tail(found, statistic), kind, 0, exact=not others)
    above = sum(int(np.count_nonzero(drawn >= statistic)) for drawn in draws(found, count, number))
    return VarianceTest(statistic, (1 + above) / (1 + count), kind, count, exact=not others)


def _position(estimates: Estimates, term: str | None) -> int:
    """Where the term of that label stands."""
    labels = [random.group for random in estimates.random]
    if not labels:
        raise FitError("This tests the variance of a random-effects term, and the model has none.")
    if term is None and len(labels) == 1:
        return 0
    if term not in labels:
        raise FitError(
            f"term={term!r}: the model has the random-effects terms {', '.join(labels)}; name the one to "
            "test."
        )
    return labels.index(term)
