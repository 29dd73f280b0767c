"""Conditional variances of the random effects by the selected inverse of their equations."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.criterion.criterion import State
from lmmkit.engine.criterion.gradient import DenseInverse, Sweep
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.problem import Floats


def conditional_blocks(layout: Layout, state: State) -> list[Floats]:
    """Diagonal blocks of (Z'Z + T^-1)^-1 = L (I + L'Z'Z L)^-1 L', (J, k, k) a factor, prepared units."""
    forward = state.forward
    sweep = Sweep(forward, layout, np.zeros((len(state.beta) + 1, len(state.beta) + 1)))
    sweep.run()
    out = [sweep.variance(f).transpose(2, 0, 1) for f in range(len(layout.chain))]
    if forward.rest is not None:
        E = DenseInverse(forward.rest, layout).E
        for position, factor in enumerate(layout.rest):
            columns = layout.columns(position)
            block = E[columns, columns].reshape(factor.levels, factor.width, factor.levels, factor.width)
            out.append(np.einsum("jajb->jab", block))
    return out
