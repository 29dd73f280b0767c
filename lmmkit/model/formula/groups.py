"""What stands right of a bar: a grouping factor, or several memberships of a row.

`a`, `a:b` and `a/b` as lme4 reads them; `mm(t1, t2, weights=cbind(w1, w2), scale=TRUE)` as brms does: a row
belongs to the level in `t1` and to that in `t2`, each with its share. Its levels are those of all columns.

Reference: Buerkner, brms: Bayesian Regression Models using Stan, `mm`; its default weights are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from lmmkit.errors import FormulaError, did_you_mean
from lmmkit.model.formula.expression import Expression, Token, closing, is_name, quote, read_number, split

MEMBERS = "mm"
MOST_MEMBERS = 100
_TRUTH = {"TRUE": True, "True": True, "T": True, "FALSE": False, "False": False, "F": False}


@dataclass(frozen=True)
class Membership:
    """How the members of a row share in its effect.

    Attributes:
        weights: What each member counts, an expression of columns or a number; none: all alike, 1 in all.
        scale: Whether the weights of a row are divided by their sum.
    """

    weights: tuple[Expression | float, ...] = ()
    scale: bool = True

    def __str__(self) -> str:
        shares = ", ".join(
            repr(w).removesuffix(".0") if isinstance(w, float) else str(w) for w in self.weights
        )
        return (f", weights=c({shares})" if shares else "") + ("" if self.scale else ", scale=FALSE")

    def columns(self) -> list[str]:
        """Names of the columns that the weights use."""
        used = [weight for weight in self.weights if isinstance(weight, Expression)]
        return [name for weight in used for name in weight.variables]


@dataclass(frozen=True)
class Group:
    """A column, the interaction of two grouping factors, or several memberships.

    Attributes:
        names: Its columns in the order of its label.
        label: As lme4 labels it: `g`, `cask:batch`, `c:(b:a)`; `mm(t1, t2)`.
        text: As a formula writes it, odd names in back-quotes.
        members: How the levels in its columns share, where a row belongs to several; else None.
    """

    names: tuple[str, ...]
    label: str
    text: str
    members: Membership | None = None

    def __str__(self) -> str:
        return self.text

    def columns(self) -> list[str]:
        """Names of all columns that it uses, those of weights included."""
        return [*self.names, *(self.members.columns() if self.members else ())]


def read_groups(tokens: Sequence[Token], source: str) -> list[Group]:
    """Grouping factors of one bar: `a` gives itself, `a/b` gives `b:a` and `a`, innermost first.

    Raises:
        FormulaError: Something else than columns, `:`, `/`, brackets and mm().
    """
    if tokens[0].text == MEMBERS and not tokens[0].quoted and len(tokens) > 1 and tokens[1].text == "(":
        return [_several(tokens, source)]
    reader = _GroupReader(tokens, source)
    groups = [reader.interaction()]
    while reader.at("/"):
        groups.append(_pair(reader.interaction(), groups[-1]))
    if reader.place < len(tokens):
        reader.refuse(tokens[reader.place])
    return groups[::-1]


def _pair(left: Group, right: Group) -> Group:
    """The interaction of two grouping factors."""
    inner = "({})" if len(right.names) > 1 else "{}"
    label, text = (f"{a}:{inner.format(b)}" for a, b in ((left.label, right.label), (left.text, right.text)))
    names = (*left.names, *right.names)
    if len(set(names)) < len(names):
        raise FormulaError(f"The grouping factor `{label}` uses a column twice.")
    return Group(names, label, text)


class WordReader:
    """Words of a formula, read one after the other."""

    def __init__(self, tokens: Sequence[Token], text: str) -> None:
        self.tokens, self.text = tokens, text
        self.place: int = 0

    def peek(self) -> str:
        """The operator that stands next, or nothing."""
        token = self.tokens[self.place] if self.place < len(self.tokens) else None
        return token.text if token is not None and token.kind == "operator" else ""

    def at(self, *operators: str) -> str:
        """The operator that stands next, read, if it is one of these; or nothing."""
        found = self.peek() if self.peek() in operators else ""
        self.place += bool(found)
        return found


class _GroupReader(WordReader):
    """What stands right of a bar."""

    def refuse(self, token: Token) -> NoReturn:
        """Refuse a word."""
        if token.text == MEMBERS and not token.quoted:
            raise FormulaError(
                f"`{self.text}`: mm() stands alone right of the bar, neither crossed nor nested; make a "
                "column of the interaction for each member, and write mm() of these."
            )
        raise FormulaError(
            f"`{self.text}`: `{token.text}` cannot stand in a grouping factor, which is a column, an "
            "interaction `a:b` or a nesting `a/b`; make any other grouping a column of the data first."
        )

    def interaction(self) -> Group:
        """`a:b:c`, or one factor."""
        group = self._atom()
        while self.at(":"):
            group = _pair(group, self._atom())
        return group

    def _atom(self) -> Group:
        if self.place >= len(self.tokens):
            raise FormulaError(f"`{self.text}`: the grouping factor is incomplete.")
        if self.at("("):
            group = self.interaction()
            if not self.at(")"):
                self.refuse(self.tokens[min(self.place, len(self.tokens) - 1)])
            return group
        token = self.tokens[self.place]
        self.place += 1
        if not is_name(token) or self.peek() == "(":
            self.refuse(token)
        return Group((token.text,), token.text, quote(token.text))


# Several memberships


def _several(tokens: Sequence[Token], source: str) -> Group:
    """`mm(t1, t2, weights=cbind(w1, w2), scale=TRUE)`."""
    end = closing(tokens)
    if end < len(tokens) - 1:
        _GroupReader(tokens, source).refuse(tokens[0])
    names, weights, scale = list[str](), None, True
    for part in _listed(tokens[2:end]):
        word = part[0].text if len(part) > 1 and part[1].text == "=" else ""
        if word == "weights" and weights is None:
            weights = _weights(part[2:], source)
        elif word == "scale":
            scale = _truth(part[2:], source)
        elif word:
            _refuse_option(word, source)
        elif len(part) == 1 and is_name(part[0]):
            names.append(part[0].text)
        else:
            raise FormulaError(
                f"`{source}`: mm() takes columns that name a row's members, one each, then weights= and "
                "scale=; make any other grouping a column of the data first."
            )
    _check_members(names, weights, source)
    inside = ", ".join(map(quote, names))
    members = Membership(weights or (), scale)
    return Group(tuple(names), f"{MEMBERS}({', '.join(names)})", f"{MEMBERS}({inside}{members})", members)


def _check_members(names: Sequence[str], weights: Sequence[object] | None, source: str) -> None:
    if not names:
        raise FormulaError(f"`{source}`: mm() names no column; mm(t1, t2) is expected.")
    if len(names) > MOST_MEMBERS:
        raise FormulaError(f"`{source}`: mm() has {len(names)} columns; at most {MOST_MEMBERS} are read.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FormulaError(f"`{source}`: mm() names the column `{twice}` twice; each member has its own.")
    if weights is not None and len(weights) != len(names):
        raise FormulaError(
            f"`{source}`: mm() has {len(names)} columns and {len(weights)} weights; a weight for each column "
            f"is expected: weights=cbind({', '.join(f'w{i + 1}' for i in range(len(names)))})."
        )


def _refuse_option(word: str, source: str) -> NoReturn:
    elsewhere = {
        "cov": "give the covariance matrix of the levels as known={'mm(t1, t2)': K}",
        "cor": "write `||` for effects without correlations",
    }
    hint = elsewhere.get(
        word, f"it takes columns, weights= and scale={did_you_mean(word, ('weights', 'scale'))}"
    )
    raise FormulaError(f"`{source}`: mm() has no option `{word}` here, or has it twice: {hint}.")


def _weights(tokens: Sequence[Token], source: str) -> tuple[Expression | float, ...]:
    """`cbind(w1, w2)`, `c(1, -1)`, or what stands for the only member."""
    listed = len(tokens) > 2 and tokens[0].text in ("cbind", "c") and tokens[1].text == "("
    if listed and closing(tokens) == len(tokens) - 1:
        return tuple(_weight(part, source) for part in _listed(tokens[2:-1]))
    return (_weight(tokens, source),)


def _weight(tokens: Sequence[Token], source: str) -> Expression | float:
    sign = -1.0 if len(tokens) == 2 and tokens[0].text == "-" else 1.0
    if tokens and tokens[-1].kind == "number" and len(tokens) == 1 + (sign < 0):
        return sign * float(tokens[-1].text.rstrip("L"))
    return read_number(tokens, source)


def _truth(tokens: Sequence[Token], source: str) -> bool:
    if len(tokens) != 1 or tokens[0].text not in _TRUTH:
        raise FormulaError(f"`{source}`: scale of mm() is TRUE (weights of a row sum to 1) or FALSE.")
    return _TRUTH[tokens[0].text]


def _listed(tokens: Sequence[Token]) -> list[list[Token]]:
    """The words between the commas that stand outside brackets; none where there are no words."""
    return split(tokens, ",") if tokens else []
