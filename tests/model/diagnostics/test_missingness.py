"""Rows with missing values against the others."""

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.model.diagnostics.check_result import Sentence
from lmmkit.model.diagnostics.missingness import LAST, Missingness, _clause, _Comparison, permuted_scores


def trial(leaves, *, seed=1, groups=50, visits=6):
    """Patients of two arms, of whom some leave: `leaves` has the chance from the last value and the arm."""
    rng = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(groups), visits), np.tile(np.arange(float(visits)), groups)
    arm = np.where(g % 2, "b", "a")
    y = 0.3 * t + rng.normal(size=groups)[g] + rng.normal(size=len(g))
    seen = y.copy()
    for i in np.flatnonzero(t > 0):
        if np.isnan(seen[i - 1]) or rng.uniform() < leaves(y[i - 1], arm[i]):
            seen[i] = np.nan
    frame = pd.DataFrame({"y": seen, "arm": arm, "week": t, "id": g, "x": rng.normal(size=len(g))})
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


def found(frame, formula="y ~ arm * week + x + (1 | id)"):
    """What `diagnose` has of missing values, by what they are compared in."""
    table = lmmkit.diagnose(lmmkit.lmm(formula, frame), replicates=199).table
    return table[table.check == "missing values"].set_index("of")


def test_leaving_after_high_values_is_found():
    table = found(trial(lambda y, _: 1 / (1 + np.exp(-2.0 * (y - 2.5)))))
    assert table.loc["the last value"].adjusted < 0.02
    assert "higher" in table.loc["the last value"].found
    assert "the same week" in table.loc["the last value"].found


def test_leaving_of_one_arm_is_found():
    table = found(trial(lambda _, arm: 0.25 if arm == "b" else 0.02))
    assert table.loc["predictors"].verdict in ("look", "trouble")
    assert table.loc["predictors"]["where"].startswith("arm")
    assert table.loc["the last value"].verdict == "fine"


@pytest.mark.parametrize(
    ("name", "of", "difference", "words"),
    [
        (("arm", "b"), "predictors", 0.125,
         "b of arm is more frequent among the rows with missing values than among others of the same "
         "week, by 12.5 percentage points"),
        (("arm", "b"), "predictors", -0.03,
         "b of arm is less frequent among the rows with missing values than among others of the same "
         "week, by 3.0 percentage points"),
        (("x", ""), "predictors", 1.5,
         "x is higher for the rows with missing values than for others of the same week, by 1.5 (0.75 "
         "standard deviations)"),
        (("y", ""), LAST, -1.5,
         "the last y is lower for the rows with missing values than for others of the same week, by 1.5 "
         "(0.75 standard deviations)"),
    ],
)  # fmt: skip
def test_how_the_rows_differ_is_told_by_what_differs(name, of, difference, words):
    one = _Comparison(
        of, np.ones(1), np.ones((1, 1)), [name], np.zeros(1, int), Sentence(" of the same week"), ""
    )
    assert str(_clause(one, 0, difference, 0.75)) == words


def test_leaving_at_random_is_fine():
    assert set(found(trial(lambda *_: 0.1)).verdict) == {"fine"}


def test_predictors_that_are_missing_more_often_at_high_responses():
    frame = trial(lambda *_: 0.0).drop(columns="week")
    high = frame.y - frame.groupby("id").y.transform("mean") > 0.8
    frame.loc[high & (np.random.default_rng(1).uniform(size=len(frame)) < 0.9), "x"] = np.nan
    table = found(frame, "y ~ arm + x + (1 | id)")
    assert table.loc["predictors within groups"].adjusted < 0.02
    assert table.loc["predictors within groups"]["where"] == "y"
    assert "no random part" in table.loc["predictors within groups"].remedy


def test_a_table_without_missing_values_is_not_checked():
    assert found(trial(lambda *_: 0.0)).verdict.tolist() == ["not checked"]


def test_few_missing_values_are_not_checked():
    frame = trial(lambda *_: 0.0)
    frame.loc[:2, "y"] = np.nan
    assert "fewer than 5" in found(frame).found.iloc[0]


def test_scores_of_permutations_have_variance_one_within_strata():
    rng = np.random.default_rng(1)
    strata = np.repeat(np.arange(6), [3, 8, 20, 1, 30, 12])
    missing = (rng.uniform(size=len(strata)) < 0.2 + 0.1 * (strata % 2)).astype(float)
    z = permuted_scores(missing, rng.normal(size=(len(strata), 2)) + strata[:, None], strata, 3000, rng)
    np.testing.assert_allclose(z[:, 1:].mean(axis=1), 0.0, atol=0.08)
    np.testing.assert_allclose(z[:, 1:].std(axis=1), 1.0, atol=0.06)


def test_the_observed_score_is_the_sum_over_what_is_missing():
    missing, w = np.array([1.0, 0, 0, 1, 0]), np.array([[1.0], [2], [6], [4], [8]])
    strata = np.array([0, 0, 0, 1, 1])
    spread = np.sqrt((2 / 3) * 14 / 2 + 0.5 * 8 / 1)
    z = permuted_scores(missing, w, strata, 5, np.random.default_rng(1))
    np.testing.assert_allclose(z[0, 0], ((1 - 3) + (4 - 6)) / spread)


def test_a_group_that_leaves_whole_is_no_reason_to_fail():
    frame = trial(lambda *_: 0.1)
    frame.loc[frame.id == 3, "y"] = np.nan
    assert Missingness(lmmkit.lmm("y ~ arm * week + x + (1 | id)", frame).estimates).comparisons


def test_visits_that_are_text_have_the_order_of_the_structure():
    frame = trial(lambda y, _: 1 / (1 + np.exp(-2.0 * (y - 2.5))))
    frame["visit"] = pd.Categorical(
        "w" + (2 * frame.week.astype(int) + 2).astype(str), [f"w{2 * k + 2}" for k in range(6)]
    )
    fit = lmmkit.lmm("y ~ arm * visit + x", frame, residual="ar1(factor(visit) | id)")
    for one in (fit, lmmkit.lmm("y ~ arm * visit + x", frame, residual="un(visit | id)")):
        (last,) = [each for each in Missingness(one.estimates).comparisons if each.of == "the last value"]
        gone = frame[frame.y.isna()].sort_values("week").groupby("id").week.first()
        assert last.missing.sum() == len(gone)


def test_rows_left_out_before_the_fit_are_looked_at_where_they_are_given():
    frame = trial(lambda y, _: 1 / (1 + np.exp(-2.0 * (y - 2.5))))
    whole = lmmkit.lmm("y ~ arm * week + x + (1 | id)", frame)
    kept = lmmkit.lmm("y ~ arm * week + x + (1 | id)", frame.dropna())
    assert not Missingness(kept.estimates).comparisons
    for one, other in zip(
        Missingness(whole.estimates).comparisons, Missingness(kept.estimates, frame).comparisons, strict=True
    ):
        np.testing.assert_array_equal(one.missing, other.missing)
        np.testing.assert_array_equal(one.values, other.values)
    table = lmmkit.diagnose(kept, replicates=99, with_gaps=frame).table.set_index(["check", "of"])
    assert table.loc[("missing values", "the last value"), "verdict"] != "not checked"
