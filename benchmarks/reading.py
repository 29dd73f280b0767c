"""Reading a CSV of 10^6 rows and 10 columns as a study does, beside pyarrow: CPU seconds in one run."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv as pcsv

from lmmkit.study import Base, load_table
from lmmkit.study.data.sources import sha256_of
from lmmkit.study.files.schema import Column, Data

ROWS = 1_000_000


def write_table(path: Path, rows: int) -> None:
    """Write a table of two grouping columns, five measurements and three counts."""
    rng = np.random.default_rng(1)
    columns = {"g": rng.integers(0, 10**4, rows), "h": rng.integers(0, 1000, rows).astype(str)}
    columns |= {f"x{k}": rng.normal(size=rows).round(4) for k in range(5)}
    columns |= {f"i{k}": rng.integers(0, 100, rows) for k in range(3)}
    pd.DataFrame(columns).assign(h=lambda t: "s" + t["h"]).to_csv(path, index=False)


def cpu(work: Callable[[], object], times: int) -> float:
    """Least CPU seconds of some calls."""
    seconds: list[float] = []
    for _ in range(times):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def measure(rows: int = ROWS, times: int = 3) -> dict[str, float]:
    """Returns CPU seconds of pyarrow, of a study without the file's digest, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.csv"
        write_table(path, rows)
        used = {"x0": Column(role="number"), "x1": Column(role="predictor"), "g": Column(role="group")}
        data = Data(
            source=path.name, columns={**used, "h": Column(role="group"), "i0": Column(role="predictor")}
        )
        options = pcsv.ReadOptions(use_threads=False)
        arrow = cpu(lambda: pcsv.read_csv(path, options), times)
        study = cpu(lambda: load_table(data, Base(Path(folder))), times) - cpu(lambda: sha256_of(path), times)
    return {"rows": rows, "pyarrow": arrow, "study": study, "ratio": study / arrow}


if __name__ == "__main__":
    found = measure()
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))
    sys.exit(found["ratio"] > 3)
