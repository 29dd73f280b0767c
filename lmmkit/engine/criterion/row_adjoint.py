"""How the deviance depends on whitened rows: what the reverse sweep knows, brought back to the rows.

For a row with u = [z w], z_f of each factor at the row's level, and with Sigma = (Z'Z + T^-1)^-1 and
X~ = -T U, of all factors together,

    (1)  s = w + sum_f X~_f'z_f                       (q numbers a row)
    (2)  d deviance / dw   = 2 K s
    (3)  d deviance / dz_f = 2 (sum_g Sigma_fg z_g + X~_f K s)

The sweep leaves Sigma and X~ of every factor but the first, which nothing is eliminated before: of that one,
with its own M (`Eliminated.variance`), R = its root, and Y of the sweep,

    (4)  X~_0 = -T U_0,    Sigma_00 = M + M R'inner R M,    Sigma_0g = -M R'Y_0g
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.elimination import Forward
from lmmkit.engine.criterion.gradient import Reverse, ReverseSweep
from lmmkit.engine.crossproducts.elimination_order import Layout, rest_columns
from lmmkit.engine.crossproducts.product_sources import RandomRows
from lmmkit.engine.crossproducts.scaling import Prepared
from lmmkit.engine.linalg import levelwise

STRIP = 8_000_000  # numbers of some dense columns of the rest, over rows or levels, that are made at a time


class RowEffects(RandomRows):
    """(1) to (3) at one evaluation."""

    def __init__(self, forward: Forward, sweep: ReverseSweep, reverse: Reverse, K: Floats) -> None:
        self.forward, self.sweep, self.reverse, self.K = forward, sweep, reverse, K

    @cached_property
    def X(self) -> list[Floats]:
        """X~ of each chain factor, (k, q, J)."""
        out = list[Floats]()
        for f, link in enumerate(self.forward.links):
            out.append(self.sweep.X[f] if f else -levelwise.constant_times(link.own, self.reverse.U[0]))
        return out

    @cached_property
    def _lift(self) -> Floats:
        """(k, k, J) M R' of the first factor."""
        first = self.forward.links[0]
        return levelwise.times_transposed(first.variance(), first.root)

    @cached_property
    def sigma(self) -> dict[tuple[int, int], Floats]:
        """Sigma_fg of the chain, f <= g, (k_f, k_g, J_f)."""
        out = dict(self.sweep.sigma)
        if self.forward.links:
            first, lift, inner = self.forward.links[0], self._lift, self.sweep.inner_first
            own = first.variance()
            if inner is not None:
                own = own + levelwise.times(levelwise.times(lift, inner), lift.transpose(1, 0, 2))
            out[0, 0] = own
            for g in first.between:
                out[0, g] = -levelwise.times(lift, self.sweep.product(0, g, first))
        return out

    def scores(self, prepared: Prepared, layout: Layout) -> Floats:
        """(1); made once, for the rows of one source at this point."""
        if not self._scores:
            self._scores.append(self._made_scores(prepared, layout))
        return self._scores[0]

    @cached_property
    def _scores(self) -> list[Floats]:
        """At most one."""
        return []

    def _made_scores(self, prepared: Prepared, layout: Layout) -> Floats:
        s = prepared.rows[[*prepared.fixed, prepared.response]]
        for factor, X in zip(layout.chain, self.X, strict=True):
            for row, part in zip(factor.rows, X, strict=True):
                s += part[:, factor.codes] * prepared.rows[row]
        if layout.rest and self.sweep.X_rest is not None:
            s += (rest_columns(prepared, layout) @ self.sweep.X_rest).T
        return s

    def pulls(self, prepared: Prepared, layout: Layout, s: Floats) -> Iterator[tuple[slice | None, Floats]]:
        """(2) and (3)."""
        Ks, rows, out = self.K @ s, prepared.rows, np.zeros_like(prepared.rows)
        out[[*prepared.fixed, prepared.response]] += Ks
        chain = [[rows[row] for row in factor.rows] for factor in layout.chain]
        for f, factor in enumerate(layout.chain):
            for a, row in enumerate(factor.rows):
                out[row] += np.einsum("qn,qn->n", self.X[f][a][:, factor.codes], Ks)
        for (f, g), block in self.sigma.items():
            codes = layout.chain[f].codes
            for a, row in enumerate(layout.chain[f].rows):
                for b, other in enumerate(layout.chain[g].rows):
                    value = block[a, b][codes]
                    out[row] += value * chain[g][b]
                    if f != g:
                        out[other] += value * chain[f][a]
        if layout.rest:
            yield from self._rest(prepared, layout, Ks, out)
        out *= 2.0
        yield None, out

    def _rest(
        self, prepared: Prepared, layout: Layout, Ks: Floats, out: Floats
    ) -> Iterator[tuple[slice | None, Floats]]:
        """The same for the rest, some columns at a time; adds to `out` what the chain has of it."""
        dense, X_rest = self.sweep.dense, self.sweep.X_rest
        assert dense is not None
        assert X_rest is not None
        Z, rows = rest_columns(prepared, layout), prepared.rows
        longest = max(len(Ks.T), *(factor.levels * factor.width for factor in layout.chain), 1)
        width = max(1, STRIP // longest)
        for begin in range(0, layout.size, width):
            here = slice(begin, min(begin + width, layout.size))
            mine = (Z @ dense.E[:, here]).T + X_rest[here] @ Ks
            values = Z[:, here].toarray()
            for f, factor in enumerate(layout.chain):
                for row, block in zip(factor.rows, self._with_rest(f, here), strict=True):
                    there = block[factor.codes]  # (n, m)
                    mine += there.T * rows[row]
                    out[row] += np.einsum("nm,nm->n", there, values)
            yield here, 2.0 * mine

    def _with_rest(self, f: int, here: slice) -> Floats:
        """(k, J, m) Sigma_fR of some columns."""
        sweep = self.sweep
        if f:
            return sweep.sigma_rest[f][:, :, here]
        first = self.forward.links[0]
        assert sweep.dense is not None
        assert first.coupling is not None
        Y = first.coupling.times(np.ascontiguousarray(sweep.dense.E[:, here]))  # (k, m, J)
        for h, block in first.between.items():
            later = sweep.sigma_rest[h][:, sweep.layout.parents[0, h], here]
            Y = Y + np.einsum("abj,bjm->amj", block, later)
        return -levelwise.times(self._lift, Y).transpose(0, 2, 1)
