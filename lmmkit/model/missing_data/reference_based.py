"""Reference-based imputation: what if those who left an arm went on as the reference arm does?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.imputation.missing_responses import AT_RANDOM, REFERENCE_BASED, Assumption
from lmmkit.engine.imputation.pooling import Pooled
from lmmkit.errors import FitError
from lmmkit.model.design.design import Design
from lmmkit.model.design.residual_design import VisitDesign
from lmmkit.model.missing_data.sensitivity import (
    DRAWN,
    JACKKNIFE,
    LIKELIHOOD,
    NUMBERS,
    RUBIN,
    Covariance,
    Sensitivity,
    UnderAssumptions,
    by_rubins_rules,
    missing_words,
    no_jackknife,
    sensitivity,
)
from lmmkit.model.options import Seed, check_option
from lmmkit.model.text_table import TextTable
from lmmkit.model.threads import one_thread

WORDS = {
    AT_RANDOM: "missing at random",
    "jump-to-reference": "jump to reference",
    "copy-reference": "copy reference",
    "copy-increments": "copy increments in reference",
}
COLUMNS = ["assumption", "method", *NUMBERS, "within", "between", "lost", "monte_carlo"]


@dataclass(frozen=True, eq=False, repr=False)
class ReferenceBased(UnderAssumptions):
    """An estimate under reference-based assumptions about the responses after dropout.

    Attributes:
        table: A row per assumption and method: assumption, method, estimate, se, df, t, p, low, high; of
            multiple imputation also `within` and `between`, the variances that Rubin's rules add up, `lost`,
            the share of the variance due to missing values, and `monte_carlo`, the standard error of the
            estimate for the number of imputations.
        facts: How much is missing and of whom, options, degrees of freedom of complete data.
        notes: What to know, in sentences.
    """

    @property
    def title(self) -> str:
        """What it is about."""
        return f"{self.facts['estimand']} under assumptions about missing responses"

    def _blocks(self) -> list[TextTable | Sequence[str]]:
        head = f"{100 * self.facts['level']:g} % intervals"
        return [[self.title], self._table(head, ["assumption", "method"], NUMBERS), self.notes]


def reference_based(
    fit: Any,
    of: Any,
    *,
    arm: str,
    reference: Any,
    assumptions: Sequence[str] = REFERENCE_BASED,
    covariance: Covariance = "model",
    data: Any = None,
    imputations: int = 100,
    df: str = "auto",
    level: float = 0.95,
    seed: Seed,
) -> ReferenceBased:
    """An estimate of a trial under reference-based assumptions about those who dropped out.

    From a model of repeated visits (MMRM) the responses after the last visit of a subject are imputed as if
    it had gone on like the reference arm: "jump-to-reference" takes that arm's mean at once,
    "copy-increments" its changes from the last visit on, "copy-reference" its mean at all visits, before
    dropout too. Gaps before the last visit are imputed at random first, and so is the reference arm. The
    first lines show missing at
    random: its estimate is that of the likelihood, plus noise.

    Two inferences stand side by side. Multiple imputation with Rubin's rules, whose variance is
    information-anchored: it counts about as much information as missing for these assumptions as at random.
    Conditional mean imputation with the jackknife, whose variance is that of the estimate under repeated
    sampling, were the assumption true: smaller, for what is borrowed from the reference arm.

    Args:
        fit: Of `lmm` with a residual structure over visits, such as `un(visit | id)`, without random effects.
        of: The estimand: a coefficient, or a combination, as `Fit.contrast` reads it.
        arm: The column of the arm, part of the fixed effects and the same on all rows of a subject.
        reference: The level of it that is the reference.
        assumptions: Some of "jump-to-reference", "copy-reference", "copy-increments".
        covariance: "model", the covariance matrices that the fit has; "common", one for all arms; "by-arm",
            one for each: where the fit has another, it is fitted again.
        data: A table with the rows of the fit and those whose response is missing; by default the one that
            the fit was given. Visits at which a subject has no row are added.
        imputations: Their number.
        df: Degrees of freedom of complete data, from which those of Barnard and Rubin start.
        level: Coverage of the intervals.
        seed: Seed of the random numbers; imputation i is the same whatever their number is.

    Raises:
        DataError: No response is missing, a predictor is, or a subject is in two arms.
        FitError: A model that is not one of visits, no such arm or level, or an option that is not offered.

    References:
        Carpenter, Roger & Kenward (2013), Journal of Biopharmaceutical Statistics 23, 1352-1371; Barnard &
        Rubin (1999), Biometrika 86, 948-955; Wolbers et al. (2022), Pharmaceutical Statistics 21, 1246-1257;
        Cro, Carpenter & Kenward (2019), Journal of the Royal Statistical Society A 182, 623-645.

    >>> from lmmkit import lmm
    >>> wide = pd.DataFrame({"id": range(1, 9), "arm": list("aaaabbbb"), "v1": [5, 7, 6, 9, 5, 8, 6, 7],
    ...                      "v2": [6, 7, 5, 9, 2, 6, 3, None]})
    >>> trial = wide.melt(["id", "arm"], ["v1", "v2"], "visit", "y")
    >>> fit = lmm("y ~ visit * arm", trial, residual="un(visit | id)")
    >>> found = reference_based(fit, "arm[T.b] + visit[T.v2]:arm[T.b]", arm="arm", reference="a", seed=1)
    >>> found.table.loc[[0, 2, 4], ["assumption", "method", "estimate"]].round(3)
              assumption                       method  estimate
    0  missing at random                   likelihood    -2.908
    2  missing at random  conditional mean, jackknife    -2.908
    4  jump to reference  conditional mean, jackknife    -2.181
    """
    wanted = chosen(assumptions)
    design = fit.estimates.design if hasattr(fit, "estimates") else None
    if design is not None:
        check_visits(design)
    if reference is None:
        raise FitError("Reference-based imputation needs a reference: a level of the arm's column.")
    basis = sensitivity(
        fit,
        of,
        data=data,
        arm=arm,
        reference=reference,
        covariance=covariance,
        imputations=imputations,
        df=df,
        level=level,
        seed=seed,
    )
    return under_reference(basis, wanted)


def chosen(assumptions: Sequence[str]) -> tuple[Assumption, ...]:
    """The reference-based assumptions that are named, in their order.

    Raises:
        FitError: One that is not offered, or none.
    """
    named = [assumptions] if isinstance(assumptions, str) else list(assumptions)
    for each in named:
        check_option("assumptions", each, REFERENCE_BASED)
    if not named:
        raise FitError(f"assumptions is empty. Choose some of: {', '.join(REFERENCE_BASED)}.")
    return tuple(each for each in REFERENCE_BASED if each in named)


def check_visits(design: Design) -> None:
    """Refuse a model without visits, or with random effects.

    Raises:
        FitError: It is one.
    """
    residual = design.residual
    if not isinstance(residual, VisitDesign) or residual.formula.group is None or design.random:
        raise FitError(
            "Reference-based imputation needs a model of repeated visits, whose residual structure says "
            f"which visits a subject should have, and no random effects; `{design.formula}`"
            + (f" with residual {residual.formula}" if residual else "")
            + " is none. Fit with residual='un(visit | id)' in place of the random effects, or ask for "
            "tipping_point()."
        )


def under_reference(basis: Sensitivity, wanted: tuple[Assumption, ...]) -> ReferenceBased:
    """The table of a basis that knows the arms."""
    assumptions: tuple[Assumption, ...] = (AT_RANDOM, *wanted)
    with one_thread():
        drawn = basis.drawn(assumptions)
        complete_df = basis.analysis.complete_df(drawn[AT_RANDOM])
        by_rubin = [basis.pooled(drawn[each], complete_df) for each in assumptions]
        by_jackknife = [] if basis.means.why_not() else basis.by_jackknife(assumptions)
    lines = [{"assumption": WORDS[AT_RANDOM], "method": LIKELIHOOD, **basis.likelihood}]
    for number, assumption in enumerate(assumptions):
        for method, found in ((RUBIN, by_rubin), (JACKKNIFE, by_jackknife)):
            for pooled in found[number : number + 1]:
                own = {"assumption": WORDS[assumption], "method": method}
                lines.append({**own, **basis.tested(pooled), **_parts(pooled)})
    table = pd.DataFrame(lines).reindex(columns=COLUMNS)
    facts = basis.facts | {"complete_df": complete_df, "assumptions": [WORDS[each] for each in wanted]}
    notes = _notes(facts, by_rubin[0], basis.likelihood["estimate"])
    return ReferenceBased(table, facts, notes)


def _parts(pooled: Pooled) -> dict[str, float]:
    names = () if np.isnan(pooled.within) else ("within", "between", "lost", "monte_carlo")
    return {name: getattr(pooled, name) for name in names}


def _notes(facts: Mapping[str, Any], at_random: Pooled, likelihood: float) -> tuple[str, ...]:
    """What to know, where `at_random` is Rubin's estimate of responses missing at random."""
    left = ", ".join(f"{count:,} of {arm}" for arm, count in facts["left_by_arm"].items())
    return (
        f"{missing_words(facts)} Who left before the last visit: {left}. The reference arm is "
        f"{facts['reference']}, imputed at random itself.",
        f"Covariance: {facts['covariance']}.",
        f"Missing at random: imputing the response returns the likelihood's estimate plus noise, here "
        f"{at_random.estimate:.5g} for {likelihood:.5g}, with a Monte Carlo standard error of "
        f"{at_random.monte_carlo:.2g} over {facts['imputations']:,} imputations; it is shown as a check.",
        f"{DRAWN} {by_rubins_rules(facts)}. Their variance is information-anchored: under every assumption "
        "about as much information counts as missing as at random.",
        no_jackknife(facts)
        or f"The jackknife leaves out one level of {facts['unit']} at a time. Its variance is that of the "
        "estimate under repeated sampling, were the assumption true; it is not information-anchored, and "
        "smaller the more is borrowed from the reference arm.",
    )
