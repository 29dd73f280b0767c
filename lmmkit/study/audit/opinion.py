"""Another package's fit of the same arrays."""

from __future__ import annotations

from dataclasses import dataclass

from lmmkit.engine.problem import Floats, Problem
from lmmkit.model.estimates import Estimates


@dataclass(frozen=True, eq=False)
class Opinion:
    """What another package found, or why it was not asked.

    Attributes:
        package: Its name.
        note: Why there is no answer.
        deviance: -2 log likelihood, or the REML criterion, at its optimum.
        beta: Its fixed effects.
    """

    package: str
    note: str = ""
    deviance: float | None = None
    beta: Floats | None = None


def fixed_columns(estimates: Estimates) -> list[Floats]:
    """The columns of X that are not aliased."""
    problem = estimates.problem
    return [problem.columns[problem.fixed[i]] for i in estimates.kept]


def response(problem: Problem) -> Floats:
    """y, the offset taken off."""
    return problem.response if problem.offset is None else problem.response - problem.offset
