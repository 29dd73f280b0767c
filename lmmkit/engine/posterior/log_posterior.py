"""The log posterior density of the covariance parameters, at one point with its gradient, or at many at once.

Beta has a normal prior N(m, P^-1), flat where P is zero, and is integrated out with b. With Q = A + P,
A = X'V^-1X / sigma^2 (V relative to sigma^2) and beta^ the estimate by generalised least squares,

    (1)  log p(y | phi) = -1/2 dev(sigma, T) + 1/2 log|A| - 1/2 log|Q| - 1/2 q + sum 1/2 log(P_ii / 2 pi)
    (2)  q = (beta^ - m)' A Q^-1 P (beta^ - m)
    (3)  beta | y, phi ~ N(beta~, Q^-1),   beta~ = Q^-1 (A beta^ + P m)

dev is the REML criterion; where the batch has it profiled, dev = profiled - nu (1 + log(2 pi r2 / nu))
+ nu log(2 pi sigma^2) + r2 / sigma^2. The gradient follows from D = d dev / dT, T = G / sigma^2, by

    (4)  d / dG = S^-T D S^-1 / sigma^2,    S the changes of columns of the preparation
    (5)  d / d log sigma = 2 n - 2 r2 / sigma^2 - 2 tr(Q^-1 A) - 2 sum <D, T>,    r2 at beta~

for -2 log p(y | phi), the derivative of (1) in V being that of a fit with beta at beta~ and Q in place of A.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.roots import semidefinite_factor
from lmmkit.engine.criterion.criterion import Evaluation, Held
from lmmkit.engine.crossproducts.product_sources import Fixed
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.posterior.coordinates import DrawnParts
from lmmkit.engine.replicates.batch_criterion import fits_at, inverses
from lmmkit.engine.replicates.batch_newton import LEAST_BATCH
from lmmkit.engine.replicates.batch_sums import Responses, Shared, share, summed, table_size
from lmmkit.engine.replicates.refit import CACHE, LARGEST_TABLE
from lmmkit.engine.setup import Setup
from lmmkit.errors import FitError

LOG_2PI = math.log(2.0 * math.pi)
LEAST_EIGENVALUE = 1e-13  # of the largest, below which a covariance matrix of estimates is rounding


@dataclass(frozen=True, eq=False)
class NormalPriors:
    """Independent normal priors of the p fixed effects, in the units of the data.

    Attributes:
        mean: (p,) m; 0 where flat.
        precision: (p,) the diagonal of P; 0 where flat.
    """

    mean: Floats
    precision: Floats

    @property
    def flat(self) -> bool:
        """Whether all are flat."""
        return not self.precision.any()

    def log_density(self, beta: Floats) -> Floats:
        """Returns (r,) the log density of the proper ones at (r, p) beta."""
        own = self.precision > 0.0
        z = (beta - self.mean) ** 2 * self.precision
        return 0.5 * float(np.log(self.precision[own]).sum() - own.sum() * LOG_2PI) - 0.5 * z.sum(axis=1)


@dataclass(frozen=True, eq=False)
class Drawn:
    """What is known of r points, with a draw of the fixed effects at each.

    Attributes:
        log_posterior: (r,) log density of phi and y, beta and b integrated out.
        log_prior: (r,) log density of the natural parameters and of the fixed effects drawn.
        log_likelihood: (r,) log p(y | beta drawn, natural parameters), b integrated out.
        beta: (r, p) draws of the fixed effects.
        mean: (r, p) their conditional means.
    """

    log_posterior: Floats
    log_prior: Floats
    log_likelihood: Floats
    beta: Floats
    mean: Floats

    @staticmethod
    def joined(parts: list[Drawn]) -> Drawn:
        """Several, one after the other."""
        names = [each.name for each in fields(Drawn)]
        return Drawn(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


class _Fits(NamedTuple):
    """The fits of r points: dev at sigma, beta^ over the units of preparation, and (X'V^-1X)^-1 prepared."""

    dev: Floats
    beta: Floats  # (r, p) in the units of the data
    Phi: Floats  # (r, p, p) in prepared units


@dataclass(frozen=True, eq=False)
class LogPosterior:
    """The density of one response under one model.

    Attributes:
        setup: Of the problem, under REML.
        parts: The coordinates and their priors.
        effects: The priors of the fixed effects kept.
    """

    setup: Setup
    parts: DrawnParts
    effects: NormalPriors

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.setup.problem.response)

    @property
    def p(self) -> int:
        """Fixed effects."""
        return self.setup.criterion.p

    @cached_property
    def batched(self) -> bool:
        """Whether many points at a time are faster than one by one."""
        setup = self.setup
        return (
            bool(setup.layout.factors)
            and all(term.plain for term in setup.problem.terms)
            and setup.problem.residual is None
            and table_size(setup.layout, self.p) <= LARGEST_TABLE
            and bool(np.isfinite(self._sums.scale[0]))  # the first factor does not take up all of y
        )

    @cached_property
    def shared(self) -> Shared:
        """The design's part of a batch."""
        return share(self.setup)

    @cached_property
    def _sums(self) -> Responses:
        """Those of the response, once."""
        return summed(self.shared, self.setup.problem.response[:, None])

    @cached_property
    def _inverse_bases(self) -> list[Floats]:
        """S^-1 of each term."""
        return [np.linalg.inv(S).astype(np.float64, copy=False) for S in self.setup.prepared.term_bases]

    def roots(self, phi: Floats) -> list[Floats]:
        """Returns (k, k, r) a root of T of each factor, in prepared units, any root."""
        own, sigma = self.parts.roots(phi), np.exp(phi[-1])
        out = list[Floats]()
        for factor in self.setup.layout.factors:
            L = np.zeros((factor.width, factor.width, phi.shape[1]))
            for term, columns, _ in factor.pieces:
                turned = np.einsum("ab,bcr->acr", self._inverse_bases[term], own[term])
                L[columns, columns] = turned / sigma
            out.append(L)
        return out

    # Many points

    def drawn(self, phi: Floats, z: Floats, workers: int = 1) -> Drawn:
        """Evaluate (m, r) points, and draw beta at each from (p, r) standard normal numbers z."""
        with ThreadPoolExecutor(workers) as pool:
            threads = workers > 1 and (self.batched or isinstance(self.setup.criterion.source, Fixed))

            def chunk(cut: slice) -> Drawn:
                return self._chunk(phi, z, cut)

            cuts = self._chunks(phi.shape[1])
            return Drawn.joined(list(pool.map(chunk, cuts) if threads else map(chunk, cuts)))

    def _chunks(self, count: int) -> Iterator[slice]:
        if not self.batched:
            size = 16
        else:
            widest = max(factor.width * factor.levels for factor in self.setup.layout.factors)
            size = min(max(CACHE // max(widest, 1), LEAST_BATCH), 1024)
        for at in range(0, count, size):
            yield slice(at, min(at + size, count))

    def _chunk(self, phi: Floats, z: Floats, cut: slice) -> Drawn:
        points = phi[:, cut]
        with np.errstate(all="ignore"):  # far out a number may leave its range: there is no density then
            fits = self._batch(points) if self.batched else self._one_by_one(points)
            return self._with_effects(points, fits, z[:, cut])

    def _batch(self, phi: Floats) -> _Fits:
        """All at once; never fewer than the least batch, so that no sum runs in another order."""
        count = phi.shape[1]
        padded = np.concatenate([phi, np.repeat(phi[:, -1:], max(LEAST_BATCH - count, 0), axis=1)], axis=1)
        wide = {
            name: np.broadcast_to(part, (*part.shape[:-1], padded.shape[1]))
            for name, part in vars(self._sums).items()
        }
        fits = fits_at(self.shared, Responses(**wide), self.roots(padded))
        scale, nu = float(self._sums.scale[0]), self.setup.criterion.nu
        variance = np.exp(2.0 * padded[-1]) / scale**2
        with np.errstate(invalid="ignore", divide="ignore"):
            dev = (
                fits.deviance
                - nu * (1.0 + np.log(2.0 * np.pi * fits.r2 / nu))
                + nu * np.log(2.0 * np.pi * variance)
                + fits.r2 / variance
            )
        beta = self._sums.beta + scale * np.einsum("ab,br->ar", self.setup.prepared.basis, fits.beta)
        return _Fits(dev[:count], beta.T[:count], fits.Phi[:count])

    def _one_by_one(self, phi: Floats) -> _Fits:
        dev, r = np.full(phi.shape[1], np.inf), phi.shape[1]
        beta, Phi = np.zeros((r, self.p)), np.repeat(np.eye(self.p)[None], r, axis=0)
        prepared = self.setup.prepared
        for i in range(r):
            at = self._evaluate(phi[:, i])
            if at is not None:
                dev[i] = at.deviance
                beta[i] = prepared.beta + prepared.scale * prepared.basis @ at.beta
                Phi[i] = inverses(at.XVX)
        return _Fits(dev, beta, Phi)

    def _evaluate(self, phi: Floats) -> Evaluation | None:
        """The criterion at one point, with sigma held; None where there is none."""
        L = [_triangular(root[:, :, 0]) for root in self.roots(phi[:, None])]
        try:
            precision = (self.setup.prepared.scale * math.exp(-float(phi[-1]))) ** 2
            return self.setup.criterion.at(np.empty(0), L, Held(precision=precision), phi[self.parts.of_rho])
        except (FitError, np.linalg.LinAlgError, ArithmeticError, ValueError):
            return None

    def _with_effects(self, phi: Floats, fits: _Fits, z: Floats) -> Drawn:
        """(1) to (3)."""
        log_sigma, S = phi[-1], self.setup.prepared.basis
        known = np.isfinite(fits.dev) & _positive(fits.Phi)
        Phi = np.where(known[:, None, None], fits.Phi, np.eye(self.p))
        marginal = -0.5 * fits.dev
        roots = np.linalg.cholesky(Phi).astype(np.float64, copy=False)  # of sigma^-2 A^-1, prepared
        if self.effects.flat:
            mean = fits.beta
            deviates = np.matmul(roots, z.T[:, :, None])[:, :, 0] * np.exp(log_sigma)[:, None]
            squares = np.einsum("pr,pr->r", z, z)
        else:
            mean, deviates, squares, more = self._informed(fits.beta, Phi, log_sigma, z)
            marginal = marginal + more
        beta = mean + deviates @ S.T
        # -2 log p(y | beta) = dev - log|A| + p log 2 pi + (beta - beta^)'A (beta - beta^)
        log_A = -2.0 * np.log(np.einsum("rpp->rp", roots)).sum(axis=1) - 2.0 * self.p * log_sigma
        log_A = log_A - 2.0 * (float(np.linalg.slogdet(S)[1]) if self.p else 0.0)
        likelihood = -0.5 * (fits.dev - log_A + self.p * LOG_2PI + squares)
        posterior = marginal + self.parts.log_density(phi)
        posterior = np.where(known & np.isfinite(posterior), posterior, -np.inf)
        prior = self.parts.log_prior(phi) + self.effects.log_density(beta)
        return Drawn(posterior, prior, likelihood, beta, mean)

    def _informed(
        self, beta: Floats, Phi: Floats, log_sigma: Floats, z: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Under normal priors: conditional means, deviates in the basis, distances from beta^, and (1)."""
        S, effects = self.setup.prepared.basis, self.effects
        A = inverses(Phi) * np.exp(-2.0 * log_sigma)[:, None, None]
        P = S.T @ (effects.precision[:, None] * S)
        off = solved(S, (beta - effects.mean).T).T
        C = np.linalg.cholesky(A + P).astype(np.float64, copy=False)
        pull = solved(A + P, (off @ P)[:, :, None])[:, :, 0]  # Q^-1 P (beta^ - m)
        q = np.einsum("rp,rpq,rq->r", off, A, pull)
        logs = 2.0 * np.log(np.einsum("rpp->rp", C)).sum(axis=1)
        own = effects.precision[effects.precision > 0.0]
        more = 0.5 * (np.linalg.slogdet(A)[1] - logs - q + float(np.log(own).sum() - len(own) * LOG_2PI))
        deviates = solved(C.swapaxes(1, 2), z.T[:, :, None])[:, :, 0]
        away = deviates - pull
        squares = np.einsum("rp,rpq,rq->r", away, A, away)
        return beta - pull @ S.T, deviates, squares, more

    # One point

    def slope(self, phi: Floats) -> tuple[float, Floats]:
        """Returns the log density at (m,) phi and its gradient (m,); minus infinity and zeros outside."""
        at = self._evaluate(phi)
        points = phi[:, None]
        if at is None or not math.isfinite(float(self.parts.log_prior(points)[0])):
            return -math.inf, np.zeros(len(phi))
        prepared, sigma = self.setup.prepared, math.exp(float(phi[-1]))
        beta = prepared.beta + prepared.scale * prepared.basis @ at.beta
        Phi = inverses(at.XVX)
        fits = _Fits(np.array([at.deviance]), beta[None], Phi[None])
        found = self._with_effects(points, fits, np.zeros((self.p, 1)))
        held, share_of_A = at, float(self.p)
        if not self.effects.flat:
            S = prepared.basis
            ridge = S.T @ (self.effects.precision[:, None] * S) * sigma**2
            own = solved(S, (found.mean[0] - prepared.beta) / prepared.scale)
            share_of_A = float(np.trace(solved(at.XVX + ridge, at.XVX)))
            held = replace(at, held=replace(at.held, beta=own, ridge=ridge), beta=own)
        slopes = self._pulled(phi, held, sigma)
        r2 = float(held.a @ held.forward.F @ held.a)
        slopes[-1] += 2.0 * (self.n - r2 * held.precision - share_of_A)
        return float(found.log_posterior[0]), self.parts.slope(phi) - 0.5 * slopes

    def _pulled(self, phi: Floats, at: Evaluation, sigma: float) -> Floats:
        """(m,) derivatives of -2 log likelihood by T and by R: (4), and of (5) what T moves with sigma."""
        out, D = np.zeros(len(phi)), at.D if self.setup.layout.factors else []
        for factor, own, L in zip(self.setup.layout.factors, D, at.L, strict=True):
            out[-1] -= 2.0 * float((own * (L @ L.T)).sum())
            for term, columns, _ in factor.pieces:
                inverse = self._inverse_bases[term]
                raw = inverse.T @ own[columns, columns] @ inverse / sigma**2
                part, cut = self.parts.terms[term], self.parts.all[term][1]
                out[cut] = part.pullback(phi[cut], raw)
        if self.parts.residual is not None:
            rho = self.parts.of_rho
            out[rho] = self.setup.criterion.source.pullback(phi[rho], at.adjoint)
        return out


def _positive(A: Floats) -> NDArray[np.bool_]:
    """(r,) which of some matrices are finite and positive definite to rounding."""
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(A).all(axis=(1, 2)), bool)
    try:
        np.linalg.cholesky(A[finite])
    except np.linalg.LinAlgError:
        values = np.linalg.eigvalsh(np.where(finite[:, None, None], A, np.eye(A.shape[-1])))
        return np.asarray(finite & (values.min(axis=1) > LEAST_EIGENVALUE * values.max(axis=1)), bool)
    return finite


def _triangular(A: Floats) -> Floats:
    """The lower triangular root of A A', no diagonal entry negative."""
    return A if not np.triu(A, 1).any() else semidefinite_factor(A)
