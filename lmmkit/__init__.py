"""lmmkit: linear mixed models, exact, checked by a second route, and reproducible from one study file."""

from lmmkit.errors import DataError, FitError, FormulaError, LmmkitError, RunError, StudyError
from lmmkit.model.comparison.compare import compare
from lmmkit.model.dialects.side_by_side import table
from lmmkit.model.fit import Fit, lmm, load

__all__ = [
    "DataError",
    "Fit",
    "FitError",
    "FormulaError",
    "LmmkitError",
    "RunError",
    "StudyError",
    "compare",
    "lmm",
    "load",
    "table",
]
