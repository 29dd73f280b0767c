"""All pairs of some means at a glance: letters shared by those that do not differ, arrows that overlap."""

from __future__ import annotations

from itertools import combinations
from string import ascii_lowercase, ascii_uppercase
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats


def compact_letters(differ: NDArray[np.bool_]) -> list[str]:
    """A text of letters for each mean: two share one where they do not differ, and only there.

    Args:
        differ: (m, m) symmetric.

    Reference: Piepho (2004), insert and absorb.

    >>> compact_letters(np.array([[False, False, True], [False, False, False], [True, False, False]]))
    ['a', 'ab', 'b']
    """
    count = len(differ)
    columns = [frozenset(range(count))]
    for i, j in combinations(range(count), 2):
        if differ[i, j]:
            split = [part for c in columns for part in ((c - {i}, c - {j}) if {i, j} <= c else (c,))]
            distinct = list(dict.fromkeys(split))
            columns = [c for c in distinct if not any(c < other for other in distinct)]
    columns.sort(key=sorted)
    names = [*ascii_lowercase, *ascii_uppercase]
    names += [f"({k + 1})" for k in range(len(names), len(columns))]
    return ["".join(name for name, c in zip(names, columns, strict=False) if i in c) for i in range(count)]


class Arrows(NamedTuple):
    """Ends of arrows about m estimates, NaN where none is needed, and the pairs that they show wrongly.

    Attributes:
        left: (m,) lower ends.
        right: (m,) upper ends.
        wrong: Positions among the pairs.
    """

    left: Floats
    right: Floats
    wrong: list[int]


def comparison_arrows(estimates: Floats, half: Floats) -> Arrows:
    """Arrows that overlap where the difference of two estimates is below its critical value.

    The right arrow of the lower and the left one of the upper estimate are to add up to the critical
    difference; least squares without negative lengths, pairs near it weighing most.

    Args:
        estimates: (m,); NaN for none.
        half: (m (m - 1) / 2,) critical differences of all pairs, in the order of the upper triangle by rows.
    """
    m, pairs = len(estimates), list(combinations(range(len(estimates)), 2))
    gap = np.array([abs(estimates[i] - estimates[j]) for i, j in pairs])
    told = [k for k in range(len(pairs)) if np.isfinite(gap[k] + half[k])]
    A, b = np.zeros((len(told), 2 * m)), np.zeros(len(told))
    for row, k in enumerate(told):
        low, high = sorted(pairs[k], key=lambda i: float(estimates[i]))
        share = gap[k] / half[k]
        weight = share * (3.0 + 20.0 * max(0.0, 0.5 - (1.0 - share) ** 2)) + 1e-3
        A[row, [m + low, high]], b[row] = weight, weight * half[k]
    # A little towards equal lengths, where the pairs leave them open.
    ridge = 1e-3 * np.eye(2 * m)
    typical = float(np.median(half[told])) / 2.0 if told else 0.0
    wanted = np.concatenate([b, np.full(2 * m, 1e-3 * typical)])
    lengths = scipy.optimize.nnls(np.vstack([A, ridge]), wanted)[0] if told else np.zeros(2 * m)
    used = np.asarray(A.any(axis=0))
    left = np.where(used[:m], estimates - lengths[:m], np.nan)
    right = np.where(used[m:], estimates + lengths[m:], np.nan)
    wrong = list[int]()
    for k in told:
        low, high = sorted(pairs[k], key=lambda i: float(estimates[i]))
        if (right[low] >= left[high]) != (gap[k] <= half[k]):
            wrong.append(k)
    return Arrows(left, right, wrong)
