"""B with B R B' = I, applied to rows: what makes correlated residuals of unequal variance independent ones.

A row of a model's matrices is a position along the last axis here: the arrays are (m, n), each of the m a
column of [Z X y]. Three forms of B, of which the first two serve correlations and the third puts a variance
function g before either of them (or before none):

    Markov    u_t = (x_t - phi_t x_{t-1}) / sqrt(1 - phi_t^2), one bidiagonal matrix for all subjects, phi = 0
              at the first row of each; log|R| = sum log(1 - phi_t^2). O(n), by LAPACK's banded solver.
    Blocks    the inverse of R_p's Cholesky factor, shared by all subjects of one pattern p
    Scaled    B = B_c diag(1 / g), log|R| = log|C| + 2 sum log g

The derivative of a function of u = B x alone that does not change with rotations of the rows of a subject is
<Ubar, dB x>, Ubar its derivative in u; up to a rotation dB = -1/2 (B dR B') B.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dtbtrs, dtrtri
from scipy.sparse import block_diag, csr_array, diags_array
from scipy.spatial.distance import pdist

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.covariance.row_structure import RowStructure, Serial, Spatial
from lmmkit.engine.crossproducts.patterns import (
    LEAST_SHARE,
    OUT_OF_RANGE,
    SINGULAR,
    WIDEST,
    patterns_of,
    refuse_out_of_range,
)
from lmmkit.engine.problem import Problem, Residual, RowResidual
from lmmkit.errors import FitError

LARGEST_SUBJECT = 3_000  # rows whose R is one dense matrix: 72 MB each for it, its root and its derivatives
FARTHEST = 300.0  # log of an SD over sigma, whose square has room
TOO_FAR = (
    "The residual standard deviations are beyond the range of floating-point numbers: the covariate of the "
    "variance function is far from where sigma is told (1 for power, 0 for exp). Divide it by its mean "
    "(power), or subtract its mean (exp)."
)
FEW = 4  # subjects of a pattern from which on they are worth a product of their own


class Root(ABC):
    """B at one rho.

    Attributes:
        logdet: log|R|.
    """

    logdet: float

    @abstractmethod
    def white(self, A: Floats) -> Floats:
        """Returns B A for rows (m, n)."""

    @abstractmethod
    def unwhite(self, A: Floats) -> Floats:
        """Returns B^-1 A."""

    @abstractmethod
    def white_t(self, A: Floats) -> Floats:
        """Returns B'A."""

    @abstractmethod
    def unwhite_t(self, A: Floats) -> Floats:
        """Returns B^-T A."""

    @abstractmethod
    def logdet_slopes(self) -> Floats:
        """Returns (r,) d log|R| / d rho."""

    @abstractmethod
    def pulled(self, X: Floats, U: Floats, adjoint: Floats) -> Floats:
        """Returns (r,) <adjoint, dB X>, with U = B X; all (m, n)."""

    @abstractmethod
    def turned(self, x: Floats) -> Floats:
        """Returns (r, n) B dR_k B' x for (n,) x."""

    @abstractmethod
    def matrix(self) -> csr_array:
        """Returns B, (n, n)."""


class _Identity(Root):
    """Independent rows."""

    logdet = 0.0

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def white(self, A: Floats) -> Floats:
        return A

    unwhite = white_t = unwhite_t = white

    def logdet_slopes(self) -> Floats:
        return np.empty(0)

    def pulled(self, X: Floats, U: Floats, adjoint: Floats) -> Floats:
        return np.empty(0)

    def turned(self, x: Floats) -> Floats:
        return np.empty((0, len(x)))

    def matrix(self) -> csr_array:
        return csr_array(diags_array(np.ones(self.rows)))


class _Markov(Root):
    """Rows of a subject one after the other, each correlated with the one before by phi."""

    def __init__(self, phi: Floats, left: Floats, slopes: Floats) -> None:
        """`phi` (n,), 0 at first rows; `left` is 1 - phi^2 with all its digits; slopes d phi / d rho."""
        self.phi, self.left, self.slopes = phi, left, slopes
        self.d = 1.0 / np.sqrt(left)
        self.logdet = float(np.log(left).sum())

    @cached_property
    def band(self) -> Floats:
        """(2, n) B's diagonal, and what is below it."""
        below = np.zeros_like(self.phi)
        np.multiply(-self.phi[1:], self.d[1:], out=below[:-1])
        return np.asfortranarray([self.d, below])

    def white(self, A: Floats) -> Floats:
        out = A * self.d
        out[..., 1:] += self.band[1, :-1] * A[..., :-1]
        return out

    def white_t(self, A: Floats) -> Floats:
        out = A * self.d
        out[..., :-1] += self.band[1, :-1] * A[..., 1:]
        return out

    def unwhite(self, A: Floats) -> Floats:
        return self._solved(A, "N")

    def unwhite_t(self, A: Floats) -> Floats:
        return self._solved(A, "T")

    def _solved(self, A: Floats, trans: str) -> Floats:
        out, info = dtbtrs(self.band, np.atleast_2d(A).T, uplo="L", trans=trans)
        if info:
            raise FitError(SINGULAR)
        return np.ascontiguousarray(out.T).reshape(A.shape)

    def logdet_slopes(self) -> Floats:
        return self.slopes @ (-2.0 * self.phi * self.d**2)

    def pulled(self, X: Floats, U: Floats, adjoint: Floats) -> Floats:
        # dB x = d phi d (phi d u_t - x_{t-1}) row by row
        along = np.einsum("mt,mt->t", adjoint, U)
        along *= self.phi * self.d
        along[1:] -= np.einsum("mt,mt->t", adjoint[:, 1:], X[:, :-1])
        along *= self.d
        return self.slopes @ along

    def turned(self, x: Floats) -> Floats:
        e = self.unwhite(x)
        ahead = self.phi * self.d * x
        ahead[1:] -= e[:-1]
        out = -self.slopes * (self.d * ahead)  # - dB e
        cubed = self.slopes * self.d**3 * x
        back = cubed * self.phi  # dB' x
        back[:, :-1] -= cubed[:, 1:]
        return out - self.unwhite_t(back)

    def matrix(self) -> csr_array:
        return csr_array(diags_array(self.d) + diags_array(self.band[1, :-1], offsets=-1))


@dataclass(frozen=True, eq=False)
class _Group:
    """Patterns of t rows, side by side.

    Attributes:
        rows: (S, t) positions of the rows of all their subjects, pattern by pattern.
        counts: (B,) the subjects of each.
        half: (B, t, t) B_p, lower triangular.
        turns: (r, B, t, t) B_p dR_k B_p'.
    """

    rows: Ints
    counts: Ints
    half: Floats
    turns: Callable[[], Floats]

    def each(self) -> Iterator[tuple[Ints, int]]:
        """Rows (s, t) of each pattern, and its number."""
        ends = np.cumsum(self.counts)
        for p, (count, end) in enumerate(zip(self.counts.tolist(), ends.tolist(), strict=True)):
            yield self.rows[end - count : end], p

    @cached_property
    def pattern(self) -> Ints:
        """(S,) the pattern of each subject."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def inverse(self) -> Floats:
        """(B, t, t) the roots of R themselves."""
        return np.linalg.inv(self.half).astype(np.float64, copy=False)

    def apply(self, matrices: Floats, A: Floats, out: Floats) -> None:
        """Put matrices (B, t, t) times the rows of A (m, n) into `out`."""
        if len(self.rows) >= FEW * len(self.counts):
            for rows, p in self.each():
                out[:, rows] = A[:, rows] @ matrices[p].T
        else:
            out[:, self.rows] = np.einsum("sab,msb->msa", matrices[self.pattern], A[:, self.rows])


class _Blocks(Root):
    """Subjects in patterns, each of which has one dense R."""

    def __init__(self, groups: Sequence[_Group], logdet: float, count: int) -> None:
        self.groups, self.logdet, self.count = groups, logdet, count

    def white(self, A: Floats) -> Floats:
        return self._applied(lambda group: group.half, A)

    def white_t(self, A: Floats) -> Floats:
        return self._applied(lambda group: np.swapaxes(group.half, 1, 2), A)

    def unwhite(self, A: Floats) -> Floats:
        return self._applied(lambda group: group.inverse, A)

    def unwhite_t(self, A: Floats) -> Floats:
        return self._applied(lambda group: np.swapaxes(group.inverse, 1, 2), A)

    def _applied(self, matrices: Callable[[_Group], Floats], A: Floats) -> Floats:
        rows, out = np.atleast_2d(A), np.empty(np.atleast_2d(A).shape)
        for group in self.groups:
            group.apply(matrices(group), rows, out)
        return out.reshape(A.shape)

    def logdet_slopes(self) -> Floats:
        traces = (np.einsum("kptt,p->k", group.turns(), group.counts) for group in self.groups)
        return np.sum([*traces], axis=0)

    def pulled(self, X: Floats, U: Floats, adjoint: Floats) -> Floats:
        out = np.zeros(self.count)
        for group in self.groups:
            B, t = group.half.shape[:2]
            H = np.empty((B, t, t))
            for rows, p in group.each():
                left, right = adjoint[:, rows].reshape(-1, t), U[:, rows].reshape(-1, t)
                H[p] = left.T @ right
            out -= 0.5 * np.einsum("kpab,pab->k", group.turns(), H)
        return out

    def turned(self, x: Floats) -> Floats:
        out = np.empty((self.count, len(x)))
        for group in self.groups:
            for k, turn in enumerate(group.turns()):
                group.apply(turn, x[None], out[k : k + 1])
        return out

    def matrix(self) -> csr_array:
        parts, order = list[Any](), list[Ints]()
        for group in self.groups:
            parts += list(group.half[group.pattern])
            order.append(group.rows.ravel())
        stacked = csr_array(block_diag(parts, format="csr"))
        back = np.argsort(np.concatenate(order))
        return csr_array(stacked[back][:, back])


class _Scaled(Root):
    """A variance function before another root."""

    def __init__(self, g: Floats, logs: Floats, inner: Root) -> None:
        """`logs` (m, n) is d log g / d rho."""
        self.g, self.logs, self.inner = g, logs, inner
        self.logdet = inner.logdet + 2.0 * float(np.log(g).sum())

    def white(self, A: Floats) -> Floats:
        return self.inner.white(A / self.g)

    def white_t(self, A: Floats) -> Floats:
        return self.inner.white_t(A) / self.g

    def unwhite(self, A: Floats) -> Floats:
        return self.inner.unwhite(A) * self.g

    def unwhite_t(self, A: Floats) -> Floats:
        return self.inner.unwhite_t(A * self.g)

    def logdet_slopes(self) -> Floats:
        return np.concatenate([2.0 * self.logs.sum(axis=1), self.inner.logdet_slopes()])

    def pulled(self, X: Floats, U: Floats, adjoint: Floats) -> Floats:
        scaled = X / self.g
        each = np.einsum("mt,mt->t", self.inner.white_t(adjoint), scaled)
        return np.concatenate([-(self.logs @ each), self.inner.pulled(scaled, U, adjoint)])

    def turned(self, x: Floats) -> Floats:
        """B (L R + R L) B' x = B_c L B_c^-1 x + B_c^-T L B_c' x, and those of the other."""
        one = self.inner.white(self.logs * self.inner.unwhite(x))
        two = self.inner.unwhite_t(self.logs * self.inner.white_t(x))
        return np.concatenate([one + two, self.inner.turned(x)])

    def matrix(self) -> csr_array:
        return csr_array(self.inner.matrix() @ diags_array(1.0 / self.g))


@dataclass(frozen=True, eq=False)
class RowRoot:
    """B over the rows in the caller's order.

    Attributes:
        order: (n,) of the rows in the root, None: as they are.
        root: B of them.
    """

    order: Ints | None
    root: Root

    def white(self, A: Floats) -> Floats:
        """Returns B A for rows (m, n)."""
        return self._there(A, self.root.white)

    def unwhite(self, A: Floats) -> Floats:
        """Returns B^-1 A."""
        return self._there(A, self.root.unwhite)

    def _there(self, A: Floats, function: Callable[[Floats], Floats]) -> Floats:
        if self.order is None:
            return function(A)
        out = np.empty(A.shape)
        out[..., self.order] = function(A[..., self.order])
        return out


# Processes: what a root is made of at each rho


class Process(ABC):
    """A correlation on rows in the order that it asks for.

    Attributes:
        order: (n,) the rows in that order; None: as they are, or any.
    """

    order: Ints | None = None

    @abstractmethod
    def at(self, rho: Floats) -> Root:
        """Returns B of those rows.

        Raises:
            FitError: R is not positive definite.
        """


class _SerialProcess(Process):
    """Exponential decay over times: Markov."""

    def __init__(self, structure: Serial, subjects: Ints, times: Floats, names: Callable[[int], str]) -> None:
        self.structure = structure
        self.order, self.gaps = _gaps(subjects, times, names)

    def at(self, rho: Floats) -> Root:
        scale = self.structure.scale(rho)
        if scale == 0.0:
            return _Markov(np.zeros_like(self.gaps), np.ones_like(self.gaps), np.zeros((1, len(self.gaps))))
        with np.errstate(under="ignore", over="ignore", invalid="ignore"):
            decay = self.gaps / scale
            phi = np.exp(-decay)
            slopes = np.where(np.isfinite(decay), phi * decay, 0.0)
        left = -np.expm1(-2.0 * decay)
        if not np.isfinite(scale) or left.min() < LEAST_SHARE:
            raise FitError(SINGULAR)
        return _Markov(phi, left, slopes[None])


@dataclass(frozen=True, eq=False)
class _Shape:
    """Patterns of t rows each: R of one is a function of its cells (B, t), or of its distances (B, t, t)."""

    rows: Ints
    counts: Ints
    made_of: NDArray[Any]


class _BlockProcess(Process):
    """Dense R for each pattern of subjects."""

    def __init__(
        self,
        shapes: Sequence[_Shape],
        matrices: Callable[[Floats, NDArray[Any]], Floats],
        slopes: Callable[[Floats, NDArray[Any]], Floats],
        count: int,
    ) -> None:
        """`matrices` gives (B, t, t) R at a rho of what shapes are made of, `slopes` (r, B, t, t)."""
        self.shapes, self.matrices, self.slopes, self.count = shapes, matrices, slopes, count

    def at(self, rho: Floats) -> Root:
        groups, logdet = list[_Group](), 0.0
        for shape in self.shapes:
            with np.errstate(over="ignore", invalid="ignore"):
                R = self.matrices(rho, shape.made_of)
            refuse_out_of_range(R)
            half, logs = _inverse_roots(R)
            logdet += 2.0 * float(shape.counts @ logs)
            groups.append(_Group(shape.rows, shape.counts, half, self._turns(rho, shape, half)))
        return _Blocks(groups, logdet, self.count)

    def _turns(self, rho: Floats, shape: _Shape, half: Floats) -> Callable[[], Floats]:
        """B dR_k B', made when it is asked for."""
        return lambda: half @ self.slopes(rho, shape.made_of) @ np.swapaxes(half, 1, 2)


def _inverse_roots(R: Floats) -> tuple[Floats, Floats]:
    """(B, t, t) inverses of the lower Cholesky factors, and the sum of the logs of their diagonals, (B,)."""
    half, logs = np.empty_like(R), np.empty(len(R))
    for p, matrix in enumerate(R):
        root, info = dpotrf(matrix, lower=1, clean=1)
        if info or (root.diagonal() ** 2 < LEAST_SHARE * matrix.diagonal()).any():
            raise FitError(SINGULAR)
        half[p] = dtrtri(root, lower=1)[0]
        logs[p] = np.log(root.diagonal()).sum()
    return half, logs


class _Uncorrelated(Process):
    """No correlation."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def at(self, rho: Floats) -> Root:
        return _Identity(self.rows)


@dataclass(frozen=True, eq=False)
class Whitening:
    """How the rows of a problem are whitened.

    Attributes:
        process: The correlation.
        own: Coordinates of the variance function in rho.
        logs: (m, n) d log g / d rho in the order of the process.
    """

    process: Process
    own: slice
    logs: Floats

    @property
    def order(self) -> Ints | None:
        """(n,) the order of rows in which `at` knows them, None: as they are."""
        return self.process.order

    def at(self, rho: Floats) -> Root:
        """Returns B at rho, over rows in `order`.

        Raises:
            FitError: R is not positive definite, or beyond the range of numbers.
        """
        inner = self.process.at(rho[self.own.stop :])
        if not len(self.logs):
            return inner
        logs = rho[self.own] @ self.logs
        if not np.isfinite(logs).all() or np.ptp(logs) > 0.5 * np.log(WIDEST):
            raise FitError(OUT_OF_RANGE)
        if np.abs(logs).max() > FARTHEST:
            raise FitError(TOO_FAR)
        return _Scaled(np.exp(logs), self.logs, inner)


def whitening_of(residual: Residual | RowResidual) -> Whitening:
    """Returns how the rows of a problem are whitened.

    Raises:
        FitError: Two rows of a subject are at one time, place or visit, or a subject has too many rows.
    """
    n = len(residual.subjects)
    if isinstance(residual, Residual):
        return Whitening(_visits(residual), slice(0, 0), np.empty((0, n)))
    process, logs = _process(residual), residual.log_sd_slopes()
    if process.order is not None:
        logs = logs[:, process.order]
    return Whitening(process, residual.structure.cuts[0], logs)


def root_of(residual: Residual | RowResidual, rho: Floats) -> RowRoot:
    """Returns B at rho, over the rows in the caller's order."""
    found = whitening_of(residual)
    return RowRoot(found.order, found.at(rho))


def normalised(problem: Problem, rho: Floats, sigma: Floats | float, e: Floats) -> Floats:
    """Returns (n, r) B W^1/2 e / sigma: residuals that are independent, of variance 1, where the model holds.

    Over visits B is the inverse of the lower Cholesky factor of R in their order; with time that of a Markov
    process, each row less what the one before it tells of it.
    """
    out = e / sigma
    if problem.weights is not None:
        out *= np.sqrt(problem.weights)[:, None]
    if problem.residual is None:
        return out
    return root_of(problem.residual, rho).white(np.ascontiguousarray(out.T)).T


def residuals_from(problem: Problem, rho: Floats, sigma: float, z: Floats) -> Floats:
    """Returns (n, r) residuals sigma W^-1/2 B^-1 z made of independent standard normal numbers."""
    if problem.residual is not None:
        z = root_of(problem.residual, rho).unwhite(np.ascontiguousarray(z.T)).T
    return sigma * z if problem.weights is None else (sigma / np.sqrt(problem.weights))[:, None] * z


def _process(residual: RowResidual) -> Process:
    """The correlation of a problem."""
    structure: RowStructure = residual.structure
    process = structure.correlation
    if process is None:
        return _Uncorrelated(len(residual.subjects))
    if isinstance(process, ResidualStructure):
        assert residual.cells is not None
        return _visits(Residual(process, residual.cells, residual.subjects, residual.names))
    if isinstance(process, Serial):
        assert residual.times is not None
        return _SerialProcess(process, residual.subjects, residual.times, residual.named)
    assert residual.positions is not None
    shapes = _layouts(residual.subjects, residual.positions, residual.named)
    return _BlockProcess(shapes, process.correlation, process.correlation_slopes, process.count)


def _visits(residual: Residual) -> Process:
    """Patterns of cells."""
    structure = residual.structure
    shapes = [_Shape(group.rows, group.counts, group.cells) for group in patterns_of(residual)]

    def matrices(rho: Floats, cells: NDArray[Any]) -> Floats:
        return structure.matrix(rho)[cells[:, :, None], cells[:, None, :]]

    def slopes(rho: Floats, cells: NDArray[Any]) -> Floats:
        return structure.jacobian(rho)[:, cells[:, :, None], cells[:, None, :]]

    return _BlockProcess(shapes, matrices, slopes, structure.count)


# Times and places


def serial(subjects: Ints, times: Floats, names: Callable[[int], str] = str) -> Serial:
    """Returns the serial structure of some rows: the unit of its coordinate is their median gap.

    Raises:
        FitError: Two rows of a subject are at one time, or no subject has two rows.

    >>> serial(np.array([0, 0, 0, 1]), np.array([1.0, 3.0, 7.0, 2.0]))
    Serial(unit=3.0, closest=2.0, longest=6.0)
    """
    gaps = _gaps(subjects, times, names)[1]
    first = np.flatnonzero(np.isinf(gaps))
    inner = gaps[np.isfinite(gaps)]
    if not inner.size:
        raise FitError(NO_PAIR)
    spans = np.add.reduceat(np.where(np.isinf(gaps), 0.0, gaps), first)
    return Serial(float(np.median(inner)), float(inner.min()), float(spans.max()))


def spatial(subjects: Ints, positions: Floats, nugget: bool, names: Callable[[int], str] = str) -> Spatial:
    """Returns the spatial structure of some rows: the unit of its coordinate is their median distance.

    Raises:
        FitError: Two rows of a subject are at one place, no subject has two rows, or one has too many.

    >>> spatial(np.zeros(3, int), np.array([[0.0, 0.0], [0.0, 3.0], [4.0, 0.0]]), nugget=False)
    Spatial(unit=4.0, closest=3.0, longest=5.0, nugget=False)
    """
    shapes = _layouts(subjects, positions, names)
    upper = [
        np.repeat(D[np.triu_indices(D.shape[0], 1)], count)
        for shape in shapes
        for D, count in zip(shape.made_of, np.minimum(shape.counts, MOST_ALIKE), strict=True)
    ]
    distances = np.concatenate([*upper, np.empty(0)])
    if not distances.size:
        raise FitError(NO_PAIR)
    least, most = float(distances.min()), float(distances.max())
    return Spatial(float(np.median(distances)), least, most, nugget=nugget)


MOST_ALIKE = 10  # subjects with the same places that count for a median
NO_PAIR = (
    "Every subject has one row, so no correlation between rows of a subject can be estimated. Name the "
    "column that says which rows are of one subject, or leave the correlation out."
)


def _gaps(subjects: Ints, times: Floats, names: Callable[[int], str]) -> tuple[Ints | None, Floats]:
    """The rows by subject and time (None: as they are), and the time since the row before, inf at firsts."""
    steps, same = np.diff(times), np.diff(subjects) == 0
    order: Ints | None = None
    if (np.diff(subjects) < 0).any() or (steps[same] <= 0).any():
        order = np.lexsort((times, subjects))
        steps, same = np.diff(times[order]), np.diff(subjects[order]) == 0
    twice = np.flatnonzero(same & (steps <= 0))
    if twice.size:
        row = int(twice[0]) if order is None else int(order[twice[0]])
        others = "once" if twice.size == 2 else f"{twice.size - 1} times"
        raise FitError(
            f"Subject {names(int(subjects[row]))} has two rows at time {times[row]:g}"
            f"{f', and so {others} more' if twice.size > 1 else ''}: a serial correlation has "
            "one row per subject and time. Keep one of them, average them, or name what tells them apart."
        )
    gaps = np.full(len(times), np.inf)
    gaps[1:][same] = steps[same]
    return order, gaps


def _layouts(subjects: Ints, positions: Floats, names: Callable[[int], str]) -> list[_Shape]:
    """Subjects with the same distances between their rows, by their number of rows."""
    order = np.argsort(subjects, kind="stable")
    starts = np.flatnonzero(np.diff(subjects[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    if sizes.max() > LARGEST_SUBJECT:
        largest = int(subjects[order[starts[np.argmax(sizes)]]])
        raise FitError(
            f"Subject {names(largest)} has {sizes.max():,} rows; a spatial correlation takes the rows of a "
            f"subject as one dense matrix, of at most {LARGEST_SUBJECT:,}. Divide the field into blocks, or "
            "average neighbouring rows."
        )
    found = dict[tuple[int, bytes], tuple[Floats, list[Ints]]]()
    for start, stop in pairwise([*starts.tolist(), len(order)]):
        rows = order[start:stop]
        distances = pdist(positions[rows])
        if (distances == 0.0).any():
            at = ", ".join(f"{x:g}" for x in _twice(positions[rows]))
            raise FitError(
                f"Subject {names(int(subjects[rows[0]]))} has two rows at the place ({at}): a spatial "
                "correlation has one row per subject and place. Keep one of them, or average them."
            )
        found.setdefault((len(rows), distances.tobytes()), (distances, []))[1].append(rows)
    out = list[_Shape]()
    for t in dict.fromkeys(t for t, _ in found):
        mine = [found[key] for key in found if key[0] == t]
        square = np.zeros((len(mine), t, t))
        upper = np.triu_indices(t, 1)
        for D, (distances, _) in zip(square, mine, strict=True):
            D[upper] = distances
            D += D.T
        rows = np.concatenate([np.array(each, np.intp).reshape(-1, t) for _, each in mine])
        out.append(_Shape(rows, np.array([len(each) for _, each in mine]), square))
    return out


def _twice(positions: Floats) -> Floats:
    """The first place that occurs twice."""
    places, counts = np.unique(positions, axis=0, return_counts=True)
    return places[np.argmax(counts > 1)]
