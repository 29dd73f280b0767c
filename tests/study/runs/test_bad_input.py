"""Studies that cannot be analysed: one clear error each, at the earliest stage that can know."""

import json

import numpy as np
import pytest

from lmmkit import lmm
from lmmkit.errors import DataError, FitError, FormulaError, LmmkitError, StudyError
from lmmkit.study import Base, choose_structure, fit_options, load_study, load_table

RNG = np.random.default_rng(1)
ROWS = 24
GOOD = {
    "y": np.round(10 + RNG.normal(size=ROWS) + np.repeat(RNG.normal(size=6), 4), 3),
    "x": np.tile([0, 1, 2, 3], 6),
    "g": np.repeat(list("abcdef"), 4),
}


def analyse(folder, columns, **changes):
    """All stages of a run, without its notebooks."""
    names = list(columns)
    lines = [",".join(str(columns[name][i]) for name in names) for i in range(len(columns[names[0]]))]
    (folder / "d.csv").write_text("\n".join([",".join(names), *lines]) + "\n")
    text = json.dumps({"data": {"source": "d.csv"}, "model": {"formula": "y ~ x + (x | g)"}})
    (folder / "s.yaml").write_text(text)
    study = load_study(folder / "s.yaml", {key.replace("__", "."): value for key, value in changes.items()})
    table = load_table(study.settings.data, Base(folder)).frame
    formula = choose_structure(study.settings, table).formula
    return lmm(formula, table, **fit_options(study.settings.model))


def test_the_good_study_is_good(tmp_path):
    assert analyse(tmp_path, GOOD).nobs == ROWS


@pytest.mark.parametrize(
    ("column", "values", "error", "message"),
    [
        (
            "y",
            ["fast"] * ROWS,
            LmmkitError,
            r"y: it holds no numbers: row 1 holds 'fast'.*the model uses it as a number",
        ),
        (
            "y",
            ["1", "inf", *["2"] * (ROWS - 2)],
            LmmkitError,
            "y: 23 of its 24 cells are numbers, but row 2 holds 'inf'",
        ),
        ("y", [""] * ROWS, DataError, "y holds no value in any row"),
        ("y", ["", "", *["NA"] * (ROWS - 2)], DataError, "y holds no value in any row"),
        ("y", [5] * ROWS, LmmkitError, "values that vary are expected"),
        ("g", ["a"] * ROWS, LmmkitError, "level"),
        ("g", [f"g{i}" for i in range(ROWS)], LmmkitError, "level"),
        ("x", ["1"] * ROWS, LmmkitError, "x"),
    ],
)
def test_columns_that_cannot_be_used(tmp_path, column, values, error, message):
    with pytest.raises(error, match=message):
        analyse(tmp_path, {**GOOD, column: values})


@pytest.mark.parametrize("weight", [-1, 0, ""])
def test_weights_are_positive(tmp_path, weight):
    columns = {**GOOD, "w": [1, 1, weight, *[1] * (ROWS - 3)]}
    if weight == "":
        assert analyse(tmp_path, columns, model__weights="w").nobs == ROWS - 1
        return
    with pytest.raises(LmmkitError, match="a weight that is not positive"):
        analyse(tmp_path, columns, model__weights="w")


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x | g",
        "y ~ x + (x | g) +",
        "y ~ system('ls') + (1 | g)",
        "y ~ x.__class__() + (1 | g)",
        "y ~ np.log(x) + (1 | g)",
        "y ~ I(open('d.csv')) + (1 | g)",
        "y ~ {x} + (1 | g)",
        "y ~ x + ((1 | g) | g)",
        "y ~ x + (1 | g | g)",
        "y ~ x + (| g)",
        "y ~ x + mm(1 | g)",
    ],
)
def test_formulas_that_are_none_are_faults_of_the_study(tmp_path, formula):
    with pytest.raises(StudyError, match=r"override: model\.formula: "):
        analyse(tmp_path, GOOD, model__formula=formula)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ z + (1 | g)", "there is no column `z`"),
        ("y ~ X + (1 | g)", "did you mean `x`?"),
        ("y ~ x", "random"),
        ("y ~ x.__class__.__base__ + (1 | g)", "there is no column `x.__class__.__base__`"),
        ("y ~ x + (1 | g) + (1 | g)", "the same up to scale"),
    ],
)
def test_models_that_the_data_cannot_bear(tmp_path, formula, message):
    with pytest.raises((DataError, FitError, FormulaError, StudyError), match=message):
        analyse(tmp_path, GOOD, model__formula=formula)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch owned')",
        "open('owned', 'w')",
        "x.__class__.__base__()",
        "x > (lambda: 1)()",
        "[c for c in x]",
    ],
)
def test_expressions_run_nothing(tmp_path, text):
    for key, value in ((("data__exclude"), [text]), (("data__derive"), {"new": text})):
        with pytest.raises(StudyError, match=r"override: data\."):
            analyse(tmp_path, GOOD, **{key: value})
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", "=cmd()", "$x$", "a,b", "-1", "'q'", "né"])
def test_strange_labels_stay_what_they_are(tmp_path, label):
    groups = np.where(GOOD["g"] == "a", f'"{label}"', GOOD["g"])
    assert label in analyse(tmp_path, {**GOOD, "g": groups}).ranef["g"].index
