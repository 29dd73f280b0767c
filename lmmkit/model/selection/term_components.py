"""Principal components of the random effects: in how many directions the groups differ, and by how much.

Reference: Bates, Kliegl, Vasishth & Baayen (2015), Parsimonious mixed models, arXiv:1506.04967.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.model.estimates import Estimates
from lmmkit.model.formula.linear_text import written

COLUMNS = ("group", "component", "sd", "share", "correlation_share", "direction")
TIED = 1e-9  # of the largest: singular values that differ by less are one
SMALL = 0.05  # weight of a column below which a direction is told without it


def term_components(estimates: Estimates) -> pd.DataFrame:
    """The principal components of the random effects of each grouping factor.

    Args:
        estimates: A fit.

    Returns:
        DataFrame group, component (from 1), sd (singular value of the relative factor Lambda, times sigma it
        is a standard deviation), share of the variance, correlation_share (of the standardised effects, whose
        units do not count; NaN for the effects that have no variance), direction of the standardised effects.
    """
    rows = [row for group in _groups(estimates) for row in _components(estimates, group)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _groups(estimates: Estimates) -> list[str]:
    return list(dict.fromkeys(term.factor for term in estimates.random))


def _components(estimates: Estimates, group: str) -> Iterator[dict[str, Any]]:
    mine = [i for i, term in enumerate(estimates.random) if term.factor == group]
    names = [name for i in mine for name in estimates.random[i].names]
    L = _block_diagonal([estimates.factors[i] for i in mine])
    d = np.linalg.svd(L, compute_uv=False).astype(np.float64, copy=False)
    shares, (own, vectors) = _shares(d**2), _standardised(L)
    for c, value in enumerate(d):
        found = c < len(own)
        yield {
            "group": group,
            "component": c + 1,
            "sd": float(value),
            "share": float(shares[c]),
            "correlation_share": float(own[c]) if found else np.nan,
            "direction": written(vectors[:, c], names, least=SMALL, form="+.2f") if found else "",
        }


def _block_diagonal(blocks: list[Floats]) -> Floats:
    out, at = np.zeros((sum(map(len, blocks)),) * 2), 0
    for block in blocks:
        out[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return out


def _shares(squares: Floats) -> Floats:
    total = float(squares.sum())
    return squares / total if total > 0 else squares


def _standardised(L: Floats) -> tuple[Floats, Floats]:
    """Shares and directions of the components at unit variances; effects without a variance are left out."""
    size = np.sqrt(np.einsum("ab,ab->a", L, L))
    here = np.flatnonzero(size > 0.0)
    U, d, _ = np.linalg.svd(solved(np.diag(size[here]), L[here]), full_matrices=False)
    U, d = U[:, : len(here)], d[: len(here)]
    for tied in np.split(np.arange(len(d)), np.flatnonzero(np.diff(d) < -TIED * d[:1]) + 1):
        U[:, tied] = _by_variance(U[:, tied], size[here])
    directions = np.zeros((len(L), len(here)))
    directions[here] = U
    return _shares(d**2), directions


def _by_variance(V: Floats, size: Floats) -> Floats:
    """Directions of components of one size, which have none of their own: by the variance along them.

    Of uncorrelated effects each is the direction of one effect, in the order of their standard deviations.
    """
    if V.shape[1] < 2:
        return V
    V = V @ np.linalg.eigh(V.T @ (size[:, None] ** 2 * V))[1][:, ::-1]
    return V * np.sign(V[np.abs(V).argmax(axis=0), np.arange(V.shape[1])])
