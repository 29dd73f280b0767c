"""One Newton step against exact refits, group by group: writes the table of docs/influence.md.

.venv/bin/python benchmarks/influence.py
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from lmmkit import Fit, influence, lmm

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "reference" / "data"
PAGE = ROOT / "docs" / "influence.md"
CASES = [
    (
        "sleepstudy",
        ROOT / "params" / "data" / "sleepstudy.csv",
        "Reaction ~ Days + (Days | Subject)",
        "Subject",
    ),
    ("Pastes", DATA / "Pastes.csv", "strength ~ 1 + (1 | batch/cask)", "batch"),
    ("Penicillin", DATA / "Penicillin.csv", "diameter ~ 1 + (1 | plate) + (1 | sample)", "sample"),
]
HEAD = (
    "| data, left out | quantity | largest change | held: largest error | one step: largest error |\n"
    "|---|---|---|---|---|"
)


def rows() -> list[str]:
    """A line per data set and quantity."""
    out = list[str]()
    for name, path, formula, of in CASES:
        fit = lmm(formula, pd.read_csv(path))
        exact = influence(fit, of, refits="all").table
        step = influence(fit, of, refits=0).table.loc[exact.index]
        whole = {"se": influence(fit, of, refits=0).whole.se}
        for column in ["se", *(c for c in exact.columns if c.startswith("rvc."))]:
            base = whole.get(column, 0.0)
            change = (exact[column] - base).abs().max() / (base or 1.0)
            held = change if column != "se" else _held(fit, of, exact)
            error = (step[column] - exact[column]).abs().max() / (base or 1.0)
            out.append(f"| {name}, {of} | {column} | {change:.3f} | {held:.3f} | {error:.3f} |")
    return out


def _held(fit: Fit, of: str, exact: pd.DataFrame) -> float:
    """Largest error of the standard error with the variances held, relative to the whole fit's."""
    from lmmkit.model.influence import influence as module

    before, module.MOST_WORK = module.MOST_WORK, -1.0
    try:
        found = influence(fit, of, refits=0)
    finally:
        module.MOST_WORK = before
    gap = found.table.loc[exact.index, "se"] - exact["se"]
    return float(np.abs(gap).max() / found.whole.se)


if __name__ == "__main__":
    table = "\n".join([HEAD, *rows()])
    text = PAGE.read_text(encoding="utf-8")
    made = re.sub(r"(?s)(<!-- table -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{table}\n{m[2]}", text)
    PAGE.write_text(made, encoding="utf-8")
    print(table)
