"""Captions that state what a picture shows, and the words that stand for it, from the tables behind it."""

from __future__ import annotations

from typing import Any, TypedDict

import pandas as pd

from lmmkit.model.report_tables.about_data import axis_label
from lmmkit.model.report_tables.panels import PanelChoice


class Words(TypedDict):
    """The words of one picture, as `Step.save_figure` takes them."""

    caption: str
    alt: str


def number(value: float, digits: int = 4) -> str:
    """A number in running text, to so many significant digits.

    >>> number(2972), number(298.5079), number(0.00001234), number(12345.678)
    ('2,972', '298.5', '1.234e-05', '12,346')
    """
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def counted(count: int, noun: str) -> str:
    """A count with its noun, in the plural unless it is one.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def extreme(table: pd.DataFrame, values: pd.Series[Any]) -> dict[str, Any]:
    """The row of a table where a series along its rows is largest."""
    return {str(key): value for key, value in table.iloc[int(values.argmax())].to_dict().items()}


def unit_of(columns: pd.DataFrame, name: str) -> str:
    """The unit of a column in the table of columns, or nothing."""
    units = columns.loc[columns["column"] == name, "unit"].fillna("")
    return str(units.iloc[0]) if len(units) else ""


def label_of(columns: pd.DataFrame, name: str) -> str:
    """Axis text of a column: its name with its unit."""
    return axis_label(name, unit_of(columns, name))


def response(columns: pd.DataFrame, name: str) -> Words:
    """What the histogram of the response shows."""
    row = columns.loc[columns["column"] == name].iloc[0]
    low, lower, median, upper, high = (number(row[key]) for key in ("min", "lower", "median", "upper", "max"))
    unit = f" {row['unit']}" if row["unit"] else ""
    above, below = row["max"] - row["median"], row["median"] - row["min"]
    long = max(above, below) > 1.5 * min(above, below)
    shape = (
        f"with the longer tail {'above' if above > below else 'below'}"
        if long
        else "with tails of like length"
    )
    return {
        "caption": f"{name} runs from {low} to {high}{unit} around a median of {median}{unit}, {shape}; "
        f"half of the rows lie between {lower} and {upper}{unit}.",
        "alt": f"Histogram of {name}, its median marked by a dashed line and its middle half shaded.",
    }


def missing(patterns: pd.DataFrame) -> Words:
    """What the picture of missing values shows."""
    holes = patterns.drop(columns="rows")
    total, broken = int(patterns["rows"].sum()), int(patterns.loc[holes.any(axis=1), "rows"].sum())
    caption = f"All {counted(total, 'row')} are complete: no value is missing."
    if broken:
        lost = holes.mul(patterns["rows"], axis=0).sum()
        caption = (
            f"{broken:,} of {counted(total, 'row')} lack a value, most often that of {lost.idxmax()} "
            f"({counted(int(lost.max()), 'row')})."
        )
    return {
        "caption": caption,
        "alt": f"Grid of {counted(len(patterns), 'pattern')} by {len(holes.columns)} columns; dark squares "
        "mark what is missing.",
    }


def groups(balance: pd.DataFrame) -> Words:
    """What the picture of group sizes shows."""
    return {
        "caption": "; ".join(_group(row) for row in balance.to_dict("records")) + ".",
        "alt": f"How many levels have how many rows, one panel for each of {', '.join(balance['group'])}.",
    }


def _group(row: dict[Any, Any]) -> str:
    levels = f"{row['group']} has {counted(row['levels'], 'level')}"
    if row["balanced"]:
        return f"{levels} with {counted(row['least'], 'row')} each"
    return f"{levels} with {row['least']:,} to {row['most']:,} rows, {number(row['median'])} in the middle"


def panels(points: pd.DataFrame, choice: PanelChoice, levels: int) -> Words:
    """What the panels by group show, and how many of the groups they are."""
    pair, shown = f"{choice.y} against {choice.x}", points["panel"].nunique()
    every = f"all {counted(levels, 'level')} of {choice.group}" if choice.group else "all rows together"
    some = f"{shown} of {counted(levels, 'level')} of {choice.group}, evenly spaced in their order"
    fitted = " with the model's lines" if "fitted" in points else ""
    return {
        "caption": f"{pair}{fitted}, for {every if shown == levels else some}.",
        "alt": f"{counted(shown, 'small panel')} of {pair}, one point per row{fitted}.",
    }


def candidates(table: pd.DataFrame, criterion: str) -> Words:
    """What the picture of the candidates shows."""
    best = extreme(table, -table[f"d_{criterion}"].fillna(float("inf")))["candidate"]
    chosen = table.loc[table["chosen"], "candidate"].iloc[0]
    singular = int(table["singular"].sum())
    failed = int((table["error"].fillna("") != "").sum())
    remarks = [
        f"{chosen} is taken; the least {criterion.upper()} is that of {best}",
        f"{counted(singular, 'candidate')} of {len(table)} came out singular" if singular else "",
        f"{counted(failed, 'candidate')} could not be fitted" if failed else "",
    ]
    return {
        "caption": "; ".join(filter(None, remarks)) + ".",
        "alt": f"Deviance, AIC and BIC of {counted(len(table), 'candidate')} as distances from the least.",
    }


def blocks(parts: pd.DataFrame) -> Words:
    """What the picture of the design matrix shows."""
    filled = parts["entries"].sum() / (parts["rows"] * parts["columns"]).sum()
    return {
        "caption": f"[X Z] has {counted(int(parts['columns'].sum()), 'column')}; "
        f"{number(100 * filled, 3)} % of its entries are not zero.",
        "alt": f"The design matrix, dark where it has entries, in parts: {', '.join(parts['part'])}.",
    }


def path(steps: pd.DataFrame) -> Words:
    """What the picture of the search shows."""
    gain = float(steps["deviance"].iloc[0] - steps["deviance"].iloc[-1])
    way = f"The search came down by {number(gain)} deviance units in {counted(len(steps) - 1, 'step')}"
    if len(steps) == 1:
        way = "The moment estimates that the search starts from are the optimum already"
    return {
        "caption": f"{way}; the last decrement is {number(steps['decrement'].iloc[-1], 2)}.",
        "alt": "Two panels on a log scale: deviance above its end, and Newton decrement, by iteration.",
    }


def effects(table: pd.DataFrame, level: float) -> Words:
    """What the caterpillar shows."""
    clear = (table["low"] > 0) | (table["high"] < 0)
    by_term = clear.groupby(table["term"], sort=False).agg(["sum", "size"])
    counts = [f"{row['sum']:,} of {row['size']:,} for {term}" for term, row in by_term.iterrows()]
    return {
        "caption": f"{number(100 * level)} % intervals that exclude zero: {', '.join(counts)}.",
        "alt": f"Predicted random effects in order of size with their intervals, {len(by_term)} panels.",
    }


def effect_pairs(table: pd.DataFrame) -> Words:
    """What the scatter of predicted random effects shows."""
    terms = [str(name) for name in table.columns if name != "level" and not str(name).startswith("normal:")]
    r = [float(table[term].corr(table[f"normal:{term}"])) for term in terms]
    worst = min(zip(r, terms, strict=True), key=lambda pair: pair[0] if pair[0] == pair[0] else 2.0)
    return {
        "caption": f"With normal quantiles the predicted effects correlate at {number(worst[0], 3)} or more, "
        f"least for {worst[1]}; 1 is a straight line.",
        "alt": f"Scatter of the predicted effects of {counted(len(table), 'level')}: {', '.join(terms)}.",
    }


def deviations(table: pd.DataFrame, unit: str) -> Words:
    """What the picture of the standard deviations shows."""
    largest = extreme(table, table["sd"])
    unit = f" {unit}" if unit else ""
    return {
        "caption": f"The largest standard deviation is that of {largest['component']}, "
        f"{number(largest['sd'])}{unit}.",
        "alt": "; ".join(f"{row['component']} {number(row['sd'])}{unit}" for row in table.to_dict("records")),
    }


def correlations(table: pd.DataFrame) -> Words:
    """What the heat maps show."""
    pairs = table[table["row"] != table["column"]].dropna()
    if pairs.empty:
        return {"caption": "No term has two correlated columns.", "alt": "An empty picture."}
    row = extreme(pairs, pairs["correlation"].abs())
    return {
        "caption": f"The strongest correlation, {number(row['correlation'], 3)}, is that of {row['row']} "
        f"with {row['column']} ({row['block']}).",
        "alt": f"Heat maps of correlations: {', '.join(dict.fromkeys(table['block']))}; figures in cells.",
    }


def residuals(facts: dict[str, Any], points: pd.DataFrame) -> Words:
    """What the residual panels show."""
    drawn = f" ({len(points):,} rows drawn, evenly spaced)" if len(points) < facts["rows"] else ""
    return {
        "caption": f"{facts['beyond_2']:,} of {facts['rows']:,} standardised residuals lie beyond 2, where a "
        f"normal distribution would have {number(facts['expected_beyond_2'], 3)}; the largest is "
        f"{number(facts['largest'], 3)}{drawn}.",
        "alt": "Residuals against fitted values, against normal quantiles, their spread, and boxes by group.",
    }


def forest(table: pd.DataFrame, level: float) -> Words:
    """What the picture of the coefficients shows."""
    clear = [row["coefficient"] for row in table.to_dict("records") if row["low"] > 0 or row["high"] < 0]
    which = ", ".join(clear) if clear else "no coefficient"
    return {
        "caption": f"The {number(100 * level)} % interval excludes zero for {which}.",
        "alt": f"{counted(len(table), 'coefficient')} with intervals, beside the line of no effect.",
    }


def climb(table: pd.DataFrame) -> Words:
    """What the picture of the algorithms' ways down shows."""
    apart = float(table.loc[table["converged"], "above"].max())
    fewest, most = table["iterations"].min(), table["iterations"].max()
    slow = [str(name) for name in table.loc[~table["converged"], "algorithm"]]
    unfinished = f"; {', '.join(slow)} did not converge within its limit" if slow else ""
    return {
        "caption": f"{len(table)} algorithms, {fewest:,} to {most:,} iterations, one optimum: those that "
        f"converged end within {number(apart, 2)} deviance units of the lowest{unfinished}.",
        "alt": "Deviance above the lowest by iteration, both on a log scale, a line per algorithm.",
    }


def surface(names: list[str]) -> Words:
    """What the contours with the algorithms' paths show."""
    return {
        "caption": f"All algorithms walk down one surface, over {names[0]} and {names[1]}, to one point.",
        "alt": "Contours of the deviance with each algorithm's path from the common start to the optimum.",
    }


def means(table: pd.DataFrame, pairs: pd.DataFrame) -> Words:
    """What the picture of the marginal means shows."""
    clear = (pairs["low"] > 0) | (pairs["high"] < 0)
    found = "There is one mean, and nothing to compare it with."
    if len(pairs):
        found = (
            f"{clear.sum():,} of {counted(len(pairs), 'difference')} of means "
            f"{'has' if clear.sum() == 1 else 'have'} an interval, adjusted by Tukey's method, that excludes "
            "zero."
        )
    return {"caption": found, "alt": f"Marginal means with intervals: {', '.join(table['cell'])}."}
