"""Files of a run: their bytes, their digests, the manifest that lists them, the locks around them."""

import json
import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import RunError
from lmmkit.study.records.artifacts import (
    csv_bytes,
    json_bytes,
    plain,
    read_csv,
    read_json,
    sha256,
    write_bytes,
)
from lmmkit.study.records.file_lock import BusyError, locked
from lmmkit.study.records.manifest import (
    NAME,
    File,
    Manifest,
    Record,
    load_manifest,
    record_files,
    safe_path,
    through_link,
    unlisted_files,
    verified,
)

FILE = File("a.txt", 1, sha256(b"x"))
ONE = Record("01_one", "k1", (FILE, File("01_one.ipynb", 1, sha256(b"y"))))
TWO = Record("02_two", "k2", (File("tables/b.csv", 2, sha256(b"bb")),))
RUN = Manifest("tiny", "0123", "failed", "it broke", (ONE, TWO))


def write(folder, **files):
    for name, content in files.items():
        write_bytes(folder / name.replace("__", "/").replace("_dot_", "."), content)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "a.txt"
    write_bytes(path, b"old")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"old", 0o644)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(
        RunError, match=r"No space left on device; free or unlock the place, or give --reports DIR$"
    ):
        write_bytes(path, b"new")
    assert (path.read_bytes(), list(path.parent.iterdir())) == (b"old", [path])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64("inf"), None),
        (pd.NA, None),
        (np.int64(3), 3),
        (True, True),
        ((1, np.array([2.5, np.nan])), [1, [2.5, None]]),
        (pd.Series(["a"]), ["a"]),
        ({3: {"x": np.bool_(False)}}, {"3": {"x": False}}),
    ],
)
def test_values_become_what_json_has(value, expected):
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


def test_json_keeps_the_order_of_keys_and_every_letter(tmp_path):
    write_bytes(tmp_path / "a.json", json_bytes({"b": "é", "a": 0.1}))
    assert (tmp_path / "a.json").read_text() == '{\n "b": "é",\n "a": 0.1\n}\n'
    assert read_json(tmp_path / "a.json") == {"b": "é", "a": 0.1}


def test_a_file_that_is_missing_or_damaged_is_told(tmp_path):
    for read in (read_json, read_csv):
        with pytest.raises(RunError, match=r"none is not in .*: the step that writes it has not been run"):
            read(tmp_path / "none")
    (tmp_path / "half.json").write_text('{"a": ')
    with pytest.raises(RunError, match=r"half\.json is damaged: .*; run the study again with --force$"):
        read_json(tmp_path / "half.json")


@pytest.mark.parametrize(("deep", "good"), [(50, True), (51, False), (3000, False)])
def test_a_file_of_a_run_is_nested_fifty_deep_at_most(tmp_path, deep, good):
    for start, end in (("[", "]"), ('{"a": ', "}")):
        (tmp_path / "a.json").write_text(start * deep + "1" + end * deep)
        if good:
            assert read_json(tmp_path / "a.json")
        else:
            with pytest.raises(RunError, match=r"a\.json is damaged: .*(nested more than 50 deep|recursion)"):
                read_json(tmp_path / "a.json")


def test_tables_keep_their_digits_and_no_cell_is_a_formula(tmp_path):
    frame = pd.DataFrame({"=x": ["=1+1", "plain", "'q"], "y": [0.1, 1 / 3, np.nan], "-": ["a", None, "b"]})
    content = csv_bytes(frame)
    assert content.decode().split("\n")[:2] == ["'=x,y,'-", "'=1+1,0.1,a"]
    write_bytes(tmp_path / "t.csv", content)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv"), frame, check_dtype=False)


def test_an_index_is_a_column_unless_it_only_counts():
    frame = pd.DataFrame({"y": [1]})
    assert csv_bytes(frame) == b"y\n1\n"
    assert csv_bytes(frame.rename_axis("row")) == b"row,y\n0,1\n"
    assert csv_bytes(frame.set_axis(["a"])) == b"index,y\na,1\n"


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    RUN.save(tmp_path)
    assert load_manifest(tmp_path) == RUN
    written = json.loads((tmp_path / NAME).read_bytes())
    assert list(written) == ["schema", "study", "key", "status", "error", "steps"]
    assert written["steps"][1] == {
        "step": "02_two",
        "key": "k2",
        "files": [{"path": "tables/b.csv", "bytes": 2, "sha256": sha256(b"bb")}],
    }
    replace(RUN, status="complete", error=None).save(tmp_path)
    assert "error" not in json.loads((tmp_path / NAME).read_bytes())
    assert load_manifest(tmp_path / "elsewhere") is None


def test_the_state_of_a_run_is_asked_by_step_and_by_file():
    assert (RUN.step("02_two"), RUN.step("03_three")) == (TWO, None)
    assert list(RUN.files()) == ["a.txt", "01_one.ipynb", "tables/b.csv"]
    assert ONE.artefacts() == (FILE,)
    assert Manifest("s", "k").with_step(ONE).with_step(TWO).steps == (ONE, TWO)


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: run.pop("steps"),
        lambda run: run.update(steps=3),
        lambda run: run["steps"][0].pop("key"),
        lambda run: run["steps"][0]["files"][0].update(bytes="many"),
        lambda run: run["steps"][0].update(files=None),
        lambda run: run.update(study=None),
        lambda run: run.pop("status"),
    ],
)
def test_a_damaged_manifest_is_told(tmp_path, damage):
    RUN.save(tmp_path)
    content = json.loads((tmp_path / NAME).read_bytes())
    damage(content)
    (tmp_path / NAME).write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"is no manifest of a run; run the study again with --force$"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a\\b", "", "a\0b"])
def test_no_path_leaves_the_folder(tmp_path, path):
    with pytest.raises(
        RunError, match=r"leaves the run folder; expected one such as tables/fixed_effects\.csv$"
    ):
        safe_path(path)
    Manifest("s", "k", steps=(Record("one", "k", (File(path, 0, ""),)),)).save(tmp_path)
    with pytest.raises(RunError, match="leaves the run folder"):
        load_manifest(tmp_path)
    assert safe_path("a/b..c") == "a/b..c"


def test_a_step_is_verified_while_every_file_is_as_it_was(tmp_path):
    write(tmp_path, a_dot_txt=b"x", **{"01_one_dot_ipynb": b"y"})
    assert verified(ONE, tmp_path)
    for content in (b"z", b"xx", None):
        write_bytes(tmp_path / "a.txt", b"x")
        assert verified(ONE, tmp_path)
        (tmp_path / "a.txt").unlink()
        if content is not None:
            write_bytes(tmp_path / "a.txt", content)
        assert not verified(ONE, tmp_path)
    (tmp_path / "other").write_bytes(b"x")
    (tmp_path / "a.txt").symlink_to("other")
    assert not verified(ONE, tmp_path)
    assert through_link(tmp_path, "a.txt")
    assert not through_link(tmp_path, "other")


def test_files_that_no_step_wrote_are_found(tmp_path):
    write(tmp_path, a_dot_txt=b"x", new__b_dot_csv=b"12", log_dot_jsonl=b"", manifest_dot_json=b"{}")
    write_bytes(tmp_path / "ro-crate-metadata.json", b"")
    assert unlisted_files(tmp_path, RUN) == ["new/b.csv"]
    assert record_files(tmp_path, RUN) == (File("new/b.csv", 2, sha256(b"12")),)
    (tmp_path / "link").symlink_to("a.txt")
    with pytest.raises(RunError, match=r"link in .* is a link; a run folder holds files only"):
        record_files(tmp_path, RUN)


def test_a_manifest_that_is_a_link_is_refused(tmp_path):
    RUN.save(tmp_path / "there")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / NAME).symlink_to(tmp_path / "there" / NAME)
    with pytest.raises(RunError, match="is a link"):
        load_manifest(tmp_path / "here")


def hold(path, held, free):
    with locked(path, wait=False):
        held.set()
        free.wait()


def test_a_lock_is_held_by_one_process_and_falls_with_it(tmp_path):
    path = tmp_path / "made" / ".lock"
    context = multiprocessing.get_context("fork")  # it opens a file of its own
    held, free = context.Event(), context.Event()
    other = context.Process(target=hold, args=(path, held, free), daemon=True)
    other.start()
    held.wait()
    with pytest.raises(BusyError, match=r"another process holds .*\.lock"), locked(path, wait=False):
        pass
    other.kill()
    with locked(path, wait=True):
        pass
    with locked(path, wait=False):
        pass
    other.join()


def test_a_lock_is_not_made_through_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "there")
    (tmp_path / "there/.file").symlink_to(tmp_path / "other")
    for path, link in ((tmp_path / "folder/.lock", "folder"), (tmp_path / "there/.file", r"\.file")):
        with (
            pytest.raises(RunError, match=rf"{link} is a link, and nothing is written through it; remove it"),
            locked(path, wait=True),
        ):
            pass
    assert not (tmp_path / "other").exists()


def test_a_lock_in_a_place_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunError, match=r"cannot be made: .*; free the place or give --reports DIR$"),
        locked(tmp_path / "file" / ".lock", wait=True),
    ):
        pass


def test_letters_without_ink_are_escaped_in_json(tmp_path):
    content = json_bytes({"a\u200b": "x\u202ey", "b": "é"})
    assert content.decode() == '{\n "a\\u200b": "x\\u202ey",\n "b": "é"\n}\n'
    write_bytes(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == {"a\u200b": "x\u202ey", "b": "é"}


def test_a_pipe_is_no_file_of_a_run(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(
        RunError, match=r"a\.json is damaged: it is no regular file; run the study again with"
    ):
        read_json(tmp_path / "a.json")
