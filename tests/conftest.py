"""For all tests: folders in memory, one thread of linear algebra, equal property tests, a trust store."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Generator

# A run waits for the disk after each file that it writes, and tests make hundreds of runs: where there is
# memory enough, temporary folders are in memory. All of the suite's files are about one gigabyte.
IN_MEMORY, ROOM = "/dev/shm", 4e9
if "TMPDIR" not in os.environ and os.path.isdir(IN_MEMORY) and os.access(IN_MEMORY, os.W_OK):  # noqa: PTH112
    disk = os.statvfs(IN_MEMORY)
    if disk.f_bavail * disk.f_frsize > ROOM:
        os.environ["TMPDIR"], tempfile.tempdir = IN_MEMORY, None

# What a test trusts is nobody else's.
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="lmmkit-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)

# A shell that starts tests in the background lets them, and all that they start, ignore an interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before numpy is imported: on small matrices a second thread only spins.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402  (it may import numpy)
from hypothesis.internal.conjecture import providers  # noqa: E402

settings.register_profile("lmmkit", deadline=None, derandomize=True)
settings.load_profile("lmmkit")
# Hypothesis would read constants out of the sources of all modules that are imported by then, which takes as
# long as importing them, and an example would be another one for each module that is imported before it.
providers._get_local_constants = lambda: providers._local_constants


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting makes stays to the end: the collector of garbage need not look through it."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result
