"""Uncertainty of the covariance parameters, carried from prepared units to the units of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.inference.observed_information import variance_information
from lmmkit.engine.problem import Floats, Ints, Problem
from lmmkit.engine.search.units import prepared_factors
from lmmkit.engine.setup import set_up
from lmmkit.engine.solution import Optimum


@dataclass(frozen=True, eq=False)
class Curvature:
    """Asymptotic covariance of the covariance parameters on the face of the optimum.

    Attributes:
        covariance: (m + 1, m + 1) of the m free parameters and log sigma, which is last.
        slopes: For each term (m, k, k): the derivative of Lambda Lambda' in each free parameter.
    """

    covariance: Floats
    slopes: tuple[Floats, ...]


def optimum_at(problem: Problem, factors: tuple[Floats, ...], *, reml: bool) -> Optimum:
    """The criterion at estimates that were found before.

    Args:
        problem: The arrays.
        factors: Lambda of each term.
        reml: Restricted maximum likelihood, or maximum likelihood.
    """
    setup = set_up(problem, reml=reml)
    L = prepared_factors(problem, setup.prepared, setup.layout, factors)
    state = setup.criterion(setup.criterion.theta(L))
    return Optimum(problem, setup.prepared, setup.criterion, state)


def curvature(optimum: Optimum) -> Curvature:
    """Twice the inverse of the deviance's Hessian, and the way from its parameters to the data's units.

    Args:
        optimum: Where to take it.

    Raises:
        FitError: The deviance does not curve upwards in every direction.
    """
    found = variance_information(optimum)
    covariance = found.covariance.copy()
    sigma = float(np.sqrt(optimum.state.r2 / optimum.criterion.nu))
    covariance[-1] /= sigma
    covariance[:, -1] /= sigma
    return Curvature(covariance, _slopes(optimum, np.flatnonzero(found.free)))


def _slopes(optimum: Optimum, free: Ints) -> tuple[Floats, ...]:
    """d (Lambda Lambda') / d theta_i = S (dT / d theta_i) S' of each term, for the free coordinates."""
    layout = optimum.layout
    out: dict[int, Floats] = {}
    for factor, cut, (structure, x) in zip(
        layout.factors, layout.cuts, layout.parameters(optimum.state.theta), strict=True
    ):
        dT = np.zeros((layout.count, factor.width, factor.width))
        dT[cut] = structure.jacobian(x)
        for term, columns in factor.pieces:
            S = optimum.prepared.term_bases[term]
            out[term] = S @ dT[free][:, columns, columns] @ S.T
    return tuple(out[term] for term in range(len(out)))
