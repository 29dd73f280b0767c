"""Information on a residual structure over visits, from the cross-products of each pattern of visits.

With P = R_p^-1, R_i of dR_p / drho_i, S_p subjects and C_p the cross-products of pattern p (see
`crossproducts.product_sources`), and sums over patterns,

    (1)  X'V^-1 V_i V^-1 X          = sum_st (P R_i P)_st C_p[s, t]
    (2)  X'V^-1 V_i V^-1 V_j V^-1 X = sum_st (P R_i P R_j P)_st C_p[s, t]
    (3)  tr(V^-1 V_i V^-1 V_j)      = S_p tr(P R_i P R_j)

Of (2) only traces and weighted sums over i and j are needed: where C_p is contracted first, or the matrices
over visits are added up first, no array has r^2 p^2 entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.product_sources import Patterned, PatternSums
from lmmkit.engine.inference.information import (
    DirectionalInformation,
    VarianceInformation,
    with_sigma,
)
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.solution import Optimum


class Moving(NamedTuple):
    """Some patterns of t cells.

    Attributes:
        sums: Their C_p.
        counts: (B,) S_p.
        P: (B, t, t).
        PR: (r, B, t, t) P R_i.
    """

    sums: PatternSums
    counts: Floats
    P: Floats
    PR: Floats


@dataclass(frozen=True, eq=False)
class VisitInformation(DirectionalInformation):
    """Expected information on the coordinates of a residual structure, without random effects.

    Attributes:
        source: The cross-products.
        rho: (r,) where it is taken.
        rows: n.
        reml: Restricted maximum likelihood, or maximum likelihood.
    """

    source: Patterned
    rho: Floats
    rows: int
    reml: bool

    def parts(self) -> Iterator[Moving]:
        """Some patterns at a time."""
        J = self.source.residual.structure.jacobian(self.rho)
        for sums, P in self.source.pieces(self.rho):
            yield Moving(sums, sums.patterns.counts.astype(np.float64), P, P @ sums.patterns.inside(J))

    @property
    def nu(self) -> float:
        """As of `DirectionalInformation`."""
        return float(self.rows - self.reml * len(self.Phi))

    @cached_property
    def Phi(self) -> Floats:
        """As of `DirectionalInformation`."""
        F = self.source.moments(self.rho)[0].total
        return solved(F[:-1, :-1], np.eye(len(F) - 1))

    @cached_property
    def slopes(self) -> Floats:
        """As of `DirectionalInformation`."""
        return -self.source.slopes(self.rho)[:, :-1, :-1]

    @cached_property
    def squares(self) -> Floats:
        """(r, r) tr(V^-1 V_i V^-1 V_j): (3)."""
        return sum(
            (_traces(part.counts[:, None, None] * part.PR, part.PR) for part in self.parts()), np.zeros(())
        )

    @cached_property
    def matrix(self) -> Floats:
        """As of `DirectionalInformation`."""
        out = self.squares.copy()
        if self.reml:
            for part in self.parts():
                M = part.sums.contracted(_bordered(self.Phi))
                out -= 2.0 * _traces(part.PR, part.PR @ (part.P @ M))
            relative = self.Phi @ self.slopes
            out += np.einsum("ipq,jqp->ij", relative, relative, optimize=True)
        return (out + out.T) / 2.0

    @property
    def without_fixed(self) -> Floats:
        """As of `DirectionalInformation`."""
        return self.squares.diagonal()

    @property
    def edge(self) -> Floats:
        """As of `DirectionalInformation`."""
        out = sum((np.einsum("ibss,b->i", part.PR, part.counts) for part in self.parts()), np.zeros(()))
        return out - np.einsum("ipq,qp->i", self.slopes, self.Phi) if self.reml else out

    def middle(self, W: Floats) -> Floats:
        """As of `DirectionalInformation`."""
        out = np.zeros(())
        for part in self.parts():
            # P R_i P R_j P = (P R_i) P (P R_j)'
            weighted = np.tensordot(W, part.PR, 1)
            inner = np.einsum("ibsu,ibtu->bst", part.PR @ part.P, weighted, optimize=True)
            out = out + part.sums.total(inner[None])[0]
        return out[:-1, :-1]


def _traces(A: Floats, B: Floats) -> Floats:
    """(r, r) sum over patterns of tr(A_i B_j) of (r, B, t, t) matrices."""
    return A.reshape(len(A), -1) @ np.swapaxes(B, -1, -2).reshape(len(B), -1).T


def _bordered(Phi: Floats) -> Floats:
    """(q, q) Phi with nothing for the response."""
    out = np.zeros((len(Phi) + 1, len(Phi) + 1))
    out[:-1, :-1] = Phi
    return out


def visit_information(optimum: Optimum) -> VisitInformation:
    """Expected information at an optimum of a model of repeated visits."""
    criterion = optimum.criterion
    assert isinstance(criterion.source, Patterned)
    return VisitInformation(criterion.source, optimum.state.rho, criterion.rows, criterion.reml)


def visit_variance_information(optimum: Optimum) -> VarianceInformation:
    """The exact information on (rho, sigma) there."""
    found, state = visit_information(optimum), optimum.state
    G = -found.source.slopes(found.rho)
    q = np.einsum("p,ipq,q->i", state.a, G, state.a)
    return with_sigma(optimum, state.hessian, q, np.ones(len(q), bool), G[:, :-1, :-1], found.without_fixed)
