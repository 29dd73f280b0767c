"""Random parts of a formula and their neighbours: what is one step simpler, or one step richer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from lmmkit.model.formula.formula import INTERCEPT, Bar, Term, term_name

Bars = tuple[Bar, ...]
ONE_BY_ONE = ("", "us", "diag")  # structures of which a term can be left out and the others kept as they are


class Neighbour(NamedTuple):
    """A random part one step away.

    Attributes:
        bars: The random part.
        what: What it has less, or more: "the slope of x by g".
    """

    bars: Bars
    what: str


def spelled(bars: Bars) -> str:
    """A random part as a formula writes it."""
    return " + ".join(map(str, bars)) or "no random effects"


def has_correlations(bar: Bar) -> bool:
    """Whether effects of different terms of the bar may be correlated freely."""
    return len(bar.terms) > 1 and not bar.split and bar.tag in ("", "us")


def uncorrelated(bars: Bars) -> Bars:
    """The random part with a variance for each column, and no correlation."""
    return tuple(_without_correlations(bar) for bar in bars)


def without_a_term(bars: Bars) -> list[Neighbour]:
    """Every random part with a term less, those of the highest order first.

    A slope stays while an interaction that contains it has one, and the intercept of a group goes last.
    A structure whose parameters its columns share goes as a whole, to an intercept.
    """
    found = list[tuple[int, int, Neighbour]]()
    for place, bar in enumerate(bars):
        if bar.tag not in ONE_BY_ONE:
            less = _intercept_only(bar) if bar.terms else None
            gone = bars[:place] + ((less,) if less else ()) + bars[place + 1 :]
            found.append((2, place, Neighbour(_tidy(gone), f"the structure {bar.tag} by {bar.group.label}")))
            continue
        for at, term in enumerate(bar.terms):
            if not _needed(term, bar, bars):
                left = tuple(other for other in bar.terms if other != term)
                kept = (replace(bar, terms=left),) if left else ()
                part = _tidy(bars[:place] + kept + bars[place + 1 :])
                found.append((len(term), place + at, Neighbour(part, _effect(term, bar))))
    ordered = sorted(found, key=lambda item: (item[0], item[1]), reverse=True)
    return [neighbour for _, _, neighbour in ordered]


def without_correlations(bars: Bars) -> list[Neighbour]:
    """Every random part of which one bar has lost its correlations."""
    return [
        Neighbour(
            (*bars[:i], _without_correlations(bar), *bars[i + 1 :]), f"the correlations by {bar.group.label}"
        )
        for i, bar in enumerate(bars)
        if has_correlations(bar)
    ]


def simpler(bars: Bars) -> list[Neighbour]:
    """All that is one step simpler: a bar without its correlations, or a term less."""
    return without_correlations(bars) + without_a_term(bars)


def with_correlations(bars: Bars, largest: Bars) -> list[Neighbour]:
    """Every random part of which one bar has its correlations again, where the largest one has them."""
    found = list[Neighbour]()
    for i, bar in enumerate(bars):
        whole = replace(bar, split=False)
        if bar.split and len(bar.terms) > 1 and any(_holds(other, whole) for other in largest):
            part = (*bars[:i], whole, *bars[i + 1 :])
            found.append(Neighbour(part, f"the correlations by {bar.group.label}"))
    return found


def with_a_term(bars: Bars, largest: Bars) -> list[Neighbour]:
    """Every random part with one term more of the largest one, whose marginal terms are there already."""
    found = list[Neighbour]()
    for wide in largest:
        here = next((i for i, bar in enumerate(bars) if _same_effects(bar, wide)), None)
        own = bars[here].terms if here is not None else ()
        group = {term for bar in bars if bar.group == wide.group for term in bar.terms}
        for term in wide.terms:
            margins = {t for bar in largest if bar.group == wide.group for t in bar.terms if _within(t, term)}
            if term in own or not margins <= group:
                continue
            terms = tuple(t for t in wide.terms if t in own or t == term)
            bar = replace(
                wide, terms=terms, split=_stays_split(None if here is None else bars[here], wide, terms)
            )
            part = (*bars, bar) if here is None else (*bars[:here], bar, *bars[here + 1 :])
            found.append(Neighbour(_ordered(part, largest), _effect(term, wide)))
    return found


def intercepts(bars: Bars) -> Bars:
    """The least random part: an intercept for every grouping factor, or the first term where it has none."""
    found = list[Bar]()
    for bar in bars:
        if bar.tag not in ONE_BY_ONE or any(one.group == bar.group for one in found):
            continue
        has = any(INTERCEPT in other.terms for other in bars if other.group == bar.group)
        least = INTERCEPT if has else bar.terms[0]
        found.append(replace(bar, terms=(least,), split=False, tag=bar.tag if least else ""))
    patterned = [bar for bar in bars if bar.tag not in ONE_BY_ONE]
    return _ordered((*found, *(_intercept_only(bar) for bar in patterned)), bars) or bars


def lattice(bars: Sequence[Bar]) -> list[Bars]:
    """The random part as written, then without correlations, with intercepts alone, with fewer terms.

    Every step is taken for all terms at once and for each term by itself.

    >>> from lmmkit.model.formula.formula import parse_formula
    >>> [" + ".join(map(str, part)) for part in lattice(parse_formula("y ~ x + (x | g)").random)]
    ['(1 + x | g)', '(1 + x || g)', '(1 | g)']
    """
    written = tuple(bars)
    reduced = [*_reduced(written, _without_correlations), *_reduced(written, _intercept_only)]
    parts = [written, *reduced, *_one_bar_less(written)]
    return list(dict.fromkeys([written, *(tuple(dict.fromkeys(part)) for part in parts[1:])]))


def _reduced(bars: Bars, reduce: Callable[[Bar], Bar]) -> Iterator[Bars]:
    yield tuple(reduce(bar) for bar in bars)
    for place, bar in enumerate(bars):
        yield (*bars[:place], reduce(bar), *bars[place + 1 :])


def _without_correlations(bar: Bar) -> Bar:
    several = bar.terms != (INTERCEPT,)
    return replace(bar, split=True, tag="") if several and bar.tag in ("", "us") else bar


def _intercept_only(bar: Bar) -> Bar:
    return replace(bar, terms=(INTERCEPT,), tag="", split=False, positions=())


def _one_bar_less(bars: Bars) -> Iterator[Bars]:
    for place in range(len(bars) if len(bars) > 1 else 0):
        yield (*bars[:place], *bars[place + 1 :])


def _within(small: Term, large: Term) -> bool:
    """Whether a term is marginal to another one."""
    return set(small) < set(large)


def _needed(term: Term, bar: Bar, bars: Bars) -> bool:
    """Whether another effect of the same group contains the term."""
    return any(_within(term, other) for one in bars if one.group == bar.group for other in one.terms)


def _effect(term: Term, bar: Bar) -> str:
    group = bar.group.label
    return f"the slope of {term_name(term)} by {group}" if term else f"the intercept by {group}"


def _tidy(bars: Bars) -> Bars:
    """Bars once each, a lone intercept with one bar."""
    plain = (
        replace(bar, split=False, tag="") if bar.terms == (INTERCEPT,) and bar.tag in ONE_BY_ONE else bar
        for bar in bars
    )
    return tuple(dict.fromkeys(plain))


def _stays_split(bar: Bar | None, wide: Bar, terms: Sequence[Term]) -> bool:
    """Whether a term joins a bar without correlations: it does unless there are some already."""
    if tuple(terms) == (INTERCEPT,) or wide.tag == "diag":
        return False
    return wide.split or bar is None or len(bar.terms) == 1 or bar.split


def _same_effects(bar: Bar, wide: Bar) -> bool:
    """Whether a bar is the beginning of a wider one."""
    return bar.group == wide.group and bar.terms != () and set(bar.terms) <= set(wide.terms)


def _holds(wide: Bar, bar: Bar) -> bool:
    """Whether a bar of the largest random part has a bar's correlations."""
    return has_correlations(wide) and _same_effects(bar, wide)


def _ordered(bars: Bars, like: Bars) -> Bars:
    """Bars in the order of those that they are part of."""
    places = {bar: next((i for i, w in enumerate(like) if _same_effects(bar, w)), len(like)) for bar in bars}
    return tuple(sorted(_tidy(bars), key=lambda bar: places.get(bar, len(like))))
