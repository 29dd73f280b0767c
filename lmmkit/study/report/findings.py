"""What the checks of the assumptions found, in sentences, and which of it nobody may overlook.

The sentences are those of the diagnosis (`checks.json`); here each number is bound to its place in that file,
and each name is the one that readers see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from lmmkit.model.diagnostics.check_result import FINE, LOOK, TROUBLE, UNCHECKED
from lmmkit.model.missing_data.about_missing import TIPPING
from lmmkit.study.files.schema import MissingData
from lmmkit.study.pages.marks import Mark, MarkedText, Name, Part, fill, join
from lmmkit.study.report.numbers import MINUS, Files, cell_mark, number, rounded
from lmmkit.study.report.seen import Seen

FILE, TIPPED = "checks.json", "tipping_point.json"


def serious(files: Files, seen: Seen) -> list[MarkedText]:
    """What stands beside the answer, in the terminal and in the methods: each a sentence.

    Args:
        files: The run.
        seen: What readers see for its names.
    """
    summary = files.json("summary.json")
    reused = [fill("{}", files.entry("summary.json", "reused", i)) for i in range(len(summary["reused"]))]
    return [
        *([_singular(files, seen, summary["singular_terms"])] if summary["singular"] else []),
        *reused,
        *(_sentence(files, seen, row) for row in _rows(files, TROUBLE)),
        *turning(files, seen),
    ]


def checks_in_words(files: Files, seen: Seen) -> list[MarkedText]:
    """What the checks found: what is troubling first, then what to look at; what else was checked; how."""
    notable = [_with_remedy(files, seen, row) for verdict in (TROUBLE, LOOK) for row in _rows(files, verdict)]
    return [*notable, *_others(files, seen), _how(files)]


def notable_in_words(files: Files, seen: Seen) -> list[MarkedText]:
    """The same as a methods paragraph has it, without what to do."""
    notable = [_sentence(files, seen, row) for verdict in (TROUBLE, LOOK) for row in _rows(files, verdict)]
    return [_how(files), *notable, *_others(files, seen)]


def _rows(files: Files, verdict: str) -> list[int]:
    """The rows of the table with a verdict."""
    return [row for row, own in enumerate(files.table("checks")["verdict"]) if own == verdict]


def _sentence(files: Files, seen: Seen, row: int) -> MarkedText:
    told = files.json(FILE)["sentences"][row]
    parts = [_part(files, seen, row, place, fact) for place, fact in enumerate(told["facts"])]
    return fill(told["form"], *parts)


def _part(files: Files, seen: Seen, row: int, place: int, fact: dict[str, Any]) -> Part | MarkedText:
    """A fact as readers see it."""
    kind, value = fact["kind"], fact["value"]
    if kind == "column":
        return seen.column(value)
    if kind == "level":
        return seen.level(fact["of"], value)
    if kind == "effect":
        return Name(seen.effect(value))
    if kind == "unit":
        return seen.of_response()
    if kind == "probability":
        text = "< 0.001" if value < 0.001 else f"{value:.3f}"
        return fill("p {}{}", "" if text.startswith("<") else "= ", _mark(files, row, place, text))
    if kind == "number":
        return _mark(files, row, place, rounded(value, fact["decimals"]))
    digits = any(map(str.isdigit, value))
    return _mark(files, row, place, value.replace("-", MINUS)) if digits else value


def _mark(files: Files, row: int, place: int, text: str) -> Mark:
    return files.entry(FILE, "sentences", row, "facts", place, "value", text=text)


def _with_remedy(files: Files, seen: Seen, row: int) -> MarkedText:
    """A sentence and what to do."""
    remedy = files.table("checks")["remedy"].iloc[row]
    sentence = _sentence(files, seen, row)
    if not isinstance(remedy, str) or not remedy:
        return sentence
    return fill("{} What to do: {}.", sentence, Name(remedy.rstrip(".")))


def _others(files: Files, seen: Seen) -> list[MarkedText]:
    """What else was checked, and what could not be."""
    said, table = list[MarkedText](), files.table("checks")
    for verdict, form in (
        (FINE, "Nothing notable was found in: {}."),
        (UNCHECKED, "Not checked, or beyond what these data can tell: {}."),
    ):
        named = [_named(table, seen, row) for row in _rows(files, verdict)]
        if named:
            said.append(fill(form, listed(named)))
    return said


def _named(table: pd.DataFrame, seen: Seen, row: int) -> MarkedText:
    """A check and what it is of."""
    check, of = str(table["check"].iloc[row]), str(table["of"].iloc[row])
    return fill("{} ({})", Name(check), Name(seen.labels.of(of)))


def _how(files: Files) -> MarkedText:
    """How the checks were judged."""
    told = files.json(FILE)
    refitted = told["how"] == "refitted"
    way = "the model refitted to each" if refitted else "at the fitted variances, without refits"
    form = (
        "Each check is ranked among the same check of {} data sets simulated from the fit ({}), and p "
        "values are "
        "adjusted for all checks together; rows are judged by {} residuals."
    )
    return fill(form, files.entry(FILE, "replicates"), way, told["judged_by"])


def _singular(files: Files, seen: Seen, groups: Sequence[str]) -> MarkedText:
    named = listed([seen.column(name) for name in groups])
    form = (
        "The fit is singular: a combination of the random effects of {} has an estimated variance "
        "of zero, and {}."
    )
    return fill(form, named, zero_in_errors(files, "that"))


def zero_in_errors(files: Files, zero: str) -> str:
    """What the standard errors of the coefficients make of a variance estimated as zero."""
    if str(files.table("coefficients")["method"].iloc[0]).startswith("unbounded"):
        return "standard errors of coefficients come from a fit whose variances may be negative"
    return f"standard errors take {zero} as known"


def listed(parts: Iterable[Part | MarkedText]) -> MarkedText:
    """Parts of a sentence with commas and a last `and`."""
    items = list(parts) or ["nothing"]
    return fill("{} and {}", join(", ", items[:-1]), items[-1]) if len(items) > 1 else fill("{}", *items)


def gaps_asked(files: Files) -> MissingData | None:
    """What the study asks about missing responses; None where it asks nothing."""
    given: dict[str, Any] | None = files.json("study.json").get("missing_data")
    return None if given is None else MissingData(**given)


def turning(files: Files, seen: Seen) -> list[MarkedText]:
    """What nobody may overlook: a conclusion that turns at a small shift of imputed responses."""
    asked = gaps_asked(files)
    if asked is None or TIPPING not in asked.assumptions or not files.json(TIPPED)["facts"]["small"]:
        return []
    return [fill("The answer hangs on responses that are missing. {}", tip_in_words(files, seen, asked))]


def tip_in_words(files: Files, seen: Seen, asked: MissingData) -> MarkedText:
    """By how much imputed responses must be shifted for the conclusion to turn."""
    facts, table = files.json(TIPPED)["facts"], files.table("tipping_point")
    noun = "response" if facts["shifted"] == 1 else "responses"
    whose = fill("the {} imputed {}", files.entry(TIPPED, "facts", "shifted"), noun)
    if facts["of"]:
        arms = [seen.level(asked.arm or "", level) for level in facts["of"]]
        whose = fill("{} of {}", whose, join(" and ", arms))
    if facts["over_visits"] and not facts["with_gaps"]:
        whose = fill("{} after dropout", whose)
    verb = "is" if facts["shifted"] == 1 else "are"
    now, unit = "excludes" if facts["clear"] else "does not exclude", seen.of_response()
    start = fill("Imputed at random the interval {} zero", now)
    if not table["turns"].iloc[0]:
        reach = files.entry(TIPPED, "facts", "reach", text=number(facts["reach"], 3))
        form = "{}, and so it remains when {} {} shifted by up to {}{} either way."
        return fill(form, start, whose, verb, reach, unit)
    tip, sds = (
        signed(cell_mark("tipping_point", table, 0, name, number(float(table[name].iloc[0]), 3)))
        for name in ("tip", "tip_sds")
    )
    form = "{}; this turns when {} {} shifted by {}{}, {} standard deviations of a response."
    return fill(form, start, whose, verb, tip, unit, sds)


def signed(mark: Mark) -> Mark:
    """A number with the sign that sentences have."""
    return Mark(mark.value, mark.file, mark.place, mark.text.replace("-", MINUS))


def plainly(texts: Sequence[MarkedText]) -> list[str]:
    """Sentences as plain text, for a terminal."""
    return [str(text) for text in texts]
