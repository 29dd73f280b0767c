"""A fit written out as the matrices of the textbook: y = X beta + Z u + e, var u = G, var e = R."""

from __future__ import annotations

from lmmkit.engine.referee.henderson import MixedModel
from lmmkit.engine.referee.textbook import to_dense, write_out
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates

MOST_ROWS = 5_000  # V of more rows would not be written out by anybody


def matrices_of(estimates: Estimates) -> MixedModel:
    """y, X, Z, G and R of a fit in full, in the units of the data.

    Args:
        estimates: The fit, `Fit.estimates`.

    Raises:
        FitError: The data have too many rows for matrices of rows x rows.
    """
    if estimates.nobs > MOST_ROWS:
        raise FitError(
            f"The matrices of {estimates.nobs:,} rows are not written out in full; the limit is "
            f"{MOST_ROWS:,} rows. Fit a part of the data."
        )
    return to_dense(write_out(estimates.problem, estimates.kept, estimates.factors, estimates.sigma))
