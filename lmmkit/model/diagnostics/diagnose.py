"""`diagnose`: all checks of one fit, ranked among the same checks of data sets that the fit makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.escape import html
from lmmkit.model.diagnostics.adjusted import Band, adjusted_p, band, own_p
from lmmkit.model.diagnostics.between_within import BetweenWithin
from lmmkit.model.diagnostics.check_result import (
    FINE,
    LOOK,
    TROUBLE,
    UNCHECKED,
    VERDICTS,
    CheckResult,
    Curves,
    Sentence,
    Unchecked,
    probability,
)
from lmmkit.model.diagnostics.collinearity import Collinearity
from lmmkit.model.diagnostics.distribution import (
    effect_normality,
    quantile_residuals,
    residual_normality,
    simulated_quantiles,
)
from lmmkit.model.diagnostics.linearity import Linearity
from lmmkit.model.diagnostics.missingness import Missingness
from lmmkit.model.diagnostics.outliers import (
    groups_apart,
    judged_by,
    outlying_rows,
    rows_apart,
    subjects_apart,
)
from lmmkit.model.diagnostics.replicated import RULES, Replicated, SizeRules, replicate_data
from lmmkit.model.diagnostics.serial import SerialCorrelation
from lmmkit.model.diagnostics.spread import variance_along, variance_by_group
from lmmkit.model.estimates import Estimates
from lmmkit.model.fit import Fit
from lmmkit.model.options import seed_of, whole
from lmmkit.model.text_table import Cells, TextTable

Frame = pd.DataFrame
Check = Callable[[Replicated], Iterator[CheckResult | Unchecked]]
ALPHA, CLEAR = 0.05, 0.01  # adjusted p below which a verdict is `look`, and `trouble` where the size matters
SEED = 20240101
#: Checks that say which part of a distribution is not as the model has it, by the beginnings of their names.
SAY_WHERE = ("outlying", "variance", "normal")

#: Checks of levels, whose statistics have all columns at once.
LEVEL_CHECKS: tuple[Check, ...] = (groups_apart, effect_normality)
#: Checks of rows, made a chunk at a time; then those that look at the design once before.
ROW_CHECKS: tuple[Check, ...] = (
    rows_apart,
    subjects_apart,
    residual_normality,
    quantile_residuals,
    variance_along,
    variance_by_group,
)
PREPARED: tuple[Callable[[Estimates], Check], ...] = (
    SerialCorrelation,
    Linearity,
    BetweenWithin,
    Collinearity,
)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What the checks of a fit found.

    Attributes:
        table: A row a check: check, of, found (a sentence), where (rows or groups), statistic, size, p,
            adjusted (p of the whole table), verdict, remedy, method.
        sentences: The sentence of each row, with its facts.
        rows: Outlying rows, the farthest in any case: row, groups, observed, fitted, studentised, p (Holm's).
        quantile_residuals: Of every row the share of the model's data sets whose residual is below its own:
            row, unconditional (level effects and rows together), conditional (rows about their groups).
            Uniform between 0 and 1, nearly, where the model holds. Of large data from some of the data sets.
        curves: Envelopes of what was judged or drawn as a curve: check, of, x, value, low, high, middle.
        judged_by: The residuals that rows are judged by: studentised, standardised or normalised.
        replicates: Data sets that the fit made.
        how: "refitted" or "held".
        seed: Of their random numbers.
    """

    table: Frame
    sentences: tuple[Sentence, ...] = field(repr=False)
    rows: Frame = field(repr=False)
    quantile_residuals: Frame = field(repr=False)
    curves: Frame = field(repr=False)
    judged_by: str
    replicates: int
    how: str
    seed: int

    @property
    def method(self) -> str:
        """How the checks were judged, in a sentence."""
        refitted = self.how == "refitted"
        what = "the model refitted to each" if refitted else "at the fitted variances, without refits"
        return (
            f"Each check is ranked among the same check of {self.replicates} data sets simulated from the "
            f"fit ({what}); adjusted p values hold for the whole table (Westfall-Young, step-down)."
        )

    def to_dict(self) -> dict[str, Any]:
        """The table's rows, the sentences and how they were made, as plain values."""
        plain = self.table.astype(object).where(self.table.notna(), None)
        rows = [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]
        return {"table": rows, **self.told()}

    def told(self) -> dict[str, Any]:
        """The sentences and how they were made, without the table."""
        return {
            "sentences": [sentence.to_dict() for sentence in self.sentences],
            "judged_by": self.judged_by,
            "replicates": self.replicates,
            "how": self.how,
            "seed": self.seed,
        }

    def _text(self) -> TextTable:
        cells: Cells = [("verdict", "check", "of", "p", "adjusted", "found")]
        order = np.argsort([VERDICTS.index(verdict) for verdict in self.table["verdict"]], kind="stable")
        for row in self.table.iloc[order].to_dict("records"):
            p, adjusted = ("" if np.isnan(float(row[x])) else f"{row[x]:.3f}" for x in ("p", "adjusted"))
            remedy = f" To do: {row['remedy']}." if row["remedy"] else ""
            found = f"{row['found']}{remedy}"
            cells.append((str(row["verdict"]), str(row["check"]), str(row["of"]), p, adjusted, found))
        return TextTable("Checks of the assumptions", cells)

    def __str__(self) -> str:
        return f"{self._text().text()}\n{self.method}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"{self._text().html()}<p>{html(self.method)}</p>"


def diagnose(
    fit: Fit,
    *,
    replicates: int | None = None,
    seed: int = SEED,
    names: Sequence[Any] | None = None,
    with_gaps: Any = None,
    rules: SizeRules = RULES,
) -> Diagnosis:
    """Check the assumptions of a fit.

    Args:
        fit: The fit.
        replicates: Data sets drawn from the fit that the data are ranked among; by default 999, or 199 for
            more than 10,000 rows.
        seed: Of the random numbers.
        names: What the rows of the table are called; by default what its index says.
        with_gaps: A table that also has the rows that were left out for missing values before the fit; by
            default the table that was fitted is looked at for such rows.
        rules: Which fits are refitted to every replicate, and how many replicates by default.

    Raises:
        FitError: No number of replicates, no seed, or not a name for every row.

    >>> from lmmkit import lmm
    >>> found = diagnose(lmm("y ~ x + (1 | g)", frame), replicates=99)
    >>> found.table.set_index("check").loc["outlying rows", ["of", "verdict"]].tolist()
    ['residuals', 'not checked']
    """
    count = None if replicates is None else whole("replicates", replicates, "data sets")
    seed, estimates, given = seed_of(seed), fit.estimates, fit.design.source.table.rows
    if names is not None and len(names) != given:
        raise FitError(f"names: {given:,} are expected, one for each row of the table, not {len(names):,}.")
    rows, parts = list[CheckResult | Unchecked](), list[list[list[Floats]]]()
    first: Replicated | None = None
    prepared = [*(prepare(estimates) for prepare in PREPARED), Missingness(estimates, with_gaps)]
    checks = [*ROW_CHECKS, *prepared]
    for chunk in replicate_data(estimates, seed=seed, count=count, rows=names, rules=rules):
        found = [one for check in checks for one in check(chunk)]
        if first is None:
            levels = [one for check in LEVEL_CHECKS for one in check(chunk)]
            rows, first = [*found, *levels], chunk
            parts = [[[part] for part in _columns(one)] for one in rows]
        else:
            for own, one in zip(parts, found, strict=False):
                for known, part in zip(own, _columns(one), strict=True):
                    known.append(part[:, 1:])
    joined = [[np.concatenate(part, axis=1) for part in own] for own in parts]
    assert first is not None
    return _judged(rows, joined, first, seed)


def _columns(one: CheckResult | Unchecked) -> list[Floats]:
    """(g, c) statistics of a check, then its pictures."""
    if isinstance(one, Unchecked):
        return []
    return [np.atleast_2d(one.statistic), *(picture.values for picture in one.pictures)]


def _judged(
    rows: Sequence[CheckResult | Unchecked], whole: Sequence[Sequence[Floats]], first: Replicated, seed: int
) -> Diagnosis:
    """Ranks, verdicts, and the table."""
    curves, single = list[Frame](), list[Floats]()
    for one, parts in zip(rows, whole, strict=True):
        single.append(parts[0][0] if parts and len(parts[0]) == 1 else np.empty(0))
        if isinstance(one, Unchecked):
            continue
        if len(parts[0]) > 1:
            found = band(parts[0])
            single[-1] = found.statistic
            curves.append(_drawn(one.check, Curves(one.of, one.curve, parts[0], one.back, one.shown), found))
        for picture, values in zip(one.pictures, parts[1:], strict=True):
            curves.append(_drawn(one.check, picture, band(values)))
    tested = [i for i, values in enumerate(single) if len(values) and np.isfinite(values[0])]
    adjusted = np.full(len(rows), np.nan)
    shares = [one.share if isinstance(one, CheckResult) else 1.0 for one in rows]
    adjusted[tested] = adjusted_p([single[i] for i in tested], [shares[i] for i in tested])
    made = [_row(one, values, float(p)) for one, values, p in zip(rows, single, adjusted, strict=True)]
    table, sentences = [line for line, _ in made], [sentence for _, sentence in made]
    notable = [line["check"] for line in table if line["verdict"] in (LOOK, TROUBLE)]
    where = any(check.startswith(SAY_WHERE) for check in notable)
    for one, line in zip(rows, table, strict=True):
        if isinstance(one, CheckResult) and one.alone and line["remedy"] and not where:
            line["remedy"] = one.alone
    empty = Frame(columns=["check", "of", "x", "value", "low", "high", "middle"])
    drawn = pd.concat(curves, ignore_index=True) if curves else empty
    return Diagnosis(
        table=Frame(table, columns=COLUMNS),
        sentences=tuple(sentences),
        rows=outlying_rows(first),
        quantile_residuals=simulated_quantiles(first),
        curves=drawn,
        judged_by=judged_by(first),
        replicates=first.count,
        how=first.how,
        seed=seed,
    )


def _drawn(check: str, curve: Curves, found: Band) -> Frame:
    """A curve of the data with its envelope, on the scale of its picture."""
    back = curve.back or np.asarray
    shown = curve.values[:, 0] if curve.shown is None else curve.shown
    return Frame(
        {"check": check, "of": curve.of, "x": curve.x, "value": shown,
         "low": back(found.low), "high": back(found.high), "middle": back(found.middle)}
    )  # fmt: skip


COLUMNS = ["check", "of", "found", "where", "statistic", "size", "p", "adjusted", "verdict", "remedy",
           "method"]  # fmt: skip


def _row(one: CheckResult | Unchecked, values: Floats, adjusted: float) -> tuple[dict[str, Any], Sentence]:
    if isinstance(one, Unchecked):
        sentence = Sentence(
            f"{one.what.form} was not checked: {one.reason.form}.", *one.what.facts, *one.reason.facts
        )
        line = {"check": one.check, "of": one.of, "found": str(sentence), "where": "", "verdict": UNCHECKED,
                "remedy": one.remedy, "method": ""}  # fmt: skip
        return line, sentence
    verdict = one.verdict or verdict_of(adjusted, matters=one.matters)
    sentence = one.fine if verdict == FINE else one.notable
    p = own_p(values) if len(values) and np.isfinite(values[0]) else np.nan
    if verdict == FINE and one.unclear is not None and not p < ALPHA:
        verdict, sentence = UNCHECKED, one.unclear
    elif verdict in (LOOK, TROUBLE) and np.isfinite(adjusted):
        sentence = sentence.ended("; {}, adjusted for all checks", probability(adjusted))
    elif p < ALPHA:
        form = "; by itself {}, adjusted for all checks {}"
        sentence = sentence.ended(form, probability(p), probability(adjusted))
    line = {
        "check": one.check, "of": one.of, "found": str(sentence), "where": one.where,
        "statistic": values[0] if len(values) else np.nan, "size": one.size,
        "p": p, "adjusted": adjusted,
        "verdict": verdict, "remedy": one.remedy if verdict in (LOOK, TROUBLE) else "", "method": one.method,
    }  # fmt: skip
    return line, sentence


def verdict_of(adjusted: float, *, matters: bool) -> str:
    """The verdict of a p value that holds for the table."""
    if not np.isfinite(adjusted):
        return UNCHECKED
    if adjusted < CLEAR and matters:
        return TROUBLE
    return LOOK if adjusted < ALPHA else FINE
