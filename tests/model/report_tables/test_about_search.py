"""Which algorithms are tried, and how far a surface of the deviance reaches."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lmmkit import FitError, lmm
from lmmkit.model.report_tables import about_search

SMALL = ["newton", "pls", "direct"]


@cache
def fitted(formula, *options):
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(8), 6), np.tile(np.arange(6.0), 8)
    y = x + 0.5 * rng.normal(size=8)[g] + 0.2 * rng.normal(size=8)[g] * x + rng.normal(size=48)
    data = pd.DataFrame({"y": y, "x": x, "g": [f"g{i}" for i in g], "h": list("uvw") * 16})
    return lmm(formula, data, **dict(options))


def test_a_surface_is_symmetric_about_the_optimum_and_ends_at_a_standard_deviation_of_zero() -> None:
    fit = fitted("y ~ x + (x | g)")
    theta = fit.theta.to_dict()
    names = list(theta)
    surface = about_search.deviance_surface(fit.estimates, names[0], names[1], points=3)
    for name in names[:2]:
        value, reach = theta[name], max(abs(theta[name]), 0.5)
        low = value - reach
        if name in about_search.surface_pair(fit):  # a standard deviation
            low = max(low, 0.0)
        assert sorted(set(surface[name])) == pytest.approx(np.linspace(low, value + reach, 3).tolist())
    assert theta[names[1]] - 0.5 < 0.0  # a covariance may be negative
    assert surface["above"].tolist() == pytest.approx((surface["deviance"] - fit.deviance).tolist())
    with pytest.raises(FitError, match=r"^theta has no entry 'g\.z'; it has g\.Intercept, .*\.$"):
        about_search.deviance_surface(fit.estimates, "g.z", names[0])


@pytest.mark.parametrize(
    ("formula", "options", "pair"),
    [
        ("y ~ x + (x | g)", (), ["g.Intercept", "g.x"]),
        ("y ~ x + (x || g)", (), ["g.Intercept", "g.x"]),
        ("y ~ x + (1 | g)", (), []),
        ("y ~ x + (x || g) + (1 | h)", (), ["g.Intercept", "h.Intercept"]),
        ("y ~ x + (x | g) + (1 | h)", (), []),
        ("y ~ x + (1 | g) + (1 | h)", (("residual", "ident(h)"),), []),
    ],
)
def test_two_standard_deviations_of_a_small_model_have_a_surface(formula, options, pair) -> None:
    found = about_search.surface_pair(fitted(formula, *options))
    assert [name.split(".")[0] for name in found] == [name.split(".")[0] for name in pair]
    assert [name.rsplit(".")[-1] for name in found] == [name.rsplit(".")[-1] for name in pair]


@pytest.mark.parametrize(("limit", "able"), [(48, True), (47, False)])
def test_on_many_rows_there_is_no_surface_and_no_small_steps(monkeypatch, limit, able) -> None:
    monkeypatch.setattr(about_search, "MANY_ROWS", limit)
    fit = fitted("y ~ x + (x | g)")
    assert bool(about_search.surface_pair(fit)) == able
    assert (about_search.affordable_algorithms(fit) != SMALL) == able


@pytest.mark.parametrize(
    ("formula", "options", "few"),
    [
        ("y ~ x + (x | g) + (1 | h)", (), False),
        ("y ~ x + cs(0 + h | g)", (), True),
        ("y ~ x + (1 | g)", (("residual", "ident(h)"),), True),
    ],
)
def test_small_steps_are_tried_where_an_algorithm_has_them(formula, options, few) -> None:
    assert (about_search.affordable_algorithms(fitted(formula, *options)) == SMALL) == few


def test_a_step_is_above_the_final_deviance_beyond_its_rounding() -> None:
    """Of a deviance of 8 the rounding is 16e-16."""
    trace = pd.DataFrame(
        {"deviance": [12.0, 8.0 + 4e-15, 8.0], "theta": 0, "rho": 0, "decrement": [4.0, 1.0, 0.0]}
    )
    path = about_search.search_path(SimpleNamespace(trace=trace, deviance=8.0))
    assert path.columns.tolist() == ["deviance", "decrement", "iteration", "excess"]
    assert path["iteration"].tolist() == [0, 1, 2]
    assert path["excess"].tolist()[:2] == [4.0, pytest.approx(4e-15, rel=0.2)]
    assert np.isnan(path["excess"].iloc[2])
    (gain,) = (table.facts for table in about_search.TABLES if table.name == "path")
    assert gain(path) == {"gain": 4.0, "steps": 2}
