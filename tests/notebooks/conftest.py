"""A project with the real notebooks and a study small enough to be run in a test.

Its title, units and levels are a stranger's, who would have them be markup, formulas or mathematics.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support import warm
from support.once import made_once, run_of

ROOT = Path(__file__).parents[2]
LEVELS = ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "$x_{$", "</style><b>", "@SUM(1)", "`rm`"]
STUDY = """\
schema: 1
title: "Tiny <script>alert('title')</script> $x$ & co"
data:
  source: data/tiny.csv
  columns:
    y: {type: number, unit: "<i>ms</i> $"}
    x: {type: number, unit: "=d"}
    g: {type: factor}
model:
  formula: y ~ x + (x | g)
random_effects:
  candidates: auto
report: {focus: x}
"""


def make_project(folder):
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    (folder / "params/data").mkdir(parents=True)
    (folder / "params/tiny.yaml").write_text(STUDY)
    random = np.random.default_rng(1)
    group, x = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    y = 10 + 2 * x + random.normal(size=6)[group] + random.normal(size=6)[group] * x + random.normal(size=30)
    rows = [f"{value:.6f},{at},{LEVELS[of]}" for value, at, of in zip(y, x, group, strict=True)]
    (folder / "params/data/tiny.csv").write_text("\n".join(["y,x,g", *rows, f",3,{LEVELS[0]}"]) + "\n")


def run_tiny(folder):
    make_project(folder)
    done = warm.lmmkit(folder, "run", "params/tiny.yaml")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a run of the tiny study."""
    return run_of(made_once(tmp_path_factory, "tiny", run_tiny))
