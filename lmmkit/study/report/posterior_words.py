"""The posterior in sentences, and the captions of its pictures, from the tables of its step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from lmmkit.model.report_tables.about_posterior import diagnosed
from lmmkit.study.pages.marks import Mark, MarkedText, Name, fill, join, listed
from lmmkit.study.report.answer import coverage
from lmmkit.study.report.captions import Numbers, Words, at_level, label_of
from lmmkit.study.report.numbers import TABLES, Files, cell_mark, rounded
from lmmkit.study.report.references import WORKS
from lmmkit.study.report.seen import Seen, with_unit

__all__ = [
    "beside", "densities", "label_of", "posterior_in_words", "predictive", "ranks", "titled", "units",
    "works",
]  # fmt: skip
NULL_SHARE = 1e-6  # of the residual SD, at and below which an estimated SD is zero
CORRELATION, STRUCTURE = NO_UNITS = ("correlation", "residual structure")
OF_DRAWS = ("psis", "loo", "lkj")  # works behind every posterior
DIGITS = "Posterior numbers have the digits that their Monte Carlo error supports."
MOST_TOLD = 6  # differences or parameters that sentences tell one by one


def posterior_in_words(files: Files, seen: Seen) -> list[MarkedText]:
    """Paragraphs: the draws and their worth, the answer, zero variances, sensitivity, checks.

    Args:
        files: The run.
        seen: What readers see for its names.
    """
    answers = [_answer(files, seen, row) for row in range(len(files.table("posterior_answer")))][:MOST_TOLD]
    zeros = _zeros(files, seen)
    parts = [
        _worth(files),
        *([join(" ", answers)] if answers else []),
        *([join(" ", zeros)] if zeros else []),
        _sensitivity(files, seen),
        _predictive(files),
        *_left_out(files, seen),
    ]
    return [part for part in parts if part.parts]


# --- Sentences
# ------------------------------------------------------------------------------------------------


def _worth(files: Files) -> MarkedText:
    count, effective, k_hat, limit = (
        _fact(files, name) for name in ("draws", "effective_draws", "k_hat", "k_hat_limit")
    )
    if math.isnan(float(k_hat.value)):
        form = (
            "{} draws by the no-U-turn sampler, from chains that have mixed, are worth {} independent ones. "
        )
        return fill(form + DIGITS, count, effective)
    good = not float(k_hat.value) > float(limit.value)
    verdict = "up to {} the draws can be trusted" if good else "above {} the draws cannot be trusted"
    form = (
        "{} draws by importance sampling from the restricted likelihood times the priors are worth {} "
        "independent ones; the shape of the tail of their weights, k-hat, is {} ({}). "
    )
    return fill(form + DIGITS, count, effective, k_hat, fill(verdict, limit))


def _answer(files: Files, seen: Seen, row: int) -> MarkedText:
    """Posterior mean and interval of what is asked, beside its estimate; probabilities."""
    table = files.table("posterior_answer")
    mean, low, high = (
        files.cell("posterior_answer", row, name, "drawn") for name in ("mean", "lower", "upper")
    )
    name, unit = seen.quantity(str(table["quantity"].iloc[row])), _unit_of_answer(files, seen, row)
    form = "{}: the posterior mean is {}{} (with {} probability between {} and {})"
    said = fill(form, name, mean, unit, coverage(files), low, high)
    if pd.notna(table["estimate"].iloc[row]):
        own, *ends = (
            files.cell("posterior_answer", row, name, "trusted")
            for name in ("estimate", "estimate_low", "estimate_high")
        )
        bounds = fill(" ({} to {})", *ends) if pd.notna(table["estimate_low"].iloc[row]) else MarkedText()
        method = files.json("study.json")["model"]["method"]
        said = fill("{}, the {} estimate {}{}; {}", said, method, own, bounds, _side(files, row))
    if pd.notna(table["inside"].iloc[row]):
        ends = [files.cell("posterior_answer", row, name) for name in ("rope_low", "rope_high")]
        inside = _probability(files, row, "inside", "inside_mcse")
        form = (
            "{}; the probability that it lies between {} and {}, where the study counts it as good as "
            "none, is {}"
        )
        said = fill(form, said, *ends, inside)
    return fill("{}.", said)


def _unit_of_answer(files: Files, seen: Seen, row: int) -> MarkedText:
    """The unit behind what the study asks about, or behind a parameter with a region of its own."""
    table, facts = files.table("posterior_answer"), files.json("answer.json")
    quantity = str(table["quantity"].iloc[row])
    if quantity in seen.design.fixed_names:
        return seen.of_effect(quantity)
    if pd.isna(table["estimate"].iloc[row]):
        unit = units([quantity], seen)[0]
        return with_unit("" if unit in NO_UNITS else unit)
    return seen.per(facts["variable"]) if facts["kind"] == "number" else seen.of_response()


def _side(files: Files, row: int) -> MarkedText:
    """The probability of the less likely side of zero."""
    table = files.table("posterior_answer")
    below = float(table["not_above"].iloc[row])
    if below <= 0.5:
        return fill("the probability of zero or less is {}", _probability(files, row, "not_above", None))
    return fill("the probability of more than zero is {}", _complement(files, row))


def _probability(files: Files, row: int, column: str, error: str | None) -> Mark:
    """A probability with the digits that the draws support; one that they can only bound, as a bound."""
    table = files.table("posterior_answer")
    p, effective = float(table[column].iloc[row]), float(table["effective"].iloc[row])
    spread = float(table[error].iloc[row]) if error else math.sqrt(max(p * (1.0 - p), 0.0) / effective)
    return cell_mark("posterior_answer", table, row, column, _share_text(p, spread, effective))


def _complement(files: Files, row: int) -> Mark:
    """The probability of being above zero, from the table's fact about it."""
    table = files.table("posterior_answer")
    p, effective = 1.0 - float(table["not_above"].iloc[row]), float(table["effective"].iloc[row])
    text = _share_text(p, math.sqrt(max(p * (1.0 - p), 0.0) / effective), effective)
    facts = TABLES["posterior_answer"].facts(table)
    return Mark(facts[f"above zero {row}"], "tables/posterior_answer.csv", f"=above zero {row}", text)


def _share_text(p: float, error: float, effective: float) -> str:
    """`0.81`, `< 0.001`; a probability that hardly any draw speaks for, or against, is told as a bound."""
    unit = 10.0 ** math.ceil(math.log10(max(error, 3.0 / effective)))
    text = f"{p:.{max(1, round(-math.log10(unit)))}f}"
    if p + 2.0 * error < unit or float(text) == 0.0:
        return f"< {unit:g}"
    return f"> {1.0 - unit:g}" if 1.0 - p + 2.0 * error < unit or float(text) == 1.0 else text


def _zeros(files: Files, seen: Seen) -> list[MarkedText]:
    """Standard deviations that are estimated as zero, and what their posterior says."""
    table = files.table("posterior")
    sigma = float(table.loc[table["parameter"] == "Residual.sd", "estimate"].iloc[0])
    said = list[MarkedText]()
    for row, (name, estimate) in enumerate(zip(table["parameter"], table["estimate"], strict=True)):
        of_effects = ".sd" in str(name) and name not in ("Residual.sd", *seen.design.fixed_names)
        if of_effects and float(estimate) <= NULL_SHARE * sigma:
            marks = [files.cell("posterior", row, column, "drawn") for column in ("median", "upper")]
            text = (
                "{} is estimated as zero, which is an end of its range and no likely value: half of its "
                "posterior lies above {}, and the interval reaches to {}."
            )
            said.append(fill(text, seen.quantity(str(name)), *marks))
    return said


def _sensitivity(files: Files, seen: Seen) -> MarkedText:
    table = files.table("posterior_sensitivity")
    rows, numbers = diagnosed(table), Numbers("posterior_sensitivity", table)
    if not rows:
        return numbers.told(
            "No parameter hangs on the priors: raised to a power they move none by more than {largest:2} for "
            "each doubling of the power, in a distance from zero to one."
        )
    each = [
        fill(
            "{}, where {} ({} to the priors, {} to the likelihood)",
            seen.quantity(str(table["parameter"].iloc[row])),
            str(table["diagnosis"].iloc[row]),
            files.cell("posterior_sensitivity", row, "prior", 3),
            files.cell("posterior_sensitivity", row, "likelihood", 3),
        )
        for row in rows[:MOST_TOLD]
    ]
    form = (
        "Priors matter here, by power-scaling sensitivities for {sensitive:parameter}: {}. Another "
        "prior would "
        "change what is said of {}."
    )
    return numbers.told(form, join("; ", each), "it" if len(rows) == 1 else "these")


def _predictive(files: Files) -> MarkedText:
    table = files.table("posterior_predictive")
    numbers, form = Numbers("posterior_predictive", table), "Of {statistics:statistic} of the response "
    end = "outside the range of data sets drawn from the posterior"
    if not numbers.facts["outside"]:
        return numbers.told(f"{form}none lies {end}.")
    names = listed([Name(name) for name in table.loc[table["outside"], "statistic"]])
    lie = "lies" if numbers.facts["outside"] == 1 else "lie"
    return numbers.told(f"{form}{{outside}} {lie} {end}: {{}}.", names)


def _left_out(files: Files, seen: Seen) -> list[MarkedText]:
    table, said, numbers = files.table("posterior_loo"), list[MarkedText](), 0
    for row in range(len(table)):
        if table["method"].iloc[row] != "loo":
            continue
        marginal = table["kind"].iloc[row] == "marginal"
        group = seen.column(str(table["of"].iloc[row]))
        what = fill("levels of {}", group) if marginal else fill("single rows")
        if pd.isna(table["elpd"].iloc[row]):
            trouble = files.cell("posterior_loo", row, "trouble")
            said.append(fill("With {} left out no predictive density can be told: {}", what, trouble))
            continue
        elpd, se = (
            files.cell("posterior_loo", row, "elpd", "drawn"),
            files.cell("posterior_loo", row, "se", 1),
        )
        numbers += 1
        text = "With {} left out the expected log predictive density is {} (standard error {})."
        said.append(fill(text, what, elpd, se))
    if numbers > 1:
        said.append(
            fill("The one is of new rows of known groups, the other of new groups: they do not compare.")
        )
    return [join(" ", said)] if said else []


# --- Captions
# -------------------------------------------------------------------------------------------------


def densities(table: pd.DataFrame) -> Words:
    """What the picture of priors, likelihoods and posteriors shows.

    Args:
        table: The table of priors.
    """
    numbers = Numbers("posterior_priors", table)
    flat = "prior is" if numbers.facts["flat"] == 1 else "priors are"
    form = (
        "Prior (dashed), likelihood (dotted) and posterior (filled) of {parameters:parameter}: where the two "
        f"last agree, the data speak and the prior is silent; {{flat}} {flat} flat."
    )
    alt = "Density curves of {parameters:parameter}, a panel for each."
    return {"caption": numbers.told(form), "alt": numbers.told(alt)}


def beside(table: pd.DataFrame, level: float) -> Words:
    """What the picture of estimates and posteriors shows."""
    numbers = Numbers("posterior", table)
    lie = "lies" if numbers.facts["covered"] == 1 else "lie"
    form = (
        "Estimates (squares) and posterior means (dots) with {} intervals; {covered} of {parameters} "
        "posterior "
        f"means {lie} within the interval of the estimate."
    )
    alt = "{parameters:parameter}, each with two points and two intervals."
    return {"caption": numbers.told(form, at_level(level)), "alt": numbers.told(alt)}


def ranks(table: pd.DataFrame) -> Words:
    """What the picture of the ranks shows."""
    numbers = Numbers("posterior_ranks", table)
    sure = numbers.facts["sure of first"]
    told = f"{{sure of first}} {'is' if sure == 1 else 'are'}" if sure else "none is"
    form = f"{told} the greatest with a probability of one half or more."
    return {
        "caption": numbers.told(f"Ranks of {{rows:effect}} with what is not known of them: {form}"),
        "alt": numbers.told("{rows:effect} in order of their mean rank, each with an interval."),
    }


def predictive(table: pd.DataFrame) -> Words:
    """What the picture of the predictive check shows."""
    numbers = Numbers("posterior_predictive", table)
    lie = "lies" if numbers.facts["outside"] == 1 else "lie"
    form = (
        "The response (dots) over the range of data sets drawn from the posterior with new groups (band); "
        f"{{outside}} of {{statistics}} statistics {lie} outside."
    )
    alt = fill("Counts of rows by value of the response: observed, and the range of drawn data sets.")
    return {"caption": numbers.told(form), "alt": alt}


def titled(table: pd.DataFrame) -> pd.DataFrame:
    """A table of ranks with a title for each effect."""
    return table.assign(
        title=[f"{name} of {group}" for name, group in zip(table["term"], table["group"], strict=True)]
    )


def units(parameters: Iterable[Any], seen: Seen) -> list[str]:
    """The unit of each parameter as axes have it: that of its effect, or what it is where it has none."""
    return [_unit(str(name), seen) for name in parameters]


def _unit(name: str, seen: Seen) -> str:
    for term in seen.design.random:
        own = name.removeprefix(f"{term.group}.sd.")
        if own != name:
            return seen.units_told([own])[0] if own in term.names else seen.units_told(["Intercept"])[0]
        if name.startswith(f"{term.group}.cor."):
            return CORRELATION
    if name == "Residual.sd" or name in seen.design.fixed_names:
        return seen.units_told(["Intercept" if name == "Residual.sd" else name])[0]
    return STRUCTURE


def works(draws: pd.DataFrame, sensitivity: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The literature behind the posterior, by what it is about.

    Args:
        draws: How the draws were made.
        sensitivity: What hangs on the priors, if it was looked at.
    """
    asked = [*(OF_DRAWS if len(draws) else ()), *(("power-scaling",) if len(sensitivity) else ())]
    return {key: work._asdict() for key, work in WORKS.items() if key in asked}


# --- Parts
# ----------------------------------------------------------------------------------------------------


def _fact(files: Files, name: str) -> Mark:
    table = files.table("posterior_draws")
    row = table["quantity"].tolist().index(name)
    value = float(table["value"].iloc[row])
    return cell_mark("posterior_draws", table, row, "value", rounded(value, 0 if "draws" in name else 2))
