"""The formula language: what each spelling means, what is refused, and that `str` gives the formula back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmmkit.errors import FormulaError
from lmmkit.model.formula.formula import parse_formula, term_name, update_formula


def fixed(text: str) -> list[str]:
    return [term_name(term) for term in parse_formula(f"y ~ {text} + (1 | g)").fixed]


def random(text: str) -> list[str]:
    return [str(bar) for bar in parse_formula(f"y ~ {text}").random]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("x", "Intercept x"),
        ("1", "Intercept"),
        ("0", ""),
        ("0 + x", "x"),
        ("x - 1", "x"),
        ("-1 + x", "x"),
        ("x + 0", "x"),
        ("0 + x + 1", "Intercept x"),
        ("(0 + x)", "x"),
        ("x + x", "Intercept x"),
        ("a * b", "Intercept a b a:b"),
        ("a:b", "Intercept a:b"),
        ("b:a + a", "Intercept a b:a"),
        ("a * b - a:b", "Intercept a b"),
        ("a * b - b:a", "Intercept a b"),
        ("a / b", "Intercept a a:b"),
        ("(a + b) / c", "Intercept a b a:b:c"),
        ("(a + b + c)^2", "Intercept a b c a:b a:c b:c"),
        ("(a + b) ** 2", "Intercept a b a:b"),
        ("a * b * c", "Intercept a b c a:b a:c b:c a:b:c"),
        ("a:b + c", "Intercept c a:b"),
        ("x^2", "Intercept x"),
        ("I(x^2)", "Intercept I(x^2)"),
        ("I(2 * x^2)", "Intercept I(2 * x^2)"),
        ("log( x )", "Intercept log( x )"),
        ("poly(x,2)", "Intercept poly(x,2)"),
        ("poly(x,  2, raw = TRUE)", "Intercept poly(x, 2, raw = TRUE)"),
        ("Sepal.Length", "Intercept Sepal.Length"),
        ("log(Sepal.Length)", "Intercept log(Sepal.Length)"),
        ("`my column` + class", "Intercept my column class"),
        ("C(a, contr.sum)", "Intercept C(a, contr.sum)"),
    ],
)
def test_fixed_terms_are_as_in_r(text, terms):
    assert " ".join(fixed(text)) == terms


@pytest.mark.parametrize(
    ("text", "bars"),
    [
        ("(x | g)", ["(1 + x | g)"]),
        ("(0 + x | g)", ["(0 + x | g)"]),
        ("(x - 1 | g)", ["(0 + x | g)"]),
        ("(x || g)", ["(1 + x || g)"]),
        ("(1 | a/b)", ["(1 | b:a)", "(1 | a)"]),
        ("(1 | a/b/c)", ["(1 | c:(b:a))", "(1 | b:a)", "(1 | a)"]),
        ("(1 | a:b)", ["(1 | a:b)"]),
        ("(1 | (a:b))", ["(1 | a:b)"]),
        ("(x | a:b)", ["(1 + x | a:b)"]),
        ("((1 | g))", ["(1 | g)"]),
        ("(x + (1 | g))", ["(1 | g)"]),
        ("(1 | g) + (0 + x | g)", ["(1 | g)", "(0 + x | g)"]),
        ("(a * b | g)", ["(1 + a + b + a:b | g)"]),
        ("(poly(x, 2) + log(z) | g)", ["(1 + poly(x, 2) + log(z) | g)"]),
        ("diag(1 + x | g)", ["diag(1 + x | g)"]),
        ("us(x | g)", ["(1 + x | g)"]),
        ("cs(1 + x | g)", ["cs(1 + x | g)"]),
        ("cs(0 + f | g, hom = TRUE)", ["homcs(0 + f | g)"]),
        ("cs(0 + f | g, hom=FALSE)", ["cs(0 + f | g)"]),
        ("ar1(0 + f | g, hom=FALSE)", ["hetar1(0 + f | g)"]),
        ("ar1(0 + f | g, hom=TRUE)", ["ar1(0 + f | g)"]),
        ("id(0 + f | g)", ["homdiag(0 + f | g)"]),
        ("diag(0 + f | a/b, hom=TRUE)", ["homdiag(0 + f | b:a)", "homdiag(0 + f | a)"]),
        ("toep(0 + f | g, hom=TRUE)", ["homtoep(0 + f | g)"]),
        ("ou(pos(t) + 0 | g)", ["ou(0 + pos(t) | g)"]),
        ("exp(pos(x, log(y)) - 1 | g)", ["exp(0 + pos(x, log(y)) | g)"]),
    ],
)
def test_random_terms_are_as_in_lme4(text, bars):
    assert random(text) == bars


def test_offsets_and_response_are_expressions():
    formula = parse_formula("log(y) ~ x + offset(z / 2) + offset(w) + (1 | g)")
    assert formula.response.text == "log(y)"
    assert [offset.text for offset in formula.offsets] == ["z / 2", "w"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("y ~ x | g", "outside brackets"),
        ("y ~ x + x | g", "write the random-effects term as `(x | g)`"),
        ("y ~ (1 | g | h)", "more than one bar"),
        ("y ~ ((1 | g) | h)", "inside another"),
        ("y ~ (1 | (x | g))", "cannot stand in a grouping factor"),
        ("y ~ x * (1 | g)", "can only be added"),
        ("y ~ x:(1 | g)", "can only be added"),
        ("y ~ (1 | g)^2", "can only be added"),
        ("y ~ x - (1 | g)", "cannot be subtracted"),
        ("y ~ (0 | g)", "has no column"),
        ("y ~ (-1 | g)", "has no column"),
        ("y ~ ( | g)", "needs terms before the bar"),
        ("y ~ (1 | )", "grouping factor after it"),
        ("y ~ (1 | 1)", "cannot stand in a grouping factor"),
        ("y ~ (1 | factor(g))", "make any other grouping a column"),
        ("y ~ (1 | a + b)", "`+` cannot stand in a grouping factor"),
        ("y ~ (1 | a * b)", "`*` cannot stand in a grouping factor"),
        ("y ~ (1 | a:a)", "uses a column twice"),
        ("y ~ (1 | mm(a, b):g)", "mm() stands alone right of the bar"),
        ("y ~ (1 | g / mm(a, b))", "mm() stands alone right of the bar"),
        ("y ~ (1 | mm())", "mm() names no column"),
        ("y ~ (1 | mm(a, a))", "mm() names the column `a` twice"),
        ("y ~ (1 | mm(a, log(b)))", "mm() takes columns that name a row's members"),
        ("y ~ (1 | mm(a, b, weights=c(w)))", "mm() has 2 columns and 1 weights"),
        ("y ~ (1 | mm(a, b, weights=cbind(w, )))", "An expression is empty"),
        ("y ~ (1 | mm(a, b, wieghts=c(v, w)))", "no option `wieghts` here"),
        ("y ~ (1 | mm(a, b, scale=2))", "scale of mm() is TRUE"),
        ("y ~ (1 | mm(a, b, cov=K))", "give the covariance matrix of the levels as known="),
        ("y ~ ar1(visit | subject)", "goes by the order of the columns, in which an intercept has no place"),
        ("y ~ toep(1 + f | g)", "write `toep(0 + f | g)`"),
        ("y ~ csh(0 + f | g)", "did you mean `cs`?"),
        ("y ~ foo(0 + f | g)", "foo(...) is not offered around a bar; write `us(x | g)`, `diag(x | g)`"),
        ("y ~ ou(pos(t) | g)", "write `ou(0 + pos(t) | ...)`"),
        ("y ~ ou(0 + t | g)", "write `ou(0 + pos(t) | g)` with the columns of the coordinates"),
        ("y ~ ou(0 + pos(x, y) | g)", "one coordinate, such as time, and 2 were given"),
        ("y ~ exp(0 + pos() | g)", "pos() needs the columns"),
        ("y ~ us(x | g, hom=TRUE)", "us takes no `hom`; diag, cs, ar1 and toep do"),
        ("y ~ (x | g, hom=TRUE)", "a plain bar takes no `hom`"),
        ("y ~ cs(x | g, hom=2)", "hom=2 was given; TRUE or FALSE is expected"),
        ("y ~ cs(x | g, rho=1)", "`rho = 1` is not offered after the grouping factor"),
        ("y ~ cs(x || g)", "cs() takes one bar"),
        ("y ~ frob(x | g)", "`frob(x | g)`: frob(...) is not offered around a bar"),
        ("y ~ cs(x) + (1 | g)", "`cs()` is not a function"),
        ("y ~ frobnicate(x) + (1 | g)", "is not a function of the formula language"),
        ("y ~ lgo(x) + (1 | g)", "did you mean `log`?"),
        ("y ~ . + (1 | g)", "name the columns one by one"),
        ("y ~ 2 * x + (1 | g)", "arithmetic goes inside I()"),
        ("y ~ (a + b)^x + (1 | g)", "crosses terms to a degree"),
        ("y ~ (a + b)^99 + (1 | g)", "from 1 to 10"),
        ("y ~ x %in% z + (1 | g)", "is not offered"),
        ("y ~ x +", "ends where a term is expected"),
        ("y ~ x +* z", "not expected"),
        ("y ~ x z + (1 | g)", "not expected"),
        ("y ~ x + (1 | g", "`)` is missing"),
        ("y ~ x) + (1 | g)", "closes nothing"),
        ("y ~ x ~ z", "has 2"),
        ("y", "has 0"),
        ("~ x + (1 | g)", "nothing before"),
        ("y ~", "nothing after"),
        ("C(y) ~ (1 | g)", "`C(y)` in `C(y) ~ (1 | g)` is a factor"),
        ("y ~ offset(factor(a)) + (1 | g)", "is a factor; numbers are expected"),
        ("cbind(a, b) ~ (1 | g)", "several responses"),
        ("y ~ x$z + (1 | g)", "Cannot read `$`"),
        ("y ~ offset(z):x + (1 | g)", "can only be added"),
        ("y ~ (offset(z) | g)", "cannot stand inside a random-effects term"),
        ("y ~ () + (1 | g)", "is empty"),
        ("y ~ (" + " * ".join(f"x{i}" for i in range(20)) + ") + (1 | g)", "more than 4,096 terms"),
        ("y ~ " + "x" * 20_000, "at most 10,000"),
        ("y ~ " + "(" * 60 + "x" + ")" * 60, "deep"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(text, said):
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    assert said in str(caught.value)


def test_a_formula_that_is_no_text_is_refused():
    with pytest.raises(FormulaError, match="A formula is text"):
        parse_formula(3)  # type: ignore[arg-type]


FACTORS = st.sampled_from(
    [
        "x",
        "z",
        "a",
        "`odd name`",
        "Sepal.Length",
        "log(x)",
        "I(x^2 - z)",
        "poly(x, 2)",
        "C(a, sum)",
        "scale(`odd name`)",
    ]
)
TERMS = st.lists(FACTORS, min_size=1, max_size=3).map(":".join)
SUMS = st.builds(
    lambda start, terms: " + ".join([start, *terms]),
    st.sampled_from(["0", "1"]),
    st.lists(TERMS, min_size=1, max_size=4),
)
GROUPS = st.sampled_from(["g", "g:h", "g/h", "g/h/k", "`odd group`:g", "(g:h)/k"])
BARS = st.one_of(
    st.builds("({} {} {})".format, SUMS, st.sampled_from(["|", "||"]), GROUPS),
    st.builds("diag({} | {})".format, SUMS, GROUPS),
)


@given(SUMS, st.lists(BARS, min_size=1, max_size=3), st.sampled_from(["", " + offset(x / 2)"]))
def test_a_formula_is_read_back_from_its_text(terms, bars, offset):
    formula = parse_formula(f"log(y) ~ {terms} + {' + '.join(bars)}{offset}")
    again = parse_formula(str(formula))
    assert again == formula
    assert str(again) == str(formula)


@pytest.mark.parametrize(
    ("formula", "named"),
    [
        ("y ~ age + age**2 + (1 | g)", "I(age^2)"),
        ("y ~ age^3 + (1 | g)", "I(age^3)"),
        ("y ~ age * age + (1 | g)", "I(age^2)"),
        ("y ~ age:age + (1 | g)", "I(age^2)"),
        ("y ~ log(age)^2 + (1 | g)", "I(log(age)^2)"),
        ("y ~ age + (age + age^2 | g)", "I(age^2)"),
        ("y ~ `body mass`^2 + (1 | g)", "I(`body mass`^2)"),
    ],
)
def test_a_power_outside_i_is_noticed_with_what_to_write(formula, named):
    (notice,) = parse_formula(formula).notices
    assert named in notice
    parse_formula(f"y ~ {named} + (1 | g)")


@pytest.mark.parametrize(
    "formula", ["y ~ (a + b)^2 + (1 | g)", "y ~ a * b + (a | g)", "y ~ I(a^2) + a^1 + (1 | g)"]
)
def test_crossing_is_not_noticed(formula):
    assert parse_formula(formula).notices == ()


@pytest.mark.parametrize(
    ("old", "change", "made"),
    [
        ("y ~ x + z + (x | g)", ". ~ . - z", "y ~ 1 + x + (1 + x | g)"),
        ("y ~ x + (x | g)", "~ . - z + x - x", "takes away `z`, which the formula does not have"),
        ("y ~ x + (x | g)", "log(.) ~ . + (1 | h)", "log(y) ~ 1 + x + (1 + x | g) + (1 | h)"),
        ("y + 1 ~ x + (1 | g)", ". * . ~ x + (1 | g)", "(y + 1) * (y + 1) ~ 1 + x + (1 | g)"),
        ("y ~ x + offset(z) + (1 | g)", ". ~ . - offset(z)", "y ~ 1 + x + (1 | g)"),
        ("y ~ x + (1 | g)", "`.` ~ .", "`.` ~ 1 + x + (1 | g)"),
        ("y ~ x + (1 | g)", ". ~ `.` + (1 | g)", "y ~ 1 + `.` + (1 | g)"),
        ("y ~ x + (1 | g)", ". ~ . - (1 | h)", "takes away `(1 | h)`, which the formula does not have"),
    ],
)
def test_a_dot_is_what_was_on_its_side_unless_it_is_quoted(old, change, made):
    try:
        found = str(update_formula(parse_formula(old), change))
    except FormulaError as error:
        found = str(error)
    assert made in found


def test_a_term_that_is_not_there_may_be_taken_away_from_a_whole_formula():
    assert " ".join(fixed("a - b")) == "Intercept a"
    with pytest.raises(FormulaError, match="random-effects term or offset cannot be subtracted"):
        parse_formula("y ~ a - (1 | g)")


@pytest.mark.parametrize("spelled", ["I(x ** 2)", "I(x**2)", "I( x^2 )"])
def test_one_expression_under_two_spellings_is_one_term_under_the_first(spelled):
    formula = parse_formula(f"y ~ I(x^2) + {spelled} + ({spelled} | g)")
    assert " ".join(fixed(f"I(x^2) + {spelled}")) == "Intercept I(x^2)"
    assert parse_formula(str(formula)) == formula
    assert formula.random[0].terms == formula.fixed


def test_the_bounds_of_terms_and_members_are_held_to_the_unit():
    def crossed(k):
        return f"({' + '.join(f'a{i}' for i in range(64))}) : ({' + '.join(f'b{i}' for i in range(k))})"

    assert len(fixed(crossed(64))) == 4_097
    with pytest.raises(FormulaError, match="more than 4,096 terms"):
        fixed(crossed(65))

    def members(k):
        return parse_formula(f"y ~ 1 + (1 | mm({', '.join(f'm{i}' for i in range(k))}))")

    assert len(members(100).random[0].group.names) == 100
    with pytest.raises(FormulaError, match="has 101 columns; at most 100"):
        members(101)
    assert "Intercept" in fixed("(a + b)^10")
    with pytest.raises(FormulaError, match="a degree from 1 to 10"):
        fixed("(a + b)^11")
