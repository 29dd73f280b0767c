"""A kernel that lives and does nothing is found, one that works or is held on purpose is not."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

import pytest
from support.processes import wait_until

from lmmkit.study.kernels import shortages as module
from lmmkit.study.kernels.shortages import (
    IDLE_SECONDS,
    SCARCE_SECONDS,
    STALLED,
    Stall,
    cpu_seconds,
    shortage,
)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def watched(monkeypatch):
    """A clock, the processor time used by then, and who watches."""
    clock, used = Clock(), [0.0]
    monkeypatch.setattr(module, "cpu_seconds", lambda session: used[0])
    return clock, used, Stall(1, clock)


def look(clock, watcher, seconds):
    """Look each second; whether a stall was found."""
    found = False
    for _ in range(round(seconds)):
        clock.now += 1
        found = watcher.found() or found
    return found


def test_no_work_for_longer_than_is_waited_is_a_stall(watched):
    clock, _, watcher = watched
    assert not look(clock, watcher, watcher.patience)
    assert look(clock, watcher, 2)


def test_a_little_work_now_and_then_is_work(watched):
    clock, used, watcher = watched
    for _ in range(50):
        assert not look(clock, watcher, watcher.patience - 1)
        used[0] += 0.002 * watcher.patience


def test_the_clockwork_of_an_idle_kernel_is_no_work(watched):
    clock, used, watcher = watched
    found = False
    for _ in range(20):
        used[0] += 0.0001 * watcher.patience / 10
        found = look(clock, watcher, watcher.patience / 10) or found
    assert found


def test_a_machine_that_slept_starts_the_waiting_anew(watched):
    clock, _, watcher = watched
    look(clock, watcher, watcher.patience - 5)
    clock.now += 10_000
    assert not look(clock, watcher, 10)


def test_less_patience_where_memory_is_limited(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    assert Stall(1).patience == IDLE_SECONDS
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (10**9, resource.RLIM_INFINITY))
    assert Stall(1).patience == SCARCE_SECONDS


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")  # noqa: PTH110
def test_processor_time_is_that_of_a_session_with_what_it_started():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        wait_until(lambda: (cpu_seconds(process.pid) or 0) > 0.3)
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: cpu_seconds(process.pid) is None)  # held
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("MemoryError", "too little memory (ulimit -v: "),
        ("ImportError: libx.so: failed to map segment from shared object", "too little memory (ulimit -v: "),
        ("OSError: [Errno 24] Too many open files", "too few open files allowed (ulimit -n: "),
        ("RuntimeError: can't start new thread", "too few processes and threads allowed (ulimit -v: "),
        ("[Errno 28] No space left on device", "no space left on the disk"),
        ("[Errno 27] File too large", "a file larger than allowed (ulimit -f: "),
        (f"{STALLED} for 60 s\n", "the kernel did nothing for 60 s, perhaps for want of memory"),
        (
            f"can't start new thread\n{STALLED} for 60 s",
            "the kernel did nothing for 60 s, too little memory, or",
        ),
    ],
)
def test_what_ran_out_is_named_with_its_limit(said, word):
    assert word in shortage(said)


def test_other_errors_are_no_shortage():
    assert shortage("ValueError: memory of a name") is None
