"""An optimum: the criterion where a search has ended, and what it says in the units of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.criterion import Criterion, Evaluation
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.linalg.two_part_covariance import Sandwich
from lmmkit.engine.problem import Prepared, Problem


@dataclass(frozen=True, eq=False)
class Optimum:
    """An optimum in prepared units with all that made it."""

    problem: Problem
    prepared: Prepared
    state: Evaluation
    scale: list[Floats]

    @property
    def criterion(self) -> Criterion:
        """The deviance."""
        return self.state.criterion

    @property
    def covariance_of_beta(self) -> Sandwich:
        """Of the fixed effects, in the units of the data."""
        variance = self.prepared.scale**2 * self.state.variance
        core = variance * levelwise.solved(self.state.XVX, np.eye(len(self.state.beta)))
        return Sandwich(self.prepared.basis, core)

    @property
    def layout(self) -> Layout:
        """Chain and rest."""
        return self.state.criterion.layout

    @property
    def beta(self) -> Floats:
        """(p,) BLUE in the units of the data."""
        return self.prepared.beta + self.prepared.scale * self.prepared.basis @ self.state.beta

    def random_effects(self) -> tuple[Floats, ...]:
        """BLUPs b = T Z'V^-1(y - X beta) of each term, (J, k)."""
        state, layout = self.state, self.layout
        b = [
            self.prepared.scale * (L @ L.T) @ factor.spread(state.reverse.scores(layout, f, state.a))
            for f, (factor, L) in enumerate(zip(layout.factors, state.L, strict=True))
        ]
        return self.by_term(lambda f, S, columns: (S @ b[f][columns]).T)

    def factors(self, L: list[Floats]) -> tuple[Floats, ...]:
        """Lambda of each term in the units of the data, from L of each factor in prepared units."""
        return self.layout.in_data_units(self.prepared.term_bases, L)

    def theta(self, L: list[Floats]) -> tuple[float, ...]:
        """Theta as it is printed: free entries of each term's Lambda, column-major, or what a pattern has."""
        pairs = zip(self.factors(L), self.problem.terms, strict=True)
        return tuple(float(x) for factor, term in pairs for x in term.structure.relative(factor))

    def by_term(self, make: Callable[[int, Floats, slice], Floats]) -> tuple[Floats, ...]:
        """What is made of each term's factor, S and columns there, (J, ...), levels in the caller's order."""
        out: dict[int, Floats] = {}
        for f, factor in enumerate(self.layout.factors):
            for term, columns, _ in factor.pieces:
                made = make(f, self.prepared.term_bases[term], columns)
                out[term] = np.empty(made.shape)
                out[term][factor.order] = made
        return tuple(out[term] for term in range(len(out)))
