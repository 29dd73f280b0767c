"""The posterior's density against fits, dense algebra and quadrature; its draws; what is refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import lmmkit
from lmmkit.engine.posterior.log_posterior import LogPosterior
from lmmkit.engine.posterior.pareto import threshold
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError
from lmmkit.model.posterior import drawing
from lmmkit.model.posterior.drawing import draw_posterior
from lmmkit.model.posterior.prior_words import model_priors
from lmmkit.model.tables import parameter_names, parameters

ROOT = Path(__file__).parents[3]


@cache
def table():
    rng = np.random.default_rng(12)
    g, t = np.repeat(np.arange(14), 8), np.tile(np.arange(8), 14)
    h, f = rng.integers(0, 5, len(g)), t % 3
    x = rng.normal(size=len(g)) + 1.0
    own = rng.normal(size=(14, 3)) @ np.array([[1.5, 0.3, 0.2], [0.0, 1.4, 0.3], [0.0, 0.0, 1.3]])
    noise = rng.normal(size=(14, 8))
    for step in range(1, 8):
        noise[:, step] = 0.5 * noise[:, step - 1] + np.sqrt(0.75) * noise[:, step]
    y = 3 + 0.5 * x + own[g, f] + 0.7 * rng.normal(size=14)[g] * x + 0.7 * rng.normal(size=14)[g]
    y += 0.8 * rng.normal(size=5)[h] + 0.6 * noise.ravel()
    frame = pd.DataFrame({"y": y, "x": x, "t": t + 1, "time": t + 0.3 * rng.random(len(g))})
    frame["w"], frame["v"] = rng.uniform(0.5, 2.0, len(g)), rng.uniform(1.0, 3.0, len(g))
    frame["s"] = [f"{i}.{j // 3}" for i, j in zip(g, t, strict=True)]
    frame["g"], frame["h"] = [f"g{i:02d}" for i in g], [f"h{i}" for i in h]
    frame["f"] = [f"f{i}" for i in f]
    return frame


MODELS = {
    "slopes": ("y ~ x + (x | g)", {}),
    "weights": ("y ~ x + (x | g)", {"weights": "w"}),
    "three": ("y ~ x + (0 + f | g)", {}),
    "apart": ("y ~ x + (x || g)", {}),
    "apart, weights": ("y ~ x + (x || g)", {"weights": "w"}),
    "crossed": ("y ~ f + (x | g) + (1 | h)", {}),
    "nested": ("y ~ 1 + (1 | g/f)", {}),
    "cs": ("y ~ x + cs(0 + f | g)", {}),
    "homcs": ("y ~ x + homcs(0 + f | g)", {}),
    "toep": ("y ~ x + toep(0 + f | g)", {}),
    "hetar1": ("y ~ x + hetar1(0 + f | g)", {}),
    "ou": ("y ~ x + ou(0 + pos(t) | g)", {}),
    "ar1 of residuals": ("y ~ x + (1 | g)", {"residual": "ar1(t | g)"}),
    "car1": ("y ~ x + (1 | h)", {"residual": "car1(time | g)"}),
    "un": ("y ~ x", {"residual": "un(f | s)"}),
    "cs of residuals": ("y ~ x", {"residual": "csh(t | g)"}),
    "power": ("y ~ x + (1 | g)", {"residual": "power(v)"}),
    "ident": ("y ~ x + (1 | g)", {"residual": "ident(f)"}),
}

INSIDE = [name for name in MODELS if name not in {"slopes", "weights", "ou"}]  # not estimated at a bound


@cache
def fitted(name):
    formula, options = MODELS[name]
    return lmmkit.lmm(formula, table(), **options)


@cache
def density(name, asked=()):
    e = fitted(name).estimates
    setup = set_up(e.problem, reml=True)
    known = model_priors(e, dict(asked), setup.prepared.term_bases)
    return LogPosterior(setup, known.parts, known.effects), drawing.start(e, known.parts)


def numbers(name, asked=()):
    """Points near the estimates, and what is drawn there."""
    at, phi = density(name, asked)
    points = phi[:, None] + np.random.default_rng(3).uniform(-0.4, 0.4, (len(phi), 9))
    return at, points, at.drawn(points, np.zeros((at.p, 9)))


@pytest.mark.parametrize("name", INSIDE)
def test_the_likelihood_at_the_estimates_is_that_of_the_fit(name):
    at, phi = density(name)
    here = at.drawn(phi[:, None], np.zeros((at.p, 1)))
    np.testing.assert_allclose(at.parts.natural(phi[:, None])[:, 0], parameters(fitted(name).estimates), 1e-8)
    marginal = here.log_posterior[0] - at.parts.log_density(phi[:, None])[0]
    assert -2.0 * marginal == pytest.approx(fitted(name).deviance, abs=1e-7)
    np.testing.assert_allclose(here.beta[0], fitted(name).params, rtol=1e-8)


@pytest.mark.parametrize(("name", "key"), [("three", "g.cor"), ("un", "Residual.cor")])
def test_lkj_of_three_columns_is_a_power_of_the_determinant(name, key):
    at, points, _ = numbers(name, ((key, "lkj(3)"),))
    flat = density(name, ((key, "lkj(1)"),))[0]
    correlations = ["cor." in each for each in parameter_names(fitted(name).estimates)]
    r21, r31, r32 = at.parts.natural(points)[correlations]
    determinant = 1 + 2 * r21 * r31 * r32 - r21**2 - r31**2 - r32**2
    more = at.parts.log_prior(points) - flat.parts.log_prior(points)
    np.testing.assert_allclose(
        more - 2.0 * np.log(determinant), more[0] - 2.0 * np.log(determinant[0]), atol=1e-9
    )


@cache
def balanced(spread):
    """Six groups of four, with means as far apart as is said."""
    rng = np.random.default_rng(4)
    y = 10 + spread * rng.normal(size=6).repeat(4) + rng.normal(size=24)
    frame = pd.DataFrame({"y": y, "g": np.repeat(list("abcdef"), 4)})
    return frame, lmmkit.lmm("y ~ 1 + (1 | g)", frame)


def exact(frame, scale):
    """Means of both SDs and the integral, for a balanced layout, by the two sums of squares."""
    means = frame.groupby("g").y.mean()
    between, within = (
        4 * ((means - means.mean()) ** 2).sum(),
        ((frame.y - means[frame.g].to_numpy()) ** 2).sum(),
    )
    t = scipy.stats.t(3, 0, scale)

    def density(log_s, log_e):
        s, e = np.exp(log_s), np.exp(log_e)
        total = e**2 + 4 * s**2
        log = -2.5 * np.log(total) - between / total / 2 - 18 * log_e - within / e**2 / 2
        return np.exp(log + t.logpdf(s) + t.logpdf(e) + log_s + log_e)

    x, wx = np.polynomial.legendre.leggauss(200)
    log_s, log_e = -10 + 8 * (x + 1), 1.5 * x
    p = density(log_s[:, None], log_e) * wx[:, None] * wx
    p /= p.sum()
    return log_s, log_e, p


@pytest.mark.parametrize("spread", [1.5, 0.0])
def test_a_balanced_layout_has_the_exact_posterior(spread):
    frame, fit = balanced(spread)
    assert fit.is_singular == (spread == 0.0)
    log_s, log_e, p = exact(frame, 2.5)
    e = fit.estimates
    setup = set_up(e.problem, reml=True)
    known = model_priors(e, None, setup.prepared.term_bases)
    grid = np.array(np.meshgrid(log_s, log_e, indexing="ij")).reshape(2, -1)[:, ::23]
    ours = LogPosterior(setup, known.parts, known.effects).drawn(grid, np.zeros((1, grid.shape[1])))
    wx = np.polynomial.legendre.leggauss(200)[1]
    theirs = np.log(np.maximum(p / wx[:, None] / wx, 1e-280)).ravel()[::23]
    near = theirs > theirs.max() - 20
    gap = (ours.log_posterior - theirs)[near]
    assert np.ptp(gap) < 1e-8  # the density itself, normalised
    mean = np.array([(p.sum(axis=1) @ np.exp(log_s)), p.sum(axis=0) @ np.exp(log_e)])
    draws, _ = draw_posterior(e, draws=4000, seed=2)
    found = draws.weights @ draws.natural
    errors = np.sqrt(draws.weights**2 @ (draws.natural - found) ** 2)
    assert (np.abs(found - mean) < 4 * errors).all()
    assert draws.trusted


def test_sleepstudy_has_the_known_posterior():
    frame = pd.read_csv(ROOT / "params/data/sleepstudy.csv")
    draws, _ = draw_posterior(lmmkit.lmm("Reaction ~ Days + (Days | Subject)", frame).estimates, seed=1)
    mean = draws.weights @ draws.natural
    sd = np.sqrt(draws.weights @ (draws.natural - mean) ** 2)
    known, spread = np.array([26.80, 0.089, 6.574, 25.91]), np.array([6.78, 0.299, 1.528, 1.54])
    np.testing.assert_allclose(mean, known, atol=0.06 * spread.max(), rtol=0.02)
    assert (np.abs(mean - known) < 0.07 * spread).all()
    np.testing.assert_allclose(sd, spread, rtol=0.06)
    assert draws.effective > 2500
    assert draws.k_hat < threshold(4000)


def test_repeated_runs_differ_by_what_the_effective_draws_say():
    e = balanced(1.5)[1].estimates
    runs = [draw_posterior(e, draws=400, seed=seed)[0] for seed in range(30)]
    means = np.array([d.weights @ d.natural for d in runs])
    errors = np.array(
        [np.sqrt(d.weights**2 @ (d.natural - m) ** 2) for d, m in zip(runs, means, strict=True)]
    )
    ratio = means.std(axis=0, ddof=1) / errors.mean(axis=0)
    assert ((ratio > 0.6) & (ratio < 1.5)).all()


def test_draws_are_those_of_their_seed_for_any_chunks_and_workers(monkeypatch):
    e = fitted("crossed").estimates
    first, _ = draw_posterior(e, draws=700, seed=9)
    monkeypatch.setattr("lmmkit.engine.posterior.log_posterior.CACHE", 2_000)
    second, _ = draw_posterior(e, draws=700, seed=9, workers=2)
    for field in ("phi", "beta", "log_weights", "log_likelihood", "log_prior"):
        assert getattr(first, field).tobytes() == getattr(second, field).tobytes()
    assert draw_posterior(e, draws=700, seed=10)[0].phi.tobytes() != first.phi.tobytes()


@given(st.floats(0.01, 100.0), st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_units_and_the_order_of_rows_are_no_matter(unit, order):
    frame = table().sample(frac=1, random_state=order)
    scaled = frame.assign(y=frame.y * unit)
    priors = {"sd": f"half_normal({2 * unit})", "sigma": f"half_normal({unit})"}
    first, _ = draw_posterior(
        fitted("slopes").estimates, {"sd": "half_normal(2)", "sigma": "half_normal(1)"}, 200, 1
    )
    second, _ = draw_posterior(lmmkit.lmm("y ~ x + (x | g)", scaled).estimates, priors, 200, 1)
    units = np.array([unit, 1.0, unit, unit])
    np.testing.assert_allclose(second.natural / units, first.natural, rtol=2e-3, atol=2e-3)


def test_a_flat_prior_needs_three_groups():
    frame = table()
    two = lmmkit.lmm("y ~ x + (1 | g)", frame[frame.g.isin(["g00", "g01"])]).estimates
    with pytest.raises(FitError, match=r"improper: under a flat prior of g\.sd\.Intercept"):
        draw_posterior(two, {"sd": "flat"}, 200)
    assert draw_posterior(two, draws=500)[0].trusted
    four = lmmkit.lmm("y ~ x + (1 | g)", frame[frame.g < "g04"]).estimates
    assert draw_posterior(four, {"sd": "flat", "sigma": "flat"}, 1000)[0].count == 1000


def test_flat_priors_that_only_together_leave_the_posterior_improper_are_refused():
    """Of three levels one is split, as a fixed effect is: both factors have the same two differences."""
    frame = table()[table().g < "g03"].assign(k=lambda d: np.where((d.g == "g01") & (d.t > 4), "b", "a"))
    estimates = lmmkit.lmm("y ~ k + (1 | g/k)", frame).estimates
    for one in ("g.sd", "k:g.sd"):
        draw_posterior(estimates, {one: "flat"}, 100)
    with pytest.raises(FitError, match=r"under a flat prior of k:g\.sd\.Intercept, g\.sd\.Intercept its"):
        draw_posterior(estimates, {"sd": "flat"}, 100)


@pytest.mark.parametrize(
    ("slopes", "together", "named"),
    [
        ((-1.0, -1.0, -1.0), -1.0, None),
        ((-1.0, -1.0, -1.0), -0.5e-3, "g.sd.a, g.range, sigma"),
        ((-1.0, -0.5e-3, -1.0), -1.0, "g.range"),
        ((-1.0, -1.0, 2.0), -1.0, "sigma"),
        ((-2e-3, -2e-3, -2e-3), -2e-3, None),
    ],
)
def test_what_runs_away_under_flat_priors_is_named(slopes, together, named):
    """The slope of the density where one of the three, or all of them, are far out."""
    flat = {0: slopes[0], 2: slopes[1], 4: slopes[2]}  # the places of what may run away

    def slope(far):
        assert set(far) == {0.0, 10.0}  # a factor of 22,000
        out = np.flatnonzero(far)
        found = np.zeros(5)
        found[out] = flat[out[0]] if len(out) == 1 else together / len(out)
        return 0.0, found

    known = [("sd", "g.sd.a", False), ("cor", "g.cor.a.b", False), ("range", "g.range", False),
             ("sd", "g.sd.b", True), ("sd", "sigma", False), ("beta", "x", False)]  # fmt: skip
    priors = [
        SimpleNamespace(kind=kind, parameter=name, prior=SimpleNamespace(proper=proper))
        for kind, name, proper in known
    ]
    asked = SimpleNamespace(slope=slope), np.zeros(5), SimpleNamespace(named=priors)
    if named is None:
        drawing._refuse_improper(*asked)
    else:
        with pytest.raises(FitError) as refused:
            drawing._refuse_improper(*asked)
        assert str(refused.value) == (
            f"The posterior is improper: under a flat prior of {named} its density does not fall fast "
            "enough for large values, because the data have too few levels to bound it (a standard deviation "
            "needs at least three). Give a proper prior, such as half_student_t(3, 0, scale)."
        )


@pytest.mark.parametrize(
    ("limits", "begins"),
    [
        ((1.0, 3.0), {0.0: 1.2, 1.0: 1.2, 1.1: 1.1, 2.9: 2.9, 3.0: 2.8, 9.0: 2.8}),
        ((0.0, np.inf), {0.5: 0.5, 9.0: 9.0}),
    ],
)
def test_a_standard_deviation_begins_inside_its_prior(limits, begins):
    prior = SimpleNamespace(limits=limits)
    assert {sd: drawing._allowed(prior, sd) for sd in begins} == pytest.approx(begins)


@pytest.mark.parametrize(("prior", "begin"), [("uniform(40, 50)", 41.0), ("uniform(0, 30)", 27.0)])
def test_a_search_begins_within_what_the_prior_allows_near_the_estimate(prior, begin):
    estimates = sleep().estimates
    assert 30 < estimates.factors[0][0, 0] * estimates.sigma < 40
    known = model_priors(
        estimates, {"Subject.sd": prior}, set_up(estimates.problem, reml=True).prepared.term_bases
    )
    phi = drawing.start(estimates, known.parts)
    assert known.parts.natural(phi[:, None])[0, 0] == pytest.approx(begin)


def test_a_search_begins_with_a_fifth_of_the_residual_sd_where_a_variance_is_zero():
    frame = table()
    flat = frame.assign(y=frame.t + np.where(frame.t % 2, 0.5, -0.5))  # all groups alike
    estimates = lmmkit.lmm("y ~ t + (t || g)", flat).estimates
    assert estimates.is_singular
    known = model_priors(estimates, None, set_up(estimates.problem, reml=True).prepared.term_bases)
    begin = known.parts.natural(drawing.start(estimates, known.parts)[:, None])[:, 0]
    rms = np.sqrt(np.mean(frame.t**2))
    np.testing.assert_allclose(begin / estimates.sigma, [0.2, 0.2 / rms, 1.0], rtol=1e-6)


def test_variances_that_are_held_or_follow_the_fitted_values_have_no_posterior():
    held = lmmkit.lmm("y ~ x + (1 | g)", table(), variances={"g": 1.0, "Residual": 1.0})
    with pytest.raises(FitError, match="variances of this fit are held, not estimated"):
        draw_posterior(held.estimates)
    following = lmmkit.lmm("y ~ x + (1 | g)", table().assign(y=table()["y"] + 20), residual="power(fitted)")
    with pytest.raises(FitError, match=r"power\(fitted\): .* no posterior\. Take power\(x\) or exp\(x\)"):
        draw_posterior(following.estimates)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"g.sd": "normal(0, 0)"}, "must be above 0"),
        ({"sd": "gama(1, 1)"}, "did you mean `gamma`"),
        ({"sd": "normal(1)"}, "has not the numbers"),
        ({"sd": "uniform(-1, 3)"}, "reaches below 0"),
        ({"g.cor": "normal(0, 1)"}, "is no prior of this parameter"),
        ({"g.sd.x": "lkj(1)"}, "is no prior of this parameter"),
        ({"g.sd.z": "normal(0, 1)"}, "no parameter `g.sd.z`"),
        ({"x": "gamma(1, 1)"}, "integrated out exactly"),
        (["sd"], "names of parameters with their priors"),
    ],
)
def test_priors_that_do_not_fit_are_refused_in_words(asked, words):
    with pytest.raises(FitError, match=words):
        draw_posterior(fitted("slopes").estimates, asked, 200)


def test_too_few_draws_are_refused():
    with pytest.raises(FitError, match="their own accuracy cannot be told"):
        draw_posterior(fitted("slopes").estimates, draws=50)


def test_draws_that_cannot_be_trusted_are_refused_without_a_sampler(monkeypatch):
    monkeypatch.setattr("lmmkit.model.posterior.no_u_turn.find_spec", lambda _: None)
    monkeypatch.setattr("lmmkit.engine.posterior.draws.threshold", lambda _: -np.inf)
    most = rf"after \d+ proposals, and {threshold(200):.2f} is the most that 200 draws bear\. Install nutpie"
    with pytest.raises(FitError, match=rf"cannot be trusted: k-hat is .* {most}"):
        draw_posterior(fitted("apart").estimates, draws=200)


def test_fewer_draws_of_a_large_model_are_quasi_random(monkeypatch):
    monkeypatch.setattr("lmmkit.engine.posterior.draws.WORK", 1e3)
    monkeypatch.setattr("lmmkit.engine.posterior.draws.FEWEST", 200)
    monkeypatch.setattr("lmmkit.engine.posterior.log_posterior.LARGEST_TABLE", 1)
    e = fitted("crossed").estimates
    draws, _ = draw_posterior(e, draws=4000, seed=1)
    assert (draws.count, draws.quasi) == (128, True)
    assert draws.phi.tobytes() == draw_posterior(e, draws=4000, seed=1, workers=2)[0].phi.tobytes()


@cache
def sleep():
    return lmmkit.lmm("Reaction ~ Days + (1 | Subject)", pd.read_csv(ROOT / "params/data/sleepstudy.csv"))


@pytest.mark.parametrize(
    ("priors", "name", "mean"),
    [  # by quadrature
        ({"sigma": "uniform(0, 31)"}, "Residual.sd", 29.7409),
        ({"Subject.sd": "uniform(0, 40)"}, "Subject.sd.Intercept", 34.4933),
    ],
)
def test_a_prior_may_end_below_the_estimate(priors, name, mean):
    row = lmmkit.posterior(sleep(), priors, seed=1).table.loc[name]
    assert abs(row["mean"] - mean) < 4 * row["mcse"]


def test_priors_that_end_far_from_the_estimate_leave_no_traceback():
    with np.errstate(invalid="raise"):
        found = lmmkit.posterior(sleep(), {"Subject.sd": "uniform(100, 101)"}, seed=1).table
    assert 100 < found.loc["Subject.sd.Intercept", "mean"] < 101


def test_draws_too_few_for_the_digits_asked_are_refused_with_how_many_would_do():
    with pytest.raises(FitError, match=r"digits=3: too few draws .* About [\d,]+ draws would do"):
        lmmkit.posterior(sleep(), digits=3, seed=1)
    lmmkit.posterior(sleep(), digits=1, seed=1)
    with pytest.raises(FitError, match="digits=0"):
        lmmkit.posterior(sleep(), digits=0)


@pytest.mark.parametrize("workers", [0, -1, "x"])
def test_threads_are_a_whole_number(workers):
    with pytest.raises(FitError, match="workers="):
        lmmkit.posterior(sleep(), workers=workers)


@pytest.mark.parametrize("seed", [10, 22])
def test_a_proposal_that_leaves_a_tail_gets_wider(seed):
    data = pd.read_csv(ROOT / "params/data/machines.csv")
    fit = lmmkit.lmm("score ~ Machine + (1 | Worker/Machine)", data)
    assert draw_posterior(fit.estimates, None, 4000, seed)[0].trusted


def test_a_prior_beyond_what_can_be_reckoned_is_refused():
    with pytest.raises(FitError, match="reckoned"):
        lmmkit.posterior(sleep(), {"Days": "normal(0, 1e-200)"})
