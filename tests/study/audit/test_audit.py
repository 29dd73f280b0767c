"""An audit passes on an untouched run, wherever it lies, and catches each of the planted alterations."""

import json
import shutil

import pytest
from support.projects import copied, edit, lmmkit, repair
from typer.testing import CliRunner

from lmmkit.errors import RunError
from lmmkit.study.audit.audit import audit_run, render
from lmmkit.study.audit.integrity import check_integrity, open_run
from lmmkit.study.audit.rerun import find_data, recorded_study
from lmmkit.study.audit.verdicts import DIFFERS, IDENTICAL, UNCHECKED, Audit, Finding, differs
from lmmkit.study.cli.app import app

pytestmark = pytest.mark.slow
KEY = "key of the recorded study, data, code and versions"


def test_an_untouched_run_passes_also_when_moved_and_nothing_is_written_into_it(project, finished, tmp_path):
    moved = copied(finished, tmp_path)
    before = {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()}
    done = lmmkit(
        project, "audit", str(moved), "--notebooks", "notebooks", "--out", str(tmp_path / "out"), others=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything holds" in done.stdout or "Nothing differs, and " in done.stdout
    assert {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()} == before
    audit = json.loads((tmp_path / "out/audit.json").read_bytes())
    assert audit["holds"]
    rerun = [f for f in audit["findings"] if f["part"] == "re-execution"]
    assert len(rerun) > 15
    assert {f["verdict"] for f in rerun} == {IDENTICAL}
    assert any(f["what"].startswith("statsmodels") and f["verdict"] == "holds" for f in audit["findings"])
    assert {f["verdict"] for f in audit["findings"] if f["part"] == "integrity"} == {IDENTICAL}
    unchecked = {f["what"] for f in audit["findings"] if f["verdict"] == UNCHECKED}
    assert unchecked <= {"numbers in report.html", "lme4: deviance", "R: the data file"}
    page = (tmp_path / "out/audit.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert '<html lang="en">' in page


def forge(path, old, new):
    return lambda folder: edit(folder / path, old, new)


def swap_figures(folder):
    one, other = folder / "figures/rising.svg", folder / "figures/falling.svg"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def raise_estimate(folder):
    for name in ("fit.json", "fit/fit.json"):
        numbers = json.loads((folder / name).read_bytes())
        numbers["beta"][1] += 0.01
        (folder / name).write_text(json.dumps(numbers))


ALTERATIONS = {
    "an edited number in fit.json": (raise_estimate, "fit.json"),
    "an edited report": (forge("report.html", "Days 10.4673", "Days 12.4673"), "report.html"),
    "an edited selection": (forge("selection.json", "plain", "fancy"), "selection.json"),
    "an edited row": (forge("rows.csv", "1,kept", "1,dropped"), "rows.csv"),
    "an edited table": (
        forge("tables/coefficients.csv", "Days,10.4", "Days,10.5"),
        "tables/coefficients.csv",
    ),
    "swapped figures": (swap_figures, "figures/rising.svg"),
    "an edited notebook": (forge("03_fit.ipynb", "fit = lmm", "fit  = lmm"), "03_fit.ipynb"),
    "an edited search": (forge("trace.csv", "phase", "phrase"), "trace.csv"),
}


def plant_cells(folder, mark):
    """Cells that would leave a mark if they were ever executed."""
    for path in folder.glob("*.ipynb"):
        notebook = json.loads(path.read_bytes())
        notebook["cells"][1]["source"] = f"open({str(mark)!r}, 'w').close()"
        path.write_text(json.dumps(notebook))


def test_alterations_with_a_repaired_manifest_are_caught_and_no_cell_of_the_run_is_executed(
    project, finished, tmp_path, monkeypatch
):
    monkeypatch.chdir(project)
    folder, mark = copied(finished, tmp_path), tmp_path / "executed"
    for alter, _ in ALTERATIONS.values():
        alter(folder)
    plant_cells(folder, mark)
    repair(folder)
    assert not differs(check_integrity(open_run(folder)))
    found, place = audit_run(folder, notebooks=project / "notebooks")
    caught = {finding.what for finding in differs(found.part("re-execution"))}
    assert {what for _, what in ALTERATIONS.values()} <= caught
    assert {path.name for path in folder.glob("*.ipynb")} <= caught
    assert not mark.exists()
    assert (place / "again/report.html").exists()
    assert any(finding.what.startswith("Henderson") for finding in differs(found.part("second opinion")))


@pytest.mark.parametrize(("path", "old", "new"), [
    ("study.json", '"seed": 20240101', '"seed": 1'),
    ("provenance.json", '"scipy": "', '"scipy": "9'),
    ("provenance.json", '"sha256": "', '"sha256": "0'),
])  # fmt: skip
def test_an_edited_record_does_not_fit_its_key(finished, tmp_path, path, old, new):
    folder = copied(finished, tmp_path)
    edit(folder / path, old, new)
    repair(folder)
    found, _ = audit_run(folder, execute=False)
    assert [finding.what for finding in differs(found.part("environment"))] == [KEY]


def test_the_same_alterations_are_caught_without_executing_anything(finished, tmp_path):
    for i, (alter, what) in enumerate(ALTERATIONS.values()):
        folder = copied(finished, tmp_path / str(i))
        alter(folder)
        caught = [finding.what for finding in differs(check_integrity(open_run(folder)))]
        assert what in caught


def test_a_changed_byte_in_any_file_is_caught(finished, tmp_path):
    folder = copied(finished, tmp_path)
    for path in open_run(folder).manifest.files():
        place = folder / path
        content = place.read_bytes()
        place.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        assert [finding.what for finding in differs(check_integrity(open_run(folder)))] == [path]
        place.write_bytes(content)


def test_a_missing_an_extra_and_a_linked_file_are_caught(finished, tmp_path):
    folder = copied(finished, tmp_path)
    (folder / "trace.csv").unlink()
    (folder / "extra.txt").write_text("more")
    shutil.move(folder / "rows.csv", tmp_path / "rows.csv")
    (folder / "rows.csv").symlink_to(tmp_path / "rows.csv")
    found = {finding.what: finding.found for finding in differs(check_integrity(open_run(folder)))}
    assert found == {"trace.csv": "missing", "extra.txt": "extra file", "rows.csv": "a link"}


@pytest.mark.parametrize("path", ["../fit.json", "/etc/hostname", "a/../../b", ""])
def test_a_manifest_whose_paths_leave_the_folder_is_refused(project, finished, tmp_path, path):
    folder = copied(finished, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["steps"][1]["files"][0]["path"] = path
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="leaves the run folder"):
        open_run(folder)


def test_a_manifest_that_is_a_link_is_refused(finished, tmp_path):
    folder = copied(finished, tmp_path)
    shutil.move(folder / "manifest.json", tmp_path / "manifest.json")
    (folder / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(RunError, match="is a link"):
        open_run(folder)


def test_a_changed_data_file_is_caught(project, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changed = tmp_path / "sleep.csv"
    shutil.copy(project / "params/data/sleep.csv", changed)
    edit(changed, "249.56", "249.57")
    recipe = recorded_study(
        *(json.loads((finished / name).read_bytes()) for name in ("study.json", "provenance.json"))
    )
    assert find_data(recipe, tmp_path, changed).path is None
    found, _ = audit_run(finished, data=changed, notebooks=project / "notebooks", out=tmp_path / "out")
    assert [finding.what for finding in differs(found.findings)] == ["data file data/sleep.csv"]


def test_data_that_are_not_there_are_not_checked(project, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moved = copied(finished, tmp_path / "far/from/any/project")
    found, _ = audit_run(moved, notebooks=project / "notebooks", out=tmp_path / "out")
    assert found.holds
    (data,) = (finding for finding in found.findings if finding.what.startswith("data file"))
    assert (data.verdict, "--data FILE" in data.found) == (UNCHECKED, True)


def test_a_run_that_did_not_end_is_told(finished, tmp_path):
    folder = copied(finished, tmp_path)
    edit(folder / "manifest.json", '"complete"', '"running"')
    assert [finding.found for finding in differs(check_integrity(open_run(folder)))] == ["running"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["audit", "{folder}", "--no-execute"], 3, "DO NOT TRUST THIS RUN"),
        (["audit", "nowhere"], 2, "is no folder"),
        (["audit", "params"], 2, "is no run folder"),
        (["audit", "{folder}", "--out", "{folder}/in"], 2, "lies in the audited folder"),
        (["audit", "{folder}", "--notebooks", "params"], 2, "no notebooks 01_"),
        (["audit"], 2, "Missing argument"),
        (["why", "params", "Days.se"], 2, "is no run folder"),
        (["diff", "params", "params"], 2, "is no run folder"),
    ],
)
def test_exit_codes(project, finished, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(project)
    folder = copied(finished, tmp_path)
    edit(folder / "report.html", "Days", "Nights")
    done = CliRunner().invoke(app, [argument.format(folder=folder) for argument in arguments])
    assert (done.exit_code, message in done.output) == (code, True), done.output


def test_a_damaged_manifest_is_refused(finished, tmp_path):
    folder = copied(finished, tmp_path)
    for content in (
        "{",
        "[]",
        '{"study": 1}',
        '{"schema": 1, "study": "s", "key": "k", "status": "x", "steps": 3}',
    ):
        (folder / "manifest.json").write_text(content)
        with pytest.raises(RunError):
            open_run(folder)


def test_names_from_a_stranger_are_text_and_nothing_else(finished, tmp_path):
    folder = copied(finished, tmp_path)
    edit(folder / "manifest.json", '"study": "sleep"', '"study": "<script>alert(1)</script>[red]"')
    (folder / "<img src=x onerror=1>").write_text("extra")
    _, place = audit_run(folder, execute=False)
    page = (place / "audit.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("order", ["\u202e", "\u2066", "\x1b[2J", "\x9b2J", "\u2028", "\ud800"])
def test_no_name_turns_the_reading_of_a_page(order):
    finding = Finding("integrity", f"a{order}b", DIFFERS, f"c{order}", "a file")
    page = render(Audit(f"s{order}", "0" * 12, (finding,)))
    assert order not in page
    assert order.encode("unicode_escape").decode() in page
    assert page.encode()
