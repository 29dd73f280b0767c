"""A study with `posterior:`: its step, what it leaves, what the report says of it, and refusals."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from support import warm
from support.once import made_once, run_of
from support.tiny import trust_project

from lmmkit.errors import RunError, StudyError
from lmmkit.study.files.study import load_study
from lmmkit.study.report.read_back import prove
from lmmkit.study.runs.plan import make_plan
from lmmkit.study.steps.open_step import open_step
from lmmkit.study.trace.why import why

ROOT = Path(__file__).parents[2]


def make_place(folder):
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    (folder / "params/data").mkdir(parents=True)
    shutil.copy(ROOT / "params/data/sleepstudy.csv", folder / "params/data")
    for name in ("sleepstudy", "sleepstudy_posterior"):
        shutil.copy(ROOT / f"params/{name}.yaml", folder / "params")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    make_place(folder)
    return folder


def run_posterior(folder):
    make_place(folder)
    study = "params/sleepstudy_posterior.yaml"
    done = warm.lmmkit(folder, "run", study, "--set=posterior.draws=1000", **warm.UNDRAWN)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_of(made_once(tmp_path_factory, "posterior", run_posterior))


def section(run):
    return BeautifulSoup((run / "report.html").read_text(), "html.parser").find(id="posterior")


def test_every_number_of_its_report_is_proven(run):
    proof = prove((run / "report.html").read_text(), run)
    assert proof.loose == []
    assert any(mark.file == "tables/posterior.csv" for mark in proof.proven)


def test_its_step_is_made_before_the_report_and_is_in_the_record(run):
    steps = [step["step"] for step in json.loads((run / "manifest.json").read_text())["steps"]]
    assert steps[-2:] == ["05_posterior", "04_report"]
    assert list(json.loads((run / "provenance.json").read_text())["notebooks"]) == steps[1:]


@pytest.mark.parametrize(
    ("file", "column", "said"),
    [
        ("posterior_draws", None, r"(?P<n>1,000) draws by importance sampling .* k-hat, is −?\d\.\d\d"),
        ("posterior_answer", "mean", r"Slope of Days: the posterior mean is (?P<n>1\d(\.\d)?) ms per d"),
        ("posterior_answer", "estimate", r"the REML estimate (?P<n>10\.47) \(7\.21 to 13\.73\)"),
        ("posterior_answer", "inside", r"between −5 and 5, where .* as good as none, is < 0"),
        ("posterior_sensitivity", "prior", r"No parameter hangs on the priors|Priors matter here"),
        ("posterior_loo", "elpd", r"With single rows left out the expected log predictive density is −86\d"),
    ],
)
def test_the_report_says_in_words_what_the_tables_hold(run, file, column, said):
    text = re.sub(r"\s+", " ", section(run).get_text())
    found = re.search(said, text)
    assert found, text[:1500]
    table = pd.read_csv(run / f"tables/{file}.csv")
    if column in ("mean", "estimate"):
        assert float(found["n"]) == pytest.approx(table[column].iloc[0], abs=0.5)


def test_estimates_stand_beside_posteriors_in_one_table_and_one_picture(run):
    table = pd.read_csv(run / "tables/posterior.csv").set_index("parameter")
    assert table.loc["Subject.sd.Days", "prior"] == "half_normal(0, 20)"
    fit = json.loads((run / "summary.json").read_text())
    assert fit["method"] == "REML"
    assert table["estimate"].notna().all()
    heads = [head.get_text() for head in section(run).find("table").find_all("th", scope="col")]
    assert heads[1:5] == ["Estimate", "Low", "High", "Posterior mean"]
    figure = json.loads((run / "figures/posterior.json").read_text())
    assert "6 of 6" in "".join(
        part if isinstance(part, str) else part["text"] for part in figure["marks"]["caption"]
    )


def test_the_draws_are_kept_and_why_makes_a_mean_again_from_them(run):
    links = {link.name: link.text for link in why(run, "Subject.sd.Days.mean")}
    assert "recomputed from posterior/draws.parquet" in links["formula"]
    assert "(agrees)" in links["formula"]
    assert "05_posterior.ipynb" in links["cell"]
    texts = json.loads((run / "posterior/other_programs.json").read_text())
    assert "brm(" in texts["brms"]
    assert texts["bambi"].startswith("none: Bambi has no correlated random effects")


def test_a_study_without_the_key_has_four_steps_and_the_same_ones_as_before(place, monkeypatch):
    monkeypatch.chdir(trust_project(place))
    books = [book.name for book in make_plan(Path("params/sleepstudy.yaml")).notebooks]
    assert books == ["01_data_prep", "02_random_effects", "03_fit", "04_report"]
    asked = make_plan(Path("params/sleepstudy.yaml"), {"posterior.draws": 500})
    assert [book.name for book in asked.notebooks][-2:] == ["05_posterior", "04_report"]
    with pytest.raises(RunError, match=r"does not ask for 05_posterior: give it the key `posterior:`"):
        open_step("05_posterior", "params/sleepstudy.yaml")
    with pytest.raises(StudyError, match=r"does not ask for 05: give it the key `posterior:`, or overrides"):
        make_plan(Path("params/sleepstudy.yaml")).since("05")
    with pytest.raises(StudyError, match=r"^no step 05_more; there are .*05_posterior"):
        asked.since("05_more")


def test_a_project_of_four_notebooks_needs_no_fifth_until_a_study_asks(place, tmp_path, monkeypatch):
    shutil.copytree(place, tmp_path / "own")
    (tmp_path / "own/notebooks/05_posterior.ipynb").unlink()
    monkeypatch.chdir(trust_project(tmp_path / "own"))
    plan = make_plan(Path("params/sleepstudy.yaml"))
    assert len(plan.notebooks) == 4
    with pytest.raises(
        RunError, match=r"`posterior:`, and the project's own notebooks, .* the installed one$"
    ):
        open_step("05_more", "params/sleepstudy.yaml")
    assert plan.why_absent("06") == "no step 06; there are 01_data_prep, 02_random_effects, 03_fit, 04_report"
    with pytest.raises(RunError, match=r"asks for `posterior`, and the project's own notebooks have none"):
        _ = make_plan(Path("params/sleepstudy_posterior.yaml")).notebooks


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("  draws: 4", "posterior.draws"),
        (
            "  priors: {sd: half_norml(2)}",
            "posterior.priors.sd: The prior 'half_norml\\(2\\)' cannot be read",
        ),
        ("  priors: {Days: 'normal(0, 0)'}", "posterior.priors.Days: .*sd is 0, and must be above 0"),
        ("  rope: [5, -5]", "posterior.rope: two numbers are expected, the second above the first"),
        ("  rope: {Days: [1]}", "posterior.rope.Days"),
        ("  prior: {}", "posterior.prior: unknown key - did you mean priors"),
    ],
)
def test_a_wrong_key_is_refused_at_its_place(tmp_path, line, said):
    text = (ROOT / "params/sleepstudy.yaml").read_text() + f"posterior:\n{line}\n"
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(StudyError, match=rf"s\.yaml:{len(text.splitlines())}:\d+: {said}"):
        load_study(tmp_path / "s.yaml")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "  priors: {Subject.sd.days: half_normal(2)}",
            r"no parameter Subject.sd.days; did you mean `Subject.sd.Days`",
        ),
        ("  rope: {Day: [-1, 1]}", r"posterior.rope.Day: the model has no parameter Day"),
    ],
)
def test_check_refuses_what_the_model_does_not_have(place, line, said):
    text = (place / "params/sleepstudy.yaml").read_text() + f"posterior:\n{line}\n"
    (place / "params/wrong.yaml").write_text(text)
    done = warm.lmmkit(place, "check", "params/wrong.yaml")
    assert done.returncode == 2
    assert re.search(said, done.stderr), done.stderr
