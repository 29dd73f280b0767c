"""Labels of columns and levels stand where a reader sees their names; files of the run keep the names."""

from __future__ import annotations

import pandas as pd
import pytest
from support.report_files import report_files, seen

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
        "place": {"label": "Place of the dose", "labels": {"low, at night": "dark"}},
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
        ("arm: p less v1, at site 1", "Treatment: Placebo less Verum 1, at site Rome"),
        ("arm: v1 less p, at z 3", "Treatment: Verum 1 less Placebo, at z 3"),
        (
            "arm: v1 less p, at z 3, at dose 2",
            "Treatment: Verum 1 less Placebo, at z 3, at Dose of the drug 2",
        ),
        ("slope of dose, at arm v1", "slope of Dose of the drug, at Treatment Verum 1"),
        ("slope of y, at place low, at night", "slope of y, at Place of the dose dark"),
        ("place: low, at night less day", "Place of the dose: dark less day"),
        ("place: day less low, at night, at arm p", "Place of the dose: day less dark, at Treatment Placebo"),
        ("place: low, at night - day", "Place of the dose: dark - day"),
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


@pytest.mark.parametrize(
    ("formula", "name", "called"),
    [
        ("y ~ f", "f[T.v]", "f: v against u"),
        ("y ~ x * f", "x:f[T.v]", "x × f (v against u)"),
        ("y ~ f * k", "f[T.v]:k[T.q]", "f (v against u) × k (q against p)"),
        ("y ~ k + f:k", "f[T.v]:k[q]", "f: v against u, at k q"),  # the same difference at each level
        ("y ~ k + x:k", "x:k[p]", "x, at k p"),
        ("y ~ k + k:x", "k[p]:x", "x, at k p"),
        ("y ~ k + x:f:k", "x:f[w]:k[p]", "x, at f w, at k p"),
        ("y ~ k + x:k + x:f:k", "x:f[T.w]:k[p]", "x × f (w against u), at k p"),
        ("y ~ 0 + f:k", "f[u]:k[p]", "f: u, at k p"),
        ("y ~ 0 + f", "f[u]", "f: u"),
    ],
)
def test_a_coefficient_at_a_level_says_that_it_holds_there(formula, name, called):
    of = seen(f"{formula} + (1 | g)")
    assert name in of.design.fixed_names
    assert of.effect(name) == called
    assert str(of.quantity(name)) == called


@pytest.mark.parametrize(
    ("unit", "below"),
    [
        ("points", "point"), ("years", "year"), ("days", "day"), ("minutes", "minute"), ("inches", "inch"),
        ("boxes", "box"), ("ms", "ms"), ("mass", "mass"), ("Celsius", "Celsius"), ("siemens", "siemens"),
        ("1000 words", "1000 words"), ("lbs", "lbs"), ("d", "d"), ("mm", "mm"), ("degrees C", "degrees C"),
    ],
)  # fmt: skip
def test_a_unit_below_another_is_one(unit, below):
    of = seen("y ~ x + z + (1 | g)", {"y": "points", "x": unit})
    assert str(of.per("x")) == f" points per {below}"
    assert str(of.of_effect("x")) == f" points per {below}"
    assert str(of.per("x", "z")) == f" points per {below} and unit of z"
    assert str(of.of_response()) == " points"
