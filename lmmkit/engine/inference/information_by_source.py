"""Which way the information on covariance parameters is taken: by where the cross-products come from."""

from __future__ import annotations

from lmmkit.engine.crossproducts.product_sources import Fixed, Patterned
from lmmkit.engine.inference.connected_blocks import block_information
from lmmkit.engine.inference.information import (
    DirectionalInformation,
    VarianceInformation,
    differenced_information,
    variance_information,
)
from lmmkit.engine.inference.visits import VisitInformation, visit_variance_information
from lmmkit.engine.optimum import Optimum


def exact_information(optimum: Optimum) -> VarianceInformation:
    """The exact information on (theta, rho, sigma) at an optimum."""
    source = optimum.criterion.source
    if isinstance(source, Fixed) and not _has_relatives(optimum):
        return variance_information(optimum)
    return (visit_variance_information if isinstance(source, Patterned) else differenced_information)(optimum)


def along_coordinates(optimum: Optimum) -> DirectionalInformation | None:
    """Expected information on (theta, rho) where R has coordinates or levels are related by a known matrix.

    None: the entries of T are enough.
    """
    source = optimum.criterion.source
    if isinstance(source, Fixed) and not _has_relatives(optimum):
        return None
    return VisitInformation(optimum) if isinstance(source, Patterned) else block_information(optimum)


def _has_relatives(optimum: Optimum) -> bool:
    """Whether a known matrix relates levels, which are then not the blocks that traces are taken over."""
    return any(term.relation is not None for term in optimum.problem.terms)
