"""Each section of a study: what it refuses and in which words, on both sides of each bound; what it tells."""

import pytest
from pydantic import ValidationError

from lmmkit.errors import StudyError
from lmmkit.study import load_study
from lmmkit.study.files.schema import (
    Column,
    Data,
    KnownFile,
    MissingData,
    Model,
    PosteriorSection,
    Reshape,
    Settings,
)


def said(section, given):
    """What is refused, in words; nothing where all is good."""
    try:
        section.model_validate(given)
    except ValidationError as error:
        return "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
    return ""


FORMS = "expected the letters of strftime, such as %d/%m/%Y or %d.%m.%y %H:%M"
TWO = {"a": {"type": "factor", "levels": ["x", "y"]}}
ORDERED = {"a": {"type": "factor", "order": ["x", "y"]}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"type": "factor", "levels": ["a", "b"], "reference": "b"}, ""),
        ({"type": "factor", "order": ["a"], "reference": "z"}, ""),
        ({"levels": ["a"]}, "only a column of `type: factor` has it"),
        ({"type": "number", "order": ["a"]}, "only a column of `type: factor` has it"),
        ({"type": "time", "reference": "a"}, "only a column of `type: factor` has it"),
        ({"type": "factor", "levels": ["a", "b", "a", "b"]}, "stands twice: a, b"),
        ({"type": "factor", "order": ["x", "x"]}, "stands twice: x"),
        ({"type": "factor", "levels": ["a"], "order": ["a"]}, "`levels` are in their order already"),
        ({"type": "factor", "levels": ["a", "c"], "reference": "b"}, "'b' is not among the levels a, c"),
        ({"type": "factor", "levels": []}, "at least 1 item"),
        ({"type": "factor", "min": 0.0}, "a factor has no bounds; list its `levels` instead"),
        ({"type": "factor", "max": 0.0}, "a factor has no bounds; list its `levels` instead"),
        ({"type": "time", "min": 0.0, "max": 1.0}, ""),
        ({"min": 2.0, "max": 2.0}, ""),
        ({"min": 2.0, "max": 1.5}, "max 1.5 is below min 2"),
        ({"max": float("inf")}, "finite number"),
        ({"type": "time", "format": "%d/%m/%Y"}, ""),
        ({"type": "time", "format": "day"}, FORMS),
        ({"type": "time", "format": "%"}, FORMS),
        ({"type": "time", "format": "%Y %Y"}, FORMS),
        ({"format": "%d/%m/%Y"}, "only a column of `type: time` has it"),
        ({"type": "number", "format": "%d"}, "only a column of `type: time` has it"),
        ({"unit": "a\nb"}, "match pattern"),
        ({"label": ""}, "at least 1 character"),
    ],
)
def test_a_column(given, words):
    found = said(Column, given)
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize(
    ("section", "given", "words"),
    [
        (Data, {"source": "d"}, ""),
        (Data, {"source": "d", "sha256": "0" * 64}, ""),
        (Data, {"source": "d", "sha256": "0" * 63}, "match pattern"),
        (Data, {"source": "d", "thousands": "."}, "'.' is the decimal mark already"),
        (Data, {"source": "d", "decimal": ",", "thousands": "."}, ""),
        (Data, {"source": "d", "decimal": ",", "thousands": ","}, "',' is the decimal mark already"),
        (Data, {"source": "d", "na": [1, 2], "limits": {"na": 2}}, ""),
        (Data, {"source": "d", "na": [1, 2, 3], "limits": {"na": 2}}, "holds 3 codes; the limit is 2"),
        (Data, {"source": "d", "na": [*range(1001)]}, "holds 1,001 codes; the limit is 1,000"),
        (Data, {"source": "d", "limits": {"levels": 2}, "columns": TWO}, ""),
        (Data, {"source": "d", "limits": {"levels": 1}, "columns": TWO},
         "data.columns.a declares 2 levels; the limit is 1, set by data.limits.levels"),
        (Data, {"source": "d", "limits": {"levels": 1}, "columns": ORDERED},
         "data.columns.a declares 2 levels"),
        (Data, {"source": "d", "limits": {"levels": 1}, "columns": {"a": {"labels": {"x": "1", "y": "2"}}}},
         "data.columns.a declares 2 levels"),
        (Reshape, {"measured": {"y": "y_*"}}, ""),
        (Reshape, {"measured": {"y": "y_"}}, "match pattern"),
        (Reshape, {"measured": {"y": "y_*_*"}}, "match pattern"),
        (Reshape, {"measured": {"y": ["a", "b"]}, "at": [1, 2.50]}, ""),
        (Reshape, {"measured": {"y": ["a"]}}, "at least 2 items"),
        (Reshape, {"measured": {"y": ["a", "b"], "z": "z*"}}, "told apart by patterns such as y_t*"),
        (Reshape, {"measured": {"y": "y*", "z": "z*"}}, ""),
        (Reshape, {"measured": {"y": ["a", "b", "a"]}}, "names a twice"),
        (Reshape, {"measured": {"y": "y*"}, "at": [1, 2, 1]}, "stands twice: 1"),
        (PosteriorSection, {"rope": [-1.0, 1.0]}, ""),
        (PosteriorSection, {"rope": {"x": [-1.0, 1.0], "z": [0.0, 1.0]}}, ""),
        (PosteriorSection, {"rope": [1.0, 1.0]}, "the second above the first, found [1.0, 1.0]"),
        (PosteriorSection, {"rope": {"x": [1.0, 0.0]}}, "the second above the first"),
        (PosteriorSection, {"draws": 100, "digits": 6}, ""),
        (PosteriorSection, {"draws": 99}, "greater than or equal to 100"),
        (PosteriorSection, {"digits": 7}, "less than or equal to 6"),
        (PosteriorSection, {"priors": {"sd": "half_normal(2)"}}, ""),
        (PosteriorSection, {"priors": {"sd": "half_norml(2)"}}, "half_norml"),
        (MissingData, {}, ""),
        (MissingData, {"assumptions": ["jump-to-reference"]}, "arm and reference is not given"),
        (MissingData, {"assumptions": ["jump-to-reference"], "arm": "a"}, ": reference is not given"),
        (MissingData, {"assumptions": ["jump-to-reference"], "arm": "a", "reference": "b"}, ""),
        (MissingData, {"reference": "b"}, "`reference` is a level of an arm: give `arm`, its column, too"),
        (MissingData, {"shifted": ["b"]}, "`shifted` is a level of an arm: give `arm`, its column, too"),
        (MissingData, {"shifted": "b", "arm": "a"}, ""),
        (MissingData, {"imputations": 2}, ""),
    ],
)  # fmt: skip
def test_the_other_sections(section, given, words):
    found = said(section, given)
    assert words in found
    assert bool(words) == bool(found)


def test_levels_and_places_are_text():
    assert Column(type="factor", levels=[1, "a"], reference=1).levels == ["1", "a"]
    assert said(Column, {"type": "factor", "levels": [True]}) != ""
    assert Reshape(measured={"y": "y*"}, at=[1, 2.50, "x"]).at == ["1", "2.5", "x"]


def test_names_are_composed():
    data = Data(source="d", columns={"e\u0301": Column()}, derive={"o\u0308": "x + 1"})
    assert (list(data.columns), list(data.derive)) == (["\xe9"], ["\xf6"])
    assert Model(formula="e\u0301 ~ 1 + (1 | g)").response == "\xe9"


def test_a_model_tells_its_columns():
    model = Model(formula="log(y) ~ x * z + (w | g) + (1 | a/b)", residual="ar1(day | h, by=k)", weights="v")
    assert (model.response, model.response_column) == ("log(y)", "y")
    assert model.predictor_columns == ["x", "z", "w", "day", "k"]
    assert model.groups == {"g": ["g"], "b:a": ["b", "a"], "a": ["a"], "h": ["h"]}
    plain = Model(formula="y ~ x + (1 | g)")
    assert (plain.residual_structure, plain.predictor_columns, plain.groups) == (None, ["x"], {"g": ["g"]})


def test_a_residual_structure_without_subjects_has_columns_and_no_group():
    for residual in ("ident(s)", "exp(s)"):
        model = Model(formula="y ~ x + (1 | g)", residual=residual)
        assert (model.predictor_columns, model.groups) == (["x", "s"], {"g": ["g"]})


def test_a_known_covariance_is_in_the_file_that_is_given():
    assert KnownFile(pedigree="p.csv").source == "p.csv"
    assert KnownFile(matrix="k.csv").source == "k.csv"


def test_the_simulation_depends_on_the_focus_the_tests_and_the_seed():
    given = {"data": {"source": "d"}, "model": {"formula": "y ~ x + (1 | g)"}, "seed": 5}
    assert Settings.model_validate(given).simulation is None
    given |= {"random_effects": {"simulate": 9}, "inference": {"level": 0.9, "df": "normal"}}
    found = Settings.model_validate(given | {"report": {"focus": "x"}}).simulation
    assert found == {"focus": "x", "df": "normal", "level": 0.1, "seed": 5}


@pytest.mark.parametrize(
    ("formula", "more", "roles"),
    [
        ("y ~ x + (1 | x)", "", {"y": "number", "x": "predictor and group"}),
        ("y ~ log(x) + (1 | x)", "", {"y": "number", "x": "number and group"}),
        ("y ~ C(x) + (z | g)", "", {"y": "number", "x": "group", "z": "predictor", "g": "group"}),
        ("y ~ x + offset(o) + (1 | g)", "", {"y": "number", "x": "predictor", "o": "number", "g": "group"}),
        (
            "y ~ 1 + (1 | mm(a, b, weights=cbind(u, v)))",
            "",
            {"y": "number", "a": "member", "b": "member", "u": "member weight", "v": "member weight"},
        ),
        (
            "y ~ a + u + (1 | mm(a, b, weights=cbind(u, v)))",
            "",
            {"y": "number", "a": "predictor and group", "u": "number", "b": "member", "v": "member weight"},
        ),
        ("y ~ 1 + (1 | g)", "  weights: g\n", {"y": "number", "g": "number and group"}),
        ("y ~ 1 + (1 | g)", "  residual: car1(day | g)\n", {"y": "number", "g": "group", "day": "number"}),
        (
            "y ~ day + (1 | day)",
            "  offset: o\n",
            {"y": "number", "day": "predictor and group", "o": "number"},
        ),
        ("y ~ 1 + (1 | mm(a, b)) + (1 | a)", "", {"y": "number", "a": "group", "b": "member"}),
        ("y ~ factor(x) + (1 | g)", "", {"y": "number", "x": "group", "g": "group"}),
        ("y ~ C(x) + x + (1 | g)", "", {"y": "number", "x": "predictor and group", "g": "group"}),
        ("y ~ x + (1 | g)", "  residual: power(x)\n", {"y": "number", "x": "number", "g": "group"}),
        ("y ~ 1 + (1 | g)", "  residual: ar1(day | g)\n", {"y": "number", "g": "group", "day": "predictor"}),
    ],
)
def test_what_each_column_is_used_for(tmp_path, formula, more, roles):
    (tmp_path / "s.yaml").write_text(f'data: {{source: d.csv}}\nmodel:\n  formula: "{formula}"\n{more}')
    columns = load_study(tmp_path / "s.yaml").settings.data.columns
    assert {name: column.role for name, column in columns.items()} == roles


@pytest.mark.parametrize(
    ("data", "column", "role"),
    [
        ("exclude: [\"w == 'a'\"]", "w", "group"),
        ('exclude: ["w > 1"]', "w", "number"),
        ('exclude: ["1 < w"]', "w", "number"),
        ("exclude: [\"w in ('a', 3)\"]", "w", "group"),
        ("exclude: [\"w > 1 or v == 'a'\"]", "w", "number"),
        ("exclude: [\"w > 1 or v == 'a'\"]", "v", "group"),
        ('exclude: ["w + 1 == v"]', "v", "number"),
        ("derive: {new: w}", "w", "predictor"),
        ('exclude: ["w"]', "w", "predictor"),
        ('exclude: ["w != v"]', "w", "predictor"),
        ("exclude: [\"x == 'a'\"]", "x", "predictor"),  # the formula decides
        ("derive: {new: w + 1}", "w", "number"),
        ("derive: {new: x + 1}", "x", "number"),
        ('derive: {new: "group_mean(w, v)"}', "w", "number"),
        ('derive: {new: "group_mean(w, v)"}', "v", "group"),
    ],
)
def test_expressions_decide_where_nothing_else_does(tmp_path, data, column, role):
    columns = "columns: {w: {}, v: {}}"
    (tmp_path / "s.yaml").write_text(
        f"data: {{source: d.csv, {columns}, {data}}}\nmodel: {{formula: y ~ x + (1 | g)}}"
    )
    assert load_study(tmp_path / "s.yaml").settings.data.columns[column].role == role


def test_a_role_in_the_file_is_that_of_the_formula(tmp_path):
    text = "data: {source: d.csv, columns: {x: {role: ROLE}}}\nmodel: {formula: y ~ x + (1 | g)}"
    (tmp_path / "s.yaml").write_text(text.replace("ROLE", "predictor"))
    assert load_study(tmp_path / "s.yaml").settings.data.columns["x"].role == "predictor"
    (tmp_path / "s.yaml").write_text(text.replace("ROLE", "group"))
    with pytest.raises(
        StudyError, match=r"s.yaml:1:43: data.columns.x.role: is filled in from the formula \(pred"
    ):
        load_study(tmp_path / "s.yaml")
