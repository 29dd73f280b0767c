"""Where draws are proposed: at the posterior's mode, with its curvature, by split t distributions.

With T T' = 1.1 (inverse curvature) a draw is mu + T (s z) sqrt(df / chi2), where each axis has a scale s of
its own to either side. These are the least with which a t distribution along that axis falls no faster than
the posterior does, seen from the mode: a standard deviation that may be zero has a log with a long tail to
the left. What this leaves is learned from weighted draws: a mixture of t distributions is fitted to them by
EM, and the first proposal keeps a share of it.

References: Cappe, Douc, Guillin, Marin & Robert (2008), Adaptive importance sampling in general mixture
classes, Statistics and Computing 18, 447-459; Geweke (1989), Bayesian inference in econometric models using
Monte Carlo integration, Econometrica 57, 1317-1339, section 4 (there T is Cholesky's factor, as here).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv, gammaln, ndtr, ndtri

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.posterior.pareto import log_sum
from lmmkit.errors import FitError

DF = 6.0  # of the proposal: its tails are heavier than those of a posterior of log SDs
KEPT = 0.2  # share of a learned mixture that the first proposal keeps
LEARNED = 3  # components that are learned,
WIDER, WIDER_DF = 1.5, 3.0  # scales of the first proposal, and its df, where a learned mixture was not enough
EM_STEPS = 8  # by as many steps,
RICH = 30  # from as many effective draws for each coordinate; from fewer one component is learned,
EVENED = 5  # from draws of which as many for each coordinate are effective when their weights are evened out
LEAST_SHARE, NARROWEST = (
    1e-3,
    1e-3,
)  # of a component: of the weight, and of the variance of the first proposal
INFLATION = 1.1  # of the inverse curvature, and of a learned variance
STEP = 1e-5  # of the differences of the gradient that make the curvature
ENOUGH = 1e-4  # decrement at which the mode is found: what is left is no matter for a proposal
LIMIT = 60  # steps to the mode
LONGEST = 2.0  # step in a coordinate, all of which are logs or the like
LOOKED_AT = np.array([0.5, 1.0, 2.0, 3.5, 5.0, 8.0])  # along each axis to either side, in its scales
SIDES = (0.8, 8.0)  # the scales that an axis may have to a side
LEAST_CURVATURE = 0.05  # flatter directions are proposed as wide as that: coordinates are logs and the like

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


def curvature_at(slope: Slope, phi: Floats, g: Floats) -> Floats:
    """(m, m) minus the second derivatives, by differences of the gradient from g, that at phi."""
    rows = list[Floats]()
    for d in STEP * np.eye(len(phi)):
        value, there = slope(phi + d)
        if not (
            math.isfinite(value) and np.isfinite(there).all()
        ):  # beyond the end of a prior: the other way
            d, there = -d, slope(phi - d)[1]
        rows.append((g - there) / d.sum())
    H = np.array(rows).reshape(len(phi), -1)
    return (H + H.T) / 2.0


def raised(H: Floats) -> Floats:
    """A symmetric matrix with no eigenvalue below the least curvature."""
    values, vectors = np.linalg.eigh(H)
    return (vectors * np.maximum(np.abs(values), LEAST_CURVATURE)) @ vectors.T


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
    H, fresh = curvature_at(slope, phi, g), True
    evaluations += len(phi)
    for _ in range(LIMIT):
        step = solved(raised(H), g)
        decrement = float(step @ g)
        if decrement < ENOUGH:
            if fresh:
                break
            H, fresh = curvature_at(slope, phi, g), True
            evaluations += len(phi)
            continue
        step = step / max(1.0, float(np.abs(step).max()) / LONGEST)
        size = 1.0
        while True:
            there, slopes = slope(phi + size * step)
            evaluations += 1
            known = math.isfinite(there) and bool(np.isfinite(slopes).all())
            if (known and there > value - 1e-10 * abs(value)) or size < 1e-8:
                break
            size /= 4.0
        if not known:  # at the end of what a prior allows
            break
        moved, turned = size * step, g - slopes
        phi, value, g = phi + moved, there, slopes
        H, fresh = _updated(H, moved, turned), False
    return Mode(phi, H, evaluations)


def _updated(H: Floats, moved: Floats, turned: Floats) -> Floats:
    """The symmetric rank-one correction of the curvature by what the gradient did on a step."""
    off = turned - H @ moved
    size = float(off @ moved)
    if abs(size) <= 1e-8 * float(np.linalg.norm(off) * np.linalg.norm(moved)):
        return H
    return H + np.outer(off, off) / size


@dataclass(frozen=True, eq=False)
class SplitT:
    """A multivariate t distribution whose axes have a scale to either side.

    Attributes:
        share: Its share of a mixture.
        mean: (m,).
        root: (m, m) lower triangular root of its scale matrix.
        sides: (2, m) scales below and above the mean along each axis.
        df: Degrees of freedom.
    """

    share: float
    mean: Floats
    root: Floats
    sides: Floats
    df: float = DF

    def at(self, z: Floats, uniform: Floats) -> Floats:
        """Returns (m, r) draws made of (m, r) standard normal and (r,) uniform numbers."""
        below: Floats = self.sides[:1].T
        above: Floats = self.sides[1:].T
        share: Floats = below / (below + above)
        # A side is taken with its share of the mass; within it the distance is that of a half-normal number.
        below_z, above_z = np.asarray(ndtr([z, -z]), dtype=np.float64)
        left = np.asarray(ndtri(np.minimum(below_z / share, 1.0) / 2.0), dtype=np.float64)
        right = np.asarray(ndtri(np.minimum(above_z / (1.0 - share), 1.0) / 2.0), dtype=np.float64)
        own: Floats = np.where(below_z < share, below * left, -above * right)
        chi2 = 2.0 * np.asarray(gammaincinv(self.df / 2.0, uniform), dtype=np.float64)
        return self.mean[:, None] + np.einsum("ab,br->ar", self.root, own) * np.sqrt(self.df / chi2)

    def distances(self, phi: Floats) -> Floats:
        """Returns (r,) squared distances of (m, r) points."""
        z = solved(self.root, phi - self.mean[:, None])
        below: Floats = self.sides[:1].T
        above: Floats = self.sides[1:].T
        z = np.where(z < 0.0, z / below, z / above)
        return np.einsum("mr,mr->r", z, z)

    def logpdf(self, phi: Floats) -> Floats:
        """Returns (r,) log densities of (m, r) points."""
        m, v = len(self.mean), self.df
        constant = float(gammaln((v + m) / 2.0) - gammaln(v / 2.0)) - 0.5 * m * math.log(v * math.pi)
        constant -= float(np.log(self.root.diagonal()).sum() + np.log(self.sides.mean(axis=0)).sum())
        return constant - (v + m) / 2.0 * np.log1p(self.distances(phi) / v)


@dataclass(frozen=True, eq=False)
class TMixture:
    """A mixture of them; their shares sum to one."""

    components: tuple[SplitT, ...]

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
            out[:, mine] = c.at(u[:-2, mine], uniform[0, mine])
        return out

    def logpdf(self, phi: Floats) -> Floats:
        """Returns (r,) log densities."""
        each = np.array([math.log(c.share) + c.logpdf(phi) for c in self.components])
        top = each.max(axis=0)
        return top + np.log(np.exp(each - top).sum(axis=0))


def at_mode(mode: Mode, log_density: Callable[[Floats], Floats]) -> TMixture:
    """One of them at the mode: scales by the density (r,) at (m, r) points on each axis."""
    root = np.linalg.cholesky(INFLATION * np.linalg.inv(raised(mode.curvature))).astype(
        np.float64, copy=False
    )
    m = len(mode.phi)
    # (m, 2 sides, m axes, distances)
    steps = np.array([-1.0, 1.0])[None, :, None, None] * root[:, None, :, None] * LOOKED_AT
    points = mode.phi[:, None] + steps.reshape(m, -1)
    values = log_density(np.concatenate([mode.phi[:, None], points], axis=1))
    fall = np.maximum(values[0] - values[1:], 0.0).reshape(2, m, -1)
    with np.errstate(divide="ignore", over="ignore"):
        scales = LOOKED_AT / np.sqrt(DF * np.expm1(2.0 / (DF + 1.0) * fall))
    return TMixture((SplitT(1.0, mode.phi, root, np.clip(scales.max(axis=2), *SIDES)),))


def wider(first: SplitT) -> SplitT:
    """The first proposal with scales a half larger and heavier tails, for what it has reached too seldom."""
    return replace(first, sides=WIDER * first.sides, df=WIDER_DF)


def learned(first: SplitT, phi: Floats, log_ratios: Floats) -> TMixture:
    """A mixture fitted to (m, r) draws by (r,) log importance ratios, a share left to the first proposal.

    Few effective draws are evened out by a power of their weights, and one component is learned from them.
    """
    m = len(phi)
    log_weights = log_ratios - log_sum(log_ratios)
    enough = _effective(log_weights) >= RICH * m
    weights = np.exp(log_weights if enough else _evened(log_ratios, min(EVENED * m, len(log_ratios) / 4.0)))
    z = solved(first.root, phi - first.mean[:, None])
    shares, means, roots = _fitted(z, weights, LEARNED if enough else 1)
    parts = [
        SplitT((1.0 - KEPT) * share, first.mean + first.root @ mu, first.root @ R, np.ones((2, m)))
        for share, mu, R in zip(shares, means, roots, strict=True)
    ]
    return TMixture((replace(first, share=KEPT), *parts))


def _effective(log_weights: Floats) -> float:
    return 1.0 / float(np.exp(2.0 * log_weights).sum())


def _evened(log_ratios: Floats, effective: float) -> Floats:
    """(r,) log weights, the ratios to a power of at most 1 with which so many draws are effective."""
    low, high = 0.0, 1.0
    known = np.isfinite(log_ratios)  # the rest have no weight, to whatever power
    held = np.where(known, log_ratios, 0.0)
    for _ in range(30):
        power = (low + high) / 2.0
        x = np.where(known, power * held, -np.inf)
        low, high = (power, high) if _effective(x - log_sum(x)) >= effective else (low, power)
    x = np.where(known, low * held, -np.inf)
    return x - log_sum(x)


def _fitted(z: Floats, weights: Floats, count: int) -> tuple[Floats, Floats, list[Floats]]:
    """Shares, means and roots of t distributions fitted to (m, r) weighted points by EM.

    They begin at points that share the weight evenly in the direction of most variance.
    """
    m, mean = len(z), z @ weights
    spread = (z - mean[:, None]) * weights @ (z - mean[:, None]).T
    order = np.argsort(np.linalg.eigh(spread)[1][:, -1] @ z, kind="stable")
    cuts = np.searchsorted(np.cumsum(weights[order]), (np.arange(count) + 0.5) / count)
    means = z[:, order[np.minimum(cuts, len(order) - 1)]].T
    roots, shares = [_root_of_spread(spread)] * count, np.full(count, 1.0 / count)
    for _ in range(EM_STEPS):
        d = np.array(
            [((solved(R, z - mu[:, None])) ** 2).sum(axis=0) for R, mu in zip(roots, means, strict=True)]
        )
        sizes = np.array([np.log(R.diagonal()).sum() for R in roots])
        logs = np.log(shares)[:, None] - sizes[:, None] - (DF + m) / 2.0 * np.log1p(d / DF)
        own = np.exp(logs - logs.max(axis=0))
        own = own / own.sum(axis=0) * weights
        near = own * (DF + m) / (DF + d)
        means = (near @ z.T) / near.sum(axis=1)[:, None]
        whole = np.maximum(own.sum(axis=1), LEAST_SHARE)
        roots = [
            _root_of_spread((z - mu[:, None]) * part @ (z - mu[:, None]).T / size)
            for part, size, mu in zip(near, whole, means, strict=True)
        ]
        shares = whole / whole.sum()
    return shares, means, [math.sqrt(INFLATION) * R for R in roots]


def _root_of_spread(spread: Floats) -> Floats:
    return np.linalg.cholesky(spread + NARROWEST * np.eye(len(spread))).astype(np.float64, copy=False)
