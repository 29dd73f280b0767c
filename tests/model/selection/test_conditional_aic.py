"""The conditional AIC by its definition: the trace of d fitted / d y, by differences of whole fits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reference.cases import table

import lmmkit
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.variance_tests import effective_parameters as engine
from lmmkit.errors import FitError
from lmmkit.model.selection.conditional_aic import conditional_aic

FOLDER = Path(__file__).parents[2] / "reference" / "selection"


def small():
    draw = np.random.default_rng(8)
    s, i = (part.ravel() for part in np.meshgrid(np.arange(4), np.arange(5), indexing="ij"))
    frame = pd.DataFrame({"s": s, "i": i, "a": (s + i) % 2 - 0.5, "t": draw.integers(0, 5, 20)})
    frame["w"] = draw.uniform(0.5, 2, 20)
    return frame.assign(y=draw.normal(size=4)[s] * 2 + draw.normal(size=5)[i] + draw.normal(size=20))


def by_differences(formula, frame, step=1e-3, **options):
    def fitted(row, by):
        moved = frame["y"].to_numpy().copy()
        moved[row] += by
        return lmmkit.lmm(formula, frame.assign(y=moved), **options).fittedvalues.to_numpy()[row]

    return sum((fitted(i, step) - fitted(i, -step)) / (2 * step) for i in range(len(frame)))


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
    found = conditional_aic(lmmkit.lmm(formula, small(), **options).estimates)
    assert found.df - 1.0 == pytest.approx(by_differences(formula, small(), **options), abs=2e-5)
    assert found.value == pytest.approx(-2.0 * found.llf + 2.0 * found.df)


@pytest.mark.parametrize("name", ["intercept", "uncorrelated", "full"])
@pytest.mark.parametrize("way", ["REML", "ML"])
def test_caic4_differs_by_half_of_one_term(name, way):
    """CAIC4's analytic cross-derivative has e / (2 y'e) where theorem 3 of Greven and Kneib has e / y'e."""
    known = json.loads((FOLDER / "sleepstudy.json").read_text(encoding="utf-8"))
    model = next(one for one in known["candidates"] if one["name"] == name)
    fit = lmmkit.lmm(model["formula"], table("sleep_full"), reml=way == "REML")
    found, theirs = conditional_aic(fit.estimates), model[way]["cAIC"]
    optimum = fit.estimates.optimum
    H, (_, GP) = engine._hessian(optimum), engine._squares(optimum)
    state, nu = optimum.state, optimum.criterion.nu
    term = 2.0 * nu / state.r2**2 * float(GP @ solved(H, state.information.q))
    assert found.llf == pytest.approx(theirs["cond_logLik"], abs=1e-5)
    assert found.df + 0.5 * term == pytest.approx(theirs["df"], abs=2e-5)
    assert found.df == pytest.approx(theirs["df"], abs=0.06)


def test_it_is_refused_beside_a_residual_structure():
    fit = lmmkit.lmm("Reaction ~ Days + (1 | Subject)", table("sleep_full"), residual="ar1(Days | Subject)")
    with pytest.raises(FitError, match="residual structure"):
        conditional_aic(fit.estimates)
