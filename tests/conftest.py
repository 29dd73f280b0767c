"""For all tests: one thread for the linear algebra, and property tests that are the same on every run."""

from __future__ import annotations

import os

for library in ("OMP", "OPENBLAS", "MKL"):  # before numpy is imported; two threads on small matrices only spin
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("lmmkit", deadline=None, derandomize=True)
settings.load_profile("lmmkit")
