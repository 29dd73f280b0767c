"""Captions that state what a picture shows, and the words that stand for it, from the tables behind it.

Every number in them is a mark: a cell of the table, a fact about it, or an entry of a JSON file of the run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from lmmkit.model.report_tables.about_data import axis_label
from lmmkit.model.report_tables.fitted_lines import FittedLines, FocusMeans
from lmmkit.model.report_tables.panels import PanelChoice, focus_columns
from lmmkit.model.report_tables.report_table import excludes_zero
from lmmkit.model.selection.ledger import NAMES
from lmmkit.model.selection.walks import ADD, CORRELATE
from lmmkit.study.pages.marks import Mark, MarkedText, Name, Part, fill, join, listed
from lmmkit.study.pages.seen_names import NO_LABELS, Labels
from lmmkit.study.report.numbers import TABLES, cell_mark, number, percent
from lmmkit.study.report.seen import Seen, with_unit

VERBS = (("within", "varies", "vary"), ("between", "is constant", "are constant"))
EQUAL = 1e-9  # relative: standard deviations that a structure makes one
_FIELDS = re.compile(r"\{([^}]*)\}")


class Words(TypedDict):
    """The words of one picture, as `Step.save_figure` takes them."""

    caption: MarkedText
    alt: MarkedText


class Numbers:
    """The cells of a table of the run, and the facts about it, as marks."""

    def __init__(self, name: str, table: pd.DataFrame):
        self.name, self.table = name, table
        self.facts = TABLES[name].facts(table)

    def told(self, form: str, *given: Part | MarkedText) -> MarkedText:
        """A sentence whose fields are facts about the table, and in their turn what is given for `{}`.

        `{most}` is a fact, `{most:3}` with so many digits, `{far:2%}` in per cent, `{cells:row}` counted.
        """
        rest = iter(given)
        found = [self._field(field) if field else next(rest) for field in _FIELDS.findall(form)]
        return fill(_FIELDS.sub("{}", form), *found)

    def _field(self, field: str) -> Mark | MarkedText:
        key, _, how = field.partition(":")
        if how.endswith("%"):
            return self.percent(key, int(how[:-1]))
        return counted(self.fact(key), how) if how.isalpha() else self.fact(key, int(how or 4))

    def cell(self, row: int, column: str, digits: int = 4) -> Mark:
        """A number in the table."""
        return cell_mark(self.name, self.table, row, column, number(self.table[column].iloc[row], digits))

    def fact(self, key: str, digits: int = 4) -> Mark:
        """A fact about the table."""
        return self._fact(key, number(self.facts[key], digits))

    def percent(self, key: str, digits: int) -> Mark:
        """A fact that is a share."""
        return self._fact(key, percent(self.facts[key], digits))

    def _fact(self, key: str, text: str) -> Mark:
        return Mark(self.facts[key], f"tables/{self.name}.csv", f"={key}", text)


def counted(count: Mark, noun: str) -> MarkedText:
    """A count with its noun, in the plural where it is not one.

    >>> str(counted(Mark(2, "a.csv", "=n", "2"), "row"))
    '2 rows'
    """
    return fill("{} {}", count, noun if count.value == 1 else f"{noun}s")


def _some(numbers: Numbers) -> str:
    """The field of how many lie outside, in words where none does."""
    return "{outside}" if numbers.facts["outside"] else "none"


def _names(names: Any) -> MarkedText:
    return join(", ", [Name(str(name)) for name in names])


def _words(caption: MarkedText, alt: str | MarkedText, *values: Part | MarkedText) -> Words:
    return {"caption": caption, "alt": fill(alt, *values) if isinstance(alt, str) else alt}


def at_level(level: float) -> Mark:
    """The coverage of intervals, as the study has it."""
    return Mark(level, "study.json", "inference/level", percent(level, 4))


def unit_of(columns: pd.DataFrame, name: str) -> str:
    """The unit of a column in the table of columns, or nothing."""
    units = columns.loc[columns["column"] == name, "unit"].fillna("")
    return str(units.iloc[0]) if len(units) else ""


def label_of(columns: pd.DataFrame, name: str, labels: Labels = NO_LABELS) -> str:
    """Axis text of a column: its label or name, with its unit; of a transformed one, with that of the column.

    >>> label_of(pd.DataFrame({"column": ["n"], "unit": ["plants"]}), "log(1 + n)")
    'log(1 + n) (n in plants)'
    """
    if name in set(columns["column"]):
        return axis_label(labels.of(name), unit_of(columns, name))
    inside = {column: unit_of(columns, column) for column in focus_columns(name, list(columns["column"]))}
    units = ", ".join(f"{labels.of(column)} in {unit}" for column, unit in inside.items() if unit)
    return axis_label(labels.of(name), units)


def effect_label(spoken: Seen, name: str) -> str:
    """An axis text for a coefficient or a random effect, as readers see it, with its unit."""
    (unit,) = spoken.units_told([name])
    return f"{spoken.effect(name)} ({unit})" if unit else spoken.effect(name)


def distance_label(columns: pd.DataFrame, names: list[str], labels: Labels = NO_LABELS) -> str:
    """Axis text of a distance in columns: `Distance in Time (day)`."""
    return f"Distance in {', '.join(label_of(columns, name, labels) for name in names)}"


def response(columns: pd.DataFrame, name: str) -> Words:
    """What the histogram of the response shows."""
    numbers, at = Numbers("columns", columns), columns["column"].tolist().index(name)
    low, lower, median, upper, high = (
        numbers.cell(at, key) for key in ("min", "lower", "median", "upper", "max")
    )
    above, below = high.value - median.value, median.value - low.value
    shape = ""
    if max(above, below) > 1.5 * min(above, below):
        shape = f" and the longer tail towards {'high' if above > below else 'low'} values"
    unit = with_unit(columns["unit"].iloc[at])
    caption = (
        "The values of {} range from {} to {}{}, with a median of {}{}{}; the middle half of the rows lies "
        "between {} and {}{}."
    )
    return _words(
        fill(caption, Name(name), low, high, unit, median, unit, shape, lower, upper, unit),
        "Histogram of {}, its median marked by a dashed line and its middle half shaded.",
        Name(name),
    )


def missing(patterns: pd.DataFrame) -> Words:
    """What the picture of missing values shows."""
    numbers, rows = Numbers("missing", patterns), patterns.iloc[:, 0]
    caption = numbers.told("All {rows:row} are complete: no value is missing.")
    if broken := numbers.facts["incomplete"]:
        worst = str(patterns.iloc[:, 1:].mul(rows, axis=0).sum().idxmax())
        most = counted(numbers.fact(f"without {worst}"), "row")
        form = "{incomplete} of {rows:row} {} a value, most often that of {} ({})."
        caption = numbers.told(form, "lacks" if broken == 1 else "lack", Name(worst), most)
    alt = "Grid of {patterns:pattern} by {columns:column}; dark squares mark what is missing."
    return _words(caption, numbers.told(alt))


def groups(balance: pd.DataFrame) -> Words:
    """What the picture of group sizes shows."""
    numbers = Numbers("balance", balance)
    alt = "How many levels have how many rows, one panel for each of {}."
    each = join("; ", [_group(numbers, row) for row in range(len(balance))])
    return _words(fill("{}.", each), alt, _names(balance["group"]))


def _group(numbers: Numbers, row: int) -> MarkedText:
    levels = numbers.cell(row, "levels")
    of = fill("{} of {}", counted(levels, "level"), Name(numbers.table["group"].iloc[row]))
    least, median, most = (numbers.cell(row, name) for name in ("least", "median", "most"))
    if levels.value == 1:
        return fill("{} has {}", of, counted(least, "row"))
    if numbers.table["balanced"].iloc[row]:
        return fill("{} have {} each", of, counted(least, "row"))
    return fill("{} have {} to {} rows, with a median of {}", of, least, most, median)


def panels(points: pd.DataFrame, choice: PanelChoice, balance: pd.DataFrame) -> Words:
    """What the panels by group show, and how many of the groups they are."""
    pair = fill("{} against {}", Name(choice.y), Name(choice.x)) if choice.x else fill("{}", Name(choice.y))
    shown = Numbers("lines", points).fact("panels")
    return _words(
        fill("For {}, {}.", _which(shown, choice, balance), pair),
        "{} of {}, one point per row.",
        counted(shown, "small panel"),
        pair,
    )


def _which(shown: Mark, choice: PanelChoice, balance: pd.DataFrame) -> Part | MarkedText:
    """The groups that have a panel."""
    if not choice.group:
        return "all rows together"
    count = Numbers("balance", balance).cell(balance["group"].tolist().index(choice.group), "levels")
    levels = fill("{} of {}", counted(count, "level"), Name(choice.group))
    if shown.value == count.value:
        return fill("{} {}", "the" if count.value == 1 else "all", levels)
    return fill("{} of {}, evenly spaced in their order", shown, levels)


def lines(model: FittedLines, balance: pd.DataFrame, columns: pd.DataFrame, level: float) -> Words:
    """What the model's lines over the panels are, and at which values of the other columns they are drawn.

    Args:
        model: The lines; their `to_dict` stands in `lines.json`.
        balance: The table of grouping factors.
        columns: The table of columns, for units.
        level: Coverage of the intervals.
    """
    told, points, choice = model.to_dict(), model.points, model.choice
    pair = fill("{} against {}", Name(told["response"]), Name(choice.x or "all rows"))
    shown = Numbers("lines", points).fact("panels")
    numeric = pd.api.types.is_numeric_dtype(points["x"])
    what = "lines" if numeric else "means"
    said = [fill("For {}, {} with the model's {} and their {} intervals", _which(shown, choice, balance),
                 pair, what, at_level(level))]  # fmt: skip
    without = Mark(told["panels without"], "lines.json", "panels without", number(told["panels without"]))
    if without.value == shown.value:
        said.append(fill("the {} are those of the population", what))
    elif without.value:
        form = "{} in which {} does not vary {} the population's line alone"
        have = "has" if without.value == 1 else "have"
        said.append(fill(form, counted(without, "panel"), Name(choice.x), have))
    if told["held"]:
        said.append(fill("drawn at {}", _held("lines.json", told["held"], columns)))
    if told["own"] and choice.group:
        has = fill("each level of {} has {}", Name(choice.group), "it" if len(told["own"]) == 1 else "them")
        said.append(fill("with {} as {}", listed(map(Name, told["own"])), has))
    return _words(
        fill("{}.", join("; ", said)),
        "{} of {}, one point per row, with the model's {}.",
        counted(shown, "small panel"),
        pair,
        what,
    )


def _held(file: str, held: Sequence[Mapping[str, Any]], columns: pd.DataFrame) -> MarkedText:
    """Columns with the values at which they are held, from the list `held` in a JSON file."""
    return join(", ", [_one_held(file, place, each, columns) for place, each in enumerate(held)])


def _one_held(file: str, place: int, each: Mapping[str, Any], columns: pd.DataFrame) -> MarkedText:
    if "cell" in each:
        return fill("{}", Name(each["cell"]))
    value = Mark(each["value"], file, f"held/{place}/value", number(each["value"]))
    return fill("{} = {}{}", Name(each["name"]), value, with_unit(unit_of(columns, each["name"])))


def focus_means(means: FocusMeans, columns: pd.DataFrame, level: float) -> Words:
    """What the mean along the column of the focus is told by, and what it is averaged over.

    Args:
        means: The means; their `to_dict` stands in `focus_means.json`.
        columns: The table of columns, for units.
        level: Coverage of the intervals.
    """
    told, table, x, response = means.to_dict(), means.table, means.x, means.response
    by = fill(", by {}", _names(told["by"])) if told["by"] else MarkedText()
    said = [fill("The model's mean of {} along {}{}, with {} intervals", Name(response), Name(x), by,
                 at_level(level))]  # fmt: skip
    if not told["by"] and pd.api.types.is_numeric_dtype(table["x"]):
        numbers, last = Numbers("focus_means", table), len(table) - 1
        ends = [numbers.cell(row, name) for row in (0, last) for name in ("mean", "x")]
        unit, of_y = with_unit(unit_of(columns, x)), with_unit(unit_of(columns, response))
        form = "it goes from {}{} at {}{} to {}{} at {}{}"
        parts = [part for value, after in zip(ends, (of_y, unit) * 2, strict=True) for part in (value, after)]
        said.append(fill(form, *parts))
    if told["held"]:
        said.append(fill("drawn at {}", _held("focus_means.json", told["held"], columns)))
    if told["averaged"]:
        said.append(fill("averaged over {} with equal weights", listed(map(Name, told["averaged"]))))
    return _words(
        fill("{}.", join("; ", said)),
        "The model's mean of {} along {}{}, over one point per row.",
        Name(response),
        Name(x),
        by,
    )


def candidates(table: pd.DataFrame, criterion: str) -> Words:
    """What the picture of the candidates shows."""
    numbers = Numbers("candidates", table)
    tests, criterion = criterion == "lrt", "aic" if criterion == "lrt" else criterion
    name = NAMES[criterion]
    best = table["candidate"].iloc[int(table[f"d_{criterion}"].fillna(float("inf")).argmin())]
    chosen = table.loc[table["chosen"], "candidate"].iloc[0]
    count, singular, failed = (numbers.fact(key) for key in ("candidates", "singular", "failed"))
    remarks = [_taken("model", chosen, best, name, by=" by its tests" if tests else "")]
    if count.value == 1:
        remarks = [fill("The only candidate is {}", Name(chosen))]
    if singular.value:
        which = fill("{} of {}", counted(singular, "candidate"), count) if count.value > 1 else fill("it")
        remarks.append(fill("{} came out singular", which))
    if failed.value:
        remarks.append(fill("{} could not be fitted", counted(failed, "candidate")))
    alt = "Deviance, AIC and BIC of {candidates:candidate} as distances from the least."
    return _words(fill("{}.", join("; ", remarks)), numbers.told(alt))


def _taken(what: str, chosen: str, best: str, criterion: str, by: str = "") -> MarkedText:
    """What is taken, and what has the least of a criterion."""
    if best == chosen:
        return fill("The {} taken is {}, which has the least {}", what, Name(chosen), criterion)
    return fill("The {} taken{} is {}; {} has the least {}", what, by, Name(chosen), Name(best), criterion)


def selection_path(path: pd.DataFrame, criterion: str, alpha: float) -> Words:
    """What the picture of a choice that goes step by step shows."""
    numbers = Numbers("selection_path", path)
    comparisons, taken = (numbers.fact(key) for key in ("comparisons", "taken"))
    ways = path["taken"] & path["against"].fillna("").ne("")
    adds = path["stage"].isin([ADD, CORRELATE])
    back = set(path.loc[ways & adds, "what"])
    gone = [what for what in path.loc[ways & ~adds, "what"] if what not in back]
    added = list(path.loc[ways & adds, "what"])
    told = [fill("{} left out", listed(gone))] if gone else []
    told += [fill("{} added", listed(added))] if added else []
    way = join("; ", told) if told else fill("nothing left out and nothing added")
    caption = fill("{} led to {}: {}.", counted(comparisons, "comparison"), counted(taken, "change"), way)
    alt = "p of each comparison, step by step, beside the level {}; what was taken is marked by a diamond."
    if criterion != "lrt":
        other = (
            "Difference of {} in each comparison, step by step, beside zero; a diamond marks what was taken."
        )
        return _words(caption, other, NAMES[criterion])
    return _words(caption, alt, Mark(alpha, "study.json", "random_effects/alpha", number(alpha, 4)))


def incidence(audit: pd.DataFrame, related: pd.DataFrame) -> Words:
    """What the picture of how grouping factors lie to each other shows.

    Args:
        audit: The table of a design audit.
        related: Its relations.
    """
    told = [*_relations_of(related), *_within_groups(audit)]
    groups = audit["group"].unique()
    met = fill("Levels of {} and the values that they meet", _names(groups))
    return _words(
        join(" ", [fill("{}.", sentence) for sentence in told or [met]]),
        "Tiles that are dark where a level of {} meets a level of another factor or a value of a fixed term.",
        _names(groups),
    )


def _relations_of(related: pd.DataFrame) -> list[MarkedText]:
    numbers, told = Numbers("design_relations", related), list[MarkedText]()
    for row in range(len(related)):
        fine, coarse, kind = (str(related[column].iloc[row]) for column in ("fine", "coarse", "kind"))
        if kind == "nested":
            told.append(fill("Levels of {} are nested in those of {}", Name(fine), Name(coarse)))
            continue
        cells = fill("{} of {} cells", numbers.cell(row, "cells"), numbers.cell(row, "possible"))
        told.append(fill("Levels of {} and {} are {} ({} occur)", Name(fine), Name(coarse), kind, cells))
    return told


def _within_groups(audit: pd.DataFrame) -> list[MarkedText]:
    """For each grouping factor the terms of one variable that vary within its levels, and the others."""
    numbers, told = Numbers("design_audit", audit), list[MarkedText]()
    single = (audit["term"] != "Intercept") & ~audit["term"].str.contains(":")
    for group in audit["group"].unique():
        mine = single & (audit["group"] == group)
        clauses = list[MarkedText]()
        for varies, one, several in VERBS:
            terms = audit.loc[mine & (audit["varies"] == varies), "term"]
            if len(terms):
                names = listed([Name(name) for name in terms])
                clauses.append(fill("{} {}", names, one if len(terms) == 1 else several))
        if clauses:
            told.append(fill("Within the levels of {}, {}", Name(group), join("; ", clauses)))
        for row in np.flatnonzero(mine & (audit["varies"] == "mixed")).tolist():
            some = fill("Within {} of the {}", numbers.cell(row, "varying"), numbers.cell(row, "levels"))
            told.append(fill("{} levels of {}, {} varies", some, Name(group), Name(audit["term"].iloc[row])))
    return told


def blocks(parts: pd.DataFrame) -> Words:
    """What the picture of the design matrix shows."""
    whole = "[X Z]" if len(parts) > 1 else "X"  # X alone without random effects
    form = f"{whole} has {{columns:column}}; {{share filled:3%}} of its entries are not zero."
    return _words(
        Numbers("design_parts", parts).told(form),
        "The design matrix, dark where it has entries, in parts: {}.",
        _names(parts["part"]),
    )


def relationships(table: pd.DataFrame) -> Words:
    """What the picture of the known covariances of levels shows."""
    numbers, told = Numbers("relationships", table), list[MarkedText]()
    for row, (group, largest) in enumerate(zip(table["group"], table["largest"], strict=True)):
        pairs, levels, related = (numbers.cell(row, name) for name in ("pairs", "levels", "related"))
        closest, diagonal = (numbers.cell(row, name, 3) for name in ("closest", "diagonal"))
        are = "is" if related.value == 1 else "are"
        one = fill(
            "Of {} pairs of the {} levels of {}, {} {} related", pairs, levels, Name(group), related, are
        )
        one = fill("{}, the closest by {}; the mean of the diagonal is {}", one, closest, diagonal)
        if not pd.isna(largest):
            least, most = (numbers.cell(row, name, 3) for name in ("least", "largest"))
            one = fill("{}; the eigenvalues lie between {} and {}", one, least, most)
        told.append(fill("{}.", one))
    alt = "How levels of {} are related: a matrix, dark where they are close, and its eigenvalues by size."
    if table["largest"].isna().all():
        alt = "How levels of {} are related: histograms of the relationships of two levels and of each alone."
    return _words(join(" ", told), alt, _names(table["group"]))


def path(steps: pd.DataFrame) -> Words:
    """What the picture of the search shows."""
    numbers = Numbers("path", steps)
    way = numbers.told("The search came down by {gain} deviance units in {steps:step}")
    if numbers.facts["steps"] == 0:
        way = fill("The moment estimates that the search starts from are the optimum already")
    last = numbers.cell(len(steps) - 1, "decrement", 2)
    alt = "Two panels on a log scale: deviance above its end, and Newton decrement, by iteration."
    return _words(fill("{}; the last decrement is {}.", way, last), alt)


def effects(table: pd.DataFrame, level: float) -> Words:
    """What the caterpillar shows."""
    numbers = Numbers("effects", table)
    counts = [
        fill("{} of {} for {}", *(numbers.fact(f"{term}: {key}") for key in ("exclude zero", "levels")), term)
        for term in map(Name, table["term"].unique())
    ]
    return _words(
        fill("Predicted effects whose {} interval excludes zero: {}.", at_level(level), join(", ", counts)),
        "Predicted random effects in order of size with their intervals, {}.",
        counted(numbers.fact("terms"), "panel"),
    )


def influence(table: pd.DataFrame, summary: pd.DataFrame) -> Words:
    """What the picture of one grouping factor's levels left out shows.

    Args:
        table: Its rows in the table of influence, from that table's first one on.
        summary: The table of its summary.
    """
    numbers = Numbers("influence", table)
    group = str(table["group"].iloc[0])
    row = [*summary["group"]].index(group)
    one = "row" if group == "row" else "level"
    first = fill("{}{} has the largest Cook's distance, {}", "row " if group == "row" else "",
                 Name(str(table["level"].iloc[0])), numbers.cell(0, "cooks", 3))  # fmt: skip
    turned = int(table["answer"].astype(bool).sum())
    said = fill("the answer turns on no single {}", one)
    if turned:
        named: list[Part | MarkedText] = [
            Name(str(level)) for level in table.loc[table["answer"].astype(bool), "level"].iloc[:3]
        ]
        more = ["others"] if turned > 3 else []
        said = fill(
            "the answer turns on each of {}" if turned > 1 else "the answer turns on {}",
            listed([*named, *more]),
        )
    where = fill(" of {}", Name(group)) if group != "row" else MarkedText()
    units = cell_mark("influences", summary, row, "units", number(summary["units"].iloc[row]))
    return _words(
        fill("Among the {}s{}, {}; {}.", one, where, first, said),
        "Cook's distance of the {}s{} left out one by one, {} in all, and the estimate without each.",
        one,
        where,
        units,
    )


def effect_pairs(table: pd.DataFrame) -> Words:
    """What the scatter of predicted random effects shows."""
    numbers = Numbers("effect_pairs", table)
    r = {key.removesuffix(": straight"): value for key, value in numbers.facts.items() if key != "levels"}
    worst = min(r, key=lambda term: r[term] if r[term] == r[term] else 2.0)
    flat = [term for term in r if r[term] != r[term]]
    said = list[MarkedText]()
    if len(flat) < len(r):
        form = (
            "Against normal quantiles the predicted effects have a correlation of {}{}; 1 is a straight line."
        )
        several = fill(" or more, the least for {}", Name(worst)) if len(r) - len(flat) > 1 else ""
        one = fill(" for {}", Name(worst)) if flat else ""
        said.append(fill(form, numbers.fact(f"{worst}: straight", 3), several or one))
    if flat:
        said.append(fill("The predicted effects do not differ between the levels: {}.", _names(flat)))
    if len(r) - len(flat) > 1:
        said.append(fill("An ellipse holds nineteen of twenty effects under the estimated covariance."))
    return _words(
        join(" ", said),
        "Scatter of the predicted effects of {}: {}.",
        counted(numbers.fact("levels"), "level"),
        _names(r),
    )


def deviations(components: pd.DataFrame, units: Sequence[MarkedText]) -> Words:
    """What the picture of the standard deviations shows: those of one unit beside each other.

    Args:
        components: The table of components.
        units: What stands behind each standard deviation in it, in their order: ` ms per d`.
    """
    numbers = Numbers("components", components)
    rows = [row for row, second in enumerate(components["var2"]) if pd.isna(second)]
    alike: dict[MarkedText, list[int]] = {}
    for row, unit in zip(rows, units, strict=True):
        alike.setdefault(unit, []).append(row)
    said = [_of_one_unit(numbers, unit, some) for unit, some in alike.items()]
    each = zip(rows, units, strict=True)
    return {
        "caption": fill("Standard deviations (SD): {}.", join("; ", said)),
        "alt": join("; ", [_deviation(numbers, row, unit) for row, unit in each]),
    }


def _of_one_unit(numbers: Numbers, unit: MarkedText, rows: list[int]) -> MarkedText:
    values = numbers.table["sdcor"].iloc[rows]
    largest = rows[int(values.to_numpy().argmax())]
    if len(rows) == 1:
        return fill("SD of {}", _deviation(numbers, largest, unit))
    which = fill("of the SDs in{}", unit) if unit.parts else fill("of the SDs")
    equal = [row for row in rows if np.isclose(numbers.table["sdcor"].iloc[row], values.max(), rtol=EQUAL)]
    if len(equal) == len(rows):
        return fill("{} every one is {}{}", which, numbers.cell(largest, "sdcor"), unit)
    if len(equal) > 1:
        names = listed([Name(numbers.table["component"].iloc[row]) for row in equal])
        size = fill("{}{}", numbers.cell(largest, "sdcor"), unit)
        return fill("{} the largest, {}, is the same for {}", which, size, names)
    return fill("{} the largest is that of {}", which, _deviation(numbers, largest, unit))


def _deviation(numbers: Numbers, row: int, unit: MarkedText) -> MarkedText:
    name = Name(numbers.table["component"].iloc[row])
    return fill("{}, {}{}", name, numbers.cell(row, "sdcor"), unit)


def correlations(table: pd.DataFrame) -> Words:
    """What the heat maps show."""
    sizes = table["correlation"].abs().where(table["row"] != table["column"])
    if sizes.isna().all():
        return _words(fill("No term has two correlated columns."), "An empty picture.")
    row = int(sizes.fillna(-1).argmax())
    names = (Name(table[key].iloc[row]) for key in ("row", "column", "block"))
    strongest = Numbers("correlations", table).cell(row, "correlation", 3)
    return _words(
        fill("The strongest correlation, {}, is that of {} with {} ({}).", strongest, *names),
        "Heat maps of correlations: {}; figures in cells.",
        _names(table["block"].unique()),
    )


def cell_sds(table: pd.DataFrame, unit: str) -> Words:
    """What the picture of the residuals' standard deviations shows."""
    numbers, behind = Numbers("cell_sds", table), with_unit(unit)
    form = "lie between {least} and {most}{}"
    if numbers.fact("least").text == numbers.fact("most").text:
        form = "are {most}{} everywhere"
    end = "the farthest from its empirical value is {farthest:2%} off."
    alt = "Standard deviations of the residuals, fitted and empirical side by side, {cells:row}."
    return _words(
        numbers.told(f"The fitted standard deviations of the residuals {form}; {end}", behind),
        numbers.told(alt),
    )


def cell_correlations(table: pd.DataFrame) -> Words:
    """What the fitted and the empirical correlations of the residuals show."""
    told = Numbers("cell_correlations", table).told
    return _words(
        told(
            "The fitted correlations of a subject's residuals lie between {least:3} and {most:3}; the "
            "farthest from its empirical value is {farthest:3} off."
        ),
        told(
            "Two heat maps of the residuals' correlations, fitted and empirical, {pairs:pair}; figures in "
            "cells."
        ),
    )


def autocorrelation(table: pd.DataFrame, level: float) -> Words:
    """What the picture of the normalised residuals' autocorrelation shows."""
    numbers = Numbers("autocorrelation", table)
    told = numbers.told
    caption = (
        f"At {_some(numbers)} of {{lags:distance}} the autocorrelation of the normalised residuals lies "
        "outside the band that holds {} of such values where nothing is left."
    )
    alt = (
        "Autocorrelation of the normalised residuals at each of {lags:distance}, with a dashed band around "
        "zero."
    )
    return _words(told(caption, at_level(level)), told(alt))


def variogram(table: pd.DataFrame, level: float) -> Words:
    """What the picture of the normalised residuals' variogram shows."""
    numbers = Numbers("variogram", table)
    told = numbers.told
    caption = (
        f"At {_some(numbers)} of {{distances:distance}} the semivariance of the normalised residuals lies "
        "outside the band that holds {} of what independent noise on the same rows shows."
    )
    alt = "Semivariance of the normalised residuals at {distances:distance}, within a shaded band."
    return _words(told(caption, at_level(level)), told(alt))


def variance_curve(table: pd.DataFrame, followed: str, unit: str) -> Words:
    """What the picture of the variance function shows; `followed` is what the variance follows."""
    told = Numbers("variance_curve", table).told
    caption = (
        "The fitted standard deviation of the residuals goes from {first} to {last}{} along {}; the farthest "
        "from its empirical value is {farthest:2%} off."
    )
    alt = "Fitted and empirical standard deviations of the residuals in {slices:slice} along {}."
    return _words(told(caption, with_unit(unit), Name(followed)), told(alt, Name(followed)))


def structures(table: pd.DataFrame) -> Words:
    """What the picture of the residual structures shows."""
    numbers = Numbers("structures", table)
    best = table["structure"].iloc[int(table["aic"].fillna(float("inf")).argmin())]
    remarks = [_taken("structure", table.loc[table["chosen"], "structure"].iloc[0], best, "AIC")]
    low, high = numbers.fact("least estimate"), numbers.fact("most estimate")
    if low.value == low.value:
        quantity = Name(table["quantity"].dropna().iloc[0])
        form = "the estimates ({}) lie between {} and {}"
        if low.text == high.text:
            form = "the estimates ({}) are {} in each"
        remarks.append(fill(form, quantity, *([low] if low.text == high.text else [low, high])))
    if numbers.facts["failed"]:
        remarks.append(numbers.told("{failed:structure} could not be fitted"))
    alt = "Deviance, AIC and BIC of {structures:structure} as distances from the least."
    return _words(fill("{}.", join("; ", remarks)), numbers.told(alt))


def residuals(facts: dict[str, Any], outliers: pd.DataFrame) -> Words:
    """What the residual panels show: the farthest row, from the table of outlying rows; `residuals.json`."""

    def told(key: str, digits: int = 4) -> Mark:
        return Mark(facts[key], "residuals.json", key, number(facts[key], digits))

    numbers, groups = Numbers("outliers", outliers), outliers["groups"].iloc[0]
    some = fill(" {} of {} rows are drawn, evenly spaced.", told("drawn"), told("rows"))
    of = fill(" ({})", Name(groups)) if groups else MarkedText()
    return _words(
        fill(
            "The row farthest from its fitted value is row {}{}, with a residual of {} standard "
            "deviations.{}{}",
            numbers.cell(0, "row"),
            of,
            numbers.cell(0, "studentised", 3),
            some if facts["drawn"] < facts["rows"] else "",
            _in_the_band(facts.get("outside"), told),
        ),
        "Residuals against fitted values, against normal quantiles with an envelope, their spread, and boxes "
        "by group.",
    )


def _in_the_band(outside: int | None, told: Callable[[str], Mark]) -> MarkedText:
    """What the envelope of the quantiles says; nothing where there is none."""
    if outside is None:
        return MarkedText()
    if not outside:
        return fill(
            " The quantiles stay within the band that holds all of them in nineteen of twenty data "
            "sets of the model."
        )
    form = (
        " {} of the quantiles drawn {} the band that holds all of them in nineteen of twenty data sets of "
        "the model."
    )
    return fill(form, told("outside"), "leaves" if outside == 1 else "leave")


def check_curves(table: pd.DataFrame) -> Words:
    """What the curves with their envelopes show."""
    numbers = Numbers("check_curves", table)
    band = "leave their bands, each of which holds its whole curve"
    if numbers.facts["outside"] < 2:
        band = "leaves its band, which holds the whole curve"
    some = _some(numbers).capitalize()
    form = f"{some} of {{curves:curve}} {band} in nineteen of twenty data sets of the model."
    return _words(numbers.told(form), numbers.told("{curves:curve} of checks, each in a panel with a band."))


def forest(coefficients: pd.DataFrame, drawn: pd.DataFrame, level: float) -> Words:
    """What the picture of the coefficients shows, of which some are drawn."""
    clear = drawn.loc[excludes_zero(drawn), "coefficient"]
    return _words(
        fill(
            "The {} confidence interval excludes zero for {}.",
            at_level(level),
            join("; ", map(Name, clear)) if len(clear) else "none of the coefficients",
        ),
        "{} with intervals, beside the line of no effect.",
        counted(Numbers("coefficients", coefficients).fact("drawn"), "coefficient"),
    )


def climb(table: pd.DataFrame) -> Words:
    """What the picture of the algorithms' ways down shows."""
    slow = table.loc[~table["converged"], "algorithm"]
    limit = "its limit" if len(slow) == 1 else "their limits"
    names = listed(map(Name, slow))
    unfinished = fill("; {} did not converge within {}", names, limit) if len(slow) else ""
    numbers, end = Numbers("algorithms", table), "at one deviance"
    if numbers.facts["furthest above, of those converged"]:
        end = "within {furthest above, of those converged:2} deviance units of the lowest"
    form = (
        "{algorithms} algorithms, {fewest iterations} to {most iterations} iterations, one optimum: those "
        f"that converged end {end}{{}}."
    )
    return _words(
        numbers.told(form, unfinished),
        "Deviance above the lowest by iteration, both on a log scale, a line per algorithm.",
    )


def surface(names: list[str]) -> Words:
    """What the contours with the algorithms' paths show."""
    form = "The deviance over {} and {}, with the path of each algorithm to the same minimum."
    return _words(
        fill(form, *map(Name, names)),
        "Contours of the deviance with each algorithm's path from the common start to the optimum.",
    )


def means(table: pd.DataFrame, pairs: pd.DataFrame) -> Words:
    """What the picture of the marginal means shows."""
    caption, count = fill("There is one mean, and nothing to compare it with."), len(pairs)
    if count:
        numbers = Numbers("pairs", pairs)
        clear = numbers.facts["exclude zero"]
        form = (
            "Of {pairs:difference} between means {exclude zero} {} an interval, adjusted by Tukey's "
            "method, that "
        )
        caption = numbers.told(f"{form}excludes zero.", "has" if clear == 1 else "have")
        if not clear:
            caption = numbers.told(f"{form.replace('{exclude zero} {}', 'none has')}excludes zero.")
        if count == 1:
            said = "excludes" if clear else "does not exclude"
            caption = fill("The interval of the difference between the two means {} zero.", said)
    return _words(caption, "Marginal means with intervals: {}.", _names(table["cell"]))


def interactions(table: pd.DataFrame, unit: str) -> Words:
    """What the lines of means of factors that interact show."""
    numbers = Numbers("interactions", table)
    most, least = (int(numbers.facts[key]) for key in ("most row", "least row"))
    spans = [fill("{}{}", numbers.fact(key), with_unit(unit)) for key in ("most", "least")]
    lines = [Name(str(table["by"].iloc[row])) for row in (most, least)]
    form = (
        "Along {} the means lie farthest apart for {}, by {}, and least for {}, by {}; parallel lines would "
        "show no interaction."
    )
    return _words(
        fill(form, Name(str(table["group"].iloc[most])), lines[0], spans[0], lines[1], spans[1]),
        "Marginal means with intervals as {}, along {}.",
        counted(numbers.fact("lines"), "line"),
        _names(table["group"].unique()),
    )


def profile_zeta(table: pd.DataFrame) -> Words:
    """What the signed roots of the profiles show."""
    numbers = Numbers("profile_zeta", table)
    form = (
        "The least symmetric interval is that of {}: one half of it is {most:3} times as long as the other."
    )
    alt = (
        "Signed root of the profile deviance over the values of {parameters:parameter}, a panel "
        "each, with the "
        "interval's ends."
    )
    return _words(numbers.told(form, _parameter_at(numbers)), numbers.told(alt))


def _parameter_at(numbers: Numbers) -> Name:
    """The parameter at the place that the facts about a table name."""
    return Name(str(numbers.table["parameter"].drop_duplicates().iloc[numbers.facts["place"]]))


def interval_comparison(table: pd.DataFrame) -> Words:
    """What intervals by several methods show beside each other."""
    numbers, methods = Numbers("interval_comparison", table), _names(table["method"].unique())
    form = (
        "The lengths differ most for {}, where the longest interval is {most:3} times as long as the "
        "shortest."
    )
    alt = "Intervals of {parameters:parameter} by each method, a panel each: {}."
    return _words(numbers.told(form, _parameter_at(numbers)), numbers.told(alt, methods))


def shrinkage(table: pd.DataFrame, names: Sequence[str]) -> Words:
    """What the way from own estimates to the model's shows.

    Args:
        table: The table of shrinkage.
        names: The effects on its x and y; one where y is a place.
    """
    numbers = Numbers("shrinkage", table)
    ways = [
        fill("{} and {} for {}", numbers.fact(axis, 3), numbers.fact(f"{axis}_model", 3), Name(name))
        for axis, name in zip(("x", "y"), names, strict=False)
        if axis in numbers.facts
    ]
    said = [fill("Fewer than two levels have estimates of their own.")]
    if ways:
        form = "Estimates from own rows and those of the model have standard deviations between levels of {}."
        said = [fill(form, join(", and of ", ways))]
    if numbers.facts["without"]:
        lost = counted(numbers.fact("without"), "level")
        have = "has" if numbers.facts["without"] == 1 else "have"
        said.append(fill("{} {} too few rows for own estimates.", lost, have))
    return _words(
        join(" ", said),
        "Estimates of {} of {} from own rows alone, each with an arrow to what the model predicts: {}.",
        counted(numbers.fact("levels"), "level"),
        Name(str(table["group"].iloc[0])),
        _names(names),
    )


def dropout(table: pd.DataFrame) -> Words:
    """What the picture of who left when shows."""
    numbers = Numbers("dropout", table)
    have = ["has" if numbers.facts[key] == 1 else "have" for key in ("complete", "without the last")]
    form = (
        "{complete} of {subjects:subject} {} a response at every visit; {without the last} {} none at "
        "the last."
    )
    alt = (
        "Grid of {patterns:pattern} of visits, dark where the response is missing, with a bar of "
        "subjects for each arm."
    )
    return _words(numbers.told(form, *have), numbers.told(alt))


def assumptions(table: pd.DataFrame) -> Words:
    """What the picture of the answer under assumptions about missing responses shows."""
    numbers = Numbers("reference_based", table)
    rows, clear = numbers.facts["rows"], numbers.facts["clear"]
    which = f"{{clear}} of them {'excludes' if clear == 1 else 'exclude'} zero"
    if clear in (0, rows):
        which = "all exclude zero" if clear else "none excludes zero"
    form = f"The estimates lie between {{least}} and {{largest}}; of their {{rows:interval}}, {which}."
    alt = "Estimates with intervals by assumption and method, {rows} in all."
    return _words(numbers.told(form), numbers.told(alt))


def tipping(table: pd.DataFrame, facts: dict[str, Any], unit: str) -> Words:
    """What the picture of the tipping point shows, from its table and `tipping_point.json`.

    Args:
        table: The table.
        facts: What the JSON file has of it.
        unit: Of the response.
    """

    def told(key: str, digits: int = 3) -> Mark:
        return Mark(facts[key], "tipping_point.json", f"facts/{key}", number(facts[key], digits))

    numbers = Numbers("tipping_point", table)
    noun, verb = ("response", "is") if facts["shifted"] == 1 else ("responses", "are")
    whose = fill(" of {}", listed(map(Name, facts["of"]))) if facts["of"] else ""
    shifted = fill("{} imputed {}{} {} shifted", told("shifted"), noun, whose, verb)
    said = fill(
        "The conclusion does not turn when {} by up to {}{} either way.",
        shifted,
        told("reach"),
        with_unit(unit),
    )
    if table["turns"].iloc[0]:
        form = "The conclusion turns when {} by {}{}, {} standard deviations of a response."
        tip, sds = (numbers.cell(0, name, 3) for name in ("tip", "tip_sds"))
        said = fill(form, shifted, tip, with_unit(unit), sds)
    return _words(said, "Estimate with its interval over the shift of imputed responses.")
