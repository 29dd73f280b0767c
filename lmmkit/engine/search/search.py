"""What every search shares: the function to minimise, where it stands, what it has cost, and its log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.hessian import Point
from lmmkit.engine.rules import Rules
from lmmkit.errors import FitError

P = TypeVar("P", bound=Point)


class Objective(Generic[P]):
    """A function to minimise. Beside its values it may offer moves that Newton's method does not know."""

    def evaluate(self, theta: Floats) -> P:
        """The function at theta.

        Raises:
            FitError: It has no finite value there.
        """
        raise NotImplementedError

    @property
    def bounded(self) -> NDArray[np.bool_]:
        """(m,) coordinates that are held at or above zero; or one answer for all: none."""
        return np.zeros((), bool)

    def nearest(self, theta: Floats) -> Floats:
        """The nearest place that may be."""
        return np.where(self.bounded & (theta < 0.0), 0.0, theta)

    def movable(self, point: P) -> NDArray[np.bool_]:
        """(m,) which coordinates may move downhill: all but those that are zero and would be negative."""
        return ~(self.bounded & (point.theta <= 0.0) & (point.gradient > 0.0))

    def fallback(self, point: P) -> Floats | None:
        """Where a step leads that cannot raise the deviance; None: there is no such step."""
        return None

    def off_null(self, point: P) -> Iterator[Floats]:
        """Places to try after a rejected step, where the point may be held by a zero that is a maximum."""
        return iter(())

    def off_saddle(self, point: P) -> Iterator[Floats]:
        """Places to try from a stationary point that is no minimum."""
        return iter(())

    @property
    def exact(self) -> bool:
        """Whether the Hessian of its points is exact."""
        return False

    @property
    def drifts(self) -> bool:
        """Whether the Hessian of its points is wrong by what the changes of the gradient can tell."""
        return False

    def units(self, point: P) -> Floats:
        """(m,) what a change in each coordinate is measured by: they are all alike."""
        return np.ones(len(point.theta))

    def length(self, point: P, step: Floats) -> float:
        """How long a step is in the coordinates that may run away, in their units."""
        del point, step
        return 0.0

    def refuse_runaway(self, point: P, step: Floats) -> None:
        """Refuse by name where a step leads that is long though nothing is left to gain.

        Raises:
            FitError: The deviance falls for as far as can be seen, towards a limit.
        """

    def back(self, point: P, previous: Floats | None) -> Iterator[Floats] | None:
        """Places on the way to a point that no optimum is near; None: it is no such point."""
        del point, previous
        return None

    def refuse_endless(self, point: P) -> None:
        """Refuse a point of that kind that no place on the way to it is lower than.

        Raises:
            FitError: The parameters run away.
        """

    def reordered(self, point: P) -> tuple[Objective[P], Floats] | None:
        """The same function in coordinates where a crawling search may be quicker, and the point's place."""
        return None


def newton_direction(H: Floats, gradient: Floats, least: float) -> tuple[Floats, Floats]:
    """-|H|^-1 g, (..., m), and the decrement g'|H|^-1 g, (...), with |H| of the absolute eigenvalues of H.

    `least` is their floor, as a share of the largest.
    """
    values, vectors = np.linalg.eigh(H)
    size = np.abs(values)
    size = np.maximum(size, np.maximum(least * size.max(axis=-1, initial=0.0, keepdims=True), 1e-300))
    along = np.einsum("...ba,...b->...a", vectors, gradient)
    return -np.einsum("...ba,...a->...b", vectors, along / size), np.einsum(
        "...a,...a->...", along, along / size
    )


def corrected(H: Floats, step: Floats, change: Floats, skip: float) -> Floats:
    """H, (..., m, m), with the symmetric rank-one correction (SR1) of its error along the last step.

    With v what the gradient changed by beyond H s, H + v v'/v's maps s to the change exactly. It is left out
    where |v's| is below `skip` times |v||s|.
    """
    v = change - np.einsum("...ab,...b->...a", H, step)
    along = np.einsum("...a,...a->...", v, step)
    size = np.sqrt(np.einsum("...a,...a->...", v, v) * np.einsum("...a,...a->...", step, step))
    with np.errstate(all="ignore"):
        factor = np.where(np.abs(along) > skip * size, 1.0 / along, 0.0)
    return H + np.einsum("...,...a,...b->...ab", factor, v, v)


@dataclass(frozen=True)
class LogLine:
    """One line of a search's log: where it stood, in prepared units, and what brought it there."""

    phase: str
    iteration: int
    deviance: float
    gradient: float
    decrement: float
    step: str
    L: list[Floats]
    coordinates: Floats

    @property
    def numbers(self) -> dict[str, object]:
        """All but L and the coordinates."""
        return {name: value for name, value in vars(self).items() if name not in ("L", "coordinates")}


@dataclass
class Search(Generic[P]):
    """One search from one start.

    Attributes:
        objective: What is minimised.
        point: Where the search stands.
        rules: Its thresholds.
        evaluations: Evaluations until the decrement fell below `found`, the start's included.
        history: One line a step.
        phase: What the log calls the present steps.
        decrement: Newton decrement at the point.
        converged: Whether the stop rule was met: never because progress is slow.
    """

    objective: Objective[P]
    point: P
    rules: Rules
    evaluations: int = 1
    history: list[LogLine] = field(default_factory=list[LogLine])
    phase: str = "search"
    decrement: float = np.inf
    converged: bool = False

    def note(self, step: str) -> None:
        """Keep one line of the log."""
        phase = "polish" if self.decrement < self.rules.found else self.phase
        gradient = float(np.linalg.norm(self.point.gradient))
        here, count = self.point, len(self.history)
        stood = (here.L, here.theta)
        self.history.append(LogLine(phase, count, here.deviance, gradient, self.decrement, step, *stood))

    def evaluate(self, theta: Floats) -> P:
        """The function at theta, counted while the search lasts."""
        self.evaluations += self.decrement >= self.rules.found
        return self.objective.evaluate(theta)

    def attempt(self, theta: Floats) -> P | None:
        """The same, or None where there is no finite deviance (a step too far)."""
        try:
            return self.evaluate(theta)
        except (FitError, np.linalg.LinAlgError):
            return None

    def towards(self, H: Floats, gradient: Floats) -> tuple[Floats, float]:
        """Newton's direction in the coordinates that may move, in their units, and the decrement."""
        units, step = self.objective.units(self.point), np.zeros_like(gradient)
        here = np.flatnonzero(self.objective.movable(self.point))
        H, slopes = (H * np.outer(units, units))[np.ix_(here, here)], (gradient * units)[here]
        step[here], decrement = newton_direction(H, slopes, self.rules.least_eigenvalue)
        return step * units, float(decrement)

    def arrive(self, point: P, step: str) -> bool:
        """Stand at a point, log it, and say whether it is the optimum to `found`."""
        self.point = point
        step_on, decrement = self.towards(point.hessian, point.gradient)
        self.decrement = decrement
        self.note(step)
        still = self.objective.length(point, step_on) < self.rules.still
        self.converged = self.decrement < self.rules.found and still
        return self.converged
