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


#: Each kind of message, what was scarce in words, and the letters of `ulimit`.
SAID = [
    ("MemoryError", "too little memory", "v"),
    ("Cannot allocate memory", "too little memory", "v"),
    ("Unable to allocate 3 GiB", "too little memory", "v"),
    ("std::bad_alloc", "too little memory", "v"),
    ("out of memory", "too little memory", "v"),
    ("malloc of size 12 failed", "too little memory", "v"),
    ("std::length_error", "too little memory", "v"),
    ("Memory allocation", "too little memory", "v"),
    ("error return without exception set", "too little memory", "v"),
    ("Too many open files", "too few open files allowed", "n"),
    ("can't start new thread", "too little memory, or too few processes and threads allowed", "vu"),
    ("pthread_create", "too little memory, or too few processes and threads allowed", "vu"),
    ("Resource temporarily unavailable", "too little memory, or too few processes and threads allowed", "vu"),
    ("File too large", "a file larger than allowed", "f"),
    ("No space left on device", "no space left on the disk", ""),
    ("Disk quota exceeded", "no space left on the disk", ""),
]


@pytest.mark.parametrize(("said", "what", "letters"), SAID)
def test_each_limit_is_told_in_the_unit_of_ulimit(monkeypatch, said, what, letters):
    limits = {
        resource.RLIMIT_AS: 7 * 1024,
        resource.RLIMIT_NOFILE: 24,
        resource.RLIMIT_NPROC: 12,
        resource.RLIMIT_FSIZE: 3 * 1024 + 5,
    }
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits[kind], resource.RLIM_INFINITY))
    told = {"v": "ulimit -v: 7 kB", "n": "ulimit -n: 24", "u": "ulimit -u: 12", "f": "ulimit -f: 3 kB"}
    in_force = ", ".join(told[letter] for letter in letters)
    assert shortage(said) == (f"{what} ({in_force})" if letters else what)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    if letters:
        unlimited = ", ".join(f"ulimit -{letter}: unlimited" for letter in letters)
        assert shortage(said) == f"{what} ({unlimited})"


def test_a_stall_is_told_with_what_may_be_behind_it(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    both = "ulimit -v: unlimited, ulimit -u: unlimited"
    assert shortage("the kernel did nothing for 60 s") == (
        f"the kernel did nothing for 60 s, perhaps for want of memory or threads ({both})"
    )


@pytest.mark.parametrize(("allowed", "scarce"), [(40, False), (39, True)])
def test_a_kernel_needs_forty_files_that_may_be_opened(monkeypatch, allowed, scarce):
    opened = []

    def limited(*_):
        if len(opened) == allowed:
            raise OSError(24, "Too many open files")
        opened.append(open(os.devnull, "rb"))  # noqa: PTH123, SIM115
        return opened[-1]

    monkeypatch.setattr(module, "open", limited, raising=False)
    found = module.too_few_files()
    assert (found or "").startswith("too few open files allowed (ulimit -n: ") == scarce
    assert all(each.closed for each in opened)


def stat(pid, session, state="S", used=(0, 0, 0, 0)):
    """A line of /proc/PID/stat, whose name of a program may hold anything."""
    return f"{pid} (a) b) {state} 1 1 {session} 0 -1 0 0 0 0 0 {' '.join(map(str, used))} 20 0 1\n"


@pytest.mark.parametrize(
    ("lines", "ticks"),
    [
        ([stat(7, 7, used=(1, 2, 4, 8))], 15),
        ([stat(7, 7, used=(1, 0, 0, 0)), stat(8, 7, used=(2, 0, 0, 0)), stat(9, 9, used=(50, 0, 0, 0))], 3),
        ([stat(9, 9)], None),
        ([stat(7, 7, used=(1, 0, 0, 0)), stat(8, 7, "T")], None),
        ([stat(7, 7, "t")], None),
        ([stat(7, 7, used=(1, 0, 0, 0)), stat(9, 9, "T")], 1),
    ],
)
def test_processor_time_counts_all_kinds_of_all_processes_of_a_session(monkeypatch, tmp_path, lines, ticks):
    for line in lines:
        (tmp_path / line.split()[0]).mkdir()
        (tmp_path / line.split()[0] / "stat").write_text(line)
    monkeypatch.setattr(module, "Path", lambda _: tmp_path)
    expected = None if ticks is None else ticks / os.sysconf("SC_CLK_TCK")
    assert cpu_seconds(7) == expected


def test_a_stall_needs_limits_of_either_kind_for_little_patience(monkeypatch):
    for scarce in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        limits = {scarce: 10**9}
        monkeypatch.setattr(
            resource, "getrlimit", lambda kind, limits=limits: (limits.get(kind, resource.RLIM_INFINITY), 0)
        )
        assert Stall(1).patience == SCARCE_SECONDS == 60
    assert IDLE_SECONDS == 900


def test_a_look_after_more_than_ten_seconds_starts_anew_and_one_within_does_not(monkeypatch):
    for step, found in ((10, True), (11, False)):
        clock = Clock()
        clock.now = 0.0
        monkeypatch.setattr(module, "cpu_seconds", lambda session: 0.0)
        watcher = Stall(1, clock)
        looks = []
        for _ in range(round(watcher.patience / step) + 2):
            clock.now += step
            looks.append(watcher.found())
        assert any(looks) == found


def test_a_kernel_that_nobody_can_look_at_is_no_stall(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "cpu_seconds", lambda session: None)
    watcher = Stall(1, clock)
    assert not look(clock, watcher, 2 * watcher.patience)
