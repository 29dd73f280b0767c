"""The report: one self-contained HTML page, every number of which stands in a file of the run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from lmmkit.model.report_tables.report_table import ReportTable, Rounding
from lmmkit.study.pages import templates
from lmmkit.study.pages.marks import Mark, MarkedText, Name, capital
from lmmkit.study.pages.read_page import RECORD
from lmmkit.study.pages.seen_names import NO_LABELS, Labels
from lmmkit.study.records.artifacts import plain
from lmmkit.study.records.manifest import ROOT, load_manifest
from lmmkit.study.records.plan_lock import LOCK, deviation_lines
from lmmkit.study.report import paragraphs
from lmmkit.study.report.answer import answer, method, spread
from lmmkit.study.report.findings import checks_in_words, influence_in_words, serious
from lmmkit.study.report.mathml import model_equations
from lmmkit.study.report.numbers import TABLES, Files
from lmmkit.study.report.pasted import results_in_words
from lmmkit.study.report.references import bibliography
from lmmkit.study.report.seen import Seen, of_study
from lmmkit.study.steps.step import Step

LONGEST = 30  # rows of a table on the page; its file has all of them
#: Columns that name a method: where every row has the same one, the caption says it.
METHODS = ("method", "interval", "adjusted")

Printed = Mark | Name | str


@dataclass(frozen=True)
class PrintedTable:
    """A table as the page shows it.

    Attributes:
        caption: What it shows, in a sentence.
        file: The file of the run that it is read from.
        head: Titles of the columns.
        rows: Cells; the first of each row names it.
        left: Rows that the file has beyond those shown.
        alike: Titles of the columns left out because every row has one method, and that method.
    """

    caption: str
    file: str
    head: list[str]
    rows: list[list[Printed]]
    left: int
    alike: list[tuple[str, Printed]]

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds numbers."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.head)
        return [any(isinstance(cell, Mark) and not cell.is_text for cell in column) for column in columns]


def render_report(step: Step) -> str:
    """The report of a run as HTML.

    Args:
        step: The step that writes it; the earlier steps are read.
    """
    files, fit, labels = Files(step), step.fit(), step.labels()
    named = labels.with_names(files.table("names"))
    seen = of_study(fit.design, step.schema(), labels)
    return templates.render(
        "report.html",
        title=step.title,
        answer=answer(files, fit.design, labels),
        spread=spread(files, fit.design, labels),
        findings=serious(files, seen),
        checks=checks_in_words(files, seen),
        influence=influence_in_words(files, seen),
        gaps=paragraphs.missing_in_words(files, seen),
        about_gaps=paragraphs.missing_in_detail(files),
        about_tests=paragraphs.tests_in_words(files, seen),
        in_words=[*map(capital, paragraphs.model_in_words(files, seen))],
        results=results_in_words(files, seen),
        methods=paragraphs.methods_in_words(files, seen),
        works=bibliography(files),
        method=method(files),
        equations=model_equations(fit.design, labels),
        design=fit.design,
        prose=_Prose(named),
        files=files,
        as_name=Name,
        tables={name: printed_table(files, TABLES[name], named) for name in printed_names(step)},
        figures={figure.name: figure for figure in step.figures()},
        code=step.code(),
        deviations=deviation_lines(step.folder),
        embedded=embedded(step),
        has_root=bool(step.list(ROOT)),
        posterior=_posterior(files, seen),
    )


def _posterior(files: Files, seen: Seen) -> list[MarkedText]:
    """The paragraphs about the posterior; none where the study does not ask for it."""
    if files.json("study.json")["posterior"] is None:
        return []
    from lmmkit.study.report.posterior_words import posterior_in_words

    return posterior_in_words(files, seen)


@dataclass(frozen=True)
class _Prose:
    """The paragraphs, with the names in them as readers see them."""

    labels: Labels

    def __getattr__(self, name: str) -> Any:
        written: Any = getattr(paragraphs, name)
        if not callable(written):
            return written

        def told(*about: Any) -> Any:
            said: Any = written(*about)
            if isinstance(said, str):
                return said
            return self.labels.told(said) if isinstance(said, MarkedText) else [*map(self.labels.told, said)]

        return told


def printed_names(step: Step) -> list[str]:
    """The tables of a run that have a title, in the order in which they are declared."""
    there = {PurePosixPath(path).stem for path in step.list("tables/*.csv")}
    return [name for name, table in TABLES.items() if table.title and name in there]


def printed_table(files: Files, table: ReportTable, labels: Labels = NO_LABELS) -> PrintedTable:
    """A table of the run with the columns that are printed, its first rows, names as readers see them."""
    length = len(files.table(table.name))
    alike = _alike(files.table(table.name)) & table.columns.keys()
    kept = [name for name in table.columns if name not in alike]
    heads = dict(zip(table.columns, table.head(), strict=True))

    def cell(row: int, name: str) -> Printed:
        return _cell(files, table.name, row, name, table.rounding(name), labels)

    rows = [[cell(row, name) for name in kept] for row in range(min(length, LONGEST))]
    methods = [(heads[name], cell(0, name)) for name in heads if name in alike]
    head = [heads[name] for name in kept]
    return PrintedTable(
        table.title, f"tables/{table.name}.csv", head, rows, max(0, length - LONGEST), methods
    )


def _alike(table: pd.DataFrame) -> set[str]:
    """Columns in which every row has the same method."""
    return {
        name for name in METHODS if name in table and table[name].notna().all() and table[name].nunique() == 1
    }


def _cell(files: Files, name: str, row: int, column: str, rounding: Rounding, labels: Labels) -> Printed:
    """A cell bound to its place, text where it has digits too; nothing where the file has nothing."""
    value = files.table(name)[column].iloc[row]
    if pd.isna(value):
        return ""
    if isinstance(value, str) and labels.cell(column, value) != value:
        return Name(labels.cell(column, value))
    if isinstance(value, str) and not any(map(str.isdigit, value)):
        return value
    return files.cell(name, row, column, rounding)


def embedded(step: Step) -> str:
    """A block of data for the report: the study, where its numbers come from, digests of the earlier files.

    The block is JSON and is never executed; nothing in it can end it. `read_page.extract` reads it.
    """
    manifest, lock = load_manifest(step.folder), step.folder / LOCK
    later = step.plan.since(step.name)
    before = [record for record in manifest.steps if record.step not in later] if manifest else []
    record: dict[str, Any] = {
        "schema": 1,
        "settings": step.plan.study.resolved(),
        "provenance": step.provenance(),
        "lock": lock.read_text(encoding="utf-8") if lock.exists() else None,
        "files": {file.path: file.sha256 for record in before for file in record.files},
    }
    text = json.dumps(plain(record), ensure_ascii=True).replace("<", r"\u003c").replace(">", r"\u003e")
    return f'<script type="application/json" id="{RECORD}">{text}</script>'
