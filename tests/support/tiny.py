"""A tiny study: its data, its file, one small notebook per step."""

from __future__ import annotations

from pathlib import Path

import nbformat

from lmmkit.study.records.notebooks import read_notebook
from lmmkit.study.records.trusted_notebooks import own_notebooks, trust

PARAMETERS = 'study = "params/tiny.yaml"\nrun = ""\noverrides = {}'
OPEN = 'from lmmkit.study import load_table, open_step\nstep = open_step("{name}", study, run, overrides)'
# Shown as a kernel shows it, whatever the terminal's width.
WIDE = 'table.frame.head(2).assign(**{f"column{i}": 1.5 for i in range(15)})'
STEPS = {
    "01_data_prep": (
        ["title", "data"],
        [
            "table = load_table(step.settings.data, step.base)",
            "step.save_data(table)\nlen(table.frame)",
            WIDE,
        ],
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
    """A notebook of one step, trusted."""
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
    trust([read_notebook(path)])
    return path


def trust_project(project: Path) -> Path:
    """Trust a project's own notebooks."""
    trust(own_notebooks(project / "notebooks"))
    return project
