"""The answer of a study in sentences with intervals: what the report says first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from lmmkit.model.design.design import Design
from lmmkit.study.pages.marks import Mark, MarkedText, Name, Part, fill, join
from lmmkit.study.pages.seen_names import NO_LABELS, Labels
from lmmkit.study.report.numbers import Files, percent
from lmmkit.study.report.seen import Seen, as_unit, units_of

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
    "are Wald intervals with {}, "
    "as are their tests; those of variance components come from the profile likelihood where the "
    "table of components "
    "says so, otherwise from the Wald method",
    "wald": "Confidence intervals have a coverage of {} and are Wald intervals with {}, as are the tests",
    "profile": "Confidence intervals have a coverage of {} and come from the profile likelihood "
    "(for coefficients the "
    "full, not the restricted one); slopes and differences of means that are no coefficients have "
    "Wald intervals. "
    "Tests use {}",
    "bootstrap": "Confidence intervals have a coverage of {} and are percentiles of {} refits of a "
    "parametric bootstrap; "
    "slopes and differences of means that are no coefficients have Wald intervals. Tests use {}",
}
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
    return _Sentences(
        files, Seen(design, units_of(files.json("study.json")["data"]["columns"]), labels)
    ).sentences()


def spread(files: Files, design: Design, labels: Labels = NO_LABELS) -> MarkedText:
    """How much the groups differ, next to the residual; without random effects, the residuals alone."""
    seen = Seen(design, units_of(files.json("study.json")["data"]["columns"]), labels)
    table = files.table("components")
    single = [row for row in range(len(table)) if pd.isna(table["var2"].iloc[row])]
    own = [row for row in single if table["group"].iloc[row] == "Residual"]
    weighted = " (of a row of unit weight)" if design.problem.weights is not None else ""
    last = [_residual_sd(files, seen, row) for row in own]
    left = fill("The residual standard deviation is {}{}.", last[0], weighted)
    if len(own) > 1:
        left = fill("Standard deviations of the residuals: {}{}.", join(", ", last), weighted)
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
        return _listed([_component(files, seen, row) for row in rows])
    one = fill("{}{}", files.cell("components", rows[0], "sdcor"), seen.of_effect(names[0]))
    return fill("{} in each of {}", one, _listed([Name(seen.effect(name)) for name in names]))


def _component(files: Files, seen: Seen, row: int) -> MarkedText:
    """A standard deviation with its unit, and of what it is."""
    name = str(files.table("components")["var1"].iloc[row])
    numbers = seen.kind_of_effect(name)
    sd = fill(
        "{}{}",
        files.cell("components", row, "sdcor"),
        seen.of_effect(name) if name != "Intercept" else seen.of_response(),
    )
    if name == "Intercept":
        return fill("{} in the intercept", sd)
    return fill("{} in {}{}", sd, "the slope of " if numbers == (name,) else "", Name(seen.effect(name)))


def _listed(parts: Sequence[Part | MarkedText]) -> MarkedText:
    items = list(parts)
    return fill("{} and {}", join(", ", items[:-1]), items[-1]) if len(items) > 1 else fill("{}", *items)


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
        return [_capital(sentence) for sentence in said]

    # --- parts of sentences -------------------------------------------------------------------------------

    def value(self, row: int, column: str) -> Any:
        value = self.table[column].iloc[row]
        return None if pd.isna(value) else value

    def cell(self, row: int, column: str) -> Mark:
        return self.files.cell("answer", row, column, "trusted")

    def share(self, row: int, column: str) -> Mark:
        value = float(self.table[column].iloc[row])
        decimals = 1 if abs(value) < 1.0 else 0
        text = f"{100 * value:.{decimals}f} %".replace("-", "\N{MINUS SIGN}")
        if float(text.split(" ")[0].replace("\N{MINUS SIGN}", "-")) == 0.0:
            text = percent(value, 2).replace("-", "\N{MINUS SIGN}")
        mark = self.files.cell("answer", row, column)
        return Mark(mark.value, mark.file, mark.place, text)

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
            ratio = float(self.table["ratio"].iloc[row])
            if 0.5 < ratio < 2.0:
                keys, mark = ("change", "change_low", "change_high"), self.share
            else:
                keys, mark = ("ratio", "ratio_low", "ratio_high"), self.plain
        parts = [mark(row, key) for key in keys]
        number = fill("{}{}", parts[0], behind)
        if self.value(row, "low") is None:
            told = fill("{}{}", parts[0], behind)
            return fill("{} (without interval: no degrees of freedom)", _strong(told) if strong else told)
        by = self.value(row, "interval")
        kind = self.files.json("study.json")["inference"]["ci"]
        other = ", by Wald" if kind in ("profile", "bootstrap") and by == "Wald" else ""
        adjusted = fill(", Tukey's adjustment") if self.value(row, "adjusted") else MarkedText()
        words = fill("{} confidence interval ", coverage(self.files)) if name else MarkedText()
        p = (
            fill("; {}", self.p(row))
            if name and tested and self.value(row, "p") is not None
            else MarkedText()
        )
        inside = fill("{}{} to {}{}{}{}", words, parts[1], parts[2], adjusted, other, p)
        return fill("{} ({})", _strong(number) if strong else number, inside)

    def plain(self, row: int, column: str) -> Mark:
        return self.files.cell("answer", row, column)

    def p(self, row: int) -> MarkedText:
        mark = self.files.cell("answer", row, "p", "probability")
        return fill("p {}{}", "" if mark.text.startswith("<") else "= ", mark)

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
        unit = self.seen.units.get(name, "")
        return fill(" {}", as_unit(unit)) if unit else MarkedText()

    @cached_property
    def given(self) -> MarkedText:
        """The values of other columns at which the question is asked."""
        parts = list[MarkedText]()
        for i, each in enumerate(self.facts["at"]):
            name = each["column"]
            value = self.files.entry("answer.json", "at", i, "value")
            told = self.seen.level(name, each["value"]) if isinstance(each["value"], str) else value
            sign = " " if isinstance(each["value"], str) else " = "
            parts.append(fill("{}{}{}{}", self.seen.column(name), sign, told, self.unit_of(name)))
        return fill("at {}, ", _listed(parts)) if parts else MarkedText()

    @cached_property
    def response(self) -> MarkedText:
        """The response in a sentence about effects: on a logarithmic scale what the logarithm is of."""
        return (
            fill("{}", self.seen.column(self.facts["plain"]))
            if self.logarithmic
            else fill("{}", self.seen.response)
        )

    # --- the intercept ------------------------------------------------------------------------------------

    def _intercept(self) -> list[MarkedText]:
        estimate = self.sized(0, self.seen.of_response(), strong=True, name=True, tested=False)
        where = self.facts["where"]
        less = ", less the offset," if self.facts["offset"] else ""
        if not where:
            said = [fill("The mean of {}{} is {}.", self.seen.response, less, estimate)]
        else:
            said = [
                fill(
                    "The intercept, the mean of {}{} {}, is {}.",
                    self.seen.response,
                    less,
                    self._where(where),
                    estimate,
                )
            ]
        if self.value(0, "original") is not None:
            marks = [self.plain(0, name) for name in ("original", "original_low", "original_high")]
            unit = self.unit_of(self.facts["column"])
            said.append(
                fill(
                    "Carried back to {}: {}{} ({} to {}).",
                    self.seen.column(self.facts["column"]),
                    marks[0],
                    unit,
                    *marks[1:],
                )
            )
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
            *([fill("for {}", _listed(at))] if at else []),
            *([fill("averaged over the levels of {} with equal weights", _listed(over))] if over else []),
            *([fill("where {} {} zero", _listed(zero), "is" if len(zero) == 1 else "are")] if zero else []),
        ]
        return join(" and ", parts)

    # --- a number -----------------------------------------------------------------------------------------

    def _number(self) -> list[MarkedText]:
        x = self.facts["variable"]
        if self.facts["within"] and not self.facts["at"]:
            return [*self._interaction_of_slopes(x), self._slope(x)]
        return [self._slope(x), *self._along(x), *self._slopes_at(x), *self._tests_of_interactions()]

    def _slope(self, x: str) -> MarkedText:
        row = self.rows("slope")[0]
        varies = bool(self.facts["curved"] or self.facts["moderators"])
        average = "average " if varies else ""
        first = not self.facts["within"] or bool(self.facts["at"])
        estimate = self.sized(row, self.seen.per(x), strong=first, name=first, slope=x)
        what = "it changes by" if self.logarithmic and self._in_percent(row) else "the slope is"
        if self.logarithmic and not self._in_percent(row):
            what = "it is multiplied by"
        if not self.logarithmic:
            what = f"the {average}slope is"
        over = "on average over the rows of the data, " if varies else ""
        clear = self.clear(row)
        if clear:
            way = "increases" if self.table["estimate"].iloc[row] > 0 else "decreases"
            form = "{}{}{} {} with {}: {} {}."
            return fill(form, self.given, over, self.response, way, self.seen.column(x), what, estimate)
        if clear is None:
            return fill(
                "{}the slope of {} along {} is {}.", self.given, self.response, self.seen.column(x), estimate
            )
        form = "{}{}the data do not show whether {} increases or decreases with {}: {} {}."
        return fill(form, self.given, over, self.response, self.seen.column(x), what, estimate)

    def _in_percent(self, row: int) -> bool:
        ratio = self.value(row, "ratio")
        return ratio is not None and 0.5 < ratio < 2.0

    def _along(self, x: str) -> list[MarkedText]:
        ends = self.rows("along")
        if len(ends) != 2:
            return []
        told = [fill("{} {}", self.sized(row, self.seen.per(x), slope=x), self.place(row)) for row in ends]
        test = self.rows("F of all")
        end = (
            fill("; all terms of {} together: {}", self.seen.column(x), self.f(test[0]))
            if test
            else MarkedText()
        )
        what = "The change" if self.logarithmic else "The slope"
        return [fill("{} varies with {} itself, from {} to {}{}.", what, self.seen.column(x), *told, end)]

    def _slopes_at(self, x: str) -> list[MarkedText]:
        said = list[MarkedText]()
        what = "The change" if self.logarithmic else "The slope"
        for name in self.facts["moderators"]:
            rows = self.rows("slope at", moderator=name)
            told = [
                fill("{} {}", self.sized(row, self.seen.per(x), slope=x), self.place(row)) for row in rows
            ]
            numeric = rows and self.value(rows[0], "at") is None
            if numeric:
                said.append(
                    fill(
                        "{} of {} along {} runs from {} to {}, the ends of {} in these data.",
                        what,
                        self.response,
                        self.seen.column(x),
                        *told,
                        self.seen.column(name),
                    )
                )
            elif told:
                said.append(
                    fill("{} of {} along {} is {}.", what, self.response, self.seen.column(x), _listed(told))
                )
        return said

    def _interaction_of_slopes(self, x: str) -> list[MarkedText]:
        """The focus is an interaction of a number: how its slope differs, then between which levels most."""
        said, term = list[MarkedText](), self.rows("F of interaction", variable=self.facts["term"])
        within = [self.seen.column(name) for name in self.facts["within"]]
        numeric = not self.rows("difference of slopes")
        if term:
            row = term[0]
            if self.facts["nested"]:
                form = "at least one of the slopes of {} along {} within {} differs from zero ({})"
                if not self.significant(row):
                    form = (
                        "the data do not show that any of the slopes of {} along {} within {} "
                        "differs from zero ({})"
                    )
                lead = fill(form, self.response, self.seen.column(x), _listed(within), self.f(row))
            else:
                verb = fill(
                    "{} {}", "changes with" if numeric else "differs between the levels of", _listed(within)
                )
                if not self.significant(row):
                    verb = fill(
                        "is not shown to {} {}",
                        "change with" if numeric else "differ between the levels of",
                        _listed(within),
                    )
                lead = fill(
                    "the slope of {} along {} {} ({})", self.response, self.seen.column(x), verb, self.f(row)
                )
            said.append(fill("{}.", lead))
        for row in self.rows("difference of slopes"):
            several = (
                "largest difference of slopes" if self.value(row, "adjusted") else "difference of slopes"
            )
            name = str(self.value(row, "moderator"))
            pair = [self.seen.level(name, str(self.value(row, key))) for key in ("level", "base")]
            if self.logarithmic:
                said.append(
                    fill(
                        "The {} ({}: {} less {}) is {} on the scale of {}.",
                        several,
                        self.seen.column(name),
                        *pair,
                        self._on_model_scale(row, self.seen.per(x)),
                        self.seen.response,
                    )
                )
            else:
                said.append(
                    fill(
                        "The {} ({}: {} less {}) is {}.",
                        several,
                        self.seen.column(name),
                        *pair,
                        self.sized(row, self.seen.per(x), strong=True, name=True),
                    )
                )
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
            said.append(
                fill("Test of the interaction {}: {}{}.", Name(self._term(name)), self.f(row), verdict)
            )
        return said

    def _term(self, name: str) -> str:
        variables = self.seen.design.composition.get(name, ())
        return (
            " \N{MULTIPLICATION SIGN} ".join(self.seen.labels.of(v.expression.text) for v in variables)
            or name
        )

    # --- a factor -----------------------------------------------------------------------------------------

    def _factor(self) -> list[MarkedText]:
        f = self.facts["variable"]
        if self.facts["within"] and not self.facts["at"]:
            return [*self._interaction_of_differences(f), *self._differences_at(f), *self._means(f)]
        return [*self._headline(f), *self._means(f), *self._differences_at(f), *self._tests_of_interactions()]

    def _headline(self, f: str) -> list[MarkedText]:
        differences, tests = self.rows("difference"), self.rows("F")
        averaged = self._averaged()
        if not differences and not tests:
            return [
                fill(
                    "The means of {} at the levels of {} cannot be compared from these data.",
                    self.response,
                    self.seen.column(f),
                )
            ]
        row = differences[0] if differences else -1
        if differences and not self.value(row, "adjusted"):
            said = [self._difference(f, row, strong=True, lead=fill("{}{}", self.given, averaged))]
            several = len(self.rows("mean")) > 2
            return [
                *said,
                *(
                    [fill("All levels of {} together: {}.", self.seen.column(f), self.f(tests[0]))]
                    if several and tests
                    else []
                ),
            ]
        test = tests[0]
        if self.significant(test):
            lead = fill(
                "{}{}{} differs between the levels of {} ({})",
                self.given,
                averaged,
                self.response,
                self.seen.column(f),
                self.f(test),
            )
        else:
            lead = fill(
                "{}{}the data do not show that {} differs between the levels of {} ({})",
                self.given,
                averaged,
                self.response,
                self.seen.column(f),
                self.f(test),
            )
        said = [fill("{}.", lead)]
        if differences:
            said.append(
                fill(
                    "The largest difference, {}, is {}.",
                    self._pair(f, row),
                    self.sized(row, self.seen.of_response(), strong=True, name=True),
                )
            )
            pairs = self.value(row, "clear")
            if bool(pairs) != self.significant(test):
                said.append(
                    fill(
                        "The two need not agree: the F test asks whether any combination of the "
                        "means differs, the comparison of pairs looks at each pair, with an "
                        "adjustment for their number."
                    )
                )
        return said

    def _averaged(self) -> MarkedText:
        names = [self.seen.column(name) for name in self.facts["averaged"]]
        over = fill("averaged over the levels of {}, ", _listed(names)) if names else MarkedText()
        held = self._held()
        return fill("{}{}", over, fill("{}, ", held) if held.parts else MarkedText())

    def _held(self) -> MarkedText:
        """`at age = 41.1 a (its mean)`, of numbers that the effect of the focus depends on."""
        held = [
            fill(
                "{} = {}{} (its mean)",
                self.seen.column(each["column"]),
                self.files.entry("answer.json", "held", i, "value"),
                self.unit_of(each["column"]),
            )
            for i, each in enumerate(self.facts["held"])
        ]
        return fill("at {}", _listed(held)) if held else MarkedText()

    def _pair(self, f: str, row: int) -> MarkedText:
        first, second = (self.seen.level(f, str(self.value(row, key))) for key in ("level", "base"))
        return fill("{} against {}" if self.logarithmic else "{} less {}", first, second)

    def _difference(self, f: str, row: int, *, strong: bool, lead: MarkedText | None = None) -> MarkedText:
        """`Score is higher for High than for Control: the difference is 2.3 points (...)`."""
        first, second = (self.seen.level(f, str(self.value(row, key))) for key in ("level", "base"))
        estimate = self.sized(row, self.seen.of_response(), strong=strong, name=strong)
        what = "the difference is"
        if self.logarithmic:
            what = "the difference is" if self._in_percent(row) else "the ratio is"
        clear, lead = self.clear(row), lead or MarkedText()
        named = self.seen.column(f)
        twice = f" {named.text} ".lower() in f" {first.text} ".lower()  # programme: new programme
        column = MarkedText() if twice else fill("{} ", named)
        if clear:
            way = "higher" if self.table["estimate"].iloc[row] > 0 else "lower"
            return fill(
                "{}{} is {} for {}{} than for {}: {} {}.",
                lead,
                self.response,
                way,
                column,
                first,
                second,
                what,
                estimate,
            )
        if clear is None:
            return fill(
                "{}the difference in {} between {}{} and {} is {}.",
                lead,
                self.response,
                column,
                first,
                second,
                estimate,
            )
        form = (
            "{}the data do not show a difference in {} between {}{} and {}: the estimated "
            "difference, {} less {}, is {}."
        )
        if self.logarithmic:
            what = "difference" if self._in_percent(row) else "ratio"
            form = (
                "{}the data do not show a difference in {} between {}{} and {}: the estimated "
                + what
                + ", {} against {}, is {}."
            )
        return fill(form, lead, self.response, column, first, second, first, second, estimate)

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
        told = [
            fill(
                "{} {}{} ({} to {})",
                self.seen.level(f, str(self.value(row, "level"))),
                mark(row, keys[0]),
                unit,
                mark(row, keys[1]),
                mark(row, keys[2]),
            )
            for row in known
        ]
        at = fill(" {}", self._held()) if self._apart and self.facts["held"] else MarkedText()
        lead = "Estimated means" if len(known) == len(rows) else "The lowest and the highest estimated mean"
        of = self.seen.response
        tail = MarkedText()
        if back:
            lead, of = f"{lead}, carried back to the scale of {{}}", self.seen.column(self.facts["column"])
            geometric = self.logarithmic and not self.facts["shift"]
            tail = fill(" (geometric means)") if geometric else MarkedText()
            return [fill(f"{lead}{{}}{{}}: {{}}.", of, tail, at, join(", ", told))]
        offset = ", with the offset at its mean" if self.facts["offset"] else ""
        return [fill("{} of {}{}{}: {}.", lead, of, at, offset, join(", ", told))]

    def _interaction_of_differences(self, f: str) -> list[MarkedText]:
        term = self.rows("F of interaction", variable=self.facts["term"])
        if not term:
            return []
        row, within = term[0], [self.seen.column(name) for name in self.facts["within"]]
        if self.facts["nested"]:
            form = "within at least one level of {}, {} differs between the levels of {} ({})."
            if not self.significant(row):
                form = (
                    "the data do not show that within any level of {} {} differs between the "
                    "levels of {} ({})."
                )
            return [fill(form, _listed(within), self.response, self.seen.column(f), self.f(row))]
        verb = "depends on" if self.significant(row) else "is not shown to depend on"
        return [
            fill(
                "the effect of {} on {} {} {} ({}).",
                self.seen.column(f),
                self.response,
                verb,
                _listed(within),
                self.f(row),
            )
        ]

    def _differences_at(self, f: str) -> list[MarkedText]:
        """Simple effects: differences within levels, or at the ends, of what the factor interacts with."""
        said = list[MarkedText]()
        rows = self.rows("difference at")
        strong = bool(self.facts["within"]) and not self.facts["at"]
        for i, row in enumerate(rows):
            lead = fill("{}, ", self.place(row))
            if self.value(row, "adjusted"):
                same = [
                    r
                    for r in self.rows("F at", moderator=str(self.value(row, "moderator")))
                    if self._same_place(r, row)
                ]
                test = fill("{}; ", self.f(same[0])) if same else MarkedText()
                estimate = self.sized(row, self.seen.of_response())
                said.append(
                    fill("{}{}the largest difference, {}, is {}.", lead, test, self._pair(f, row), estimate)
                )
            else:
                said.append(self._difference(f, row, strong=strong and i == 0, lead=lead))
        return said

    def _same_place(self, one: int, other: int) -> bool:
        return self.value(one, "at") == self.value(other, "at") and self.value(one, "value") == self.value(
            other, "value"
        )


def _strong(text: MarkedText) -> MarkedText:
    return MarkedText((Markup("<strong>"), *text.parts, Markup("</strong>")))


def _capital(text: MarkedText) -> MarkedText:
    """A sentence with a capital letter, where it begins with a word of its own or with a label in words."""
    first = text.parts[0] if text.parts else ""
    if (
        isinstance(first, Name)
        and " " in first.text
        and first.text[:1].islower()
        and not any(map(str.isdigit, first.text))
    ):
        return MarkedText((Name(first.text[0].upper() + first.text[1:]), *text.parts[1:]))
    if isinstance(first, str) and not isinstance(first, Markup) and first[:1].islower():
        return MarkedText((first[0].upper() + first[1:], *text.parts[1:]))
    return text
