"""How other packages write residual structures, answered with the spelling that is read here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lmmkit.model.formula.expression import Token, inside_brackets, spelled, split

FITTED = "fitted"

#: nlme's correlations with ours; its corSymm has one variance, which is said.
_CORRELATIONS = {"corAR1": "ar1", "corCompSymm": "cs", "corSymm": "un"}
#: nlme's spatial correlations of which none is offered.
_OTHER_DISTANCES = ("corGaus", "corLin", "corRatio", "corSpher")
_VARIANCES = {"varIdent": "ident", "varPower": "power", "varExp": "exp"}
_OTHER_VARIANCES = {"varConstPower": "power", "varConstProp": "power"}
#: Words of SAS, lme4, glmmTMB and mmrm with ours.
_ELSEWHERE = {
    "ar": "ar1",
    "arh": "ar1h",
    "ante": "adh",
    "homcs": "cs",
    "hetcs": "csh",
    "homtoep": "toep",
    "hettoep": "toeph",
    "hetar1": "ar1h",
    "homdiag": "iid",
    "vc": "iid",
    "simple": "iid",
    "id": "iid",
    "diag": "ident",
    "ou": "car1",
}
_SAS = re.compile(r";|\b(?:type|subject|sub)\s*=|\brepeated\b", re.IGNORECASE)
_SAS_SPACE = re.compile(r"\bsp\s*\(\s*(\w+)\s*\)\s*(?:\(([^()]*)\))?", re.IGNORECASE)


def is_of_sas(text: str) -> bool:
    """Whether it is a REPEATED statement of SAS, or a part of one."""
    return bool(_SAS.search(text))


def of_sas(text: str, known: Sequence[str], offered: str) -> str:
    """The sentence about a REPEATED statement of SAS, with our spelling as far as it can be told.

    Args:
        text: The statement.
        known: Our words for correlations between visits.
        offered: What is offered, for the end of the sentence.
    """

    def after(pattern: str) -> str | None:
        found = re.search(rf"\b(?:{pattern})\s*=\s*([A-Za-z_][\w.]*)", text, re.IGNORECASE)
        return found.group(1) if found else None

    subject, by = after("subject|sub") or "subject", after("group")
    space = _SAS_SPACE.search(text)
    if space:
        nugget = re.search(r"\blocal\b(?!\s*=)", text, re.IGNORECASE) is not None
        ours = _of_space(space, subject, nugget=nugget)
    else:
        kind = (after("type") or "un").lower()
        visit = re.search(r"\brepeated\s+([A-Za-z_][\w.]*)", text, re.IGNORECASE)
        bar = f"{visit.group(1) if visit else 'visit'} | {subject}"
        word = {"us": "un", **_ELSEWHERE}.get(kind, kind)
        ours = f"{word}({bar}{f', by={by}' if by else ''})" if word in known else f"un({bar})"
    return f"residual `{text:.80}` is SAS's spelling; write it as `{ours}`. Offered: {offered}."


def _of_space(found: re.Match[str], subject: str, *, nugget: bool = False) -> str:
    """SAS's SP(POW)(t), SP(EXP)(x y) as ours; other distances as the exponential one."""
    names = (found.group(2) or "").replace(",", " ").split() or ["t"]
    if len(names) == 1 and not nugget:
        return f"car1({names[0]} | {subject})"
    return f"expsp({', '.join(names)} | {subject}{', nugget=TRUE' if nugget else ''})"


def other_spelling(tokens: Sequence[Token], source: str, offered: str) -> str | None:
    """The sentence about a structure as another package writes it; None where none is known to.

    Args:
        tokens: The word and what stands in its brackets.
        source: Its text.
        offered: What is offered, for the end of the sentence.
    """
    word, inside = tokens[0].text, inside_brackets(tokens)
    if word in _CORRELATIONS:
        return _correlation_of_nlme(word, inside, source)
    if word in ("corCAR1", "corExp"):
        return f"residual `{source}` is nlme's spelling; write `{_distance(inside, source)}`."
    if word in _OTHER_DISTANCES:
        return (
            f"residual `{source}`: of the correlations that fade with distance the exponential one is "
            f"offered; write `{_distance(inside, source)}`."
        )
    if word in _VARIANCES or word in _OTHER_VARIANCES:
        return _variance_of_nlme(word, inside, source)
    if word == "varFixed":
        return (
            f"residual `{source}` is nlme's spelling of variances that are known; give prior weights, "
            "1 / variance, in their place."
        )
    if word == "varComb":
        return (
            f"residual `{source}` is nlme's product of variance functions; one variance function is offered, "
            "and its product with one correlation."
        )
    space = _SAS_SPACE.match(source) if word.lower() == "sp" else None
    if space:
        return f"residual `{source}` is SAS's spelling; write `{_of_space(space, 'subject')}`."
    if word.lower() in _ELSEWHERE:
        bar, known = _bar_of(inside, source), _ELSEWHERE[word.lower()]
        wanted = {"iid": "iid", "ident": f"ident({bar.split(' | ')[0]})"}.get(known, f"{known}({bar})")
        return f"residual `{source}`: what `{word}` is elsewhere is `{wanted}` here. Offered: {offered}."
    return None


def _bar_of(inside: Sequence[Token], source: str) -> str:
    bars = split(inside, "|")
    written = spelled(inside, source).removeprefix("0 + ").replace(" + 0 |", " |")
    return written if len(bars) == 2 and all(bars) else "visit | subject"


def _correlation_of_nlme(word: str, inside: Sequence[Token], source: str) -> str:
    bar, ours = _form(inside, source) or _bar_of(inside, source), _CORRELATIONS[word]
    bar = bar if " | " in bar else f"{bar} | subject"
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


def _distance(inside: Sequence[Token], source: str) -> str:
    """`car1` in time, which has one coordinate; `expsp` in space, or with a nugget."""
    written = _form(inside, source)
    place, _, group = (written or _bar_of(inside, source).replace("visit", "t")).partition(" | ")
    nugget = any(
        part[:1] and part[0].text == "nugget" and part[-1].text.upper() in ("TRUE", "T")
        for part in split(inside, ",")
    )
    coordinates = ", ".join(place.split(" + "))
    bar = f"{coordinates} | {group or 1}"
    return f"expsp({bar}{', nugget=TRUE' if nugget else ''})" if nugget or "," in bar else f"car1({bar})"


def _variance_of_nlme(word: str, inside: Sequence[Token], source: str) -> str:
    """`ident(f)`, `power(x)`, `exp(x)`; of nlme's powers the fitted values are the default."""
    written = _form(inside, source)
    if word == "varIdent":
        return (
            f"residual `{source}` is nlme's spelling; write `ident({(written or '1 | f').split(' | ')[-1]})`."
        )
    of, _, strata = (written or f"{FITTED}(.)").partition(" | ")
    of = FITTED if of.startswith(f"{FITTED}(") else of
    why, ours = "is nlme's spelling", f"{(_VARIANCES | _OTHER_VARIANCES)[word]}({of})"
    if word in _OTHER_VARIANCES:
        why = "is nlme's spelling of a power beside a constant, which is not offered"
    elif ours == f"exp({FITTED})":
        why, ours = "is nlme's spelling, and the exponential takes a column, not the fitted values", "exp(x)"
    one = f", which has one parameter for all levels of `{strata}`" if strata else ""
    return f"residual `{source}` {why}; write `{ours}`{one}."


def _form(inside: Sequence[Token], source: str) -> str | None:
    """What `form = ~ visit | subject` holds, a nesting `a/b` as `b:a`; or None."""
    for part in split(inside, ","):
        tildes = [i for i, token in enumerate(part) if token.text == "~"]
        if tildes and part[tildes[0] + 1 :]:
            *time, group = split(part[tildes[0] + 1 :], "|")
            if not time:
                return spelled(group, source)
            nested = ":".join(spelled(factor, source) for factor in split(group, "/")[::-1])
            return " | ".join([*(spelled(each, source) for each in time), nested])
    return None
