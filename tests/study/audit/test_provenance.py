"""Every run is a Process Run Crate; a failed step is recorded as failed."""

import json

import pytest
from rocrate.rocrate import ROCrate
from support.projects import edit, lmmkit, make_project

from lmmkit.study.records.ro_crate import PROFILE, write_crate

pytestmark = pytest.mark.slow


def actions(folder):
    return list(ROCrate(folder).root_dataset["mentions"])


def test_a_run_is_a_process_run_crate(finished):
    crate = ROCrate(finished)
    root = crate.root_dataset
    assert root["conformsTo"].id == PROFILE
    assert root["name"]
    assert root["datePublished"]
    listed = {
        file["path"]
        for step in json.loads((finished / "manifest.json").read_bytes())["steps"]
        for file in step["files"]
    }
    assert {part.id for part in root["hasPart"]} == listed
    assert [action["instrument"]["name"] for action in actions(finished)] == [
        "notebook 01_data_prep", "notebook 02_random_effects", "notebook 03_fit", "notebook 04_report",
    ]  # fmt: skip
    for action in actions(finished):
        assert action.type == "CreateAction"
        assert action["startTime"] <= action["endTime"]
        assert action["result"]
        assert action["object"]
        assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
        assert action["instrument"]["softwareRequirements"]["softwareVersion"]
    assert crate.dereference("#data")["identifier"].startswith("sha256:")


def test_it_is_the_same_from_the_same_folder(finished):
    before = (finished / "ro-crate-metadata.json").read_bytes()
    write_crate(finished)
    assert (finished / "ro-crate-metadata.json").read_bytes() == before


def test_a_failed_step_is_a_failed_action_and_a_stale_crate_does_not_stay(tmp_path):
    project = make_project(tmp_path)
    edit(project / "notebooks/02_random_effects.ipynb", "step.save_json(", "raise ValueError('<no>') # ")
    assert lmmkit(project, "run", "params/sleep.yaml").returncode == 1
    (folder,) = (path.parent for path in project.glob("reports/sleep/*/ro-crate-metadata.json"))
    done, failed = actions(folder)
    assert done["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert failed["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert failed["instrument"]["name"] == "notebook 02_random_effects"
    assert "ValueError: <no>" in failed["error"]
