"""What the answer owes to single groups and rows, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from lmmkit.model.influence.about_influence import ROW
from lmmkit.study.pages.marks import Mark, MarkedText, Name, Part, fill, join
from lmmkit.study.report.numbers import Files
from lmmkit.study.report.seen import Seen

MOST_NAMED = 3  # groups that a sentence names
ZERO, BACK = " vanishes", " appears"


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

    def _p(self, mark: Mark) -> MarkedText:
        return fill("{}{}", "" if mark.text.startswith("<") else "= ", mark)

    def _one(self, row: int) -> Part | MarkedText:
        """`row`, or `level of Subject`."""
        group = str(self.summary["group"].iloc[row])
        return "row" if group == ROW else fill("level of {}", self.seen.column(group))

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
        named = join("; ", [self._turn(row, place) for place in places[:MOST_NAMED]])
        left = len(places) - MOST_NAMED
        more = fill("; {} such levels in all", self._cell(row, "turned")) if left > 0 else MarkedText()
        return fill("The answer turns on a single {}: {}{}.", self._one(row), named, more)

    def _turn(self, row: int, place: int) -> MarkedText:
        kinds = str(self.table["turns"].iloc[place]).split(", ")
        parts = list[MarkedText]()
        focus = Name(str(self.summary["focus"].iloc[row]))
        if "sign" in kinds:
            new, old = self.files.cell("influence", place, "estimate"), self._cell(row, "estimate")
            parts.append(fill("the {} is {} in place of {}", focus, new, old))
        if "p" in kinds:
            new = self.files.cell("influence", place, "p", "probability")
            own = "its p" if parts else fill("p of the {}", focus)
            old = self._p(self._cell(row, "p", "probability"))
            parts.append(fill("{} {} in place of p {}", own, self._p(new), old))
        return fill("without {} {}", self._called(place), join(" and ", parts))

    def beside(self, row: int) -> Iterator[MarkedText]:
        """What is said of a grouping factor beside that."""
        note = self.summary["note"].iloc[row]
        if isinstance(note, str) and note:
            group = self.seen.column(str(self.summary["group"].iloc[row]))
            yield fill("The influence of the levels of {} was not looked at: {}", group, Name(note))
            return
        if not self.turned(row, "turned") and self.turned(row, "lost") < self.turned(row, "units"):
            yield self._steady(row)
        if self.turned(row, "others"):
            yield from self._variances(row)
        if self.turned(row, "lost"):
            lost = self._cell(row, "lost")
            form = "Without {} of the levels of {} a coefficient cannot be estimated."
            group = self.seen.column(str(self.summary["group"].iloc[row]))
            yield fill(form, lost, group)

    def _steady(self, row: int) -> MarkedText:
        focus = Name(str(self.summary["focus"].iloc[row]))
        alpha = self.files.entry("answer.json", "alpha")
        below = bool(self.summary["p"].iloc[row] < alpha.value)
        edge = self._cell(row, "most_p" if below else "least_p", "probability")
        least = "" if edge.text.startswith("<") else "at most " if below else "at least "
        p_text = fill("its p stays {} {} ({}{})", "below" if below else "above", alpha, least, edge)
        start = fill("The answer turns on no single {}: without any one of {}", self._one(row),
                     self._cell(row, "units"))  # fmt: skip
        if pd.isna(self.summary["low"].iloc[row]):
            return fill("{} the {} are tested alike: {}.", start, focus, p_text)
        low, high = self._cell(row, "low"), self._cell(row, "high")
        return fill("{} the {} lies between {} and {}, and {}.", start, focus, low, high, p_text)

    def _variances(self, row: int) -> Iterator[MarkedText]:
        for place in self._places(row, "variance")[:MOST_NAMED]:
            for kind in str(self.table["turns"].iloc[place]).split(", "):
                for end, words in ((ZERO, "is estimated as zero"), (BACK, "is no longer estimated as zero")):
                    if kind.endswith(end):
                        name = Name(kind.removesuffix(end))
                        yield fill("Without {} the deviation {} {}.", self._called(place), name, words)
