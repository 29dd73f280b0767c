"""The model in mathematics, as MathML that a browser sets without help.

The elements are those of MathML Core; every name from the data passes through the HTML escape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lmmkit.escape import html

SUBSCRIPTS = "ijklmn"  # one letter a grouping factor, the row's own is t


class Group(NamedTuple):
    """One random-effects term.

    Attributes:
        label: Its grouping factor, such as `Subject`.
        columns: Its columns, such as `Intercept` and `Days`.
        correlated: Whether its covariance matrix is full or diagonal.
    """

    label: str
    columns: Sequence[str]
    correlated: bool


def identifier(name: str) -> str:
    """A symbol of one letter, set in italics."""
    return f"<mi>{html(name)}</mi>"


def text(words: str) -> str:
    """Words, such as the name of a variable; their spaces are kept."""
    return f"<mtext>{html(words).replace(' ', '&#160;')}</mtext>"


def operator(sign: str) -> str:
    """A sign between two terms."""
    return f"<mo>{html(sign)}</mo>"


def number(value: float) -> str:
    """A number."""
    return f"<mn>{value:g}</mn>"


def row(*parts: str) -> str:
    """Parts in a line."""
    return f"<mrow>{''.join(parts)}</mrow>"


def subscript(base: str, index: str) -> str:
    """A symbol with an index."""
    return f"<msub>{base}{index}</msub>"


def display(*parts: str) -> str:
    """An equation on a line of its own."""
    return f'<math display="block">{row(*parts)}</math>'


def added(terms: Iterable[str]) -> str:
    """Terms with plus signs between them."""
    return operator("+").join(terms)


def model_mathml(response: str, coefficients: Sequence[str], groups: Sequence[Group]) -> str:
    """The model as equations: the response, then the distribution of each group's effects and of the residual.

    Args:
        response: Name of the response.
        coefficients: Names of the fixed effects, in order.
        groups: The random-effects terms, in order.

    Returns:
        One `<math>` element an equation.

    >>> model_mathml("y", ["Intercept"], [Group("g", ["Intercept"], True)]).count("<math")
    3
    """
    fixed = [_fixed(place, name) for place, name in enumerate(coefficients)]
    random = [
        _random(group, place, column)
        for place, group in enumerate(groups)
        for column in range(len(group.columns))
    ]
    residual = subscript(identifier("ε"), identifier("t"))
    outcome = subscript(text(response), identifier("t"))
    mean = display(outcome, operator("="), added([*fixed, *random, residual]))
    effects = [_distribution(group, place) for place, group in enumerate(groups)]
    return "\n".join([mean, *effects, _residual()])


def _fixed(place: int, name: str) -> str:
    """A fixed effect times its column."""
    beta = subscript(identifier("β"), number(place))
    return beta if name == "Intercept" else row(beta, operator("⁢"), subscript(text(name), identifier("t")))


def _letter(place: int) -> str:
    """The random effects of a term: u for the first, then v, w."""
    return identifier("uvwabc"[place % 6])


def _level(group: Group, place: int) -> str:
    """The level of a group to which row t belongs: Subject(t) is written as the group's letter."""
    return row(identifier(SUBSCRIPTS[place % len(SUBSCRIPTS)]), operator("("), identifier("t"), operator(")"))


def _random(group: Group, place: int, column: int) -> str:
    """A random effect of the row's level times its column."""
    index = row(number(column), operator(","), _level(group, place))
    effect = subscript(_letter(place), index)
    name = group.columns[column]
    return (
        effect if name == "Intercept" else row(effect, operator("⁢"), subscript(text(name), identifier("t")))
    )


def _distribution(group: Group, place: int) -> str:
    """The effects of one level are normal with mean zero and one covariance matrix for all levels."""
    letter = identifier(SUBSCRIPTS[place % len(SUBSCRIPTS)])
    effects = [
        subscript(_letter(place), row(number(column), operator(","), letter))
        for column in range(len(group.columns))
    ]
    covariance = subscript(identifier("Σ" if len(effects) > 1 else "τ"), text(group.label))
    spread = covariance if len(effects) > 1 else _squared(covariance)
    shape = text(", Σ diagonal") if len(effects) > 1 and not group.correlated else ""
    return display(
        _vector(effects),
        operator("~"),
        _normal(spread),
        text(" for each level "),
        letter,
        text(f" of {group.label}"),
        shape,
    )


def _residual() -> str:
    """The residuals are independent and normal."""
    return display(
        subscript(identifier("ε"), identifier("t")), operator("~"), _normal(_squared(identifier("σ")))
    )


def _normal(spread: str) -> str:
    """N(0, spread)."""
    return row(identifier("N"), operator("("), number(0), operator(","), spread, operator(")"))


def _squared(base: str) -> str:
    """base to the power of two."""
    return f"<msup>{base}{number(2)}</msup>"


def _vector(entries: Sequence[str]) -> str:
    """A column vector, or its only entry."""
    if len(entries) == 1:
        return entries[0]
    rows = "".join(f"<mtr><mtd>{entry}</mtd></mtr>" for entry in entries)
    return row(operator("("), f"<mtable>{rows}</mtable>", operator(")"))
