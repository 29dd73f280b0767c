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

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.escape import terminal
from lmmkit.model import storage, tables
from lmmkit.model.blups import estimate_functions, ranef_cov, ranef_table, reliability
from lmmkit.model.certificate import Certificate, certify
from lmmkit.model.comparison.drop_terms import FixedTest, RandomTest, drop1, part_r2, ranova
from lmmkit.model.design.design import Design, Missing, build_design
from lmmkit.model.design.update import model_frame, updated_design
from lmmkit.model.dialects import broom, statsmodels_words
from lmmkit.model.estimates import Estimates, estimate
from lmmkit.model.inference import linear_functions
from lmmkit.model.inference.anova import anova, joint_contrast
from lmmkit.model.inference.confidence_intervals import Kind, Method, conf_int
from lmmkit.model.inference.heritability import heritability
from lmmkit.model.inference.variance_test import VarianceTest, rlrt
from lmmkit.model.means.averages import AtLevel, comparison_changes, row_averages, slope_changes
from lmmkit.model.means.joint_tests import joint_tests
from lmmkit.model.means.marginal_means import MarginalMeans, Scale, marginal_means
from lmmkit.model.means.reference_grid import Reduce
from lmmkit.model.options import Progress, Seed, whole
from lmmkit.model.prediction import Interval, Level, NewLevels, predict
from lmmkit.model.resampling import variance_shares as r2
from lmmkit.model.resampling.bootstrap import bootstrap
from lmmkit.model.resampling.simulate import simulate, with_response
from lmmkit.model.summary import Summary, as_dict, summarise


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted linear mixed model: what it found, and what can be asked of it.

    The examples below fit a table `frame` of nine rows: y = 3, 4, 7, 6, 9, 12, 2, 2, 5 at x = 0, 1, 2 within
    each of the groups g = a, b, c.

    Attributes:
        estimates: The numbers, by position; everything else is made from them.
    """

    estimates: Estimates

    # What was found

    @property
    def design(self) -> Design:
        """Terms, names and arrays."""
        return self.estimates.design

    def model_frame(self) -> pd.DataFrame:
        """The table that the model sees, on the rows used; variables as the formula writes them.

        >>> lmm("log(y) ~ x + (1 | g)", frame).model_frame().columns.tolist()
        ['log(y)', 'x', 'g']
        """
        return model_frame(self.design)

    @property
    def formula(self) -> str:
        """The formula in canonical spelling."""
        return self.design.formula

    @property
    def algorithm(self) -> str:
        """The search that found the estimates."""
        return self.estimates.algorithm

    @property
    def params(self) -> pd.Series[float]:
        """Fixed effects (BLUE) by coefficient."""
        return tables.by_coefficient(self.estimates, self.estimates.beta, "estimate")

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the fixed effects, not adjusted for small samples."""
        return tables.by_coefficient(self.estimates, self.estimates.bse, "se")

    @property
    def dropped_columns(self) -> list[str]:
        """Columns of X left out as linear functions of earlier ones."""
        return self.estimates.dropped_columns

    def cov_params(self) -> pd.DataFrame:
        """Covariance matrix of the fixed effects, (p, p)."""
        return tables.covariance_of_coefficients(self.estimates)

    @property
    def theta(self) -> pd.Series[float]:
        """Relative covariance parameters: Lambda of each term, down the columns of its lower triangle."""
        return tables.theta(self.estimates)

    @property
    def sigma(self) -> float:
        """Residual standard deviation, in the unit of the response; where it differs, at the first visit."""
        return self.estimates.sigma

    @property
    def scale(self) -> float:
        """Residual variance."""
        return self.estimates.sigma**2

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances, covariances and correlations: group, var1, var2, vcov, sdcor.

        The last rows are of the group `Residual`: one, or under a residual structure a variance of each visit
        (or level), then the covariances between the visits of a subject. A variance that follows a number is
        told where it is sigma^2: `dose = 1` under `power(dose)`, `dose = 0` under `exp(dose)`.
        """
        return tables.varcorr(self.estimates)

    @property
    def residual_params(self) -> pd.Series[float]:
        """Parameters of the residual structure on their natural scales; none for independent residuals.

        `ratio.<level>` is an SD relative to the first, which is `sigma`; `rho` a correlation per step or unit
        of time, `rho.<lag>` (toep), `rho.<t1>.<t2>` (ad) and `cor.<t1>.<t2>` (un) correlations; with `by=`
        each is prefixed `<level>.`. Of `car1` the `range` stands beside rho = exp(-1 / range), of `expsp`
        beside the `nugget`, the share of the variance that no two rows have in common; `power` and `exp` are
        what the SD is raised to. `Residual.` stands before one that a coefficient is called too.
        """
        return tables.residual_params(self.estimates)

    @property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Predicted random effects (BLUP): per grouping factor a frame, levels x terms."""
        return tables.by_factor(self.estimates, self.estimates.b)

    @property
    def ranef_se(self) -> dict[str, pd.DataFrame]:
        """Conditional standard deviations of the random effects, as lme4's condVar."""
        return tables.by_factor(self.estimates, tables.conditional_sds(self.estimates))

    @property
    def reliability(self) -> dict[str, pd.DataFrame]:
        """Reliability of the predicted random effects: 1 - PEV / variance, with 1 + F times it of an inbred.

        >>> lmm("y ~ x + (1 | g)", frame).reliability["g"].round(3)["Intercept"].tolist()
        [0.646, 0.646, 0.646]
        """
        return tables.by_factor(self.estimates, reliability(self.estimates))

    @property
    def ranef_cov(self) -> dict[str, pd.DataFrame]:
        """Conditional covariance matrices of the random effects by term: (level, term) x term.

        >>> lmm("y ~ x + (1 | g)", frame).ranef_cov["g"].round(3).iloc[:1].to_numpy().tolist()
        [[0.291]]
        """
        return ranef_cov(self.estimates)

    def ranef_table(self, error: str = "conditional", level: float = 0.95) -> pd.DataFrame:
        """Predicted random effects, one by one: group, level, term, estimate, se, low, high.

        Args:
            error: What `se` is of: "conditional", the effect given the data with the fixed effects as known
                (lme4's condVar), or "prediction", what the estimation of the fixed effects adds too (SAS's).
            level: Coverage of the intervals, of the normal distribution.

        Raises:
            FitError: An option that is not offered.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.ranef_table().round(2).iloc[:1]
          group level       term  estimate    se   low  high
        0     g     a  Intercept     -0.86  0.54 -1.92   0.2
        """
        return ranef_table(self.estimates, error=error, level=level)

    @property
    def llf(self) -> float:
        """Log-likelihood, restricted under REML."""
        return self.estimates.llf

    @property
    def deviance(self) -> float:
        """-2 log-likelihood, or the REML criterion."""
        return self.estimates.deviance

    @property
    def aic(self) -> float:
        """deviance + 2 npar."""
        return self.estimates.aic

    @property
    def bic(self) -> float:
        """deviance + npar log(nobs)."""
        return self.estimates.bic

    @property
    def npar(self) -> int:
        """Number of parameters: fixed effects, theta, `residual_params` and sigma."""
        return self.estimates.npar

    @property
    def df_model(self) -> int:
        """Number of fixed effects."""
        return len(self.estimates.beta)

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.estimates.nobs

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels by grouping factor, subjects of a residual structure included."""
        return self.estimates.ngroups

    @property
    def reml(self) -> bool:
        """Restricted maximum likelihood (True), or maximum likelihood."""
        return self.estimates.reml

    @property
    def converged(self) -> bool:
        """Whether the search met its stop rule."""
        return self.estimates.converged

    @property
    def is_singular(self) -> bool:
        """Whether a covariance matrix of random effects has a null direction."""
        return self.estimates.is_singular

    @property
    def evaluations(self) -> int:
        """Calls of the criterion with its gradient during the search."""
        return self.estimates.evaluations

    @property
    def trace(self) -> pd.DataFrame:
        """The log of the search: phase, iteration, deviance, gradient, decrement, step, theta.

        Under a residual structure a last column `rho` has its parameters, in the order of `residual_params`.
        """
        return tables.trace(self.estimates)

    @property
    def fittedvalues(self) -> pd.Series[float]:
        """Fitted values with the random effects, (nobs,)."""
        return tables.by_row(self.estimates, self.estimates.fitted, "fitted")

    @property
    def resid(self) -> pd.Series[float]:
        """Response less fitted values, (nobs,)."""
        return tables.residuals(self.estimates, "response").rename("resid")

    def residuals(self, kind: tables.ResidualKind = "response") -> pd.Series[float]:
        """Residuals, (nobs,).

        Args:
            kind: "response", the response less `fittedvalues`, as `resid`; "marginal", the response less the
                fixed part alone; "pearson", divided by each row's residual SD; "normalised", free of the
                correlations of the residual structure too: L^-1 (y - fitted), L the lower Cholesky factor of
                the covariance matrix of a subject's residuals in the order of the visits or times, so that
                they are independent of variance 1 where the model holds.

        Raises:
            FitError: A kind that is not offered.

        Reference: Pinheiro & Bates (2000), Mixed-Effects Models in S and S-PLUS, section 5.3.

        >>> fit = lmm("y ~ x", frame, residual="cs(x | g)")
        >>> fit.residuals("normalised").round(3).tolist()[:3]
        [-0.122, -0.916, 0.178]
        """
        return tables.residuals(self.estimates, kind)

    # Inference

    def coef_table(self, df: str = "auto", level: float = 0.95) -> pd.DataFrame:
        """Coefficients with tests and intervals: estimate, se, df, t, p, low, high, method.

        Args:
            df: Denominator degrees of freedom: auto, satterthwaite, kenward-roger (whose `se` is adjusted),
                kenward-roger-observed (from the observed information: SAS's FIRSTORDER), unbounded
                (Satterthwaite with variances that may be negative, in `se` too), containment, inner-outer
                (nlme's), between-within (under residuals of `un` all are between), residual or normal. "auto"
                is, for a REML fit with at most 3,000 random effects and 50,000 rows, Kenward-Roger, or
                "unbounded" where the fit is singular and it is defined; else Satterthwaite. It never raises:
                a row without df has NaN and the reason in `method`, which also names the variances that are
                estimated as zero.
            level: Coverage of the intervals.

        Raises:
            FitError: An option that is not offered, or a method that this fit does not allow.

        References:
            Kenward & Roger (1997); Satterthwaite as Giesbrecht & Burns (1985); SAS/STAT, The MIXED Procedure.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.coef_table()[["estimate", "df", "method"]].round(3).loc["x"].to_dict()
        {'estimate': 2.167, 'df': 5.0, 'method': 'kenward-roger'}
        """
        return linear_functions.coef_table(self.estimates, df=df, level=level)

    def contrast(
        self,
        L: Any,
        df: str = "auto",
        level: float = 0.95,
        *,
        joint: bool = False,
        null: float | Sequence[float] | None = None,
        side: str = "two-sided",
        delta: float = 0.0,
        adjust: str = "none",
    ) -> pd.DataFrame:
        """Linear combinations of the coefficients: estimate, se, df, t, p, low, high.

        Args:
            L: Text such as `"Machine[T.B] - Machine[T.C]"`, `"Days = 5"` or `"a = b, c = 0"`, or a list of
                such; a mapping from coefficients to weights, or from labels to combinations; a DataFrame with
                coefficients as columns; a vector or matrix of numbers, one column per coefficient.
            df: Denominator degrees of freedom, as in `coef_table`.
            level: Coverage of the intervals; a one-sided test has one bound.
            joint: One F test of all rows together: num_df, den_df, F, p, method. Rows that follow from
                others are left out; the F of Kenward-Roger is scaled.
            null: The value tested, or one for each row, where the text states none by `=`; by default 0.
                Other values stand in a column `null`.
            side: "two-sided", "less" or "greater" (also "left", "right", "<", ">"); "equivalence",
                "noninferiority", "nonsuperiority" with a `delta`.
            delta: The margin: the alternative is then that the row lies within delta of its value (two
                one-sided tests; the interval that decides it at 5 % is that of level 0.90), above value -
                delta ("greater"), or below value + delta ("less").
            adjust: Adjustment for several rows: mvt (multivariate t; its numerical error is in `p_error`),
                scheffe, sidak, bonferroni, holm, hochberg, hommel, BH, BY or none.

        Raises:
            FitError: A combination that cannot be read or estimated, values that contradict each other, or an
                option that is not offered.

        References:
            Fai & Cornelius (1996) and Kenward & Roger (1997) for F; Schuirmann (1987) for equivalence.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.contrast("Intercept + 2 * x").round(2)["estimate"].to_dict()
        {'Intercept + 2 * x': 7.72}
        >>> fit.contrast("x = 1", side="greater").round(4)[["null", "p"]].to_dict("index")
        {'x = 1': {'null': 1.0, 'p': 0.0148}}
        >>> fit.contrast(["x", "Intercept"], joint=True).round(2)[["num_df", "F"]].values.tolist()
        [[2.0, 16.65]]
        """
        if joint:
            if side != "two-sided" or delta or adjust != "none":
                raise FitError(
                    "joint=True is one F test, which has no side, delta or adjust: leave them out."
                )
            return joint_contrast(self.estimates, L, df=df, null=null)
        return linear_functions.contrast(
            self.estimates, L, df=df, level=level, null=null, side=side, delta=delta, adjust=adjust
        )

    def anova(self, type: int = 3, df: str = "auto") -> pd.DataFrame:  # noqa: A002  SAS's word for it
        """F tests of the terms of the fixed part: num_df, den_df, F, p, method.

        Args:
            type: 1 (each term after those before it), 2 (after all that do not contain it) or 3 (as with
                equal weights on the cells), as SAS and lmerTest have them; the coding does not matter.
            df: Denominator degrees of freedom, as in `coef_table`; the F of Kenward-Roger is scaled.

        Raises:
            FitError: An option that is not offered, or a method that this fit does not allow.

        References:
            SAS/STAT, The Four Types of Estimable Functions; Kenward & Roger (1997); Fai & Cornelius (1996).

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.anova()[["num_df", "den_df"]].round(3).to_dict("index")
        {'x': {'num_df': 1, 'den_df': 5.0}}
        """
        return anova(self.estimates, kind=type, df=df)

    def estimate(
        self,
        fixed: Any = None,
        random: Any = None,
        df: str = "auto",
        level: float = 0.95,
        labels: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Functions of fixed and random effects, as SAS's ESTIMATE: estimate, se, df, t, p, low, high.

        Without random effects the inference is broad, about all levels that there might be; with weights that
        average the levels in the data it is narrow, about these.

        Args:
            fixed: Combinations of the coefficients, as `contrast` takes them.
            random: By grouping factor the weight of each level, `{"g": {"a": 1, "b": -1}}`, or by level that
                of each column, `{"g": {"a": {"x": 1}}}`; a list of such for several functions.
            df: "auto": as `contrast` without random effects, else Satterthwaite's with what the estimation of
                the covariance parameters adds to `se`, up to 3,000 random effects and 50,000 rows;
                "satterthwaite": without that; "normal".
            level: Coverage of the intervals.
            labels: Names of the rows.

        Raises:
            FitError: Effects that the model does not have, or an option that is not offered.

        References:
            McLean, Sanders & Stroup (1991), The American Statistician 45, 54-64.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.estimate("Intercept + x", {"g": {"b": 1}}, labels="b at x = 1")["estimate"].round(2).to_dict()
        {'b at x = 1': 8.89}
        """
        return estimate_functions(
            self.estimates, fixed=fixed, random=random, df=df, level=level, labels=labels
        )

    def ranova(
        self,
        reduce: bool = True,
        method: RandomTest = "lrt",
        n: int = 1000,
        seed: int = 0,
        workers: int = 1,
    ) -> pd.DataFrame:
        """Every random-effects term against the model without it: npar, llf, aic, stat, df, p, reference.

        A variance that is left out lies on the boundary of its domain, where the likelihood ratio has a
        mixture of chi-squared distributions: `reference` says which. By the criterion of the fit.

        Args:
            reduce: Of `(x | g)` its parts are left out one by one (`x in (1 + x | g)`); False leaves out the
                whole term.
            method: "lrt", or "bootstrap", which simulates each distribution under the smaller model.
            n: Replicates, for "bootstrap".
            seed: Seed of simulated weights and of the bootstrap.
            workers: Threads, for "bootstrap"; the numbers do not depend on it.

        Raises:
            FitError: An option that is not offered.

        References:
            lmerTest's ranova for the terms; Self & Liang (1987) and Stram & Lee (1994) for the mixtures.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.ranova()["reference"].to_dict()
        {'<none>': '', '(1 | g)': '1/2 chi2(0) + 1/2 chi2(1)'}
        """
        return ranova(self.estimates, reduce=reduce, method=method, n=n, seed=seed, workers=workers)

    def drop1(
        self,
        scope: str | Sequence[str] | None = None,
        test: FixedTest = "F",
        df: str = "auto",
        n: int = 1000,
        seed: int = 0,
        workers: int = 1,
    ) -> pd.DataFrame:
        """Every fixed term that no other one contains against the model without it: aic, stat, p, reference.

        The criteria are those of maximum-likelihood fits, as R's drop1 has them.

        Args:
            scope: Terms to leave out, one by one; by default all that no other term contains.
            test: "F" of this fit, "lrt" of maximum-likelihood fits, or "bootstrap" of the latter.
            df: Denominator degrees of freedom of "F", as in `coef_table`.
            n: Replicates, for "bootstrap".
            seed: Seed of the bootstrap.
            workers: Threads, for "bootstrap"; the numbers do not depend on it.

        Raises:
            FitError: A term that the model does not have or that another one contains, or an option that is
                not offered.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.drop1()["reference"].to_dict()
        {'<none>': '', 'x': 'F(1, 5)'}
        """
        return drop1(self.estimates, scope=scope, test=test, df=df, n=n, seed=seed, workers=workers)

    def joint_tests(
        self,
        by: str | Sequence[str] | None = None,
        df: str = "auto",
        *,
        at: Mapping[str, Sequence[Any]] | None = None,
        weights: str = "equal",
        cov_reduce: Reduce | Mapping[str, Reduce] = "meanint",
    ) -> pd.DataFrame:
        """F tests of main effects and interactions over the reference grid: num_df, den_df, F, p, method.

        Of factors alone with equal weights they are type III tests; with `by` they are simple effects, one
        test of each effect within each of its values. What the data cannot estimate of an effect is left out.

        Args:
            by: Variables within whose values the others' effects are tested.
            df: Denominator degrees of freedom, as in `coef_table`.
            at: Values of variables in place of those of the grid: a curved covariate needs three or more.
            weights: As in `marginal_means`.
            cov_reduce: What stands for a covariate; "meanint" (mean less and plus 1) tests its slope.

        Raises:
            FitError: A variable that the fixed part does not have, or an option that is not offered.

        References: The R package emmeans; Fai & Cornelius (1996); Kenward & Roger (1997).

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.joint_tests()[["num_df", "den_df"]].round(3).to_dict("index")
        {'x': {'num_df': 1, 'den_df': 5.0}}
        """
        return joint_tests(self.estimates, by=by, df=df, at=at, weights=weights, cov_reduce=cov_reduce)

    def marginal_means(
        self,
        specs: str | Sequence[str],
        by: str | Sequence[str] | None = None,
        df: str = "auto",
        *,
        weights: str = "equal",
        at: Mapping[str, Sequence[Any]] | None = None,
        level: float = 0.95,
        cov_reduce: Reduce | Mapping[str, Reduce] = "mean",
        type: Scale = "model",  # noqa: A002  emmeans' word for it
        bias_adjust: bool = False,
        sigma: float | None = None,
    ) -> MarginalMeans:
        """Marginal means over the reference grid: mean, se, df, low, high, with `.pairs()` and `.contrast()`.

        The grid holds every combination of the factors' levels; covariates are at their means (those of two
        values keep both), as in emmeans. A factor that is nested in another (`f + f:h`, or levels that occur
        within one of its levels alone) is averaged over, and compared, within that one's levels.

        Args:
            specs: Variables whose values are told apart; none for the overall mean.
            by: Variables within whose values `.pairs()` compares.
            df: Denominator degrees of freedom, as in `coef_table`.
            weights: Of the cells averaged over: "equal"; "proportional" to their rows in the data; "outer",
                the product of each variable's shares of the rows; "cells", rows of each mean's own cells;
                "flat", equal for cells with rows.
            at: Values of variables in place of all levels or of the mean, by name.
            level: Coverage of the intervals.
            cov_reduce: What stands for a covariate: "mean", "median", "range" (least and greatest), "meanint"
                (mean less and plus 1), "unique", or a function of its column; or such by name.
            type: "response" for the scale of y when the response is log(y), log1p(y), log2(y), log10(y) or
                sqrt(y): `response` in place of `mean`, intervals carried over, `se` by the delta method,
                contrasts of logarithms as ratios.
            bias_adjust: With type="response", allow for the spread about the mean to second order, as
                emmeans: log(y) with variance s2 about m goes to exp(m) (1 + s2 / 2).
            sigma: The standard deviation for that, by default the total one, random effects included.

        Raises:
            FitError: A variable that the fixed part does not have, or an option that is not offered.

        References:
            Searle, Speed & Milliken (1980); the grid as in the R package emmeans.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.marginal_means("x", at={"x": [0, 2]})["mean"].round(2).to_dict()
        {0: 3.39, 2: 7.72}
        """
        return marginal_means(
            self.estimates,
            specs=specs,
            by=by,
            df=df,
            weights=weights,
            at=at,
            level=level,
            cov_reduce=cov_reduce,
            kind=type,
            bias_adjust=bias_adjust,
            sigma=sigma,
        )

    def slopes(
        self,
        variable: str,
        specs: str | Sequence[str] = (),
        by: str | Sequence[str] | None = None,
        df: str = "auto",
        *,
        weights: str = "equal",
        at: Mapping[str, Sequence[Any]] | None = None,
        level: float = 0.95,
    ) -> MarginalMeans:
        """Slopes of the mean along a covariate: slope, se, df, low, high, with `.pairs()` and `.contrast()`.

        Args:
            variable: The covariate.
            specs: Variables whose values are told apart; none for the average slope.
            by: Variables within whose values `.pairs()` compares.
            df: Denominator degrees of freedom, as in `coef_table`.
            weights: "equal" for the cells averaged over, or "proportional" to their rows in the data.
            at: Values of variables in place of all levels or of the mean, by name.
            level: Coverage of the intervals.

        Raises:
            FitError: As for `marginal_means`, or the variable is a factor.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.slopes("x")["slope"].round(3).to_dict()
        {'overall': 2.167}
        """
        return marginal_means(
            self.estimates,
            specs=specs,
            by=by,
            df=df,
            weights=weights,
            at=at,
            level=level,
            slope_of=variable,
        )

    def avg_predictions(
        self,
        by: str | Sequence[str] | None = None,
        *,
        newdata: Any = None,
        level: AtLevel = "population",
        weights: Any = None,
        df: str = "auto",
        coverage: float = 0.95,
    ) -> pd.DataFrame:
        """Predictions averaged over rows: estimate, se, df, t, p, low, high.

        Args:
            by: Columns within whose values rows are averaged.
            newdata: A table to average over; by default the rows of the fit.
            level: "population" for the fixed effects alone, with the df and the covariance of `coef_table`;
                "group" with the random effects of each row's levels and their uncertainty, that of the
                covariance parameters included up to 3,000 random effects and 50,000 rows.
            weights: What each row counts, a column of the rows or a vector; by default alike.
            df: Denominator degrees of freedom, as in `coef_table`; at level "group" auto, satterthwaite or
                normal.
            coverage: Coverage of the intervals.

        Raises:
            FitError: A variable or column that there is not, or an option that is not offered.
            DataError: `newdata` lacks a column, or has a level that the fit has not seen.

        Reference: The R package marginaleffects, whose averages are asymptotic.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.avg_predictions(by="x")["estimate"].round(3).to_dict()
        {0: 3.389, 1: 5.556, 2: 7.722}
        """
        of = row_averages(
            self.estimates, by=by, newdata=newdata, level=level, weights=weights, df=df, coverage=coverage
        )
        return of.predictions()

    def avg_slopes(
        self,
        variables: str | Sequence[str] | None = None,
        by: str | Sequence[str] | None = None,
        *,
        newdata: Any = None,
        level: AtLevel = "population",
        weights: Any = None,
        df: str = "auto",
        coverage: float = 0.95,
    ) -> pd.DataFrame:
        """Slopes averaged over rows, by term and contrast: estimate, se, df, t, p, low, high.

        Args:
            variables: Covariates, along which slopes are taken, and factors, whose levels are compared with
                the first; by default all of the fixed part.
            by: Columns within whose values rows are averaged.
            newdata: A table to average over; by default the rows of the fit.
            level: "population" for the fixed effects alone, with the df and the covariance of `coef_table`;
                "group" with the random effects of each row's levels and their uncertainty, that of the
                covariance parameters included up to 3,000 random effects and 50,000 rows.
            weights: What each row counts, a column of the rows or a vector; by default alike.
            df: Denominator degrees of freedom, as in `coef_table`; at level "group" auto, satterthwaite or
                normal.
            coverage: Coverage of the intervals.

        Raises:
            FitError: A variable or column that there is not, or an option that is not offered.
            DataError: `newdata` lacks a column, or has a level that the fit has not seen.

        Reference: The R package marginaleffects, whose averages are asymptotic.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.avg_slopes()["estimate"].round(3).to_dict()
        {('x', 'dY/dX'): 2.167}
        """
        of = row_averages(
            self.estimates, by=by, newdata=newdata, level=level, weights=weights, df=df, coverage=coverage
        )
        return of.comparisons(slope_changes(of, variables))

    def avg_comparisons(
        self,
        variables: str | Sequence[str] | Mapping[str, Any] | None = None,
        by: str | Sequence[str] | None = None,
        *,
        newdata: Any = None,
        level: AtLevel = "population",
        weights: Any = None,
        df: str = "auto",
        coverage: float = 0.95,
    ) -> pd.DataFrame:
        """Differences of predictions averaged over rows: estimate, se, df, t, p, low, high by contrast.

        Args:
            variables: Variables, by default all of the fixed part: a covariate rises by 1, the levels of a
                factor are compared with the first. Or changes by name: for a covariate a number to add, two
                values, "sd", "iqr" or "minmax"; for a factor "reference", "sequential", "pairwise" or two
                levels.
            by: Columns within whose values rows are averaged.
            newdata: A table to average over; by default the rows of the fit.
            level: "population" for the fixed effects alone, with the df and the covariance of `coef_table`;
                "group" with the random effects of each row's levels and their uncertainty, that of the
                covariance parameters included up to 3,000 random effects and 50,000 rows.
            weights: What each row counts, a column of the rows or a vector; by default alike.
            df: Denominator degrees of freedom, as in `coef_table`; at level "group" auto, satterthwaite or
                normal.
            coverage: Coverage of the intervals.

        Raises:
            FitError: A variable or column that there is not, or an option that is not offered.
            DataError: `newdata` lacks a column, or has a level that the fit has not seen.

        Reference: The R package marginaleffects, whose averages are asymptotic.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.avg_comparisons({"x": (0, 2)})["estimate"].round(3).to_dict()
        {('x', '2 - 0'): 4.333}
        """
        of = row_averages(
            self.estimates, by=by, newdata=newdata, level=level, weights=weights, df=df, coverage=coverage
        )
        return of.comparisons(comparison_changes(of, variables))

    def conf_int(
        self,
        method: Method | float = "auto",
        level: float = 0.95,
        df: str = "auto",
        n: int = 1000,
        seed: Seed = 0,
        *,
        kind: Kind = "percentile",
        workers: int = 1,
        progress: Progress | None = None,
        alpha: float | None = None,
    ) -> pd.DataFrame:
        """Confidence intervals: low, high, criterion; coefficients, then SDs and correlations.

        Parameters of a residual structure have the names of `residual_params`, and stand before the residual
        SD: that of the first visit, where there are several.

        Args:
            method: "auto": coefficients by Wald with `df`, variance parameters by profile up to 6 covariance
                parameters, 3,000 random effects and 100,000 rows, beyond by Wald unless an SD is near zero;
                `criterion` says which. "wald": on the natural scale for coefficients, on the log for standard
                deviations, on Fisher's z for correlations; NaN and the reason where the likelihood is not
                round. "profile": exact likelihood intervals; those of the coefficients of a REML fit come
                from its ML refit and are asymptotic. "bootstrap": parametric, `n` refits. A number is
                `alpha`.
            level: Coverage.
            df: Denominator degrees of freedom of the coefficients, for "auto" and "wald".
            n: Replicates, for "bootstrap".
            seed: Seed of the random numbers, for "bootstrap".
            kind: For "bootstrap": "percentile" or "bca" (bias-corrected and accelerated), which are
                asymptotic for coefficients, or "studentised" for these, with percentiles for the others.
            workers: Threads, for "bootstrap"; the numbers do not depend on it.
            progress: Called with what is done and how much there is to do.
            alpha: As statsmodels has it: bounds 0 and 1 of the coefficients alone, by Wald with `df`, of
                coverage 1 - alpha.

        Raises:
            FitError: An option that is not offered.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.conf_int().round(3)
                          low    high                  criterion
        Intercept      -3.863  10.641  REML, Wald, kenward-roger
        x               1.171   3.162  REML, Wald, kenward-roger
        g.sd.Intercept  1.357  12.954              REML, profile
        Residual.sd     0.567   2.067              REML, profile
        """
        if alpha is not None or isinstance(method, int | float):
            return statsmodels_words.wald_interval(self.estimates, method if alpha is None else alpha, df)
        return conf_int(
            self.estimates,
            method=method,
            level=level,
            df=df,
            n=n,
            seed=seed,
            kind=kind,
            workers=workers,
            progress=progress,
        )

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

        >>> fit = lmm("y ~ x + (1 | g)", frame)
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
        return r2.r2(self.estimates, n, seed, level)

    def variance_shares(self, n: int | None = None, seed: Seed = 0, level: float = 0.95) -> pd.DataFrame:
        """Shares of the variance of fixed effects, random-effects terms and residual: estimate, low, high.

        Args:
            n: Replicates of a parametric bootstrap for the bounds, which are NaN without.
            seed: Seed of the random numbers.
            level: Coverage of the bounds.

        Raises:
            FitError: No replicates, or a level that is none.

        Reference: Nakagawa & Schielzeth (2013); Johnson (2014).

        >>> lmm("y ~ x + (1 | g)", frame).variance_shares()["estimate"].round(3).to_dict()
        {'fixed': 0.257, 'g': 0.678, 'Residual': 0.066}
        """
        return r2.variance_shares(self.estimates, n, seed, level)

    def part_r2(self, scope: str | Sequence[str] | None = None) -> pd.DataFrame:
        """What each fixed term adds to the marginal R2 of the model without it: part, partial.

        `part` is the difference, as partR2 has it; `partial` that over what the term's absence leaves.

        Args:
            scope: Terms to leave out, one by one; by default all that no other term contains.

        Raises:
            FitError: A term that the model does not have or that another one contains.

        Reference: Stoffel, Nakagawa & Schielzeth (2021), partR2, PeerJ 9, e11414.

        >>> lmm("y ~ x + (1 | g)", frame).part_r2().round(3).to_dict("index")
        {'x': {'part': 0.257, 'partial': 0.257}}
        """
        return part_r2(self.estimates, scope=scope)

    def icc(
        self, n: int | None = None, seed: Seed = 0, level: float = 0.95, by_group: bool = False
    ) -> pd.DataFrame:
        """Intraclass correlation, adjusted and unadjusted for the fixed effects: estimate, low, high.

        Args:
            n: Replicates of a parametric bootstrap for the bounds, which are NaN without.
            seed: Seed of the random numbers.
            level: Coverage of the bounds.
            by_group: The adjusted one taken apart: a row for each random-effects term.

        Raises:
            FitError: No replicates, or a level that is none.

        Reference: Nakagawa & Schielzeth (2013); Johnson (2014).

        >>> lmm("y ~ x + (1 | g)", frame).icc(by_group=True)["estimate"].round(3).to_dict()
        {'g': 0.912}
        """
        return r2.icc(self.estimates, n, seed, level, by_group=by_group)

    def h2(self, n: int | None = None, seed: Seed = 0, level: float = 0.95) -> pd.DataFrame:
        """Heritability of each factor with a known covariance: estimate, low, high, method.

        Args:
            n: Replicates of a parametric bootstrap for the bounds, which are Wald's on the log odds without.
            seed: Seed of the random numbers.
            level: Coverage of the bounds.

        Raises:
            FitError: No factor has a known covariance, or its share is not one number.

        Reference: Falconer & Mackay (1996), Introduction to Quantitative Genetics, chapter 10.

        >>> pedigree = pd.DataFrame({"g": ["a", "b", "c"], "sire": ["", "", "a"], "dam": ["", "", "b"]})
        >>> fit = lmm("y ~ x + (1 | g)", frame, known={"g": pedigree})
        >>> fit.h2()["estimate"].round(3).to_dict()
        {'g': 0.953}
        """
        return heritability(self.estimates, n, seed, level)

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
        return r2.effect_sizes(self.estimates, n, seed, level)

    # The words of statsmodels and broom

    @property
    def model(self) -> statsmodels_words.ModelNames:
        """Names of the response and of the coefficients, where statsmodels keeps them."""
        return statsmodels_words.model_names(self.estimates)

    @property
    def fe_params(self) -> pd.Series[float]:
        """Fixed effects: `params`.

        >>> lmm("y ~ x + (1 | g)", frame).fe_params.round(3).to_dict()
        {'Intercept': 3.389, 'x': 2.167}
        """
        return self.params

    @property
    def bse_fe(self) -> pd.Series[float]:
        """Standard errors of the fixed effects: `bse`.

        >>> lmm("y ~ x + (1 | g)", frame).bse_fe.round(3).to_dict()
        {'Intercept': 1.83, 'x': 0.387}
        """
        return self.bse

    @cached_property
    def tvalues(self) -> pd.Series[float]:
        """t of `coef_table()`, whose standard errors are adjusted for small samples where `bse` is not.

        >>> lmm("y ~ x + (1 | g)", frame).tvalues.round(3).to_dict()
        {'Intercept': 1.852, 'x': 5.594}
        """
        return self.coef_table()["t"].rename_axis(None).rename("tvalues")

    @cached_property
    def pvalues(self) -> pd.Series[float]:
        """p of `coef_table()`, with its degrees of freedom.

        >>> lmm("y ~ x + (1 | g)", frame).pvalues.round(4).to_dict()
        {'Intercept': 0.1941, 'x': 0.0025}
        """
        return self.coef_table()["p"].rename_axis(None).rename("pvalues")

    @property
    def df_resid(self) -> int:
        """Rows less fixed effects, as statsmodels counts; tests go by `coef_table()["df"]`.

        >>> lmm("y ~ x + (1 | g)", frame).df_resid
        7
        """
        return self.nobs - self.df_model

    @property
    def random_effects(self) -> dict[Any, pd.Series[float]]:
        """BLUPs by level; by (factor, level) where there are several grouping factors.

        >>> lmm("y ~ x + (1 | g)", frame).random_effects["a"].round(2).to_dict()
        {'Intercept': -0.86}
        """
        return statsmodels_words.random_effects(self.estimates)

    @property
    def cov_re(self) -> pd.DataFrame:
        """Covariance matrix of the random effects of one level of every term.

        >>> lmm("y ~ x + (1 | g)", frame).cov_re.round(3).to_numpy().tolist()
        [[9.293]]
        """
        return statsmodels_words.cov_re(self.estimates)

    def t_test(self, r_matrix: Any, df: str = "auto") -> Any:
        """t tests of combinations, each for itself: statsmodels' ContrastResults of `contrast`.

        Args:
            r_matrix: As `contrast` takes it: `"x = 2"`, a list of such, a matrix.
            df: Denominator degrees of freedom, as in `coef_table`.

        Raises:
            FitError: As `contrast`.

        >>> float(lmm("y ~ x + (1 | g)", frame).t_test("x = 2").pvalue.round(4))
        0.6849
        """
        return statsmodels_words.t_test(self.estimates, r_matrix, df)

    def f_test(self, r_matrix: Any, df: str = "auto") -> Any:
        """F test of combinations together: statsmodels' ContrastResults of `contrast(..., joint=True)`.

        Args:
            r_matrix: As `contrast` takes it.
            df: Denominator degrees of freedom, as in `coef_table`.

        Raises:
            FitError: As `contrast`.

        >>> float(lmm("y ~ x + (1 | g)", frame).f_test("x = 2").pvalue.round(4))
        0.6849
        """
        return statsmodels_words.f_test(self.estimates, r_matrix, df)

    def wald_test(self, r_matrix: Any, use_f: bool = True, df: str = "auto") -> Any:
        """The test of combinations together by F, or by chi-squared: statsmodels' ContrastResults.

        Args:
            r_matrix: As `contrast` takes it.
            use_f: False for chi-squared, which takes the variances as known.
            df: Denominator degrees of freedom of F, as in `coef_table`.

        Raises:
            FitError: As `contrast`, or an option that is not offered.

        >>> float(lmm("y ~ x + (1 | g)", frame).wald_test("x = 2", use_f=False).pvalue.round(4))
        0.667
        """
        return statsmodels_words.wald_test(self.estimates, r_matrix, df, use_f=use_f)

    def get_prediction(
        self, newdata: Any = None, level: Level = "group", new_levels: NewLevels = "error"
    ) -> statsmodels_words.PredictionResults:
        """Predictions with `predicted_mean`, `se_mean`, `conf_int(obs, alpha)` and `summary_frame(alpha)`.

        Args:
            newdata: As `predict`.
            level: As `predict`.
            new_levels: As `predict`.

        Raises:
            DataError, FitError: As `predict`.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.get_prediction(frame[:1]).summary_frame()["mean"].round(2).tolist()
        [2.53]
        """
        return statsmodels_words.get_prediction(self.estimates, newdata, level, new_levels)

    def summary2(self, df: str = "auto", alpha: float = 0.05) -> Any:
        """The fit as statsmodels' Summary of tables, with its as_text, as_html and as_latex.

        Args:
            df: Denominator degrees of freedom, as in `coef_table`.
            alpha: The intervals have the coverage 1 - alpha.

        Raises:
            FitError: An option that is not offered.

        >>> [table.shape for table in lmm("y ~ x + (1 | g)", frame).summary2().tables]
        [(4, 4), (2, 7), (2, 1)]
        """
        return statsmodels_words.summary2(self.estimates, df, alpha)

    def tidy(
        self,
        effects: str | Sequence[str] = ("fixed", "ran_pars"),
        df: str = "auto",
        level: float = 0.95,
        method: Method = "auto",
    ) -> pd.DataFrame:
        """broom.mixed's table, a row per effect: effect, group, level, term, estimate, std.error, ...

        Args:
            effects: "fixed", "ran_pars" (standard deviations and correlations), "ran_vals" (random effects),
                "ran_coefs" (their sums with the fixed ones); one or several.
            df: Denominator degrees of freedom, as in `coef_table`.
            level: Coverage of the intervals.
            method: Of the intervals of "ran_pars", as in `conf_int`.

        Raises:
            FitError: An option that is not offered.

        >>> lmm("y ~ x + (1 | g)", frame).tidy()["term"].tolist()
        ['Intercept', 'x', 'sd__Intercept', 'sd__Observation']
        """
        return broom.tidy(self.estimates, effects=effects, df=df, level=level, method=method)

    def glance(self) -> pd.DataFrame:
        """broom.mixed's row about the fit: nobs, sigma, logLik, AIC, BIC, REMLcrit, df.residual.

        >>> lmm("y ~ x + (1 | g)", frame).glance().columns.tolist()
        ['nobs', 'sigma', 'logLik', 'AIC', 'BIC', 'REMLcrit', 'df.residual']
        """
        return broom.glance(self.estimates)

    def augment(self) -> pd.DataFrame:
        """The model frame with broom.mixed's columns: .fitted, .resid, .hat, .cooksd, .fixed, ..., .wtres.

        `.hat` is the leverage of a row's response on its fitted value; `.cooksd` is made of it.

        >>> lmm("y ~ x + (1 | g)", frame).augment()[[".fitted", ".hat"]].round(3).iloc[0].to_dict()
        {'.fitted': 2.528, '.hat': 0.493}
        """
        return broom.augment(self.estimates)

    # Prediction and simulation

    def predict(
        self,
        newdata: Any = None,
        *,
        level: Level = "group",
        interval: Interval = None,
        coverage: float = 0.95,
        new_levels: NewLevels = "error",
        se: bool = True,
        groups: str | Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Predicted means with standard errors and intervals: fit, se, low, high.

        Args:
            newdata: A table with the columns of the formula but the response, and at level "population" or
                "new" without the grouping columns; by default the rows of the fit.
            level: "group" with the random effects of each row's levels, "population" without any, "new" for
                levels not seen yet.
            interval: "confidence" for the mean, "prediction" for an observation, or None. Quantiles of t: at
                level "population" with the df and the adjusted covariance of `coef_table`, for new levels
                with Satterthwaite's df; at level "group" they hold the uncertainty of theta, up to 3,000
                random effects and 50,000 rows, which `se` does not. An observation of the population is one
                of new levels.
            coverage: Coverage of the interval.
            new_levels: At level "group" a level without data is an "error", or gets random effects of zero
                with their full variance ("population").
            se: False leaves standard errors, which take longer than the predictions, at NaN.
            groups: At level "group" the grouping factors whose random effects count; by default all.

        A row that the data cannot estimate is NaN, with the reason in a warning and in `attrs["trouble"]`.
        Under a residual structure an observation has the variance that its own columns give it, and the mean
        does not borrow from the residuals of other rows of its subject: `attrs["note"]` says so.

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
            se=se,
            groups=groups,
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

    def update(self, formula: str | None = None, *, data: Any = None, **changes: Any) -> Fit:
        """The model with a change, fitted again.

        Args:
            formula: The change, a dot for what was on its side: `". ~ . - x + (1 | h)"`, `"log(.) ~ ."`.
            data: Another table; by default the one that `lmm` was given.
            changes: Arguments of `lmm` in place of those of this fit: reml, algorithm, weights, offset,
                residual, known, variances, contrasts, missing, subset.

        Raises:
            FormulaError: The change cannot be read, or takes away what the formula does not have.
            FitError: An argument that is not offered, or one that belongs to another table.
            DataError: As `lmm`.

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> fit.update("log(.) ~ . - x").formula
        'log(y) ~ 1 + (1 | g)'
        """
        reml, algorithm = changes.pop("reml", self.reml), changes.pop("algorithm", self.algorithm)
        _check_arguments(reml, None)
        design = updated_design(self.design, formula, data, changes)
        return Fit(estimate(design, reml=bool(reml), algorithm=algorithm))

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

        >>> fit = lmm("y ~ x + (1 | g)", frame)
        >>> int(fit.bootstrap(200, seed=1)["singular"].sum())
        4
        """
        if statistic is not None and not callable(statistic):
            raise FitError(f"statistic: a function of a fit is expected, not {type(statistic).__name__}.")
        of_fit: Callable[[Estimates], Any] | None = (
            None if statistic is None else lambda estimates: statistic(Fit(estimates))
        )
        return bootstrap(self.estimates, n, of_fit, seed=seed, workers=workers, progress=progress)

    # Checks

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

    # In words and on disk

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
        residual = self.design.request.residual
        formula = terminal(self.formula + (f", residual = {residual}" if residual else ""))
        return f"<Fit {formula}: {criterion}, {self.nobs:,} rows, deviance {self.deviance:.4f}>"

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
    variances: Mapping[str, Any] | None = None,
    contrasts: Mapping[str, Any] | None = None,
    missing: Missing = "drop",
    subset: str | None = None,
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
        residual: How residuals are correlated, and what their variance depends on, in place of random
            effects or beside them: over visits `un(visit | id)`, `cs`, `csh`, `toep`, `toeph`, `ar1`, `ar1h`,
            `ad`, `adh`, with parameters of their own for each arm `un(visit | id, by=arm)`; fading with time,
            `car1(day | id)`, or with distance, `expsp(x, y | g, nugget=TRUE)`; a variance for each level,
            `ident(f)`, or one that follows a number, `power(x)`, `exp(x)`, `power(fitted)`; a product of a
            variance function and a correlation. Independent residuals of one variance when left out.
        known: Known covariances between the levels of grouping factors, `{"animal": K}`: a square DataFrame
            with the levels as index and columns, or a pedigree, a table of animal, sire and dam (empty, NA
            or 0: unknown). Levels without rows are predicted too.
        variances: Variances to hold, by group and "Residual", such as `{"animal": 20, "Residual": 40}`; a
            covariance matrix for a term of several effects. All of them; they are estimated when left out.
        contrasts: Coding by factor.
        missing: Rows with a missing value are dropped and listed ("drop"), the same with NaN in their place
            in fitted values, residuals and predictions of the rows ("exclude", as R's na.exclude), or refused
            ("error").
        subset: A condition in the formula's language, such as `"Days > 1 and Subject != '335'"`: the model
            is fitted to the rows that meet it, as if there were no others.
        start: theta to start the search from, in the order of `Fit.theta`; by default moment estimates. A
            residual structure starts from those alone.
        max_iterations: Steps of the search at most; by default what the algorithm may need on hard problems.

    Raises:
        FormulaError: The formula cannot be read, or asks for what is not offered.
        DataError: The data cannot be used as the model asks.
        FitError: The model cannot be estimated from these data, or an option is not offered.

    >>> lmm("y ~ x + (1 | g)", frame).params.round(4).to_dict()
    {'Intercept': 3.3889, 'x': 2.1667}
    >>> lmm("y ~ x", frame, residual="cs(x | g)").residual_params.round(4).to_dict()
    {'rho': 0.9117}
    >>> lmm("y ~ x + (1 | g)", frame, subset="x < 2").nobs
    6
    >>> gap = frame.assign(x=frame["x"].where(frame.index != 1))
    >>> lmm("y ~ x + (1 | g)", gap, missing="exclude").fittedvalues.isna().tolist()[:3]
    [False, True, False]
    """
    _check_arguments(reml, max_iterations)
    design = build_design(
        formula,
        data,
        weights=weights,
        offset=offset,
        contrasts=contrasts,
        missing=missing,
        subset=subset,
        residual=residual,
        known=known,
        variances=variances,
    )
    return Fit(estimate(design, reml=bool(reml), algorithm=algorithm, limit=max_iterations, start=start))


def load(path: str | os.PathLike[str]) -> Fit:
    """Read a fit that `Fit.save` wrote, without fitting again.

    Args:
        path: The folder.

    Raises:
        DataError: There is no such folder, it holds no fit, or what it holds is damaged.
    """
    return Fit(storage.load(path))


def _check_arguments(reml: object, limit: object) -> None:
    if not isinstance(reml, (bool, np.bool_)):
        raise FitError(f"reml={reml!r}: True (REML) or False (maximum likelihood) is expected.")
    if limit is not None:
        whole("max_iterations", limit, "steps")
