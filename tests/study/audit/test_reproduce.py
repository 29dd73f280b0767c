"""A report reproduces from itself alone; an edited one, or one whose embedded study was edited, does not."""

import json
import re
import shutil
from pathlib import Path

import pytest
from support.projects import edit, lmmkit
from typer.testing import CliRunner

from lmmkit.errors import RunError
from lmmkit.study.audit.integrity import open_run
from lmmkit.study.audit.reproduce import reproduce
from lmmkit.study.audit.verdicts import DIFFERS, IDENTICAL
from lmmkit.study.cli.app import app
from lmmkit.study.pages.read_page import extract, printed_text
from lmmkit.study.records.values import moved_numbers

pytestmark = pytest.mark.slow


@pytest.fixture
def report(finished, tmp_path):
    return Path(shutil.copy(finished / "report.html", tmp_path))


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
