"""What a missing response is drawn from, given those of its subject that are there, under each assumption.

Of one subject, in the order of the visits: 1 the rows up to the last response, 2 those after it. With mu the
means and V the covariance matrix of the subject's own arm, mu_r and V_r those of the reference arm at the
same covariates, gaps in 1 are filled first, from N(mu, V) given the responses (missing at random). Then

    y_2 | y_1 ~ N(m + B d, V_22 - B V_12)
    missing at random    B = V_21 V_11^-1,     d = y_1 - mu_1,    m = mu_2
    jump to reference    B = V_r21 V_r11^-1,   d = y_1 - mu_1,    m = mu_r2
    copy increments      the same,                                m = mu_r2 + (mu - mu_r at the last response)
    copy reference       the same,             d = y_1 - mu_r1,   m = mu_r2

with V_r in place of V in the variance under the last three. For the first three this is the conditional
distribution under the joint one of Carpenter et al., whose covariance matrix has V_11 and regresses 2 on 1 as
the reference arm does. A subject of the reference arm is imputed at random; one without any response is,
under all but that, a draw from the reference arm.

Reference: Carpenter, Roger & Kenward (2013), Analysis of longitudinal trials with protocol deviation, Journal
of Biopharmaceutical Statistics 23, 1352-1371, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.problem import Problem, Residual, RowResidual

Assumption = Literal["missing-at-random", "jump-to-reference", "copy-reference", "copy-increments"]
AT_RANDOM: Assumption = "missing-at-random"
REFERENCE_BASED: tuple[Assumption, ...] = ("jump-to-reference", "copy-reference", "copy-increments")
NOBODY = -1


@dataclass(frozen=True, eq=False)
class Dropout:
    """Subjects with the same visits, of which the same lack a response.

    Attributes:
        rows: (s, t) the rows of each subject, in the order of the visits.
        cells: (t,) their cells in R.
        reference: (t,) the cells of the reference arm at these visits; empty where it is their own arm, or
            there is none.
        observed: Positions among the t of those with a response.
        gaps: Positions of those without, before the last that has one.
        tail: Positions of those after it.
    """

    rows: Ints
    cells: Ints
    reference: Ints
    observed: Ints
    gaps: Ints
    tail: Ints


def dropout_patterns(
    residual: Residual, missing: NDArray[np.bool_], reference: Ints | None = None
) -> list[Dropout]:
    """The patterns of the subjects with a missing response.

    Args:
        residual: The structure over visits, on all rows.
        missing: (n,) where the response is.
        reference: (n,) the reference arm's cell at a row's visit, -1 on the rows of that arm; None: there is
            none.
    """
    order = np.lexsort((residual.structure.visits[residual.cells], residual.subjects))
    cuts = np.flatnonzero(np.diff(residual.subjects[order])) + 1
    found = dict[tuple[bytes, bytes, bytes], list[Ints]]()
    for rows in np.split(order, cuts):
        if missing[rows].any():
            other = np.empty(0, np.intp) if reference is None else reference[rows]
            key = (residual.cells[rows].tobytes(), missing[rows].tobytes(), other.tobytes())
            found.setdefault(key, []).append(rows)
    return [_pattern(residual, missing, reference, np.array(rows)) for rows in found.values()]


def _pattern(residual: Residual, missing: NDArray[np.bool_], reference: Ints | None, rows: Ints) -> Dropout:
    first = rows[0]
    there = np.flatnonzero(~missing[first])
    last = there[-1] if len(there) else -1
    lacking = np.flatnonzero(missing[first])
    other = np.empty(0, np.intp) if reference is None or reference[first[0]] == NOBODY else reference[first]
    return Dropout(
        rows, residual.cells[first], other, there, lacking[lacking < last], lacking[lacking > last]
    )


def imputed(
    patterns: Sequence[Dropout],
    V: Floats,
    own: Floats,
    other: Floats,
    response: Floats,
    z: Floats | None,
    assumptions: Sequence[Assumption],
    root_weights: Floats | None = None,
) -> Floats:
    """(a, r, n) the response with the missing ones filled in, under each assumption, r times.

    Args:
        patterns: Of `dropout_patterns`.
        V: (r, T, T) covariance matrices over the cells.
        own: (r, n) means.
        other: (r, n) means were a row of the reference arm.
        response: (n,), whatever it is where it is missing.
        z: (r, n) standard normal numbers, used where it is missing; None: conditional means.
        assumptions: About the rows after the last response.
        root_weights: (n,) what makes a residual one of weight 1; None: they are.
    """
    out = np.broadcast_to(response, (len(assumptions), len(V), len(response))).copy()
    weights = np.ones(len(response)) if root_weights is None else root_weights
    for each in patterns:
        rows, w = each.rows, weights[each.rows]
        noise = None if z is None else z[:, rows]
        mean, e = own[:, rows], w * (response[rows] - own[:, rows])
        mine = V[:, each.cells[:, None], each.cells]
        gaps, tail, lead = each.gaps, each.tail, np.sort(np.concatenate([each.observed, each.gaps]))
        e[:, :, gaps] = _given(mine, each.observed, gaps, e[:, :, each.observed], noise)
        out[:, :, rows[:, gaps]] = (mean + e / w)[:, :, gaps]
        if not len(tail):
            continue
        theirs = V[:, each.reference[:, None], each.reference] if len(each.reference) else mine
        there = other[:, rows] if len(each.reference) else mean
        away = mean - there
        for number, assumption in enumerate(assumptions):
            if assumption == AT_RANDOM:
                filled = mean[:, :, tail] + _given(mine, lead, tail, e[:, :, lead], noise) / w[:, tail]
            else:
                copied = assumption == "copy-reference"
                known = (e + w * away)[:, :, lead] if copied else e[:, :, lead]
                filled = there[:, :, tail] + _given(theirs, lead, tail, known, noise) / w[:, tail]
                if assumption == "copy-increments" and len(lead):
                    filled += away[:, :, lead[-1:]]
            out[number][:, rows[:, tail]] = filled
    return out


def _given(V: Floats, o: Ints, m: Ints, e: Floats, z: Floats | None) -> Floats:
    """(r, s, m) draws of some residuals of s subjects given others.

    Args:
        V: (r, t, t) their covariance matrix.
        o: Positions of those that are known.
        m: Positions of those that are drawn.
        e: (r, s, o) the known ones.
        z: (r, s, t) standard normal numbers; None: conditional means.
    """
    if not len(m):
        return np.zeros((*e.shape[:2], 0))
    V_om = V[:, o[:, None], m]
    B = np.swapaxes(np.linalg.solve(V[:, o[:, None], o], V_om), 1, 2)  # V_mo V_oo^-1
    mean = e @ np.swapaxes(B, 1, 2)
    if z is None:
        return mean
    root = np.linalg.cholesky(V[:, m[:, None], m] - B @ V_om)
    return mean + z[:, :, m] @ np.swapaxes(root, 1, 2)


def residuals_given(
    problem: Problem, missing: NDArray[np.bool_], rho: Floats, sigma: float, e: Floats, z: Floats
) -> Floats:
    """(n,) residuals with those of missing responses drawn given the others of their subject.

    Args:
        problem: All rows.
        missing: (n,) where the response is.
        rho: (r,) coordinates of R.
        sigma: Residual standard deviation.
        e: (n,) residuals y - X beta - Z b where the response is there.
        z: (n,) standard normal numbers, used where it is missing; zeros give conditional means.
    """
    w = np.ones(len(e)) if problem.weights is None else np.sqrt(problem.weights)
    residual, out = problem.residual, e.copy()
    if residual is None or residual.independent:
        sds = sigma / w if residual is None else sigma * residual.sds(rho) / w
        out[missing] = (sds * z)[missing]
        return out
    for rows in _subjects(residual, missing):
        V = sigma**2 * residual.block(rho, rows)
        o, m = np.flatnonzero(~missing[rows]), np.flatnonzero(missing[rows])
        drawn = _given(V[None], o, m, (w * e)[None, None, rows[o]], z[None, None, rows])
        out[rows[m]] = drawn[0, 0] / w[rows[m]]
    return out


def _subjects(residual: Residual | RowResidual, missing: NDArray[np.bool_]) -> list[Ints]:
    """The rows of each subject with a missing response."""
    order = np.argsort(residual.subjects, kind="stable")
    cuts = np.flatnonzero(np.diff(residual.subjects[order])) + 1
    return [rows for rows in np.split(order, cuts) if missing[rows].any()]
