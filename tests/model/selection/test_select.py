"""The choice among candidates: what is compared, what is chosen, and the reason for every one."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reference.cases import table

import lmmkit
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.selection.random_parts import lattice
from lmmkit.model.selection.residual_structures import residual_structures
from lmmkit.model.selection.select import select

FULL = "Reaction ~ Days + (Days | Subject)"
FOLDER = Path(__file__).parents[2] / "reference" / "selection"


@functools.cache
def reference(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@functools.cache
def crossed():
    return pd.read_csv(FOLDER / "crossed_singular.csv")


CROSSED = "rt ~ prime * load + (prime * load | subj) + (prime * load | item)"


@functools.cache
def chosen(rule, reml=True):
    return select(CROSSED, crossed(), rule=rule, reml=reml)


@pytest.fixture(scope="module")
def frame():
    return table("sleep_full")


def by_candidate(found):
    return found.table.set_index("candidate")


def test_the_formula_of_the_study_is_kept_and_the_others_shown(frame):
    found = select(FULL, frame)
    rows = by_candidate(found)
    assert found.formula == str(parse_formula(FULL))
    assert list(rows.index) == ["(1 + Days | Subject)", "(1 + Days || Subject)", "(1 | Subject)"]
    assert rows["chosen"].tolist() == [True, False, False]
    assert rows["decision"].tolist() == ["chosen", "shown", "shown"]
    assert rows["reason"].tolist()[0] == "the formula of the study"
    assert rows["reason"].iloc[1] == "least AIC"
    assert rows["reason"].iloc[2] == f"AIC {rows['d_aic'].iloc[2]:.2f} above the least"
    assert "REML criteria, compared among equal fixed parts" in found.note
    assert rows["reference"].iloc[1] == "chi2(1)"
    assert rows["p"].iloc[2] == pytest.approx(2.792529815069607e-10, rel=1e-5)


@pytest.mark.parametrize("criterion", ["aic", "bic"])
def test_the_least_criterion_is_chosen(frame, criterion):
    found = select(FULL, frame, rule="best", criterion=criterion)
    rows = by_candidate(found)
    fits = [lmmkit.lmm(formula, frame) for formula in rows["formula"]]
    values = np.array([getattr(fit, criterion) for fit in fits])
    np.testing.assert_allclose(rows[f"d_{criterion}"], values - values.min(), atol=1e-9)
    assert found.formula == rows["formula"].iloc[int(values.argmin())]
    assert rows.loc[rows["chosen"], "reason"].tolist() == [f"least {criterion.upper()}"]
    assert repr(found.to_dict()["candidates"]) == repr(found.table.to_dict("records"))


NAMES = {"sleepstudy": "sleep_full", "machines": "machines_vector"}


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", ["sleepstudy", "machines"])
def test_candidates_have_the_criteria_the_tests_and_the_components_of_r(name, reml):
    known, way = reference(name), "REML" if reml else "ML"
    parts = {one["name"]: one for one in known["candidates"] if one["name"] != "none"}
    found = select(
        next(iter(parts.values()))["formula"],
        table(NAMES[name]),
        candidates=[one["formula"] for one in parts.values()],
        reml=reml,
    )
    rows = dict(zip(parts, found.table.to_dict("records"), strict=True))
    for each, one in parts.items():
        assert rows[each]["llf"] == pytest.approx(one[way]["logLik"], abs=1e-6)
        assert rows[each]["aic"] == pytest.approx(one[way]["AIC"], abs=2e-6)
        assert rows[each]["bic"] == pytest.approx(one[way]["BIC"], abs=2e-6)
        assert rows[each]["npar"] == one[way]["df"]
    first = next(iter(parts))
    for test in known["lrt"]:
        if test["criterion"] == way and test["small"] == first:
            row = rows[test["large"]]
            assert row["stat"] == pytest.approx(test["chisq"], abs=1e-5)
            assert row["df"] == test["df"]
            if test["p_mixture"] is not None:
                assert row["p"] == pytest.approx(test["p_mixture"], rel=1e-4)


def test_components_are_those_of_lme4s_repca():
    found = select(FULL, table("sleep_full"), rule="parsimonious").components
    known = {
        one["name"]: one["REML"]["rePCA"]["Subject"] for one in reference("sleepstudy")["candidates"][1:]
    }
    for name, label in (("full", "(1 + Days | Subject)"), ("uncorrelated", "(1 + Days || Subject)")):
        own = found[found["candidate"] == label]
        np.testing.assert_allclose(own["sd"], known[name]["sdev"], rtol=1e-5)
        np.testing.assert_allclose(own["share"], known[name]["prop_var"], rtol=1e-5)
    assert found["correlation_share"].iloc[:2].tolist() == pytest.approx([0.533, 0.467], abs=1e-3)


def test_sleepstudy_ends_without_the_correlation(frame):
    found = select(FULL, frame, rule="parsimonious")
    assert found.formula == "Reaction ~ 1 + Days + (1 + Days || Subject)"
    assert found.ending == "The chosen model is not singular."
    assert found.path["stage"].tolist() == [
        "largest model",
        "without correlations",
        "left out",
        "correlations again",
    ]
    assert found.path["stat"].round(3).tolist()[1:] == [0.041, 42.796, 0.041]
    assert list(found.path) == [
        "step", "stage", "candidate", "against", "what", "stat", "df", "p", "higher", "kept", "taken",
        "singular", "outcome",
    ]  # fmt: skip
    assert found.path["outcome"].tolist() == ["begins", "left out for now", "kept", "not added"]
    assert found.path["step"].tolist() == [1, 2, 3, 4]
    assert found.path["against"].tolist() == ["", "(1 + Days | Subject)", *["(1 + Days || Subject)"] * 2]
    assert found.path["higher"].isna().all()
    assert list(found.table) == [
        "candidate", "formula", "nobs", "npar", "llf", "deviance", "aic", "bic", "caic", "caic_df", "caic4",
        "caic4_df", "d_deviance", "d_aic", "d_bic", "d_caic", "against", "stat", "df", "p", "reference",
        "singular", "direction", "converged", "evaluations", "chosen", "decision", "reason", "error",
    ]  # fmt: skip
    assert list(found.components) == [
        "candidate", "group", "component", "sd", "share", "correlation_share", "direction",
    ]  # fmt: skip
    assert found.path["taken"].tolist() == [True, True, False, False]
    assert select("Reaction ~ Days + (1 | Subject)", frame, rule="parsimonious").formula == found.formula


def test_a_crossed_maximal_model_that_is_singular_is_simplified_until_it_is_not():
    found = chosen("parsimonious")
    rows = by_candidate(found)
    largest = rows.iloc[0]
    assert largest["singular"]
    assert largest["direction"].startswith("2 of 8 directions without variance: the variance of ")
    assert found.formula == (
        "rt ~ 1 + prime + load + prime:load + (1 + prime + load || subj) + (1 + load || item)"
    )
    assert not rows["singular"][rows["chosen"]].any()
    assert len(rows) == 16
    assert (rows["reason"] != "").all()
    assert (rows["evaluations"] >= 1).all()
    taken = found.path[found.path["taken"]]
    assert taken["candidate"].tolist() == rows.index[rows["decision"].isin(["step", "chosen"])].tolist()


@pytest.mark.parametrize("reml", [True, False])
def test_the_crossed_candidates_have_lme4s_likelihoods(reml):
    known = {
        one["formula"]: one["REML" if reml else "ML"] for one in reference("crossed_singular")["candidates"]
    }
    rows = chosen("parsimonious", reml).table
    compared = [(row["deviance"], known[row["formula"]]) for row in rows.to_dict("records")]
    assert len(compared) >= 12
    for ours, theirs in compared:
        assert ours <= theirs + 1e-5  # bobyqa may stop above the optimum of a singular fit
        assert ours == pytest.approx(theirs, abs=2e-3)


def test_marginality_holds_in_every_candidate():
    for formula in chosen("parsimonious").table["formula"]:
        for bar in parse_formula(formula).random:
            sets = {frozenset(e.text for e in term) for term in bar.terms}
            assert frozenset() in sets
            assert {"prime", "load"} not in sets or {frozenset({"prime"}), frozenset({"load"})} <= sets


def test_a_choice_is_the_same_twice(frame):
    first, again = (select(FULL, frame, rule="backward") for _ in range(2))
    assert repr(again.to_dict()) == repr(first.to_dict())


def test_fits_from_shared_sums_are_those_of_lmm():
    rows = chosen("parsimonious").table
    for row in rows.iloc[[2, 9, 14]].to_dict("records"):
        fit = lmmkit.lmm(row["formula"], crossed())
        assert row["deviance"] == pytest.approx(fit.deviance, rel=1e-12)
        assert row["evaluations"] == fit.evaluations


def test_criteria_go_step_by_step_too(frame):
    for criterion in ("aic", "bic", "caic"):
        found = select(FULL, frame, rule="backward", criterion=criterion)
        rows = by_candidate(found)
        steps = rows[rows["decision"].isin(["step", "chosen"])][criterion]
        assert steps.is_monotonic_decreasing
        assert found.criterion == criterion
    assert select(FULL, frame, rule="forward").formula == "Reaction ~ 1 + Days + (1 + Days || Subject)"
    assert select(FULL, frame, rule="maximal").formula == str(parse_formula(FULL))


def test_of_equals_the_one_with_fewer_parameters_is_taken():
    """Two candidates that differ by a variance of zero have one conditional AIC, to rounding."""
    parts = ["(prime * load || item) + (1 | subj)", "(prime + load || item) + (1 | subj)"]
    for listed in (parts, parts[::-1]):
        found = select(CROSSED, crossed(), rule="best", candidates=listed, criterion="caic")
        assert found.table["caic"].max() - found.table["caic"].min() < 1e-6
        assert found.table["singular"].any()
        assert "(1 + prime + load || item)" in found.formula
    stepwise = select("rt ~ prime * load + (1 | item)", crossed(), rule="backward", criterion="caic")
    assert "prime:load" not in stepwise.formula.partition("(")[2]


def test_the_last_random_effect_stays_and_its_exact_test_is_told():
    found = select("Yield ~ 1 + (1 | Batch)", table("dyestuff"), rule="parsimonious")
    none = by_candidate(found).loc["no random effects"]
    assert found.formula == "Yield ~ 1 + (1 | Batch)"
    assert none["reference"] == "exact RLRT"
    assert none["stat"] == pytest.approx(6.368955314, abs=1e-6)
    assert none["p"] == pytest.approx(0.004483, abs=2e-4)
    assert "the last random effect stays" in none["reason"]
    zero = select("Yield ~ 1 + (1 | Batch)", table("dyestuff2"), rule="backward")
    assert by_candidate(zero).loc["no random effects", "p"] == 1.0
    assert zero.ending.startswith(
        "The chosen model is singular: the variance of Batch.Intercept is zero. It has one"
    )


def test_reml_compares_among_equal_fixed_parts_alone(frame):
    candidates = ["(1 | Subject)", "Reaction ~ 1 + (1 | Subject)"]
    reml = by_candidate(select(FULL, frame, rule="best", candidates=candidates))
    assert reml["reason"].iloc[1].startswith("not comparable")
    assert np.isnan(reml["d_aic"].iloc[1])
    ml = by_candidate(select(FULL, frame, rule="best", candidates=candidates, reml=False))
    assert ml["reason"].iloc[1].startswith("AIC ")
    assert ml["d_aic"].iloc[1] > 1


def test_candidates_that_cannot_be_fitted_are_shown_with_their_reason(frame):
    found = select(
        "Reaction ~ Days + (1 | Subject)",
        frame.assign(one="a"),
        rule="best",
        candidates=["(1 | Subject)", "(1 | one)", "(nothing | Subject)"],
    )
    rows = by_candidate(found)
    assert rows["chosen"].tolist() == [True, False, False]
    assert rows["decision"].tolist() == ["chosen", "failed", "failed"]
    assert rows["reason"].iloc[1].startswith("could not be fitted: ")
    assert not rows["reason"].iloc[1].endswith(".")
    assert rows["error"].iloc[1]
    assert not found.notices


def test_another_response_is_not_comparable(frame):
    candidates = ["log(Reaction) ~ Days + (1 | Subject)", "(1 | Subject)"]
    found = select("Reaction ~ Days + (1 | Subject)", frame, rule="best", reml=False, candidates=candidates)
    assert found.formula == "Reaction ~ 1 + Days + (1 | Subject)"
    rows = by_candidate(found)
    assert list(rows.index) == ["log(Reaction) ~ 1 + Days + (1 | Subject)", "(1 | Subject)"]
    assert rows["reason"].iloc[0] == "not comparable: another response, `log(Reaction)`"
    assert np.isnan(rows["d_aic"].iloc[0])
    assert np.isnan(rows["p"].iloc[0])


def test_reml_compares_in_the_fixed_part_of_the_formula_whatever_stands_first(frame):
    candidates = ["Reaction ~ 1 + (1 | Subject)", "(1 | Subject)"]
    found = select(FULL, frame, rule="best", candidates=candidates)
    assert found.formula == "Reaction ~ 1 + Days + (1 | Subject)"
    reason = by_candidate(found)["reason"].iloc[0]
    assert reason == "not comparable: REML with another fixed part (use method ML)"


@pytest.mark.parametrize("rule", ["best", "fixed"])
def test_candidates_that_miss_other_values_are_fitted_to_the_rows_of_all(frame, rule):
    one, two = frame["Days"].where(frame.index > 3), frame["Days"].where(frame.index < 176)
    holed = frame.assign(one=one, two=two)
    listed = ["(one | Subject)", "(two || Subject)", "(1 | Subject)"]
    found = select("Reaction ~ Days + (one | Subject)", holed, rule=rule, candidates=listed)
    rows = by_candidate(found)
    assert set(rows["nobs"]) == {172}
    assert rows["d_aic"].notna().all()
    fits = [lmmkit.lmm(formula, holed.dropna()) for formula in rows["formula"]]
    np.testing.assert_allclose(rows["aic"], [fit.aic for fit in fits], rtol=1e-12)
    assert found.notices == (
        "Values are missing of `one` (4) and `two` (4): every candidate is fitted to the 172 rows that all "
        "of them can use. The chosen model alone may have more rows.",
    )


@pytest.mark.parametrize("rule", ["parsimonious", "backward", "forward"])
def test_every_step_is_on_the_rows_of_the_largest_model(frame, rule):
    z = pd.Series(np.random.default_rng(5).normal(size=len(frame))).where(frame.index > 3)
    weights = np.linspace(0.5, 2.0, len(frame))
    holed, formula = frame.assign(z=z), "Reaction ~ Days + (z | Subject)"
    found = select(formula, holed, rule=rule, weights=weights)
    whole = select(formula, holed[z.notna()], rule=rule, weights=weights[z.notna()])
    assert found.formula == whole.formula == "Reaction ~ 1 + Days + (1 + Days || Subject)"
    assert set(found.table["nobs"]) == {176}
    assert found.table.drop(columns="evaluations").equals(whole.table.drop(columns="evaluations"))
    assert "not comp" not in "".join(found.table["reason"])
    assert found.notices[-1].startswith("Values are missing of `z` (4): every candidate is fitted to the 176")
    assert not whole.notices


def test_a_singular_candidate_says_so():
    rows = by_candidate(select("Yield ~ 1 + (1 | Batch)", table("dyestuff2")))
    assert rows["reason"].tolist() == [
        "the formula of the study; singular: 1 of 1 directions without variance"
    ]
    assert rows["direction"].tolist() == [
        "1 of 1 directions without variance: the variance of Batch.Intercept is zero"
    ]


def test_one_model_written_twice_is_named():
    found = select(
        "score ~ Machine + (0 + Machine | Worker)",
        table("machines_vector"),
        candidates=["(Machine | Worker)", "(1 | Worker)", "(Machine|Worker)"],
    )
    rows = by_candidate(found)
    assert list(rows.index) == ["(0 + Machine | Worker)", "(1 + Machine | Worker)", "(1 | Worker)"]
    assert "the same model, written otherwise" in rows["reason"].iloc[1]


def test_nothing_that_can_be_chosen_is_an_error_that_says_why(frame):
    with pytest.raises(lmmkit.FitError, match=r"No candidate could be fitted.*could not be fitted"):
        select(FULL, frame.assign(one="a"), rule="best", candidates=["(1 | one)"])
    with pytest.raises(lmmkit.LmmkitError):
        select("Reaction ~ Days + (1 | one)", frame.assign(one="a"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"candidates": "(1 | Subject)"}, "'auto' is expected, or a list of random parts"),
        ({"rule": "stepwise"}, "rule='stepwise' is not known. Choose one of: 'fixed', 'maximal'"),
        ({"criterion": "aicc"}, "criterion='aicc'"),
        ({"rule": "best", "criterion": "lrt"}, "orders no list of candidates"),
        ({"criterion": "caic", "residual": "ar1(Days | Subject)"}, "choose by 'aic' or 'bic'"),
        ({"alpha": 1.5}, "alpha=1.5: a number between 0 and 1 is expected, such as 0.2"),
        ({"rule": "best", "candidates": []}, "there is nothing to choose among"),
        ({"rule": "best", "candidates": [3]}, "a name is expected, or a list of names"),
        ({"start": [1.0]}, "'start' is no argument of select"),
    ],
)
def test_bad_options_are_refused_in_words(frame, options, says):
    with pytest.raises(lmmkit.FitError, match=says):
        select(FULL, frame, **options)


def test_a_design_without_slopes_or_groups_is_said_in_words(frame):
    between = frame.assign(arm=frame["Subject"].astype(str).str[-1])
    found = select("Reaction ~ arm + (1 | Subject)", between, rule="parsimonious")
    assert found.formula == "Reaction ~ 1 + arm + (1 | Subject)"
    one = frame.groupby("Subject", observed=True).head(1)
    with pytest.raises(lmmkit.LmmkitError, match="no random effects"):
        select("Reaction ~ Days + (1 | Subject)", one, rule="maximal")


def test_a_model_without_random_effects_is_answered_as_lmm_does(frame):
    with pytest.raises(lmmkit.LmmkitError, match="OLS"):
        select("Reaction ~ Days", frame)
    with pytest.raises(lmmkit.FormulaError, match="names no grouping factor"):
        select("Reaction ~ Days", frame, rule="forward")


def test_a_margin_without_variance_stays_for_its_interaction_and_is_said():
    draw = np.random.default_rng(4)
    s, i = (part.ravel() for part in np.meshgrid(np.arange(12), np.arange(16), indexing="ij"))
    a, b = i % 2 - 0.5, i // 2 % 2 - 0.5
    y = draw.normal(size=12)[s] + 8 * draw.normal(size=12)[s] * a * b + draw.normal(size=192)
    frame = pd.DataFrame({"y": y, "a": a, "b": b, "s": s})
    found = select("y ~ a * b + (a * b | s)", frame, rule="parsimonious")
    assert found.formula.endswith("(1 + a + b + a:b || s)")
    assert found.ending.startswith("The chosen model is singular: the variance of s.1.")
    assert found.ending.endswith("which as a whole has enough for it.")


def test_a_term_that_the_design_does_not_justify_is_named():
    found = select(
        "score ~ Machine + (1 | Worker) + (1 | Worker:Machine)", table("machines_vector"), rule="parsimonious"
    )
    assert any("`(1 | Worker:Machine)` is left out of the maximal model" in one for one in found.notices)


def test_a_random_part_that_is_wider_than_the_design_justifies_is_where_the_choice_begins(frame):
    between = frame.assign(arm=frame["Subject"].astype(str).str[-1].astype(int) % 2)
    found = select("Reaction ~ Days + arm + (Days + arm | Subject)", between, rule="maximal")
    assert any(
        one.startswith(
            "`(1 + Days + arm | Subject)` is wider than what the design justifies (`(1 + Days | Subject)`)"
        )
        for one in found.notices
    )
    assert found.table["candidate"].iloc[0] == "(1 + Days + arm | Subject)"


def test_a_structure_that_has_no_fit_says_why_and_has_no_numbers(frame):
    fit = lmmkit.lmm("Reaction ~ Days + (1 | Subject)", frame)
    found = residual_structures(
        fit, ["iid", "ar1(nothing | Subject)"], frame, {}, L=np.array([[0.0, 1.0]]), quantity="q"
    )
    assert list(found) == [
        "structure", "npar", "deviance", "aic", "bic", "quantity", "estimate", "se", "df", "note", "chosen",
        "d_deviance", "d_aic", "d_bic",
    ]  # fmt: skip
    assert found["chosen"].tolist() == [True, False]
    assert found.loc[0, ["quantity", "note", "d_aic"]].tolist() == ["q", "", 0.0]
    assert found.loc[0, ["estimate", "se"]].tolist() == pytest.approx([fit.params["Days"], fit.bse["Days"]])
    assert "nothing" in found["note"].iloc[1]
    assert found.loc[1, ["npar", "deviance", "aic", "bic", "estimate", "se", "df", "d_aic"]].isna().all()
    none = residual_structures(fit, ["iid"], frame, {})
    assert none.loc[0, ["estimate", "se", "df"]].isna().all()
    assert none["aic"].iloc[0] == fit.aic


def test_structures_weights_and_residuals_take_part(frame):
    weighted = frame.assign(w=np.linspace(0.5, 2.0, len(frame)))
    found = select(FULL, weighted, rule="parsimonious", weights="w")
    assert found.table["deviance"].iloc[0] == pytest.approx(lmmkit.lmm(FULL, weighted, weights="w").deviance)
    serial = select(FULL, frame, rule="parsimonious", residual="ar1(Days | Subject)")
    assert serial.table["caic"].isna().all()
    assert "no random effects" not in serial.table["candidate"].tolist()
    tagged = select("score ~ Machine + cs(0 + Machine | Worker)", table("machines_vector"), rule="backward")
    assert tagged.table["candidate"].tolist() == ["cs(0 + Machine | Worker)", "(1 | Worker)"]
    assert tagged.formula == "score ~ 1 + Machine + cs(0 + Machine | Worker)"


def test_residual_structures_stand_side_by_side_with_the_focus_under_each(frame):
    texts = ["ar1(Days | Subject)", "iid", "nonsense(Days | Subject)"]
    with pytest.raises(lmmkit.FormulaError, match="nonsense"):
        select("Reaction ~ Days + (1 | Subject)", frame, residuals=texts)
    found = select("Reaction ~ Days + (1 | Subject)", frame, residuals=texts[:2], focus="Days").residuals
    fit = lmmkit.lmm("Reaction ~ Days + (1 | Subject)", frame, residual="ar1(Days | Subject)")
    assert found["structure"].tolist() == ["iid", "ar1(Days | Subject)"]
    assert found["chosen"].tolist() == [True, False]
    assert found["d_aic"].tolist() == [pytest.approx(found["aic"].iloc[0] - fit.aic), 0.0]
    assert found["estimate"].iloc[1] == pytest.approx(fit.params["Days"])
    assert (found["quantity"] == "Days").all()
    with pytest.raises(lmmkit.FitError) as caught:
        select("Reaction ~ Days + (1 | Subject)", frame, residuals=["iid"], focus="Day")
    said = "focus='Day' is no coefficient; did you mean `Days`? The model has Intercept, Days."
    assert str(caught.value) == said


def test_it_prints_with_its_reasons(frame):
    found = select(FULL, frame, rule="parsimonious")
    assert "Chosen by rule parsimonious: Reaction ~ 1 + Days + (1 + Days || Subject)" in str(found)
    assert "<table" in found._repr_html_()


def test_reductions_of_several_terms():
    parts = lattice(parse_formula("y ~ x + (x | g) + (x | h)").random)
    assert [" + ".join(map(str, part)) for part in parts] == [
        "(1 + x | g) + (1 + x | h)",
        "(1 + x || g) + (1 + x || h)",
        "(1 + x || g) + (1 + x | h)",
        "(1 + x | g) + (1 + x || h)",
        "(1 | g) + (1 | h)",
        "(1 | g) + (1 + x | h)",
        "(1 + x | g) + (1 | h)",
        "(1 + x | h)",
        "(1 + x | g)",
    ]


@pytest.mark.parametrize("df", ["normal", "auto"])
def test_independent_rows_have_n_less_p_degrees_of_freedom_whatever_the_method(df):
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"g": np.repeat(np.arange(12), 3), "t": np.tile(np.arange(3), 12)})
    frame["y"] = frame["t"] + np.repeat(rng.normal(size=12), 3) + rng.normal(size=36)
    fit = lmmkit.lmm("y ~ t", frame, residual="cs(t | g)")
    table = residual_structures(fit, ["iid", "cs(t | g)"], frame, {}, L=np.array([[0.0, 1.0]]), df=df)
    assert table["df"].iloc[0] == 34.0
    assert np.isinf(table["df"].iloc[1]) == (df == "normal")
