"""The rules of selection as walks among random parts. They know no data: they ask, and are told.

A rule is a generator. It yields trials, each a random part and the one that it is held against, is sent an
answer to each, and returns where it ends. `select` runs one walk on the data and keeps a ledger of it;
`decide` runs a walk for each of many responses and asks for the fits that any of them needs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.variance_tests.chi_bar_squared import mixture_tail
from lmmkit.model.selection.random_parts import (
    Bars,
    Neighbour,
    intercepts,
    simpler,
    uncorrelated,
    with_a_term,
    with_correlations,
    without_a_term,
)


class Trial(NamedTuple):
    """A random part to be fitted and held against another.

    Attributes:
        bars: The random part.
        against: The one that it is compared with, asked for before; None: it is where the walk begins.
        adds: Whether it is the larger of the two.
        what: What it has more or less, in words.
        step: Which step of the rule asks.
    """

    bars: Bars
    against: Bars | None = None
    adds: bool = False
    what: str = ""
    step: str = ""


class Answer(NamedTuple):
    """What was found of a trial.

    Attributes:
        able: Whether it was fitted, converged, and can be compared.
        singular: Whether some covariance matrix of it has a null direction.
        larger: Whether the larger of the two models is to be kept.
        ease: How little the larger one has for it: p of the test, or what its criterion is higher by.
    """

    able: bool
    singular: bool = False
    larger: bool = True
    ease: float = 0.0


Walk = Generator[Sequence[Trial], Sequence[Answer], Bars]

BEGIN, ZERO, DROP = "largest model", "without correlations", "left out"
CORRELATE, ADD = "correlations again", "added"


def maximal(largest: Bars) -> Walk:
    """The largest model; where it cannot be fitted, the largest simpler one that can."""
    return (yield from _begun(largest))


def parsimonious(largest: Bars) -> Walk:
    """From the largest model to that without correlations, down term by term, then correlations tried again.

    Reference: Bates, Kliegl, Vasishth & Baayen (2015), Parsimonious mixed models, arXiv:1506.04967.
    """
    current = yield from _begun(largest)
    alone = uncorrelated(current)
    if alone != current:
        trial = Trial(alone, current, False, "all correlations", ZERO)
        if (yield [trial])[0].able:
            current = alone
    current = yield from _down(current, without_a_term)
    return (yield from _up(current, lambda bars: with_correlations(bars, largest), CORRELATE))


def backward(largest: Bars) -> Walk:
    """From the largest model down: in each step correlations or a term, the ones with least for them."""
    current = yield from _begun(largest)
    return (yield from _down(current, simpler))


def forward(largest: Bars) -> Walk:
    """From the intercepts up: in each step the term, or the correlations, with most for them."""
    current = yield from _begun(intercepts(largest))

    def richer(bars: Bars) -> list[Neighbour]:
        return with_a_term(bars, largest) + with_correlations(bars, largest)

    return (yield from _up(current, richer, ADD))


WALKS: dict[str, Callable[[Bars], Walk]] = {
    "maximal": maximal,
    "parsimonious": parsimonious,
    "backward": backward,
    "forward": forward,
}


def default_criterion(rule: str) -> str:
    """The criterion of a rule where none is asked for: tests where it goes step by step, else AIC."""
    return "lrt" if rule in ("parsimonious", "backward", "forward") else "aic"


def _begun(first: Bars) -> Walk:
    """Where a walk can begin: the first of ever simpler models that can be fitted."""
    current = first
    while not (yield [Trial(current, step=BEGIN)])[0].able:
        alone = uncorrelated(current)
        ways = [alone] if alone != current else [n.bars for n in without_a_term(current) if n.bars]
        if not ways:
            break
        current = ways[0]
    return current


def _down(current: Bars, ways: Callable[[Bars], list[Neighbour]]) -> Walk:
    """Leave out what has least for it, step by step; the last random effect stays."""
    while True:
        trials = [Trial(bars, current, False, what, DROP) for bars, what in ways(current) if bars]
        answers: Sequence[Answer] = (yield trials) if trials else ()
        able = [(a.ease, -i) for i, a in enumerate(answers) if a.able and not a.larger]
        if not able:
            return current
        current = trials[-max(able)[1]].bars


def _up(current: Bars, ways: Callable[[Bars], list[Neighbour]], step: str) -> Walk:
    """Take in what has most for it, step by step, as long as the fit does not become singular."""
    while True:
        trials = [Trial(bars, current, True, what, step) for bars, what in ways(current)]
        answers: Sequence[Answer] = (yield trials) if trials else ()
        able = [(a.ease, i) for i, a in enumerate(answers) if a.able and a.larger and not a.singular]
        if not able:
            return current
        current = trials[min(able)[1]].bars


class Refits(NamedTuple):
    """One random part fitted to r responses.

    Attributes:
        deviance: (r,) NaN where it could not be fitted.
        singular: (r,) whether some covariance matrix has a null direction.
        converged: (r,) whether the search met its stop rule.
        npar: Parameters.
    """

    deviance: Floats
    singular: NDArray[np.bool_]
    converged: NDArray[np.bool_]
    npar: int


class Mixture(NamedTuple):
    """The distribution of a likelihood ratio: weights of chi2(first), chi2(first + 1), ..."""

    first: int
    weights: Floats


def decide(
    rule: str,
    largest: Bars,
    count: int,
    fit: Callable[[Bars, Ints], Refits],
    reference: Callable[[Bars, Bars], Mixture | None],
    *,
    nobs: int,
    criterion: str = "lrt",
    alpha: float = 0.2,
) -> list[Bars]:
    """Where a rule ends for each of many responses; each model is fitted to those that ask for it alone.

    Args:
        rule: maximal, parsimonious, backward or forward.
        largest: The largest random part.
        count: Number of responses.
        fit: Fits a random part to the responses of these numbers, (r,); called once for each pair.
        reference: The distribution of the likelihood ratio of a smaller and a larger random part; None:
            there is none, and AIC decides.
        nobs: Rows, for bic.
        criterion: lrt, aic or bic.
        alpha: Level of the tests.
    """
    known: dict[Bars, Refits] = {}
    mixtures: dict[tuple[Bars, Bars], Mixture | None] = {}
    walks = [WALKS[rule](largest) for _ in range(count)]
    asked = {i: next(walk) for i, walk in enumerate(walks)}
    ends = [largest] * count
    while asked:
        wanted: dict[Bars, list[int]] = {}
        for i, trials in asked.items():
            for trial in trials:
                wanted.setdefault(trial.bars, []).append(i)
        for bars, responses in wanted.items():
            _keep(known, bars, np.array(responses, np.intp), fit, count)
        going: dict[int, Sequence[Trial]] = {}
        for i, trials in asked.items():
            answers = [_answer(t, i, known, mixtures, reference, nobs, criterion, alpha) for t in trials]
            try:
                going[i] = walks[i].send(answers)
            except StopIteration as end:
                ends[i] = end.value
        asked = going
    return ends


def _keep(
    known: dict[Bars, Refits], bars: Bars, which: Ints, fit: Callable[[Bars, Ints], Refits], count: int
) -> None:
    """Fit a random part to the responses that it was not fitted to yet."""
    if bars not in known:
        nowhere = np.zeros(count, bool)
        known[bars] = Refits(np.full(count, np.nan), nowhere, nowhere.copy(), 0)
    old = known[bars]
    new = which[np.isnan(old.deviance[which])]
    if len(new):
        found = fit(bars, new)
        old.deviance[new], old.singular[new], old.converged[new] = found[:3]
        known[bars] = old._replace(npar=found.npar)


def _answer(
    trial: Trial,
    i: int,
    known: dict[Bars, Refits],
    mixtures: dict[tuple[Bars, Bars], Mixture | None],
    reference: Callable[[Bars, Bars], Mixture | None],
    nobs: int,
    criterion: str,
    alpha: float,
) -> Answer:
    own = known[trial.bars]
    able = bool(own.converged[i]) and bool(np.isfinite(own.deviance[i]))
    singular = bool(own.singular[i])
    if trial.against is None or not able:
        return Answer(able, singular)
    pair = (trial.against, trial.bars) if trial.adds else (trial.bars, trial.against)
    small, large = known[pair[0]], known[pair[1]]
    gain, added = float(small.deviance[i] - large.deviance[i]), large.npar - small.npar
    if criterion == "lrt" and pair not in mixtures:
        mixtures[pair] = reference(*pair)
    mixture = mixtures.get(pair)
    return Answer(able, singular, *verdict(gain, added, nobs, criterion, alpha, mixture))


def verdict(
    gain: float, added: int, nobs: int, criterion: str, alpha: float, mixture: Mixture | None
) -> tuple[bool, float]:
    """Whether the larger of two models is kept, and how little it has for it.

    Args:
        gain: By how much its deviance is lower.
        added: Parameters that it has more.
        nobs: Rows.
        criterion: lrt, aic or bic.
        alpha: Level of the test.
        mixture: The distribution of the likelihood ratio; None: AIC decides.

    >>> larger, p = verdict(0.04, 1, 180, "lrt", 0.2, Mixture(1, np.ones(1)))
    >>> larger, round(p, 3)
    (False, 0.841)
    >>> verdict(5.0, 1, 180, "aic", 0.2, None)
    (True, -3.0)
    """
    if criterion == "lrt" and mixture is not None:
        p = mixture_tail(max(gain, 0.0), mixture.weights, mixture.first)
        return p <= alpha, p
    higher = added * (np.log(nobs) if criterion == "bic" else 2.0) - gain
    return bool(higher < 0), float(higher)
