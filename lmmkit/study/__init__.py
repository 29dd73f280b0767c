"""Files in, reports out: a study file and its data become a run folder that anyone can audit.

Read first `files/study.py` (what a study says), `data/load_table.py` (what becomes of its data),
`runs/plan.py` and `runs/run.py` (what a run is, how it is made), `steps/step.py` (a step as its notebook sees
it). `intake` proposes a study for a file, and checks it before a run. `records` is the run folder on disk,
`kernels` where notebooks execute, `report` the page; `sweeps`, `cluster`, `audit` and `trace` work on many
runs or on finished ones; `cli` is the command line.
"""

from lmmkit.study.data.load_table import PreparedData, load_table
from lmmkit.study.data.sources import Base
from lmmkit.study.files.study import Study, fit_options, load_study
from lmmkit.study.steps.figures import Figure
from lmmkit.study.steps.open_step import open_step
from lmmkit.study.steps.step import Step, audit_structure, choose_structure, simulate_choice

__all__ = [
    "Base",
    "Figure",
    "PreparedData",
    "Step",
    "Study",
    "audit_structure",
    "choose_structure",
    "fit_options",
    "load_study",
    "load_table",
    "open_step",
    "simulate_choice",
]
