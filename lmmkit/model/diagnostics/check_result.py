"""What a check hands back: a statistic of the data and of every replicate, and sentences made of facts.

A sentence is a form with slots, so that a terminal reads it as text and the report with each number bound to
its file and each name as its readers see it: one place for the words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats

FINE, LOOK, TROUBLE, UNCHECKED = "fine", "look", "trouble", "not checked"
VERDICTS = (TROUBLE, LOOK, FINE, UNCHECKED)
Kind = Literal["number", "probability", "text", "column", "level", "effect", "unit"]


class Fact(NamedTuple):
    """One slot of a sentence.

    Attributes:
        kind: A number, a probability (`= .03`), a text as it stands, a column, a level of a column, an effect
            (a coefficient or random effect), or the unit of the response behind a number (no value).
        value: The number or the text.
        of: The column of a level; empty otherwise.
        decimals: Of a number; None for four significant digits.
    """

    kind: Kind
    value: Any = ""
    of: str = ""
    decimals: int | None = None

    def __str__(self) -> str:
        if self.kind == "number":
            return _number(float(self.value), self.decimals)
        if self.kind == "probability":
            return "p < 0.001" if self.value < 0.001 else f"p = {self.value:.3f}"
        return "" if self.kind == "unit" else str(self.value)


def _number(value: float, decimals: int | None) -> str:
    if decimals is not None or float(value).is_integer():
        return f"{value:z,.{decimals or 0}f}"  # z: no minus before a zero
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def number(value: float, decimals: int | None = None) -> Fact:
    """A number, to so many decimals or to four significant digits."""
    return Fact("number", float(value), decimals=decimals)


def column(name: str) -> Fact:
    """A column, or a grouping factor."""
    return Fact("column", name)


def level(group: str, value: object) -> Fact:
    """A level of a column or grouping factor."""
    return Fact("level", str(value), of=group)


def effect(name: str) -> Fact:
    """A coefficient, or a random effect."""
    return Fact("effect", name)


def probability(value: float) -> Fact:
    """A p value, with its `p = `."""
    return Fact("probability", float(value))


def text(words: str) -> Fact:
    """Words as they stand."""
    return Fact("text", words)


UNIT = Fact("unit")  # of the response, behind a number


def residual_option(structure: object) -> str:
    """A residual structure in advice, as `lmm` takes it: `residual='ar1(day | g)'`."""
    return f"residual='{structure}'"


@dataclass(frozen=True)
class Sentence:
    """A form whose `{}` are filled with facts.

    >>> str(Sentence("{} rows of {}", number(3), level("Subject", 332)))
    '3 rows of 332'
    """

    form: str
    facts: tuple[Fact, ...]

    def __init__(self, form: str, *facts: Fact) -> None:
        object.__setattr__(self, "form", form)
        object.__setattr__(self, "facts", facts)

    def __str__(self) -> str:
        return self.form.format(*self.facts)

    def then(self, form: str, *facts: Fact) -> Sentence:
        """The same with more behind it."""
        return Sentence(self.form + form, *self.facts, *facts)

    def ended(self, form: str, *facts: Fact) -> Sentence:
        """The same with more before its full stop."""
        return Sentence(f"{self.form.removesuffix('.')}{form}.", *self.facts, *facts)

    def to_dict(self) -> dict[str, Any]:
        """Form and facts as plain values."""
        return {"form": self.form, "facts": [fact._asdict() for fact in self.facts]}

    def joined(self, other: Sentence) -> Sentence:
        """The same with another behind it."""
        return self.then(other.form, *other.facts)

    def begun(self) -> Sentence:
        """The same with a capital letter where it begins with a word."""
        return Sentence(self.form[:1].upper() + self.form[1:], *self.facts)


def too_few(count: int, least: int, noun: str, which: str = "") -> Sentence:
    """Why a check was not made: `there are 8 rows, fewer than 20`."""
    verb = "is" if count == 1 else "are"
    return (
        Sentence(f"there {verb} ").joined(counted(count, noun)).then(which + ", fewer than {}", number(least))
    )


def counted(count: int, noun: str) -> Sentence:
    """A number with its noun, in the plural where it is not one."""
    return Sentence(f"{{}} {noun}{'' if count == 1 else 's'}", number(count))


def listed(parts: Sequence[Sentence]) -> Sentence:
    """Parts with commas and a last `and`.

    >>> str(listed([Sentence("a"), Sentence("{}", number(2)), Sentence("c")]))
    'a, 2 and c'
    """
    out = parts[0]
    for place, part in enumerate(parts[1:], start=2):
        out = out.then(f"{' and ' if place == len(parts) else ', '}{part.form}", *part.facts)
    return out


@dataclass(frozen=True, eq=False)
class Curves:
    """A curve of the data and of every replicate, for a picture.

    Attributes:
        of: What it is of.
        x: (g,).
        values: (g, 1 + B), column 0 the data.
        back: Takes bounds (g,) to the scale of the picture, where that is another one.
        shown: (g,) the data's own curve on that scale.
    """

    of: str
    x: Floats
    values: Floats
    back: Callable[[Floats], Floats] | None = None
    shown: Floats | None = None


@dataclass(frozen=True, eq=False)
class CheckResult:
    """What one check found, before it is ranked among the replicates.

    Attributes:
        check: Which check: the same words in every table ("outlying rows").
        of: Of what: a factor, a term, a predictor, "residuals".
        fine: The sentence where the verdict is `fine`; says what was looked for and the size found.
        notable: The sentence where it is not, with the rows or groups.
        statistic: (1 + B,) large where the data depart from the model, column 0 the data; a curve (g, 1 + B)
            is judged point by point on both sides, with equal local levels; empty where `level` decides.
        size: How large it is, in words' terms (a ratio of SDs, a correlation, standard deviations).
        matters: Whether that size would matter: without it the verdict is `look` at most.
        where: The rows or groups, as text for the table; empty for none.
        remedy: What to do, available here.
        alone: What to do where none of the checks that `remedy` points to is notable; by default the same.
        tail: A p value by theory, for what the replicates cannot resolve; NaN without one.
        curve: x of the points of a curve, (g,), for its picture.
        back: Takes bounds (g,) of a curve to the scale of its picture, where that is another one.
        shown: (g,) the data's own curve on that scale.
        pictures: Curves that are drawn with an envelope of their own, and have no part in the verdict.
        unclear: The sentence in place of `fine` where the data could hardly show a departure; the verdict is
            then `not checked`.
        verdict: Of a check that is no test: thresholds give it, and it has no part in the adjustment.
        share: What its p is divided by in the adjustment; below 1 where other checks look at the same values.
        method: What the statistic is, in a few words.
    """

    check: str
    of: str
    fine: Sentence
    notable: Sentence
    statistic: Floats
    size: float = np.nan
    matters: bool = True
    where: str = ""
    remedy: str = ""
    alone: str = ""
    tail: float = np.nan
    curve: Floats = field(default_factory=lambda: np.empty(0))
    back: Callable[[Floats], Floats] | None = None
    shown: Floats | None = None
    pictures: tuple[Curves, ...] = ()
    unclear: Sentence | None = None
    verdict: str = ""
    share: float = 1.0
    method: str = ""


@dataclass(frozen=True)
class Unchecked:
    """A check that could not be made.

    Attributes:
        check: Which.
        of: Of what.
        reason: Why not, as a clause: "fewer than 20 rows".
        what: What was not checked, as the subject of a sentence: "Whether residuals are normal".
        remedy: What would make it possible; may be empty.
    """

    check: str
    of: str
    reason: Sentence
    what: Sentence
    remedy: str = ""
