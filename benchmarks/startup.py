"""What lmmkit costs before it computes: its import, and the workbook around a small fit.

The import is compared with numpy, scipy and pandas alone, the run of a study with four empty notebooks by
papermill, each in processes of its own and in interleaved rounds.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import nbformat
from workloads import HERE

STUDY = HERE.parent / "params" / "sleepstudy.yaml"
LMMKIT = str(Path(sys.executable).with_name("lmmkit"))
BASE = "import numpy, scipy, pandas"
EMPTY = """
import papermill, sys
for number in range(4):
    papermill.execute_notebook(sys.argv[1], sys.argv[2], progress_bar=False)
"""


def run(rounds: int) -> dict[str, dict[str, float]]:
    """Median elapsed and CPU seconds of each process."""
    with tempfile.TemporaryDirectory() as folder:
        imports = {
            "numpy, scipy, pandas": [sys.executable, "-c", BASE],
            "and lmmkit": [sys.executable, "-c", f"{BASE}, lmmkit"],
        }
        workbooks = {
            "four empty notebooks": [sys.executable, "-c", EMPTY, *_empty_notebook(Path(folder))],
            "lmmkit run": [LMMKIT, "run", str(STUDY), "--force", "--reports", folder],
        }
        return _medians(imports, 3 * rounds) | _medians(workbooks, rounds)


def _empty_notebook(folder: Path) -> list[str]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("pass")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "empty.ipynb")
    return [str(folder / "empty.ipynb"), str(folder / "executed.ipynb")]


def _medians(commands: Mapping[str, list[str]], rounds: int) -> dict[str, dict[str, float]]:
    """Each command once to warm the disk, then in turn."""
    for command in commands.values():
        _seconds(command)
    times = [{name: _seconds(command) for name, command in commands.items()} for _ in range(rounds)]
    return {
        name: {clock: median(turn[name][clock] for turn in times) for clock in ("elapsed", "cpu")}
        for name in commands
    }


def _seconds(command: list[str]) -> dict[str, float]:
    """Elapsed and CPU seconds of a process and its children."""
    began, used = time.perf_counter(), _children()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return {"elapsed": time.perf_counter() - began, "cpu": _children() - used}


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
