"""A fit judged from its data and its numbers alone: by the referee, by statsmodels, by lme4.

statsmodels and lme4 are given arrays, codes and columns, made from the data file as pandas and R read it
where they could; no formula of the study reaches them.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.problem import Problem
from lmmkit.engine.referee.henderson_sparse import SparseReferee
from lmmkit.errors import LmmkitError, RunError
from lmmkit.model.certificate import FAILS, Certificate, certify, written_out
from lmmkit.model.certificate import UNCHECKED as LEFT
from lmmkit.model.comparison.pattern_nesting import has_pattern
from lmmkit.model.design.design import design_from_dict
from lmmkit.model.estimates import Estimates, Stored, estimates_from_dict
from lmmkit.model.threads import one_thread
from lmmkit.study.audit.integrity import RunFolder
from lmmkit.study.audit.reading import DATA, Reading
from lmmkit.study.audit.verdicts import DIFFERS, HOLDS, OPINION, UNCHECKED, Finding
from lmmkit.study.data.load_table import read_frame
from lmmkit.study.records.temporary import temporary_folder

FIT, KNOWN = "fit.json", "known.json"
#: How far another package's optimum may lie: in deviance, in standard errors.
DEVIANCE, SHIFT = 1e-4, 1e-2
#: statsmodels is slow beyond these rows; lme4 is ended after these seconds.
MOST_ROWS, SECONDS = 20_000, 300
PATTERN = "not checked: it is not asked about covariance matrices of random effects with a pattern"
RELATED = (
    "not checked: it fits independent levels, one for each row; this model has relatives, or rows of several "
    "levels"
)
CORRELATED = "it has no residual structures"
_SCRIPT = """
d <- read.csv("data.csv")
for (g in grep("^g", names(d), value = TRUE)) d[[g]] <- factor(d[[g]])
f <- as.formula(readLines("formula.txt"))
w <- if ("w" %in% names(d)) d$w else NULL
control <- lme4::lmerControl(optimizer = "bobyqa", calc.derivs = FALSE, optCtrl = list(maxfun = 1e5),
                             check.nobs.vs.nRE = "ignore", check.nobs.vs.nlev = "ignore")
m <- suppressMessages(suppressWarnings(lme4::lmer(f, d, REML = METHOD, weights = w, control = control)))
deviance <- if (METHOD) lme4::REMLcrit(m) else -2 * as.numeric(logLik(m))
cat("{\\"deviance\\": ", format(deviance, digits = 17), ", \\"beta\\": [",
    paste(format(lme4::fixef(m), digits = 17), collapse = ", "), "]}\\n", sep = "")
"""


@dataclass(frozen=True, eq=False)
class Opinion:
    """What another package found, or why there is no answer.

    Attributes:
        package: Its name.
        note: Why there is no answer.
        deviance: -2 log likelihood, or the REML criterion, at its optimum.
        beta: Its fixed effects.
    """

    package: str
    note: str = ""
    deviance: float | None = None
    beta: Floats | None = None


def claimed_estimates(run: RunFolder, read: pd.DataFrame | None = None) -> Estimates:
    """The fit that a run claims, its design rebuilt from the prepared data.

    Args:
        run: The run.
        read: Other data to build it from: the prepared ones with columns that another reader found.

    Raises:
        RunError: `data.parquet` or `fit.json` is missing or cannot be used.
    """
    numbers: dict[str, Any] = run.json(FIT)
    try:
        frame = read_frame(run.file(DATA), run.json("data.schema.json")) if read is None else read
        design = design_from_dict(numbers["design"], frame, _known(run))
        estimates = estimates_from_dict(numbers, design, (), ())
        log = estimates.evidence
        return replace(estimates, evidence=Stored(log.checks, log.trace, _effects(estimates), ()))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError, LmmkitError) as error:
        raise RunError(f"{FIT} and {DATA} do not make a fit together: {error}") from None


def _known(run: RunFolder) -> dict[str, pd.DataFrame]:
    """The pedigrees and matrices that a run knows, by grouping factor; none in a run that names none."""
    held: dict[str, str] = run.json(KNOWN) if run.content(KNOWN) is not None else {}
    return {group: pd.read_parquet(run.file(name)) for group, name in held.items()}


def _effects(estimates: Estimates) -> tuple[Floats, ...]:
    """Random effects by the referee at the claimed variances: the fit's numbers do not hold them."""
    terms = estimates.problem.terms
    if not terms:
        return ()
    model = written_out(estimates)
    ends = np.cumsum([term.levels * len(term.columns) for term in terms])[:-1]
    parts = np.split(SparseReferee(model).effects().u, ends)
    return tuple(u.reshape(term.levels, len(term.columns)) for u, term in zip(parts, terms, strict=True))


def second_opinions(run: RunFolder, read: Sequence[Reading] = ()) -> Iterator[Finding]:
    """The referee's checks, then the optimum of statsmodels and of lme4 where they can fit the model.

    Args:
        run: The run.
        read: The data file as pandas and as R read it: statsmodels is given the first, lme4 the second.
    """
    try:
        estimates = claimed_estimates(run)
        with one_thread():
            certificate = certify(estimates, full=True)
    except (LmmkitError, np.linalg.LinAlgError, ValueError) as error:
        yield Finding(OPINION, "certificate", DIFFERS, str(error), "a fit that can be recomputed")
        return
    yield from certified(certificate)
    found = [reading for reading in read if reading.frame is not None]
    for ask, reader in ((ask_statsmodels, "pandas"), (ask_lme4, "R")):
        reading = next((each for each in found if each.reader == reader), found[0] if found else None)
        try:
            opinion = ask(claimed_estimates(run, reading.frame) if reading else estimates)
        except RunError as error:
            yield Finding(OPINION, f"{reader}'s reading", DIFFERS, str(error), "data that make the same fit")
            continue
        for finding in compare_opinion(opinion, estimates):
            yield (
                finding
                if opinion.deviance is None
                else replace(finding, found=f"{finding.found}, {_from(reading)}")
            )


def _from(reading: Reading | None) -> str:
    return f"from the file as {reading.reader} reads it" if reading else f"from {DATA}"


def certified(certificate: Certificate) -> Iterator[Finding]:
    """The checks of a certificate; a negative threshold bounds its value from below."""
    verdicts = {FAILS: DIFFERS, LEFT: UNCHECKED}
    for result in certificate.results:
        verdict = verdicts.get(result.verdict, HOLDS)
        bound = "at least" if result.threshold < 0 else "at most"
        yield Finding(
            OPINION, result.check, verdict, f"{result.value:.3g}", f"{bound} {result.threshold:.3g}"
        )


def compare_opinion(opinion: Opinion, estimates: Estimates) -> Iterator[Finding]:
    """Another package's fit against ours; one that stopped above our optimum says nothing."""
    what = f"{opinion.package}: deviance"
    if opinion.deviance is None or opinion.beta is None:
        yield Finding(OPINION, what, UNCHECKED, opinion.note)
        return
    gap = opinion.deviance - estimates.deviance
    found, expected = f"{opinion.deviance:.6f}", f"{estimates.deviance:.6f}"
    if gap > DEVIANCE:
        yield Finding(OPINION, what, UNCHECKED, f"{found}: it stopped {gap:.3g} above", expected)
        return
    yield Finding(OPINION, what, DIFFERS if gap < -DEVIANCE else HOLDS, found, expected)
    shift = np.abs(opinion.beta - estimates.beta) / np.sqrt(np.diag(estimates.vcov))
    worst = float(shift.max(initial=0.0))
    verdict = HOLDS if worst <= SHIFT else DIFFERS
    name = f"{opinion.package}: fixed effects (standard errors)"
    yield Finding(OPINION, name, verdict, f"{worst:.3g}", f"at most {SHIFT:g}")


def _response(problem: Problem) -> Floats:
    """y without the offset."""
    return problem.response if problem.offset is None else problem.response - problem.offset


def ask_statsmodels(estimates: Estimates) -> Opinion:
    """The fit of statsmodels' MixedLM; a note where it cannot fit the model."""
    name = "statsmodels MixedLM"
    note = statsmodels_cannot(estimates)
    if note:
        return Opinion(name, note)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = _mixed_lm(estimates).fit(reml=estimates.reml, method=["bfgs", "lbfgs"], maxiter=500)
            deviance, beta = -2.0 * float(found.llf), np.asarray(found.fe_params, dtype=np.float64)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError, IndexError) as error:
        return Opinion(name, f"it failed: {error}")
    if not np.isfinite(deviance):
        return Opinion(name, "it found no finite likelihood")
    return Opinion(name, deviance=deviance, beta=beta)


def statsmodels_cannot(estimates: Estimates) -> str:
    """Why statsmodels cannot fit a model; empty where it can."""
    problem = estimates.problem
    if problem.residual is not None:
        return CORRELATED
    if has_pattern(problem):
        return PATTERN
    if not all(term.plain for term in problem.terms):
        return RELATED
    if len({term.factor for term in problem.terms}) > 1:
        return "it fits one grouping factor; this model has more"
    if len(problem.terms) > 1 and any(term.structure.pairs for term in problem.terms):
        return "it fits one covariance matrix beside none"
    if problem.weights is not None:
        return "it has no prior weights"
    if any(estimates.null_directions):
        return "the fit is singular, which its parametrisation cannot reach"
    if not estimates.kept:
        return "it needs fixed effects"
    return f"more than {MOST_ROWS:,} rows" if estimates.nobs > MOST_ROWS else ""


def _mixed_lm(estimates: Estimates) -> Any:
    """The model of statsmodels: one covariance matrix, or a variance for each column."""
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    problem = estimates.problem
    y, X = _response(problem), estimates.X
    codes = problem.terms[0].codes
    Z = [problem.term_columns(term) for term in problem.terms]
    if len(Z) == 1 and len(problem.terms[0].structure.cones) == 1:
        return MixedLM(y, X, codes, exog_re=Z[0])
    columns = [column[:, None] for part in Z for column in part.T]
    rows = [np.flatnonzero(codes == level) for level in range(problem.terms[0].levels)]
    names = [f"c{i}" for i in range(len(columns))]
    parts = [[column[of] for of in rows] for column in columns]
    labels = [[["v"] for _ in rows] for _ in columns]
    return MixedLM(y, X, codes, exog_re=None, exog_vc=VCSpec(names, labels, parts), use_sqrt=True)


def ask_lme4(estimates: Estimates) -> Opinion:
    """The fit of lme4; a note where it is not installed or fails."""
    if estimates.problem.residual is not None:
        return Opinion("lme4", CORRELATED)
    if has_pattern(estimates.problem):
        return Opinion("lme4", PATTERN)
    if not all(term.plain for term in estimates.problem.terms):
        return Opinion("lme4", RELATED)
    program = shutil.which("Rscript")
    if program is None:
        return Opinion("lme4", "Rscript is not installed")
    with temporary_folder() as folder:
        write_for_lme4(estimates, Path(folder))
        command = [program, "--vanilla", "fit.R"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return Opinion("lme4", f"not done after {SECONDS} s")
    return read_lme4(done.stdout, done.stderr)


def read_lme4(output: str, errors: str) -> Opinion:
    """What R printed, as an opinion."""
    try:
        found = json.loads(output.strip().split("\n")[-1])
        beta = np.array(found["beta"], dtype=np.float64)
        return Opinion("lme4", deviance=float(found["deviance"]), beta=beta)
    except (ValueError, KeyError, TypeError):
        last = errors.strip().split("\n")[-1]
        return Opinion("lme4", f"it gave no answer: {last}" if last else "it gave no answer")


def write_for_lme4(estimates: Estimates, folder: Path) -> None:
    """Columns x1, x2, ... of X, z1, z2, ... of Z, g1, g2, ... of codes; and the formula in these names."""
    problem = estimates.problem
    fixed = {f"x{i + 1}": x for i, x in enumerate(estimates.X.T)}
    used = sorted({c for term in problem.terms for c in term.columns})
    slopes = {c: f"z{i + 1}" for i, c in enumerate(used)}
    groups = {f"g{t + 1}": term.codes for t, term in enumerate(problem.terms)}
    weights = {} if problem.weights is None else {"w": problem.weights}
    columns = {"y": _response(problem), **fixed, **{name: problem.columns[c] for c, name in slopes.items()}}
    pd.DataFrame({**columns, **groups, **weights}).to_csv(folder / "data.csv", index=False)
    bars = [
        f"(0 + {' + '.join(slopes[term.columns[c]] for c in cone)} | g{t + 1})"
        for t, term in enumerate(problem.terms)
        for cone in term.structure.cones
    ]
    (folder / "formula.txt").write_text(f"y ~ 0 + {' + '.join([*fixed, *bars])}\n")
    (folder / "fit.R").write_text(_SCRIPT.replace("METHOD", "TRUE" if estimates.reml else "FALSE"))
