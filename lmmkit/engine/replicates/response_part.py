"""The sums of many responses on one design: all that the criterion needs of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.problem import Floats, Ints
from lmmkit.engine.replicates.design_part import Shared, absorbed
from lmmkit.engine.setup import constant_of

ROUNDING = 1e-13  # share of a response's size below which what is left of it is rounding


@dataclass(frozen=True, eq=False)
class Responses:
    """Sums of r responses in prepared units, the replicates on the last axis.

    Attributes:
        a: (k, J, r) Z~_1'y.
        w: (Q, r) M'y within the levels of the first factor.
        yy: (r,) y'y within them.
        squares: (m + 1, r) y's sums of squares in the moment equations.
        beta: (p, r) ordinary least squares estimates in the units of the data.
        scale: (r,) units of the response per prepared unit; not finite where nothing can be estimated.
        constant: (r,) added to the deviance.
    """

    a: Floats
    w: Floats
    yy: Floats
    squares: Floats
    beta: Floats
    scale: Floats
    constant: Floats

    def take(self, which: Ints) -> Responses:
        """Some of the replicates."""
        parts = (self.a, self.w, self.yy, self.squares, self.beta, self.scale, self.constant)
        return Responses(*(picked(part, which) for part in parts))


def picked(A: Floats, which: Ints) -> Floats:
    """Some of the replicates on the last axis, as a contiguous array: sums then run in the same order."""
    return np.take(A, which, axis=-1)


def summed(shared: Shared, Y: Floats) -> Responses:
    """The sums of the (n, r) responses in the units of the data."""
    setup = shared.setup
    problem, prepared = setup.problem, setup.prepared
    y = Y if problem.offset is None else Y - problem.offset[:, None]
    if problem.weights is not None:
        y = y * np.sqrt(problem.weights)[:, None]
    beta, left = _ordinary(prepared.rows[list(prepared.fixed)], y)
    scale = _units(y, left)
    left /= scale
    a, within = absorbed(shared.Z, left)
    yy = np.einsum("nr,nr->r", within, within)
    constant = constant_of(prepared, len(Y), setup.criterion.reml) - 2.0 * setup.criterion.nu * np.log(
        prepared.scale
    )
    scale = np.where(yy > ROUNDING**2 * len(Y), scale, np.nan)
    return Responses(
        a=a.reshape(*shared.A.shape[:2], -1),
        w=shared.M @ within,
        yy=yy,
        squares=_squares(shared, a, left),
        beta=np.einsum("ab,br->ar", prepared.basis, beta),
        scale=scale,
        constant=constant + 2.0 * setup.criterion.nu * np.log(scale),
    )


def _ordinary(X: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Least squares estimates (p, r) and residuals (n, r) on the (p, n) rows X; twice, for the digits."""
    if not len(X):
        return np.zeros((0, y.shape[1])), y.copy()
    inverse = np.linalg.inv(X @ X.T)
    beta, left = np.zeros((len(X), y.shape[1])), y
    for _ in range(2):
        step = np.einsum("ab,br->ar", inverse, np.einsum("an,nr->ar", X, left))
        left = left - np.einsum("an,ar->nr", X, step)
        beta += step
    return beta, left


def _units(y: Floats, left: Floats) -> Floats:
    """(r,) root mean square of the residuals, NaN where they are rounding."""
    size, scale = (np.sqrt(np.einsum("nr,nr->r", v, v) / len(v)) for v in (y, left))
    return np.where(scale > ROUNDING * size, scale, np.nan)


def _squares(shared: Shared, a: Floats, left: Floats) -> Floats:
    """Sums of squares of Z_f'y, one a free entry, then y'y: the right sides of the moment equations."""
    first = np.einsum("baj,bjr->ajr", shared.R, a.reshape(*shared.A.shape[:2], -1))
    out = [_entries(shared.factors[0].structure.span, first)]
    random = shared.M @ left
    for place in shared.later:
        own = random[place.columns].reshape(place.factor.levels, place.factor.width, -1)
        out.append(_entries(place.factor.structure.span, own.transpose(1, 0, 2)))
    return np.concatenate([*out, np.einsum("nr,nr->r", left, left)[None]])


def _entries(E: Floats, y: Floats) -> Floats:
    """(m, r) sum over levels of y_j'E_i y_j."""
    squares = np.einsum("ajr,bjr->abr", y, y)
    return np.einsum("iab,abr->ir", E, squares)
