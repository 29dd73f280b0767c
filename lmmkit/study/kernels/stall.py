"""Whether a kernel has stopped working: it lives, and neither it nor what it started uses the processor."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

from lmmkit.study.kernels.shortages import IDLE_SECONDS, SCARCE_SECONDS

#: The share of the time that a living kernel's clockwork alone stays below.
_SHARE = 0.001
#: Seconds between two looks after which whoever looks was stopped too, or the machine was asleep.
_GAP = 10.0


class Stall:
    """Watches one kernel; it is asked again and again.

    A library that was refused a thread may wait for it for ever: such a kernel never answers and never dies.
    """

    def __init__(self, pid: int, clock: Callable[[], float] = monotonic):
        self.pid, self.clock = pid, clock
        self.patience = IDLE_SECONDS if _unlimited() else SCARCE_SECONDS
        self.looked = self.since = clock()
        self.used = 0.0

    def found(self) -> bool:
        """Whether the kernel has done nothing for as long as is waited."""
        now, used = self.clock(), cpu_seconds(self.pid)
        asleep, self.looked = now - self.looked > _GAP, now
        if asleep or used is None or used - self.used > _SHARE * max(now - self.since, 1.0):
            self.since, self.used = now, used or 0.0
        return now - self.since > self.patience


def cpu_seconds(session: int) -> float | None:
    """Returns the processor time of the processes of a session.

    None where the system does not tell, or one of them is held by a debugger or by its user.

    Args:
        session: The number of the process that leads it.
    """
    ticks, found = 0, False
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session:
                if fields[0] in "Tt":
                    return None
                found, ticks = True, ticks + sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK") if found else None


def _unlimited() -> bool:
    """Whether this process may have all the memory of the machine."""
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return all(resource.getrlimit(kind)[0] == resource.RLIM_INFINITY for kind in kinds)
