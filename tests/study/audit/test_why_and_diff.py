"""Each printed number has a chain down to its rows; what moved between two runs has a cause."""

import json

import numpy as np
import pandas as pd
import pytest
from support.projects import copied, lmmkit, run

from lmmkit.errors import RunError
from lmmkit.study.audit.integrity import open_run
from lmmkit.study.audit.second_opinion import claimed_estimates
from lmmkit.study.trace import diff
from lmmkit.study.trace.derivations import Origin
from lmmkit.study.trace.diff import diff_runs, moves
from lmmkit.study.trace.why import searched_text, why

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


@pytest.fixture(scope="module")
def adjusted(project, finished):
    """A run whose rows are unbalanced, whose table is by Kenward and Roger, and whose terms are two."""
    settings = {
        "data.exclude": '["Days > 1 and Reaction > 400"]',
        "model.formula": "Reaction ~ Days + (Days || Subject)",
        "inference.df": "auto",
        "seed": "7",
    }
    return run(project, *(f"--set={name}={value}" for name, value in settings.items()))


def test_one_cause_explains_all_without_executing(finished, by_ml):
    found = diff_runs(finished, by_ml)
    assert [(change.cause, change.what) for change in found.changes] == [("parameters", "model.method")]
    moves = {move.name: move for move in found.moves}
    se = moves["Days.se"]
    assert se.shares == {"parameters": se.other - se.one}
    assert diff_runs(finished, finished).moves == ()


def test_several_causes_are_told_apart_by_executing_what_lies_between(project, finished, adjusted):
    done = lmmkit(project, "diff", str(finished), str(adjusted), "--notebooks", "notebooks")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.split("\n") if "Days.se" in line)
    assert "rows" in line
    assert "parameters" in line
    assert "seed" not in line


@pytest.mark.parametrize("name", ["Days.se", "Days.t", "Days.p", "Intercept.se"])
def test_numbers_by_kenward_and_roger_are_recomputed_by_their_own_formula(adjusted, name):
    links = {link.name: link.text for link in why(adjusted, name)}
    assert "(agrees)" in links["formula"]
    plain = Origin(claimed_estimates(open_run(adjusted))).derivations["Days.se"].value
    table = pd.read_csv(adjusted / "tables/coefficients.csv", index_col=0)
    assert table.loc["Days", "se"] > plain * (1 + 1e-6)


def test_a_random_effect_stands_in_the_file_of_its_term(adjusted):
    for name, path in [("Subject.309.Intercept", "fit/effects-0"), ("Subject.309.Days", "fit/effects-1")]:
        links = {link.name: link.text for link in why(adjusted, name)}
        assert links["artefact"].startswith(f"{path}.parquet")


def test_digits_inside_another_number_are_not_where_it_is_printed():
    assert searched_text("t = 21.53, df 9", 1.53) == "not in the report as a number of its own"
    assert "prints 1.53" in searched_text("t = 21.53, se 1.53", 1.53)


def made_by_another(folder, place, **provenance):
    """A copy of a run as another lmmkit would have left it, its standard error of Days being larger."""
    copy = copied(folder, place)
    record = json.loads((copy / "provenance.json").read_bytes())
    for key, value in provenance.items():
        record[key] = {**record[key], **value} if isinstance(value, dict) else value
    (copy / "provenance.json").write_text(json.dumps(record))
    table = pd.read_csv(copy / "tables/coefficients.csv")
    table.loc[table["coefficient"] == "Days", "se"] += 0.5
    table.to_csv(copy / "tables/coefficients.csv", index=False)
    return copy


def se_of(found):
    return next(move for move in found.moves if move.name == "Days.se")


def test_versions_and_code_explain_what_moved_without_executing(finished, tmp_path):
    other = made_by_another(finished, tmp_path, package="0" * 64, versions={"numpy": "1.0"})
    found = diff_runs(other, finished)
    assert {(change.cause, change.what) for change in found.changes} == {
        ("code", "source of lmmkit"),
        ("versions", "numpy"),
    }
    assert se_of(found).shares == {"versions and code": pytest.approx(-0.5)}
    assert found.note == ""
    assert se_of(
        diff_runs(made_by_another(finished, tmp_path / "b", versions={"numpy": "1.0"}), finished)
    ).shares == {"versions": pytest.approx(-0.5)}


@pytest.fixture
def executed(monkeypatch, tmp_path):
    """How many studies were executed: each that is to be is executed once, and its run is kept."""
    runs, again = {}, diff.run_again

    def once(study, data, place, *options, **more):
        key = repr(study)
        if key not in runs:
            runs[key] = again(study, data, tmp_path / f"again-{len(runs)}", *options, **more)
        return runs[key]

    monkeypatch.setattr(diff, "run_again", once)
    return runs


def test_code_is_told_from_parameters_by_executing_in_either_direction(
    project, finished, by_ml, tmp_path, executed
):
    other = made_by_another(finished, tmp_path / "other", package="0" * 64)
    forth = diff_runs(other, by_ml, notebooks=project / "notebooks")
    back = diff_runs(by_ml, other, notebooks=project / "notebooks")
    tables = [
        pd.read_csv(path / "tables/coefficients.csv", index_col="coefficient") for path in (finished, by_ml)
    ]
    moved = tables[1].loc["Days", "se"] - tables[0].loc["Days", "se"]
    assert (forth.note, back.note, len(executed)) == ("", "", 1)
    assert se_of(forth).shares == {"code": pytest.approx(-0.5), "parameters": pytest.approx(moved)}
    assert se_of(back).shares == {"code": pytest.approx(0.5), "parameters": pytest.approx(-moved)}
    stranger = made_by_another(by_ml, tmp_path / "stranger", package="1" * 64)
    note = diff_runs(other, stranger, notebooks=project / "notebooks").note
    assert "install the lmmkit of one of them" in note


def test_a_number_that_one_run_lacks_is_the_doing_of_the_cause_that_made_it():
    legs = {"code": ({}, {}), "parameters": ({}, {"search.deviance": 2.0})}
    (move,) = moves({}, {"search.deviance": 2.0}, legs)
    assert list(move.shares) == ["parameters"]
