"""What a step hands to its notebook and keeps of it; the run is a folder, no notebook is executed."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.errors import RunError, StudyError
from lmmkit.study import load_table
from lmmkit.study.files.study import load_study
from lmmkit.study.pages.marks import Mark, Name, fill
from lmmkit.study.records.manifest import File, Manifest, Record, root_digest
from lmmkit.study.steps import step as module
from lmmkit.study.steps.step import Declared, Step, audit_structure, choose_structure, simulate_choice

STEPS = ["01_data_prep", "02_random_effects", "03_fit", "04_report"]


@pytest.fixture
def step(project, tmp_path):
    """A step that declares some keys, in an empty run folder."""

    def make(*reads, name="03_fit", folder="run"):
        books = [
            SimpleNamespace(name=each, title=each.upper(), reads=reads, code=lambda: ["1"]) for each in STEPS
        ]
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        study = load_study(project / "params/tiny.yaml")
        plan = SimpleNamespace(
            notebooks=books,
            earlier=lambda name: books[: STEPS.index(name)],
            since=lambda name: frozenset(STEPS[STEPS.index(name) :]),
            provenance=lambda: {"key": "k"},
            base=None,
            study=study,
        )
        return Step(name, plan, place, Declared(study.settings, frozenset(reads), name))

    return make


def test_declared_keys_are_read_and_others_refused(step):
    made = step("model.method", "data", "title", "seed")
    assert (made.settings.model.method, made.title, made.seed) == ("REML", "Tiny", 20240101)
    assert made.settings.data.source == "data/tiny.csv"
    assert ("data" in made.settings, "model" in made.settings) == (True, False)
    for read, key in (
        (lambda: made.settings.model.formula, "model.formula"),
        (lambda: made.settings.inference, "inference"),
        (lambda: made.settings.inference.df, "inference"),
    ):
        with pytest.raises(StudyError) as raised:
            read()
        assert (
            str(raised.value)
            == f"03_fit reads {key}, which its notebook does not declare under `lmmkit.reads`"
        )
    with pytest.raises(StudyError, match=r"a study has no key model\.metod; see docs/study\.schema\.json"):
        _ = made.settings.model.metod
    with pytest.raises(StudyError, match="reads data, which"):
        _ = step("data_more").settings.data  # the beginning of another key is no section


def test_pictures_are_told_by_step_then_name(step):
    made = step()
    (made.folder / "figures").mkdir()
    for name, of in (("b", "03_fit"), ("a", "03_fit"), ("c", "01_data_prep")):
        (made.folder / f"figures/{name}.svg").write_bytes(b"<svg/>")
        record = {"name": name, "file": f"{name}.svg", "step": of, "marks": {"alt": [], "caption": []}}
        (made.folder / f"figures/{name}.json").write_text(json.dumps(record))
    assert [figure.name for figure in made.figures()] == ["c", "a", "b"]


def test_a_picture_is_kept_with_names_as_readers_see_them(step, monkeypatch):
    made = step("data")
    monkeypatch.setattr(Step, "labels", lambda self: module.labels_of({"x": {"label": "Days awake"}}))
    monkeypatch.setattr("lmmkit.plots.svg_bytes", lambda drawn: b"<svg/>")
    caption = fill("{} rises to {}.", Name("x"), Mark(2, "fit.json", "x", "2"))
    figure = made.save_figure("line", None, alt="a line", caption=caption)
    assert (str(figure.alt), str(figure.caption), figure.step) == (
        "A line",
        "Days awake rises to 2.",
        "03_fit",
    )
    assert (made.folder / "figures/line.svg").read_bytes() == b"<svg/>"
    assert made.figures() == [figure]


def test_labels_are_those_of_the_study_or_of_the_data_with_the_names_of_the_model(step):
    made = step()
    made.save_json("data.schema.json", {"columns": [{"column": "x", "label": "Days awake"}, {"column": "y"}]})
    assert made.labels().of("x") == "Days awake"
    made.save_table("names", pd.DataFrame({"name": ["x:z"], "seen": ["Both"]}))
    assert (made.labels().of("x:z"), made.labels().of("x")) == ("Both", "Days awake")
    assert step("data").labels().columns == {}  # the study's own, which has none


def test_the_root_is_that_of_the_steps_before(step):
    made = step(name="04_report")
    files = [File(f"{name}.txt", 1, f"{k}{k}" * 32) for k, name in enumerate(("study", *STEPS))]
    records = [Record(name, "k", (file,)) for name, file in zip(("study", *STEPS), files, strict=True)]
    Manifest("tiny", "k", steps=tuple(records)).save(made.folder)
    made.save_root()
    assert made.json("root.json") == {"files": 4, "root": root_digest(files[:4])}


def test_rows_that_were_dropped_for_a_gap_are_kept_beside_the_others(step, project):
    path = project / "params/data/tiny.csv"
    for text, gaps in ((path.read_text(), 0), (f"{path.read_text()},3,00\n", 1)):
        path.write_text(text)
        made = step("data", folder=f"run{gaps}")
        study = load_study(project / "params/tiny.yaml")
        made.save_data(load_table(study.settings.data, module.Base(project / "params")))
        assert bool(made.list("incomplete.parquet")) == bool(gaps)
        assert (len(made.table()), len(made.table_with_gaps())) == (20, 20 + gaps)
        assert (made.folder / "rows.csv").read_text().count("\n") == 21 + gaps


def test_a_file_of_a_finished_step_is_written_as_it_was_or_not_at_all(step):
    made = step()
    made.save_json("a.json", 1)
    content = (made.folder / "a.json").read_bytes()
    Manifest(
        "tiny",
        "k",
        steps=(Record("01_data_prep", "k", (File("a.json", len(content), module.sha256(content)),)),),
    ).save(made.folder)
    made.save_json("a.json", 1)
    made.save_json("b.json", 2)
    with pytest.raises(
        RunError,
        match=r"a\.json stands in .* already with other content; a finished step is not changed\. Leave",
    ):
        made.save_json("a.json", 2)


def test_a_text_that_no_step_has_written_is_told(step):
    made = step()
    with pytest.raises(RunError, match=r"a\.txt is not in .*: the step that writes it has not been run"):
        made.text("a.txt")
    (made.folder / "a.txt").write_text("it")
    (made.folder / "b.txt").write_text("it")
    assert (made.text("a.txt"), made.list("*.txt")) == ("it", ["a.txt", "b.txt"])


def test_code_and_provenance_are_for_steps_that_declare_them(step):
    made = step("provenance")
    assert made.code() == [(name, name.upper(), ["1"]) for name in STEPS[:2]]
    assert made.provenance() == {"key": "k"}
    for read in (step("title").code, step("title").provenance):
        with pytest.raises(StudyError, match="03_fit reads provenance, which its notebook does not declare"):
            read()


def test_what_is_known_of_levels_goes_from_step_to_step(step):
    made = step("model")
    assert made.save_known() == {}
    assert (made.json("known.json"), made.known()) == ({}, None)
    assert made.fit_options()["known"] is None


def test_each_known_covariance_is_kept_in_a_table_of_its_own(step, monkeypatch):
    made = step("model")
    names = list("abc")
    tables = {
        "g": pd.DataFrame(np.eye(3) + 0.25, names, names),
        "h": pd.DataFrame({"animal": names, "sire": [None, None, "a"], "dam": [None, None, "b"]}),
    }
    monkeypatch.setattr(module, "read_known_files", lambda known, base: tables)
    saved = made.save_known()
    assert list(saved) == ["g", "h"]
    assert made.json("known.json") == {"g": "known-0.parquet", "h": "known-1.parquet"}
    read = made.known()
    for group in "gh":
        pd.testing.assert_frame_equal(read[group].frame(), saved[group].frame())
    assert list(made.fit_options()["known"]) == ["g", "h"]


def test_a_posterior_is_kept_with_the_weights_of_its_draws_and_a_report_as_it_is(step):
    made = step()
    posterior = SimpleNamespace(
        draws_frame=lambda: pd.DataFrame({"x": [1.0, 2.0]}),
        draws=SimpleNamespace(log_weights=np.array([-0.5, -1.0])),
        to_dict=lambda: {"kind": "draws"},
        other_programs=lambda: {"brms": "brm()"},
    )
    made.save_posterior(posterior)
    draws = pd.read_parquet(made.folder / "posterior/draws.parquet")
    assert draws.to_dict("list") == {"x": [1.0, 2.0], "log_weight": [-0.5, -1.0]}
    assert made.json("posterior/posterior.json") == {"kind": "draws"}
    assert made.json("posterior/other_programs.json") == {"brms": "brm()"}
    made.save_report("<p>é</p>")
    assert (made.folder / "report.html").read_bytes() == "<p>é</p>".encode()


@pytest.fixture(scope="module")
def table():
    rng, group = np.random.default_rng(3), np.repeat(np.arange(6), 5)
    frame = pd.DataFrame({"g": group.astype(str), "x": np.tile(np.arange(5.0), 6)})
    frame["y"] = frame["x"] + rng.normal(size=6)[group] + rng.normal(size=30)
    return frame


def test_a_fit_comes_back_as_it_was_kept(step, table):
    made, fit = step(), lmm("y ~ x + (1 | g)", table)
    made.save_fit(fit)
    assert made.fit().deviance == fit.deviance
    assert made.json("fit.json") == made.json("fit/fit.json")
    assert len(made.csv("trace.csv")) == len(fit.trace)


def settings(rule="fixed", method="ML", simulate=30, asked=None):
    model = SimpleNamespace(
        formula="y ~ x + (1 | g)", method=method, weights=None, offset=None, contrasts={}, residual="iid",
        algorithm="newton",
    )  # fmt: skip
    effects = SimpleNamespace(rule=rule, candidates="auto", criterion="aic", alpha=0.1, simulate=simulate)
    return SimpleNamespace(model=model, random_effects=effects, simulation=asked, seed=7)


PLAIN = {"weights": None, "offset": None, "contrasts": None, "residual": "iid", "known": "K"}


@pytest.mark.parametrize(("method", "reml"), [("REML", True), ("ML", False)])
def test_a_choice_is_simulated_as_it_is_made(monkeypatch, table, method, reml):
    asked = []
    monkeypatch.setattr(module, "error_rates", lambda *args, **named: asked.append((args, named)) or "rates")
    assert simulate_choice(settings(), table, known="K") is None
    found = simulate_choice(settings("best", method, asked={"level": 0.9, "seed": 3}), table, known="K")
    assert found == "rates"
    ((args, named),) = asked
    assert args == ("y ~ x + (1 | g)", table)
    assert named == PLAIN | {
        "rule": "best", "candidates": "auto", "criterion": "aic", "alpha": 0.1, "n": 30, "reml": reml,
        "level": 0.9, "seed": 3,
    }  # fmt: skip


def test_a_choice_is_made_by_the_rule_of_the_study(monkeypatch, table):
    asked = []
    monkeypatch.setattr(module, "select", lambda *args, **named: asked.append((args, named)) or "selection")
    monkeypatch.setattr(module, "design_audit", lambda *args, **named: asked.append((args, named)) or "audit")
    assert choose_structure(settings("forward"), table, known="K") == "selection"
    assert audit_structure(settings(), table, known="K") == "audit"
    (choice, made), (design, audited) = asked
    assert choice == design == ("y ~ x + (1 | g)", table)
    assert made == PLAIN | {
        "rule": "forward", "candidates": "auto", "criterion": "aic", "alpha": 0.1, "seed": 7, "reml": False,
        "algorithm": "newton",
    }  # fmt: skip
    assert audited == PLAIN
