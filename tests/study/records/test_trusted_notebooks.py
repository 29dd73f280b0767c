"""Whose notebooks run: the installed ones, a project's own once trusted, nobody else's whatever is tried."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from support.tiny import DATA, STEPS, STUDY, trust_project, write_notebook

from lmmkit.errors import RunError
from lmmkit.study.files.shipped import shipped
from lmmkit.study.records import trusted_notebooks as trusted
from lmmkit.study.records.notebooks import read_notebook
from lmmkit.study.records.trusted_notebooks import (
    CHECKED,
    checked,
    find_notebooks,
    is_trusted,
    project_of,
    revoke,
    telling,
    trust,
    trust_store,
    trusted_notebooks,
)

STEP = "03_fit.ipynb"


def strangers(folder: Path) -> Path:
    """A project whose notebooks nobody has trusted."""
    books = folder / "notebooks"
    (folder / "params/data").mkdir(parents=True)
    books.mkdir()
    for name, (reads, cells) in STEPS.items():
        revoke([read_notebook(write_notebook(books, name, reads, [*cells, "open('mark', 'w')"]))])
    (folder / "params/tiny.yaml").write_text(STUDY)
    (folder / "params/data/tiny.csv").write_text(DATA)
    return folder


@pytest.fixture
def stranger(tmp_path):
    return strangers(tmp_path / "project")


@pytest.fixture
def own(stranger):
    """The same, trusted."""
    return trust_project(stranger)


def study_in(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.yaml").write_text(STUDY)
    return folder / "mine.yaml"


def installed(books) -> bool:
    return {book.path.parent for book in books} == {shipped("notebooks")}


def change(path: Path, old="open('mark', 'w')", new="open('mark', 'x')") -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# Where notebooks are looked for.


@pytest.mark.parametrize("place", ["work", "work/deep/down", "params/more", "reports", "work/params"])
def test_notebooks_in_a_folder_above_are_nobodys(stranger, monkeypatch, place):
    study = study_in(stranger / place)
    monkeypatch.chdir(study.parent)
    assert installed(find_notebooks(study))
    monkeypatch.chdir(stranger)
    assert installed(find_notebooks(study))


def test_the_working_directory_brings_no_notebooks(stranger, tmp_path, monkeypatch):
    study = study_in(tmp_path / "elsewhere")
    for folder in (stranger, stranger / "notebooks", stranger / "params"):
        monkeypatch.chdir(folder)
        assert installed(find_notebooks(study))


@pytest.mark.parametrize("place", ["params", "."])
def test_a_projects_own_are_refused_in_words_until_they_are_trusted(stranger, place):
    study = study_in(stranger / place)
    assert project_of(study) == stranger
    with pytest.raises(RunError, match="lmmkit trust") as refusal:
        find_notebooks(study)
    said = str(refusal.value)
    assert str(stranger / "notebooks/01_data_prep.ipynb") in said
    assert "you have not trusted it" in said
    trust_project(stranger)
    assert [book.name for book in find_notebooks(study)] == list(STEPS)


def test_a_study_that_is_a_link_belongs_where_its_file_lies(stranger, own, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere/linked.yaml"
    link.symlink_to(own / "params/tiny.yaml")
    assert not installed(find_notebooks(link))


def test_the_installed_ones_need_no_trust_where_they_lie_nor_as_copies(tmp_path, monkeypatch):
    assert installed(find_notebooks(shipped("params") / "sleepstudy.yaml"))
    shutil.copytree(shipped("notebooks"), tmp_path / "notebooks")
    assert [book.path.parent for book in find_notebooks(study_in(tmp_path))] == [tmp_path / "notebooks"] * 5


def test_what_is_installed_is_asked_as_it_is_now_even_when_its_size_and_its_time_stay(own, monkeypatch):
    there = own.parent / "installed"
    shutil.copytree(own / "notebooks", there)
    book = read_notebook(own / "notebooks" / STEP)
    revoke([book])
    monkeypatch.setattr(trusted, "shipped", lambda _: there)
    assert is_trusted(book)
    state = (there / STEP).stat()
    change(there / STEP)
    os.utime(there / STEP, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (there / STEP).stat().st_size == state.st_size
    assert not is_trusted(book)


@pytest.mark.parametrize("left", ["01_data_prep", "03_fit", "04_report"])
def test_a_set_with_a_gap_is_refused(own, left):
    (own / "notebooks" / f"{left}.ipynb").unlink()
    with pytest.raises(RunError, match=rf"lacks the notebook of a step, {left}\.ipynb"):
        find_notebooks(own / "params/tiny.yaml")


def test_two_notebooks_for_a_step_are_refused(own):
    shutil.copy(own / "notebooks" / STEP, own / "notebooks/03_fit-Copy1.ipynb")
    with pytest.raises(
        RunError,
        match=r"has two notebooks for one step: 03_fit-Copy1\.ipynb, 03_fit\.ipynb; rename or remove one$",
    ):
        find_notebooks(own / "params/tiny.yaml")


# What trust is bound to.


def test_an_edited_notebook_is_not_trusted_until_it_is_as_it_was(own):
    study, path = own / "params/tiny.yaml", own / "notebooks" / STEP
    original = path.read_bytes()
    change(path)
    with pytest.raises(RunError, match=r"03_fit\.ipynb is not executed"):
        find_notebooks(study)
    path.write_bytes(original)
    assert len(find_notebooks(study)) == 4


@pytest.mark.parametrize("what", ["tag", "kind", "declared", "new cell", "order"])
def test_all_that_decides_what_is_executed_is_trusted_as_it_was(own, what):
    path = own / "notebooks" / STEP
    content = json.loads(path.read_bytes())
    if what == "tag":
        content["cells"][-1]["metadata"]["tags"] = ["parameters"]
    elif what == "kind":
        content["cells"][-1]["cell_type"] = "raw"
    elif what == "declared":
        content["metadata"]["lmmkit"]["reads"].append("data")
    elif what == "new cell":
        content["cells"].append({**content["cells"][-1], "id": "new"})
    else:
        content["cells"] = [content["cells"][0], *content["cells"][:0:-1]]
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match="is not executed"):
        find_notebooks(own / "params/tiny.yaml")


def test_outputs_and_the_kernel_that_a_notebook_asks_for_are_not_executed_and_not_asked(own):
    path = own / "notebooks" / STEP
    content = json.loads(path.read_bytes())
    content["metadata"]["kernelspec"]["name"] = "strange"
    content["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    path.write_text(json.dumps(content))
    assert len(find_notebooks(own / "params/tiny.yaml")) == 4


def test_trust_stays_where_it_was_given(own, tmp_path):
    shutil.copytree(own, tmp_path / "copy")
    with pytest.raises(RunError, match="is not executed"):
        find_notebooks(tmp_path / "copy/params/tiny.yaml")


def test_trust_can_be_taken_back(own):
    path = own / "notebooks" / STEP
    change(path)
    trust([read_notebook(path)])
    change(path, "'x'", "'w'")  # as it was first trusted
    assert is_trusted(read_notebook(path))
    revoke([read_notebook(path)])
    assert not is_trusted(read_notebook(path))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_notebooks_behind_links_are_refused(own, tmp_path, kind):
    books = own / "notebooks"
    place = books / STEP if kind == "file" else books
    place.rename(tmp_path / "moved")
    place.symlink_to(tmp_path / "moved")
    with pytest.raises(
        RunError, match=r"is reached through a link; notebooks that are executed are files in place$"
    ):
        find_notebooks(own / "params/tiny.yaml")


def test_a_hard_link_to_a_trusted_notebook_is_another_place(own, tmp_path):
    other = strangers(tmp_path / "other")
    for path in (other / "notebooks").iterdir():
        path.unlink()
        os.link(own / "notebooks" / path.name, path)
    with pytest.raises(RunError, match="is not executed"):
        find_notebooks(other / "params/tiny.yaml")


def test_what_is_no_notebook_is_told_and_nothing_waits_for_it(own):
    path = own / "notebooks" / STEP
    for content in (
        "{",
        "[]",
        '{"nbformat": 3, "cells": []}',
        '{"nbformat": 4, "cells": 1, "metadata": {}}',
        "[" * 10**5,
    ):
        path.write_text(content)
        with pytest.raises(RunError, match="cannot be read as a notebook"):
            find_notebooks(own / "params/tiny.yaml")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RunError, match="it is no file"):
        find_notebooks(own / "params/tiny.yaml")


def test_named_folders_are_held_to_the_same(stranger):
    with pytest.raises(RunError, match="lmmkit trust"):
        trusted_notebooks(stranger / "notebooks")
    trust_project(stranger)
    assert len(trusted_notebooks(stranger / "notebooks")) == 4
    with pytest.raises(
        RunError, match=r"no notebooks 01_\.\.\. to 04_\.\.\. in .*; the installed ones need no folder named$"
    ):
        trusted_notebooks(stranger / "params")


# Between the check and the use.


def test_what_was_checked_is_what_is_executed(own):
    books = find_notebooks(own / "params/tiny.yaml")
    before = [book.source for book in books]
    for path in (own / "notebooks").iterdir():
        change(path)
    assert [book.source for book in books] == before
    assert not any("'x'" in cell for book in books for cell in book.code())


def test_a_process_of_a_run_takes_what_the_run_checked_or_nothing(own, stranger, tmp_path, monkeypatch):
    study = own / "params/tiny.yaml"
    books = find_notebooks(study)
    revoke(books)
    with telling(books):
        assert [book.digest for book in find_notebooks(study)] == [book.digest for book in books]
        change(own / "notebooks" / STEP)
        with pytest.raises(RunError, match=r"have changed since the run began; start it again$"):
            find_notebooks(study)
    assert CHECKED not in os.environ
    assert Path(json.loads(checked(books)[CHECKED])["folder"]).is_absolute()


# The store.


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The trust store in an empty home."""
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home/.local/share/lmmkit/trusted"


def test_the_store_is_the_users_alone(stranger, store):
    trust_project(stranger)
    assert trust_store() == store
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_a_store_that_others_can_write_says_nothing(stranger, store, mode):
    trust_project(stranger)
    store.chmod(mode)
    with pytest.raises(RunError, match="chmod go-w"):
        find_notebooks(stranger / "params/tiny.yaml")
    with pytest.raises(RunError, match="chmod go-w"):
        trust_project(stranger)


def test_an_entry_that_others_can_write_or_that_is_a_link_says_nothing(stranger, store, tmp_path):
    trust_project(stranger)
    for entry in store.iterdir():
        entry.chmod(0o666)
    with pytest.raises(RunError, match="chmod go-w"):
        find_notebooks(stranger / "params/tiny.yaml")
    for entry in list(store.iterdir()):
        (tmp_path / "written").touch()
        entry.unlink()
        entry.symlink_to(tmp_path / "written")
    with pytest.raises(RunError, match="is a link"):
        find_notebooks(stranger / "params/tiny.yaml")


def test_a_store_that_is_a_link_says_nothing(stranger, store, tmp_path):
    trust_project(stranger)
    store.rename(tmp_path / "moved")
    store.symlink_to(tmp_path / "moved")
    with pytest.raises(RunError, match="is a link"):
        find_notebooks(stranger / "params/tiny.yaml")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_store_of_another_user_says_nothing(stranger, store):
    trust_project(stranger)
    os.chown(store, 12345, -1)
    with pytest.raises(RunError, match="belongs to another user"):
        find_notebooks(stranger / "params/tiny.yaml")
    with pytest.raises(RunError, match="belongs to another user"):
        trust_project(stranger)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_refusal_says_that_a_notebook_is_another_users(stranger):
    os.chown(stranger / "notebooks/01_data_prep.ipynb", 12345, -1)
    with pytest.raises(RunError, match="belongs to another user and you have not trusted it"):
        find_notebooks(stranger / "params/tiny.yaml")


@pytest.mark.parametrize("place", ["relative/data", "", "."])
def test_a_data_folder_that_is_no_place_is_passed_over(stranger, store, monkeypatch, place):
    monkeypatch.setenv("XDG_DATA_HOME", place)
    monkeypatch.chdir(stranger)
    assert trust_store() == store


def test_without_a_home_nothing_is_trusted_and_the_installed_ones_run(stranger, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(Path, "home", lambda: Path())
    with pytest.raises(RunError, match="is not executed"):
        find_notebooks(stranger / "params/tiny.yaml")
    with pytest.raises(RunError, match=r"kept in your home, and you have none; set HOME or XDG_DATA_HOME$"):
        trust_project(stranger)
    assert installed(find_notebooks(study_in(tmp_path / "alone")))


@pytest.mark.parametrize("folder", ["", "notebooks", "params", "other"])
def test_the_project_that_is_worked_in_is_above_its_notebooks_and_its_studies(tmp_path, monkeypatch, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / folder)
    project = tmp_path / folder if folder == "other" else tmp_path
    assert trusted.project_folder() == project
    assert trusted.notebooks_folder(tmp_path / folder) == project / "notebooks"


def test_a_folder_that_anyone_can_write_is_told(own):
    books = trusted.own_notebooks(own / "notebooks")
    assert not trusted.anyone_can_write(own / "notebooks", books)
    (own / "notebooks" / STEP).chmod(0o666)
    assert trusted.anyone_can_write(own / "notebooks", books)


def test_a_refusal_names_what_is_to_be_read_and_how_to_trust_it(own):
    change(own / "notebooks" / STEP)
    with pytest.raises(RunError) as refusal:
        find_notebooks(own / "params/tiny.yaml")
    assert str(refusal.value) == (
        f"{own / 'notebooks' / STEP} is not executed: it is a project's own notebook and you have not "
        f"trusted it as it is now. Read {STEP}; then, if you trust them: lmmkit trust {own}"
    )


def test_what_a_process_was_told_before_it_is_told_again(own, monkeypatch):
    monkeypatch.setenv(CHECKED, "before")
    with telling(trusted.own_notebooks(own / "notebooks")):
        assert os.environ[CHECKED] != "before"
    assert os.environ[CHECKED] == "before"


def test_a_project_without_notebooks_has_copies_of_the_installed_ones(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / STEP).write_bytes((shipped("notebooks") / STEP).read_bytes() + b"\n")
    trusted.write_copies(tmp_path / "notebooks")
    there, books = sorted((tmp_path / "notebooks").iterdir()), trusted.own_notebooks(tmp_path / "notebooks")
    assert [path.name for path in there] == sorted(path.name for path in shipped("notebooks").glob("*.ipynb"))
    assert all(is_trusted(book) for book in books)
    assert (tmp_path / "notebooks" / STEP).read_bytes().endswith(b"\n\n")  # as it was


def test_a_folder_of_notebooks_that_anyone_can_write_is_told(own):
    (own / "notebooks").chmod(0o757)
    assert trusted.anyone_can_write(own / "notebooks", trusted.own_notebooks(own / "notebooks"))
