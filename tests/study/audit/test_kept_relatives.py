"""A run of relatives: audited, traced and reproduced with its pedigree or matrix."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.projects import STEPS, copied, lmmkit, make_project, run
from support.tiny import write_notebook

from lmmkit.study.audit.audit import audit_run
from lmmkit.study.audit.integrity import open_run
from lmmkit.study.audit.rerun import study_of
from lmmkit.study.audit.verdicts import IDENTICAL, differs
from lmmkit.study.runs.plan import make_plan
from lmmkit.study.sweeps.estimands import followed
from lmmkit.study.trace.why import why

pytestmark = pytest.mark.slow
STUDY = """\
schema: 1
title: Growth of lambs
data:
  source: data/lambs.csv
  columns:
    Gain: {type: number, unit: g}
    Days: {type: number, unit: d}
    lamb: {type: factor}
model:
  formula: Gain ~ Days + (1 | lamb)
  known:
    lamb: {KIND: data/flock.csv}
inference: {df: normal}
"""
CELLS = {
    "01_data_prep": (
        ["title", "data", "model.known"],
        ["step.save_data(load_table(step.settings.data, step.base))", "step.save_known()"],
    ),
    "03_fit": (
        ["seed", "model", "inference"],
        [
            "from lmmkit import lmm",
            'formula = step.json("selection.json")["formula"]',
            "fit = lmm(formula, step.table(), **step.fit_options())",
            "step.save_fit(fit)",
            'step.save_table("coefficients", fit.coef_table(df=step.settings.inference.df).reset_index())',
            'step.save_table("fit", fit.varcorr[["group", "vcov", "sdcor"]])',
        ],
    ),
}


def flock(rng):
    """Lambs of three generations, their relationship matrix, and one weighing of each but the founders."""
    names = [f"l{i:02}" for i in range(48)]
    parents = np.array(
        [(-1, -1)] * 8 + [sorted(rng.choice(i - i % 8, 2, replace=False)) for i in range(8, 48)]
    )
    A = np.zeros((48, 48))
    for i, (a, b) in enumerate(parents):
        if a >= 0:
            A[i, :i] = A[:i, i] = (A[a, :i] + A[b, :i]) / 2
        A[i, i] = 1 + (A[a, b] / 2 if a >= 0 else 0)
    known = pd.DataFrame(
        {
            "animal": names,
            **{k: ["" if p < 0 else names[p] for p in parents[:, j]] for j, k in enumerate(("sire", "dam"))},
        }
    )
    days = rng.uniform(20, 60, 48).round(1)
    gain = 200 + 2 * days + 30 * np.linalg.cholesky(A) @ rng.normal(size=48) + 15 * rng.normal(size=48)
    table = pd.DataFrame({"Gain": gain.round(2), "Days": days, "lamb": names})
    return known, pd.DataFrame(A, names, names), table.iloc[8:]


@pytest.fixture(scope="module", params=["pedigree", "matrix"])
def made(request, tmp_path_factory):
    """A project, and its run of relatives with one row each: told apart by their relations alone."""
    project = make_project(tmp_path_factory.mktemp("flock"))
    for name, (reads, cells) in {**STEPS, **CELLS}.items():
        write_notebook(project / "notebooks", name, reads, cells)
    known, A, table = flock(np.random.default_rng(5))
    table.to_csv(project / "params/data/lambs.csv", index=False)
    (known if request.param == "pedigree" else A).to_csv(project / "params/data/flock.csv", index=False)
    (project / "params/lambs.yaml").write_text(STUDY.replace("KIND", request.param))
    return project, run(project, study="lambs")


def test_a_run_of_relatives_passes_its_audit_also_when_moved(made, tmp_path):
    project, folder = made
    moved = copied(folder, tmp_path)
    asked = ("audit", str(moved), "--notebooks", "notebooks", "--out", str(tmp_path / "out"))
    done = lmmkit(project, *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    findings = json.loads((tmp_path / "out/audit.json").read_bytes())["findings"]
    assert {f["verdict"] for f in findings if f["part"] == "re-execution"} == {IDENTICAL}
    assert any(f["what"] == "known-0.parquet" for f in findings)
    assert any(f["what"] == "deviance through V (difference)" for f in findings)


def test_another_pedigree_than_the_fit_s_does_not_pass(made, tmp_path):
    _, folder = made
    moved = copied(folder, tmp_path)
    frame = pd.read_parquet(moved / "known-0.parquet")
    if "sire" in frame:
        frame.loc[20:, ["sire", "dam"]] = ""
    else:
        frame = frame + 0.2 * np.eye(len(frame))
    frame.to_parquet(moved / "known-0.parquet")
    found, _ = audit_run(moved, execute=False, out=tmp_path / "out")
    assert "deviance through V (difference)" in {finding.what for finding in differs(found.findings)}


def test_a_number_of_relatives_is_traced(made):
    links = {link.name: link.text for link in why(made[1], "lamb.sd.Intercept")}
    assert "(agrees)" in links["formula"]


@pytest.mark.parametrize("made", ["pedigree"], indirect=True)
def test_a_report_of_relatives_is_reproduced(made, tmp_path):
    project, folder = made
    report = Path(shutil.copy(folder / "report.html", tmp_path))
    done = lmmkit(project, "reproduce", str(report), "--notebooks", "notebooks")
    assert (done.returncode, "Reproduced: byte for byte" in done.stdout) == (0, True), (
        done.stdout + done.stderr
    )


def test_a_pedigree_that_is_not_beside_the_data_is_asked_for(made, tmp_path):
    project, folder = made
    data = Path(shutil.copy(project / "params/data/lambs.csv", tmp_path))
    found, _ = audit_run(folder, data=data, notebooks=project / "notebooks", out=tmp_path / "out")
    assert not found.holds
    assert any("knows lamb from data/flock.csv" in finding.found for finding in found.findings)
    assert study_of(open_run(folder)).settings["model"]["known"]["lamb"]["sha256"]


def test_a_sweep_follows_an_estimand_of_relatives(made):
    plan = make_plan(made[0] / "params/lambs.yaml", {})
    assert followed(plan, ["Days"]).name == "the average slope of Gain along Days"
