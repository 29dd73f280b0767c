"""S = Z'V^-1Z and U = Z'V^-1X at one theta, and the sums over their blocks that information is made of.

With V = I + Z T Z', a derivative of V is Z (I (x) D) Z' for some symmetric D of one factor, so that

    tr(V^-1 V_i V^-1 V_j)       = sum tr(S_lm D_j S_ml D_i)          over the levels l, m of two factors
    X'V^-1 V_i V^-1 X           = sum U_l' D_i U_l
    X'V^-1 V_i V^-1 V_j V^-1 X  = sum U_l' D_i S_lm D_j U_m

No matrix with n rows and n columns is met. Levels that no row connects have no block in common: with one
factor every level stands alone, with several each connected component does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lmmkit.engine.criterion.criterion import Evaluation
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.crossproducts.scaling import Prepared
from lmmkit.engine.inference.components import Component, components
from lmmkit.engine.linalg import level_matrices as kernels
from lmmkit.engine.problem import Floats


class Traces(Protocol):
    """Sums over the blocks of S and U; f and g number the factors in order of elimination."""

    def trace(self, f: int) -> Floats:
        """(k, k) sum of the diagonal blocks of S."""
        ...

    def gram(self, f: int) -> Floats:
        """(k, p, k, p) sum over levels of vec(U) vec(U)'."""
        ...

    def squares(self, f: int, g: int) -> Floats:
        """(k_f, k_g, k_f, k_g) sum over pairs of levels of vec(S) vec(S)'."""
        ...

    def mixed(self, f: int, g: int, root: Floats) -> Floats:
        """The same of vec(Y) vec(S)', Y = U root root' U'."""
        ...

    def sandwich(self, f: int, g: int, weights: Floats) -> Floats:
        """(p, p) sum over pairs of levels of U_a' S_bc U_d times weights[a, b, c, d]."""
        ...


@dataclass(frozen=True, eq=False)
class LevelTraces:
    """One factor: S is (k, k, J), U is (k, p, J)."""

    S: Floats
    U: Floats

    def trace(self, f: int) -> Floats:
        """(k, k) sum of the diagonal blocks of S."""
        return self.S.sum(axis=2)

    def gram(self, f: int) -> Floats:
        """(k, p, k, p) sum over levels of vec(U) vec(U)'."""
        return _gram(self.U, self.U)

    def squares(self, f: int, g: int) -> Floats:
        """(k, k, k, k) sum over levels of vec(S) vec(S)'."""
        return _gram(self.S, self.S)

    def mixed(self, f: int, g: int, root: Floats) -> Floats:
        """The same of vec(Y) vec(S)', Y = U root root' U'."""
        half = np.einsum("apj,pq->aqj", self.U, root)
        return _gram(kernels.times_transposed(half, half), self.S)

    def sandwich(self, f: int, g: int, weights: Floats) -> Floats:
        """(p, p) sum over levels of U_a' S_bc U_d times weights[a, b, c, d]."""
        p = self.U.shape[1]
        total = np.zeros((p, p))
        for b, row in enumerate(self.S):
            for c, s in enumerate(row):
                total += np.einsum("ad,apdq->pq", weights[:, b, c], _gram(self.U * s, self.U))
        return total


def _gram(A: Floats, B: Floats) -> Floats:
    """Sum over the last axis of the outer products of two arrays of matrices."""
    return (A.reshape(-1, A.shape[-1]) @ B.reshape(-1, B.shape[-1]).T).reshape(A.shape[:-1] + B.shape[:-1])


@dataclass(frozen=True, eq=False)
class ComponentTraces:
    """Any factors: the sums run over the connected components."""

    components: tuple[Component, ...]

    def trace(self, f: int) -> Floats:
        """(k, k) sum of the diagonal blocks of S."""
        return sum((_diagonal(c, f) for c in self.components), np.zeros(()))

    def gram(self, f: int) -> Floats:
        """(k, p, k, p) sum over levels of vec(U) vec(U)'."""
        return sum((_gram(c.scores(f), c.scores(f)) for c in self.components), np.zeros(()))

    def squares(self, f: int, g: int) -> Floats:
        """(k_f, k_g, k_f, k_g) sum over pairs of levels of vec(S) vec(S)'."""
        blocks = (c.block(c.S, f, g) for c in self.components)
        return sum((_gram(block, block) for block in blocks), np.zeros(()))

    def mixed(self, f: int, g: int, root: Floats) -> Floats:
        """The same of vec(Y) vec(S)', Y = U root root' U'."""
        return sum((_mixed(c, f, g, root) for c in self.components), np.zeros(()))

    def sandwich(self, f: int, g: int, weights: Floats) -> Floats:
        """(p, p) sum over pairs of levels of U_a' S_bc U_d times weights[a, b, c, d]."""
        return sum((_sandwich(c, f, g, weights) for c in self.components), np.zeros(()))


def _diagonal(component: Component, f: int) -> Floats:
    """(k, k) sum of the diagonal blocks of S."""
    J = component.levels[f]
    return component.block(component.S, f, f)[:, :, :: J + 1].sum(axis=2)


def _mixed(component: Component, f: int, g: int, root: Floats) -> Floats:
    """Sum over pairs of levels of vec(Y) vec(S)'."""
    half = component.U @ root
    return _gram(component.block(half @ half.T, f, g), component.block(component.S, f, g))


def _sandwich(component: Component, f: int, g: int, weights: Floats) -> Floats:
    """Sum over pairs of levels of U_a' S_bc U_d times weights[a, b, c, d]."""
    left, right = component.scores(f), component.scores(g)
    S = component.block(component.S, f, g)
    shape = component.levels[f], component.levels[g]
    total = np.zeros((component.U.shape[1],) * 2)
    for b in range(S.shape[0]):
        for c in range(S.shape[1]):
            inner = np.einsum("lm,dqm->dql", S[b, c].reshape(shape), right, optimize=True)
            total += np.einsum("ad,apdq->pq", weights[:, b, c], _gram(left, inner))
    return total


def traces(prepared: Prepared, layout: Layout, state: Evaluation) -> Traces:
    """S and U at a state, in prepared units."""
    if len(layout.factors) == 1:
        W = state.forward.links[0].W
        return LevelTraces(kernels.transposed_times(W, W), state.reverse.U[0][:, :-1])
    return ComponentTraces(tuple(components(prepared, layout.factors, state.L)))
