"""What statsmodels' results are asked, answered by a fit; tests come as statsmodels' own results of tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import block_diag

from lmmkit.model import tables
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.anova import joint_contrast
from lmmkit.model.inference.degrees_of_freedom import denominators
from lmmkit.model.inference.linear_functions import coef_table, combinations
from lmmkit.model.options import check_level, check_option
from lmmkit.model.prediction import Interval, Level, NewLevels, predict


@dataclass(frozen=True)
class ModelNames:
    """Names of what a model explains and by what, where statsmodels' results keep them.

    Attributes:
        endog_names: The response.
        exog_names: The coefficients.
        formula: The formula.
    """

    endog_names: str
    exog_names: list[str]
    formula: str


def model_names(estimates: Estimates) -> ModelNames:
    """The names of a fit."""
    return ModelNames(estimates.design.response, estimates.names, estimates.formula)


def wald_interval(estimates: Estimates, alpha: Any, df: str) -> pd.DataFrame:
    """Bounds 0 and 1 of each coefficient, of coverage 1 - alpha: statsmodels' conf_int."""
    check_level("alpha", alpha)
    table = coef_table(estimates, df=df, level=1.0 - alpha)[["low", "high"]]
    return table.set_axis([0, 1], axis=1).rename_axis(None)


def random_effects(estimates: Estimates) -> dict[Any, pd.Series[float]]:
    """BLUPs by level; by (factor, level) where there are several grouping factors."""
    frames = tables.by_factor(estimates, estimates.b)
    if len(frames) == 1:
        (frame,) = frames.values()
        return {level: frame.loc[level] for level in frame.index}
    return {(name, level): frame.loc[level] for name, frame in frames.items() for level in frame.index}


def cov_re(estimates: Estimates) -> pd.DataFrame:
    """Covariance matrix of the random effects of one level of every term."""
    terms = estimates.random
    labels = [name if len(terms) == 1 else f"{term.group}.{name}" for term in terms for name in term.names]
    blocks = [estimates.covariance(t) for t in range(len(terms))]
    return pd.DataFrame(block_diag(*blocks) if blocks else np.empty((0, 0)), index=labels, columns=labels)


def t_test(estimates: Estimates, L: Any, df: str) -> Any:
    """t tests of combinations, each for itself, as statsmodels' ContrastResults."""
    from statsmodels.stats.contrast import ContrastResults  # pyright: ignore[reportMissingTypeStubs]

    found, by = combinations(L, estimates), denominators(estimates, df)
    effect, se = found.L @ estimates.beta, np.sqrt(by.vcov.variances(found.L))
    t = (effect - found.null) / se
    return ContrastResults(effect=effect, t=t, sd=se, df_denom=by.single(found.L))


def f_test(estimates: Estimates, L: Any, df: str) -> Any:
    """The joint test of combinations as statsmodels' ContrastResults."""
    from statsmodels.stats.contrast import ContrastResults  # pyright: ignore[reportMissingTypeStubs]

    test = joint_contrast(estimates, L, df=df).iloc[0]
    return ContrastResults(F=test["F"], df_num=test["num_df"], df_denom=test["den_df"])


def wald_test(estimates: Estimates, L: Any, df: str, *, use_f: bool) -> Any:
    """The joint test by F, or by chi-squared."""
    from statsmodels.stats.contrast import ContrastResults  # pyright: ignore[reportMissingTypeStubs]

    check_option("use_f", use_f, (True, False))
    if use_f:
        return f_test(estimates, L, df)
    test = joint_contrast(estimates, L, df="normal").iloc[0]
    rows = int(test["num_df"])
    return ContrastResults(statistic=test["F"] * rows, df_denom=rows, distribution="chi2")


@dataclass(frozen=True, eq=False)
class PredictionResults:
    """Predictions as statsmodels hands them out.

    Attributes:
        predicted_mean: The means.
        se_mean: Their standard errors.
    """

    predicted_mean: pd.Series[float]
    se_mean: pd.Series[float]
    _limits: Callable[[Interval, float], pd.DataFrame] = field(repr=False)

    def conf_int(self, obs: bool = False, alpha: float = 0.05) -> pd.DataFrame:
        """Intervals of the means, or of observations (`obs`), of coverage 1 - alpha: columns 0 and 1."""
        check_level("alpha", alpha)
        limits = self._limits("prediction" if obs else "confidence", 1.0 - alpha)
        return limits[["low", "high"]].set_axis([0, 1], axis=1)

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """mean, mean_se, mean_ci_lower, mean_ci_upper, obs_ci_lower, obs_ci_upper."""
        table = pd.DataFrame({"mean": self.predicted_mean, "mean_se": self.se_mean})
        for name, obs in (("mean", False), ("obs", True)):
            limits = self.conf_int(obs, alpha)
            table = table.assign(**{f"{name}_ci_lower": limits[0], f"{name}_ci_upper": limits[1]})
        return table


def get_prediction(
    estimates: Estimates, newdata: Any, level: Level, new_levels: NewLevels
) -> PredictionResults:
    """Predictions of rows; arguments as `predict`."""

    def limits(interval: Interval, coverage: float) -> pd.DataFrame:
        return predict(
            estimates, newdata, level=level, interval=interval, coverage=coverage, new_levels=new_levels
        )

    found = limits(None, 0.95)
    mean, se = found["fit"].rename("predicted_mean"), found["se"].rename("se_mean")
    return PredictionResults(mean, se, limits)


def summary2(estimates: Estimates, df: str, alpha: float) -> Any:
    """The fit as statsmodels' Summary of tables: facts, coefficients, variance parameters."""
    from statsmodels.iolib.summary2 import Summary  # pyright: ignore[reportMissingTypeStubs]

    check_level("alpha", alpha)
    table = coef_table(estimates, df=df, level=1.0 - alpha)
    heads = {"estimate": "Coef.", "se": "Std.Err.", "df": "df", "t": "t", "p": "P>|t|"}
    limits = {"low": f"[{alpha / 2:g}", "high": f"{1 - alpha / 2:g}]"}
    summary: Any = Summary()
    mixed = bool(estimates.random)
    summary.add_title(f"{'Mixed Linear Model' if mixed else 'GLS'} Regression Results")
    facts = {
        "Model:": "MixedLM" if mixed else "GLS",
        "Dependent Variable:": estimates.design.response,
        "No. Observations:": str(estimates.nobs),
        "Method:": "REML" if estimates.reml else "ML",
        "No. Groups:": ", ".join(f"{name} {size}" for name, size in estimates.ngroups.items()) or "0",
        "Scale:": estimates.sigma**2,
        "Log-Likelihood:": estimates.llf,
        "Converged:": "Yes" if estimates.converged else "No",
    }
    summary.add_dict(facts)
    named = {**heads, **limits}
    summary.add_df(table[list(named)].rename(columns=named).rename_axis(None), float_format="%.3f")
    parameters = pd.DataFrame(
        {"SD, correlation": tables.parameters(estimates)}, tables.parameter_names(estimates)
    )
    summary.add_df(parameters, float_format="%.3f")
    summary.add_text(f"Degrees of freedom: {'; '.join(dict.fromkeys(table['method']))}.")
    return summary
