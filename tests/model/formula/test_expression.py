"""Expressions: nothing but columns, arithmetic and the documented functions can be written or run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmmkit.errors import DataError, FormulaError
from lmmkit.model.formula.expression import check_expression, parse_expression, quote
from lmmkit.model.table.evaluate import evaluate_expression

FRAME = pd.DataFrame(
    {
        "x": [1.0, 2.0, np.nan, 4.0],
        "n": [3, 1, 2, 5],
        "g": ["a", "b", None, "a"],
        "flag": [True, False, True, True],
        "a.b": [1.0, 2.0, 3.0, 4.0],
    }
)


def values(text: str, purpose: str = "derive") -> list[float]:
    return evaluate_expression(check_expression(text, FRAME.columns, purpose), FRAME).tolist()  # type: ignore[arg-type]


HOSTILE = [
    "__import__('os').system('true')",
    "x.__class__",
    "x.sum()",
    "().__class__.__bases__[0].__subclasses__()",
    "log.__globals__",
    "getattr(x, 'sum')",
    "eval('1')",
    "exec('1')",
    "open('/etc/passwd')",
    "(lambda: x)()",
    "[x for x in [1]]",
    "{x: 1}",
    "x[0]",
    "f'{x}'",
    "x if x else n",
    "log(*[x])",
    "log(x, **{'out': n})",
    "log(x, out=n)",
    "np.log(x)",
    "np.linalg.inv(x)",
    "I(x := 2)",
    "x; import os",
    "contr.sum(x)",
    "log(x)(2)",
    "print(x)",
    "globals()",
    "'a' * x",
    "'%s' % x",
    "x ** 1000",
    "poly(x, 100000000)",
    "bs(x, knots=[" + "1, " * 500 + "2])",
    "bs(x, knots='abc')",
    "ns(x, knots=2)",
    "bs(x, df=100000000)",
    "2",
    "1e999 * x",
    "2j * x",
    "log()",
    "log(x, 2, 3)",
    "log(x, bass=2)",
    "poly(x, degree=n)",
    "poly(x, 2, degree=2)",
    "log(poly(x, 2))",
    "1 + C(g)",
    "C(g, nonsense)",
    "C(g, sum, levels=['a'], what=1)",
    "-" * 3000 + "x",
    "x" + " + 1" * 120,
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("purpose", ["formula", "derive", "exclude"])
def test_nothing_undocumented_can_be_written(text, purpose):
    with pytest.raises((FormulaError, DataError)):
        evaluate_expression(check_expression(text, FRAME.columns, purpose), FRAME)


@given(st.text(alphabet="xng.()[]{}+-*/^=<>!&|'\"` ,_1234567890eEabcdf:;%~\\", max_size=40))
def test_any_text_is_read_or_refused_in_words(text):
    for purpose in ("formula", "derive", "exclude"):
        try:
            expression = parse_expression(text, purpose)
        except FormulaError:
            continue
        assert expression.variables


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n^2", [9, 1, 4, 25]),
        ("-n^2", [-9, -1, -4, -25]),
        ("2 * n^2", [18, 2, 8, 50]),
        ("n^-1", [1 / 3, 1, 1 / 2, 1 / 5]),
        ("2^n", [8, 2, 4, 32]),
        ("n %% 2 + n %/% 2", [2, 1, 1, 3]),
        ("log(n, 2) - log2(n)", [0, 0, 0, 0]),
        ("a.b / `a.b`", [1, 1, 1, 1]),
        ("x + 1", [2, 3, np.nan, 5]),
        ("center(x)", [-4 / 3, -1 / 3, np.nan, 5 / 3]),
        ("scale(n, scale=FALSE)", [0.25, -1.75, -0.75, 2.25]),
        ("x - group_mean(x, g)", [-1.5, 0, np.nan, 1.5]),
        ("group_mean(n, g)", [4, 1, np.nan, 4]),
        ("flag * n", [3, 0, 2, 5]),
        (" + ".join(["n"] * 90), [270, 90, 180, 450]),
    ],
)
def test_arithmetic_is_as_in_r(text, expected):
    np.testing.assert_allclose(values(text), expected, atol=1e-15)


def test_a_column_alone_keeps_its_values():
    assert values("g")[:2] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x > 1", [0, 1, 0, 1]),
        ("not x > 1", [1, 0, 0, 0]),
        ("x != 2", [1, 0, 0, 1]),
        ("g == 'a'", [1, 0, 0, 1]),
        ("g != 'a'", [0, 1, 0, 0]),
        ("g in ['a', 'z']", [1, 0, 0, 1]),
        ("g not in ['a', 'z']", [0, 1, 0, 0]),
        ("g %in% c('b') | n == 5", [0, 1, 0, 1]),
        ("!(n < 3) & x >= 1", [1, 0, 0, 1]),
        ("flag", [1, 0, 1, 1]),
        ("not flag", [0, 1, 0, 0]),
        ("1 < n <= 3", [1, 0, 1, 0]),
        ("n in (1, 5)", [0, 1, 0, 1]),
        ("x > 3 or n == 2", [0, 0, 1, 1]),
        ("x > 3 and n == 2", [0, 0, 0, 0]),
        ("log(n) > 1 and flag", [1, 0, 0, 1]),
        ("x - group_mean(x, g) > 0", None),
    ],
)
def test_a_condition_holds_only_where_it_is_known_to(text, expected):
    if expected is None:
        with pytest.raises(FormulaError, match="not a function"):
            values(text, "exclude")
    else:
        assert values(text, "exclude") == [bool(value) for value in expected]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("g == 1", FormulaError, "text is compared with text in quotes"),
        ("g < 'b'", FormulaError, "orders text"),
        ("n in ['a']", FormulaError, "text is compared"),
        ("x", DataError, "not true or false"),
        ("x + 1", FormulaError, "a condition compares"),
        ("ghost > 1", FormulaError, "no column `ghost`"),
        ("N > 1", FormulaError, "did you mean `n`?"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(text, error, said):
    with pytest.raises(error) as caught:
        values(text, "exclude")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("log(x - 1)", "not a finite number in 1 row(s), first in row 1"),
        ("1 / (n - 1)", "not a finite number in 1 row(s), first in row 2"),
        ("g * 2", "holds text"),
        ("log(g)", "holds text"),
    ],
)
def test_values_that_cannot_be_are_refused(text, said):
    with pytest.raises(DataError) as caught:
        values(text)
    assert said in str(caught.value)


BOUNDS = [
    (lambda k: "x + " + "n" * (k - 4), 10_000, "10,001 characters; at most 10,000 are read"),
    (lambda k: "(" * k + "x" + ")" * k, 40, "more than 40 deep"),
    (lambda k: "-" * k + "x", 100, "nested more than 100 deep"),
    (lambda k: f"x^{k}", 100, "a power is at most 100"),
    (lambda k: f"x^-{k}", 100, "a power is at most 100"),
    (lambda k: f"poly(x, {k})", 100, "`degree` of `poly()` is a whole number from 1 to 100"),
    (lambda k: f"bs(x, knots=[{', '.join(['1'] * k)}])", 100, "`knots` of `bs()` are at most 100"),
    (lambda k: f"{k}e298 * x", 100, "is not a number to calculate with"),
]


@pytest.mark.parametrize(("write", "most", "said"), BOUNDS)
def test_each_bound_is_held_to_the_unit(write, most, said):
    assert parse_expression(write(most), "formula").variables[0] == "x"
    with pytest.raises(FormulaError) as caught:
        parse_expression(write(most + 1), "formula")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("write", "most", "said"),
    [
        (lambda k: f"x in [{', '.join(['1'] * k)}]", 1_000, "a list holds at most 1,000 values"),
        (lambda k: f"x in [-{k}e298]", 100, "a number is too large"),
    ],
)
def test_each_bound_of_a_list_is_held_to_the_unit(write, most, said):
    assert parse_expression(write(most), "exclude").variables == ("x",)
    with pytest.raises(FormulaError) as caught:
        parse_expression(write(most + 1), "exclude")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x + n)", "`)` at character 6 of `x + n)` closes nothing"),
        ("log(x]", "`]` at character 6 of `log(x]` closes nothing"),
        ("log((x)", "`)` is missing in `log((x)`"),
        ("x[1", "`]` is missing"),
        ("x ? n", "Cannot read `?` at character 3"),
    ],
)
def test_brackets_that_do_not_match_are_named_with_their_place(text, said):
    with pytest.raises(FormulaError) as caught:
        parse_expression(text)
    assert said in str(caught.value)


def test_a_bracket_within_a_name_or_a_text_opens_nothing():
    assert parse_expression("`a(` + `)b`").variables == ("a(", ")b")
    assert parse_expression("x == '('", "exclude").variables == ("x",)


FUNCTIONS = (
    "log, log2, log10, log1p, exp, sqrt, abs, sin, cos, I, center, scale, poly, bs, cr, cc, ns, C, factor"
)
CODED = "treatment, sum, helmert, poly, diff, sas"
HOLDS = "an expression holds columns, numbers, + - * / ^ and the documented functions"
COMPARES = "a condition compares columns: `Days > 2`, `site in ['a', 'b']`, joined by and, or, not"


@pytest.mark.parametrize(
    ("text", "purpose", "why"),
    [
        ("poly(x, 2) + 1", "formula", "`poly()` makes several columns: it stands alone, in a formula"),
        ("poly(x, 2)", "derive", "`poly()` makes several columns: it stands alone, in a formula"),
        ("1 + C(g)", "formula", "`C()` makes a factor: it stands alone, in a formula"),
        ("factor(g)", "derive", "`factor()` makes a factor: it stands alone, in a formula"),
        ("sum(x)", "formula", "`sum()` has no meaning here"),
        ("log()", "formula", "`log()` takes a column first"),
        ("log(x, 2, 3)", "formula", "`log()` takes at most 2 arguments"),
        ("log(x, bass=2)", "formula", "`log()` has no option `bass` (options: base)"),
        ("exp(x, base=2)", "formula", "`exp()` has no option `base` (options: none)"),
        ("poly(x, 2, degree=2)", "formula", "`degree` is given twice"),
        ("poly(x, degree=2.5)", "formula", "`degree` of `poly()` is a whole number from 1 to 100"),
        ("bs(x, df=0)", "formula", "`df` of `bs()` is a whole number from 1 to 100"),
        ("log(x, y)", "formula", "`c_1` must be a constant"),
        ("C(g, sum, 2)", "formula", "`C()` takes a column, a coding and `levels`"),
        ("C(g, base=2)", "formula", "`C()` takes a column, a coding and `levels`"),
        ("C(g, odd)", "formula", f"the coding of a factor is one of {CODED}"),
        ("C(g, treatment(1, 2))", "formula", f"the coding of a factor is one of {CODED}"),
        ("C(g, 3)", "formula", f"the coding of a factor is one of {CODED}"),
        ("group_mean(x)", "derive", "group_mean takes a column and a grouping column: group_mean(x, g)"),
        ("group_mean(x, 2)", "derive", "group_mean takes a column and a grouping column: group_mean(x, g)"),
        ("x[1]", "formula", HOLDS),
        ("x + 1", "exclude", COMPARES),
        ("1 < 2", "exclude", "it uses no column"),
        ("2 + 2", "formula", "it uses no column"),
        ("x^101", "formula", "a power is at most 100"),
        ("x^-101", "formula", "a power is at most 100"),
        ("x + NULL", "formula", "None is not a number to calculate with"),
    ],
)  # fmt: skip
def test_what_is_not_offered_is_said_whole(text, purpose, why):
    with pytest.raises(FormulaError) as caught:
        parse_expression(text, purpose)
    assert str(caught.value) == f"`{text}` cannot be used: {why}."


@pytest.mark.parametrize(
    ("text", "purpose", "said"),
    [
        (
            "lg(x)",
            "formula",
            f"`lg()` is not a function of the formula language; did you mean `log`? Offered: {FUNCTIONS}, "
            f"offset.",
        ),
        (
            "zzzzz(x)",
            "derive",
            f"`zzzzz()` is not a function of the formula language. Offered: {FUNCTIONS}, group_mean, offset.",
        ),
        ("x +", "formula", "Cannot read `x +` as an expression."),
        ("", "formula", "An expression is empty in ``."),
        (
            "x ? n",
            "formula",
            "Cannot read `?` at character 3 of `x ? n`. Column names with special characters go between "
            "back-quotes, where \\` is a back-quote and \\\\ a back-slash.",
        ),
        ("x[1)", "formula", "`)` at character 4 of `x[1)` closes nothing."),
        ("x[1", "formula", "`]` is missing in `x[1`."),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_whole(text, purpose, said):
    with pytest.raises(FormulaError) as caught:
        parse_expression(text, purpose)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "word", ["TRUE", "FALSE", "NULL", "True", "False", "None", "and", "or", "not", "in", "."]
)
def test_a_word_of_the_language_is_a_column_in_back_quotes_alone(word):
    assert quote(word) == f"`{word}`"
    assert parse_expression(quote(word)).variables == (word,)
    assert parse_expression(f"{quote(word)} + x").variables == (word, "x")


@pytest.mark.parametrize("name", ["x", "a.b", ".a", "_", "é", "x1"])
def test_a_plain_name_needs_no_quotes(name):
    assert quote(name) == name
    assert parse_expression(name).variables == (name,)


@pytest.mark.parametrize(
    ("text", "purpose", "canonical"),
    [
        ("x^2", "formula", "x ** 2"),
        ("x %% 2 + x %/% 2", "formula", "x % 2 + x // 2"),
        ("x > 1 & n < 2 | !flag", "exclude", "x > 1 and n < 2 or not flag"),
        ("x > 1 && n < 2 || flag", "exclude", "x > 1 and n < 2 or flag"),
        ("x %in% c(1, 2)", "exclude", "x in c(1, 2)"),
        ("ns(x, Boundary.knots = c(1, 2))", "formula", "ns(x, boundary_knots=c(1, 2))"),
        ("bs(x, intercept = TRUE)", "formula", "bs(x, include_intercept=True)"),
        ("scale(x, center=FALSE)", "formula", "scale(x, center=False)"),
        ("bs(x, knots=NULL)", "formula", "bs(x, knots=None)"),
        ("C(g, contr.Sum)", "formula", None),
        ("2L * x", "formula", "2 * x"),
        ("`c_0` + x", "formula", "c_0 + x"),
    ],
)
def test_a_spelling_of_r_has_its_one_canonical_form(text, purpose, canonical):
    found = parse_expression(text, purpose)
    assert canonical is None or found.canonical == canonical
