"""What the data say about the variance parameters: expected and observed information at an optimum.

Expected information is taken along directions V_i in the space of the covariance matrices V of the response:
`ExpectedInformation` along dT of the random effects' matrices T, `visits.VisitInformation` along dR of the
residuals'. Observed information is that of (theta, sigma), theta being the free entries of the relative
covariance factors L, T = L L'. At an optimum on the boundary only the face is meant: entries of theta in zero
columns of L are left out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.natural_scales import SCALES, Scale
from lmmkit.engine.criterion.hessian import observed_hessian
from lmmkit.engine.inference.traces import Traces, component_sizes, outer_sum, scores, traces
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.linalg.two_part_covariance import Sandwich
from lmmkit.engine.optimum import Optimum
from lmmkit.engine.problem import Problem, RowResidual
from lmmkit.engine.rules import SEARCH
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError

CUBES = 1e8  # sum of the components' sizes cubed up to which the exact Hessian is taken from their blocks
FLAT = 1e-12  # scaled eigenvalue of an information matrix up to which a direction carries none
TAKEN = 1e-10  # share of a parameter's information that is rounding
BENT = -1e-8  # below this the deviance bends down: no optimum
LEANS = 1e-6  # share of a gradient along directions without information that is more than rounding
NOT_TOLD_APART = (
    "The data do not tell the variance parameters apart, so they have no covariance matrix. Simplify the "
    "random effects, or use df='containment' or 'residual'."
)
NO_OPTIMUM = (
    "The deviance does not curve upwards in every variance parameter at this fit, so the uncertainty of the "
    "variances has no estimate. Simplify the random effects, or ask for df='containment', 'residual' or "
    "'normal'."
)


def optimum_at(
    problem: Problem, factors: tuple[Floats, ...], rho: Floats | None = None, *, reml: bool
) -> Optimum:
    """Returns the criterion at estimates that were found before.

    Args:
        problem: The arrays.
        factors: Lambda of each term.
        rho: (r,) coordinates of the residual structure, where there is one.
        reml: Restricted maximum likelihood, or maximum likelihood.
    """
    setup = set_up(problem, reml=reml)
    L = setup.layout.in_prepared_units(setup.prepared.term_bases, factors)
    coordinates = setup.layout.coordinates(L)
    state = setup.criterion.evaluate(coordinates if rho is None else np.append(coordinates, rho))
    return Optimum(problem, setup.prepared, state, setup.scale)


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions in the space of covariance matrices, each within one factor.

    Attributes:
        own: For each factor an array (m_f, k, k) of symmetric matrices dT.
    """

    own: tuple[Floats, ...]

    @cached_property
    def cuts(self) -> list[slice]:
        """Each factor's positions among all directions."""
        ends = np.cumsum([0, *(len(d) for d in self.own)])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    @property
    def count(self) -> int:
        """Number of directions."""
        return self.cuts[-1].stop if self.cuts else 0


def theta_directions(optimum: Optimum) -> Directions:
    """dT / dx of each factor's coordinates x."""
    parameters = optimum.layout.parameters(optimum.state.theta)
    return Directions(tuple(structure.jacobian(x) for structure, x in parameters))


def entry_directions(optimum: Optimum) -> Directions:
    """Directions of every T, none of them zero at a singular one: entries of T, or of what it is made of."""
    parameters = optimum.layout.parameters(optimum.state.theta)
    return Directions(tuple(structure.tangent(x) for structure, x in parameters))


def in_data_units(optimum: Optimum, directions: Directions) -> tuple[Floats, ...]:
    """(m, k, k) of each term: S dT S' of each direction, zero for those of other factors."""
    out: dict[int, Floats] = {}
    for factor, own, cut in zip(optimum.layout.factors, directions.own, directions.cuts, strict=True):
        for term, columns, _ in factor.pieces:
            S = optimum.prepared.term_bases[term]
            out[term] = np.zeros((directions.count, len(S), len(S)))
            out[term][cut] = S @ own[:, columns, columns] @ S.T
    return tuple(out[term] for term in range(len(out)))


@dataclass(frozen=True, eq=False)
class DirectionalInformation(ABC):
    """Expected information along m directions V_i of V and along V itself, in units where sigma^2 = 1.

    With P = V^-1 - V^-1 X Phi X'V^-1 that of REML is that of ML less
    2 tr(Phi X'V^-1 V_i V^-1 V_j V^-1 X), plus tr(Phi X'V^-1 V_i V^-1 X Phi X'V^-1 V_j V^-1 X).

    Attributes:
        optimum: Where it is taken.
    """

    optimum: Optimum

    @cached_property
    def squares(self) -> Floats:
        """(m, m) tr(V^-1 V_i V^-1 V_j)."""
        raise NotImplementedError

    @property
    @abstractmethod
    def mixed(self) -> Floats:
        """(m, m) tr(Phi X'V^-1 V_i V^-1 V_j V^-1 X), or its transpose."""

    @property
    @abstractmethod
    def traces(self) -> Floats:
        """(m,) tr(V^-1 V_i)."""

    @cached_property
    def slopes(self) -> Floats:
        """(m, p, p) X'V^-1 V_i V^-1 X, the fall of X'V^-1X along each direction."""
        raise NotImplementedError

    @abstractmethod
    def middle(self, W: Floats) -> Floats:
        """Returns (p, p) sum_ij W_ij X'V^-1 V_i V^-1 V_j V^-1 X."""

    @property
    def nu(self) -> float:
        """Rows, less fixed effects under REML."""
        return float(self.optimum.criterion.nu)

    @cached_property
    def Phi(self) -> Floats:
        """(p, p) (X'V^-1X)^-1."""
        return solved(self.optimum.state.XVX, np.eye(self.optimum.criterion.p))

    @cached_property
    def matrix(self) -> Floats:
        """(m, m) tr(P V_i P V_j) under REML, tr(V^-1 V_i V^-1 V_j) under ML."""
        out = self.squares
        if self.optimum.criterion.reml:
            relative = self.Phi @ self.slopes
            out = out - 2.0 * self.mixed + np.einsum("ipq,jqp->ij", relative, relative, optimize=True)
        return (out + out.T) / 2.0

    @property
    def edge(self) -> Floats:
        """(m,) tr(P V_i) under REML, tr(V^-1 V_i) under ML."""
        if self.optimum.criterion.reml:
            return self.traces - np.einsum("ipq,qp->i", self.slopes, self.Phi)
        return self.traces

    @property
    def without_fixed(self) -> Floats:
        """(m,) tr(V^-1 V_i V^-1 V_i), information on each parameter without fixed effects."""
        return self.squares.diagonal()

    @cached_property
    def spread(self) -> Spread:
        """Of the (m + 1) parameters and the scale of V.

        Its information is tr(P V_i P V_j), tr(P V_i) and n - p under REML; the same with V^-1 in place of P,
        and n, under ML.
        """
        return spread(_bordered(self.matrix, self.edge, self.nu), np.append(self.without_fixed, self.nu))

    @property
    def covariance(self) -> Floats:
        """(m + 1, m + 1) covariance matrix of the parameters and of the scale of V.

        Raises:
            FitError: The data do not tell the parameters apart.
        """
        if self.spread.open.size:
            raise FitError(NOT_TOLD_APART)
        return self.spread.covariance


@dataclass(frozen=True, eq=False)
class ExpectedInformation(DirectionalInformation):
    """Expected information on the covariance matrices of the random effects.

    Attributes:
        directions: dT of each row and column; V_i = Z (I (x) dT_i) Z'.
    """

    directions: Directions

    @cached_property
    def blocks(self) -> Traces:
        """Sums over the blocks of Z'V^-1Z and Z'V^-1X."""
        return traces(self.optimum.prepared, self.optimum.layout, self.optimum.state)

    @cached_property
    def slopes(self) -> Floats:
        """As of `DirectionalInformation`."""
        p, parts = self.optimum.criterion.p, list[Floats]()
        for f, d in enumerate(self.directions.own):
            U = scores(self.optimum.layout, self.optimum.state, f)
            parts.append(np.einsum("iab,apbq->ipq", d, outer_sum(U, U)))
        return np.concatenate([np.empty((0, p, p)), *parts])

    def _along(self, sums: Callable[[int, int], Floats]) -> Floats:
        """(m, m) sums (k_f, k_g, k_f, k_g) over pairs of levels of two factors, along all directions."""
        own, cuts = self.directions.own, self.directions.cuts
        out = np.zeros((self.directions.count, self.directions.count))
        for f, g in product(range(len(own)), repeat=2):
            out[cuts[f], cuts[g]] = np.einsum("iab,acbd,jcd->ij", own[f], sums(f, g), own[g], optimize=True)
        return out

    @cached_property
    def squares(self) -> Floats:
        """As of `DirectionalInformation`."""
        return self._along(self.blocks.squares)

    @property
    def mixed(self) -> Floats:
        """As of `DirectionalInformation`."""
        root = np.asarray(np.linalg.cholesky(self.Phi), dtype=np.float64)
        return self._along(lambda f, g: self.blocks.mixed(f, g, root))

    @property
    def traces(self) -> Floats:
        """As of `DirectionalInformation`."""
        own = enumerate(self.directions.own)
        return np.concatenate(
            [np.empty(0), *(np.einsum("iab,ab->i", d, self.blocks.trace(f)) for f, d in own)]
        )

    def middle(self, W: Floats) -> Floats:
        """As of `DirectionalInformation`."""
        own, cuts, total = self.directions.own, self.directions.cuts, np.zeros(())
        for f, g in product(range(len(own)), repeat=2):
            weights = np.einsum("ij,iab,jcd->abcd", W[cuts[f], cuts[g]], own[f], own[g], optimize=True)
            total = total + self.blocks.sandwich(f, g, weights)
        return total


def _bordered(inner: Floats, edge: Floats, corner: float) -> Floats:
    """(m + 1, m + 1) symmetric, with one more row and column."""
    return np.block([[inner, edge[:, None]], [edge[None, :], np.array([[corner]])]])


@dataclass(frozen=True, eq=False)
class Spread:
    """Asymptotic covariance of some parameters, of which the data may leave directions open.

    Attributes:
        covariance: (m, m) twice the inverse of their information; of the pseudo-inverse where directions
            carry none.
        size: (m,) square root of each parameter's own information.
        open: (m, d) orthonormal directions without information, in the parameters times `size`.
    """

    covariance: Floats
    size: Floats
    open: Floats

    def leaning(self, gradients: Floats) -> NDArray[np.bool_]:
        """(r,) which functions with these (r, m) gradients depend on what the data leave open."""
        scaled = gradients / self.size
        along = np.abs(scaled @ self.open).max(axis=1, initial=0.0)
        return along > LEANS * np.linalg.norm(scaled, axis=1)

    def variances(self, gradients: Floats) -> Floats:
        """(r,) variances of functions with these (r, m) gradients; NaN where the data leave them open."""
        found = np.einsum("rm,mn,rn->r", gradients, self.covariance, gradients)
        return np.where(self.leaning(gradients), np.nan, found) if self.open.size else found


def spread(information: Floats, most: Floats | None = None) -> Spread:
    """Twice the inverse of an information matrix, taken at a unit diagonal.

    Args:
        information: (m, m).
        most: (m,) what each parameter's own information is of the size of, where the fixed effects may have
            taken all of it: less than a 1e-10 of that is rounding.

    Raises:
        FitError: It has no number, or bends down in some direction: no optimum to take it at.
    """
    size = np.sqrt(np.abs(information.diagonal()))
    if most is not None and (bare := np.abs(information.diagonal()) <= TAKEN * most).any():
        information = np.where(bare[:, None] | bare, 0.0, information)
        size = np.where(bare, np.sqrt(most), size)
    size[size == 0.0] = 1.0
    scaled = information / np.outer(size, size)
    if not np.isfinite(scaled).all():
        raise FitError(NO_OPTIMUM)
    values, vectors = np.linalg.eigh(scaled)
    if values[0] < BENT:
        raise FitError(NO_OPTIMUM)
    told = values > FLAT
    if told.all():
        inverse = solved(scaled, np.eye(len(scaled)))
    else:
        inverse = (vectors[:, told] / values[told]) @ vectors[:, told].T
    return Spread(2.0 * inverse / np.outer(size, size), size, vectors[:, ~told])


def exact_hessian(found: ExpectedInformation) -> tuple[Floats, Floats]:
    """Exact second derivatives of the profiled deviance in theta, and q_i = y'P V_i P y.

    Args:
        found: The expected information on theta at an optimum.

    Reference: Johnson & Thompson (1995): the average information is the mean of the observed and the expected
    one, so twice the former less the latter, with the curvature of T = L L', is exact.
    """
    state, criterion = found.optimum.state, found.optimum.criterion
    average, q = state.information.G, state.information.q
    if _is_costly(found.optimum):
        return observed_hessian(criterion.evaluate, state.theta), q
    return state.hessian + criterion.nu / state.r2 * average - found.matrix, q


def _is_costly(optimum: Optimum) -> bool:
    """Whether the components of crossed factors are too large to work on their blocks."""
    cubes = float((component_sizes(optimum.layout.factors).astype(float) ** 3).sum())
    return cubes > CUBES and len(optimum.state.L) > 1


@dataclass(frozen=True, eq=False)
class VarianceInformation:
    """Uncertainty of (theta, sigma) in prepared units, and its way into the fixed effects' covariance.

    Attributes:
        free: (m,) which entries of theta vary on the face of the optimum.
        hessian: (r + 1, r + 1) exact second derivatives of the deviance in the r free entries and sigma,
            nothing profiled out but the fixed effects.
        gradient: (r + 1, p, p) derivatives of the core of the covariance matrix of the fixed effects.
        vcov: That matrix.
        most: (r + 1,) size of each parameter's own information, or None where that would cost too much.
    """

    free: NDArray[np.bool_]
    hessian: Floats
    gradient: Floats
    vcov: Sandwich
    most: Floats | None = None

    @cached_property
    def spread(self) -> Spread:
        """Of the (r + 1) parameters: 2 H^-1.

        Raises:
            FitError: The deviance bends down along some direction: no optimum to take it at.
        """
        return spread(self.hessian, self.most)

    def on_scale(self, unit: float) -> Spread:
        """The same with its last parameter, sigma, in another unit: sigma itself gives log sigma's."""
        of, units = self.spread, np.ones(len(self.spread.size))
        units[-1] = unit
        return Spread(of.covariance / np.outer(units, units), of.size * units, of.open)


def variance_information(optimum: Optimum) -> VarianceInformation:
    """The exact information on (theta, sigma) at an optimum."""
    found = ExpectedInformation(optimum, theta_directions(optimum))
    profiled, q = exact_hessian(found)
    free = optimum.layout.free(optimum.state.theta)
    most = None if _is_costly(optimum) else found.without_fixed
    return with_sigma(optimum, profiled, q, free, found.slopes, most)


def differenced_information(optimum: Optimum) -> VarianceInformation:
    """The exact information on (theta, rho, sigma) by central differences of exact first derivatives.

    Of the gradient for the Hessian, of X'V^-1X and y'Py for what goes with it: 2 m evaluations.
    """
    state, criterion, layout = optimum.state, optimum.criterion, optimum.layout
    here, p = state.theta, len(state.beta)
    free = np.append(layout.free(here[: layout.count]), _moving(optimum))
    m = len(here)
    H, q, slopes = np.zeros((m, m)), np.zeros(m), np.zeros((m, p, p))
    for i in np.flatnonzero(free):
        step = np.zeros(m)
        step[i] = SEARCH.difference * max(abs(here[i]), 0.1)
        up, down = criterion.evaluate(here + step), criterion.evaluate(here - step)
        H[i] = (up.gradient - down.gradient) / (2.0 * step[i])
        q[i] = (down.r2 - up.r2) / (2.0 * step[i])
        slopes[i] = (down.XVX - up.XVX) / (2.0 * step[i])
    return with_sigma(optimum, (H + H.T) / 2.0, q, free, slopes, None)


def _moving(optimum: Optimum) -> NDArray[np.bool_]:
    """(r,) which coordinates of R vary on the face of the optimum: not of a correlation that is none."""
    residual, rho = optimum.problem.residual, optimum.state.rho
    if isinstance(residual, RowResidual):
        return residual.structure.free(rho)
    return np.ones(len(rho), bool)


def with_sigma(
    optimum: Optimum,
    profiled: Floats,
    q: Floats,
    free: NDArray[np.bool_],
    slopes: Floats,
    most: Floats | None,
) -> VarianceInformation:
    """The information on covariance parameters and sigma from that on the former alone.

    With d the deviance profiled over the fixed effects alone, at its optimum
    d2/dsigma2 = 4 nu / sigma^2, d2/dtheta dsigma = 2 q / sigma^3, and d2/dtheta2 exceeds the profiled
    deviance's Hessian by the outer product of the latter over the former.

    Args:
        optimum: The criterion there.
        profiled: (m, m) exact Hessian of the deviance profiled over sigma too.
        q: (m,) y'P V_i P y.
        free: (m,) which parameters vary on the face of the optimum.
        slopes: (m, p, p) X'V^-1 V_i V^-1 X.
        most: (m,) tr(V^-1 V_i V^-1 V_i), where that is known.
    """
    state, nu = optimum.state, optimum.criterion.nu
    sigma = float(np.sqrt(state.r2 / nu))
    corner = 4.0 * nu / sigma**2
    edge = 2.0 * q[free] / sigma**3
    inner = profiled[np.ix_(free, free)] + np.outer(edge, edge) / corner
    # d (sigma^2 Phi) = sigma^2 Phi (X'V^-1 V_i V^-1 X) Phi in theta, 2 sigma Phi in sigma
    vcov = optimum.covariance_of_beta
    Phi = solved(state.XVX, np.eye(len(state.beta)))
    gradient = np.concatenate([vcov.core @ slopes[free] @ Phi, 2.0 / sigma * vcov.core[None]])
    known = None if most is None else np.append(most[free], corner)
    return VarianceInformation(free, _bordered(inner, edge, corner), gradient, vcov, known)


@dataclass(frozen=True, eq=False)
class Curvature:
    """Asymptotic covariance of the covariance parameters on the face of the optimum, in the data's units.

    Attributes:
        spread: Of the m free parameters and log sigma, which is last.
        slopes: For each term (m, k, k): the derivative of Lambda Lambda' in each free parameter.
        residual: (r, m + 1) derivatives of the residual structure's natural parameters, on their scales (the
            log, Fisher's z), in all parameters.
    """

    spread: Spread
    slopes: tuple[Floats, ...]
    residual: Floats


def curvature(optimum: Optimum, found: VarianceInformation) -> Curvature:
    """The information on (theta, rho, sigma), and the way from its parameters to the data's units.

    Raises:
        FitError: The deviance bends down in some direction.
    """
    sigma = float(np.sqrt(optimum.state.r2 / optimum.criterion.nu))
    m, r = optimum.layout.count, len(optimum.state.rho)
    own = in_data_units(optimum, theta_directions(optimum))
    slopes = tuple(np.concatenate([slope, np.zeros((r, *slope.shape[1:]))]) for slope in own)
    residual = np.concatenate([np.zeros((r, m)), _natural_slopes(optimum), np.zeros((r, 1))], axis=1)
    return Curvature(
        found.on_scale(sigma), tuple(slope[found.free] for slope in slopes), residual[:, [*found.free, True]]
    )


def _natural_slopes(optimum: Optimum) -> Floats:
    """(r, r) derivatives of the residual structure's natural parameters, on their scales, in rho."""
    residual, rho = optimum.problem.residual, optimum.state.rho
    if residual is None:
        return np.empty((0, 0))
    values, slopes = residual.structure.natural(rho), residual.structure.natural_jacobian(rho)
    pairs = zip(values.tolist(), residual.structure.naturals, strict=True)
    stretch = np.array([_stretch(value, SCALES[kind]) for value, (kind, _) in pairs])
    return stretch[:, None] * slopes


def _stretch(value: float, scale: Scale) -> float:
    """How much longer a natural parameter is on its scale; NaN at an end of its range."""
    try:
        return 1.0 / scale.slope(scale.there(value))
    except (ValueError, ZeroDivisionError):
        return np.nan
