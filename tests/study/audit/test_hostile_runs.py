"""A run folder or report of somebody who means ill: nothing outside of it is read, copied or written."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from support.projects import copied, edit, repair

from lmmkit.errors import LmmkitError, RunError
from lmmkit.study.audit import reproduce as reproducing
from lmmkit.study.audit import rerun
from lmmkit.study.audit.audit import audit_run
from lmmkit.study.audit.integrity import open_run
from lmmkit.study.audit.second_opinion import Opinion
from lmmkit.study.audit.verdicts import DIFFERS, EXECUTION, IDENTICAL, UNCHECKED
from lmmkit.study.pages.read_page import extract
from lmmkit.study.steps.figures import figure_from_dict
from lmmkit.study.trace.diff import diff_runs
from lmmkit.study.trace.why import why

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _without_statsmodels(monkeypatch):
    """What it makes of the numbers is asked elsewhere; here, what is opened."""
    asked = "lmmkit.study.audit.second_opinion.ask_statsmodels"
    monkeypatch.setattr(asked, lambda _: Opinion("statsmodels MixedLM", "not asked"))


SECRET = "x,SECRET,g\n1,7654321,a\n2,7654321,b\n"


@pytest.fixture
def private(tmp_path):
    """A table that is nobody's business."""
    path = tmp_path / "home/private.csv"
    path.parent.mkdir()
    path.write_text(SECRET)
    return path


@pytest.fixture
def folder(finished, tmp_path):
    """The run folder in a stranger's hands."""
    return copied(finished, tmp_path / "stranger")


def record(folder, name, change):
    """Change a JSON file, and let the manifest list it as it is."""
    value = json.loads((folder / name).read_bytes())
    change(value)
    (folder / name).write_text(json.dumps(value))
    repair(folder)


def everything(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def audited(folder, project, tmp_path, **options):
    found, place = audit_run(folder, notebooks=project / "notebooks", out=tmp_path / "out", **options)
    assert b"7654321" not in everything(place)
    return found


# What a run says that it was asked for.


@pytest.mark.parametrize(
    "overrides",
    [
        {"data.source": "{private}"},
        {"data.source": "{private}", "data.sha256": None},
        {"data": {"source": "{private}"}},
        {"data.source": "../../../../../../../..{private}"},
        {"model.formula": "SECRET ~ 1 + (1 | g)", "data.source": "{private}", "data.columns": {}},
        {"seed": 5},
    ],
)
def test_overrides_that_the_study_does_not_hold_are_passed_to_nobody(
    project, folder, private, tmp_path, monkeypatch, overrides
):
    monkeypatch.chdir(project)
    text = json.dumps(overrides).replace("{private}", str(private))
    record(folder, "provenance.json", lambda found: found.update(overrides=json.loads(text)))
    found = audited(folder, project, tmp_path)
    (told,) = (finding for finding in found.part(EXECUTION) if finding.what == EXECUTION)
    assert (told.verdict, "not in study.json" in told.found) == (DIFFERS, True)


@pytest.mark.parametrize("overrides", ["x", ["data.source"], [["data.source", "x"]], 3, None])
def test_overrides_of_another_kind_are_damage(project, folder, tmp_path, monkeypatch, overrides):
    monkeypatch.chdir(project)
    record(folder, "provenance.json", lambda found: found.update(overrides=overrides))
    found = audited(folder, project, tmp_path)
    assert [finding.verdict for finding in found.part(EXECUTION)] == [UNCHECKED]


def test_an_honest_run_under_overrides_passes_its_audit_byte_for_byte(project, by_ml, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    found = audited(by_ml, project, tmp_path)
    assert found.holds
    assert {finding.verdict for finding in found.part(EXECUTION)} == {IDENTICAL}


# Where it says that its data lie.


@pytest.mark.parametrize(
    "source",
    ["{private}", "../home/private.csv", "home/private.csv", "../../../../{private}", "", 3, "a\0b", ["x"]],
)
def test_a_source_that_a_run_names_opens_nothing(project, folder, private, tmp_path, monkeypatch, source):
    opened = []
    real = rerun.sha256_of
    monkeypatch.setattr(rerun, "sha256_of", lambda path: opened.append(path) or real(path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / "reports/sleep/0123456789ab")
    source = source.replace("{private}", str(private)) if isinstance(source, str) else source
    for place in (folder, tmp_path / "reports/sleep/0123456789ab"):
        record(place, "study.json", lambda found: found["data"].update(source=source))
        audited(place, project, tmp_path)
    assert opened == []


def test_data_are_looked_for_where_a_study_of_that_name_lies_and_not_through_links(
    tmp_path, private, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    study = rerun.RecordedStudy("s", {}, "home/private.csv", "0" * 64)
    assert rerun.find_data(study, tmp_path) == (None, ())
    (tmp_path / "params").symlink_to(tmp_path)
    (tmp_path / "elsewhere.yaml").touch()
    (tmp_path / "s.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert rerun.find_data(study, tmp_path) == (None, ())
    (tmp_path / "s.yaml").unlink()
    (tmp_path / "s.yaml").touch()
    assert rerun.find_data(study, tmp_path).others == (private,)


@pytest.mark.parametrize(
    "source", ["sleep.yaml", "../params/sleep.yaml", "sleep.lock.json", "/abs.csv", "../" * 9 + "x"]
)
def test_a_study_is_laid_out_inside_its_place_and_over_nothing(project, folder, tmp_path, source):
    record(folder, "study.json", lambda found: found["data"].update(source=source))
    study = rerun.study_of(open_run(folder))
    study, data = replace(study, lock=b"{}"), project / "params/data/sleep.csv"
    with pytest.raises(LmmkitError, match="cannot be made anew"):
        rerun.run_again(study, data, tmp_path / "place", project / "notebooks")


# Links in it.


@pytest.mark.parametrize(
    "name",
    ["tables/coefficients.csv", "data.parquet", "rows.csv", "study.json", "fit.json", "tables/new.csv"],
)
def test_a_link_in_a_run_is_not_followed(project, folder, private, tmp_path, name):
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(private)
    audited(folder, project, tmp_path, execute=False)
    for ask in (
        lambda: why(folder, "Days.se"),
        lambda: diff_runs(folder, folder),
        lambda: why(folder, "1.SECRET"),
    ):
        try:
            told = repr(ask())
        except LmmkitError as error:
            told = str(error)
        assert "7654321" not in told


def test_a_folder_that_is_a_link_in_a_run_is_not_followed(folder, private):
    shutil.move(folder / "tables", private.parent / "tables")
    (folder / "tables").symlink_to(private.parent / "tables")
    assert not any(value.path.startswith("tables/") for value in open_run(folder).named_values().values())


def test_a_note_of_the_latest_run_leads_to_a_folder_beside_it(folder, finished, private):
    runs = private.parent / "runs"
    runs.mkdir()
    (runs / "linked").symlink_to(finished)
    for name in ("linked", "../stranger", f"../{finished.name}", "/", "."):
        (runs / "latest").write_text(name)
        with pytest.raises(RunError, match="is no run folder"):
            open_run(runs)
    (runs / "latest").unlink()
    (runs / "latest").symlink_to(finished.parent / "latest")
    shutil.copytree(folder, runs / finished.name)
    with pytest.raises(RunError, match="is no run folder"):
        open_run(runs)


@pytest.mark.parametrize(
    "name", ["../03_fit", "/etc/passwd", "", ".", "..", "a/b", ".hidden", "a\0", "x" * 300]
)
def test_names_of_steps_and_keys_in_a_manifest_are_no_paths(folder, name):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for change in (
        {"key": name},
        {"steps": [{**manifest["steps"][0], "step": name}]},
        {"steps": [{**manifest["steps"][0], "key": name}]},
    ):
        (folder / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(RunError, match="is no name of a step, and no key"):
            open_run(folder)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "a\\b", "\0"])
def test_paths_in_a_manifest_stay_in_the_folder(folder, path):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["steps"][0]["files"][0]["path"] = path
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="leaves the run folder"):
        open_run(folder)


@pytest.mark.parametrize("path", ["{private}", "../../home/private.csv", "\0", ""])
def test_files_that_a_report_names_are_looked_for_in_the_new_run_alone(
    project, finished, private, tmp_path, monkeypatch, path
):
    monkeypatch.chdir(project)
    text = (finished / "report.html").read_text()
    files = json.dumps(extract(text)["files"])
    named = json.dumps({path.replace("{private}", str(private)): "0" * 64})
    (tmp_path / "report.html").write_text(text.replace(files[1:-1], named[1:-1]))
    assert len(extract((tmp_path / "report.html").read_text())["files"]) == 1
    monkeypatch.setattr(reproducing, "run_again", lambda *_: open_run(finished))
    found = reproducing.reproduce(tmp_path / "report.html")[1]
    assert (found.what, found.verdict) == ("a file that the report names", DIFFERS)


@pytest.mark.parametrize("name", ["../private.svg", "/etc/passwd", "linked.svg", "deep/x.svg", ""])
def test_the_picture_of_a_caption_lies_beside_it(private, name):
    figures = private.parent / "figures"
    (figures / "deep").mkdir(parents=True)
    (figures / "deep/x.svg").write_text("<svg/>")
    (figures / "linked.svg").symlink_to(private)
    words = {"name": "x", "file": name, "step": "03_fit", "marks": {"alt": [], "caption": []}}
    with pytest.raises(RunError):
        figure_from_dict(words, figures)


# Where an audit writes.


def test_an_audit_writes_through_no_link(project, folder, private, tmp_path):
    beside = folder.with_name(f"{folder.name}.audit")
    beside.symlink_to(private.parent)
    with pytest.raises(RunError, match="is a link, and no audit is written through it"):
        audit_run(folder, notebooks=project / "notebooks", execute=False)
    beside.unlink()
    beside.mkdir()
    (private.parent / "kept").mkdir()
    for name in ("audit.json", "audit.html"):
        (beside / name).symlink_to(private)
    (beside / "again").symlink_to(private.parent / "kept")
    audit_run(folder, notebooks=project / "notebooks", execute=False)
    assert private.read_text() == SECRET
    rerun.keep_copy(beside / "again", folder)
    assert list((private.parent / "kept").iterdir()) == []
    assert (beside / "again/report.html").is_file()


def test_a_file_of_absurd_size_is_told_and_not_read(folder, project, tmp_path):
    with (folder / "trace.csv").open("r+b") as stream:
        stream.truncate(10**13)
    found = audited(folder, project, tmp_path, execute=False)
    (told,) = (f for f in found.findings if f.what == "trace.csv" and f.verdict == DIFFERS)
    assert "10,000,000,000,000 bytes" in told.found
    record_size(folder, "trace.csv", 10**13)
    with pytest.raises(RunError, match="it is not read"):
        audit_run(folder, notebooks=project / "notebooks", out=tmp_path / "out", execute=False)


def record_size(folder, path, size):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for file in (file for step in manifest["steps"] for file in step["files"] if file["path"] == path):
        file["bytes"] = size
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_pipe_in_a_run_holds_nobody_up(folder, project, tmp_path):
    for name in ("rows.csv", "tables/waits.csv"):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
    found = audited(folder, project, tmp_path, execute=False)
    assert any((f.what, f.found) == ("rows.csv", "missing") for f in found.findings)
    assert "rows.csv" in why(folder, "deviance")[-1].text


def test_deep_nesting_is_damage(folder, project, tmp_path):
    (folder / "provenance.json").write_text("[" * 200_000)
    found = audited(folder, project, tmp_path)
    assert any("cannot be used" in finding.found for finding in found.findings)
    edit(folder / "manifest.json", '"schema"', '"schemas"')
    (folder / "manifest.json").write_text("[" * 200_000)
    with pytest.raises(RunError, match="is damaged"):
        open_run(folder)
