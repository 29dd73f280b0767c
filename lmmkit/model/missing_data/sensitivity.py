"""What a sensitivity analysis rests on: an estimand, completed rows, what fills in and analyses them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.imputation.missing_responses import Assumption
from lmmkit.engine.imputation.pooling import Pooled, jackknife, rubin
from lmmkit.errors import FitError
from lmmkit.model.comparison.compare import Fitted
from lmmkit.model.design.update import updated_design
from lmmkit.model.estimates import Estimates, estimate
from lmmkit.model.formula.expression import quote
from lmmkit.model.inference.degrees_of_freedom import denominators
from lmmkit.model.inference.distributions import t_quantile, t_tail
from lmmkit.model.inference.linear_functions import combinations, linear_table
from lmmkit.model.missing_data.completed import Completed, arm_levels, arms, complete
from lmmkit.model.missing_data.conditional_means import ConditionalMeans
from lmmkit.model.missing_data.imputations import Analysis, Imputation
from lmmkit.model.options import Seed, check_level, check_option, seed_of, whole
from lmmkit.model.table.grouping import level_texts
from lmmkit.model.text_table import TablesAndParagraphs, TextTable
from lmmkit.model.threads import one_thread

Covariance = Literal["model", "common", "by-arm"]
COVARIANCES = ("model", "common", "by-arm")
NUMBERS = ["estimate", "se", "df", "t", "p", "low", "high"]
LIKELIHOOD, RUBIN, JACKKNIFE = "likelihood", "multiple imputation, Rubin", "conditional mean, jackknife"
FEWEST = 2  # imputations between which a variance can be taken
DRAWN = (
    "Imputations are proper: each draws the covariance parameters from the large-sample normal distribution "
    "of the unconstrained ones (the exact Hessian at the fit), the coefficients and random effects from "
    "their exact distribution given these, and then the responses."
)


@dataclass(frozen=True, eq=False, repr=False)
class UnderAssumptions(TablesAndParagraphs):
    """An estimate under assumptions about missing responses: its table, facts, and notes in sentences."""

    table: pd.DataFrame
    facts: dict[str, Any]
    notes: tuple[str, ...]

    def _table(self, head: str, words: Sequence[str], numbers: Sequence[str]) -> TextTable:
        """Columns of the table as text, with nothing where there is no number."""
        rows = self.table.to_dict("records")
        told = [
            (*(str(row[n]) for n in words), *("" if np.isnan(row[n]) else f"{row[n]:.5g}" for n in numbers))
            for row in rows
        ]
        return TextTable(head, [(*words, *numbers), *told], numbers_right=True)

    def to_dict(self) -> dict[str, Any]:
        """Table, facts and notes as plain values."""
        return {"table": self.table.to_dict("records"), "facts": self.facts, "notes": list(self.notes)}


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """An estimand and all that its estimates under assumptions about missing responses are made of.

    Attributes:
        name: The estimand.
        L: (p,) it, on the kept coefficients.
        imputation: What fills the missing responses in.
        df: Method of the degrees of freedom of complete data.
        level: Coverage of the intervals.
        count: Imputations.
        seed: Of the random numbers.
        covariance: The covariance matrices of the arms, in words; empty where there is no choice.
    """

    name: str
    L: Floats
    imputation: Imputation
    df: str
    level: float
    count: int
    seed: int
    covariance: str = ""

    @property
    def rows(self) -> Completed:
        """The rows that should have a response."""
        return self.imputation.rows

    @cached_property
    def analysis(self) -> Analysis:
        """The fit's model on completed rows."""
        return Analysis(self.rows, self.L, self.df)

    @cached_property
    def means(self) -> ConditionalMeans:
        """The same by conditional means."""
        return ConditionalMeans(self.imputation, self.analysis)

    @cached_property
    def likelihood(self) -> dict[str, float]:
        """The estimate of the fit itself."""
        fit = self.rows.estimates
        table = linear_table(pd.Index([self.name]), self.L[None], fit, denominators(fit, self.df), self.level)
        return {name: float(table[name].iloc[0]) for name in NUMBERS}

    def drawn(self, assumptions: tuple[Assumption, ...]) -> dict[Assumption, Floats]:
        """(n, m) completed responses under each assumption."""
        return self.imputation.drawn(self.count, self.seed, assumptions)

    def pooled(self, Y: Floats, complete_df: float) -> Pooled:
        """Rubin's rules over the fits to completed responses."""
        return rubin(*self.analysis.estimates(Y), complete_df)

    def tested(self, pooled: Pooled) -> dict[str, float]:
        """An estimate with its test of zero and interval."""
        df = np.array(pooled.df)
        t = pooled.estimate / pooled.se
        half = float(t_quantile(0.5 + self.level / 2.0, df)) * pooled.se
        return {
            "estimate": pooled.estimate,
            "se": pooled.se,
            "df": pooled.df,
            "t": t,
            "p": float(t_tail(np.array(t), df)),
            "low": pooled.estimate - half,
            "high": pooled.estimate + half,
        }

    def by_jackknife(self, assumptions: tuple[Assumption, ...]) -> list[Pooled]:
        """Estimates from conditional means under each assumption.

        Raises:
            FitError: The model cannot be fitted without one of the units.
        """
        whole, without = self.means.estimates(assumptions)
        return [jackknife(float(all_of), each) for all_of, each in zip(whole, without.T, strict=True)]

    @cached_property
    def facts(self) -> dict[str, Any]:
        """How much is missing, and of whom: rows, missing, made, after_last, gaps, subjects, left, by arm."""
        rows = self.rows
        facts: dict[str, Any] = {
            "estimand": self.name,
            "response": rows.design.response,
            "rows": len(rows.missing),
            "missing": int(rows.missing.sum()),
            "made": int(rows.made.sum()),
            "over_visits": rows.visits is not None,
            "imputations": self.count,
            "df_method": self.df,
            "level": self.level,
            "unit": self.means.unit,
            "no_jackknife": self.means.why_not(),
        }
        visits = rows.visits
        if visits is not None and visits.subjects is not None:
            subjects = visits.arrays.subjects
            facts |= {
                "subject": visits.subjects.name,
                "subjects": visits.subjects.size,
                "left": len(np.unique(subjects[rows.tail])),
                "after_last": int(rows.tail.sum()),
                "gaps": int((rows.missing & ~rows.tail).sum()),
                "never": visits.subjects.size - len(np.unique(subjects[~rows.missing])),
            }
        if self.imputation.arms is not None:
            of = np.array(self.imputation.arms.of)
            facts |= {
                "arm": self.imputation.arms.column,
                "reference": self.imputation.arms.reference,
                "covariance": self.covariance,
                "left_by_arm": left_by_arm(rows, of),
            }
        return facts


def missing_words(facts: Mapping[str, Any]) -> str:
    """How many responses are missing, in a sentence."""
    be = "is" if facts["missing"] == 1 else "are"
    said = f"{facts['missing']:,} of {facts['rows']:,} responses {be} missing"
    if facts["made"]:
        said += f" ({facts['made']:,} of them at visits without a row)"
    if not facts["over_visits"]:
        return f"{said}."
    said += (
        f": {facts['after_last']:,} after the last visit of {facts['left']:,} of {facts['subjects']:,} "
        f"levels of {facts['subject']}"
    )
    if facts["gaps"]:
        said += f", and {facts['gaps']:,} in gaps before it, which are imputed at random first"
    if facts["never"]:
        said += f"; {facts['never']:,} {'has' if facts['never'] == 1 else 'have'} no response at all"
    return f"{said}."


def by_rubins_rules(facts: Mapping[str, Any]) -> str:
    """How imputations are pooled, in words."""
    df = "infinitely many" if np.isinf(facts["complete_df"]) else f"{facts['complete_df']:.5g}"
    return f"Rubin's rules, with the degrees of freedom of Barnard and Rubin from {df} of complete data"


def no_jackknife(facts: Mapping[str, Any]) -> str:
    """Why there are no conditional means, in a sentence; empty where there are."""
    why = facts["no_jackknife"]
    return f"No conditional means with the jackknife: {why}." if why else ""


def left_by_arm(rows: Completed, of: Any) -> dict[str, int]:
    """How many subjects of each arm have left early; without visits how many responses are missing."""
    if rows.visits is None:
        return dict(Counter(str(arm) for arm in of[rows.missing]))
    subjects = rows.visits.arrays.subjects
    first = np.unique(subjects, return_index=True)[1]
    left = np.zeros(len(first), bool)
    left[subjects[rows.tail]] = True
    counted = Counter({str(arm): 0 for arm in of[first]})
    counted.update(str(arm) for arm in of[first][left])
    return dict(counted)


def sensitivity(
    fit: Any,
    of: Any,
    *,
    data: Any = None,
    arm: str | None = None,
    reference: Any = None,
    covariance: Covariance = "model",
    imputations: int = 100,
    df: str = "auto",
    level: float = 0.95,
    seed: Seed,
    name: str | None = None,
) -> Sensitivity:
    """What `tipping_point` and `reference_based` rest on; their arguments are described there.

    Args:
        fit: As of these, and the others too.
        of: The estimand.
        data: The table with the rows whose response is missing.
        arm: The arm's column; needed beside a reference.
        reference: The reference arm; None where nothing is imputed by it.
        covariance: Which covariance matrices the arms have.
        imputations: Their number.
        df: Degrees of freedom.
        level: Coverage.
        seed: Of the random numbers.
        name: What the estimand is called; by default as it is written.

    Raises:
        FitError, DataError: As they.
    """
    if not isinstance(fit, Fitted):
        raise FitError(f"A fit is expected, such as lmm() gives, not {type(fit).__name__}.")
    check_level("level", level)
    check_option("covariance", covariance, COVARIANCES)
    count = whole("imputations", imputations, "imputations")
    if count < FEWEST:
        raise FitError(f"imputations={count}: between fewer than two there is no variance; 100 is usual.")
    estimates = fit.estimates
    found = combinations(of, estimates)
    if len(found.labels) != 1 or found.null[0] != 0.0:
        raise FitError(
            "One combination of the coefficients, compared with zero, is expected, such as the coefficient "
            f"of the treatment; `{of!r:.60}` is {len(found.labels)} of them"
            + (" with a value of its own." if found.null.any() else ".")
        )
    with one_thread():
        said = ""
        if reference is not None:
            estimates, said = _with_covariance(estimates, str(arm), covariance)
        rows = complete(estimates, data)
        told = arms(rows, str(arm), reference) if reference is not None else None
        return Sensitivity(
            name or found.labels[0],
            found.L[0],
            Imputation(rows, told),
            df,
            level,
            count,
            seed_of(seed),
            said,
        )


def _with_covariance(estimates: Estimates, arm: str, covariance: Covariance) -> tuple[Estimates, str]:
    """The fit, or the same with other covariance matrices of the arms; and these in words."""
    residual = estimates.design.request.residual
    assert residual is not None
    has = residual.by is not None and arm in residual.by.names
    words = "a covariance matrix of its own for each arm" if has else "one covariance matrix for all arms"
    if covariance == "model" or has == (covariance == "by-arm"):
        return estimates, f"{words}, as in the model"
    text = str(replace(residual, by=None))
    if covariance == "by-arm":
        text = f"{text[:-1]}, by={quote(arm)})"
    design = updated_design(estimates.design, None, None, {"residual": text})
    made = estimate(design, reml=estimates.reml, algorithm=estimates.algorithm)
    other = "one covariance matrix for all arms" if has else "a covariance matrix of its own for each arm"
    return made, f"{other}, the model fitted again with {text}"


def told_apart(rows: Completed, arm: str, levels: Any) -> tuple[list[str], Any]:
    """The arms whose responses are shifted, and (n,) which rows are theirs.

    Raises:
        FitError: A level that the arm does not have.
    """
    of = np.array(arm_levels(rows, arm))
    several = isinstance(levels, (list, tuple))
    names = [str(text) for text in level_texts(list(cast("Sequence[Any]", levels)) if several else [levels])]
    unknown = [name for name in names if name not in of]
    if unknown:
        raise FitError(
            f"shifted={unknown[0]!r}: `{arm}` has no such level; they are {', '.join(sorted(set(of)))}."
        )
    return names, np.isin(of, names)
