"""Grouping factors: what stands right of a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lmmkit.errors import FormulaError
from lmmkit.model.formula.tokens import Token, is_name, quote


@dataclass(frozen=True)
class Group:
    """A column, or the interaction of two grouping factors.

    Attributes:
        names: Its columns in the order of its label.
        label: As lme4 labels it: `g`, `cask:batch`, `c:(b:a)`.
        text: As a formula writes it, odd names in back-quotes.
    """

    names: tuple[str, ...]
    label: str
    text: str

    def __str__(self) -> str:
        return self.text


def read_groups(tokens: Sequence[Token], source: str) -> list[Group]:
    """Grouping factors of one bar: `a` gives itself, `a/b` gives `b:a` and `a`, innermost first.

    Raises:
        FormulaError: Something else than columns, `:`, `/` and brackets.
    """
    reader = _GroupReader(tokens, source)
    chain = reader.nesting()
    if reader.place < len(tokens):
        reader.refuse(tokens[reader.place])
    groups = [chain[0]]
    for inner in chain[1:]:
        groups.append(_pair(inner, groups[-1]))
    return groups[::-1]


def _pair(left: Group, right: Group) -> Group:
    composite = len(right.names) > 1
    label = f"{left.label}:({right.label})" if composite else f"{left.label}:{right.label}"
    text = f"{left.text}:({right.text})" if composite else f"{left.text}:{right.text}"
    names = (*left.names, *right.names)
    if len(set(names)) < len(names):
        raise FormulaError(f"The grouping factor `{label}` uses a column twice.")
    return Group(names, label, text)


class _GroupReader:
    def __init__(self, tokens: Sequence[Token], source: str) -> None:
        self.tokens, self.source, self.place = tokens, source, 0

    def refuse(self, token: Token) -> None:
        if token.text == "mm":
            raise FormulaError(f"`{self.source}`: multi-membership mm(...) is not built yet.")
        raise FormulaError(
            f"`{self.source}`: `{token.text}` cannot stand in a grouping factor, which is a column, an "
            "interaction `a:b` or a nesting `a/b`; make any other grouping a column of the data first."
        )

    def nesting(self) -> list[Group]:
        """`a/b/c` as [a, b, c]."""
        chain = [self._interaction()]
        while self._at("/"):
            chain.append(self._interaction())
        return chain

    def _interaction(self) -> Group:
        group = self._atom()
        while self._at(":"):
            group = _pair(group, self._atom())
        return group

    def _at(self, operator: str) -> bool:
        here = self.place < len(self.tokens) and self.tokens[self.place].text == operator
        self.place += here
        return here

    def _atom(self) -> Group:
        if self.place >= len(self.tokens):
            raise FormulaError(f"`{self.source}`: the grouping factor is incomplete.")
        token = self.tokens[self.place]
        self.place += 1
        if token.kind == "operator" and token.text == "(":
            return self._bracket()
        followed = self.place < len(self.tokens) and self.tokens[self.place].text == "("
        if not is_name(token) or followed or token.text == ".":
            self.refuse(token)
        return Group((token.text,), token.text, quote(token.text))

    def _bracket(self) -> Group:
        group = self._interaction()
        if not self._at(")"):
            self.refuse(self.tokens[min(self.place, len(self.tokens) - 1)])
        return group
