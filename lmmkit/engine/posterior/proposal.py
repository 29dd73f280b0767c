"""Where draws are proposed: at the posterior's mode, with its curvature, by a mixture of t distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv, gammaln, ndtr

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.errors import FitError

DF = 6.0  # of the proposal: its tails are heavier than those of a posterior of log SDs
INFLATION = 1.1  # of the inverse curvature
STEP = 1e-4  # of the differences of the gradient that make the curvature
ENOUGH = 1e-6  # decrement at which the mode is found: what is left is no matter for a proposal
LIMIT = 60  # steps to the mode
LONGEST = 2.0  # step in a coordinate, all of which are logs or the like
LEAST_CURVATURE = 1e-3  # of the largest, and above zero: flatter directions are proposed as wide as that

Slope = Callable[[Floats], tuple[float, Floats]]


class Mode(NamedTuple):
    """The mode of a density of (m,) coordinates.

    Attributes:
        phi: (m,) where.
        curvature: (m, m) minus the second derivatives of the log density there.
        evaluations: Gradients that it took.
    """

    phi: Floats
    curvature: Floats
    evaluations: int


def curvature_at(slope: Slope, phi: Floats) -> Floats:
    """(m, m) minus the second derivatives, by central differences of the gradient."""
    step = STEP * np.eye(len(phi))
    rows = [(slope(phi - d)[1] - slope(phi + d)[1]) / (2.0 * STEP) for d in step]
    H = np.array(rows).reshape(len(phi), -1)
    return (H + H.T) / 2.0


def raised(H: Floats) -> Floats:
    """A symmetric matrix with no eigenvalue below a share of the largest."""
    values, vectors = np.linalg.eigh(H)
    least = LEAST_CURVATURE * max(float(np.abs(values).max(initial=0.0)), 1.0)
    return (vectors * np.maximum(np.abs(values), least)) @ vectors.T


def find_mode(slope: Slope, start: Floats) -> Mode:
    """Newton's method: the curvature is taken anew where it was wrong, and once more at the mode.

    Raises:
        FitError: The density has no number at the start.
    """
    phi, evaluations = start, 1
    value, g = slope(phi)
    if not math.isfinite(value):
        raise FitError(
            "The posterior has no density where the search for its mode begins: the priors exclude it."
        )
    H, fresh = curvature_at(slope, phi), True
    evaluations += 2 * len(phi)
    for _ in range(LIMIT):
        step = solved(raised(H), g)
        decrement = float(step @ g)
        if decrement < ENOUGH:
            if fresh:
                break
            H, fresh = curvature_at(slope, phi), True
            evaluations += 2 * len(phi)
            continue
        step = step / max(1.0, float(np.abs(step).max()) / LONGEST)
        size = 1.0
        while True:
            there, slopes = slope(phi + size * step)
            evaluations += 1
            if there > value - 1e-10 * abs(value) or size < 1e-8:
                break
            size /= 4.0
        moved, turned = size * step, g - slopes
        phi, value, g = phi + moved, there, slopes
        H, fresh = _updated(H, moved, turned), False
    return Mode(phi, H, evaluations)


def _updated(H: Floats, moved: Floats, turned: Floats) -> Floats:
    """The symmetric rank-one correction of the curvature by what the gradient did on a step."""
    off = turned - H @ moved
    size = float(off @ moved)
    if abs(size) < 1e-8 * float(np.linalg.norm(off) * np.linalg.norm(moved)):
        return H
    return H + np.outer(off, off) / size


@dataclass(frozen=True, eq=False)
class TComponent:
    """A multivariate t distribution.

    Attributes:
        share: Its share of the mixture.
        mean: (m,).
        root: (m, m) lower triangular root of its scale matrix.
        df: Degrees of freedom.
    """

    share: float
    mean: Floats
    root: Floats
    df: float = DF

    def distances(self, phi: Floats) -> Floats:
        """Returns (r,) squared distances of (m, r) points."""
        z = solved(self.root, phi - self.mean[:, None])
        return np.einsum("mr,mr->r", z, z)

    def logpdf(self, phi: Floats) -> Floats:
        """Returns (r,) log densities of (m, r) points."""
        m, v = len(self.mean), self.df
        constant = float(gammaln((v + m) / 2.0) - gammaln(v / 2.0)) - 0.5 * m * math.log(v * math.pi)
        constant -= float(np.log(self.root.diagonal()).sum())
        return constant - (v + m) / 2.0 * np.log1p(self.distances(phi) / v)


@dataclass(frozen=True, eq=False)
class TMixture:
    """A mixture of them; their shares sum to one."""

    components: tuple[TComponent, ...]

    @property
    def size(self) -> int:
        """Standard normal numbers that a draw takes."""
        return len(self.components[0].mean) + 2

    def draw(self, u: Floats) -> Floats:
        """Returns (m, r) draws made of (m + 2, r) standard normal numbers."""
        ends = np.cumsum([c.share for c in self.components])
        uniform: Floats = np.asarray(ndtr(u[-2:]), dtype=np.float64)
        which: Ints = (uniform[1] * ends[-1] >= ends[:-1, None]).sum(axis=0)
        out = np.empty((len(u) - 2, u.shape[1]))
        for place, c in enumerate(self.components):
            mine = np.flatnonzero(which == place)
            chi2 = 2.0 * np.asarray(gammaincinv(c.df / 2.0, uniform[0, mine]), dtype=np.float64)
            z = np.einsum("ab,br->ar", c.root, u[:-2, mine])
            out[:, mine] = c.mean[:, None] + z * np.sqrt(c.df / chi2)
        return out

    def logpdf(self, phi: Floats) -> Floats:
        """Returns (r,) log densities."""
        each = np.array([math.log(c.share) + c.logpdf(phi) for c in self.components])
        top = each.max(axis=0)
        return top + np.log(np.exp(each - top).sum(axis=0))


def at_mode(mode: Mode) -> TMixture:
    """One t distribution at the mode, its scale the inverse curvature times 1.1."""
    root = np.linalg.cholesky(INFLATION * np.linalg.inv(raised(mode.curvature)))
    return TMixture((TComponent(1.0, mode.phi, root.astype(np.float64, copy=False)),))
