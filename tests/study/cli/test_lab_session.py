"""What a session of JupyterLab saves stays trusted, and nothing else that lies in its folder."""

import json
from pathlib import Path

import pytest
from study.records.test_trusted_notebooks import STEP, change, strangers, study_in
from support.tiny import trust_project

from lmmkit.study.cli import lab_session
from lmmkit.study.files.shipped import shipped
from lmmkit.study.records.notebooks import read_notebook
from lmmkit.study.records.trusted_notebooks import find_notebooks, is_trusted, revoke, write_copies


@pytest.fixture
def stranger(tmp_path):
    return strangers(tmp_path / "project")


@pytest.fixture
def own(stranger):
    """The same, trusted."""
    return trust_project(stranger)


class Contents:
    """Saves as Jupyter's contents manager does, the two calls around it."""

    def __init__(self, folder: Path):
        self.root_dir = str(folder)

    def save(self, name: str, content):
        lab_session.before_save(
            model={"type": "notebook", "content": content}, path=name, contents_manager=self
        )
        path = Path(self.root_dir) / name
        path.write_text(json.dumps(content))
        lab_session.after_save(os_path=str(path), model={"type": "notebook"}, contents_manager=self)
        return read_notebook(path)


def edited(path: Path, cell: str):
    content = json.loads(path.read_bytes())
    content["cells"][-1]["source"] = cell
    return content


@pytest.fixture
def session(monkeypatch):
    monkeypatch.setattr(lab_session, "_OURS", set())
    monkeypatch.setattr(lab_session, "_SAVING", {})
    return Contents


def test_copies_are_trusted_and_stay_so_while_they_are_edited_in_the_session(tmp_path, session):
    folder = tmp_path / "notebooks"
    write_copies(folder)
    assert {path.name for path in folder.iterdir()} == {p.name for p in shipped("notebooks").glob("*.ipynb")}
    for cell in ("1 + 1", "1 + 2"):
        assert is_trusted(session(folder).save(STEP, edited(folder / STEP, cell)))
    assert len(find_notebooks(study_in(tmp_path))) == 5
    change(folder / STEP, "1 + 2", "1 + 3")  # by an editor outside
    assert not is_trusted(read_notebook(folder / STEP))
    # Saved from the session afterwards, it is still not what the session alone has made.
    assert not is_trusted(session(folder).save(STEP, edited(folder / STEP, "1 + 4")))


def test_a_session_trusts_no_strangers_notebook_by_saving_it(stranger, session):
    folder = stranger / "notebooks"
    assert not is_trusted(session(folder).save(STEP, edited(folder / STEP, "1 + 1")))
    content = json.loads((folder / STEP).read_bytes())
    assert not is_trusted(session(folder).save("05_copy.ipynb", content))


def test_a_new_notebook_of_the_session_is_its_own(own, session):
    folder = own / "notebooks"
    empty = {**json.loads((folder / STEP).read_bytes()), "cells": []}
    assert is_trusted(session(folder).save("05_new.ipynb", empty))
    cell = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "source": "2",
        "outputs": [],
        "execution_count": None,
    }
    assert is_trusted(session(folder).save("05_new.ipynb", {**empty, "cells": [cell]}))


def test_a_file_that_is_put_in_place_during_a_save_is_not_trusted(own, session):
    folder = own / "notebooks"

    def swap(*_):
        change(folder / STEP)

    content = edited(folder / STEP, "1 + 1")
    contents = session(folder)
    lab_session.before_save(
        model={"type": "notebook", "content": content}, path=STEP, contents_manager=contents
    )
    swap()
    lab_session.after_save(os_path=str(folder / STEP), model={"type": "notebook"}, contents_manager=contents)
    assert not is_trusted(read_notebook(folder / STEP))


def test_jupyter_finds_the_two_calls():
    for option in lab_session.OPTIONS:
        module, _, name = option.partition("=")[2].rpartition(".")
        assert (module, callable(getattr(lab_session, name))) == (lab_session.__name__, True)


def test_a_new_notebook_with_code_or_a_copy_that_was_never_trusted_is_not_the_sessions(own, session):
    folder = own / "notebooks"
    content = json.loads((folder / STEP).read_bytes())
    assert not is_trusted(session(folder).save("05_new.ipynb", content))


def test_what_a_session_saved_may_be_put_back(own, session):
    """An older state that it has saved itself, over a file that it has not: by its digest."""
    folder = own / "notebooks"
    first = edited(folder / STEP, "1 + 1")
    saved = session(folder).save(STEP, first)
    change(folder / STEP, "1 + 1", "import stranger")
    revoke([read_notebook(folder / STEP)])
    assert not is_trusted(read_notebook(folder / STEP))
    assert session(folder).save(STEP, first).digest == saved.digest
    assert is_trusted(read_notebook(folder / STEP))


def test_what_was_saved_in_the_session_is_known_without_the_store(own, session):
    folder = own / "notebooks"
    saved = session(folder).save(STEP, edited(folder / STEP, "1 + 1"))
    revoke([saved])
    assert is_trusted(session(folder).save(STEP, edited(folder / STEP, "1 + 2")))


def test_what_was_about_to_be_saved_is_forgotten_by_the_next_save_of_its_place(own, session):
    folder = own / "notebooks"
    content, contents = edited(folder / STEP, "1 + 1"), session(folder)
    lab_session.before_save(
        model={"type": "notebook", "content": content}, path=STEP, contents_manager=contents
    )
    lab_session.before_save(model={"type": "file", "content": "x"}, path=STEP, contents_manager=contents)
    (folder / STEP).write_text(json.dumps(content))
    lab_session.after_save(os_path=str(folder / STEP), model={"type": "file"}, contents_manager=contents)
    assert not is_trusted(read_notebook(folder / STEP))


def test_other_files_are_saved_without_a_question(own, session):
    folder = own / "notebooks"
    (folder / STEP).write_text("{}")
    for model in ({"type": "file", "content": "x"}, {"type": "notebook", "content": None}):
        lab_session.before_save(model=model, path="a.txt", contents_manager=session(folder))
        lab_session.after_save(os_path=str(folder / "a.txt"), model=model)
    content = {"cells": [], "metadata": {}, "nbformat": 4}
    model = {"type": "notebook", "content": content}
    lab_session.before_save(model=model, path=STEP, contents_manager=session(folder))  # what is there is none
    lab_session.after_save(os_path=str(folder / STEP), model=model)
    assert not lab_session._OURS
    assert not lab_session._SAVING
