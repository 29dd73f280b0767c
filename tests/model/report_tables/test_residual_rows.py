"""Tables about residuals that fade and variances that follow a number, by their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.model.means.focus import find_focus
from lmmkit.model.report_tables import about_visits, residuals


def rats(seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rat, n = np.repeat(np.arange(20), 6), 120
    day = np.concatenate([np.cumsum(rng.gamma(2.0, 1.0, 6)) for _ in range(20)]).round(2)
    dose = rng.uniform(0.5, 4.0, n).round(2)
    R = np.where(np.equal.outer(rat, rat), np.exp(-np.abs(np.subtract.outer(day, day)) / 2.0), 0.0)
    y = 3.0 + 0.2 * day + dose**0.5 * (np.linalg.cholesky(R) @ rng.standard_normal(n))
    return pd.DataFrame(
        {"y": y, "day": day, "dose": dose, "rat": rat.astype(str), "sex": np.where(rat % 2, "m", "f")}
    )


def fitted(residual: str, bar: str = "", **options: Any) -> lmmkit.Fit:
    return lmmkit.lmm(f"y ~ day{bar}", rats(), residual=residual, **options)


def test_the_variance_curve_is_the_function_at_means_of_slices() -> None:
    fit, frame = fitted("power(dose) * car1(day | rat)"), rats()
    curve = residuals.variance_curve(fit, slices=5)
    order = np.argsort(frame["dose"].to_numpy(), kind="stable")
    parts = np.array_split(order, 5)
    e = fit.resid.to_numpy()
    for row, part in zip(curve.to_dict("records"), parts, strict=True):
        value = frame["dose"].to_numpy()[part].mean()
        assert row["value"] == pytest.approx(value)
        assert row["rows"] == len(part)
        assert row["fitted"] == pytest.approx(fit.sigma * value ** fit.residual_params["power"])
        assert row["empirical"] == pytest.approx(np.sqrt(np.mean(e[part] ** 2)))
    assert residuals.followed(fit) == "dose"


def test_the_variogram_is_half_the_mean_square_of_differences() -> None:
    fit, frame = fitted("car1(day | rat)"), rats()
    table = residuals.variogram(fit, level=0.9, seed=1)
    r, day, rat = fit.residuals("normalised").to_numpy(), frame["day"].to_numpy(), frame["rat"].to_numpy()
    pairs = [(i, j) for i in range(120) for j in range(i) if rat[i] == rat[j]]
    assert table["pairs"].sum() == len(pairs)
    apart = np.array([abs(day[i] - day[j]) for i, j in pairs])
    half = np.array([0.5 * (r[i] - r[j]) ** 2 for i, j in pairs]) / np.mean(r**2)
    ends = np.cumsum(table["pairs"].to_numpy())
    order = np.argsort(apart, kind="stable")
    rng, noise = np.random.Generator(np.random.Philox(1)), []
    for _ in range(residuals.SIMULATED):
        z = rng.standard_normal(120)
        noise.append(np.array([0.5 * (z[i] - z[j]) ** 2 for i, j in pairs])[order] / np.mean(z**2))
    for start, end, row in zip([0, *ends], ends, table.to_dict("records"), strict=False):
        assert row["distance"] == pytest.approx(apart[order[start:end]].mean())
        assert row["semivariance"] == pytest.approx(half[order[start:end]].mean())
        assert row["low"] < 1.0 < row["high"]
        means = [own[start:end].mean() for own in noise]
        assert [row["low"], row["high"]] == pytest.approx(np.quantile(means, [0.05, 0.95]))
    pd.testing.assert_frame_equal(residuals.variogram(fit, level=0.9, seed=1), table)
    assert residuals.distances(fit) == ["day"]


def test_what_is_left_by_a_model_without_the_correlation_lies_below_the_band() -> None:
    """Independent residuals of such rows: those of near rows are alike."""
    without = fitted("expsp(day | rat, nugget=TRUE)")
    assert len(residuals.variogram(without, level=0.95, seed=1)) == residuals.DISTANCES
    first = residuals.variogram(fitted("power(dose) * car1(day | rat)"), level=0.95, seed=1).iloc[0]
    assert first["low"] < first["semivariance"] < first["high"]


@pytest.mark.parametrize("residual", ["cs(1 | rat)", "ident(sex)"])
def test_other_structures_have_neither(residual: str) -> None:
    fit = fitted(residual)
    assert residuals.variance_curve(fit).empty
    assert residuals.variogram(fit, level=0.95, seed=1).empty
    assert residuals.followed(fit) == ""
    assert residuals.distances(fit) == []


def test_levels_have_their_standard_deviations_where_residuals_fade() -> None:
    fit, frame = fitted("ident(sex) * car1(day | rat)"), rats()
    table = about_visits.cell_sds(fit)
    assert table["cell"].tolist() == ["sex f", "sex m"]
    np.testing.assert_allclose(table["fitted"], fit.sigma * np.array([1.0, fit.residual_params["ratio.m"]]))
    for level, empirical in zip("fm", table["empirical"], strict=True):
        assert empirical == pytest.approx(np.sqrt(np.mean(fit.resid[frame["sex"] == level] ** 2)))
    none = about_visits.cell_sds(fitted("car1(day | rat)"))
    assert (len(none), list(none)) == (0, ["cell", "rows", "fitted", "empirical"])
    assert about_visits.cell_correlations(fit).empty


@pytest.mark.parametrize(
    ("residual", "bar", "others"),
    [
        ("car1(day | rat)", "", ["iid", "car1(day | rat)", "expsp(day | rat, nugget=TRUE)"]),
        (
            "ident(sex) * car1(day | rat)",
            " + (1 | rat)",
            [
                "iid",
                "ident(sex)",
                "car1(day | rat)",
                "expsp(day | rat, nugget=TRUE)",
                "ident(sex) * car1(day | rat)",
            ],
        ),
        ("power(dose)", " + (1 | rat)", ["iid", "power(dose)"]),
    ],
)
def test_structures_are_compared_with_those_that_their_words_can_say(
    residual: str, bar: str, others: list[str]
) -> None:
    fit = fitted(residual, bar)
    options: dict[str, Any] = {"reml": True}
    table = about_visits.structures(
        fit, rats(), options, focus=find_focus(fit.design, "day", None, None), df="satterthwaite"
    )
    assert table["structure"].tolist() == others
    assert table.loc[table["chosen"], "structure"].tolist() == [residual]
    assert np.isfinite(table[["deviance", "aic", "estimate"]]).all(axis=None)
    assert table.loc[table["chosen"], "deviance"].item() == pytest.approx(fit.deviance)
