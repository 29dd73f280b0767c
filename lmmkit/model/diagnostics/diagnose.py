"""`diagnose`: all checks of one fit, ranked among the same checks of data sets that the fit makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.model.diagnostics.adjusted import adjusted_p, band, own_p
from lmmkit.model.diagnostics.between_within import BetweenWithin
from lmmkit.model.diagnostics.check_result import (
    FINE,
    LOOK,
    TROUBLE,
    UNCHECKED,
    CheckResult,
    Sentence,
    Unchecked,
)
from lmmkit.model.diagnostics.collinearity import Collinearity
from lmmkit.model.diagnostics.distribution import residual_normality
from lmmkit.model.diagnostics.linearity import Linearity
from lmmkit.model.diagnostics.missingness import Missingness
from lmmkit.model.diagnostics.replicated import Replicated, replicate_data
from lmmkit.model.diagnostics.serial import SerialCorrelation
from lmmkit.model.fit import Fit

Frame = pd.DataFrame
Check = Callable[[Fit, Replicated], Iterator[CheckResult | Unchecked]]
ALPHA, CLEAR = 0.05, 0.01  # adjusted p below which a verdict is `look`, and `trouble` where the size matters
SEED = 20240101

CHECKS: tuple[Check, ...] = (residual_normality,)
PREPARED: tuple[Callable[[Fit], Callable[[Replicated], Iterator[CheckResult | Unchecked]]], ...] = (
    SerialCorrelation,
    Linearity,
    BetweenWithin,
    Missingness,
    Collinearity,
)  # checks that look at the design once, and then at each chunk


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What the checks of a fit found.

    Attributes:
        table: A row a check: check, of, found (a sentence), where (rows or groups), statistic, size, p,
            adjusted (p of the whole table), verdict, remedy, method.
        sentences: The sentence of each row, with its facts.
        curves: Envelopes of what was judged as a curve: check, of, x, value, low, high, middle.
        replicates: Data sets that the fit made.
        how: "refitted" or "held".
        seed: Of their random numbers.
    """

    table: Frame
    sentences: tuple[Sentence, ...] = field(repr=False)
    curves: Frame = field(repr=False)
    replicates: int
    how: str
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The table's rows, and how they were made, as plain values."""
        plain = self.table.astype(object).where(self.table.notna(), None)
        rows = [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]
        return {"table": rows, "replicates": self.replicates, "how": self.how, "seed": self.seed}


def diagnose(fit: Fit, *, replicates: int | None = None, seed: int = SEED) -> Diagnosis:
    """Check the assumptions of a fit.

    Args:
        fit: The fit.
        replicates: Data sets drawn from the fit that the data are ranked among; by default 999, or 199 for
            more than 10,000 rows.
        seed: Of the random numbers.
    """
    rows, statistics, how = list[CheckResult | Unchecked](), list[list[Floats]](), ""
    count, checks = 0, [*(partial(check, fit) for check in CHECKS), *(prepare(fit) for prepare in PREPARED)]
    for chunk in replicate_data(fit.estimates, seed=seed, count=replicates):
        found = [one for check in checks for one in check(chunk)]
        if not rows:
            rows, how, count = found, chunk.how, chunk.count
            statistics = [
                [np.atleast_2d(one.statistic)] if isinstance(one, CheckResult) else [] for one in found
            ]
        else:
            for own, one in zip(statistics, found, strict=True):
                if isinstance(one, CheckResult):
                    own.append(np.atleast_2d(one.statistic)[:, 1:])
    whole = [np.concatenate(parts, axis=1) if parts else np.empty((0, 0)) for parts in statistics]
    return _judged(rows, whole, how, count, seed)


def _judged(
    rows: Sequence[CheckResult | Unchecked], statistics: Sequence[Floats], how: str, count: int, seed: int
) -> Diagnosis:
    """Ranks, verdicts, and the table."""
    curves, single = list[Frame](), list[Floats]()
    for one, values in zip(rows, statistics, strict=True):
        single.append(values[0] if len(values) == 1 else np.empty(0))
        if isinstance(one, CheckResult) and len(values) > 1:
            found = band(values)
            single[-1] = found.statistic
            curves.append(
                Frame({"check": one.check, "of": one.of, "x": one.curve,
                       "value": values[:, 0], "low": found.low,
                       "high": found.high, "middle": found.middle})
            )  # fmt: skip
    tested = [i for i, values in enumerate(single) if len(values) and np.isfinite(values[0])]
    adjusted = np.full(len(rows), np.nan)
    adjusted[tested] = adjusted_p([single[i] for i in tested])
    table, sentences = list[dict[str, Any]](), list[Sentence]()
    for one, values, p in zip(rows, single, adjusted, strict=True):
        line, sentence = _row(one, values, float(p))
        table.append(line)
        sentences.append(sentence)
    empty = Frame(columns=["check", "of", "x", "value", "low", "high", "middle"])
    return Diagnosis(
        Frame(table, columns=COLUMNS),
        tuple(sentences),
        pd.concat(curves, ignore_index=True) if curves else empty,
        count,
        how,
        seed,
    )


COLUMNS = [
    "check",
    "of",
    "found",
    "where",
    "statistic",
    "size",
    "p",
    "adjusted",
    "verdict",
    "remedy",
    "method",
]


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
    line = {
        "check": one.check, "of": one.of, "found": str(sentence), "where": one.where,
        "statistic": values[0] if len(values) else np.nan, "size": one.size,
        "p": own_p(values) if len(values) and np.isfinite(values[0]) else np.nan, "adjusted": adjusted,
        "verdict": verdict, "remedy": "" if verdict == FINE else one.remedy, "method": one.method,
    }  # fmt: skip
    return line, sentence


def verdict_of(adjusted: float, *, matters: bool) -> str:
    """The verdict of a p value that holds for the table."""
    if not np.isfinite(adjusted):
        return UNCHECKED
    if adjusted < CLEAR and matters:
        return TROUBLE
    return LOOK if adjusted < ALPHA else FINE
