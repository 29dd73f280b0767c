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
        # what only the model's design can tell is told beside a fault of another section, not of the data
        (
            "data: {source: d.csv}\nmodel: {formula: y ~ x + (1 | g)}\nseed: -1\nreport: {contrast: [a, b]}",
            ["3:7: seed", "4:20: report.contrast"],
        ),
        (
            "data: {source: d.csv, columns: {x: {min: 3, max: 1}}}\nmodel: {formula: y ~ x + (1 | g)}\n"
            "report: {contrast: [a, b]}",
            ["1:50: data.columns.x.max"],
        ),
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


GOOD = 'model: {formula: "y ~ x + (1 | g)"}'


@pytest.mark.parametrize("terms", ["(age | g)", "(1 | school) + (1 | pupil)"])
def test_a_good_study_is_told_with_its_rows_and_nothing_twice(tmp_path, terms):
    checked = check(tmp_path, f'{DATA}\nmodel: {{formula: "y ~ x + {terms}"}}')
    plan = make_plan(tmp_path / "s.yaml")
    text = checked.text(plan)
    assert text.startswith(
        f"s.yaml is good. d.csv: 120 of 120 rows kept. Key of its run: {plan.key}\n\nNotice: "
    )
    assert "\n\n\n" not in text
    assert not checked.audit().relations.size
    assert not set(checked.audit().notices) & set(checked.notices)
    assert all(text.count(notice) == 1 for notice in checked.notices)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (
            "x + twice",
            "`twice` follows from `Intercept`, `x` in these rows and has no coefficient of its own: the fit "
            "leaves it out",
        ),
        (
            "x + twice + I(3 * x)",
            "`twice`, `I(3 * x)` follow from `Intercept`, `x` in these rows and have no coefficient of their "
            "own: the fit leaves them out",
        ),
    ],
)
def test_columns_that_the_fit_leaves_out_are_told(tmp_path, terms, said):
    assert said in check(tmp_path, f'{DATA}\nmodel: {{formula: "y ~ {terms} + (1 | g)"}}').notices


SERIAL = 'model: {formula: "y ~ x", residual: "ar1(x | g)"'
TWO = f'title: t\n{DATA}\nmodel: {{formula: "y ~ x * cond + (1 | g)"'


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (f"{TWO}, method: ML}}\ninference: {{df: kenward-roger}}", "5:17: inference.df", "REML"),
        (
            f"{DATA}\n{SERIAL}, algorithm: em}}",
            "3:62: model.algorithm",
            "has no step for the parameters of a residual structure",
        ),
        (
            f"{TWO}}}\nreport: {{focus: cond, contrast: a - d}}",
            "5:33: report.contrast",
            "two levels of `cond` are exp",
        ),
        (
            f"{TWO}}}\nreport: {{focus: x, contrast: [a, b]}}",
            "5:30: report.contrast",
            "`x` is a number, which has a slope and no levels",
        ),
        (
            f"{TWO}}}\nreport: {{focus: x, at: {{arm: A}}}}",
            "5:24: report.at",
            "`arm` is no other column of the fixed part",
        ),
        (
            f"{TWO}}}\nmissing_data: {{arm: site}}",
            "5:21: missing_data.arm",
            "`site` is no column of the fixed",
        ),
        (
            f"{TWO}}}\nmissing_data: {{arm: cond, shifted: [a, z]}}",
            "5:36: missing_data.shifted",
            "`cond` has no",
        ),
        (
            f"{TWO}}}\nposterior: {{priors: {{b: 'normal(0, 1)'}}}}",
            "5:25: posterior.priors.b",
            "the model has no parameter b",
        ),
        (
            f"{TWO}}}\nposterior: {{rope: {{sd: [0, 1]}}}}",
            "5:24: posterior.rope.sd",
            "the model has no parameter sd",
        ),
    ],
)
def test_what_a_run_would_refuse_after_its_first_step(tmp_path, text, place, message):
    with pytest.raises(StudyError) as raised:
        check(tmp_path, text)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"s.yaml:{place}: ")
    assert message in line


@pytest.mark.parametrize(
    "text",
    [
        f"{TWO}}}\ninference: {{df: kenward-roger}}",
        f"{DATA}\n{SERIAL}}}",
        f"{DATA}\n{GOOD[:-1]}, algorithm: em}}",
        f"{TWO}}}\nreport: {{focus: cond, contrast: a - b, at: {{x: 2}}}}",
        f"{TWO}}}\nmissing_data: {{arm: cond, shifted: [a, c]}}",
    ],
)
def test_what_a_run_can_answer_is_good(tmp_path, text):
    assert len(check(tmp_path, text).table.frame) == 120


#: Parameters of a model with slopes and of one with correlated residuals, by all that may name them.
SLOPES = [
    "sd",
    "cor",
    "beta",
    "sigma",
    "Residual.sd",
    "g.sd",
    "g.cor",
    "g.sd.x",
    "g.sd.Intercept",
    "g.cor.x.Intercept",
    "x",
    "Intercept",
]
VISITS = [
    "rho",
    "Residual.rho",
    *(f"Residual.{kind}" for kind in ("sd", "cor", "range", "share", "exponent")),
    "cor",
]


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ('{formula: "y ~ x + (x | g)"}', SLOPES),
        ('{formula: "y ~ x", residual: "ar1(x | g)"}', VISITS),
        ('{formula: "y ~ x + (x || g)"}', ["g.sd", "g.1.sd", "g.sd.Intercept", "g.1.sd.x", "g.sd.x"]),
    ],
)
def test_priors_of_what_the_model_has_are_good(tmp_path, model, names):
    laws = {name: "lkj(2)" if ".cor" in name or name == "cor" else "normal(0, 1)" for name in names}
    given = ", ".join(f"{name}: '{law}'" for name, law in laws.items())
    assert check(tmp_path, f"{DATA}\nmodel: {model}\nposterior: {{priors: {{{given}}}}}").notices is not None


@pytest.mark.parametrize(
    ("model", "prior", "said"),
    [
        ('{formula: "y ~ x + (1 | g)"}', "qqqq", "; it has Intercept, x, g.sd.Intercept, Residual.sd"),
        ('{formula: "y ~ x + (1 | g)"}', "Residual.sdd", "; did you mean `Residual.sd`?"),
        (
            '{formula: "y ~ x", residual: "ar1(x | g)"}',
            "qqqq",
            "; it has Intercept, x, rho, Residual.rho, Residual.sd",
        ),
    ],
)
def test_a_prior_of_what_the_model_lacks_is_told_with_what_it_has(tmp_path, model, prior, said):
    with pytest.raises(StudyError) as raised:
        check(tmp_path, f"{DATA}\nmodel: {model}\nposterior: {{priors: {{{prior}: 'normal(0, 1)'}}}}")
    assert str(raised.value).endswith(f"the model has no parameter {prior}{said}")


def test_a_candidate_that_cannot_be_fitted_is_no_fault_where_another_can_or_none_is_chosen(tmp_path):
    bad = "[(x + twice | g), (x + I(2 * x) | g)]"
    for rule, listed in (("best", f"[(1 | g), {bad[1:]}"), ("fixed", bad)):
        text = f"{DATA}\n{GOOD}\nrandom_effects: {{rule: {rule}, candidates: {listed}}}"
        said = [notice for notice in check(tmp_path, text).notices if notice.startswith("the candidate ")]
        assert [notice.partition(" cannot be fitted: ")[0] for notice in said] == [
            "the candidate (x + twice | g)",
            "the candidate (x + I(2 * x) | g)",
        ]
