"""How the effects of the levels of one factor are correlated: Var(b) = sigma^2 K (x) T for a known K."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Relationship:
    """A known covariance matrix K (J, J) between the levels of a factor.

    Attributes:
        levels: J.
    """

    levels: int
