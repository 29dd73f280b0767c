"""lmmkit: linear mixed models, exact, checked by a second route, and reproducible from one study file."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lmmkit.errors import DataError, FitError, FormulaError, LmmkitError, RunError, StudyError
from lmmkit.model.comparison.compare import compare
from lmmkit.model.design_audit.design_audit import DesignAudit, design_audit
from lmmkit.model.diagnostics.diagnose import diagnose
from lmmkit.model.dialects.side_by_side import table
from lmmkit.model.fit import Fit, lmm, load
from lmmkit.model.missing_data.reference_based import ReferenceBased, reference_based
from lmmkit.model.missing_data.tipping_point import TippingPoint, tipping_point
from lmmkit.model.selection.error_rates import ErrorRates, error_rates
from lmmkit.model.selection.ledger import Selection
from lmmkit.model.selection.select import select

__all__ = [
    "DataError",
    "DesignAudit",
    "ErrorRates",
    "Fit",
    "FitError",
    "FormulaError",
    "LMMRegressor",  # pyright: ignore[reportUnsupportedDunderAll]  made by __getattr__
    "LmmkitError",
    "ReferenceBased",
    "RunError",
    "Selection",
    "StudyError",
    "TippingPoint",
    "compare",
    "design_audit",
    "diagnose",
    "error_rates",
    "influence",  # pyright: ignore[reportUnsupportedDunderAll]  made by __getattr__
    "lmm",
    "load",
    "posterior",  # pyright: ignore[reportUnsupportedDunderAll]  made by __getattr__
    "reference_based",
    "select",
    "table",
    "tipping_point",
]


LATER = {
    "influence": "lmmkit.model.influence.influence",
    "posterior": "lmmkit.model.posterior.posterior",
}


def __getattr__(name: str) -> Any:
    """What a first fit does not need, and what needs an extra, is imported when it is asked for."""
    if name in LATER:
        return getattr(import_module(LATER[name]), name)
    if name == "LMMRegressor":
        if find_spec("sklearn") is None:
            raise ImportError(
                "LMMRegressor needs scikit-learn, which is not installed: pip install 'lmmkit[sklearn]'."
            )
        return import_module("lmmkit.model.estimators.regressor").LMMRegressor
    raise AttributeError(f"module 'lmmkit' has no attribute {name!r}")
