"""lme4's formula language: from text to terms, as R reads it.

`parse_formula` yields what the text says and knows nothing of the data; `design` gives it columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lmmkit.errors import FormulaError
from lmmkit.model.formula.bars import Bar, spell_terms
from lmmkit.model.formula.expression import Expression, read_number
from lmmkit.model.formula.parser import Reader
from lmmkit.model.formula.term_algebra import Term, by_degree
from lmmkit.model.formula.tokens import Token, tokenize


@dataclass(frozen=True)
class Formula:
    """A formula as read; `str` gives it back in one canonical spelling.

    Attributes:
        response: Left of the `~`.
        fixed: Terms of the fixed part in R's order (by degree), the intercept being `()`.
        random: Random-effects terms in the order written, nesting expanded.
        offsets: What stands in `offset(...)`.
    """

    response: Expression
    fixed: tuple[Term, ...]
    random: tuple[Bar, ...] = ()
    offsets: tuple[Expression, ...] = ()

    def __str__(self) -> str:
        parts = [spell_terms(self.fixed), *map(str, self.random), *(f"offset({o})" for o in self.offsets)]
        return f"{self.response} ~ {' + '.join(parts)}"

    def expressions(self) -> Iterator[Expression]:
        """Every expression of the formula but the grouping factors, repetitions included."""
        yield self.response
        for terms in (self.fixed, *(bar.terms for bar in self.random)):
            for term in terms:
                yield from term
        yield from self.offsets


def parse_formula(text: str) -> Formula:
    """Read a formula in lme4's language.

    Args:
        text: As R users type it: `y ~ a*b + (1 + x | g) + (x || h) + (1 | school/class) + offset(z)`.

    Raises:
        FormulaError: It cannot be read, or asks for what is not offered; the message names the term.

    >>> print(parse_formula("Reaction ~ Days + (Days | Subject)"))
    Reaction ~ 1 + Days + (1 + Days | Subject)
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise FormulaError(f"A formula is text such as 'y ~ x + (1 | g)', not {type(text).__name__}.")
    tokens = tokenize(text)
    left, right = _sides(tokens, text)
    response = _response(left, text)
    found = Reader(right, text).read()
    return Formula(response, by_degree(found.terms), tuple(found.bars), tuple(found.offsets))


def _sides(tokens: list[Token], text: str) -> tuple[list[Token], list[Token]]:
    tildes = [i for i, token in enumerate(tokens) if token.text == "~" and token.kind == "operator"]
    if len(tildes) != 1:
        raise FormulaError(f"A formula has one `~` between response and terms; `{text}` has {len(tildes)}.")
    left, right = tokens[: tildes[0]], tokens[tildes[0] + 1 :]
    if not left or not right:
        raise FormulaError(f"`{text}` has nothing {'before' if not left else 'after'} the `~`.")
    return left, right


def _response(tokens: list[Token], text: str) -> Expression:
    if tokens[0].text in ("cbind", "c") and len(tokens) > 1:
        raise FormulaError(f"`{text}` has several responses; one is expected.")
    return read_number(tokens, text)
