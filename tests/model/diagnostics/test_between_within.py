"""Group means beside predictors."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from support import repeated

import lmmkit
from lmmkit.model.diagnostics.between_within import BetweenWithin, _means, _remedy, _why, group_means


def rows(between, *, seed=1, groups=30, each=10):
    """A predictor whose slope between groups is another than within them, 1."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), each)
    mean = rng.normal(size=groups)
    x = mean[g] + rng.normal(size=len(g))
    arm = np.where(rng.uniform(size=len(g)) < 1 / (1 + np.exp(-mean[g])), "b", "a")
    y = x + (between - 1.0) * mean[g] + rng.normal(size=groups)[g] + rng.normal(size=len(g))
    return pd.DataFrame(
        {"y": y, "x": x, "arm": arm, "g": g, "of_group": mean[g], "t": np.tile(np.arange(each), groups)}
    )


def found(fit):
    """What `diagnose` has of it."""
    table = lmmkit.diagnose(fit, replicates=199).table
    return table[table.check == "between and within effects"].set_index("of")


def test_an_effect_that_is_another_between_groups_is_found():
    table, formula = rows(6.0), "y ~ x + (1 | g)"
    row = found(lmmkit.lmm(formula, table)).loc["x in g"]
    assert row.adjusted < 0.02
    assert "group_mean(x, g)" in row.remedy
    again = table.assign(m=table.groupby("g").x.transform("mean"))
    assert found(lmmkit.lmm("y ~ x + m + (1 | g)", again)).verdict.isin(["fine", "not checked"]).all()


def test_the_coefficients_told_are_those_with_the_mean_in_the_model_at_the_same_variances():
    table = rows(3.0)
    fit = lmmkit.lmm("y ~ x + (1 | g)", table)
    (split,) = BetweenWithin(fit.estimates).splits
    held = {"g": fit.varcorr.vcov.iloc[0], "Residual": fit.scale}
    again = lmmkit.lmm(
        "y ~ x + m + (1 | g)", table.assign(m=table.groupby("g").x.transform("mean")), variances=held
    )
    delta = split.test.coefficients(fit.residuals("normalised").to_numpy()[:, None])[:, 0]
    assert delta[0] == pytest.approx(again.params["m"], rel=1e-6)
    assert (fit.estimates.beta - split.test.beta @ delta)[1] == pytest.approx(again.params["x"], rel=1e-6)


def test_a_difference_matters_from_half_a_standard_error_of_the_coefficient_on():
    fit = lmmkit.lmm("y ~ x + (1 | g)", rows(3.0))
    check, residuals = BetweenWithin(fit.estimates), fit.residuals("normalised").to_numpy()[:, None]
    (split,) = check.splits
    size = check._found(split, residuals).size
    delta = split.test.coefficients(residuals)[:, 0]
    assert size == pytest.approx(abs((split.test.beta @ delta)[1]) / fit.bse["x"], rel=1e-9)
    for scale, matters in ((0.499, False), (0.501, True), (-0.501, True)):
        found = check._found(split, scale / size * residuals)
        assert (found.size, found.matters) == (pytest.approx(abs(scale)), matters)


def test_one_slope_everywhere_is_fine_and_factors_are_looked_at_too():
    table = found(lmmkit.lmm("y ~ x + arm + (1 | g)", rows(1.0)))
    assert table.verdict.to_dict() == {"x in g": "fine", "arm in g": "fine"}


def test_what_cannot_differ_is_not_checked_and_the_reason_said():
    balanced = found(lmmkit.lmm("y ~ t + (1 | g)", rows(1.0)))
    assert balanced.verdict.to_dict() == {"g": "not checked"}
    assert "same means" in balanced.found.iloc[0]
    constant = found(lmmkit.lmm("y ~ of_group + (1 | g)", rows(1.0)))
    assert "within" in constant.found.iloc[0]
    few = found(lmmkit.lmm("y ~ x + (1 | g)", rows(1.0, groups=4)))
    assert "too few levels" in few.found.iloc[0]


def test_subjects_of_a_residual_structure_are_groups():
    checks = BetweenWithin(repeated.fitted("ar1(visit | id)").estimates)
    assert not checks.splits
    assert [one.of for one in checks.left] == ["visit in id"]  # whose means differ by missing rows alone


def test_means_of_groups():
    values, codes = np.array([[1.0], [3.0], [5.0]]), np.array([1, 1, 0])
    np.testing.assert_allclose(group_means(values, codes, 2)[:, 0], [2.0, 2.0, 5.0])


@pytest.mark.parametrize(
    ("kinds", "why"),
    [
        ([], "the fixed part has no predictor"),
        (["within", "within"], "its levels have the same means of every predictor"),
        (["between", "between"], "no predictor varies within its levels"),
        (["few", "within"], "it has too few levels"),
        (["within", "between"], "no predictor varies both between and within its levels"),
    ],
)
def test_why_no_means_are_tried_is_told(kinds, why):
    assert _why(kinds) == why


DAYS = np.tile([0.0, 1.0, 2.0], 6)


@pytest.mark.parametrize(
    ("values", "codes", "kind"),
    [
        (np.repeat(np.arange(6.0), 3), np.repeat(np.arange(6), 3), "between"),
        (DAYS, np.repeat(np.arange(6), 3), "within"),
        (DAYS[1:], np.repeat(np.arange(6), 3)[1:], "gaps"),
        (np.r_[DAYS[1:], 0.5], np.r_[np.repeat(np.arange(6), 3)[1:], 0], ""),  # no group has all four
        (np.r_[DAYS[1:], 2.0], np.r_[np.repeat(np.arange(6), 3)[1:], 5], ""),  # one value twice
        (np.arange(18.0) ** 2, np.repeat(np.arange(5), [4, 4, 4, 3, 3]), ""),
        (np.arange(12.0) ** 2, np.repeat(np.arange(4), 3), "few"),
    ],
)
def test_means_are_tried_of_what_varies_between_and_within_enough_levels(values, codes, kind):
    grouping = SimpleNamespace(codes=codes, size=int(codes.max()) + 1)
    found, means = _means(values[:, None], grouping)
    assert found == kind
    np.testing.assert_allclose(means[:, 0], pd.Series(values).groupby(codes).transform("mean"))


SHARES = "add the share of each level of f in the levels of g to the data and the fixed part"


@pytest.mark.parametrize(
    ("kind", "name", "group", "advice"),
    [
        (
            "factor",
            "f",
            "g",
            "add the share of each level of f in the levels of g to the data and the fixed part",
        ),
        ("number", "log(x)", "g", "add the means of log(x) over g to the fixed part"),
        ("number", "x", "g:h", "add the means of x over g:h to the fixed part"),
        ("number", "x", "g", "derive `x_mean: group_mean(x, g)` and add `x_mean` to the fixed part"),
    ],
)
def test_advice_is_what_a_formula_can_have(kind, name, group, advice):
    design = SimpleNamespace(composition={name: [SimpleNamespace(kind=kind)]})
    assert _remedy(design, name, group) == advice
