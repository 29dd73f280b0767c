"""What can be asked of a fit about its fixed effects: tests, intervals, means and slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lmmkit.model.findings import Findings
from lmmkit.model.inference import wald
from lmmkit.model.means import marginal_means as means
from lmmkit.model.means.comparisons import MarginalMeans


@dataclass(frozen=True, eq=False)
class Answers(Findings):
    """Inference about the fixed effects, with any degrees of freedom."""

    def coef_table(self, df: str = "auto", level: float = 0.95) -> pd.DataFrame:
        """Coefficients with tests and intervals: estimate, se, df, t, p, low, high, method.

        Args:
            df: Denominator degrees of freedom: auto, satterthwaite, kenward-roger (whose `se` is adjusted),
                containment, between-within, residual or normal. "auto" is Kenward-Roger for a non-singular
                REML fit with at most 3,000 random effects and 50,000 rows, else Satterthwaite.
            level: Coverage of the intervals.

        Raises:
            FitError: An option that is not offered, or a method that this fit does not allow.

        References:
            Kenward & Roger (1997); Satterthwaite as Giesbrecht & Burns (1985); SAS/STAT, The MIXED Procedure.

        >>> from lmmkit.model.fit import lmm
        >>> frame = pd.DataFrame({"y": [3.0, 4, 7, 6, 9, 12, 2, 2, 5], "x": [0, 1, 2] * 3})
        >>> fit = lmm("y ~ x + (1 | g)", frame.assign(g=list("aaabbbccc")))
        >>> fit.coef_table()[["estimate", "df", "method"]].round(3).loc["x"].to_dict()
        {'estimate': 2.167, 'df': 5.0, 'method': 'kenward-roger'}
        """
        return wald.coef_table(self.estimates, df=df, level=level)

    def contrast(self, L: Any, df: str = "auto", level: float = 0.95) -> pd.DataFrame:
        """Linear combinations of the coefficients: estimate, se, df, t, p, low, high.

        Args:
            L: Text such as `"Machine[T.B] - Machine[T.C]"`, or a list of such; a mapping from coefficients to
                weights, or from labels to combinations; a DataFrame with coefficients as columns; a vector or
                matrix of numbers, one column per coefficient.
            df: Denominator degrees of freedom, as in `coef_table`.
            level: Coverage of the intervals.

        Raises:
            FitError: A combination that cannot be read or estimated, or an option that is not offered.

        >>> from lmmkit.model.fit import lmm
        >>> frame = pd.DataFrame({"y": [3.0, 4, 7, 6, 9, 12, 2, 2, 5], "x": [0, 1, 2] * 3})
        >>> fit = lmm("y ~ x + (1 | g)", frame.assign(g=list("aaabbbccc")))
        >>> fit.contrast("Intercept + 2 * x").round(2)["estimate"].to_dict()
        {'Intercept + 2 * x': 7.72}
        """
        return wald.contrast(self.estimates, L, df=df, level=level)

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

        >>> from lmmkit.model.fit import lmm
        >>> frame = pd.DataFrame({"y": [3.0, 4, 7, 6, 9, 12, 2, 2, 5], "x": [0, 1, 2] * 3})
        >>> fit = lmm("y ~ x + (1 | g)", frame.assign(g=list("aaabbbccc")))
        >>> fit.anova()[["num_df", "den_df"]].round(3).to_dict("index")
        {'x': {'num_df': 1, 'den_df': 5.0}}
        """
        return wald.anova(self.estimates, kind=type, df=df)

    def marginal_means(
        self,
        specs: str | Sequence[str],
        by: str | Sequence[str] | None = None,
        df: str = "auto",
        *,
        weights: str = "equal",
        at: Mapping[str, Sequence[Any]] | None = None,
        level: float = 0.95,
    ) -> MarginalMeans:
        """Marginal means over the reference grid: mean, se, df, low, high, with `.pairs()` and `.contrast()`.

        The grid holds every combination of the factors' levels; covariates are at their means (those of two
        values keep both), as in emmeans.

        Args:
            specs: Variables whose values are told apart; none for the overall mean.
            by: Variables within whose values `.pairs()` compares.
            df: Denominator degrees of freedom, as in `coef_table`.
            weights: "equal" for the cells averaged over, or "proportional" to their rows in the data.
            at: Values of variables in place of all levels or of the mean, by name.
            level: Coverage of the intervals.

        Raises:
            FitError: A variable that the fixed part does not have, or an option that is not offered.

        References:
            Searle, Speed & Milliken (1980); the grid as in the R package emmeans.

        >>> from lmmkit.model.fit import lmm
        >>> frame = pd.DataFrame({"y": [3.0, 4, 7, 6, 9, 12, 2, 2, 5], "x": [0, 1, 2] * 3})
        >>> fit = lmm("y ~ x + (1 | g)", frame.assign(g=list("aaabbbccc")))
        >>> fit.marginal_means("x", at={"x": [0, 2]})["mean"].round(2).to_dict()
        {0: 3.39, 2: 7.72}
        """
        return means.marginal_means(self.estimates, means.asked(specs, by, df, weights, level), at)

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

        >>> from lmmkit.model.fit import lmm
        >>> frame = pd.DataFrame({"y": [3.0, 4, 7, 6, 9, 12, 2, 2, 5], "x": [0, 1, 2] * 3})
        >>> fit = lmm("y ~ x + (1 | g)", frame.assign(g=list("aaabbbccc")))
        >>> fit.slopes("x")["slope"].round(3).to_dict()
        {'overall': 2.167}
        """
        return means.slopes(self.estimates, variable, means.asked(specs, by, df, weights, level), at)
