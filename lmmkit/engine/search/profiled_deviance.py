"""The fit's objective: the profiled deviance in theta, and its moves in the cone of covariance matrices.

T >= 0 is a cone, and theta the entries of its root: at T = 0 along a direction the slope in theta is zero
whether the deviance rises into the cone or falls. Newton's method cannot tell. The derivative D in T can: a
negative eigenvalue of D is a way down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.block_diagonal import by_falling_variance
from lmmkit.engine.covariance.row_structure import RowStructure
from lmmkit.engine.criterion.criterion import Criterion, Evaluation
from lmmkit.engine.crossproducts.product_sources import Patterned
from lmmkit.engine.crossproducts.whitened import Whitened
from lmmkit.engine.rules import FitRules
from lmmkit.engine.search.runaway import endless, refuse_flat, runaway
from lmmkit.engine.search.search import Objective
from lmmkit.errors import FitError

WAYS = 10  # places on the way to a range without end, and back from one of zero, that are looked at


@dataclass(frozen=True, eq=False)
class ProfiledDeviance(Objective[Evaluation]):
    """The deviance in theta with beta and sigma at their best.

    Attributes:
        criterion: Its values.
        scale: Root of the mean Z'Z of each factor's columns: T is scaled by it for thresholds.
        rules: Thresholds of the moves.
    """

    criterion: Criterion
    scale: list[Floats]
    rules: FitRules

    def evaluate(self, theta: Floats) -> Evaluation:
        """The criterion."""
        return self.criterion.evaluate(theta)

    @property
    def has_em(self) -> bool:
        """Whether there is an EM step: of the random effects, if any, but for most patterns of T."""
        return bool(self.criterion.layout.factors) and self.criterion.layout.has_em

    @property
    def exact(self) -> bool:
        """Where the coordinates are those of R alone, over visits."""
        return isinstance(self.criterion.source, Patterned)

    @property
    def drifts(self) -> bool:
        """Where average information serves for coordinates of R, or for those of a pattern."""
        return isinstance(self.criterion.source, Whitened) or not self.criterion.layout.has_em

    @property
    def bounded(self) -> NDArray[np.bool_]:
        """(m,) standard deviations of single columns in a pattern."""
        return np.append(self.criterion.layout.bounded, np.zeros(self.criterion.source.count, bool))

    def em(self, point: Evaluation) -> Floats:
        """Theta one EM step on, with rho held."""
        return np.append(self.criterion.layout.em(point.L, point.D), point.rho)

    def fallback(self, point: Evaluation) -> Floats | None:
        """The same, where there is such a step."""
        return self.em(point) if self.has_em else None

    def units(self, point: Evaluation) -> Floats:
        """Those of rho; a theta beside it is in its own."""
        out, r = np.ones(len(point.theta)), len(point.rho)
        if r:
            out[-r:] = self.criterion.source.structure.units(point.rho)
        return out

    def length(self, point: Evaluation, step: Floats) -> float:
        """The largest step in a coordinate of R, in their units."""
        r = len(point.rho)
        return float((np.abs(step) / self.units(point))[-r:].max()) if r else 0.0

    def refuse_runaway(self, point: Evaluation, step: Floats) -> None:
        """Refuse where the deviance is flat, or falls along Newton's direction for as far as can be seen."""
        structure = self.criterion.source.structure
        if isinstance(structure, RowStructure) and structure.fading(point.rho):
            return  # towards its boundary
        refuse_flat(point)
        try:
            beyond = self.evaluate(point.theta + self.rules.far * step).deviance
        except (FitError, np.linalg.LinAlgError):
            beyond = -np.inf
        if beyond < point.deviance:
            raise FitError(runaway(point, step))

    def back(self, point: Evaluation, previous: Floats | None) -> Iterator[Floats] | None:
        """On the way from the point before to one of an endless range."""
        structure = self.criterion.source.structure
        if not isinstance(structure, RowStructure) or not structure.endless(point.rho):
            return None
        if previous is None:
            return iter(())
        return (previous + share * (point.theta - previous) for share in np.arange(1, WAYS) / WAYS)

    def refuse_endless(self, point: Evaluation) -> None:
        """Refuse by name."""
        raise FitError(endless(point))

    def off_null(self, point: Evaluation) -> Iterator[Floats]:
        """T grown within its null space, in the ways in which the deviance falls steeply."""
        for f, factor in enumerate(self.criterion.layout.factors):
            D = point.D[f] / factor.levels
            ways = factor.structure.growths_from_null(point.L[f], D, self.scale[f], self.rules.null)
            for slope, rows in ways:
                if slope < -self.rules.steep_null:
                    yield from self._grown(point, f, rows)

    def off_saddle(self, point: Evaluation) -> Iterator[Floats]:
        """T grown in the ways of negative multipliers; rho moved where the deviance bends down."""
        for f, (slope, rows) in self.criterion.layout.growths(point.L, point.D, self.scale):
            if slope < -self.rules.saddle_slope:
                yield from self._grown(point, f, rows)
        structure = self.criterion.source.structure
        if isinstance(structure, RowStructure) and structure.no_correlation(point.rho):
            for rho in structure.returns(point.rho):
                yield np.append(point.theta[: -len(rho)], rho)
        if self.exact:
            values, vectors = np.linalg.eigh(point.hessian)
            if values[0] < -self.rules.flat * values[-1]:
                for size in self.rules.sizes:
                    for way in (vectors[:, 0], -vectors[:, 0]):
                        yield point.theta + size * way

    def _grown(self, point: Evaluation, f: int, rows: Floats) -> Iterator[Floats]:
        """T + size B B' of one factor, with falling size."""
        layout, L = self.criterion.layout, list(point.L)
        for size in self.rules.sizes:
            L[f] = layout.factors[f].structure.grown(point.L[f], rows, size)
            yield np.append(layout.coordinates(L), point.rho)

    def reordered(self, point: Evaluation) -> tuple[ProfiledDeviance, Floats] | None:
        """Each block's columns in the order of falling variance, where there are any.

        Where T_11 goes to zero in an unstructured block, L = [[0, 0], [l21, l22]] has a circle of equal
        deviance, on which Newton's method crawls; with that column last the zero pivot is the last one, and
        there is no circle.
        """
        if not self.criterion.layout.factors:
            return None
        layout, s = self.criterion.layout, len(self.criterion.layout.chain)
        factors = [
            replace(f, structure=by_falling_variance(f.structure, L, scale))
            for f, L, scale in zip(layout.factors, point.L, self.scale, strict=True)
        ]
        layout = replace(layout, chain=tuple(factors[:s]), rest=tuple(factors[s:]))
        L = [f.structure.root_of(x) for f, x in zip(factors, point.L, strict=True)]
        theta = np.append(layout.coordinates(L), point.rho)
        return replace(self, criterion=self.criterion.with_layout(layout)), theta
