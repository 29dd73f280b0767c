"""What a worker of a cluster returns is checked before any of it is used: paths, names, sizes, digests."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from study.conftest import make_project
from support.tiny import trust_project

from lmmkit.errors import RunError
from lmmkit.study.cluster import cluster_bootstrap, project_archive
from lmmkit.study.cluster.cluster_workers import ClusterWorkers, RemoteRun, Scheduler
from lmmkit.study.records.keys import package_digest
from lmmkit.study.records.step_store import Store
from lmmkit.study.runs import run as runs
from lmmkit.study.runs.execute import StepError
from lmmkit.study.runs.progress import Watch
from lmmkit.study.sweeps.cell_workers import CellOptions
from lmmkit.study.sweeps.cells import plan_sweep

SWEEP = "params/tiny.sweep.yaml"


class Future:
    def __init__(self, answer):
        self.answer = answer

    def result(self):
        return self.answer

    def release(self):
        pass


def executed(notebook, parameters, started, **kernel):
    """In place of papermill: every step leaves one file."""
    name = "fit.json" if notebook.name == "03_fit" else f"{notebook.name}.txt"
    (Path(parameters["run"]) / name).write_text("{}")
    return notebook.content


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a sweep, the first cell of which has been made."""
    folder = make_project(tmp_path_factory.mktemp("made"))
    (folder / SWEEP).write_text("base: tiny.yaml\ngrid: {model.method: [REML, ML]}\n")
    cell = plan_sweep(folder / SWEEP).cells[0]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "execute", executed)
        runs.make_cell(cell.plan, folder / "reports/tiny" / cell.key, Watch(Console(quiet=True)), {})
    return folder


@pytest.fixture
def place(made, tmp_path):
    """A project where nothing has been made yet, in a folder with something to lose."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/thesis.txt").write_text("years of work")
    shutil.copytree(made, tmp_path / "project", ignore=shutil.ignore_patterns("reports"))
    return trust_project(tmp_path / "project")


@pytest.fixture
def cell(place):
    return plan_sweep(place / SWEEP).cells[0]


@pytest.fixture
def files(made, cell):
    """The run that an honest worker returns."""
    folder = made / "reports/tiny" / cell.key
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def collect(place, cell):
    workers = ClusterWorkers(Scheduler("tcp://none"), CellOptions(place / "reports"), print)
    return lambda answer: workers.collect(Future(answer), cell)


def answer(key, files, error=None):
    return RemoteRun(package_digest(), key, error, files)


def state(folder: Path):
    """All that lies in a folder, locks aside, which are empty files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    }


def test_an_honest_run_is_put_in_its_place(place, cell, files, collect):
    found = collect(answer(cell.key, files))
    assert (found.key, found.error) == (cell.key, None)
    assert state(place / "reports/tiny" / cell.key) == files
    assert cell.is_made(place / "reports")
    kept = {record["step"]: record["key"] for record in json.loads(files["manifest.json"])["steps"]}
    store = Store.of(place / "reports")
    assert all(store.find(step, kept[step]) for step in kept if step != "study")
    assert store.find("study", kept["study"]) is None


KEYS = ["../../victim", "../../../victim", "/", "", ".", "..", "0123456789a", "0123456789abc", "0123456789AB"]
KEYS += [
    "0123456789a/",
    "0123456789ab\n",
    "\N{ARABIC-INDIC DIGIT ONE}" * 12,
    b"0123456789ab",
    123456789012,
    ["x"],
    0,
]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_a_key_is_twelve_hexadecimal_digits(place, files, collect, tmp_path, key):
    before = state(tmp_path)
    found = collect(answer(key, files))
    assert (found.key, "expected twelve hexadecimal digits" in found.error) == (None, True)
    assert state(tmp_path) == before


PATHS = ["../x", "/abs/x", "a/../../x", "../../../../victim/thesis.txt", "a\\b", "\0", "", "a/../../../y"]


@pytest.mark.parametrize("path", [*PATHS, 3, None, b"x"], ids=repr)
def test_paths_of_a_run_stay_in_it(place, cell, files, collect, tmp_path, path):
    before = state(tmp_path)
    found = collect(answer(cell.key, {**files, path: b"new"}))
    assert (found.key, "is refused" in found.error) == (None, True)
    assert state(tmp_path) == before


@pytest.mark.parametrize(
    "made_of", [None, [], "x", {"manifest.json": "text"}, {"manifest.json": 3}, {}], ids=repr
)
def test_a_run_is_files(place, cell, collect, tmp_path, made_of):
    before = state(tmp_path)
    assert "is refused" in collect(answer(cell.key, made_of)).error
    assert state(tmp_path) == before


@pytest.mark.parametrize(
    "what", [None, 3, {"package": "x"}, RemoteRun(None), RemoteRun(package_digest())], ids=repr
)
def test_an_answer_is_an_answer(collect, what):
    assert "is refused" in collect(what).error
    assert "is refused" in collect(answer(None, {}, error=["no text"])).error


def test_a_worker_with_another_source_ends_the_sweep(collect):
    with pytest.raises(StepError, match="is refused: it reports the source"):
        collect(RemoteRun("0" * 64))


def test_too_many_files_and_too_many_bytes_are_refused(cell, files, collect, monkeypatch):
    monkeypatch.setattr(project_archive, "MOST_FILES", len(files) - 1)
    assert "files, more than" in collect(answer(cell.key, files)).error
    monkeypatch.undo()
    monkeypatch.setattr(project_archive, "LARGEST_RUN", 1000)
    assert "bytes, more than 1,000" in collect(answer(cell.key, files)).error


def changed(files, name, change):
    value = json.loads(files[name])
    change(value)
    files = {**files, name: json.dumps(value).encode()}
    manifest = json.loads(files["manifest.json"])
    for file in (file for step in manifest["steps"] for file in step["files"]):
        content = files[file["path"]]
        file |= {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    return {**files, "manifest.json": json.dumps(manifest).encode()} if name != "manifest.json" else files


LIES = {
    "another study": ("study.json", lambda v: v["model"].update(formula="y ~ x + (1 | g)"), "its study"),
    "other data": ("provenance.json", lambda v: v.update(sha256="0" * 64), "its data"),
    "another record": ("provenance.json", lambda v: v.update(package="0" * 64), "its key"),
    "another key": ("manifest.json", lambda v: v.update(key="0" * 12), "another run"),
    "another name": ("manifest.json", lambda v: v.update(study="other"), "another run"),
    "a step less": ("manifest.json", lambda v: v["steps"].pop(), "its steps"),
    "a step more": (
        "manifest.json",
        lambda v: v["steps"].append(v["steps"][0] | {"step": "05_x"}),
        "its steps",
    ),
    "a step that is a path": (
        "manifest.json",
        lambda v: v["steps"][1].update(step="../../x"),
        "no name of a step",
    ),
    "a key that is a path": (
        "manifest.json",
        lambda v: v["steps"][1].update(key="../../x"),
        "no name of a step",
    ),
    "not complete": ("manifest.json", lambda v: v.update(status="running"), "not complete"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_run_is_the_one_that_was_asked_for(place, cell, files, collect, tmp_path, lie):
    name, change, message = LIES[lie]
    before = state(tmp_path)
    found = collect(answer(cell.key, changed(files, name, change)))
    assert (found.key, message in found.error) == (None, True), found.error
    assert state(tmp_path) == before


def test_an_unlisted_file_or_one_that_was_changed_is_refused(cell, files, collect):
    assert "does not list" in collect(answer(cell.key, {**files, "more.txt": b"x"})).error
    assert "damaged" in collect(answer(cell.key, {**files, "fit.json": b"[]"})).error
    assert (
        "damaged" in collect(answer(cell.key, {n: c for n, c in files.items() if n != "manifest.json"})).error
    )


@pytest.mark.parametrize("name", ["", ".new"])
def test_a_run_is_put_through_no_link(place, cell, files, collect, tmp_path, name):
    shelf = place / "reports/tiny"
    shelf.mkdir(parents=True)
    (shelf / (f".{cell.key}.new" if name else cell.key)).symlink_to(tmp_path / "victim")
    assert "is a link" in collect(answer(cell.key, files)).error
    assert [path.name for path in (tmp_path / "victim").iterdir()] == ["thesis.txt"]


GOOD = pd.DataFrame({"x": [1.0, 2.0], "converged": [True, False]})
GOOD.attrs["failures"] = {1: "no optimum"}


def failing(said):
    frame = GOOD.copy()
    frame.attrs["failures"] = said
    return frame


@pytest.mark.parametrize(
    "frame",
    [
        None,
        [],
        GOOD.head(1),
        GOOD.drop(columns="x").assign(x="text"),
        failing(None),
        failing({5: "x"}),
        failing({0: 1}),
    ],
)
def test_replicates_of_a_worker_are_a_table_of_numbers(frame):
    assert cluster_bootstrap.checked_replicates(GOOD, 2) is GOOD
    with pytest.raises(RunError, match="is refused"):
        cluster_bootstrap.checked_replicates(frame, 2)


def test_a_plan_sends_what_was_checked(cell, place):
    book = cell.plan.notebooks[0]
    book.path.write_text("{}")
    sent = project_archive.archive_project(replace(cell.plan)).files
    assert sent[f"notebooks/{book.path.name}"] == book.source
