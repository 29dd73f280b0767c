"""The log of a run: a chain of entries that follow from each other, and tell the story of the manifest."""

import json

import pytest

from lmmkit.errors import RunError
from lmmkit.study.records import log as module
from lmmkit.study.records.log import EVENTS, Log, chained, faults_of_log
from lmmkit.study.records.manifest import Manifest, Record

STEPS = tuple(Record(name, "k", ()) for name in ("study", "01_one", "02_two"))
DONE = Manifest("tiny", "k1", "complete", steps=STEPS)
STORY = [
    ("started", {"key": "k1", "kept": ["01_one"]}),
    ("step started", {"step": "02_two"}),
    ("step finished", {"step": "02_two", "seconds": 1.5}),
    ("complete", {}),
]
FAILED = ("failed", {"error": "no"})


def told(folder, story):
    log = Log(folder)
    for event, facts in story:
        log(event, **facts)
    return log.path.read_text()


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_an_entry_is_chained_to_the_one_before_its_clock_times_aside(tmp_path):
    text = told(tmp_path, STORY)
    entries = lines(text)
    assert [set(entry) for entry in entries] == [{"time", "event", "chain"} | EVENTS[e] for e, _ in STORY]
    assert entries[0]["time"].endswith("+00:00")
    before = ""
    for entry in entries:
        assert entry["chain"] == chained(before, {**entry, "time": "another", "seconds": 9})
        assert entry["chain"] != chained(before, {**entry, "event": "another"})
        assert entry["chain"] != chained("another", entry)
        before = entry["chain"]
    assert faults_of_log(text, DONE) == []


def test_an_entry_after_half_a_line_stands_on_a_line_of_its_own_and_follows_the_last_whole_one(tmp_path):
    told(tmp_path, STORY[:2])
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"time": "20')
    text = told(tmp_path, [("started", {"key": "k1", "kept": ["01_one", "02_two"]}), ("complete", {})])
    assert len(text.splitlines()) == 5
    assert faults_of_log(text, DONE) == []


def test_only_the_end_of_a_long_log_is_read_to_go_on(tmp_path, monkeypatch):
    assert len(told(tmp_path, STORY)) > 300
    monkeypatch.setattr(module, "LONGEST", 300)
    text = told(tmp_path, [("started", {"key": "k1", "kept": ["01_one", "02_two"]}), ("complete", {})])
    assert faults_of_log(text, DONE) == []


def without(text, number):
    found = text.splitlines()
    return "\n".join([*found[: number - 1], *found[number:]]) + "\n"


def replaced(text, number, line):
    found = text.splitlines()
    return "\n".join([*found[: number - 1], line, *found[number:]]) + "\n"


def damaged(line):
    return [f"line {line} is damaged", f"line {line + 1} does not follow from those before it"]


@pytest.mark.parametrize(
    ("alter", "faults"),
    [
        (lambda text: without(text, 2), ["line 2 does not follow from those before it"]),
        (lambda text: text.replace("1.5", "2.5"), []),  # a clock time
        (lambda text: text.replace("01_one", "03_one"), ["line 1 does not follow from those before it"]),
        (lambda text: replaced(text, 2, '{"time'), damaged(2)),
        (lambda text: replaced(text, 3, '{"time'), damaged(3)),
        (lambda text: text + '{"time', []),  # cut off
        (lambda text: text + "[1]\n", []),
        (lambda text: text + "[1]\n[1]\n", ["line 5 is damaged"]),
        (lambda text: text + '{"event": "strange"}\n', ["line 5 is no entry of a log"]),
        (lambda text: text.replace('"complete"', '"complete", "x": 1'), ["line 4 is no entry of a log"]),
        (lambda text: without(text, 4), ["it ends nowhere"]),
        (lambda text: "", ["it tells of no start"]),
    ],
)  # fmt: skip
def test_what_was_altered_is_told(tmp_path, alter, faults):
    assert faults_of_log(alter(told(tmp_path, STORY)), DONE) == faults


@pytest.mark.parametrize("event", ["failed", "interrupted"])
def test_half_a_line_may_stand_before_the_end_of_a_run_that_was_stopped(tmp_path, event):
    told(tmp_path, STORY[:2])
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"time": "20')
    text = told(tmp_path, [(event, {"error": "disk"})])
    assert faults_of_log(text, Manifest("tiny", "k1", event, "disk", STEPS[:2])) == []


@pytest.mark.parametrize(
    ("story", "manifest", "faults"),
    [
        (STORY, Manifest("tiny", "k2", "complete", steps=STEPS), ["line 1 is about the run k1"]),
        (STORY, Manifest("tiny", "k1", "failed", "no", STEPS), ["it ends complete"]),
        (STORY, Manifest("tiny", "k1", "complete", steps=STEPS[:2]),
         ["it tells of the steps 01_one, 02_two"]),
        (STORY[:3], Manifest("tiny", "k1", "running", steps=STEPS), []),
        ([*STORY[:2], FAILED], Manifest("tiny", "k1", "failed", "no", STEPS[:2]), []),
        ([*STORY[:2], FAILED], Manifest("tiny", "k1", "failed", "yes", STEPS[:2]), ["it ends failed"]),
        ([("started", {"key": "k1", "kept": []}), *STORY[3:]], DONE, ["it tells of the steps none"]),
        ([*STORY, *STORY[3:]], DONE, ["it ends complete and complete"]),
        ([*STORY[:3], *STORY], DONE, []),  # the last start counts
        ([*STORY[:3], ("by hand", {})], Manifest("tiny", "k1", "by hand", steps=STEPS), []),
        ([*STORY[:3], ("by hand", {})], DONE, ["it ends by hand"]),
        (STORY[:3], DONE, ["it ends nowhere"]),
        ([STORY[0], ("step reused", {"step": "02_two"}), STORY[3]], DONE, []),
    ],
)  # fmt: skip
def test_a_log_tells_the_story_of_its_manifest(tmp_path, story, manifest, faults):
    assert faults_of_log(told(tmp_path, story), manifest) == faults


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(RunError, match=r"log\.jsonl cannot be written: Is a directory"):
        Log(tmp_path)("complete")
