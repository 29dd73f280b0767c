"""A study read: overrides, what they change, faults that only the data show at their place in the file."""

import pytest

from lmmkit.errors import DataError, LmmkitError, StudyError
from lmmkit.model.dialects.study_words import in_study_words
from lmmkit.study.files.study import (
    changes,
    design_options,
    effective,
    fit_options,
    load_study,
    placed,
    raise_placed,
    resolve,
    value_under,
    without,
)
from lmmkit.study.files.yaml12 import Fault, Position, parse_yaml

TEXT = """\
title: t
data:
  source: d.csv
  columns: {x: {type: number, min: 0}}
  exclude: [x > 3, "abc == 1"]
  derive: {w: log(z), v: w + 1}
model:
  formula: y ~ x + w + `a b` + (1 | xx)
  weights: p
  offset: o
  residual: ident(s)
random_effects: {candidates: [(1 | xx), (x | xx)]}
"""


@pytest.fixture
def settings():
    found, faults = resolve(parse_yaml(TEXT, "s.yaml"), "s", {})
    assert faults == []
    return found


def about(*subject, message="it is wrong"):
    error = DataError(message)
    error.about = subject
    return error


@pytest.mark.parametrize(
    ("error", "place", "key", "message"),
    [
        (about("data", "columns", "x", message="data.columns.x: no"), (4, 16), "data.columns.x", "no"),
        (about("data", "columns", "x", "min"), (4, 36), "data.columns.x.min", "it is wrong"),
        (about("data", "columns", "y"), (8, 12), "model.formula", "it is wrong"),
        (about("data", "columns", "w"), (8, 20), "model.formula", "it is wrong"),
        (about("data", "columns", "a b"), (8, 24), "model.formula", "it is wrong"),
        (about("data", "columns", "xx"), (8, 37), "model.formula", "it is wrong"),
        (about("data", "columns", "p"), (9, 12), "model.weights", "it is wrong"),
        (about("data", "columns", "o"), (10, 11), "model.offset", "it is wrong"),
        (about("data", "columns", "s"), (11, 13), "model.residual", "it is wrong"),
        (about("data", "columns", "z"), (6, 19), "data.derive.w", "it is wrong"),
        (
            about("data", "exclude", 1, message="There is no column `abc`."),
            (5, 21),
            "data.exclude.1",
            "There is",
        ),
        (
            about("data", "derive", "v", message="There is no column `w`; or so"),
            (6, 26),
            "data.derive.v",
            "There",
        ),
        (
            about("model", "formula", message="There is no column `xx`."),
            (8, 37),
            "model.formula",
            "There is no",
        ),
        (about("model"), (8, 3), "model", "it is wrong"),
        (about("model", "contrasts"), (8, 12), "model.formula", "it is wrong"),
        (about("inference", "df"), (1, 1), "", "it is wrong"),
        (about("random_effects", "candidates", 1), (12, 41), "random_effects.candidates.1", "it is wrong"),
        (about("model", message="use df='normal'"), (8, 3), "model", "use inference.df: normal"),
    ],
)
def test_a_fault_of_the_data_stands_where_the_file_says_it(settings, error, place, key, message):
    (found,) = placed(settings, {}, parse_yaml(TEXT, "s.yaml"), [error])
    assert (found.place, ".".join(map(str, found.key))) == (place, key)
    assert found.message.startswith(message)


def test_a_column_that_only_the_residuals_use_is_told_at_the_residuals():
    text = "data: {source: d}\nmodel: {formula: y ~ 1 + (1 | g), residual: ar1(v | g)}"
    found, _ = resolve(parse_yaml(text), "s", {})
    faults = placed(found, {}, parse_yaml(text), [about("data", "columns", name) for name in "gv"])
    assert [fault.key for fault in faults] == [("model", "formula"), ("model", "residual")]


def test_a_study_has_the_columns_of_its_model_a_title_and_what_each_column_is_for(settings):
    assert list(settings.data.columns) == ["x", "y", "a b", "xx", "s", "p", "o"]
    roles = {name: column.role for name, column in settings.data.columns.items()}
    assert roles == {
        "x": "predictor", "y": "number", "a b": "predictor", "xx": "group", "s": "group",
        "p": "number", "o": "number",
    }  # fmt: skip
    assert settings.title == "t"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "data: {source: d, columns: {u: {role: group}}}\nmodel: {formula: y ~ x}",
            ["s.yaml:1:39: data.columns.u.role: is filled in from the formula (none); leave it out"],
        ),
        (
            "data: {source: d}\nmodel: {formula: y ~ x}",
            [
                "s.yaml:2:18: model.formula: `y ~ 1 + x` has no random-effects term such as (1 | g), and no "
                "residual structure such as model.residual: un(visit | id) is given; a study needs either."
            ],
        ),
        ("data: {source: d}\nmodel: {formula: y ~ x}\nrandom_effects: {rule: forward}", []),
        ("data: {source: d}\nmodel: {formula: y ~ x, residual: un(v | g)}", []),
    ],
)  # fmt: skip
def test_a_model_lacks_random_effects_only_where_none_are_chosen(tmp_path, text, said):
    (tmp_path / "s.yaml").write_text(text)
    if not said:
        assert load_study(tmp_path / "s.yaml").name == "s"
        return
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path / "s.yaml")
    assert str(caught.value).split("\n") == said


def test_a_file_of_no_keys_is_told_whatever_overrides_it():
    assert [fault.message for fault in resolve(parse_yaml("- 1"), "s", {"seed": 3})[1]] == [
        "expected keys such as `data:` and `model:`; see `lmmkit new`"
    ]


def test_errors_are_raised_as_one_with_their_places_and_none_raises_nothing(tmp_path):
    (tmp_path / "s.yaml").write_text(TEXT)
    study = load_study(tmp_path / "s.yaml")
    assert (study.folder, study.name) == (tmp_path, "s")
    with pytest.raises(StudyError) as caught:
        raise_placed(study, {"model.weights": "p"}, [about("model"), about("data", "columns", "p")])
    assert str(caught.value).split("\n") == [
        "override: model.weights: it is wrong",
        "s.yaml:8:3: model: it is wrong",
    ]
    (tmp_path / "s.yaml").unlink()
    raise_placed(study, {}, [])


@pytest.mark.parametrize(("formula", "column"), [
    ("y ~ log(z) + log + (1 | g)", 31), ("y ~ log (z) + log + (1 | g)", 32),
    ("y ~ xlog + log.x + log + (1 | g)", 37),
])  # fmt: skip
def test_a_column_is_found_where_its_name_stands_alone(formula, column):
    text = f"data: {{source: d}}\nmodel: {{formula: {formula}}}"
    found, _ = resolve(parse_yaml(text), "s", {})
    (fault,) = placed(found, {}, parse_yaml(text), [about("data", "columns", "log")])
    assert (fault.place, fault.key) == ((2, column), ("model", "formula"))


def test_a_fault_of_an_override_has_no_place(settings):
    (found,) = placed(settings, {"model.weights": "p"}, parse_yaml(TEXT), [about("data", "columns", "p")])
    assert (found.place, found.key) == ((0, 0), ("model", "weights"))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("data: {source: d.csv}\nmodel: {formula: y ~ x + (1 | g)}\nseed: -1", {"data", "model"}),
        ("data: {source: d.csv}\nmodel: {formula: y ~ x + (1 | g), method: X}", {"data", "model"}),
        ("data: {source: d.csv, exclude: ['x >']}\nmodel: {formula: y ~ x + (1 | g)}", {"data", "model"}),
        ("data: {source: d, columns: {x: {min: a}}}\nmodel: {formula: y ~ x + (1 | g)}", {"data", "model"}),
        ("data: {source: d.csv}\nmodel: {formula: y ~ x + (1 | g)}\nzzz: 1", {"data", "model"}),
        ("data: {source: d}\nmodel: {formula: y ~ x + (1 | g)}\nrandom_effects: {candidates: [3]}",
         {"data", "model", "random_effects"}),
        ("- 1", None),
        ("data: {source: d.csv, derive: {z: 'x >'}}\nmodel: {formula: y ~ x + (1 | g)}", None),
        ("data: {source: 3}\nmodel: {formula: y ~ x + (1 | g)}", None),
        ("data: {source: d.csv, sep: ';;'}\nmodel: {formula: y ~ x + (1 | g)}", None),
        ("data: {source: d.csv}\nmodel: 3", None),
        ("model: {formula: y ~ x + (1 | g)}", None),
    ],
)  # fmt: skip
def test_the_rest_is_checked_where_it_says_something(text, left):
    document = parse_yaml(text)
    _, faults = resolve(document, "s", {})
    assert faults
    rest = without(document, faults)
    assert left == (None if rest is None else set(rest.data))
    if rest is not None:
        assert resolve(rest, "s", {})[1] == []
        assert parse_yaml(text).data == document.data  # as it was


def test_only_the_column_that_is_wrong_is_left_out():
    text = "data: {source: d, columns: {x: {min: a}, y: {max: 3}}}\nmodel: {formula: y ~ x + (1 | g)}"
    document = parse_yaml(text)
    rest = without(document, resolve(document, "s", {})[1])
    assert rest.data["data"] == {"source": "d", "columns": {"y": {"max": 3}}}
    assert rest.faults == []


def test_a_formula_that_is_none_beside_columns_of_no_type_stays():
    document = parse_yaml("data: {source: d, columns: {b: {type: factor}, c: 3}}\nmodel: {formula: y ~ (}")
    rest = without(document, [Fault(Position(2, 18), ("model", "formula"), "is wrong")]).data
    assert (list(rest["data"]["columns"]), rest["model"]) == (["b"], {"formula": "y ~ ("})


def test_a_formula_that_is_none_leaves_the_columns_that_declare_their_type():
    columns = "{a: {type: number}, b: {type: factor}, c: {unit: ms}, d: {type: nmber}}"
    text = (
        f"data: {{source: d, columns: {columns}}}\nmodel: {{formula: y ~ (}}\nrandom_effects: {{rule: best}}"
    )
    document = parse_yaml(text)
    rest = without(document, resolve(document, "s", {})[1]).data
    assert list(rest["data"]["columns"]) == ["a", "b"]
    assert (rest["model"], "random_effects" in rest) == ({"formula": "a ~ 1"}, False)


def test_an_override_counts_where_it_changes_the_study(tmp_path):
    (tmp_path / "s.yaml").write_text(TEXT)
    overrides = {"seed": 20240101, "model.method": "ML", "data.columns.x.min": 0, "data.columns.x.max": 9}
    assert effective(tmp_path / "s.yaml", overrides) == {"model.method": "ML", "data.columns.x.max": 9}
    assert effective(tmp_path / "s.yaml", {}) == {}
    one = load_study(tmp_path / "s.yaml")
    assert changes(one, one, overrides) == {}


@pytest.mark.parametrize(("model", "place"), [("model: {method: ML}", (2, 1)), ("seed: 3", (0, 0))])
def test_what_a_section_lacks_is_told_where_the_section_stands(model, place):
    document = parse_yaml(f"data: {{source: d.csv}}\n{model}")
    _, faults = resolve(document, "s", {"model.algorithm": "pls"})
    assert [(fault.place, fault.key) for fault in faults] == [(place, ("model", "formula"))]


def test_an_override_is_of_the_longest_key_that_the_file_has():
    text = (
        "data: {source: d, columns: {a: {min: 0}, a.b: {min: 1}}}\nmodel: {formula: y ~ a + `a.b` + (1 | g)}"
    )
    found, faults = resolve(parse_yaml(text), "s", {"data.columns.a.b.min": 5.0, "data.columns.a.min": 4.0})
    assert faults == []
    assert (found.data.columns["a.b"].min, found.data.columns["a"].min) == (5.0, 4.0)


def test_a_value_is_found_under_keys_that_hold_dots():
    tree = {"a": {"b.c": {"d": 1}, "x": 2}, "e": 0}
    found = [value_under(tree, key) for key in ("a.b.c.d", "a.x", "e", "e.f", "z", "a.b.y")]
    assert found == [1, 2, 0, None, None, None]


def test_a_study_gives_the_arguments_of_a_fit(settings):
    assert design_options(settings.model) == {
        "weights": "p", "offset": "o", "contrasts": None, "residual": "ident(s)",
    }  # fmt: skip
    options = fit_options(settings.model.model_copy(update={"method": "ML", "contrasts": {"f": "sum"}}))
    assert (options["reml"], options["algorithm"], options["contrasts"]) == (False, "newton", {"f": "sum"})
    assert fit_options(settings.model)["reml"] is True


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Use df='kenward-roger'.", "Use inference.df: kenward-roger."),
        ("with reml=False or reml=True", "with model.method: ML or model.method: REML"),
        ("missing='drop' or missing='error'", "data.missing: drop or data.missing: error"),
        ("say algorithm='em'", "say model.algorithm: em"),
        ("method='wald', ci='profile'", "inference.ci: wald, inference.ci: profile"),
        ("zero; use method='auto' or 'profile'", "zero; use inference.ci: auto or profile"),
        ("by conf_int(method='bootstrap') do", "by inference.ci: bootstrap do"),
        ("influence(fit, of='g') says what", "the table of influences says what"),
        ("on that (`tipping_point`)", "on that (missing_data.assumptions: tipping-point)"),
        ("residual='ar1(v | g)'", "model.residual: ar1(v | g)"),
        ("residual `un(v | g)` is", "`un(v | g)` is"),
        ("a residual `un(v | g)` is", "a residual `un(v | g)` is"),
        ("contrasts={'f': 'sum'}", "contrasts={f: sum}"),
        ("weights: no", "model.weights: no"),
        ("the offset: no", "the offset: no"),
    ],
)
def test_what_the_library_says_is_said_in_the_words_of_a_study(said, words):
    assert in_study_words(said) == words


def test_all_errors_that_are_placed_are_told(settings):
    errors: list[LmmkitError] = [about("model"), about("seed")]
    assert len(placed(settings, {}, parse_yaml(TEXT), errors)) == 2
