"""What a t test is against: a difference, one side, or a margin (equivalence, non-inferiority).

Reference: Schuirmann (1987) for the two one-sided tests; the words of the R package emmeans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError, did_you_mean
from lmmkit.model.inference.distributions import t_lower, t_tail

SIDES = {
    "two-sided": 0, "both": 0, "equivalence": 0,
    "less": -1, "left": -1, "<": -1, "nonsuperiority": -1,
    "greater": 1, "right": 1, ">": 1, "noninferiority": 1, "superiority": 1,
}  # fmt: skip
NEED_MARGIN = ("equivalence", "noninferiority", "nonsuperiority")


class Statistics(NamedTuple):
    """(m,) t statistics and their unadjusted p-values."""

    t: Floats
    p: Floats


@dataclass(frozen=True)
class Alternative:
    """The alternative to a value of a linear function.

    Attributes:
        tail: -1 for less than the value, 1 for greater, 0 for both sides.
        delta: The margin: 0 for a test of the value itself; above, the alternative is that the function lies
            within the margin of the value (tail 0), or not beyond it on one side.
    """

    tail: int = 0
    delta: float = 0.0

    @property
    def one_sided(self) -> bool:
        """Whether p is one tail of t."""
        return self.tail != 0 or self.delta > 0.0

    def test(self, distance: Floats, se: Floats, df: Floats) -> Statistics:
        """The tests of functions whose estimates are some distance from their values.

        >>> within = Alternative(delta=1.0)
        >>> within.test(np.array([0.2]), np.array([0.4]), np.array([20.0])).p.round(4).tolist()
        [0.0296]
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.tail == 0 and self.delta == 0.0:
                t = distance / se
                return Statistics(t, t_tail(t, df))
            if self.tail == 0:
                t = (np.abs(distance) - self.delta) / se
                return Statistics(t, t_lower(t, df))
            t = (distance + self.tail * self.delta) / se
        return Statistics(t, t_lower(-self.tail * t, df))


TWO_SIDED = Alternative()


def alternative(side: object, delta: object) -> Alternative:
    """The alternative that a side and a margin name.

    Args:
        side: A key of `SIDES`.
        delta: The margin, in the unit of the function; 0 for none.

    Raises:
        FitError: A side that is not known, a margin that is no number from 0 up, or one that a side needs.
    """
    if not isinstance(side, str) or side not in SIDES:
        near = did_you_mean(str(side), list(SIDES))
        raise FitError(
            f"side={side!r} is not known{near or '.'} Choose one of: {', '.join(map(repr, SIDES))}."
        )
    if isinstance(delta, (bool, str)) or not np.isscalar(delta) or not 0.0 <= float(delta) < np.inf:  # pyright: ignore[reportArgumentType]
        raise FitError(f"delta={delta!r}: a margin is a number from 0 up, in the unit of the estimate.")
    margin = float(delta)  # pyright: ignore[reportArgumentType]
    if side in NEED_MARGIN and margin == 0.0:
        raise FitError(
            f"side={side!r} needs a margin: give delta, a number above 0 in the unit of the estimate."
        )
    return Alternative(SIDES[side], margin)
