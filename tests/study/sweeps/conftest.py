"""A small project with a sweep, and what is needed to hold its cells in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support import warm
from support.once import made_once
from support.tiny import write_notebook

NOISY = {"log.jsonl", "ro-crate-metadata.json"}
# A cell whose seed stands in the name of the file HOLD waits until the file is gone.
HOLD = (
    "import os, pathlib, time\n"
    "hold = pathlib.Path(os.environ.get('LMMKIT_SWEEP_HOLD', 'none'))\n"
    "while hold.exists() and step.seed != 1:\n"
    "    (hold.parent / f'at-{step.seed}').touch()\n"
    "    time.sleep(0.05)"
)
STEPS = {
    "01_data_prep": (["data"], ["step.save_data(load_table(step.settings.data, step.base))"]),
    "02_random_effects": (
        ["model.formula"],
        ['step.save_json("selection.json", {"formula": step.settings.model.formula})'],
    ),
    "03_fit": (
        ["seed", "model.method", "inference"],
        [
            "from lmmkit import lmm\nfrom lmmkit.model.report_tables import about_fit as views",
            HOLD,
            'formula = step.json("selection.json")["formula"]\n'
            'fit = lmm(formula, step.table(), reml=step.settings.model.method == "REML")',
            'step.save_table("coefficients", fit.coef_table(df="normal"))\n'
            'step.save_table("fit", views.facts(fit, fit.certificate))\nstep.save_fit(fit)',
        ],
    ),
    "04_report": (["title", "provenance"], ["step.save_report(step.provenance()['command'])"]),
}
STUDY = """\
title: Small
data: {source: data/small.csv, columns: {y: {type: number, unit: ms}, g: {type: factor}}}
model: {formula: y ~ x + (1 | g)}
seed: 1
"""
SWEEP = """\
base: small.yaml
grid:
  model.method: [REML, ML]
add:
  - {seed: 2, model.formula: y ~ x + (x || g)}
summary: [x, sigma]
"""
DATA = "y,x,g\n" + "".join(
    f"{(7 * i) % 11 + i % 5 * 1.5 + (i // 5) ** 2 % 7:.2f},{i % 5},{'abcdefgh'[i // 5]}\n" for i in range(40)
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project; the working directory."""
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path)


def make_project(folder: Path) -> Path:
    """Notebooks, a study, its data and a sweep over it."""
    for name in ("notebooks", "params/data"):
        (folder / name).mkdir(parents=True)
    for name, (reads, cells) in STEPS.items():
        write_notebook(folder / "notebooks", name, reads, cells)
    (folder / "params/small.yaml").write_text(STUDY)
    (folder / "params/small.sweep.yaml").write_text(SWEEP)
    (folder / "params/data/small.csv").write_text(DATA)
    return folder


def started(folder: Path, *options: str, hold: Path | None = None) -> subprocess.Popen[str]:
    """A sweep under way."""
    return subprocess.Popen(
        warm.command("lmmkit.study.cli", "sweep", "params/small.sweep.yaml", *options),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200", **({"LMMKIT_SWEEP_HOLD": str(hold)} if hold else {})},
    )


def swept(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A sweep made."""
    return warm.lmmkit(folder, "sweep", "params/small.sweep.yaml", *options)


def make_made(folder: Path) -> None:
    """The project with its sweep."""
    make_project(folder)
    done = swept(folder, "--workers", "2", "--inference", "20")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with its sweep made by two workers, for all tests to read or to copy."""
    return made_once(tmp_path_factory, "sweep", make_made)


@pytest.fixture
def begun(made: Path, project: Path) -> Path:
    """The project with all but its last cell, of seed 2, made, and nothing that the sweep itself leaves."""
    reports = Path(shutil.copytree(made / "reports", project / "reports"))
    shutil.rmtree(reports / "small.sweep")
    steps: dict[int, set[str]] = {1: set(), 2: set()}
    for path in reports.glob("small/*/manifest.json"):
        seed = json.loads(path.with_name("study.json").read_bytes())["seed"]
        made_by = json.loads(path.read_bytes())["steps"][1:]
        steps[seed] |= {f"{record['step']}/{record['key']}" for record in made_by}
        if seed == 2:
            shutil.rmtree(path.parent)
    for name in steps[2] - steps[1]:
        shutil.rmtree(reports / ".steps" / name)
    return project


@pytest.fixture
def held(project: Path) -> Iterator[Path]:
    """The file that holds the cell of seed 2."""
    path = project / "hold"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that is to be the same on every run."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NOISY and not path.name.endswith(".lock")
    }


def holding(path: Path, word: str) -> list[int]:
    """The processes whose command line holds a word and that are to wait for this file to go."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if word in (entry / "cmdline").read_text() and str(path) in (entry / "environ").read_text():
                found.append(int(entry.name))
    return found


def kill(pid: int) -> None:
    """As the system kills for want of memory."""
    os.kill(pid, signal.SIGKILL)
