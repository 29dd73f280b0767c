"""The optimum on the boundary: which directions of a covariance matrix are null."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.criterion.criterion import Criterion, State
from lmmkit.engine.problem import Floats

NEGLIGIBLE = 1e-9  # a direction is null when the deviance without it is no higher than this
SUSPECT = 1e-3  # what may be taken from scaled T at most
NOT_NEGATIVE = -1e-9  # least multiplier that rounding may leave at a null direction


def set_null(criterion: Criterion, state: State, scale: list[Floats]) -> State:
    """Returns the state with every null direction at exact zero.

    A direction is null when zeroing it leaves the deviance within 1e-9 and its multiplier is not negative.
    """
    for f, factor in enumerate(criterion.layout.factors):
        for part in range(len(factor.structure.thinner(state.L[f], scale[f]))):
            state = _thinned(criterion, state, f, part, scale[f])
    return state


def _thinned(criterion: Criterion, state: State, f: int, part: int, scale: Floats) -> State:
    """Zero one part's weakest directions, one after the other, while the deviance does not notice."""
    factor = criterion.layout.factors[f]
    while True:
        value, rows, root = factor.structure.thinner(state.L[f], scale)[part]
        if value == 0.0 or value > SUSPECT:
            return state
        theta = criterion.theta([*state.L[:f], root, *state.L[f + 1 :]])
        if criterion.deviance(theta) > state.deviance + NEGLIGIBLE:
            return state
        trial = criterion(theta)
        if np.vdot(trial.D[f], rows @ rows.T) / factor.levels < NOT_NEGATIVE:
            return state
        state = trial
