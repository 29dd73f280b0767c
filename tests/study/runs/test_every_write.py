"""A run killed, or out of disk, at each of its writes: started again, it ends byte for byte the same."""

import contextlib
import copy
import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from support.tiny import DATA, STUDY, write_notebook

from lmmkit.errors import RunError
from lmmkit.study.records.log import faults_of_log
from lmmkit.study.records.manifest import load_manifest
from lmmkit.study.records.notebooks import read_notebook
from lmmkit.study.records.trusted_notebooks import checked
from lmmkit.study.runs import run as running
from lmmkit.study.runs.plan import make_plan
from lmmkit.study.runs.progress import Watch

pytestmark = pytest.mark.slow
NOISY = {"log.jsonl", "ro-crate-metadata.json"}
CELLS = {
    "01_data_prep": 'step.save_json("data.json", [1, 2])',
    "04_report": 'step.save_report(str(step.json("data.json")))',
}


@pytest.fixture
def plan(tmp_path_factory, monkeypatch):
    """A run of two steps: the first, and the last, which reads what it left."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "params/data"):
        (folder / name).mkdir(parents=True)
    for name, cell in CELLS.items():
        write_notebook(folder / "notebooks", name, ["title"], [cell])
    (folder / "params/tiny.yaml").write_text(STUDY)
    (folder / "params/data/tiny.csv").write_text(DATA)
    books = [read_notebook(folder / "notebooks" / f"{name}.ipynb") for name in CELLS]
    for name, told in checked(books).items():  # as a run tells the processes that it starts
        monkeypatch.setenv(name, told)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(running, "execute", executed)
    return make_plan(folder / "params/tiny.yaml")


def executed(notebook, parameters, started, **kernel):
    """The cells of a notebook, executed here: what is tested is how files are written."""
    names = dict(parameters)
    for source in notebook.code():
        exec(source, names)
    return copy.deepcopy(notebook.content)


class Fault:
    """What happens instead of the write number `at`: the process ends, or the disk is full."""

    def __init__(self, at, kind):
        self.at, self.kind, self.seen = at, kind, 0

    def __call__(self, half=lambda: None):
        self.seen += 1
        if self.seen == self.at:
            half()
            if self.kind == "killed":
                os._exit(9)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def with_fault(monkeypatch, fault):
    """Every call by which a run changes a file goes through the fault first, some of them halfway."""
    replace, rename, unlink, fsync = Path.replace, Path.rename, Path.unlink, os.fsync
    copyfile, opened = shutil.copyfile, Path.open

    def half_copied(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:5])

    def half_added(path):
        with opened(path, "a") as stream:
            stream.write('{"time": "20')

    def patched_open(path, mode="r", *args, **kwargs):
        if mode == "a":
            fault(lambda: half_added(path))
        return opened(path, mode, *args, **kwargs)

    def before(call):
        def faulty(*args, **kwargs):
            fault()
            return call(*args, **kwargs)

        return faulty

    monkeypatch.setattr(Path, "open", patched_open)
    monkeypatch.setattr(Path, "replace", before(replace))
    monkeypatch.setattr(Path, "rename", before(rename))
    if fault.kind == "killed":  # taking a file away needs no room
        monkeypatch.setattr(Path, "unlink", before(unlink))
    monkeypatch.setattr(os, "fsync", before(fsync))

    def faulty_copy(source, target, **kwargs):
        fault(lambda: half_copied(source, target))
        return copyfile(source, target, **kwargs)

    monkeypatch.setattr(shutil, "copyfile", faulty_copy)


def make(plan, reports):
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        running.run_study(plan, plan.folder(reports), Watch(), {})
    return plan.folder(reports)


def contents(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def quiet(found):
    return {path: content for path, content in found.items() if path not in NOISY}


def killed(work):
    """Whether a process of its own that does some work is ended in the midst of it."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work()
        os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("kind", ["killed", "full"])
def test_a_run_that_is_stopped_at_any_write_goes_on_and_ends_the_same(plan, tmp_path, monkeypatch, kind):
    with monkeypatch.context() as patched:
        count = Fault(0, kind)
        with_fault(patched, count)
        whole = quiet(contents(make(plan, tmp_path / "whole")))
    assert count.seen > 45
    for at in range(1, count.seen + 1):
        reports = tmp_path / f"{at}"

        def stopped(at=at, reports=reports):
            with monkeypatch.context() as patched:
                with_fault(patched, Fault(at, kind))
                make(plan, reports)

        if kind == "killed":
            assert killed(stopped), at
        else:  # in the clearing up after a step a full disk stops nothing that matters
            with contextlib.suppress(RunError, OSError):
                stopped()
        for path in reports.rglob("*.json"):
            if not path.name.startswith(".writing"):
                json.loads(path.read_bytes())  # no file is half-written under its name
        make(plan, reports)
        (folder,) = (path.parent for path in reports.glob("tiny/*/manifest.json"))
        assert quiet(contents(folder)) == whole, at
        manifest = load_manifest(folder)
        assert faults_of_log((folder / "log.jsonl").read_text(), manifest) == [], at
        shutil.rmtree(reports)
