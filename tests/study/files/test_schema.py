"""The study file's schema: all faults at once, each with its line and column."""

import json
import textwrap
from pathlib import Path

import pytest

from lmmkit.errors import StudyError
from lmmkit.study import load_study
from lmmkit.study.files.faults import _shown
from lmmkit.study.files.schema import Settings

ROOT = Path(__file__).parents[3]
SHIPPED = sorted(path for path in (ROOT / "params").glob("*.yaml") if ".sweep" not in path.suffixes)
GOOD = """\
data:
  source: d.csv
  columns:
    y: {type: number, unit: ms, min: 0}
    g: {type: factor, levels: [1, 007, x]}
model:
  formula: y ~ x + (x | g)
"""


def study(folder: Path, text: str, overrides=None):
    path = folder / "s.yaml"
    path.write_text(textwrap.dedent(text))
    return load_study(path, overrides)


def faults(folder: Path, text: str, overrides=None) -> list[str]:
    with pytest.raises(StudyError) as caught:
        study(folder, text, overrides)
    return str(caught.value).split("\n")


def test_every_fault_is_told_at_once_and_in_its_place(tmp_path):
    found = faults(
        tmp_path,
        """\
        schema: 1
        titel: x
        data:
          source: a.csv
          missing: dropp
          exclude: ["y > 1", "open('x')"]
          columns:
            y: {type: nummber, min: a}
            g: {type: number, levels: [a]}
        model:
          method: reml
          weights: 3
        inference: {level: 2}
        seed: -1
        report: [1]
        """,
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["s.yaml:2:1", "titel"],
        ["s.yaml:5:12", "data.missing"],
        ["s.yaml:6:22", "data.exclude[1]"],
        ["s.yaml:8:15", "data.columns.y.type"],
        ["s.yaml:8:29", "data.columns.y.min"],
        ["s.yaml:9:31", "data.columns.g.levels"],
        ["s.yaml:10:1", "model.formula"],
        ["s.yaml:11:11", "model.method"],
        ["s.yaml:12:12", "model.weights"],
        ["s.yaml:13:20", "inference.level"],
        ["s.yaml:14:7", "seed"],
        ["s.yaml:15:9", "report"],
    ]


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("titel: x", "did you mean title?"),
        ("model: {metod: ML, formula: y ~ 1 + (1 | g)}", "did you mean method?"),
        ("model: {method: reml, formula: y ~ 1 + (1 | g)}", "did you mean REML?"),
        ("inference: {df: kenward}", "did you mean kenward-roger?"),
        ("report: {fcsux: a}", "did you mean focus?"),
        ("report: {fxxus: a}", "did you mean focus?"),
        ("report: {fxxxs: a}", "known here: focus, question, contrast, at, pdf"),
        ("data: {source: a.csv, columns: {y: {typ: factor}}}", "did you mean type?"),
        ("zzz: 1", "known here: schema, title, data"),
    ],
)
def test_a_misspelt_word_is_answered_by_the_nearest(tmp_path, line, suggestion):
    assert suggestion in "\n".join(faults(tmp_path, line))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("- 1", "s.yaml:1:1: expected keys such as `data:` and `model:`; see `lmmkit new`"),
        ("data: {source: 3}", "s.yaml:1:16: data.source: expected text, found 3"),
        ("seed: x", "s.yaml:1:7: seed: expected a whole number, found text 'x'"),
        ("data: {columns: {y: {min: x}}}",
         "s.yaml:1:27: data.columns.y.min: expected a number, found text 'x'"),
        ("data: {multiline: 1}", "s.yaml:1:19: data.multiline: expected true or false, found 1"),
        ("data: {exclude: x}", "s.yaml:1:17: data.exclude: expected a list, found text 'x'"),
        ("data: {columns: [x]}", "s.yaml:1:17: data.columns: expected a mapping, found a list"),
        ("report: null", "s.yaml:1:9: report: expected a mapping, found nothing"),
        ("data: {columns: {y: {max: .inf}}}",
         "s.yaml:1:27: data.columns.y.max: expected a finite number, found inf"),
        ("seed: -1", "s.yaml:1:7: seed: input should be greater than or equal to 0, found -1"),
        ("title: \"a\\nb\"", "s.yaml:1:8: title: text 'a\\nb' does not have the form ^[^\\r\\n\\x00]*$"),
        ("schema: 2", "s.yaml:1:9: schema: 2 is not one of 1"),
        ("inference: {df: zzz}", "s.yaml:1:17: inference.df: text 'zzz' is not one of auto, kenward-roger, "
         "kenward-roger-observed, satterthwaite, unbounded, containment, inner-outer, between-within, "
         "residual, normal"),
        ("seed: 1", "s.yaml:1:1: model: is missing, and there is no default for it"),
        ("data: {columns: {y: {typ: factor}}}",
         "s.yaml:1:22: data.columns.y.typ: unknown key - did you mean type?"),
        ("data: {columns: {order: {typ: factor}}}",
         "s.yaml:1:26: data.columns.order.typ: unknown key - did you mean type?"),
        ("model: {known: {matrix: {pedigre: k.csv}}}",
         "s.yaml:1:26: model.known.matrix.pedigre: unknown key - did you mean pedigree?"),
    ],
)  # fmt: skip
def test_what_was_expected_and_what_was_found(tmp_path, line, said):
    assert said in faults(tmp_path, line)


def test_a_message_repeats_sixty_letters_of_a_value():
    for value, shown in (
        ("x" * 58, f"text {'x' * 58!r}"), ("x" * 59, f"text '{'x' * 59}..."), (10**59, str(10**59)),
        (10**60, f"{str(10**60)[:60]}..."), (True, "true"), (False, "false"), (None, "nothing"),
        ({}, "a mapping"),
        ([1], "a list"), (1.5, "1.5"),
    ):  # fmt: skip
        assert _shown(value) == shown


def test_defaults_are_filled_in(tmp_path):
    resolved = study(tmp_path, GOOD).resolved()
    assert resolved["title"] == "s"
    assert resolved["model"]["method"] == "REML"
    assert resolved["random_effects"] == {
        "rule": "fixed",
        "candidates": "auto",
        "criterion": "aic",
        "alpha": 0.2,
        "simulate": 0,
    }
    assert next(iter(resolved)) == "schema"


def test_columns_of_the_model_join_those_of_the_data(tmp_path):
    assert list(study(tmp_path, GOOD).settings.data.columns) == ["y", "g", "x"]


def test_levels_are_text(tmp_path):
    assert study(tmp_path, GOOD).settings.data.columns["g"].levels == ["1", "007", "x"]


def test_response_and_groups_are_told(tmp_path):
    model = study(tmp_path, GOOD.replace("(x | g)", "(1 | a/b)")).settings.model
    assert (model.response, model.groups) == ("y", {"b:a": ["b", "a"], "a": ["a"]})


@pytest.mark.parametrize(
    "formula",
    ["y ~ x | g", "y ~ __import__('os').system('ls') + (1 | g)", "y ~ x.__class__() + (1 | g)", "y ~ (", "y"],
)
def test_a_formula_is_checked_where_it_stands(tmp_path, formula):
    found = faults(tmp_path, GOOD.replace("y ~ x + (x | g)", json.dumps(formula)))
    assert [line.split(": ")[:2] for line in found] == [["s.yaml:7:12", "model.formula"]]


@pytest.mark.parametrize(
    ("candidates", "column", "message"),
    [
        ("auto", 42, "rule `best` needs a list"),
        ("[]", 42, "at least 1 item"),
        ("all", 42, "is not one of auto"),
        ('["1 | g"]', 43, "has a bar outside brackets"),
        ('["x"]', 43, "has no random-effects term"),
        ("[3]", 43, "expected text, found 3"),
    ],
)
def test_rule_best_needs_a_list_of_random_parts(tmp_path, candidates, column, message):
    (found,) = faults(tmp_path, GOOD + f"random_effects: {{rule: best, candidates: {candidates}}}\n")
    assert found.startswith(f"s.yaml:8:{column}: random_effects.candidates")
    assert message in found


@pytest.mark.parametrize(
    ("given", "criterion"),
    [
        ("{rule: fixed}", "aic"),
        ("{rule: maximal}", "aic"),
        ("{rule: parsimonious}", "lrt"),
        ("{rule: backward, criterion: caic}", "caic"),
        ("{rule: forward}", "lrt"),
        ("{rule: best, candidates: [(1 | g)]}", "aic"),
    ],
)
def test_the_criterion_follows_the_rule_where_none_is_given(tmp_path, given, criterion):
    found = study(tmp_path, GOOD + f"random_effects: {given}\n").settings.random_effects
    assert found.criterion == criterion


def test_a_candidate_is_a_random_part_or_a_whole_formula(tmp_path):
    text = GOOD + 'random_effects: {rule: best, candidates: ["(1 | h)", "y ~ x + (0 + z | g)"]}\n'
    assert list(study(tmp_path, text).settings.data.columns) == ["y", "g", "x", "h", "z"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "  residual: corAR1(v | g)",
            "s.yaml:8:13: model.residual: residual `corAR1(v | g)` is nlme's spelling; write `ar1(v | g)`",
        ),
        ("  residual: unn(v | g)", "`unn` is no structure that is offered; did you mean `un`?"),
        ("  residual: corAR1(form = ~ v | g)", "write `ar1(v | g)`"),
        ("  residual: 3", "s.yaml:8:13: model.residual: "),
        ("  known: {g: k.csv}", "s.yaml:8:14: model.known.g: "),
        ("  known: {g: {}}", "give one of `pedigree: FILE` (animal, sire, dam) and `matrix: FILE`"),
        ("  known: {g: {pedigree: p.csv, matrix: k.csv}}", "give one of `pedigree: FILE`"),
        ("  known: {g: {pedigre: p.csv}}", "did you mean pedigree?"),
        ("random_effects: {rule: parsimonous}", "did you mean parsimonious?"),
        ("missing_data: {assumptions: [jump-to-referense]}", "did you mean jump-to-reference?"),
        (
            "missing_data: {assumptions: [tipping-point, copy-reference], arm: a}",
            "`copy-reference` needs arm, the column of the arms, and reference, a level of it: reference",
        ),
        ("missing_data: {shifted: drug}", "`shifted` is a level of an arm: give `arm`, its column, too"),
        ("missing_data: {assumptions: [tipping-point, tipping-point]}", "stands twice: tipping-point"),
        ("missing_data: {imputations: 1}", "missing_data.imputations: "),
        (
            "random_effects: {rule: stepwise}",
            "'stepwise' is not one of fixed, maximal, parsimonious, backward",
        ),
        ("random_effects: {criterion: aicc}", "'aicc' is not one of lrt, aic, bic, caic"),
        ("random_effects: {alpha: 1.2}", "random_effects.alpha"),
        (
            "random_effects: {rule: best, candidates: [(1 | g)], criterion: lrt}",
            "chooses by aic, bic or caic",
        ),
        ("report: {pdf: true}", "report.pdf: true is not one of false"),
    ],
)
def test_the_schema_offers_only_what_is_built(tmp_path, line, message):
    (found,) = faults(tmp_path, GOOD + line)
    assert message in found


def test_what_is_built_may_be_said(tmp_path):
    built = (
        "  residual: iid\n  known: {}\nrandom_effects: {criterion: lrt, alpha: 0.1}\nreport: {pdf: false}\n"
    )
    assert study(tmp_path, GOOD + built).settings.random_effects.alpha == 0.1


def test_a_residual_structure_brings_its_columns_and_what_they_are_used_for(tmp_path):
    text = GOOD.replace(" + (x | g)", "") + "  residual: ident(s) * ar1(I(day / 7) | g:h, by=arm)\n"
    found = study(tmp_path, text).settings
    assert list(found.data.columns) == ["y", "g", "x", "day", "h", "arm", "s"]
    roles = {name: column.role for name, column in found.data.columns.items()}
    own = {"y": "number", "x": "predictor", "day": "number"}
    assert roles == own | dict.fromkeys(("g", "h", "arm", "s"), "group")
    assert found.model.groups == {"g:h": ["g", "h"]}


def test_overrides_pass_through_the_schema(tmp_path):
    changed = study(tmp_path, GOOD, {"model.method": "ML", "data.columns.y.max": 9, "report.focus": "x"})
    assert changed.settings.model.method == "ML"
    assert changed.settings.data.columns["y"].max == 9
    assert changed.settings.report.focus == "x"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"model.metod": "ML"}, "override: model.metod: unknown key - did you mean method?"),
        ({"model.method": 3}, "override: model.method: 3 is not one of REML, ML"),
        ({"data.source.x": 3}, "override: data.source.x: source is no mapping in the study file"),
        ({"report.pdf": True}, "override: report.pdf: true is not one of false"),
        ({"zzz": 1}, "override: zzz: unknown key; known here:"),
        ({"data.exclude": ["x > 1", "x >"]}, "override: data.exclude[1]: "),
        ({"report": {"pdf": True}}, "override: report.pdf: true is not one of false"),
        ({"random_effects.candidates": ["(1 | g)", "x"]}, "override: random_effects.candidates[1]: "),
    ],
)
def test_a_wrong_override_is_told_by_its_key(tmp_path, override, message):
    assert faults(tmp_path, GOOD, override)[0].startswith(message)


def test_an_override_reaches_a_column_with_dots(tmp_path):
    text = GOOD.replace("    y:", "    Sepal.Length: {type: number}\n    y:")
    changed = study(tmp_path, text, {"data.columns.Sepal.Length.min": 1})
    assert changed.settings.data.columns["Sepal.Length"].min == 1


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_are_good(path):
    assert load_study(path).name == path.stem


def test_the_published_schema_is_the_schema():
    published = json.loads((ROOT / "docs/study.schema.json").read_text())
    assert published == Settings.model_json_schema(by_alias=True)


@pytest.mark.parametrize(
    ("residual", "bar", "line", "said"),
    [
        (
            "iid",
            "",
            7,
            "model.formula: `y ~ 1 + x` has no random-effects term such as (1 | g), and no residual",
        ),
        ("un(v | g)", " + (1 | g)", 8, "model.residual: `(1 | g)` beside residual `un(v | g)`: both let"),
        ("toep(v | g)", " + (1 | g)", 8, "model.residual: `(1 | g)` beside residual `toep(v | g)`: both let"),
    ],
)
def test_a_study_has_random_effects_or_a_residual_structure_that_holds_none_of_them(
    tmp_path, residual, bar, line, said
):
    text = GOOD.replace(" + (x | g)", bar) + f"  residual: {residual}\n"
    (found,) = faults(tmp_path, text)
    assert found.startswith(f"s.yaml:{line}:")
    assert said in found
    base = GOOD.replace(" + (x | g)", bar)
    (found,) = faults(tmp_path, base + "  residual: un(v | g)\n" * (not bar), {"model.residual": residual})
    assert found.startswith("override: model.residual" if bar else "s.yaml:7:12: model.formula")
