"""For all tests: one thread for the linear algebra, equal property tests on every run, a trust store."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# What a test trusts is nobody else's.
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="lmmkit-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)

# Before numpy is imported: on small matrices a second thread only spins.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

from hypothesis import settings  # noqa: E402  (it may import numpy)

settings.register_profile("lmmkit", deadline=None, derandomize=True)
settings.load_profile("lmmkit")
