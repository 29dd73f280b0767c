"""What every algorithm shares: where it stands, what it has cost, and its log.

An algorithm is a subclass with one method, `run(limit)`. It says `converged` only when the Newton decrement,
the distance from the optimum in units of the deviance, is below 1e-8: never because its progress is slow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lmmkit.engine.criterion.criterion import Criterion, State
from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError

FOUND = 1e-8  # Newton decrement at which a search is over; what follows is polishing
EIGENVALUE_FLOOR = 1e-10


def newton_direction(H: Floats, gradient: Floats) -> tuple[Floats, float]:
    """-|H|^-1 g and the decrement g'|H|^-1 g, with |H| of the absolute eigenvalues of H."""
    values, vectors = np.linalg.eigh(H)
    size = np.abs(values)
    size = np.maximum(size, max(EIGENVALUE_FLOOR * size.max(initial=0.0), 1e-300))
    along = vectors.T @ gradient
    return -vectors @ (along / size), float(along @ (along / size))


@dataclass(frozen=True)
class Line:
    """One line of a search's log: where it stood, in prepared units, and what brought it there."""

    phase: str
    iteration: int
    deviance: float
    gradient: float
    decrement: float
    step: str
    L: list[Floats]

    @property
    def numbers(self) -> dict[str, object]:
        """All but L."""
        return {name: value for name, value in vars(self).items() if name != "L"}


@dataclass
class Search:
    """One search from one start.

    Attributes:
        criterion: What is minimised.
        scale: Root of the mean Z'Z of each factor's columns.
        state: The criterion at the present theta.
        evaluations: Calls of the criterion with gradient until the decrement fell below 1e-8.
        history: One line a step.
        phase: What the log calls the present steps.
        decrement: Newton decrement at the present theta, in deviance units.
        converged: Whether the algorithm's stop rule was met.
    """

    criterion: Criterion
    scale: list[Floats]
    state: State
    evaluations: int = 1
    history: list[Line] = field(default_factory=list["Line"])
    phase: str = "search"
    decrement: float = np.inf
    converged: bool = False

    def run(self, limit: int) -> None:
        """Search for at most `limit` steps."""
        raise NotImplementedError

    def note(self, rule: str) -> None:
        """Keep one line of the log."""
        phase = "polish" if self.decrement < FOUND else self.phase
        gradient = float(np.linalg.norm(self.state.gradient))
        line = Line(
            phase, len(self.history), self.state.deviance, gradient, self.decrement, rule, self.state.L
        )
        self.history.append(line)

    def evaluate(self, theta: Floats) -> State:
        """The criterion at theta, counted while the search lasts."""
        self.evaluations += self.decrement >= FOUND
        return self.criterion(theta)

    def attempt(self, theta: Floats) -> State | None:
        """The state at theta, or None where there is no finite deviance (a step too far)."""
        try:
            return self.evaluate(theta)
        except FitError:
            return None

    def em_theta(self, state: State) -> Floats:
        """Theta one EM step from a state."""
        triples = zip(self.criterion.layout.factors, state.L, state.D, strict=True)
        return self.criterion.theta([factor.structure.em(L, D, factor.levels) for factor, L, D in triples])

    def arrive(self, state: State, rule: str) -> bool:
        """Stand at a state, log it, and say whether it is the optimum to 1e-8."""
        self.state = state
        self.decrement = newton_direction(state.hessian, state.gradient)[1]
        self.note(rule)
        self.converged = self.decrement < FOUND
        return self.converged
