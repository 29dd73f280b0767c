"""The answer of a study in sentences with intervals: what the report says first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from lmmkit.model.design.design import Design
from lmmkit.study.pages.marks import Mark, MarkedText, Name, capital, fill, join, listed
from lmmkit.study.pages.seen_names import NO_LABELS, Labels
from lmmkit.study.report.numbers import MINUS, Files, equals, percent
from lmmkit.study.report.seen import Seen, units_of, with_unit

DEGREES = {
    "kenward-roger": "degrees of freedom and adjusted standard errors by Kenward and Roger",
    "kenward-roger-observed": "degrees of freedom and adjusted standard errors by Kenward and Roger, from "
    "observed information",
    "satterthwaite": "degrees of freedom by Satterthwaite",
    "unbounded": "degrees of freedom and standard errors from variances that may be negative",
    "containment": "degrees of freedom by containment",
    "inner-outer": "inner-outer degrees of freedom, as nlme has them",
    "between-within": "between-within degrees of freedom",
    "residual": "residual degrees of freedom, which take no account of the number of groups",
    "normal": "normal quantiles, which take no account of the number of groups",
}
INTERVALS = {
    "auto": "Confidence intervals have a coverage of {}. Those of coefficients, slopes and means "
    "are Wald intervals with {}, as are their tests; those of variance components come from the profile "
    "likelihood where the table of components says so, otherwise from the Wald method",
    "wald": "Confidence intervals have a coverage of {} and are Wald intervals with {}, as are the tests",
    "profile": "Confidence intervals have a coverage of {} and come from the profile likelihood "
    "(for coefficients the full, not the restricted one); slopes and differences of means that are no "
    "coefficients have Wald intervals. Tests use {}",
    "bootstrap": "Confidence intervals have a coverage of {} and are percentiles of {} refits of a "
    "parametric bootstrap; slopes and differences of means that are no coefficients have Wald intervals. "
    "Tests use {}",
}
SLOPES = {  # of a response along a number within factors, or with another number, and the test that decides
    ("nested", "significant"): "at least one of the slopes of {} along {} within {} differs from zero ({}).",
    ("nested", "not"): "the data do not show that any of the slopes of {} along {} within {} differs from "
    "zero ({}).",
    ("levels", "significant"): "the slope of {} along {} differs between the levels of {} ({}).",
    ("levels", "not"): "the slope of {} along {} is not shown to differ between the levels of {} ({}).",
    ("number", "significant"): "the slope of {} along {} changes with {} ({}).",
    ("number", "not"): "the slope of {} along {} is not shown to change with {} ({}).",
}
DISAGREE = (
    "The two need not agree: the F test asks whether any combination of the means differs, the comparison of "
    "pairs looks at each pair, with an adjustment for their number."
)
FEW = 8  # levels of a factor whose means a sentence lists


def method(files: Files, cited: MarkedText | None = None) -> MarkedText:
    """How the intervals and the tests were made, in words.

    Args:
        files: The run.
        cited: What is cited for the degrees of freedom.
    """
    kind = files.json("study.json")["inference"]["ci"]
    degrees = DEGREES[str(files.table("coefficients")["method"].iloc[0]).partition(":")[0]]
    refits = [files.cell("intervals", 0, "refits")] if kind == "bootstrap" else []
    return fill(f"{INTERVALS[kind]}.", coverage(files), *refits, fill("{}{}", degrees, cited or MarkedText()))


def coverage(files: Files) -> Mark:
    """The coverage of the intervals, in per cent."""
    level = files.json("study.json")["inference"]["level"]
    return files.entry("study.json", "inference", "level", text=f"{100 * level:.6g} %")


def answer(files: Files, design: Design, labels: Labels = NO_LABELS) -> list[MarkedText]:
    """What the focus does to the response, the headline first, then where that varies.

    Args:
        files: The run.
        design: The design of the fit.
        labels: What readers see for columns and levels.
    """
    return _Sentences(files, _seen(files, design, labels)).sentences()


def _seen(files: Files, design: Design, labels: Labels) -> Seen:
    return Seen(design, units_of(files.json("study.json")["data"]["columns"]), labels)


def spread(files: Files, design: Design, labels: Labels = NO_LABELS) -> MarkedText:
    """How much the groups differ, next to the residual; without random effects, the residuals alone."""
    seen = _seen(files, design, labels)
    table = files.table("components")
    single = [row for row in range(len(table)) if pd.isna(table["var2"].iloc[row])]
    own = [row for row in single if table["group"].iloc[row] == "Residual"]
    weighted = " (of a row of unit weight)" if design.problem.weights is not None else ""
    last = [_residual_sd(files, seen, row) for row in own]
    left = fill("The residual standard deviation is {}{}.", last[0], weighted)
    if len(own) > 1:
        left = fill("Standard deviations of the residuals: {}{}.", listed(last), weighted)
    factors = {term.group: term.factor for term in design.random}
    parts = dict[str, list[int]]()
    for row in single:
        if row not in own:
            group = str(table["group"].iloc[row])
            parts.setdefault(factors.get(group, group), []).append(row)
    groups = [
        fill("between levels of {}: {}", seen.column(group), _spreads(files, seen, rows))
        for group, rows in parts.items()
    ]
    return fill("Standard deviations {}. {}", join("; ", groups), left) if groups else left


def _residual_sd(files: Files, seen: Seen, row: int) -> MarkedText:
    name = files.table("components")["var1"].iloc[row]
    sd = fill("{}{}", files.cell("components", row, "sdcor"), seen.of_response())
    return fill("{} for {}", sd, Name(str(name))) if isinstance(name, str) else sd


def _spreads(files: Files, seen: Seen, rows: Sequence[int]) -> MarkedText:
    """The standard deviations of a group; a structure of one variance has one."""
    table = files.table("components").iloc[list(rows)]
    names = [str(name) for name in table["var1"]]
    units = {str(seen.of_effect(name)) for name in names if name != "Intercept"}
    if (
        len(rows) < 3
        or "Intercept" in names
        or len(units) > 1
        or not np.allclose(table["sdcor"], table["sdcor"].iloc[0], rtol=1e-9, atol=0)
    ):
        return listed([_component(files, seen, row) for row in rows])
    one = fill("{}{}", files.cell("components", rows[0], "sdcor"), seen.of_effect(names[0]))
    return fill("{} in each of {}", one, listed([Name(seen.effect(name)) for name in names]))


def _component(files: Files, seen: Seen, row: int) -> MarkedText:
    """A standard deviation with its unit, and of what it is."""
    name = str(files.table("components")["var1"].iloc[row])
    numbers = seen.kind_of_effect(name)
    unit = seen.of_effect(name) if name != "Intercept" else seen.of_response()
    sd = fill("{}{}", files.cell("components", row, "sdcor"), unit)
    if name == "Intercept":
        return fill("{} in the intercept", sd)
    return fill("{} in {}{}", sd, "the slope of " if numbers == (name,) else "", Name(seen.effect(name)))


@dataclass(frozen=True, eq=False)
class _Sentences:
    """The sentences of one answer."""

    files: Files
    seen: Seen

    @cached_property
    def facts(self) -> dict[str, Any]:
        return self.files.json("answer.json")

    @cached_property
    def table(self) -> pd.DataFrame:
        return self.files.table("answer")

    @cached_property
    def logarithmic(self) -> bool:
        return self.facts["scale"] == "log"

    def rows(self, role: str, **where: str) -> list[int]:
        """Places of the rows of a role."""
        chosen = self.table["role"] == role
        for name, value in where.items():
            chosen &= self.table[name] == value
        return chosen.to_numpy().nonzero()[0].tolist()

    def sentences(self) -> list[MarkedText]:
        kinds: dict[str, Callable[[], list[MarkedText]]] = {
            "intercept": self._intercept, "number": self._number, "factor": self._factor,
        }  # fmt: skip
        said = kinds[self.facts["kind"]]()
        if self.facts["absent"]:
            absent = "The study asks about {}, which this model does not have: this is about its first term."
            said.append(fill(absent, self.seen.column(self.facts["absent"])))
        return [capital(sentence) for sentence in said]

    # --- parts of sentences -------------------------------------------------------------------------------

    def value(self, row: int, column: str) -> Any:
        value = self.table[column].iloc[row]
        return None if pd.isna(value) else value

    def cell(self, row: int, column: str) -> Mark:
        return self.files.cell("answer", row, column, "trusted")

    def share(self, row: int, column: str) -> Mark:
        value = float(self.table[column].iloc[row])
        decimals = 1 if abs(value) < 1.0 else 0
        text = f"{100 * value:.{decimals}f} %".replace("-", MINUS)
        if not any(digit in text for digit in "123456789"):
            text = percent(value, 2)
        return replace(self.files.cell("answer", row, column), text=text)

    def sized(
        self,
        row: int,
        unit: MarkedText,
        *,
        strong: bool = False,
        name: bool = False,
        slope: str = "",
        tested: bool = True,
    ) -> MarkedText:
        """An estimate with unit and interval; on a logarithmic scale as change in per cent or as ratio."""
        if self.value(row, "estimate") is None:
            return fill("not to be estimated from these data")
        keys, mark = ("estimate", "low", "high"), self.cell
        behind = unit
        if self.logarithmic and self.value(row, "ratio") is not None:
            behind = fill(" {}", self.seen.per_one(slope)) if slope else MarkedText()
            if self._in_percent(row):
                keys, mark = ("change", "change_low", "change_high"), self.share
            else:
                keys, mark = ("ratio", "ratio_low", "ratio_high"), self.plain
        estimate, low, high = (mark(row, key) for key in keys)
        told = fill("{}{}", estimate, behind)
        told = _strong(told) if strong else told
        if self.value(row, "low") is None:
            return fill("{} (without interval: no degrees of freedom)", told)
        by, kind = self.value(row, "interval"), self.files.json("study.json")["inference"]["ci"]
        other = ", by Wald" if kind in ("profile", "bootstrap") and by == "Wald" else ""
        adjusted = ", Tukey's adjustment" if self.value(row, "adjusted") else ""
        words = fill("{} confidence interval ", coverage(self.files)) if name else ""
        p = fill("; {}", self.p(row)) if name and tested and self.value(row, "p") is not None else ""
        return fill("{} ({}{} to {}{}{}{})", told, words, low, high, adjusted, other, p)

    def plain(self, row: int, column: str) -> Mark:
        return self.files.cell("answer", row, column)

    def p(self, row: int) -> MarkedText:
        return fill("p {}", equals(self.files.cell("answer", row, "p", "probability")))

    def f(self, row: int) -> MarkedText:
        """`F(2, 45.3) = 5.31, p = 0.008`."""
        if self.value(row, "F") is None or self.value(row, "p") is None:
            return fill("no F test can be made")
        numbers = (
            self.files.cell("answer", row, name, digits)
            for name, digits in (("num_df", 0), ("den_df", 1), ("F", 2))
        )
        return fill("F({}, {}) = {}, {}", *numbers, self.p(row))

    def clear(self, row: int) -> bool | None:
        """Whether the interval lies on one side of zero; None where there is none."""
        low, high = self.value(row, "low"), self.value(row, "high")
        return None if low is None or high is None else bool(low > 0 or high < 0)

    def significant(self, row: int) -> bool:
        p = self.value(row, "p")
        return p is not None and p < self.facts["alpha"]

    def place(self, row: int) -> MarkedText:
        """Where a slope or a difference holds: `for h = a`, `at z = 20`."""
        name = str(self.value(row, "moderator"))
        level = self.value(row, "at")
        if level is not None:
            return fill("for {} {}", self.seen.column(name), self.seen.level(name, str(level)))
        return fill("at {} = {}{}", self.seen.column(name), self.plain(row, "value"), self.unit_of(name))

    def unit_of(self, name: str) -> MarkedText:
        return with_unit(self.seen.units.get(name, ""))

    @cached_property
    def at(self) -> MarkedText:
        """The values of other columns at which the question is asked."""
        parts = list[MarkedText]()
        for i, each in enumerate(self.facts["at"]):
            name = each["column"]
            value = self.files.entry("answer.json", "at", i, "value")
            told = self.seen.level(name, each["value"]) if isinstance(each["value"], str) else value
            sign = " " if isinstance(each["value"], str) else " = "
            parts.append(fill("{}{}{}{}", self.seen.column(name), sign, told, self.unit_of(name)))
        return fill("at {}", listed(parts)) if parts else MarkedText()

    @cached_property
    def given(self) -> MarkedText:
        """The same where it leads a sentence."""
        return fill("{}, ", self.at) if self.at.parts else MarkedText()

    @cached_property
    def response(self) -> Name:
        """The response in a sentence about effects: on a logarithmic scale what the logarithm is of."""
        return self.seen.column(self.facts["plain"]) if self.logarithmic else self.seen.response

    # --- the intercept ------------------------------------------------------------------------------------

    def _intercept(self) -> list[MarkedText]:
        estimate = self.sized(0, self.seen.of_response(), strong=True, name=True, tested=False)
        where = self.facts["where"]
        less = ", less the offset," if self.facts["offset"] else ""
        lead = fill("The mean of {}{}", self.seen.response, less)
        if where:
            lead = fill("The intercept, the mean of {}{} {},", self.seen.response, less, self._where(where))
        said = [fill("{} is {}.", lead, estimate)]
        if self.value(0, "original") is not None:
            back, low, high = (self.plain(0, name) for name in ("original", "original_low", "original_high"))
            column = self.facts["column"]
            form = "Carried back to {}: {}{} ({} to {})."
            said.append(fill(form, self.seen.column(column), back, self.unit_of(column), low, high))
        return said

    def _where(self, where: Sequence[dict[str, Any]]) -> MarkedText:
        """Where the columns of X beside the intercept are zero."""
        zero = [self.seen.column(each["of"]) for each in where if each["kind"] == "zero"]
        at = [
            fill("{} {}", self.seen.column(each["of"]), self.seen.level(each["of"], each["level"]))
            for each in where if each["kind"] == "level"
        ]  # fmt: skip
        over = [self.seen.column(each["of"]) for each in where if each["kind"] == "mean"]
        parts = [
            *([fill("for {}", listed(at))] if at else []),
            *([fill("averaged over the levels of {} with equal weights", listed(over))] if over else []),
            *([fill("where {} {} zero", listed(zero), "is" if len(zero) == 1 else "are")] if zero else []),
        ]
        return join(" and ", parts)

    # --- a number -----------------------------------------------------------------------------------------

    def _number(self) -> list[MarkedText]:
        x = self.facts["variable"]
        if self._apart:
            return [*self._interaction_of_slopes(x), self._slope(x)]
        return [self._slope(x), *self._along(x), *self._slopes_at(x), *self._tests_of_interactions()]

    def _slope(self, x: str) -> MarkedText:
        row = self.rows("slope")[0]
        varies = bool(self.facts["curved"] or self.facts["moderators"])
        first = not self._apart
        estimate = self.sized(row, self.seen.per(x), strong=first, name=first, slope=x)
        what = "the average slope is" if varies else "the slope is"
        if self.logarithmic:
            what = "it changes by" if self._in_percent(row) else "it is multiplied by"
        over = "on average over the rows of the data, " if varies else ""
        clear, y, column = self.clear(row), self.response, self.seen.column(x)
        if clear is None:
            return fill("{}the slope of {} along {} is {}.", self.given, y, column, estimate)
        if clear:
            way = "increases" if self.table["estimate"].iloc[row] > 0 else "decreases"
            return fill("{}{}{} {} with {}: {} {}.", self.given, over, y, way, column, what, estimate)
        form = "{}{}the data do not show whether {} increases or decreases with {}: {} {}."
        return fill(form, self.given, over, y, column, what, estimate)

    def _in_percent(self, row: int) -> bool:
        ratio = self.value(row, "ratio")
        return ratio is not None and 0.5 < ratio < 2.0

    def _along(self, x: str) -> list[MarkedText]:
        ends = self.rows("along")
        if len(ends) != 2:
            return []
        told = [fill("{} {}", self.sized(row, self.seen.per(x), slope=x), self.place(row)) for row in ends]
        test = self.rows("F of all")
        end = fill("; all terms of {} together: {}", self.seen.column(x), self.f(test[0])) if test else ""
        what = "The change" if self.logarithmic else "The slope"
        return [fill("{} varies with {} itself, from {} to {}{}.", what, self.seen.column(x), *told, end)]

    def _slopes_at(self, x: str) -> list[MarkedText]:
        said = list[MarkedText]()
        what = "The change" if self.logarithmic else "The slope"
        lead = fill("{} of {} along {}", what, self.response, self.seen.column(x))
        for name in self.facts["moderators"]:
            rows = self.rows("slope at", moderator=name)
            told = [
                fill("{} {}", self.sized(row, self.seen.per(x), slope=x), self.place(row)) for row in rows
            ]
            if rows and self.value(rows[0], "at") is None:
                form = "{} runs from {} to {}, the ends of {} in these data."
                said.append(fill(form, lead, *told, self.seen.column(name)))
            elif told:
                said.append(fill("{} is {}.", lead, listed(told)))
        return said

    def _interaction_of_slopes(self, x: str) -> list[MarkedText]:
        """The focus is an interaction of a number: how its slope differs, then between which levels most."""
        said, pairs = list[MarkedText](), self.rows("difference of slopes")
        for row in self.rows("F of interaction", variable=self.facts["term"])[:1]:
            within = listed([self.seen.column(name) for name in self.facts["within"]])
            found = "significant" if self.significant(row) else "not"
            kind = "nested" if self.facts["nested"] else "levels" if pairs else "number"
            form = SLOPES[kind, found]
            said.append(fill(form, self.response, self.seen.column(x), within, self.f(row)))
        for row in pairs:
            which = "largest difference of slopes" if self.value(row, "adjusted") else "difference of slopes"
            name, unit = str(self.value(row, "moderator")), self.seen.per(x)
            one, other = (self.seen.level(name, str(self.value(row, key))) for key in ("level", "base"))
            size = self.sized(row, unit, strong=True, name=True)
            if self.logarithmic:
                size = fill("{} on the scale of {}", self._on_model_scale(row, unit), self.seen.response)
            form = "The {} ({}: {} less {}) is {}."
            said.append(fill(form, which, self.seen.column(name), one, other, size))
        return [*said, *self._slopes_at(x)]

    def _on_model_scale(self, row: int, unit: MarkedText) -> MarkedText:
        marks = [self.cell(row, key) for key in ("estimate", "low", "high")]
        return fill("{}{} ({} to {}; {})", marks[0], unit, *marks[1:], self.p(row))

    def _tests_of_interactions(self) -> list[MarkedText]:
        said = list[MarkedText]()
        for row in self.rows("F of interaction"):
            name = str(self.value(row, "variable"))
            if self.facts["at"]:
                continue
            verdict = "" if self.significant(row) else "; the data do not show that the effect varies"
            term = Name(self.seen.term(name))
            said.append(fill("Test of the interaction {}: {}{}.", term, self.f(row), verdict))
        return said

    # --- a factor -----------------------------------------------------------------------------------------

    def _factor(self) -> list[MarkedText]:
        f = self.facts["variable"]
        if self._apart:
            return [*self._interaction_of_differences(f), *self._differences_at(f), *self._means(f)]
        return [*self._headline(f), *self._means(f), *self._differences_at(f), *self._tests_of_interactions()]

    def _headline(self, f: str) -> list[MarkedText]:
        differences, tests = self.rows("difference"), self.rows("F")
        y, column = self.response, self.seen.column(f)
        if not differences and not tests:
            return [
                fill("The means of {} at the levels of {} cannot be compared from these data.", y, column)
            ]
        lead, row = fill("{}{}", self.given, self._averaged()), differences[0] if differences else -1
        if differences and not self.value(row, "adjusted"):
            several = len(self.rows("mean")) > 2 and tests
            every = [fill("All levels of {} together: {}.", column, self.f(tests[0]))] if several else []
            return [self._difference(f, row, strong=True, lead=lead), *every]
        test = tests[0]
        form = "{}{} differs between the levels of {} ({})."
        if not self.significant(test):
            form = "{}the data do not show that {} differs between the levels of {} ({})."
        said = [fill(form, lead, y, column, self.f(test))]
        if differences:
            size = self.sized(row, self.seen.of_response(), strong=True, name=True)
            said.append(fill("The largest difference, {}, is {}.", self._pair(f, row), size))
            if bool(self.value(row, "clear")) != self.significant(test):
                said.append(fill(DISAGREE))
        return said

    def _averaged(self) -> MarkedText:
        names, held = [self.seen.column(name) for name in self.facts["averaged"]], self._held()
        over = fill("averaged over the levels of {}, ", listed(names)) if names else ""
        return fill("{}{}", over, fill("{}, ", held) if held.parts else "")

    def _held(self) -> MarkedText:
        """`at age = 41.1 a (its mean)`, of numbers that the effect of the focus depends on."""
        held = list[MarkedText]()
        for i, each in enumerate(self.facts["held"]):
            name, value = each["column"], self.files.entry("answer.json", "held", i, "value")
            held.append(fill("{} = {}{} (its mean)", self.seen.column(name), value, self.unit_of(name)))
        return fill("at {}", listed(held)) if held else MarkedText()

    def _pair(self, f: str, row: int) -> MarkedText:
        first, second = (self.seen.level(f, str(self.value(row, key))) for key in ("level", "base"))
        return fill("{} against {}" if self.logarithmic else "{} less {}", first, second)

    def _difference(self, f: str, row: int, *, strong: bool, lead: MarkedText) -> MarkedText:
        """`Score is higher for High than for Control: the difference is 2.3 points (...)`."""
        first, second = (self.seen.level(f, str(self.value(row, key))) for key in ("level", "base"))
        estimate = self.sized(row, self.seen.of_response(), strong=strong, name=strong)
        what = "ratio" if self.logarithmic and not self._in_percent(row) else "difference"
        clear, named, y = self.clear(row), self.seen.column(f), self.response
        twice = f" {named.text} ".lower() in f" {first.text} ".lower()  # programme: new programme
        column = MarkedText() if twice else fill("{} ", named)
        if clear is None:
            form = "{}the difference in {} between {}{} and {} is {}."
            return fill(form, lead, y, column, first, second, estimate)
        if clear:
            way = "higher" if self.table["estimate"].iloc[row] > 0 else "lower"
            form = f"{{}}{{}} is {way} for {{}}{{}} than for {{}}: the {what} is {{}}."
            return fill(form, lead, y, column, first, second, estimate)
        form = (
            f"{{}}the data do not show a difference in {{}} between {{}}{{}} and {{}}: the estimated "
            f"{what}, {{}}, is {{}}."
        )
        return fill(form, lead, y, column, first, second, self._pair(f, row), estimate)

    @property
    def _apart(self) -> bool:
        """Whether the headline is about an interaction, and the differences are told place by place."""
        return bool(self.facts["within"]) and not self.facts["at"]

    def _means(self, f: str) -> list[MarkedText]:
        rows = self.rows("mean")
        known = [row for row in rows if self.value(row, "estimate") is not None]
        if not known:
            return []
        if len(known) > FEW:
            ordered = sorted(known, key=lambda row: float(self.table["estimate"].iloc[row]))
            known = [ordered[0], ordered[-1]]
        back = self.value(known[0], "original") is not None
        keys = ("original", "original_low", "original_high") if back else ("estimate", "low", "high")
        mark = self.plain if back else self.cell
        unit = self.unit_of(self.facts["column"]) if back else self.seen.of_response()
        told = list[MarkedText]()
        for row in known:
            mean, low, high = (mark(row, key) for key in keys)
            level = self.seen.level(f, str(self.value(row, "level")))
            told.append(fill("{} {}{} ({} to {})", level, mean, unit, low, high))
        places = [part for part in (self.at, self._held()) if part.parts]
        at = fill(" {}", listed(places)) if places else MarkedText()
        lead = "Estimated means" if len(known) == len(rows) else "The lowest and the highest estimated mean"
        if back:
            tail = " (geometric means)" if self.logarithmic and not self.facts["shift"] else ""
            form = "{}{}, carried back to the scale of {}{}: {}."
            return [fill(form, lead, at, self.seen.column(self.facts["column"]), tail, join(", ", told))]
        offset = ", with the offset at its mean" if self.facts["offset"] else ""
        return [fill("{} of {}{}{}: {}.", lead, self.seen.response, at, offset, join(", ", told))]

    def _interaction_of_differences(self, f: str) -> list[MarkedText]:
        term = self.rows("F of interaction", variable=self.facts["term"])
        if not term:
            return []
        within = listed([self.seen.column(name) for name in self.facts["within"]])
        column, clear, test = self.seen.column(f), self.significant(term[0]), self.f(term[0])
        if self.facts["nested"]:
            form = "within at least one level of {}, {} differs between the levels of {} ({})."
            if not clear:
                form = (
                    "the data do not show that within any level of {} {} differs between the levels of "
                    "{} ({})."
                )
            return [fill(form, within, self.response, column, test)]
        verb = "depends on" if clear else "is not shown to depend on"
        return [fill(f"the effect of {{}} on {{}} {verb} {{}} ({{}}).", column, self.response, within, test)]

    def _differences_at(self, f: str) -> list[MarkedText]:
        """Simple effects: differences within levels, or at the ends, of what the factor interacts with."""
        said = list[MarkedText]()
        for i, row in enumerate(self.rows("difference at")):
            lead = fill("{}, ", self.place(row))
            if not self.value(row, "adjusted"):
                said.append(self._difference(f, row, strong=self._apart and i == 0, lead=lead))
                continue
            tests = self.rows("F at", moderator=str(self.value(row, "moderator")))
            test = [fill("{}; ", self.f(r)) for r in tests if self._same_place(r, row)][:1]
            size = self.sized(row, self.seen.of_response())
            form = "{}{}the largest difference, {}, is {}."
            said.append(fill(form, lead, join("", test), self._pair(f, row), size))
        return said

    def _same_place(self, one: int, other: int) -> bool:
        return all(self.value(one, key) == self.value(other, key) for key in ("at", "value"))


def _strong(text: MarkedText) -> MarkedText:
    return MarkedText((Markup("<strong>"), *text.parts, Markup("</strong>")))
