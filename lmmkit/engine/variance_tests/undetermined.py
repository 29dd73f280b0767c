"""Which variance parameters the data cannot tell apart, asked of the design alone, before any search.

The restricted likelihood sees the rows through M = I - X (X'X)^- X', and V = sum_i s_i V_i through M V_i M.
Where these matrices are linearly dependent, some change of the s_i leaves the likelihood as it is for every
response, and the information matrix tr(P V_i P V_j) is singular everywhere (Searle, Casella & McCulloch 1992,
section 11.2: V linear in its parameters). No M V_i M (n, n) is formed: each is applied to random vectors,
which dependent matrices map to dependent vectors, and independent ones, with probability one, do not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.linalg import qr

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.problem import Problem, Residual, RowResidual, Term

SEED = 20_150_101
WHOLE = 60  # rows up to which every matrix is looked at whole
PROBED = 20_000  # rows x random vectors, about
ROOM = 40  # sums kept for each parameter, of the entries added up with random signs
NONE = 1e-10  # share of a matrix's size that is left of it by M, or of a column by others, that is none
DEPENDENT = 1e-7  # least singular value of the matrices, each of length one, that is zero
INVOLVED = 1e-4  # weight in a dependence below which a parameter has no part in it


def undetermined(problem: Problem) -> list[frozenset[int]]:
    """The dependences among the variance parameters of a design, none where it can tell all of them apart.

    Args:
        problem: The design; its response is not looked at. Parameters of residual structures over visits and
            of variance functions are looked at about a point in no special place, those of processes in
            time or space are left out.

    Returns:
        For each independent dependence the positions in `problem.terms` of the terms that have a part in it;
        `len(problem.terms)` stands for the residuals.
    """
    probes = _Probes(problem)
    owners, made = list[int](), list[Floats]()
    for owner, moved, size in probes.parameters():
        owners.append(owner)
        length = float(np.linalg.norm(moved))
        made.append(moved / length if length > NONE * size else np.zeros_like(moved))
    matrix = _mixed(np.column_stack(made))
    values, rotation = np.linalg.svd(matrix, full_matrices=False)[1:]
    null = rotation[values < DEPENDENT]
    of = np.array(owners)
    return [frozenset(of[weights > INVOLVED].tolist()) for weights in np.abs(null)]


class _Probes:
    """Some vectors, and what the matrices M V_i M make of them."""

    def __init__(self, problem: Problem) -> None:
        self.problem, n = problem, len(problem.response)
        root = np.ones(n) if problem.weights is None else np.sqrt(problem.weights)
        self.root = root / np.sqrt(np.mean(root**2))
        self.basis = _range_of([self.root * problem.columns[i] for i in problem.fixed])
        random = np.random.default_rng(SEED)
        whole = n <= WHOLE
        count = max(PROBED // n, 2)
        self.vectors = self.left(np.eye(n) if whole else random.standard_normal((n, min(count, 16))))

    def left(self, x: Floats) -> Floats:
        """Returns M x."""
        if self.basis is None:
            return x
        return x - self.basis @ (self.basis.T @ x)

    def parameters(self) -> Iterator[tuple[int, Floats, float]]:
        """For each parameter its owner, the vectors that M V_i M makes, and the size of V_i's own."""
        for owner, term in enumerate(self.problem.terms):
            for moved in self._of_term(term):
                yield owner, self.left(moved).ravel(), float(np.linalg.norm(moved))
        for moved in self._of_residuals():
            yield len(self.problem.terms), self.left(moved).ravel(), float(np.linalg.norm(moved))

    def _of_term(self, term: Term) -> Iterator[Floats]:
        """V_i times the vectors, for every direction in which the term's T may go."""
        columns = [self.root * self.problem.columns[i] for i in term.columns]
        if isinstance(term.structure, Unstructured):  # of which any change of columns gives the same model
            columns = _orthogonal(columns)
        Z = _indicators(term)
        moved = list[Floats]()
        for column in columns:
            effects = np.asarray(Z.T @ (column[:, None] * self.vectors))
            moved.append(Z @ (effects if term.relation is None else term.relation.times(effects)))
        for way in term.structure.generic:
            total = np.zeros_like(self.vectors)
            for a, b in np.argwhere(way).tolist():
                total += way[a, b] * columns[a][:, None] * moved[b]
            yield total

    def _of_residuals(self) -> Iterator[Floats]:
        residual = self.problem.residual
        if isinstance(residual, Residual):
            rho = _somewhere(residual.structure.count)
            shape = (int(residual.subjects.max()) + 1, residual.structure.size, self.vectors.shape[1])
            placed = np.zeros(shape)
            placed[residual.subjects, residual.cells] = self.vectors
            for R in [residual.structure.matrix(rho), *residual.structure.jacobian(rho)]:
                yield np.einsum("st...,tu->su...", placed, R)[residual.subjects, residual.cells]
            return
        yield self.vectors
        if isinstance(residual, RowResidual) and residual.covariate is not None:
            for slopes in residual.log_sd_slopes():
                yield slopes[:, None] * self.vectors


def _somewhere(count: int) -> Floats:
    """Coordinates where no slope happens to be zero."""
    return 0.3 + 0.1 * np.sin(np.arange(count) + 1.0)


def _indicators(term: Term) -> sparse.csr_array:
    """(n, J) weight of each level in each row."""
    n = len(term.codes)
    held = term.members or ((term.codes, np.ones(n)),)
    rows: Ints = np.tile(np.arange(n), len(held))
    codes = np.concatenate([part for part, _ in held])
    weights = np.concatenate([part for _, part in held])
    return sparse.csr_array((weights, (rows, codes)), shape=(n, term.levels))


def _range_of(columns: list[Floats]) -> Floats | None:
    """(n, r) orthonormal basis of some columns."""
    if not columns:
        return None
    X = np.column_stack(columns)
    X /= np.maximum(np.abs(X).max(axis=0), np.finfo(float).tiny)
    Q, R, _ = qr(X, mode="economic", pivoting=True)
    sizes = np.abs(np.diag(R))
    return np.asarray(Q[:, sizes > NONE * sizes[0]], np.float64)


def _orthogonal(columns: list[Floats]) -> list[Floats]:
    """Columns of the same span, each of unit mean square; zero where it follows from those before it."""
    first, *others = columns
    square = float(first @ first) or 1.0
    matrix = np.column_stack([first, *(x - (x @ first / square) * first for x in others)])
    Q, R = np.linalg.qr(matrix)
    there = np.abs(np.diag(R)) > NONE * np.linalg.norm(np.column_stack(columns), axis=0)
    return list((Q * there * np.sqrt(len(Q))).T)


def _mixed(matrix: Floats) -> Floats:
    """Fewer rows of the same dependences: entries added up with random signs."""
    room = ROOM * matrix.shape[1] + 1_000
    if len(matrix) <= room:
        return matrix
    random = np.random.default_rng(SEED)
    place, sign = random.integers(room, size=len(matrix)), random.choice([-1.0, 1.0], size=len(matrix))
    sums: list[Floats] = [np.bincount(place, sign * column, room).astype(float) for column in matrix.T]
    return np.column_stack(sums)
