"""Linear hypotheses as text: `a - b = 0`, `Days = 5`, `(a + b) / 2`. Read, never evaluated.

    line        equation {"," equation}
    equation    sum {("=" | "==") sum}          a chain a = b = c holds two equations
    sum         ["+" | "-"] product {("+" | "-") product}
    product     factor {["*"] factor | "/" factor}
    factor      ["+" | "-"] factor | name | number | "(" sum ")"

A name is a coefficient of the fit in any of its spellings, brackets, colons and back-quotes included; where
several match, the longest is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, NoReturn

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError, did_you_mean
from lmmkit.model.formula.expression import LONGEST, quote
from lmmkit.model.formula.spelling import same_name, spellings

NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
DEEPEST = 50  # brackets
_END = r"(?=\s*(?:$|[-+*/=,)<>]))"


@dataclass
class Linear:
    """A linear expression: the weights of its coefficients and a number."""

    weights: dict[str, float] = field(default_factory=dict[str, float])
    number: float = 0.0

    def plus(self, other: Linear, sign: float = 1.0) -> Linear:
        """The sum, or the difference."""
        names = dict.fromkeys([*self.weights, *other.weights])
        weights = {n: self.weights.get(n, 0.0) + sign * other.weights.get(n, 0.0) for n in names}
        return Linear(weights, self.number + sign * other.number)

    def times(self, factor: float) -> Linear:
        """A multiple."""
        return Linear({name: factor * w for name, w in self.weights.items()}, factor * self.number)


class Equation(NamedTuple):
    """A hypothesis: its text, the weights of the coefficients, their value (None: none was given)."""

    text: str
    weights: dict[str, float]
    value: float | None


def equations(text: str, names: Sequence[str]) -> list[Equation]:
    """The hypotheses that a text states.

    Args:
        text: The text.
        names: The coefficients that it may use.

    Raises:
        FitError: It cannot be read, is not linear, or uses a name that is no coefficient.

    >>> equations("(a + b) / 2 = 3, x:f[T.b] = 0", ["a", "b", "x:f[T.b]"])[0]
    Equation(text='(a + b) / 2 = 3', weights={'a': 0.5, 'b': 0.5}, value=3.0)
    """
    if len(text) > LONGEST:
        raise FitError(
            f"contrast() was given a text of {len(text):,} characters; at most {LONGEST:,} are read."
        )
    return _EquationReader(text, names).line()


class _EquationReader:
    """One pass over a text; `place` is what is read next, `mark` where the last sign stood."""

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text, self.names = text, names
        self.place = self.mark = self.depth = 0
        longest = sorted(names, key=len, reverse=True)
        # A column called `5` is one in back-quotes alone.
        known = [
            p
            for n in longest
            for p in (re.escape(f"`{n}`" if quote(n) == n else quote(n)), spellings(n))
            if not re.fullmatch(NUMBER, n) or p[0] == "`"
        ]
        self.name = re.compile(rf"\s*({'|'.join(known) or '(?!)'}){_END}")
        self.number = re.compile(rf"\s*({NUMBER})")

    def line(self) -> list[Equation]:
        found: list[Equation] = []
        while not found or self._sign(","):
            found += self._equation()
        if self.text[self.place :].strip():
            self._refuse()
        return found

    def _equation(self) -> list[Equation]:
        sides, cuts = list[Linear](), list[tuple[int, int]]()
        while not sides or self._sign("=="):
            start = self.place
            sides.append(self._sum())
            cuts.append((start, self.place))
        words = [self._between(*cut) for cut in cuts]
        if len(sides) == 1:
            return [Equation(words[0], sides[0].weights, self._no_number(sides[0].number))]
        out = list[Equation]()
        for (left, right), (first, second) in zip(pairwise(sides), pairwise(words), strict=True):
            # `5 = x` is about x, not about -x.
            gap = left.plus(right, -1.0) if left.weights else right.plus(left, -1.0)
            out.append(Equation(f"{first} = {second}", gap.weights, 0.0 - gap.number))
        return out

    def _no_number(self, number: float) -> None:
        """Refuse a number by itself, where there is no `=`."""
        if number != 0.0:
            raise FitError(
                f"contrast `{self.text}` has the number {number:g} by itself: a hypothesis about a value is "
                f"written with `=`, such as `{self._example} = {abs(number):g}`."
            )

    @property
    def _example(self) -> str:
        return self.names[-1] if self.names else "x"

    def _between(self, start: int, end: int) -> str:
        return self.text[start:end].strip()

    def _sum(self) -> Linear:
        total = self._product()
        while sign := self._sign("+-"):
            total = total.plus(self._product(), -1.0 if sign == "-" else 1.0)
        return total

    def _product(self) -> Linear:
        total = self._factor()
        while True:
            if self._sign("/"):
                divisor = self._factor()
                if divisor.weights or divisor.number == 0.0:
                    self._refuse("divides by what is no number other than zero")
                total = total.times(1.0 / divisor.number)
            elif self._sign("*") or (not total.weights and self._starts()):
                other = self._factor()
                if total.weights and other.weights:
                    self._refuse("multiplies two coefficients, and a hypothesis is linear")
                total = other.times(total.number) if other.weights else total.times(other.number)
            else:
                return total

    def _starts(self) -> bool:
        """Whether a name or a bracket stands next: `2 x` is a product."""
        return bool(
            self.name.match(self.text, self.place) or re.compile(r"\s*\(").match(self.text, self.place)
        )

    def _factor(self) -> Linear:
        if self.depth > DEEPEST:
            self._refuse(f"has brackets and signs more than {DEEPEST} deep")
        if found := self.name.match(self.text, self.place):
            self.place = found.end()
            return Linear({str(same_name(found[1].strip(), self.names)): 1.0})
        if found := self.number.match(self.text, self.place):
            self.place = found.end()
            if not np.isfinite(number := float(found[1])):
                self._refuse("has a number that is too large")
            return Linear({}, number)
        self.depth += 1
        if sign := self._sign("+-"):
            inner = self._factor().times(-1.0 if sign == "-" else 1.0)
        elif self._sign("("):
            inner = self._sum()
            if not self._sign(")"):
                self._refuse()
        else:
            self._refuse()
        self.depth -= 1
        return inner

    def _sign(self, wanted: str) -> str:
        """The next sign, if it is one of those wanted; `=` may be doubled."""
        found = re.compile(r"\s*(==?|[-+*/(),])").match(self.text, self.place)
        if found is None or found[1] not in {*wanted, wanted}:
            return ""
        self.mark, self.place = found.start(), found.end()
        return found[1]

    def _refuse(self, why: str = "") -> NoReturn:
        """Raise, with what stands where reading ended."""
        rest = self.text[
            min(self.mark, self.place) if self.text[self.place :].strip() else self.mark :
        ].strip()
        listed = f"Coefficients: {', '.join(self.names)}."
        if why:
            raise FitError(f"contrast `{self.text}` {why}. {listed}")
        word = self.text[self.place :].strip(" +-*/0123456789.=,()")
        near = did_you_mean(re.split(r"\s*(?:[-+*/=,<>]|$)", word, maxsplit=1)[0], self.names) if word else ""
        if re.search(r"[<>]", rest):
            near = "; a side is chosen by side='less' or side='greater', and a value by `=`"
        if word and word == self.text.strip():
            raise FitError(
                f"`{word}` is no coefficient of this fit{near.replace(';', ' -', 1) or '.'} {listed}"
            )
        if not self.text.strip() or not self.names:
            what = "An empty text" if self.names else f"contrast `{self.text}`"
            raise FitError(f"{what} names no coefficient of this fit. {listed}")
        one, other = self._example, self.names[0] if self.names else "z"
        raise FitError(
            f"contrast `{self.text}` cannot be read at `{rest}`{near}: a sum of coefficients is expected, "
            f"such as `{one} - 0.5 * {other}` or `{one} = 0`. {listed}"
        )


def written(weights: Floats, names: Sequence[str], *, least: float, form: str) -> str:
    """A combination as text, its largest weight positive; one name alone where the other weights are small.

    Args:
        weights: (k,) of the names.
        names: What they are of.
        least: Weight up to which a name is left out.
        form: Format of a weight, with its sign.

    >>> written(np.array([-0.71, 0.7, 0.0]), ["Intercept", "Days", "x"], least=0.05, form="+.2f")
    '0.71 Intercept - 0.70 Days'
    """
    weights = weights * np.sign(weights[np.argmax(np.abs(weights))])
    parts = [(w, name) for w, name in zip(weights, names, strict=True) if abs(w) > least]
    if len(parts) == 1:
        return parts[0][1]
    text = " ".join(f"{w:{form}} {name}" for w, name in parts)
    return text.removeprefix("+").replace(" +", " + ").replace(" -", " - ")
