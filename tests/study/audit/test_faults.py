"""Faults while a run is made: the folder says so, nothing is half-written, the next run goes on."""

import json
import os
import resource
import signal
import subprocess

import pytest
from support import warm
from support.processes import wait_until
from support.projects import STEPS, copied, edit, lmmkit, make_project, run

from lmmkit.study.audit.integrity import check_integrity, open_run
from lmmkit.study.audit.verdicts import differs
from lmmkit.study.records.ro_crate import write_crate

pytestmark = pytest.mark.slow
HOLD = (
    "import time, pathlib\\npathlib.Path('at-{0}').touch()\\n"
    "while pathlib.Path('hold-{0}').exists(): time.sleep(0.02)"
)


def started(project, **options):
    command = warm.command("lmmkit.study.cli", "run", "params/sleep.yaml")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=project, **pipes, **options)


def the_run(project):
    (folder,) = (path.parent for path in project.glob("reports/sleep/*/manifest.json"))
    return folder


def manifest(folder):
    return json.loads((folder / "manifest.json").read_bytes())


def test_a_run_killed_in_any_step_says_so_and_goes_on(tmp_path):
    project = make_project(tmp_path)
    for step in STEPS:
        path = project / f"notebooks/{step}.ipynb"
        edit(
            path,
            "from lmmkit.study import load_table",
            HOLD.format(step) + "\\nfrom lmmkit.study import load_table",
        )
    for i, step in enumerate(STEPS):
        (project / f"hold-{step}").touch()
        process = started(project)
        wait_until((project / f"at-{step}").exists, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (project / f"hold-{step}").unlink()
        folder = the_run(project)
        assert manifest(folder)["status"] == "running"
        # A step that was made before is kept; the killed one is not there.
        assert [record["step"] for record in manifest(folder)["steps"]] == ["study", *list(STEPS)[:i]]
        told = {finding.what: finding.found for finding in differs(check_integrity(open_run(folder)))}
        assert told["status of the run"] == "running"
    done = lmmkit(project, "run", "params/sleep.yaml")
    assert (done.returncode, done.stderr.count("kept")) == (0, 3), done.stderr
    assert not differs(check_integrity(open_run(the_run(project))))


def test_a_full_disk_ends_in_one_error_and_the_next_run_goes_on(tmp_path):
    project = make_project(tmp_path)

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (7_000, 7_000))

    process = started(project, preexec_fn=full)
    _, said = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "a file larger than allowed" in said, said  # what ended the run, not its echo
    folder = the_run(project)
    assert manifest(folder)["status"] in ("failed", "running")
    assert not list(folder.rglob(".writing-*"))
    assert not differs(check_integrity(open_run(run(project))))


def test_two_runs_of_one_study_at_once_leave_one_good_folder(tmp_path):
    project = make_project(tmp_path)
    processes = [started(project), started(project)]
    for process in processes:
        process.communicate()
    codes = sorted(process.returncode for process in processes)
    assert codes in ([0, 0], [0, 2])
    assert not differs(check_integrity(open_run(the_run(project))))


def test_a_clock_that_goes_backwards_changes_nothing(project, finished, tmp_path):
    folder = copied(finished, tmp_path)
    for i, path in enumerate(sorted(folder.rglob("*"))):
        os.utime(path, (4e9 - i * 1e8, 4e9 - i * 1e8))
    log = (folder / "log.jsonl").read_text()
    (folder / "log.jsonl").write_text(log.replace('"time": "20', '"time": "19'))
    assert not differs(check_integrity(open_run(folder)))
    write_crate(folder)
    before = (finished / "fit.json").stat().st_mtime
    os.utime(finished / "fit.json", (4e9, 4e9))
    done = lmmkit(project, "run", "params/sleep.yaml")
    os.utime(finished / "fit.json", (before, before))
    assert (done.returncode, "verified" in done.stderr) == (0, True)
