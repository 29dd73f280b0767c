"""Bootstrap refits and a profile beside lme4's: `python benchmarks/resampling.py` writes resampling.json.

Seconds are CPU seconds of one thread, the fit and imports apart; a bootstrap's are also given per refit, since
R makes fewer of them. Each measurement is a process of its own on one core, the method's first call in it.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from fits import ONE_THREAD, pin
from run import machine
from workloads import CACHE, HERE, SHIPPED, WORKLOADS, simulated

Record = dict[str, Any]

ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """A model, and how many refits (0: a profile) are asked of us and of R."""

    name: str
    formula: str
    ours: int
    theirs: int


CROSSED = WORKLOADS["d"].formula
CASES = {
    case.name: case
    for case in (
        Case("sleepstudy", "Reaction ~ Days + (Days | Subject)", 10_000, 200),
        Case("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", 10_000, 200),
        Case("pastes", "strength ~ 1 + (1 | batch/cask)", 10_000, 200),
        Case("machines", "score ~ Machine + (Machine | Worker)", 10_000, 50),
        Case("crossed 60 x 80", CROSSED, 40, 2),
        Case("sleepstudy, profile", "Reaction ~ Days + (Days | Subject)", 0, 0),
    )
}


def table(name: str) -> pd.DataFrame:
    """The rows of a case."""
    if name == "crossed 60 x 80":
        return dict(simulated())["d"]
    return pd.read_csv(SHIPPED / f"{name.split(',')[0]}.csv", dtype={"Subject": str, "Worker": str})


def measure_lmmkit(case: Case) -> Record:
    """The fit, then the refits or the profile."""
    import lmmkit

    fit = lmmkit.lmm(case.formula, table(case.name))
    begin = time.process_time()
    if case.ours:
        found = fit.bootstrap(case.ours, seed=1)
        extra = {"singular": int(found["singular"].sum()), "failed": len(found.attrs["failures"])}
    else:
        extra = {"bounds": fit.conf_int("profile")[["low", "high"]].to_numpy().tolist()}
    seconds = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "per_refit": seconds / max(case.ours, 1), "peak_mb": peak, **extra}


def measure_r(case: Case) -> Record:
    """The same by R, from a CSV."""
    path = CACHE / f"{case.name.replace(' ', '-').replace(',', '')}.csv"
    table(case.name).to_csv(path, index=False)
    command = ["Rscript", HERE / "resampling.R", path, case.formula, str(case.theirs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD)
    return json.loads(done.stdout.splitlines()[-1])


def in_a_process(case: Case) -> Record:
    """Our measurement in a process of its own."""
    command = [sys.executable, Path(__file__), case.name]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD, cwd=HERE.parent
    )
    return json.loads(done.stdout.splitlines()[-1])


def has_lme4() -> bool:
    """Whether R is there with lme4."""
    if shutil.which("Rscript") is None:
        return False
    return (
        subprocess.run(["Rscript", "-e", "library(lme4)"], capture_output=True, check=False).returncode == 0
    )


def run() -> list[Record]:
    """Every case: ours several times, R once (it takes long)."""
    records: list[Record] = []
    for case in CASES.values():
        ours = [in_a_process(case) | {"engine": "lmmkit"} for _ in range(ROUNDS)]
        theirs = [measure_r(case) | {"engine": "lme4"}] if has_lme4() else []
        for record in ours + theirs:
            records.append({"case": case.name} | record)
            print(json.dumps(records[-1]), flush=True)
    return records


def main() -> None:
    """One case for the process that measures it, or all of them."""
    if len(sys.argv) > 1:
        print(json.dumps(measure_lmmkit(CASES[sys.argv[1]])))
        return
    CACHE.mkdir(exist_ok=True)
    pin()
    figures = {"machine": machine(), "resampling": run()}
    (HERE / "resampling.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
