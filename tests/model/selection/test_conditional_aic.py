"""The conditional AIC by its definition: the trace of d fitted / d y, by differences of whole fits."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reference.cases import table

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.selection.caic4 import caic4
from lmmkit.model.selection.candidates import Candidates
from lmmkit.model.selection.conditional_aic import conditional_aic

FOLDER = Path(__file__).parents[2] / "reference" / "selection"


def small():
    draw = np.random.default_rng(8)
    s, i = (part.ravel() for part in np.meshgrid(np.arange(4), np.arange(5), indexing="ij"))
    frame = pd.DataFrame({"s": s, "i": i, "a": (s + i) % 2 - 0.5, "t": draw.integers(0, 5, 20)})
    frame["w"] = draw.uniform(0.5, 2, 20)
    return frame.assign(y=draw.normal(size=4)[s] * 2 + draw.normal(size=5)[i] + draw.normal(size=20))


def by_differences(fit, y, step=1e-3):
    def fitted(row, by):
        moved = y.copy()
        moved[row] += by
        return fit.refit(moved).fittedvalues.to_numpy()[row]

    return sum((fitted(i, step) - fitted(i, -step)) / (2 * step) for i in range(len(y)))


RELATED = pd.DataFrame(np.eye(5) + 0.4, index=range(5), columns=range(5))


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ a + (a | s) + (1 | i)", {}),  # singular, on a face of the cone
        ("y ~ a + (1 | s) + (1 | i)", {"reml": False, "weights": "w"}),
        ("y ~ a + (1 | s) + (1 | mm(i, t))", {}),
        ("y ~ a + (1 | i)", {"known": {"i": RELATED}}),
    ],
)
def test_effective_degrees_of_freedom_are_the_trace_of_the_derivative(formula, options):
    fit = lmmkit.lmm(formula, small(), **options)
    found = conditional_aic(fit.estimates)
    assert found.df - 1.0 == pytest.approx(by_differences(fit, small()["y"].to_numpy()), abs=2e-5)
    assert found.value == pytest.approx(-2.0 * found.llf + 2.0 * found.df)


KNOWN = [
    (study, one["formula"], way, one[way]["cAIC"])
    for study in ("sleepstudy", "machines")
    for one in json.loads((FOLDER / f"{study}.json").read_text(encoding="utf-8"))["candidates"]
    for way in ("REML", "ML")
    if "cAIC" in one[way]
]
TABLES = {"sleepstudy": "sleepstudy.csv", "machines": "Machines.csv"}


@functools.cache
def known_table(study):
    return pd.read_csv(FOLDER.parent / "data" / TABLES[study])


@pytest.mark.parametrize(("study", "formula", "way", "theirs"), KNOWN)
def test_caic4_is_reproduced_with_its_two_departures(study, formula, way, theirs):
    estimates = lmmkit.lmm(formula, known_table(study), reml=way == "REML").estimates
    found, own = caic4(estimates), conditional_aic(estimates)
    assert found is not None
    assert found.llf == pytest.approx(theirs["cond_logLik"], abs=1e-5)
    assert found.df == pytest.approx(theirs["df"], abs=1e-5)
    assert found.value == pytest.approx(theirs["caic"], abs=2e-5)
    assert own.llf == pytest.approx(found.llf)
    assert 0.004 < found.df - own.df < 0.13


def test_caic4_of_one_model_depends_on_how_its_columns_are_written():
    fits = [
        lmmkit.lmm(f"score ~ Machine + ({part} + Machine | Worker)", known_table("machines")).estimates
        for part in (0, 1)
    ]
    assert fits[0].deviance == pytest.approx(fits[1].deviance)
    assert conditional_aic(fits[0]).df == pytest.approx(conditional_aic(fits[1]).df)
    assert caic4(fits[0]).df - caic4(fits[1]).df > 0.04


def test_caic4_leaves_columns_without_variance_out_and_fits_again():
    whole, less = (lmmkit.lmm(f"y ~ a + ({part} | s) + (1 | i)", small()) for part in ("a", "1"))
    assert whole.is_singular
    assert caic4(whole.estimates) == pytest.approx(caic4(less.estimates), abs=1e-6)
    assert conditional_aic(whole.estimates).df > conditional_aic(less.estimates).df + 0.5


def test_caic4_without_any_variance_counts_the_fixed_effects_alone():
    zero = lmmkit.lmm("y ~ t + (1 | a)", small()).estimates
    assert zero.factors[0].item() == 0.0
    assert caic4(zero).df == 2.0


def test_caic4_without_random_effects_is_the_aic_of_maximum_likelihood():
    base = parse_formula("Reaction ~ Days + (1 | Subject)")
    fits = Candidates(base, known_table("sleepstudy"), reml=True, options={}, conditional=True)
    fits.of(base)
    alone = fits.of(replace(base, random=()))
    assert (alone.measures["caic4"], alone.measures["caic4_df"]) == (pytest.approx(1906.2930563563636), 3.0)


def test_caic4_under_weights_takes_the_residuals_as_they_are():
    frame = small()
    fit = lmmkit.lmm("y ~ a + (1 | s)", frame, weights="w", reml=False)
    Z, w, y = (
        (frame["s"].to_numpy()[:, None] == np.arange(4)).astype(float),
        frame["w"],
        frame["y"].to_numpy(),
    )
    X, R, n = np.column_stack([np.ones(20), frame["a"]]), np.diag(1.0 / w), len(frame)
    V = np.linalg.inv(R + fit.estimates.factors[0].item() ** 2 * Z @ Z.T)
    P = V - V @ X @ np.linalg.solve(X.T @ V @ X, X.T @ V)
    e, W = R @ P @ y, Z @ Z.T
    r2, q = y @ e, e @ W @ e
    B = e @ W @ P @ W @ e - q**2 / (2 * r2) - r2 / (2 * n) * np.trace(W @ V @ W @ V)
    moved = (e @ W @ P - q * e / (2 * r2)) @ R @ P @ W @ e
    assert caic4(fit.estimates).df == pytest.approx(n - np.trace(R @ P) + moved / B + 1, abs=1e-9)


def test_the_two_ways_to_caic4_agree():
    """Weights of one, up to rounding, go by the filled matrices."""
    frame = small().assign(w=np.where(np.arange(20) == 0, 1 + 1e-10, 1.0))
    for reml in (True, False):
        plain, other = (
            lmmkit.lmm("y ~ a + (a | t) + (1 | i)", frame, reml=reml, weights=weights).estimates
            for weights in (None, "w")
        )
        assert caic4(plain) == pytest.approx(caic4(other), abs=1e-6)


@pytest.mark.parametrize("formula", ["y ~ a + (1 | mm(i, t))", "y ~ a + cs(1 + a | s)"])
def test_what_caic4_has_not_is_left_open(formula):
    assert caic4(lmmkit.lmm(formula, small()).estimates) is None


def test_it_is_refused_beside_a_residual_structure():
    fit = lmmkit.lmm("Reaction ~ Days + (1 | Subject)", table("sleep_full"), residual="ar1(Days | Subject)")
    with pytest.raises(FitError, match="residual structure"):
        conditional_aic(fit.estimates)
