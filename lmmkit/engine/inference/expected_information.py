"""Expected information on covariance matrices, along any directions in their space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.inference.traces import Traces
from lmmkit.engine.linalg.level_matrices import solved
from lmmkit.engine.problem import Floats
from lmmkit.engine.solution import Optimum
from lmmkit.errors import FitError

FLAT = 1e-12  # an information matrix whose scaled eigenvalues reach down here has no inverse to trust


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


def theta_directions(layout: Layout, theta: Floats) -> Directions:
    """dT / dx of each factor's coordinates x."""
    return Directions(tuple(structure.jacobian(x) for structure, x in layout.parameters(theta)))


def entry_directions(layout: Layout) -> Directions:
    """The symmetric matrices of which every T is a combination."""
    return Directions(tuple(factor.structure.span for factor in layout.factors))


def fixed_slopes(blocks: Traces, directions: Directions) -> Floats:
    """(m, p, p) X'V^-1 V_i V^-1 X, the fall of X'V^-1X along each direction."""
    parts = [np.einsum("iab,apbq->ipq", d, blocks.gram(f)) for f, d in enumerate(directions.own)]
    return np.concatenate(parts)


def expected_information(
    blocks: Traces, directions: Directions, slopes: Floats, Phi: Floats, *, reml: bool
) -> Floats:
    """(m, m) tr(P V_i P V_j) under REML, tr(V^-1 V_i V^-1 V_j) under ML; Phi is (X'V^-1X)^-1."""
    out = np.zeros((directions.count, directions.count))
    root = np.asarray(np.linalg.cholesky(Phi), dtype=np.float64)
    for f, one in enumerate(directions.own):
        for g, two in enumerate(directions.own):
            total = np.einsum("iab,acbd,jcd->ij", one, blocks.squares(f, g), two, optimize=True)
            if reml:
                mixed = blocks.mixed(f, g, root)
                total -= 2.0 * np.einsum("iab,acbd,jcd->ij", one, mixed, two, optimize=True)
            out[directions.cuts[f], directions.cuts[g]] = total
    if reml:
        relative = Phi @ slopes
        out += np.einsum("ipq,jqp->ij", relative, relative)
    return (out + out.T) / 2.0


def entry_covariance(optimum: Optimum, blocks: Traces, directions: Directions) -> Floats:
    """(m + 1, m + 1) covariance matrix of the entries of T and of the scale of V.

    Twice the inverse of tr(P V_i P V_j), tr(P V_i) and n - p under REML; of the same with V^-1 in place of P,
    and n, under ML.

    Raises:
        FitError: The data do not tell the parameters apart.
    """
    reml, Phi = optimum.criterion.reml, solved(optimum.state.XVX, np.eye(optimum.criterion.p))
    slopes = fixed_slopes(blocks, directions)
    edge = np.concatenate([np.einsum("iab,ab->i", d, blocks.trace(f)) for f, d in enumerate(directions.own)])
    if reml:
        edge = edge - np.einsum("ipq,qp->i", slopes, Phi)
    inner = expected_information(blocks, directions, slopes, Phi, reml=reml)
    corner = np.array([[float(optimum.criterion.nu)]])
    information = np.block([[inner, edge[:, None]], [edge[None, :], corner]])
    size = np.sqrt(information.diagonal())
    scaled = information / np.outer(size, size)
    if not np.isfinite(scaled).all() or np.linalg.eigvalsh(scaled)[0] <= FLAT:
        raise FitError(
            "The data do not tell the variance parameters apart, so they have no covariance matrix. Simplify "
            "the random effects, or use df='containment' or 'residual'."
        )
    return 2.0 * solved(scaled, np.eye(len(scaled))) / np.outer(size, size)
