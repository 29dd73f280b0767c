"""A report reproduces from itself alone; an edited one, or one whose embedded study was edited, does not."""

import json
import re
import shutil
from pathlib import Path

import pytest
from support.projects import edit, lmmkit
from typer.testing import CliRunner

from lmmkit.errors import RunError
from lmmkit.study.audit import reproduce as reproducing
from lmmkit.study.audit.integrity import RunFolder, open_run
from lmmkit.study.audit.reproduce import reproduce
from lmmkit.study.audit.verdicts import DIFFERS, IDENTICAL, OTHER
from lmmkit.study.cli.app import app
from lmmkit.study.pages.read_page import RECORD, extract, printed_text
from lmmkit.study.records.artifacts import sha256
from lmmkit.study.records.manifest import Manifest
from lmmkit.study.records.values import moved_numbers

pytestmark = pytest.mark.slow


@pytest.fixture
def report(finished, tmp_path):
    return Path(shutil.copy(finished / "report.html", tmp_path))


def carrying(folder, **record):
    """A report that carries a record of a study, and nothing else."""
    provenance = {"study": "s", "sha256": sha256(b"right"), "overrides": {}, "command": ""}
    found = {"settings": {"data": {"source": "d.csv"}}, "files": {}, "lock": None, "provenance": provenance}
    path = folder / "report.html"
    text = json.dumps(found | record)
    path.write_text(f'<script type="application/json" id="{RECORD}">{text}</script>')
    return path


def test_what_is_lacking_of_the_data_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = carrying(tmp_path)
    asked = f"the data file d.csv with the sha256 {sha256(b'right')} is needed, and "
    with pytest.raises(RunError, match=rf"^{asked}it was not found; name it with --data FILE$"):
        reproduce(report)
    (tmp_path / "e.csv").write_text("wrong")
    with pytest.raises(RunError, match=rf"^{asked}e\.csv has another digest; name it with --data FILE$"):
        reproduce(report, data=tmp_path / "e.csv")
    with pytest.raises(RunError, match="is no file; expected a report"):
        reproduce(tmp_path)


def test_a_run_that_ends_badly_is_the_one_finding_and_files_of_other_bytes_are_told(tmp_path, monkeypatch):
    (tmp_path / "d.csv").write_text("right")
    digests = {
        "same.csv": sha256(b"1"),
        "other.csv": sha256(b"2"),
        "gone.csv": sha256(b"3"),
        "../x": sha256(b"4"),
    }
    report = carrying(tmp_path, files=digests)

    def fails(*_):
        raise RunError("no optimum")

    monkeypatch.setattr(reproducing, "run_again", fails)
    (found,) = reproduce(report, data=tmp_path / "d.csv")
    assert (found.verdict, found.found, found.expected) == (DIFFERS, "no optimum", "a run that ends well")
    again = tmp_path / "again"
    again.mkdir()
    for name in ("same.csv", "other.csv"):
        (again / name).write_text("1")
    (again / "report.html").write_bytes(report.read_bytes())
    monkeypatch.setattr(reproducing, "run_again", lambda *_: RunFolder(again, Manifest("s", "k")))
    key, *files, page = reproduce(report, data=tmp_path / "d.csv")
    assert (key.what, key.verdict) == ("key of the embedded study", DIFFERS)  # this record has none
    assert [(f.what, f.verdict, f.found) for f in files] == [
        ("same.csv", IDENTICAL, sha256(b"1")[:12]), ("other.csv", OTHER, sha256(b"1")[:12]),
        ("gone.csv", OTHER, "missing"), ("a file that the report names", DIFFERS, files[-1].found),
    ]  # fmt: skip
    assert "leaves the run folder" in files[-1].found
    assert [f.expected for f in files[:3]] == [digest[:12] for digest in digests.values()][:3]
    assert (page.what, page.verdict) == ("printed numbers", IDENTICAL)


def test_an_untouched_report_reproduces_from_anywhere(project, report):
    done = lmmkit(project, "reproduce", str(report), "--notebooks", "notebooks")
    assert (done.returncode, "Reproduced: byte for byte" in done.stdout) == (0, True), (
        done.stdout + done.stderr
    )


def test_an_edited_report_whose_embedded_study_was_edited_does_not(
    project, finished, report, tmp_path, monkeypatch
):
    monkeypatch.chdir(project)
    edit(report, "Days 10.4673", "Days 10.4873")
    edit(report, '"method": "REML"', '"method": "ML"')
    monkeypatch.setenv("COLUMNS", "200")
    asked = []

    def run_again(study, data, place, notebooks):
        asked.append((study.settings["model"]["method"], data, place.exists(), notebooks))
        return open_run(finished)

    monkeypatch.setattr("lmmkit.study.audit.reproduce.run_again", run_again)
    done = CliRunner().invoke(app, ["reproduce", str(report)])
    assert done.exit_code == 3, done.output
    assert asked == [("ML", project / "params/data/sleep.csv", True, None)]
    words = " ".join(done.output.split())
    assert "key of the embedded study" in words
    assert "NOT reproduced" in words
    findings = {finding.what: finding for finding in reproduce(report)}
    assert findings["printed numbers"].found == "1 differ: 10.4873, again 10.4673"
    assert findings["key of the embedded study"].verdict == DIFFERS
    assert findings["data.parquet"].verdict == IDENTICAL


def test_what_a_strangers_report_may_ask_for_is_bounded(project, report, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    text = report.read_text()
    with pytest.raises(RunError, match="carries no record"):
        reproduce(_written(tmp_path / "none.html", "<html></html>"))
    with pytest.raises(RunError, match="cannot be read"):
        reproduce(tmp_path / "nowhere.html")
    digest = extract(text)["provenance"]["sha256"]
    with pytest.raises(RunError, match="name it with --data FILE"):
        reproduce(_written(tmp_path / "other.html", text.replace(digest, "0" * 64)))
    with pytest.raises(RunError, match="is no name of a study"):
        reproduce(_written(tmp_path / "name.html", text.replace('"study": "sleep"', '"study": "../sleep"')))


@pytest.mark.parametrize("source", ["/etc/hostname", "../../../../../../x.csv"])
def test_a_source_outside_is_not_laid_out(project, report, tmp_path, monkeypatch, source):
    monkeypatch.chdir(project)
    text = report.read_text().replace('"source": "data/sleep.csv"', f'"source": "{source}"')
    found = reproduce(_written(tmp_path / "r.html", text), data=project / "params/data/sleep.csv")
    assert "a place that cannot be made anew" in found[0].found


def test_the_block_of_data_cannot_be_ended_by_what_is_in_it(finished):
    text = (finished / "report.html").read_text()
    block = re.search(r'<script type="application/json" id="lmmkit-run">(.*?)</script>', text)
    assert block
    assert "<" not in block.group(1)
    assert json.loads(block.group(1)) == extract(text)
    listed = extract(text)["files"]
    assert {"data.parquet", "fit.json", "03_fit.ipynb"} <= listed.keys()


def test_printed_digits_may_differ_by_rounding_alone():
    one = printed_text("<p>a 10.467 (SE 1.546)</p><svg>5</svg><section id='provenance'>3.11</section>")
    assert one == "a 10.467 (SE 1.546)"
    assert moved_numbers(one, "a 10.468 (SE 1.546)") == []
    assert moved_numbers(one, "a 10.469 (SE 1.546)") == [("10.467", "10.469")]
    assert moved_numbers("n = 18", "n = 19") == [("18", "19")]
    assert moved_numbers(one, "b 10.467 (SE 1.546)") is None


def _written(path, text):
    path.write_text(text)
    return path
