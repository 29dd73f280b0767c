"""The language of residual structures: what each spelling means, what is refused and how it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmmkit.errors import FormulaError
from lmmkit.model.formula.residual_formula import FAMILIES, ResidualFormula, parse_residual


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


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("corAR1(form = ~ week | id)", "`ar1(week | id)`"),
        ("corAR1(0.2, form = ~ 1 | site/id)", "`ar1(1 | id:site)`"),
        ("corCompSymm(form=~1|id)", "`cs(1 | id)`"),
        ("corSymm(form = ~ 1 | id)", "`un(1 | id)`"),
        ("varIdent(form = ~ 1 | sex)", "`ident(sex)`"),
        ("corCAR1(form = ~ day | id)", "`ar1(day | id)`"),
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
        ("power(fitted)", "Offered: iid, un (or us)"),
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


@given(st.text(alphabet="uncsar1h(|)*,=~ \"'`ident:by;g/+0", max_size=40))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        found = parse_residual(text)
    except FormulaError:
        return
    assert found is None or parse_residual(str(found)) == found
