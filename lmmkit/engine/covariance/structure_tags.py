"""Every covariance structure of random effects, by the word that stands before the bracket of a term."""

from __future__ import annotations

from functools import cache

from lmmkit.engine.covariance.patterned import (
    AutoRegressive,
    CompoundSymmetric,
    Exponential,
    HeterogeneousAutoRegressive,
    HomogeneousCompoundSymmetric,
    HomogeneousToeplitz,
    Identical,
    OrnsteinUhlenbeck,
    PatternedStructure,
    Toeplitz,
)
from lmmkit.engine.covariance.structures import Diagonal, Structure, Unstructured

Positions = tuple[tuple[float, ...], ...]

STRUCTURES: dict[str, type[Structure]] = {
    kind.tag: kind
    for kind in (
        Unstructured,
        Diagonal,
        Identical,
        CompoundSymmetric,
        HomogeneousCompoundSymmetric,
        AutoRegressive,
        HeterogeneousAutoRegressive,
        Toeplitz,
        HomogeneousToeplitz,
        OrnsteinUhlenbeck,
        Exponential,
    )
}
OVER_POSITIONS = ("ou", "exp")  # those whose columns are positions


def is_plain(tag: str) -> bool:
    """Whether a tag stands for matrices without a pattern, of one column too."""
    return not issubclass(STRUCTURES[tag], PatternedStructure)


def has_one_variance(tag: str) -> bool:
    """Whether all effects of a level have the same variance, by the pattern that a tag stands for."""
    kind = STRUCTURES[tag]
    return issubclass(kind, PatternedStructure) and not kind.own


@cache
def structure_of(tag: str, width: int, positions: Positions = ()) -> Structure:
    """The structure that a term's tag names, for k columns, or for k positions."""
    kind = STRUCTURES[tag]
    return kind(width, positions) if issubclass(kind, Exponential) else kind(width)
