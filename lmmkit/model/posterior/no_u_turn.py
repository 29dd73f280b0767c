"""Draws by the no-U-turn sampler, where importance sampling does not suffice and nutpie is installed.

The coordinates are those of the mode's curvature: phi = mode + T u, T T' the inverse curvature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.posterior.draws import Draws
from lmmkit.engine.posterior.proposal import raised
from lmmkit.engine.replicates.random_streams import normals
from lmmkit.errors import FitError

CHAINS = 4
TUNE = 600  # steps of each chain that are thrown away
RHAT = 1.01  # beyond it the chains have not mixed
PURPOSE = 30  # of the stream of random numbers, beside those of importance sampling


def available() -> bool:
    """Whether nutpie is installed."""
    return find_spec("nutpie") is not None


def by_chains(draws: Draws, workers: int) -> Draws:
    """As many draws by four chains, equally weighted; `inefficiency` says what they are worth.

    Raises:
        FitError: The chains have not mixed.
    """
    nutpie, functions = import_module("nutpie"), import_module("nutpie.compiled_pyfunc")
    density, mode = draws.density, draws.mode
    root = np.linalg.cholesky(np.linalg.inv(raised(mode.curvature)))
    m, count = len(mode.phi), -(-draws.count // CHAINS)

    def log_density() -> Callable[[Floats], tuple[float, Floats]]:
        def at(u: Floats) -> tuple[float, Floats]:
            value, slope = density.slope(mode.phi + root @ u)
            return value, root.T @ slope

        return at

    def expand(*_: int) -> Callable[[Floats], dict[str, Floats]]:
        return lambda u: {"u": np.asarray(u, np.float64)}

    model: Any = functions.from_pyfunc(m, log_density, expand, [np.dtype("float64")], [(m,)], ["u"])
    trace: Any = nutpie.sample(
        model,
        draws=count,
        tune=TUNE,
        chains=CHAINS,
        cores=min(workers, CHAINS),
        seed=draws.seed,
        save_warmup=False,
        progress_bar=False,
    )
    chains = np.asarray(trace.posterior["u"].values, np.float64)  # (chains, draws, m)
    rhat, effective = zip(*(mixing(chains[:, :, i]) for i in range(m)), strict=True)
    if not max(rhat) <= RHAT:
        raise FitError(
            f"The posterior's draws cannot be trusted: k-hat is {draws.k_hat:.2f}, and four chains of the "
            f"no-U-turn sampler have not mixed (R-hat {max(rhat):.3f}, {RHAT} at most). Give narrower "
            "priors, a simpler random part, or more draws."
        )
    phi = mode.phi[:, None] + root @ chains.reshape(-1, m).T
    z = normals(draws.seed, 0, phi.shape[1], density.p, PURPOSE)
    drawn = density.drawn(phi, z, workers)
    weights = np.full(phi.shape[1], -np.log(phi.shape[1]))
    return replace(
        draws,
        phi=phi,
        drawn=drawn,
        log_weights=weights,
        k_hat=float("nan"),
        by_chains=True,
        inefficiency=max(1.0, phi.shape[1] / min(effective)),
        quasi=False,
    )


def mixing(x: Floats) -> tuple[float, float]:
    """R-hat of the halves of (c, r) chains, and their effective draws.

    Reference: Gelman et al. (2013), Bayesian Data Analysis, third edition, sections 11.4 and 11.5.
    """
    half = x.shape[1] // 2
    x = np.concatenate([x[:, :half], x[:, half : 2 * half]])
    c, n = x.shape
    within = float(x.var(axis=1, ddof=1).mean())
    whole = (n - 1) / n * within + float(x.mean(axis=1).var(ddof=1))
    off = x - x.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(off, 2 * n, axis=1)) ** 2
    covariances = np.fft.irfft(power, axis=1)[:, :n].mean(axis=0) / n
    rho = 1.0 - (within - covariances) / whole
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    positive = np.flatnonzero(pairs <= 0.0)
    last = int(positive[0]) if len(positive) else len(pairs)
    pairs = np.minimum.accumulate(pairs[:last])
    return float(np.sqrt(whole / within)), c * n / max(2.0 * float(pairs.sum()) - 1.0, 1.0 / np.log10(c * n))
