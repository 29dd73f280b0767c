"""The store of steps: what was made once is found by its key, whole and untouched, or not at all."""

import pytest

from lmmkit.errors import RunError
from lmmkit.study.records.artifacts import sha256, write_bytes
from lmmkit.study.records.file_lock import BusyError, locked
from lmmkit.study.records.manifest import File, Record, load_manifest
from lmmkit.study.records.step_store import Store, exchange

RECORD = Record("01_one", "abc", (File("tables/a.csv", 1, sha256(b"x")),))


@pytest.fixture
def store(tmp_path):
    return Store.of(tmp_path / "reports")


@pytest.fixture
def kept(store, tmp_path):
    """A run folder whose step is kept."""
    write_bytes(tmp_path / "run/tables/a.csv", b"x")
    store.keep(RECORD, tmp_path / "run")
    return store.root / "01_one/abc"


def test_what_a_killed_process_left_is_in_no_entry(store, kept, tmp_path):
    for place in (".abc.new", ".abc.old"):
        write_bytes(kept.parent / place / "stray", b"x")
    store.keep(RECORD, tmp_path / "run")
    assert sorted(path.name for path in kept.parent.iterdir()) == ["abc"]
    assert sorted(path.name for path in kept.iterdir()) == ["manifest.json", "tables"]


def test_a_kept_step_is_found_and_given(store, kept, tmp_path):
    assert store.root == tmp_path / "reports/.steps"
    assert sorted(path.name for path in kept.parent.iterdir()) == ["abc"]
    assert load_manifest(kept).status == "complete"
    assert store.find("01_one", "abc") == RECORD
    store.give(RECORD, tmp_path / "other")
    assert [path.name for path in (tmp_path / "other/tables").iterdir()] == ["a.csv"]
    assert (tmp_path / "other/tables/a.csv").read_bytes() == b"x"


@pytest.mark.parametrize(("step", "key"), [("01_one", "abd"), ("02_two", "abc")])
def test_another_step_or_key_is_not_found(store, kept, step, key):
    assert store.find(step, key) is None


def test_what_was_touched_or_does_not_fit_its_place_is_not_found(store, kept):
    kept.rename(kept.with_name("abd"))
    assert store.find("01_one", "abd") is None
    kept.with_name("abd").rename(kept)
    assert store.find("01_one", "abc")
    (kept / "tables/a.csv").write_bytes(b"y")
    assert store.find("01_one", "abc") is None
    (kept / "manifest.json").write_text("{")
    assert store.find("01_one", "abc") is None


def test_a_step_kept_again_takes_the_place_of_the_touched_one(store, kept, tmp_path):
    (kept / "tables/a.csv").write_bytes(b"y")
    (kept / "stray").touch()
    store.keep(RECORD, tmp_path / "run")
    assert store.find("01_one", "abc") == RECORD
    assert sorted(path.name for path in kept.iterdir()) == ["manifest.json", "tables"]
    assert sorted(path.name for path in kept.parent.iterdir()) == ["abc"]


def test_one_process_alone_makes_a_step(store):
    with (
        store.making("01_one", "abc"),
        pytest.raises(BusyError),
        locked(store.root / "01_one/.abc.lock", wait=False),
    ):
        pass
    with store.making("01_one", "abc"), store.making("01_one", "abd"), store.making("02_two", "abc"):
        pass


def test_a_place_that_cannot_be_written_is_told(store, kept, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"file cannot be written: .*; free the place or unlock it$"):
        store.give(RECORD, tmp_path / "file")
    with pytest.raises(RunError, match="entry cannot be written"):
        exchange(tmp_path / "absent", tmp_path / "entry")
