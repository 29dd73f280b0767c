"""What `why` and `diff` say, case by case: numbers in, words and shares out."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

from lmmkit import lmm
from lmmkit.errors import RunError
from lmmkit.model.posterior.weighted import sorted_draws
from lmmkit.study.audit.integrity import RunFolder
from lmmkit.study.audit.rerun import RecordedStudy
from lmmkit.study.pages.marks import Mark
from lmmkit.study.records.artifacts import csv_bytes, sha256
from lmmkit.study.records.keys import package_digest, versions
from lmmkit.study.records.manifest import File, Manifest, Record
from lmmkit.study.records.quantities import Quantity
from lmmkit.study.trace import diff as diffs
from lmmkit.study.trace.derivations import Derivation, Origin, effect
from lmmkit.study.trace.diff import Change, changes, diff_runs, moves, numbers_of, recipes, separable
from lmmkit.study.trace.why import (
    OF_DRAWS,
    _artefact,
    _cell,
    _from_draws,
    _level,
    _printed,
    _random_effect,
    _row_of,
    _rows,
    derive_from_row,
    formula_text,
    marked_text,
    search_text,
    searched_text,
    why,
)

SLEEP = pd.read_csv(Path(__file__).parents[3] / "params/data/sleepstudy.csv")
NOWHERE = "not in the report as a number of its own"


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("t = 21.53, df 9", 1.53, NOWHERE),
        ("t = 21.53, se 1.53", 1.53, "prints 1.53:"),
        ("se 1.5312 or 1.53", 1.531249, "prints 1.5312:"),
        ("about 1,743.63 in all", 1743.628, "prints 1,743.63:"),
        ("180 rows", 180, "prints 180:"),
        ("2 rows", 1.9, NOWHERE),
        ("a 1.530", 1.53, "prints 1.530:"),
        ("a 1.534", 1.53, NOWHERE),
        ("-0.5", -0.5, "prints -0.5:"),
    ],
)
def test_a_number_is_found_by_its_longest_rounding_that_stands_alone(text, value, said):
    found = searched_text(text, value)
    assert found == said if said == NOWHERE else said in found


def test_a_number_is_shown_with_sixty_letters_before_it_and_twenty_behind():
    before, behind = "b" * 70, "c" * 30
    said = searched_text(f"{before} 1.53 {behind}", 1.53)
    assert said == f"report.html prints 1.53: ... {'b' * 59} 1.53 {'c' * 19} ..."


MARKS = [
    Mark("1.5", "tables/a.csv", "Days.se", "1.50"), Mark("2.25", "tables/b.csv", "x", "2.2"),
    Mark("180", "summary.json", "nobs", "180"), Mark("3.0", "tables/b.csv", "y", "3"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("held", "name", "said"),
    [
        (Quantity(1.5, "tables/a.csv"), "Days.se",
         "report.html prints 1.50, marked as Days.se of tables/a.csv"),
        (Quantity(2.25, "tables/a.csv"), "Days.z", "report.html prints 2.2, marked as x of tables/b.csv"),
        (Quantity(180, "tables/a.csv"), "n", NOWHERE),
        (Quantity(3.0, "tables/a.csv"), "n", NOWHERE),
        (Quantity(180, "summary.json"), "nobs", "report.html prints 180, marked as nobs of summary.json"),
        (Quantity(7.5, "tables/a.csv"), "x", NOWHERE),
    ],
)  # fmt: skip
def test_a_marked_number_is_found_at_its_own_mark_else_by_its_value(held, name, said):
    assert marked_text(MARKS, name, held) == said


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(2.0, "agrees"), (2.0 * (1 + 9e-7), "agrees"), (2.0 * (1 - 9e-7), "agrees"),
     (2.0 * (1 + 2e-6), "DOES NOT AGREE"), (2.0 * (1 - 2e-6), "DOES NOT AGREE"), (-2.0, "DOES NOT AGREE")],
)  # fmt: skip
def test_a_recomputed_number_agrees_to_six_digits_or_does_not(value, verdict):
    text = formula_text(Derivation("x = y", {"y": 2.0}, 2.0), value)
    assert text.split("\n") == [
        "x = y", "y =", "  2", f"recomputed from data.parquet and fit.json: 2.0 ({verdict})",
    ]  # fmt: skip


def test_small_matrices_are_printed_and_large_ones_are_not():
    names = [f"c{i}" for i in range(9)]
    small = pd.DataFrame(1.5, index=names[:8], columns=names[:8])
    large = pd.DataFrame(1.5, index=names, columns=names)
    assert formula_text(Derivation("f", {"A": small}), 1.0).count("1.5") == 64
    assert formula_text(Derivation("f", {"A": large}), 1.0) == "f\nA =\n  a matrix of 9 x 9, not printed"
    for tall, size in ((large[["c0"]], "9 x 1"), (large[:1], "1 x 9")):
        assert formula_text(Derivation("f", {"A": tall}), 1.0).endswith(f"a matrix of {size}, not printed")


ROW = {"estimate": 2.0, "se": 0.5, "df": 7.0, "t": 4.0, "method": "satterthwaite"}


@pytest.mark.parametrize(
    ("row", "column", "value", "words"),
    [
        (ROW, "p", 2 * t(7).sf(4.0), "p = 2 P(T > |t|), df by satterthwaite"),
        ({**ROW, "t": -4.0}, "p", 2 * t(7).sf(4.0), "P(T > |t|)"),
        ({**ROW, "df": math.inf}, "p", 2 * norm.sf(4.0), "P(T > |t|)"),
        ({"estimate": 2.0, "se": 0.5}, "low", 2.0 - 0.5 * norm.ppf(0.95), "low = estimate -1.64485 se"),
        (ROW, "high", 2.0 + 0.5 * t(7).ppf(0.95), "high = estimate +1.89458 se, coverage 0.9"),
        ({**ROW, "interval": "Wald"}, "low", 2.0 - 0.5 * t(7).ppf(0.95), "low = estimate -1.89458 se"),
        ({**ROW, "interval": "profile"}, "low", None, ""),
        ({**ROW, "adjusted": "tukey"}, "p", None, ""),
        ({**ROW, "adjusted": math.nan}, "p", 2 * t(7).sf(4.0), ""),
        ({"estimate": 2.0, "t": 4.0}, "p", None, ""),
        ({"estimate": 2.0, "se": 0.5}, "p", None, ""),
        (ROW, "df", None, ""),
        ({}, "p", None, ""),
    ],
)  # fmt: skip
def test_p_values_and_bounds_are_derived_from_their_row(row, column, value, words):
    found = derive_from_row(row, column, 0.9)
    assert (found is None) == (value is None)
    if found is not None:
        assert found.value == pytest.approx(value, rel=1e-12)
        assert words in found.formula


def test_the_search_is_told_by_its_last_step():
    steps = [{"iteration": i, "step": "newton", "deviance": 9.5 - i, "theta": (1.0, 0.5)} for i in range(3)]
    assert search_text(steps) == "step 2 of 2 (newton): deviance 7.5; theta (1, 0.5)"
    assert search_text([]) == "no log of the search"


@pytest.mark.parametrize("reml", [True, False])
def test_every_derivation_gives_the_number_of_the_fit(reml):
    fit = lmm("Reaction ~ Days + (Days || Subject)", SLEEP, reml=reml)
    origin = Origin(fit.estimates)
    made = {name: derivation.value for name, derivation in origin.derivations.items()}
    expected = {
        "deviance": fit.deviance, "llf": fit.llf, "aic": fit.aic, "bic": fit.bic, "sigma": fit.sigma,
        "Days.estimate": fit.params["Days"], "Days.se": fit.bse["Days"],
        "Intercept.t": fit.params["Intercept"] / fit.bse["Intercept"],
        "theta.Subject.Intercept": fit.theta.iloc[0], "Residual.sd": fit.sigma,
    }  # fmt: skip
    for name, value in expected.items():
        assert made[name] == pytest.approx(value, rel=1e-8), name
    assert ("log|X'V⁻¹X|" in origin.derivations["deviance"].formula) == reml
    assert ("(n-p)" in origin.derivations["sigma"].formula) == reml
    ranef = fit.ranef["Subject"]
    for column in ("Intercept", "Days"):
        found = effect(origin, "Subject", "309", column)
        assert found is not None
        assert found.value == pytest.approx(ranef.loc["309", column], rel=1e-8)
    assert effect(origin, "Subject", "none", "Days") is None


@pytest.mark.parametrize("reml", [True, False])
def test_an_offset_and_weights_are_in_every_derivation(reml):
    data = SLEEP.assign(w=1.0 + np.arange(180) % 3)
    fit = lmm("Reaction ~ Days + offset(w * 9) + (Days || Subject)", data, weights="w", reml=reml)
    made = Origin(fit.estimates).derivations
    for name, value in {
        "deviance": fit.deviance,
        "sigma": fit.sigma,
        "Days.estimate": fit.params["Days"],
    }.items():
        assert made[name].value == pytest.approx(value, rel=1e-8), name


@pytest.mark.parametrize(("reml", "nu", "beside"), [(True, "(n-p)", " + log|X'V⁻¹X|"), (False, "n", "")])
def test_each_number_has_its_formula(reml, nu, beside):
    origin = Origin(lmm("Reaction ~ Days + (Days | Subject)", SLEEP, reml=reml).estimates)
    G = "G = σ² Λ Λ'; SDs are √G_ii, correlations G_ij / √(G_ii G_jj)"
    formulas = {
        "deviance": f"-2 log L = {nu} log 2π + log|V|{beside} + (y-Xβ̂)'V⁻¹(y-Xβ̂)",
        "llf": "log L = -deviance / 2",
        "aic": "AIC = deviance + 2 npar",
        "bic": "BIC = deviance + npar log n",
        "sigma": f"σ² = (y-Xβ̂)'V₁⁻¹(y-Xβ̂) / {nu}, V = σ² V₁",
        "Days.estimate": "β̂ = (X'V⁻¹X)⁻¹ X'V⁻¹y",
        "Days.se": "se = √[(X'V⁻¹X)⁻¹]_jj, j = Days",
        "Days.t": "t = estimate / se",
        "Subject.sd.Days": G,
        "Subject.cor.Days.Intercept": G,
        "theta.Subject.Days":
            "θ = the free entries of Λ, where the derivative of the deviance is zero or θ at its bound",
    }  # fmt: skip
    assert {name: origin.derivations[name].formula for name in formulas} == formulas
    deviance, npar, n, p = -2.0 * origin.derivations["llf"].value, origin.estimates.npar, 180, 2
    parts = {name: origin.derivations[name].parts for name in ("deviance", "llf", "aic", "bic")}
    assert {name: dict(part) for name, part in parts.items()} == {
        "deviance": {"n": n, "p": p}, "llf": {"deviance": deviance},
        "aic": {"deviance": deviance, "npar": npar, "n": n},
        "bic": {"deviance": deviance, "npar": npar, "n": n},
    }  # fmt: skip
    assert origin.derivations["sigma"].parts == {"n": n, "p": p, "σ": origin.estimates.sigma}
    assert effect(origin, "Subject", "308", "Days").formula == "b̂ = G Z'V⁻¹(y - Xβ̂)"
    if reml:
        by_kenward = "(X'V⁻¹X)⁻¹ adjusted by Kenward and Roger (1997)"
        for method, words in (
            ("kenward-roger", by_kenward),
            ("kenward-roger-observed", f"{by_kenward}, from observed information"),
            ("unbounded", "the covariance matrix of the estimates at variances that may be negative"),
        ):
            adjusted = origin.adjusted(method)
            assert adjusted["Days.se"].formula == f"se = √[Φ_A]_jj, j = Days; Φ_A is {words}"
            assert list(adjusted["Days.se"].parts) == ["(X'V⁻¹X)⁻¹", "Φ_A"]
            matrix = pd.DataFrame(adjusted["Days.se"].parts["Φ_A"])
            assert adjusted["Days.se"].value == pytest.approx(
                math.sqrt(matrix.loc["Days", "Days"]), rel=1e-12
            )
            ratio = dict(adjusted["Days.t"].parts)
            assert ratio == {"estimate": origin.estimates.beta[1], "se": adjusted["Days.se"].value}
            assert adjusted["Days.t"].value == ratio["estimate"] / ratio["se"]


def test_variances_are_those_of_the_factors_that_stand_beside_them():
    fit = lmm("Reaction ~ Days + (Days | Subject)", SLEEP)
    made = Origin(fit.estimates).derivations
    parts = made["Subject.sd.Days"].parts
    assert list(parts) == ["σ", "Λ of Subject"]
    factor = pd.DataFrame(parts["Λ of Subject"])
    G = parts["σ"] ** 2 * factor @ factor.T
    assert made["Subject.sd.Days"].value == pytest.approx(math.sqrt(G.loc["Days", "Days"]), rel=1e-12)
    correlation = G.loc["Days", "Intercept"] / math.sqrt(
        G.loc["Days", "Days"] * G.loc["Intercept", "Intercept"]
    )
    assert made["Subject.cor.Days.Intercept"].value == pytest.approx(correlation, rel=1e-12)
    assert made["theta.Subject.Days"].value == factor.loc["Days", "Days"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run folder of a fit, its coefficients by Kenward and Roger, written without a notebook."""
    folder = tmp_path_factory.mktemp("kept")
    data = SLEEP.assign(Subject=SLEEP["Subject"].astype(str))
    fit = lmm("Reaction ~ Days + (Days | Subject)", data)
    coefficients = fit.coef_table(df="kenward-roger").reset_index(names="coefficient")
    fit.save(folder / "fit")
    (folder / "fit.json").write_bytes((folder / "fit/fit.json").read_bytes())
    data.to_parquet(folder / "data.parquet")
    (folder / "tables").mkdir()
    (folder / "tables/coefficients.csv").write_bytes(csv_bytes(coefficients))
    schema = {"source": "d.csv", "sha256": "e" * 64, "columns": [{"column": "Subject", "order": None}]}
    for name, value in (
        ("study", {"inference": {"level": 0.95}}), ("provenance", {}), ("data.schema", schema),
    ):  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "rows.csv").write_text("row,status,reason\n1,kept,\n2,dropped,x > 9\n")
    (folder / "report.html").write_text("<p>nothing</p>")
    paths = ["tables/coefficients.csv", "fit.json", "fit/effects-0.parquet"]
    files = tuple(File(path, 1, sha256((folder / path).read_bytes())) for path in paths)
    Manifest("s", "k", "complete", steps=(Record("03_fit", "k", files),)).save(folder)
    return folder, fit, coefficients.set_index("coefficient")


def test_the_chain_behind_a_coefficient(kept):
    folder, _, coefficients = kept
    links = [(link.name, link.text) for link in why(folder, "Days")]
    assert [name for name, _ in links] == [
        "number", "printed", "artefact", "cell", "formula", "search", "data", "rows",
    ]  # fmt: skip
    told = dict(links)
    assert told["number"] == f"Days.estimate = {float(coefficients.loc['Days', 'estimate'])!r}"
    assert told["printed"] == NOWHERE
    assert told["artefact"].startswith("tables/coefficients.csv, field Days.estimate, written by 03_fit (")
    assert told["cell"] == "the run's own record, made before the first step"
    assert told["formula"].startswith("β̂ = (X'V⁻¹X)⁻¹ X'V⁻¹y")
    assert told["formula"].endswith("(agrees)")
    assert told["search"].startswith("step ")
    assert told["data"] == f"d.csv, sha256 {'e' * 64}"
    assert told["rows"] == "1 of 2; 1 dropped: x > 9 (rows.csv lists each)"


@pytest.mark.parametrize(
    ("asked", "name", "path", "formula"),
    [
        ("Days.se", "Days.se", "tables/coefficients.csv", "se = √[Φ_A]_jj, j = Days; Φ_A is (X'V⁻¹X)⁻¹ adj"),
        ("Days.t", "Days.t", "tables/coefficients.csv", "t = estimate / se"),
        ("Days.p", "Days.p", "tables/coefficients.csv", "p = 2 P(T > |t|), df by kenward-roger"),
        ("Days.high", "Days.high", "tables/coefficients.csv", "high = estimate +"),
        ("Subject.sd.Days", "Subject.sd.Days", "fit.json", "G = σ² Λ Λ'"),
        ("sigma", "sigma", "fit.json", "σ² = "),
        ("Subject.309.Days", "Subject.309.Days", "fit/effects-0.parquet", "b̂ = G Z'V⁻¹(y - Xβ̂)"),
    ],
)
def test_each_number_is_made_again_by_its_own_formula(kept, asked, name, path, formula):
    folder, fit, coefficients = kept
    told = {link.name: link.text for link in why(folder, asked)}
    values = {
        "Subject.sd.Days": fit.varcorr["sdcor"].iloc[1],
        "sigma": fit.sigma,
        "Subject.309.Days": fit.ranef["Subject"].loc["309", "Days"],
    }
    value = values[name] if name in values else coefficients.loc[tuple(name.split("."))]
    found, _, number = told["number"].partition(" = ")
    assert (found, float(number)) == (name, pytest.approx(float(value), rel=1e-7))
    assert told["artefact"].startswith(f"{path}, field {name}, ")
    assert told["formula"].startswith(formula)
    assert told["formula"].endswith("(agrees)")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Dayz.se", "the run has no number Dayz.se; did you mean `Days.se`?"),
        ("zzzz", "the run has no number zzzz; there are deviance, llf, "),
    ],
)
def test_a_number_that_is_not_there_is_told_with_those_that_are(kept, name, said):
    with pytest.raises(RunError) as caught:
        why(kept[0], name)
    assert str(caught.value).startswith(said)


def test_a_run_is_of_now_where_its_code_versions_and_notebooks_are():
    now = {"package": package_digest(), "versions": versions(), "notebooks": {"01_a": "x", "02_b": "y"}}
    books = {"01_a": "x", "02_b": "y", "05_c": "z"}
    assert diffs._is_current(now, books)
    for other in (
        {"package": "p"},
        {"versions": {}},
        {"notebooks": {"01_a": "y", "02_b": "y"}},
        {"package": None},
        {"notebooks": {"09_z": "x"}},
    ):
        assert not diffs._is_current(now | other, books)
    assert not diffs._is_current({}, books)


def test_a_number_of_a_posterior_is_made_of_the_draws_that_a_run_keeps(tmp_path):
    x, w = [4.0, 1.0, 2.0, 8.0], [0.25, 0.375, 0.25, 0.125]
    log_weight = [math.log(each) for each in w]
    (tmp_path / "posterior").mkdir()
    pd.DataFrame({"g.sd": x, "log_weight": log_weight}).to_parquet(tmp_path / "posterior/draws.parquet")
    run, held = RunFolder(tmp_path, Manifest("s", "k")), Quantity(1.0, "tables/posterior.csv")
    mean = sum(a * b for a, b in zip(w, x, strict=True))
    sd = math.sqrt(sum(a * (b - mean) ** 2 for a, b in zip(w, x, strict=True)))
    made = {column: _from_draws(run, held, f"g.sd.{column}", 0.8) for column in OF_DRAWS}
    assert made["mean"].value == pytest.approx(mean, rel=1e-12)
    assert made["sd"].value == pytest.approx(sd, rel=1e-12)
    lower, median, upper = (made[column].value for column in ("lower", "median", "upper"))
    assert 1.0 <= lower < median < upper <= 8.0
    one = sorted_draws(np.array(x), np.exp(log_weight))
    assert (lower, median, upper) == tuple(
        one.quantile(p) for p in ((1.0 - 0.8) / 2.0, 0.5, 1.0 - (1.0 - 0.8) / 2.0)
    )
    for column, derivation in made.items():
        assert derivation.formula == f"{column}: {OF_DRAWS[column]}, of draws x with weights w"
        assert derivation.made_from == "posterior/draws.parquet"
        assert (derivation.parts["draws"], derivation.parts["effective"]) == (4.0, one.effective)
    for path, name in (("tables/other.csv", "g.sd.mean"), ("tables/posterior.csv", "h.sd.mean"),
                       ("tables/posterior.csv", "g.sd.mode")):  # fmt: skip
        assert _from_draws(run, Quantity(1.0, path), name, 0.8) is None


def test_a_random_effect_is_found_though_its_level_and_its_column_hold_dots():
    data = SLEEP.assign(S=[f"a.{level}.b" for level in SLEEP["Subject"]], **{"x.y": SLEEP["Days"]})
    fit = lmm("Reaction ~ `x.y` + (`x.y` | S)", data)
    found = _random_effect(Origin(fit.estimates), "S.a.309.b.x.y")
    assert found is not None
    held, derivation = found
    assert held == Quantity(derivation.value, "fit/effects-0.parquet")
    assert held.value == pytest.approx(fit.ranef["S"].loc["a.309.b", "x.y"], rel=1e-8)
    for name in ("S.a.309.x.y", "T.a.309.b.x.y", "S.a.309.b.z"):
        assert _random_effect(Origin(fit.estimates), name) is None


def test_a_number_that_no_report_has_or_that_is_none_is_not_in_it(tmp_path):
    run, name = RunFolder(tmp_path, Manifest("s", "k")), "Days.se"
    assert _printed(run, name, Quantity(1.5, "tables/a.csv")) == "not in the report"
    (tmp_path / "report.html").write_text("<p>se 1.5</p>")
    assert _printed(run, name, Quantity("a", "tables/a.csv")) == "not in the report"
    assert _printed(run, name, Quantity(1.5, "tables/a.csv")).startswith("report.html prints 1.5:")
    mark = '<data value="1.5" data-source="tables/a.csv" data-field="Days.se">1.50</data>'
    (tmp_path / "report.html").write_text(f"<p>{mark} and 1.5</p>")
    said = "report.html prints 1.50, marked as Days.se of tables/a.csv"
    assert _printed(run, name, Quantity(1.5, "tables/a.csv")) == said


def test_the_coverage_of_the_intervals_is_that_of_the_study():
    assert _level({"inference": {"level": 0.8}}) == 0.8
    for settings in ({}, {"inference": {}}, {"inference": {"level": "x"}}, {"inference": None}):
        with pytest.raises(RunError, match=r"does not say the coverage of the intervals \(inference.level\)"):
            _level(settings)


def test_a_row_of_a_table_is_found_by_what_it_begins_with(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/a.csv").write_text("term,se,p\nDays,1.5,0.1\nx:Days,2.5,0.2\n")
    run = RunFolder(tmp_path, Manifest("s", "k"))
    assert _row_of(run, Quantity(2.5, "tables/a.csv"), "x:Days") == {"term": "x:Days", "se": 2.5, "p": 0.2}
    assert _row_of(run, Quantity(2.5, "tables/a.csv"), "se") is None
    assert _row_of(run, Quantity(2.5, "summary.json"), "Days") is None


def test_a_file_is_saved_by_a_cell_of_the_step_that_wrote_it(tmp_path):
    cells = [
        "step.save_table('other', x)",
        "save = 1\n# 'fit'",
        'step.save_table("fit", x)',
        "step.save_fit(fit)",
    ]
    book = {"cells": [{"cell_type": "code", "source": source, "metadata": {}} for source in cells],
            "metadata": {}, "nbformat": 4, "nbformat_minor": 5}  # fmt: skip
    for name in ("02_a", "03_fit"):
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(book))
    listed = [
        ("study", ["study.json"]),
        ("02_a", ["tables/other.csv"]),
        ("03_fit", ["tables/fit.csv", "fit.json"]),
    ]
    steps = tuple(Record(step, "k", tuple(File(path, 1, "s") for path in paths)) for step, paths in listed)
    run = RunFolder(tmp_path, Manifest("s", "k", steps=steps))
    assert _cell(run, "tables/fit.csv") == f"03_fit.ipynb, code cell 3:\n{cells[2]}"
    assert _cell(run, "fit.json") == f"03_fit.ipynb, code cell 4:\n{cells[3]}"
    assert _cell(run, "tables/other.csv") == f"02_a.ipynb, code cell 1:\n{cells[0]}"
    assert _cell(run, "study.json") == "the run's own record, made before the first step"


def test_a_file_is_told_with_its_step_and_whether_it_is_as_listed(tmp_path):
    for name in ("good", "bad"):
        (tmp_path / name).write_text("x")
    files = (File("good", 1, sha256(b"x")), File("bad", 1, sha256(b"y")), File("gone", 1, sha256(b"x")))
    run = RunFolder(tmp_path, Manifest("s", "k", steps=(Record("03_fit", "k", files),)))
    digest = f"sha256 {sha256(b'x')[:12]}"
    said = {name: _artefact(run, "Days.se", Quantity(1.0, name)) for name in ("good", "bad", "gone", "none")}
    assert said == {
        "good": f"good, field Days.se, written by 03_fit ({digest}, as the manifest lists it)",
        "bad": f"bad, field Days.se, written by 03_fit ({digest}, NOT what the manifest lists)",
        "gone": "gone, field Days.se, written by 03_fit (missing, NOT what the manifest lists)",
        "none": "none, which the manifest does not list",
    }


def test_the_rows_are_counted_and_up_to_five_reasons_told(tmp_path):
    def told(*reasons: str) -> str:
        rows = pd.DataFrame({"reason": reasons, "status": ["dropped" if r else "kept" for r in reasons]})
        rows.to_csv(tmp_path / "rows.csv", index_label="row")
        return _rows(RunFolder(tmp_path, Manifest("s", "k")))

    assert told("", "", "") == "3 of 3 (rows.csv lists each)"
    assert (
        told("", "y > 3", "no x", "no x") == "1 of 4; 2 dropped: no x; 1 dropped: y > 3 (rows.csv lists each)"
    )
    six = told(*"aabbccddeef", "")
    assert six.count("2 dropped") == 5
    assert "f" not in six.removesuffix(" (rows.csv lists each)").replace("of", "")
    (tmp_path / "rows.csv").unlink()
    unread = _rows(RunFolder(tmp_path, Manifest("s", "k")))
    assert unread.startswith("rows.csv cannot be used: rows.csv is not in")


def test_a_factor_s_matrices_stand_in_the_formulas():
    derivations = Origin(lmm("Reaction ~ Days + (Days | Subject)", SLEEP).estimates).derivations
    parts = derivations["Days.estimate"].parts
    solved = pd.DataFrame(parts["X'V⁻¹X"]).to_numpy(), pd.DataFrame(parts["X'V⁻¹y"]).to_numpy()
    beta = [derivations[f"{name}.estimate"].value for name in ("Intercept", "Days")]
    assert (solved[0] @ beta).tolist() == pytest.approx(solved[1].ravel().tolist(), rel=1e-9)
    C = pd.DataFrame(derivations["Days.se"].parts["(X'V⁻¹X)⁻¹"])
    assert derivations["Days.se"].value == pytest.approx(math.sqrt(C.loc["Days", "Days"]), rel=1e-12)


PROVENANCE = {
    "study": "s", "sha256": "a" * 64, "versions": {"numpy": "2"}, "notebooks": {"01_a": "x" * 64},
    "package": "p" * 64, "overrides": {}, "command": "",
}  # fmt: skip
SETTINGS = {"data": {"source": "d.csv", "exclude": []}, "model": {"method": "REML"}, "seed": 1}


def run_folder(folder: Path, settings: object, provenance: object, summary: object) -> RunFolder:
    folder.mkdir(parents=True)
    for name, value in (("study", settings), ("provenance", provenance), ("summary", summary)):
        (folder / f"{name}.json").write_text(json.dumps(value))
    Manifest("s", "k", "complete").save(folder)
    return RunFolder(folder, Manifest("s", "k", "complete"))


@pytest.mark.parametrize(
    ("settings", "provenance", "expected"),
    [
        ({}, {}, []),
        ({"seed": 2}, {}, [("seed", "seed", "1", "2")]),
        ({"model": {"method": "ML"}}, {}, [("parameters", "model.method", "REML", "ML")]),
        ({"title": "x"}, {}, [("parameters", "title", "absent", "x")]),
        ({"data": {"source": "d.csv", "exclude": ["x > 1"]}}, {},
         [("rows", "data.exclude[0]", "absent", "x > 1")]),
        ({}, {"sha256": "b" * 64}, [("rows", "data file", "a" * 12, "b" * 12)]),
        ({}, {"versions": {"numpy": "3", "scipy": "1"}},
         [("versions", "numpy", "2", "3"), ("versions", "scipy", "absent", "1")]),
        ({}, {"notebooks": {}}, [("code", "01_a", "x" * 12, "absent")]),
        ({}, {"package": "q" * 64}, [("code", "source of lmmkit", "p" * 12, "q" * 12)]),
        ({}, {"machine": "another", "key": "k"}, []),
    ],
)  # fmt: skip
def test_each_thing_that_is_not_the_same_has_its_cause(tmp_path, settings, provenance, expected):
    one = run_folder(tmp_path / "a", SETTINGS, PROVENANCE, {})
    other = run_folder(tmp_path / "b", {**SETTINGS, **settings}, {**PROVENANCE, **provenance}, {})
    assert changes(one, other) == [Change(*change) for change in expected]


def test_versions_and_code_of_one_programme_are_one_cause():
    def causes(*names: str) -> list[str]:
        return separable([Change(name, "", "", "") for name in names])

    assert causes() == []
    assert causes("rows", "rows", "seed") == ["rows", "seed"]
    assert causes("code", "rows") == ["rows", "code"]
    assert causes("parameters", "code", "versions") == ["parameters", "versions and code"]


def test_a_study_is_changed_into_another_a_cause_at_a_time():
    one = RecordedStudy("s", SETTINGS, "d.csv", "a")
    changed = {"data": {"source": "e.csv"}, "model": {"method": "ML"}, "seed": 2, "title": "x"}
    other = RecordedStudy("s", changed, "e.csv", "b")
    way = recipes(one, other)
    assert [cause for cause, _ in way] == ["rows", "parameters", "seed"]
    rows, parameters, seed = (study for _, study in way)
    assert rows == RecordedStudy("s", {**SETTINGS, "data": changed["data"]}, "e.csv", "b")
    assert parameters.settings == {**changed, "seed": 1}
    assert seed.settings == changed
    assert recipes(one, one) == []
    assert [cause for cause, _ in recipes(one, RecordedStudy("s", SETTINGS, "d.csv", "b"))] == ["rows"]


def test_a_number_moves_by_the_share_of_each_stage():
    start, middle, end = {"x": 1.0, "y": 2.0, "z": 5.0}, {"x": 1.5, "y": 2.0}, {"x": 4.0, "y": 2.0, "w": 1.0}
    found = {move.name: move for move in moves(start, end, {"rows": (start, middle), "seed": (middle, end)})}
    assert set(found) == {"x", "z", "w"}
    assert (found["x"].one, found["x"].other, found["x"].shares) == (1.0, 4.0, {"rows": 0.5, "seed": 2.5})
    assert (found["z"].one, list(found["z"].shares)) == (5.0, ["rows"])
    assert math.isnan(found["z"].other)
    assert (found["w"].other, list(found["w"].shares)) == (1.0, ["seed"])
    assert moves({"x": math.nan}, {"x": math.nan}, {}) == ()


def test_one_cause_needs_no_execution_and_several_say_when_they_are_not_told_apart(tmp_path, monkeypatch):
    one = run_folder(tmp_path / "a", SETTINGS, PROVENANCE, {"x": 1.0, "ok": True, "name": "a"})
    assert numbers_of(one) == {"x": 1.0, "ok": 1.0}
    run_folder(tmp_path / "b", {**SETTINGS, "seed": 2}, PROVENANCE, {"x": 3.5})
    several = {**SETTINGS, "seed": 2, "title": "x"}
    run_folder(tmp_path / "c", several, PROVENANCE, {"x": 3.5})
    folders = [tmp_path / name for name in "abc"]

    def fails(*_: object, **__: object) -> RunFolder:
        raise AssertionError("executed")

    monkeypatch.setattr(diffs, "run_again", fails)
    found = diff_runs(folders[0], folders[1])
    assert {move.name: move.shares for move in found.moves}["x"] == {"seed": 2.5}
    assert found.note == ""
    same = diff_runs(folders[0], folders[0])
    assert (same.changes, same.moves, same.note) == ((), (), "")
    told = diff_runs(folders[0], folders[2], execute=False)
    assert told.note == "several causes, and execution was not asked for"
    assert [move.shares for move in told.moves if move.name == "x"] == [{}]
    lost = diff_runs(folders[0], folders[2])
    assert lost.note == f"not attributed: d.csv (sha256 {'a' * 12}) was not found; name it with --data FILE"


def test_code_comes_first_where_it_made_the_second_run_and_else_last(tmp_path, monkeypatch):
    """Between the two lies the first study by the code of now, which is the only one that can be executed."""
    old, now = PROVENANCE, {**PROVENANCE, "package": "now"}
    run_folder(tmp_path / "old", SETTINGS, old, {"x": 1.0})
    run_folder(tmp_path / "now", {**SETTINGS, "seed": 2}, now, {"x": 4.0})
    run_folder(tmp_path / "older", {**SETTINGS, "seed": 2}, {**PROVENANCE, "package": "older"}, {"x": 9.0})
    between = run_folder(tmp_path / "between", SETTINGS, now, {"x": 1.5})
    executed: list[RecordedStudy] = []

    def again(study: RecordedStudy, *_: object, **__: object) -> RunFolder:
        executed.append(study)
        return between

    monkeypatch.setattr(diffs, "run_again", again)
    monkeypatch.setattr(diffs, "trusted_notebooks", lambda _: [])
    monkeypatch.setattr(diffs, "_is_current", lambda provenance, _: provenance["package"] == "now")
    monkeypatch.setattr(diffs, "_data", lambda *_: tmp_path / "d.csv")
    forth, back = (diff_runs(tmp_path / a, tmp_path / b) for a, b in (("old", "now"), ("now", "old")))
    assert (forth.note, dict(forth.moves[0].shares)) == ("", {"code": 0.5, "seed": 2.5})
    assert list(forth.moves[0].shares) == ["code", "seed"]
    assert (back.note, dict(back.moves[0].shares)) == ("", {"seed": -2.5, "code": -0.5})
    assert list(back.moves[0].shares) == ["seed", "code"]
    assert [study.settings["seed"] for study in executed] == [1, 1]
    lost = diff_runs(tmp_path / "old", tmp_path / "older").note
    assert lost.startswith(
        "not attributed: neither run was made by what is installed now; install the lmmkit of one"
    )
