"""Inference as the tables of a study: every row names its method, nothing is said without a test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.model.report_tables import about_inference


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(7)
    frame = pd.DataFrame({"g": np.repeat(list("abcdefgh"), 6), "f": list("uvw") * 16, "h": list("xy") * 24})
    effect = dict(zip("abcdefgh", random.normal(size=8), strict=True))
    return frame.assign(y=frame["g"].map(effect) + (frame["f"] == "v") + random.normal(size=48), x=range(48))


@pytest.fixture(scope="module")
def fit(data):
    return lmm("y ~ f * h + x + (1 | g)", data)


@pytest.mark.parametrize(
    ("ci", "name"),
    [
        ("auto", "Wald"),
        ("wald", "Wald"),
        ("profile", "profile likelihood (ML, asymptotic)"),
        ("bootstrap", "parametric bootstrap"),
    ],
)
def test_intervals_name_their_method(fit, ci, name):
    bounds = about_inference.intervals(fit, ci=ci, level=0.9, df="auto", seed=3)
    assert bounds["interval"].iloc[0].startswith(name)
    assert (bounds["low"] <= bounds["high"]).all()
    assert bounds["refits"].notna().all() == (ci == "bootstrap")
    expected = fit.conf_int(ci, 0.9, seed=3)
    np.testing.assert_array_equal(bounds["low"], expected["low"])


def test_factors_that_interact_are_taken_together(fit):
    means = about_inference.factor_means(fit, df="auto", level=0.95)
    assert set(means.table["family"]) == {"f within h"}
    assert means.table["cell"].is_unique
    assert means.pairs["contrast"].tolist()[:2] == ["f within h: u - v, x", "f within h: u - w, x"]
    assert set(means.pairs["method"]) == {"kenward-roger"}


def test_other_factors_are_compared_within_the_visits_of_a_residual_structure(data):
    trial = data[data["h"] == "x"].assign(arm=lambda d: np.where(d["g"] < "e", "old", "new"))
    for residual, family in (("cs(f | g)", "arm within f"), ("ident(arm)", "f within arm")):
        means = about_inference.factor_means(
            lmm("y ~ f * arm", trial, residual=residual), df="normal", level=0.9
        )
        assert set(means.table["family"]) == {family}


def test_without_factors_there_are_no_means(data):
    means = about_inference.factor_means(lmm("y ~ x + (1 | g)", data), df="auto", level=0.95)
    assert means.table.empty
    assert means.pairs.empty


def test_a_factor_of_many_levels_has_no_means(data):
    many = data.assign(f=[f"l{i}" for i in np.arange(48) % 31])
    assert about_inference.factor_means(lmm("y ~ f + (1 | g)", many), df="auto", level=0.95).table.empty


def test_a_grid_that_is_too_large_has_no_means(data, monkeypatch):
    monkeypatch.setattr("lmmkit.model.means.reference_grid.LARGEST", 5)
    assert about_inference.factor_means(lmm("y ~ f * h + (1 | g)", data), df="auto", level=0.95).table.empty


def test_candidates_are_tested_where_nested_and_refused_in_words_elsewhere(data):
    fit = lmm("y ~ f + (1 | g) + (1 | g:h)", data)
    parts = ["(1 | g)", "(x | g)", "(1 | g) + (1 | g:h)"]
    candidates = [
        {
            "candidate": part,
            "formula": f"y ~ f + {part}",
            "chosen": part == parts[2],
            "converged": True,
            "error": None,
        }
        for part in parts
    ]
    table = about_inference.comparisons(fit, candidates, data, {}, seed=1).set_index("candidate")
    assert table.loc["(1 | g)", "relation"] == "within the model chosen"
    variances = {"residual": "ident(h)"}
    beside = about_inference.comparisons(
        lmm(fit.formula, data, **variances), candidates, data, variances, seed=1
    )
    assert beside["relation"].iloc[0] == "within the model chosen"
    assert table.loc["(1 | g)", "reference"] == "1/2 chi2(0) + 1/2 chi2(1)"
    assert np.isnan(table.loc["(x | g)", "p"])
    assert "not a special case" in table.loc["(x | g)", "note"]


def test_shares_of_variance_say_what_they_are(fit):
    shares = about_inference.shares(fit, ci="wald", level=0.95, seed=1)
    assert shares["share"].tolist() == ["R2 marginal", "R2 conditional", "ICC adjusted", "ICC unadjusted"]
    assert shares["definition"].str.len().min() > 20


@pytest.mark.parametrize(("most", "families"), [(6, ["f within h"]), (5, [])])
def test_families_of_too_many_means_are_left_out(fit, monkeypatch, most, families):
    monkeypatch.setattr(about_inference, "MOST_MEANS", most)
    found = about_inference.factor_means(fit, df="normal", level=0.95).table["family"]
    assert [*found.unique()] == families


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"n": 1000, "failed": 0, "singular": 0}, ""),
        ({"n": 1000, "failed": 0, "singular": 7}, "7 singular"),
        ({"n": 1000, "failed": 2, "singular": 7}, "2 failed, 7 singular"),
    ],
)
def test_of_refits_is_told_what_did_not_go_well(counts, said):
    table = pd.DataFrame()
    table.attrs["replicates"] = counts
    assert about_inference._refits(table) == said


@pytest.mark.parametrize(
    ("ci", "criterion", "words"),
    [
        ("auto", "REML, profile", "profile likelihood (REML)"),
        ("auto", "REML, asymptotic", "Wald"),
        ("bootstrap", "ML", "parametric bootstrap, percentile (ML)"),
    ],
)
def test_an_interval_says_what_made_it(ci, criterion, words):
    assert about_inference._made(ci, criterion) == words


def facts(name, **columns):
    (told,) = (table.facts for table in about_inference.TABLES if table.name == name)
    return told(pd.DataFrame(columns))


def test_facts_of_choices_and_comparisons():
    assert facts("pairs", low=[-1.0, 0.0, 0.5, -2.0], high=[1.0, 2.0, 2.0, -1.0]) == {
        "pairs": 4,
        "exclude zero": 2,
    }
    told = facts("candidates", error=[None, "", "no"], singular=[True, False, True])
    assert told == {"candidates": 3, "singular": 2, "failed": 1}
    path = {"step": [1, 2, 3, 3], "against": [None, "", "a", "b"], "taken": [True, True, True, False]}
    assert facts("selection_path", **path) == {"steps": 3, "comparisons": 2, "taken": 1}
    assert facts("selection_path", **{name: [] for name in path})["steps"] == 0
    names = ["Intercept", "x", "z"]
    assert facts("coefficients", coefficient=names) == {"drawn": 2}
    assert facts("coefficients", coefficient=names[:1]) == {"drawn": 1}


def test_the_family_whose_lines_differ_most_is_told_with_its_rows():
    lines = {
        "family": ["a", "a", "a", "a", "b", "b", "b", "b"], "by": ["p", "p", "q", "q"] * 2,
        "mean": [0.0, 1.0, 3.0, 3.5, 9.0, 5.0, 2.0, 2.0],
    }  # fmt: skip
    told = {"lines": 4, "most": 4.0, "least": 0.0, "most row": 4, "least row": 6}
    assert facts("interactions", **lines) == told
    assert facts("interactions", family=[], by=[], mean=[]) == {"lines": 0}
