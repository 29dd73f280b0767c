"""Residuals that are correlated within a subject: their covariance matrix from its definition, pair by pair.

For two rows of one subject at the times s < t, h = t - s, with standard deviations a and b relative to sigma
and prior weights w,

    cov(e_s, e_t) = sigma^2 a b c(s, t) / sqrt(w_s w_t)

    ident     c = 0           ar1  c = rho^h       un  c = rho_st
    cs        c = rho         toep c = rho_h       ad  c = the product of rho over all neighbours from s to t

and rows of different subjects are independent. From this R the conditions that a fit without random effects
has to meet (`gls_conditions`) are made subject by subject, those with the same rows of R together.

R is a polynomial of the parameters psi, so a step along the imaginary axis differentiates it to the last
digit (Squire & Trapp 1998, SIAM Review 40, 110-112).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cholesky, solve_triangular

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.problem import Residual
from lmmkit.engine.referee.equation_residuals import Claim
from lmmkit.engine.referee.gls_conditions import GlsSums, RunningSums

Correlation = Literal["ident", "cs", "ar1", "toep", "un", "ad"]
Values = NDArray[Any]  # real, or complex with a step along the imaginary axis

STEP = 1e-40  # along the imaginary axis: its square is nothing beside a double
CHUNK = 1 << 17  # numbers of one step through the rows: one megabyte
BITS = 52  # cells of a set that fit into one double, exactly


class PrintedParameter(NamedTuple):
    """A parameter of R as it is printed.

    Attributes:
        kind: `sd`, relative to sigma, or `rho`.
        group: Of a correlation the level of `by=` that has it, from 0.
        first: Of an SD the level that has it; of a correlation the lag (toep) or the earlier time (un, ad).
        second: The later time (un, ad).
        value: Its estimate.
    """

    kind: Literal["sd", "rho"]
    group: int
    first: int
    second: int
    value: float


class SubjectPattern(NamedTuple):
    """Subjects with rows of R in common.

    Attributes:
        cells: (t,) the cells of each of them.
        rows: (t, s) their rows in the data.
    """

    cells: Ints
    rows: Ints


@dataclass(frozen=True, eq=False)
class CorrelatedResiduals:
    """What is claimed of the residuals. A cell is what two rows with equal rows of R have in common.

    Attributes:
        correlation: The family of c.
        subjects: (n,) the subject of each row.
        cells: (n,) the cell of each row.
        group: (T,) level of `by=` of each cell.
        time: (T,) place of each cell along the time axis, gaps counted.
        level: (T,) which standard deviation each cell has, by number; 1 where no parameter is for it.
        parameters: The SDs that are not 1, and the correlations.
    """

    correlation: Correlation
    subjects: Ints
    cells: Ints
    group: Ints
    time: Ints
    level: Ints
    parameters: tuple[PrintedParameter, ...]

    @cached_property
    def R(self) -> Floats:
        """(T, T) covariance of every two cells, relative to sigma^2."""
        return self.covariance(np.array([p.value for p in self.parameters], np.float64))

    @cached_property
    def derivatives(self) -> Floats:
        """(r, T, T) dR / d psi of each parameter."""
        values = np.array([p.value for p in self.parameters], np.complex128)
        steps = 1j * STEP * np.eye(len(values))
        ways = [np.asarray(np.imag(self.covariance(values + step)) / STEP, np.float64) for step in steps]
        return np.array(ways).reshape(len(values), len(self.group), len(self.group))

    def covariance(self, values: Values) -> Values:
        """(T, T) R at other values of the parameters, in their order."""
        R = np.zeros((len(self.group), len(self.group)), values.dtype)
        groups, first, second = np.array([p[1:4] for p in self.parameters], np.intp).reshape(-1, 3).T
        is_sd = np.array([p.kind == "sd" for p in self.parameters], np.bool_)
        sds = np.ones(1 + max(self.level.max(), first.max(initial=0)), values.dtype)
        sds[first[is_sd]] = values[is_sd]
        for group in np.unique(self.group):
            own, held = np.flatnonzero(self.group == group), (groups == group) & ~is_sd
            c = correlations(self.correlation, self.time[own], first[held], second[held], values[held])
            R[np.ix_(own, own)] = np.outer(sds[self.level[own]], sds[self.level[own]]) * c
        return R

    @cached_property
    def patterns(self) -> list[SubjectPattern]:
        """The subjects, those with the same cells together.

        Raises:
            numpy.linalg.LinAlgError: A subject has two rows in one cell: R is singular.
        """
        order = self.subjects * len(self.group) + self.cells
        sort = np.arange(len(order))
        least = np.diff(order).min(initial=1)
        if least < 0:
            sort = np.argsort(order, kind="stable")
            least = np.diff(order[sort]).min(initial=1)
        if least == 0:
            raise np.linalg.LinAlgError("two rows of a subject in one cell")
        sizes = np.bincount(self.subjects)
        starts = np.cumsum(sizes) - sizes
        which = self._kinds(sort, sizes, starts)
        grouped, ends = np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))
        found = list[SubjectPattern]()
        for mine in np.split(grouped, ends[:-1]):
            rows = sort[starts[mine] + np.arange(int(sizes[mine[0]]))[:, None]]
            found.append(SubjectPattern(self.cells[rows[:, 0]], rows))
        return found

    def _kinds(self, sort: Ints, sizes: Ints, starts: Ints) -> Ints:
        """(S,) a number for each subject, equal for those with the same cells."""
        if len(self.group) <= BITS:  # a set of cells is a number, of which each cell is a bit
            sets = np.bincount(self.subjects, np.ldexp(1.0, self.cells))
            return np.unique(sets, return_inverse=True)[1]
        which, known = np.zeros(len(sizes), np.intp), 0
        for t in np.unique(sizes):
            mine = np.flatnonzero(sizes == t)
            sets = self.cells[sort[starts[mine][:, None] + np.arange(t)]]
            which[mine] = known + np.unique(sets, axis=0, return_inverse=True)[1].ravel()
            known = int(which.max()) + 1
        return which

    def matrix(self, weights: Floats | None) -> sparse.csr_array:
        """R of all rows, (n, n), relative to sigma^2."""
        R = self._spread(lambda pattern: self.R[np.ix_(pattern.cells, pattern.cells)])
        if weights is not None:
            scale = sparse.diags_array(1.0 / np.sqrt(weights))
            R = sparse.csr_array(scale @ R @ scale)
        return R

    def whitener(self) -> sparse.csr_array:
        """B of all rows, (n, n), with B R B' = I: the inverse Cholesky factor of each subject."""
        return self._spread(self.inverse_root)

    def solved(self, values: Floats) -> Floats:
        """R^-1 times (n,) values, by the inverse Cholesky factor of each subject."""
        out = np.empty_like(values)
        for pattern in self.patterns:
            half = self.inverse_root(pattern)
            out[pattern.rows] = half.T @ (half @ values[pattern.rows])
        return out

    @cached_property
    def spread(self) -> float:
        """A bound on the largest eigenvalue of R^-1: the trace of that of each subject."""
        return max(float((self.inverse_root(pattern) ** 2).sum()) for pattern in self.patterns)

    def inverse_root(self, pattern: SubjectPattern) -> Floats:
        """L^-1 of the rows of R that a pattern has, R = L L', (t, t)."""
        L = cholesky(self.R[np.ix_(pattern.cells, pattern.cells)], lower=True)
        return solve_triangular(L, np.eye(len(L)), lower=True)

    def _spread(self, block: Callable[[SubjectPattern], Floats]) -> sparse.csr_array:
        """A matrix of a block for each subject, (n, n)."""
        return block_matrix(((each.rows.T, block(each)) for each in self.patterns), len(self.cells))


def block_matrix(blocks: Iterable[tuple[Ints, Floats]], n: int) -> sparse.csr_array:
    """(n, n) from rows (B, m) and what stands among them, (B, m, m) or the same (m, m) of all."""
    entries, down, across = list[Floats](), list[Ints](), list[Ints]()
    for rows, block in blocks:
        shape = (*rows.shape, rows.shape[1])
        entries.append(np.broadcast_to(block, shape).ravel())
        down.append(np.broadcast_to(rows[:, :, None], shape).ravel())
        across.append(np.broadcast_to(rows[:, None, :], shape).ravel())
    places = np.concatenate(down), np.concatenate(across)
    return sparse.csr_array((np.concatenate(entries), places), shape=(n, n))


def correlations(family: Correlation, time: Ints, first: Ints, second: Ints, rho: Values) -> Values:
    """c of every two of some times, (v, v).

    Args:
        family: Which.
        time: (v,) the times.
        first: (r,) lag (toep) or earlier time (un, ad) of each parameter.
        second: (r,) later time (un, ad) of each parameter.
        rho: (r,) the parameters.
    """
    s, t = np.minimum(time[:, None], time), np.maximum(time[:, None], time)
    if family in ("un", "ad"):
        axis = np.unique([*time, *first, *second])
        c = np.eye(len(axis), dtype=rho.dtype)
        c[np.searchsorted(axis, first), np.searchsorted(axis, second)] = rho
        if family == "ad":
            for i in range(len(axis)):
                c[i, i + 1 :] = np.cumprod(c[range(i, len(axis) - 1), range(i + 1, len(axis))])
        return c[np.searchsorted(axis, s), np.searchsorted(axis, t)]
    by_lag = np.zeros(int((t - s).max(initial=0)) + 1, rho.dtype)
    if family == "cs" and len(rho):
        by_lag[:] = rho[0]
    elif family == "ar1" and len(rho):
        by_lag[1:] = np.cumprod(np.full(len(by_lag) - 1, rho[0]))
    elif family == "toep":
        by_lag[first] = rho
    by_lag[0] = 1.0
    return by_lag[t - s]


def as_printed(residual: Residual, printed: Iterable[tuple[str, float]]) -> CorrelatedResiduals:
    """The residuals of a problem with the parameters of R as they are printed, each with its name.

    Of parameters with one name, as visits 1, 1.1, 1.2 and 2 have two `cor.1.1.2`, the earlier stands first.

    Raises:
        KeyError: A parameter that the structure has is not printed.
    """
    values: dict[str, list[float]] = {}
    for name, value in printed:
        values.setdefault(name, []).append(value)
    structure = residual.structure
    group, time, level = (np.zeros(len(residual.structure.labels), np.intp) for _ in range(3))
    sds = list(structure.ratios)
    parameters = list[PrintedParameter]()
    for number, block in enumerate(structure.blocks):
        cells = list(block.cells)
        group[cells], time[cells], level[cells] = number, block.times, np.array(block.ratios) + 1
        times = sorted(set(block.times))
        named = list(zip(times, block.visits, strict=block.correlation != "ident"))
        for s, visit in named[1:] if block.correlation == "un" else []:
            sds.append(f"{block.prefix}ratio.{visit}")
            level[[cell for cell, at in zip(cells, block.times, strict=True) if at == s]] = len(sds)
        for name, first, second in correlation_names(block.correlation, named):
            value = values[f"{block.prefix}{name}"].pop(0)
            parameters.append(PrintedParameter("rho", number, first, second, value))
    parameters.extend(
        PrintedParameter("sd", 0, i, 0, values[name].pop(0)) for i, name in enumerate(sds, start=1)
    )
    family = cast("Correlation", structure.blocks[0].correlation)
    return CorrelatedResiduals(
        family, residual.subjects, residual.cells, group, time, level, tuple(parameters)
    )


def correlation_names(family: str, visits: Sequence[tuple[int, str]]) -> Iterator[tuple[str, int, int]]:
    """Names of the correlations, each with its lag, or with the two times that it is of.

    >>> list(correlation_names("ad", [(0, "w0"), (2, "w2"), (3, "w3")]))
    [('rho.w0.w2', 0, 2), ('rho.w2.w3', 2, 3)]
    """
    if family in ("cs", "ar1") and len(visits) > 1:
        yield "rho", 0, 0
    elif family == "toep":
        yield from ((f"rho.{lag}", lag, 0) for lag in range(1, visits[-1][0] - visits[0][0] + 1))
    elif family == "ad":
        yield from ((f"rho.{a}.{b}", s, t) for (s, a), (t, b) in pairwise(visits))
    elif family == "un":
        yield from ((f"cor.{a}.{b}", s, t) for (s, a), (t, b) in combinations(visits, 2))


def gls_sums(residuals: CorrelatedResiduals, claim: Claim, H: Floats) -> GlsSums:
    """The sums of a claimed solution, in one pass over the rows.

    Args:
        residuals: The structure with its parameters.
        claim: The fixed effects, sigma and the criterion, with the rows.
        H: (p, p) the basis of unit information.

    Raises:
        numpy.linalg.LinAlgError: R is not positive definite.
    """
    T, r, p = len(residuals.group), len(residuals.parameters), len(claim.beta)
    sums, D = RunningSums(claim, H, r), np.zeros((T, T))
    of, largest = sums.of, sums.largest
    for pattern in residuals.patterns:
        cells, rows = pattern
        t, count = rows.shape
        block, inverse = np.ix_(cells, cells), residuals.inverse_root(pattern)
        square = np.zeros((t, t))
        width = min(count, max(1, CHUNK // (t * (p + 1))))  # subjects whose rows stay near the processor
        room = np.empty((p + 1) * t * width)
        for start in range(0, count, width):
            here = rows[:, start : start + width].ravel()
            raw = room[: (p + 1) * len(here)].reshape(p + 1, len(here))
            for column, own in zip(of.columns, raw, strict=True):
                np.take(column, here, out=own, mode="clip")  # the mode that needs no copy
            if of.roots is not None:
                raw *= of.roots[here]
            np.maximum(largest, np.maximum(raw.max(axis=1), -raw.min(axis=1)), out=largest)
            whitened = inverse @ (of.turn @ raw).reshape(p + 1, t, -1)
            flat = whitened.reshape(p + 1, -1)
            sums.products += flat @ flat.T
            square += whitened[0] @ whitened[0].T / claim.sigma**2
            if claim.reml and p:
                square += np.matmul(whitened[1:], whitened[1:].transpose(0, 2, 1)).sum(axis=0)
        D[block] += inverse.T @ (count * np.eye(t) - square) @ inverse
        sums.log_det -= 2.0 * count * float(np.log(np.diag(inverse)).sum())
        dR = residuals.derivatives[:, cells[:, None], cells]
        own = np.flatnonzero(dR.any(axis=(1, 2)))
        ways = np.concatenate([inverse @ dR[own] @ inverse.T, np.eye(t)[None]]).reshape(len(own) + 1, t * t)
        places = np.append(own, r)
        sums.curvature[np.ix_(places, places)] += count * ways @ ways.T
    sums.gradient = np.einsum("ab,iab->i", D, residuals.derivatives)
    return sums.finished(residuals.spread)
