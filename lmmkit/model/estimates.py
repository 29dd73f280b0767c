"""From a design to its estimates: one frozen value that every table, test and picture starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.structures import Natural
from lmmkit.engine.covariates import awaits_fitted, with_fitted
from lmmkit.engine.inference.connected_blocks import BlockInformation
from lmmkit.engine.inference.information import (
    Curvature,
    DirectionalInformation,
    ExpectedInformation,
    VarianceInformation,
    curvature,
    entry_directions,
    optimum_at,
    theta_directions,
)
from lmmkit.engine.inference.information_by_source import along_coordinates, exact_information
from lmmkit.engine.inference.kenward_roger import KenwardRoger, kenward_roger, with_observed
from lmmkit.engine.inference.satterthwaite import Satterthwaite
from lmmkit.engine.inference.unbounded import unbounded_information
from lmmkit.engine.linalg.two_part_covariance import Sandwich
from lmmkit.engine.optimum import Optimum
from lmmkit.engine.problem import FitNumbers, Problem, Residual, RowResidual
from lmmkit.engine.search.optimality import Check
from lmmkit.engine.setup import Setup
from lmmkit.engine.solve import Solution, solve, solve_at
from lmmkit.errors import FitError
from lmmkit.model.design.design import Design, RandomTerm
from lmmkit.model.design.residual_design import VisitDesign, refuse_lost_sign
from lmmkit.model.threads import one_thread


@dataclass(frozen=True, eq=False)
class Stored:
    """What a search leaves behind beside its numbers, read from a file.

    Attributes:
        checks: Conditions of a local optimum.
        trace: The log of the search.
        b: BLUPs of each term, (J, k).
        variances: var(b | y, beta, theta) of each term, (J, k, k).
    """

    checks: Sequence[Check]
    trace: Sequence[Mapping[str, Any]]
    b: tuple[Floats, ...]
    variances: tuple[Floats, ...]

    def random_effects(self) -> tuple[Floats, ...]:
        """BLUPs b of each term, (J, k)."""
        return self.b

    def conditional_variances(self) -> tuple[Floats, ...]:
        """var(b | y, beta, theta) of each term, (J, k, k)."""
        return self.variances


STEP_NUMBERS = ("deviance", "gradient", "decrement")  # of each step of a trace


@dataclass(frozen=True, eq=False)
class Estimates(FitNumbers):
    """The numbers of a fit with its design.

    Attributes:
        design: Names and arrays.
        algorithm: The search that found it.
        evidence: Random effects, conditions of an optimum, the log of the search.
    """

    design: Design
    algorithm: str
    evidence: Solution | Stored = field(repr=False)

    @cached_property
    def problem(self) -> Problem:
        """The arrays; where variances follow the fitted values with these, as the last round had them."""
        problem = self.design.problem
        if not awaits_fitted(problem):
            return problem
        if isinstance(self.evidence, Solution):
            return self.evidence.optimum.problem
        return with_fitted(problem, self.fitted)

    @property
    def random(self) -> tuple[RandomTerm, ...]:
        """The random-effects terms, parallel to `factors`."""
        return self.design.random

    @property
    def formula(self) -> str:
        """The formula in canonical spelling."""
        return self.design.formula

    @property
    def nobs(self) -> int:
        """Rows used."""
        return len(self.problem.response)

    @property
    def names(self) -> list[str]:
        """Names of the coefficients."""
        return [self.design.fixed_names[i] for i in self.kept]

    @property
    def dropped_columns(self) -> list[str]:
        """Names of the columns of X that were left out as functions of earlier ones."""
        return [name for i, name in enumerate(self.design.fixed_names) if i not in self.kept]

    @cached_property
    def naturals(self) -> tuple[tuple[int, Natural], ...]:
        """Each covariance parameter as it is printed, with the number of its term."""
        return tuple((t, n) for t, term in enumerate(self.random) for n in term.structure.naturals)

    @property
    def theta(self) -> Floats:
        """The coordinates of every Lambda."""
        pairs = zip(self.random, self.factors, strict=True)
        return np.concatenate([np.empty(0), *(term.structure.relative(L) for term, L in pairs)])

    @property
    def residual_coordinates(self) -> Floats | None:
        """Rho, where there is a residual structure: where another search may begin."""
        return self.rho if self.problem.residual else None

    @property
    def npar(self) -> int:
        """Parameters: fixed effects, theta, those of the residual structure, and sigma; not those held."""
        if self.design.held is not None:
            return len(self.beta)
        return len(self.beta) + len(self.theta) + len(self.rho) + 1

    @property
    def llf(self) -> float:
        """Log-likelihood, restricted under REML."""
        return -self.deviance / 2.0

    @property
    def aic(self) -> float:
        """deviance + 2 npar."""
        return self.deviance + 2.0 * self.npar

    @property
    def bic(self) -> float:
        """deviance + npar log(nobs)."""
        return self.deviance + self.npar * float(np.log(self.nobs))

    @property
    def aicc(self) -> float:
        """aic + 2 npar (npar + 1) / (nobs - npar - 1); infinite where the rows are too few for it."""
        left = self.nobs - self.npar - 1
        return self.aic + 2.0 * self.npar * (self.npar + 1) / left if left > 0 else np.inf

    @property
    def is_singular(self) -> bool:
        """Whether a covariance matrix of random effects has a null direction."""
        return any(self.null_directions)

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels by grouping factor, subjects of a residual structure included."""
        residual = self.design.residual
        subjects = residual.subjects if residual else None
        own = {subjects.name: subjects.size} if subjects and subjects.size > 1 else {}
        return self.design.ngroups | own

    @cached_property
    def residual_covariance(self) -> Floats:
        """(T, T) covariance matrix of the residuals over the cells of a structure over visits."""
        residual = self.design.residual
        if not isinstance(residual, VisitDesign):
            return np.array([[self.sigma**2]])
        return self.sigma**2 * residual.structure.matrix(self.rho)

    @cached_property
    def spread_rows(self) -> Floats | Ints:
        """(n,) what the rows' residual variances depend on: cells, or values of a variance function."""
        residual = self.design.residual
        if residual is None:
            return np.zeros(self.nobs)
        arrays = self.problem.residual
        known = arrays.covariate if residual.formula.follows_fit and isinstance(arrays, RowResidual) else None
        return residual.own_rows() if known is None else known

    @cached_property
    def residual_params(self) -> Floats:
        """(r,) parameters of the residual structure as they are printed."""
        residual = self.design.residual
        return np.empty(0) if residual is None else residual.structure.natural(self.rho)

    @property
    def vcov(self) -> Floats:
        """(p, p) covariance matrix of the fixed effects."""
        return self.sigma**2 * self.unscaled_vcov

    @cached_property
    def covariance_of_beta(self) -> Sandwich:
        """The same matrix, for linear functions of the fixed effects."""
        with one_thread():
            return self.optimum.covariance_of_beta

    def covariance(self, term: int) -> Floats:
        """(k, k) covariance matrix of the random effects of one term."""
        return self.sigma**2 * self.factors[term] @ self.factors[term].T

    @property
    def bse(self) -> Floats:
        """(p,) standard errors of the fixed effects, unadjusted."""
        return np.sqrt(np.diag(self.vcov))

    @cached_property
    def b(self) -> tuple[Floats, ...]:
        """BLUPs of each term, (J, k)."""
        return self.evidence.random_effects()

    @cached_property
    def conditional_variances(self) -> tuple[Floats, ...]:
        """var(b | y, beta, theta) of each term, (J, k, k)."""
        return self.evidence.conditional_variances()

    @cached_property
    def optimum(self) -> Optimum:
        """The criterion at the estimates."""
        if isinstance(self.evidence, Solution):
            return self.evidence.optimum
        return optimum_at(self.problem, self.factors, self.residual_coordinates, reml=self.reml)

    @cached_property
    def information(self) -> VarianceInformation:
        """The exact information on (theta, sigma): one Hessian for tests, intervals and the certificate."""
        with one_thread():
            return exact_information(self.optimum)

    @cached_property
    def curvature(self) -> Curvature:
        """What Wald intervals of variance parameters need."""
        with one_thread():
            return curvature(self.optimum, self.information)

    @property
    def open_information(self) -> DirectionalInformation:
        """As `expected`, for levels that a known covariance relates too."""
        if self.design.has_relatives:
            return BlockInformation(self.optimum, entry_directions(self.optimum))
        return self.expected

    @cached_property
    def expected(self) -> ExpectedInformation:
        """Expected information on the entries of the covariance matrices, which exists at a null one too."""
        return ExpectedInformation(self.optimum, entry_directions(self.optimum))

    @cached_property
    def satterthwaite(self) -> Satterthwaite:
        """What Satterthwaite's degrees of freedom need."""
        return Satterthwaite(self.information)

    @cached_property
    def unbounded(self) -> Satterthwaite:
        """The same with variances that may be negative."""
        with one_thread():
            return Satterthwaite(unbounded_information(self.optimum))

    @cached_property
    def kenward_roger(self) -> KenwardRoger:
        """What Kenward and Roger's tests need."""
        with one_thread():
            return kenward_roger(self._along_coordinates or self.expected)

    @cached_property
    def kenward_roger_observed(self) -> KenwardRoger:
        """The same from the observed information on the variance parameters."""
        with one_thread():
            found = self._along_coordinates or ExpectedInformation(
                self.optimum, theta_directions(self.optimum)
            )
            return with_observed(self.information, found)

    @property
    def has_closed_information(self) -> bool:
        """Whether expected information is a matter of sums over patterns of visits."""
        return isinstance(self.problem.residual, Residual) and not self.random

    @cached_property
    def _along_coordinates(self) -> DirectionalInformation | None:
        """Expected information on the coordinates, those of R among them, where there is a structure of R."""
        return along_coordinates(self.optimum)

    @property
    def X(self) -> Floats:
        """(n, p) columns of the coefficients."""
        return self.problem.X(self.kept)

    @property
    def noise(self) -> Floats:
        """(n,) standard deviation of each row's residual."""
        residual, weights = self.design.residual, self.problem.weights
        sds = np.full(self.nobs, self.sigma)
        if residual is not None:
            sds = self.sigma * np.sqrt(residual.variances(self.rho, self.spread_rows))
        return sds if weights is None else sds / np.sqrt(weights)

    @cached_property
    def marginal_fit(self) -> Floats:
        """X beta and the offset, (n,)."""
        return self.design.problem.fixed_part(self.kept, self.beta)

    @cached_property
    def fitted(self) -> Floats:
        """X beta + Z b and the offset, (n,)."""
        return self.design.problem.plus_random(self.marginal_fit, self.b)

    def to_dict(self) -> dict[str, Any]:
        """What `estimates_from_dict` needs beside the table and the random effects."""
        return {
            "design": self.design.to_dict(),
            "algorithm": self.algorithm,
            **self.numbers(),
            "trace": self.evidence.trace,
            "checks": [asdict(check) for check in self.evidence.checks],
        }


def start_factors(design: Design, theta: Sequence[float]) -> tuple[Floats, ...]:
    """Lambda of each term from theta, its free entries in the order of `Fit.theta`.

    Raises:
        FitError: Not as many numbers as the model has covariance parameters.
    """
    if design.residual is not None and not design.random:
        raise FitError(
            "start: a model without random effects has no theta, and its search starts from the residuals "
            "of ordinary least squares; leave start out."
        )
    try:
        values = np.asarray(theta, dtype=np.float64)
    except (TypeError, ValueError):
        raise FitError(
            f"start: numbers are expected, one per covariance parameter, not {theta!r:.60}."
        ) from None
    structures = [term.structure for term in design.random]
    ends = np.cumsum([0, *(structure.count for structure in structures)])
    if values.shape != (ends[-1],):
        raise FitError(
            f"start has {values.size} numbers; this model has {ends[-1]} covariance parameters: "
            "give one for each, in the order of theta."
        )
    return tuple(s.from_relative(x) for s, x in zip(structures, np.split(values, ends[1:-1]), strict=True))


def estimate(
    design: Design,
    *,
    reml: bool,
    algorithm: str,
    limit: int | None = None,
    start: Sequence[float] | None = None,
    rho: Floats | None = None,
    setup: Setup | None = None,
) -> Estimates:
    """Fit the model of a design.

    Args:
        design: The arrays and their names.
        reml: Restricted maximum likelihood, or maximum likelihood.
        algorithm: The search.
        limit: Steps at most; by default what the algorithm may need on hard problems.
        start: theta to start from; by default from the moment equations.
        rho: (r,) coordinates of the residual structure to start from; by default from the moments.
        setup: The design's problem made ready, where it was made so already.

    Raises:
        FitError: The model cannot be estimated from these data, there is no such algorithm, it is allowed no
            step, or the start is outside the cone of covariance factors.
    """
    first = None if start is None else start_factors(design, start)
    with one_thread():
        if design.held is not None:
            found = solve_at(design.problem, design.held.factors, design.held.sigma, reml=reml)
        else:
            found = solve(
                design.problem,
                reml=reml,
                algorithm=algorithm,
                limit=limit,
                start=first,
                rho=rho,
                setup=setup,
            )
    if design.residual is not None:
        refuse_lost_sign(design.residual, found.rho)
    return Estimates(**found.numbers(), design=design, algorithm=algorithm, evidence=found)


def refuse_held(estimates: Estimates, what: str, instead: str) -> None:
    """Refuse what is about variances that are estimated where they are given.

    Args:
        estimates: The fit.
        what: What was asked for.
        instead: What there is without it.

    Raises:
        FitError: The variances are held.
    """
    if estimates.design.held is not None:
        raise FitError(
            f"{what} is about variances that are estimated, and those of `{estimates.design.recipe.formula}` "
            f"are given: {instead}, or leave variances out to have them estimated."
        )


def refitted(estimates: Estimates, *, reml: bool) -> Estimates:
    """The fit of the same model by REML or ML: the same one, if it is by that criterion."""
    if estimates.reml == reml:
        return estimates
    return estimate(estimates.design, reml=reml, algorithm=estimates.algorithm)


def estimates_from_dict(
    given: Mapping[str, Any], design: Design, b: tuple[Floats, ...], variances: tuple[Floats, ...]
) -> Estimates:
    """The estimates again from `Estimates.to_dict`, without a search.

    Args:
        given: What `to_dict` gave, as JSON holds it.
        design: Its design, made again from `given["design"]`.
        b: BLUPs of each term, (J, k).
        variances: var(b | y, beta, theta) of each term, (J, k, k).

    Raises:
        KeyError, TypeError, ValueError: A field is absent, or does not fit the design.
    """
    numbers = FitNumbers.from_dict(given)
    for factor, term in zip(numbers.factors, design.random, strict=True):
        if factor.shape != (k := len(term.names), k):
            raise ValueError(f"{term.group} has {k} columns, its factor the shape {factor.shape}")
    checks = [Check(c["name"], float(c["value"]), c["threshold"], c["passed"]) for c in given["checks"]]
    trace = [
        {**step, **{key: float(step[key]) for key in STEP_NUMBERS}}
        | {key: tuple(step[key]) for key in ("theta", "rho") if key in step}
        for step in given["trace"]
    ]
    evidence = Stored(checks, trace, b, variances)
    return Estimates(**numbers.numbers(), design=design, algorithm=str(given["algorithm"]), evidence=evidence)
