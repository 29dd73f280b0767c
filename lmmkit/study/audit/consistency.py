"""What a run says of itself, held against itself: nothing is executed, and nothing of it is trusted.

A number in the report must stand in the file that it names, a picture must be one of the figures, a notebook
must have the cells whose digest is recorded, a verdict must follow from its value, a step's key from what the
step read, the log and the crate from the manifest. Clock times and the machine's name can be anything: they
are bound by nothing, which is said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lmmkit.errors import LmmkitError, first_of
from lmmkit.model.certificate import FAILS
from lmmkit.model.certificate import HOLDS as HELD
from lmmkit.model.certificate import UNCHECKED as LEFT
from lmmkit.study.audit.integrity import RunFolder
from lmmkit.study.audit.verdicts import (
    CONSISTENCY,
    DIFFERS,
    HOLDS,
    NAMED_VALUES,
    UNCHECKED,
    UNTRUSTED,
    Finding,
)
from lmmkit.study.files.study import load_study
from lmmkit.study.files.yaml12 import is_mapping
from lmmkit.study.pages.read_page import extract, shown_pictures
from lmmkit.study.records.artifacts import json_bytes, sha256
from lmmkit.study.records.keys import PROVENANCE, package_digest, step_key, versions
from lmmkit.study.records.log import NAME as LOG
from lmmkit.study.records.log import faults_of_log
from lmmkit.study.records.manifest import ROOT, Record, root_digest
from lmmkit.study.records.notebooks import INJECTED, Notebook, tags_of
from lmmkit.study.records.plan_lock import LOCK
from lmmkit.study.records.ro_crate import NAME as CRATE
from lmmkit.study.records.ro_crate import crate_of
from lmmkit.study.records.temporary import temporary_folder
from lmmkit.study.report.read_back import prove

REPORT = "report.html"
CERTIFICATE = "tables/certificate.csv"
UNBOUND = "clock times and seconds of the log, the machine's name"


def check_consistency(run: RunFolder, notebooks: Sequence[Notebook]) -> Iterator[Finding]:
    """One finding per question that a run answers by itself.

    Args:
        run: The run.
        notebooks: Those that would be executed now.
    """
    yield _asked("name of the study", run, _name)
    yield from _keys(run, notebooks)
    for record in run.manifest.steps:
        for file in record.files:
            if file.path.endswith(".ipynb"):
                yield _asked(f"cells of {file.path}", run, _cells(file.path))
    if run.content(REPORT) is not None:
        yield _asked(f"record in {REPORT}", run, _record)
        yield from _numbers(run)
        yield _asked(f"pictures in {REPORT}", run, _pictures)
    if run.content(ROOT) is not None:
        yield _asked("root digest that the report prints", run, _root)
    if run.content(CERTIFICATE) is not None:
        yield _asked("verdicts of the certificate", run, _verdicts)
    yield _asked(LOG, run, _log)
    yield _asked(CRATE, run, _crate)
    found = "nothing in the run binds them; they are the word of whoever holds it"
    yield Finding(CONSISTENCY, UNBOUND, UNTRUSTED, found)


Question = Callable[[RunFolder], list[str]]


def _asked(what: str, run: RunFolder, question: Question) -> Finding:
    """A question's answer: the faults found, or that there is none."""
    try:
        faults = question(run)
    except (LmmkitError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        faults = [f"it cannot be read: {error}"]
    if not faults:
        return Finding(CONSISTENCY, what, HOLDS, "as the rest of the run has it")
    return Finding(CONSISTENCY, what, DIFFERS, first_of(faults, NAMED_VALUES, "; "), "the rest of the run")


def _name(run: RunFolder) -> list[str]:
    said, recorded = run.manifest.study, str(run.provenance["study"])
    source, read = run.provenance["source"], run.settings["data"]["source"]
    faults = [] if said == recorded else [f"{said} in the manifest, {recorded} in provenance.json"]
    command = f"lmmkit audit reports/{said}/{run.manifest.key}"
    faults += [] if run.provenance["audit"] == command else ["another command to audit it"]
    return faults + (
        [] if source == read else [f"data from {source} in provenance.json, {read} in study.json"]
    )


def _keys(run: RunFolder, notebooks: Sequence[Notebook]) -> Iterator[Finding]:
    """Each step's key made again from what the step read: a chain of digests through all steps."""
    what, record = "keys of the steps", run.provenance
    names = [step.step for step in run.manifest.steps[1:]]
    if list(record.get("notebooks", {}))[: len(names)] != names:
        yield Finding(CONSISTENCY, what, DIFFERS, ", ".join(names), ", ".join(record.get("notebooks", {})))
    elif (record.get("package"), record.get("versions")) != (package_digest(), versions()):
        yield Finding(CONSISTENCY, what, UNCHECKED, "made by other code or versions, which are in the keys")
    else:
        yield _asked(what, run, lambda run: _wrong_keys(run, notebooks))


def _wrong_keys(run: RunFolder, notebooks: Sequence[Notebook]) -> list[str]:
    head, *records = run.manifest.steps
    files = {file.path: run.content(file.path) or b"" for file in head.files}
    known = {notebook.name: notebook for notebook in notebooks}
    faults = [] if head.key == run.manifest.key else [f"{head.step}: {head.key[:12]}"]
    with temporary_folder() as place:
        path = Path(place) / f"{run.manifest.study}.yaml"
        path.write_bytes(json_bytes(run.settings))
        study = load_study(path)
        for at, record in enumerate(records):
            notebook = known.get(record.step)
            if notebook is None or notebook.digest != run.provenance["notebooks"][record.step]:
                continue  # other notebooks, which the environment tells
            read = files if PROVENANCE in notebook.reads else {}
            made = step_key(notebook, study, str(run.provenance["sha256"]), read, records[:at])
            faults += (
                [] if made == record.key else [f"{record.step}: {record.key[:12]}, made again {made[:12]}"]
            )
    return faults


def _cells(path: str) -> Question:
    """Whether the cells of an executed notebook have the digest that is recorded of them."""

    def question(run: RunFolder) -> list[str]:
        book: Any = json.loads(run.content(path) or b"")
        book["cells"] = [cell for cell in book["cells"] if INJECTED not in tags_of(cell)]
        recorded = run.provenance["notebooks"][Path(path).stem]
        made = Notebook(Path(path), json.dumps(book).encode()).digest
        return [] if made == recorded else [f"sha256 {made[:12]}, recorded {str(recorded)[:12]}"]

    return question


def _page(run: RunFolder) -> str:
    return (run.content(REPORT) or b"").decode()


def _before(run: RunFolder, path: str) -> list[Record]:
    """The records of the steps before the one that wrote a file."""
    steps = run.manifest.steps
    at = next(
        (i for i, record in enumerate(steps) if any(file.path == path for file in record.files)), len(steps)
    )
    return list(steps[:at])


def _record(run: RunFolder) -> list[str]:
    """What the report carries for its reproduction, against the files of the run."""
    carried, lock = extract(_page(run)), run.content(LOCK)
    files = {file.path: file.sha256 for record in _before(run, REPORT) for file in record.files}
    expected = {
        "settings": run.settings,
        "provenance": run.provenance,
        "files": files,
        "lock": lock.decode() if lock else None,
    }
    return [f"its {part} are others" for part, value in expected.items() if carried.get(part) != value]


def _numbers(run: RunFolder) -> Iterator[Finding]:
    """Every number of the report looked up at the place that it names."""
    what = f"numbers in {REPORT}"
    try:
        proof = prove(_page(run), run.folder)
    except (LmmkitError, OSError, ValueError) as error:
        yield Finding(CONSISTENCY, what, DIFFERS, f"it cannot be read: {error}")
        return
    if not proof.proven and not any(" (" in loose for loose in proof.loose):
        yield Finding(CONSISTENCY, what, UNCHECKED, "none is marked with its place")
        return
    yield _asked(what, run, lambda _: [f"{loose} stands nowhere" for loose in proof.loose])


def _pictures(run: RunFolder) -> list[str]:
    figures = {file.sha256 for path, file in run.manifest.files().items() if path.startswith("figures/")}
    shown = shown_pictures(_page(run))
    wrong = [
        at for at, content in enumerate(shown, start=1) if content is None or sha256(content) not in figures
    ]
    return [f"picture {at} is no figure of the run" for at in wrong]


def _root(run: RunFolder) -> list[str]:
    printed = run.json(ROOT)
    files = [file for record in _before(run, ROOT) for file in record.files]
    made = {"files": len(files), "root": root_digest(files)}
    return [
        f"{name}: {printed.get(name)}, made again {value}"
        for name, value in made.items()
        if printed.get(name) != value
    ]


def _verdicts(run: RunFolder) -> list[str]:
    """Verdicts that do not follow from their values, and a summary that does not follow from the verdicts."""
    table, summary = run.table(CERTIFICATE), run.json("certificate.json")
    rows = list(table[["check", "value", "threshold", "verdict"]].itertuples(index=False, name=None))
    faults = [
        f"{check}: {value:.3g} {verdict}"
        for check, value, threshold, verdict in rows
        if verdict
        not in (LEFT, HELD if (value >= threshold if threshold < 0 else value <= threshold) else FAILS)
    ]
    failed = [check for check, _, _, verdict in rows if verdict == FAILS]
    told = (summary["passed"], summary["checks"], summary["failed"])
    if told != (not failed, len(rows), failed):
        faults.append(f"certificate.json: passed {told[0]}, {told[1]} checks")
    return faults


def _log(run: RunFolder) -> list[str]:
    content = run.content(LOG)
    return ["missing"] if content is None else faults_of_log(content.decode(errors="replace"), run.manifest)


def _crate(run: RunFolder) -> list[str]:
    if run.content(CRATE) is None:
        return ["missing"] if run.manifest.status == "complete" else []
    said, log = run.json(CRATE), run.content(LOG) or b""
    made = json.loads(json_bytes(crate_of(run.manifest, run.provenance, log.decode(errors="replace"))))
    if said == made:
        return []
    entities = zip(said["@graph"], made["@graph"], strict=False)
    apart = [str(a.get("@id")) if is_mapping(a) else "an entity" for a, b in entities if a != b]
    return [f"{name} is described otherwise" for name in apart] or ["it describes other things"]
