"""Draws of equal weight as ArviZ takes them: parameters, random effects, log densities of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.model.estimates import Estimates


def inference_data(
    estimates: Estimates,
    frame: pd.DataFrame,
    effects: Sequence[Floats],
    stats: Mapping[str, Floats],
    rows: Floats | None,
) -> Any:
    """InferenceData of ArviZ 0, a DataTree of ArviZ 1.

    Args:
        estimates: The fit.
        frame: (r, m) draws of the parameters, of equal weight.
        effects: (r, J, k) those of the random effects of each term.
        stats: (r,) what is known of the draws, by name.
        rows: (r, n) log densities of the rows, or None.

    Raises:
        ImportError: ArviZ is not installed.
    """
    if find_spec("arviz") is None:
        raise ImportError("to_arviz needs ArviZ, which is not installed: pip install 'lmmkit[arviz]'.")
    y, arviz = estimates.design.recipe.formula.response.text, import_module("arviz")
    drawn = {str(name): frame[name].to_numpy()[None] for name in frame}
    coords, dims = dict[str, Any](), dict[str, list[str]]()
    for term, b in zip(estimates.random, effects, strict=True):
        drawn[f"b.{term.group}"] = b[None]
        axes = [f"{term.group}.level", f"{term.group}.term"]
        coords |= {axes[0]: [str(level) for level in term.levels], axes[1]: list(term.names)}
        dims[f"b.{term.group}"] = axes
    groups = {
        "posterior": drawn,
        "sample_stats": {name: values[None] for name, values in stats.items()},
        "observed_data": {y: estimates.problem.response},
    }
    if rows is not None:
        groups["log_likelihood"] = {y: rows[None]}
    if int(str(arviz.__version__).partition(".")[0]) >= 1:
        return arviz.from_dict(groups, coords=coords, dims=dims)
    return arviz.from_dict(**groups, coords=coords, dims=dims)
