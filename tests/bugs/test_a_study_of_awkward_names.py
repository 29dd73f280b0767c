"""Names that need quotes in a formula, and a picture of groups that the chosen model has not.

The first notebook read the response's name again as a formula; the third looked for the picture's groups
among the columns of the model.
"""

import json

import numpy as np
import pandas as pd
import pytest
from support import warm
from typer.testing import CliRunner

from lmmkit.model.formula.expression import quote
from lmmkit.study.cli.app import app

pytestmark = pytest.mark.slow


@pytest.fixture
def awkward(tmp_path, monkeypatch):
    """A study that `lmmkit new` wrote, with the choice of the random effects left to the data."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    pupil = np.repeat(np.arange(10), 4)
    frame = pd.DataFrame(
        {"Schüler": pupil, "class": [f"K{i % 5}" for i in pupil], "age.years": np.tile(range(4), 10)}
    )
    frame["Score (pts)"] = 50 + 4 * rng.normal(size=5)[pupil % 5] + frame["age.years"] + rng.normal(size=40)
    frame.to_csv("my data.csv", index=False)
    formula = "log(`Score (pts)`) ~ age.years + (1 | class) + (1 | Schüler)"
    assert CliRunner().invoke(app, ["new", "my data.csv", "--formula", formula]).exit_code == 0
    study = tmp_path / "my data.yaml"
    rule = "rule: best\n  candidates: [(1 | Schüler), (1 | class)]\n  criterion: bic\n  #"
    study.write_text(study.read_text(encoding="utf-8").replace("rule: fixed ", rule), encoding="utf-8")
    return study


def test_it_runs_to_its_report(awkward):
    done = warm.lmmkit(".", "run", str(awkward), **warm.UNDRAWN)
    assert done.returncode == 0, done.stderr
    (report,) = (awkward.parent / "reports").glob("my data/*/report.html")
    assert "Score (pts)" in report.read_text(encoding="utf-8")
    drawn, chosen = (json.loads(report.with_name(f"{n}.json").read_bytes()) for n in ("sight", "selection"))
    assert (drawn["group"], "Schüler" in chosen["formula"]) == ("Schüler", False)


@pytest.mark.parametrize("names", [("a`b", "c|d", "e~f:g", "h\\"), ("rows", "fitted", "group", "Residual")])
def test_a_study_whose_every_column_needs_quotes_runs_to_its_report(names, tmp_path):
    y, x, f, g = names
    rng, group = np.random.default_rng(5), np.repeat(np.arange(8), 8)
    time, level = np.tile(np.arange(8.0), 8), rng.integers(0, 3, 64)
    value = 3 + 0.5 * time + (level == 2) + rng.normal(size=8)[group] + 0.5 * rng.normal(size=64)
    labels = [f"{g}{k}" for k in group]
    frame = pd.DataFrame({y: value, x: time, f: np.array(["u", "v|", "w"])[level], g: labels})
    frame.loc[3, x] = np.nan
    frame.to_parquet(tmp_path / "data.parquet")
    study = {
        "schema": 1,
        "data": {"source": "data.parquet"},
        "model": {"formula": f"{quote(y)} ~ {quote(x)} * {quote(f)} + ({quote(x)} | {quote(g)})"},
        "random_effects": {
            "rule": "best",
            "candidates": [f"(1 | {quote(g)})", f"({quote(x)} | {quote(g)})"],
            "criterion": "bic",
        },
        "report": {"focus": quote(x)},
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    done = warm.lmmkit(tmp_path, "run", "study.yaml")
    assert done.returncode == 0, done.stderr
