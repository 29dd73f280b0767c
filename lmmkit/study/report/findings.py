"""What the checks of the assumptions found, in sentences, and which of it nobody may overlook."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lmmkit.model.design.visit_design import VisitDesign
from lmmkit.model.missing_data.about_missing import TIPPING
from lmmkit.study.files.schema import MissingData
from lmmkit.study.pages.marks import Mark, MarkedText, Name, Part, fill, join
from lmmkit.study.report.numbers import CORRELATION_DECIMALS, MINUS, Files, cell_mark, number
from lmmkit.study.report.seen import Seen

TIPPED = "tipping_point.json"
SERIOUS, SLIGHT, NOTHING = "serious", "slight", "nothing found"
MOST_NAMED = 3  # outlying rows that a sentence names


def serious(files: Files, seen: Seen) -> list[MarkedText]:
    """What stands beside the answer, in the terminal and in the methods: each a sentence.

    Args:
        files: The run.
        seen: What readers see for its names.
    """
    summary, table = files.json("summary.json"), files.table("checks")
    rows = [row for row in range(len(table)) if table["verdict"].iloc[row] == SERIOUS]
    reused = [fill("{}", files.entry("summary.json", "reused", i)) for i in range(len(summary["reused"]))]
    return [
        *([_singular(files, seen, summary["singular_terms"])] if summary["singular"] else []),
        *reused,
        *(_Found(files, seen).sentence(row) for row in rows),
        *turning(files, seen),
    ]


def checks_in_words(files: Files, seen: Seen) -> list[MarkedText]:
    """What each check found, the serious things first."""
    verdicts = files.table("checks")["verdict"].tolist()
    ranks = {SERIOUS: 0, SLIGHT: 1, NOTHING: 2}
    order = sorted(range(len(verdicts)), key=lambda row: ranks.get(verdicts[row], 3))
    return [_Found(files, seen).sentence(row) for row in order]


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


class _Found:
    """The sentences of the table of checks."""

    def __init__(self, files: Files, seen: Seen) -> None:
        self.files, self.seen, self.table = files, seen, files.table("checks")

    def sentence(self, row: int) -> MarkedText:
        kinds: dict[str, Callable[[int], MarkedText]] = {
            "outlying rows": self._rows,
            "variance along fitted values": self._along,
            "variance between groups": self._between,
            "normal residuals": self._normal,
            "outlying groups": self._groups,
            "independence": self._independence,
        }
        return kinds[str(self.table["check"].iloc[row])](row)

    def _independence(self, row: int) -> MarkedText:
        shape = self.seen.design.residual
        if shape is not None and shape.formula.group is not None:
            group = shape.formula.group
            within = fill(" within {}", self.seen.column(group.label)) if group.names else MarkedText()
            left = ""
            if shape.formula.fades:
                left = (
                    "; the semivariance of the normalised residuals shows what correlation the model leaves"
                )
            elif isinstance(shape, VisitDesign):
                left = "; the fitted correlations stand beside the empirical ones"
            return fill("Residuals{} are assumed to be correlated{}.", within, left)
        return fill("Independence was not checked: {}.", self._cell(row, "note"))

    def _cell(self, row: int, column: str) -> Mark:
        return self.files.cell("checks", row, column)

    def _p(self, table: str, row: int) -> MarkedText:
        mark = self.files.cell(table, row, "p", "probability")
        return fill("p {}{}", "" if mark.text.startswith("<") else "= ", mark)

    def _verdict(self, row: int) -> str:
        return str(self.table["verdict"].iloc[row])

    def _unchecked(self, row: int, what: str, *values: Part | MarkedText) -> MarkedText:
        return fill("{} was not checked: {}.", fill(what, *values), self._cell(row, "note"))

    def _row(self, at: int) -> MarkedText:
        """`row 57 (Subject 332)`."""
        groups = self.files.table("outliers")["groups"].iloc[at]
        of = fill(" ({})", self._levels(str(groups))) if isinstance(groups, str) and groups else MarkedText()
        return fill("row {}{}", self.files.cell("outliers", at, "row"), of)

    def _size(self, at: int) -> Mark:
        return self.files.cell("outliers", at, "studentised", 2)

    def _levels(self, text: str) -> MarkedText:
        """`Subject 332, item 4` with labels."""
        parts = list[MarkedText]()
        for part in text.split(", "):
            group = next((name for name in self.seen.design.ngroups if part.startswith(f"{name} ")), "")
            level = part.removeprefix(f"{group} ")
            told = self.seen.level(group, level)
            parts.append(
                fill("{}", Name(part)) if not group else fill("{} {}", self.seen.column(group), told)
            )
        return join(", ", parts)

    def _rows(self, row: int) -> MarkedText:
        kind = str(self.table["of"].iloc[row])
        outliers = self.files.table("outliers")
        if self._verdict(row) == NOTHING:
            form = (
                "No row is an outlier: the largest {} residual, {}, is that of {} ({}, adjusted "
                "for the number of rows)."
            )
            return fill(form, kind, self._size(0), self._row(0), self._p("outliers", 0))
        shown = min(len(outliers), MOST_NAMED)
        named = listed([fill("{} at {}", self._row(at), self._size(at)) for at in range(shown)])
        count = self._cell(row, "count")
        if count.value == 1:
            form = (
                "One row is an outlier: {}, {} standard deviations from its fitted value ({}, "
                "adjusted for the number of rows)."
            )
            return fill(form, self._row(0), self._size(0), self._p("outliers", 0))
        form = (
            "{} rows are outliers, in standard deviations from their fitted values: {}{} ({} for "
            "the first, adjusted for the number of rows)."
        )
        more = "" if count.value <= shown else ", and others"
        return fill(form, count, named, more, self._p("outliers", 0))

    def _along(self, row: int) -> MarkedText:
        if self._verdict(row) not in (SERIOUS, SLIGHT, NOTHING):
            return self._unchecked(row, "Whether the residual variance changes along the fitted values")
        if self._verdict(row) == NOTHING:
            return fill(
                "No change of the residual variance along the fitted values was found ({}).",
                self._p("checks", row),
            )
        form = (
            "The residual variance {} with the fitted values: the standard deviation is {}{} in "
            "their lowest third "
            "and {}{} in their highest ({})."
        )
        rises = float(self.table["high"].iloc[row]) > float(self.table["low"].iloc[row])
        way = (
            ("rises" if rises else "falls")
            if self._verdict(row) == SERIOUS
            else ("seems to rise" if rises else "seems to fall")
        )
        unit = self.seen.of_response()
        return fill(
            form, way, self._cell(row, "low"), unit, self._cell(row, "high"), unit, self._p("checks", row)
        )

    def _between(self, row: int) -> MarkedText:
        name = str(self.table["of"].iloc[row])
        if self._verdict(row) not in (SERIOUS, SLIGHT, NOTHING):
            return self._unchecked(
                row, "Whether the residual variance differs between the levels of {}", self.seen.column(name)
            )
        if self._verdict(row) == NOTHING:
            form = "No difference of the residual variance between the levels of {} was found ({})."
            return fill(form, self.seen.column(name), self._p("checks", row))
        differs = "differs" if self._verdict(row) == SERIOUS else "seems to differ"
        unit = self.seen.of_response()
        least, most = (self.seen.level(name, str(self.table[key].iloc[row])) for key in ("least", "most"))
        form = "The residual standard deviation {} between the levels of {}, from {}{} ({}) to {}{} ({}; {})."
        return fill(
            form, differs, self.seen.column(name), self._cell(row, "low"), unit, least,
            self._cell(row, "high"),
            unit, most, self._p("checks", row),
        )  # fmt: skip

    def _normal(self, row: int) -> MarkedText:
        if self._verdict(row) not in (SERIOUS, SLIGHT, NOTHING):
            return self._unchecked(row, "Whether residuals are normal")
        shape = fill(
            "skewness {}, excess kurtosis {}, {}",
            self.files.cell("checks", row, "low", CORRELATION_DECIMALS - 1),
            self.files.cell("checks", row, "size", CORRELATION_DECIMALS - 1),
            self._p("checks", row),
        )
        if self._verdict(row) == NOTHING:
            return fill("No departure of the residuals from a normal distribution was found ({}).", shape)
        how = (
            "are not normal"
            if self._verdict(row) == SERIOUS
            else "depart slightly from a normal distribution"
        )
        return fill("The residuals {} ({}).", how, shape)

    def _groups(self, row: int) -> MarkedText:
        term = str(self.table["of"].iloc[row])
        group, _, name = term.partition(": ")
        what = "intercept" if name == "Intercept" else "effect of {}"
        of = fill(what, *([] if name == "Intercept" else [Name(self.seen.effect(name))]))
        if self._verdict(row) == NOTHING:
            return fill(
                "No level of {} stands apart in its {} ({}, adjusted for their number).",
                self.seen.column(group),
                of,
                self._p("checks", row),
            )
        form = (
            "{} {} stands apart in its {}: {} standard deviations from the mean ({}, adjusted "
            "for the number of levels)."
        )
        level = self.seen.level(group, str(self.table["most"].iloc[row]))
        sizes = self.files.table("outlying_levels")
        at = sizes.index[sizes["term"] == term][0]
        return fill(
            form,
            self.seen.column(group),
            level,
            of,
            self.files.cell("outlying_levels", int(at), "studentised", 2),
            self._p("checks", row),
        )


def plainly(texts: Sequence[MarkedText]) -> list[str]:
    """Sentences as plain text, for a terminal."""
    return [str(text) for text in texts]
