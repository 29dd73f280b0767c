"""The contract of a covariance structure, and the structures that there are.

A structure says what the relative covariance matrix T (k, k) of a term's effects may be (G = sigma^2 T), by
m coordinates x. Whoever needs to know asks it: the search for roots, derivatives, steps and null directions,
the preparation of rows for the changes of columns that it bears, a table for names, a report for words. A new
structure is one class here and its line in the tests.

Arrays may have further axes, which come last as everywhere in the engine: x (m, r) stands for r replicates,
L (k, k, r) for their roots.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.roots import positive_root, semidefinite_factor
from lmmkit.errors import FitError

SPAN = 1e-9  # share of its largest entry by which a matrix may miss a linear family that it belongs to


class Growth(NamedTuple):
    """A way in which T may grow, to T + t B B', and what the deviance does then.

    Attributes:
        slope: d deviance / dt at t = 0.
        rows: (k, q) B; of a pattern the root of a member in whose direction T grows.
    """

    slope: Floats
    rows: Floats


class Thinner(NamedTuple):
    """A member with one null direction more, or with a parameter at its bound.

    Attributes:
        value: What is taken from scaled T, s T s; 0 where nothing is left to take.
        back: (k, k) direction in which T would go back, at t = `value` about to where it was.
        left: (k, k) A of the thinner matrix A A'.
    """

    value: Floats
    back: Floats
    left: Floats


class Natural(NamedTuple):
    """A parameter as it is printed.

    Attributes:
        kind: `sd`, whose intervals are symmetric on the log; `cor`, whose intervals are on Fisher's z;
            `range`, a distance, whose intervals are symmetric on the log.
        row, column: The columns of the term that it is about, or the first of those; equal for `sd`.
    """

    kind: Literal["sd", "cor", "range"]
    row: int
    column: int


@dataclass(frozen=True)
class Structure(ABC):
    """The covariance matrices that the k effects of a level may have.

    Attributes:
        width: k.
        name: As the package knows it.
        tag: What stands before the bracket of a term: `diag(x | g)`; empty for `(x | g)`.
        words: What a sentence says of several effects.
        closed: The changes of columns, Z to Z S, after which T to S^-1 T S^-T is a member again: `any`,
            `scales` for diagonal S, or `scale` for a number times the identity alone.
    """

    width: int
    name: ClassVar[str]
    tag: ClassVar[str]
    words: ClassVar[str]
    closed: ClassVar[Literal["any", "scales", "scale"]]

    # Coordinates

    @cached_property
    def count(self) -> int:
        """m, the number of coordinates."""
        raise NotImplementedError

    @abstractmethod
    def start(self, T: Floats, scale: Floats, floor: float) -> Floats:
        """Returns coordinates of a member near T.

        Args:
            T: (k, k) any symmetric matrix, from the moment equations.
            scale: (k,) root of the mean Z'Z of each column.
            floor: Least eigenvalue of the member, times `scale` on both sides.
        """

    @abstractmethod
    def root(self, x: Floats) -> Floats:
        """Returns L (k, k) with T = L L'; T may be singular."""

    @abstractmethod
    def coordinates(self, L: Floats) -> Floats:
        """Returns x of a root that `root` or `root_of` made."""

    @abstractmethod
    def root_of(self, A: Floats) -> Floats:
        """Returns the lower triangular root, no diagonal entry negative, of the member A A' for (k, q) A.

        Where A A' is no member, of one near it.
        """

    @abstractmethod
    def contains(self, L: Floats) -> bool:
        """Returns whether a triangular matrix is the root of a member."""

    @property
    def plain_root(self) -> Floats:
        """The identity, or what is next to it inside the domain: where lme4 starts."""
        return np.eye(self.width)

    def elsewhere(self, L: Floats) -> Floats:
        """Returns the root of a member half as large again, of full rank: a start for a second search."""
        floor = 0.1 * (float(L.diagonal().max(initial=0.0)) or 1.0)
        return 1.5 * L + floor * np.diag(L.diagonal() == 0.0)

    def trials(self, x: Floats) -> list[Floats]:
        """Returns other coordinates that a search may start from, beside those of the moment equations."""
        del x
        return []

    @property
    @abstractmethod
    def nonnegative(self) -> NDArray[np.bool_]:
        """(m,) coordinates that may be held at or above zero and leave no member out."""

    @property
    def bounded(self) -> NDArray[np.bool_]:
        """(m,) coordinates that must be held there: with a negative one the matrix is of another pattern."""
        return np.zeros(self.count, bool)

    # Derivatives

    @abstractmethod
    def jacobian(self, x: Floats) -> Floats:
        """Returns (m, k, k) dT / dx_i."""

    @abstractmethod
    def curvature(self, x: Floats, D: Floats) -> Floats:
        """Returns (m, m) sum_ab D_ab d2T_ab / dx_i dx_j."""

    def gradient(self, x: Floats, D: Floats) -> Floats:
        """Returns (m,) <D, dT / dx_i>."""
        return np.einsum("iab...,ab...->i...", self.jacobian(x), D)

    def working(self, x: Floats, c: Floats) -> Floats:
        """Returns (k, m, J) dT_i c for (k, J) c: the working columns of average information."""
        return np.einsum("iab...,bj...->aij...", self.jacobian(x), c)

    @cached_property
    def span(self) -> Floats:
        """(q, k, k) symmetric matrices: every member, or one near it, is a combination of them."""
        raise NotImplementedError

    def tangent(self, x: Floats) -> Floats:
        """Returns (q, k, k) directions of T at a member, none of them zero where T is singular.

        They are those of entries of T, or of variances and correlations, in place of coordinates.
        """
        del x
        return self.span

    @property
    def generic(self) -> Floats:
        """(q, k, k) directions of T in no special place: what the data must tell apart."""
        return self.span

    # The boundary, where a variance is zero

    @abstractmethod
    def null(self, x: Floats) -> NDArray[np.bool_]:
        """Returns (m,) the coordinates that do not vary while the null directions of T stay null."""

    @abstractmethod
    def em(self, L: Floats, D: Floats, levels: int) -> Floats:
        """Returns L after a step of ECME, which never raises the deviance.

        Reference: Lindstrom & Bates (1988); with D the derivative of the profiled deviance the step
        T - T D T / J profiles sigma^2 and the fixed effects out (Liu & Rubin 1994).
        """

    has_em: ClassVar[bool] = True  # whether there is a step of ECME
    batched: ClassVar[bool] = True  # whether arrays may have further axes

    @abstractmethod
    def imbalance(self, L: Floats, D: Floats) -> float:
        """Returns what is zero at an optimum: the largest slope among what T is made of, times its size."""

    @abstractmethod
    def growths(self, L: Floats, D: Floats, scale: Floats) -> list[Growth]:
        """Returns the steepest way in which each part of T may grow that may vanish by itself."""

    @abstractmethod
    def growths_from_null(self, L: Floats, D: Floats, scale: Floats, null: float) -> list[Growth]:
        """Returns the steepest way within the null space of each part of T that has one.

        Directions are null along which scaled T, s T s, is below `null`.
        """

    def grown(self, L: Floats, rows: Floats, size: float) -> Floats:
        """Returns the root of T + t B B' at t = `size`, or of a member near it, for the B of a growth."""
        return self.root_of(np.concatenate([L, np.sqrt(size) * rows], axis=1))

    @abstractmethod
    def thinner(self, L: Floats, scale: Floats) -> list[Thinner]:
        """Returns T without its weakest direction, for each part that may vanish by itself."""

    @property
    def cones(self) -> tuple[tuple[int, ...], ...]:
        """Column sets on which T may be any positive semidefinite matrix, zero between them.

        Raises:
            FitError: The structure is not made of such sets.
        """
        raise FitError(
            f"This is offered for covariance matrices without a pattern, and not for a {self.name} one."
        )

    # Names

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Row and column, row > column, of the covariances that are not zero by definition, column-major."""
        lower = np.tril(np.any(self.span, axis=0), -1)
        return tuple((int(row), int(column)) for column, row in np.argwhere(lower.T))

    def listed(self, columns: Sequence[str]) -> list[tuple[int, str]]:
        """Returns the columns whose variances are printed one by one, with their names."""
        return list(enumerate(columns))

    @abstractmethod
    def names(self, columns: Sequence[str]) -> list[str]:
        """Returns names of the relative parameters, from the names of the columns."""

    def relative(self, L: Floats) -> Floats:
        """Returns (m,) theta as it is printed, from the root of T: by default the coordinates."""
        return self.coordinates(L)

    def from_relative(self, theta: Floats) -> Floats:
        """Returns the root of T whose theta, as it is printed, is given.

        Raises:
            FitError: There is no such member.
        """
        return self.root(theta)

    @cached_property
    def naturals(self) -> tuple[Natural, ...]:
        """The parameters as they are printed, one for each coordinate."""
        raise NotImplementedError

    def natural_names(self, columns: Sequence[str]) -> list[str]:
        """Returns names of the natural parameters: `sd.Days`, `cor.Days.Intercept`."""
        return [".".join([n.kind, *_named(n.row, n.column, columns)]) for n in self.naturals]

    def natural(self, G: Floats) -> Floats:
        """Returns (m,) the natural parameters of a covariance matrix; NaN for a correlation of a zero SD."""
        return np.array(
            [np.sqrt(G[i, i]) if kind == "sd" else correlation(G, i, j) for kind, i, j in self.naturals]
        )

    def wald_slopes(self, T: Floats, dT: Floats) -> Floats:
        """Returns (m, d) derivatives of log SD and of Fisher's z along (d, k, k) directions of T."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = [0.5 * dT[:, i, i] / T[i, i] for i in range(self.width)]
            out = list[Floats]()
            for kind, i, j in self.naturals:
                if kind == "sd":
                    out.append(logs[i])
                    continue
                scale = np.sqrt(T[i, i] * T[j, j])
                rho = T[i, j] / scale
                out.append((dT[:, i, j] / scale - rho * (logs[i] + logs[j])) / (1.0 - rho**2))
        return np.array(out).reshape(len(out), len(dT))

    def spans(self, T: Floats) -> bool:
        """Returns whether a symmetric matrix is a combination of `span`."""
        basis = self.span.reshape(len(self.span), -1)
        weights = basis @ T.ravel() / np.einsum("ij,ij->i", basis, basis)
        return bool(np.abs(T.ravel() - weights @ basis).max() <= SPAN * np.abs(T).max(initial=0.0))


def _named(row: int, column: int, columns: Sequence[str]) -> list[str]:
    return [columns[row]] if row == column else [columns[row], columns[column]]


def correlation(G: Floats, i: int, j: int) -> Floats:
    """Returns the correlation of two columns of covariance matrices; NaN where an SD is zero.

    Rounding takes that of a singular matrix beyond 1 by a unit in the last place; it is cut off.

    Args:
        G: (k, k, ...) the matrices.
        i: A column.
        j: Another.

    >>> float(correlation(np.array([[4.0, -2.0], [-2.0, 1.0]]), 0, 1))
    -1.0
    """
    scale = np.sqrt(G[i, i] * G[j, j])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(np.where(scale > 0, G[i, j] / scale, np.nan), -1.0, 1.0)


def _times(A: Floats, B: Floats) -> Floats:
    """A B, matrix by matrix."""
    return A @ B if A.ndim == 2 else np.einsum("ab...,bc...->ac...", A, B)


def _first(A: Floats) -> Floats:
    """(k, m, ...) as (..., k, m), which LAPACK wants."""
    return A if A.ndim == 2 else np.ascontiguousarray(np.moveaxis(A, (0, 1), (-2, -1)))


def _last(A: Floats) -> Floats:
    """(..., k, m) as (k, m, ...)."""
    return A if A.ndim == 2 else np.ascontiguousarray(np.moveaxis(A, (-2, -1), (0, 1)))


class _Cones(Structure):
    """T zero between some sets of columns and any positive semidefinite matrix on each of them.

    x are the entries of the lower triangular L of each set, down its columns, so that T is quadratic in x:
    a zero standard deviation is an ordinary stationary point, and no step leaves the cone.
    """

    @cached_property
    def entries(self) -> tuple[Ints, Ints]:
        """Rows and columns of the coordinates in L."""
        pairs = [(b[r], b[c]) for b in self.cones for c in range(len(b)) for r in range(c, len(b))]
        rows, columns = np.array(pairs, dtype=np.intp).T
        return rows, columns

    @cached_property
    def count(self) -> int:
        return len(self.entries[0])

    def start(self, T: Floats, scale: Floats, floor: float) -> Floats:
        L = np.zeros_like(T)
        for cone in self.cones:
            here, s = np.ix_(cone, cone), scale[list(cone)]
            size = np.outer(s, s)
            values, vectors = np.linalg.eigh(_first(T[here]) * size)
            raised = vectors * np.maximum(values, floor)[..., None, :] @ np.swapaxes(vectors, -1, -2)
            L[here] = _last(np.linalg.cholesky(raised / size).astype(np.float64, copy=False))
        return self.coordinates(L)

    def root(self, x: Floats) -> Floats:
        L = np.zeros((self.width, self.width, *x.shape[1:]))
        L[self.entries] = x
        return L

    def coordinates(self, L: Floats) -> Floats:
        return L[self.entries]

    def root_of(self, A: Floats) -> Floats:
        L = np.zeros((self.width, self.width, *A.shape[2:]))
        for cone in self.cones:
            L[np.ix_(cone, cone)] = _last(semidefinite_factor(_first(A[list(cone)])))
        return L

    def contains(self, L: Floats) -> bool:
        x = self.coordinates(L)
        return not ((self.root(x) != L).any() or (x[self.nonnegative] < 0).any())

    @property
    def nonnegative(self) -> NDArray[np.bool_]:
        rows, columns = self.entries
        return rows == columns

    def jacobian(self, x: Floats) -> Floats:
        # T = L L': d T / d L_rc = e_r l_c' + l_c e_r', l_c the column c of L.
        L, (rows, columns) = self.root(x), self.entries
        half = np.zeros((self.count, self.width, self.width, *x.shape[1:]))
        half[np.arange(self.count), rows] = np.swapaxes(L[:, columns], 0, 1)
        return half + np.swapaxes(half, 1, 2)

    def gradient(self, x: Floats, D: Floats) -> Floats:
        return _times(2.0 * D, self.root(x))[self.entries]

    def curvature(self, x: Floats, D: Floats) -> Floats:
        rows, columns = self.entries
        same = (columns[:, None] == columns).reshape(self.count, self.count, *[1] * (D.ndim - 2))
        return 2.0 * D[np.ix_(rows, rows)] * same

    def working(self, x: Floats, c: Floats) -> Floats:
        # dT_rc c = e_r (L'c)_c + L e_c c_r: cheaper than a product with each matrix of the jacobian.
        L, (rows, columns) = self.root(x), self.entries
        Lc = _times(L.swapaxes(0, 1), c)
        u = L[:, columns][:, :, None] * c[rows]
        for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
            u[row, i] += Lc[column]
        return u

    @cached_property
    def span(self) -> Floats:
        rows, columns = self.entries
        out = np.zeros((self.count, self.width, self.width))
        at = np.arange(self.count)
        out[at, rows, columns] = out[at, columns, rows] = 1.0
        return out

    def null(self, x: Floats) -> NDArray[np.bool_]:
        return ~np.any(self.root(x), axis=0)[self.entries[1]]

    def em(self, L: Floats, D: Floats, levels: int) -> Floats:
        # L chol(I - L'D L / J) is a root of T - T D T / J, and never leaves the cone.
        out = np.zeros_like(L)
        for cone in self.cones:
            here = np.ix_(cone, cone)
            B = _first(L[here])
            inner = np.eye(len(cone)) - np.swapaxes(B, -1, -2) @ _first(D[here]) @ B / levels
            out[here] = _last(B @ positive_root(inner))
        return out

    def imbalance(self, L: Floats, D: Floats) -> float:
        return float(np.abs((L.T @ D @ L)[self.span.any(axis=0)]).max())

    def growths(self, L: Floats, D: Floats, scale: Floats) -> list[Growth]:
        out = list[Growth]()
        for cone in self.cones:
            s = scale[list(cone)]
            slopes, vectors = np.linalg.eigh(_first(D[np.ix_(cone, cone)]) / np.outer(s, s))
            out.append(Growth(slopes[..., 0], self._rows(cone, vectors[..., :, 0] / s)))
        return out

    def growths_from_null(self, L: Floats, D: Floats, scale: Floats, null: float) -> list[Growth]:
        out = list[Growth]()
        for cone in self.cones:
            here, s = np.ix_(cone, cone), scale[list(cone)]
            rows = L[here] * s[:, None]
            values, vectors = np.linalg.eigh(rows @ rows.T)
            N = vectors[:, values < null]
            if N.shape[1]:
                slopes, turn = np.linalg.eigh(N.T @ (D[here] / np.outer(s, s)) @ N)
                out.append(Growth(slopes[0], self._rows(cone, N @ turn[:, 0] / s)))
        return out

    def thinner(self, L: Floats, scale: Floats) -> list[Thinner]:
        out = list[Thinner]()
        for cone in self.cones:
            here, s = np.ix_(cone, cone), scale[list(cone)]
            U, d, _ = np.linalg.svd(_first(L[here]) * s[:, None])
            kept = (d > 1e-13 * d[..., :1]).sum(axis=-1)[..., None]
            last = np.arange(len(cone)) == kept - 1
            value = (d**2 * last).sum(axis=-1)
            direction = (U * last[..., None, :]).sum(axis=-1)
            left = L.copy()
            left[here] = _last(
                U * np.where(np.arange(len(cone)) < kept - 1, d, 0.0)[..., None, :] / s[:, None]
            )
            B = self._rows(cone, direction / s)
            out.append(Thinner(value, np.einsum("aq...,bq...->ab...", B, B), left))
        return out

    def _rows(self, cone: tuple[int, ...], values: Floats) -> Floats:
        """(k, 1) B with the values of one cone's columns, from (..., len(cone))."""
        out = np.zeros((self.width, 1, *values.shape[:-1]))
        out[list(cone), 0] = np.moveaxis(values, -1, 0)
        return out

    @cached_property
    def naturals(self) -> tuple[Natural, ...]:
        pairs = ((int(r), int(c)) for r, c in zip(*self.entries, strict=True))
        return tuple(Natural("sd" if r == c else "cor", r, c) for r, c in pairs)

    def names(self, columns: Sequence[str]) -> list[str]:
        return [".".join(_named(n.row, n.column, columns)) for n in self.naturals]


@dataclass(frozen=True)
class Unstructured(_Cones):
    """Any covariance matrix: k variances and k (k - 1) / 2 covariances."""

    name = "unstructured"
    tag = ""
    words = "these may be correlated"
    closed = "any"

    @property
    def cones(self) -> tuple[tuple[int, ...], ...]:
        """All columns in one."""
        return (tuple(range(self.width)),)


@dataclass(frozen=True)
class Diagonal(_Cones):
    """Independent effects, each with a variance of its own."""

    name = "diagonal"
    tag = "diag"
    words = "these are independent"
    closed = "scales"

    @property
    def cones(self) -> tuple[tuple[int, ...], ...]:
        """Each column alone."""
        return tuple((column,) for column in range(self.width))
