"""A coefficient, or a function of them, under the null: responses without its effect, and refits.

The random numbers belong to the rows of the data file and to the levels of the grouping factors, not to the
model: two models of one data set that are given the same seed meet the same luck, so what they find under the
null can be set side by side, replicate by replicate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.replicates.refit import refit
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.resampling.simulate import responses
from lmmkit.model.threads import one_thread

Keys = NDArray[np.uint64]

# Steele, Lea & Flood (2014), Fast splittable pseudorandom number generators: SplitMix64.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))


class NullDraws(NamedTuple):
    """What is asked for in the replicates, (n,) each; NaN where the model could not be fitted."""

    estimate: Floats
    se: Floats


def null_draws(
    estimates: Estimates, coefficient: str | Floats, *, rows: Ints, n: int, seed: int
) -> NullDraws:
    """What a model finds of a coefficient, or of a linear function of them, that is zero.

    The parametric form of the bootstrap under the null of Simonsohn, Simmons & Nelson (2020): responses are
    drawn from the fit with what is asked for taken out, and the model is fitted to each. Which coefficients
    that zero is made of does not matter: estimates of the variances do not depend on them.

    Args:
        estimates: The fit.
        coefficient: Its name, or (p,) weights on the kept coefficients.
        rows: (nobs,) each row's number in the data file.
        n: Number of replicates.
        seed: Seed of the random numbers.

    Raises:
        FitError: the model has no such coefficient.
    """
    L = _weights(estimates, coefficient) if isinstance(coefficient, str) else coefficient
    source = _NullSource(estimates, L, rows, seed)
    with one_thread():
        rho = estimates.rho if estimates.problem.residual else None
        found = refit(estimates.problem, source.draw, n, reml=estimates.reml, rho=rho, functions=L[None])
    return NullDraws(found.beta @ L, np.sqrt(found.function_variances[:, 0, 0]))


def _weights(estimates: Estimates, coefficient: str) -> Floats:
    """(p,) one at a coefficient."""
    if coefficient not in estimates.names:
        raise FitError(f"the model has no coefficient {coefficient}; it has {', '.join(estimates.names)}")
    return np.eye(len(estimates.names))[estimates.names.index(coefficient)]


def keys(names: Iterable[str], seed: int) -> Keys:
    """The key of each name's stream of random numbers."""
    digests = (blake2b(f"{seed}|{name}".encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def normals(streams: Keys, first: int, count: int) -> Floats:
    """(len(streams), count) standard normals: numbers `first` to `first + count - 1` of each stream.

    >>> streams = keys(["row 1", "row 2"], seed=7)
    >>> bool((normals(streams, 0, 4)[:, 2:] == normals(streams, 2, 2)).all())
    True
    """
    steps = (np.arange(first + 1, first + count + 1, dtype=np.uint64)) * _GAMMA
    z = streams[:, None] + steps
    for shift, factor in _MIX:
        z = (z ^ (z >> np.uint64(shift))) * factor
    z ^= z >> np.uint64(31)
    return scipy.special.ndtri(((z >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


@dataclass(frozen=True, eq=False)
class _NullSource:
    """Responses under the null."""

    estimates: Estimates
    L: Floats
    rows: Ints
    seed: int

    @cached_property
    def mean(self) -> Floats:
        """(nobs,) X beta, moved along L to where L'beta is zero."""
        value = self.L @ self.estimates.beta / (self.L @ self.L)
        return self.estimates.marginal_fit - value * (self.estimates.X @ self.L)

    @cached_property
    def row_keys(self) -> Keys:
        return keys((f"row {row}" for row in self.rows), self.seed)

    @cached_property
    def term_keys(self) -> list[Keys]:
        """(J k,) of each term, the columns of a level together."""
        return [
            keys((f"{term.factor} {level} {name}" for level in term.levels for name in term.names), self.seed)
            for term in self.estimates.design.random
        ]

    def draw(self, first: int, count: int) -> Floats:
        """Responses `first` to `first + count - 1`, (nobs, count)."""
        effects = (normals(streams, first, count) for streams in self.term_keys)
        return responses(self.estimates, self.mean, effects, normals(self.row_keys, first, count))
