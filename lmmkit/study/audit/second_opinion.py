"""A fit judged from its data and its numbers alone: by the referee, by statsmodels, by lme4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.problem import Floats
from lmmkit.engine.referee.henderson_sparse import SparseReferee
from lmmkit.engine.referee.textbook import write_out
from lmmkit.errors import LmmkitError, RunError
from lmmkit.model.certificate import FAILS, Certificate, certify
from lmmkit.model.certificate import UNCHECKED as LEFT
from lmmkit.model.design.design import design_from_dict
from lmmkit.model.estimates import Estimates, Stored, estimates_from_dict
from lmmkit.model.threads import one_thread
from lmmkit.study.audit.findings import DIFFERS, HOLDS, UNCHECKED, Finding
from lmmkit.study.audit.integrity import Opened
from lmmkit.study.audit.opinion import Opinion
from lmmkit.study.audit.opinion_lme4 import ask_lme4
from lmmkit.study.audit.opinion_statsmodels import ask_statsmodels
from lmmkit.study.data.load_table import read_frame

PART = "second opinion"
DATA, FIT = "data.parquet", "fit.json"
DEVIANCE, SHIFT = 1e-4, 1e-2  # how far another package's optimum may lie: in deviance, in standard errors


def claimed_estimates(run: Opened) -> Estimates:
    """The fit that a run claims, its design rebuilt from the prepared data.

    Raises:
        RunError: `data.parquet` or `fit.json` is missing or cannot be used.
    """
    numbers: dict[str, Any] = run.json(FIT)
    try:
        frame = read_frame(run.folder / DATA, run.json("data.schema.json"))
        return _estimates(numbers, frame)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, LmmkitError) as error:
        raise RunError(f"{FIT} and {DATA} do not make a fit together: {error}") from None


def _estimates(numbers: dict[str, Any], frame: pd.DataFrame) -> Estimates:
    design = design_from_dict(numbers["design"], frame)
    estimates = estimates_from_dict(numbers, design, (), ())
    evidence = Stored(estimates.evidence.checks, estimates.evidence.trace, _effects(estimates), ())
    return replace(estimates, evidence=evidence)


def _effects(estimates: Estimates) -> tuple[Floats, ...]:
    """Random effects by the referee at the claimed variances: the fit's numbers do not hold them."""
    problem = estimates.problem
    model = write_out(problem, estimates.kept, estimates.factors, estimates.sigma)
    u, parts, start = SparseReferee(model).effects().u, list[Floats](), 0
    for term in problem.terms:
        size = term.levels * len(term.columns)
        parts.append(u[start : start + size].reshape(term.levels, len(term.columns)))
        start += size
    return tuple(parts)


def second_opinions(run: Opened) -> Iterator[Finding]:
    """The referee's checks, then the optimum of statsmodels and of lme4 where they can fit the model."""
    try:
        estimates = claimed_estimates(run)
        with one_thread():
            certificate = certify(estimates, full=True)
    except (LmmkitError, np.linalg.LinAlgError, ValueError) as error:
        yield Finding(PART, "certificate", DIFFERS, found=str(error), expected="a fit that can be recomputed")
        return
    yield from _certified(certificate)
    for opinion in (ask_statsmodels(estimates), ask_lme4(estimates)):
        yield from judged(opinion, estimates)


def _certified(certificate: Certificate) -> Iterator[Finding]:
    verdicts = {FAILS: DIFFERS, LEFT: UNCHECKED}
    for result in certificate.results:
        verdict = verdicts.get(result.verdict, HOLDS)
        bound = "at least" if result.threshold < 0 else "at most"
        yield Finding(PART, result.check, verdict, f"{result.value:.3g}", f"{bound} {result.threshold:.3g}")


def judged(opinion: Opinion, estimates: Estimates) -> Iterator[Finding]:
    """What another package's fit says of ours."""
    what = f"{opinion.package}: deviance"
    if opinion.deviance is None or opinion.beta is None:
        yield Finding(PART, what, UNCHECKED, found=opinion.note)
        return
    gap = opinion.deviance - estimates.deviance
    found, expected = f"{opinion.deviance:.6f}", f"{estimates.deviance:.6f}"
    if gap > DEVIANCE:
        yield Finding(PART, what, UNCHECKED, f"{found}: it stopped {gap:.3g} above", expected)
        return
    yield Finding(PART, what, DIFFERS if gap < -DEVIANCE else HOLDS, found, expected)
    shift = np.abs(opinion.beta - estimates.beta) / np.sqrt(np.diag(estimates.vcov))
    worst = float(shift.max(initial=0.0))
    verdict = HOLDS if worst <= SHIFT else DIFFERS
    name = f"{opinion.package}: fixed effects (standard errors)"
    yield Finding(PART, name, verdict, f"{worst:.3g}", f"at most {SHIFT:g}")
