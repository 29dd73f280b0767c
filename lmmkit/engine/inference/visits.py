"""Information on a residual structure over visits, from the cross-products of each pattern of visits.

A pattern is the set of cells that some subjects have; n_p subjects have pattern p. With R its block of the
relative covariance matrix, R_i of dR / drho_i, and C_st = sum over its subjects of w_s w_t', w the rows of
[X y] of one subject,

    W'V^-1 V_i V^-1 W          = sum_p sum_st (R^-1 R_i R^-1)_st C_st
    W'V^-1 V_i V^-1 V_j V^-1 W = sum_p sum_st (R^-1 R_i R^-1 R_j R^-1)_st C_st
    tr(V^-1 V_i V^-1 V_j)      = sum_p n_p tr(R^-1 R_i R^-1 R_j)

Of the second only traces and weighted sums over i and j are needed. Where C is contracted first, or the
matrices of visits are summed first, the work does not grow with both: no array has m^2 p^2 entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.inference.information import DirectionalInformation


class Moved(NamedTuple):
    """One pattern of visits.

    Attributes:
        moving: (d,) coordinates that move its block of R.
        turned: (d, t, t) R^-1 R_i of them.
        inverse: (t, t) R^-1.
        products: (t, q, t, q) C.
        count: n_p.
    """

    moving: Ints
    turned: Floats
    inverse: Floats
    products: Floats
    count: int


@dataclass(frozen=True, eq=False)
class VisitInformation(DirectionalInformation):
    """Expected information on the coordinates of a residual structure, without random effects.

    Attributes:
        patterns: Each pattern of visits.
        count: Number of coordinates r.
        inverse: (p, p) (X'V^-1X)^-1.
        rows: n.
        reml: Restricted maximum likelihood, or maximum likelihood.
    """

    patterns: tuple[Moved, ...]
    count: int
    inverse: Floats
    rows: int
    reml: bool

    @property
    def nu(self) -> float:
        """As of `DirectionalInformation`."""
        return float(self.rows - self.reml * len(self.inverse))

    @property
    def Phi(self) -> Floats:
        """As of `DirectionalInformation`."""
        return self.inverse

    @cached_property
    def falls(self) -> Floats:
        """(m, q, q) W'V^-1 V_i V^-1 W, W = [X y]."""
        q = len(self.inverse) + 1
        out = np.zeros((self.count, q, q))
        for one in self.patterns:
            out[one.moving] += np.einsum("ist,sptq->ipq", one.turned @ one.inverse, one.products)
        return out

    @property
    def slopes(self) -> Floats:
        """As of `DirectionalInformation`."""
        return self.falls[:, :-1, :-1]

    @cached_property
    def squares(self) -> Floats:
        """(m, m) tr(V^-1 V_i V^-1 V_j)."""
        out = np.zeros((self.count, self.count))
        for one in self.patterns:
            A = one.turned
            flat = A.reshape(len(A), -1)
            out[np.ix_(one.moving, one.moving)] += one.count * flat @ A.swapaxes(1, 2).reshape(flat.shape).T
        return out

    @cached_property
    def matrix(self) -> Floats:
        """As of `DirectionalInformation`."""
        out = self.squares.copy()
        if not self.reml:
            return out
        for one in self.patterns:
            # tr(Phi X'V^-1 V_i V^-1 V_j V^-1 X) of the pattern is tr(R_i R^-1 R_j B), B = R^-1 M R^-1.
            M = np.einsum("sptq,pq->st", one.products[:, :-1, :, :-1], self.Phi)
            left, right = one.turned, one.turned @ (one.inverse @ M)
            flat = left.reshape(len(left), -1)
            out[np.ix_(one.moving, one.moving)] -= 2.0 * flat @ right.swapaxes(1, 2).reshape(flat.shape).T
        relative = self.Phi @ self.slopes
        out += np.einsum("ipq,jqp->ij", relative, relative)
        return (out + out.T) / 2.0

    @property
    def without_fixed(self) -> Floats:
        """As of `DirectionalInformation`."""
        return self.squares.diagonal()

    @cached_property
    def edge(self) -> Floats:
        """As of `DirectionalInformation`."""
        out = np.zeros(self.count)
        for one in self.patterns:
            out[one.moving] += one.count * np.einsum("iss->i", one.turned)
        if self.reml:
            out -= np.einsum("ipq,qp->i", self.slopes, self.Phi)
        return out

    def middle(self, W: Floats) -> Floats:
        """As of `DirectionalInformation`."""
        out = np.zeros_like(self.Phi)
        for one in self.patterns:
            A = one.turned  # R^-1 R_i R^-1 R_j R^-1 = A_i R^-1 A_j'
            weighted = np.einsum("ij,jst->ist", W[np.ix_(one.moving, one.moving)], A)
            inner = np.einsum("ist,tu,ivu->sv", A, one.inverse, weighted, optimize=True)
            out += np.einsum("st,sptq->pq", inner, one.products[:, :-1, :, :-1])
        return out
