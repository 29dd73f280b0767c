"""The variances without some rows, by one Newton step from those of all rows.

V is linear in the entries t of every T: V_a = Z (I (x) S_a) Z'. With P_(A) = P - P E P_AA^-1 E'P, and the
same of V^-1 in place of P where a trace is one of ML, all that the deviance without the rows A has in first
and second derivatives are matrices of m rows, those among A of

    (1)  P,   P V_a P,   P V_a P V_b P

    (2)  tr(P_(A) V_a)              = tr(P V_a) - tr(P_AA^-1 (P V_a P)_AA)
    (3)  tr(P_(A) V_a P_(A) V_b)    = tr(P V_a P V_b) - 2 tr(P_AA^-1 (P V_a P V_b P)_AA)
                                      + tr(P_AA^-1 (P V_a P)_AA P_AA^-1 (P V_b P)_AA)
    (4)  q_a = y'P_(A) V_a P_(A) y  = e'V_a e - 2 g'e_a + g'(P V_a P)_AA g,      e_a = (P V_a P y)_A
    (5)  gradient  tr(P_(A) V_a) - (nu / r2) q_a
    (6)  Hessian  -tr(P_(A) V_a P_(A) V_b) + 2 (nu / r2) y'P_(A) V_a P_(A) V_b P_(A) y - (nu / r2^2) q_a q_b

With Y_a = V_a P E, those of a factor whose effects are columns of `geometry` come from F = Z'PE and Z'PZ,
those of a factor within the blocks from block diagonal matrices and N. The step is taken in coordinates
of T, whose curvature is added to (6): exact gradient and Hessian of the rows left, at the variances
of all. beta and Phi follow along their exact derivatives, r2 along its first two.

Where T is regular, any matrix of its pattern of zeros, and well told by the data, the coordinates are M of
T = L exp(M) L' at M = 0, in which the deviance is more nearly a parabola than in L, and which do not depend
on the units of Z; else they are those of the search.

It is for independent residuals: parameters of R would not move.

References: Johnson & Thompson (1995), Restricted maximum likelihood estimation of variance components for
univariate animal models using sparse matrix techniques and average information, Journal of Dairy Science 78,
449-456, for the first derivatives; Pregibon (1981), Logistic regression diagnostics, Annals of Statistics 9,
705-724, for deletion by one step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.block_diagonal import FactorStructure
from lmmkit.engine.influence.deletion import RowSets, columns, parts
from lmmkit.engine.influence.geometry import Geometry, level_columns
from lmmkit.errors import FitError

MOST_WORK = 1e11  # products of two numbers for all units together: some ten seconds
FARTHEST = 50.0  # Newton decrement, in units of the deviance, of a step that is not to be trusted
TOLD = 2.0  # least information on M, of the deviance: a standard error of a log variance of 1
DEFINITE = 1e-10  # share of the largest scaled curvature that the least has at least


@dataclass(frozen=True, eq=False)
class Stepped:
    """The fit without each of u units after the step, in prepared units; NaN where there was none to take.

    Attributes:
        roots: (u, k, k) L of every factor.
        beta: (u, p) fixed effects.
        Phi: (u, p, p) their covariance over sigma^2.
        variance: (u,) sigma^2.
        phi_before, variance_before: The last two before the step.
        spread: (u, m + 1, m + 1) asymptotic covariance of (coordinates, sigma) before it, from the expected
            information of the rows left; zero for a coordinate that is held.
        Phi_slopes: (u, m, p, p) derivatives of Phi in the coordinates there.
    """

    roots: tuple[Floats, ...]
    beta: Floats
    Phi: Floats
    variance: Floats
    phi_before: Floats
    variance_before: Floats
    spread: Floats
    Phi_slopes: Floats

    def degrees_of_freedom(self, row: Floats) -> Floats:
        """(u,) Satterthwaite's of c'beta at the variances of all rows: 2 v^2 / (g'A g), v = Var(c'beta)."""
        sigma2 = self.variance_before
        of = np.einsum("p,upq,q->u", row, self.phi_before, row)
        slopes = sigma2[:, None] * np.einsum("p,umpq,q->um", row, self.Phi_slopes, row)
        g = np.concatenate([slopes, (2.0 * np.sqrt(sigma2) * of)[:, None]], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return 2.0 * (sigma2 * of) ** 2 / np.einsum("um,umn,un->u", g, self.spread, g)


@dataclass(frozen=True, eq=False)
class _Chart:
    """Coordinates of a factor's T about where it is.

    Attributes:
        structure: What T may be.
        L: Its root.
        x: The coordinates of the search.
        basis: (c, k, k) of M; None where the coordinates are those of the search.
    """

    structure: FactorStructure
    L: Floats
    x: Floats
    basis: Floats | None

    @property
    def slopes(self) -> Floats:
        """(c, k, k) dT."""
        if self.basis is None:
            return self.structure.jacobian(self.x)
        return np.asarray(self.L @ self.basis @ self.L.T)

    @property
    def free(self) -> NDArray[np.bool_]:
        """(c,) which coordinates vary on the face of T."""
        return ~self.structure.null(self.x) if self.basis is None else np.ones(len(self.basis), bool)

    def curvature(self, D: Floats) -> Floats:
        """(c, c) <D, d2T>: with T = L (I + M + M^2 / 2 + ...) L' tr(L'D L B_i B_j), symmetrised."""
        if self.basis is None:
            return self.structure.curvature(self.x, D)
        out = np.einsum("ab,ibc,jca->ij", self.L.T @ D @ self.L, self.basis, self.basis, optimize=True)
        return (out + out.T) / 2.0

    def moved(self, step: Floats) -> Floats:
        """(k, k) the root of T after a step (c,)."""
        if self.basis is None:
            return self.structure.root(self.x + step)
        values, vectors = np.linalg.eigh(np.einsum("i,iab->ab", step, self.basis))
        return self.structure.root_of(self.L @ vectors * np.exp(np.clip(values, -50.0, 50.0) / 2.0))


def _chart(structure: FactorStructure, x: Floats) -> _Chart:
    """Coordinates at the place x of the search."""
    L = structure.root(x)
    try:
        regular = bool((L.diagonal() > 0.0).all()) and len(structure.cones) > 0
    except FitError:
        regular = False
    return _Chart(structure, L, x, structure.span if regular else None)


@dataclass(frozen=True, eq=False)
class _Local:
    """A direction of a factor within the blocks: V_a, and what is made of it, flat over the blocks."""

    V: csr_array
    VN: csr_array  # V~^-1 V_a N
    inner: Floats  # V~^-1 V_a V~^-1
    J: Floats  # N'V_a N
    trace: float  # tr(V~^-1 V_a)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two of them: V~^-1 V_a V~^-1 V_b and the same with the two exchanged."""

    one: csr_array  # V~^-1 V_a V~^-1 V_b N
    two: csr_array
    inner: Floats  # symmetric part of V~^-1 V_a V~^-1 V_b V~^-1
    J: Floats  # N'V_a V~^-1 V_b N
    trace: float


class NewtonSteps:
    """Newton steps of many units from one fit."""

    def __init__(self, shape: Geometry) -> None:
        self.shape, self.layout, self.state = shape, shape.optimum.layout, shape.optimum.state
        own = [factor.structure.span for factor in self.layout.factors]
        ends = list(accumulate((len(each) for each in own), initial=0))
        self.cuts = [slice(a, b) for a, b in pairwise(ends)]
        self.directions = [(f, S) for f, each in enumerate(own) for S in each]
        self.count = len(self.directions)
        self.span = dict(zip(shape.spread, shape.spans, strict=True))

    @cached_property
    def charts(self) -> list[_Chart]:
        """Coordinates of every factor: M where the data tell log variances well, else those of the search."""
        _, second = self._all_traces
        out = list[_Chart]()
        for own, (structure, x) in zip(self.cuts, self.layout.parameters(self.state.theta), strict=True):
            chart = _chart(structure, x)
            if chart.basis is not None:
                slopes = _entries(structure.span, chart.slopes)
                information = slopes @ second[own, own] @ slopes.T
                norms = np.einsum("iab,iab->i", chart.basis, chart.basis)
                if np.linalg.eigvalsh(information / np.sqrt(np.outer(norms, norms)))[0] < TOLD:
                    chart = replace(chart, basis=None)
            out.append(chart)
        return out

    @cached_property
    def places(self) -> list[slice]:
        """Where each factor's coordinates stand among all."""
        ends = accumulate((len(chart.free) for chart in self.charts), initial=0)
        return [slice(a, b) for a, b in pairwise(ends)]

    @property
    def coordinates(self) -> int:
        """m, the number of coordinates."""
        return self.places[-1].stop if self.places else 0

    @property
    def work(self) -> float:
        """Products of two numbers for each row that is left out with its unit."""
        r, local = float(self.shape.W.shape[1]), sum(f in self.shape.local for f, _ in self.directions)
        return r * r * (1.0 + (self.count - local) + 2.0 * local + (local and self.count > local))

    # What all units share

    @cached_property
    def local(self) -> dict[int, _Local]:
        """Directions of the factors within the blocks."""
        shape, out = self.shape, dict[int, _Local]()
        for a, (f, S) in enumerate(self.directions):
            if f in shape.local:
                stacks = [_own(shape, f, S, rows) for rows in shape.blocks.stacks]
                V = shape.blocks.sparse(shape.blocks.flat(stacks))
                inverses = self._inverses
                inner = [M @ D @ M for M, D in zip(inverses, stacks, strict=True)]
                trace = sum(float((M * D).sum()) for M, D in zip(inverses, stacks, strict=True))
                VN = csr_array(V @ shape.N)
                J = np.asarray((shape.N.T @ VN).toarray())
                out[a] = _Local(V, csr_array(shape.local_inverse @ VN), shape.blocks.flat(inner), J, trace)
        return out

    @cached_property
    def _inverses(self) -> list[Floats]:
        """V~^-1 of the blocks."""
        blocks = self.shape.blocks
        return [blocks.among(self.shape.inverse, rows) for rows in blocks.stacks]

    @cached_property
    def pairs(self) -> dict[tuple[int, int], _Pair]:
        """Every two of them."""
        shape, out = self.shape, dict[tuple[int, int], _Pair]()
        stacks = {
            a: [_own(shape, *self.directions[a], rows) for rows in shape.blocks.stacks] for a in self.local
        }
        for a in self.local:
            for b in (b for b in self.local if b >= a):
                inner, trace = list[Floats](), 0.0
                for M, A, B in zip(self._inverses, stacks[a], stacks[b], strict=True):
                    half = M @ A @ M @ B
                    trace += float(np.einsum("btt->", half))
                    both = half @ M
                    inner.append((both + both.swapaxes(1, 2)) / 2.0)
                one, two = self.local[a], self.local[b]
                K = csr_array(shape.local_inverse @ (one.V @ two.VN))
                swapped = K if a == b else csr_array(shape.local_inverse @ (two.V @ one.VN))
                J = np.asarray((shape.N.T @ (one.V @ two.VN)).toarray())
                out[a, b] = _Pair(K, swapped, shape.blocks.flat(inner), J, trace)
        return out

    def _moved(self, a: int, v: Floats) -> Floats:
        """(n,) V_a v."""
        f, S = self.directions[a]
        if f in self.shape.local:
            return self.local[a].V @ v
        Z = self.shape.W[:, self.span[f]]
        return Z @ ((Z.T @ v).reshape(-1, len(S)) @ S).ravel()

    @cached_property
    def z(self) -> list[Floats]:
        """V_a P y of every direction."""
        return [self._moved(a, self.shape.e) for a in range(self.count)]

    @cached_property
    def e(self) -> list[Floats]:
        """P V_a P y."""
        return [self.shape.projected(z) for z in self.z]

    @cached_property
    def ee(self) -> dict[tuple[int, int], Floats]:
        """P V_a P V_b P y + P V_b P V_a P y."""
        once = [[self._moved(a, e) for e in self.e] for a in range(self.count)]
        return {
            (a, b): self.shape.projected(once[a][b] + once[b][a])
            for a in range(self.count)
            for b in range(a, self.count)
        }

    @cached_property
    def q(self) -> Floats:
        """(s,) y'P V_a P y."""
        return np.array([self.shape.e @ z for z in self.z])

    @cached_property
    def kappa(self) -> Floats:
        """(s, s) y'P V_a P V_b P y."""
        return np.array([[z @ e for e in self.e] for z in self.z]).reshape(self.count, self.count)

    @cached_property
    def B(self) -> Floats:
        """(n, p) V^-1 X Phi."""
        return np.asarray(self.shape.N @ self.shape.Q[:, self.shape.fixed])

    @cached_property
    def BVB(self) -> Floats:
        """(s, p, p) Phi X'V^-1 V_a V^-1 X Phi."""
        p = self.B.shape[1]
        made = [self.B.T @ np.column_stack([self._moved(a, b) for b in self.B.T]) for a in range(self.count)]
        return np.array(made).reshape(self.count, p, p) if p else np.zeros((self.count, 0, 0))

    @cached_property
    def beta_slopes(self) -> Floats:
        """(s, p) Phi X'V^-1 V_a P y."""
        return np.array([self.B.T @ z for z in self.z]).reshape(self.count, -1)

    # Forms among the rows of a unit, of P or of V^-1

    def traces(self, Q: Floats) -> tuple[Floats, Floats]:
        """tr(P V_a) and tr(P V_a P V_b), of P or of V^-1, whichever Q is of."""
        shape, s = self.shape, self.count
        H = shape.H
        G = H - H @ Q @ H
        one, two = np.zeros(s), np.zeros((s, s))
        turned = {
            b: _times(G[:, self.span[f]], S) for b, (f, S) in enumerate(self.directions) if f in self.span
        }
        M = np.eye(len(Q)) - Q @ H
        lean = {a: M.T @ mine.J @ M for a, mine in self.local.items()} if turned else {}
        for a, (f, S) in enumerate(self.directions):
            if a in self.local:
                one[a] = self.local[a].trace - np.vdot(Q, self.local[a].J)
            else:
                one[a] = np.trace(turned[a][self.span[f]])
            for b in range(a, s):
                g, R = self.directions[b]
                if a in self.local and b in self.local:
                    pair, QJ = self.pairs[a, b], Q @ self.local[a].J
                    two[a, b] = pair.trace - 2.0 * np.vdot(Q, pair.J) + np.vdot(QJ.T, Q @ self.local[b].J)
                elif a in self.local:
                    here = self.span[g]
                    two[a, b] = np.trace(_times(lean[a][here, here], R))
                elif b in self.local:
                    here = self.span[f]
                    two[a, b] = np.trace(_times(lean[b][here, here], S))
                else:
                    two[a, b] = np.vdot(turned[b][self.span[f]].T, turned[a][self.span[g]])
                two[b, a] = two[a, b]
        return one, two

    def forms(self, Q: Floats, rows: Ints) -> _Forms:
        """(1) among some rows (B, m)."""
        shape, (B, m) = self.shape, rows.shape
        N = columns(shape.N, rows)
        C = N @ Q
        Ct = C.swapaxes(1, 2)
        P = shape.blocks.among(shape.inverse, rows) - N @ Ct
        one = np.empty((B, self.count, m, m))
        two = np.empty((B, self.count, self.count, m, m))
        lift = np.empty((B, self.count, m, shape.fixed.stop - shape.fixed.start))  # (Q N'Y_a)_X, transposed
        F = N - C @ shape.H if self.span else N
        X, R, U, V = dict[int, Floats](), dict[int, Floats](), dict[int, Floats](), dict[int, Floats]()
        QH = Q @ shape.H
        G = shape.H - shape.H @ QH
        for a, (f, S) in enumerate(self.directions):
            if a in self.local:
                mine = self.local[a]
                NV = columns(mine.VN, rows)
                U[a] = NV - C @ mine.J
                V[a] = U[a] @ Q
                made = shape.blocks.among(mine.inner, rows) - NV @ Ct
                one[:, a] = made - C @ U[a].swapaxes(1, 2)
                lift[:, a] = V[a][:, :, shape.fixed]
            else:
                here = self.span[f]
                X[a] = _times(F[:, :, here], S)
                one[:, a] = X[a] @ F[:, :, here].swapaxes(1, 2)
                lift[:, a] = X[a] @ QH[shape.fixed, here].T
        for b, (g, _) in enumerate(self.directions):
            if b in X:
                R[b] = X[b] @ G[self.span[g]][:, : shape.fixed.start]
        for a, (f, _) in enumerate(self.directions):
            for b in range(a, self.count):
                g = self.directions[b][0]
                if a in self.local and b in self.local:
                    pair = self.pairs[a, b]
                    made = shape.blocks.among(pair.inner, rows) + C @ pair.J @ Ct - U[a] @ V[b].swapaxes(1, 2)
                    made -= columns(pair.one, rows) @ Ct + C @ columns(pair.two, rows).swapaxes(1, 2)
                elif a in self.local or b in self.local:
                    i, j = (a, b) if a in self.local else (b, a)
                    here = self.span[self.directions[j][0]]
                    made = (U[i][:, :, here] - V[i] @ shape.H[:, here]) @ X[j].swapaxes(1, 2)
                else:
                    made = X[a] @ R[b][:, :, self.span[f]].swapaxes(1, 2)
                two[:, a, b] = two[:, b, a] = (made + made.swapaxes(1, 2)) / 2.0
        return _Forms(P, one, two, C[:, :, shape.fixed], lift)

    # The step

    def run(self, left_out: RowSets, wanted: NDArray[np.bool_]) -> Stepped:
        """The step of each unit that is wanted (u,); the others are NaN."""
        u, m, p = len(wanted), self.coordinates, self.shape.optimum.criterion.p
        out = Stepped(
            tuple(np.full((u, *chart.L.shape), np.nan) for chart in self.charts),
            np.full((u, p), np.nan),
            np.full((u, p, p), np.nan),
            np.full(u, np.nan),
            np.full((u, p, p), np.nan),
            np.full(u, np.nan),
            np.full((u, m + 1, m + 1), np.nan),
            np.full((u, m, p, p), np.nan),
        )
        for units, rows in left_out.only(wanted):
            each = rows.shape[1] * (self.shape.W.shape[1] * (self.count + 2) + rows.shape[1] * self.count**2)
            for some in parts(len(units), max(1, 8_000_000 // each)):
                self._step(units[some], rows[some], out)
        return out

    def whole(self) -> Stepped:
        """Of no rows at all: the fit itself, with the same information on its variances."""
        out = self.run(RowSets(1, ()), np.zeros(1, bool))
        self._step(np.zeros(1, dtype=np.intp), np.zeros((1, 0), dtype=np.intp), out)
        return out

    @cached_property
    def _all_traces(self) -> tuple[Floats, Floats]:
        reml = self.shape.optimum.criterion.reml
        return self.traces(self.shape.Q if reml else self.shape.Q_without_fixed)

    @cached_property
    def _chain(self) -> Floats:
        """(m, s) derivatives of the entries of T in the coordinates."""
        out = np.zeros((self.coordinates, self.count))
        for place, own, chart in zip(self.places, self.cuts, self.charts, strict=True):
            out[place, own] = _entries(chart.structure.span, chart.slopes)
        return out

    def _step(self, units: Ints, rows: Ints, out: Stepped) -> None:
        """The step of units of one size."""
        shape, criterion = self.shape, self.shape.optimum.criterion
        forms = self.forms(shape.Q, rows)
        nu, e = criterion.nu - rows.shape[1], shape.e[rows]
        solved = np.linalg.solve(forms.P, np.concatenate([e[:, :, None], forms.lift_fixed], axis=2))
        g, lift = solved[:, :, 0], solved[:, :, 1:]  # P_AA^-1 e_A, P_AA^-1 c_X'
        ea = np.array([own[rows] for own in self.e]).reshape(self.count, *rows.shape)
        ga = np.einsum("bamn,bn->bam", forms.one, g)
        r2 = shape.r2 - np.einsum("bm,bm->b", e, g)
        q = self.q - 2.0 * np.einsum("abm,bm->ba", ea, g) + np.einsum("bam,bm->ba", ga, g)
        lean = np.moveaxis(ea, 0, 1) - ga  # (E'P V_a P_.. y)
        kappa = self.kappa + np.einsum("bm,bacmn,bn->bac", g, forms.two, g)
        for (a, b), own in self.ee.items():
            shift = np.einsum("bm,bm->b", own[rows], g)
            kappa[:, a, b] -= shift
            if a != b:
                kappa[:, b, a] -= shift
        inner = lean @ np.asarray(np.linalg.inv(forms.P), dtype=np.float64)
        kappa -= inner @ lean.swapaxes(1, 2)
        traced = forms if criterion.reml else self.forms(shape.Q_without_fixed, rows)
        first, second = self._all_traces
        ratio = np.linalg.solve(traced.P[:, None], traced.one)  # P_AA^-1 (P V_a P)_AA
        both = np.linalg.solve(traced.P[:, None, None], traced.two)
        first = first - np.einsum("bamm->ba", ratio)
        second = second - 2.0 * np.einsum("bacmm->bac", both)
        second = second + np.einsum("bamn,bcnm->bac", ratio, ratio)
        scale = nu / r2
        slope = first - scale[:, None] * q
        H = 2.0 * scale[:, None, None] * kappa - second
        gradient = slope @ self._chain.T
        unprofiled = self._chain @ H @ self._chain.T + self._curvature(slope)
        qx = q @ self._chain.T
        hessian = unprofiled - (scale / r2)[:, None, None] * qx[:, :, None] * qx[:, None, :]
        free = np.concatenate([np.empty(0, bool), *(chart.free for chart in self.charts)])
        short, fine = _steps(hessian[:, free][:, :, free], gradient[:, free])
        step = np.zeros_like(gradient)
        step[:, free] = short
        roots = self._moved_roots(step)
        t = self._entry_change(roots)
        variance = (r2 - np.einsum("ba,ba->b", q, t) + np.einsum("ba,bac,bc->b", t, kappa, t)) / nu
        fine &= variance > 0.0
        # beta_(A) and Phi_(A), and their derivatives -B_(A) V_a P_(A) y and B_(A) V_a B_(A)' in the entries
        beta = self.state.beta - np.einsum("bmp,bm->bp", forms.lift_fixed, g)
        Phi = shape.Q[shape.fixed, shape.fixed] + forms.lift_fixed.swapaxes(1, 2) @ lift
        moved = self.beta_slopes - np.einsum("bamp,bm->bap", forms.lift, g)
        moved -= np.einsum("bam,bmp->bap", lean, lift)
        cross = np.einsum("bamp,bmq->bapq", forms.lift, lift)
        slopes = self.BVB - cross - cross.swapaxes(2, 3)
        slopes = slopes + np.einsum("bmp,bamn,bnq->bapq", lift, forms.one, lift, optimize=True)
        for all_roots, own in zip(out.roots, roots, strict=True):
            all_roots[units] = _blank(own, fine)
        out.beta[units] = _blank(beta - np.einsum("bap,ba->bp", moved, t), fine)
        out.Phi[units] = _blank(Phi + np.einsum("bapq,ba->bpq", slopes, t), fine)
        out.variance[units] = np.where(fine, variance, np.nan)
        out.phi_before[units], out.variance_before[units] = Phi, r2 / nu
        out.Phi_slopes[units] = _blank(np.einsum("ia,bapq->bipq", self._chain, slopes), fine)
        expected = self._chain @ second @ self._chain.T
        out.spread[units] = _blank(_with_sigma(expected, first @ self._chain.T, free, r2 / nu, nu), fine)

    def _curvature(self, slope: Floats) -> Floats:
        """(B, m, m) <D, d2T> from the slopes (B, s) in the entries."""
        out = np.zeros((len(slope), self.coordinates, self.coordinates))
        for place, own, chart in zip(self.places, self.cuts, self.charts, strict=True):
            S = chart.structure.span
            gram: Floats = np.einsum("iab,jab->ij", S, S)
            for b, D in enumerate(
                np.einsum("bi,ikl->bkl", slope[:, own] @ np.asarray(np.linalg.inv(gram), dtype=np.float64), S)
            ):
                out[b, place, place] = chart.curvature(D)
        return out

    def _moved_roots(self, step: Floats) -> list[Floats]:
        """(B, k, k) L of every factor after a step (B, m)."""
        pairs = zip(self.places, self.charts, strict=True)
        return [np.array([chart.moved(own) for own in step[:, place]]) for place, chart in pairs]

    def _entry_change(self, roots: list[Floats]) -> Floats:
        """(B, s) by how much the entries of every T change."""
        out = np.zeros((len(roots[0]), self.count))
        for own, chart, L in zip(self.cuts, self.charts, roots, strict=True):
            out[:, own] = _entries(chart.structure.span, L @ L.swapaxes(1, 2) - chart.L @ chart.L.T)
        return out


@dataclass(frozen=True, eq=False)
class _Forms:
    """(1) among the rows of some units, and what takes it to the fixed effects.

    Attributes:
        P: (B, m, m).
        one: (B, s, m, m) P V_a P.
        two: (B, s, s, m, m) symmetric part of P V_a P V_b P.
        lift_fixed: (B, m, p) c_X', Phi X'V^-1 E transposed.
        lift: (B, s, m, p) Phi X'V^-1 V_a P E transposed.
    """

    P: Floats
    one: Floats
    two: Floats
    lift_fixed: Floats
    lift: Floats


def _own(shape: Geometry, f: int, S: Floats, rows: Ints) -> Floats:
    """(B, t, t) V_a of some blocks."""
    together, z = level_columns(shape.optimum, f, rows)
    return together * (z @ S @ z.swapaxes(1, 2))


def _times(A: Floats, S: Floats) -> Floats:
    """A (I (x) S), (..., J k)."""
    return (A.reshape(*A.shape[:-1], A.shape[-1] // len(S), len(S)) @ S).reshape(A.shape)


def _entries(span: Floats, matrices: Floats) -> Floats:
    """(i, s) weights of symmetric matrices (i, k, k) on a span."""
    flat = span.reshape(len(span), -1)
    return matrices.reshape(len(matrices), -1) @ np.linalg.pinv(flat)


def _blank(values: Floats, fine: NDArray[np.bool_]) -> Floats:
    return np.where(fine.reshape(-1, *[1] * (values.ndim - 1)), values, np.nan)


def _steps(H: Floats, g: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """(B, m) Newton steps, and which of them go down a bowl that is not too far away."""
    if not H.shape[1]:
        return np.zeros_like(g), np.ones(len(g), bool)
    size = np.sqrt(np.abs(np.einsum("bmm->bm", H)))
    size[size == 0.0] = 1.0
    scaled, along = H / (size[:, :, None] * size[:, None, :]), g / size
    finite = np.isfinite(scaled).all(axis=(1, 2)) & np.isfinite(along).all(axis=1)
    scaled[~finite], along[~finite] = np.eye(H.shape[1]), 0.0
    values, vectors = np.linalg.eigh(scaled)
    fine = finite & (values[:, 0] > DEFINITE * values[:, -1])
    turned = np.einsum("bmi,bm->bi", vectors, along) / np.where(fine[:, None], values, 1.0)
    step = -np.einsum("bmi,bi->bm", vectors, turned)
    fine &= np.abs(np.einsum("bm,bm->b", step, along)) / 2.0 < FARTHEST
    return step / size, fine


def _with_sigma(H: Floats, traces: Floats, free: NDArray[np.bool_], variance: Floats, nu: int) -> Floats:
    """(B, m + 1, m + 1) twice the inverse of the expected information on (coordinates, sigma).

    tr(P V_i P V_j), 2 tr(P V_i) / sigma and 4 nu / sigma^2.
    """
    B, m = traces.shape
    kept = np.append(free, True)
    whole = np.zeros((B, m + 1, m + 1))
    whole[:, :m, :m] = H
    whole[:, :m, m] = whole[:, m, :m] = 2.0 * traces / np.sqrt(variance)[:, None]
    whole[:, m, m] = 4.0 * nu / variance
    inner = whole[:, kept][:, :, kept]
    size = np.sqrt(np.abs(np.einsum("bmm->bm", inner)))
    size[size == 0.0] = 1.0
    scale = size[:, :, None] * size[:, None, :]
    out = np.zeros_like(whole)
    places = np.flatnonzero(kept)
    scaled: Floats = inner / scale
    inverse = 2.0 * np.asarray(np.linalg.pinv(scaled, hermitian=True), dtype=np.float64) / scale
    out[:, places[:, None], places] = inverse
    return out
