"""Simulation-based calibration of the posterior: is a truth drawn from the prior a draw from the posterior?

For each of three designs parameters are drawn from the prior, a response from them, and draws from its
posterior. Where the draws are right the weighted share of them below the truth is uniform. Writes the tables
of `docs/posterior.md` to standard output as they come.

    python benchmarks/posterior_calibration.py [data sets a design, 1000]

Reference: Talts, Betancourt, Simpson, Vehtari & Gelman (2018), Validating Bayesian inference algorithms with
simulation-based calibration, arXiv:1804.06788.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.posterior.drawing import draw_posterior

DRAWS = 1000
BINS = 20


@dataclass(frozen=True)
class Design:
    """A model with a proper prior of all its parameters.

    Attributes:
        name: What it is called.
        formula: The model.
        frame: The table without y.
        priors: As `lmmkit.posterior` takes them.
        truth: Draws parameters by name, and the mean and residual SD of y.
    """

    name: str
    formula: str
    frame: pd.DataFrame
    priors: dict[str, str]
    truth: Callable[[np.random.Generator, pd.DataFrame], tuple[dict[str, float], np.ndarray, float]]


def half_normal(rng: np.random.Generator, scale: float) -> float:
    """A standard deviation."""
    return abs(rng.normal(0.0, scale))


def slopes(rng: np.random.Generator, frame: pd.DataFrame) -> tuple[dict[str, float], np.ndarray, float]:
    """Correlated intercepts and slopes; the correlation by lkj(2): 2 Beta(2, 2) - 1."""
    b0, b1 = rng.normal(0.0, 2.0), rng.normal(0.0, 1.0)
    s0, s1, rho, sigma = (
        half_normal(rng, 1.0),
        half_normal(rng, 0.5),
        2.0 * rng.beta(2, 2) - 1.0,
        rng.gamma(4) / 4,
    )
    z = rng.normal(size=(frame.g.nunique(), 2))
    u0, u1 = s0 * z[:, 0], s1 * (rho * z[:, 0] + np.sqrt(1.0 - rho**2) * z[:, 1])
    g = frame.g.str[1:].astype(int).to_numpy()
    mean = b0 + u0[g] + (b1 + u1[g]) * frame.x.to_numpy()
    known = {"Intercept": b0, "x": b1, "g.sd.Intercept": s0, "g.sd.x": s1, "g.cor.x.Intercept": rho}
    return known | {"Residual.sd": sigma}, mean, sigma


def crossed(rng: np.random.Generator, frame: pd.DataFrame) -> tuple[dict[str, float], np.ndarray, float]:
    """Two crossed factors."""
    b0, s, t = rng.normal(0.0, 2.0), rng.exponential(1.0), rng.exponential(0.5)
    sigma = half_normal(rng, 1.0)
    g, h = (frame[name].str[1:].astype(int).to_numpy() for name in "gh")
    mean = b0 + s * rng.normal(size=g.max() + 1)[g] + t * rng.normal(size=h.max() + 1)[h]
    return {"Intercept": b0, "g.sd.Intercept": s, "h.sd.Intercept": t, "Residual.sd": sigma}, mean, sigma


def small(rng: np.random.Generator, frame: pd.DataFrame) -> tuple[dict[str, float], np.ndarray, float]:
    """Six groups with a variance near zero."""
    b0, s, sigma = rng.normal(0.0, 2.0), half_normal(rng, 0.2), rng.gamma(4) / 4
    g = frame.g.str[1:].astype(int).to_numpy()
    mean = b0 + s * rng.normal(size=6)[g]
    return {"Intercept": b0, "g.sd.Intercept": s, "Residual.sd": sigma}, mean, sigma


def letters(name: str, codes: np.ndarray) -> list[str]:
    """Names of levels."""
    return [f"{name}{code}" for code in codes]


DESIGNS = (
    Design(
        "slopes",
        "y ~ x + (x | g)",
        pd.DataFrame(
            {"g": letters("g", np.repeat(np.arange(12), 6)), "x": np.tile(np.linspace(0, 2.5, 6), 12)}
        ),
        {
            "Intercept": "normal(0, 2)",
            "x": "normal(0, 1)",
            "g.sd.Intercept": "half_normal(1)",
            "g.sd.x": "half_normal(0.5)",
            "g.cor": "lkj(2)",
            "sigma": "gamma(4, 4)",
        },
        slopes,
    ),
    Design(
        "crossed",
        "y ~ 1 + (1 | g) + (1 | h)",
        pd.DataFrame(
            {"g": letters("g", np.repeat(np.arange(10), 8)), "h": letters("h", np.tile(np.arange(8), 10))}
        ),
        {
            "Intercept": "normal(0, 2)",
            "g.sd": "exponential(1)",
            "h.sd": "exponential(2)",
            "sigma": "half_normal(1)",
        },
        crossed,
    ),
    Design(
        "six groups",
        "y ~ 1 + (1 | g)",
        pd.DataFrame({"g": letters("g", np.repeat(np.arange(6), 5))}),
        {"Intercept": "normal(0, 2)", "g.sd": "half_normal(0.2)", "sigma": "gamma(4, 4)"},
        small,
    ),
)


def ranks(design: Design, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shares of the draws below the truth, a row a data set; what k-hat and the draws came to in each."""
    rows, told = [], []
    for number in range(count):
        rng = np.random.default_rng([20, number])
        known, mean, sigma = design.truth(rng, design.frame)
        frame = design.frame.assign(y=mean + sigma * rng.normal(size=len(mean)))
        started = time.process_time()
        try:
            draws, priors = draw_posterior(
                lmmkit.lmm(design.formula, frame).estimates, design.priors, DRAWS, seed=number
            )
        except FitError as error:
            told.append({"k": np.nan, "effective": 0.0, "cpu": 0.0, "refused": str(error)})
            continue
        values = np.concatenate([draws.beta, draws.natural], axis=1)
        names = [each.parameter for each in priors.named]
        truth = np.array([known[name] for name in names])
        rows.append(dict(zip(names, draws.weights @ (values < truth), strict=True)))
        told.append(
            {
                "k": draws.k_hat,
                "effective": draws.effective,
                "cpu": time.process_time() - started,
                "refused": "" if draws.trusted else "k-hat",
            }
        )
    return pd.DataFrame(rows), pd.DataFrame(told)


def main() -> None:
    """Print a table a design."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for design in DESIGNS:
        shares, told = ranks(design, count)
        print(f"### {design.name}: `{design.formula}`\n")
        print("Priors: " + ", ".join(f"{key} `{text}`" for key, text in design.priors.items()) + ".\n")
        print(
            "| parameter | counts of the shares in twenty bins | chi-squared p | Kolmogorov-Smirnov p |\n"
            "|---|---|---|---|"
        )
        for name, values in shares.items():
            counts = np.histogram(values, BINS, (0.0, 1.0))[0]
            chi2 = scipy.stats.chisquare(counts).pvalue
            ks = scipy.stats.kstest(values, "uniform").pvalue
            print(f"| {name} | {' '.join(map(str, counts))} | {chi2:.3f} | {ks:.3f} |")
        refused = told.refused[told.refused != ""]
        print(
            f"\n{len(shares)} data sets, {DRAWS} draws each: k-hat {told.k.median():.2f} (median; "
            f"{told.k.quantile(0.99):.2f} at 99 %), effective draws {told.effective.median():.0f} (median; "
            f"{told.effective.quantile(0.01):.0f} at 1 %), {told.cpu.median():.3f} CPU seconds each; "
            f"{len(refused)} not trusted or refused ({', '.join(sorted(set(refused)))[:200]}).\n",
            flush=True,
        )


if __name__ == "__main__":
    main()
