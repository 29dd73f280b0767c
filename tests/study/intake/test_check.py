"""`check` says all that a run would refuse, at once, with its place in the study file and in its words."""

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import StudyError
from lmmkit.study.intake.check import check_file, check_study
from lmmkit.study.runs.plan import make_plan

RNG = np.random.default_rng(1)
G, X = np.repeat(np.arange(20), 6), np.tile(np.arange(6), 20)
FRAME = pd.DataFrame(
    {
        "y": (RNG.normal(size=120) + RNG.normal(size=20)[G] + X / 2).round(3),
        "x": X,
        "g": [f"s{k}" for k in G],
        "age": RNG.uniform(20, 60, 20)[G].round(1),
        "twice": 2 * X + 1,
        "school": G // 5,
        "pupil": G % 5 + 1,
        "site": (G + X) % 3,
        "cond": np.tile(list("abc"), 40),
        "arm": np.where(G < 10, "A", "B"),
    }
)


def check(folder, text):
    FRAME.to_csv(folder / "d.csv", index=False)
    (folder / "s.yaml").write_text(f"schema: 1\n{text}\n")
    return check_study(make_plan(folder / "s.yaml"))


DATA = "data: {source: d.csv}"


@pytest.mark.parametrize(
    ("formula", "notice"),
    [
        ("y ~ x + (age | g)", "`age` has one value in each level of `g`"),
        ("y ~ x + (arm | g)", "too few values"),
        ("y ~ x + twice + (1 | g)", "`twice` follows from `Intercept`, `x`"),
        ("y ~ x + x^2 + (1 | g)", "I(x^2)"),
        ("y ~ x + (1 | school) + (1 | pupil)", "(1 | school/pupil)"),
    ],
)
def test_what_a_run_would_do_in_silence_is_noticed(tmp_path, formula, notice):
    checked = check(tmp_path, f'{DATA}\nmodel: {{formula: "{formula}"}}')
    assert notice in " ".join(checked.notices)
    assert f"Notice: {checked.notices[0]}" in checked.text(make_plan(tmp_path / "s.yaml"))


def test_faults_are_told_at_once_with_their_places(tmp_path):
    with pytest.raises(StudyError) as raised:
        check(
            tmp_path,
            "data:\n  source: d.csv\n  columns:\n    cond: {type: number}\n    ages: {min: 3}\n"
            "  exclude: ['agee > 3']\n"
            "  derive: {z: log(nothing)}\n"
            "model: {formula: 'y ~ x + cond + (1 | g)', method: ML, weights: arm}\n"
            "inference: {df: kenward-roger}\nreport: {focus: agge}",
        )
    lines = str(raised.value).splitlines()
    places = [line.split(": ")[:2] for line in lines]
    assert places == [
        ["s.yaml:5:11", "data.columns.cond"],
        ["s.yaml:6:11", "data.columns.ages"],
        ["s.yaml:7:14", "data.exclude[0]"],
        ["s.yaml:8:19", "data.derive.z"],
        ["s.yaml:9:65", "model.weights"],
        ["s.yaml:10:17", "inference.df"],
        ["s.yaml:11:17", "report.focus"],
    ]
    text = str(raised.value)
    assert "df=" not in text
    assert "reml=" not in text
    assert "pandas" not in text
    assert "did you mean `age`" in lines[1] or "did you mean" in lines[2]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("report: {focus: nosuch}", "5:17: report.focus", "'nosuch' is no term of the formula"),
        ("report: {focus: 'cond[T.b[1]]'}", "5:17: report.focus", "did you mean `cond[T."),
        ("report: {focus: 'cond[T.z]'}", "5:17: report.focus", "did you mean `cond[T."),
        ("inference: {df: between-within}", "5:17: inference.df", "are crossed"),
    ],
)
def test_what_the_report_and_the_tests_would_refuse(tmp_path, text, place, message):
    with pytest.raises(StudyError) as raised:
        check(tmp_path, f"title: t\n{DATA}\nmodel: {{formula: y ~ x + cond + (1 | g) + (1 | site)}}\n{text}")
    assert f"s.yaml:{place}: " in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize("focus", ["x", "cond", "cond[T.b]", "I(x ** 2)", "I(x^2)", "Intercept"])
def test_a_focus_that_is_there_is_good(tmp_path, focus):
    text = f"{DATA}\nmodel: {{formula: 'y ~ x + I(x^2) + cond + (1 | g)'}}\nreport: {{focus: '{focus}'}}"
    assert check(tmp_path, text).design.fixed_names[2] == "I(x^2)"


@pytest.mark.parametrize(
    "data",
    [
        "exclude: [\"cond == 'a'\"], columns: {cond: {type: factor, reference: a}}",
        "columns: {cond: {type: factor, levels: [a, b, c, z], reference: z}}",
    ],
)
def test_a_reference_level_without_rows_is_refused(tmp_path, data):
    with pytest.raises(
        StudyError, match=r"data\.columns\.cond\.reference: cond: no row is left of its reference"
    ):
        check(tmp_path, f"data: {{source: d.csv, {data}}}\nmodel: {{formula: y ~ cond + (1 | g)}}")


def test_candidates_that_cannot_be_fitted_are_noticed_and_refused_when_none_can(tmp_path):
    model = "model: {formula: y ~ x + (1 | g)}\nrandom_effects: {rule: best, candidates: "
    checked = check(tmp_path, f"{DATA}\n{model}[(1 | g), (x + twice | g)]}}")
    assert "the candidate (x + twice | g) cannot be fitted" in " ".join(checked.notices)
    with pytest.raises(StudyError, match=r"s.yaml:4:43: random_effects\.candidates\[0\]: "):
        check(tmp_path, f"{DATA}\n{model}[(x + twice | g)]}}")


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (
            "data:\n  source: d.csv\n  columns:\n    cond: {type: number}\n    x: {min: 3, max: 1}\n"
            'model:\n  formula: "y ~ x + conde + `a b` + (1 | gg)"\n  methd: ML\nreport: {focus: zz}',
            ["4:11: data.columns.cond", "5:22: data.columns.x.max", "7:21: model.formula",
             "7:29: model.formula",
             "7:42: model.formula", "8:3: model.methd", "9:17: report.focus"],
        ),
        (
            "data: {source: d.csv, columns: {cond: {type: number}}}\n"
            "model:\n  formula: >\n    y ~ log(x) +\n      conde + (1 | gg)\n  method: MLE\nseed: -1",
            ["1:39: data.columns.cond", "5:7: model.formula", "5:20: model.formula",
             "6:11: model.method", "7:7: seed"],
        ),
        (
            "data: {source: d.csv, columns: {x: {type: number}, cond: {type: number}}}\n"
            "model:\n  formula: y ~ x + (1 |\n  method: MLE",
            ["1:58: data.columns.cond", "3:12: model.formula", "4:11: model.method"],
        ),
        (
            "data:\n  source: d.csv\n  derive: {z: log(cond), w: exp(yy)}\n  exclude: [x > 3, 'cc == 3']\n"
            "model: {formula: y ~ x + z + (1 | g)}\nrandom_effects: {rule: bst}",
            ["3:19: data.derive.z", "3:33: data.derive.w", "4:21: data.exclude[1]",
             "6:24: random_effects.rule"],
        ),
        ("data: {source: d.csv}\nmodel: {formula: y ~ exp(exp) + x:exp, method: MLE}",
         ["2:26: model.formula", "2:48: model.method"]),
        # what cannot be known while the file is read in the wrong way is not guessed
        ("data: {source: d.csv, sep: ';;'}\nmodel: {formula: y ~ xx + (1 | g)}", ["1:28: data.sep"]),
    ],
)  # fmt: skip
def test_faults_of_the_file_and_of_the_data_are_told_at_once(tmp_path, text, places):
    FRAME.to_csv(tmp_path / "d.csv", index=False)
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(StudyError) as raised:
        check_file(tmp_path / "s.yaml", allow_outside=False)
    lines = str(raised.value).splitlines()
    assert [": ".join(line.split(": ")[:2]).removeprefix("s.yaml:") for line in lines] == places


def test_the_design_is_audited(tmp_path):
    model = 'model: {formula: "y ~ cond * arm + (1 | g)"}'
    text = check(tmp_path, f"{DATA}\n{model}").text(make_plan(tmp_path / "s.yaml"))
    assert "Maximal random part that the design justifies: (1 + cond | g)." in text
    assert "g, arm: `arm` has one value in each level of `g`." in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'model: {formula: "y ~ arm", residual: "cs(x | g)"}\nrandom_effects: {simulate: 9}',
            "no random effects",
        ),
        (
            'model: {formula: "y ~ x + (x | g)"}\n'
            "random_effects: {rule: best, candidates: [(1 | g)], criterion: caic, simulate: 9}",
            "caic",
        ),
    ],
)
def test_error_rates_that_cannot_be_simulated_are_refused(tmp_path, text, said):
    with pytest.raises(StudyError, match=f"random_effects.simulate.*{said}"):
        check(tmp_path, f"{DATA}\n{text}")
