"""What a mixed model does when its data are rescaled, shifted, permuted or rewritten."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmmkit
from lmmkit.engine.referee import henderson
from lmmkit.engine.referee.textbook import to_dense, write_out

FORMULAS = [
    "y ~ x + z + (1 | g)",
    "y ~ x + z + (x | g)",
    "y ~ x + z + (x || g) + (1 | h)",
    "y ~ x + z + (1 | g) + (z | h)",
    "y ~ x + z + (1 | g/k)",
]
seeds = st.integers(0, 10_000)
both = st.booleans()
checked = settings(max_examples=6)


def of_every_formula(test):
    """Each formula with some random tables."""
    return pytest.mark.parametrize("formula", FORMULAS)(settings(max_examples=2)(test))


def frame_of(seed):
    """A random table with two crossed factors and a nested one."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 160))
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.uniform(-1, 3, n)})
    frame["g"], frame["h"] = rng.integers(0, 9, n), rng.integers(0, 6, n)
    frame["k"] = rng.integers(0, 2, n)
    b, c = rng.normal(size=(9, 2)), rng.normal(size=6)
    noise = rng.normal(size=n)
    frame["y"] = 1 + frame.x - frame.z + b[frame.g, 0] + 0.7 * b[frame.g, 1] * frame.x + c[frame.h] + noise
    return frame, rng


def assert_same_deviance(one, other, shift=0.0):
    assert other.deviance == pytest.approx(one.deviance + shift, abs=1e-7)


def spread(fit):
    """Standard deviations of all terms and of the residuals."""
    return fit.varcorr.sdcor[fit.varcorr.var2.isna()].to_numpy()


@of_every_formula
@given(seed=seeds, reml=both, power=st.floats(-8, 8))
def test_rescaling_the_response_rescales_the_estimates(seed, formula, reml, power):
    frame, _ = frame_of(seed)
    factor = 10.0**power
    one = lmmkit.lmm(formula, frame, reml=reml)
    two = lmmkit.lmm(formula, frame.assign(y=frame.y * factor), reml=reml)
    free = one.nobs - reml * len(one.params)
    assert_same_deviance(one, two, 2 * free * np.log(factor))
    np.testing.assert_allclose(two.params / factor, one.params, atol=1e-6 * one.sigma)
    np.testing.assert_allclose(spread(two) / factor, spread(one), atol=1e-5 * one.sigma)


@of_every_formula
@given(seed=seeds, reml=both)
def test_shifting_the_response_by_the_fixed_effects_shifts_them_alone(seed, formula, reml):
    frame, rng = frame_of(seed)
    c = rng.normal(size=3) * 10
    shifted = frame.assign(y=frame.y + c[0] + c[1] * frame.x + c[2] * frame.z)
    one, two = lmmkit.lmm(formula, frame, reml=reml), lmmkit.lmm(formula, shifted, reml=reml)
    assert_same_deviance(one, two)
    np.testing.assert_allclose(two.params - c, one.params, atol=1e-6 * one.sigma)
    np.testing.assert_allclose(spread(two), spread(one), atol=1e-5 * one.sigma)


@of_every_formula
@given(seed=seeds, reml=both)
def test_order_of_rows_and_names_of_groups_do_not_matter(seed, formula, reml):
    frame, rng = frame_of(seed)
    names = rng.permutation(9)
    shuffled = frame.assign(g=names[frame.g]).sample(frac=1.0, random_state=seed)
    one, two = lmmkit.lmm(formula, frame, reml=reml), lmmkit.lmm(formula, shuffled, reml=reml)
    assert_same_deviance(one, two)
    np.testing.assert_allclose(two.params, one.params, atol=1e-6 * one.sigma)
    effects = two.ranef["g"].loc[[str(name) for name in names[np.unique(frame.g)]]]
    np.testing.assert_allclose(effects, one.ranef["g"], atol=1e-5 * one.sigma)


@checked
@given(seeds, both)
def test_basis_of_the_fixed_effects_does_not_matter(seed, reml):
    frame, rng = frame_of(seed)
    T = rng.normal(size=(2, 2)) + 2 * np.eye(2)
    turned = frame.assign(
        u=T[0, 0] * frame.x + T[1, 0] * frame.z + 5, v=T[0, 1] * frame.x + T[1, 1] * frame.z - 3
    )
    one = lmmkit.lmm("y ~ x + z + (x | g) + (1 | h)", frame, reml=reml)
    two = lmmkit.lmm("y ~ u + v + (x | g) + (1 | h)", turned, reml=reml)
    shift = 2 * np.log(abs(np.linalg.det(T))) if reml else 0.0  # log|T'X'V^-1X T|
    assert_same_deviance(one, two, shift)
    np.testing.assert_allclose(two.fittedvalues, one.fittedvalues, atol=1e-5 * one.sigma)


@checked
@given(seeds, both, st.floats(-50, 50))
def test_centre_of_a_slope_with_an_intercept_does_not_matter(seed, reml, centre):
    frame, _ = frame_of(seed)
    one = lmmkit.lmm("y ~ x + (x | g)", frame, reml=reml)
    two = lmmkit.lmm("y ~ x + (x | g)", frame.assign(x=frame.x - centre), reml=reml)
    assert_same_deviance(one, two)
    np.testing.assert_allclose(two.fittedvalues, one.fittedvalues, atol=1e-4 * one.sigma)


@checked
@given(seeds, both)
def test_order_of_the_terms_does_not_matter(seed, reml):
    frame, _ = frame_of(seed)
    one = lmmkit.lmm("y ~ x + z + (x | g) + (z | h) + (1 | g:k)", frame, reml=reml)
    two = lmmkit.lmm("y ~ z + x + (1 | g:k) + (z | h) + (x | g)", frame, reml=reml)
    assert_same_deviance(one, two)
    assert set(one.theta.index) == set(two.theta.index)
    np.testing.assert_allclose(two.params[one.params.index], one.params, atol=1e-6 * one.sigma)


@of_every_formula
@given(seed=seeds, reml=both, power=st.floats(-6, 6))
def test_one_weight_for_all_changes_sigma_alone(seed, formula, reml, power):
    frame, _ = frame_of(seed)
    weight = 10.0**power
    one = lmmkit.lmm(formula, frame, reml=reml)
    two = lmmkit.lmm(formula, frame.assign(w=weight), reml=reml, weights="w")
    assert_same_deviance(one, two)
    assert two.sigma**2 / weight == pytest.approx(one.scale, rel=1e-6)
    np.testing.assert_allclose(spread(two)[:-1], spread(one)[:-1], atol=1e-5 * one.sigma)
    np.testing.assert_allclose(two.params, one.params, atol=1e-6 * one.sigma)


@of_every_formula
@given(seed=seeds)
def test_whole_weights_of_n_count_as_means_of_n_rows_in_the_fixed_effects(seed, formula):
    frame, _ = frame_of(seed)
    one = lmmkit.lmm(formula, frame.assign(o=2.5), offset="o")
    two = lmmkit.lmm(formula, frame.assign(y=frame.y - 2.5))
    assert_same_deviance(one, two)
    np.testing.assert_allclose(two.params, one.params, atol=1e-8)


@of_every_formula
@given(seed=seeds, reml=both)
def test_criterion_is_minus_twice_the_log_density(seed, formula, reml):
    frame, rng = frame_of(seed)
    frame["w"] = rng.uniform(0.2, 5.0, len(frame))
    e = lmmkit.lmm(formula, frame, reml=reml, weights="w").estimates
    model = to_dense(write_out(e.problem, e.kept, e.factors, e.sigma))
    likelihood = henderson.restricted_log_likelihood if reml else henderson.log_likelihood
    assert e.deviance == pytest.approx(-2 * likelihood(model), abs=1e-8)
    if not reml:
        r = model.y - model.X @ e.beta
        V = henderson.marginal_covariance(model)
        density = -0.5 * (len(r) * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r))
        assert e.deviance == pytest.approx(-2 * density, abs=1e-8)


@of_every_formula
@given(seed=seeds, reml=both)
def test_no_covariance_nearby_has_a_lower_deviance(seed, formula, reml):
    frame, rng = frame_of(seed)
    e = lmmkit.lmm(formula, frame, reml=reml).estimates
    likelihood = henderson.restricted_log_likelihood if reml else henderson.log_likelihood
    for size in (0.3, 0.03, 0.003):
        moved = tuple(L + size * np.tril(rng.normal(size=L.shape)) for L in e.factors)
        sigma = e.sigma * np.exp(size * rng.normal())
        model = to_dense(write_out(e.problem, e.kept, moved, sigma))
        assert -2 * likelihood(model) >= e.deviance - 1e-9


@of_every_formula
@given(seed=seeds, reml=both)
def test_saved_fit_comes_back_exactly(tmp_path_factory, seed, formula, reml):
    fit = lmmkit.lmm(formula, frame_of(seed)[0], reml=reml)
    loaded = lmmkit.load(fit.save(tmp_path_factory.mktemp("saved") / "fit"))
    assert loaded.to_dict() == fit.to_dict()
    assert loaded.fittedvalues.equals(fit.fittedvalues)


@of_every_formula
@given(seed=seeds)
def test_formula_survives_its_own_spelling(seed, formula):
    frame, _ = frame_of(seed)
    one = lmmkit.lmm(formula, frame)
    assert lmmkit.lmm(one.formula, frame).deviance == one.deviance
