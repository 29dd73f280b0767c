"""How the points of a reference grid are averaged: weights, and factors that are nested in others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.model.design.design import Design
from lmmkit.model.inference.fixed_effect_terms import fixed_effects
from lmmkit.model.means.reference_grid import Axis, Grid

WEIGHTS = ("equal", "proportional", "outer", "cells", "flat")


@dataclass(frozen=True, eq=False)
class Averaging:
    """What goes into each mean.

    Attributes:
        W: (means, points averaged over) weights that add up to one in each row; NaN where no row has any.
        exists: (means,) whether a combination of nested factors' levels occurs.
    """

    W: Floats
    exists: NDArray[np.bool_]


def averaging(design: Design, grid: Grid, kept: Sequence[int], weights: str) -> Averaging:
    """Weights of the grid's points in the means of some axes, both in the axes' order with the last fastest.

    Args:
        design: Whose rows are counted.
        grid: The grid.
        kept: The axes whose values are told apart.
        weights: "equal" for the points; "proportional" to their rows, whatever the values told apart;
            "outer" for products of each axis' shares; "cells" for the rows of each mean's own points; "flat"
            for equal weights of those that have rows.
    """
    rest = [i for i in range(len(grid.axes)) if i not in kept]
    order = [*kept, *rest]
    means = int(np.prod([grid.shape[i] for i in kept], dtype=int))
    inside = _occurring(design, grid).transpose(order).reshape(means, -1)
    if weights == "equal":
        W = inside.astype(float)
    else:
        counts = _counts(design, grid)
        by_mean = counts.transpose(order).reshape(means, -1)
        if weights == "cells":
            W = by_mean
        elif weights == "flat":
            W = (by_mean > 0.0).astype(float)
        elif weights == "proportional":
            W = inside * by_mean.sum(axis=0)
        else:
            shares = np.ones(1)
            for i in rest:
                shares = np.multiply.outer(
                    shares, counts.sum(axis=tuple(j for j in range(counts.ndim) if j != i))
                ).ravel()
            W = inside * shares
    with np.errstate(invalid="ignore"):
        return Averaging(W / W.sum(axis=1, keepdims=True), np.asarray(inside.any(axis=1)))


def nested_in(design: Design, grid: Grid) -> dict[str, tuple[str, ...]]:
    """For each factor of the grid that is nested in others, these.

    It is when each of its levels occurs within one level of the other alone, or when the formula has it
    within the other's levels and not by itself: `f + f:h`.
    """
    factors = [axis for axis in grid.axes if axis.factor and len(axis.values) > 1]
    codes = {axis.name: _codes(design.frame[axis.name], axis) for axis in factors}
    effects = [effect.factors for effect in fixed_effects(design.recipe)]
    found: dict[str, set[str]] = {}
    for axis in factors:
        name, others = axis.name, [other.name for other in factors if other is not axis]
        mine = {o for o in others if name not in found.get(o, ()) and _within(codes[name], codes[o])}
        if frozenset([name]) not in effects:
            holders = [effect for effect in effects if name in effect]
            # Within a term without its lower-order terms the others' levels are told apart in full.
            full = [
                {o for o in effect - {name} if effect - {o} not in effects and o in codes}
                for effect in holders
            ]
            mine |= set[str]().union(*(s for s in full if s and not any(t < s for t in full if t)))
        if mine:
            found[name] = mine
    for name in found:
        found[name] |= set[str]().union(*(found.get(other, set()) for other in found[name]))
    return {
        n: tuple(a.name for a in factors if a.name in inner) for n, inner in found.items() if n not in inner
    }


def _within(inner: NDArray[np.intp], outer: NDArray[np.intp]) -> bool:
    """Whether each level of the one occurs within one level of the other, which has several."""
    known = (inner >= 0) & (outer >= 0)
    pairs = np.unique(np.stack([inner[known], outer[known]]), axis=1)
    return len(np.unique(pairs[0])) == pairs.shape[1] and len(np.unique(pairs[1])) > 1


def _occurring(design: Design, grid: Grid) -> NDArray[np.bool_]:
    """(shape of the grid) which points have combinations of nested factors' levels that occur."""
    out = np.ones(grid.shape, bool)
    for name, outer in nested_in(design, grid).items():
        places = [i for i, axis in enumerate(grid.axes) if axis.name in (name, *outer)]
        part = [grid.axes[i] for i in places]
        there = _cross_counts(design.frame, part) > 0.0
        out &= there.reshape([len(a.values) if i in places else 1 for i, a in enumerate(grid.axes)])
    return out


def _counts(design: Design, grid: Grid) -> Floats:
    """(shape of the grid) rows at each point; those of values that the grid does not have are left out.

    A covariate counts when the grid has all its values; else each of its values counts alike.
    """
    counted = [
        a
        for a in grid.axes
        if a.factor or (len(a.values) > 1 and (_codes(design.frame[a.name], a) >= 0).all())
    ]
    shape = [len(axis.values) if axis in counted else 1 for axis in grid.axes]
    return np.broadcast_to(_cross_counts(design.frame, counted).reshape(shape), grid.shape).astype(float)


def _cross_counts(frame: pd.DataFrame, axes: Sequence[Axis]) -> Floats:
    """(values of each axis) rows."""
    shape = [len(axis.values) for axis in axes]
    code, known = np.zeros(len(frame), np.intp), np.ones(len(frame), bool)
    for axis in axes:
        own = _codes(frame[axis.name], axis)
        code, known = code * len(axis.values) + own, known & (own >= 0)
    return np.bincount(code[known], minlength=int(np.prod(shape, dtype=int))).reshape(shape).astype(float)


def _codes(column: pd.Series[Any], axis: Axis) -> NDArray[np.intp]:
    """Which value of an axis each row has, -1 for none."""
    return pd.Index(list(axis.values)).get_indexer(pd.Index(column)).astype(np.intp, copy=False)
