"""A small set of candidate random parts, from the random part that a formula writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from lmmkit.model.formula.formula import INTERCEPT, Bar

Bars = tuple[Bar, ...]
_Reduction = Callable[[Bar], Bar]


def lattice(bars: Sequence[Bar]) -> list[Bars]:
    """The random part as written, then without correlations, with intercepts alone, with fewer terms.

    Every step is taken for all terms at once and for each term by itself.

    >>> from lmmkit.model.formula.formula import parse_formula
    >>> [" + ".join(map(str, part)) for part in lattice(parse_formula("y ~ x + (x | g)").random)]
    ['(1 + x | g)', '(1 + x || g)', '(1 | g)']
    """
    written = tuple(bars)
    simpler = [*_reduced(written, _without_correlations), *_reduced(written, _intercept_only)]
    parts = [written, *simpler, *_one_term_less(written)]
    return list(dict.fromkeys([written, *(tuple(dict.fromkeys(part)) for part in parts[1:])]))


def _reduced(bars: Bars, reduce: _Reduction) -> Iterator[Bars]:
    yield tuple(reduce(bar) for bar in bars)
    for place, bar in enumerate(bars):
        yield (*bars[:place], reduce(bar), *bars[place + 1 :])


def _without_correlations(bar: Bar) -> Bar:
    several = bar.terms != (INTERCEPT,)
    return replace(bar, structure="split") if several and bar.structure == "unstructured" else bar


def _intercept_only(bar: Bar) -> Bar:
    return replace(bar, terms=(INTERCEPT,), structure="unstructured")


def _one_term_less(bars: Bars) -> Iterator[Bars]:
    for place in range(len(bars) if len(bars) > 1 else 0):
        yield (*bars[:place], *bars[place + 1 :])
