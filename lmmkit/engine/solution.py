"""An optimum, in the units of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.criterion import Criterion, Evaluation
from lmmkit.engine.criterion.gradient import conditional_blocks
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.crossproducts.scaling import Prepared
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.linalg.two_part_covariance import Sandwich
from lmmkit.engine.problem import FitNumbers, Problem
from lmmkit.engine.rules import FitRules
from lmmkit.engine.search.optimality import Check, optimality
from lmmkit.engine.search.search import Search


@dataclass(frozen=True, eq=False)
class Solution(FitNumbers):
    """An optimum in the units of the data, with all that made it.

    Attributes:
        optimum: The criterion at the optimum, in prepared units.
        search: The search that ended there.
        rules: Its thresholds.
    """

    optimum: Optimum = field(repr=False)
    search: Search[Evaluation] = field(repr=False)
    rules: FitRules = field(repr=False)

    @cached_property
    def trace(self) -> list[dict[str, object]]:
        """The log of the search, theta in the units of the data and the order of the terms.

        Of a residual structure `rho` has the natural parameters in the order of its names.
        """
        return [
            {**line.numbers, "theta": self.optimum.theta(line.L), **self._told(line.coordinates)}
            for line in self.search.history
        ]

    def _told(self, coordinates: Floats) -> dict[str, tuple[float, ...]]:
        residual = self.optimum.problem.residual
        if residual is None:
            return {}
        rho = coordinates[len(coordinates) - residual.structure.count :]
        return {"rho": tuple(residual.structure.natural(rho).tolist())}

    @property
    def given(self) -> bool:
        """Whether the variances are given, not estimated: then no place is better than another."""
        return self.optimum.state.held.precision is not None

    @cached_property
    def checks(self) -> list[Check]:
        """Conditions of a local optimum, and whether they hold; none where the variances are given."""
        if self.given:
            return []
        return optimality(self.optimum.state, self.optimum.scale, self.search.decrement, self.rules)

    def random_effects(self) -> tuple[Floats, ...]:
        """BLUPs b = T Z'V^-1(y - X beta) of each term, (J, k)."""
        return self.optimum.random_effects()

    def conditional_variances(self) -> tuple[Floats, ...]:
        """var(b | y, beta, theta) = sigma^2 (Z'Z + T^-1)^-1 of each level, (J, k, k) of each term."""
        state = self.optimum.state
        blocks = conditional_blocks(state.forward, state.reverse, self.optimum.layout)
        return self.optimum.by_term(
            lambda f, S, columns: self.sigma**2 * (S @ blocks[f][:, columns, columns] @ S.T)
        )


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
        return self.criterion.layout

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
