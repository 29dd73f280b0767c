"""The ledger of a choice: `python benchmarks/ledger.py`; seconds of the processor, one thread.

60 subjects x 80 items with a 2 x 2 design within both, one row for each pair, the maximal model singular:
20 covariance parameters. Every rule that goes step by step, from the table to the ledger with its reasons;
and the sums of a part of the model from those of the whole, against its own pass over 40 such tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lmmkit import select
from lmmkit.engine.setup import set_up, subset
from lmmkit.model.design.design import build_design
from lmmkit.model.threads import one_thread

SUBJECTS, ITEMS = 60, 80
FORMULA = "y ~ a * b + (a * b | subject) + (a * b | item)"
PART = "y ~ a * b + (a + b || subject) + (a || item)"
TABLES, TIMES = 40, 5
LIMIT = 10.0  # seconds of a ledger


def crossed(seed: int = 1) -> pd.DataFrame:
    """Subjects differ in level, in both slopes and not in their interaction; items in level and one slope."""
    draw = np.random.default_rng(seed)
    s, i = (part.ravel() for part in np.meshgrid(np.arange(SUBJECTS), np.arange(ITEMS), indexing="ij"))
    cell = (s + i) % 4
    a, b = cell % 2 - 0.5, cell // 2 - 0.5
    Z = np.column_stack([np.ones(len(s)), a, b, a * b])
    of_subjects = draw.normal(size=(SUBJECTS, 4)) * [80.0, 30.0, 20.0, 0.0]
    of_items = draw.normal(size=(ITEMS, 4)) * [60.0, 20.0, 0.0, 0.0]
    mean = Z @ [500.0, 20.0, 10.0, 5.0]
    y = (
        mean
        + (Z * of_subjects[s]).sum(axis=1)
        + (Z * of_items[i]).sum(axis=1)
        + draw.normal(size=len(s)) * 100
    )
    names = {"subject": [f"s{k:02}" for k in s], "item": [f"i{k:02}" for k in i]}
    return pd.DataFrame({"y": y, "a": a, "b": b, **names})


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Of the processor, and what was made."""
    begun = time.process_time()
    made = work()
    return time.process_time() - begun, made


def main() -> None:
    """Print a line for each rule, and fail where one is over the limit."""
    frame, slow = crossed(), list[str]()
    for rule in ("parsimonious", "backward", "forward"):
        took, found = seconds(lambda rule=rule: select(FORMULA, frame, rule=rule))
        print(f"{rule:14}{took:7.2f} s  {len(found.table):3} candidates  {found.formula}")
        slow += [rule] if took > LIMIT else []
    with one_thread():
        many = pd.concat([crossed(seed) for seed in range(TABLES)], ignore_index=True)
        whole = set_up(build_design(FORMULA, many).problem, reml=True)
        part = build_design(PART, many).problem
        shared, _ = seconds(lambda: [subset(whole, part) for _ in range(TIMES)])
        alone, _ = seconds(lambda: [set_up(part, reml=True) for _ in range(TIMES)])
    each = [f"{took / TIMES * 1e3:.1f} ms" for took in (shared, alone)]
    print(f"{len(many):,} rows, sums of a part: {each[0]} from those of the whole, {each[1]} by its own pass")
    if slow:
        raise SystemExit(f"over {LIMIT:g} s: {', '.join(slow)}")


if __name__ == "__main__":
    main()
