"""An estimation problem written out as y = X β + Z u + e, with G and R: what a referee reads.

Z has the columns of term after term, in each term level after level, in each level column after column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.referee import kinship
from lmmkit.engine.referee.henderson import Effects, MixedModel, PredictionErrors
from lmmkit.engine.referee.row_covariance import residuals_as_printed


@dataclass(frozen=True, eq=False)
class SparseModel:
    """A mixed model whose Z, G and R are sparse.

    Attributes:
        y: (n,) response, the offset taken off.
        X: (n, p) of full column rank.
        Z: (n, q).
        S: (q, m) with G = S S', m = q but for K of lower rank; columns of zeros where T is singular.
        covariance: Makes R.
        B: (n, n) with B R B' = I; its determinant is that of its diagonal.
    """

    y: Floats
    X: Floats
    Z: sparse.csr_array
    S: sparse.csr_array
    covariance: Callable[[], sparse.csr_array]
    B: sparse.csr_array

    @cached_property
    def R(self) -> sparse.csr_array:
        """(n, n) covariance matrix of the residuals, which B stands for where it would have no room."""
        return self.covariance()


def write_out(
    problem: Problem,
    kept: tuple[int, ...],
    factors: tuple[Floats, ...],
    sigma: float,
    residual_params: Iterable[tuple[str, float]] = (),
) -> SparseModel:
    """The model at given covariance parameters.

    Args:
        problem: The arrays.
        kept: Positions in `problem.fixed` of the columns of X that are not aliased.
        factors: (k, k) Λ of each term: G = σ² Λ Λ'.
        sigma: σ; e has variance σ² / weight.
        residual_params: Parameters of the residual structure, as they are printed, where there is one.
    """
    n = len(problem.response)
    covariance, B = covariance_of_residuals(problem, sigma, residual_params)
    columns = [problem.columns[problem.fixed[i]] for i in kept]
    return SparseModel(
        y=problem.response if problem.offset is None else problem.response - problem.offset,
        X=np.column_stack(columns) if columns else np.empty((n, 0)),
        Z=design_of_effects(problem),
        S=root_of_covariance(problem.terms, factors, sigma),
        covariance=covariance,
        B=B,
    )


def covariance_of_residuals(
    problem: Problem, sigma: float, residual_params: Iterable[tuple[str, float]]
) -> tuple[Callable[[], sparse.csr_array], sparse.csr_array]:
    """What makes R, (n, n), and B with B R B' = I."""
    n = len(problem.response)
    weights = np.ones(n) if problem.weights is None else problem.weights
    if problem.residual is None:
        variances = sigma**2 / weights
        B = sparse.csr_array(sparse.diags_array(1.0 / np.sqrt(variances)))
        return lambda: sparse.csr_array(sparse.diags_array(variances)), B
    written = residuals_as_printed(problem.residual, residual_params)
    scale = sparse.diags_array(np.sqrt(weights) / sigma)
    return lambda: sigma**2 * written.matrix(weights), sparse.csr_array(written.whitener() @ scale)


def design_of_effects(problem: Problem) -> sparse.csr_array:
    """Z, (n, q): each row has a term's columns in the places of its level."""
    n, starts = len(problem.response), np.cumsum([0, *map(size, problem.terms)])
    if not problem.terms:
        return sparse.csr_array((n, 0))
    places, values = list[Ints](), list[Floats]()
    for start, term in zip(starts, problem.terms, strict=False):
        for codes, weights in term.members or ((term.codes, np.ones(n)),):
            places.append(start + codes[:, None] * len(term.columns) + np.arange(len(term.columns)))
            values.append(weights[:, None] * np.column_stack([problem.columns[c] for c in term.columns]))
    columns = np.concatenate(places, axis=1)
    pointer: Ints = np.arange(0, columns.size + 1, columns.shape[1], dtype=np.intp)
    entries = (np.concatenate(values, axis=1).ravel(), columns.ravel(), pointer)
    made = sparse.csr_array(entries, shape=(n, int(starts[-1])))
    made.sum_duplicates()
    return made


def size(term: Term) -> int:
    """Random effects of one term."""
    return term.levels * len(term.columns)


def root_of_covariance(
    terms: tuple[Term, ...], factors: tuple[Floats, ...], sigma: float
) -> sparse.csr_array:
    """S = σ Λ for every level of every term, block diagonal; of related levels the root of K times it."""
    blocks = [
        sparse.kron(
            sparse.eye_array(term.levels) if term.relation is None else kinship.root(term.relation),
            sigma * factor,
        )
        for term, factor in zip(terms, factors, strict=True)
    ]
    return sparse.csr_array(sparse.block_diag(blocks)) if blocks else sparse.csr_array((0, 0))


@dataclass(frozen=True, eq=False)
class Standard:
    """A model in a basis where no digit is lost to the units of its columns.

    Attributes:
        model: y = Q γ + (Z S) v + e in full, Q orthonormal in units of the residuals' SDs, and var v = I.
        T: (p, p) with X = Q T.
        S: (q, q) with G = S S'.
    """

    model: MixedModel
    T: Floats
    S: Floats

    @property
    def log_volume(self) -> float:
        """log|det T|: the restricted likelihood of the data's X is that of Q less this."""
        return float(np.log(np.abs(np.diag(self.T))).sum())

    def effects(self, found: Effects) -> Effects:
        """BLUE and BLUP in the units of the data."""
        return Effects(solve_triangular(self.T, found.beta), self.S @ found.u)

    def covariance_of_beta(self, errors: PredictionErrors) -> Floats:
        """var(β̂) in the units of the data, (p, p)."""
        half = solve_triangular(self.T, errors.beta)
        return solve_triangular(self.T, half.T)


def standardise(model: SparseModel) -> Standard:
    """The same model in its standard basis, every matrix in full."""
    root = np.sqrt(model.R.diagonal())[:, None]
    Q, T = np.linalg.qr(model.X / root)
    S = model.S.toarray()
    dense = MixedModel(model.y, root * Q, model.Z @ S, np.eye(S.shape[1]), model.R.toarray())
    return Standard(dense, T, S)


def to_dense(model: SparseModel) -> MixedModel:
    """The same model with every matrix in full."""
    Z, S = model.Z.toarray(), model.S.toarray()
    return MixedModel(model.y, model.X, Z, S @ S.T, model.R.toarray())
