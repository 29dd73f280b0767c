"""What the data say about the variance parameters, and what that means for the fixed effects.

The parameters are theta, the free entries of the relative covariance factors, and sigma. At an optimum on
the boundary only the face is meant: entries of theta in zero columns of L are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.criterion.average_information import AverageInformation
from lmmkit.engine.criterion.hessian import observed_hessian
from lmmkit.engine.inference.components import component_sizes
from lmmkit.engine.inference.expected_information import expected_information, fixed_slopes, theta_directions
from lmmkit.engine.inference.traces import traces
from lmmkit.engine.linalg.level_matrices import solved
from lmmkit.engine.linalg.two_part_covariance import Sandwich
from lmmkit.engine.problem import Floats
from lmmkit.engine.solution import Optimum
from lmmkit.errors import FitError

CUBES = 1e8  # sum of the components' sizes cubed up to which the exact Hessian is taken from their blocks
FLAT = 1e-12  # a Hessian whose scaled eigenvalues reach down here has no inverse to trust


def exact_hessian(optimum: Optimum) -> tuple[Floats, Floats]:
    """Exact second derivatives of the profiled deviance in theta, and q_i = y'P V_i P y.

    Reference: Johnson & Thompson (1995): the average information is the mean of the observed and the expected
    one, so twice the former less the latter, with the curvature of T = L L', is exact.
    """
    state, criterion = optimum.state, optimum.criterion
    a = np.append(-state.beta, 1.0)
    average, q = AverageInformation(state.forward, criterion.layout, state.theta, state.reverse, a).run(
        state.XVX
    )
    if float((component_sizes(optimum.layout.factors).astype(float) ** 3).sum()) > CUBES and len(state.L) > 1:
        return observed_hessian(criterion, state.theta), q
    directions = theta_directions(optimum.layout, state.theta)
    blocks = traces(optimum.prepared, optimum.layout, state)
    expected = expected_information(
        blocks,
        directions,
        fixed_slopes(blocks, directions),
        solved(state.XVX, np.eye(criterion.p)),
        reml=criterion.reml,
    )
    return state.hessian + criterion.nu / state.r2 * average - expected, q


@dataclass(frozen=True, eq=False)
class VarianceInformation:
    """Uncertainty of (theta, sigma) in prepared units, and its way into the fixed effects' covariance.

    Attributes:
        free: (m,) which entries of theta vary on the face of the optimum.
        hessian: (r + 1, r + 1) exact second derivatives of the deviance in the r free entries and sigma,
            nothing profiled out but the fixed effects.
        gradient: (r + 1, p, p) derivatives of the core of the covariance matrix of the fixed effects.
        vcov: That matrix.
    """

    free: NDArray[np.bool_]
    hessian: Floats
    gradient: Floats
    vcov: Sandwich

    @cached_property
    def covariance(self) -> Floats:
        """(r + 1, r + 1) 2 H^-1.

        Raises:
            FitError: The deviance is flat or bends down along some direction: no optimum to take it at.
        """
        size = np.sqrt(np.abs(self.hessian.diagonal()))
        scaled = self.hessian / np.outer(size, size) if (size > 0).all() else -np.eye(1)
        if np.linalg.eigvalsh(scaled)[0] <= FLAT:
            raise FitError(
                "The deviance does not curve upwards in every variance parameter at this fit, so the "
                "uncertainty of the variances has no estimate. Simplify the random effects, or ask for "
                "df='containment', 'residual' or 'normal'."
            )
        return 2.0 * np.linalg.inv(scaled) / np.outer(size, size)


def variance_information(optimum: Optimum) -> VarianceInformation:
    """The exact information on (theta, sigma) at an optimum.

    With d the deviance profiled over the fixed effects alone, at its optimum
    d2/dsigma2 = 4 nu / sigma^2, d2/dtheta dsigma = 2 q / sigma^3, and d2/dtheta2 exceeds the profiled
    deviance's Hessian by the outer product of the latter over the former.
    """
    state, nu = optimum.state, optimum.criterion.nu
    profiled, q = exact_hessian(optimum)
    free = optimum.layout.free(state.theta)
    sigma = float(np.sqrt(state.r2 / nu))
    corner = 4.0 * nu / sigma**2
    edge = 2.0 * q[free] / sigma**3
    inner = profiled[np.ix_(free, free)] + np.outer(edge, edge) / corner
    hessian = np.block([[inner, edge[:, None]], [edge[None, :], np.array([[corner]])]])
    vcov, slopes = _vcov(optimum, sigma)
    gradient = np.concatenate([slopes[free], 2.0 / sigma * vcov.core[None]])
    return VarianceInformation(free, hessian, gradient, vcov)


def _vcov(optimum: Optimum, sigma: float) -> tuple[Sandwich, Floats]:
    """Covariance matrix of the fixed effects and the (m, p, p) derivatives of its core in theta."""
    state, layout = optimum.state, optimum.layout
    Phi = solved(state.XVX, np.eye(len(state.beta)))
    variance = (sigma * optimum.prepared.scale) ** 2
    directions = theta_directions(layout, state.theta)
    slopes = [np.einsum("iab,apbq->ipq", d, _score_gram(optimum, f)) for f, d in enumerate(directions.own)]
    inner = np.concatenate([np.empty((0, *Phi.shape)), *slopes])
    return Sandwich(optimum.prepared.basis, variance * Phi), variance * Phi @ inner @ Phi


def _score_gram(optimum: Optimum, f: int) -> Floats:
    """(k, p, k, p) sum over one factor's levels of vec(U) vec(U)', U = Z'V^-1X."""
    layout, U, p = optimum.layout, optimum.state.reverse.U, optimum.criterion.p
    factor = layout.factors[f]
    k, J = factor.width, factor.levels
    if f < len(layout.chain):
        own = U[f][:, :-1]
    else:
        columns = layout.columns(f - len(layout.chain))
        own = U[-1][columns, :-1].reshape(J, k, p).transpose(1, 2, 0)
    flat = own.reshape(k * p, J)
    return (flat @ flat.T).reshape(k, p, k, p)
