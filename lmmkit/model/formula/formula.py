"""lme4's formula language: from text to terms, as R reads it.

`parse_formula` yields what the text says and knows nothing of the data; `design` gives it columns.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import NoReturn, TypeVar

from lmmkit.engine.covariance.structure_tags import OVER_POSITIONS, STRUCTURES
from lmmkit.errors import FormulaError, did_you_mean
from lmmkit.model.formula.expression import (
    Expression,
    Token,
    closing,
    column,
    is_name,
    read_expression,
    read_number,
    spelled,
    split,
    tokenize,
)
from lmmkit.model.formula.groups import Group, WordReader, read_groups

Term = tuple[Expression, ...]
Terms = tuple[Term, ...]

Part = TypeVar("Part")

INTERCEPT: Term = ()
MOST_TERMS = 4_096


def term_name(term: Term) -> str:
    """Name of a term: `x`, `a:b`, `Intercept`."""
    return ":".join(factor.text for factor in term) or "Intercept"


def union(left: Terms, right: Terms) -> Terms:
    """`left + right`: each term once, in the order of its first appearance."""
    known = {frozenset(term) for term in left}
    fresh: list[Term] = []
    for term in right:
        if frozenset(term) not in known:
            known.add(frozenset(term))
            fresh.append(term)
    return (*left, *fresh)


def interact(left: Terms, right: Terms) -> Terms:
    """`left:right`: every term of one with every term of the other."""
    if len(left) * len(right) > MOST_TERMS:
        raise FormulaError(f"The formula expands to more than {MOST_TERMS:,} terms.")
    return union((), tuple(_product(a, b) for a in left for b in right))


def cross(left: Terms, right: Terms) -> Terms:
    """`left * right`: both and their interactions."""
    return union(union(left, right), interact(left, right))


def nest(left: Terms, right: Terms) -> Terms:
    """`left / right`: `left`, and `right` within the interaction of all of `left`."""
    whole: Term = ()
    for term in left:
        whole = _product(whole, term)
    return union(left, interact((whole,), right))


def power(base: Terms, degree: int) -> Terms:
    """`base ^ degree`: all interactions up to a degree."""
    total = base
    for _ in range(degree - 1):
        total = union(total, interact(total, base))
    return total


def _product(left: Term, right: Term) -> Term:
    return tuple(dict.fromkeys((*left, *right)))


def by_degree(terms: Terms) -> Terms:
    """Terms of lower degree first, as R orders them."""
    return tuple(sorted(terms, key=len))


@dataclass(frozen=True)
class Bar:
    """One random-effects term as written: `(x | g)`, with its nesting expanded.

    Attributes:
        terms: What stands left of the bar, the intercept being `()`.
        group: The grouping factor.
        tag: What names the covariance structure of its effects, before the bracket: `diag`, or nothing.
        split: Whether it has two bars: every column a term of its own.
        text: As typed.
        positions: The coordinates of its columns, where these are positions: `ou(0 + pos(t) | g)`.
    """

    terms: tuple[Term, ...]
    group: Group
    tag: str = ""
    split: bool = False
    text: str = field(default="", compare=False)
    positions: tuple[Expression, ...] = ()

    def __str__(self) -> str:
        if self.positions:
            return f"{self.tag}(0 + pos({', '.join(map(str, self.positions))}) | {self.group})"
        return f"{self.tag}({spell_terms(self.terms)} {'||' if self.split else '|'} {self.group})"


def spell_terms(terms: Sequence[Term]) -> str:
    """Terms as a formula writes them: `1 + x + x:f`, or `0 + x` without an intercept."""
    named = [":".join(map(str, term)) for term in terms if term]
    return " + ".join(["1" if INTERCEPT in terms else "0", *named])


# The words of a structured random-effects term, as lme4 and glmmTMB have them: `cs(1 + x | g, hom=TRUE)`

ALIASES = {"us": "", "id": "homdiag"}
HOMOGENEOUS = {"diag": "homdiag", "cs": "homcs", "toep": "homtoep", "hetar1": "ar1"}
HETEROGENEOUS = {hom: het for het, hom in HOMOGENEOUS.items()}
ORDERED = ("ar1", "hetar1", "toep", "homtoep")  # those that go by the order of the columns
OPTION = "hom"


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


# Reading


@dataclass
class RightSide:
    """What a reading yields: terms, and beside them random-effects terms and offsets."""

    terms: Terms = ()
    bars: list[Bar] = field(default_factory=list[Bar])
    offsets: list[Expression] = field(default_factory=list[Expression])
    notices: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class _Sum:
    """Terms of a part of the formula; `bare` when a 0 in it takes the intercept away."""

    terms: Terms
    bare: bool = False


class _Reader(WordReader):
    """Reads one side of a formula, or what stands left of a bar, by recursive descent.

    Precedence as R's: `^` over `:` over `*` and `/` over `+` and `-` over the bars.
    """

    def __init__(
        self, tokens: Sequence[Token], text: str, *, bars: bool = True, old: Formula | None = None
    ) -> None:
        super().__init__(tokens, text)
        self.bars_allowed = bars
        self.old = old  # what a dot stands for
        self.found = RightSide()

    def read(self) -> RightSide:
        """Read everything; an intercept stands at the beginning unless it is taken away."""
        self.found.terms = self._all((INTERCEPT,)).terms
        return self.found

    def _all(self, start: Terms) -> _Sum:
        """Terms joined by + and -, added to `start`, to the last word."""
        total, first = _Sum(start), True
        while first or self.peek() in ("+", "-"):
            minus, first = False, False
            while sign := self.at("+", "-"):
                minus ^= sign == "-"
            bars, offsets = len(self.found.bars), len(self.found.offsets)
            item = self._product()
            if minus and len(self.found.bars) + len(self.found.offsets) > bars + offsets:
                self._subtract(bars, offsets)
            if minus and self.old is not None:
                self._check_subtracted(total, item)
            total = _removed(total, item) if minus else _added(total, item)
        if self.place < len(self.tokens):
            self._unexpected()
        return total

    def _subtract(self, bars: int, offsets: int) -> None:
        """Take the random-effects terms and offsets from some place on away from those before them."""
        if self.old is None:
            raise FormulaError(f"A random-effects term or offset cannot be subtracted in `{self.text}`.")
        found = self.found
        found.bars = self._without(found.bars[bars:], found.bars[:bars])
        found.offsets = self._without(found.offsets[offsets:], found.offsets[:offsets])

    def _without(self, gone: list[Part], parts: list[Part]) -> list[Part]:
        for part in gone:
            if part not in parts:
                self._not_there(str(part), list(map(str, parts)))
        return [part for part in parts if part not in gone]

    def _check_subtracted(self, total: _Sum, item: _Sum) -> None:
        """Refuse to take away a term that is not there."""
        known = {frozenset(term) for term in total.terms}
        for term in item.terms:
            if term and frozenset(term) not in known:
                self._not_there(term_name(term), [term_name(other) for other in total.terms])

    def _not_there(self, gone: str, known: list[str]) -> NoReturn:
        raise FormulaError(
            f"`{self.text}` takes away `{gone}`, which the formula does not have{did_you_mean(gone, known)} "
            f"(it has {', '.join(known) or 'none'})."
        )

    def _next(self) -> Token:
        if self.place >= len(self.tokens):
            raise FormulaError(f"`{self.text}` ends where a term is expected.")
        self.place += 1
        return self.tokens[self.place - 1]

    def _unexpected(self) -> NoReturn:
        """Refuse the word that stands next."""
        token = self.tokens[self.place]
        if token.text in ("|", "||"):
            raise FormulaError(
                f"`{self.text}` has a bar outside brackets: write the random-effects term as `(x | g)`."
            )
        raise FormulaError(
            f"`{token.text}` at character {token.start + 1} of `{self.text}` is not expected there."
        )

    def _product(self) -> _Sum:
        left = self._interaction()
        while operator := self.at("*", "/", "%in%"):
            if operator == "%in%":
                raise FormulaError(f"`%in%` in `{self.text}` is not offered; write the interaction with `:`.")
            self._plain(left, operator)
            right = self._plain(self._interaction(), operator)
            combine = cross if operator == "*" else nest
            self._note_square(left, right, operator)
            left = _Sum(combine(left.terms, right.terms))
        return left

    def _note_square(self, left: _Sum, right: _Sum, operator: str, degree: int = 2) -> None:
        """Say so where a term is multiplied by itself, which leaves it as it is."""
        if left.terms != right.terms or len(left.terms) != 1 or left.terms == (INTERCEPT,):
            return
        term = spell_terms(left.terms).removeprefix("0 + ")
        written = f"{term}{operator}{degree if operator in ('^', '**') else term}"
        self.found.notices.append(
            f"`{written}` in a formula is `{term}` alone, as in R: outside I() these signs cross terms. "
            f"For the power of the values write I({term}^{degree})."
        )

    def _interaction(self) -> _Sum:
        left = self._power()
        while self.at(":"):
            self._plain(left, ":")
            right = self._plain(self._power(), ":")
            self._note_square(left, right, ":")
            left = _Sum(interact(left.terms, right.terms))
        return left

    def _power(self) -> _Sum:
        base = self._atom()
        while operator := self.at("^", "**"):
            exponent = self._next()
            if not re.fullmatch("[1-9]|10", exponent.text):
                raise FormulaError(
                    f"`^{exponent.text}` in `{self.text}`: outside I() a power crosses terms to a degree "
                    "from 1 to 10; write I(x^2) for the square of a column."
                )
            degree = int(exponent.text)
            if degree > 1:
                self._note_square(base, base, operator, degree)
            base = _Sum(power(self._plain(base, "^").terms, degree))
        return base

    def _plain(self, part: _Sum, operator: str) -> _Sum:
        """`part`, which an operator combines: neither bars nor offsets nor a 0 may stand in it."""
        if part.bare or not part.terms:
            raise FormulaError(
                f"`{operator}` in `{self.text}` combines columns; a random-effects term, an offset or a 0 "
                "can only be added."
            )
        return part

    def _atom(self) -> _Sum:
        token = self._next()
        if token.kind == "number":
            return self._number(token)
        if token.kind == "operator" and token.text == "(":
            return self._bracket(token)
        if token.kind != "name":
            self.place -= 1
            self._unexpected()
        if not token.quoted and self.peek() == "(":
            return self._call(token)
        if token.text == "." and not token.quoted and self.old is not None:
            self.found.bars += self.old.random
            self.found.offsets += self.old.offsets
            return _Sum(self.old.fixed, bare=INTERCEPT not in self.old.fixed)
        if not is_name(token):
            raise FormulaError(
                f"`{token.text}` in `{self.text}` is not a column; name the columns one by one."
            )
        return _Sum(((column(token.text),),))

    def _number(self, token: Token) -> _Sum:
        if token.text not in ("0", "1"):
            raise FormulaError(
                f"`{token.text}` in `{self.text}`: only 1 (intercept) and 0 (none) stand as terms; "
                f"arithmetic goes inside I(), as in I({token.text} * x)."
            )
        return _Sum((INTERCEPT,)) if token.text == "1" else _Sum((), bare=True)

    def _inside(self) -> Sequence[Token]:
        """The tokens up to the bracket that closes the one just read."""
        start, depth = self.place, 1
        while depth:
            text = self._next()
            if text.kind == "operator":
                depth += (text.text in "([") - (text.text in ")]")
        return self.tokens[start : self.place - 1]

    def _bracket(self, opening: Token) -> _Sum:
        inside = self._inside()
        if not inside:
            raise FormulaError(f"`()` in `{self.text}` is empty.")
        if _bar_at(inside):
            return self._bar(inside, self._source(opening), "")
        reader = _Reader(inside, self.text, bars=self.bars_allowed, old=self.old)
        reader.found = self.found
        return reader._all(())

    def _source(self, opening: Token) -> str:
        return self.text[opening.start : self.tokens[self.place - 1].end]

    def _call(self, name: Token) -> _Sum:
        start = self.place - 1
        self._next()
        inside, source = self._inside(), self._source(name)
        if _bar_at(inside):
            if not is_structure(name.text):
                refuse_unknown(name.text, source)
            return self._bar(inside, source, name.text)
        if name.text == "offset":
            if not self.bars_allowed:
                raise FormulaError(f"An offset cannot stand inside a random-effects term: `{self.text}`.")
            self.found.offsets.append(read_number(inside, self.text))
            return _Sum(())
        return _Sum(((read_expression(self.tokens[start : self.place], self.text),),))

    def _bar(self, inside: Sequence[Token], source: str, tag: str) -> _Sum:
        """Keep a random-effects term, which adds no column to the fixed part."""
        if not self.bars_allowed:
            raise FormulaError(f"`{self.text}`: a random-effects term cannot stand inside another.")
        at = _bar_at(inside)
        left, bar, right = inside[: at - 1], inside[at - 1], inside[at:]
        if not left or not right:
            raise FormulaError(f"`{source}` needs terms before the bar and a grouping factor after it.")
        if _bar_at(right):
            raise FormulaError(f"`{source}` has more than one bar; one bar stands between terms and group.")
        split = bar.text == "||"
        if split and tag:
            raise FormulaError(f"`{source}`: {tag}() takes one bar.")
        tag, right = read_option(tag, right, source)
        positions = read_positions(left, self.text, source, tag) if tag in OVER_POSITIONS else ()
        terms = () if positions else self._columns(left, tag, source)
        groups = read_groups(right, source)
        self.found.bars += [Bar(terms, group, tag, split, source, positions) for group in groups]
        return _Sum(())

    def _columns(self, left: Sequence[Token], tag: str, source: str) -> tuple[Term, ...]:
        """The terms left of a bar."""
        inside_bar = _Reader(left, self.text, bars=False).read()
        self.found.notices += inside_bar.notices
        terms = by_degree(inside_bar.terms)
        if not terms:
            raise FormulaError(f"`{source}` has no column: write `(1 | g)` or `(0 + x | g)`.")
        refuse_intercept(tag, source, intercept=INTERCEPT in terms)
        return terms


def _bar_at(tokens: Sequence[Token]) -> int:
    """1 + the place of the first bar outside brackets, or 0."""
    depth = 0
    for i, token in enumerate(tokens):
        if token.kind == "operator":
            depth += (token.text in "([") - (token.text in ")]")
            if depth == 0 and token.text in ("|", "||"):
                return i + 1
    return 0


def _added(total: _Sum, item: _Sum) -> _Sum:
    before = tuple(term for term in total.terms if term) if item.bare else total.terms
    return _Sum(union(before, item.terms), item.bare or (total.bare and INTERCEPT not in item.terms))


def _removed(total: _Sum, item: _Sum) -> _Sum:
    gone = {frozenset(term) for term in item.terms}
    kept = tuple(term for term in total.terms if frozenset(term) not in gone)
    # `- 0` brings the intercept back, as in R.
    return _Sum(union((INTERCEPT,), kept) if item.bare else kept, total.bare or INTERCEPT in item.terms)


@dataclass(frozen=True)
class Formula:
    """A formula as read; `str` gives it back in one canonical spelling.

    Attributes:
        response: Left of the `~`.
        fixed: Terms of the fixed part in R's order (by degree), the intercept being `()`.
        random: Random-effects terms in the order written, nesting expanded.
        offsets: What stands in `offset(...)`.
        notices: Sentences about what was read otherwise than it may have been meant.
    """

    response: Expression
    fixed: tuple[Term, ...]
    random: tuple[Bar, ...] = ()
    offsets: tuple[Expression, ...] = ()
    notices: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        parts = [spell_terms(self.fixed), *map(str, self.random), *(f"offset({o})" for o in self.offsets)]
        return f"{self.response} ~ {' + '.join(parts)}"

    def columns_of_terms(self) -> list[set[str]]:
        """The columns that each fixed term is made of."""
        return [{name for e in term for name in e.variables} for term in self.fixed]

    def expressions(self) -> list[Expression]:
        """Every expression of the formula but the grouping factors, repetitions included."""
        out = [self.response]
        for term in self.fixed:
            out += term
        for bar in self.random:
            for term in bar.terms:
                out += term
            out += bar.positions
        return [*out, *self.offsets]


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
    return _parsed(text)


@lru_cache(maxsize=128)
def _parsed(text: str) -> Formula:
    """The same, kept: sweeps, candidates and refits read one formula again and again."""
    left, right = _sides(tokenize(text), text)
    if left[0].text in ("cbind", "c") and len(left) > 1:
        raise FormulaError(f"`{text}` has several responses; one is expected.")
    response = read_number(left, text)
    found = _Reader(right, text).read()
    fixed, notices = by_degree(found.terms), tuple(dict.fromkeys(found.notices))
    return Formula(response, fixed, tuple(found.bars), tuple(found.offsets), notices)


def parse_candidate(text: str, base: Formula) -> Formula:
    """Read a candidate: a whole formula, or a random part to take the place of that of `base`.

    Raises:
        FormulaError: It cannot be read, or has no random-effects term.

    >>> print(parse_candidate("(1 | g)", parse_formula("y ~ x + (x | g)")))
    y ~ 1 + x + (1 | g)
    """
    whole = any(_is_tilde(token) for token in tokenize(text))
    found = parse_formula(text if whole else f"y ~ {text}")
    if not found.random:
        raise FormulaError(f"`{text}` has no random-effects term such as (1 | g)")
    return found if whole else replace(base, random=found.random)


def update_formula(old: Formula, text: str) -> Formula:
    """A formula with changes, as R's `update`: a dot stands for what was on its side.

    Args:
        old: The formula.
        text: Such as `. ~ . - x + (1 | h)` or `log(.) ~ .`; nothing before the `~` leaves the response.

    Raises:
        FormulaError: It cannot be read, or takes away what is not there.

    >>> print(update_formula(parse_formula("y ~ x + z + (x | g)"), ". ~ . - z - (x | g) + (1 | g)"))
    y ~ 1 + x + (1 | g)
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise FormulaError(f"A change of a formula is text such as '. ~ . - x', not {type(text).__name__}.")
    tokens = tokenize(text)
    if tokens and _is_tilde(tokens[0]):
        return update_formula(old, f". {text}")
    left, right = _sides(tokens, text)
    written, tree = text[: left[-1].end], old.response.tree
    dot = f"({old.response})" if isinstance(tree, ast.BinOp | ast.UnaryOp) else str(old.response)
    for token in [token for token in left[::-1] if _is_dot(token)]:
        written = f"{written[: token.start]}{dot}{written[token.end :]}"
    response = (
        old.response if _is_dot(left[0]) and len(left) == 1 else read_number(tokenize(written), written)
    )
    found = _Reader(right, text, old=old).read()
    notices = tuple(dict.fromkeys((*old.notices, *found.notices)))
    bars = tuple(dict.fromkeys(found.bars))
    return Formula(response, by_degree(found.terms), bars, tuple(found.offsets), notices)


def _is_dot(token: Token) -> bool:
    return token.kind == "name" and token.text == "." and not token.quoted


def _is_tilde(token: Token) -> bool:
    return token.kind == "operator" and token.text == "~"


def _sides(tokens: list[Token], text: str) -> tuple[list[Token], list[Token]]:
    tildes = [i for i, token in enumerate(tokens) if _is_tilde(token)]
    if len(tildes) != 1:
        raise FormulaError(f"A formula has one `~` between response and terms; `{text}` has {len(tildes)}.")
    left, right = tokens[: tildes[0]], tokens[tildes[0] + 1 :]
    if not left or not right:
        raise FormulaError(f"`{text}` has nothing {'before' if not left else 'after'} the `~`.")
    return left, right
