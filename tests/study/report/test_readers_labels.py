"""Labels of columns and levels stand where a reader sees their names; files of the run keep the names."""

from __future__ import annotations

import pandas as pd
import pytest
from support.report_files import report_files

from lmmkit.plots import forest, means
from lmmkit.study.pages.marks import Mark, Name, fill
from lmmkit.study.pages.seen_names import NO_LABELS, labels_of
from lmmkit.study.report import captions
from lmmkit.study.report.numbers import TABLES
from lmmkit.study.report.render import printed_table

LABELS = labels_of(
    {
        "dose": {"label": "Dose of the drug"},
        "arm": {"label": "Treatment", "labels": {"p": "Placebo", "v1": "Verum 1"}},
        "site": {"label": None, "labels": {"1": "Rome"}},
        "y": {},
    }
)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("dose", "Dose of the drug"),
        ("y", "y"),
        ("overdose", "overdose"),
        ("dose.x", "dose.x"),
        ("log(dose)", "log(Dose of the drug)"),
        ("arm[T.v1]", "Treatment: Verum 1"),
        ("arm[T.q]", "Treatment: q"),
        ("dose:arm[T.v1]", "Dose of the drug:Treatment: Verum 1"),
        ("arm: p - v1", "Treatment: Placebo - Verum 1"),
        ("site:arm: Intercept", "site:Treatment: Intercept"),
        ("arm: dose", "Treatment: Dose of the drug"),
        ("site: 1", "site: Rome"),
        ("arm: p less v1", "Treatment: Placebo less Verum 1"),
        ("arm within site: p - v1, 1", "Treatment within site: Placebo - Verum 1, Rome"),
        (
            "site within arm and dose: 1, v1, 2",
            "site within Treatment and Dose of the drug: Rome, Verum 1, 2",
        ),
        ("(dose | arm)", "(dose | arm)"),
        ("y ~ dose", "y ~ dose"),
    ],
)
def test_names_made_of_names_are_seen_by_their_labels(name, seen):
    assert LABELS.of(name) == seen
    assert NO_LABELS.of(name) == name
    assert str(LABELS.told(fill("{} {}", Name(name), Mark(1, "a.json", "dose", "dose")))) == f"{seen} dose"


def test_levels_in_tables_for_pictures_are_those_of_their_group():
    table = pd.DataFrame({"group": ["site", "arm:site"], "level": ["1", "p:1"], "estimate": [1.0, 2.0]})
    assert LABELS.shown(table)["level"].tolist() == ["Rome", "Placebo:Rome"]
    points = pd.DataFrame({"panel": ["1", "2"], "x": ["p", "v1"], "y": [1.0, 2.0]})
    assert LABELS.shown(points, panel="site", x="arm")["panel"].tolist() == ["Rome", "2"]
    assert LABELS.shown(points, panel="site", x="arm")["x"].tolist() == ["Placebo", "Verum 1"]
    assert list(LABELS.headed(pd.DataFrame({"rows": [1], "dose": [2]}))) == ["rows", "Dose of the drug"]


def coefficients():
    bounds = {"low": [0.1, -1.0], "high": [2.0, 1.0], "se": [0.5, 0.5], "df": [9.0, 9.0], "t": [2.0, 0.0]}
    rest = {
        "p": [0.04, 1.0],
        "method": ["satterthwaite"] * 2,
        "interval": ["Wald"] * 2,
        "estimate": [1.0, 0.0],
    }
    return pd.DataFrame({"coefficient": ["dose", "arm[T.v1]"], **bounds, **rest})


def test_printed_tables_and_pictures_say_labels_and_their_files_names():
    table = coefficients()
    files = report_files(coefficients=table, certificate={"digits": 8})
    printed = printed_table(files, TABLES["coefficients"], LABELS)
    assert [str(row[0]) for row in printed.rows] == ["Dose of the drug", "Treatment: Verum 1"]
    assert next(cell for cell in printed.rows[0] if isinstance(cell, Mark)).place == "dose.estimate"
    (drawn,) = forest(LABELS.shown(table), label="Change")
    assert [text.get_text() for text in drawn.get_yticklabels()] == ["Dose of the drug", "Treatment: Verum 1"]
    cells = pd.DataFrame(
        {"cell": ["arm: p", "arm: v1"], "family": "arm", "mean": [1.0, 2], "low": 0.0, "high": 3.0}
    )
    (panel,) = means(LABELS.shown(cells), label="Mean").flat
    assert [text.get_text() for text in panel.get_yticklabels()] == ["Placebo", "Verum 1"]


def test_axes_are_called_by_labels_with_units():
    columns = pd.DataFrame({"column": ["dose", "y"], "unit": ["mg", None]})
    assert captions.label_of(columns, "dose", LABELS) == "Dose of the drug (mg)"
    assert captions.label_of(columns, "dose") == "dose (mg)"
    assert captions.label_of(columns, "y", LABELS) == "y"


def test_fixed_words_of_tables_are_no_names():
    labels = labels_of({"method": {"label": "Way"}, "Wald": {"label": "W"}})
    assert labels.cell("interval", "Wald") == "Wald"
    assert labels.cell("coefficient", "Wald") == "W"
