"""The answer of a study as a table: what its focus does to the response, by slopes and by marginal means.

A number is told by its average slope over the rows of the fit, and by how that slope varies with what it
interacts with, or along itself; a factor by the F test of its marginal means, the means and their
differences.
On a logarithmic scale differences are ratios too, and means are carried back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.model.design.design import Design
from lmmkit.model.fit import Fit
from lmmkit.model.formula.spelling import same_name
from lmmkit.model.inference.anova import NOTHING_LEFT, joint_test
from lmmkit.model.inference.degrees_of_freedom import Denominators, FTest, denominators
from lmmkit.model.inference.distributions import f_tail
from lmmkit.model.inference.linear_functions import estimable, linear_table
from lmmkit.model.means.averages import RowAverages, row_averages
from lmmkit.model.means.focus import (
    INTERCEPT,
    Focus,
    find_focus,
    focus_term,
    interaction_rows,
    is_factor,
    largest_interactions,
    levels_of_column,
    moderators,
    reference_level,
    where_zero,
)
from lmmkit.model.means.marginal_means import Family, MarginalMeans
from lmmkit.model.means.reference_grid import KEPT
from lmmkit.model.means.response_scale import ResponseScale, response_scale
from lmmkit.model.report_tables.report_table import ReportTable

MOST_LEVELS = 12  # of a moderator within which effects are told one by one
MOST_MEANS = 60  # of a factor whose pairs are all compared
SAME = 1e-7  # relative distance at which an estimate and its error are those of a coefficient
SAME_F = 1e-6  # relative distance at which two F tests are one

Frame = pd.DataFrame
TESTS = ["estimate", "se", "df", "t", "p", "low", "high"]
NUMBERS = [
    *("value", *TESTS, "num_df", "den_df", "F"),
    *("ratio", "ratio_low", "ratio_high", "change", "change_low", "change_high"),
    *("original", "original_low", "original_high", "clear"),
]
TEXTS = ["row", "role", "variable", "level", "base", "moderator", "at", "adjusted", "method", "interval"]


@dataclass(frozen=True)
class Told:
    """The answer.

    Attributes:
        table: A row per number: `row` names it, `role` says what it is, `variable`, `level` and `base` of
            what, `moderator` with `at` (a level) or `value` (a number) where; then the test of zero, the F
            test, on a logarithmic scale `ratio` and `change` (ratio less 1), and of means `original`, on the
            scale of the response before it was transformed; `clear` counts the pairs whose interval excludes
            zero.
        facts: term, variable, kind (intercept, number, factor), within, moderators, curved, scale, response
            and its column, covariates held at their means, whether F tests of the table of terms differ.
    """

    table: Frame
    facts: dict[str, Any]


def asked(
    fit: Fit,
    focus: str | None,
    contrast: Sequence[Any] | str | None = None,
    at: Mapping[str, Any] | None = None,
) -> Focus:
    """What a study's focus, contrast and values stand for, as `find_focus` reads them.

    Where the formula was changed, as in a cell of a sweep, and has the focus no more, it is the first term,
    and says so: `lmmkit check` and `lmmkit run` refuse a focus that the study's own formula does not have.
    """
    known = [*fit.design.fixed_names, *fit.design.recipe.fixed_columns()]
    formula = fit.design.recipe.formula
    if focus is None or focus_term(formula, focus) is not None or same_name(focus, known) is not None:
        return find_focus(fit.design, focus, contrast, at)
    return replace(find_focus(fit.design), absent=focus)


def told(fit: Fit, focus: Focus, coefficients: Frame, *, df: str, level: float) -> Told:
    """The answer to what a focus asks.

    Args:
        fit: The fit.
        focus: What is asked.
        coefficients: The table of coefficients, whose rows stand for estimates that are coefficients.
        df: Denominator degrees of freedom.
        level: Coverage of the intervals.
    """
    return _Answer(fit, focus, coefficients, denominators(fit.estimates, df), df, level).told()


def average_slope(fit: Fit, focus: Focus, frame: Frame | None = None) -> Floats:
    """(p,) the average slope along a number over rows, on the kept coefficients.

    Args:
        fit: The fit.
        focus: The number, with values of other columns.
        frame: Rows; by default those of the fit.

    Raises:
        FitError: The data cannot estimate it.
    """
    rows = _rows(fit, frame)
    L, possible = estimable(rows.slope(focus.variable, **_values(fit.design, focus.at))[None], fit.estimates)
    return _only(L, possible, f"the average slope along {focus.variable}")


def mean_difference(fit: Fit, focus: Focus) -> Floats:
    """(p,) the difference of two marginal means, on the kept coefficients.

    Raises:
        FitError: The factor has more than two levels and no contrast is named, or it cannot be estimated.
    """
    known = list(levels_of_column(fit.design, focus.variable))
    first, second = focus.contrast or direction(fit.design, focus.variable)
    missing = [level for level in (first, second) if level not in known]
    if missing:
        raise FitError(f"`{focus.variable}` has no level {missing[0]} in these rows")
    at = _values(fit.design, focus.at)
    grid = {name: [value] for name, value in at.items()} or None
    family = _family(fit.marginal_means(focus.variable, at=grid, df="normal"))
    texts = list(map(str, family.cells[focus.variable]))
    i, j = texts.index(first), texts.index(second)
    if family.groups:
        raise FitError(
            f"`{focus.variable}` is nested in {', '.join(family.groups)}: name its levels in report.at"
        )
    difference = family.L[i] - family.L[j]
    return _only(difference[None], family.possible[[i]] & family.possible[[j]], f"{first} less {second}")


@dataclass(frozen=True, eq=False)
class Estimand:
    """The one number that a focus asks for.

    Attributes:
        name: What it is.
        L: (p,) on the kept coefficients.
    """

    name: str
    L: Floats


def estimand(fit: Fit, focus: Focus, frame: Frame | None = None) -> Estimand | None:
    """The average slope of a number, the difference of two means of a factor, the intercept.

    Args:
        fit: The fit.
        focus: What is asked.
        frame: The rows that a slope is averaged over; by default those of the fit.

    Returns:
        None for a factor of more than two levels of which no contrast is named.

    Raises:
        FitError: The data cannot estimate it.
    """
    if focus.term == INTERCEPT:
        return Estimand(INTERCEPT, (fit.params.index == INTERCEPT).astype(float))
    where = "".join(f", at {name} {value:g}" if isinstance(value, float) else f", at {name} {value}"
                    for name, value in focus.at.items())  # fmt: skip
    if not is_factor(fit.design, focus.variable):
        return Estimand(f"slope of {focus.variable}{where}", average_slope(fit, focus, frame))
    if not has_one_difference(fit.design, focus):
        return None
    first, second = focus.contrast or direction(fit.design, focus.variable)
    return Estimand(f"{focus.variable}: {first} less {second}{where}", mean_difference(fit, focus))


def one_number(fit: Fit, focus: Focus) -> Estimand | None:
    """The same, but of an interaction that is asked for as such its coefficient; None where it has several.

    Args:
        fit: The fit.
        focus: What is asked.

    Raises:
        FitError: The data cannot estimate it.
    """
    L = interaction_rows(fit.estimates, focus)
    if L is None:
        return estimand(fit, focus)
    return Estimand(str(fit.params.index[int(L[0].argmax())]), L[0]) if len(L) == 1 else None


def direction(design: Design, variable: str, levels: Sequence[str] = ()) -> tuple[str, str]:
    """Of two levels which one less which: less the reference of the coding, else the second less the first.

    Args:
        design: The design.
        variable: A factor.
        levels: The two; by default all that it has.
    """
    levels = levels or list(levels_of_column(design, variable))
    mine = [v for v in design.recipe.variables.values() if v.expression.variables == (variable,)]
    base = next((found for v in mine if (found := reference_level(v)) is not None), levels[0])
    base = base if base in levels else levels[0]
    return next(level for level in levels if level != base), base


def bend_test(fit: Fit, focus: Focus, *, df: str) -> tuple[float, float] | None:
    """F and p of all terms of a number whose slope varies along itself; None where it does not."""
    none = Frame(columns=["coefficient", *TESTS, "interval"])
    answer = _Answer(fit, focus, none, denominators(fit.estimates, df), df, 0.95)
    rows = answer.along(focus.variable, _values(fit.design, focus.at))
    return (float(rows[-1]["F"]), float(rows[-1]["p"])) if rows else None


def has_one_difference(design: Design, focus: Focus) -> bool:
    """Whether a factor's focus is one number: it has two levels, or two are named."""
    return focus.contrast is not None or len(levels_of_column(design, focus.variable)) == 2


def _only(L: Floats, possible: Any, what: str) -> Floats:
    if not possible.all() or not L.any():
        raise FitError(f"these data cannot estimate {what}")
    return L[0]


def _rows(fit: Fit, frame: Frame | None = None) -> RowAverages:
    of = row_averages(
        fit.estimates, by=None, newdata=None, level="population", weights=None, df="normal", coverage=0.95
    )
    if frame is None:
        return of
    return RowAverages(fit.estimates, frame, "population", (), np.ones(len(frame)), "normal", 0.95)


def _values(design: Design, at: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the table has them, from levels as text."""
    return {
        name: levels_of_column(design, name)[value] if is_factor(design, name) else value
        for name, value in at.items()
    }


def _family(means: MarginalMeans) -> Family:
    assert means.family is not None
    return means.family


def scale_of(design: Design) -> tuple[str, ResponseScale | None]:
    """What the response is: "identity", "log", "sqrt", or "other" for another transformation."""
    response = design.recipe.formula.response
    try:
        scale = response_scale(response)
    except FitError:
        return "other", None
    if scale is None:
        return "identity", None
    return ("log" if scale.is_log else "sqrt"), scale


@dataclass(frozen=True, eq=False)
class _Answer:
    fit: Fit
    focus: Focus
    coefficients: Frame
    by: Denominators
    df: str
    level: float

    @property
    def design(self) -> Design:
        return self.fit.design

    @cached_property
    def rows(self) -> RowAverages:
        return _rows(self.fit)

    @cached_property
    def kind(self) -> str:
        if self.focus.term == INTERCEPT:
            return "intercept"
        return "factor" if is_factor(self.design, self.focus.variable) else "number"

    def told(self) -> Told:
        made = {"intercept": self._intercept, "number": self._number, "factor": self._factor}[self.kind]()
        table = Frame(made).reindex(columns=[*TEXTS[:7], *NUMBERS, *TEXTS[7:]])
        table = table.astype(dict.fromkeys(TEXTS, object)).astype(dict.fromkeys(NUMBERS, float))
        return Told(table, self._facts(table))

    def _facts(self, table: Frame) -> dict[str, Any]:
        kind, scale = scale_of(self.design)
        response = self.design.recipe.formula.response
        return {
            "term": self.focus.term,
            "absent": self.focus.absent,
            "variable": self.focus.variable,
            "kind": self.kind,
            "within": list(self.focus.within),
            "contrast": list(self.focus.contrast or ()),
            "at": [{"column": name, "value": value} for name, value in self.focus.at.items()],
            "moderators": [n for n in self._moderators() if n in set(table["moderator"].dropna())],
            "curved": bool((table["role"] == "along").any()),
            "scale": kind,
            "shift": scale.shift if scale else 0.0,
            "response": response.text,
            "column": response.variables[0] if response.variables else response.text,
            "plain": _plain(response.variables[0], scale) if response.variables else response.text,
            "nested": bool(self.focus.within) and not self._has_margin(),
            "where": where_zero(self.design) if self.kind == "intercept" else [],
            "offset": self.design.request.offset is not None or bool(self.design.recipe.formula.offsets),
            "averaged": self._averaged(),
            "held": self._held(),
            "alpha": 1.0 - self.level,
        }

    def _held(self) -> list[dict[str, Any]]:
        """Numbers that interact with a factor, and their means, at which its own means are taken."""
        if self.kind != "factor":
            return []
        numbers = [n for n in self._moderators() if not is_factor(self.design, n) and n not in self.focus.at]
        columns = {name: self.design.frame[name].astype(float) for name in numbers}
        return [{"column": n, "value": float(x.mean())} for n, x in columns.items() if x.nunique() > KEPT]

    def _has_margin(self) -> bool:
        """Whether the variable has a term of its own beside an interaction that is the focus."""
        mine, formula = {self.focus.variable, *self.focus.within}, self.design.recipe.formula
        return any(self.focus.variable in term and term < mine for term in formula.columns_of_terms())

    def _averaged(self) -> list[str]:
        """Factors that interact with the variable, over whose levels its marginal means average."""
        if self.kind != "factor":
            return []
        return [n for n in self._moderators() if is_factor(self.design, n) and n not in self.focus.at]

    def _moderators(self) -> list[str]:
        if self.kind == "intercept":
            return []
        found = moderators(self.design, self.focus.variable)
        return [*self.focus.within, *(name for name in found if name not in self.focus.within)]

    # --- rows -------------------------------------------------------------------------------------------

    def _linear(
        self, heads: list[dict[str, Any]], L: Floats, adjust: str = "none", means: int = 2
    ) -> list[dict[str, Any]]:
        """Rows of linear functions, on all columns of X; one that is a coefficient is told as that."""
        return self._tested(heads, *estimable(L, self.fit.estimates), adjust, means)

    def _tested(
        self, heads: list[dict[str, Any]], L: Floats, possible: Any, adjust: str, means: int
    ) -> list[dict[str, Any]]:
        """The same on the kept coefficients, with what can be estimated."""
        options: dict[str, Any] = {"possible": possible, "adjust": adjust, "means": means}
        index = pd.Index(range(len(L)))
        table = linear_table(index, L, self.fit.estimates, self.by, self.level, **options)
        found = table[TESTS].to_dict("records")
        return [self._row(head, numbers, adjust) for head, numbers in zip(heads, found, strict=True)]

    def _row(self, head: dict[str, Any], numbers: Mapping[Any, Any], adjust: str = "none") -> dict[str, Any]:
        values, interval = dict(numbers), "Wald"
        own = None if adjust != "none" else self._coefficient(values)
        if own is not None:
            values, interval = own
        row = {**head, **values, "adjusted": "Tukey" if adjust == "tukey" else None}
        method = self.by.named(np.array([values["df"]]))[0]
        row |= {"method": NOTHING_LEFT if np.isnan(values["estimate"]) else method, "interval": interval}
        return row | self._ratios(values)

    def _coefficient(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], str] | None:
        """The numbers of the coefficient that a function is, up to its sign, with the bounds of its table."""
        size, se = abs(values["estimate"]), values["se"]
        for row in self.coefficients.to_dict("records"):
            near = np.isclose([abs(row["estimate"]), row["se"]], [size, se], rtol=SAME, atol=0.0)
            if not near.all() or not np.isclose(row["df"], values["df"], rtol=1e-5, equal_nan=True):
                continue
            told = {name: float(row[name]) for name in TESTS}
            if np.sign(told["estimate"]) != np.sign(values["estimate"]):
                told |= _turned(told)
            return told, str(row["interval"])
        return None

    def _ratios(self, values: Mapping[str, Any]) -> dict[str, float]:
        kind, scale = scale_of(self.design)
        if kind != "log" or scale is None:
            return {}
        ends = np.array([values[name] for name in ("estimate", "low", "high")])
        ratio = scale.ratio(ends).value
        names = [f"{what}{end}" for what in ("ratio", "change") for end in ("", "_low", "_high")]
        return dict(zip(names, [*ratio.tolist(), *(ratio - 1.0).tolist()], strict=True))

    def _f(self, head: dict[str, Any], test: FTest) -> dict[str, Any]:
        p = f_tail(test.F, test.num_df, test.den_df) if test.num_df else np.nan
        method = self.by.named(np.array([test.den_df]))[0]
        return {**head, "num_df": test.num_df, "den_df": test.den_df, "F": test.F, "p": p, "method": method}

    def _joint(self, head: dict[str, Any], L: Floats) -> dict[str, Any]:
        return self._f(head, joint_test(self.fit.estimates, L, self.by))

    # --- the intercept ------------------------------------------------------------------------------------

    def _intercept(self) -> list[dict[str, Any]]:
        row = next(each for each in self.coefficients.to_dict("records") if each["coefficient"] == INTERCEPT)
        values = {name: float(row[name]) for name in TESTS}
        head = {"row": "intercept", "role": "mean", "variable": INTERCEPT}
        return [
            {**head, **values, "method": row["method"], "interval": row["interval"], **self._original(values)}
        ]

    def _original(self, values: Mapping[str, Any]) -> dict[str, float]:
        _, scale = scale_of(self.design)
        if scale is None:
            return {}
        ends = np.array([values[name] for name in ("estimate", "low", "high")])
        return dict(
            zip(("original", "original_low", "original_high"), scale.back(ends).value.tolist(), strict=True)
        )

    # --- a number -----------------------------------------------------------------------------------------

    def _number(self) -> list[dict[str, Any]]:
        x, at = self.focus.variable, _values(self.design, self.focus.at)
        head = {"row": "slope", "role": "slope", "variable": x}
        rows = self._linear([head], self.rows.slope(x, **at)[None])
        rows += self.along(x, at)
        for name in self._moderators():
            if name not in at:
                rows += self._moderated(x, name, at)
        return rows + self._interactions()

    def along(self, x: str, at: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Where the slope varies along the number itself: at its least and greatest value, and its F test."""
        ends = self._ends(x)
        L = np.array([self.rows.slope(x, **{**at, x: value}) for value in ends.values()])
        scale = np.abs(L).max(axis=0)
        if (np.abs(L[1] - L[0]) <= SAME * np.where(scale > 0, scale, 1.0)).all():
            return []
        heads = [
            {"row": f"slope at {x} {word}", "role": "along", "variable": x, "moderator": x, "value": value}
            for word, value in ends.items()
        ]
        mine = [
            i for term, t in zip(self.design.recipe.formula.fixed, self.design.fixed_terms, strict=True)
            if any(x in e.variables for e in term) for i in t.columns
        ]  # fmt: skip
        kept = list(self.fit.estimates.kept)
        all_of_it = np.eye(len(kept))[[kept.index(i) for i in mine if i in kept]]
        test = self._joint({"row": f"all of {x}", "role": "F of all", "variable": x}, all_of_it)
        return [*self._linear(heads, L), test]

    def _moderated(self, x: str, name: str, at: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Slopes at the levels of a factor, with how far they are apart, or at the ends of a number."""
        factor, places = is_factor(self.design, name), self._places(name)
        if not places:
            return []
        what = f"slope at {name}:" if factor else f"slope at {name}"
        heads = [
            {"row": f"{what} {label}", "role": "slope at", "variable": x, **head} for label, _, head in places
        ]
        L = np.array([self.rows.slope(x, **{**at, name: value}) for _, value, _ in places])
        apart = self._slopes_apart(x, name, [label for label, *_ in places], L) if factor else []
        return [*self._linear(heads, L), *apart]

    def _slopes_apart(self, x: str, name: str, levels: Sequence[str], L: Floats) -> list[dict[str, Any]]:
        """The largest difference of slopes between levels, or the only one."""
        pairs = [(j, i) for i in range(len(levels)) for j in range(i + 1, len(levels))]
        if len(levels) == 2:
            first, second = direction(self.design, name, levels)
            pairs = [(levels.index(first), levels.index(second))]
        heads = [
            {"row": f"slopes of {name}: {levels[i]} less {levels[j]}", "role": "difference of slopes",
             "variable": x, "moderator": name, "level": levels[i], "base": levels[j]}
            for i, j in pairs
        ]  # fmt: skip
        adjust = "tukey" if len(levels) > 2 else "none"
        found = self._linear(heads, np.array([L[i] - L[j] for i, j in pairs]), adjust, len(levels))
        return [_forward(_largest(found), keep=len(levels) == 2)] if found else []

    def _interactions(self) -> list[dict[str, Any]]:
        """The F tests of the largest interactions of the variable, as the table of terms has them."""
        names = largest_interactions(self.design, self.focus.variable)
        if not names:
            return []
        tests = self.fit.anova(type=3, df=self.df)
        return [
            {"row": f"F of {name}", "role": "F of interaction", "variable": name, "num_df": test["num_df"],
             "den_df": test["den_df"], "F": test["F"], "p": test["p"], "method": test["method"]}
            for name, test in tests.loc[names].iterrows()
        ]  # fmt: skip

    # --- a factor -----------------------------------------------------------------------------------------

    def _factor(self) -> list[dict[str, Any]]:
        rows = self._compared(_values(self.design, self.focus.at), "", {})
        at = _values(self.design, self.focus.at)
        for name in self._moderators():
            if name in at:
                continue
            for label, value, head in self._places(name):
                rows += self._compared({**at, name: value}, f" at {name}: {label}", head)
        return rows + self._interactions()

    def _ends(self, name: str) -> dict[str, float]:
        """The least and the greatest value of a number over the rows."""
        values = self.rows.frame[name].to_numpy(float)
        return {"least": float(np.nanmin(values)), "greatest": float(np.nanmax(values))}

    def _places(self, name: str) -> list[tuple[str, Any, dict[str, Any]]]:
        """The levels of a moderator, or its least and greatest value."""
        if is_factor(self.design, name):
            levels = levels_of_column(self.design, name)
            some = levels if len(levels) <= MOST_LEVELS else {}
            return [(level, value, {"moderator": name, "at": level}) for level, value in some.items()]
        return [
            (word, value, {"moderator": name, "value": value}) for word, value in self._ends(name).items()
        ]

    def _compared(self, at: Mapping[str, Any], where: str, head: dict[str, Any]) -> list[dict[str, Any]]:
        """The means of the factor's levels, their F test, and their largest or only difference."""
        name, place = self.focus.variable, " at" if where else ""
        grid = {key: [value] for key, value in at.items()}
        means = self.fit.marginal_means(name, df=self.df, at=grid or None, level=self.level)
        family = _family(means)
        if family.groups:  # nested in others: within their levels; moderators among them tell themselves
            itself = where or family.groups[0] in self._moderators()
            return [] if itself else self._nested(means, head)
        levels = list(map(str, family.cells[name]))
        rows = list[dict[str, Any]]()
        if not where:
            known_as = Frame(means).rename(columns={"mean": "estimate"}).to_dict("records")
            table: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in known_as]
            rows = [
                {"row": f"mean: {level}", "role": "mean", "variable": name, "level": level, **numbers,
                 "method": family.by.told, **self._original(numbers)}
                for level, numbers in zip(levels, table, strict=True)
            ]  # fmt: skip
        known = np.flatnonzero(family.possible)
        if len(known) < 2:
            return rows
        L = family.L[known]
        test = {"row": f"F{where}", "role": f"F{place}", "variable": name, **head}
        rows.append(self._joint(test, np.diff(L, axis=0)))
        return rows + self._differences(family, known, levels, where, head)

    def _nested(self, means: MarginalMeans, head: dict[str, Any]) -> list[dict[str, Any]]:
        """Differences within each level of what the factor is nested in."""
        family, rows = _family(means), list[dict[str, Any]]()
        for where in family.blocks():
            part = family.take(where)
            group = family.groups[0]
            level = str(part.cells[group].iloc[0])
            levels = list(map(str, part.cells[self.focus.variable]))
            known = np.flatnonzero(part.possible)
            if len(known) > 1:
                rows += self._differences(
                    part, known, levels, f" at {group}: {level}", {**head, "moderator": group, "at": level}
                )
        return rows

    def _differences(
        self, family: Family, known: Any, levels: Sequence[str], where: str, head: dict[str, Any]
    ) -> list[dict[str, Any]]:
        name, place = self.focus.variable, " at" if where else ""
        there = [str(levels[i]) for i in known.tolist()]
        if self.focus.contrast is not None:
            pairs, adjust = [self.focus.contrast], "none"
            if not set(self.focus.contrast) <= set(there):
                return []
        elif len(there) == 2:
            pairs, adjust = [direction(self.design, name, there)], "none"
        elif len(there) <= MOST_MEANS:
            pairs, adjust = [(b, a) for i, a in enumerate(there) for b in there[i + 1 :]], "tukey"
        else:
            return []
        heads = [
            {"row": f"{a} less {b}{where}", "role": f"difference{place}", "variable": name, "level": a,
             "base": b, **head}
            for a, b in pairs
        ]  # fmt: skip
        L = np.array([family.L[levels.index(a)] - family.L[levels.index(b)] for a, b in pairs])
        found = self._tested(heads, L, None, adjust, len(there))
        chosen = _forward(_largest(found), keep=adjust == "none")
        return [chosen | {"clear": sum(_clear(each) for each in found)}]


def _plain(column: str, scale: ResponseScale | None) -> str:
    """What a transformation was taken of."""
    shift = scale.shift if scale else 0.0
    return column if not shift else f"{column} {'+' if shift > 0 else '-'} {abs(shift):g}"


def _clear(row: Mapping[str, Any]) -> bool:
    return bool(row["low"] > 0 or row["high"] < 0)


def _largest(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    sizes = [abs(row["estimate"]) if np.isfinite(row["estimate"]) else -1.0 for row in rows]
    return rows[int(np.argmax(sizes))]


def _forward(row: dict[str, Any], *, keep: bool) -> dict[str, Any]:
    """A difference so that it is positive, unless its direction was given."""
    if keep or not row["estimate"] < 0:
        return row
    first, second = row["level"], row["base"]
    turned = {**row, **_turned(row), "level": second, "base": first}
    turned["row"] = row["row"].replace(f"{first} less {second}", f"{second} less {first}")
    if "ratio" in row:
        mirror = {"ratio": "ratio", "ratio_low": "ratio_high", "ratio_high": "ratio_low"}
        ends = {name: 1 / row[other] for name, other in mirror.items()}
        turned |= ends | {name.replace("ratio", "change"): value - 1.0 for name, value in ends.items()}
    return turned


def _turned(row: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a difference in the other direction."""
    return {"estimate": -row["estimate"], "t": -row["t"], "low": -row["high"], "high": -row["low"]}


TABLES = (ReportTable("answer", texts=TEXTS),)
