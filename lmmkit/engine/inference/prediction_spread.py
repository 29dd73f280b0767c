"""What not knowing the covariance parameters adds to the error of a prediction.

With P the projection of REML, the error of x'β̂ + z'b̂ has the variance v(T), relative to sigma^2, whose
gradient along a direction dT of one factor needs one vector only:

    w = z - Z'PZ T z - Z'V^-1X Phi x,      dv = sum_l w_l' dT w_l        (over the levels l of the factor)

and so has the derivative of the predictor itself, y'P Z dT w: the estimation of T adds, to second order,

    g = sum_ij W_ij w'dT_i Z'PZ dT_j w,    W the covariance matrix of the entries of T.

v is too small by another g on average when T is estimated: v + 2 g is right to second order. With z = 0 these
are Kenward and Roger's covariance matrix and degrees of freedom. Both exist at a singular fit too.

References: Kackar & Harville (1984); Prasad & Rao (1990), The estimation of the mean squared error of
small-area estimators; Harville & Jeske (1992).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg import block_diag

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.inference.information import ExpectedInformation
from lmmkit.engine.inference.prediction_error import Slot, own_part
from lmmkit.engine.inference.traces import ComponentTraces, component_labels

CHUNK = 20_000  # rows at a time
MOST_PRODUCTS = (
    2e10  # rows times squared columns of their component times parameters that are still gone through
)


class Widening(NamedTuple):
    """Of r predictions.

    Attributes:
        gradient: (r, m + 1) of the variance relative to sigma^2, in the entries of T and the scale of V.
        second: (r,) g.
    """

    gradient: Floats
    second: Floats


@dataclass(frozen=True, eq=False)
class PredictionSpread:
    """What one fit's covariance parameters leave open about predictions.

    Attributes:
        found: The expected information on the entries of T.
    """

    found: ExpectedInformation

    def _slots(self, Z: Sequence[Floats], codes: Sequence[Ints]) -> list[Slot]:
        """The rows' own part with each factor, in the order of elimination."""
        optimum = self.found.optimum
        return [own_part(optimum, f, Z, codes) for f in range(len(optimum.layout.factors))]

    def of_fixed(self, X: Floats) -> Floats:
        """(r, m + 1) gradient of x'Phi x."""
        x = X @ self.found.optimum.prepared.basis @ self.found.Phi
        inner = np.einsum("rp,ipq,rq->ri", x, self.found.slopes, x, optimize=True)
        return np.column_stack([inner, np.einsum("rp,pq,rq->r", x, self.found.optimum.state.XVX, x)])

    def of_new(self, Z: tuple[Floats, ...]) -> Floats:
        """(r, m + 1) gradient of z'Tz of new levels."""
        nowhere = [np.zeros(len(z), np.intp) for z in Z]
        parts, total = list[Floats](), np.zeros(len(Z[0]) if Z else 0)
        slots, L = self._slots(Z, nowhere), self.found.optimum.state.L
        for slot, factor, own in zip(slots, L, self.found.directions.own, strict=True):
            z, half = slot.values, slot.values @ factor
            parts.append(np.einsum("ra,iab,rb->ri", z, own, z, optimize=True))
            total = total + np.einsum("ra,ra->r", half, half)
        return np.column_stack([*parts, total])

    @property
    def near_zero(self) -> bool:
        """Whether a variance of random effects is within two standard errors of zero."""
        spread, directions = self.found.spread, self.found.directions
        for L, own, cut in zip(self.found.optimum.state.L, directions.own, directions.cuts, strict=True):
            diagonals = np.zeros((len(L), len(spread.covariance)))
            diagonals[:, cut] = np.einsum("iaa->ai", own)
            # A variance that the data leave open is no number to compare with.
            if ((L * L).sum(axis=1) ** 2 <= 4.0 * np.nan_to_num(spread.variances(diagonals))).any():
                return True
        return False

    def products(self, rows: int) -> float:
        """How many products `of_known` takes for some rows, at most."""
        return rows * float(max(self._sizes, default=0)) ** 2 * max(self.found.directions.count, 1)

    @property
    def _sizes(self) -> list[int]:
        parts, layout = self.found.blocks.parts, self.found.optimum.layout
        return [
            len(part.U) if isinstance(part, ComponentTraces) else layout.factors[0].width for part in parts
        ]

    def of_known(self, X: Floats, Z: tuple[Floats, ...], codes: tuple[Ints, ...]) -> Widening:
        """Of predictions x'β̂ + z'b̂ of levels with data; the last column of the gradient is left at zero."""
        m = self.found.directions.count
        out = Widening(np.zeros((len(X), m + 1)), np.empty(len(X)))
        for first in range(0, len(X), CHUNK):
            part = slice(first, first + CHUNK)
            slots = self._slots([z[part] for z in Z], [c[part] for c in codes])
            for rows, block in self._blocks(slots):
                x = X[part][rows] @ self.found.optimum.prepared.basis
                gradient, second = self._widening(x, block)
                where = first + rows
                out.gradient[where, :m], out.second[where] = gradient, second
        return out

    def of_functions(
        self, X: Floats, Z: tuple[Floats, ...], codes: tuple[Ints, ...], function: Ints
    ) -> Widening:
        """Of x'β̂ + m'b̂ with several levels of a factor; arguments as `PredictionError.of_functions`.

        A function without levels is left at zero.
        """
        out = Widening(np.zeros((len(X), self.found.directions.count + 1)), np.zeros(len(X)))
        slots, x = self._slots(Z, codes), X @ self.found.optimum.prepared.basis
        for i in np.unique(function).tolist():
            mine = function == i
            block = self._of_several([Slot(slot.level[mine], slot.values[mine]) for slot in slots])
            gradient, second = self._widening(x[i : i + 1], block)
            out.gradient[i, :-1], out.second[i] = gradient[0], second[0]
        return out

    def _of_several(self, slots: list[Slot]) -> ComponentRows:
        """One function of several levels, in all components that it meets."""
        first = self.found.blocks.parts[0]
        if isinstance(first, ComponentTraces):
            return self._in_components(slots, np.zeros(len(slots[0].level), np.intp), 1)
        levels, place = np.unique(slots[0].level, return_inverse=True)
        z = np.zeros((len(levels), slots[0].values.shape[1]))
        np.add.at(z, place, slots[0].values)
        S = block_diag(*(first.S[:, :, level] for level in levels))
        U = np.concatenate([first.U[:, :, level] for level in levels])
        return ComponentRows(S, U, z.reshape(1, -1), ((slice(0, z.size), len(levels)),), self._T)

    def _in_components(self, slots: list[Slot], function: Ints, r: int) -> ComponentRows:
        """r functions whose parts lie in the same components; `function` is that which a part belongs to."""
        labels = [own[slot.level] for own, slot in zip(self._components, slots, strict=True)]
        S, U, cuts, starts = self._joined(list(dict.fromkeys(np.concatenate(labels).tolist())))
        z = np.zeros((r, len(S)))
        for slot, label, start, places in zip(slots, labels, starts, self._places, strict=True):
            width = slot.values.shape[1]
            begin: Ints = np.array([start[number] for number in label.tolist()], dtype=np.intp)
            at = begin + places[slot.level] * width
            for c in range(width):
                np.add.at(z, (function, at + c), slot.values[:, c])
        return ComponentRows(S, U, z, cuts, self._T)

    @property
    def _T(self) -> list[Floats]:
        """(k, k) of each factor."""
        return [L @ L.T for L in self.found.optimum.state.L]

    def widened(self, v: Floats, of: Widening) -> tuple[Floats, Floats]:
        """v + 2 g of predictions of variance v, and its degrees of freedom, (r,) each.

        As v rises g falls, so that their sum moves by v / (v + 2 g) of what v does: its degrees of freedom
        are Satterthwaite's of v, carried over so.
        """
        of.gradient[:, -1] = v
        total = v + 2.0 * of.second
        with np.errstate(divide="ignore", invalid="ignore"):
            return total, 2.0 * (total / v) ** 2 * total**2 / self.found.spread.variances(of.gradient)

    def _blocks(self, slots: list[Slot]) -> Iterator[tuple[Ints, ComponentRows]]:
        """Rows that share a component of levels, or several, with what they meet there."""
        first = self.found.blocks.parts[0]
        if not isinstance(first, ComponentTraces):
            z = slots[0].values
            S, U = (A.transpose(2, 0, 1)[slots[0].level] for A in (first.S, first.U))
            yield np.arange(len(z)), ComponentRows(S, U, z, ((slice(0, z.shape[1]), 1),), self._T)
            return
        labels = [own[slot.level] for own, slot in zip(self._components, slots, strict=True)]
        kinds, kind = np.unique(np.column_stack(labels), axis=0, return_inverse=True)
        for number in range(len(kinds)):
            rows = np.flatnonzero(kind.ravel() == number)
            mine = [Slot(slot.level[rows], slot.values[rows]) for slot in slots]
            yield rows, self._in_components(mine, np.arange(len(rows)), len(rows))

    def _joined(
        self, numbers: list[int]
    ) -> tuple[Floats, Floats, tuple[tuple[slice, int], ...], list[dict[int, int]]]:
        """S and U of some components, by factor; each factor's cut, and where a component starts there."""
        parts = [
            part
            for n in numbers
            for part in [self.found.blocks.parts[n]]
            if isinstance(part, ComponentTraces)
        ]
        ends = np.cumsum([0, *(len(part.U) for part in parts)])
        order, cuts, starts = list[int](), list[tuple[slice, int]](), list[dict[int, int]]()
        for f in range(len(self._components)):
            begin, own = len(order), dict[int, int]()
            for number, part, offset in zip(numbers, parts, ends, strict=False):
                columns, _ = part.spans[f]
                own[number] = len(order)
                order.extend(range(int(offset) + columns.start, int(offset) + columns.stop))
            cuts.append((slice(begin, len(order)), (len(order) - begin) // parts[0].spans[f][1]))
            starts.append(own)
        if len(parts) == 1:
            return parts[0].S, parts[0].U, tuple(cuts), starts
        S = block_diag(*(part.S for part in parts))[np.ix_(order, order)]
        return S, np.concatenate([part.U for part in parts])[order], tuple(cuts), starts

    @cached_property
    def _components(self) -> list[Ints]:
        """The component of each level of each factor."""
        return component_labels(self.found.optimum.layout.factors)

    @cached_property
    def _places(self) -> list[Ints]:
        """Position of each level among those of its factor in its component."""
        out = list[Ints]()
        for labels in self._components:
            order = np.argsort(labels, kind="stable")
            first = np.searchsorted(labels[order], labels[order], side="left")
            place = np.empty(len(labels), np.intp)
            place[order] = np.arange(len(labels)) - first
            out.append(place)
        return out

    @cached_property
    def _squares(self) -> Floats:
        """(m, m, p, p) X'V^-1 V_i V^-1 V_j V^-1 X."""
        directions, p = self.found.directions, self.found.optimum.criterion.p
        out = np.zeros((directions.count, directions.count, p, p))
        for f, one in enumerate(directions.own):
            for g, two in enumerate(directions.own):
                for i, first in enumerate(one):
                    for j, second in enumerate(two):
                        weights = np.einsum("ab,cd->abcd", first, second)
                        made = self.found.blocks.sandwich(f, g, weights)
                        out[directions.cuts[f].start + i, directions.cuts[g].start + j] = made
        return out

    def _widening(self, x: Floats, block: ComponentRows) -> tuple[Floats, Floats]:
        """(r, m) gradient and (r,) g of rows of one component."""
        found = self.found
        r = block.left()
        d = (x - block.with_scores(block.pulled())) @ found.Phi
        E = [block.along(r, f, dT) for f, own in enumerate(found.directions.own) for dT in own]
        EU = [block.with_scores(e) for e in E]  # each (r, p)
        gradient = np.stack(
            [
                np.einsum("rq,rq->r", e, r) - 2.0 * np.einsum("rp,rp->r", u, d)
                + np.einsum("rp,pq,rq->r", d, slope, d)
                for e, u, slope in zip(E, EU, found.slopes, strict=True)
            ],
            axis=1,
        )  # fmt: skip
        wU = [u - d @ slope for u, slope in zip(EU, found.slopes, strict=True)]
        W, second = found.spread.covariance[:-1, :-1], np.zeros(len(r))
        SE = [block.times(e) for e in E]
        own = [(f, dT) for f, each in enumerate(found.directions.own) for dT in each]
        for j, (f, dT) in enumerate(own):
            mixed = np.einsum("i,irq->rq", W[:, j], np.array(SE))
            turned = block.with_scores(block.along(mixed, f, dT))
            second -= 2.0 * np.einsum("rp,rp->r", turned, d)
            for i in range(len(own)):
                second += W[i, j] * (
                    np.einsum("rq,rq->r", SE[i], E[j])
                    + np.einsum("rp,pq,rq->r", d, self._squares[i, j], d)
                    - np.einsum("rp,pq,rq->r", wU[i], found.Phi, wU[j])
                )
        return gradient, second


@dataclass(frozen=True, eq=False)
class ComponentRows:
    """Some rows and the component that they lie in, or a component each.

    Attributes:
        S: (q, q) or (r, q, q) Z'V^-1Z.
        U: (q, p) or (r, q, p) Z'V^-1X.
        z: (r, q).
        cuts: Of each factor its columns and its number of levels.
        T: (k, k) of each factor.
    """

    S: Floats
    U: Floats
    z: Floats
    cuts: tuple[tuple[slice, int], ...]
    T: list[Floats]

    def along(self, rows: Floats, f: int, D: Floats) -> Floats:
        """(r, q) rows times D at every level of one factor, zero elsewhere."""
        columns, levels = self.cuts[f]
        out = np.zeros_like(rows)
        out[:, columns] = (rows[:, columns].reshape(len(rows), levels, len(D)) @ D).reshape(len(rows), -1)
        return out

    def pulled(self) -> Floats:
        """(r, q) T z."""
        return sum((self.along(self.z, f, T) for f, T in enumerate(self.T)), np.zeros_like(self.z))

    def left(self) -> Floats:
        """(r, q) z - S T z."""
        return self.z - self.times(self.pulled())

    def times(self, rows: Floats) -> Floats:
        """(r, q) rows times S."""
        return rows @ self.S if self.S.ndim == 2 else np.einsum("rq,rqs->rs", rows, self.S)

    def with_scores(self, rows: Floats) -> Floats:
        """(r, p) rows times U."""
        return rows @ self.U if self.U.ndim == 2 else np.einsum("rq,rqp->rp", rows, self.U)
