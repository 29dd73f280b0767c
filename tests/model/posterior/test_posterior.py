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
from lmmkit.model.posterior.power_scaling import CONFLICT, STRONG, diagnosis, distance, sensitivity
from lmmkit.model.posterior.weighted import trusted_text

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
    return pd.DataFrame({"y": y + rng.normal(size=48), "x": x, "w": rng.uniform(0.5, 2, 48), "t": h, **names})


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
    shifted = found.contrast("f[T.b] = 2")["mean"].iloc[0]
    assert shifted == pytest.approx(found.table.loc["f[T.b]", "mean"] - 2.0)


def test_regions_of_practical_equivalence():
    found = drawn("slopes")
    region = found.rope({"x": [-1, 2]}).loc["x"]
    frame = found.draws_frame()["x"].to_numpy()
    assert region["inside"] == pytest.approx(found.weights @ ((frame > -1) & (frame < 2)))
    assert region["below"] == pytest.approx(found.weights @ (frame < -1))
    assert region["above"] == pytest.approx(found.weights @ (frame > 2))
    for wrong, said in [
        ({"x": [1, 1]}, "second above the first"),
        ({"x": 3}, "two numbers"),
        ({"z": [0, 1]}, "the model has no z"),
    ]:
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
    found = drawn("slopes")
    rank = np.argsort(np.argsort(-found.effects[0][:, :, 0], axis=1), axis=1) + 1.0
    w, order = found.weights, np.argsort(rank, axis=0)
    np.testing.assert_allclose(own["mean"], w @ rank)
    np.testing.assert_allclose(own["first"], w @ (rank == 1.0))
    np.testing.assert_allclose(own["last"], w @ (rank == 8.0))
    for column, p in (("low", 0.025), ("median", 0.5), ("high", 0.975)):
        least = [rank[o[np.searchsorted(np.cumsum(w[o]), p)], i] for i, o in enumerate(order.T)]
        assert own[column].tolist() == least
    assert ((own["low"] <= own["median"]) & (own["median"] <= own["high"])).all()


@pytest.mark.parametrize("row", [3, 30])
def test_a_row_left_out_has_the_density_that_a_posterior_without_it_predicts(row):
    full = drawn("slopes")
    told, p = full.loo().parts.loc[row, "elpd"], full.loo().p
    assert 2.0 < p < 18.0
    rest = lmmkit.lmm(ROWS["slopes"], table().drop(row))
    without = lmmkit.posterior(rest, draws=3_000, seed=2)
    x, level = table().loc[row, "x"], list(rest.ranef["g"].index).index(table().loc[row, "g"])
    mean = without.draws.beta @ [1, x] + without.effects[0][:, level] @ [1, x]
    p = without.weights @ stats.norm.pdf(table().loc[row, "y"], mean, without.sigma)
    assert told == pytest.approx(np.log(p), abs=0.12)


def test_a_level_left_out_has_the_density_of_a_new_one():
    full = drawn("crossed")
    told = full.loo("marginal", "h").parts.loc["h2", "elpd"]
    assert full.loo("marginal").of == "g"
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


def test_sensitivity_is_the_distance_for_each_doubling_of_the_power():
    """Of ten draws, too few to smooth: the mean over the powers 0.99 and 1.01, on the scale of log2."""
    x, base = np.array([3.0, 0.0, -1.0, 7.0, 2.5, 4.0, 9.0, -2.0, 1.0, 0.5]), np.full(10, 0.1)
    components = {"prior": stats.norm.logpdf(x), "likelihood": stats.t.logpdf(x, 3, 4.0, 2.0)}
    told = sensitivity(pd.DataFrame({"x": x}), np.log(base), *components.values()).loc["x"]
    order = np.argsort(x)
    for name, component in components.items():
        each = []
        for power, doublings in ((0.99, 0.014499569695115089), (1.01, 0.014355292977070055)):
            w = np.exp((power - 1.0) * component)
            each.append(distance(x[order], base, (w / w.sum())[order]) / doublings)
        assert told[name] == pytest.approx(np.mean(each))
        assert told[name] > 0.0


def test_distance_of_distributions():
    x, p = np.arange(5.0), np.full(5, 0.2)
    q = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
    assert distance(x, p, p) == 0.0
    assert 0.0 < distance(x, p, q) == distance(x, q, p) <= 1.0
    # From the left P and Q are (1/2, 1/2) and (0, 1/2) between the draws, from the right
    # (1/2, 1/2) and (1/2, 1).
    x, p, q = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.0, 0.5]), np.array([0.0, 0.5, 0.5])
    left = np.sqrt(0.5 / (0.5 + 2 * 1.0))
    right = np.sqrt((2 * 0.0 + 0.5 * np.log2(2 / 3) + np.log2(4 / 3)) / (2 * 1.0 + 1 * 1.5))
    assert distance(x, p, q) == pytest.approx(max(left, right))
    assert distance(-x[::-1], p[::-1], q[::-1]) == pytest.approx(max(left, right))


@pytest.mark.parametrize(
    ("prior", "likelihood", "said"),
    [(0.049, 0.9, ""), (0.05, 0.049, STRONG), (0.05, 0.05, CONFLICT), (0.9, 0.0, STRONG)],
)
def test_sensitivity_matters_from_a_twentieth_on(prior, likelihood, said):
    assert diagnosis(prior, likelihood) == said


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
    found = drawn("slopes")
    lines, row = str(found).splitlines(), found.table.loc["x"]
    assert lines[0].startswith("Posterior of y ~ 1 + x + (1 + x | g): 1,500 draws, worth ")
    assert lines[0].endswith(f"k-hat {found.k_hat:.2f}")
    assert lines[2] == "Means, standard deviations, 95 % intervals of equal tails"
    assert lines[-1].endswith(
        "has the digits that its Monte Carlo error, less than one of the last, supports."
    )
    own = next(line.split() for line in lines if line.split()[:1] == ["x"])
    pairs = (("mean", "mcse"), ("sd", "sd_mcse"), ("low", "low_mcse"), ("high", "high_mcse"))
    assert own[1:5] == [trusted_text(row[value], row[error]) for value, error in pairs]
    for name, each in found.table.iterrows():
        text = next(line.split() for line in lines if line.split()[:1] == [name])
        assert text[1:5] == [trusted_text(each[value], each[error]) for value, error in pairs]
    assert own[5:] == [f"{row['direction']:.2f}", f"{row['effective']:,.0f}", "flat"]
    sd = next(line.split() for line in lines if line.split()[:1] == ["g.sd.x"])
    assert sd[5:] == [f"{found.table.loc['g.sd.x', 'effective']:,.0f}", "half_student_t(3,", "0,", "2.5)"]
    assert "<table>" in found._repr_html_()  # pyright: ignore[reportPrivateUsage]
    told = found.to_dict()
    assert (told["k_hat"], told["trusted"], told["draws"]) == (found.k_hat, True, 1_500)
    assert told["how"] == f"importance sampling from proposal {found.draws.rounds}, the first one at the mode"


def test_the_flat_default_of_the_intercept_is_noted_and_no_other():
    notes = drawn("slopes").priors["note"]
    assert notes["Intercept"].startswith("brms has student_t(3, median y, scale)")
    assert (notes.drop("Intercept") == "").all()
    fit = lmmkit.lmm(ROWS["apart"], table())
    asked = lmmkit.posterior(fit, {"Intercept": "normal(0, 10)"}, draws=200, seed=1)
    assert asked.priors.loc["Intercept", "note"] == ""
    assert asked.priors["default"].tolist() == [False, *[True] * (len(asked.priors) - 1)]


def test_a_model_without_groups_has_a_marginal_share_and_no_correlation_effects_or_levels():
    found = lmmkit.posterior(lmmkit.lmm("y ~ x", table(), residual="ident(f)"), draws=100, seed=1)
    assert list(found.r2().index) == ["marginal"]
    assert (found.effects, len(found.ranef()), len(found.ranks())) == ((), 0, 0)
    with pytest.raises(FitError, match="share of random effects, and this model has none"):
        found.icc()
    assert len(found.loo().parts) == 48
    with pytest.raises(FitError, match=r"no groups to leave out; kind='conditional' leaves out rows"):
        found.loo("marginal")


def test_means_carry_the_offset_and_a_cell_without_data_has_none():
    frame = table().assign(o=100.0, k=lambda d: (d["h"] > "h3").astype(str))
    frame = frame[(frame["f"] == "a") | (frame["k"] == "False")]
    fit = lmmkit.lmm("y ~ f * k + (1 | g) + offset(o)", frame)
    found = lmmkit.posterior(fit, draws=200, seed=1)
    means, ours = fit.marginal_means("f", by="k"), found.marginal_means("f", by="k")
    np.testing.assert_array_equal(ours["mean"].isna(), means["mean"].isna())
    assert ours["mean"].isna().sum() == 1
    np.testing.assert_allclose(ours["mean"].dropna(), means["mean"].dropna(), atol=1.0)
    pairs = found.pairs("f", by="k")
    assert pairs.index.tolist() == ["a - b | False", "a - b | True"]
    assert pairs["mean"].isna().tolist() == [False, True]


def test_priors_and_likelihood_are_each_raised_to_their_own_power():
    found = drawn("slopes").sensitivity()
    assert found.loc["x", "prior"] < 0.02 < found.loc["x", "likelihood"]


def test_related_levels_leave_rows_out_and_are_not_left_out_themselves():
    names = [f"g{i}" for i in range(8)]
    kin = pd.DataFrame(0.5 * np.eye(8) + 0.5, names, names)
    fit = lmmkit.lmm("y ~ x + (1 | g) + (1 | h)", table(), known={"g": kin})
    found = lmmkit.posterior(fit, draws=100, seed=1)
    assert len(found.loo().parts) == 48
    with pytest.raises(FitError, match="Levels of g cannot be left out one by one"):
        found.loo("marginal", "g")


def test_residuals_correlated_across_levels_or_rows_are_refused_in_words():
    fit = lmmkit.lmm("y ~ x + (1 | f)", table(), residual="car1(t | g)")
    found = lmmkit.posterior(fit, draws=100, seed=1)
    with pytest.raises(FitError, match="Residuals are correlated across the levels of f"):
        found.loo("marginal", "f")
    with pytest.raises(FitError, match="waic takes them one by one; take loo"):
        found.waic()


def test_effects_of_too_many_levels_are_not_drawn(monkeypatch):
    monkeypatch.setattr("lmmkit.engine.posterior.group_effects.WORK", 1.0)
    with pytest.raises(FitError, match="so many levels that rows connect are not drawn"):
        lmmkit.posterior(lmmkit.lmm(ROWS["crossed"], table()), draws=100).ranef()


def test_equal_seeds_give_equal_draws_and_summaries():
    fit = lmmkit.lmm(ROWS["crossed"], table())
    one, two = (lmmkit.posterior(fit, draws=400, seed=8, workers=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one.table, two.table, check_exact=True)


@pytest.mark.parametrize("residual", ["ident(f)", "cs(h | g)", None])
def test_densities_of_levels_under_a_residual_structure_are_those_of_their_covariance_matrix(residual):
    formula = "y ~ x + offset(w)" if residual == "cs(h | g)" else "y ~ x + (1 | g) + offset(w)"
    fit = lmmkit.lmm(formula, table(), residual=residual, weights="w")
    found = lmmkit.posterior(fit, draws=100, seed=4)
    at, codes = found.densities(), pd.factorize(table()["g"], sort=True)[0]
    inside = list(range(len(fit.estimates.random)))
    joint = next(at.levels(codes, inside))[:, 0]
    each = next(at.rows_within(codes, inside))
    rows, arrays = np.flatnonzero(codes == 0), fit.estimates.problem.residual
    w = table()["w"].to_numpy()[rows]
    for draw in (0, 5):
        R = np.diag(arrays.sds(found.rho[draw])[rows] ** 2) if arrays and inside else np.eye(len(rows))
        R = (R if inside else arrays.block(found.rho[draw], rows)) / np.sqrt(np.outer(w, w))
        S = found.sigma[draw] ** 2 * R
        S = S + found.draws_frame()["g.sd.Intercept"][draw] ** 2 if inside else S
        mean = fit.estimates.X[rows] @ found.draws.beta[draw] + w  # the offset
        y = table()["y"].to_numpy()[rows]
        density = stats.multivariate_normal(mean, S).logpdf(y)
        assert joint[draw] == pytest.approx(density)
        if inside:
            given = stats.norm(mean + found.effects[0][draw, 0, 0], found.sigma[draw] * np.sqrt(np.diag(R)))
            assert next(at.rows())[draw, rows] == pytest.approx(given.logpdf(y))
        others = stats.multivariate_normal(mean[1:], S[1:, 1:]).logpdf(y[1:])
        assert each[draw, 0] == pytest.approx(density - others)


def test_arviz_is_asked_for_by_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setattr("lmmkit.model.posterior.to_arviz.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'lmmkit\[arviz\]'"):
        drawn("apart").to_arviz()


def test_regions_have_every_share_and_its_error():
    found, x = drawn("slopes"), drawn("slopes").draws_frame()["x"].to_numpy()
    inside = ((x > 1.5) & (x < 2.5)).astype(float)
    share = found.weights @ inside
    error = np.sqrt((found.weights**2) @ (inside - share) ** 2)
    below, above = found.weights @ (x < 1.5), found.weights @ (x > 2.5)
    row = found.rope({"x": (1.5, 2.5)})
    assert row.columns.tolist() == ["low", "high", "inside", "below", "above", "mcse"]
    assert row.loc["x"].tolist() == pytest.approx([1.5, 2.5, share, below, above, error])


@pytest.mark.parametrize(
    ("function", "kind"),
    [(lambda d: "x", "str"), (lambda d: {"a": d["x"][:3]}, "dict"), (lambda d: None, "NoneType")],
)
def test_a_function_that_gives_no_number_for_each_draw_is_refused_with_what_it_gave(function, kind):
    with pytest.raises(
        FitError, match=rf"of: the function gave {kind}; a number for each of the 1,500 draws is"
    ):
        drawn("slopes").of(function)


def test_what_is_no_function_is_refused_and_a_table_of_functions_is_summarised_by_column():
    with pytest.raises(FitError, match=r"of: a function of the draws is expected, not str\."):
        drawn("slopes").of("x")
    found = drawn("slopes").of(lambda d: d[["x", "g.sd.x"]], 0.8)
    pd.testing.assert_frame_equal(found, drawn("slopes").summary(0.8).loc[["x", "g.sd.x"]])


def test_effects_and_ranks_are_told_by_group_level_and_term():
    found, levels = drawn("crossed"), [*(f"g{i}" for i in range(8)), *(f"h{i}" for i in range(6))]
    for made in (found.ranef(), found.ranks()):
        assert made["level"].tolist() == levels
        assert made["group"].tolist() == ["g"] * 8 + ["h"] * 6
        assert set(made["term"]) == {"Intercept"}
    means = np.concatenate([found.weights @ b[:, :, 0] for b in found.effects])
    np.testing.assert_allclose(found.ranef()["mean"], means)
    rank = 1.0 + (found.effects[1][:, :, 0] > found.effects[1][:, [2], 0]).sum(axis=1)
    own, w = found.ranks().iloc[10], found.weights  # the third of h
    assert own["mcse"] == pytest.approx(np.sqrt(w**2 @ (rank - w @ rank) ** 2))


def test_a_posterior_is_told_in_plain_values_with_why_there_is_no_text_for_another_program():
    found = drawn("slopes")
    told, texts = found.to_dict(), found.other_programs()
    assert list(told) == [
        "formula",
        "draws",
        "seed",
        "effective",
        "k_hat",
        "trusted",
        "how",
        "priors",
        "table",
    ]
    assert (told["formula"], told["seed"]) == ("y ~ 1 + x + (1 + x | g)", 5)
    assert told["priors"]["x"] == "flat"
    assert list(texts) == ["bambi", "brms"]
    assert texts["bambi"].startswith("none: Bambi has no correlated random effects")
    assert texts["brms"] == found.to_brms()
    assert drawn("apart").other_programs()["bambi"] == drawn("apart").to_bambi()


def test_rows_and_levels_that_are_left_out_keep_their_names():
    found = drawn("crossed")
    rows, levels, of_h = found.loo(), found.loo("marginal"), found.waic("marginal", "h")
    assert sorted(rows.parts.index) == list(range(48))
    assert rows.parts.index.tolist() == np.argsort(table()["g"], kind="stable").tolist()
    assert levels.parts.index.tolist() == [f"g{i}" for i in range(8)]
    assert of_h.parts.index.tolist() == [f"h{i}" for i in range(6)]
    assert found.waic().parts.index.tolist() == list(range(48))
    assert [one.of for one in (rows, levels, of_h, found.waic())] == ["row", "g", "h", "row"]
    assert [one.method for one in (rows, of_h)] == ["loo", "waic"]
    # The level's rows one by one given the others are not all of them together.
    np.testing.assert_allclose(rows.parts["elpd"].sum(), rows.elpd)
    assert rows.p == pytest.approx(found.waic().parts["elpd"].sum() + found.waic().p - rows.elpd)
