"""A summary tells what was fitted, how well it is known, and loudly what is wrong."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from reference.cases import table
from support.models import NAMES, crossed, fit

import lmmkit
from lmmkit.model.summary import _number, summarise
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


@cache
def repeated(residual, formula="y ~ x"):
    """Twenty subjects at visits 1, 2 and 4 in two arms, the last visit of one missing."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"id": np.repeat(np.arange(20), 3), "t": np.tile([1, 2, 4], 20)})
    frame["arm"], frame["x"], frame["z"] = np.where(frame["id"] < 8, "a", "b"), *rng.normal(size=(2, 60))
    frame["site"] = frame["id"] % 5
    e = rng.normal(size=60) + rng.normal(size=20).repeat(3) + np.where(frame["t"] > 1, rng.normal(size=60), 0)
    return lmmkit.lmm(formula, frame.assign(y=frame["x"] + e)[:-1], residual=residual)


def lines_of(m):
    return [" ".join(line.split()) for line in str(m.summary()).splitlines()]


@pytest.mark.parametrize(
    ("residual", "parameters"),
    [("un(t | id)", False), ("csh(t | id)", True), ("un(t | id, by=arm)", False), ("cs(t | id)", True)],
)
def test_the_cells_of_a_residual_structure_stand_with_the_correlations_before_them(residual, parameters):
    m = repeated(residual)
    lines, names = lines_of(m), m.design.residual.cell_names
    V = m.estimates.residual_covariance
    sd = np.sqrt(np.diag(V))
    for i, name in enumerate(names):
        block = i - i % 3  # of one arm
        correlations = [f"{V[i, j] / (sd[i] * sd[j]):.3f}" for j in range(block, i)]
        variances = [f"{value:#.6g}".rstrip(".") for value in (V[i, i], sd[i])]
        assert " ".join([name, *variances, *correlations]) in lines
    assert ("Parameters of the residual structure" in lines) == parameters
    assert "group name variance SD correlation" not in lines


def test_a_residual_structure_of_many_cells_or_parameters_is_cut(monkeypatch):
    m = repeated("un(t | id)")
    head, told = "Parameters of the residual structure", list(m.residual_params.items())
    for most, cells in ((3, True), (2, False)):
        monkeypatch.setattr("lmmkit.model.summary.MOST_CELLS", most)
        assert ("visit variance SD correlation" in lines_of(m)) == cells
        assert (head in lines_of(m)) != cells
    for most, title in ((len(told) - 1, f"{head} (1 more in residual_params)"), (len(told), head)):
        monkeypatch.setattr("lmmkit.model.summary.MOST_PARAMETERS", most)
        assert title in lines_of(m)
        assert any(line.startswith(f"{told[-1][0]} ") for line in lines_of(m)) == (most == len(told))


@pytest.mark.parametrize(
    ("residual", "formula", "told"),
    [
        ("cs(t | id)", "y ~ x", "59 rows; 20 subjects (id) of 2 to 3 visits."),
        ("car1(t | id)", "y ~ x", "59 rows; 20 groups (id) of 2 to 3 rows."),
        ("car1(t | id)", "y ~ x + (1 | id)", "59 rows; groups: id 20; 20 groups (id) of 2 to 3 rows."),
        (
            "ident(arm)",
            "y ~ x + (x + z | site)",
            "A random intercept and slopes of x, z for each site; residuals: a variance for each level of "
            "arm, no correlation.",
        ),
        (
            "ident(arm)",
            "y ~ x + (0 + x | site) + (1 | id)",
            "A random intercept for each id, a random slope of x for each site; residuals: a variance for "
            "each level of arm, no correlation.",
        ),
    ],
)
def test_who_was_seen_and_what_varies_is_told(residual, formula, told):
    assert told in lines_of(repeated(residual, formula))


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 6, "0"),
        (123.456, 6, "123.456"),
        (123.0, 3, "123"),
        (2.0, 3, "2.00"),
        (0.123456, 1, "0.1"),
        (0.123456, 0, "0.1"),
    ],
)
def test_a_number_has_as_many_digits_as_hold(value, digits, text):
    assert _number(value, digits) == text


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
