"""Studies of models without random effects: their runs, their tables, and reports that are true of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from support import warm
from support.once import made_once, run_of

import lmmkit
from lmmkit.study.report.read_back import prove

ROOT = Path(__file__).parents[2]
STUDY = """\
schema: 1
title: Rows that differ
data:
  source: rows.csv
  columns:
    y: {{type: number}}
    x: {{type: number}}
    w: {{type: number}}
    g: {{type: factor}}
    arm: {{type: factor}}
    t: {{type: {time}}}
model:
  formula: y ~ x + arm
  residual: {residual}
  {more}
inference: {{df: satterthwaite}}
"""
#: What is said of random effects, groups and independent residuals alone.
UNTRUE = [
    "random effects of",
    "belongs to its own group",
    "Predicted random effects",
    "Residuals are independent",
    "between groups, and within them",
    "every covariance matrix of random effects",
    "The random effects were named",
    "The choice of the random effects",
    "[X Z]",
]


def made(folder, study, environment):
    done = warm.lmmkit(folder, "run", study, **environment)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().split("\n")[-1]).parent


def shipped(folder, name, environment):
    """The run of a study that ships."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    (folder / "params/data").mkdir(parents=True)
    shutil.copy(ROOT / f"params/{name}.yaml", folder / "params")
    shutil.copy(ROOT / f"params/data/{name}.csv", folder / "params/data")
    return made(folder, f"params/{name}.yaml", environment)


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """The run of the shipped trial."""
    return run_of(made_once(tmp_path_factory, "trial", lambda folder: shipped(folder, "trial", {})))


def words(folder):
    """What the report says, code and provenance left out."""
    page = BeautifulSoup((folder / "report.html").read_text(encoding="utf-8"), "html.parser")
    for hidden in [*page.find_all(["style", "script"]), *page.find_all("section", id=["code", "provenance"])]:
        hidden.extract()
    return re.sub(r"\s+", " ", page.get_text(" ")).replace(" ,", ",").replace(" .", ".")


def check_page(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert prove(page, folder).loose == []
    said = words(folder)
    assert [phrase for phrase in UNTRUE if phrase in said] == []
    for path in folder.glob("0*.ipynb"):
        cells = json.loads(path.read_bytes())["cells"]
        kinds = {output["output_type"] for cell in cells for output in cell.get("outputs", [])}
        assert kinds <= {"execute_result", "display_data"}
    return said


def test_the_report_of_the_trial_is_true(trial):
    said = check_page(trial)
    assert re.search(
        r"At week of treatment w8 , depression score is lower for treatment drug than for placebo: "
        "the difference "
        r"is −3\.474 points \( 95 % confidence interval −5\.226 to −1\.722 ; p < 0\.001 \)",
        said.replace("w8,", "w8 ,"),
    )
    assert "Standard deviations of the residuals: 3.611 points for w1, 4.131 points for w2" in said
    assert "Residuals within patient: a variance for each visit, every correlation between two visits" in said
    assert "no further independent residual. All are assumed to be normal." in said
    assert "Linear model with correlated residuals" in said
    assert "There are no random effects; the covariance matrix of the residuals has full rank." in said


def test_the_tables_of_the_trial_are_those_of_its_fit(trial):
    fit = lmmkit.load(trial / "fit")
    focus = "arm[T.drug]:visit[w8]"
    table = pd.read_csv(trial / "tables/structures.csv").set_index("structure")
    own = table.loc["un(visit | patient)"]
    assert own["chosen"]
    assert own["deviance"] == pytest.approx(fit.deviance, abs=1e-9)
    assert own[["estimate", "se"]].tolist() == pytest.approx(
        fit.coef_table().loc[focus, ["estimate", "se"]].tolist()
    )
    assert table["note"].isna().all()
    assert table["npar"].to_dict() == {
        "iid": 16, "cs(visit | patient)": 17, "csh(visit | patient)": 21, "toep(visit | patient)": 20,
        "toeph(visit | patient)": 24, "ar1(visit | patient)": 17, "ar1h(visit | patient)": 21,
        "ad(visit | patient)": 20, "adh(visit | patient)": 24, "un(visit | patient)": 30,
    }  # fmt: skip
    assert (table["deviance"].drop("un(visit | patient)") > own["deviance"]).all()
    sds = pd.read_csv(trial / "tables/cell_sds.csv").set_index("cell")
    assert sds.loc["Visit w1", "fitted"] == pytest.approx(fit.sigma)
    frame = fit.design.frame.assign(e=fit.resid)
    assert sds["empirical"].tolist() == pytest.approx(
        np.sqrt(frame.groupby("visit", observed=True)["e"].apply(lambda e: (e**2).mean())).tolist()
    )
    wide = frame.pivot(index="patient", columns="visit", values="e")
    both = wide[["w1", "w6"]].dropna()
    pairs = pd.read_csv(trial / "tables/cell_correlations.csv").set_index("pair")
    found = pairs.loc["Visit w1 with w6"]
    assert found["fitted"] == pytest.approx(fit.residual_params["cor.w1.w6"])
    assert found["subjects"] == len(both)
    assert found["empirical"] == pytest.approx(
        (both["w1"] * both["w6"]).sum() / np.sqrt((both**2).sum().prod())
    )
    parameters = pd.read_csv(trial / "tables/residual_parameters.csv")
    assert parameters["parameter"].tolist() == fit.residual_params.index.tolist()


def test_the_trial_is_what_its_generator_makes(tmp_path):
    readme = (ROOT / "params/data/README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "trial.csv").read_bytes() == (ROOT / "params/data/trial.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("residual", "time", "more", "said"),
    [
        ("ident(arm)", "number", "weights: w", "Linear model with residuals of unequal variance"),
        ("ar1h(t | g, by=arm)", "number", "method: ML", "first-order autoregression"),
        ("ident(arm) * toep(1 | g)", "factor", "", "between visits, the visits being the order of rows"),
    ],
)
def test_other_structures_are_told_as_truly(tmp_path, residual, time, more, said):
    rng = np.random.default_rng(2)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    g, t = np.repeat(np.arange(10), 4), np.tile([1, 2, 3, 5] if time == "number" else [1, 2, 3, 4], 10)
    frame = pd.DataFrame({"g": [f"g{i:02d}" for i in g], "t": t, "arm": np.where(g % 2, "a", "b")})
    frame["x"], frame["w"] = rng.normal(size=40), rng.uniform(0.5, 2, 40)
    frame["y"] = 2 + frame["x"] + np.where(g % 2, 1.0, 1.6) * (rng.normal(size=10)[g] + rng.normal(size=40))
    frame.drop([3, 17, 32]).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "study.yaml").write_text(STUDY.format(residual=residual, time=time, more=more))
    assert said in check_page(made(tmp_path, "study.yaml", warm.UNDRAWN))


def test_the_report_of_rats_at_uneven_times_is_true(tmp_path):
    """Random slopes beside a serial correlation: told in words, in tables and in a variogram."""
    folder = shipped(tmp_path, "bodyweight", warm.UNDRAWN)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert prove(page, folder).loose == []
    said = words(folder)
    assert "serial correlation that decays exponentially with the distance in Time" in said
    assert re.search(
        r"with random effects of Rat \( 16 levels\) and the residual structure car1\(Time \| Rat\)", said
    )
    assert "the semivariance of the normalised residuals lies outside the band" in said
    fit = lmmkit.load(folder / "fit")
    parameters = pd.read_csv(folder / "tables/residual_parameters.csv").set_index("parameter")
    assert parameters["estimate"].to_dict() == pytest.approx(fit.residual_params.to_dict())
    assert (parameters["low"] < parameters["estimate"]).all()
    structures = pd.read_csv(folder / "tables/structures.csv").set_index("structure")
    assert list(structures.index) == ["iid", "car1(Time | Rat)", "expsp(Time | Rat, nugget=TRUE)"]
    assert structures["deviance"].is_monotonic_decreasing
    assert pd.read_csv(folder / "tables/variogram.csv")["pairs"].sum() == 16 * 55
    assert not (folder / "tables/variance_curve.csv").exists()
