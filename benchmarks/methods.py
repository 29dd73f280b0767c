"""What follows a fit, beside R: degrees of freedom, bootstrap refits, a profile; CPU seconds of one thread.

Each measurement is a process of its own on one core, the method's first call in it, the fit and imports
apart. R is measured once (it takes long) where it is found with the packages, and makes fewer refits: seconds
are compared per refit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from first_fits import has_packages
from fits import ONE_THREAD
from workloads import CACHE, HERE, SHIPPED, WORKLOADS, peak_memory

Record = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A model and a method; how many refits are asked of us and of R; R's function (empty: not asked)."""

    name: str
    formula: str
    method: str
    peer: str
    ours: int = 1
    theirs: int = 1

    @property
    def data(self) -> str:
        """The name of the table."""
        return self.name.partition(",")[0]


SLEEP = "Reaction ~ Days + (Days | Subject)"
CASES = {
    case.name: case
    for case in (
        Case("crossed 1000", "y ~ x + t + (1 | g) + (1 | h)", "kenward-roger", "pbkrtest"),
        Case("crossed 20000", "y ~ x + t + (x | g) + (1 | h)", "kenward-roger", ""),
        Case("insteval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)", "satterthwaite", "lmerTest"),
        Case("sleepstudy, refits", SLEEP, "bootstrap", "bootMer", 10_000, 200),
        Case("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", "bootstrap", "bootMer", 10_000, 200),
        Case("pastes", "strength ~ 1 + (1 | batch/cask)", "bootstrap", "bootMer", 10_000, 200),
        Case("machines", "score ~ Machine + (Machine | Worker)", "bootstrap", "bootMer", 10_000, 50),
        Case("crossed 60 x 80", WORKLOADS["d"].formula, "bootstrap", "bootMer", 40, 2),
        Case("sleepstudy, profile", SLEEP, "profile", "profile"),
    )
}


def crossed(n: int, levels: tuple[int, int]) -> pd.DataFrame:
    """Rows at random in two crossed factors, one with slopes."""
    rng = np.random.default_rng(1)
    g, h = (rng.integers(0, size, n) for size in levels)
    x, t = rng.normal(size=n), rng.integers(0, 3, n)
    effects = rng.normal(size=levels[0])[g] + 0.4 * rng.normal(size=levels[0])[g] * x
    y = 1 + 0.3 * x + effects + 0.7 * rng.normal(size=levels[1])[h] + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "t": np.array(list("abc"))[t], "g": g, "h": h})


def table(name: str) -> pd.DataFrame:
    """The rows of a case."""
    made = {
        "crossed 1000": lambda: crossed(1_000, (50, 40)),
        "crossed 20000": lambda: crossed(20_000, (400, 200)),
        "crossed 60 x 80": lambda: pd.read_parquet(CACHE / "d.parquet"),
    }
    if name in made:
        return made[name]()
    return pd.read_csv(next(SHIPPED.glob(f"{name}.csv*")), dtype={"Subject": str, "Worker": str})


def measure_ours(case: Case) -> Record:
    """The fit, then the method."""
    import scipy.special  # noqa: F401  what the first table of a process would import

    import lmmkit

    frame = table(case.data)
    begin = time.process_time()
    fit = lmmkit.lmm(case.formula, frame)
    fitted = time.process_time()
    found = _method(fit, case)
    seconds = time.process_time() - fitted
    return {"fit": fitted - begin, "seconds": seconds, "peak_mb": peak_memory(), **found}


def _method(fit: Any, case: Case) -> Record:
    if case.method == "bootstrap":
        found = fit.bootstrap(case.ours, seed=1)
        return {"singular": int(found["singular"].sum()), "failed": len(found.attrs["failures"])}
    if case.method == "profile":
        return {"bounds": fit.conf_int("profile")[["low", "high"]].to_numpy().tolist()}
    return {"df": fit.coef_table(case.method)["df"].tolist()}


def measure(case: Case, engine: str) -> Record:
    """One measurement, in a process."""
    if engine == "lmmkit":
        command = [sys.executable, Path(__file__), case.name]
    else:
        path = CACHE / f"{case.data.replace(' ', '-')}.csv"
        table(case.data).to_csv(path, index=False)
        command = ["Rscript", HERE / "methods.R", path, case.formula, case.peer, str(case.theirs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD)
    about = {"case": case.name, "method": case.method, "engine": engine}
    return about | json.loads(done.stdout.splitlines()[-1])


def run(rounds: int) -> list[Record]:
    """Every case: ours several times, R once."""
    records: list[Record] = []
    theirs = has_packages("lme4", "lmerTest", "pbkrtest")
    for case in CASES.values():
        for engine in ["lmmkit"] * rounds + [case.peer] * (theirs and bool(case.peer)):
            refits = case.ours if engine == "lmmkit" else case.theirs
            record = measure(case, engine)
            records.append(record | {"refits": refits, "each": record["seconds"] / refits})
            print(json.dumps(records[-1]), flush=True)
    return records


if __name__ == "__main__":
    print(json.dumps(measure_ours(CASES[sys.argv[1]])))
