"""One fit in a process of its own: `python fit.py ENGINE WORKLOAD` prints one line of JSON.

The clock holds the whole call, from a DataFrame and a formula, the first in its process, in CPU seconds of
the process. Imports and the conversion to the table that an engine asks for are outside. An engine that
takes no formula (gpboost) is handed its matrices. What the peers import at their first call is imported
before; what lmmkit imports then, it pays for.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from workloads import WORKLOADS, Workload, peak_memory

Fitted = Any
Figures = dict[str, float | int | bool | None]
# The call to time, and what is read from its result.
Timed = tuple[Callable[[], Fitted], Callable[[Fitted], Figures]]


class NotOfferedError(Exception):
    """The engine does not fit this model."""


def lmmkit(workload: Workload, frame: pd.DataFrame) -> Timed:
    """The whole call."""
    import lmmkit

    def figures(fit: Fitted) -> Figures:
        return {"deviance": fit.deviance, "evaluations": fit.evaluations, "converged": fit.converged}

    return lambda: lmmkit.lmm(workload.formula, frame), figures


def lmmkit_engine(workload: Workload, frame: pd.DataFrame) -> Timed:
    """The engine alone: the design is made before the clock starts."""
    from lmmkit.engine.solve import solve
    from lmmkit.model.design.design import build_design

    problem = build_design(workload.formula, frame).problem

    def figures(solution: Fitted) -> Figures:
        return {
            "deviance": solution.deviance,
            "evaluations": solution.evaluations,
            "converged": solution.converged,
        }

    return lambda: solve(problem, reml=True), figures


def mixedlm(workload: Workload, frame: pd.DataFrame) -> Timed:
    """Rust; lme4's formulas."""
    from mixedlm import lmer

    table = frame.astype(dict.fromkeys(workload.groups, "category"))

    def figures(fit: Fitted) -> Figures:
        return {
            "deviance": fit.deviance,
            "evaluations": fit.function_evals,
            "converged": bool(fit.converged),
        }

    return lambda: lmer(workload.formula, table), figures


def mixedlm_rs(workload: Workload, frame: pd.DataFrame) -> Timed:
    """Rust; one grouping factor."""
    import mixedlm_rs
    import patsy  # noqa: F401  what its first call would import

    fit, figures = _one_factor(mixedlm_rs.mixedlm, workload, frame)
    return fit, lambda fitted: {
        **figures(fitted),
        "evaluations": fitted.diagnostics["n_objective_evaluations"],
    }


def glmm(workload: Workload, frame: pd.DataFrame) -> Timed:
    """Rust; lme4's formulas. Degrees of freedom, which it finds with the fit, are left out."""
    import glmm

    bars, frame = _products_as_columns(workload, frame)
    table = frame.astype(dict.fromkeys(workload.groups, "category"))
    fixed = workload.fixed.replace("a * b", "a + b + a_b")  # a slope must stand in the fixed part as it is
    formula = " + ".join([fixed, *bars])

    def figures(fit: Fitted) -> Figures:
        return {
            "deviance": -2 * float(fit.loglik),
            "evaluations": fit.n_eval + fit.n_grad,
            "converged": bool(fit.converged),
        }

    return lambda: glmm.fit(table, formula, satterthwaite=False), figures


def statsmodels(workload: Workload, frame: pd.DataFrame) -> Timed:
    """MixedLM: one grouping factor (crossed ones only as dense indicator columns)."""
    from statsmodels.formula.api import mixedlm

    return _one_factor(mixedlm, workload, frame)


def _one_factor(model: Callable[..., Any], workload: Workload, frame: pd.DataFrame) -> Timed:
    if len(workload.terms) > 1:
        raise NotOfferedError
    [(slopes, group)] = workload.terms
    slopes = "~" + " + ".join(slopes or ["1"])

    def figures(fit: Fitted) -> Figures:
        return {"deviance": -2 * float(fit.llf), "evaluations": None, "converged": bool(fit.converged)}

    return lambda: model(workload.fixed, frame, groups=group, re_formula=slopes).fit(reml=True), figures


def lme_python(workload: Workload, frame: pd.DataFrame) -> Timed:
    """Rust; lme4's formulas, polars tables."""
    import lme_python
    import polars

    texts = dict.fromkeys([*workload.groups, *workload.factors], polars.String)
    bars, frame = _products_as_columns(workload, frame)
    formula = " + ".join([workload.fixed, *bars])
    table = polars.from_pandas(frame).cast(texts)

    def figures(fit: Fitted) -> Figures:
        return {"deviance": fit.reml_criterion, "evaluations": fit.iterations, "converged": fit.converged}

    return lambda: lme_python.lmer(formula, data=table, reml=True), figures


def interlace(workload: Workload, frame: pd.DataFrame) -> Timed:
    """On numpy and scipy; crossed factors."""
    import interlace

    bars, frame = _products_as_columns(workload, frame)

    def figures(fit: Fitted) -> Figures:
        return {
            "deviance": -2 * float(fit.llf_restricted),
            "evaluations": None,
            "converged": bool(fit.converged),
        }

    return lambda: interlace.fit(workload.fixed, frame, random=bars), figures


def gpboost(workload: Workload, frame: pd.DataFrame) -> Timed:
    """C++; matrices instead of a formula, ML only, slopes without correlations."""
    import gpboost
    from patsy import dmatrices

    y, X = (np.asarray(part, dtype=float) for part in dmatrices(workload.fixed, frame))
    groups = np.column_stack([frame[group].to_numpy() for group in workload.groups])
    slopes, owners = _uncorrelated(workload, frame)

    def fit() -> Fitted:
        model = gpboost.GPModel(
            group_data=groups,
            group_rand_coef_data=slopes,
            ind_effect_group_rand_coef=owners,
            likelihood="gaussian",
            num_parallel_threads=1,
        )
        return model.fit(y=y.ravel(), X=X)

    return fit, lambda _: {"deviance": None, "evaluations": None, "converged": None}


def _uncorrelated(workload: Workload, frame: pd.DataFrame) -> tuple[np.ndarray | None, list[int] | None]:
    """The slopes as columns, and for each the (1-based) number of its grouping factor."""
    owned = [
        (slope, number) for number, (slopes, _) in enumerate(workload.terms, start=1) for slope in slopes
    ]
    if not owned:
        return None, None
    return np.column_stack([_column(slope, frame) for slope, _ in owned]), [number for _, number in owned]


def _products_as_columns(workload: Workload, frame: pd.DataFrame) -> tuple[list[str], pd.DataFrame]:
    """Bars and table for an engine that reads no product inside a bar."""
    bars = [f"({' + '.join(['1', *slopes]).replace(':', '_')} | {group})" for slopes, group in workload.terms]
    products = {slope for slopes, _ in workload.terms for slope in slopes if ":" in slope}
    return bars, frame.assign(**{name.replace(":", "_"): _column(name, frame) for name in products})


def _column(slope: str, frame: pd.DataFrame) -> np.ndarray:
    """A slope's values: a column, or the product of two."""
    return frame[slope.split(":")].prod(axis=1).to_numpy(dtype=float)


ENGINES: dict[str, Callable[[Workload, pd.DataFrame], Timed]] = {
    "lmmkit": lmmkit,
    "lmmkit engine": lmmkit_engine,
    "mixedlm": mixedlm,
    "mixedlm-rs": mixedlm_rs,
    "lme-python": lme_python,
    "glmm": glmm,
    "gpboost": gpboost,
    "interlace": interlace,
    "statsmodels": statsmodels,
}
PACKAGES = {name: name.split()[0] for name in ENGINES} | {"interlace": "interlace-lme"}


def main(engine: str, name: str) -> None:
    """Time one fit and print what it reached."""
    warnings.simplefilter("ignore")
    workload = WORKLOADS[name]
    try:
        fit, figures = ENGINES[engine](workload, workload.frame())
    except NotOfferedError:
        print(json.dumps({"status": "not offered"}))
        return
    before = time.process_time()
    fitted = fit()
    seconds = time.process_time() - before
    facts = {
        "status": "ok",
        "seconds": seconds,
        "peak_mb": peak_memory(),
        "version": version(PACKAGES[engine]),
    }
    print(json.dumps({**facts, **figures(fitted)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
