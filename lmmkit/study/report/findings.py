"""What the checks of the assumptions found, in sentences, and which of it nobody may overlook.

The sentences are those of the diagnosis (`checks.json`); here each number is bound to its place in that file,
and each name is the one that readers see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from lmmkit.model.diagnostics.check_result import FINE, LOOK, TROUBLE, UNCHECKED
from lmmkit.model.influence.about_influence import ROW
from lmmkit.model.missing_data.about_missing import TIPPING
from lmmkit.study.files.schema import MissingData
from lmmkit.study.pages.marks import Mark, MarkedText, Name, Part, fill, join, listed
from lmmkit.study.report.numbers import MINUS, Files, cell_mark, equals, number, probability, rounded
from lmmkit.study.report.seen import Seen

FILE, TIPPED = "checks.json", "tipping_point.json"

MOST_LEVELS_NAMED = 3  # groups that a sentence names
BECOMES = {" vanishes": "is estimated as zero", " appears": "is no longer estimated as zero"}
INTERACTION = "interaction "


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
        *answer_turns(files, seen),
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
        return fill("p {}", equals(_mark(files, row, place, probability(value))))
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
        "Each check is ranked among the same check of {} data sets simulated from the fit ({}), and p values "
        "are adjusted for all checks together; rows are judged by {} residuals."
    )
    return fill(form, files.entry(FILE, "replicates"), way, told["judged_by"])


def _singular(files: Files, seen: Seen, groups: Sequence[str]) -> MarkedText:
    named = each_of([seen.column(name) for name in groups])
    form = (
        "The fit is singular: a combination of the random effects of {} has an estimated variance of "
        "zero, and {}."
    )
    return fill(form, named, zero_in_errors(files, "that"))


def each_of(names: Sequence[Name]) -> MarkedText:
    """`Subject`, or `each of class and school`: what is said holds for every one of them."""
    return fill("{}{}", "each of " if len(names) > 1 else "", listed(names))


def zero_in_errors(files: Files, zero: str) -> str:
    """What the standard errors of the coefficients make of a variance estimated as zero."""
    if str(files.table("coefficients")["method"].iloc[0]).startswith("unbounded"):
        return "standard errors of coefficients come from a fit whose variances may be negative"
    return f"standard errors take {zero} as known"


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
    start = fill("Imputed at random the interval ({}) {} zero", seen.quantity(facts["estimand"]), now)
    if not table["turns"].iloc[0]:
        reach = files.entry(TIPPED, "facts", "reach", text=number(facts["reach"], 3))
        form = "{}, and so it remains when {} {} shifted by up to {}{} either way."
        return fill(form, start, whose, verb, reach, unit)
    tip, sds = (
        cell_mark("tipping_point", table, 0, name, number(float(table[name].iloc[0]), 3))
        for name in ("tip", "tip_sds")
    )
    form = "{}; this turns when {} {} shifted by {}{}, {} standard deviations of a response."
    return fill(form, start, whose, verb, tip, unit, sds)


def plainly(texts: Sequence[MarkedText]) -> list[str]:
    """Sentences as plain text, for a terminal."""
    return [str(text) for text in texts]


def answer_turns(files: Files, seen: Seen) -> list[MarkedText]:
    """A sentence for each grouping factor of which one level alone turns the answer: serious findings."""
    told = _Influential(files, seen)
    return [told.answer(row) for row in range(len(told.summary)) if told.turned(row, "turned")]


def influence_in_words(files: Files, seen: Seen) -> list[MarkedText]:
    """What leaving out the levels of each grouping factor does, the answer's turns first."""
    told = _Influential(files, seen)
    rows = range(len(told.summary))
    return [*answer_turns(files, seen), *(sentence for row in rows for sentence in told.beside(row))]


class _Influential:
    """The sentences of the table of influences."""

    def __init__(self, files: Files, seen: Seen) -> None:
        self.files, self.seen = files, seen
        self.summary, self.table = files.table("influences"), files.table("influence")

    def turned(self, row: int, column: str) -> int:
        value = self.summary[column].iloc[row]
        return 0 if pd.isna(value) else int(value)

    def _cell(self, row: int, column: str, rounding: str = "plain") -> Mark:
        return self.files.cell("influences", row, column, rounding)  # pyright: ignore[reportArgumentType]

    def _focus(self, row: int) -> MarkedText:
        """What the answer is about, as readers see it: `slope of age`, `Dose: high less low`."""
        told = str(self.summary["focus"].iloc[row])
        if told.startswith(INTERACTION):
            return fill("{}{}", INTERACTION, Name(self.seen.term(told.removeprefix(INTERACTION))))
        return fill("{}", self.seen.quantity(told))

    def _one(self, row: int) -> Part | MarkedText:
        """`row`, or `level of Subject`."""
        group = str(self.summary["group"].iloc[row])
        return "row" if group == ROW else fill("level of {}", self.seen.column(group))

    def _every(self, row: int) -> MarkedText:
        """`rows`, or `levels of Subject`."""
        group = str(self.summary["group"].iloc[row])
        return fill("rows") if group == ROW else fill("levels of {}", self.seen.column(group))

    def _places(self, row: int, wanted: str) -> list[int]:
        """Rows of the table that the answer, or a variance, turns on."""
        mine = self.table["group"] == self.summary["group"].iloc[row]
        turns = self.table["turns"].fillna("").astype(str)
        answers = self.table["answer"].astype(bool)
        chosen = mine & (answers if wanted == "answer" else (turns != "") & ~answers)
        return [place for place, found in enumerate(chosen.tolist()) if found]

    def _called(self, place: int) -> MarkedText:
        group, level = str(self.table["group"].iloc[place]), str(self.table["level"].iloc[place])
        if group == ROW:
            return fill("row {}", Name(level))
        return fill("{} {}", self.seen.column(group), self.seen.level(group, level))

    def answer(self, row: int) -> MarkedText:
        """`The answer turns on a single level of Subject: without Subject 308 ...`."""
        places = self._places(row, "answer")
        named = join("; ", [self._turn(row, place) for place in places[:MOST_LEVELS_NAMED]])
        left = len(places) - MOST_LEVELS_NAMED
        more = fill("; {} such levels in all", self._cell(row, "turned")) if left > 0 else MarkedText()
        return fill(
            "The answer ({}) turns on a single {}: {}{}.", self._focus(row), self._one(row), named, more
        )

    def _turn(self, row: int, place: int) -> MarkedText:
        kinds = str(self.table["turns"].iloc[place]).split(", ")
        parts = list[MarkedText]()
        if "sign" in kinds:
            new, old = self.files.cell("influence", place, "estimate"), self._cell(row, "estimate")
            parts.append(fill("the estimate is {} in place of {}", new, old))
        if "p" in kinds:
            new = self.files.cell("influence", place, "p", "probability")
            old = equals(self._cell(row, "p", "probability"))
            parts.append(fill("p {} in place of p {}", equals(new), old))
        return fill("without {} {}", self._called(place), join(" and ", parts))

    def beside(self, row: int) -> Iterator[MarkedText]:
        """What is said of a grouping factor beside that."""
        note = self.summary["note"].iloc[row]
        if isinstance(note, str) and note:
            yield fill("The influence of the {} was not looked at: {}", self._every(row), Name(note))
            return
        if self.turned(row, "lost"):
            yield self._lost(row)
        if not self.turned(row, "turned") and self.turned(row, "lost") < self.turned(row, "units"):
            yield self._steady(row)
        if self.turned(row, "others"):
            yield from self._variances(row)

    def _lost(self, row: int) -> MarkedText:
        lost = self._cell(row, "lost")
        if lost.value == 1:
            return fill("Without {} {} a coefficient cannot be estimated.", lost, self._one(row))
        return fill("Without any one of {} {} a coefficient cannot be estimated.", lost, self._every(row))

    def _steady(self, row: int) -> MarkedText:
        alpha = self.files.entry("answer.json", "alpha")
        below = bool(self.summary["p"].iloc[row] < alpha.value)
        edge = self._cell(row, "most_p" if below else "least_p", "probability")
        least = "" if edge.text.startswith("<") else "at most " if below else "at least "
        p_text = fill("stays {} {} ({}{})", "below" if below else "above", alpha, least, edge)
        of = "others" if self.turned(row, "lost") else self._cell(row, "units")
        form = "The answer ({}) turns on no single {}: whichever of the {} is left out, "
        start = fill(form, self._focus(row), self._one(row), of)
        if pd.isna(self.summary["low"].iloc[row]):
            return fill("{}the p of its test {}.", start, p_text)
        low, high = self._cell(row, "low"), self._cell(row, "high")
        return fill("{}the estimate lies between {} and {}, and its p {}.", start, low, high, p_text)

    def _variances(self, row: int) -> Iterator[MarkedText]:
        for place in self._places(row, "variance")[:MOST_LEVELS_NAMED]:
            for kind in str(self.table["turns"].iloc[place]).split(", "):
                for end, words in BECOMES.items():
                    if kind.endswith(end):
                        name = self.seen.quantity(kind.removesuffix(end))
                        yield fill("Without {} the parameter {} {}.", self._called(place), name, words)
