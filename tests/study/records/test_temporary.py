"""Temporary folders: whose owner is gone is removed, whatever else lies there is left alone."""

from __future__ import annotations

import multiprocessing
import os
import tempfile

import pytest

from lmmkit.study.records.temporary import YOUNG, remove_abandoned, temporary_folder


def own(told):
    """Makes a folder, tells its name and waits to be killed."""
    with temporary_folder() as folder:
        (folder / "inside").mkdir()
        told.send(folder)
        told.recv()


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def age(folder):
    """Let a folder be older than the youngest that are looked at."""
    old = folder.stat().st_mtime - 2 * YOUNG
    os.utime(folder, (old, old))


def test_the_folder_of_a_killed_process_is_removed_and_that_of_a_living_one_stays(place):
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    owner = context.Process(target=own, args=(there,), daemon=True)
    owner.start()
    folder = here.recv()
    assert folder.parent == place
    age(folder)
    remove_abandoned()
    assert (folder / "inside").is_dir()
    owner.kill()
    owner.join()
    remove_abandoned()
    assert not folder.exists()


def test_nothing_else_is_removed(place):
    elsewhere = place / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (place / "lmmkit-1-abcdefgh").symlink_to(elsewhere)
    for name in ("lmmkit-data", "lmmkit-1-ABCDEFGH", "lmmkit-12-abcdefgh.txt", "other-1-abcdefgh"):
        (place / name).mkdir(mode=0o700)
    (place / "lmmkit-2-abcdefgh").mkdir(mode=0o755)
    (place / "lmmkit-3-abcdefgh").touch(mode=0o700)
    (place / "lmmkit-4-abcdefgh").mkdir(mode=0o700)
    before = set(place.iterdir())
    for path in before - {place / "lmmkit-4-abcdefgh"}:
        age(path)
    remove_abandoned()
    assert set(place.iterdir()) == before
    age(place / "lmmkit-4-abcdefgh")
    remove_abandoned()
    assert before - set(place.iterdir()) == {place / "lmmkit-4-abcdefgh"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another's folder")
def test_the_folder_of_another_user_is_left_alone(place):
    folder = place / "lmmkit-5-abcdefgh"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    age(folder)
    remove_abandoned()
    assert folder.is_dir()


def test_a_folder_is_gone_at_the_end_of_its_use():
    with temporary_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
