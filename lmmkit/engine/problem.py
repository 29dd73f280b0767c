"""What the engine is handed, the arrays of a problem; its rows made ready; the numbers that it hands back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.covariance.row_structure import Decaying, RowStructure
from lmmkit.engine.covariance.structures import Structure
from lmmkit.engine.relations.relationship import Relationship
from lmmkit.errors import FitError


@dataclass(frozen=True, eq=False)
class Term:
    """One random-effects term: the rows' levels, its columns of Z, its covariance structure.

    Attributes:
        factor: Identity of the grouping factor; terms with one identity share codes, members and relation.
        codes: (n,) level of each row, 0 to levels - 1; every level occurs, but for members and relations.
        levels: Number of levels J.
        columns: Positions in `Problem.columns` of the k raw columns of Z.
        structure: What the covariance matrix of a level's k effects may be.
        members: Where a row belongs to several levels, each membership: (n,) levels and (n,) weights, 0 where
            the row has no such member; `codes` are then those of the first. Empty: one level a row, weight 1.
        relation: How the effects of different levels are correlated; None: they are independent.
    """

    factor: int
    codes: Ints
    levels: int
    columns: tuple[int, ...]
    structure: Structure
    members: tuple[tuple[Ints, Floats], ...] = ()
    relation: Relationship | None = None

    @property
    def plain(self) -> bool:
        """Whether each row has one level, and levels are independent."""
        return not self.members and self.relation is None

    def on_rows(self, effects: Floats) -> Floats:
        """Returns (n, ...) the effects (J, ...) of each row's level, or the weighted sum over its members."""
        if not self.members:
            return effects[self.codes]
        weighted = (w.reshape(-1, *[1] * (effects.ndim - 1)) * effects[codes] for codes, w in self.members)
        return sum(weighted, np.zeros((len(self.codes), *effects.shape[1:])))

    @property
    def rank(self) -> int:
        """How many independent numbers the J effects of a column are made of."""
        return self.levels if self.relation is None else self.relation.rank

    def effects(self, root: Floats, u: Floats) -> Floats:
        """Returns (J, k, r) effects A u L', with K = A A', made of (rank k, r) standard normal numbers.

        Args:
            root: (k, k) L of a level's covariance matrix L L'.
            u: The columns of a level together.
        """
        b = np.einsum("ab,jbr->ajr", root, u.reshape(self.rank, len(root), -1))
        if self.relation is not None:
            b = np.array([self.relation.coloured(own) for own in b])
        return b.swapaxes(0, 1)


@dataclass(frozen=True, eq=False)
class Residual:
    """How the rows' residuals are correlated: Var(e) = sigma^2 R[cells, cells] within a subject, else zero.

    With prior weights w it is W^-1/2 R W^-1/2, as in mmrm. No subject has two rows in one cell, nor cells of
    two blocks of the structure: both are refused.

    Attributes:
        structure: What R (T, T) may be.
        cells: (n,) cell of each row, 0 to T - 1; every cell occurs.
        subjects: (n,) subject of each row, 0 to S - 1; every subject occurs.
        names: (S,) what the subjects are called, for what is said of one; by default their numbers from 1.
    """

    structure: ResidualStructure
    cells: Ints
    subjects: Ints
    names: Sequence[object] = ()

    def named(self, subject: int) -> str:
        """What a subject is called."""
        return str(self.names[subject]) if len(self.names) else str(subject + 1)

    @property
    def independent(self) -> bool:
        """Whether rows are independent, and differ in their variances alone."""
        return all(block.correlation == "ident" for block in self.structure.blocks)

    def sds(self, rho: Floats) -> Floats:
        """(n,) SD of each row over sigma, weights left out."""
        return np.sqrt(self.structure.matrix(rho).diagonal())[self.cells]

    def block(self, rho: Floats, rows: Ints) -> Floats:
        """(t, t) R among some rows of one subject, weights left out."""
        here = self.cells[rows]
        return self.structure.matrix(rho)[np.ix_(here, here)]

    def block_slopes(self, rho: Floats, rows: Ints) -> Floats:
        """(r, t, t) its derivatives."""
        here = self.cells[rows]
        return self.structure.jacobian(rho)[:, here][:, :, here]


@dataclass(frozen=True, eq=False)
class RowResidual:
    """Residuals whose covariance is made of numbers of their rows: Var(e) = sigma^2 R, zero between subjects.

    Within a subject R = S C S, see `RowStructure`; with prior weights w it is W^-1/2 R W^-1/2. Rows may be in
    any order. Which of the arrays are there is a matter of the structure; the others are None.

    Attributes:
        structure: What R may be: a variance function, a correlation, or their product.
        subjects: (n,) subject of each row, 0 to S - 1, every one of which occurs; without a correlation every
            row may be one of its own (`np.arange(n)`).
        covariate: (n,) of a variance function: positions of levels (`ident`), or values (`power`, none of
            which is 0, and `exp`). Of the power of the fitted values it is None in a problem as given, and
            their absolute values in the problem of a fit.
        times: (n,) of a serial process, finite, no two of one subject alike.
        positions: (n, d) of a spatial process, finite, no two of one subject alike.
        cells: (n,) of a correlation over visits, see `Residual`.
        names: (S,) what the subjects are called, for what is said of one; by default their numbers from 1.
    """

    structure: RowStructure
    subjects: Ints
    covariate: Floats | None = None
    times: Floats | None = None
    positions: Floats | None = None
    cells: Ints | None = None
    names: Sequence[object] = ()

    def named(self, subject: int) -> str:
        """What a subject is called."""
        return str(self.names[subject]) if len(self.names) else str(subject + 1)

    @property
    def independent(self) -> bool:
        """Whether rows are independent, and differ in their variances alone."""
        return self.structure.correlation is None

    def log_sd_slopes(self) -> Floats:
        """(m, n) d log g / d rho of the variance function, no rows where there is none."""
        variance, n = self.structure.variance, len(self.subjects)
        if variance is None:
            return np.empty((0, n))
        if self.covariate is None:
            raise ValueError("the covariate of the variance function is not known yet")
        return variance.slopes(self.covariate)

    @property
    def over_visits(self) -> Residual | None:
        """The correlation over visits alone, where it is one."""
        process = self.structure.correlation
        if not isinstance(process, ResidualStructure):
            return None
        assert self.cells is not None
        return Residual(process, self.cells, self.subjects, self.names)

    def sds(self, rho: Floats) -> Floats:
        """(n,) SD of each row over sigma, weights left out."""
        own, other = self.structure.cuts
        g, visits = np.exp(rho[own] @ self.log_sd_slopes()), self.over_visits
        return g if visits is None else g * visits.sds(rho[other])

    def block(self, rho: Floats, rows: Ints) -> Floats:
        """(t, t) R among some rows of one subject, weights left out."""
        own, other = self.structure.cuts
        g = np.exp(rho[own] @ self.log_sd_slopes()[:, rows])
        return self._correlation(rho[other], rows) * np.outer(g, g)

    def block_slopes(self, rho: Floats, rows: Ints) -> Floats:
        """(r, t, t) its derivatives."""
        own, other = self.structure.cuts
        logs = self.log_sd_slopes()[:, rows]
        g = np.exp(rho[own] @ logs)
        of_g = (logs[:, :, None] + logs[:, None, :]) * self._correlation(rho[other], rows)
        return np.concatenate([of_g, self._correlation_slopes(rho[other], rows)]) * np.outer(g, g)

    def distances(self, rows: Ints) -> Floats:
        """(t, t) distances between some rows in time, or in space."""
        places = self.times[:, None] if self.times is not None else self.positions
        assert places is not None
        here = places[rows]
        return np.sqrt(((here[:, None] - here[None]) ** 2).sum(axis=2))

    def _correlation(self, rho: Floats, rows: Ints) -> Floats:
        process, visits = self.structure.correlation, self.over_visits
        if visits is not None:
            return visits.block(rho, rows)
        if isinstance(process, Decaying):
            return process.correlation(rho, self.distances(rows))
        return np.eye(len(rows))

    def _correlation_slopes(self, rho: Floats, rows: Ints) -> Floats:
        process, visits = self.structure.correlation, self.over_visits
        if visits is not None:
            return visits.block_slopes(rho, rows)
        if isinstance(process, Decaying):
            return process.correlation_slopes(rho, self.distances(rows))
        return np.empty((0, len(rows), len(rows)))


@dataclass(frozen=True, eq=False)
class Problem:
    """y = X beta + Z b + e with its columns stored once, whichever of X and Z uses them.

    Attributes:
        columns: The distinct columns of X and Z, each (n,). A constant column may be
            `np.broadcast_to(1.0, n)`, which takes no memory.
        fixed: Positions in `columns` of the p columns of X, in order.
        response: (n,) y.
        terms: The random-effects terms, in any order.
        weights: (n,) positive prior weights, or None.
        offset: (n,) known part of the mean, or None.
        residual: How the residuals vary and are correlated; None: they are independent, of one variance.
    """

    columns: tuple[Floats, ...]
    fixed: tuple[int, ...]
    response: Floats
    terms: tuple[Term, ...]
    weights: Floats | None = None
    offset: Floats | None = None
    residual: Residual | RowResidual | None = None

    @property
    def effects(self) -> int:
        """Number of random effects."""
        return sum(term.levels * len(term.columns) for term in self.terms)

    def X(self, kept: Sequence[int]) -> Floats:
        """Returns (n, p) the columns of X that are kept."""
        columns = [self.columns[self.fixed[i]] for i in kept]
        return np.stack(columns, axis=1) if columns else np.empty((len(self.response), 0))

    def term_columns(self, term: Term) -> Floats:
        """Returns (n, k) the columns of Z of a term, before they are divided among its levels."""
        return np.stack([self.columns[c] for c in term.columns], axis=1)

    def fixed_part(self, kept: Sequence[int], beta: Floats) -> Floats:
        """Returns (n,) X beta and the offset, for the coefficients of the columns of X that are kept."""
        out = np.zeros(len(self.response)) if self.offset is None else self.offset.copy()
        for i, coefficient in zip(kept, beta, strict=True):
            out += coefficient * self.columns[self.fixed[i]]
        return out

    def plus_random(self, mean: Floats, b: Sequence[Floats]) -> Floats:
        """Returns (n, ...) mean + Z b, for (J, k, ...) b of each term."""
        out = mean.copy()
        for term, effects in zip(self.terms, b, strict=True):
            for c, position in enumerate(term.columns):
                own = term.on_rows(effects[:, c])
                out += own * self.columns[position].reshape(-1, *[1] * (own.ndim - 1))
        return out

    @property
    def visits(self) -> Residual | None:
        """The structure over visits, None where the residuals are independent, of one variance.

        Raises:
            FitError: The structure is over times, places, or a covariate, and this is for visits alone.
        """
        if isinstance(self.residual, RowResidual):
            raise FitError(
                "This is made for residual structures over visits (un, cs, ar1, toep, ad, and those with a "
                f"variance for each visit), and the model has {', '.join(self.residual.structure.names)}."
            )
        return self.residual


@dataclass(frozen=True, eq=False)
class Prepared:
    """The rows of a problem ready for cross-products, and the way back to the units of the data.

    Attributes:
        rows: (c, n) distinct prepared columns of X and Z, the response last; sqrt(weight) multiplied in.
        unit: Position of a row of ones in `rows`, or None.
        fixed: Positions in `rows` of the p kept columns of X.
        kept: Positions in `Problem.fixed` of those columns.
        terms: Positions in `rows` of each term's k columns.
        basis: (p, p) S of X_prepared = X S.
        term_bases: S of each term, (k, k).
        beta: (p,) ordinary least squares estimate in the units of the data.
        scale: Units of the response per prepared unit.
        log_weights: Sum of log prior weights.
    """

    rows: Floats
    unit: int | None
    fixed: tuple[int, ...]
    kept: tuple[int, ...]
    terms: tuple[tuple[int, ...], ...]
    basis: Floats
    term_bases: tuple[Floats, ...]
    beta: Floats
    scale: float
    log_weights: float

    @cached_property
    def views(self) -> list[Floats]:
        """Each row as one object, so that products of the same two rows are taken once."""
        return list(self.rows)

    @property
    def response(self) -> int:
        """Position of the response in `rows`."""
        return len(self.rows) - 1


@dataclass(frozen=True, eq=False)
class FitNumbers:
    """The numbers of a fit, in the units of the data: what is searched for, stored, certified and audited.

    Attributes:
        reml: Restricted maximum likelihood, or maximum likelihood.
        kept: Positions in `Problem.fixed` of the p columns that are not aliased.
        beta: (p,) fixed effects (BLUE).
        unscaled_vcov: (p, p) (X'V^-1X)^-1; times sigma^2 it is their covariance matrix.
        factors: Lambda of each of `Problem.terms`, (k, k), lower triangular, diagonal >= 0, with
            G = sigma^2 Lambda Lambda'.
        rho: (r,) coordinates of the residual structure's R; empty where the residuals are independent.
        sigma: Residual standard deviation.
        deviance: -2 log likelihood, or the REML criterion, with lme4's constants.
        null_directions: Null directions of each term's covariance matrix.
        converged: Whether the search met its stop rule.
        evaluations: Calls of the criterion with gradient during the search.
    """

    reml: bool
    kept: tuple[int, ...]
    beta: Floats
    unscaled_vcov: Floats
    factors: tuple[Floats, ...]
    rho: Floats
    sigma: float
    deviance: float
    null_directions: tuple[int, ...]
    converged: bool
    evaluations: int

    def numbers(self) -> dict[str, Any]:
        """These fields alone, by name."""
        return {each.name: getattr(self, each.name) for each in fields(FitNumbers)}

    @staticmethod
    def from_dict(given: Mapping[str, Any]) -> FitNumbers:
        """The record from its fields as JSON holds them.

        Raises:
            KeyError, TypeError, ValueError: A field is absent, or its numbers do not fit together.
        """
        p = len(given["kept"])
        return FitNumbers(
            reml=bool(given["reml"]),
            kept=tuple(given["kept"]),
            beta=np.array(given["beta"], np.float64).reshape(p),
            unscaled_vcov=np.array(given["unscaled_vcov"], np.float64).reshape(p, p),
            factors=tuple(
                np.array(factor, np.float64).reshape(len(factor), -1) for factor in given["factors"]
            ),
            rho=np.array(given.get("rho", ()), np.float64),
            sigma=float(given["sigma"]),
            deviance=float(given["deviance"]),
            null_directions=tuple(given["null_directions"]),
            converged=bool(given["converged"]),
            evaluations=int(given["evaluations"]),
        )
