"""A posterior as ArviZ takes it: draws of equal weight, replicated data, log densities of the rows."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from lmmkit.model.posterior.weighted import resampled

if TYPE_CHECKING:
    from lmmkit.model.posterior.posterior import Posterior


def inference_data(posterior: Posterior, *, log_likelihood: bool) -> Any:
    """InferenceData of ArviZ 0, a DataTree of ArviZ 1.

    Args:
        posterior: The posterior.
        log_likelihood: Whether the log densities of the rows, given their groups, are in it.

    Raises:
        ImportError: ArviZ is not installed.
    """
    if find_spec("arviz") is None:
        raise ImportError("to_arviz needs ArviZ, which is not installed: pip install 'lmmkit[arviz]'.")
    arviz, groups = import_module("arviz"), _groups(posterior, log_likelihood=log_likelihood)
    coords, dims = _names(posterior)
    if int(str(arviz.__version__).partition(".")[0]) >= 1:
        return arviz.from_dict(groups, coords=coords, dims=dims)
    return arviz.from_dict(**groups, coords=coords, dims=dims)


def _groups(posterior: Posterior, *, log_likelihood: bool) -> dict[str, dict[str, Any]]:
    """The variables by group, (1, r) or (1, r, ...) each; constants without these axes."""
    draws = posterior.draws
    places = resampled(posterior.weights, draws.count, draws.seed)
    frame = posterior.draws_frame().iloc[places]
    found = {str(name): frame[name].to_numpy()[None] for name in frame}
    for term, b in zip(posterior.estimates.random, posterior.effects, strict=True):
        found[f"b.{term.group}"] = b[places][None]
    y = posterior.estimates.design.recipe.formula.response.text
    groups = {
        "posterior": found,
        "sample_stats": {"log_weight": draws.log_weights[places][None]},
        "log_prior": {"parameters": draws.log_prior[places][None]},
        "observed_data": {y: posterior.estimates.problem.response},
    }
    if log_likelihood:
        rows = np.concatenate(list(posterior.densities(places).rows()), axis=1)
        groups["log_likelihood"] = {y: rows[None]}
    return groups


def _names(posterior: Posterior) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The levels and terms of the random effects."""
    coords, dims = dict[str, Any](), dict[str, list[str]]()
    for term in posterior.estimates.random:
        axes = [f"{term.group}.level", f"{term.group}.term"]
        coords |= {axes[0]: [str(level) for level in term.levels], axes[1]: list(term.names)}
        dims[f"b.{term.group}"] = axes
    return coords, dims
