"""What readers see for names of columns, levels, coefficients, terms and cells."""

import pandas as pd
import pytest

from lmmkit.study.pages.marks import Mark, Name, fill
from lmmkit.study.pages.seen_names import NO_LABELS, Labels, labels_of

LABELS = Labels(
    {"dose": "Dose of the drug", "dose2": "Second dose", "arm": "Treatment", "h": "Hospital"},
    {"arm": {"p": "Placebo", "v": "Verum"}, "site": {"1": "Rome"}, "h": {"low": "Low"}},
    {"log(dose)": "Log of the dose", "Days": "Days awake"},
)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("dose", "Dose of the drug"),
        ("dose2", "Second dose"),
        ("dose3", "dose3"),
        ("log(dose)", "Log of the dose"),
        ("exp(dose)", "exp(Dose of the drug)"),
        ("arm[T.v]", "Treatment: Verum"),
        ("arm[v]", "Treatment: Verum"),
        ("site[T.1]", "site: Rome"),
        ("arm[T.v]:dose", "Treatment: Verum:Dose of the drug"),
        # A mean or a difference, at places of other columns.
        ("arm: p - v", "Treatment: Placebo - Verum"),
        ("arm: p less v", "Treatment: Placebo less Verum"),
        ("arm: p - v, at h low", "Treatment: Placebo - Verum, at Hospital Low"),
        ("dose, at arm v, at h low", "Dose of the drug, at Treatment Verum, at Hospital Low"),
        ("dose, at dose", "Dose of the drug, at Dose of the drug"),
        ("dose, at x 2", "Dose of the drug, at x 2"),
        ("arm within h: p - v, low", "Treatment within Hospital: Placebo - Verum, Low"),
        ("arm within h and site: p, low, 1", "Treatment within Hospital and site: Placebo, Low, Rome"),
        # A random effect: its group, then what it is of.
        ("arm: Days", "Treatment: Days awake"),
        ("Subject: Days", "Subject: Days awake"),
        ("Subject: Nights", "Subject: Nights"),
        # Formulas stay as they are.
        ("(dose | arm)", "(dose | arm)"),
        ("y ~ dose", "y ~ dose"),
        ("my.dose", "my.dose"),
        ("dose.x", "dose.x"),
    ],
)
def test_names_are_seen_by_their_labels(name, seen):
    assert LABELS.of(name) == seen
    assert NO_LABELS.of(name) == name


def test_of_names_that_begin_alike_the_longer_one_is_meant():
    labels = Labels({"dose": "Dose of the drug", "dose rate": "Milligrams a day"})
    assert labels.of("log(dose rate)") == "log(Milligrams a day)"
    assert labels.of("dose rate:dose") == "Milligrams a day:Dose of the drug"


def test_a_cell_with_more_or_fewer_levels_than_columns_is_no_cell():
    assert LABELS.of("arm within h: p") == "Treatment within Hospital: p"
    assert LABELS.of("arm within h: p, low, low").endswith(": p, low, low")


@pytest.mark.parametrize(
    ("group", "level", "seen"),
    [
        ("arm", "v", "Verum"),
        ("arm", "q", "q"),
        ("g:arm", "308:v", "308:Verum"),
        ("arm:site", "p:1", "Placebo:Rome"),
        ("arm", "v:1", "v:1"),  # a level may hold colons
        ("arm:site", "v", "v"),
    ],
)
def test_levels_of_columns_joined_by_colons(group, level, seen):
    assert LABELS.level(group, level) == seen


def test_labels_are_those_that_a_study_gives():
    given = {
        "dose": {"label": "Dose", "labels": {}},
        "arm": {"label": None, "labels": {"p": "Placebo"}},
        "y": {},
    }
    assert labels_of(given) == Labels({"dose": "Dose"}, {"arm": {"p": "Placebo"}})
    names = pd.DataFrame({"name": ["a", "b"], "seen": ["A", "B"]})
    assert labels_of(given).with_names(names) == Labels(
        {"dose": "Dose"}, {"arm": {"p": "Placebo"}}, {"a": "A", "b": "B"}
    )


def test_marks_in_a_text_are_no_names():
    text = fill("dose {} {}", Name("dose"), Mark("dose", "f.csv", "dose", "dose"))
    assert str(LABELS.told(text)) == "dose Dose of the drug dose"


def test_tables_for_pictures_keep_numbers_and_fixed_words():
    table = pd.DataFrame(
        {
            "group": ["arm", "site"],
            "level": ["v", "1"],
            "term": ["dose", "Days"],
            "note": ["dose", "dose"],
            "structure": ["dose", "dose"],
            "reference": ["dose", "dose"],
            "estimate": [1.0, 2.0],
        }
    )
    shown = LABELS.shown(table)
    assert shown.to_dict("list") == {
        "group": ["Treatment", "site"],
        "level": ["Verum", "Rome"],
        "term": ["Dose of the drug", "Days awake"],
        "note": ["dose", "dose"],
        "structure": ["dose", "dose"],
        "reference": ["dose", "dose"],
        "estimate": [1.0, 2.0],
    }
    assert NO_LABELS.shown(table) is table
    panels = LABELS.shown(pd.DataFrame({"panel": ["p", "v"], "y": [0.5, 1.0]}), panel="arm")
    assert panels["panel"].tolist() == ["Placebo", "Verum"]
    assert list(LABELS.headed(table)[:3])[:2] == ["group", "level"]
    assert list(LABELS.headed(pd.DataFrame({"dose": [1], "x": [2]}))) == ["Dose of the drug", "x"]


def test_names_alone_are_labels_enough():
    labels = Labels(names={"a": "A"})
    assert labels.shown(pd.DataFrame({"term": ["a", "b"]}))["term"].tolist() == ["A", "b"]


#: Columns of tables whose texts are no names.
WORDS = [
    "candidate",
    "reference",
    "formula",
    "reason",
    "note",
    "method",
    "definition",
    "adjusted",
    "interval",
    "status",
    "relation",
    "role",
    "type",
    "unit",
    "verdict",
    "check",
    "threshold",
    "share",
    "algorithm",
    "what",
    "notice",
    "code",
    "structure",
]


@pytest.mark.parametrize("column", WORDS)
def test_fixed_words_of_a_printed_table_stay(column):
    assert LABELS.cell(column, "dose") == "dose"
    assert LABELS.cell("coefficient", "dose") == "Dose of the drug"


def test_lines_of_a_picture_are_told_by_the_values_of_others():
    table = pd.DataFrame({"x": [1, 2], "by arm": ["p", "q"], "by z": [0.51239, 12345.6]})
    told = LABELS.told_by(table)
    assert told["by"].tolist() == ["Treatment: Placebo, z: 0.5124", "Treatment: q, z: 1.235e+04"]
    assert list(told) == ["x", "by"]
    assert LABELS.told_by(table[["x"]])["by"].tolist() == ["", ""]
