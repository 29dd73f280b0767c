"""A sweep of 64 cells against a plain loop of papermill over its notebooks.

The sweep is made by two workers in an empty reports folder, then started again with all its cells there. The
loop executes the same four notebooks by papermill in standard kernels, one after the other, on a few of the
cells, in run folders where the earlier steps are there already; its time is scaled to all cells.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workloads import HERE

PROJECT = HERE.parent
SWEEP = """\
base: {base}
grid:
  model.method: [REML, ML]
  model.formula:
    - Reaction ~ Days + (Days | Subject)
    - Reaction ~ Days + (Days || Subject)
    - Reaction ~ Days + (1 | Subject)
    - Reaction ~ Days + I(Days^2) + (Days | Subject)
  inference.level: [0.8, 0.9, 0.95, 0.99]
  data.exclude: [[], ["Days < 2"]]
"""
LOOP = """
import json, sys, papermill
for cell in json.load(sys.stdin):
    for notebook in cell["notebooks"]:
        parameters = {name: cell[name] for name in ("study", "run", "overrides")}
        papermill.execute_notebook(notebook, sys.argv[1], parameters, progress_bar=False)
"""


def run(cells: int = 4) -> dict[str, float]:
    """Elapsed seconds, the loop measured on so many cells."""
    with tempfile.TemporaryDirectory() as folder:
        return measured(Path(folder), cells)


def measured(folder: Path, few: int) -> dict[str, float]:
    """Elapsed seconds of the sweep, of the same again, and of the loop."""
    file = folder / "bench.sweep.yaml"
    file.write_text(SWEEP.format(base=PROJECT / "params" / "sleepstudy.yaml"))
    command = [sys.executable, "-m", "lmmkit.study.cli", "sweep", str(file), "--workers", "2"]
    command += ["--reports", str(folder / "reports")]
    sweep, again = (seconds(command) for _ in range(2))
    cells = chosen_cells(file, folder / "reports", few)
    loop = seconds([sys.executable, "-c", LOOP, str(folder / "out.ipynb")], json.dumps(cells)) / len(cells)
    count = 64
    return {
        "cells": count,
        "sweep": sweep,
        "again": again,
        "papermill, a cell": loop,
        "papermill, all cells": loop * count,
    }


def chosen_cells(file: Path, reports: Path, few: int) -> list[dict[str, object]]:
    """Some cells, spread over the sweep, as papermill is given them."""
    from lmmkit.study.sweeps.cells import plan_sweep

    cells = plan_sweep(file).cells
    return [
        {
            "notebooks": [str(notebook.path) for notebook in cell.plan.notebooks],
            "study": str(cell.plan.study.path),
            "run": str(cell.plan.folder(reports)),
            "overrides": dict(cell.plan.overrides),
        }
        for cell in cells[:: len(cells) // few][:few]
    ]


def seconds(command: list[str], text: str = "") -> float:
    """Elapsed seconds of a process."""
    began = time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run(
        command, check=True, input=text, text=True, capture_output=True, cwd=PROJECT, env=environment
    )
    return time.perf_counter() - began
