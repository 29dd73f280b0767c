"""Second derivatives: average information by one more pass through the elimination, and exact differences.

Average information of directions dT_i is G_ik = w_i'P w_k with the working columns w_i = V_i P y = Z_f dT_i
Z_f'P y (Gilmour, Thompson & Cullis 1995: y'P V_i P V_k P y in place of the expected or the observed
information). The columns are pushed through the elimination as further right hand sides u_i, one factor after
the other: with e_f what earlier factors have left of Z_f'w

    (1)  t = B_ff u + e_f,    z = u - M t,    e_g += B_fg'z  for every later block g
    (2)  s += z't + e_f'u
    (3)  G = s - e_X' Phi e_X,    q_i = w_i'P y = e_W a

Phi is (X'V^-1X)^-1, or what a constraint on beta leaves of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.elimination import Eliminated, Forward
from lmmkit.engine.criterion.gradient import Reverse, rest_inverse
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.lazy import lazy
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.rules import SEARCH


class Point:
    """A function at one place; its derivatives are made when they are asked for.

    Attributes:
        theta: (m,) the place.
        deviance: The function.
        L: Roots of every T there.
    """

    theta: Floats
    deviance: float
    L: list[Floats]

    @lazy
    def gradient(self) -> Floats:
        """(m,)."""
        raise NotImplementedError

    @lazy
    def hessian(self) -> Floats:
        """(m, m), or what is good enough in its place."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class AverageInformation:
    """G = w'P w, (m, m), and q = w'P y, (m,)."""

    G: Floats
    q: Floats


def average_information(
    forward: Forward, layout: Layout, reverse: Reverse, a: Floats, directions: list[Floats], Phi: Floats
) -> AverageInformation:
    """Average information along directions of T, then of R.

    Args:
        forward: The elimination of W = [X y], or of [X w y] with working columns w of R.
        reverse: The reverse sweep.
        layout: Chain and rest.
        a: (q,) with [X y] a = y - X beta.
        directions: For each factor (m_f, k, k) symmetric dT.
        Phi: (p, p) covariance matrix of the estimated fixed effects over sigma^2.
    """
    push, p = pushed(forward, layout, reverse, a, directions), len(a) - 1
    rows, m = np.concatenate([push.e_fixed, forward.F[p:-1]]), len(push.s)  # w_i'V^-1 [X w y]
    eX, own = rows[:, :p], np.zeros((len(rows), len(rows)))
    own[:m, :m], own[:, m:] = push.s, rows[:, p:-1]
    own[m:] = own[:, m:].T
    return AverageInformation(own - eX @ Phi @ eX.T, np.append(eX, rows[:, -1:], axis=1) @ a)


def pushed(forward: Forward, layout: Layout, reverse: Reverse, a: Floats, directions: list[Floats]) -> _Push:
    """The accumulators after all factors."""
    push = _Push(forward, layout, len(forward.F), [len(d) for d in directions])
    for f, d in enumerate(directions[: len(layout.chain)]):
        push.through_factor(f, forward.links[f], _working(d, reverse.scores(layout, f, a)))
    if forward.rest is not None:
        chain = len(layout.chain)
        own = [
            _working(d, factor.related(reverse.scores(layout, chain + i, a)))
            for i, (d, factor) in enumerate(zip(directions[chain:], layout.rest, strict=True))
        ]
        push.through_rest(own)
    return push


def _working(directions: Floats, c: Floats) -> Floats:
    """(k, m, J) u_i = dT_i c, for (k, J) c = Z'P y."""
    m, k, _ = directions.shape
    return (directions.transpose(1, 0, 2).reshape(k * m, k) @ c).reshape(k, m, -1)


class _Push:
    """The accumulators of (1) to (3); they belong to one call of `average_information`."""

    def __init__(self, forward: Forward, layout: Layout, width: int, counts: list[int]) -> None:
        self.forward, self.layout, self.counts = forward, layout, counts
        self.ends = [int(c) for c in np.cumsum(counts)]
        m = sum(counts)
        self.s, self.e_fixed = np.zeros((m, m)), np.zeros((m, width))
        self.e = {g: np.zeros((f.width, m, f.levels)) for g, f in enumerate(layout.chain) if g > 0}
        self.e_rest = np.zeros((layout.size, m))

    def through_factor(self, f: int, link: Eliminated, mine: Floats) -> None:
        """One chain factor; only its own and earlier factors' columns are not zero yet."""
        end = self.ends[f]
        if f == 0:  # absorbed: z is the lift's, and z't = u'R'H R u, a sum of squares
            z = levelwise.transposed_times(link.lift, mine)
            half = levelwise.times(link.W, mine)
            self.s[:end, :end] += levelwise.summed(half, half)
        else:
            u = np.zeros((len(link.L), end, mine.shape[2]))
            u[:, end - self.counts[f] :] = mine
            e = self.e[f][:, :end]
            t = levelwise.transposed_times(link.root, levelwise.times(link.root, u)) + e
            z = u - levelwise.times(link.core, t)
            self.s[:end, :end] += levelwise.summed(z, t) + levelwise.summed(e, u)
        self.e_fixed[:end] += levelwise.summed(z, link.fixed)
        for g, block in link.between.items():
            self.e[g][:, :end] += self.layout.collect(f, g, levelwise.transposed_times(block, z))
        if link.coupling is not None:
            self.e_rest[:, :end] += link.coupling.transposed_times(z)

    def through_rest(self, own: list[Floats]) -> None:
        """The dense rest: (1) and (2) with S for B and E for M."""
        rest = self.forward.rest
        assert rest is not None
        u = np.zeros_like(self.e_rest)
        for position, mine in enumerate(own):
            end = self.ends[len(self.layout.chain) + position]
            block = mine.transpose(2, 0, 1).reshape(-1, mine.shape[1])
            u[self.layout.columns(position), end - mine.shape[1] : end] = block
        t = rest.cross_times(u) + self.e_rest
        z = u - rest_inverse(rest, self.layout).times(t)
        self.s += z.T @ t + self.e_rest.T @ u
        self.e_fixed += z.T @ rest.fixed


def observed_hessian(
    evaluate: Callable[[Floats], Point], theta: Floats, relative: float = SEARCH.difference
) -> Floats:
    """The exact Hessian, (m, m), by central differences of the exact gradient: 2 m evaluations."""
    rows = list[Floats]()
    for i, value in enumerate(theta):
        step = np.zeros_like(theta)
        step[i] = relative * max(abs(value), 0.1)
        difference = evaluate(theta + step).gradient - evaluate(theta - step).gradient
        rows.append(difference / (2.0 * step[i]))
    H = np.array(rows).reshape(len(theta), len(theta))
    return (H + H.T) / 2.0
