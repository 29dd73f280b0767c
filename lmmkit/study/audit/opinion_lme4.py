"""lme4 as a second opinion, where Rscript has it: handed numbers and codes, no formula of the study."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from lmmkit.model.estimates import Estimates
from lmmkit.study.audit.opinion import Opinion, fixed_columns, response

NAME = "lme4"
SECONDS = 300
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


def ask_lme4(estimates: Estimates) -> Opinion:
    """The fit of lme4; a note where it is not installed or fails."""
    program = shutil.which("Rscript")
    if program is None:
        return Opinion(NAME, "Rscript is not installed")
    with tempfile.TemporaryDirectory(prefix="lmmkit-") as folder:
        _hand_over(estimates, Path(folder))
        command = [program, "--vanilla", "fit.R"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return Opinion(NAME, f"not done after {SECONDS} s")
        return _understood(done)


def _understood(done: subprocess.CompletedProcess[str]) -> Opinion:
    try:
        found = json.loads(done.stdout.strip().split("\n")[-1])
        beta = np.array(found["beta"], dtype=np.float64)
        return Opinion(NAME, deviance=float(found["deviance"]), beta=beta)
    except (ValueError, KeyError, TypeError):
        last = done.stderr.strip().split("\n")[-1]
        return Opinion(NAME, f"it gave no answer: {last}" if last else "it gave no answer")


def _hand_over(estimates: Estimates, folder: Path) -> None:
    """Columns x1, x2, ... of X, z1, z2, ... of Z, g1, g2, ... of codes; and the formula in these names."""
    problem = estimates.problem
    fixed = {f"x{i + 1}": x for i, x in enumerate(fixed_columns(estimates))}
    used = sorted({c for term in problem.terms for c in term.columns})
    slopes = {c: f"z{i + 1}" for i, c in enumerate(used)}
    groups = {f"g{t + 1}": term.codes for t, term in enumerate(problem.terms)}
    weights = {} if problem.weights is None else {"w": problem.weights}
    columns = {"y": response(problem), **fixed, **{name: problem.columns[c] for c, name in slopes.items()}}
    frame = pd.DataFrame({**columns, **groups, **weights})
    frame.to_csv(folder / "data.csv", index=False)
    bars = [
        f"(0 + {' + '.join(slopes[term.columns[c]] for c in cone)} | g{t + 1})"
        for t, term in enumerate(problem.terms)
        for cone in term.structure.cones
    ]
    (folder / "formula.txt").write_text(f"y ~ 0 + {' + '.join([*fixed, *bars])}\n")
    (folder / "fit.R").write_text(_SCRIPT.replace("METHOD", "TRUE" if estimates.reml else "FALSE"))
