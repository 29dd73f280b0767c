"""Lists of words between operators, for readers of small languages such as that of residual structures."""

from __future__ import annotations

from collections.abc import Sequence

from lmmkit.model.formula.expression import Token


def closing(tokens: Sequence[Token]) -> int:
    """Place of the bracket that closes the one at place 1, or -1."""
    depth = 0
    for place, token in enumerate(tokens):
        if token.kind == "operator":
            depth += (token.text in "([") - (token.text in ")]")
            if place and depth == 0:
                return place
    return -1


def split(tokens: Sequence[Token], operator: str) -> list[list[Token]]:
    """The words between the operators of one kind that stand outside brackets."""
    parts, depth = [list[Token]()], 0
    for token in tokens:
        if token.kind == "operator":
            depth += (token.text in "([") - (token.text in ")]")
            if depth == 0 and token.text == operator:
                parts.append([])
                continue
        parts[-1].append(token)
    return parts


def spelled(tokens: Sequence[Token], source: str) -> str:
    """The words as typed."""
    quoted = [f"`{token.text}`" if token.quoted else token.text for token in tokens]
    return "".join(f" {word} " if word in ("|", "+") else word for word in quoted) or source


def inside_brackets(tokens: Sequence[Token]) -> list[Token]:
    """What stands in the brackets that begin at place 1; nothing where there are none."""
    opened = len(tokens) > 2 and tokens[1].text == "("
    return list(tokens[2 : closing(tokens)]) if opened else []
