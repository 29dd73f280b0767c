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
from lmmkit.engine.optimum import Optimum


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


class VisitInformation(DirectionalInformation):
    """Expected information on the coordinates of a residual structure, without random effects."""

    @property
    def source(self) -> Patterned:
        """The cross-products."""
        assert isinstance(self.optimum.criterion.source, Patterned)
        return self.optimum.criterion.source

    def parts(self) -> Iterator[Moving]:
        """Some patterns at a time."""
        rho = self.optimum.state.rho
        J = self.source.residual.structure.jacobian(rho)
        for sums, P in self.source.pieces(rho):
            yield Moving(sums, sums.patterns.counts.astype(np.float64), P, P @ sums.patterns.inside(J))

    @cached_property
    def slopes(self) -> Floats:
        """As of `DirectionalInformation`."""
        return -self.source.slopes(self.optimum.state.rho)[:, :-1, :-1]

    @cached_property
    def squares(self) -> Floats:
        """As of `DirectionalInformation`: (3)."""
        return sum(
            (_traces(part.counts[:, None, None] * part.PR, part.PR) for part in self.parts()), np.zeros(())
        )

    @property
    def mixed(self) -> Floats:
        """As of `DirectionalInformation`."""
        Phi = np.pad(self.Phi, (0, 1))  # nothing for the response
        return sum(
            (_traces(part.PR, part.PR @ (part.P @ part.sums.contracted(Phi))) for part in self.parts()),
            np.zeros(()),
        )

    @property
    def traces(self) -> Floats:
        """As of `DirectionalInformation`."""
        return sum((np.einsum("ibss,b->i", part.PR, part.counts) for part in self.parts()), np.zeros(()))

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


def visit_variance_information(optimum: Optimum) -> VarianceInformation:
    """The exact information on (rho, sigma) at an optimum of a model of repeated visits."""
    found, state = VisitInformation(optimum), optimum.state
    G = -found.source.slopes(state.rho)
    q = np.einsum("p,ipq,q->i", state.a, G, state.a)
    return with_sigma(optimum, state.hessian, q, np.ones(len(q), bool), G[:, :-1, :-1], found.without_fixed)
