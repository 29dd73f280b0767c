"""What the simulated error rates of a choice of random effects say, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lmmkit.study.pages.marks import Mark, MarkedText, Name, capital, fill, listed
from lmmkit.study.report.numbers import cell_mark, percent

FILE = "error_rates.json"
PROCEDURES = {
    "the formula": "by the study's formula",
    "maximal": "by the maximal model",
    "intercepts only": "by intercepts alone",
}
SURE = 2.0  # Monte Carlo standard errors by which a rate must miss the level to be said to
ROOM = 0.2  # share of the level by which a rate may miss it without harm


def rates_in_words(table: pd.DataFrame, record: Mapping[str, Any]) -> list[MarkedText]:
    """What was simulated, how often the effect was found, and what follows.

    Args:
        table: The table `error_rates` of the run, the study's rule in the first row.
        record: The entries of `error_rates.json`.
    """
    focus, level = Name(str(record["focus"])), _entry(record, "level", percent(record["level"], 3))
    count = _entry(record, "replicates", f"{record['replicates']:,}")
    drawn = fill("{} responses without the effect of {} and as many with it", count, focus)
    note = str(record["truth_note"])
    first = fill("{} were drawn from {}, {}", drawn, Name(str(record["truth"])), note)
    each = [_rate(table, row, "type1") for row in range(len(table))]
    found = fill("a test at {} finds an effect that is not there in {}", level, listed(each))
    power = [_rate(table, row, "power") for row in range(len(table))]
    there = fill("the effect as estimated is found in {}", listed(power))
    test = _entry(record, "test", str(record["test"]))
    return [
        fill("{}; {}.", first, found),
        fill("{}.", capital(there)),
        fill("{}.", test),
        fill("{}", _verdict(table, record)),
    ]


def _rate(table: pd.DataFrame, row: int, kind: str) -> MarkedText:
    """A rate with its Monte Carlo error, and whose it is."""
    rate, error = (
        cell_mark("error_rates", table, row, name, _share(table[name].iloc[row], digits))
        for name, digits in ((kind, 3), (f"{kind}_se", 2))
    )
    procedure = str(table["procedure"].iloc[row])
    rule = fill("by the rule {}", cell_mark("error_rates", table, row, "procedure", procedure))
    return fill("{} {} (Monte Carlo error {})", rate, PROCEDURES.get(procedure, rule), error)


def _share(value: float, digits: int) -> str:
    return "none" if pd.isna(value) else percent(value, digits)


def _verdict(table: pd.DataFrame, record: Mapping[str, Any]) -> str:
    """Whether the choice keeps its level, and whether it gains over the maximal model."""
    level = float(record["level"])
    own, least = table.iloc[0], table.iloc[-1]
    rate, error = float(own["type1"]), float(own["type1_se"])
    if pd.isna(rate):
        return (
            "None of the responses could be tested after the choice, so that nothing is known of its errors."
        )
    if rate - level > max(SURE * error, ROOM * level):
        said = "The choice and the test that follows it are too liberal on this design"
    elif level - rate > max(SURE * error, ROOM * level):
        said = "The choice and the test that follows it are conservative on this design"
    else:
        said = "The choice and the test that follows it keep their level on this design"
    if float(least["type1"]) - level > max(SURE * float(least["type1_se"]), ROOM * level):
        return f"{said}; with intercepts alone the test would be too liberal."
    return f"{said}."


def _entry(record: Mapping[str, Any], key: str, text: str) -> Mark:
    return Mark(record[key], FILE, key, text)
