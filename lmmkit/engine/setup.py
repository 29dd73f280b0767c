"""A problem made ready to be searched: prepared rows, layout, cross-products, criterion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.criterion import Criterion
from lmmkit.engine.crossproducts.crossproducts import Moments, absorb, collect
from lmmkit.engine.crossproducts.dense_relations import independent
from lmmkit.engine.crossproducts.elimination_order import Layout, build_layout
from lmmkit.engine.crossproducts.identification import refuse_unidentified
from lmmkit.engine.crossproducts.moment_start import EXACT, moment_start, scales, used_up
from lmmkit.engine.crossproducts.product_sources import Fixed, Patterned, ProductSource, patterned
from lmmkit.engine.crossproducts.scaling import Prepared, prepare
from lmmkit.engine.problem import Problem
from lmmkit.engine.rules import SEARCH
from lmmkit.errors import FitError

WIDEST = 15_000  # columns of the dense matrix: a few GB each for it, its factor and its inverse
CELLS = 4e8  # numbers that couple an outer factor of the chain with the crossed ones: a few GB


@dataclass(frozen=True, eq=False)
class Setup:
    """What every search over one problem shares.

    Attributes:
        problem: The arrays as given.
        prepared: The rows in prepared units.
        layout: Chain and rest.
        raw: Cross-products.
        absorbed: Cross-products with the first factor absorbed.
        criterion: The profiled deviance.
        scale: Root of the mean Z'Z of each factor's columns.
    """

    problem: Problem
    prepared: Prepared
    layout: Layout
    raw: Moments
    absorbed: Moments
    criterion: Criterion
    scale: list[Floats]

    def start(self, floor: float = SEARCH.floor) -> Floats:
        """Theta from the moment equations."""
        if isinstance(self.criterion.source, Patterned):
            return self._residual_start(self.criterion.source)
        if not self.layout.factors:
            return np.empty(0)
        theta = moment_start(self.raw, self.absorbed, self.layout, len(self.problem.response), floor)
        return self._best_of_trials(theta)

    def _best_of_trials(self, theta: Floats) -> Floats:
        """Theta with other correlations in each pattern, where the deviance is lower."""
        for cut, factor in zip(self.layout.cuts, self.layout.factors, strict=True):
            ways = [theta]
            for moved in factor.structure.trials(theta[cut]):
                ways.append(theta.copy())
                ways[-1][cut] = moved
            if len(ways) > 1:
                theta = min(ways, key=lambda way: self.criterion.evaluate(way).deviance)
        return theta

    def _residual_start(self, source: Patterned) -> Floats:
        """The rho of least deviance among those that the residuals of ordinary least squares suggest."""
        rhos = source.residual.structure.starts(*source.products())
        if len(rhos) == 1:
            return rhos[0]
        return min(rhos, key=lambda rho: self.criterion.evaluate(rho).deviance)


def set_up(problem: Problem, *, reml: bool, estimated: bool = True) -> Setup:
    """Prepare a problem and take its cross-products.

    Args:
        problem: The arrays.
        reml: Restricted maximum likelihood, or maximum likelihood.
        estimated: Whether the variances are: then there must be rows that tell of them.

    Raises:
        FitError: The model cannot be estimated from these data.
    """
    if problem.terms and problem.residual is not None:
        raise FitError(
            "A residual structure beside random effects is not offered. Leave the random-effects terms out "
            "(un, cs and toep allow any two rows of a subject to be correlated), or the residual structure."
        )
    prepared = prepare(problem)
    if estimated:
        _refuse_too_few_rows(problem, prepared)
    layout = build_layout(problem, prepared)
    _refuse_too_wide(layout)
    n = len(problem.response)
    visits = problem.visits
    if visits is None:
        raw = collect(prepared, layout)
        absorbed = absorb(raw, prepared, layout) if layout.factors else raw
        layout, raw, absorbed = independent(prepared, layout, raw, absorbed)
        if estimated:
            _refuse_exact_within(raw, absorbed, n)
        source: ProductSource = Fixed(absorbed)
    else:
        source = patterned(prepared, visits)
        refuse_unidentified(source, len(prepared.fixed))
        raw = absorbed = source.independent()
    constant = constant_of(prepared, n, reml)
    criterion = Criterion(source, layout, n, len(prepared.fixed), reml=reml, constant=constant)
    return Setup(problem, prepared, layout, raw, absorbed, criterion, scales(raw, layout))


def constant_of(prepared: Prepared, n: int, reml: bool) -> float:
    """What preparation took out of the deviance."""
    p = len(prepared.fixed)
    constant = 2.0 * (n - p * reml) * np.log(prepared.scale) - prepared.log_weights
    if reml and p:
        constant -= 2.0 * float(np.linalg.slogdet(prepared.basis)[1])
    return float(constant)


def _refuse_too_wide(layout: Layout) -> None:
    """The dense matrix of the crossed factors fits into memory."""
    if layout.sparse:
        return  # its own limits are those of the factor
    if layout.size > WIDEST:
        raise FitError(
            f"Beside the largest grouping factor the crossed ones have {layout.size:,} random effects; their "
            f"equations are solved as one dense matrix, of at most {WIDEST:,} columns. Leave a crossed term "
            "out, or fit a part of the data."
        )
    outer = max((factor.levels * factor.width for factor in layout.chain[1:]), default=0)
    if outer * layout.size > CELLS:
        raise FitError(
            f"A factor that others are nested in has {outer:,} random effects, the crossed ones have "
            f"{layout.size:,}; what couples them is a matrix of {outer * layout.size:.2g} numbers, at most "
            f"{CELLS:.0g} are kept. Leave a crossed term out, or fit a part of the data."
        )


def _refuse_exact_within(raw: Moments, absorbed: Moments, rows: int) -> None:
    """Some variance of the response within the levels of the first factor, where it leaves any room.

    Columns of several terms may together span all rows and the likelihood have a maximum all the same: two
    rows per level with `(x || g)` have three different moments for three variances.
    """
    if absorbed.total[-1, -1] <= EXACT * raw.total[-1, -1] and used_up(absorbed.own[0]) < rows:
        raise FitError(
            "The random effects reproduce the response exactly: it does not vary within the levels of a "
            "grouping factor, and no residual variance is left. Analyse one row per level instead."
        )


def _refuse_too_few_rows(problem: Problem, prepared: Prepared) -> None:
    """More rows than fixed effects, and than random effects of any one term."""
    n, p = len(problem.response), len(prepared.fixed)
    if n <= p:
        raise FitError(f"{n} rows cannot estimate {p} fixed effects and a variance: more rows are needed.")
    for term in problem.terms:
        count = term.levels * len(term.columns)
        if count >= n and term.relation is None and term.structure.batched:
            raise FitError(
                f"A random-effects term has {term.levels} levels x {len(term.columns)} columns = {count} "
                f"random effects for {n} rows: its variances cannot be told from the residual variance. "
                "Take columns out of the term, or group by a factor with fewer levels."
            )
