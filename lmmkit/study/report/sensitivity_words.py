"""What a study found about its missing responses, in sentences."""

from __future__ import annotations

from typing import Any

from lmmkit.model.missing_data.about_missing import TIPPING, by_reference
from lmmkit.model.missing_data.reference_based import WORDS
from lmmkit.model.missing_data.sensitivity import JACKKNIFE, LIKELIHOOD, RUBIN
from lmmkit.study.files.schema import MissingData
from lmmkit.study.pages.marks import Mark, MarkedText, fill, join
from lmmkit.study.report.numbers import MINUS, Files, cell_mark, number
from lmmkit.study.report.seen import Seen

TIPPED, MOVED = "tipping_point.json", "reference_based.json"


def gaps_asked(files: Files) -> MissingData | None:
    """What the study asks about missing responses; None where it asks nothing."""
    given: dict[str, Any] | None = files.json("study.json").get("missing_data")
    return None if given is None else MissingData(**given)


def turning(files: Files, seen: Seen) -> list[MarkedText]:
    """What nobody may overlook: a conclusion that turns at a small shift of imputed responses."""
    asked = gaps_asked(files)
    if asked is None or TIPPING not in asked.assumptions or not files.json(TIPPED)["facts"]["small"]:
        return []
    return [fill("The answer hangs on responses that are missing. {}", _tip(files, seen, asked))]


def missing_in_words(files: Files, seen: Seen) -> list[MarkedText]:
    """What the report says of missing responses, the tipping point first; empty where nothing is asked."""
    asked, out = gaps_asked(files), list[MarkedText]()
    if asked is None:
        return out
    if TIPPING in asked.assumptions:
        out.append(_tip(files, seen, asked))
    if named := by_reference(asked):
        out.append(_under_reference(files, seen, [WORDS[each] for each in named]))
    return out


def missing_in_detail(files: Files) -> list[MarkedText]:
    """How the imputations were made and pooled, as the results say it."""
    asked = gaps_asked(files)
    if asked is None:
        return []
    file = MOVED if by_reference(asked) else TIPPED
    return [fill("{}", files.entry(file, "notes", i)) for i in range(len(files.json(file)["notes"]))]


def _signed(mark: Mark) -> Mark:
    return Mark(mark.value, mark.file, mark.place, mark.text.replace("-", MINUS))


def _tip(files: Files, seen: Seen, asked: MissingData) -> MarkedText:
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
        _signed(cell_mark("tipping_point", table, 0, name, number(float(table[name].iloc[0]), 3)))
        for name in ("tip", "tip_sds")
    )
    form = "{}; this turns when {} {} shifted by {}{}, {} standard deviations of a response."
    return fill(form, start, whose, verb, tip, unit, sds)


def _under_reference(files: Files, seen: Seen, assumptions: list[str]) -> MarkedText:
    """The estimate under each reference-based assumption, beside that of the likelihood."""
    table, unit = files.table("reference_based"), seen.of_response()

    def told(assumption: str, method: str) -> MarkedText:
        found = (table["assumption"] == assumption) & (table["method"] == method)
        row, names = int(found.to_numpy().argmax()), ("estimate", "low", "high")
        estimate, low, high = (_signed(files.cell("reference_based", row, n, "trusted")) for n in names)
        return fill("{}{} ({} to {})", estimate, unit, low, high)

    at_random = told("missing at random", LIKELIHOOD)
    parts = [fill("{} under {}", told(name, RUBIN), name) for name in assumptions]
    some = "; conditional means with the jackknife stand beside them in the table"
    more = some if (table["method"] == JACKKNIFE).any() else ""
    form = "The estimate is {} with responses missing at random, and by multiple imputation {}{}."
    return fill(form, at_random, join(", ", parts), more)
