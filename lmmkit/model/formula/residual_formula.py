"""The language of residual structures: `un(visit | id)`, `power(dose) * car1(day | id)`, read without data.

The words are those of SAS and mmrm: `cs`, `toep`, `ar1` and `ad` have one variance, `csh`, `toeph`, `ar1h`,
`adh` and `un` one per visit; `car1` and `expsp` fade with distance in time and space. Other packages'
spellings are refused with the one that is read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from lmmkit.errors import FormulaError, did_you_mean
from lmmkit.model.formula.expression import (
    Expression,
    Token,
    call_name,
    closing,
    read_expression,
    read_number,
    spelled,
    split,
    tokenize,
)
from lmmkit.model.formula.formula import INTERCEPT, Bar, Formula
from lmmkit.model.formula.functions import FUNCTIONS
from lmmkit.model.formula.groups import Group, read_groups
from lmmkit.model.formula.residual_spellings import FITTED, is_of_sas, of_sas, other_spelling

#: What each word says: the correlation between visits, and whether each visit has a variance of its own.
FAMILIES: dict[str, tuple[str, bool]] = {
    "un": ("un", True),
    "cs": ("cs", False),
    "csh": ("cs", True),
    "toep": ("toep", False),
    "toeph": ("toep", True),
    "ar1": ("ar1", False),
    "ar1h": ("ar1", True),
    "ad": ("ad", False),
    "adh": ("ad", True),
}
IDENT, IID, INDEPENDENT = "ident", "iid", "identity"
#: Correlations that fade with distance: in time, in the plane.
SERIAL, SPATIAL = "car1", "expsp"
#: Variance functions of a number; `exp` with a bar is the correlation.
GROWING = ("power", "exp")
_ALIASES = {"us": "un", "sp_exp": SPATIAL}
_DISTANCES = (SERIAL, SPATIAL, "exp")
_NUGGET = {"TRUE": True, "True": True, "FALSE": False, "False": False}
OFFERED = (
    f"{IID}, un (or us), {', '.join(list(FAMILIES)[1:])}, each as `un(visit | id)`, {SERIAL}(t | id), "
    f"{SPATIAL}(x, y | id), and the variance functions {IDENT}(f), power(x), exp(x), power({FITTED})"
)
#: All rows as one group.
WHOLE = Group((), "1", "1")


@dataclass(frozen=True)
class GrowingVariance:
    """A variance function of a number: the SD is sigma |x|^power, or sigma exp(exp x).

    Attributes:
        kind: power, or exp.
        of: The number; None for the fitted values.
    """

    kind: Literal["power", "exp"]
    of: Expression | None

    def __str__(self) -> str:
        if self.of is None:
            return f"{self.kind}({FITTED})"
        plain = self.of.is_column and self.of.text == FITTED
        return f"{self.kind}(`{FITTED}`)" if plain else f"{self.kind}({self.of})"


@dataclass(frozen=True)
class ResidualFormula:
    """A residual structure as read; `str` gives it back in one canonical spelling.

    Attributes:
        correlation: Between the visits of a subject: un, cs, toep, ar1, ad; fading with distance: car1 (in
            time), expsp (in the plane); or identity, where there is none.
        heterogeneous: Whether each visit has a variance of its own.
        time: What tells a subject's visits apart, and the time of `car1`; None for the order of its rows.
        group: The subject, `WHOLE` where all rows are one; None where all rows are independent.
        by: What the structure has parameters of its own for each level of, or None.
        ident: What the variance differs by, or None.
        growing: What number the variance follows, or None.
        coordinates: Those of `expsp`.
        nugget: Whether `expsp` has a part of the variance that no two rows share.
    """

    correlation: str
    heterogeneous: bool = False
    time: Expression | None = None
    group: Group | None = None
    by: Group | None = None
    ident: Group | None = None
    growing: GrowingVariance | None = None
    coordinates: tuple[Expression, ...] = ()
    nugget: bool = False

    @property
    def tag(self) -> str:
        """Its word: `un`, `csh`, `car1`; where rows are independent, that of the variance: `ident`."""
        if self.correlation in (SERIAL, SPATIAL):
            return self.correlation
        kinds = {kind: tag for tag, kind in FAMILIES.items()}
        alone = self.growing.kind if self.growing else IDENT
        return kinds.get((self.correlation, self.heterogeneous), alone)

    @property
    def fades(self) -> bool:
        """Whether its correlation fades with a distance that is measured, in time or in the plane."""
        return self.correlation in (SERIAL, SPATIAL)

    @property
    def over_cells(self) -> bool:
        """Whether it is a matrix over visits and levels, so that none of its numbers is a measurement."""
        return not self.fades and self.growing is None

    @property
    def follows_fit(self) -> bool:
        """Whether its variance follows the fitted values, so that no likelihood is maximised."""
        return self.growing is not None and self.growing.of is None

    @property
    def measured(self) -> tuple[Expression, ...]:
        """The expressions that are numbers: times of `car1`, coordinates, what a variance follows."""
        serial = (self.time,) if self.correlation == SERIAL and self.time else ()
        of = self.growing.of if self.growing else None
        return (*serial, *self.coordinates, *((of,) if of else ()))

    @property
    def variance(self) -> str:
        """Its variance function as it is written; empty for one variance, and for one per visit."""
        return f"{IDENT}({self.ident})" if self.ident else str(self.growing or "")

    @property
    def unit(self) -> str:
        """Where a variance of a number is sigma^2: `dose = 1` of a power, `dose = 0` of an exponential."""
        if self.growing is None:
            return ""
        of = self.growing.of.text if self.growing.of else FITTED
        return f"{of} = {1 if self.growing.kind == 'power' else 0}"

    def __str__(self) -> str:
        by = f", by={self.by}" if self.by else ""
        nugget = ", nugget=TRUE" if self.nugget else ""
        place = ", ".join(map(str, self.coordinates)) or self.time or 1
        correlation = f"{self.tag}({place} | {self.group}{by}{nugget})" if self.group else ""
        return " * ".join(filter(None, (self.variance, correlation)))

    def groups(self) -> Iterator[Group]:
        """Its factors: subject, by, ident, where it has them."""
        yield from (group for group in (self.group, self.by, self.ident) if group)

    def columns(self) -> list[str]:
        """Names of the columns it uses, repetitions included."""
        parts = dict.fromkeys(filter(None, (self.time, *self.measured)))
        numbers = [name for expression in parts for name in expression.variables]
        return [*numbers, *(name for group in self.groups() for name in group.names)]


def parse_residual(text: str | None) -> ResidualFormula | None:
    """Read a residual structure; None for independent residuals of one variance.

    Args:
        text: `iid`; a variance function: `ident(f)`, one variance for each level of a factor, `power(x)`, an
            SD that follows |x|^power, `exp(x)`, one that follows exp(exp x), `power(fitted)`; a correlation
            between the visits of a subject, such as `un(visit | id)` or, with parameters of its own for each
            arm, `un(visit | id, by=arm)`; one that fades with time, `car1(day | id)` (also `exp(day | id)`),
            or with distance, `expsp(x, y | field, nugget=TRUE)`; or a product of one variance function and
            one correlation of one variance, `ident(sex) * cs(visit | id)`. A visit is a column,
            `factor(week)`, an expression of whole numbers, or 1 for the order of rows; subject, arm and f are
            columns or `a:b`; all rows are one group in `car1(day | 1)`.

    Raises:
        FormulaError: It cannot be read, or asks for what is not offered.

    >>> print(parse_residual("us(visit|id, by = arm)"))
    un(visit | id, by=arm)
    >>> print(parse_residual("exp(day|id) * power(fitted)"))
    power(fitted) * car1(day | id)
    >>> parse_residual("iid") is None
    True
    """
    if text is None:
        return None
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise FormulaError(f"residual is text such as 'un(visit | id)', not {type(text).__name__}.")
    return _parsed(text)


def check_beside(formula: Formula, residual: ResidualFormula | None) -> None:
    """Refuse a model with neither random effects nor a residual structure, and two parts that are one.

    Raises:
        FormulaError: It has neither; or random effects that the residual structure holds already.
    """
    if not formula.random and residual is None:
        raise FormulaError(
            f"`{formula}` has no random-effects term such as (1 | g), and no residual structure such as "
            "residual='un(visit | id)' is given: for a model without either use statsmodels' OLS "
            "(statsmodels.formula.api.ols) or WLS; compare() takes its formula beside fits."
        )
    for bar in formula.random if residual and residual.group else ():
        assert residual is not None
        assert residual.group is not None
        if set(bar.group.names) == set(residual.group.names):
            refuse_absorbed(bar, residual)


def refuse_absorbed(bar: Bar, residual: ResidualFormula) -> None:
    """Refuse random effects of the subject that its residual structure holds already.

    Args:
        bar: A random-effects term of the residual structure's subject.
        residual: The structure.

    Raises:
        FormulaError: `un` beside any such term; `cs` or `toep` beside a random intercept alone.
    """
    absorbed = bar.terms == (INTERCEPT,) and residual.correlation in ("cs", "toep")
    if residual.correlation == "un" or absorbed:
        raise FormulaError(
            f"`{bar}` beside residual `{residual}`: both let the rows of a level of `{bar.group}` be "
            "alike, so their variances cannot be told apart; leave the bar out, the residual structure "
            "holds what it says."
        )


@lru_cache(maxsize=128)
def _parsed(text: str) -> ResidualFormula | None:
    """The same, kept."""
    if is_of_sas(text):
        raise FormulaError(of_sas(text, list(FAMILIES), OFFERED))
    tokens = tokenize(text)
    if not tokens:
        raise FormulaError(f"residual is empty; offered: {OFFERED}.")
    if [token.text for token in tokens] == [IID]:
        return None
    return _product([_factor(part, text) for part in split(tokens, "*")], text)


def _product(parts: Sequence[ResidualFormula], text: str) -> ResidualFormula:
    """One variance function times one correlation."""
    variances = [part for part in parts if part.group is None]
    correlations = [part for part in parts if part.group]
    if len(variances) > 1:
        both = [part.ident for part in variances]
        joined = f": `{IDENT}({':'.join(map(str, both))})` has a variance for each combination of the levels"
        raise FormulaError(
            f"residual `{text}` has {len(variances)} variance functions; one is expected"
            f"{joined if all(both) else ''}."
        )
    if len(correlations) > 1:
        named = " and ".join(f"`{part}`" for part in correlations)
        raise FormulaError(
            f"residual `{text}` has {len(correlations)} correlations, {named}; one is expected."
        )
    if not variances:
        return correlations[0]
    if not correlations:
        return variances[0]
    (variance,), (found,) = variances, correlations
    if found.heterogeneous:
        one = "one for each level" if variance.ident else "one that follows a number"
        raise FormulaError(
            f"residual `{text}`: `{found}` has a variance for each visit, and `{variance}` {one}; one "
            f"variance function is expected: take `{found}` alone, or {_of_one_variance(found)}."
        )
    return replace(found, ident=variance.ident, growing=variance.growing)


def _of_one_variance(found: ResidualFormula) -> str:
    if found.correlation == "un":
        return "a correlation of one variance such as cs, toep, ar1 or ad"
    inside = str(found).removeprefix(found.tag)
    return f"`{found.correlation}{inside}`, which has one variance"


def _factor(tokens: Sequence[Token], text: str) -> ResidualFormula:
    """One factor of the product: a word and what stands in its brackets."""
    if not tokens:
        raise FormulaError(f"residual `{text}`: something is missing beside `*`.")
    name = tokens[0]
    source = text[name.start : tokens[-1].end]
    word = _ALIASES.get(name.text, name.text)
    called = len(tokens) > 2 and tokens[1].text == "(" and closing(tokens) == len(tokens) - 1
    if name.kind != "name" or name.quoted or word not in (IDENT, *GROWING, *_DISTANCES, *FAMILIES):
        raise FormulaError(_unknown(tokens, source, text))
    if not called or len(tokens) == 3:
        raise FormulaError(_without_brackets(word, tokens, source, text))
    first, *options = split(tokens[2:-1], ",")
    barred = any(len(split(part, "|")) > 1 for part in (first, *options))
    if word == IDENT:
        return _ident(first, options, source)
    if word == "power" or (word == "exp" and not barred):
        return _growing(word, tokens[2:-1], source)
    if word in _DISTANCES:
        return _distance(word, [first, *options], source)
    return _correlation(word, first, options, source)


def _ident(inside: Sequence[Token], options: Sequence[Sequence[Token]], source: str) -> ResidualFormula:
    bars = split(inside, "|")
    if len(bars) > 1 or (inside and inside[0].text == "~"):
        written = spelled(bars[-1], source)
        raise FormulaError(f"residual `{source}`: write `{IDENT}({written})`, the factor alone.")
    if options:
        raise FormulaError(
            f"residual `{source}`: {IDENT}() takes a factor, or `a:b` for each combination of two, and "
            "nothing beside it."
        )
    return ResidualFormula(INDEPENDENT, ident=_group(inside, source))


def _growing(word: str, inside: Sequence[Token], source: str) -> ResidualFormula:
    """`power(x)`, `power(fitted)`, `exp(x)`."""
    kind = "power" if word == "power" else "exp"
    texts = [token.text for token in inside]
    if texts[:1] == ["~"] or "|" in texts or "," in texts or "=" in texts:
        raise FormulaError(
            f"residual `{source}`: `{kind}(x)` is expected, the number that the variance follows, alone."
        )
    follows = texts[0] == FITTED and not inside[0].quoted and (len(inside) == 1 or texts[1:2] == ["("])
    if follows and (kind == "exp" or len(inside) > 1):
        raise FormulaError(
            f"residual `{source}`: a variance that follows the fitted values is written `power({FITTED})`."
        )
    return ResidualFormula(
        INDEPENDENT, growing=GrowingVariance(kind, None if follows else _number(inside, source))
    )


def _distance(word: str, parts: Sequence[Sequence[Token]], source: str) -> ResidualFormula:
    """`car1(t | g)`, which is `exp(t | g)`; `expsp(x, y | g, nugget=TRUE)`.

    One coordinate without a nugget is time.
    """
    wanted = f"`{SERIAL}(t | g)`" if word == SERIAL else f"`{SPATIAL}(x, y | g)`"
    barred = [place for place, part in enumerate(parts) if len(split(part, "|")) > 1]
    bars = split(parts[barred[0]], "|") if barred else []
    if len(barred) > 1 or len(bars) != 2 or not all(bars):
        raise FormulaError(
            f"residual `{source}`: {wanted} is expected, what the distance is measured by and the group with "
            f"a bar between them; {wanted.replace('g)', '1)')} takes all rows as one group."
        )
    places = [_measured(part, source) for part in (*parts[: barred[0]], bars[0])]
    nugget = _nugget(word, parts[barred[0] + 1 :], source)
    if len(set(places)) < len(places):
        raise FormulaError(f"residual `{source}`: a coordinate stands there twice.")
    if word == SERIAL and len(places) > 1:
        raise FormulaError(
            f"residual `{source}`: {SERIAL}() takes one time, not {len(places)} coordinates; write "
            f"`{SPATIAL}{source.removeprefix(SERIAL)}` for distances in the plane."
        )
    whole = [token.text for token in bars[1]] == ["1"]
    group = WHOLE if whole else _group(bars[1], source)
    if len(places) == 1 and not nugget:
        return ResidualFormula(SERIAL, time=places[0], group=group)
    return ResidualFormula(SPATIAL, group=group, coordinates=tuple(places), nugget=nugget)


def _nugget(word: str, options: Sequence[Sequence[Token]], source: str) -> bool:
    """Whether `nugget=TRUE` stands beside the bar."""
    for option in options:
        texts = [token.text for token in option]
        if texts[:2] == ["nugget", "="] and len(texts) == 3 and texts[2] in _NUGGET and len(options) == 1:
            return _NUGGET[texts[2]]
        if texts[:1] == ["by"]:
            raise FormulaError(
                f"residual `{source}`: parameters of their own for levels (`by=`) are offered for structures "
                f"over visits, not for {word}()."
            )
        raise FormulaError(
            f"residual `{source}`: beside the bar {word}() takes `nugget=TRUE`, or FALSE, once and nothing "
            "else."
        )
    return False


def _measured(tokens: Sequence[Token], source: str) -> Expression:
    """A time or a coordinate."""
    if [token.text for token in tokens] == ["1"]:
        raise FormulaError(
            f"residual `{source}`: times or coordinates are columns of numbers; the order of rows has no "
            "distances. `ar1(1 | g)` takes the rows of a group as equally spaced."
        )
    return _number(tokens, source)


def _number(tokens: Sequence[Token], source: str) -> Expression:
    """An expression that is one number a row."""
    if any(token.text == "~" for token in tokens) or not tokens:
        raise FormulaError(f"residual `{source}`: a column of numbers is expected there.")
    found = read_number(tokens, source)
    if _is_wide(found):
        raise FormulaError(f"residual `{source}`: `{found}` makes several columns; one is expected.")
    return found


def _is_wide(expression: Expression) -> bool:
    function = FUNCTIONS.get("" if expression.tree is None else call_name(expression.tree) or "")
    return function is not None and function.wide


def _correlation(
    word: str, inside: Sequence[Token], options: Sequence[Sequence[Token]], source: str
) -> ResidualFormula:
    correlation, heterogeneous = FAMILIES[word]
    bars = split(inside, "|")
    if len(bars) != 2 or not all(bars):
        raise FormulaError(
            f"residual `{source}`: `{word}(visit | subject)` is expected, the visit and the subject with a "
            f"bar between them; `{word}(1 | subject)` takes the visits in the order of rows."
        )
    time, subject = bars
    by = None
    for option in options:
        name = option[0].text if option else ""
        if len(option) < 3 or option[1].text != "=" or name != "by" or by:
            asked = name == "group" and len(option) > 2
            hint = f": write `by={spelled(option[2:], source)}`" if asked else ""
            raise FormulaError(
                f"residual `{source}`: beside the bar {word}() takes `by=`, the factor for whose levels it "
                f"has parameters of its own, once and nothing else{hint}."
            )
        by = _group(option[2:], source)
    return ResidualFormula(
        correlation, heterogeneous, _time(time, source), _group(subject, source, word=word, time=time), by
    )


def _time(tokens: Sequence[Token], source: str) -> Expression | None:
    """The visits: an expression, or None for `1`, the order of rows."""
    if [token.text for token in tokens] == ["1"]:
        return None
    if [token.text for token in tokens] == ["0"] or any(token.text in ("+", "~") for token in tokens):
        raise FormulaError(
            f"residual `{source}`: what stands left of the bar is one column that tells the visits apart, "
            "or 1 for the order of rows."
        )
    expression = read_expression(tokens, source)
    if _is_wide(expression):
        raise FormulaError(f"residual `{source}`: `{expression}` makes several columns; one is expected.")
    return expression


def _group(tokens: Sequence[Token], source: str, *, word: str = "", time: Sequence[Token] = ()) -> Group:
    groups = read_groups(tokens, f"residual {source}")
    if len(groups) > 1:
        outer, inner = split(tokens, "/")[0], split(tokens, "/")[-1]
        named = [spelled(part, source) for part in (outer, inner)]
        beside = (
            f"; with parameters of its own for each {named[0]} write "
            f"`{word}({spelled(time, source)} | {named[1]}, by={named[0]})`"
            if word
            else ""
        )
        raise FormulaError(
            f"residual `{source}`: a subject is one grouping factor, and `{spelled(tokens, source)}` names "
            f"{len(groups)}. Where labels are used again within each {named[0]}, write `{groups[0]}`{beside}."
        )
    if groups[0].members is not None:
        raise FormulaError(
            f"residual `{source}`: a subject is one grouping factor; `{groups[0]}` gives each row several."
        )
    return groups[0]


def _wanted(word: str) -> str:
    wanted = {IDENT: f"{IDENT}(f)", SPATIAL: f"{SPATIAL}(x, y | g)", SERIAL: f"{SERIAL}(t | g)"}
    wanted |= {kind: f"{kind}(x)" for kind in GROWING}
    return wanted.get(word, f"{word}(visit | subject)")


def _without_brackets(word: str, tokens: Sequence[Token], source: str, text: str) -> str:
    wanted = _wanted(word)
    if len(tokens) > 1 and tokens[1].text != "(":
        return (
            f"residual `{text}`: `{tokens[1].text}` is not expected after `{tokens[0].text}`; write "
            f"`{wanted}`, or a product of one variance and one correlation with `*`."
        )
    closed = closing(tokens)
    if 0 < closed < len(tokens) - 1:
        return (
            f"residual `{text}`: `{tokens[closed + 1].text}` is not expected there; one variance function "
            f"times one correlation is a product with `*`, such as `{IDENT}(f) * cs(visit | subject)`."
        )
    return f"residual `{source}`: `{wanted}` is expected."


def _unknown(tokens: Sequence[Token], source: str, text: str) -> str:
    """The sentence about a word that is none of ours."""
    word = tokens[0].text
    if word == IID:
        return f"residual `{text}`: `{IID}` stands alone: independent residuals of one variance."
    other = other_spelling(tokens, source, OFFERED)
    if other is not None:
        return other
    words = [IID, IDENT, *GROWING, *FAMILIES, SERIAL, SPATIAL, *_ALIASES]
    return (
        f"residual `{source}`: `{word}` is no structure that is offered{did_you_mean(word, words) or '.'} "
        f"Offered: {OFFERED}."
    )
