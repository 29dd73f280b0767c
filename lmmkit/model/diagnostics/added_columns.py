"""What columns that the fixed part does not have would explain: score tests at the fitted variances.

With P = V^-1 - V^-1 X (X'V^-1X)^-1 X'V^-1 the score of a further column is w'P y = w'R^-1 e, e being what
the fitted values with the random effects leave of y. So all that is needed of a data set are its residuals,
and of a column the residuals that it would have itself as a response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.whitening import normalised
from lmmkit.engine.replicates.predictions import OneVariance
from lmmkit.model.estimates import Estimates

ALIASED = 1e-7  # share that the model leaves of a direction's sum of squares below which it has it already


@dataclass(frozen=True, eq=False)
class AddedColumns:
    """Some columns, W, that might be added to the fixed part; coefficients are their own beside X.

    Attributes:
        white: (n, q) B W / sigma with B R B' = 1.
        information: (q, q) W'P W.
        beta: (p, q) by how much the coefficients of X fall per unit of each added one.
        roots: (q, rank) directions of unit information; those that the model has already are left out.
    """

    white: Floats
    information: Floats
    beta: Floats
    roots: Floats

    @property
    def rank(self) -> int:
        """Directions that the model does not have."""
        return self.roots.shape[1]

    @property
    def covariance(self) -> Floats:
        """(q, q) of the coefficients, zero along directions that the model has."""
        return self.roots @ self.roots.T

    def coefficients(self, normalised: Floats) -> Floats:
        """(q, r) estimates from the (n, r) normalised residuals of r data sets."""
        return self.covariance @ (self.white.T @ normalised)

    def squares(self, normalised: Floats) -> Floats:
        """(r,) score statistics, chi-squared of `rank` were the variances known."""
        return np.einsum("qr,qr->r", *[self.roots.T @ (self.white.T @ normalised)] * 2)


def added_columns(estimates: Estimates, columns: Sequence[Floats]) -> list[AddedColumns]:
    """Returns tests of sets of columns, all from one pass over the rows.

    Args:
        estimates: The fit.
        columns: Each (n, q).
    """
    if not columns:
        return []
    W = np.concatenate(columns, axis=1)
    problem = replace(estimates.problem, offset=None)
    found = OneVariance(problem, estimates.factors, estimates.rho, reml=estimates.reml).predictions(W)
    left = problem.plus_random(W - estimates.X @ found.beta, [-b for b in found.b])
    white, left = (normalised(problem, estimates.rho, estimates.sigma, each) for each in (W, left))
    ends = np.cumsum([0, *(each.shape[1] for each in columns)])
    spans = [slice(start, end) for start, end in pairwise(ends)]
    return [_added(white[:, own], left[:, own], found.beta[:, own]) for own in spans]


def _added(white: Floats, left: Floats, beta: Floats) -> AddedColumns:
    information = white.T @ left
    information = (information + information.T) / 2.0
    size = np.sqrt(np.maximum(np.einsum("nq,nq->q", white, white), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    kept = values > ALIASED
    roots = vectors[:, kept] / np.sqrt(values[kept]) / size[:, None]
    return AddedColumns(white, information, beta, roots)
