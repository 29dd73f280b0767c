"""A problem made ready to be searched: prepared rows, layout, cross-products, criterion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.criterion import Criterion
from lmmkit.engine.crossproducts.crossproducts import Moments, absorb, collect
from lmmkit.engine.crossproducts.dense_relations import independent
from lmmkit.engine.crossproducts.elimination_order import Layout, build_layout
from lmmkit.engine.crossproducts.identification import refuse_absorbed, refuse_unidentified
from lmmkit.engine.crossproducts.moment_start import EXACT, moment_start, scales, used_up
from lmmkit.engine.crossproducts.product_sources import Fixed, Patterned, ProductSource, patterned
from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.crossproducts.sub_blocks import part_of, same_rows, sub_blocks
from lmmkit.engine.crossproducts.whitened import Whitened, whitened
from lmmkit.engine.problem import Prepared, Problem, Residual, RowResidual
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

    def start(
        self,
        floor: float = SEARCH.floor,
        factors: tuple[Floats, ...] | None = None,
        rho: Floats | None = None,
    ) -> Floats:
        """The coordinates to search from: of every T, then of R.

        Args:
            floor: Least variance, see `Structure.start`.
            factors: Lambda of each term; by default from the moment equations.
            rho: Of R; by default that of least deviance among those that the residuals of ordinary least
                squares suggest.
        """
        rhos = self._residual_starts() if rho is None else [rho]
        starts = [np.append(self._beside(one, floor, factors), one) for one in rhos]
        return starts[0] if len(starts) == 1 else min(starts, key=self._deviance)

    def _deviance(self, theta: Floats) -> float:
        try:
            return self.criterion.evaluate(theta).deviance
        except FitError:
            return np.inf

    def _residual_starts(self) -> list[Floats]:
        source = self.criterion.source
        if isinstance(source, Patterned):
            return source.structure.starts(*source.products())
        return source.starts() if isinstance(source, Whitened) else [np.empty(0)]

    def _beside(self, rho: Floats, floor: float, factors: tuple[Floats, ...] | None) -> Floats:
        """Theta of the random effects, by default from the moment equations of rows whitened at rho."""
        if factors is not None:
            return self.layout.coordinates(self.layout.in_prepared_units(self.prepared.term_bases, factors))
        if not self.layout.factors:
            return np.empty(0)
        source, n = self.criterion.source, len(self.problem.response)
        if isinstance(source, Whitened):
            theta = moment_start(*source.sums(rho), source.layout, n, floor)
        else:
            theta = moment_start(self.raw, self.absorbed, self.layout, n, floor)
        return self._best_of_trials(theta, rho)

    def _best_of_trials(self, theta: Floats, rho: Floats) -> Floats:
        """Theta with other correlations in each pattern, where the deviance is lower."""
        for cut, factor in zip(self.layout.cuts, self.layout.factors, strict=True):
            ways = [theta]
            for moved in factor.structure.trials(theta[cut]):
                ways.append(theta.copy())
                ways[-1][cut] = moved
            if len(ways) > 1:
                theta = min(ways, key=lambda way: self._deviance(np.append(way, rho)))
        return theta


def set_up(problem: Problem, *, reml: bool, estimated: bool = True) -> Setup:
    """Prepare a problem and take its cross-products.

    Args:
        problem: The arrays.
        reml: Restricted maximum likelihood, or maximum likelihood.
        estimated: Whether the variances are: then there must be rows that tell of them.

    Raises:
        FitError: The model cannot be estimated from these data.
    """
    prepared = prepare(problem)
    if estimated:
        _refuse_too_few_rows(problem)
    layout = build_layout(problem, prepared)
    _refuse_too_wide(layout)
    n = len(problem.response)
    residual = problem.residual
    if isinstance(residual, Residual) and not problem.terms:
        patterns = patterned(prepared, residual)
        refuse_unidentified(patterns, len(prepared.fixed))
        raw = absorbed = patterns.independent()
        source: ProductSource = patterns
    else:
        raw = collect(prepared, layout)
        absorbed = absorb(raw, prepared, layout) if layout.factors else raw
        layout, raw, absorbed = independent(prepared, layout, raw, absorbed)
        if estimated:
            _refuse_exact_within(raw, absorbed, n)
        if residual is not None:
            if layout.sparse:
                raise FitError(
                    "A residual structure beside relatives of a pedigree is not offered: whitened rows tie "
                    "all of a subject's animals together. Give the relationships as a matrix, or leave the "
                    "residual structure out."
                )
            _refuse_unidentified(problem, residual, prepared)
        source = Fixed(absorbed) if residual is None else whitened(prepared, layout, residual)
    return _made(problem, prepared, layout, (raw, absorbed), source, reml=reml)


def _made(
    problem: Problem,
    prepared: Prepared,
    layout: Layout,
    products: tuple[Moments, Moments],
    source: ProductSource,
    *,
    reml: bool,
) -> Setup:
    """The criterion of cross-products, raw and absorbed, with all that made it."""
    n = len(problem.response)
    constant = constant_of(prepared, n, reml)
    criterion = Criterion(source, layout, n, len(prepared.fixed), reml=reml, constant=constant)
    return Setup(problem, prepared, layout, *products, criterion, scales(products[0], layout))


def subset(whole: Setup, problem: Problem) -> Setup | None:
    """A part of a model made ready from the cross-products of the whole, without another pass for them.

    Args:
        whole: A model of the same rows and fixed part.
        problem: One with some of its random-effects terms, or some of their columns, in any structure.

    Returns:
        What `set_up` gives, to rounding; None where the part has to take its own cross-products: see
        `part_of`.

    Raises:
        FitError: The model cannot be estimated from these data.
    """
    if not same_rows(whole.problem, problem):
        return None
    prepared = prepare(problem)
    found = part_of((whole.problem, whole.prepared, whole.layout), problem, prepared)
    if found is None or prepared.scale != whole.prepared.scale or prepared.kept != whole.prepared.kept:
        return None
    layout, maps = found
    _refuse_too_few_rows(problem)
    raw, absorbed = sub_blocks(whole.raw, whole.absorbed, whole.layout, layout, maps)
    _refuse_exact_within(raw, absorbed, len(problem.response))
    return _made(problem, prepared, layout, (raw, absorbed), Fixed(absorbed), reml=whole.criterion.reml)


def _refuse_unidentified(problem: Problem, residual: Residual | RowResidual, prepared: Prepared) -> None:
    """The rows tell of every parameter of visits beside random effects and variance functions."""
    visits = residual if isinstance(residual, Residual) else residual.over_visits
    if isinstance(residual, Residual):
        refuse_absorbed(problem, residual)
    if visits is not None:
        refuse_unidentified(patterned(prepared, visits), len(prepared.fixed))


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
    if (
        absorbed.own
        and absorbed.total[-1, -1] <= EXACT * raw.total[-1, -1]
        and used_up(absorbed.own[0]) < rows
    ):
        raise FitError(
            "The random effects reproduce the response exactly: it does not vary within the levels of a "
            "grouping factor, and no residual variance is left. Analyse one row per level instead."
        )


def _refuse_too_few_rows(problem: Problem) -> None:
    """More rows than random effects of any one term; of fixed effects `prepare` has seen to it."""
    n = len(problem.response)
    for term in problem.terms:
        count, relation = term.levels * len(term.columns), term.relation
        if relation is not None:
            met = np.unique(term.codes)
            if len(met) * len(term.columns) >= n and relation.unrelated(met):
                raise FitError(
                    f"The {len(met):,} levels of a random-effects term that have rows are not related to "
                    f"each other, for {n} rows: their variance cannot be told from the residual variance. "
                    "Give the relationships that connect them, or more rows of each."
                )
        elif count >= n and term.structure.batched:
            raise FitError(
                f"A random-effects term has {term.levels} levels x {len(term.columns)} columns = {count} "
                f"random effects for {n} rows: its variances cannot be told from the residual variance. "
                "Take columns out of the term, or group by a factor with fewer levels."
            )
