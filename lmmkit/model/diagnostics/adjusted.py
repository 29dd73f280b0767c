"""Statistics of many checks on one scale, and p values that hold for all of them together.

Every check has its statistic for the data (column 0) and for C - 1 replicates. Where the model holds the
columns are exchangeable, so the rank of the data's largest departure among those of all columns has the level
that it says, however the checks depend on each other.

References: Westfall & Young (1993), Resampling-Based Multiple Testing, section 2.6 (step-down); Davison &
Hinkley (1997), Bootstrap Methods and their Application, section 4.2.5, for envelopes; Aldor-Noiman, Brown,
Buja, Rolke & Stine (2013), The power to see: a new graphical test of normality, The American Statistician 67,
249-260, for equal local levels; Genovese, Roeder & Wasserman (2006), False discovery control with p-value
weighting, Biometrika 93, 509-524, for p values divided by weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats

LEVEL = 0.95  # of an envelope
TAIL = 0.1  # share of the columns whose excess is the unit of a gap at the top


class Band(NamedTuple):
    """A simultaneous envelope of a curve, and how far each column leaves its middle.

    Attributes:
        low: (g,) bounds that 95 % (`LEVEL`) of all curves stay within at every point.
        high: (g,).
        middle: (g,) medians.
        statistic: (C,) the largest distance of each curve, in units of the half scales.
    """

    low: Floats
    high: Floats
    middle: Floats
    statistic: Floats


def band(curves: Floats) -> Band:
    """The envelope of (g, C) curves, column 0 the data, at `LEVEL`.

    Each point has its median and a scale of its own for either side, so that points are left about equally
    often; the bounds stand as many scales away as the curves' largest distances allow at the level.
    """
    middle = np.median(curves, axis=1)
    off = curves - middle[:, None]
    scales = [_half_scale(np.where(side * off > 0, off, np.nan)) for side in (1.0, -1.0)]
    distance = np.where(off > 0, off / scales[0][:, None], -off / scales[1][:, None])
    farthest = np.nanmax(distance, axis=0)
    reach = float(np.sort(farthest)[int(np.ceil(LEVEL * len(farthest))) - 1])
    return Band(middle - reach * scales[1], middle + reach * scales[0], middle, farthest)


def _half_scale(off: Floats) -> Floats:
    """(g,) root mean squares; infinite where no column is on that side."""
    count = np.isfinite(off).sum(axis=1)
    size = np.sqrt(np.nansum(off**2, axis=1) / np.maximum(count, 1))
    return np.where(size > 0, size, np.inf)


def own_p(statistic: Floats) -> float:
    """Share of the columns whose statistic is at least the data's."""
    ranked = _ranked(statistic)
    return int(np.count_nonzero(ranked >= ranked[0])) / len(ranked)


def adjusted_p(statistics: Sequence[Floats], shares: Sequence[float] | None = None) -> Floats:
    """(m,) p values of m checks, each (C,), that hold for the table: step-down, from the columns.

    Args:
        statistics: Of each check.
        shares: What each check's p is divided by before the least is looked for; by default 1, and less for
            checks that look again at what another has looked at.
    """
    out = np.ones(len(statistics))
    if not len(statistics):
        return out
    surprise = np.array([_surprise(_ranked(one)) for one in statistics])
    if shares is not None:
        surprise += np.log(np.asarray(shares))[:, None]
    order = np.argsort(-surprise[:, 0], kind="stable")
    largest = np.maximum.accumulate(surprise[order[::-1]], axis=0)[::-1]  # of the checks not yet passed
    out[order] = np.maximum.accumulate(np.mean(largest >= surprise[order, :1], axis=1))
    return out


def _ranked(statistic: Floats) -> Floats:
    """The statistic, what is not defined below all that is."""
    return np.where(np.isfinite(statistic), statistic, -np.inf)


def _surprise(t: Floats) -> Floats:
    """-log of each column's p value by its rank; the largest one's is larger by its gap to the next.

    Ranks alone would tie the largest column of every check, and no p of a table of m checks could fall below
    m / C. The gap is told in units of the exponential tail of the largest share TAIL of the others.
    """
    C = len(t)
    order = np.argsort(t, kind="stable")
    above = C - np.searchsorted(t[order], t, side="left")  # columns at least as large
    out = -np.log(above / C)
    top, rest = t[order[-1]], t[order[:-1]]
    start = rest[int((1.0 - TAIL) * len(rest))]
    over = rest[rest > start] - start
    if len(over) and np.isfinite(start):  # among equals the gap is zero
        out[order[-1]] += (top - rest[-1]) / (float(np.median(over)) / np.log(2.0))
    return out
