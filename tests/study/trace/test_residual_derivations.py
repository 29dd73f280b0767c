"""Where the numbers of a fit with a residual structure come from: recomputed by the referee, R in full."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.model.tables import parameter_names, parameters, residual_names
from lmmkit.study.records.values import RECOMPUTED, agree
from lmmkit.study.trace.derivations import Origin


def trial() -> pd.DataFrame:
    draw = np.random.default_rng(12)
    root = np.array([[2.0, 0, 0], [1.1, 1.6, 0], [0.9, 0.8, 1.2]])
    y = (draw.standard_normal((20, 3)) @ root.T).ravel() + np.tile([3.0, 4.0, 4.5], 20)
    frame = pd.DataFrame(
        {
            "y": y,
            "visit": np.tile([1, 2, 4], 20),
            "id": np.repeat(np.arange(20), 3),
            "w": draw.uniform(1, 3, 60),
        }
    )
    frame["arm"] = np.where(frame["id"] % 2, "drug", "placebo")
    return frame.drop(index=[5, 17, 40])


@pytest.mark.parametrize(
    "residual", ["un(visit | id)", "ar1h(visit | id)", "ident(arm) * cs(visit | id, by=arm)"]
)
@pytest.mark.parametrize("weights", [None, "w"])
def test_every_derivation_gives_the_number_of_the_fit(residual: str, weights: str | None) -> None:
    fit = lmmkit.lmm("y ~ arm + visit", trial(), residual=residual, weights=weights)
    e, made = fit.estimates, Origin(fit.estimates).derivations
    known = dict(zip(parameter_names(e), parameters(e), strict=True))
    known |= {"sigma": fit.sigma, "deviance": fit.deviance, "aic": fit.aic, "bic": fit.bic}
    known |= {f"{name}.se": se for name, se in fit.bse.items()}
    for name, value in known.items():
        assert made[name].value is not None
        assert agree(made[name].value, float(value), RECOMPUTED), name


def test_a_process_in_time_or_space_is_told_by_its_correlation_at_a_distance() -> None:
    fit = lmmkit.lmm("y ~ arm", trial(), residual="car1(visit | id)")
    made = Origin(fit.estimates).derivations[residual_names(fit.estimates)[0]]
    assert made.formula.startswith("R of car1(visit | id), ")
    assert "R_ij = g_i g_j (1 - nugget) exp(-h_ij / range) at a distance h_ij, R_ii = g_i^2; " in made.formula
    assert made.formula.endswith(
        "or the ratio of a level to the first; rho = exp(-1 / range), one unit apart"
    )


def test_a_parameter_of_the_structure_shows_the_covariance_matrix_that_it_is_read_off() -> None:
    fit = lmmkit.lmm("y ~ arm", trial(), residual="un(visit | id)")
    made = Origin(fit.estimates).derivations["cor.1.4"]
    R = made.parts["R"]
    assert isinstance(R, pd.DataFrame)
    assert list(R.columns) == ["1", "2", "4"]
    expected = R.loc["1", "4"] / np.sqrt(R.loc["1", "1"] * R.loc["4", "4"])
    assert made.value == pytest.approx(expected, rel=1e-12)
    assert "every correlation between two visits free" in made.formula
    words = "Ratios are √R_tt / σ, correlations R_st / √(R_ss R_tt); rho is one of unit distance"
    assert made.formula.endswith(words)
