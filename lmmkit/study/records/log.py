"""The log of a run, `log.jsonl`: its events with their clock times, each chained to the one before.

An entry's `chain` is the digest of the chain before it and of the entry without its clock times, which
nothing can bind; a run that is killed may leave half a line, and the next one starts after it.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lmmkit.errors import RunError
from lmmkit.study.files.yaml12 import is_mapping
from lmmkit.study.records.artifacts import sha256
from lmmkit.study.records.manifest import Manifest

NAME = "log.jsonl"
#: What an entry of each kind says beside its time and its chain.
EVENTS = {
    "started": {"key", "kept"},
    "step started": {"step"},
    "step finished": {"step", "seconds"},
    "step reused": {"step"},
    "complete": set[str](),
    "by hand": set[str](),
    "failed": {"error"},
    "interrupted": {"error"},
}
LONGEST = 100_000  # bytes of an entry
_CLOCKS = ("time", "seconds", "chain")  # in no chain


class Log:
    """Events of a run folder, with their clock times."""

    def __init__(self, folder: Path):
        self.path = folder / NAME

    def __call__(self, event: str, **facts: object) -> None:
        """Add a line."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        try:
            text = self._end()
            entry = {"event": event, **facts}
            last = next((found.get("chain", "") for found in reversed([*_entries(text)]) if found), "")
            line = json.dumps({"time": now, **entry, "chain": chained(str(last), entry)})
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(f"{'' if text.endswith(chr(10)) or not text else chr(10)}{line}\n")
        except OSError as error:
            raise RunError(f"{self.path} cannot be written: {error.strerror}") from None

    def _end(self) -> str:
        """The last lines."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - LONGEST))
            return stream.read().decode(errors="replace")


def chained(before: str, entry: Mapping[str, Any]) -> str:
    """The chain of an entry after another.

    >>> chained("", {"event": "complete", "time": "1"}) == chained("", {"event": "complete", "time": "2"})
    True
    """
    bound = {name: value for name, value in entry.items() if name not in _CLOCKS}
    return sha256((before + json.dumps(bound, sort_keys=True)).encode())


def _entries(text: str) -> Iterator[dict[str, Any] | None]:
    """Each line's entry; None for one that is none."""
    for line in text.splitlines():
        try:
            found: Any = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        yield found if is_mapping(found) else None


def faults_of_log(text: str, manifest: Manifest) -> list[str]:
    """What in a log contradicts itself or the manifest of its run."""
    entries = [*_entries(text)]
    faults, before = list[str](), ""
    for at, entry in enumerate(entries, start=1):
        if entry is None:  # cut off when a run was killed, or the disk full
            following = entries[at] if at < len(entries) else {"event": "started"}
            if not following or following.get("event") not in ("started", "failed", "interrupted"):
                faults.append(f"line {at} is damaged")
            continue
        expected = EVENTS.get(str(entry.get("event")))
        if expected is None or entry.keys() != expected | {"time", "event", "chain"}:
            faults.append(f"line {at} is no entry of a log")
        elif entry["chain"] != chained(before, entry):
            faults.append(f"line {at} does not follow from those before it")
        elif entry["event"] == "started" and entry["key"] != manifest.key:
            faults.append(f"line {at} is about the run {entry['key']}")
        before = str(entry.get("chain", ""))
    return faults or _other_story([entry for entry in entries if entry], manifest)


def _other_story(entries: list[dict[str, Any]], manifest: Manifest) -> list[str]:
    """Whether the last start led to another end, or to other steps, than the manifest has."""
    start = max((i for i, entry in enumerate(entries) if entry["event"] == "started"), default=None)
    if start is None:
        return ["it tells of no start"]
    story = entries[start + 1 :]
    made = [entry["step"] for entry in story if entry["event"] in ("step finished", "step reused")]
    steps, listed = [*entries[start]["kept"], *made], [record.step for record in manifest.steps[1:]]
    ended = [(entry["event"], entry.get("error")) for entry in story if not entry["event"].startswith("step")]
    expected = [] if manifest.status == "running" else [(manifest.status, manifest.error)]
    faults = [] if steps == listed else [f"it tells of the steps {', '.join(map(str, steps)) or 'none'}"]
    return faults + (
        [] if ended == expected else [f"it ends {' and '.join(event for event, _ in ended) or 'nowhere'}"]
    )
