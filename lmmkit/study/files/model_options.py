"""From a study's settings to the model functions: the choice of the random effects, the options of a fit."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lmmkit.model.comparison.selection import Selection, select
from lmmkit.study.files.schema import Model


def design_options(model: Model) -> dict[str, Any]:
    """The arguments of `build_design` that a study's model sets, but for the formula and the data."""
    return {"weights": model.weights, "offset": model.offset, "contrasts": dict(model.contrasts) or None}


def fit_options(model: Model) -> dict[str, Any]:
    """The arguments of `lmm` that a study's model sets, but for the formula and the data."""
    return {"reml": model.method == "REML", "algorithm": model.algorithm, **design_options(model)}


def choose_structure(settings: Any, table: pd.DataFrame) -> Selection:
    """The random effects that a study's rule chooses, and every candidate beside them.

    Args:
        settings: Settings of a step that declares `model` and `random_effects`.
        table: The prepared data.

    Raises:
        FitError: no candidate can be fitted.
    """
    effects, model = settings.random_effects, settings.model
    return select(
        model.formula,
        table,
        rule=effects.rule,
        candidates=effects.candidates,
        criterion=effects.criterion if effects.rule == "best" else "aic",
        **fit_options(model),
    )
