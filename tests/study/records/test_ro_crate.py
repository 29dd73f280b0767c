"""Every run is a Process Run Crate; a failed step is recorded as failed."""

import json

import pytest
from rocrate.rocrate import ROCrate
from support.projects import edit, lmmkit, make_project

from lmmkit.study.records.manifest import File, Manifest, Record
from lmmkit.study.records.ro_crate import PROFILE, crate_of, write_crate


def actions(folder):
    return list(ROCrate(folder).root_dataset["mentions"])


@pytest.mark.slow
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


@pytest.mark.slow
def test_it_is_the_same_from_the_same_folder(finished):
    before = (finished / "ro-crate-metadata.json").read_bytes()
    write_crate(finished)
    assert (finished / "ro-crate-metadata.json").read_bytes() == before


@pytest.mark.slow
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


def described(manifest, log="", notebooks=("01_a", "02_b")):
    provenance = {
        "notebooks": dict.fromkeys(notebooks, "d1"), "versions": {"python": "3", "lmmkit": "1", "numpy": "2"},
        "command": "lmmkit run s.yaml", "source": "d.csv", "sha256": "d2",
    }  # fmt: skip
    return {entity["@id"]: entity for entity in crate_of(manifest, provenance, log)["@graph"]}


def test_each_step_has_read_what_those_before_it_left():
    files = {
        name: File(name, 3, "s") for name in ("study.json", "a b.csv", "01_a.ipynb", "x.parquet", "y.unheard")
    }
    steps = (
        Record("study", "k", (files["study.json"],)),
        Record("01_a", "k", (files["a b.csv"], files["01_a.ipynb"])),
        Record("02_b", "k", (files["x.parquet"], files["y.unheard"])),
    )
    log = "".join(
        json.dumps({"event": event, "step": step, "time": time}) + "\n"
        for event, step, time in [
            ("step started", "01_a", "t1"), ("step finished", "01_a", "t2"), ("step started", "01_a", "t3"),
            ("step finished", "01_a", "t4"), ("step reused", "02_b", "t5"),
        ]
    )  # fmt: skip
    found = described(Manifest("s", "k", "complete", steps=steps), log + "[1]\n{half")
    first, second = (found[action["@id"]] for action in found["./"]["mentions"])
    assert (first["startTime"], first["endTime"]) == ("t3", "t4")
    assert not {"startTime", "endTime"} & set(second)
    assert [item["@id"] for item in first["object"]] == ["#data", "study.json"]
    assert [item["@id"] for item in first["result"]] == ["a%20b.csv", "01_a.ipynb"]
    assert [item["@id"] for item in second["object"]] == ["study.json", "a%20b.csv"]
    assert found["./"]["datePublished"] == "t5"
    assert found["./"]["description"].endswith("made by `lmmkit run s.yaml`: complete.")
    assert [item["@id"] for item in found["#lmmkit"]["softwareRequirements"]] == ["#python", "#numpy"]
    assert "softwareRequirements" not in found["#numpy"]
    formats = {
        name: found[name]["encodingFormat"] for name in ("x.parquet", "y.unheard", "01_a.ipynb", "study.json")
    }
    assert formats == {
        "x.parquet": "application/vnd.apache.parquet", "y.unheard": "application/octet-stream",
        "01_a.ipynb": "application/x-ipynb+json", "study.json": "application/json",
    }  # fmt: skip


@pytest.mark.parametrize(("status", "error", "said"), [
    ("failed", "no optimum", "no optimum"), ("interrupted", None, "interrupted"), ("running", None, None),
    ("by hand", None, None),
])  # fmt: skip
def test_the_step_in_which_a_run_stopped_has_failed(status, error, said):
    found = described(Manifest("s", "k", status, error, (Record("study", "k", ()), Record("01_a", "k", ()))))
    assert found["#run-k-01_a"]["actionStatus"]["@id"].endswith("CompletedActionStatus")
    assert found["./"]["datePublished"] == "1970-01-01"
    if said:
        assert found["#run-k-02_b"]["error"] == said
        assert found["#run-k-02_b"]["actionStatus"]["@id"].endswith("FailedActionStatus")
    else:
        assert "#run-k-02_b" not in found
