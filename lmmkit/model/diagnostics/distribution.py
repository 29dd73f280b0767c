"""Whether residuals and random effects are normal, and whether the whole is distributed as the model says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy.special import betainc, betaincinv, log_ndtr, ndtr, ndtri

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.replicates.predictions import OneVariance
from lmmkit.engine.replicates.random_streams import normals
from lmmkit.model.diagnostics.check_result import (
    CheckResult,
    Curves,
    Sentence,
    Unchecked,
    column,
    counted,
    number,
    text,
    too_few,
)
from lmmkit.model.diagnostics.replicated import Replicated
from lmmkit.model.diagnostics.spread import positive_response
from lmmkit.model.estimates import Estimates
from lmmkit.model.resampling.simulate import responses
from lmmkit.model.threads import one_thread

LEAST_ROWS = 20
FAR_OUT = 3.0  # standard deviations, from which a row does not make the residuals skewed alone
SKEW, TAILS = 0.5, 1.0  # skewness and excess kurtosis from which a departure matters
POINTS = 60  # of a QQ curve
ENDS = 12  # order statistics at either end, all of which are among them
LEAST_POWER = 0.5  # chance to see a strong departure below which nothing was checked
FEW_VALUES = 10  # different values of a response up to which it is one of categories
DISTANCE = 0.05  # of two distribution functions, from which a departure matters
AGAIN = 0.1  # share in the adjustment of a check that looks again at residuals which others have looked at
COUNT, LEAST = 99, 25  # data sets with skewed effects; of large data
LARGE = 20_000  # rows
STREAM = 7  # of the random numbers, apart from the replicates'


def moments(values: Floats) -> tuple[Floats, Floats]:
    """(c,) skewness and excess kurtosis of the columns of (n, c) values."""
    off = values - values.mean(axis=0)
    squares = off * off
    square = squares.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        lean = np.einsum("nc,nc->c", squares, off) / len(off) / square**1.5
        return lean, np.einsum("nc,nc->c", squares, squares) / len(off) / square**2 - 3.0


def residual_normality(sets: Replicated) -> Iterator[CheckResult | Unchecked]:
    """Skewness and tails of the conditional residuals, and their quantiles against those of replicates."""
    what = Sentence("Whether residuals are normal")
    values = sets.conditional[sets.free]
    if len(values) < LEAST_ROWS:
        few = too_few(len(values), LEAST_ROWS, "row")
        yield Unchecked("normal residuals", "residuals", few, what)
        return
    lean, tails = moments(values)
    statistic = len(values) * (lean**2 / 6.0 + tails**2 / 24.0)
    shape = (number(lean[0], 2), number(tails[0], 2))
    remedy = _remedy(sets.estimates, values[:, 0])
    yield CheckResult(
        "normal residuals",
        "residuals",
        fine=Sentence(
            "No departure of the residuals from a normal distribution was found (skewness {}, excess "
            "kurtosis {}).",
            *shape,
        ),
        notable=Sentence(
            "The residuals are not normal: they {} (skewness {}, excess kurtosis {}, both zero of a normal "
            "distribution).",
            text(_shape(float(lean[0]), float(tails[0]), len(values))),
            *shape,
        ),
        statistic=statistic,
        size=float(tails[0] if abs(tails[0]) >= 2.0 * abs(lean[0]) else lean[0]),
        matters=bool(abs(lean[0]) >= SKEW or abs(tails[0]) >= TAILS),
        remedy=remedy,
        method="skewness and excess kurtosis of the standardised conditional residuals (Jarque-Bera)",
    )
    x, curves, back, own = quantile_curves(values)
    middle = back(np.median(curves, axis=1))
    off = np.abs(own - middle)
    at = int(off.argmax())
    facts = (number(own[at], 2), number(middle[at], 2))
    yield CheckResult(
        "quantiles of residuals",
        "residuals",
        fine=Sentence(
            "No departure of the quantiles of the residuals from those of data sets from the model was "
            "found: the farthest off is {}, where {} is expected.",
            *facts,
        ),
        notable=Sentence(
            "The quantiles of the residuals leave the envelope of data sets from the model, most of all at "
            "{} standard deviations, where {} is expected.",
            *facts,
        ),
        statistic=curves,
        size=float(off.max()),
        matters=False,  # the residuals of the check before, judged again
        remedy=remedy,
        curve=x,
        back=back,
        shown=own,
        share=AGAIN,
        method="order statistics of the standardised conditional residuals, equal local levels",
    )


def _shape(lean: float, tails: float, rows: int) -> str:
    """A departure in words: what is large, or else the clearer one."""
    skewed = f"are skewed to the {'right' if lean > 0 else 'left'}"
    tailed = f"have {'heavier' if tails > 0 else 'lighter'} tails"
    large = [words for words, here in ((skewed, abs(lean) >= SKEW), (tailed, abs(tails) >= TAILS)) if here]
    clearer = skewed if abs(lean) / np.sqrt(6.0 / rows) > abs(tails) / np.sqrt(24.0 / rows) else tailed
    return " and ".join(large) or clearer


def _remedy(estimates: Estimates, residuals: Floats) -> str:
    """What to do about residuals that are not normal; skewed are those that stay so without the largest."""
    response, sizes = estimates.problem.response, np.abs(residuals)
    inner = residuals[sizes <= FAR_OUT * np.sqrt(np.mean(residuals**2))]
    lean, whole = (float(moments(part[:, None])[0][0]) for part in (inner, residuals))
    few = len(np.unique(response)) if len(response) else 0
    if few <= FEW_VALUES:
        return f"the response has {few} different values: a model of categories, not offered here, would suit"
    if abs(whole) >= SKEW and lean * np.sign(whole) >= SKEW / 2:
        name = positive_response(estimates) if lean > 0 else ""
        first = f"`log({name})` or `sqrt({name})` as the response" if name else "a transformed response"
        return f"{first}; intervals by conf_int(method='bootstrap') do not help against a wrong distribution"
    return (
        "look at the outlying rows and at the variance checks first; estimates of the fixed effects stand, "
        "and those of variances and predictions are less certain than their intervals say"
    )


def places(n: int) -> Ints:
    """Positions of the order statistics that a QQ curve has: all at the ends, some between."""
    middle = np.linspace(0, n - 1, POINTS).round().astype(np.intp)
    ends = np.arange(min(ENDS, n), dtype=np.intp)
    return np.unique(np.concatenate([ends, middle, n - 1 - ends]))


def quantile_curves(values: Floats) -> tuple[Floats, Floats, Callable[[Floats], Floats], Floats]:
    """Order statistics of the columns of (n, c) values in standard units, each on a normal scale of its own.

    The i-th of n uniform numbers in order is Beta(i, n - i + 1); its distribution function at Phi(value), as
    a normal quantile, is about as likely to be large at the ends as in the middle: equal local levels.

    Returns:
        x, (g,) normal quantiles of the ranks; (g, c) curves; what takes curves (g,) back to values; the
        values of the first column.

    Reference: Aldor-Noiman, Brown, Buja, Rolke & Stine (2013), The power to see: a new graphical test of
    normality, The American Statistician 67, 249-260 (step (e) of their algorithm with the distribution
    function of the Beta distribution, not its quantile function).
    """
    n = len(values)
    at = places(n)
    ordered = np.sort(values / np.sqrt(np.mean(values**2, axis=0)), axis=0)[at]
    a, b = at + 1.0, n - at + 0.0

    def forward(v: Floats) -> Floats:
        low = betainc(a[:, None], b[:, None], ndtr(v))
        high = betainc(b[:, None], a[:, None], ndtr(-v))  # the other tail, where digits would be lost
        return np.where(low < 0.5, ndtri(np.maximum(low, 1e-300)), -ndtri(np.maximum(high, 1e-300)))

    def back(z: Floats) -> Floats:
        low = ndtri(betaincinv(a, b, ndtr(z)))
        high = -ndtri(betaincinv(b, a, ndtr(-z)))
        return np.where(low < 0, low, high)

    return ndtri((at + 0.5) / n), forward(ordered), back, ordered[:, 0]


def quantile_residuals(sets: Replicated) -> Iterator[CheckResult | Unchecked]:
    """Uniformity of the probabilities of each row under the model, unconditional and conditional."""
    kinds = {
        "unconditional": (
            sets.unconditional,
            "the level effects and the rows together: a wrong distribution of either, or of the means",
        ),
        "conditional": (
            sets.conditional[sets.free],
            "the rows about their own groups alone: not the distribution of the random effects",
        ),
    }
    if len(sets.response) < LEAST_ROWS:
        few = too_few(len(sets.response), LEAST_ROWS, "row")
        yield Unchecked("quantile residuals", "rows", few, Sentence("The uniformity of quantile residuals"))
        return
    for kind, (values, detects) in kinds.items():
        statistic, distance = anderson_darling(values)
        yield CheckResult(
            "quantile residuals",
            kind,
            fine=Sentence(
                f"The {kind} quantile residuals are uniform as far as can be seen: their distribution "
                f"function "
                "is off by {} at most.",
                number(distance, 3),
            ),
            notable=Sentence(
                f"The {kind} quantile residuals are not uniform: their distribution function is off by up "
                f"to {{}}.",
                number(distance, 3),
            ),
            statistic=statistic,
            size=distance,
            matters=kind == "unconditional" and distance >= DISTANCE,
            remedy="see the checks of outliers, variances and normality, which say where",
            alone="the checks of outliers, variances and normality do not say where: look at the picture of "
            "the quantiles, and for a predictor, a bend or an effect of groups that the model does not have",
            share=AGAIN,
            method=f"Anderson-Darling; sees {detects}",
        )


def simulated_quantiles(sets: Replicated) -> pd.DataFrame:
    """Each row's residual among those of the same row in the replicates: row, unconditional, conditional.

    Reference: Dunn & Smyth (1996), Randomized quantile residuals, Journal of Computational and Graphical
    Statistics 5, 236-244.
    """
    kinds = {"unconditional": sets.unconditional, "conditional": sets.conditional}
    made = {
        kind: (np.count_nonzero(values[:, 1:] < values[:, :1], axis=1) + 0.5) / values.shape[1]
        for kind, values in kinds.items()
    }
    return pd.DataFrame({"row": list(sets.rows), **made})


def anderson_darling(values: Floats) -> tuple[Floats, float]:
    """(c,) A^2 of the columns of (n, c) standard normal values, and the first one's Kolmogorov distance."""
    ordered, n = np.sort(values, axis=0), len(values)
    weight = (2.0 * np.arange(1, n + 1) - 1.0)[:, None] / n
    statistic = -n - np.sum(weight * (log_ndtr(ordered) + log_ndtr(-ordered[::-1])), axis=0)
    probability = ndtr(ordered[:, 0])
    steps = np.arange(n + 1) / n
    distance = max(float(np.max(steps[1:] - probability)), float(np.max(probability - steps[:-1])))
    return statistic, distance


def effect_normality(sets: Replicated) -> Iterator[CheckResult | Unchecked]:
    """Skewness and kurtosis (Mardia's, where effects are correlated) of the scores of every random term."""
    chances: list[float] | None = None
    for place, term in enumerate(sets.estimates.random):
        observed = term.grouping.observed
        z, J, k = sets.level_scores[place][observed], int(observed.sum()), len(term.names)
        what = Sentence("Whether the random effects of {} are normal", column(term.group))
        if 2 * k + 4 > J:
            few = Sentence("{} levels cannot tell a distribution of ", number(J)).joined(counted(k, "effect"))
            yield Unchecked("normal random effects", term.group, few, what)
            continue
        lean, tails, statistic = mardia(z)
        if chances is None:
            chances = chance_to_see(sets, lambda scores: mardia(scores)[2])
        chance = chances[place]
        seen = Sentence(
            "with {} levels, effects as skewed as an exponential distribution would be seen in {} % of "
            "data sets",
            number(J), number(100.0 * chance, 0),
        )  # fmt: skip
        size = (number(lean, 2), number(tails, 2))
        yield CheckResult(
            "normal random effects",
            term.group,
            fine=Sentence(
                "No departure of the random effects of {} from a normal distribution was found (skewness {}, "
                f"excess kurtosis {{}}; {seen.form}).",
                column(term.group), *size, *seen.facts,
            ),
            notable=Sentence(
                "The random effects of {} are not normal: skewness {}, excess kurtosis {}.",
                column(term.group), *size,
            ),
            statistic=statistic,
            size=tails,
            matters=bool(abs(lean) >= SKEW or abs(tails) >= TAILS),
            remedy="look at the outlying groups first; a predictor of the groups that is missing makes "
            "mixtures; fixed effects are little affected, predictions of single groups are",
            pictures=tuple(_pictures(term.group, term.names, z)),
            method="skewness and kurtosis of the levels' standardised scores"
            + (" (Mardia)" if k > 1 else ""),
            unclear=Sentence(
                f"Whether the random effects of {{}} are normal cannot be told: {seen.form}.",
                column(term.group), *seen.facts,
            ) if chance < LEAST_POWER else None,
        )  # fmt: skip


def _pictures(group: str, names: tuple[str, ...], z: Floats) -> Iterator[Curves]:
    """The QQ curve of each effect of a term."""
    for c, name in enumerate(names):
        x, curves, back, own = quantile_curves(z[:, c])
        yield Curves(f"{group}: {name}", x, curves, back, own)


def standardised(z: Floats) -> Floats:
    """(J, k, c) z turned so that over the levels of each column its second moments are the identity."""
    moment = np.einsum("jac,jbc->cab", z, z) / len(z)
    ridge = 1e-12 * np.einsum("caa->c", moment)[:, None, None] * np.eye(z.shape[1])
    root: Floats = np.asarray(np.linalg.cholesky(moment + ridge), np.float64)
    inverse: Floats = np.asarray(np.linalg.inv(root), np.float64)
    return np.einsum("cab,jbc->jac", inverse, z)


def mardia(z: Floats) -> tuple[float, float, Floats]:
    """The first column's skewness and excess kurtosis, and (c,) the joint statistic, of (J, k, c) z.

    With means taken out and S^-1/2 z: b1 = sum of squares of all third moments, b2 = mean |z|^4; J b1 / 6 and
    J (b2 - k (k + 2))^2 / (8 k (k + 2)) are added. The size told is the root of b1 (with its sign for one
    effect), and b2 - k (k + 2).

    Reference: Mardia (1970), Measures of multivariate skewness and kurtosis with applications, Biometrika 57,
    519-530.
    """
    J, k, _ = z.shape
    u = standardised(z - z.mean(axis=0))
    square = np.einsum("jac,jac->jc", u, u)
    tails = np.mean(square**2, axis=0) - k * (k + 2)
    third = np.zeros(z.shape[2])
    for a in range(k):
        for b in range(k):
            third += np.sum(np.mean(u[:, a, None] * u[:, b, None] * u, axis=0) ** 2, axis=0)
    signed = float(np.mean(u[:, 0, 0] ** 3)) if k == 1 else float(np.sqrt(third[0]))
    return signed, float(tails[0]), J * third / 6.0 + J * tails**2 / (8.0 * k * (k + 2))


def chance_to_see(sets: Replicated, statistic: Callable[[Floats], Floats]) -> list[float]:
    """Share of data sets with exponential effects (skewness 2) that a check at 5 % notices, of each term.

    The variances are held at those of the fit, and all terms have such effects at once.

    Args:
        sets: The replicates.
        statistic: Of (J, k, c) standardised scores, (c,) large where effects are not normal.
    """
    estimates = sets.estimates
    problem = estimates.problem
    count = COUNT if estimates.nobs <= LARGE else LEAST
    sizes = [term.rank * len(term.columns) for term in problem.terms]
    u = normals(0, 0, count, sum(sizes) + estimates.nobs, STREAM)
    *effects, noise = np.split(u, np.cumsum(sizes))
    skewed = [-log_ndtr(own) - 1.0 for own in effects]
    made = responses(estimates, estimates.marginal_fit, skewed, noise)
    with one_thread():
        map_of = OneVariance(problem, estimates.factors, estimates.rho, reml=estimates.reml)
        found = map_of.predictions(made)
    chances = list[float]()
    for place, term in enumerate(estimates.random):
        seen = term.grouping.observed
        z: Floats = np.asarray(
            np.linalg.solve(sets.level_roots[place], found.scores[place] / found.sigma)[seen], np.float64
        )
        bound = float(np.quantile(statistic(sets.level_scores[place][seen])[1:], 0.95))
        chances.append(int(np.count_nonzero(statistic(z) > bound)) / count)
    return chances
