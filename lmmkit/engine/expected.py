"""Expected information on covariance matrices, along any directions in their space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from lmmkit.engine.layout import Layout
from lmmkit.engine.problem import Floats
from lmmkit.engine.traces import Traces


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


def theta_directions(layout: Layout, L: list[Floats]) -> Directions:
    """dT = e_r l_c' + l_c e_r' for each free entry (r, c) of each L."""
    own = list[Floats]()
    for factor, x in zip(layout.factors, L, strict=True):
        rows, columns = factor.free
        half = np.zeros((len(rows), len(x), len(x)))
        half[np.arange(len(rows)), rows] = x[:, columns].T
        own.append(half + half.transpose(0, 2, 1))
    return Directions(tuple(own))


def entry_directions(layout: Layout) -> Directions:
    """The symmetric unit matrices of each entry of T that may differ from zero."""
    own = list[Floats]()
    for factor in layout.factors:
        rows, columns = factor.free
        units = np.zeros((len(rows), factor.width, factor.width))
        units[np.arange(len(rows)), rows, columns] = 1.0
        units[np.arange(len(rows)), columns, rows] = 1.0
        own.append(units)
    return Directions(tuple(own))


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
