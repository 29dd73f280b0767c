"""A tiny project: one small notebook per step, one small study."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

PARAMETERS = 'study = "params/tiny.yaml"\nrun = ""\noverrides = {}'
OPEN = 'from lmmkit.study import load_table, open_step\nstep = open_step("{name}", study, run, overrides)'
STEPS = {
    "01_data_prep": (
        ["title", "data"],
        ["table = load_table(step.settings.data, step.base)", "step.save_data(table)\nlen(table.frame)"],
    ),
    "02_random_effects": (
        ["model", "random_effects"],
        ['step.save_json("selection.json", {"formula": step.settings.model.formula})'],
    ),
    "03_fit": (
        ["seed", "model.method", "inference.level"],
        [
            "data = step.table()",
            'step.save_table("means", data.groupby("g", observed=True).y.mean().rename("mean"))',
            'step.save_json("fit.json", {"mean": data.y.mean(), "method": step.settings.model.method})',
        ],
    ),
    "04_report": (
        ["title"],
        [
            "step.save_report(f\"<p>{step.title}: {step.json('fit.json')['mean']}</p>\")",
            'print("done", object())',
        ],
    ),
}
STUDY = """\
schema: 1
title: Tiny
data:
  source: data/tiny.csv
  columns:
    y: {type: number, unit: ms, min: 0}
    g: {type: factor}
model:
  formula: y ~ 1 + (1 | g)
"""
DATA = "y,x,g\n" + "".join(f"{1 + i % 5}.25,{i},{i % 4:02d}\n" for i in range(20))


def write_notebook(folder: Path, name: str, reads: list[str], cells: list[str]) -> Path:
    """A notebook of one step."""
    notebook = nbformat.v4.new_notebook(metadata={"lmmkit": {"step": name, "title": name, "reads": reads}})
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    parameters = nbformat.v4.new_code_cell(PARAMETERS, id="parameters", metadata={"tags": ["parameters"]})
    code = [
        nbformat.v4.new_code_cell(text, id=f"cell-{i}")
        for i, text in enumerate([OPEN.format(name=name), *cells])
    ]
    notebook.cells = [parameters, *code]
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with notebooks, a study and its data; the working directory."""
    for folder in ("notebooks", "params/data"):
        (tmp_path / folder).mkdir(parents=True)
    for name, (reads, cells) in STEPS.items():
        write_notebook(tmp_path / "notebooks", name, reads, cells)
    (tmp_path / "params/tiny.yaml").write_text(STUDY)
    (tmp_path / "params/data/tiny.csv").write_text(DATA)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lmmkit(project: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line, called in the project's folder."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lmmkit.study.cli", *arguments]
        environment = {**os.environ, "COLUMNS": "200"}
        return subprocess.run(
            command, cwd=project, capture_output=True, text=True, check=False, env=environment
        )

    return call
