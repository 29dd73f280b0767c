"""Sentences of the library in the words of a study file: each of Python's words, and those that stay."""

from __future__ import annotations

import pytest

from lmmkit.model.dialects.study_words import in_study_words


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("use df='inner-outer'.", "use inference.df: inner-outer."),
        ("fit with reml=True.", "fit with model.method: REML."),
        ("fit with reml=False.", "fit with model.method: ML."),
        ("reml=Falsely", "reml=Falsely"),
        ("or use missing='drop'.", "or use data.missing: drop."),
        ("or use missing='error'.", "or use data.missing: error."),
        ("missing='exclude'", "missing='exclude'"),
        ("try algorithm='gradient-free'.", "try model.algorithm: gradient-free."),
        ("see conf_int(method='profile').", "see inference.ci: profile."),
        ("method='auto' or 'profile' is there", "inference.ci: auto or profile is there"),
        ("ask for method='wald', ci='bootstrap'", "ask for inference.ci: wald, inference.ci: bootstrap"),
        ("method='kenward-roger'", "method='kenward-roger'"),
        ("influence(fit, of='rows') says which", "the table of influences says which"),
        ("see `tipping_point`", "see missing_data.assumptions: tipping-point"),
        (
            "No random effect: for a model without one use statsmodels' OLS or gls() beside fits.",
            "No random effect; a study needs either.",
        ),
        ("write residual='ar1(t | g)'.", "write model.residual: ar1(t | g)."),
        ("residual `ar1(t)` has no group", "`ar1(t)` has no group"),
        ("the residual `ar1(t)`", "the residual `ar1(t)`"),
        ("such as {'f': 'sum'}, not", "such as {f: sum}, not"),
        ("weights: no column", "model.weights: no column"),
        ("offset: no column", "model.offset: no column"),
        ("contrasts: no factor", "model.contrasts: no factor"),
        ("The weights: none", "The weights: none"),
        ("nothing of these", "nothing of these"),
    ],
)
def test_arguments_of_python_become_keys_of_a_study(said, words):
    assert in_study_words(said) == words
