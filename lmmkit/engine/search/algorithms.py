"""Every algorithm of the literature by name, on one kernel.

An algorithm is a function of an objective, a start, rules and a limit of steps, and returns its search. It
says `converged` only when the Newton decrement, the distance from the optimum in units of the deviance, is
below 1e-8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.criterion import Evaluation, Held
from lmmkit.engine.rules import FitRules
from lmmkit.engine.search.newton import Newton, minimise
from lmmkit.engine.search.profiled_deviance import ProfiledDeviance
from lmmkit.engine.search.search import Search
from lmmkit.errors import FitError


def em(objective: ProfiledDeviance, start: Floats, rules: FitRules, limit: int) -> Search[Evaluation]:
    """Plain EM. The deviance never rises; at the boundary EM crawls, and then it has not converged.

    The step is ECME on the same cross-products, T - T D T / J with D the derivative of the profiled deviance,
    so that sigma^2 and the fixed effects are profiled out (Laird & Ware 1982; Lindstrom & Bates 1988; Liu &
    Rubin 1994).
    """
    search = Search(objective, objective.evaluate(start), rules)
    return _walk(search, limit, lambda: (search.evaluate(objective.em(search.point)), "em"))


def _walk(
    search: Search[Evaluation], limit: int, step: Callable[[], tuple[Evaluation, str]]
) -> Search[Evaluation]:
    """Steps, each to a point and with its name, until the decrement is below `found`."""
    done = search.arrive(search.point, "start")
    while not done and len(search.history) <= limit:
        done = search.arrive(*step())
    return search


def em_accelerated(
    objective: ProfiledDeviance, start: Floats, rules: FitRules, limit: int
) -> Search[Evaluation]:
    """EM extrapolated by SQUAREM (Varadhan & Roland 2008, scheme S3), monotone by falling back to EM.

    Two EM steps, then the extrapolation theta - 2 alpha r + alpha^2 v where it pays.
    """
    search = Search(objective, objective.evaluate(start), rules)

    def step() -> tuple[Evaluation, str]:
        here = search.point
        one = search.evaluate(objective.em(here))
        two = search.evaluate(objective.em(one))
        r = one.theta - here.theta
        v = two.theta - one.theta - r
        far = None
        if v.any():
            alpha = -max(float(np.linalg.norm(r) / np.linalg.norm(v)), 1.0)
            far = search.attempt(here.theta - 2.0 * alpha * r + alpha**2 * v)
        return (two, "em") if far is None or far.deviance > two.deviance else (far, "squarem")

    return _walk(search, limit, step)


def em_newton(objective: ProfiledDeviance, start: Floats, rules: FitRules, limit: int) -> Search[Evaluation]:
    """At most 25 EM steps, where there are any, then Newton's with the exact Hessian, as nlme."""
    search = Newton(objective, objective.evaluate(start), rules, phase="em")
    if objective.has_em and not objective.criterion.source.count:
        steps = min(rules.em_opening, limit)
        _walk(search, steps, lambda: (search.evaluate(objective.em(search.point)), "em"))
    search.exact, search.phase = True, "exact hessian"
    search.run(max(limit - len(search.history), 1), "newton" if search.history else "start")
    return search


Visit = Callable[..., None]  # what scipy calls with each of its iterations, by the name `xk`


def penalised_least_squares(
    objective: ProfiledDeviance, start: Floats, rules: FitRules, limit: int
) -> Search[Evaluation]:
    """The profiled deviance in theta with bounds on the diagonal of L, as lme4 and MixedModels.jl.

    Each evaluation solves the penalised least squares problem of the lme4 vignette (equation 14) by
    elimination; the outer search is L-BFGS-B with the exact gradient (Byrd, Lu, Nocedal & Zhu 1995).
    """
    search = Search(objective, objective.evaluate(start), rules)
    factors = objective.criterion.layout.factors
    bounds = [(0.0 if held else None, None) for f in factors for held in f.structure.nonnegative]
    bounds += [(None, None)] * objective.criterion.source.count

    def value(theta: Floats) -> tuple[float, Floats]:
        point = search.attempt(theta)
        return (rules.wall, np.zeros_like(theta)) if point is None else (point.deviance, point.gradient)

    def once(visit: Visit) -> None:
        scipy.optimize.minimize(
            value,
            search.point.theta,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            callback=visit,
            options={
                "maxiter": limit,
                "maxfun": 2 * limit,
                "ftol": 0.0,
                "gtol": rules.slope,
                "maxcor": rules.memory,
            },
        )

    return _in_rounds(search, objective, once, limit, "l-bfgs-b", at=0)


def direct(objective: ProfiledDeviance, start: Floats, rules: FitRules, limit: int) -> Search[Evaluation]:
    """The full likelihood in (beta, log sigma, theta) at once, as glmmTMB (REML: in log sigma and theta).

    The search is BFGS with the exact gradient; nothing is profiled out.
    """
    search, criterion = Search(objective, objective.evaluate(start), rules), objective.criterion
    p = 0 if criterion.reml else criterion.p

    def value(x: Floats) -> tuple[float, Floats]:
        search.evaluations += search.decrement >= rules.spent
        held = Held(precision=float(np.exp(-2.0 * x[p])), beta=None if criterion.reml else x[:p])
        try:
            point = criterion.evaluate(x[p + 1 :], held)
        except FitError:
            return rules.wall, np.zeros_like(x)
        slopes = np.concatenate([point.beta_slopes[:p], [point.log_sigma_slope], point.gradient])
        return point.deviance, slopes

    def once(visit: Visit) -> None:
        here = search.point
        log_sigma = 0.5 * np.log(here.r2 / criterion.nu)
        scipy.optimize.minimize(
            value,
            np.concatenate([here.beta[:p], [log_sigma], here.theta]),
            jac=True,
            method="BFGS",
            callback=visit,
            options={"maxiter": limit, "gtol": rules.slope},
        )

    return _in_rounds(search, objective, once, limit, "bfgs", at=p + 1)


def _in_rounds(
    search: Search[Evaluation],
    objective: ProfiledDeviance,
    once: Callable[[Visit], None],
    limit: int,
    name: str,
    at: int,
) -> Search[Evaluation]:
    """Run one of scipy's searches until the decrement is spent, again while that gains anything.

    Its theta begins at position `at` of its coordinates; a line search that fails on rounding ends a run too
    early.
    """
    rules = objective.rules

    def visit(xk: Floats) -> None:
        if (
            search.arrive(search.objective.evaluate(objective.nearest(xk[at:])), name)
            and search.decrement < rules.spent
        ):
            raise StopIteration

    search.arrive(search.point, "start")
    for _ in range(rules.rounds):
        before = search.point.deviance
        once(visit)
        gained = before - search.point.deviance >= rules.round_gain
        if search.decrement < rules.spent or not gained or len(search.history) > limit:
            break
    return search


SearchFunction = Callable[[ProfiledDeviance, Floats, FitRules, int], Search[Evaluation]]


@dataclass(frozen=True)
class Algorithm:
    """A search, the steps it is allowed by default (None: those of the rules), and what to say of it."""

    run: SearchFunction
    limit: int | None
    description: str


ALGORITHMS = {
    "newton": Algorithm(
        minimise, None, "Newton on the profiled deviance, with average information or the exact Hessian"
    ),
    "em": Algorithm(
        em, 2000, "ECME: the expectation-maximisation algorithm with sigma and beta profiled out"
    ),
    "em-accelerated": Algorithm(em_accelerated, 1000, "ECME extrapolated by SQUAREM"),
    "em-newton": Algorithm(
        em_newton, 200, "at most 25 EM steps, then Newton with the exact Hessian, as nlme"
    ),
    "pls": Algorithm(penalised_least_squares, 1000, "penalised least squares under L-BFGS-B, as lme4"),
    "direct": Algorithm(direct, 1000, "BFGS on the full likelihood in beta, log sigma and theta, as glmmTMB"),
}


def refuse_em(algorithm: str, parameters: str) -> None:
    """Refuse EM where some parameters have no step.

    Raises:
        FitError: The algorithm is EM.
    """
    if algorithm in {"em", "em-accelerated"}:
        others = ", ".join(name for name in ALGORITHMS if name not in {"em", "em-accelerated"})
        raise FitError(f"algorithm={algorithm!r} has no step for {parameters}. Choose one of: {others}.")


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
