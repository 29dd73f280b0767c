"""For all tests: one thread for the linear algebra, and property tests that are the same on every run."""

from __future__ import annotations

import os

# Before numpy is imported: on small matrices a second thread only spins.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

from hypothesis import settings  # noqa: E402  (it may import numpy)

settings.register_profile("lmmkit", deadline=None, derandomize=True)
settings.load_profile("lmmkit")
