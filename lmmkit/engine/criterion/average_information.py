"""Average information: w_i'P w_k for the working columns w_i = V_i P y.

The columns are pushed through the elimination as further right hand sides.
"""

from __future__ import annotations

import numpy as np

from lmmkit.engine.criterion.elimination import Forward
from lmmkit.engine.criterion.gradient import DenseInverse, Reverse
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.linalg import level_matrices as kernels
from lmmkit.engine.problem import Floats


class AverageInformation:
    """w_i'P w_k and w_i'P y for the working columns w_i = Z_f dT_i Z_f'P y.

    Reference: Gilmour, Thompson & Cullis (1995) for the use of y'P V_i P V_j P y in place of the information.
    """

    def __init__(
        self,
        forward: Forward,
        layout: Layout,
        theta: Floats,
        reverse: Reverse,
        a: Floats,
        counts: list[int] | None = None,
    ) -> None:
        self.forward, self.layout, self.a = forward, layout, a
        self.parameters = layout.parameters(theta)
        self.U = reverse.U
        self.counts = [f.structure.count for f in layout.factors] if counts is None else counts
        self.ends = [int(c) for c in np.cumsum([0, *self.counts])][1:]
        m = sum(self.counts)
        self.s = np.zeros((m, m))
        self.e_fixed = np.zeros((m, len(a)))
        self.e: dict[int, Floats] = {
            g: np.zeros((f.width, m, f.levels)) for g, f in enumerate(layout.chain) if g > 0
        }
        self.e_rest = np.zeros((layout.size, m))

    def run(self, XVX: Floats) -> tuple[Floats, Floats]:
        """(m, m) w'P w and (m,) w'P y."""
        for f in range(len(self.layout.chain)):
            self._link(f)
        if self.forward.rest is not None:
            self._rest()
        ex = self.e_fixed[:, :-1]
        return self.s - ex @ np.linalg.solve(XVX, ex.T), self.e_fixed @ self.a

    def _working(self, f: int, c: Floats) -> Floats:
        """(k, m_f, J) u = dT_i c for the factor's own coordinates."""
        structure, x = self.parameters[f]
        return structure.working(x, c)

    def _link(self, f: int) -> None:
        """Through one chain factor; only its own and earlier columns are not zero yet."""
        link, end = self.forward.links[f], self.ends[f]
        own = slice(end - self.counts[f], end)
        u = np.zeros((len(link.L), end, link.W.shape[2])) if f else None
        mine = self._working(f, np.einsum("kqj,q->kj", self.U[f], self.a))
        if u is None:
            u = mine
            z = kernels.transposed_times(link.lift, u)
            half = kernels.times(link.W, u)
            self.s[:end, :end] += kernels.summed(half, half)
        else:
            u[:, own] = mine
            e = self.e[f][:, :end]
            t = kernels.transposed_times(link.root, kernels.times(link.root, u)) + e
            z = u - kernels.times(link.core, t)
            self.s[:end, :end] += kernels.summed(z, t) + kernels.summed(e, u)
        self.e_fixed[:end] += kernels.summed(z, link.fixed)
        for g, block in link.between.items():
            self.e[g][:, :end] += self.layout.collect(f, g, kernels.transposed_times(block, z))
        if link.coupling is not None:
            self.e_rest[:, :end] += link.coupling.transposed_times(z)

    def _rest(self) -> None:
        """Through the dense rest."""
        rest = self.forward.rest
        assert rest is not None
        u = np.zeros_like(self.e_rest)
        c_all = self.U[-1] @ self.a
        for position, factor in enumerate(self.layout.rest):
            f, columns = len(self.layout.chain) + position, self.layout.columns(position)
            end = self.ends[f]
            mine = self._working(f, c_all[columns].reshape(factor.levels, factor.width).T)
            u[columns, end - mine.shape[1] : end] = mine.transpose(2, 0, 1).reshape(-1, mine.shape[1])
        t = rest.S @ u + self.e_rest
        z = u - DenseInverse(rest, self.layout).times(t)
        self.s += z.T @ t + self.e_rest.T @ u
        self.e_fixed += z.T @ rest.fixed


class AlongDirections(AverageInformation):
    """The same for working columns Z_f dT_i Z_f'P y of any directions dT_i, (m_f, k, k) for each factor."""

    def __init__(
        self, forward: Forward, layout: Layout, directions: list[Floats], reverse: Reverse, a: Floats
    ) -> None:
        super().__init__(forward, layout, np.zeros(layout.count), reverse, a, [len(d) for d in directions])
        self.directions = directions

    def _working(self, f: int, c: Floats) -> Floats:
        """(k, m_f, J) u = dT_i c."""
        return np.einsum("iab,bj->aij", self.directions[f], c)
