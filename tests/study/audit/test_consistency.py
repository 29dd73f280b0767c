"""What a run says of itself is held against itself: each part of it altered, with every digest repaired."""

import json
import re
from dataclasses import replace

import pandas as pd
import pytest
from support.projects import copied, edit, repair

from lmmkit.errors import DataError
from lmmkit.study.audit.consistency import UNBOUND, _asked, check_consistency
from lmmkit.study.audit.integrity import RunFolder, open_run
from lmmkit.study.audit.verdicts import DIFFERS, HOLDS, UNCHECKED, UNTRUSTED
from lmmkit.study.pages.marks import Mark
from lmmkit.study.pages.read_page import RECORD
from lmmkit.study.records.artifacts import csv_bytes, json_bytes, sha256
from lmmkit.study.records.keys import package_digest, versions
from lmmkit.study.records.log import Log, chained, faults_of_log
from lmmkit.study.records.manifest import File, Manifest, Record, root_digest
from lmmkit.study.records.notebooks import read_notebook
from lmmkit.study.records.ro_crate import crate_of

pytestmark = pytest.mark.slow


@pytest.fixture
def books(project):
    return [read_notebook(path) for path in sorted((project / "notebooks").glob("0*.ipynb"))]


@pytest.fixture
def folder(finished, tmp_path):
    return copied(finished, tmp_path)


def faults(folder, books):
    found = {finding.what: finding for finding in check_consistency(open_run(folder), books)}
    return {what: finding for what, finding in found.items() if finding.verdict == DIFFERS}


def test_an_untouched_run_agrees_with_itself(folder, books):
    found = {finding.what: finding.verdict for finding in check_consistency(open_run(folder), books)}
    assert found.pop(UNBOUND) == UNTRUSTED
    assert found.pop("numbers in report.html") == UNCHECKED  # these notebooks mark none
    assert set(found.values()) == {HOLDS}
    assert {"name of the study", "keys of the steps", "cells of 03_fit.ipynb", "record in report.html",
            "pictures in report.html", "log.jsonl", "ro-crate-metadata.json"} == {
        what for what in found if not what.startswith("cells") or "03" in what}  # fmt: skip


def change(path, **values):
    def alter(folder):
        content = json.loads((folder / path).read_bytes())
        (folder / path).write_text(json.dumps({**content, **values}))

    return alter


def without_cells(folder):
    change("03_fit.ipynb", cells=[])(folder)


def other_source(folder):
    edit(folder / "03_fit.ipynb", "fit = lmm", "fit  = lmm")


def another_picture(folder):
    edit(folder / "report.html", "<p>", '<img alt="" src="data:image/svg+xml;base64,YQ=="><p>')


def log(alter):
    def altered(folder):
        entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        before = ""
        for entry in alter(entries):
            entry["chain"] = before = chained(before, entry)
        (folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    return altered


def drop(event):
    def alter(entries):
        entries[:] = [entry for entry in entries if entry["event"] != event]
        return entries

    return log(alter)


def put(event, /, **values):
    def alter(entries):
        for entry in entries:
            if entry["event"] == event:
                entry.update(values)
        return entries

    return log(alter)


def crate(folder):
    edit(folder / "ro-crate-metadata.json", "A linear mixed-model analysis", "A drug trial")


ALTERATIONS = {
    "name of the study": [change("manifest.json", study="drug"), change("provenance.json", source="b.csv"),
                          change("provenance.json", study="drug"), change("provenance.json", audit="rm -rf")],
    "keys of the steps": [lambda f: edit(f / "tables/coefficients.csv", "Days,10.4", "Days,10.5"),
                          change("study.json", seed=1), change("provenance.json", threads=8),
                          lambda f: edit(f / "figures/rising.svg", "<path", "<path ")],
    "cells of 03_fit.ipynb": [without_cells, other_source],
    "record in report.html": [change("study.json", title="Drug"), change("provenance.json", threads=8),
                              lambda f: edit(f / "trace.csv", "phase", "phrase"),
                              lambda f: edit(f / "report.html", '"title": "Sleep', '"title": "Drug')],
    "pictures in report.html": [another_picture],
    "log.jsonl": [put("step finished", step="01_data_prep"), put("started", key="0" * 12),
                  drop("step finished"), drop("complete"), put("complete", event="failed", error="no"),
                  drop("started"), put("complete", drug="works"), lambda f: (f / "log.jsonl").unlink(),
                  lambda f: edit(f / "log.jsonl", '"03_fit"', '"99_fit"'),
                  lambda f: (f / "log.jsonl").write_text('{"event": "x"}\nhalf a li')],
    "ro-crate-metadata.json": [crate, change("ro-crate-metadata.json", **{"@graph": []}),
                               lambda f: (f / "ro-crate-metadata.json").unlink()],
}  # fmt: skip


@pytest.mark.parametrize(
    ("what", "alter"), [(what, alter) for what, alters in ALTERATIONS.items() for alter in alters]
)
def test_each_alteration_contradicts_the_rest_of_the_run_though_every_digest_is_repaired(
    folder, books, what, alter
):
    alter(folder)
    repair(folder)
    assert what in faults(folder, books)


def test_seconds_and_clock_times_are_bound_by_nothing_and_change_nothing(folder, books):
    text = (folder / "log.jsonl").read_text()
    (folder / "log.jsonl").write_text(re.sub(r'"seconds": [\d.]+', '"seconds": 1e9', text))
    assert faults(folder, books) == {}


def test_other_code_leaves_the_keys_of_the_steps_unchecked(folder, books):
    change("provenance.json", package="0" * 64)(folder)
    found = {finding.what: finding.verdict for finding in check_consistency(open_run(folder), books)}
    assert found["keys of the steps"] == UNCHECKED


# Runs made by hand: what a report prints, its root digest, its certificate.


def made(folder, files, earlier=()):
    """A run folder whose last step wrote the report."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    records = [[path for path in files if path in earlier], [path for path in files if path not in earlier]]
    steps = [
        Record(name, "k", tuple(File(path, len(files[path]), sha256(files[path])) for path in paths))
        for name, paths in zip(("study", "04_report"), records, strict=True)
    ]
    return RunFolder(folder, Manifest("s", "k", "complete", steps=tuple(steps)))


def answers(run):
    return {finding.what: (finding.verdict, finding.found) for finding in check_consistency(run, [])}


TABLE = csv_bytes(pd.DataFrame({"coefficient": ["Days"], "estimate": [10.467]}))
PROVENANCE = json_bytes({"study": "s", "source": "a", "notebooks": {}, "audit": "lmmkit audit reports/s/k"})
BASE = {
    "provenance.json": PROVENANCE,
    "study.json": json_bytes({"data": {"source": "a"}}),
    "tables/fit.csv": TABLE,
}


@pytest.mark.parametrize(
    ("page", "verdict", "word"),
    [
        ("<p>It is {}.</p>", HOLDS, "as the rest"),
        ("<p>It is {}, and the drug works, p = 0.0001.</p>", DIFFERS, "0.0001"),
        ("<p>No numbers.</p>", UNCHECKED, "none is marked"),
    ],
)
def test_every_number_of_a_report_stands_where_it_says(tmp_path, page, verdict, word):
    mark = Mark(10.467, "tables/fit.csv", "Days.estimate", "10.47").__html__()
    run = made(tmp_path, {**BASE, "report.html": page.format(mark).encode()}, BASE)
    found, said = answers(run)["numbers in report.html"]
    assert (found, word in said) == (verdict, True), said


def test_a_number_that_is_not_the_one_at_its_place_is_told(tmp_path):
    mark = Mark(12.467, "tables/fit.csv", "Days.estimate", "12.47").__html__()
    verdict, said = answers(made(tmp_path, {**BASE, "report.html": mark.encode()}, BASE))[
        "numbers in report.html"
    ]
    assert (verdict, "12.47" in said) == (DIFFERS, True)


def crated(folder, alter, **own):
    """What is said of the crate of a run, altered."""
    provenance = json.loads(PROVENANCE) | {"versions": {"lmmkit": "1"}, "command": "c", "sha256": "d"}
    run = made(folder, {**BASE, "provenance.json": json_bytes(provenance)}, BASE)
    run = RunFolder(run.folder, replace(run.manifest, **own))
    crate = json.loads(json_bytes(crate_of(run.manifest, provenance, "")))
    (folder / "ro-crate-metadata.json").write_bytes(json_bytes(alter(crate)))
    return answers(run)["ro-crate-metadata.json"]


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda crate: crate, "as the rest of the run has it"),
        (lambda crate: crate | {"@context": "x"}, "it describes other things"),
        (lambda crate: crate | {"@graph": crate["@graph"][:-1]}, "it describes other things"),
        (lambda crate: crate | {"@graph": ["x", *crate["@graph"][1:]]}, "an entity is described otherwise"),
        (lambda crate: crate | {"@graph": [one | {"name": "x"} if one["@id"] == "./" else one
                                           for one in crate["@graph"]]}, "./ is described otherwise"),
        (lambda crate: [crate], "it cannot be read: "),
    ],
)  # fmt: skip
def test_a_crate_describes_its_run_and_nothing_else(tmp_path, alter, said):
    verdict, found = crated(tmp_path, alter)
    assert (found.startswith(said), verdict == HOLDS) == (True, said.startswith("as the rest")), found


def test_what_nothing_binds_is_said_of_every_run(tmp_path):
    last = list(check_consistency(made(tmp_path, BASE), []))[-1]
    said = "nothing in the run binds them; they are the word of whoever holds it"
    assert (last.what, last.verdict, last.found) == (UNBOUND, UNTRUSTED, said)
    assert UNBOUND == "clock times and seconds of the log, the machine's name"


def test_a_log_that_is_missing_is_told(tmp_path):
    run = made(tmp_path, BASE)
    assert answers(run)["log.jsonl"] == (DIFFERS, "missing")
    Log(tmp_path)("started", key="k", kept=["04_report"])
    Log(tmp_path)("complete")
    assert answers(run)["log.jsonl"][0] == HOLDS


def test_three_faults_are_named_and_the_rest_is_counted(tmp_path):
    run = RunFolder(tmp_path, Manifest("s", "k"))
    for count, said in (
        (1, "f0"),
        (3, "f0; f1; f2"),
        (4, "f0; f1; f2; and 1 more"),
        (9, "f0; f1; f2; and 6 more"),
    ):
        assert _asked("x", run, lambda _, count=count: [f"f{i}" for i in range(count)]).found == said
    unread = _asked("x", run, lambda run: run.json("none.json"))
    assert (unread.verdict, unread.found.startswith("it cannot be read: none.json is not in")) == (
        DIFFERS,
        True,
    )


@pytest.mark.parametrize(
    "kind",
    [DataError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError],
)
def test_whatever_stands_in_the_way_of_an_answer_is_a_fault(tmp_path, kind):
    def question(run):
        raise kind("torn")

    found = _asked("x", RunFolder(tmp_path, Manifest("s", "k")), question)
    assert (found.part, found.what, found.verdict, found.expected) == (
        "consistency", "x", DIFFERS, "the rest of the run",
    )  # fmt: skip
    assert found.found == f"it cannot be read: {kind('torn')}"


@pytest.mark.parametrize(
    ("other", "faults"),
    [({}, "as the rest of the run has it"), ({"settings": {}}, "its settings are others"),
     ({"provenance": {}}, "its provenance are others"), ({"files": {}}, "its files are others"),
     ({"lock": "{}"}, "its lock are others"), ({"lock": None}, "its lock are others")],
)  # fmt: skip
def test_a_report_carries_what_its_run_records(tmp_path, other, faults):
    files = {**BASE, "lock.json": b'{"schema": 1}'}
    record = {
        "settings": json.loads(BASE["study.json"]), "provenance": json.loads(PROVENANCE),
        "files": {path: sha256(content) for path, content in files.items()}, "lock": '{"schema": 1}',
    }  # fmt: skip
    page = f'<script type="application/json" id="{RECORD}">{json.dumps(record | other)}</script>'
    run = made(tmp_path, {**files, "report.html": page.encode()}, files)
    assert answers(run)["record in report.html"][1] == faults


@pytest.mark.parametrize(
    ("said", "faults"),
    [({}, "as the rest of the run has it"), ({"study": "t"}, "s in the manifest, t in provenance.json"),
     ({"audit": "lmmkit audit reports/s/j"}, "another command to audit it"),
     ({"source": "b"}, "data from b in provenance.json, a in study.json")],
)  # fmt: skip
def test_a_run_has_one_name_one_source_and_one_command_to_audit_it(tmp_path, said, faults):
    provenance = json_bytes(json.loads(PROVENANCE) | said)
    run = made(tmp_path, {**BASE, "provenance.json": provenance}, BASE)
    assert answers(run)["name of the study"][1] == faults


@pytest.mark.parametrize(
    ("status", "said"), [("complete", "missing"), ("failed", "as the rest of the run has it")]
)
def test_a_run_that_is_complete_has_a_crate(tmp_path, status, said):
    run = made(tmp_path, BASE)
    assert (
        answers(RunFolder(run.folder, replace(run.manifest, status=status)))["ro-crate-metadata.json"][1]
        == said
    )


def test_a_picture_that_is_no_figure_is_told_by_its_place(tmp_path):
    shown = [
        f'<img alt="" src="data:image/svg+xml;base64,{code}">' for code in ("YQ==", "Yg==", "YQ==", "Yw==")
    ]
    run = made(tmp_path, {**BASE, "figures/a.svg": b"a", "report.html": "".join(shown).encode()}, BASE)
    said = "picture 2 is no figure of the run; picture 4 is no figure of the run"
    assert answers(run)["pictures in report.html"] == (DIFFERS, said)
    beside = made(
        tmp_path, {**BASE, "figures/a.svg": b"a", "report.html": b'<img alt="" src="figures/a.svg">'}, BASE
    )
    assert answers(beside)["pictures in report.html"] == (DIFFERS, "picture 1 is no figure of the run")
    good = made(tmp_path, {**BASE, "figures/a.svg": b"a", "report.html": shown[0].encode()}, BASE)
    assert answers(good)["pictures in report.html"][0] == HOLDS


@pytest.mark.parametrize(
    ("provenance", "verdict"),
    [({}, HOLDS), ({"package": "other"}, UNCHECKED), ({"versions": {}}, UNCHECKED),
     ({"notebooks": {}}, DIFFERS), ({"notebooks": {"03_fit": "d", "04_report": "d"}}, DIFFERS),
     ({"notebooks": {"04_report": "d", "05_posterior": "d"}}, HOLDS)],
)  # fmt: skip
def test_keys_are_made_again_by_the_same_code_and_versions_alone(tmp_path, provenance, verdict):
    settings = {"data": {"source": "a"}, "model": {"formula": "y ~ x + (1 | g)"}}
    own = {
        "notebooks": {"04_report": "d"},
        "package": package_digest(),
        "versions": versions(),
        "sha256": "d",
    }
    said = json_bytes(json.loads(PROVENANCE) | own | provenance)
    run = made(
        tmp_path, {**BASE, "study.json": json_bytes(settings), "provenance.json": said, "x.csv": b""}, BASE
    )
    assert answers(run)["keys of the steps"][0] == verdict


def test_the_root_digest_is_that_of_the_files_before_the_report(tmp_path):
    files = [File(path, len(content), sha256(content)) for path, content in BASE.items()]
    good = {"files": 3, "root": root_digest(files)}
    for root, verdict in (
        (good, HOLDS),
        (good | {"files": 4}, DIFFERS),
        (good | {"root": "0" * 64}, DIFFERS),
    ):
        run = made(tmp_path, {**BASE, "root.json": json_bytes(root)}, BASE)
        found, said = answers(run)["root digest that the report prints"]
        wrong = [
            f"{name}: {root[name]}, made again {good[name]}" for name in good if root[name] != good[name]
        ]
        assert (found, said) == (verdict, "; ".join(wrong) or "as the rest of the run has it")


GOOD = {"passed": True, "checks": 3, "failed": []}
LINES = [
    ("decrement", 1e-12, 1e-8, "holds"),
    ("curvature", 0.2, -1e-9, "holds"),
    ("V", 3.0, 9.0, "not checked"),
]


@pytest.mark.parametrize(
    ("lines", "summary", "verdict"),
    [
        (LINES, GOOD, HOLDS),
        ([("decrement", 5.0, 1e-8, "holds"), *LINES[1:]], GOOD, DIFFERS),
        ([LINES[0], ("curvature", -0.2, -1e-9, "holds"), LINES[2]], GOOD,
         DIFFERS),
        ([("decrement", 5.0, 1e-8, "fails"), *LINES[1:]], GOOD, DIFFERS),
        ([("decrement", 5.0, 1e-8, "fails"), *LINES[1:]],
         {"passed": False, "checks": 3, "failed": ["decrement"]}, HOLDS),
        ([("decrement", 5.0, 1e-8, "fails"), *LINES[1:]],
         {"passed": False, "checks": 3, "failed": ["curvature"]}, DIFFERS),
        ([("decrement", 1e-8, 1e-8, "holds"), ("curvature", -1e-9, -1e-9, "holds"), LINES[2]], GOOD, HOLDS),
        (LINES, {"passed": True, "checks": 4, "failed": []}, DIFFERS),
        (LINES, {"passed": False, "checks": 3, "failed": []}, DIFFERS),
        ([("decrement", 5.0, 1e-8, "fails"), *LINES[1:]],
         {"passed": True, "checks": 3, "failed": ["decrement"]}, DIFFERS),
        (LINES, {"passed": False, "checks": 3, "failed": ["V"]}, DIFFERS),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_its_value(tmp_path, lines, summary, verdict):
    table = csv_bytes(pd.DataFrame(lines, columns=["check", "value", "threshold", "verdict"]))
    files = {**BASE, "tables/certificate.csv": table, "certificate.json": json_bytes(summary)}
    assert answers(made(tmp_path, files, files))["verdicts of the certificate"][0] == verdict


# The log, entry by entry.

DONE = Manifest(
    "s", "k", "complete", steps=(Record("study", "k", ()), Record("01", "a", ()), Record("02", "b", ()))
)


def told(folder, *entries):
    log = Log(folder)
    for event, facts in entries:
        log(event, **facts)
    return log.path.read_text()


START, MADE_1, MADE_2 = ("started", {"key": "k", "kept": []}), ("step reused", {"step": "01"}), (
    "step finished", {"step": "02", "seconds": 1.0})  # fmt: skip


def test_a_log_tells_how_a_run_came_about(tmp_path):
    text = told(tmp_path, START, MADE_1, MADE_2, ("complete", {}))
    assert faults_of_log(text, DONE) == []


def test_a_run_that_was_killed_in_a_line_goes_on_in_the_next(tmp_path):
    text = told(tmp_path, START, MADE_1)
    (tmp_path / "log.jsonl").write_text(text + '{"time": "2026", "eve')
    text = told(tmp_path, ("started", {"key": "k", "kept": ["01"]}), MADE_2, ("complete", {}))
    assert text.count('{"time"') == 6
    assert faults_of_log(text, DONE) == []
    assert faults_of_log(text.replace('"started"', '"begun"'), DONE) != []


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([], "it tells of no start"),
        ([MADE_1, MADE_2, ("complete", {})], "it tells of no start"),
        ([START, MADE_1, ("complete", {})], "it tells of the steps 01"),
        ([START, MADE_1, MADE_2], "it ends nowhere"),
        ([START, MADE_1, MADE_2, ("failed", {"error": "x"})], "it ends failed"),
        ([START, MADE_1, MADE_2, ("complete", {}), ("complete", {})], "it ends complete and complete"),
        (
            [("started", {"key": "other", "kept": []}), MADE_1, MADE_2, ("complete", {})],
            "about the run other",
        ),
        ([START, MADE_1, MADE_2, ("praised", {})], "line 4 is no entry of a log"),
        ([START, MADE_1, MADE_2, ("complete", {"drug": "works"})], "line 4 is no entry of a log"),
    ],
)
def test_a_log_that_tells_another_story_is_caught(tmp_path, entries, fault):
    found = faults_of_log(told(tmp_path, *entries) if entries else "", DONE)
    assert any(fault in line for line in found), found


def test_an_entry_that_is_taken_out_or_put_elsewhere_breaks_the_chain(tmp_path):
    lines = told(tmp_path, START, MADE_1, MADE_2, ("complete", {})).splitlines()
    for other in (lines[:1] + lines[2:], [lines[0], lines[2], lines[1], lines[3]], [*lines[:3], "half a li"]):
        assert faults_of_log("\n".join(other), DONE) != []
