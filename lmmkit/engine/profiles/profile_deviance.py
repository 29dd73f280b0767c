"""The profile deviance of one parameter: the least deviance on the slice where it has a value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lmmkit.engine.covariance.roots import semidefinite_factor
from lmmkit.engine.criterion.average_information import AlongDirections
from lmmkit.engine.criterion.elimination import Forward
from lmmkit.engine.criterion.gradient import Reverse, Sweep
from lmmkit.engine.linalg.level_matrices import solved
from lmmkit.engine.problem import Floats
from lmmkit.engine.profiles.slices import Slice
from lmmkit.engine.search.search import newton_direction
from lmmkit.engine.setup import Setup
from lmmkit.errors import FitError

FOUND = 1e-13  # Newton decrement at which the least deviance of a slice is found
STALLED = 1e-11  # below this a decrement that no longer falls four-fold is rounding
END_PHASE = 1e-3  # below this the curvature is corrected by the observed change of the gradient
PATIENCE = 20  # steps after which the exact Hessian is taken
LIMIT = 150
STEP = 1e-4  # of the differences behind the exact Hessian


@dataclass(frozen=True, eq=False)
class Point:
    """The deviance at one point of a slice.

    Attributes:
        x: Coordinates.
        deviance, gradient: In x.
        slope: d deviance / d value of the held parameter.
        hessian: Average information with the exact curvature of T = A A'.
    """

    setup: Setup
    slice: Slice
    x: Floats
    A: list[Floats]
    forward: Forward
    beta: Floats
    r2: float

    @property
    def a(self) -> Floats:
        """W a = y - X beta."""
        return np.append(-self.beta, 1.0)

    @cached_property
    def precision(self) -> float:
        """1 / sigma^2, with sigma held, a coordinate, or profiled out."""
        if self.slice.sigma is not None:
            return self.slice.sigma**-2
        if self.slice.held is not None:
            return float(np.exp(-2.0 * self.x[-1]))
        return self.setup.criterion.nu / self.r2

    @cached_property
    def deviance(self) -> float:
        """-2 log likelihood or the REML criterion, with their constants."""
        criterion = self.setup.criterion
        value = self.forward.logdet + criterion.constant + self.r2 * self.precision
        value += criterion.nu * (np.log(2.0 * np.pi) - np.log(self.precision))
        if criterion.reml:
            value += float(np.linalg.slogdet(self.forward.F[:-1, :-1])[1])
        return float(value)

    @cached_property
    def reverse(self) -> Reverse:
        """D and Z'V^-1 W of every factor."""
        K = self.precision * np.outer(self.a, self.a)
        if self.setup.criterion.reml:
            K[:-1, :-1] += np.linalg.inv(self.forward.F[:-1, :-1])
        return Sweep(self.forward, self.setup.layout, K).run()

    @cached_property
    def outer(self) -> list[Floats]:
        """2 D A of every factor: d deviance / dA."""
        return [2.0 * D @ A for D, A in zip(self.reverse.D, self.A, strict=True)]

    @cached_property
    def gradient(self) -> Floats:
        """(m,)."""
        parts = [np.einsum("ab,iab->i", G, d) for G, d in zip(self.outer, self.slice.directions, strict=True)]
        if self.slice.held is None:
            return np.concatenate(parts)
        along = 2.0 * self.setup.criterion.nu - 2.0 * self.r2 * self.precision - self._along_held
        return np.concatenate([*parts, [along]])

    @property
    def _along_held(self) -> float:
        """A held standard deviation's s / sigma times the slope in it."""
        assert self.slice.held is not None
        f, s, Q = self.slice.held
        return s * float(np.sqrt(self.precision)) * float(np.sum(self.outer[f] * Q))

    @property
    def slope(self) -> float:
        """D deviance / d value, in prepared units of the value."""
        if self.slice.held is not None:
            f, _, Q = self.slice.held
            return float(np.sqrt(self.precision)) * float(np.sum(self.outer[f] * Q))
        if self.slice.turned is not None:
            f, coordinate, turn = self.slice.turned
            return float(self.x[coordinate] * np.sum(self.outer[f] * turn))
        if self.slice.along is not None:
            c, _ = self.slice.along
            F = self.forward.F
            return (
                2.0
                * self.precision
                * float(c @ self.beta - c @ np.linalg.solve(F[:-1, :-1], F[:-1, -1]))
                / float(c @ np.linalg.solve(F[:-1, :-1], c))
            )
        assert self.slice.sigma is not None
        return (2.0 * self.setup.criterion.nu - 2.0 * self.r2 * self.precision) / self.slice.sigma

    @cached_property
    def hessian(self) -> Floats:
        """(m, m)."""
        if self.slice.held is None:
            G, q = self._information(self.slice.directions)
            G = self.precision * G
            if self.slice.sigma is None:
                G -= self.precision / self.r2 * np.outer(q, q)
            return G
        return self._with_sigma(self.slice.held)

    def _with_sigma(self, held: tuple[int, float, Floats]) -> Floats:
        """The Hessian with log sigma as a coordinate, which also scales the held entry."""
        f, s, Q = held
        directions = list(self.slice.directions)
        directions[f] = np.concatenate([directions[f], -s * np.sqrt(self.precision) * Q[None]])
        place = int(sum(len(d) for d in directions[: f + 1])) - 1
        G, q = self._information(directions)
        order = [i for i in range(len(q)) if i != place] + [place]
        H = self.precision * G[np.ix_(order, order)]
        cross = 2.0 * self.precision * q[order]
        H[-1] += cross
        H[:, -1] += cross
        H[-1, -1] += 4.0 * self.r2 * self.precision + self._along_held
        return H

    def _information(self, directions: list[Floats]) -> tuple[Floats, Floats]:
        """w'Pw with the curvature of T = A A' over the precision, and w'Py, along any dA."""
        layout = self.setup.layout
        half = [np.einsum("iab,cb->iac", d, A) for d, A in zip(directions, self.A, strict=True)]
        along = [h + h.transpose(0, 2, 1) for h in half]
        pushed = AlongDirections(self.forward, layout, along, self.reverse, self.a)
        G, q = pushed.run(self.forward.F[:-1, :-1])
        if self.slice.along is not None:
            c, _ = self.slice.along
            shift = np.linalg.solve(self.forward.F[:-1, :-1], c)
            e = pushed.e_fixed[:, :-1] @ shift
            G = G + np.outer(e, e) / float(c @ shift)
        at = 0
        for d, D in zip(directions, self.reverse.D, strict=True):
            mine = slice(at, at + len(d))
            G[mine, mine] += 2.0 / self.precision * np.einsum("iab,ac,jcb->ij", d, D, d)
            at += len(d)
        return G, q


def evaluate(setup: Setup, held: Slice, x: Floats) -> Point:
    """The deviance at one point of a slice.

    Raises:
        FitError: There is none.
    """
    A = held.factors(x)
    forward = setup.criterion.eliminate([semidefinite_factor(rows) for rows in A])
    F = forward.F
    beta = solved(F[:-1, :-1], F[:-1, -1])
    if held.along is not None:
        c, v = held.along
        shift = solved(F[:-1, :-1], c)
        beta = beta + shift * (v - float(c @ beta)) / float(c @ shift)
    a = np.append(-beta, 1.0)
    r2 = float(a @ F @ a)
    if not np.isfinite(r2) or r2 <= 0.0:
        raise FitError("The residual variance goes to zero on the way: the likelihood has no maximum there.")
    return Point(setup, held, x, A, forward, beta, r2)


class Descent:
    """The search for the least deviance of a slice, from a point near it."""

    def __init__(self, setup: Setup, held: Slice, x: Floats) -> None:
        self.setup, self.held = setup, held
        self.point = evaluate(setup, held, x)
        self.previous: Point | None = None
        self.decrement, self.exact = np.inf, False

    def run(self) -> Point:
        """Newton's steps with halving; on from saddles.

        Raises:
            FitError: The search did not arrive.
        """
        for count in range(LIMIT):
            self.exact = count >= PATIENCE
            H = self._curvature()
            step, decrement = self._direction(H)
            stalled = decrement < STALLED and decrement > self.decrement / 4.0
            self.decrement = decrement
            if decrement < FOUND or stalled:
                if not self._escape():
                    return self.point
            elif not self._advance(step):
                if decrement < 1e-8:
                    return self.point
                self.exact = True
        raise FitError(f"The least deviance was not found in {LIMIT} steps.")

    def _direction(self, H: Floats) -> tuple[Floats, float]:
        """Newton's direction in the coordinates that may move, and the decrement."""
        free = self.held.free(self.point.x, self.point.gradient)
        step = np.zeros_like(self.point.x)
        step[free], decrement = newton_direction(H[np.ix_(free, free)], self.point.gradient[free])
        return step, decrement

    def _curvature(self) -> Floats:
        """The Hessian, corrected near the end; exact where average information crawls."""
        if self.exact:
            return self._differences()
        H = self.point.hessian
        if self.previous is None or self.decrement > END_PHASE:
            return H
        s = self.point.x - self.previous.x
        v = self.point.gradient - self.previous.gradient - H @ s
        if abs(v @ s) <= 1e-8 * np.linalg.norm(v) * np.linalg.norm(s):
            return H
        return H + np.outer(v, v) / (v @ s)

    def _differences(self) -> Floats:
        """The exact Hessian by central differences of the exact gradient."""
        rows = list[Floats]()
        for i, value in enumerate(self.point.x):
            step = np.zeros_like(self.point.x)
            step[i] = STEP * max(abs(value), 0.1)
            up, down = (evaluate(self.setup, self.held, self.point.x + s).gradient for s in (step, -step))
            rows.append((up - down) / (2.0 * step[i]))
        H = np.array(rows)
        return (H + H.T) / 2.0

    def _advance(self, step: Floats) -> bool:
        """The longest of some halved steps that does not raise the deviance."""
        reach = max(1.0, 2.0 * float(np.linalg.norm(self.point.x)))
        step = step * min(1.0, reach / max(float(np.linalg.norm(step)), 1e-300))
        slack = (1e-10 if self.decrement < 1e-5 else 1e-12) * abs(self.point.deviance)
        for _ in range(30):
            if self._try(self.point.x + step, slack):
                return True
            step = step / 2.0
        return False

    def _try(self, x: Floats, slack: float) -> bool:
        """Go there if the deviance does not rise."""
        try:
            trial = evaluate(self.setup, self.held, self.held.allowed(x))
        except (FitError, np.linalg.LinAlgError):
            return False
        if not trial.deviance <= self.point.deviance + slack:
            return False
        self.previous, self.point = self.point, trial
        return True

    def _escape(self) -> bool:
        """At a saddle: along a direction of negative curvature, if the deviance falls."""
        values, vectors = np.linalg.eigh(self.point.hessian)
        if not len(values) or values[0] >= -1e-7 * values[-1]:
            return False
        for size in (1.0, -1.0, 0.1, -0.1, 0.01, -0.01):
            if self._try(self.point.x + size * vectors[:, 0], -1e-9):
                self.previous, self.decrement = None, np.inf
                return True
        return False
