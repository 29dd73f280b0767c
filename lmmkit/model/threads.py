"""One thread for the linear algebra: on matrices of this size more threads only wait for each other."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
from threadpoolctl import ThreadpoolController  # pyright: ignore[reportMissingTypeStubs]

_controller = ThreadpoolController()
np.linalg.solve(np.eye(2), np.ones(2))  # the library sets its buffers up here, not in the first fit


def one_thread() -> AbstractContextManager[object]:
    """Within it BLAS and LAPACK run on one thread."""
    return _controller.limit(limits=1, user_api="blas")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
