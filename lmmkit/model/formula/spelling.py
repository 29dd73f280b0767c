"""Names of coefficients however they are spelled: `I(x^2)`, `I(x ** 2)` and `I( x**2 )` are one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lmmkit.model.formula.expression import named_column

_WORDS = re.compile(r"\*\*|\^|\s+|[\w.]+|.")
_ALIKE = {"^": r"(?:\^|\*\*)", "**": r"(?:\^|\*\*)"}
_ALIKE |= {word: f"(?:{word}|{word.title()})" for word in ("TRUE", "FALSE")}
_ALIKE |= {word.title(): pattern for word, pattern in list(_ALIKE.items()) if word.isalpha()}


def spellings(name: str) -> str:
    """A regular expression that every spelling of a name matches: white space, powers, constants.

    >>> bool(re.fullmatch(spellings("poly(x, 2)[1]"), "poly(x,2)[1]"))
    True
    """
    return "".join(_pattern(word) for word in _WORDS.findall(name))


def _pattern(word: str) -> str:
    if word.isspace():
        return r"\s*"
    plain = word[0].isalnum() or word[0] in "_."
    found = _ALIKE.get(word, re.escape(word))
    return found if plain else rf"\s*{found}\s*"


def same_name(asked: str, names: Iterable[str]) -> str | None:
    """The name that is asked for, in back-quotes or not, or the only one that differs by its spelling alone.

    >>> same_name("I(x ** 2)", ["x", "I(x^2)"])
    'I(x^2)'
    """
    known = list(names)
    for word in (asked, named_column(asked)):
        if word in known:
            return word
    every = re.compile(spellings(asked))
    found = [name for name in known if every.fullmatch(name)]
    return found[0] if len(found) == 1 else None
