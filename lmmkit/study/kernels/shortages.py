"""Kernels that die or do nothing: how long is waited, what was scarce in words, with the system's limit."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic

#: Seconds in which a kernel, or the process that kernels are forked from, must have come up and answered.
#: Its death is noticed within a second; this ends the wait for one that lives and says nothing.
START_SECONDS = 300
#: Seconds after a cell's end in which its last output must have come.
OUTPUT_SECONDS = 600
#: Seconds in which a kernel at work must have used the processor, itself or by what it started; fewer where
#: memory is limited, because libraries that are refused a thread wait for it for ever.
IDLE_SECONDS = 900
SCARCE_SECONDS = 60
#: Files that must still be allowed to be opened before a kernel is started: ZeroMQ ends the whole process,
#: without a word of ours, where it is refused one.
FREE_FILES = 40

#: What a process says when a resource runs out: in words, and the limits that may be in force (`ulimit`).
_SCARCE = {
    r"MemoryError|Cannot allocate memory|Unable to allocate|failed to map|bad_alloc|out of memory"
    r"|malloc of size|std::length_error|Memory allocation|error return without exception set": (
        "too little memory",
        "v",
    ),
    r"Too many open files": ("too few open files allowed", "n"),
    # The stack of a thread is memory.
    r"can't start new thread|pthread_create|Resource temporarily unavailable": (
        "too little memory, or too few processes and threads allowed",
        "vu",
    ),
    r"File too large": ("a file larger than allowed", "f"),
    r"No space left on device|Disk quota exceeded": ("no space left on the disk", ""),
}
#: What is noted of a kernel that lives and does nothing.
STALLED = "the kernel did nothing"
_LIMITS = {
    "v": (resource.RLIMIT_AS, 1024, " kB"),
    "n": (resource.RLIMIT_NOFILE, 1, ""),
    "u": (resource.RLIMIT_NPROC, 1, ""),
    "f": (resource.RLIMIT_FSIZE, 1024, " kB"),
}


def shortage(text: str) -> str | None:
    """Returns what ran out by what a process said of it, with the limits in force; None where nothing did.

    Args:
        text: The message of an error, or what a process wrote at its end.
    """
    if stalled := re.search(rf"{STALLED} for \d+ s", text):
        scarce = shortage(text.replace(stalled[0], ""))
        return f"{stalled[0]}, " + (scarce or f"perhaps for want of memory or threads ({_held('vu')})")
    for pattern, (what, limits) in _SCARCE.items():
        if re.search(pattern, text):
            return f"{what} ({_held(limits)})" if limits else what
    return None


def too_few_files() -> str | None:
    """Returns what is scarce where too few files may be opened to serve a kernel; None where enough may."""
    with ExitStack() as opened:
        try:
            for _ in range(FREE_FILES):
                opened.enter_context(open(os.devnull, "rb"))  # noqa: PTH123
        except OSError as error:
            return shortage(str(error))
    return None


def _held(limits: str) -> str:
    return ", ".join(f"ulimit -{name}: {_in_force(name)}" for name in limits)


def _in_force(name: str) -> str:
    number, unit, unit_name = _LIMITS[name]
    limit = resource.getrlimit(number)[0]
    return "unlimited" if limit == resource.RLIM_INFINITY else f"{limit // unit}{unit_name}"


# Whether a kernel has stopped working: it lives, and neither it nor what it started uses the processor.

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
