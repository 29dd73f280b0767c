"""A run: four steps, their files, their record; interrupted, resumed, refused, made again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from study.tiny import DATA, STUDY, write_notebook

FILES = set(
    [
        "01_data_prep.ipynb",
        "02_random_effects.ipynb",
        "03_fit.ipynb",
        "04_report.ipynb",
        "data.parquet",
        "data.schema.json",
        "fit.json",
        "log.jsonl",
        "manifest.json",
        "provenance.json",
        "report.html",
        "rows.csv",
        "selection.json",
        "study.json",
        "tables/means.csv",
    ]
)
NOISY = {"log.jsonl", "ro-crate-metadata.json"}


def run_folder(project: Path, reports: str = "reports") -> Path:
    (folder,) = (path for path in (project / reports / "tiny").iterdir() if path.is_dir())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_bytes())


def slow_step(project: Path) -> None:
    """Let step 03 leave a file and then sleep."""
    cells = ["import time", 'step.save_json("half.json", 1)\ntime.sleep(60)']
    write_notebook(project / "notebooks", "03_fit", ["seed"], cells)


def wait_for_half(project: Path) -> None:
    """Until step 03 has left its file."""
    deadline = time.monotonic() + 60
    while not list(project.glob("reports/tiny/*/half.json")) and time.monotonic() < deadline:
        time.sleep(0.05)


def stopped(project: Path, number: int, *options: str) -> subprocess.CompletedProcess[str]:
    """A run that gets a signal in the middle of step 03."""
    command = [sys.executable, "-m", "lmmkit.study.cli", "run", "params/tiny.yaml", *options]
    process = subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_half(project)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.slow
def test_a_run_leaves_its_folder_and_says_where(project, lmmkit):
    done = lmmkit("run", "params/tiny.yaml")
    assert (done.returncode, done.stderr.count("\n")) == (0, 4), done.stderr
    folder = run_folder(project)
    assert Path(done.stdout.strip()) == folder / "report.html"
    assert re.fullmatch("[0-9a-f]{12}", folder.name)
    assert (project / "reports/tiny/latest").read_text() == f"{folder.name}\n"
    assert set(contents(folder)) == FILES
    listed = {file["path"] for step in manifest(folder)["steps"] for file in step["files"]}
    assert listed == FILES - {"manifest.json", "log.jsonl"}
    assert json.loads((folder / "study.json").read_bytes())["model"]["method"] == "REML"

    text = b"".join(content for name, content in contents(folder).items() if name not in NOISY)
    assert str(project).encode() not in text

    again = lmmkit("run", "params/tiny.yaml")
    assert again.stderr.count("verified, kept") == 4


@pytest.mark.slow
def test_two_runs_are_byte_identical_and_so_is_a_cold_one(project, lmmkit):
    for options in (["--reports", "a"], ["--reports", "b", "--cold"]):
        assert lmmkit("run", "params/tiny.yaml", *options).returncode == 0
    before = contents(run_folder(project, "a"))
    assert lmmkit("run", "params/tiny.yaml", "--reports", "a", "--force").returncode == 0
    forced, cold = contents(run_folder(project, "a")), contents(run_folder(project, "b"))
    for other in (forced, cold):
        assert {name for name in before if before[name] != other[name]} <= NOISY


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--cold"]], ids=["forked", "cold"])
def test_an_interrupted_run_says_so_and_goes_on_where_it_stopped(project, lmmkit, options):
    slow_step(project)
    done = stopped(project, signal.SIGINT, *options)
    assert done.returncode == 130
    assert done.stderr.endswith("Interrupted. Start it again to go on where it stopped.\n")
    folder = run_folder(project)
    assert manifest(folder)["status"] == "interrupted"
    assert [step["step"] for step in manifest(folder)["steps"]] == [
        "study",
        "01_data_prep",
        "02_random_effects",
    ]
    assert not (project / "reports/tiny/latest").exists()

    done = stopped(project, signal.SIGTERM)
    assert done.returncode == 130
    assert done.stderr.count("verified, kept") == 2


@pytest.mark.slow
def test_a_killed_run_leaves_a_folder_that_is_not_complete_and_is_resumed(project, lmmkit):
    cells = [
        "import time, pathlib",
        "step.save_json('half.json', 1)\nif not pathlib.Path('go').exists(): time.sleep(60)",
    ]
    write_notebook(project / "notebooks", "03_fit", ["seed"], cells)
    write_notebook(project / "notebooks", "04_report", ["title"], ["step.save_report('x')"])
    assert stopped(project, signal.SIGKILL).returncode == -signal.SIGKILL
    folder = run_folder(project)
    assert manifest(folder)["status"] == "running"
    time.sleep(1.5)  # its kernel notices that it is alone
    (folder / "stray.txt").write_text("left over")
    (project / "go").touch()
    done = lmmkit("run", "params/tiny.yaml")
    assert (done.returncode, done.stderr.count("verified, kept")) == (0, 2), done.stderr
    assert manifest(folder)["status"] == "complete"
    assert not (folder / "stray.txt").exists()


@pytest.mark.slow
def test_a_touched_file_makes_its_step_and_the_later_ones_anew(project, lmmkit):
    lmmkit("run", "params/tiny.yaml")
    folder = run_folder(project)
    before = contents(folder)
    (folder / "selection.json").write_text("{}")
    done = lmmkit("run", "params/tiny.yaml")
    assert done.stderr.count("verified, kept") == 1
    after = contents(folder)
    assert {name for name in before if before[name] != after[name]} <= NOISY


@pytest.mark.slow
def test_a_failing_step_ends_the_run_with_its_message(project, lmmkit):
    broken = ["from lmmkit.errors import FitError", "raise FitError('the variance is negative')"]
    write_notebook(project / "notebooks", "03_fit", ["seed"], broken)
    done = lmmkit("run", "params/tiny.yaml")
    assert done.returncode == 1
    assert done.stderr.endswith("Error: 03_fit, cell 5: the variance is negative\n")
    folder = run_folder(project)
    assert manifest(folder)["status"] == "failed"
    assert "the variance is negative" in manifest(folder)["error"]
    assert "the variance is negative" in (folder / "03_fit.ipynb").read_text()


@pytest.mark.slow
def test_a_dead_kernel_is_told(project, lmmkit):
    write_notebook(project / "notebooks", "01_data_prep", ["data"], ["import os\nos._exit(9)"])
    done = lmmkit("run", "params/tiny.yaml")
    assert (done.returncode, "01_data_prep: the kernel died" in done.stderr) == (1, True)


@pytest.mark.slow
def test_a_second_run_at_once_is_refused(project, lmmkit):
    slow_step(project)
    command = [sys.executable, "-m", "lmmkit.study.cli", "run", "params/tiny.yaml"]
    first = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_half(project)
    done = lmmkit("run", "params/tiny.yaml")
    first.terminate()
    first.wait(timeout=30)
    assert (done.returncode, "another run is at work" in done.stderr) == (2, True)


@pytest.mark.slow
def test_a_step_reads_only_what_it_declares(project, lmmkit):
    write_notebook(project / "notebooks", "01_data_prep", ["data"], ["step.settings.model.method"])
    done = lmmkit("run", "params/tiny.yaml")
    assert done.returncode == 1
    assert "01_data_prep reads model, which its notebook does not declare" in done.stderr


def test_refusals_before_the_first_step(project, lmmkit):
    (project / "params/outside.yaml").write_text(STUDY.replace("data/tiny.csv", "../tiny.csv"))
    (project / "tiny.csv").write_text(DATA)
    (project / "params/pinned.yaml").write_text(STUDY.replace("columns:", f"sha256: {'0' * 64}\n  columns:"))
    (project / "params/gone.yaml").write_text(STUDY.replace("tiny.csv", "gone.csv"))
    (project / "params/wrong.yaml").write_text(STUDY.replace("model:", "modell:"))
    (project / "full").write_text("a file, no folder")
    for arguments, message in [
        (["run", "params/none.yaml"], "no study file at params/none.yaml"),
        (["run", "params"], "params is a folder"),
        (["run", "params/wrong.yaml"], "wrong.yaml:8:1: modell: unknown key - did you mean model?"),
        (["run", "params/outside.yaml"], "--allow-outside"),
        (["run", "params/pinned.yaml"], "the data have changed"),
        (["run", "params/gone.yaml"], "data.source data/gone.csv does not exist"),
        (["run", "params/tiny.yaml", "--reports", "full"], "cannot be made"),
        (["run"], "Missing argument"),
        (["sweep", "params/tiny.yaml"], "`lmmkit sweep` is not built yet"),
        (["audit", "reports/x"], "`lmmkit audit` is not built yet"),
    ]:
        done = lmmkit(*arguments)
        assert (done.returncode, message in done.stderr) == (2, True), (arguments, done.stderr)
    assert not (project / "reports").exists()


@pytest.mark.slow
def test_data_outside_are_read_with_leave(project, lmmkit):
    (project / "params/outside.yaml").write_text(STUDY.replace("data/tiny.csv", "../tiny.csv"))
    (project / "tiny.csv").write_text(DATA)
    assert lmmkit("run", "params/outside.yaml", "--allow-outside").returncode == 0


def test_check_tells_rows_and_key(project, lmmkit):
    done = lmmkit("check", "params/tiny.yaml")
    assert (done.returncode, "20 of 20 rows kept" in done.stdout) == (0, True)
    (project / "params/bad.yaml").write_text(STUDY.replace("y:", "z:"))
    done = lmmkit("check", "params/bad.yaml")
    assert (done.returncode, "there is no column `z`" in done.stderr) == (2, True)


@pytest.mark.slow
def test_a_new_study_runs(project, lmmkit):
    (project / "own.csv").write_text(DATA)
    done = lmmkit("new", "own.csv", "--formula", "y ~ x + (1 | g)")
    assert (done.returncode, "own.yaml written" in done.stdout) == (0, True), done.stderr
    assert lmmkit("run", "own.yaml").returncode == 0
    assert lmmkit("new", "own.csv", "--formula", "y ~ x + (1 | g)").returncode == 2
    done = lmmkit("new", "own.csv", "--formula", "y ~ z + (1 | g)", "--out", "b.yaml")
    assert (done.returncode, "there is no column `z`" in done.stderr) == (2, True)
    assert not (project / "b.yaml").exists()


def test_a_strangers_folder_cannot_bring_notebooks(project, tmp_path_factory, monkeypatch):
    from lmmkit.study.notebooks import find_notebooks

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert find_notebooks(project / "params/tiny.yaml")[0].path.is_relative_to(project)
    monkeypatch.chdir(elsewhere)
    assert not find_notebooks(project / "params/tiny.yaml")[0].path.is_relative_to(project)


def test_help_is_quick(lmmkit):
    began = time.process_time(), os.times().children_user
    assert lmmkit("--help").returncode == 0
    assert os.times().children_user - began[1] < 3
