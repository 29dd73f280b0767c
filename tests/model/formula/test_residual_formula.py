"""The language of residual structures: what each spelling means, what is refused and how it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmmkit.errors import FormulaError
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.formula.residual_formula import FAMILIES, ResidualFormula, check_beside, parse_residual


def read(text: str) -> ResidualFormula:
    found = parse_residual(text)
    assert found is not None
    return found


def refusal(text: str) -> str:
    with pytest.raises(FormulaError) as caught:
        parse_residual(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("un(visit|id)", "un(visit | id)"),
        ("us( visit |id )", "un(visit | id)"),
        ("toeph(week | site:id, by = arm)", "toeph(week | site:id, by=arm)"),
        ("adh(factor(week) | id, by=arm:sex)", "adh(factor(week) | id, by=arm:sex)"),
        ("cs(1 | id)", "cs(1 | id)"),
        ("ar1(I(day / 7) | `the id`)", "ar1(I(day / 7) | `the id`)"),
        ("ar1h(Visit.No | Subject.Id)", "ar1h(Visit.No | Subject.Id)"),
        ("ident(sex)", "ident(sex)"),
        ("ident(sex:`how old`)", "ident(sex:`how old`)"),
        ("cs(visit | id) * ident(sex)", "ident(sex) * cs(visit | id)"),
        ("ident(sex)*un", None),
        ("car1(day|id)", "car1(day | id)"),
        ("exp(I(day/7) | site:id)", "car1(I(day/7) | site:id)"),
        ("sp_exp(day | id)", "car1(day | id)"),
        ("expsp(day | id, nugget=FALSE)", "car1(day | id)"),
        ("exp(day | id, nugget=TRUE)", "expsp(day | id, nugget=TRUE)"),
        ("car1(day | 1)", "car1(day | 1)"),
        ("expsp(x,y|field)", "expsp(x, y | field)"),
        ("exp(x, y | 1)", "expsp(x, y | 1)"),
        ("sp_exp(lat, long, height | f:b, nugget = True)", "expsp(lat, long, height | f:b, nugget=TRUE)"),
        ("power(dose)", "power(dose)"),
        ("power(fitted)", "power(fitted)"),
        ("power(`fitted`)", "power(`fitted`)"),
        ("exp(`dose (mg)`)", "exp(`dose (mg)`)"),
        ("exp(log(dose + 1))", "exp(log(dose + 1))"),
        ("car1(day | id) * ident(sex)", "ident(sex) * car1(day | id)"),
        ("cs(visit | id) * exp(dose)", "exp(dose) * cs(visit | id)"),
        ("power(fitted) * exp(day | id)", "power(fitted) * car1(day | id)"),
        ("expsp(x, y | f, nugget=TRUE) * power(dose)", "power(dose) * expsp(x, y | f, nugget=TRUE)"),
    ],
)
def test_each_spelling_has_one_canonical_form(text: str, canonical: str | None) -> None:
    if canonical is None:
        assert "un(visit | subject)" in refusal(text)
        return
    found = read(text)
    assert str(found) == canonical
    assert read(canonical) == found


@pytest.mark.parametrize("text", [None, "iid", " iid "])
def test_independent_residuals_are_no_structure(text: str | None) -> None:
    assert parse_residual(text) is None


@pytest.mark.parametrize(("tag", "kind"), FAMILIES.items())
def test_each_word_says_its_correlation_and_its_variances(tag: str, kind: tuple[str, bool]) -> None:
    found = read(f"{tag}(t | g)")
    assert (found.correlation, found.heterogeneous, found.tag) == (*kind, tag)


def test_a_structure_names_every_column_that_it_uses() -> None:
    found = read("ident(a:b) * ar1(I(day/7) | site:id, by=arm)")
    assert list(found.columns()) == ["day", "site", "id", "arm", "a", "b"]
    found = read("power(log(dose)) * expsp(x, y | site:id)")
    assert list(found.columns()) == ["x", "y", "dose", "site", "id"]
    assert list(read("power(fitted) * car1(day | 1)").columns()) == ["day"]


def test_a_column_that_is_called_fitted_is_told_from_the_fitted_values() -> None:
    assert read("power(fitted)").follows_fit
    assert not read("power(`fitted`)").follows_fit
    assert list(read("power(`fitted`)").columns()) == ["fitted"]


@pytest.mark.parametrize("same", ["exp(t | g)", "expsp(t | g)", "sp_exp(t | g)"])
def test_an_exponential_correlation_in_one_coordinate_is_car1(same: str) -> None:
    assert read(same) == read("car1(t | g)")


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("corAR1(form = ~ week | id)", "`ar1(week | id)`"),
        ("corAR1(0.2, form = ~ 1 | site/id)", "`ar1(1 | id:site)`"),
        ("corCompSymm(form=~1|id)", "`cs(1 | id)`"),
        ("corSymm(form = ~ 1 | id)", "`un(1 | id)`"),
        ("varIdent(form = ~ 1 | sex)", "`ident(sex)`"),
        ("corCAR1(form = ~ day | id)", "`car1(day | id)`"),
        ("corCAR1(0.3, ~ day | site/id)", "`car1(day | id:site)`"),
        ("corExp(form = ~ day | id)", "`car1(day | id)`"),
        ("corExp(form = ~ lat + long)", "`expsp(lat, long | 1)`"),
        (
            "corExp(c(10, 0.2), form = ~ lat + long | field, nugget = TRUE)",
            "`expsp(lat, long | field, nugget=TRUE)`",
        ),
        (
            "corGaus(form = ~ lat + long | field)",
            "the exponential one is offered; write `expsp(lat, long | field)`",
        ),
        ("varPower(form = ~ age)", "`power(age)`"),
        ("varPower()", "`power(fitted)`"),
        ("varPower(form = ~ fitted(.))", "`power(fitted)`"),
        ("varPower(form = ~ age | Sex)", "`power(age)`, which has one parameter for all levels of `Sex`"),
        ("varExp(form = ~ log(age))", "`exp(log(age))`"),
        ("varExp()", "takes a column, not the fitted values; write `exp(x)`"),
        ("varConstPower(form = ~ age)", "beside a constant, which is not offered; write `power(age)`"),
        ("varFixed(~ age)", "prior weights, 1 / variance"),
        ("varComb(varIdent(form = ~ 1 | Sex), varPower())", "one variance function is offered"),
        ("repeated / type=sp(pow)(day) subject=id;", "`car1(day | id)`"),
        ("repeated / type=SP(EXP)(x y) subject=field local", "`expsp(x, y | field, nugget=TRUE)`"),
        ("SP(POW)(day)", "`car1(day | subject)`"),
        ("sp(gau)(x y)", "`expsp(x, y | subject)`"),
        ("ou(day + 0 | id)", "`car1(day | id)`"),
        ("corARMA(form = ~ day | id, p = 1)", "no structure that is offered"),
        ("power(~ x)", "`power(x)` is expected"),
        ("power(fitted(.))", "`power(fitted)`"),
        ("repeated visit / subject=id type=un group=arm;", "`un(visit | id, by=arm)`"),
        ("repeated week / type=toeph sub=pt", "`toeph(week | pt)`"),
        ("TYPE=ARH(1) SUBJECT=id", "`ar1h(visit | id)`"),
        ("AR(1)", "`ar1(visit | subject)`"),
        ("ANTE(1)", "`adh(visit | subject)`"),
        ("VC", "`iid`"),
        ("hetar1(0 + week | id)", "`ar1h(week | id)`"),
        ("diag(week | id)", "`ident(week)`"),
        ("ident(~ 1 | sex)", "`ident(sex)`"),
        ("un(visit | arm/id)", "`un(visit | id, by=arm)`"),
        ("un(visit | id, group=arm)", "`by=arm`"),
        ("UN(visit | id)", "did you mean `un`?"),
        ("topeh(visit | id)", "did you mean `toeph`?"),
        ("idnet(sex)", "did you mean `ident`?"),
    ],
)
def test_another_spelling_is_refused_with_ours(text: str, ours: str) -> None:
    assert ours in refusal(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ident(a) * ident(b)", "`ident(a:b)` has a variance for each combination"),
        ("cs(t | g) * ar1(t | g)", "2 correlations"),
        ("ident(a) * csh(t | g)", "`cs(t | g)`, which has one variance"),
        ("ident(a) * un(t | g)", "take `un(t | g)` alone"),
        ("cs(t | g) + ident(a)", "`+` is not expected"),
        ("power(x) * exp(x)", "2 variance functions; one is expected."),
        ("power(x) * csh(t | g)", "`cs(t | g)`, which has one variance"),
        ("car1(t | g) * ar1(t | g)", "2 correlations"),
        ("car1(1 | g)", "`ar1(1 | g)` takes the rows of a group as equally spaced"),
        ("car1(2 | g)", "uses no column"),
        ("car1(x, y | g)", "`expsp(x, y | g)` for distances in the plane"),
        ("car1(t | g, by=arm)", "not for car1()"),
        ("car1(t)", "`car1(t | 1)` takes all rows as one group"),
        ("expsp(x, y)", "`expsp(x, y | 1)` takes all rows as one group"),
        ("expsp(x, x | g)", "twice"),
        ("expsp(poly(x, 2) | g)", "several columns"),
        ("expsp(x, y | g, nugget=2)", "takes `nugget=TRUE`, or FALSE, once"),
        ("expsp(x, y | g, nugget=TRUE, nugget=TRUE)", "once and nothing else"),
        ("expsp(x, y | f/g)", "names 2"),
        ("power", "`power(x)` is expected"),
        ("power()", "`power(x)` is expected"),
        ("power(x, y)", "`power(x)` is expected"),
        ("power(x | g)", "`power(x)` is expected"),
        ("power(bs(x))", "several columns"),
        ("power(2)", "uses no column"),
        ("exp(fitted)", "`power(fitted)`"),
        ("car1", "`car1(t | g)` is expected"),
        ("nugget", "Offered: iid, un (or us)"),
        ("", "residual is empty"),
        ("cs(t | g) *", "something is missing beside `*`"),
        ("iid * cs(t | g)", "stands alone"),
        ("un", "`un(visit | subject)` is expected"),
        ("un()", "`un(visit | subject)` is expected"),
        ("un(t)", "with a bar between them"),
        ("un(t | g | h)", "with a bar between them"),
        ("un(t || g)", "with a bar between them"),
        ("un(0 | g)", "one column"),
        ("un(a + b | g)", "one column"),
        ("un(poly(t, 2) | g)", "several columns"),
        ("un(t | 1)", "cannot stand in a grouping factor"),
        ("un(t | log(g))", "cannot stand in a grouping factor"),
        ("un(t | g, by=a, by=b)", "once and nothing else"),
        ("ident(f, by=a)", "nothing beside it"),
        ("un(t | g", "`)` is missing"),
        ("un(t | g)(x)", "`(` is not expected"),
        ("un(__import__('os') | g)", "is not a function of the formula language"),
        ("__import__('os').system('true')", "no structure that is offered"),
        ("x" * 20_000, "at most 10,000"),
        ("(" * 60, "more than 40 deep"),
    ],
)
def test_what_is_not_offered_is_refused_in_words(text: str, said: str) -> None:
    assert said in refusal(text)


def test_a_structure_is_text() -> None:
    with pytest.raises(FormulaError, match="text such as"):
        parse_residual(5)  # pyright: ignore[reportArgumentType]


def read_or_refused(text: str) -> None:
    try:
        found = parse_residual(text)
    except FormulaError:
        return
    assert found is None or parse_residual(str(found)) == found


@given(st.text(alphabet="uncsar1h(|)*,=~ \"'`ident:by;g/+0", max_size=40))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    read_or_refused(text)


WORDS = [
    "un",
    "car1",
    "expsp",
    "exp",
    "power",
    "ident",
    "cs",
    "fitted",
    "nugget=TRUE",
    "corExp",
    "varPower",
    "sp",
]


@given(st.lists(st.sampled_from([*WORDS, *"(|)*,=~ x1g`+:/"]), max_size=14))
def test_any_words_are_read_or_refused_in_words(words: list[str]) -> None:
    read_or_refused("".join(words))


@pytest.mark.parametrize(
    ("formula", "residual", "refused"),
    [
        ("y ~ x", None, "has no random-effects term such as (1 | g), and no residual structure"),
        ("y ~ x", "cs(t | g)", None),
        ("y ~ x + (1 | g)", None, None),
        ("y ~ x + (1 | g)", "un(t | g)", "`(1 | g)` beside residual `un(t | g)`: both let the rows"),
        ("y ~ x + (0 + x | g)", "un(t | g)", "beside residual"),
        ("y ~ x + (1 | g)", "cs(t | g)", "beside residual"),
        ("y ~ x + (1 | g)", "toeph(t | g)", "beside residual"),
        ("y ~ x + (x | g)", "cs(t | g)", None),
        ("y ~ x + (1 | g)", "ar1(t | g)", None),
        ("y ~ x + (1 | h)", "un(t | g)", None),
        ("y ~ x + (1 | h:g)", "un(t | g:h)", "beside residual"),
        ("y ~ x + (1 | g)", "ident(g)", None),
    ],
)
def test_a_model_has_random_effects_or_a_structure_and_none_twice(formula, residual, refused):
    parts = parse_formula(formula), parse_residual(residual)
    if refused is None:
        check_beside(*parts)
        return
    with pytest.raises(FormulaError) as caught:
        check_beside(*parts)
    assert refused in str(caught.value)
