"""Residuals whose covariance is made of numbers of their rows: from its definition, pair by pair.

For two rows of one subject, h > 0 apart in time or in space, with standard deviations a and b relative to
sigma and prior weights w,

    cov(e_s, e_t) = sigma^2 a b c(h) / sqrt(w_s w_t)

    car1  c = exp(-h / range)      expsp c = (1 - nugget) exp(-h / range)      visits c = that of the cells
    ident a = ratio of its level   power a = |v|^power                         exp    a = exp(exp v)

and rows of different subjects are independent. In time a row depends on the one before it alone (Markov), so
that with phi = exp(-h / range) between the two, 0 at a subject's first row, and u = e / a

    e'R^-1 e = sum (u_t - phi u_{t-1})^2 / (1 - phi^2),    log|R| = sum 2 log a + log(1 - phi^2):

R^-1 is tridiagonal, and tr(R^-1 dR R^-1 dR) = -tr(d(R^-1) dR) needs R next to its diagonal alone. Elsewhere R
of each subject is written out. R is an analytic function of its parameters psi: a step along the imaginary
axis differentiates it to the last digit (Squire & Trapp 1998, SIAM Review 40, 110-112).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.covariance.row_structure import Serial, Spatial
from lmmkit.engine.problem import Residual, RowResidual
from lmmkit.engine.referee.equation_residuals import Claim
from lmmkit.engine.referee.gls_conditions import GlsSums, RunningSums
from lmmkit.engine.referee.residual_covariance import (
    STEP,
    CorrelatedResiduals,
    Values,
    as_printed,
    block_matrix,
)

CHUNK = 1 << 17  # numbers of one step through the rows: one megabyte
FOR_EVER = 1e200  # time after which nothing is left: an infinite one would have no complex slope
STACK = 4_000_000  # numbers of the matrices of subjects that are made at a time


@dataclass(frozen=True, eq=False)
class RowParameters:
    """What is claimed of the residuals.

    Attributes:
        subjects: (n,) the subject of each row.
        variance: Of what kind the standard deviations are; empty: all are 1.
        covariate: (n,) v of the variance function.
        correlation: Of what kind c is; empty: rows are independent.
        place: (n, d) times or places.
        visits: Where c is that of visits, their covariance matrix.
        psi: (r,) parameters as they are printed, those of the standard deviations first.
        ratios: How many those are.
    """

    subjects: Ints
    variance: Literal["", "ident", "power", "exp"]
    covariate: Floats | None
    correlation: Literal["", "car1", "expsp", "visits"]
    place: Floats | None
    visits: CorrelatedResiduals | None
    psi: Floats
    ratios: int

    def sds(self, psi: Values, rows: Ints | slice) -> Values:
        """Standard deviations of some rows."""
        own = psi[: self.ratios]
        if self.covariate is None:
            return np.ones(self.subjects[rows].shape, psi.dtype)
        v = self.covariate[rows]
        if self.variance == "ident":
            return np.append(np.ones(1, psi.dtype), own)[v.astype(np.intp)]
        return np.exp(own[0] * (np.log(np.abs(v)) if self.variance == "power" else v))

    def fading(self, psi: Values, h: Floats) -> Values:
        """exp(-h / range); 0 where the range is."""
        scale = psi[self.ratios]
        return np.exp(-h / scale) if scale.real > 0.0 else np.zeros(h.shape, psi.dtype)

    @property
    def moving(self) -> list[int]:
        """The parameters that are not at an end of their range: a range of 0 is."""
        gone = self.correlation in ("car1", "expsp") and self.psi[self.ratios] == 0.0
        return [i for i in range(len(self.psi)) if not gone or i < self.ratios]

    def stepped(self) -> list[Values]:
        """psi with each of those parameters a step along the imaginary axis."""
        return [self.psi + 1j * STEP * (np.arange(len(self.psi)) == i) for i in self.moving]


class Steps(NamedTuple):
    """Of some rows in the order of time, each with the one before it; `values` may be complex.

    Attributes:
        here, before, across: Of e_t^2, e_{t-1}^2 and 2 e_t e_{t-1} in e'R^-1 e.
        logs: Of log|R|.
        R, R_before, R_across: Of R: the variance of t and of t - 1, their covariance.
    """

    here: Values
    before: Values
    across: Values
    logs: Values
    R: Values
    R_before: Values
    R_across: Values

    def slope(self) -> Steps:
        """Derivatives, where they were made at a complex step."""
        return Steps(*map(slope_at_step, self))

    def trace(self, other: Steps) -> float:
        """tr(R^-1 dR R^-1 dR) for these d(R^-1) and another's dR."""
        return -float(self.here @ other.R + self.before @ other.R_before + 2.0 * self.across @ other.R_across)


@dataclass(frozen=True, eq=False)
class MarkovRows:
    """Rows of which each depends on the one before it alone, in time, or on none."""

    of: RowParameters

    @cached_property
    def order(self) -> Ints | None:
        """(n,) the rows by subject and time; None where they are so."""
        of = self.of
        key = (of.subjects,) if of.place is None else (of.place[:, 0], of.subjects)
        step = np.diff(of.subjects)
        sorted_already = (step >= 0).all()
        if sorted_already and of.place is not None:
            sorted_already = (np.diff(of.place[:, 0])[step == 0] > 0).all()
        return None if sorted_already else np.lexsort(key)

    @cached_property
    def gap(self) -> Floats:
        """(n,) time since the row before; for ever at a subject's first."""
        of, order = self.of, slice(None) if self.order is None else self.order
        out = np.full(len(of.subjects), FOR_EVER)
        if of.correlation:
            assert of.place is not None
            subjects, times = of.subjects[order], of.place[order, 0]
            same = subjects[1:] == subjects[:-1]
            out[1:][same] = (times[1:] - times[:-1])[same]
        return out

    def rows(self, first: int, last: int) -> Ints | slice:
        """Where some of them stand in the data."""
        return slice(first, last) if self.order is None else self.order[first:last]

    def steps(self, psi: Values, first: int, last: int) -> Steps:
        """Of some rows in the order of time; before the first of all stands itself, infinitely long ago."""
        a = self.of.sds(psi, self.rows(max(first - 1, 0), last))
        a = a if first else np.append(a[:1], a)
        own, earlier, gap = a[1:], a[:-1], self.gap[first:last]
        phi, left = np.zeros_like(own), np.ones_like(own)
        if self.of.correlation and psi[self.of.ratios].real > 0.0:
            phi = self.of.fading(psi, gap)
            left = -np.expm1(-2.0 * gap / psi[self.of.ratios])  # 1 - phi^2
        here = 1.0 / (own**2 * left)
        return Steps(
            here=here,
            before=phi**2 / (earlier**2 * left),
            across=-phi * own / earlier * here,
            logs=2.0 * np.log(own) + np.log(left),
            R=own**2,
            R_before=earlier**2,
            R_across=phi * own * earlier,
        )

    @cached_property
    def coefficients(self) -> tuple[Floats, Floats]:
        """(n,) 1 / (a sqrt(1 - phi^2)) and phi / (a_before sqrt(1 - phi^2)), of B, in the order of time."""
        found = self.steps(self.of.psi, 0, len(self.of.subjects))
        return np.sqrt(found.here), np.sqrt(found.before)

    @cached_property
    def spread(self) -> float:
        """A bound on the largest eigenvalue of R^-1: Gershgorin's."""
        own, earlier = self.coefficients
        across = own * earlier
        return float((own**2 + across).max() + (earlier**2 + across).max())

    def solved(self, values: Floats) -> Floats:
        """R^-1 times (n,) values."""
        own, earlier = self.coefficients
        u = values if self.order is None else values[self.order]
        w = own * u
        w[1:] -= earlier[1:] * u[:-1]
        found = own * w
        found[:-1] -= earlier[1:] * w[1:]
        if self.order is None:
            return found
        out = np.empty_like(found)
        out[self.order] = found
        return out

    def matrix(self, weights: Floats | None) -> sparse.csr_array:
        """R of all rows, (n, n), relative to sigma^2."""
        return WrittenRows(self.of).matrix(weights)

    def whitener(self) -> sparse.csr_array:
        """B of all rows, (n, n), with B R B' = I, weights left out."""
        own, earlier = self.coefficients
        n = len(own)
        order = np.arange(n) if self.order is None else self.order
        down = np.concatenate([order, order[1:]])
        across = np.concatenate([order, order[:-1]])
        return sparse.csr_array((np.concatenate([own, -earlier[1:]]), (down, across)), shape=(n, n))

    def sums(self, claim: Claim, H: Floats) -> GlsSums:
        """The sums of a claimed solution, in one pass over the rows."""
        n, r, ways = len(self.of.subjects), len(self.of.moving), self.of.stepped()
        sums = RunningSums(claim, H, r)
        of, gradient, curvature = sums.of, sums.gradient, sums.curvature
        width = max(1, CHUNK // len(sums.largest))
        for first in range(0, n, width):
            last = min(first + width, n)
            rows = self.rows(max(first - 1, 0), last)
            raw = np.array([column[rows] for column in of.columns])
            if of.roots is not None:
                raw *= of.roots[rows]
            np.maximum(sums.largest, np.abs(raw).max(axis=1), out=sums.largest)
            u = of.turn @ raw
            u = u if first else np.concatenate([u[:, :1], u], axis=1)
            own, earlier = (part[first:last] for part in self.coefficients)
            w = own * u[:, 1:] - earlier * u[:, :-1]
            sums.products += w @ w.T
            found = self.steps(self.of.psi, first, last)
            sums.log_det += float(found.logs.sum())
            if not r:
                continue
            squares = of.share @ u**2
            across = of.share @ (u[:, 1:] * u[:, :-1])
            slopes = [self.steps(psi, first, last).slope() for psi in ways]
            for i, slope in enumerate(slopes):
                gradient[i] += float(slope.logs.sum() + slope.here @ squares[1:])
                gradient[i] += float(slope.before @ squares[:-1] + 2.0 * slope.across @ across)
                curvature[i, :r] += [slope.trace(other) for other in slopes]
                curvature[i, r] += slope.trace(found)
        curvature[r, :r], curvature[r, r] = curvature[:r, r], n
        return sums.finished(self.spread)


@dataclass(frozen=True, eq=False)
class WrittenRows:
    """Rows of which each subject's R is written out."""

    of: RowParameters

    @cached_property
    def stacks(self) -> list[Ints]:
        """(B, m) rows of the B subjects of one size."""
        order = np.argsort(self.of.subjects, kind="stable")
        sizes = np.bincount(self.of.subjects)
        firsts = np.cumsum(sizes) - sizes
        return [order[firsts[sizes == m][:, None] + np.arange(m)] for m in np.unique(sizes) if m]

    def pieces(self) -> Iterator[Ints]:
        """Some subjects of one size at a time."""
        for rows in self.stacks:
            size = max(1, STACK // rows.shape[1] ** 2)
            yield from (rows[at : at + size] for at in range(0, len(rows), size))

    def covariance(self, psi: Values, rows: Ints) -> Values:
        """(B, m, m) R of some subjects."""
        a = self.of.sds(psi, rows)
        return a[:, :, None] * a[:, None, :] * self._correlation(psi, rows)

    def _correlation(self, psi: Values, rows: Ints) -> Values:
        """(B, m, m) c of every two rows."""
        of, m = self.of, rows.shape[1]
        unit = np.broadcast_to(np.eye(m), (len(rows), m, m))
        if of.visits is not None:
            cells = of.visits.cells[rows]
            return of.visits.covariance(psi[of.ratios :])[cells[:, :, None], cells[:, None, :]]
        if of.place is None:
            return unit.astype(psi.dtype)
        x = of.place[rows]
        h = np.sqrt(((x[:, :, None] - x[:, None, :]) ** 2).sum(axis=-1))
        share = 1.0 - psi[of.ratios + 1] if of.correlation == "expsp" and len(psi) > of.ratios + 1 else 1.0
        return np.where(unit == 1.0, 1.0, share * of.fading(psi, h))

    @cached_property
    def spread(self) -> float:
        """A bound on the largest eigenvalue of R^-1: the trace of that of each subject."""
        most = 0.0
        for rows in self.pieces():
            half = inverse_roots(self.covariance(self.of.psi, rows))
            most = max(most, float((half**2).sum(axis=(1, 2)).max()))
        return most

    def solved(self, values: Floats) -> Floats:
        """R^-1 times (n,) values."""
        out = np.empty_like(values)
        for rows in self.pieces():
            R = self.covariance(self.of.psi, rows)
            out[rows] = np.linalg.solve(R, values[rows][:, :, None])[:, :, 0]
        return out

    def matrix(self, weights: Floats | None) -> sparse.csr_array:
        """R of all rows, (n, n), relative to sigma^2."""
        scale = np.ones(len(self.of.subjects)) if weights is None else 1.0 / np.sqrt(weights)
        parts = ((rows, self.covariance(self.of.psi, rows)) for rows in self.pieces())
        scaled = ((rows, R * scale[rows][:, :, None] * scale[rows][:, None, :]) for rows, R in parts)
        return block_matrix(scaled, len(scale))

    def whitener(self) -> sparse.csr_array:
        """B of all rows, (n, n), with B R B' = I, weights left out."""
        parts = ((rows, self.covariance(self.of.psi, rows)) for rows in self.pieces())
        return block_matrix(((rows, inverse_roots(R)) for rows, R in parts), len(self.of.subjects))

    def sums(self, claim: Claim, H: Floats) -> GlsSums:
        """The sums of a claimed solution, subject by subject.

        Raises:
            numpy.linalg.LinAlgError: R is not positive definite.
        """
        n, r, ways = len(self.of.subjects), len(self.of.moving), self.of.stepped()
        sums, spread = RunningSums(claim, H, r), 0.0
        of, gradient, curvature = sums.of, sums.gradient, sums.curvature
        raw = np.array(of.columns)
        if of.roots is not None:
            raw *= of.roots
        u, sums.largest = (of.turn @ raw).T, np.abs(raw).max(axis=1)
        for rows in self.pieces():
            half = inverse_roots(self.covariance(self.of.psi, rows))
            sums.log_det -= 2.0 * float(np.log(np.einsum("btt->bt", half)).sum())
            spread = max(spread, float((half**2).sum(axis=(1, 2)).max()))
            w = half @ u[rows]
            sums.products += np.einsum("bta,btc->ac", w, w, optimize=True)
            inverse = half.swapaxes(1, 2) @ half
            v = half.swapaxes(1, 2) @ w
            D = inverse - (v * of.share) @ v.swapaxes(1, 2)
            slopes = [slope_at_step(self.covariance(psi, rows)) for psi in ways]
            relative = [inverse @ dR for dR in slopes]
            for i, dR in enumerate(slopes):
                gradient[i] += float(np.vdot(D, dR))
                curvature[i, :r] += [float(np.vdot(relative[i], other.swapaxes(1, 2))) for other in relative]
                curvature[i, r] += float(np.einsum("btt->", relative[i]))
        curvature[r, :r], curvature[r, r] = curvature[:r, r], n
        return sums.finished(spread)


def slope_at_step(values: Values) -> Floats:
    """The derivative of what was made at a complex step."""
    return np.asarray(np.imag(values) / STEP, np.float64)


def inverse_roots(R: Floats) -> Floats:
    """(B, m, m) L^-1 of each R = L L'."""
    return np.asarray(np.linalg.inv(np.linalg.cholesky(R)), np.float64)


def rows_as_printed(residual: RowResidual, printed: Iterable[tuple[str, float]]) -> MarkovRows | WrittenRows:
    """The residuals of a problem with the parameters of R as they are printed, in their order."""
    named = list(printed)
    variance, process = residual.structure.variance, residual.structure.correlation
    ratios = len(variance.names) if variance else 0
    psi = [value for _, value in named]
    place, visits = residual.positions, None
    if residual.times is not None:
        place = np.asarray(residual.times, np.float64)[:, None]
    if isinstance(process, ResidualStructure):
        assert residual.cells is not None
        visits = as_printed(Residual(process, residual.cells, residual.subjects), named[ratios:])
        psi[ratios:] = [parameter.value for parameter in visits.parameters]
    kind = "expsp" if isinstance(process, Spatial) else "car1" if isinstance(process, Serial) else ""
    of = RowParameters(
        subjects=residual.subjects,
        variance=variance.kind if variance else "",
        covariate=residual.covariate if variance else None,
        correlation="visits" if visits else kind,
        place=place if kind else None,
        visits=visits,
        psi=np.array(psi, np.float64),
        ratios=ratios,
    )
    return MarkovRows(of) if kind in ("", "car1") and visits is None else WrittenRows(of)


def residuals_as_printed(
    residual: Residual | RowResidual, printed: Iterable[tuple[str, float]]
) -> CorrelatedResiduals | MarkovRows | WrittenRows:
    """The residuals of a problem with the parameters of R as they are printed, each with its name."""
    if isinstance(residual, RowResidual):
        return rows_as_printed(residual, printed)
    return as_printed(residual, printed)
