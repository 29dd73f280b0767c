"""Two rows per level that two variances explain whole: sigma ran to zero, and the fit was handed over."""

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.errors import FitError


def test_a_residual_variance_that_runs_to_zero_is_refused():
    rng = np.random.default_rng(1)
    first = rng.normal(size=60)
    y = np.column_stack([first, 1.5 * first + 0.4 * rng.normal(size=60)]).ravel()
    frame = pd.DataFrame({"y": y, "t": np.tile([0.0, 1.0], 60), "g": np.repeat(np.arange(60), 2)})
    with pytest.raises(FitError, match="residual variance runs to zero"):
        lmm("y ~ t + (t || g)", frame)
