"""Heritability: its share, Wald's bounds on the log odds, the bootstrap's, and when there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.cases import DATA, table

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.inference import heritability as module

PEDIGREE = pd.read_csv(DATA / "pedigree_open_pedigree.csv")
TABLE = pd.read_csv(DATA / "pedigree_open.csv")


def animals(random="(1 | animal)", data=TABLE, known="animal", **more):
    return lmmkit.lmm(f"y ~ sex + x + {random}", data, known={known: PEDIGREE}, **more)


@pytest.fixture(scope="module")
def fit():
    return animals()


def test_it_is_the_share_of_the_related_levels_in_the_components(fit):
    found = fit.h2()
    assert found.columns.tolist() == ["estimate", "low", "high", "method"]
    assert found.index.tolist() == ["animal"]
    animal, residual = fit.varcorr["vcov"]
    assert found["estimate"].item() == pytest.approx(animal / (animal + residual), rel=1e-12)
    assert found["method"].item() == "Wald on the log odds"


def test_walds_bounds_are_symmetric_on_the_log_odds(fit):
    """By the delta method on log(T) of the covariance of log theta."""
    row = fit.h2(level=0.9).loc["animal"]
    low, middle, high = (np.log(p / (1 - p)) for p in row[["low", "estimate", "high"]].astype(float))
    assert middle - low == pytest.approx(high - middle, rel=1e-9)
    theta = fit.theta.item()
    error = np.sqrt(fit.estimates.curvature.spread.variances(np.array([[1.0, 0.0]]))[0])
    slope = fit.estimates.curvature.slopes[0][0, 0, 0]
    assert middle == pytest.approx(2 * np.log(theta))
    assert high - middle == pytest.approx(1.6448536269514722 * error * slope / theta**2, rel=1e-9)


def test_other_terms_count_among_what_is_left():
    rng = np.random.default_rng(3)
    herd = rng.integers(0, 12, len(TABLE))
    data = TABLE.assign(herd=herd, y=TABLE["y"] + 2.0 * rng.normal(size=12)[herd])
    found = animals("(1 | animal) + (1 | herd)", data)
    parts = dict(zip(found.varcorr["group"], found.varcorr["vcov"], strict=True))
    row = found.h2().loc["animal"]
    assert row["estimate"] == pytest.approx(parts["animal"] / sum(parts.values()))
    odds, at = [np.log(p / (1 - p)) for p in row[["low", "estimate", "high"]].astype(float)], found.estimates
    place = [term.group for term in at.random].index("animal")
    T = np.array([L[0, 0] ** 2 for L in at.factors])
    rest = T.sum() - T[place] + 1.0
    slopes = [s[:, 0, 0] / (T[t] if t == place else -rest) for t, s in enumerate(at.curvature.slopes)]
    error = np.sqrt(at.curvature.spread.variances(np.append(np.sum(slopes, axis=0), 0.0)[None])[0])
    assert odds[2] - odds[1] == pytest.approx(1.959963984540054 * error, rel=1e-9)
    assert odds[1] - odds[0] == pytest.approx(odds[2] - odds[1], rel=1e-9)


def test_the_bootstraps_bounds_are_percentiles_of_the_drawn_shares(fit, monkeypatch):
    drawn = [np.linspace(0.1, 2.0, 39)[:, None, None]]

    class Found:
        factors = drawn

    asked = []
    monkeypatch.setattr(module, "replicate", lambda _, n: asked.append(n) or Found)
    row = fit.h2(n=39, seed=1, level=0.9).loc["animal"]
    share = drawn[0][:, 0, 0] ** 2 / (drawn[0][:, 0, 0] ** 2 + 1)
    assert asked == [39]
    assert [row["low"], row["high"]] == pytest.approx(module.percentile(share, 0.9))
    assert row["low"] < row["estimate"] < row["high"]
    assert row["method"] == "parametric bootstrap, percentiles"


def test_given_variances_have_no_bounds():
    row = animals(variances={"animal": 20, "Residual": 60}).h2().loc["animal"]
    assert row["estimate"] == pytest.approx(0.25)
    assert np.isnan([row["low"], row["high"]]).all()
    assert row["method"] == "none: the variances are given"


def batches(**more):
    """Dyestuff2, whose variance between batches is estimated as zero, its batches being alike by pairs."""
    K = np.eye(6) + 0.5 * np.kron(np.eye(3), [[0, 1], [1, 0]])
    data, labels = table("dyestuff2").assign(half=list("uv") * 15), list("ABCDEF")
    return lmmkit.lmm(
        "Yield ~ 1 + (1 | Batch)", data, known={"Batch": pd.DataFrame(K, labels, labels)}, **more
    )


def test_a_variance_of_zero_has_no_bounds():
    row = batches().h2().loc["Batch"]
    assert row["estimate"] == 0.0
    assert np.isnan([row["low"], row["high"]]).all()
    assert row["method"] == "none: the variance is estimated as zero; give n= for a bootstrap"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: lmmkit.lmm("y ~ x + (1 | gen)", TABLE),
            "Heritability is of related levels, and no grouping factor of this fit has a known covariance: "
            "fit with "
            "known={'animal': pedigree}, or see icc() for the share of groups.",
        ),
        (
            lambda: animals("(1 | animal) + (0 + x | gen)"),
            "Heritability is a share of one variance, and the effects x of `gen` have other ones at each "
            "value of "
            "their columns: see varcorr, or variance_shares() for their mean over the rows.",
        ),
        (
            lambda: batches(residual="ident(half)"),
            "Heritability is a share of one variance, and under a residual structure rows may have "
            "several: see "
            "varcorr.",
        ),
    ],
)
def test_what_has_no_heritability_is_refused(make, said):
    with pytest.raises(FitError) as caught:
        make().h2()
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("options", "said"), [({"level": 1}, "level=1: a number"), ({"n": 0}, "n=0: the number of")]
)
def test_options_are_checked(fit, options, said):
    with pytest.raises(FitError, match=said):
        fit.h2(**options)
