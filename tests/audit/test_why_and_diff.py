"""Each printed number has a chain down to its rows; what moved between two runs has a cause."""

import json

import numpy as np
import pandas as pd
import pytest
from audit.making import edit, lmmkit, make_project, run

from lmmkit.errors import RunError
from lmmkit.study.diff import diff_runs
from lmmkit.study.integrity import open_run
from lmmkit.study.second_opinion import claimed_estimates
from lmmkit.study.why import why
from lmmkit.study.why_formula import Origin

pytestmark = pytest.mark.slow


def test_the_chain_of_a_standard_error(project, finished):
    done = lmmkit(project, "why", str(finished), "Days.se")
    assert done.returncode == 0, done.stderr
    digest = json.loads((finished / "data.schema.json").read_bytes())["sha256"]
    for words in [
        "Days.se = 1.545", "report.html prints 1.5458", "tables/coefficients.csv", "written by 03_fit",
        "as the manifest lists it", "step.save_table", "(X'V⁻¹X)⁻¹", "(agrees)", "deviance 1743.62", digest,
        "180 of 180",
    ]:  # fmt: skip
        assert words in done.stdout, words


@pytest.mark.parametrize(
    "name",
    ["Days", "Days.t", "Days.p", "Days.low", "Days.high", "sigma", "deviance", "aic", "bic", "llf",
     "Subject.sd.Days", "Subject.cor.Days.Intercept", "theta.Subject.Days", "Residual.sd"],
)  # fmt: skip
def test_every_kind_of_number_is_recomputed_by_its_formula(finished, name):
    links = {link.name: link.text for link in why(finished, name)}
    assert "(agrees)" in links["formula"]
    assert links["rows"].startswith("180 of 180")


def test_a_random_effect_has_its_chain_too(finished):
    links = {link.name: link.text for link in why(finished, "Subject.308.Days")}
    effects = pd.read_parquet(finished / "fit/effects-0.parquet")
    assert float(links["number"].partition("= ")[2]) == pytest.approx(effects["b1"].iloc[0], rel=1e-9)


def test_an_unknown_number_is_refused_with_what_there_is(finished):
    with pytest.raises(RunError, match=r"no number Dayz\.se"):
        why(finished, "Dayz.se")


def test_formulas_use_the_referee_and_not_the_fit(finished):
    derivations = Origin(claimed_estimates(open_run(finished))).derivations
    XVX = derivations["Days.estimate"].parts["X'V⁻¹X"]
    assert np.linalg.eigvalsh(np.asarray(XVX)).min() > 0


def test_one_cause_explains_all_without_executing(tmp_path):
    project = make_project(tmp_path)
    first = run(project)
    edit(project / "params/sleep.yaml", "model:", "model:\n  method: ML")
    second = run(project)
    found = diff_runs(first, second)
    assert [(change.cause, change.what) for change in found.changes] == [("parameters", "model.method")]
    moves = {move.name: move for move in found.moves}
    se = moves["Days.se"]
    assert se.shares == {"parameters": se.other - se.one}
    assert diff_runs(first, first).moves == ()

    edit(project / "params/sleep.yaml", "columns:", 'exclude: ["Days > 8"]\n  columns:')
    edit(project / "params/sleep.yaml", "model:", "seed: 7\nmodel:")
    third = run(project)
    done = lmmkit(project, "diff", str(first), str(third), "--notebooks", "notebooks")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.split("\n") if "Days.se" in line)
    assert "rows" in line
    assert "parameters" in line
    assert "seed" not in line
