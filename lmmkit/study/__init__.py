"""Files in, reports out: study files, data and their ledger, steps, runs."""

from lmmkit.study.data import Table, load_table
from lmmkit.study.figures import Figure
from lmmkit.study.files import Base
from lmmkit.study.modelling import choose_structure, fit_options
from lmmkit.study.opening import open_step
from lmmkit.study.step import Step
from lmmkit.study.study import Study, load_study

__all__ = [
    "Base",
    "Figure",
    "Step",
    "Study",
    "Table",
    "choose_structure",
    "fit_options",
    "load_study",
    "load_table",
    "open_step",
]
