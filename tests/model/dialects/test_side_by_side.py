"""Several fits side by side, in four formats."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from support.verbs import fitted, table

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.fit import Fit

NAMES = ["first", "second", "third"]


def cells(name: str = "text", **options) -> str:
    return lmmkit.table(
        fitted("sleep"), fitted("cake"), fitted("penicillin"), names=NAMES, format=name, **options
    )


def page(text: str) -> pd.DataFrame:
    rows = BeautifulSoup(text, "html.parser").find_all("tr")
    head, *body = ([cell.text for cell in row.find_all(["td", "th"])] for row in rows)
    return pd.DataFrame(body, columns=head).set_index("")


def test_every_number_is_the_fits_own():
    shown = page(cells("html"))
    fit = fitted("sleep")
    row = fit.coef_table().loc["Days"]
    assert shown.loc["Days", "first"] == f"{row['estimate']:.3f} ({row['se']:.3f})"
    assert shown.loc["Days", "second"] == ""
    assert shown.loc["Subject.cor.Days.Intercept", "first"] == f"{fit.varcorr['sdcor'][2]:.3f}"
    assert shown.loc["groups: recipe:replicate", "second"] == "45"
    assert shown.loc["AIC", "third"] == f"{fitted('penicillin').aic:.3f}"
    assert shown.loc["ICC, adjusted", "third"] == f"{fitted('penicillin').icc()['estimate'].iloc[0]:.3f}"
    assert shown.loc["R2, marginal", "second"] == f"{fitted('cake').r2()['estimate'].iloc[0]:.3f}"
    order = shown.index.tolist()
    assert order.index("temperature") < order.index("Subject.sd.Intercept") < order.index("rows")


def test_intervals_and_p_stand_in_brackets_on_demand():
    row = fitted("cake").coef_table(level=0.9).loc["temperature"]
    assert f"[{row['low']:.2f}, {row['high']:.2f}]" in cells(show="interval", level=0.9, digits=2)
    assert f"(p = {row['p']:.5f})" in cells(show="p", digits=5)


def test_four_formats_have_the_same_rows():
    rows = page(cells("html")).index.tolist()
    text, latex, markdown = (cells(name) for name in ("text", "latex", "markdown"))
    assert [line.strip().split("  ")[0] for line in text.splitlines()[2:-2]] == rows
    assert latex.startswith(r"\begin{tabular}{lrrr}")
    assert sum(line.endswith(r"\\") for line in latex.splitlines()) == len(rows) + 3
    assert len([line for line in markdown.splitlines() if line.startswith("|")]) == len(rows) + 2
    assert repr(text) == str(text)
    assert text._repr_html_().startswith("<pre>")


def test_names_are_escaped_for_each_target():
    name = "a_b|<b>$x$&\\c{%}"
    data = table("sleepstudy").rename(columns={"Days": name})
    fit = lmmkit.lmm(f"Reaction ~ `{name.replace(chr(92), chr(92) * 2)}` + (1 | Subject)", data)
    made = {f: lmmkit.table(fit, names=["<i>_"], format=f) for f in ("text", "html", "latex", "markdown")}
    assert name in made["text"]
    assert "a_b|&lt;b&gt;$x$&amp;" in made["html"]
    assert "<i>" not in made["html"]
    assert r"a\_b\textbar{}\textless{}b\textgreater{}\$x\$\&\textbackslash{}c\{\%\}" in made["latex"]
    assert r"a\_b\|&lt;b&gt;\$x\$&amp;\\c\{%\}" in made["markdown"]


def test_what_is_not_comparable_is_said():
    fit = fitted("sleep")
    assert "comparable only between" in lmmkit.table(fit, fit.update("~ . - Days"))
    assert "comparable only between" in lmmkit.table(fit, fit.update(reml=False))
    assert "comparable only between" not in lmmkit.table(
        fit, fit.update("~ . - (Days | Subject) + (1 | Subject)")
    )
    assert "Reaction (2)" in lmmkit.table(fit, fit)


@pytest.mark.parametrize(
    ("fits", "options", "said"),
    [
        ((), {}, "was given nothing"),
        ((1,), {}, "was given a int"),
        (None, {"format": "word"}, "format='word' is not known"),
        (None, {"names": ["a", "b"]}, "names: 1 are expected"),
        (None, {"show": "stars"}, "show='stars' is not known"),
        (None, {"digits": 2.5}, "the number of decimals is a whole number"),
    ],
)
def test_what_cannot_be_shown_is_refused(fits, options, said):
    with pytest.raises(FitError) as caught:
        lmmkit.table(*((fitted("sleep"),) if fits is None else fits), **options)
    assert said in str(caught.value)


def small(**change):
    frame = pd.DataFrame({"y": [3.0, 4, 7, 6, 9, 12, 2, 2, 5], "x": [0, 1, 2] * 3, "g": list("aaabbbccc")})
    return frame.assign(**change)


@pytest.fixture(scope="module")
def two():
    return lmmkit.lmm("y ~ x + (1 | g)", small()), lmmkit.lmm("y ~ 1 + (1 | g)", small())


APART = "AIC of REML fits is comparable only between fits with the same fixed part: see compare()."


def test_a_table_is_shown_whole(two):
    assert str(lmmkit.table(*two, names=["one", "two"])).splitlines() == [
        "2 models",
        "                   one            two",
        "  Intercept        3.389 (1.830)  5.556 (1.788)",
        "  x                2.167 (0.387)",
        "  g.sd.Intercept   3.048          2.789",
        "  Residual.sd      0.949          2.333",
        "  rows             9              9",
        "  groups: g        3              3",
        "  ICC, adjusted    0.912          0.588",
        "  R2, marginal     0.257          0.000",
        "  R2, conditional  0.934          0.588",
        "  AIC              38.047         47.787",
        "  criterion        REML           REML",
        "In brackets standard errors; degrees of freedom: kenward-roger.",
        APART,
    ]


def test_one_model_without_decimals(two):
    lines = str(lmmkit.table(two[0], digits=0, show="interval", level=0.9, df="normal")).splitlines()
    row = two[0].coef_table("normal", level=0.9).loc["x"]
    assert lines[0] == "1 model"
    assert lines[1].split() == ["y"]
    assert lines[3].split("  ")[-1] == f"2 [{row['low']:.0f}, {row['high']:.0f}]"
    assert lines[-1] == "In brackets 0.9 intervals; degrees of freedom: normal."
    told = str(lmmkit.table(two[0], show="p")).splitlines()[-1]
    assert told == "In brackets p of t tests; degrees of freedom: kenward-roger."


def test_fits_that_are_singular_or_stopped_early_are_told_of(two):
    singular = lmmkit.lmm("y ~ x + (1 | g)", small(y=[3.0, 1, 2, 2, 3, 1, 1, 2, 3.1]))
    early = Fit(replace(two[0].estimates, converged=False))
    told = str(lmmkit.table(two[0], singular, early)).splitlines()[-3:]
    assert told[1:] == [
        "A fit has not converged.",
        "A fit is singular: a covariance matrix of random effects has a null direction.",
    ]
    assert "A fit" not in lmmkit.table(two[0])
    assert APART not in lmmkit.table(two[0], two[0])


def test_html_and_markdown_hold_the_same_cells_and_notes(two):
    made = lmmkit.table(two[0], format="html")
    assert made._repr_html_() == str(made)
    assert "<caption>In brackets standard errors; degrees of freedom: kenward-roger.</caption>" in made
    lines = str(lmmkit.table(two[0], names="one", format="markdown")).splitlines()
    assert lines[:3] == ["|  | one |", "|---|---:|", "| Intercept | 3.389 (1.830) |"]
    assert lines[-2:] == ["", r"In brackets standard errors; degrees of freedom\: kenward-roger."]
    latex = str(lmmkit.table(two[0], names=["one"], format="latex")).splitlines()
    assert latex[:5] == [
        r"\begin{tabular}{lr}", r"\hline", r" & one \\", r"\hline", r"Intercept & 3.389 (1.830) \\",
    ]  # fmt: skip
    assert latex[-3:] == [
        r"\hline",
        r"\multicolumn{2}{l}{In brackets standard errors; degrees of freedom: kenward-roger.} \\",
        r"\end{tabular}",
    ]
