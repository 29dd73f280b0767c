"""The optimum on the boundary: which directions of a covariance matrix are null."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.criterion.criterion import Criterion, Evaluation
from lmmkit.engine.problem import Floats
from lmmkit.engine.search import covariance_cone as cone
from lmmkit.engine.search.rules import Rules


def set_null(criterion: Criterion, state: Evaluation, scale: list[Floats], rules: Rules) -> Evaluation:
    """The state with every null direction at exact zero.

    A direction is null when zeroing it leaves the deviance within 1e-9 and its multiplier is not negative.
    """
    for f, factor in enumerate(criterion.layout.factors):
        for index in range(len(factor.blocks)):
            state = _thinned(criterion, state, f, index, scale[f], rules)
    return state


def _thinned(
    criterion: Criterion, state: Evaluation, f: int, index: int, scale: Floats, rules: Rules
) -> Evaluation:
    """Zero one block's weakest directions, one after the other, while the deviance does not notice."""
    factor = criterion.layout.factors[f]
    here = np.ix_(factor.blocks[index], factor.blocks[index])
    s = scale[list(factor.blocks[index])]
    while True:
        value, direction, thinner = cone.weakest(state.L[f][here], s)
        if value == 0.0 or value > rules.suspect:
            return state
        L = list(state.L)
        L[f] = state.L[f].copy()
        L[f][here] = thinner
        trial = criterion.evaluate(criterion.theta(L))
        if trial.deviance > state.deviance + rules.negligible:
            return state
        slope = direction @ (trial.D[f][here] / np.outer(s, s)) @ direction / factor.levels
        if slope < -rules.null_multiplier:
            return state
        state = trial


def null_count(block: Floats) -> int:
    """Directions of a covariance matrix that are exactly zero, from its semidefinite factor."""
    return int(np.sum(block.diagonal() == 0.0))
