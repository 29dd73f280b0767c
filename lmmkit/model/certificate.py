"""What was checked about a fit, and whether it held: by code that shares nothing with the search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import floor, inf, isfinite, log10, sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.linalg import LinAlgError
from scipy.linalg import cholesky

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.patterned import Exponential, PatternedStructure
from lmmkit.engine.referee import henderson, kinship
from lmmkit.engine.referee.equation_residuals import (
    EPS,
    RATIO,
    SAFETY,
    TOLERANCE,
    Claim,
    amplification,
    fixed_part,
    random_part,
    residual_part,
    rounding,
)
from lmmkit.engine.referee.gls_conditions import GlsSums
from lmmkit.engine.referee.henderson import Effects
from lmmkit.engine.referee.henderson_sparse import SparseReferee
from lmmkit.engine.referee.patterned_effects import covariance_as_printed
from lmmkit.engine.referee.residual_covariance import CorrelatedResiduals, gls_sums
from lmmkit.engine.referee.row_covariance import MarkovRows, WrittenRows, residuals_as_printed
from lmmkit.engine.referee.textbook import SparseModel, standardise, write_out
from lmmkit.engine.solve import solve
from lmmkit.errors import FitError
from lmmkit.escape import html, terminal
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.open_directions import open_directions
from lmmkit.model.threads import one_thread

Written = CorrelatedResiduals | MarkovRows | WrittenRows
NOT_DEFINITE = "covariance matrices by the referee, positive definite"
HOLDS, FAILS, UNCHECKED = "holds", "fails", "not checked"
AT_ONCE = 500  # rows up to which the default certificate forms V
DENSE = 2_000  # rows below which the full one does
UNIT = 1e-8  # deviation from unit information above which the basis of X is made again
VOID = 0.01  # a threshold above this, so large for rounding's sake, checks nothing
MOST_DIGITS = 15


@dataclass(frozen=True)
class CertificateLine:
    """One line of a certificate.

    Attributes:
        check: What was checked, with its unit.
        value: What was found.
        threshold: What it is held against.
        verdict: holds, fails or not checked.
        error: How far off the estimates may be by it, in standard errors; None where it says nothing.
    """

    check: str
    value: float
    threshold: float
    verdict: str
    error: float | None = None


@dataclass(frozen=True)
class Certificate:
    """The checks of one fit.

    Attributes:
        results: One per check.
        full: Whether it was asked to check all that it can.
    """

    results: tuple[CertificateLine, ...]
    full: bool

    @property
    def passed(self) -> bool:
        """Whether no check fails."""
        return not self.failed

    @property
    def failed(self) -> list[CertificateLine]:
        """The checks that fail."""
        return [result for result in self.results if result.verdict == FAILS]

    @property
    def digits(self) -> int:
        """Decimals that can be trusted, in units of each estimate's standard error; 0 when a check fails."""
        worst = max((result.error or 0.0 for result in self.results), default=inf)
        if self.failed or not isfinite(worst):
            return 0
        return MOST_DIGITS if worst == 0.0 else max(0, min(MOST_DIGITS, floor(-log10(worst))))

    @property
    def checks(self) -> pd.DataFrame:
        """A row per check: check, value, threshold, verdict."""
        rows = [(r.check, r.value, r.threshold, r.verdict) for r in self.results]
        return pd.DataFrame(rows, columns=["check", "value", "threshold", "verdict"])

    def sentence(self) -> str:
        """The verdict in words."""
        if self.passed:
            held = sum(result.verdict == HOLDS for result in self.results)
            searched = any("decrement" in result.check.lower() for result in self.results)
            optimum = "a local optimum, " if searched else ""  # where variances are given there is none
            return (
                f"Certificate: {held} of {len(self.results)} checks hold, none fails: {optimum}"
                f"estimates good to 1e-{self.digits} of their standard errors."
            )
        names = "; ".join(f"{r.check}: {r.value:.3g} against {r.threshold:.3g}" for r in self.failed)
        return f"CERTIFICATE FAILED, do not use these numbers: {names}."

    def __str__(self) -> str:
        lines = [f"{r.value:12.3e} {r.threshold:12.3e}  {r.verdict:<12} {r.check}" for r in self.results]
        head = f"{'value':>12} {'threshold':>12}  {'verdict':<12} check"
        return "\n".join(map(terminal, [self.sentence(), head, *lines]))

    def _repr_html_(self) -> str:
        return f"<p>{html(self.sentence())}</p>{self.checks.to_html(index=False)}"


def certify(estimates: Estimates, *, full: bool = False) -> Certificate:
    """Check a fit.

    Args:
        estimates: The fit.
        full: Also search again by a second algorithm, and compute the estimates and the likelihood a second
            time, by Henderson's equations and through V.
    """
    written = _written(estimates)
    claim = Claim(**estimates.numbers(), problem=estimates.problem, b=estimates.b, written=written)
    with one_thread():
        alone = None if estimates.random else written
        conditions = _equations(claim) if alone is None else _gls(estimates, claim, alone)
        if estimates.design.held is not None:  # nothing was searched for, and sigma is no estimate
            lines = [line for line in conditions if "residual variance" not in line.check]
        else:
            lines = [*_optimality(estimates), *_identified(estimates), *_defined(estimates), *conditions]
        if full:
            lines += [] if estimates.design.held is not None else _second_search(estimates)
            lines += _second_route(estimates, claim)
        elif estimates.nobs <= AT_ONCE and not _too_large(estimates):
            lines.append(_through_V(estimates, claim))
    return Certificate(tuple(lines), full)


def _optimality(estimates: Estimates) -> Iterator[CertificateLine]:
    """What the search itself found; the decrement g'H⁻¹g bounds theta's error by sqrt(half of it)."""
    for check in estimates.evidence.checks:
        error = sqrt(max(check.value, 0.0) / 2.0) if "decrement" in check.name.lower() else None
        verdict = HOLDS if check.passed else FAILS
        yield CertificateLine(check.name, check.value, check.threshold, verdict, error)


def _identified(estimates: Estimates) -> Iterator[CertificateLine]:
    """What the data leave open: there the estimates are one choice among many, and no check can tell."""
    for direction in open_directions(estimates):
        yield CertificateLine(f"not identified, the likelihood stays along {direction}", 0.0, 0.0, UNCHECKED)


def _defined(estimates: Estimates) -> Iterator[CertificateLine]:
    """Whether covariance matrices with a pattern are those that the printed parameters define."""
    for t, term in enumerate(estimates.random):
        structure = term.structure
        if isinstance(structure, PatternedStructure):
            G = estimates.covariance(t)
            places = structure.positions if isinstance(structure, Exponential) else ()
            written = covariance_as_printed(
                structure.tag, structure.width, structure.natural(G).tolist(), places
            )
            apart = float(np.abs(written - G).max()) / (float(np.abs(G).max()) or 1.0)
            yield _line(f"covariance matrix of {term.group} by its definition (ratio)", apart, RATIO)


def _written(estimates: Estimates) -> Written | None:
    """The residual structure from its definition, with the parameters as they are printed."""
    residual = estimates.problem.residual
    return None if residual is None else residuals_as_printed(residual, _printed(estimates))


def _equations(claim: Claim) -> Iterator[CertificateLine]:
    """The residual of Henderson's equations."""
    try:
        _ = claim.We
    except LinAlgError:
        yield CertificateLine(NOT_DEFINITE, inf, 0.0, FAILS)
        return
    yield _line("Henderson's equations, fixed effects (standard errors)", *fixed_part(claim))
    yield _line("Henderson's equations, random effects (standard deviations)", *random_part(claim))
    yield _line("residual variance from the residuals (ratio)", *residual_part(claim))


def _gls(estimates: Estimates, claim: Claim, written: Written) -> Iterator[CertificateLine]:
    """The conditions of a fit with correlated residuals and no random effects, from R by its definition."""
    try:
        H = cholesky(claim.unscaled_vcov, lower=True) if len(claim.beta) else np.empty((0, 0))
        sums = _sums(written, claim, H)
        if _largest(sums.information - np.eye(len(H))) > UNIT:
            # A covariance matrix that is wrong, or has lost digits to nearly collinear columns.
            H = H @ np.linalg.inv(cholesky(sums.information, lower=True)).T
            sums = _sums(written, claim, H)
        distance = sums.distance_to_optimum()
    except LinAlgError:
        yield CertificateLine(NOT_DEFINITE, inf, 0.0, FAILS)
        return
    n, unit = estimates.nobs, SAFETY * EPS * np.sqrt(sums.spread)
    size = float(
        sums.largest @ np.append(1.0, np.abs(claim.beta))
    )  # of the terms of which e is the difference
    basis = float(sums.largest[1:] @ np.abs(H).sum(axis=1))
    slack = unit * (np.sqrt(n) * size / claim.sigma + n * basis)
    normal = float(np.linalg.norm(sums.normal)) / claim.sigma
    yield _line("normal equations of GLS (standard errors)", normal, TOLERANCE + slack)
    nu = n - claim.reml * len(claim.beta)
    ratio = abs(np.sqrt(sums.square / nu) / claim.sigma - 1.0)
    yield _line("residual variance from the residuals (ratio)", ratio, RATIO + slack / np.sqrt(nu))
    errors = claim.sigma**2 * H @ np.linalg.solve(sums.information, H.T)
    yield _standard_errors(estimates, errors, TOLERANCE + slack)
    yield _line("gradient in the parameters of R (standard errors)", distance, TOLERANCE + 2.0 * slack)
    if n > AT_ONCE:
        other = sums.deviance(H, n, claim.sigma, reml=claim.reml)
        loose = SAFETY * EPS * (n * sums.spread + abs(claim.deviance)) + np.sqrt(n) * slack
        difference = abs(claim.deviance - other)
        yield _line("deviance subject by subject (difference)", difference, TOLERANCE + loose, bounds=False)


def _sums(written: Written, claim: Claim, H: Floats) -> GlsSums:
    """The sums of a claimed solution in the basis H, (p, p), of unit information."""
    if isinstance(written, CorrelatedResiduals):
        return gls_sums(written, claim, H)
    return written.sums(claim, H)


def _line(check: str, value: float, threshold: float, *, bounds: bool = True) -> CertificateLine:
    """A check with its verdict; `bounds` where its value bounds the error of the estimates."""
    value, threshold = float(value), float(threshold)
    verdict = UNCHECKED if threshold > VOID else HOLDS if value <= threshold else FAILS
    return CertificateLine(check, value, threshold, verdict, value if bounds else None)


def written_out(estimates: Estimates) -> SparseModel:
    """The model of a fit as the referee has it, at the fit's numbers as they are printed."""
    e = estimates
    return write_out(e.problem, e.kept, e.factors, e.sigma, _printed(e))


def _printed(estimates: Estimates) -> list[tuple[str, float]]:
    """The parameters of the residual structure with their names; none for independent residuals."""
    residual = estimates.design.residual
    names = residual.names if residual else ()
    return list(zip(names, estimates.residual_params.tolist(), strict=True))


def _through_V(estimates: Estimates, claim: Claim) -> CertificateLine:
    try:
        return _likelihood(claim, _dense_likelihood(estimates), "through V")
    except LinAlgError:  # of a residual structure: Z G Z' + I always has a factor
        return CertificateLine("deviance through V (difference)", inf, TOLERANCE, FAILS)


def _dense_likelihood(estimates: Estimates) -> float:
    standard = standardise(written_out(estimates))
    if estimates.reml:
        return henderson.restricted_log_likelihood(standard.model) - standard.log_volume
    return henderson.log_likelihood(standard.model)


def _likelihood(claim: Claim, other: float, route: str) -> CertificateLine:
    """Deviance by another route; rounding grows with the rows and with the largest eigenvalue of V."""
    n, scale = len(claim.e), amplification(claim)
    slack = SAFETY * EPS * (n * scale + abs(claim.deviance)) + np.sqrt(n) * rounding(claim)
    difference = abs(claim.deviance + 2.0 * other)
    return _line(f"deviance {route} (difference)", difference, TOLERANCE + slack, bounds=False)


def _second_search(estimates: Estimates) -> Iterator[CertificateLine]:
    """Neither another algorithm nor a start from elsewhere must end lower."""
    own, other = estimates.algorithm, "newton" if estimates.algorithm == "pls" else "pls"
    yield _searched(estimates, f"second algorithm, {other}", other, {"start": None})
    pairs = zip(estimates.random, estimates.factors, strict=True)
    start: dict[str, Any] = {"start": tuple(term.structure.elsewhere(L) for term, L in pairs)}
    if estimates.problem.residual is not None:
        start = {"start": None, "rho": 0.5 * estimates.rho + 0.1}
    yield _searched(estimates, f"restart from elsewhere, {own}", own, start)


def _searched(estimates: Estimates, what: str, algorithm: str, start: Mapping[str, Any]) -> CertificateLine:
    name = f"{what}: how much lower it ends (deviance)"
    try:
        found = solve(estimates.problem, reml=estimates.reml, algorithm=algorithm, **start)
    except FitError:
        return CertificateLine(name, inf, TOLERANCE, UNCHECKED)
    gain = estimates.deviance - found.deviance
    if found.converged or gain > TOLERANCE:
        return _line(name, gain, TOLERANCE, bounds=False)
    return CertificateLine(name, gain, TOLERANCE, UNCHECKED)


def _second_route(estimates: Estimates, claim: Claim) -> list[CertificateLine]:
    """Estimates and likelihood by the referee, dense or sparse."""
    if _too_large(estimates):
        what = f"the referee's equations, of more than {kinship.WRITTEN:,} related levels"
        return [CertificateLine(what, inf, 0.0, UNCHECKED)]
    try:
        route = _dense_route if estimates.nobs < DENSE else _sparse_route
        return list(route(estimates, claim))
    except (LinAlgError, RuntimeError):  # SuperLU's word for a singular matrix is RuntimeError
        what = "the referee's equations, too near to singular to solve"
        return [CertificateLine(what, inf, 0.0, UNCHECKED)]


def _too_large(estimates: Estimates) -> bool:
    """Whether there are more related levels than the referee writes out."""
    related = [term.relation for term in estimates.problem.terms if term.relation is not None]
    return not all(map(kinship.is_small, related))


def _dense_route(estimates: Estimates, claim: Claim) -> Iterator[CertificateLine]:
    standard = standardise(written_out(estimates))
    routes = {"by Henderson's equations": henderson.henderson} if estimates.b else {}
    for route, solved in {**routes, "through V": henderson.gls}.items():
        yield from _compared(estimates, claim, standard.effects(solved(standard.model)), route)
    errors = standard.covariance_of_beta(henderson.prediction_errors(standard.model))
    yield _standard_errors(estimates, errors, TOLERANCE + rounding(claim))
    yield _likelihood(claim, _dense_likelihood(estimates), "through V")


def _sparse_route(estimates: Estimates, claim: Claim) -> Iterator[CertificateLine]:
    referee = SparseReferee(written_out(estimates))
    route = "by sparse Henderson's equations" if estimates.b else "by whitened rows"
    yield from _compared(estimates, claim, referee.effects(), route)
    yield _standard_errors(estimates, referee.covariance_of_beta(), TOLERANCE + rounding(claim))
    other = referee.restricted_log_likelihood() if estimates.reml else referee.log_likelihood()
    yield _likelihood(claim, other, route)


def _compared(estimates: Estimates, claim: Claim, effects: Effects, route: str) -> Iterator[CertificateLine]:
    """Fixed effects in standard errors, random ones in standard deviations (in sigma where that is 0)."""
    allowed = TOLERANCE + rounding(claim)
    blue = _largest((effects.beta - estimates.beta) / estimates.bse)
    blup, start = 0.0, 0
    for t, b in enumerate(estimates.b):
        other = effects.u[start : start + b.size].reshape(b.shape)
        sd = np.sqrt(np.diag(estimates.covariance(t)))
        blup = max(blup, _largest((other - b) / np.where(sd > 0, sd, estimates.sigma)))
        start += b.size
    yield _line(f"BLUE {route} (standard errors)", blue, allowed)
    if estimates.b:
        yield _line(f"BLUP {route} (standard deviations)", blup, allowed)


def _standard_errors(estimates: Estimates, vcov: Floats, allowed: float) -> CertificateLine:
    ratio = _largest(np.sqrt(np.diag(vcov) / np.diag(estimates.vcov)) - 1.0)
    return _line("standard errors by the referee (ratio)", ratio, allowed)


def _largest(x: Floats) -> float:
    return float(np.abs(x).max(initial=0.0))
