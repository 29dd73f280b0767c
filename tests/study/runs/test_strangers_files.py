"""What others left where somebody runs a study: notebooks, links, closed streams; none is used."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from notebooks.conftest import run_tiny
from study.conftest import make_project
from support import warm
from support.once import made_once
from support.tiny import DATA, STEPS, STUDY, trust_project, write_notebook

from lmmkit.errors import RunError
from lmmkit.study.cli.app import main
from lmmkit.study.records.file_lock import locked
from lmmkit.study.records.manifest import File, Record
from lmmkit.study.records.notebooks import read_notebook
from lmmkit.study.records.step_store import Store
from lmmkit.study.records.trusted_notebooks import (
    find_notebooks,
    is_trusted,
    own_notebooks,
    revoke,
    trust_store,
)
from lmmkit.study.runs.plan import make_plan
from lmmkit.study.runs.progress import Watch
from lmmkit.study.runs.run import run_study

pytestmark = pytest.mark.slow


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "executed"


ATTACK = "import pathlib; pathlib.Path('{}').touch()"


@pytest.fixture
def shared(tmp_path, mark):
    """A folder with a stranger's notebooks, and a victim's study below it."""
    (tmp_path / "notebooks").mkdir()
    for name, (reads, cells) in STEPS.items():
        path = write_notebook(tmp_path / "notebooks", name, reads, [ATTACK.format(mark), *cells])
        revoke([read_notebook(path)])
    (tmp_path / "notebooks").chmod(0o1777)
    victim = tmp_path / "victim"
    (victim / "data").mkdir(parents=True)
    (victim / "tiny.yaml").write_text(STUDY)
    (victim / "data/tiny.csv").write_text(DATA)
    (victim / "tiny.sweep.yaml").write_text("base: tiny.yaml\nadd: [{inference.level: 0.95}]\n")
    return victim


COMMANDS = {
    "run": ("run", "tiny.yaml"),
    "sweep": ("sweep", "tiny.sweep.yaml", "--workers", "1"),
    "lock": ("lock", "tiny.yaml"),
    "check": ("check", "tiny.yaml"),
}


def test_notebooks_of_a_shared_folder_above_are_not_executed(shared, mark, tmp_path_factory):
    """The installed ones are: of their steps the first three are found where a run has kept them."""
    project = made_once(tmp_path_factory, "tiny", run_tiny)
    for name in ("tiny.yaml", "data/tiny.csv"):
        shutil.copy(project / "params" / name, shared / name)
    shutil.copytree(project / "reports/.steps", shared / "reports/.steps")
    for command, copied in {"run": 3, "sweep": 0}.items():  # by the same notebooks its only cell is the run
        done = warm.lmmkit(shared, *COMMANDS[command])
        assert not mark.exists()
        assert (done.returncode, done.stderr.count("made before, copied")) == (0, copied), done.stderr
    assert len([*(shared / "reports/tiny").glob("*/report.html")]) == 1
    assert not (shared.parent / "reports").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_untrusted_notebooks_beside_a_study_are_refused_by_every_command(shared, mark, command):
    (shared.parent / "notebooks").rename(shared / "notebooks")
    done = warm.lmmkit(shared, *COMMANDS[command])
    assert (done.returncode, mark.exists()) == (2, False)
    assert f"lmmkit trust {shared}" in done.stderr
    assert "01_data_prep.ipynb" in done.stderr
    assert not (shared / "reports").exists()


def test_lab_and_named_folders_ask_for_trust_too(shared, mark):
    (shared.parent / "notebooks").rename(shared / "notebooks")
    pytest.importorskip("jupyterlab")
    done = warm.lmmkit(shared, "lab")
    assert (done.returncode, "lmmkit trust" in done.stderr) == (2, True), done.stderr


def test_trust_says_what_it_trusts_and_takes_it_back(shared):
    (shared.parent / "notebooks").rename(shared / "notebooks")
    done = warm.lmmkit(shared, "trust", ".")
    assert done.returncode == 0, done.stderr
    assert all(f"{name}.ipynb" in done.stdout for name in STEPS)
    assert f"4 notebooks in {shared / 'notebooks'} are trusted." in done.stdout
    assert "Anyone on this machine can write" in done.stderr
    assert warm.lmmkit(shared, "check", "tiny.yaml").returncode == 0
    assert warm.lmmkit(shared, "trust", "--revoke", "notebooks").returncode == 0
    assert warm.lmmkit(shared, "check", "tiny.yaml").returncode == 2
    done = warm.lmmkit(shared, "trust", "data")
    assert (done.returncode, "no notebooks 01_" in done.stderr) == (2, True)


# Links where runs are written.


@pytest.fixture
def precious(tmp_path):
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    return folder


def untouched(precious: Path) -> bool:
    return {p.name: p.read_text() for p in precious.iterdir()} == {"thesis.txt": "years of work"}


@pytest.mark.parametrize("place", ["{key}", ".{key}.lock", "", "{key}/log.jsonl"])
def test_a_run_writes_through_no_link(tmp_path, precious, place):
    project = make_project(tmp_path / "project")
    plan = make_plan(project / "params/tiny.yaml")
    link = project / "reports/tiny" / place.format(key=plan.key)
    link.parent.mkdir(parents=True)
    link.symlink_to(precious / "thesis.txt" if place.endswith((".lock", ".jsonl")) else precious)
    with pytest.raises(RunError, match="is a link"):
        run_study(plan, plan.folder(project / "reports"), Watch(), {})
    assert untouched(precious)


@pytest.mark.parametrize(
    "place", ["", "01_x", "01_x/key", "01_x/.key.new", "01_x/.key.old", "01_x/.key.lock"]
)
def test_the_store_of_steps_writes_through_no_link(tmp_path, precious, place):
    link = tmp_path / "reports/.steps" / place if place else tmp_path / "reports/.steps"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(precious / "thesis.txt" if place.endswith(".lock") else precious)
    store = Store.of(tmp_path / "reports")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a").write_bytes(b"x")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    with pytest.raises(RunError, match="is a link"), store.making("01_x", "key"):
        store.keep(Record("01_x", "key", (File("a", 1, digest),)), tmp_path / "run")
    assert untouched(precious)


def test_a_lock_is_no_link(tmp_path, precious):
    (tmp_path / ".lock").symlink_to(precious / "thesis.txt")
    with pytest.raises(RunError), locked(tmp_path / ".lock", wait=True):
        pass
    assert untouched(precious)


def test_trusting_a_project_again_changes_nothing(tmp_path):
    project = trust_project(trust_project(make_project(tmp_path)))
    assert len(find_notebooks(project / "params/tiny.yaml")) == 4


def forked(folder, closed, place):
    """The exit code of `lmmkit trust` in a child of this process, some of whose streams are closed."""
    child = os.fork()
    if child == 0:
        code: object = 99
        try:
            os.chdir(folder)
            for number in closed:
                os.close(number)
            # An interpreter that starts so has none.
            sys.stdin, sys.stdout, sys.stderr = (
                None if n in closed else open(n, closefd=False, mode="rw"[n > 0])  # noqa: SIM115
                for n in range(3)
            )
            sys.argv = ["lmmkit", "trust", place]
            main()
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            os._exit(int(code))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(
    ("closed", "place", "code"),
    [((1,), ".", 0), ((2,), "none", 2), ((0, 1, 2), ".", 0), ((0, 1, 2), "none", 2)],
)
def test_closed_streams_change_no_exit_code_and_no_file(tmp_path, closed, place, code):
    books = own_notebooks(make_project(tmp_path) / "notebooks")
    revoke(books)
    if len(closed) == 3 and not code:  # one interpreter of its own, from its start, shows the like of all
        command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-P", "-m", "lmmkit.study.cli"]
        ended = subprocess.run([*command, "trust", place], cwd=tmp_path, check=False).returncode
    else:
        ended = forked(tmp_path, closed, place)
    assert ended == code
    assert [is_trusted(book) for book in books] == [code == 0] * 4
    for entry in trust_store().iterdir():  # what is printed lands in no file that was opened
        assert entry.read_text().count("\n") == 1
