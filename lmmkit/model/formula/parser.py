"""Reading the right side of a formula: recursive descent over its words, with R's precedence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from lmmkit.errors import FormulaError
from lmmkit.model.formula.bars import Bar
from lmmkit.model.formula.expression import Expression, column, read_expression, read_number
from lmmkit.model.formula.random_terms import read_groups
from lmmkit.model.formula.term_algebra import INTERCEPT, Terms, by_degree, cross, interact, nest, power, union
from lmmkit.model.formula.tokens import Token, is_name

STRUCTURES = ("diag",)
UNBUILT = ("cs", "ar1", "us", "ou", "exp", "toep", "rr", "hetar1", "homdiag", "car1")


@dataclass
class Found:
    """What a reading yields: terms, and beside them random-effects terms and offsets."""

    terms: Terms = ()
    bars: list[Bar] = field(default_factory=list[Bar])
    offsets: list[Expression] = field(default_factory=list[Expression])


@dataclass(frozen=True)
class _Sum:
    """Terms of a part of the formula; `bare` when a 0 in it takes the intercept away."""

    terms: Terms
    bare: bool = False


class Reader:
    """Reads one side of a formula, or what stands left of a bar, by recursive descent.

    Precedence as R's: `^` over `:` over `*` and `/` over `+` and `-` over the bars.
    """

    def __init__(self, tokens: list[Token], text: str, *, bars: bool = True) -> None:
        self.tokens, self.text, self.place = tokens, text, 0
        self.bars_allowed = bars
        self.found = Found()

    def read(self) -> Found:
        """Read everything; an intercept stands at the beginning unless it is taken away."""
        total = self.sum((INTERCEPT,))
        if self.place < len(self.tokens):
            self.unexpected()
        self.found.terms = total.terms
        return self.found

    def _peek(self) -> str:
        if self.place < len(self.tokens) and self.tokens[self.place].kind == "operator":
            return self.tokens[self.place].text
        return ""

    def _next(self) -> Token:
        if self.place >= len(self.tokens):
            raise FormulaError(f"`{self.text}` ends where a term is expected.")
        self.place += 1
        return self.tokens[self.place - 1]

    def unexpected(self) -> NoReturn:
        """Refuse the word that stands next."""
        token = self.tokens[self.place]
        if token.text in ("|", "||"):
            raise FormulaError(
                f"`{self.text}` has a bar outside brackets: write the random-effects term as `(x | g)`."
            )
        raise FormulaError(
            f"`{token.text}` at character {token.start + 1} of `{self.text}` is not expected there."
        )

    def sum(self, start: Terms) -> _Sum:
        """Read terms joined by + and -, added to `start`."""
        total, bare, first = start, False, True
        while first or self._peek() in ("+", "-"):
            sign = self._signs()
            bars = len(self.found.bars) + len(self.found.offsets)
            item = self._product()
            if sign < 0 and len(self.found.bars) + len(self.found.offsets) > bars:
                raise FormulaError(f"A random-effects term or offset cannot be subtracted in `{self.text}`.")
            total, bare = _added(total, bare, item) if sign > 0 else _removed(total, bare, item)
            first = False
        return _Sum(total, bare)

    def _signs(self) -> int:
        sign = 1
        while self._peek() in ("+", "-"):
            sign = -sign if self._next().text == "-" else sign
        return sign

    def _product(self) -> _Sum:
        left = self._interaction()
        while self._peek() in ("*", "/", "%in%"):
            operator = self._next().text
            if operator == "%in%":
                raise FormulaError(f"`%in%` in `{self.text}` is not offered; write the interaction with `:`.")
            self._plain(left, operator)
            right = self._plain(self._interaction(), operator)
            combine = cross if operator == "*" else nest
            left = _Sum(combine(left.terms, right.terms))
        return left

    def _interaction(self) -> _Sum:
        left = self._power()
        while self._peek() == ":":
            self._next()
            self._plain(left, ":")
            left = _Sum(interact(left.terms, self._plain(self._power(), ":").terms))
        return left

    def _power(self) -> _Sum:
        base = self._atom()
        while self._peek() in ("^", "**"):
            self._next()
            exponent = self._next()
            if not exponent.text.isdigit() or not 1 <= int(exponent.text[:6]) <= 10:
                raise FormulaError(
                    f"`^{exponent.text}` in `{self.text}`: outside I() a power crosses terms to a degree "
                    "from 1 to 10; write I(x^2) for the square of a column."
                )
            base = _Sum(power(self._plain(base, "^").terms, int(exponent.text)))
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
            self.unexpected()
        if not token.quoted and self._peek() == "(":
            return self._call(token)
        if not is_name(token) or token.text == ".":
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

    def _inside(self) -> list[Token]:
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
            self._bar(inside, self._source(opening), "correlated")
            return _Sum(())
        reader = Reader(inside, self.text, bars=self.bars_allowed)
        reader.found = self.found
        total = reader.sum(())
        if reader.place < len(inside):
            reader.unexpected()
        return total

    def _source(self, opening: Token) -> str:
        return self.text[opening.start : self.tokens[self.place - 1].end]

    def _call(self, name: Token) -> _Sum:
        start = self.place - 1
        self._next()
        inside = self._inside()
        if _bar_at(inside):
            self._structure(name, inside)
            return _Sum(())
        if name.text == "offset":
            self._offset(inside)
            return _Sum(())
        return _Sum(((read_expression(self.tokens[start : self.place], self.text),),))

    def _offset(self, inside: list[Token]) -> None:
        if not self.bars_allowed:
            raise FormulaError(f"An offset cannot stand inside a random-effects term: `{self.text}`.")
        self.found.offsets.append(read_number(inside, self.text))

    def _structure(self, name: Token, inside: list[Token]) -> None:
        source = self._source(name)
        if name.text in UNBUILT:
            raise FormulaError(f"`{source}`: the covariance structure {name.text}(...) is not built yet.")
        if name.text not in STRUCTURES:
            raise FormulaError(f"`{source}`: `{name.text}` takes no bar; write `(x | g)` or `diag(x | g)`.")
        self._bar(inside, source, "diagonal")

    def _bar(self, inside: list[Token], source: str, structure: str) -> None:
        if not self.bars_allowed:
            raise FormulaError(f"`{self.text}`: a random-effects term cannot stand inside another.")
        at = _bar_at(inside)
        left, bar, right = inside[: at - 1], inside[at - 1], inside[at:]
        if not left or not right:
            raise FormulaError(f"`{source}` needs terms before the bar and a grouping factor after it.")
        if _bar_at(right):
            raise FormulaError(f"`{source}` has more than one bar; one bar stands between terms and group.")
        if bar.text == "||" and structure == "diagonal":
            raise FormulaError(f"`{source}`: diag() takes one bar.")
        terms = by_degree(Reader(left, self.text, bars=False).read().terms)
        if not terms:
            raise FormulaError(f"`{source}` has no column: write `(1 | g)` or `(0 + x | g)`.")
        split = structure == "correlated" and bar.text == "||"
        structure = "split" if split else structure
        self.found.bars += [Bar(terms, group, structure, source) for group in read_groups(right, source)]


def _bar_at(tokens: Sequence[Token]) -> int:
    """1 + the place of the first bar outside brackets, or 0."""
    depth = 0
    for i, token in enumerate(tokens):
        if token.kind == "operator":
            depth += (token.text in "([") - (token.text in ")]")
            if depth == 0 and token.text in ("|", "||"):
                return i + 1
    return 0


def _added(total: Terms, bare: bool, item: _Sum) -> tuple[Terms, bool]:
    if item.bare:
        total = tuple(term for term in total if term)
    return union(total, item.terms), item.bare or (bare and INTERCEPT not in item.terms)


def _removed(total: Terms, bare: bool, item: _Sum) -> tuple[Terms, bool]:
    gone = {frozenset(term) for term in item.terms}
    kept = tuple(term for term in total if frozenset(term) not in gone)
    return union((INTERCEPT,), kept) if item.bare else kept, bare or INTERCEPT in item.terms
