"""Any text can name a column: every verb of a fit reads back the quotes that it writes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmmkit import FormulaError, compare, lmm, load
from lmmkit.model.formula.expression import named_column, parse_expression, quote
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.selection.select import select

NAMES = [
    "a|b", "a||b", "a:b", "a~b",
    "a+b", "a*b", "a^b", "a/b",
    "a-b", "a=b", "a,b", "a`b",
    "`a b`", "a\\b", "end\\", "\\`",
    "a\nb", 'a"b', "a'b", "a[1]",
    "a(b", "(1 | g)", "a%in%b", " a",
    "1st", "1", "-", ".",
    "class", "in", "True", "NULL",
    "é à", "\uff41", "Residual", "(Intercept)",
    "<b>", "{{ a }}", "$a$", "\u202ea",
    "\x1b[31m", "log", "diag", "offset",
]  # fmt: skip


def frame(y: str, x: str, f: str, g: str, w: str, o: str) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    group, x_value = np.repeat(np.arange(10), 6), np.tile(np.arange(6.0), 10)
    level = rng.integers(0, 3, 60)
    value = 3 + 0.5 * x_value + (level == 2) + rng.normal(size=10)[group] + 0.5 * rng.normal(size=60)
    value += 0.4 * rng.normal(size=10)[group] * x_value
    columns = {y: value, x: x_value, f: np.array(["u", f"v{f}", "w"])[level], g: [f"{g}{k}" for k in group]}
    return pd.DataFrame(columns | {w: rng.uniform(0.5, 2.0, 60), o: rng.normal(size=60)})


@pytest.fixture(scope="module")
def expected():
    """What the verbs of a fit give where no name needs quotes."""
    data = frame("y", "x", "f", "g", "w", "o")
    fit = lmm("y ~ x + f + (x | g) + offset(o)", data, weights="w")
    return {
        "deviance": fit.deviance,
        "pairs": fit.marginal_means("f").pairs()["estimate"].tolist(),
        "contrast": fit.contrast("x - 2 * f[T.w]")["estimate"].tolist(),
        "predicted": fit.predict(data.head(4))["fit"].tolist(),
        "simulated": fit.simulate(1, seed=1).tolist(),
        "bootstrap": fit.bootstrap(2, seed=1).to_numpy().tolist(),
        "profile": fit.conf_int(method="profile")[["low", "high"]].to_numpy(),
    }


@pytest.mark.parametrize(
    ("y", "x", "f", "g", "w", "o"), [(NAMES * 2)[i : i + 6] for i in range(0, len(NAMES), 6)]
)
def test_a_fit_with_any_names_does_all_that_a_fit_does(y, x, f, g, w, o, tmp_path, expected):
    data = frame(y, x, f, g, w, o)
    known = f" + offset({quote(o)})"
    formula = f"{quote(y)} ~ {quote(x)} + {quote(f)} + ({quote(x)} | {quote(g)}){known}"
    fit = lmm(formula, data, weights=w)
    assert fit.deviance == expected["deviance"]
    assert lmm(fit.formula, data, weights=w).formula == fit.formula
    assert list(fit.coef_table().index) == ["Intercept", x, f"{f}[T.v{f}]", f"{f}[T.w]"]
    assert list(fit.anova().index) == [x, f]
    pairs = fit.marginal_means(f).pairs()
    assert fit.marginal_means(quote(f), at={quote(x): [1]}).equals(fit.marginal_means(f, at={x: [1]}))
    assert pairs["estimate"].tolist() == expected["pairs"]
    assert fit.slopes(quote(x), by=quote(f)).equals(fit.slopes(x, by=f))
    contrast = f"{quote(x)} - 2 * {quote(f'{f}[T.w]')}"
    assert fit.contrast(contrast)["estimate"].tolist() == expected["contrast"]
    assert fit.predict(data.head(4))["fit"].tolist() == expected["predicted"]
    assert fit.simulate(1, seed=1).tolist() == expected["simulated"]
    assert fit.bootstrap(2, seed=1).to_numpy().tolist() == expected["bootstrap"]
    smaller = lmm(f"{quote(y)} ~ {quote(x)} + {quote(f)} + (1 | {quote(g)}){known}", data, weights=w)
    assert len(compare(smaller, fit)) == 2
    assert np.allclose(load(fit.save(tmp_path / "fit")).predict(data)["fit"], fit.fittedvalues, rtol=1e-12)
    listed = [f"(1 | {quote(g)})", f"({quote(x)} || {quote(g)})", formula]
    chosen = select(formula, data, rule="best", candidates=listed, weights=w)
    assert not chosen.table["error"].fillna("").any()
    assert lmm(chosen.formula, data, weights=w).formula == chosen.formula


def test_profiles_of_any_names_are_those_of_plain_ones(expected):
    y, x, f, g, w, o = "a|b", "(1 | g)", "a~b", "a b", "`", "1"
    formula = f"{quote(y)} ~ {quote(x)} + {quote(f)} + ({quote(x)} | {quote(g)}) + offset({quote(o)})"
    bounds = lmm(formula, frame(y, x, f, g, w, o), weights=w).conf_int(method="profile")
    assert list(bounds.index[:4]) == ["Intercept", x, f"{f}[T.v{f}]", f"{f}[T.w]"]
    assert np.array_equal(bounds[["low", "high"]], expected["profile"])


@given(st.text(min_size=1))
def test_a_quoted_name_is_read_back(name):
    assert named_column(quote(name)) == name
    assert parse_formula(f"{quote(name)} ~ 1").response.text == name
    assert parse_expression(f"{quote(name)} > 0", "exclude").variables == (name,)
    spelled = str(parse_expression(f"log({quote(name)})"))
    assert parse_expression(spelled).variables == (name,)


def test_a_name_is_written_as_r_writes_it():
    assert quote("a`b") == r"`a\`b`"
    assert quote("a\\b") == r"`a\\b`"
    assert parse_formula(r"y ~ `a\b`").fixed[1][0].text == r"a\b"


@pytest.mark.parametrize(
    "text", ["y ~ `a", "y ~ ``", r"y ~ `a\`", "y ~ x^²", f"y ~ x^{'0' * 3}1{'0' * 5000}"]
)
def test_what_cannot_be_read_is_refused_in_words(text):
    with pytest.raises(FormulaError, match=r"Cannot read|power crosses"):
        parse_formula(text)
