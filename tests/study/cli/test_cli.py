"""The command line: what it refuses before anything runs, and the small commands."""

import json
import subprocess
import sys

import pytest
from support.commands import invoke
from support.tiny import DATA, STUDY

from lmmkit.study.files.schema import Settings


@pytest.fixture
def studies(project):
    """Studies that cannot run."""
    (project / "tiny.csv").write_text(DATA)
    (project / "full").write_text("a file, no folder")
    for name, old, new in [
        ("outside", "data/tiny.csv", "../tiny.csv"),
        ("pinned", "columns:", f"sha256: {'0' * 64}\n  columns:"),
        ("gone", "tiny.csv", "gone.csv"),
        ("wrong", "model:", "modell:"),
        ("column", "y:", "z:"),
        ("tagged", "Tiny", "!!python/name:os.system"),
    ]:
        (project / f"params/{name}.yaml").write_text(STUDY.replace(old, new))
    return project


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run params/none.yaml", "no study file at params/none.yaml"),
        ("run params", "params is a folder"),
        ("run params/wrong.yaml", "wrong.yaml:8:1: modell: unknown key - did you mean model?"),
        ("run params/tagged.yaml", "tagged.yaml:2:8: title: a tag"),
        ("run params/outside.yaml", "--allow-outside"),
        ("check params/outside.yaml", "--allow-outside"),
        ("run params/pinned.yaml", "the data have changed"),
        ("run params/gone.yaml", "data.source data/gone.csv does not exist"),
        ("check params/column.yaml", "there is no column `z`"),
        ("new none.csv --formula y~x+(1|g)", "none.csv cannot be read"),
        ("new tiny.csv --formula y~x|g", "random-effects term"),
        ("new tiny.csv --formula y~z+(1|g)", "there is no column `z`"),
        ("run", "Missing argument"),
        ("frobnicate", "No such command"),
    ],
)
def test_refusals_before_anything_runs(studies, arguments, message):
    done = invoke(*arguments.split())
    assert (done.exit_code, message in done.output) == (2, True), done.output
    assert not (studies / "reports").exists()
    assert not (studies / "tiny.yaml").exists()


@pytest.mark.slow
def test_an_unwritable_reports_folder_is_refused(studies, lmmkit):
    done = lmmkit("run", "params/tiny.yaml", "--reports", "full")
    assert (done.returncode, "full/tiny" in done.stderr, "cannot be made" in done.stderr) == (2, True, True)


def test_check_tells_rows_and_key(project):
    done = invoke("check", "params/tiny.yaml")
    assert (done.exit_code, "20 of 20 rows kept" in done.output) == (0, True)


def test_check_reads_data_outside_with_leave(studies):
    (studies / "tiny.csv").write_text(DATA)
    done = invoke("check", "params/outside.yaml", "--allow-outside")
    assert (done.exit_code, "20 of 20 rows kept" in done.output) == (0, True), done.output


def test_a_new_study_is_good_and_is_not_overwritten(project):
    rows = "".join(f"{i * i % 7},{i},{i % 3:03d},{i % 2}\n" for i in range(12))
    (project / "own.csv").write_text(f"Sepal.Length,x y,group,true\n{rows}")
    done = invoke("new", "own.csv", "--formula", "Sepal.Length ~ `x y` + true + (1 | group)")
    assert done.exit_code == 0, done.output
    checked = invoke("check", "own.yaml")
    assert checked.exit_code == 0, checked.output
    text = (project / "own.yaml").read_text()
    for line in (
        "Sepal.Length: {type: number}",
        '"x y": {type: number}',
        '"true": {type: number}',
        "group: {type: factor}",
    ):
        assert line in text
    assert invoke("new", "own.csv", "--formula", "x ~ 1 + (1 | group)").exit_code == 2
    assert (project / "own.yaml").read_text() == text


def test_schema_prints_the_schema():
    assert json.loads(invoke("schema").output) == Settings.model_json_schema(by_alias=True)


def test_help_loads_neither_notebooks_nor_pictures():
    script = "import sys, lmmkit.study.cli.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert {"papermill", "nbformat", "jupyter_client", "matplotlib", "statsmodels"} & set(
        loaded.split()
    ) == set()
    assert invoke("--help").exit_code == 0
