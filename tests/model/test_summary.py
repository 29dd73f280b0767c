"""A summary tells what was fitted, how well it is known, and loudly what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reference.cases import table
from support.models import NAMES, fit

import lmmkit
from lmmkit.model.summary import summarise


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
