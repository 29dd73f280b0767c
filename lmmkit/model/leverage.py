"""How much each row pulls: hat values, leverage on the fixed part, residuals of a fit without the row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.inference.connected_blocks import residual_blocks
from lmmkit.engine.influence.deletion import among_rows, parts
from lmmkit.engine.influence.geometry import Geometry
from lmmkit.model.estimates import Estimates


@dataclass(frozen=True, eq=False)
class RowPulls:
    """Numbers of single rows, the variances held.

    Attributes:
        hat: (n,) d fitted value / d response, random effects included: lme4's; 1 - (R P)_ii.
        leverage: (n,) d fixed part / d response: of X Phi X'V^-1.
        deleted: (n,) the response less what the other rows predict for it, in its own unit: (Py)_i / P_ii.
        studentised: (n,) the same over its standard deviation, sigma from the other rows: of Student's t with
            `df` where the model holds.
        cooks: (n,) lme4's Cook's distance, of fixed and random effects together: (deleted / noise)^2 hat / p.
        df: Degrees of freedom, rows less coefficients less one.
    """

    hat: Floats
    leverage: Floats
    deleted: Floats
    studentised: Floats
    cooks: Floats
    df: int


def row_pulls(estimates: Estimates, shape: Geometry) -> RowPulls:
    """The numbers of every row from P of the fit."""
    n, p = estimates.nobs, len(estimates.beta)
    P, hat = _diagonals(shape)
    leverage = np.empty(n)
    scores = shape.Q[:, shape.fixed]
    for some in parts(n, 100_000):
        leverage[some] = np.einsum("pn,np->n", shape.X[:, some], shape.N[some] @ scores)
    with np.errstate(divide="ignore", invalid="ignore"):
        fine = P > 1e-10
        deleted = np.where(fine, shape.e / P, np.nan)
        left = shape.r2 - shape.e * deleted
        nu = shape.optimum.criterion.nu - 1
        studentised = shape.e / np.sqrt(np.where(fine & (left > 0.0), P * left / max(nu, 1), np.nan))
        weights = estimates.problem.weights
        raw = shape.optimum.prepared.scale * deleted / (1.0 if weights is None else np.sqrt(weights))
        cooks = (raw / estimates.noise) ** 2 * hat / (p or np.nan)
    df = n - p - 1
    return RowPulls(hat, leverage, raw, studentised, cooks, df)


def _diagonals(shape: Geometry) -> tuple[Floats, Floats]:
    """(n,) of P, and 1 - (R P)_ii."""
    n = len(shape.response)
    P, hat = np.empty(n), np.empty(n)
    correlated = shape.optimum.problem.residual is not None
    for stack in shape.blocks.stacks if correlated else (np.arange(n)[:, None],):
        for some in parts(len(stack), max(1, shape.memory // stack.shape[1])):
            rows: Ints = stack[some]
            own, _ = among_rows(shape, rows)
            P[rows] = np.einsum("btt->bt", own)
            R = residual_blocks(shape.optimum, rows)[0]
            hat[rows] = 1.0 - np.einsum("bts,bst->bt", R, own)
    return P, hat
