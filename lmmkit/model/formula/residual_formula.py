"""The language of residual structures: `un(visit | id)`, `ident(sex) * ar1(age | id)`, read without data.

The words are those of SAS and mmrm: `cs`, `toep`, `ar1` and `ad` have one variance, `csh`, `toeph`, `ar1h`,
`adh` and `un` one per visit. Other packages' spellings are refused with the one that is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lmmkit.errors import FormulaError, did_you_mean
from lmmkit.model.formula.expression import Expression, Token, call_name, read_expression, tokenize
from lmmkit.model.formula.formula import INTERCEPT, Formula
from lmmkit.model.formula.functions import FUNCTIONS
from lmmkit.model.formula.groups import Group, read_groups

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
_ALIASES = {"us": "un"}
OFFERED = f"{IID}, un (or us), {', '.join(list(FAMILIES)[1:])}, each as `un(visit | id)`, and {IDENT}(f)"

#: nlme's classes with ours; its corSymm has one variance, which is said.
_NLME = {
    "corAR1": "ar1",
    "corCompSymm": "cs",
    "corSymm": "un",
    "varIdent": IDENT,
}
#: Words of SAS, lme4 and glmmTMB with ours.
_ELSEWHERE = {
    "ar": "ar1",
    "arh": "ar1h",
    "ante": "adh",
    "homcs": "cs",
    "hetcs": "csh",
    "homtoep": "toep",
    "hettoep": "toeph",
    "hetar1": "ar1h",
    "homdiag": IID,
    "vc": IID,
    "simple": IID,
    "id": IID,
    "diag": IDENT,
}
_SAS = re.compile(r";|\b(?:type|subject|sub)\s*=|\brepeated\b", re.IGNORECASE)


@dataclass(frozen=True)
class ResidualFormula:
    """A residual structure as read; `str` gives it back in one canonical spelling.

    Attributes:
        correlation: Between the visits of a subject: un, cs, toep, ar1, ad; or identity, where there is none.
        heterogeneous: Whether each visit has a variance of its own.
        time: What tells a subject's visits apart; None for the order of its rows.
        group: The subject; None where all rows are independent.
        by: What the structure has parameters of its own for each level of, or None.
        ident: What the variance differs by, or None.
    """

    correlation: str
    heterogeneous: bool = False
    time: Expression | None = None
    group: Group | None = None
    by: Group | None = None
    ident: Group | None = None

    @property
    def tag(self) -> str:
        """Its word: `un`, `csh`; `ident` where rows are independent."""
        kinds = {kind: tag for tag, kind in FAMILIES.items()}
        return kinds.get((self.correlation, self.heterogeneous), IDENT)

    def __str__(self) -> str:
        variance = f"{IDENT}({self.ident})" if self.ident else ""
        by = f", by={self.by}" if self.by else ""
        correlation = f"{self.tag}({self.time or 1} | {self.group}{by})" if self.group else ""
        return " * ".join(filter(None, (variance, correlation)))

    def groups(self) -> Iterator[Group]:
        """Its factors: subject, by, ident, where it has them."""
        yield from (group for group in (self.group, self.by, self.ident) if group)

    def columns(self) -> Iterator[str]:
        """Names of the columns it uses, repetitions included."""
        yield from self.time.variables if self.time else ()
        for group in self.groups():
            yield from group.names


def parse_residual(text: str | None) -> ResidualFormula | None:
    """Read a residual structure; None for independent residuals of one variance.

    Args:
        text: `iid`; a variance `ident(f)` for each level of a factor; a correlation between the visits of a
            subject, such as `un(visit | id)` or, with parameters of its own for each arm,
            `un(visit | id, by=arm)`; or a product of one variance and one correlation of one variance,
            `ident(sex) * cs(visit | id)`. A visit is a column, `factor(week)`, an expression of whole
            numbers, or 1 for the order of rows; subject, arm and f are columns or `a:b`.

    Raises:
        FormulaError: It cannot be read, or asks for what is not offered.

    >>> print(parse_residual("us(visit|id, by = arm)"))
    un(visit | id, by=arm)
    >>> parse_residual("iid") is None
    True
    """
    if text is None:
        return None
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise FormulaError(f"residual is text such as 'un(visit | id)', not {type(text).__name__}.")
    return _parsed(text)


def check_beside(formula: Formula, residual: ResidualFormula | None) -> None:
    """Refuse a model with neither random effects nor a residual structure, and one with both.

    Raises:
        FormulaError: It has neither, or both.
    """
    if not formula.random and residual is None:
        raise FormulaError(
            f"`{formula}` has no random-effects term such as (1 | g), and no residual structure such as "
            "residual='un(visit | id)' is given: for a model without either use statsmodels' OLS "
            "(statsmodels.formula.api.ols) or WLS; compare() takes its formula beside fits."
        )
    if not formula.random or residual is None:
        return
    for bar in formula.random:
        same = residual.group is not None and set(bar.group.names) == set(residual.group.names)
        if same and bar.terms == (INTERCEPT,) and residual.correlation in ("un", "cs", "toep"):
            raise FormulaError(
                f"`{bar}` beside residual `{residual}`: both let the rows of a level of `{bar.group}` be "
                "alike, so their variances cannot be told apart; leave the bar out, the residual structure "
                "holds what it says."
            )
    raise FormulaError(
        f"residual `{residual}` stands beside `{formula.random[0]}`: residual structures are offered for "
        "models without random effects. Leave the bar out, or the residual."
    )


@lru_cache(maxsize=128)
def _parsed(text: str) -> ResidualFormula | None:
    """The same, kept."""
    if _SAS.search(text):
        raise FormulaError(_sas(text))
    tokens = tokenize(text)
    if not tokens:
        raise FormulaError(f"residual is empty; offered: {OFFERED}.")
    if [token.text for token in tokens] == [IID]:
        return None
    return _product([_factor(part, text) for part in _split(tokens, "*")], text)


def _product(parts: Sequence[ResidualFormula], text: str) -> ResidualFormula:
    """One variance function times one correlation."""
    variances = [part for part in parts if part.ident]
    correlations = [part for part in parts if part.group]
    if len(variances) > 1:
        both = ":".join(str(part.ident) for part in variances)
        raise FormulaError(
            f"residual `{text}` has {len(variances)} variance functions; one is expected: "
            f"`{IDENT}({both})` has a variance for each combination of the levels."
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
        raise FormulaError(
            f"residual `{text}`: `{found}` has a variance for each visit, and `{variance}` one for each "
            f"level; one variance function is expected: take `{found}` alone, or {_of_one_variance(found)}."
        )
    return ResidualFormula(found.correlation, False, found.time, found.group, found.by, variance.ident)


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
    called = len(tokens) > 2 and tokens[1].text == "(" and _closing(tokens) == len(tokens) - 1
    if name.kind != "name" or name.quoted or (word != IDENT and word not in FAMILIES):
        raise FormulaError(_unknown(tokens, source, text))
    if not called or len(tokens) == 3:
        raise FormulaError(_without_brackets(word, tokens, source, text))
    first, *options = _split(tokens[2:-1], ",")
    if word == IDENT:
        return _ident(first, options, source)
    return _correlation(word, first, options, source)


def _ident(inside: Sequence[Token], options: Sequence[Sequence[Token]], source: str) -> ResidualFormula:
    bars = _split(inside, "|")
    if len(bars) > 1 or (inside and inside[0].text == "~"):
        written = _spelled(bars[-1], source)
        raise FormulaError(f"residual `{source}`: write `{IDENT}({written})`, the factor alone.")
    if options:
        raise FormulaError(
            f"residual `{source}`: {IDENT}() takes a factor, or `a:b` for each combination of two, and "
            "nothing beside it."
        )
    return ResidualFormula(INDEPENDENT, ident=_group(inside, source))


def _correlation(
    word: str, inside: Sequence[Token], options: Sequence[Sequence[Token]], source: str
) -> ResidualFormula:
    correlation, heterogeneous = FAMILIES[word]
    bars = _split(inside, "|")
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
            hint = f": write `by={_spelled(option[2:], source)}`" if asked else ""
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
    function = FUNCTIONS.get("" if expression.tree is None else call_name(expression.tree) or "")
    if function is not None and function.wide:
        raise FormulaError(f"residual `{source}`: `{expression}` makes several columns; one is expected.")
    return expression


def _group(tokens: Sequence[Token], source: str, *, word: str = "", time: Sequence[Token] = ()) -> Group:
    groups = read_groups(tokens, f"residual {source}")
    if len(groups) > 1:
        outer, inner = _split(tokens, "/")[0], _split(tokens, "/")[-1]
        named = [_spelled(part, source) for part in (outer, inner)]
        beside = (
            f"; with parameters of its own for each {named[0]} write "
            f"`{word}({_spelled(time, source)} | {named[1]}, by={named[0]})`"
            if word
            else ""
        )
        raise FormulaError(
            f"residual `{source}`: a subject is one grouping factor, and `{_spelled(tokens, source)}` names "
            f"{len(groups)}. Where labels are used again within each {named[0]}, write `{groups[0]}`{beside}."
        )
    if groups[0].members is not None:
        raise FormulaError(
            f"residual `{source}`: a subject is one grouping factor; `{groups[0]}` gives each row several."
        )
    return groups[0]


def _closing(tokens: Sequence[Token]) -> int:
    """Place of the bracket that closes the one at place 1, or -1."""
    depth = 0
    for place, token in enumerate(tokens):
        if token.kind == "operator":
            depth += (token.text in "([") - (token.text in ")]")
            if place and depth == 0:
                return place
    return -1


def _split(tokens: Sequence[Token], operator: str) -> list[list[Token]]:
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


def _spelled(tokens: Sequence[Token], source: str) -> str:
    """The words as typed."""
    quoted = [f"`{token.text}`" if token.quoted else token.text for token in tokens]
    return "".join(f" {word} " if word in ("|", "+") else word for word in quoted) or source


def _without_brackets(word: str, tokens: Sequence[Token], source: str, text: str) -> str:
    wanted = f"{IDENT}(f)" if word == IDENT else f"{word}(visit | subject)"
    if len(tokens) > 1 and tokens[1].text != "(":
        return (
            f"residual `{text}`: `{tokens[1].text}` is not expected after `{tokens[0].text}`; write "
            f"`{wanted}`, or a product of one variance and one correlation with `*`."
        )
    closing = _closing(tokens)
    if 0 < closing < len(tokens) - 1:
        return (
            f"residual `{text}`: `{tokens[closing + 1].text}` is not expected there; one variance function "
            f"times one correlation is a product with `*`, such as `{IDENT}(f) * cs(visit | subject)`."
        )
    return f"residual `{source}`: `{wanted}` is expected."


def _unknown(tokens: Sequence[Token], source: str, text: str) -> str:
    """The sentence about a word that is none of ours."""
    word = tokens[0].text
    inside = tokens[2 : _closing(tokens)] if len(tokens) > 2 and tokens[1].text == "(" else list[Token]()
    if word == IID:
        return f"residual `{text}`: `{IID}` stands alone: independent residuals of one variance."
    if word in _NLME:
        return _nlme(word, inside, source)
    if word in ("corCAR1", "car1"):
        bar = _form(inside, source) or _bar_of(inside, source)
        return (
            f"residual `{source}`: `{word}` is not offered; where the times are whole numbers, `ar1({bar})` "
            f"has the same correlations, rho to the power of the distance. Offered: {OFFERED}."
        )
    known = _ELSEWHERE.get(word.lower())
    if known:
        bar = _bar_of(inside, source)
        wanted = {IID: IID, IDENT: f"{IDENT}({bar.split(' | ')[0]})"}.get(known, f"{known}({bar})")
        return f"residual `{source}`: what `{word}` is elsewhere is `{wanted}` here. Offered: {OFFERED}."
    words = [IID, IDENT, *FAMILIES, *_ALIASES]
    return (
        f"residual `{source}`: `{word}` is no structure that is offered{did_you_mean(word, words) or '.'} "
        f"Offered: {OFFERED}."
    )


def _bar_of(inside: Sequence[Token], source: str) -> str:
    bars = _split(inside, "|")
    written = _spelled(inside, source).removeprefix("0 + ")
    return written if len(bars) == 2 and all(bars) else "visit | subject"


def _nlme(word: str, inside: Sequence[Token], source: str) -> str:
    form = _form(inside, source)
    ours = _NLME[word]
    if ours == IDENT:
        factor = (form or "1 | f").split(" | ")[-1]
        return f"residual `{source}` is nlme's spelling; write `{IDENT}({factor})`."
    bar = form or "visit | subject"
    if word == "corSymm":
        return (
            f"residual `{source}` is nlme's spelling; with weights=varIdent(form = ~ 1 | visit) it is "
            f"`un({bar})`, a variance for each visit and every correlation free. Free correlations with one "
            "variance are not offered."
        )
    return (
        f"residual `{source}` is nlme's spelling; write `{ours}({bar})`, or `{ours}h({bar})` with a variance "
        "for each visit."
    )


def _form(inside: Sequence[Token], source: str) -> str | None:
    """What `form = ~ visit | subject` holds, a nesting `a/b` as `b:a`; or None."""
    for part in _split(inside, ","):
        tildes = [i for i, token in enumerate(part) if token.text == "~"]
        if tildes and part[tildes[0] + 1 :]:
            *time, group = _split(part[tildes[0] + 1 :], "|")
            nested = ":".join(_spelled(factor, source) for factor in _split(group, "/")[::-1])
            return " | ".join([*(_spelled(each, source) for each in time), nested])
    return None


def _sas(text: str) -> str:
    """The sentence about a REPEATED statement of SAS, with our spelling as far as it can be told."""

    def after(pattern: str) -> str | None:
        found = re.search(rf"\b(?:{pattern})\s*=\s*([A-Za-z_][\w.]*)", text, re.IGNORECASE)
        return found.group(1) if found else None

    kind, by = (after("type") or "un").lower(), after("group")
    known = {"us": "un", **_ELSEWHERE}.get(kind, kind)
    visit = re.search(r"\brepeated\s+([A-Za-z_][\w.]*)", text, re.IGNORECASE)
    bar = f"{visit.group(1) if visit else 'visit'} | {after('subject|sub') or 'subject'}"
    ours = f"{known}({bar}{f', by={by}' if by else ''})" if known in FAMILIES else f"un({bar})"
    return f"residual `{text:.80}` is SAS's spelling; write it as `{ours}`. Offered: {OFFERED}."
