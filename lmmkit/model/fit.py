"""The face of a fitted model: `lmm()` fits, `Fit` answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError
from lmmkit.model import storage
from lmmkit.model.answers import Answers
from lmmkit.model.certificate import Certificate, certify
from lmmkit.model.design.design import build_design
from lmmkit.model.estimates import Estimates, estimate
from lmmkit.model.inference import confidence_intervals as intervals
from lmmkit.model.inference.confidence_intervals import Bootstrapping, Kind, Method
from lmmkit.model.inference.restricted_lrt import VarianceTest, rlrt
from lmmkit.model.options import whole
from lmmkit.model.overall import as_dict
from lmmkit.model.prediction import Interval, Level, NewLevels, predict
from lmmkit.model.resampling import variance_shares as r2
from lmmkit.model.resampling.bootstrap import Progress, bootstrap
from lmmkit.model.resampling.simulate import Seed, simulate, with_response
from lmmkit.model.summary import Summary, summarise


@dataclass(frozen=True, eq=False)
class Fit(Answers):
    """A fitted linear mixed model: what it found, and what can be asked of it."""

    @cached_property
    def certificate(self) -> Certificate:
        """What was checked about this fit, at no more than a fraction of its cost."""
        return certify(self.estimates)

    def certify(self, full: bool = False) -> Certificate:
        """Check the fit.

        Args:
            full: Also search by a second algorithm and solve by Henderson's equations and through V.
        """
        return certify(self.estimates, full=True) if full else self.certificate

    def predict(
        self,
        newdata: Any = None,
        *,
        level: Level = "group",
        interval: Interval = None,
        coverage: float = 0.95,
        new_levels: NewLevels = "error",
    ) -> pd.DataFrame:
        """Predicted means with standard errors and intervals: fit, se, low, high.

        Args:
            newdata: A table with the columns of the formula but the response, and at level "population" or
                "new" without the grouping columns; by default the rows of the fit.
            level: "group" with the random effects of each row's levels, "population" without any, "new" for
                levels not seen yet.
            interval: "confidence" for the mean, "prediction" for an observation, or None; normal quantiles.
            coverage: Coverage of the interval.
            new_levels: At level "group" a level without data is an "error", or gets random effects of zero
                with their full variance ("population").

        Raises:
            DataError: `newdata` lacks a column or has a level that the fit has not seen.
            FitError: An option that is not offered.
        """
        return predict(
            self.estimates,
            newdata,
            level=level,
            interval=interval,
            coverage=coverage,
            new_levels=new_levels,
        )

    def simulate(self, n: int, *, seed: Seed, level: Literal["new", "group"] = "new") -> Floats:
        """Responses drawn from the fitted model, (nobs, n).

        Args:
            n: Number of responses.
            seed: Seed of the random numbers.
            level: "new" draws new random effects, "group" keeps the predicted ones.

        Raises:
            FitError: An option that is not offered.
        """
        return simulate(self.estimates, n, seed=seed, level=level)

    def refit(self, y: Any) -> Fit:
        """The same model fitted to another response.

        Args:
            y: (nobs,) numbers, in the order of the rows used.

        Raises:
            DataError: Not as many finite numbers as there are rows.
            FitError: The model cannot be estimated from them.
        """
        design = with_response(self.design, y)
        return Fit(estimate(design, reml=self.reml, algorithm=self.algorithm))

    def conf_int(
        self,
        method: Method = "wald",
        level: float = 0.95,
        df: str = "auto",
        n: int = 1000,
        seed: Seed = 0,
        *,
        kind: Kind = "percentile",
        workers: int = 1,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Confidence intervals: low, high, criterion; coefficients, then SDs and correlations.

        Args:
            method: "wald": on the natural scale for coefficients, on the log for standard deviations, on
                Fisher's z for correlations. "profile": exact likelihood intervals; those of the coefficients
                of a REML fit come from its ML refit. "bootstrap": parametric, `n` refits.
            level: Coverage.
            df: Denominator degrees of freedom of the coefficients, for "wald".
            n: Replicates, for "bootstrap".
            seed: Seed of the random numbers, for "bootstrap".
            kind: "percentile" or "bca" (bias-corrected and accelerated), for "bootstrap".
            workers: Threads, for "bootstrap"; the numbers do not depend on it.
            progress: Called with what is done and how much there is to do.

        Raises:
            FitError: An option that is not offered.

        >>> y, g = [3.0, 4, 7, 6, 9, 12, 2, 2, 5], list("aaabbbccc")
        >>> fit = lmm("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": [0, 1, 2] * 3, "g": g}))
        >>> fit.conf_int("profile").round(3)
                         low   high criterion
        Intercept      -0.721   7.499        ML
        x               1.346   2.987        ML
        g.sd.Intercept  1.357  12.954      REML
        Residual.sd     0.567   2.067      REML
        """
        how = Bootstrapping(n, seed, kind, workers)
        return intervals.conf_int(
            self.estimates, method=method, level=level, df=df, how=how, progress=progress
        )

    def bootstrap(
        self,
        n: int,
        statistic: Callable[[Fit], Any] | None = None,
        *,
        seed: Seed,
        workers: int = 1,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Parametric bootstrap: one row per replicate, with `converged` and `singular`; none is dropped.

        Args:
            n: Number of replicates.
            statistic: Takes the fit of a replicate, gives a number or numbers by name; by default the
                quantities of `conf_int`, all replicates at once.
            seed: Seed of the random numbers; replicate i is the same whatever n is.
            workers: Threads, without a statistic; the numbers do not depend on it.
            progress: Called with the replicates done and n.

        Raises:
            FitError: No replicates, or a statistic that gives no numbers.

        >>> y, g = [3.0, 4, 7, 6, 9, 12, 2, 2, 5], list("aaabbbccc")
        >>> fit = lmm("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": [0, 1, 2] * 3, "g": g}))
        >>> int(fit.bootstrap(200, seed=1)["singular"].sum())
        4
        """
        of_fit = None if statistic is None else _of_fit(statistic)
        return bootstrap(self.estimates, n, of_fit, seed=seed, workers=workers, progress=progress)

    def rlrt(self, term: str | None = None, n: int = 100_000, seed: Seed = 0) -> VarianceTest:
        """Restricted likelihood ratio test that one variance is zero, exact in finite samples.

        With other random effects beside the tested one it is approximate, and says so.

        Args:
            term: Label of the term, such as `Subject` or `cask:batch`; not needed if there is one.
            n: Draws, where the design is not balanced.
            seed: Seed of the random numbers.

        Raises:
            FitError: No such term, a term with several columns, or too many levels.

        Reference: Crainiceanu & Ruppert (2004).

        >>> y, g = [3.0, 4, 7, 6, 9, 12, 2, 2, 5], list("aaabbbccc")
        >>> fit = lmm("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": [0, 1, 2] * 3, "g": g}))
        >>> round(fit.rlrt().p, 6)
        0.001416
        """
        return rlrt(self.estimates, term, n=n, seed=seed)

    def r2(self, n: int | None = None, seed: Seed = 0, level: float = 0.95) -> pd.DataFrame:
        """R2, marginal (fixed effects) and conditional (with the random effects): estimate, low, high.

        Args:
            n: Replicates of a parametric bootstrap for the bounds, which are NaN without.
            seed: Seed of the random numbers.
            level: Coverage of the bounds.

        Raises:
            FitError: No replicates, or a level that is none.

        Reference: Nakagawa & Schielzeth (2013); Johnson (2014).
        """
        return r2.r2(self.estimates, r2.Bounds(n, seed, level))

    def icc(self, n: int | None = None, seed: Seed = 0, level: float = 0.95) -> pd.DataFrame:
        """Intraclass correlation, adjusted and unadjusted for the fixed effects: estimate, low, high.

        Args:
            n: Replicates of a parametric bootstrap for the bounds, which are NaN without.
            seed: Seed of the random numbers.
            level: Coverage of the bounds.

        Raises:
            FitError: No replicates, or a level that is none.

        Reference: Nakagawa & Schielzeth (2013); Johnson (2014).
        """
        return r2.icc(self.estimates, r2.Bounds(n, seed, level))

    def effect_sizes(self, n: int | None = None, seed: Seed = 0, level: float = 0.95) -> pd.DataFrame:
        """Coefficients over the standard deviation that they leave, random effects included.

        For a treatment contrast this is d: estimate, low, high.

        Args:
            n: Replicates of a parametric bootstrap for the bounds, which are NaN without.
            seed: Seed of the random numbers.
            level: Coverage of the bounds.

        Raises:
            FitError: No replicates, or a level that is none.

        Reference: Westfall, Kenny & Judd (2014).
        """
        return r2.effect_sizes(self.estimates, r2.Bounds(n, seed, level))

    def summary(self) -> Summary:
        """The fit in words and tables, for a terminal and for a notebook."""
        return summarise(self.estimates, self.certificate)

    def to_dict(self) -> dict[str, Any]:
        """What the fit found, in plain numbers, text, lists and dicts."""
        return as_dict(self.estimates, self.certificate)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the fit into a folder of JSON and Parquet; `lmmkit.load` reads it.

        Args:
            path: The folder; a fit saved there before is replaced.

        Raises:
            DataError: The folder holds something else, or cannot be written.
        """
        return storage.save(self.estimates, path)

    def __repr__(self) -> str:
        criterion = "REML" if self.reml else "ML"
        return f"<Fit {self.formula}: {criterion}, {self.nobs:,} rows, deviance {self.deviance:.4f}>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()  # pyright: ignore[reportPrivateUsage]  the notebook's protocol


def lmm(
    formula: str,
    data: Any,
    *,
    reml: bool = True,
    algorithm: str = "newton",
    weights: Any = None,
    offset: Any = None,
    residual: str | None = None,
    known: Mapping[str, Any] | None = None,
    contrasts: Mapping[str, Any] | None = None,
    missing: Literal["drop", "error"] = "drop",
    start: Sequence[float] | None = None,
    max_iterations: int | None = None,
) -> Fit:
    """Fit a linear mixed model.

    Args:
        formula: In lme4's language, such as `y ~ x + (x | g)`.
        data: A pandas or polars DataFrame, or an Arrow table.
        reml: Restricted maximum likelihood (True) or maximum likelihood.
        algorithm: newton, em, em-accelerated, em-newton, pls or direct; all reach one optimum.
        weights: Positive prior weights, a column name or a vector: residual variances are sigma^2 / weight.
        offset: A known part of the mean, a column name or a vector.
        residual: A residual covariance structure. Not built yet.
        known: Known covariance matrices between levels. Not built yet.
        contrasts: Coding by factor.
        missing: Rows with a missing value are dropped and listed ("drop"), or refused ("error").
        start: theta to start the search from, in the order of `Fit.theta`; by default moment estimates.
        max_iterations: Steps of the search at most; by default what the algorithm may need on hard problems.

    Raises:
        FormulaError: The formula cannot be read, or asks for what is not offered.
        DataError: The data cannot be used as the model asks.
        FitError: The model cannot be estimated from these data, or an option is not offered.

    >>> y, g = [3.0, 4, 7, 6, 9, 12, 2, 2, 5], list("aaabbbccc")
    >>> lmm("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": [0, 1, 2] * 3, "g": g})).params.round(4).to_dict()
    {'Intercept': 3.3889, 'x': 2.1667}
    """
    _check_arguments(reml, residual, known, max_iterations)
    design = build_design(formula, data, weights=weights, offset=offset, contrasts=contrasts, missing=missing)
    return Fit(estimate(design, reml=bool(reml), algorithm=algorithm, limit=max_iterations, start=start))


def load(path: str | os.PathLike[str]) -> Fit:
    """Read a fit that `Fit.save` wrote, without fitting again.

    Args:
        path: The folder.

    Raises:
        DataError: There is no such folder, it holds no fit, or what it holds is damaged.
    """
    return Fit(storage.load(path))


def _of_fit(statistic: Callable[[Fit], Any]) -> Callable[[Estimates], Any]:
    """The statistic as a function of estimates."""
    if not callable(statistic):
        raise FitError(f"statistic: a function of a fit is expected, not {type(statistic).__name__}.")

    def of_estimates(estimates: Estimates) -> Any:
        return statistic(Fit(estimates))

    return of_estimates


def _check_arguments(reml: object, residual: object, known: object, limit: object) -> None:
    if not isinstance(reml, (bool, np.bool_)):
        raise FitError(f"reml={reml!r}: True (REML) or False (maximum likelihood) is expected.")
    if limit is not None:
        whole("max_iterations", limit, "steps")
    if residual is not None:
        raise FitError(f"residual={residual!r}: residual structures are not built yet; leave it out.")
    if known is not None:
        raise FitError("known: known covariance matrices are not built yet; leave it out.")
