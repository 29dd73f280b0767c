"""Provenance of a run as a Process Run Crate: `ro-crate-metadata.json`, from its manifest and its log.

Profile: Process Run Crate 0.5 of the Workflow Run RO-Crate collection, on RO-Crate 1.1: a CreateAction per
step with the notebook as its instrument, the files read as its object, the files written as its result.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lmmkit.errors import RunError
from lmmkit.study.records.artifacts import json_bytes, read_json, write_bytes
from lmmkit.study.records.log import NAME as LOG
from lmmkit.study.records.manifest import File, Manifest, Record, load_manifest

NAME = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
_STATUS = "http://schema.org/{}ActionStatus"
_FORMATS = {".ipynb": "application/x-ipynb+json", ".parquet": "application/vnd.apache.parquet"}

Entity = dict[str, Any]
Times = dict[tuple[str, str], str]


def write_crate(folder: Path) -> None:
    """Describe what a run folder holds and how it came about.

    Raises:
        RunError: it is no run folder, or cannot be written.
    """
    manifest = load_manifest(folder)
    if manifest is None:
        raise RunError(f"{folder} is no run folder; expected what `lmmkit run` leaves")
    log = folder / LOG
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    crate = crate_of(manifest, read_json(folder / "provenance.json"), text)
    write_bytes(folder / NAME, json_bytes(crate))


def crate_of(manifest: Manifest, provenance: dict[str, Any], log: str) -> Entity:
    """The description of a run, by its manifest, its provenance and the times in its log."""
    return {"@context": _CONTEXT, "@graph": [*_described(manifest, provenance, _times(log))]}


def _described(manifest: Manifest, provenance: dict[str, Any], times: Times) -> Iterator[Entity]:
    steps = [record for record in manifest.steps if record.step in provenance["notebooks"]]
    actions = [
        *(_action(record, manifest, times) for record in steps),
        *_unfinished(manifest, provenance, times),
    ]
    files = list(manifest.files().values())
    yield {
        "@id": NAME,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    yield {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{manifest.study}, run {manifest.key}",
        "description": f"A linear mixed-model analysis made by `{provenance['command']}`: {manifest.status}.",
        "datePublished": max(times.values(), default="1970-01-01"),
        "conformsTo": {"@id": PROFILE},
        "hasPart": [{"@id": quote(file.path)} for file in files],
        "mentions": [{"@id": action["@id"]} for action in actions],
    }
    yield {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    yield from _software(provenance)
    yield {
        "@id": "#data",
        "@type": "CreativeWork",
        "name": provenance["source"],
        "identifier": f"sha256:{provenance['sha256']}",
    }
    yield from map(_file, files)
    yield from actions


def _software(provenance: dict[str, Any]) -> Iterator[Entity]:
    """The notebooks, lmmkit that they call, and what lmmkit calls."""
    for name, digest in provenance["notebooks"].items():
        yield {
            "@id": f"#{name}",
            "@type": ["SoftwareSourceCode", "SoftwareApplication"],
            "name": f"notebook {name}",
            "version": f"sha256:{digest}",
            "softwareRequirements": {"@id": "#lmmkit"},
        }
    packages = provenance["versions"]
    others = [{"@id": f"#{name}"} for name in packages if name != "lmmkit"]
    for name, version in packages.items():
        needs = {"softwareRequirements": others} if name == "lmmkit" else {}
        yield {
            "@id": f"#{name}",
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
            **needs,
        }


def _action(record: Record, manifest: Manifest, times: Times) -> Entity:
    """A step that was completed."""
    position = manifest.steps.index(record)
    read = [{"@id": quote(file.path)} for step in manifest.steps[:position] for file in step.artefacts()]
    result = [{"@id": quote(file.path)} for file in record.files]
    ended = times.get(("step finished", record.step))
    return {
        **_begun(record.step, manifest, times),
        **({"endTime": ended} if ended else {}),
        "object": [{"@id": "#data"}, *read] if position == 1 else read,
        "result": result,
        "actionStatus": {"@id": _STATUS.format("Completed")},
    }


def _begun(step: str, manifest: Manifest, times: Times) -> Entity:
    started = times.get(("step started", step))
    return {
        "@id": f"#run-{manifest.key}-{step}",
        "@type": "CreateAction",
        "name": f"{step} of {manifest.study}",
        "description": f"The notebook {step} executed in a kernel of its own.",
        "instrument": {"@id": f"#{step}"},
        **({"startTime": started} if started else {}),
    }


def _unfinished(manifest: Manifest, provenance: dict[str, Any], times: Times) -> Iterator[Entity]:
    """The step in which a run stopped."""
    left = [name for name in provenance["notebooks"] if manifest.step(name) is None]
    if manifest.status in ("failed", "interrupted") and left:
        yield {
            **_begun(left[0], manifest, times),
            "actionStatus": {"@id": _STATUS.format("Failed")},
            "error": manifest.error or manifest.status,
        }


def _file(file: File) -> Entity:
    ending = Path(file.path).suffix
    kind = _FORMATS.get(ending) or mimetypes.types_map.get(ending, "application/octet-stream")
    return {
        "@id": quote(file.path),
        "@type": "File",
        "name": file.path,
        "contentSize": str(file.bytes),
        "encodingFormat": kind,
        "sha256": file.sha256,
    }


def _times(log: str) -> Times:
    """When each step last began and ended, by the log; a damaged line says nothing."""
    times: Times = {}
    for line in log.splitlines():
        try:
            event = json.loads(line)
            times[event["event"], event.get("step", "")] = str(event["time"])
        except (ValueError, KeyError, TypeError):
            continue
    return times
