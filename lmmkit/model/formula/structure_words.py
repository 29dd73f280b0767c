"""The words of a structured random-effects term, as lme4 and glmmTMB have them: `cs(1 + x | g, hom=TRUE)`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, NoReturn

from lmmkit.engine.covariance.structure_tags import OVER_POSITIONS, STRUCTURES
from lmmkit.errors import FormulaError, did_you_mean
from lmmkit.model.formula.expression import Expression, Token, read_number
from lmmkit.model.formula.token_lists import closing, spelled, split

ALIASES = {"us": "", "id": "homdiag"}
HOMOGENEOUS = {"diag": "homdiag", "cs": "homcs", "toep": "homtoep", "hetar1": "ar1"}
HETEROGENEOUS = {hom: het for het, hom in HOMOGENEOUS.items()}
ORDERED = ("ar1", "hetar1", "toep", "homtoep")  # those that go by the order of the columns
OPTION = "hom"


class StructureWords(NamedTuple):
    """What the words around a bar say: the structure, and the coordinates of its positions, if it has any."""

    tag: str
    positions: tuple[Expression, ...] = ()


def offered() -> str:
    """The structures as a formula writes them."""
    words = ["us", *(tag for tag in STRUCTURES if tag and tag not in OVER_POSITIONS)]
    plain = ", ".join(f"`{tag}(x | g)`" for tag in words)
    return f"{plain}, `ou(0 + pos(t) | g)` or `exp(0 + pos(x, y) | g)`"


def is_structure(word: str) -> bool:
    """Whether a word before a bracket names a structure."""
    return bool(word) and (word in STRUCTURES or word in ALIASES)


def refuse_unknown(word: str, source: str) -> NoReturn:
    """Refuse a word that names no structure."""
    known = [tag for tag in (*STRUCTURES, *ALIASES) if tag]
    raise FormulaError(
        f"`{source}`: {word}(...) is not offered around a bar{did_you_mean(word, known)}; write {offered()}."
    )


def read_option(tag: str, tokens: Sequence[Token], source: str) -> tuple[str, Sequence[Token]]:
    """The structure that a tag and lme4's `hom` name, and the grouping factor's words.

    Args:
        tag: The word before the bracket.
        tokens: What stands right of the bar.
        source: The term as written.

    Raises:
        FormulaError: An option that is not offered.
    """
    parts = split(tokens, ",")
    name = ALIASES.get(tag, tag)
    if len(parts) == 1:
        return name, tokens
    for part in parts[1:]:
        words = [token.text for token in part]
        if len(parts) > 2 or len(words) != 3 or words[:2] != [OPTION, "="]:
            raise FormulaError(
                f"`{source}`: `{' '.join(words)}` is not offered after the grouping factor; `hom=TRUE` (one "
                "variance) or `hom=FALSE` (a variance for each column) may stand there."
            )
        if words[2] not in ("TRUE", "FALSE", "True", "False", "T", "F"):
            raise FormulaError(f"`{source}`: hom={words[2]} was given; TRUE or FALSE is expected.")
        one = words[2][0] == "T"
        if name not in HOMOGENEOUS and name not in HETEROGENEOUS:
            raise FormulaError(
                f"`{source}`: {tag or 'a plain bar'} takes no `hom`; diag, cs, ar1 and toep do."
            )
        name = (HOMOGENEOUS if one else HETEROGENEOUS).get(name, name)
    return name, parts[0]


def read_positions(tokens: Sequence[Token], text: str, source: str, tag: str) -> tuple[Expression, ...]:
    """The coordinates that `0 + pos(x, y)` names, left of the bar.

    Raises:
        FormulaError: Something else stands there.
    """
    words = [token.text for token in tokens]
    at = next((i for i, pair in enumerate(pairwise(words)) if pair == ("pos", "(")), -1)
    end = at + closing(tokens[at:]) if at >= 0 else -1
    around = "".join([*words[:at], *words[end + 1 :]]) if at >= 0 else ""
    example = "pos(t)" if tag == "ou" else "pos(x, y)"
    if at >= 0 and around == "":
        raise FormulaError(
            f"`{source}`: an intercept stands beside the positions, which is not meaningful: "
            f"write `{tag}(0 + {spelled(tokens, '')} | ...)`, and `(1 | ...)` beside it where levels "
            "differ as a whole."
        )
    if at < 0 or around not in ("0+", "-1+", "+0", "-1"):
        raise FormulaError(
            f"`{source}`: {tag}() goes by distances between positions and takes them alone: write "
            f"`{tag}(0 + {example} | g)` with the columns of the coordinates."
        )
    parts = split(tokens[at + 2 : end], ",")
    if not all(parts) or not parts:
        raise FormulaError(f"`{source}`: pos() needs the columns of the coordinates.")
    if tag == "ou" and len(parts) > 1:
        raise FormulaError(
            f"`{source}`: ou() goes by one coordinate, such as time, and {len(parts)} were given; write "
            f"`exp(0 + {spelled(tokens[at : end + 1], '')} | ...)` for distances in more."
        )
    return tuple(read_number(part, text) for part in parts)


def refuse_intercept(tag: str, source: str, *, intercept: bool) -> None:
    """Refuse an intercept among columns that go by their order.

    Raises:
        FormulaError: There is one.
    """
    if intercept and tag in ORDERED:
        raise FormulaError(
            f"`{source}`: {tag}() goes by the order of the columns, in which an intercept has no place: "
            f"write `{tag}(0 + f | g)` with the factor whose levels are in order."
        )
