"""The report: one self-contained HTML page, every number of which stands in a file of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lmmkit.study.pages import templates
from lmmkit.study.records.plan_lock import deviation_lines
from lmmkit.study.report import paragraphs as prose
from lmmkit.study.report.answer import answer, method
from lmmkit.study.report.embedded import embedded
from lmmkit.study.report.mathml import model_equations
from lmmkit.study.report.numbers import Bound, Files, decimals_for
from lmmkit.study.steps.figures import Figure
from lmmkit.study.steps.step import Step

SIZED = 4  # significant digits of a standard deviation between groups
LONGEST = 30  # rows of a table on the page; its file has all of them
Cell = Callable[[Files, str, int, str], Any]


@dataclass(frozen=True)
class Page:
    """A table as the page shows it.

    Attributes:
        caption: What it shows, in a sentence.
        file: The file of the run that it is read from.
        head: Titles of the columns.
        rows: Cells; the first of each row names it.
        left: Rows that the file has beyond those shown.
    """

    caption: str
    file: str
    head: list[str]
    rows: list[list[Any]]
    left: int

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds numbers."""
        return [any(isinstance(row[i], Bound) for row in self.rows) for i in range(len(self.head))]


def render_report(step: Step) -> str:
    """The report of a run as HTML.

    Args:
        step: The step that writes it; the earlier steps are read.
    """
    files, fit = Files(step), step.fit()
    return templates.render(
        "report.html",
        title=step.title,
        answer=answer(files, fit.design, step.settings.report.focus),
        method=method(files),
        equations=model_equations(fit.design),
        formula=fit.formula,
        design=fit.design,
        prose=prose,
        files=files,
        tables=_tables(files),
        figures={figure.name: figure for figure in step.figures()},
        picture=picture,
        summary=files.json("summary.json"),
        certificate=files.json("certificate.json"),
        code=step.code(),
        provenance=files.json("provenance.json"),
        deviations=deviation_lines(step.folder),
        embedded=embedded(step),
    )


def picture(figure: Figure) -> str:
    """A picture as an address that holds the picture itself."""
    kind = "svg+xml" if figure.path.suffix == ".svg" else "png"
    return templates.image_address(figure.path.read_bytes(), kind)


def _tables(files: Files) -> dict[str, Page]:
    return {name: _page(files, name, *spec) for name, spec in TABLES.items()}


def _page(files: Files, name: str, caption: str, columns: Mapping[str, str | tuple[str, Cell]]) -> Page:
    table = files.table(name)
    titles = [spec if isinstance(spec, str) else spec[0] for spec in columns.values()]
    makers = {key: _plain if isinstance(spec, str) else spec[1] for key, spec in columns.items()}
    rows = [
        [make(files, name, row, key) for key, make in makers.items()]
        for row in range(min(len(table), LONGEST))
    ]
    return Page(caption, f"tables/{name}.csv", titles, rows, max(0, len(table) - LONGEST))


def _plain(files: Files, name: str, row: int, column: str) -> Any:
    """A cell as it is: numbers bound to their place, text as text."""
    value = files.table(name)[column].iloc[row]
    if isinstance(value, str) or pd.isna(value):
        return value if isinstance(value, str) else ""
    return files.cell(name, row, column)


def _trusted(files: Files, name: str, row: int, column: str) -> Any:
    """A number to the digits that its standard error and the certificate support."""
    error = float(files.table(name)["se"].iloc[row])
    return files.cell(name, row, column, decimals_for(error, files.trusted))


def _fixed(decimals: int) -> Cell:
    def cell(files: Files, name: str, row: int, column: str) -> Any:
        value = files.table(name)[column].iloc[row]
        return "" if pd.isna(value) else files.cell(name, row, column, decimals)

    return cell


def _sized(files: Files, name: str, row: int, column: str) -> Any:
    """A standard deviation to four digits, its bounds to the same decimals; a correlation to three."""
    table = files.table(name)
    if pd.isna(table[column].iloc[row]):
        return ""
    correlation = isinstance(table["var2"].iloc[row], str)
    size = abs(float(table["sdcor"].iloc[row]))
    return files.cell(name, row, column, 3 if correlation else decimals_for(size, SIZED))


def _probability(files: Files, name: str, row: int, column: str) -> Any:
    return "" if pd.isna(files.table(name)[column].iloc[row]) else files.probability(name, row, column)


def _short(files: Files, name: str, row: int, column: str) -> Any:
    """A number whose size alone matters."""
    cell = files.cell(name, row, column)
    return type(cell)(cell.value, cell.file, cell.place, f"{cell.value:.1e}".replace("-", "\N{MINUS SIGN}"))


TABLES: dict[str, tuple[str, dict[str, str | tuple[str, Cell]]]] = {
    "dropped": (
        "Rows of the input by what became of them.",
        {"status": "Status", "reason": "Reason", "rows": "Rows"},
    ),
    "columns": (
        "Columns that the study uses, over the rows kept.",
        {
            "column": "Column",
            "role": "Role",
            "type": "Type",
            "unit": "Unit",
            "distinct": "Distinct values",
            "min": "Minimum",
            "median": "Median",
            "max": "Maximum",
        },
    ),
    "balance": (
        "Grouping factors: levels, and rows in a level.",
        {
            "group": "Group",
            "levels": "Levels",
            "least": "Fewest rows",
            "median": "Median",
            "most": "Most rows",
        },
    ),
    "relations": (
        "How the grouping factors relate.",
        {"relation": "Relation", "pairs": "Pairs that occur", "possible": "Pairs possible"},
    ),
    "candidates": (
        "Every candidate, with the reason why it was taken or not.",
        {
            "candidate": "Random effects",
            "npar": "Parameters",
            "deviance": ("Deviance", _fixed(2)),
            "aic": ("AIC", _fixed(2)),
            "bic": ("BIC", _fixed(2)),
            "reason": "Reason",
        },
    ),
    "comparisons": (
        "Likelihood ratio tests of the model chosen against the candidates that it contains, or is within.",
        {
            "candidate": "Random effects",
            "relation": "Relation",
            "stat": ("Likelihood ratio", _fixed(2)),
            "df": "Parameters between",
            "p": ("p", _probability),
            "reference": "Reference distribution",
            "note": "Note",
        },
    ),
    "coefficients": (
        "Fixed effects with standard errors, tests of zero and intervals.",
        {
            "coefficient": "Coefficient",
            "estimate": ("Estimate", _trusted),
            "se": ("SE", _trusted),
            "df": "df",
            "t": ("Statistic", _fixed(2)),
            "p": ("p", _probability),
            "low": ("Low", _trusted),
            "high": ("High", _trusted),
            "method": "SE and df by",
            "interval": "Interval by",
        },
    ),
    "anova": (
        "F tests of the terms of the fixed part, type III.",
        {
            "term": "Term",
            "num_df": "df",
            "den_df": "Denominator df",
            "F": ("F", _fixed(2)),
            "p": ("p", _probability),
            "method": "F and df by",
        },
    ),
    "means": (
        "Marginal means: other factors averaged with equal weights, covariates at their means.",
        {
            "cell": "Level",
            "mean": ("Mean", _trusted),
            "se": ("SE", _trusted),
            "df": "df",
            "low": ("Low", _trusted),
            "high": ("High", _trusted),
            "method": "SE and df by",
        },
    ),
    "pairs": (
        "Differences of the marginal means, p and interval adjusted for all of a family.",
        {
            "contrast": "Difference",
            "estimate": ("Estimate", _trusted),
            "se": ("SE", _trusted),
            "df": "df",
            "t": ("t", _fixed(2)),
            "p": ("p", _probability),
            "low": ("Low", _trusted),
            "high": ("High", _trusted),
            "method": "SE and df by",
            "adjusted": "Adjusted by",
        },
    ),
    "components": (
        "Variances and covariances; standard deviations and correlations with intervals.",
        {
            "component": "Component",
            "vcov": "Variance or covariance",
            "sdcor": ("SD or correlation", _sized),
            "low": ("Low", _sized),
            "high": ("High", _sized),
            "interval": "Interval by",
        },
    ),
    "shares": (
        "Shares of variance: what fixed and random effects explain, how alike members of a group are.",
        {
            "share": "Share",
            "estimate": ("Estimate", _fixed(3)),
            "low": ("Low", _fixed(3)),
            "high": ("High", _fixed(3)),
            "definition": "Definition",
        },
    ),
    "algorithms": (
        "The same model by several algorithms, all from one uninformed start.",
        {
            "algorithm": "Algorithm",
            "deviance": ("Deviance", _fixed(6)),
            "above": ("Above the lowest", _short),
            "iterations": "Iterations",
            "evaluations": "Evaluations",
            "converged": "Converged",
            "method": "Method",
        },
    ),
    "certificate": (
        "Checks of the fit: what was found, what is allowed, the verdict.",
        {
            "check": "Check",
            "value": ("Found", _short),
            "threshold": ("Allowed", _short),
            "verdict": "Verdict",
        },
    ),
}
