"""Joint tests over the grid, letters, comparison arrows and effect sizes of contrasts."""

from __future__ import annotations

import functools
import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from reference.cases import fitted
from reference.unbalanced import DATA, unbalanced
from scipy.stats import t

import lmmkit
from lmmkit import plots
from lmmkit.model.means.comparison_display import compact_letters, comparison_arrows
from lmmkit.model.variance_parts import spread_of

VERBS = json.loads((DATA / "verbs.json").read_text(encoding="utf-8"))
CROSSED = "y ~ a * b + c2 + (1 | g) + (1 | h)"
THREE = "y ~ a * b + a * c2 + z + (1 | g) + (1 | h)"


@functools.cache
def fit_of(formula, number=3):
    return lmmkit.lmm(formula, pd.read_csv(DATA / f"unbalanced_{number}.csv"))


@pytest.mark.parametrize(
    ("case", "fit", "by"),
    [
        ("crossed", lambda: fit_of(CROSSED), None),
        ("simple", lambda: fit_of(CROSSED), "a"),
        ("three", lambda: fit_of(THREE), None),
        ("covariate", lambda: unbalanced(2), None),
        ("by_covariate", lambda: unbalanced(2), "a"),
        ("empty", lambda: unbalanced(19), None),
        ("empty_simple", lambda: unbalanced(19), "a"),
        ("nested", lambda: fit_of("y ~ a + a:c2 + (1 | g)"), None),
    ],
)
def test_joint_tests_equal_emmeans(case, fit, by):
    """F and its rows; emmeans rounds both F and its degrees of freedom, which have another rule."""
    expected, found = VERBS["joint"][case], fit().joint_tests(by, "satterthwaite")
    keys = list(zip(expected["model term"], expected["a"], strict=True)) if by else expected["model term"]
    assert sorted(found.index.tolist()) == sorted(keys)
    for i, key in enumerate(keys):
        row = found.loc[key]
        assert row["num_df"] == expected["df1"][i]
        assert row["F"] == pytest.approx(expected["F.ratio"][i], abs=6e-4)
        assert row["p"] == pytest.approx(expected["p.value"][i], rel=5e-3)
        if row["num_df"] == 1:
            assert row["den_df"] == pytest.approx(expected["df2"][i], abs=6e-3)


@pytest.mark.parametrize("df", ["kenward-roger", "residual"])
@pytest.mark.parametrize("formula", [CROSSED, "y ~ a * b * c2 + (1 | g)"])
def test_of_factors_they_are_type_iii_tests(formula, df):
    fit = fit_of(formula)
    joint, anova = fit.joint_tests(df=df), fit.anova(df=df)
    assert set(joint.index) == set(anova.index)
    for name in ("num_df", "F", "p") if df == "residual" else ("num_df", "F"):
        np.testing.assert_allclose(joint[name], anova.loc[joint.index, name], rtol=1e-7)


def test_a_curved_covariate_is_tested_at_points_enough():
    fit = fit_of("y ~ a + x + I(x^2) + (1 | g)", 2)
    found = fit.joint_tests(df="residual", at={"x": [1.0, 2.0, 4.0]})
    expected = fit.contrast(["x", "I(x^2)"], "residual", joint=True)
    np.testing.assert_allclose(
        found.loc["x", ["num_df", "F"]].to_numpy(float),
        expected[["num_df", "F"]].to_numpy(float)[0],
        rtol=1e-8,
    )


def test_simple_effects_at_values_of_a_covariate():
    fit = unbalanced(2)
    found = fit.joint_tests("x", "residual", at={"x": [0.0, 3.0]})
    at_zero = fit.contrast(["a[T.B]", "a[T.C]"], "residual", joint=True)["F"].item()
    assert found.loc[("a", 0.0), "F"] == pytest.approx(at_zero, rel=1e-9)
    assert ("b", 3.0) in found.index


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda fit: fit.joint_tests("q"), "no variable of the fixed part"),
        (lambda fit: fit.joint_tests("A"), "did you mean `a`"),
        (lambda fit: fit.joint_tests(["a", "b", "c2"]), "no effect to test"),
        (lambda fit: fit.joint_tests(weights="rows"), "Choose one of"),
        (lambda fit: fit.joint_tests(df="kr"), "Choose one of"),
        (lambda fit: fit.marginal_means("a").letters(alpha=5), "between 0 and 1"),
        (lambda fit: fit.marginal_means("a").letters("tuky"), "did you mean `tukey`"),
        (lambda fit: fit.marginal_means("a").effect_sizes(sigma=2.0), "both or not at all"),
        (lambda fit: fit.marginal_means("a").effect_sizes(sigma=-2.0, edf=3), "above 0"),
        (lambda fit: fit.marginal_means([]).letters(), "two means or more"),
    ],
)
def test_what_is_not_offered_is_refused(ask, words):
    with pytest.raises(lmmkit.FitError, match=words):
        ask(fit_of(CROSSED))


def test_an_effect_of_which_an_empty_cell_leaves_nothing_says_so():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"f": list("aabbc") * 12, "h": list("pqpqp") * 12, "g": np.arange(60) % 6})
    found = lmmkit.lmm("y ~ f * h + (1 | g)", frame.assign(y=rng.normal(size=60))).joint_tests()
    assert found["num_df"].to_dict() == {"f": 1, "h": 0, "f:h": 1}
    assert found.loc["h", "method"] == "no test: the data can estimate nothing of it"


@pytest.mark.parametrize(("number", "formula"), [(2, "y ~ a * b + (x | g)"), (3, CROSSED)])
@pytest.mark.parametrize("adjust", ["tukey", "none"])
def test_letters_equal_multcomps(number, formula, adjust):
    expected = VERBS["letters"][f"{number} {adjust}"]
    found = fit_of(formula, number).marginal_means(["a", "b"], df="satterthwaite").letters(adjust, 0.2)
    assert [" ".join(key) for key in found.index] == expected["mean"]
    assert found["letters"].tolist() == expected["letters"]


@pytest.mark.parametrize("seed", range(20))
def test_letters_say_which_means_differ_and_nothing_else(seed):
    draw = np.random.default_rng(seed)
    m = int(draw.integers(2, 9))
    differ = np.triu(draw.random((m, m)) < draw.random(), 1)
    differ |= differ.T
    told = compact_letters(differ)
    for i, j in combinations(range(m), 2):
        assert (not set(told[i]) & set(told[j])) == differ[i, j]


def test_a_mean_that_cannot_be_estimated_has_no_letter():
    found = unbalanced(19).marginal_means(["a", "b"]).letters()
    assert found["letters"].iloc[-1] == ""
    assert found["mean"].isna().tolist() == [False] * 8 + [True]
    assert all(found["letters"].iloc[:-1])


def test_arrows_of_equal_errors_are_half_the_critical_difference():
    means = fitted("cake_factor", "REML").marginal_means("temperature")
    found, pairs = means.arrows(), means.pairs()
    half = ((pairs["high"] - pairs["low"]) / 4).iloc[0]
    inner = found.dropna()
    np.testing.assert_allclose(inner["mean"] - inner["left"], half, rtol=1e-4)
    np.testing.assert_allclose(inner["right"] - inner["mean"], half, rtol=1e-4)
    assert found.attrs["trouble"] == ""
    assert found["left"].isna().sum() == found["right"].isna().sum() == 1


@pytest.mark.parametrize("seed", range(10))
def test_arrows_overlap_where_the_test_does_not_reject(seed):
    draw = np.random.default_rng(seed)
    m = int(draw.integers(2, 7))
    size, se = draw.normal(scale=2, size=m), draw.uniform(0.3, 1.2, m)
    pairs = list(combinations(range(m), 2))
    half = np.array([2 * np.hypot(se[i], se[j]) for i, j in pairs])
    made = comparison_arrows(size, half)
    for k, (i, j) in enumerate(pairs):
        low, high = (i, j) if size[i] < size[j] else (j, i)
        agrees = (made.right[low] >= made.left[high]) == (abs(size[i] - size[j]) <= half[k])
        assert agrees == (k not in made.wrong)


def test_arrows_within_by_and_on_the_scale_of_the_response():
    frame = pd.read_csv(DATA / "unbalanced_3.csv").assign(u=lambda d: np.exp(d["y"] / 4))
    fit = lmmkit.lmm("log(u) ~ a * b + (1 | g)", frame)
    link, response = (fit.marginal_means("b", "a", type=kind).arrows() for kind in ("model", "response"))
    np.testing.assert_allclose(np.log(response["left"]), link["left"], rtol=1e-9)
    assert link["left"].isna().sum() == 3
    plots.comparison_arrows(link, label="log u")


@pytest.mark.parametrize(("number", "formula"), [(2, "y ~ a * b + (x | g)"), (3, CROSSED)])
def test_effect_sizes_equal_emmeans(number, formula):
    expected = VERBS["effect"][str(number)]
    means = fit_of(formula, number).marginal_means("b", df="satterthwaite")
    found = means.effect_sizes(sigma=2.5, edf=17)
    assert found.index.tolist() == expected["contrast"]
    np.testing.assert_allclose(found["estimate"], expected["effect.size"], rtol=1e-4)
    np.testing.assert_allclose(found["se"], expected["SE"], rtol=1e-4)
    half = t.ppf(0.975, found["df"]) * found["se"]
    np.testing.assert_allclose(found[["low", "high"]].T, [found["estimate"] - half, found["estimate"] + half])
    np.testing.assert_array_equal(found["df"], means.pairs()["df"])  # emmeans takes those of the means


def test_the_total_sd_has_satterthwaites_degrees_of_freedom():
    """Balanced, one factor: the variance of the total is that of MSB / n + MSE (1 - 1 / n)."""
    draw = np.random.default_rng(3)
    groups, n = 12, 5
    frame = pd.DataFrame(
        {"g": np.repeat(np.arange(groups), n).astype(str), "f": np.tile(list("ababa"), groups)}
    )
    frame["y"] = np.repeat(draw.normal(size=groups), n) * 2 + draw.normal(size=len(frame))
    fit = lmmkit.lmm("y ~ 1 + (1 | g)", frame)
    v = fit.varcorr["vcov"].to_numpy()
    within, between = v[1], n * v[0] + v[1]
    spread = 2 * (between / n) ** 2 / (groups - 1) + 2 * (within * (1 - 1 / n)) ** 2 / (groups * (n - 1))
    with_factor = lmmkit.lmm("y ~ f + (1 | g)", frame).marginal_means("f").effect_sizes()
    assert with_factor.attrs["edf"] > 0
    found = spread_of(fit.estimates, None, None)
    assert found.sd == pytest.approx(np.sqrt(v.sum()), rel=1e-8)
    assert found.df == pytest.approx(2 * v.sum() ** 2 / spread, rel=1e-6)
