"""The search and its stages: its path, every algorithm side by side, the surface, the certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.search.algorithms import ALGORITHMS
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError
from lmmkit.model.certificate import HOLDS, Certificate
from lmmkit.model.estimates import Estimates, estimate, start_factors
from lmmkit.model.fit import Fit
from lmmkit.model.report_tables.report_table import Facts, ReportTable, printed
from lmmkit.model.tables import theta_names
from lmmkit.model.threads import one_thread

Frame = pd.DataFrame
MANY_ROWS = 20_000


def stages(fit: Fit) -> Frame:
    """What each stage of a fit makes: stage, quantity, value.

    The stages are design, preparation, layout, start, search and optimum; once the cross-products are made
    the rows of the data are not looked at again.
    """
    design = fit.design
    with one_thread():
        setup = set_up(fit.estimates.problem, reml=fit.reml)
        start = float(setup.criterion.evaluate(setup.start()).deviance)
    rows = [
        ("design", "rows", len(design.problem.response)),
        ("design", "columns of X", len(design.fixed_names)),
        ("design", "columns of Z", design.problem.effects),
        ("preparation", "columns of X kept", len(setup.prepared.fixed)),
        ("preparation", "scale of the response", float(setup.prepared.scale)),
        ("layout", "nested factors, eliminated one by one", len(setup.layout.chain)),
        ("layout", "crossed factors, solved together", len(setup.layout.rest)),
        ("layout", "order of their dense matrix", setup.layout.size),
        ("start", "deviance", start),
        ("search", "covariance parameters", len(fit.theta) + len(fit.estimates.rho)),
        ("search", "evaluations", fit.evaluations),
        ("optimum", "deviance", fit.deviance),
    ]
    return Frame(rows, columns=["stage", "quantity", "value"])


def search_path(fit: Fit) -> Frame:
    """The search, step by step: its log without theta and rho, and `excess` over the final deviance."""
    table = fit.trace.drop(columns=["theta", "rho"], errors="ignore")
    excess = table["deviance"] - fit.deviance
    visible = excess > np.finfo(float).eps * abs(fit.deviance)
    return table.assign(iteration=range(len(table)), excess=excess.where(visible))


def _gain(path: Frame) -> Facts:
    gain = float(path["deviance"].iloc[0] - path["deviance"].iloc[-1])
    return {"gain": gain, "steps": len(path) - 1}


def affordable_algorithms(fit: Fit) -> list[str]:
    """The algorithms that are worth their time: on many rows, and of relatives, without those of small steps.

    Those have no step for the parameters of a residual structure.
    """
    few = fit.nobs > MANY_ROWS or fit.design.residual is not None or fit.design.has_relatives
    few = few or not all(term.structure.has_em for term in fit.estimates.random)
    return ["newton", "pls", "direct"] if few else list(ALGORITHMS)


def uninformed_start(estimates: Estimates) -> Floats:
    """theta of Lambda = I, where lme4 starts."""
    parts = (term.structure.relative(term.structure.plain_root) for term in estimates.random)
    return np.concatenate([np.empty(0), *parts])


def fits_by_algorithm(estimates: Estimates, algorithms: Sequence[str] | None = None) -> dict[str, Estimates]:
    """The same model by each algorithm, all started from Lambda = I, and rho = 0 of a residual structure.

    Args:
        estimates: A fit whose design and criterion are taken.
        algorithms: Names; by default all.

    Raises:
        FitError: There is no such algorithm.
    """
    start: dict[str, Any] = {"start": uninformed_start(estimates).tolist()} if estimates.random else {}
    if estimates.design.residual is not None:
        start["rho"] = np.zeros(len(estimates.rho))
    return {
        name: estimate(estimates.design, reml=estimates.reml, algorithm=name, **start)
        for name in (ALGORITHMS if algorithms is None else algorithms)
    }


def algorithm_table(fits: dict[str, Estimates]) -> Frame:
    """One row per algorithm: where it ended, how far above the lowest, what it cost, whether it converged.

    Returns:
        DataFrame by algorithm: `deviance`, `above` (the lowest of all), `sigma`, `iterations`, `evaluations`,
        `decrement` (what its last step still promised, in deviance units), `converged`, `method`.
    """
    lowest = min(fit.deviance for fit in fits.values())
    rows = {
        name: {
            "deviance": fit.deviance,
            "above": fit.deviance - lowest,
            "sigma": fit.sigma,
            "iterations": len(fit.evidence.trace) - 1,
            "evaluations": fit.evaluations,
            "decrement": fit.evidence.trace[-1]["decrement"],
            "converged": fit.converged,
            "method": ALGORITHMS[name].description,
        }
        for name, fit in fits.items()
    }
    return Frame.from_dict(rows, orient="index").rename_axis("algorithm")


def _span(table: Frame) -> Facts:
    return {
        "algorithms": len(table),
        "fewest iterations": int(table["iterations"].min()),
        "most iterations": int(table["iterations"].max()),
        "furthest above, of those converged": float(table.loc[table["converged"], "above"].max()),
    }


def steps_table(fits: dict[str, Estimates]) -> Frame:
    """Where each algorithm stood at each step.

    Returns:
        DataFrame `algorithm`, `iteration`, `deviance`, `above` (the lowest that any algorithm reached; at
        least the rounding of the deviance, so that it can be drawn on a log scale), then theta by name.
    """
    lowest = min(fit.deviance for fit in fits.values())
    rounding = np.finfo(np.float64).eps * abs(lowest)
    logs = [(name, line) for name, fit in fits.items() for line in fit.evidence.trace]
    heads = [(name, line["iteration"], line["deviance"]) for name, line in logs]
    table = Frame(heads, columns=["algorithm", "iteration", "deviance"])
    table["above"] = (table["deviance"] - lowest).clip(lower=rounding)
    theta = Frame([line["theta"] for _, line in logs], columns=theta_names(next(iter(fits.values()))))
    return pd.concat([table, theta], axis=1)


def surface_pair(fit: Fit) -> list[str]:
    """Two entries of theta to draw the deviance over, if the model has two or three and is not large.

    None where a residual structure has parameters beside them.
    """
    naturals = zip(fit.theta.index, fit.estimates.naturals, strict=True)
    diagonal = [name for name, (_, natural) in naturals if natural.kind == "sd"]
    alone = fit.design.residual is None
    able = alone and 2 <= len(fit.theta) <= 3 and len(diagonal) >= 2 and fit.nobs <= MANY_ROWS
    return [diagonal[0], diagonal[-1]] if able else []


def deviance_surface(estimates: Estimates, first: str, second: str, *, points: int = 41) -> Frame:
    """The profiled deviance over two entries of theta, the others at the optimum.

    Args:
        estimates: The fit.
        first: Name of an entry of theta.
        second: Name of another.
        points: Points along each axis.

    Returns:
        DataFrame `first`, `second` (named as asked), `deviance`, and `above` (the optimum); entries outside
        the cone, with a negative diagonal, are left out.

    Raises:
        FitError: theta has no such entry.
    """
    (i, across), (j, along) = (_axis(estimates, name, points) for name in (first, second))
    setup = set_up(estimates.problem, reml=estimates.reml)
    rows = list[tuple[float, float, float]]()
    with one_thread():
        for a in across:
            for b in along:
                theta = estimates.theta.copy()
                theta[i], theta[j] = a, b
                factors = start_factors(estimates.design, theta.tolist())
                L = setup.layout.in_prepared_units(setup.prepared.term_bases, factors)
                rows.append((a, b, setup.criterion.evaluate(setup.layout.coordinates(L)).deviance))
    table = Frame(rows, columns=[first, second, "deviance"])
    return table.assign(above=table["deviance"] - estimates.deviance)


def _axis(estimates: Estimates, name: str, points: int) -> tuple[int, Floats]:
    """Position of an entry of theta, and the grid along it: as far as it is from zero, at least 0.5."""
    names = theta_names(estimates)
    if name not in names:
        raise FitError(f"theta has no entry {name!r}; it has {', '.join(names)}.")
    position = names.index(name)
    value = float(estimates.theta[position])
    reach = max(abs(value), 0.5)
    bounded = np.concatenate([term.structure.nonnegative for term in estimates.random])[position]
    low = max(value - reach, 0.0) if bounded else value - reach
    return position, np.linspace(low, value + reach, points)


def verdict(certificate: Certificate) -> dict[str, Any]:
    """A certificate as a whole, in plain values; its checks are in its table."""
    return {
        "passed": certificate.passed,
        "digits": certificate.digits,
        "full": certificate.full,
        "checks": len(certificate.results),
        "held": sum(result.verdict == HOLDS for result in certificate.results),
        "failed": [result.check for result in certificate.failed],
        "sentence": certificate.sentence(),
    }


TABLES = (
    ReportTable("path", facts=_gain),
    ReportTable(
        "algorithms",
        "The same model by several algorithms, all from one uninformed start.",
        printed(
            "algorithm deviance above iterations evaluations converged method",
            deviance=("Deviance", 6),
            above=("Above the lowest", "magnitude"),
            method="Method",
        ),
        _span,
    ),
    ReportTable(
        "certificate",
        "Checks of the fit: what was found, what is allowed, the verdict.",
        printed(
            "check value threshold verdict", value=("Found", "magnitude"), threshold=("Allowed", "magnitude")
        ),
    ),
)
