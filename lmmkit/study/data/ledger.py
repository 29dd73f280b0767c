"""The row ledger: every row of the input, kept, or dropped and why."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.errors import DataError


class Ledger:
    """Which rows are still in, and the reason of each that is not; the first reason stands."""

    def __init__(self, rows: int):
        self.reasons = np.full(rows, "", dtype=object)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """A mask over the input's rows."""
        return self.reasons == ""

    def drop(
        self, frame: pd.DataFrame, out: NDArray[np.bool_], why: str | NDArray[np.object_]
    ) -> pd.DataFrame:
        """The frame without the rows of `out`, which go for one reason or one each.

        The frame's labels are positions in the input.
        """
        if not out.any():
            return frame
        self.reasons[frame.index[out]] = why
        return frame[~out]

    def table(self) -> pd.DataFrame:
        """Columns `row` (from 1, as the file counts its data rows), `status`, `reason`."""
        status = np.where(self.kept, "kept", "dropped")
        return pd.DataFrame({"row": np.arange(1, len(status) + 1), "status": status, "reason": self.reasons})

    def check_left(self) -> None:
        """Refuse to go on without rows.

        Raises:
            DataError: every row was dropped.
        """
        if self.kept.any():
            return
        counts = Counter(self.reasons.tolist()).most_common(5)
        listed = "; ".join(f"{number} x {reason}" for reason, number in counts)
        raise DataError(
            f"no rows are left of {len(self.reasons):,}: {listed}. Look at data.exclude, min, max and na"
        )
