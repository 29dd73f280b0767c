"""Several fits side by side, in four formats."""

from __future__ import annotations

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from support.verbs import fitted, table

import lmmkit
from lmmkit.errors import FitError

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
