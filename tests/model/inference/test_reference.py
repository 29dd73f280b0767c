"""Tests and means against lmerTest, pbkrtest and emmeans; Satterthwaite against 100-digit arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from reference.cases import fitted, r_names
from reference.unbalanced import REFERENCE

SATTERTHWAITE = [
    (n, c) for n, found in REFERENCE.items() for c in ("REML", "ML") if "satterthwaite" in found[c]
]
KENWARD_ROGER = [n for n, found in REFERENCE.items() if "kenward_roger" in found["REML"]]
MEANS = [(n, i) for n, found in REFERENCE.items() for i in range(len(found.get("emmeans", [])))]


def in_order(table, names):
    """Our rows in R's order."""
    return table.set_axis(r_names(table.index)).loc[names]


@pytest.mark.parametrize(("name", "criterion"), SATTERTHWAITE)
def test_satterthwaite_coefficients(name, criterion, record_property):
    known = REFERENCE[name][criterion]
    ours = in_order(fitted(name, criterion).coef_table("satterthwaite"), known["satterthwaite"]["names"])
    error = np.abs(ours["df"] / known["satterthwaite"]["df"] - 1).max()
    record_property("degrees of freedom: error, aim", (float(error), 1e-7))
    assert error <= (1e-9 if known["exact"] else 1e-5)
    np.testing.assert_allclose(ours["t"], known["satterthwaite"]["t"], rtol=1e-6)
    np.testing.assert_allclose(ours["p"], known["satterthwaite"]["p"], rtol=1e-5)


@pytest.mark.parametrize(("name", "criterion"), SATTERTHWAITE)
def test_satterthwaite_type_3(name, criterion):
    known = REFERENCE[name][criterion]["satterthwaite"].get("anova3")
    ours = fitted(name, criterion).anova(3, "satterthwaite")
    assert ours.empty == (known is None)
    if known is not None:
        ours = ours.loc[known["terms"]]
        assert ours["num_df"].tolist() == known["NumDF"]
        np.testing.assert_allclose(ours["den_df"], known["DenDF"], rtol=1e-5)
        np.testing.assert_allclose(ours["F"], known["F"], rtol=1e-6)
        np.testing.assert_allclose(ours["p"], known["p"], rtol=1e-5)


@pytest.mark.parametrize("name", KENWARD_ROGER)
def test_kenward_roger(name):
    known = REFERENCE[name]["REML"]["kenward_roger"]
    ours = in_order(fitted(name, "REML").coef_table("kenward-roger"), known["names"])
    for quantity, column in (("se_adj", "se"), ("df", "df"), ("t", "t"), ("p", "p")):
        np.testing.assert_allclose(ours[column], known[quantity], rtol=1e-6)
    if "anova3" in known:
        table = fitted(name, "REML").anova(3, "kenward-roger").loc[known["anova3"]["terms"]]
        for quantity, column in (("NumDF", "num_df"), ("DenDF", "den_df"), ("F", "F"), ("p", "p")):
            np.testing.assert_allclose(table[column], known["anova3"][quantity], rtol=1e-6)


@pytest.mark.parametrize(("name", "number"), MEANS)
def test_marginal_means_and_pairs(name, number):
    known = REFERENCE[name]["emmeans"][number]
    specs, *by = known["specs"].lstrip("~").split("|")
    ours = fitted(name, "REML").marginal_means(specs, by or None, known["df_method"])
    means, pairs = known["means"], known["pairs_unadjusted"]
    assert ours.reset_index()[specs].tolist() == means[specs]
    columns = {"mean": "emmean", "se": "SE", "df": "df", "low": "lower.CL", "high": "upper.CL"}
    for column, theirs in columns.items():
        np.testing.assert_allclose(ours[column], means[theirs], rtol=1e-6)
    found = ours.pairs("none")
    scale = np.abs(pairs["estimate"]).max()
    np.testing.assert_allclose(found["estimate"], pairs["estimate"], rtol=1e-6, atol=1e-9 * scale)
    np.testing.assert_allclose(found["df"], pairs["df"], rtol=1e-6)
    np.testing.assert_allclose(found["p"], pairs["p.value"], rtol=1e-5)


def test_a_singular_fit_has_the_degrees_of_freedom_of_its_face():
    assert fitted("dyestuff2", "REML").coef_table("satterthwaite")["df"].iloc[0] == pytest.approx(
        29, rel=1e-9
    )
    assert fitted("dyestuff2", "ML").coef_table("satterthwaite")["df"].iloc[0] == pytest.approx(30, rel=1e-9)
