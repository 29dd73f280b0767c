"""A run: four steps, their files, their record; interrupted, resumed, refused, made again."""

import json
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import warm
from support.processes import wait_for_end, wait_until
from support.tiny import DATA, STUDY, write_notebook

pytestmark = pytest.mark.slow

WRITTEN = """
    01_data_prep.ipynb 02_random_effects.ipynb 03_fit.ipynb 04_report.ipynb data.parquet data.schema.json
    fit.json provenance.json report.html rows.csv selection.json study.json tables/means.csv
"""
NOISY = {"log.jsonl", "ro-crate-metadata.json"}
#: A cell that tells its kernel's process and waits until it is let go.
HALF = (
    "import os, pathlib, time\nstep.save_json('half.json', os.getpid())\n"
    "while not pathlib.Path('go').exists(): time.sleep(0.02)"
)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def moved(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} - NOISY


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_bytes())


def run_folder(project: Path) -> Path:
    (folder,) = (path for path in (project / "reports/tiny").iterdir() if path.is_dir())
    return folder


COLD = [sys.executable, "-P", "-m", "lmmkit.study.cli"]


def begun(project: Path, command: list[str], *options: str) -> subprocess.Popen[str]:
    """A run that has come to the middle of step 03."""
    process = subprocess.Popen(
        [*command, "run", "params/tiny.yaml", *options],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup's is inherited
    )
    wait_until(lambda: kernel_of(project), process)
    return process


def kernel_of(project: Path) -> int | None:
    """The process of the kernel that holds step 03."""
    return next((int(path.read_bytes()) for path in project.glob("reports/tiny/*/half.json")), None)


def ended(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    """Exit code and messages of a run that is sent a signal."""
    process.send_signal(number)
    messages = process.communicate()[1]
    return process.returncode, messages


def test_a_run_leaves_its_files_and_says_where(finished, lmmkit):
    done = lmmkit("run", "params/tiny.yaml")
    assert (done.returncode, Path(done.stdout.strip())) == (0, finished / "report.html")
    assert "All steps are there, verified" in done.stderr
    assert re.fullmatch("[0-9a-f]{12}", finished.name)
    assert contents(finished).keys() - NOISY == {*WRITTEN.split(), "manifest.json"}
    assert manifest(finished)["status"] == "complete"
    listed = {file["path"] for step in manifest(finished)["steps"] for file in step["files"]}
    assert listed == set(WRITTEN.split())
    assert json.loads((finished / "study.json").read_bytes())["model"]["method"] == "REML"


def test_no_place_and_no_time_stands_in_a_run(finished, finished_once):
    text = b"".join(content for name, content in contents(finished).items() if name not in NOISY)
    assert str(finished_once).encode() not in text
    assert not re.search(rb"20\d\d-\d\d-\d\dT\d\d:|0x[0-9a-f]{8}", text)


def test_a_forced_run_elsewhere_is_byte_identical(finished, lmmkit):
    before = contents(finished)
    assert lmmkit("run", "params/tiny.yaml", "--force").returncode == 0
    assert moved(before, contents(finished)) == set()


def test_a_touched_file_makes_its_step_and_the_later_ones_anew(finished, lmmkit):
    before = contents(finished)
    (finished / "selection.json").write_text("{}")
    (finished / "stray.txt").write_text("left over")
    done = lmmkit("run", "params/tiny.yaml")
    assert done.stderr.count("verified, kept") == 1
    assert moved(before, contents(finished)) == set()


@pytest.mark.parametrize(
    ("options", "signals"),
    [([], (signal.SIGINT, signal.SIGTERM)), (["--cold"], (signal.SIGHUP,))],
    ids=["forked", "cold"],
)
def test_an_interrupted_run_says_so_and_goes_on_where_it_stopped(
    project, finished_once, lmmkit, options, signals
):
    write_notebook(project / "notebooks", "03_fit", ["seed"], [HALF])
    command = COLD if options else warm.command("lmmkit.study.cli")
    if options:  # a cold kernel takes seconds: the one that is interrupted is made, the others are copied
        for step in ("01_data_prep", "02_random_effects"):
            shutil.copytree(finished_once / "reports/.steps" / step, project / "reports/.steps" / step)
    for number in signals:
        process = begun(project, command, *options)
        second = lmmkit("run", "params/tiny.yaml")
        assert (second.returncode, "another run is at work" in second.stderr) == (2, True)

        code, messages = ended(process, number)
        assert code == 130
        assert messages.endswith("Interrupted. Start it again to go on where it stopped.\n")
        record = manifest(run_folder(project))
        assert record["status"] == "interrupted"
        assert [step["step"] for step in record["steps"]] == ["study", "01_data_prep", "02_random_effects"]
        assert not (project / "reports/tiny/latest").exists()
        assert messages.count("verified, kept") == (2 if number == signal.SIGTERM else 0)
        (run_folder(project) / "half.json").unlink()


def test_a_killed_run_leaves_a_folder_that_is_not_complete_and_is_resumed(project, lmmkit):
    write_notebook(project / "notebooks", "03_fit", ["seed"], [HALF])
    write_notebook(project / "notebooks", "04_report", ["title"], ["step.save_report('x')"])
    process = begun(project, warm.command("lmmkit.study.cli"))
    kernel = kernel_of(project)
    assert ended(process, signal.SIGKILL)[0] == -signal.SIGKILL
    assert manifest(run_folder(project))["status"] == "running"
    wait_for_end(kernel)  # it notices that it is alone
    (project / "go").touch()
    done = lmmkit("run", "params/tiny.yaml")
    assert (done.returncode, done.stderr.count("verified, kept")) == (0, 2), done.stderr
    assert manifest(run_folder(project))["status"] == "complete"


@pytest.mark.parametrize(
    ("reads", "cell", "message"),
    [
        ([], "raise FitError('no optimum')", "Error: 01_data_prep, cell 4: no optimum\n"),
        ([], "1 / 0", "ZeroDivisionError: division by zero"),
        ([], "os._exit(9)", "01_data_prep: the kernel died"),
        (
            ["data"],
            "step.settings.model.method",
            "01_data_prep reads model, which its notebook does not declare",
        ),
    ],
)
def test_a_failing_step_ends_the_run_with_its_message(project, lmmkit, reads, cell, message):
    source = f"import os\nfrom lmmkit.errors import FitError\n{cell}"
    write_notebook(project / "notebooks", "01_data_prep", reads, [source])
    done = lmmkit("run", "params/tiny.yaml")
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
    record = manifest(run_folder(project))
    assert (record["status"], record["error"] in done.stderr) == ("failed", True)
    assert not (project / "reports/tiny/latest").exists()


def test_data_outside_are_read_with_leave(project, lmmkit):
    (project / "params/tiny.yaml").write_text(STUDY.replace("data/tiny.csv", "../tiny.csv"))
    (project / "tiny.csv").write_text(DATA)
    assert lmmkit("run", "params/tiny.yaml").returncode == 2
    assert lmmkit("run", "params/tiny.yaml", "--allow-outside").returncode == 0


def test_a_run_that_may_open_few_files_ends_in_words(project):
    command = warm.command("lmmkit.study.cli", "run", "params/tiny.yaml")

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))

    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, preexec_fn=few)
    assert done.returncode == 1
    assert "too few open files allowed (ulimit -n: 24)" in done.stderr
    assert "Traceback" not in done.stderr
    assert manifest(run_folder(project))["status"] == "failed"
