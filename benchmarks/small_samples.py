"""Degrees of freedom beside the peers': `python benchmarks/small_samples.py` writes small_samples.json.

Kenward-Roger on crossed designs beside pbkrtest, Satterthwaite on InstEval beside lmerTest. Each measurement
is a process of its own on one core with one thread, the method's first call in it; CPU seconds, the fit and
imports apart. R is measured where it is found with the packages.
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

import numpy as np
import pandas as pd
from fits import ONE_THREAD, pin
from run import machine
from workloads import CACHE, HERE, SHIPPED

Record = dict[str, Any]

ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """A model, a method, and whether R is asked too."""

    name: str
    formula: str
    method: str
    peer: str | None = None


CASES = {
    case.name: case
    for case in (
        Case("crossed 1,000", "y ~ x + t + (1 | g) + (1 | h)", "kenward-roger", "pbkrtest"),
        Case("crossed 20,000", "y ~ x + t + (x | g) + (1 | h)", "kenward-roger"),
        Case("InstEval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)", "satterthwaite", "lmerTest"),
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
    if name == "InstEval":
        return pd.read_csv(next(SHIPPED.glob("insteval.csv*")))
    return crossed(1_000, (50, 40)) if name == "crossed 1,000" else crossed(20_000, (400, 200))


def measure_lmmkit(case: Case) -> Record:
    """The fit, then the coefficient table."""
    import scipy.special  # noqa: F401  what the first table of a process would import

    import lmmkit

    frame = table(case.name)
    begin = time.process_time()
    fit = lmmkit.lmm(case.formula, frame)
    fitted = time.process_time()
    found = fit.coef_table(case.method)
    end = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"fit": fitted - begin, "seconds": end - fitted, "peak_mb": peak, "df": found["df"].tolist()}


def measure_r(case: Case) -> Record:
    """The same by R, from a CSV."""
    path = CACHE / f"{case.name.replace(' ', '-').replace(',', '')}.csv"
    table(case.name).to_csv(path, index=False)
    command = ["Rscript", HERE / "small_samples.R", path, case.formula, str(case.peer)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD)
    return json.loads(done.stdout.splitlines()[-1])


def has_r(peer: str | None) -> bool:
    """Whether R is there with the peer's package."""
    if peer is None or shutil.which("Rscript") is None:
        return False
    asked = ["Rscript", "-e", f"library({peer})"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def in_a_process(case: Case) -> Record:
    """Our measurement in a process of its own."""
    command = [sys.executable, Path(__file__), case.name]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD, cwd=HERE.parent
    )
    return json.loads(done.stdout.splitlines()[-1])


def run() -> list[Record]:
    """Every case: ours several times, R once (it takes long)."""
    records: list[Record] = []
    for case in CASES.values():
        ours = [in_a_process(case) | {"engine": "lmmkit"} for _ in range(ROUNDS)]
        theirs = [measure_r(case) | {"engine": case.peer}] if has_r(case.peer) else []
        for record in ours + theirs:
            records.append({"case": case.name, "method": case.method} | record)
            print(json.dumps(records[-1]), flush=True)
    return records


def main() -> None:
    """One case for the process that measures it, or all of them."""
    if len(sys.argv) > 1:
        print(json.dumps(measure_lmmkit(CASES[sys.argv[1]])))
        return
    CACHE.mkdir(exist_ok=True)
    pin()
    figures = {"machine": machine(), "methods": run()}
    (HERE / "small_samples.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
