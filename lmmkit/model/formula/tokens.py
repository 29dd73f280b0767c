"""Words of the formula language: names (dotted and back-quoted too), numbers, strings, operators."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lmmkit.errors import FormulaError

LONGEST = 10_000
DEEPEST = 40

_WORDS = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L?(?![\w.]))
      | (?P<name>`[^`]+`|(?:[^\W\d]|\.(?!\d))[\w.]*)
      | (?P<string>"[^"\\]*"|'[^'\\]*')
      | (?P<operator>%in%|%/%|%%|\|\||&&|\*\*|<=|>=|==|!=|[-+*/:^|~<>!&=%,()\[\]])""",
    re.VERBOSE,
)
_BARE = re.compile(r"(?:[^\W\d]|\.(?!\d))[\w.]*\Z")
_CONSTANTS = frozenset(("TRUE", "FALSE", "NULL", "True", "False", "None"))


@dataclass(frozen=True, slots=True)
class Token:
    """One word: its kind (number, name, string, operator), its text without back-quotes, its place."""

    kind: str
    text: str
    start: int
    end: int
    quoted: bool = False


def tokenize(text: str) -> list[Token]:
    """Words of `text`, in order.

    Raises:
        FormulaError: A character that no word begins with, brackets that do not match, or a text
            beyond the bounds (10,000 characters, brackets 40 deep).
    """
    if len(text) > LONGEST:
        raise FormulaError(f"The text has {len(text):,} characters; at most {LONGEST:,} are read.")
    tokens = list(_scan(text))
    _check_brackets(tokens, text)
    return tokens


def _scan(text: str):
    place = 0
    while place < len(text):
        found = _WORDS.match(text, place)
        if found is None:
            raise FormulaError(_unreadable(text, place))
        if found.lastgroup != "space":
            yield _token(found)
        place = found.end()


def _token(found: re.Match[str]) -> Token:
    kind, text = str(found.lastgroup), found.group()
    quoted = text.startswith("`")
    return Token(kind, text.strip("`") if quoted else text, found.start(), found.end(), quoted)


def _unreadable(text: str, place: int) -> str:
    return (
        f"Cannot read `{text[place]}` at character {place + 1} of `{text}`. "
        "Column names with special characters go between back-quotes."
    )


def _check_brackets(tokens: list[Token], text: str) -> None:
    opened: list[str] = []
    for token in tokens:
        if token.kind != "operator":
            continue
        if token.text in "([":
            opened.append(")" if token.text == "(" else "]")
        elif token.text in ")]" and (not opened or opened.pop() != token.text):
            raise FormulaError(f"`{token.text}` at character {token.start + 1} of `{text}` closes nothing.")
        if len(opened) > DEEPEST:
            raise FormulaError(f"Brackets are more than {DEEPEST} deep in `{text[:60]}...`.")
    if opened:
        raise FormulaError(f"`{opened[-1]}` is missing in `{text}`.")


def is_name(token: Token) -> bool:
    """Whether the word names a column (constants such as TRUE do not, unless back-quoted)."""
    return token.kind == "name" and (token.quoted or token.text not in _CONSTANTS)


def quote(name: str) -> str:
    """`name` as a formula must write it: in back-quotes unless it reads as one word."""
    bare = _BARE.match(name) and name not in _CONSTANTS and name != "."
    return name if bare else f"`{name}`"
