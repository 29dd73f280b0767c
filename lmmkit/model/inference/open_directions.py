"""Directions of the covariance parameters along which the likelihood does not change, in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.inference.information import entry_directions, in_data_units
from lmmkit.engine.search.optimality import least_curvature
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates

FLAT = 1e-9  # least eigenvalue of the search's Hessian, relative to the largest, from which nothing is flat
MOST_EFFECTS = 3_000  # random effects up to which the directions are sought
NEGLIGIBLE = 1e-6  # weight beside the largest of its direction that is rounding


def open_directions(estimates: Estimates) -> list[str]:
    """Each direction that the data leave open, such as `+1 cov(Intercept, x) in site, -2 var(x) in site`.

    Moving variances and covariances by these weights leaves the covariance matrix of the response, and with
    it the likelihood, as it is.
    """
    flat = estimates.is_singular or least_curvature(estimates.optimum.state) < FLAT
    apart = estimates.problem.residual is not None  # of which V is no linear function
    if not estimates.random or estimates.problem.effects > MOST_EFFECTS or apart or not flat:
        return []
    found = estimates.open_information
    try:
        unknown = found.spread
    except FitError:
        return []
    if not unknown.open.size:
        return []
    # V = scale (I + Z T Z'): a direction moves scale T by dT + T d scale.
    moves = (unknown.open / unknown.size[:, None]).T
    optimum = estimates.optimum
    dT = in_data_units(optimum, entry_directions(optimum))
    weights, names = list[Floats](), list[str]()
    for term, L, own in zip(estimates.random, estimates.factors, dT, strict=True):
        change = np.einsum("dm,mab->dab", moves[:, :-1], own) + moves[:, -1, None, None] * (L @ L.T)
        for i, j in zip(*np.tril_indices(len(L)), strict=True):
            a, b = term.names[j], term.names[i]
            names.append(f"var({a}) in {term.group}" if i == j else f"cov({a}, {b}) in {term.group}")
            weights.append(change[:, i, j])
    weights.append(moves[:, -1])
    names.append("the residual variance")
    return [_text(row, names) for row in _echelon(np.array(weights).T)]


def not_identified(estimates: Estimates) -> list[str]:
    """The same in sentences."""
    return [
        f"Not identified: the likelihood stays as it is along {direction}. These estimates are one choice "
        "among many; fixed effects and their tests do not depend on it where they have df."
        for direction in open_directions(estimates)
    ]


def _echelon(rows: Floats) -> Iterator[Floats]:
    """The same space by rows with as few weights as can be, each led by a 1."""
    rows = rows / np.abs(rows).max(axis=1, keepdims=True)
    done = list[int]()
    for column in range(rows.shape[1]):
        left = [r for r in range(len(rows)) if r not in done]
        lead = max(left, key=lambda r: abs(rows[r, column]), default=None)
        if lead is None or abs(rows[lead, column]) <= NEGLIGIBLE:
            continue
        rows[lead] /= rows[lead, column]
        for r in range(len(rows)):
            if r != lead:
                rows[r] -= rows[r, column] * rows[lead]
        done.append(lead)
    yield from (rows[r] for r in done)


def _text(row: Floats, names: list[str]) -> str:
    size = np.abs(row).max()
    parts = [f"{w:+.3g} {name}" for w, name in zip(row, names, strict=True) if abs(w) > NEGLIGIBLE * size]
    return ", ".join(parts)
