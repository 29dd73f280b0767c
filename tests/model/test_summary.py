"""A summary tells what was fitted, how well it is known, and loudly what is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reference.cases import table
from support.models import NAMES, crossed, fit

import lmmkit
from lmmkit.model.summary import summarise
from lmmkit.model.text_table import TextTable


@pytest.mark.parametrize("name", NAMES)
def test_summary_names_every_group_and_coefficient(name):
    text, m = str(fit(name).summary()), fit(name)
    for word in [m.formula, *m.params.index, *m.varcorr.group, "Certificate", "Converged"]:
        assert word in text


def test_summary_shows_the_known_numbers():
    text = str(fit("sleep").summary())
    for number in ("251.405", "10.4673", "6.82456", "1.54579", "24.7405", "5.92213", "0.066", "25.5918"):
        assert number in text
    assert "REML criterion 1743.6283" in text
    assert "180 rows; groups: Subject 18." in text


def test_weights_and_offset_are_told():
    assert "Prior weights and an offset." in str(fit("crossed").summary())
    assert "weights" not in str(fit("sleep").summary())


def test_aliased_columns_and_dropped_rows_are_told():
    assert "Left out as linear functions of other columns: twice." in str(fit("aliased").summary())
    m = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", table("sleep_miss"))
    assert "40 of 180 dropped for missing values" in str(m.summary())


def test_html_says_the_same_and_escapes_names():
    frame = table("sleep_full").rename(columns={"Days": "a<b>"})
    m = lmmkit.lmm("Reaction ~ `a<b>` + (1 | Subject)", frame)
    html = m.summary()._repr_html_()
    assert "a<b>" not in html
    assert "a&lt;b&gt;" in html
    assert html.count("<table>") == html.count("</table>") == 2
    assert html == m._repr_html_()


def test_failed_check_is_loud():
    m = fit("sleep")
    wrong = lmmkit.Fit(replace(m.estimates, sigma=m.sigma * 1.01))
    text, html = str(wrong.summary()), wrong.summary()._repr_html_()
    assert text.startswith("*** CERTIFICATE FAILED")
    assert 'role="alert"' in html
    assert "residual variance" in html


def test_search_that_did_not_converge_is_loud():
    m = fit("sleep")
    text = str(summarise(replace(m.estimates, converged=False), m.certificate))
    assert text.startswith("*** NOT CONVERGED")
    assert "Converged:" not in text


def test_no_more_digits_are_shown_than_hold():
    m = fit("sleep")
    poor = replace(m.certificate, results=(replace(m.certificate.results[0], error=2e-3),))
    assert poor.digits == 2
    text = str(summarise(m.estimates, poor))
    assert "25.5918" not in text


def said(**changes):
    """Every line of the sleepstudy's summary with some of its numbers changed, without its alignment."""
    m = fit("sleep")
    lines = str(summarise(replace(m.estimates, **changes), m.certificate)).splitlines()
    return [" ".join(line.split()) for line in lines]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "Linear mixed model by restricted maximum likelihood (REML)"),
        ({"reml": False}, "Linear mixed model by maximum likelihood (ML)"),
        ({}, "Reaction ~ 1 + Days + (1 + Days | Subject)"),
        (
            {"deviance": 1200.5},
            "REML criterion 1200.5000, log-likelihood -600.2500, AIC 1212.5000, BIC 1231.6577, 6 parameters.",
        ),
        (
            {"deviance": 1200.5, "reml": False},
            "Deviance 1200.5000, log-likelihood -600.2500, AIC 1212.5000, BIC 1231.6577, 6 parameters.",
        ),
        ({"evaluations": 7}, "Converged: newton, 7 evaluations."),
        ({"evaluations": 1, "algorithm": "pls"}, "Converged: pls, 1 evaluation."),
        (
            {"converged": False, "algorithm": "em"},
            "*** NOT CONVERGED: em stopped before its rule was met; see fit.trace. ***",
        ),
        (
            {"null_directions": (2,)},
            "Singular: the random effects of Subject have a variance estimate of exactly zero.",
        ),
        ({"null_directions": (1,)}, "Singular: the covariance matrix of Subject has rank 1 of 2."),
        ({"beta": np.array([12.5, -3.0])}, "Intercept 12.5000 6.82456 17.0 1.832 0.0846"),
        ({"beta": np.array([12.5, -3.0])}, "Days -3.00000 1.54579 17.0 -1.941 0.0691"),
        (
            {"factors": (np.array([[2.0, 0.0], [-0.5, 0.25]]),), "sigma": 3.0},
            "Subject Intercept 36.0000 6.00000",
        ),
        (
            {"factors": (np.array([[2.0, 0.0], [-0.5, 0.25]]),), "sigma": 3.0},
            "Days 2.81250 1.67705 -0.894",
        ),
        (
            {"factors": (np.array([[2.0, 0.0], [-0.5, 0.25]]),), "sigma": 3.0},
            "Residual 9.00000 3.00000",
        ),
    ],
)
def test_each_line_says_its_numbers(changes, line):
    assert line in said(**changes)


def test_what_is_not_so_is_not_said():
    lines = said()
    assert not any(word in line for line in lines for word in ("***", "Singular", "Left out", "Note", "NOT"))
    assert not any(line.startswith("Converged") for line in said(converged=False))


def test_the_rank_of_a_singular_matrix_is_what_is_left():
    m = fit("machines")
    text = str(summarise(replace(m.estimates, null_directions=(1,)), m.certificate))
    assert "Singular: the covariance matrix of Worker has rank 2 of 3." in text.splitlines()


def test_a_null_direction_without_correlation_is_named():
    singular = said(factors=(np.array([[2.0, 0.0], [0.0, 0.0]]),), null_directions=(1,))
    assert "Days 0 0 none" in singular


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"weights": "w"}, "Prior weights."), ({"offset": "o"}, "An offset.")],
)
def test_weights_or_an_offset_alone_are_told(options, sentence):
    assert sentence in str(lmmkit.lmm("y ~ x + (1 | g)", crossed(), **options).summary()).splitlines()


def test_dropped_rows_and_groups_are_counted():
    m = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", table("sleep_miss"))
    first = f"140 rows (40 of 180 dropped for missing values); groups: Subject {m.ngroups['Subject']}."
    assert first in str(m.summary()).splitlines()


def test_warnings_of_the_design_are_repeated():
    m = fit("sleep")
    design = replace(m.design, warnings=("look here.", "and there."))
    text = str(summarise(replace(m.estimates, design=design), m.certificate))
    assert text.endswith("\nNote: look here.\nNote: and there.")


def test_plain_values_are_the_fits():
    m = fit("aliased")
    plain = m.to_dict()
    for name in ("formula", "reml", "algorithm", "nobs", "ngroups", "dropped_columns", "sigma", "deviance"):
        assert plain[name] == getattr(m, name)
    for name in ("llf", "aic", "bic", "npar", "df_model", "converged", "is_singular", "evaluations"):
        assert plain[name] == getattr(m, name)
    for name in ("params", "bse", "theta"):
        assert plain[name] == getattr(m, name).to_dict()
    assert (plain["vcov"], plain["warnings"]) == (m.cov_params().to_numpy().tolist(), list(m.design.warnings))
    assert [row["sdcor"] for row in plain["varcorr"] if row["var2"] is None] == m.varcorr.sdcor.tolist()
    assert plain["certificate"]["checks"] == m.certificate.checks.to_dict("records")
    assert plain["certificate"]["digits"] == m.certificate.digits


def test_text_stands_left_and_numbers_right():
    cells = [("name", "value"), ("a", "1.5"), ("longer", "-22.5")]
    assert TextTable("Title", cells, numbers_right=True).text().splitlines() == [
        "Title",
        "  name    value",
        "  a         1.5",
        "  longer  -22.5",
    ]
    assert TextTable("Title", cells).text().splitlines()[2] == "  a       1.5"
