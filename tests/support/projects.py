"""A small project with a real fit, and the command line in it; all of a module's tests share one run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

from support import warm
from support.tiny import trust_project, write_notebook

ROOT = Path(__file__).parent.parent.parent
STEPS = {
    "01_data_prep": (
        ["title", "data"],
        ["step.save_data(load_table(step.settings.data, step.base))"],
    ),
    "02_random_effects": (
        ["model"],
        ['step.save_json("selection.json", {"formula": step.settings.model.formula, "title": "plain"})'],
    ),
    "03_fit": (
        ["seed", "model", "inference"],
        [
            "from lmmkit import lmm, plots\nfrom lmmkit.study import fit_options",
            'formula, options = step.json("selection.json")["formula"], fit_options(step.settings.model)',
            "fit = lmm(formula, step.table(), **options)",
            "step.save_fit(fit)",
            'step.save_table("coefficients", fit.coef_table(df=step.settings.inference.df).reset_index())',
            'step.save_table("fit", fit.varcorr[["group", "vcov", "sdcor"]])',
            "from matplotlib.figure import Figure",
            "for name, height in (('rising', 1), ('falling', 2)):\n"
            "    drawn = Figure(figsize=(2, height)).subplots()\n"
            "    drawn.plot([0, height])\n"
            "    step.save_figure(name, drawn, alt='a line', caption='A line.')",
        ],
    ),
    "04_report": (
        ["title", "provenance"],
        [
            "from lmmkit.escape import html\nfrom lmmkit.study.report.render import embedded\n"
            "from lmmkit.study.records.plan_lock import deviation_lines",
            "fit = step.fit()\nnumbers = f'Days {fit.params.iloc[1]:.4f} (SE {fit.bse.iloc[1]:.4f})'",
            "said = html(' '.join(map(str, deviation_lines(step.folder))))",
            "page = f'<p>{html(step.title)}: {numbers}</p><p>{said}</p>'",
            "step.save_report(f'<html>{page}{embedded(step)}</html>')",
        ],
    ),
}
STUDY = """\
schema: 1
title: Sleep and speed
data:
  source: data/sleep.csv
  columns:
    Reaction: {type: number, unit: ms, min: 0}
    Days: {type: number, unit: d}
    Subject: {type: factor}
model:
  formula: Reaction ~ Days + (Days | Subject)
inference: {df: normal}
"""


def make_project(folder: Path) -> Path:
    """A project with notebooks, a study and its data."""
    for name in ("notebooks", "params/data"):
        (folder / name).mkdir(parents=True)
    for name, (reads, cells) in STEPS.items():
        write_notebook(folder / "notebooks", name, reads, cells)
    (folder / "params/sleep.yaml").write_text(STUDY)
    shutil.copy(ROOT / "params/data/sleepstudy.csv", folder / "params/data/sleep.csv")
    return folder


def lmmkit(project: Path, *arguments: str, others: bool = False) -> subprocess.CompletedProcess[str]:
    """The command line, called in a project's folder.

    Args:
        project: The folder.
        arguments: Its arguments.
        others: Whether it finds other programs, such as R.
    """
    return warm.lmmkit(project, *arguments, **({} if others else {"PATH": os.devnull}))


def run(project: Path, *options: str, study: str = "sleep") -> Path:
    """Run a study; its run folder."""
    done = lmmkit(project, "run", f"params/{study}.yaml", *options)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().split("\n")[-1]).parent


def copied(folder: Path, place: Path) -> Path:
    """A run folder at another place."""
    return Path(shutil.copytree(folder, place / folder.name))


def repair(folder: Path) -> None:
    """Let the manifest list every file as it is now, as a careful forger would."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for file in (file for step in manifest["steps"] for file in step["files"]):
        content = (folder / file["path"]).read_bytes()
        file |= {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text in a file, which must be there; a project's own notebook is then trusted again."""
    text = path.read_text(encoding="utf-8")
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    if path.parent.name == "notebooks":
        trust_project(path.parent.parent)
