"""The fit's objective: the profiled deviance in theta, and its moves in the cone of covariance matrices.

T >= 0 is a cone, and theta the entries of its root: at T = 0 along a direction the slope in theta is zero
whether the deviance rises into the cone or falls. Newton's method cannot tell. The derivative D in T can: a
negative eigenvalue of D is a way down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lmmkit.engine.criterion.criterion import Criterion, Evaluation
from lmmkit.engine.crossproducts.elimination_order import Factor
from lmmkit.engine.problem import Floats
from lmmkit.engine.search import covariance_cone as cone
from lmmkit.engine.search.rules import Rules
from lmmkit.engine.search.search import Objective


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
    rules: Rules

    def evaluate(self, theta: Floats) -> Evaluation:
        """The criterion."""
        return self.criterion.evaluate(theta)

    def fallback(self, point: Evaluation) -> Floats:
        """Theta one EM step on."""
        triples = zip(self.criterion.layout.factors, point.L, point.D, strict=True)
        return self.criterion.theta([cone.em_step(factor, L, D) for factor, L, D in triples])

    def off_null(self, point: Evaluation) -> Iterator[Floats]:
        """T widened along its null directions in which the deviance falls steeply."""
        for f, factor in enumerate(self.criterion.layout.factors):
            for index, slope, v in cone.null_slope(
                factor, point.L[f], point.D[f], self.scale[f], self.rules.null_below
            ):
                if slope < -self.rules.steep_null:
                    yield from self._widened(point, f, index, v)

    def off_saddle(self, point: Evaluation) -> Iterator[Floats]:
        """T widened along the directions of negative multipliers."""
        for f, factor in enumerate(self.criterion.layout.factors):
            slopes = cone.scaled_slopes(factor, point.D[f], self.scale[f])
            for index, (values, vectors) in enumerate(slopes):
                if values[0] < -self.rules.saddle_slope:
                    yield from self._widened(point, f, index, vectors[:, 0])

    def _widened(self, point: Evaluation, f: int, index: int, v: Floats) -> Iterator[Floats]:
        """T + size v v' of one block, with falling size."""
        factor, L = self.criterion.layout.factors[f], list(point.L)
        for size in self.rules.sizes:
            L[f] = cone.widened(factor, point.L[f], index, v, self.scale[f], size)
            yield self.criterion.theta(L)

    def reordered(self, point: Evaluation) -> tuple[ProfiledDeviance, Floats]:
        """Each block's columns in the order of falling variance.

        Where T_11 goes to zero in an unstructured block, L = [[0, 0], [l21, l22]] has a circle of equal
        deviance, on which Newton's method crawls; with that column last the zero pivot is the last one, and
        there is no circle.
        """
        layout, s = self.criterion.layout, len(self.criterion.layout.chain)
        factors = [
            _by_variance(f, L, scale) for f, L, scale in zip(layout.factors, point.L, self.scale, strict=True)
        ]
        criterion = self.criterion.with_layout(
            replace(layout, chain=tuple(factors[:s]), rest=tuple(factors[s:]))
        )
        L = [_refactored(factor, x) for factor, x in zip(factors, point.L, strict=True)]
        return replace(self, criterion=criterion), criterion.theta(L)


def _by_variance(factor: Factor, L: Floats, scale: Floats) -> Factor:
    """The factor with each block's columns by decreasing scaled variance."""
    size = (L**2).sum(1) * scale**2
    return replace(
        factor, blocks=tuple(tuple(sorted(block, key=lambda c: -size[c])) for block in factor.blocks)
    )


def _refactored(factor: Factor, L: Floats) -> Floats:
    """L of the same T, triangular in the factor's own order of columns."""
    out = L * 0.0
    for here, block in cone.by_blocks(factor, L):
        out[here] = cone.semidefinite_factor(block)
    return out
