"""Every algorithm of the literature by name, on one kernel."""

from __future__ import annotations

from dataclasses import dataclass

from lmmkit.engine.search.em import AcceleratedEm, Em, EmNewton
from lmmkit.engine.search.newton import Newton
from lmmkit.engine.search.quasi_newton import Direct, PenalizedLeastSquares
from lmmkit.engine.search.search import Search
from lmmkit.errors import FitError


@dataclass(frozen=True)
class Algorithm:
    """A search, the steps it is allowed by default, and what to say of it."""

    search: type[Search]
    limit: int
    description: str


ALGORITHMS = {
    "newton": Algorithm(Newton, 150, "Newton with average information on the profiled deviance"),
    "em": Algorithm(
        Em, 2000, "ECME: the expectation-maximisation algorithm with sigma and beta profiled out"
    ),
    "em-accelerated": Algorithm(AcceleratedEm, 1000, "ECME extrapolated by SQUAREM"),
    "em-newton": Algorithm(EmNewton, 200, "25 EM steps, then Newton with the exact Hessian, as nlme"),
    "pls": Algorithm(PenalizedLeastSquares, 1000, "penalised least squares under L-BFGS-B, as lme4"),
    "direct": Algorithm(Direct, 1000, "BFGS on the full likelihood in beta, log sigma and theta, as glmmTMB"),
}


def chosen(algorithm: str, limit: int | None) -> Algorithm:
    """The algorithm of that name.

    Raises:
        FitError: There is none of that name, or it is allowed no step.
    """
    if algorithm not in ALGORITHMS:
        raise FitError(f"algorithm={algorithm!r} is not known. Choose one of: {', '.join(ALGORITHMS)}.")
    if limit is not None and limit < 1:
        raise FitError(f"The limit of steps is {limit}; it must be at least 1, or None for the default.")
    return ALGORITHMS[algorithm]
