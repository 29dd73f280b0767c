"""What travels to a worker and back: paths that stay in the project, and limits."""

import os
from dataclasses import replace

import pytest

from lmmkit.errors import DataError, RunError
from lmmkit.study.cluster import project_archive as module
from lmmkit.study.cluster.project_archive import archive_project, check_files, take_files, write_files
from lmmkit.study.files.schema import KnownFile
from lmmkit.study.runs.plan import make_plan


@pytest.fixture
def plan(project):
    return make_plan(project / "params/tiny.yaml")


def named(plan, source, path=None):
    """The plan with its data under another name."""
    data = plan.study.settings.data.model_copy(update={"source": source})
    settings = plan.study.settings.model_copy(update={"data": data})
    return replace(plan, study=replace(plan.study, settings=settings), source=path or plan.source)


def test_notebooks_study_and_data_are_sent_and_unpacked_as_they_lie(plan, tmp_path):
    archive = archive_project(plan)
    steps = ("01_data_prep", "02_random_effects", "03_fit", "04_report")
    assert sorted(archive.files) == sorted(
        [
            *(f"notebooks/{step}.ipynb" for step in steps),
            "of/this/study/params/data/tiny.csv",
            "of/this/study/params/tiny.yaml",
        ]
    )
    assert archive.study == "of/this/study/params/tiny.yaml"
    assert archive.files["of/this/study/params/data/tiny.csv"] == plan.source.read_bytes()
    write_files(archive.files, tmp_path / "there")
    assert take_files(tmp_path / "there") == archive.files
    assert not (tmp_path / "there").exists()
    assert archive_project(named(plan, "data/other.csv")).digest != archive.digest


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("../data.csv", "of/this/study/data.csv"),
        ("../../data.csv", "of/this/data.csv"),
        ("../../../../data.csv", "data.csv"),
    ],
)
def test_data_above_the_study_stay_in_the_project(plan, source, place):
    assert place in archive_project(named(plan, source)).files


@pytest.mark.parametrize("source", ["../../../../../data.csv", "/data.csv"])
def test_data_that_no_other_machine_has_in_the_same_place_are_refused(plan, source):
    with pytest.raises(DataError, match=f"the file {source} cannot be sent to a cluster; name a file beside"):
        archive_project(named(plan, source))


def test_a_shipped_data_set_is_there_already(plan):
    (name, path), *_ = module.data_sets().items()
    sent = archive_project(named(plan, name, path)).files
    assert not any(name in place for place in sent)
    assert f"of/this/study/params/{name}" in archive_project(named(plan, name)).files  # a file of that name


def test_a_pedigree_is_sent_with_the_study_that_knows_it(plan):
    (plan.study.path.parent / "ped.csv").write_text("animal,sire,dam\na,,\n")
    model = plan.study.settings.model.model_copy(update={"known": {"g": KnownFile(pedigree="ped.csv")}})
    settings = plan.study.settings.model_copy(update={"model": model})
    sent = archive_project(replace(plan, study=replace(plan.study, settings=settings)))
    assert sent.files["of/this/study/params/ped.csv"] == b"animal,sire,dam\na,,\n"
    assert set(sent.files) - set(archive_project(plan).files) == {"of/this/study/params/ped.csv"}
    assert sent.digest != archive_project(plan).digest


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "it is no run: expected files by their paths"),
        ({"a": "text"}, "it is no run: 'a' is no file"),
        ({3: b""}, "it is no run: '3' is no file"),
        ({"x" * 50: None}, f"it is no run: {'x' * 40!r} is no file"),
        ({"../a": b""}, "leaves the run folder"),
        ({"a": b"", "b": b"", "c": b""}, "it has 3 files, more than 2"),
        ({"a": b"123", "b": b"456"}, "it has 6 bytes, more than 5"),
    ],
)
def test_what_came_back_is_files_within_limits(monkeypatch, files, reason):
    monkeypatch.setattr(module, "MOST_FILES", 2)
    monkeypatch.setattr(module, "LARGEST_RUN", 5)
    with pytest.raises(RunError, match=reason):
        check_files(files)


def test_files_at_the_limits_are_good(monkeypatch):
    monkeypatch.setattr(module, "MOST_FILES", 2)
    monkeypatch.setattr(module, "LARGEST_RUN", 5)
    check_files({"a": b"123", "b/c": b"45"})
    assert (module.MOST_FILES, module.LARGEST_RUN) == (2, 5)


def test_no_path_of_a_run_leads_out_of_its_folder(tmp_path):
    with pytest.raises(RunError, match="leaves the run folder"):
        write_files({"../out.txt": b"x"}, tmp_path / "in")
    assert os.listdir(tmp_path) == []  # noqa: PTH208
