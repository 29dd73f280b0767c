"""What a posterior answers: functions of the parameters, groups, predictions left out, other programs."""

from __future__ import annotations

import ast
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import lmmkit
from lmmkit.engine.posterior.group_effects import GroupEffects
from lmmkit.errors import FitError
from lmmkit.model.posterior.power_scaling import CONFLICT, STRONG, distance, sensitivity

ROWS = {"slopes": "y ~ x + (x | g)", "apart": "y ~ x + (x || g)", "crossed": "y ~ f + (1 | g) + (1 | h)"}


@cache
def table():
    rng = np.random.default_rng(7)
    g, h = np.repeat(np.arange(8), 6), np.tile(np.arange(6), 8)
    x = rng.normal(size=48)
    y = 5 + 2 * x + rng.normal(size=8)[g] + 0.7 * rng.normal(size=8)[g] * x + 0.5 * rng.normal(size=6)[h]
    names = {
        "g": [f"g{i}" for i in g],
        "h": [f"h{i}" for i in h],
        "f": ["ab"[i] for i in rng.integers(0, 2, 48)],
    }
    return pd.DataFrame({"y": y + rng.normal(size=48), "x": x, "w": rng.uniform(0.5, 2, 48), **names})


@cache
def drawn(name, weights=None, draws=1_500):
    return lmmkit.posterior(lmmkit.lmm(ROWS[name], table(), weights=weights), draws=draws, seed=5)


def test_functions_of_the_parameters_are_summarised_like_the_parameters():
    found, frame = drawn("slopes"), drawn("slopes").draws_frame()
    ratio = found.of(lambda d: d["g.sd.x"] / d["Residual.sd"])
    plain = found.weights @ (frame["g.sd.x"] / frame["Residual.sd"]).to_numpy()
    assert ratio.loc["function", "mean"] == pytest.approx(plain)
    both = found.of(lambda d: {"a": d["x"], "b": -d["x"]})
    assert both["mean"].tolist() == pytest.approx(
        [found.table.loc["x", "mean"], -found.table.loc["x", "mean"]]
    )
    with pytest.raises(FitError, match="a number for each of the 1,500 draws"):
        found.of(lambda d: 1.0)


def test_contrasts_means_and_shares_of_each_draw():
    found = drawn("crossed")
    means = found.marginal_means("f")
    two = found.contrast("Intercept + f[T.b]")
    assert means.loc["b", "mean"] == pytest.approx(two["mean"].iloc[0])
    pair = found.pairs("f").iloc[0]
    assert pair["mean"] == pytest.approx(means.loc["a", "mean"] - means.loc["b", "mean"])
    fit = lmmkit.lmm(ROWS["crossed"], table())
    assert found.icc().loc["adjusted", "mean"] == pytest.approx(
        fit.icc().loc["adjusted", "estimate"], abs=0.15
    )
    assert (found.r2()["low"] > 0).all()


def test_regions_of_practical_equivalence():
    found = drawn("slopes")
    region = found.rope({"x": [-1, 2]}).loc["x"]
    frame = found.draws_frame()["x"].to_numpy()
    assert region["inside"] == pytest.approx(found.weights @ ((frame > -1) & (frame < 2)))
    assert region[["inside", "below", "above"]].sum() == pytest.approx(1.0)
    for wrong, said in [({"x": [2, 1]}, "second above the first"), ({"z": [0, 1]}, "the model has no z")]:
        with pytest.raises(FitError, match=said):
            found.rope(wrong)


@pytest.mark.parametrize("name", ROWS)
def test_random_effects_are_drawn_from_their_conditional_distribution(name):
    found = drawn(name, "w", 500)
    fit = lmmkit.lmm(ROWS[name], table(), weights="w")
    mean = found.draws.beta @ fit.estimates.X.T
    roots = [L * found.sigma[:, None, None] for L in found.factors]
    other = GroupEffects(fit.estimates.problem, mean, roots, found.sigma, found.rho, 99)
    whole = other._whole()  # pyright: ignore[reportPrivateUsage]  formed without elimination
    for one, two in zip(found.effects, whole, strict=True):
        for place in np.ndindex(one.shape[1:]):
            a, b = one[:, *place], two[:, *place]
            w, size = found.weights, found.effective
            sd = np.sqrt(w @ (a - w @ a) ** 2)
            assert abs(w @ a - w @ b) < 5 * sd * np.sqrt(2 / size)
            assert np.sqrt(w @ (b - w @ b) ** 2) == pytest.approx(sd, rel=0.2)


def test_a_draw_of_effects_does_not_depend_on_the_others():
    found = drawn("crossed")
    estimates, some = found.estimates, slice(10, 14)
    mean = found.draws.beta @ estimates.X.T
    roots = [L * found.sigma[:, None, None] for L in found.factors]
    all_of = GroupEffects(estimates.problem, mean, roots, found.sigma, found.rho, 3).drawn()
    first = GroupEffects(
        estimates.problem, mean[:14], [A[:14] for A in roots], found.sigma[:14], found.rho[:14], 3
    )
    for one, other in zip(all_of, first.drawn(), strict=True):
        assert (one[some] == other[some]).all()


def test_ranks_go_with_the_predicted_effects_and_say_what_is_not_known():
    ranks, fit = drawn("slopes").ranks(), lmmkit.lmm(ROWS["slopes"], table())
    own = ranks[ranks["term"] == "Intercept"]
    order = fit.ranef["g"]["Intercept"].rank(ascending=False)
    assert np.corrcoef(own["mean"], order)[0, 1] > 0.95
    assert own["first"].sum() == pytest.approx(1.0)
    assert ((own["low"] <= own["median"]) & (own["median"] <= own["high"])).all()


@pytest.mark.parametrize("row", [3, 30])
def test_a_row_left_out_has_the_density_that_a_posterior_without_it_predicts(row):
    full = drawn("slopes")
    told = full.loo().parts.loc[row, "elpd"]
    rest = lmmkit.lmm(ROWS["slopes"], table().drop(row))
    without = lmmkit.posterior(rest, draws=3_000, seed=2)
    x, level = table().loc[row, "x"], list(rest.ranef["g"].index).index(table().loc[row, "g"])
    mean = without.draws.beta @ [1, x] + without.effects[0][:, level] @ [1, x]
    p = without.weights @ stats.norm.pdf(table().loc[row, "y"], mean, without.sigma)
    assert told == pytest.approx(np.log(p), abs=0.12)


def test_a_level_left_out_has_the_density_of_a_new_one():
    full = drawn("crossed")
    told = full.loo("marginal", "h").parts.loc["h2", "elpd"]
    here = table()[table()["h"] == "h2"]
    priors = {name: text for name, text in full.priors["prior"].items() if ".sd" in name}
    rest = lmmkit.lmm(ROWS["crossed"], table().drop(here.index))
    without = lmmkit.posterior(rest, priors, draws=1_000, seed=2)
    g = [list(rest.ranef["g"].index).index(level) for level in here["g"]]
    X = np.column_stack([np.ones(len(here)), here["f"] == "b"]).astype(float)
    mean = without.draws.beta @ X.T + without.effects[0][:, g, 0]
    sd_h = without.draws_frame()["h.sd.Intercept"].to_numpy()
    densities = [
        stats.multivariate_normal.pdf(here["y"], m, s**2 * np.eye(len(here)) + t**2)
        for m, s, t in zip(mean, without.sigma, sd_h, strict=True)
    ]
    assert told == pytest.approx(np.log(without.weights @ densities), abs=0.35)


def test_what_cannot_be_left_out_is_refused():
    with pytest.raises(FitError, match=r"group='z' is no grouping factor of the model; there are g"):
        drawn("slopes").loo("marginal", "z")
    with pytest.raises(FitError, match=r"kind='rows' is not known"):
        drawn("slopes").loo("rows")


def test_data_from_the_posterior_look_like_the_data_where_the_model_is_true():
    check = drawn("slopes").predictive_check(n=100)
    assert check.replicates.shape == (48, 100)
    assert check.table["p"].between(0.01, 0.99).all()
    known = drawn("slopes").predictive_check("group", n=100)
    assert known.replicates.std(axis=1).mean() < check.replicates.std(axis=1).mean()


def test_sensitivity_by_power_scaling_is_that_of_conjugate_normals():
    """With prior N(0, 1) and likelihood N(m, s^2) both powers shift the mean as conjugacy says."""
    rng, r = np.random.default_rng(2), 20_000
    weights = np.full(r, -np.log(r))
    rows = {}
    for name, m, s in [("strong", 0.2, 3.0), ("conflict", 3.0, 0.8), ("silent", 0.2, 0.05)]:
        precision = 1.0 + s**-2
        x = rng.normal(m * s**-2 / precision, precision**-0.5, r)
        prior, likelihood = stats.norm.logpdf(x), stats.norm.logpdf(m, x, s)
        rows[name] = sensitivity(pd.DataFrame({"x": x}), weights, prior, likelihood).loc["x"]
    assert rows["strong"]["diagnosis"] == STRONG
    assert rows["conflict"]["diagnosis"] == CONFLICT
    assert rows["silent"]["diagnosis"] == ""
    assert rows["silent"]["likelihood"] > 0.05 > rows["silent"]["prior"]


def test_distance_of_distributions():
    x, p = np.arange(5.0), np.full(5, 0.2)
    q = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
    assert distance(x, p, p) == 0.0
    assert 0.0 < distance(x, p, q) == distance(x, q, p) <= 1.0


def test_bambi_text_has_every_prior_and_refuses_what_bambi_has_not():
    text = drawn("apart").to_bambi()
    ast.parse(text)
    for part in ["'y ~ 1 + x + (1 | g) + (0 + x | g)'", "'x|g': bmb.Prior", "center_predictors=False",
                 '"sigma": bmb.Prior("HalfStudentT", nu=3.0, sigma=2.5)']:  # fmt: skip
        assert part in text
    with pytest.raises(FitError, match=r"#702.*\(1 \+ x \|\| g\)"):
        drawn("slopes").to_bambi()
    with pytest.raises(FitError, match="weights"):
        drawn("slopes", "w").to_brms()


def test_brms_text_has_every_prior():
    text = drawn("slopes").to_brms()
    sd = 'set_prior("student_t(3, 0, 2.5)", class = "sd", group = "g", coef = "x")'
    cor, formula = 'class = "cor", group = "g"', "bf(y ~ 0 + Intercept + x + (1 + x | g))"
    for part in (formula, sd, cor, 'class = "sigma"'):
        assert part in text


def test_it_prints_no_digit_that_its_monte_carlo_error_does_not_support():
    printed = str(drawn("slopes"))
    assert "half_student_t(3, 0, 2.5)" in printed
    row = drawn("slopes").table.loc["x"]
    assert f"{row['mean']:.3f}" not in printed
    assert "<table>" in drawn("slopes")._repr_html_()  # pyright: ignore[reportPrivateUsage]
    assert drawn("slopes").to_dict()["k_hat"] == drawn("slopes").k_hat


def test_equal_seeds_give_equal_draws_and_summaries():
    fit = lmmkit.lmm(ROWS["crossed"], table())
    one, two = (lmmkit.posterior(fit, draws=400, seed=8, workers=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one.table, two.table, check_exact=True)


@pytest.mark.parametrize("residual", ["ident(f)", "cs(h | g)"])
def test_densities_of_levels_under_a_residual_structure_are_those_of_their_covariance_matrix(residual):
    formula = "y ~ x + (1 | g)" if residual == "ident(f)" else "y ~ x"
    fit = lmmkit.lmm(formula, table(), residual=residual)
    found = lmmkit.posterior(fit, draws=600, seed=4)
    at, codes = found.densities(), pd.factorize(table()["g"], sort=True)[0]
    inside = list(range(len(fit.estimates.random)))
    joint = next(at.levels(codes, inside))[:, 0]
    each = next(at.rows_within(codes, inside))
    rows, arrays = np.flatnonzero(codes == 0), fit.estimates.problem.residual
    for draw in (0, 5):
        R = np.diag(arrays.sds(found.rho[draw])[rows] ** 2) if inside else arrays.block(found.rho[draw], rows)
        S = found.sigma[draw] ** 2 * R
        S = S + found.draws_frame()["g.sd.Intercept"][draw] ** 2 if inside else S
        mean = fit.estimates.X[rows] @ found.draws.beta[draw]
        y = table()["y"].to_numpy()[rows]
        density = stats.multivariate_normal(mean, S).logpdf(y)
        assert joint[draw] == pytest.approx(density)
        others = stats.multivariate_normal(mean[1:], S[1:, 1:]).logpdf(y[1:])
        assert each[draw, 0] == pytest.approx(density - others)


def test_arviz_is_asked_for_by_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setattr("lmmkit.model.posterior.to_arviz.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'lmmkit\[arviz\]'"):
        drawn("apart").to_arviz()
