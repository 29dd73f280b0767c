"""Models of repeated visits compared: what is tested against what, by which distribution, and why not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2
from support.repeated import fitted, trial

import lmmkit

SIMPLE = "y ~ arm + visit"
SHOWN = "y ~ 1 + arm + visit"


def of(residual, reml=True):
    return fitted(residual, reml, SIMPLE)


@pytest.mark.parametrize(
    ("small", "large", "df"),
    [
        ("cs(visit | id)", "toep(visit | id)", 1),
        ("cs(visit | id)", "csh(visit | id)", 2),
        ("ar1(visit | id)", "toep(visit | id)", 1),
        ("ar1(visit | id)", "ar1h(visit | id)", 2),
        ("ar1(visit | id)", "ad(visit | id)", 1),
        ("ad(visit | id)", "adh(visit | id)", 2),
        ("toeph(visit | id)", "un(visit | id)", 1),
        ("ar1(visit | id)", "un(visit | id)", 4),
        ("ident(visit)", "un(visit | id)", 3),
        ("ident(visit)", "csh(visit | id)", 1),
        ("cs(visit | id)", "cs(visit | id, by=arm)", 2),
        ("un(visit | id)", "un(visit | id, by=arm)", 6),
        ("cs(visit | id)", "un(visit | id, by=arm)", 10),
    ],
)
def test_nested_structures_have_a_chi_squared_likelihood_ratio(small, large, df):
    one, two = of(small), of(large)
    row = lmmkit.compare(two, one).iloc[1]
    stat = one.deviance - two.deviance
    assert (row["stat"], row["df"], row["reference"]) == (pytest.approx(stat), df, f"chi2({df})")
    assert row["p"] == pytest.approx(chi2.sf(stat, df))
    assert row["note"] == ""
    assert list(lmmkit.compare(two, one).index) == [f"{SHOWN}, {small}", f"{SHOWN}, {large}"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("toep(visit | id)", "ad(visit | id)"),
        ("csh(visit | id)", "adh(visit | id)"),
        ("ar1(visit | id)", "csh(visit | id)"),
        ("ident(visit)", "toep(visit | id)"),
        ("cs(visit | id, by=arm)", "un(visit | id)"),
        ("cs(visit | id)", "ar1(visit | id)"),
    ],
)
def test_structures_that_do_not_lie_in_each_other_have_no_test(one, other):
    table = lmmkit.compare(of(one), of(other))
    assert np.isnan(table["p"]).all()
    assert "is not a special case of" in table["note"].iloc[1]
    assert table["note"].iloc[1].endswith("compare them by aic, aicc or bic")
    assert np.isnan(lmmkit.compare(of(one), of(other), method="bootstrap", n=2)["p"]).all()


def test_independent_residuals_lie_in_every_structure():
    for residual, df in (("cs(visit | id)", 1), ("un(visit | id)", 5), ("ident(visit)", 2)):
        row = lmmkit.compare(of(residual), SIMPLE).iloc[1]
        assert (row["df"], row["reference"]) == (df, f"chi2({df})")
        without = lmmkit.compare(of(residual), SIMPLE).iloc[0]
        assert without["npar"] == 5
        assert row["stat"] == pytest.approx(without["deviance"] - of(residual).deviance)


def test_a_random_intercept_is_the_same_model_as_compound_symmetry():
    random = lmmkit.lmm(f"{SIMPLE} + (1 | id)", trial())
    same = f"the same model as `{SHOWN}, cs(visit | id)` where the correlation is not negative"
    assert lmmkit.compare(of("cs(visit | id)"), random)["note"].iloc[1] == f"{same}: nothing to test"
    row = lmmkit.compare(random, of("un(visit | id)")).iloc[1]
    assert (row["df"], row["reference"]) == (4, "chi2(4)")
    assert row["stat"] == pytest.approx(random.deviance - of("un(visit | id)").deviance)
    rng = np.random.default_rng(0)
    frame = trial().assign(y=rng.normal(size=len(trial())))
    frame["y"] -= 0.8 * frame.groupby("id")["y"].transform("mean")  # a negative correlation
    one, two = (
        lmmkit.lmm("y ~ arm + (1 | id)", frame),
        lmmkit.lmm("y ~ arm", frame, residual="cs(visit | id)"),
    )
    assert two.residual_params["rho"] < 0
    assert one.is_singular
    note = lmmkit.compare(one, two)["note"].iloc[1]
    assert note.endswith("where the correlation is not negative, and here it is: nothing to test")


def test_random_slopes_over_the_visits_lie_in_the_unstructured():
    frame = trial().assign(t=lambda d: d["t"].astype(float))
    ids, codes = np.unique(frame["id"], return_inverse=True)
    rng = np.random.default_rng(0)
    noise, level, slope = (rng.normal(size=size) for size in (len(frame), len(ids), len(ids)))
    frame["y"] = noise + 2.0 * level[codes] + slope[codes] * frame["t"]
    slopes = lmmkit.lmm("y ~ arm + visit + (t | id)", frame)
    assert not slopes.is_singular

    def against(residual):
        return lmmkit.compare(slopes, lmmkit.lmm("y ~ arm + visit", frame, residual=residual)).iloc[1]

    row = against("un(visit | id)")
    assert (row["df"], row["reference"]) == (2, "chi2(2)")
    assert against("un(visit | id, by=arm)")["df"] == 8
    assert "not a special case" in against("toeph(visit | id)")["note"]


def test_fixed_effects_are_tested_under_one_structure():
    large, small = of("un(visit | id)"), fitted("un(visit | id)", True, "y ~ visit")
    row = lmmkit.compare(large, small).iloc[1]
    ml = [fitted("un(visit | id)", False, formula).deviance for formula in ("y ~ visit", SIMPLE)]
    assert (row["stat"], row["df"]) == (pytest.approx(ml[0] - ml[1]), 1)
    assert "id has 26 levels" in row["note"]
    row = lmmkit.compare(large, small, method="kenward-roger").iloc[1]
    test = large.anova(3, "kenward-roger").loc["arm"]
    assert (row["stat"], row["p"]) == (pytest.approx(test["F"]), pytest.approx(test["p"]))
    both = lmmkit.compare(fitted("cs(visit | id)", True, "y ~ visit"), large).iloc[1]
    assert both["df"] == 5
    assert "refitted by maximum likelihood" in both["note"]


def test_the_bootstrap_fits_both_structures_to_each_response():
    small, large = of("cs(visit | id)"), of("ar1h(visit | id)")
    assert "not a special case" in lmmkit.compare(small, large).iloc[1]["note"]
    small, large = of("ident(visit)"), of("csh(visit | id)")
    row = lmmkit.compare(small, large, method="bootstrap", n=19, seed=4).iloc[1]
    responses = small.simulate(19, seed=4)
    gains = [small.refit(y).deviance - large.refit(y).deviance for y in responses.T]
    above = sum(gain >= row["stat"] - 1e-8 for gain in gains)
    assert row["p"] == pytest.approx((1 + above) / 20)
    assert row["reference"] == "parametric bootstrap, REML, 19 replicates"


@pytest.mark.parametrize("residual", ["csh", "toep", "un"])
def test_a_random_intercept_at_zero_has_no_chi_squared_test_against_negative_correlations(residual):
    rng = np.random.default_rng(1)
    z = rng.normal(size=(40, 3))
    y = z - 0.5 * z.mean(axis=1, keepdims=True)
    frame = pd.DataFrame({"g": np.repeat(np.arange(40), 3), "t": np.tile([1, 2, 3], 40), "y": y.ravel()})
    small = lmmkit.lmm("y ~ t + (1 | g)", frame)
    assert small.is_singular
    large = lmmkit.lmm("y ~ t", frame, residual=f"{residual}(t | g)")
    row = lmmkit.compare(small, large).iloc[1]
    assert np.isnan(row[["stat", "df", "p"]].astype(float)).all()
    assert "a variance of the smaller fit is zero" in row["note"]
    assert lmmkit.compare(large, "y ~ t").iloc[1]["p"] < 0.01
