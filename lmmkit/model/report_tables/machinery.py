"""The engine's stages, each with what it makes, for a reader who wants to stop between two of them."""

from __future__ import annotations

import pandas as pd

from lmmkit.engine.setup import Setup, set_up
from lmmkit.model.design.design import Design
from lmmkit.model.fit import Fit
from lmmkit.model.threads import one_thread


def stages(fit: Fit) -> pd.DataFrame:
    """What each stage of a fit makes: stage, quantity, value.

    The stages are design, preparation, cross-products, layout, start and optimum; after the cross-products
    the rows of the data are not looked at again.
    """
    with one_thread():
        setup = set_up(fit.estimates.problem, reml=fit.reml)
        start = setup.criterion.evaluate(setup.layout.coordinates(setup.start())).deviance
    rows = [*_design(fit.design), *_machinery(setup), ("start", "deviance", float(start)), *_optimum(fit)]
    return pd.DataFrame(rows, columns=["stage", "quantity", "value"])


def _design(design: Design) -> list[tuple[str, str, float]]:
    effects = sum(term.grouping.size * len(term.names) for term in design.random)
    return [
        ("design", "rows", len(design.problem.response)),
        ("design", "columns of X", len(design.fixed_names)),
        ("design", "columns of Z", effects),
    ]


def _machinery(setup: Setup) -> list[tuple[str, str, float]]:
    return [
        ("preparation", "columns of X kept", len(setup.prepared.fixed)),
        ("preparation", "scale of the response", float(setup.prepared.scale)),
        ("layout", "nested factors, eliminated one by one", len(setup.layout.chain)),
        ("layout", "crossed factors, solved together", len(setup.layout.rest)),
        ("layout", "order of their dense matrix", setup.layout.size),
    ]


def _optimum(fit: Fit) -> list[tuple[str, str, float]]:
    return [
        ("search", "covariance parameters", len(fit.theta)),
        ("search", "evaluations", fit.evaluations),
        ("optimum", "deviance", fit.deviance),
    ]
