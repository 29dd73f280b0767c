"""Every engine on every workload, side by side: CPU seconds, evaluations, deviance and peak memory.

Each fit is a process of its own on one core with one thread. The rounds are interleaved, so that a busy
minute of the machine falls on all engines; a fit that takes long is run once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workloads import CACHE, HERE, WORKLOADS, Workload

Record = dict[str, Any]

PEERS = HERE / ".peers"
ENGINES = (
    "lmmkit",
    "lmmkit engine",
    "lme4",
    "mixedlm",
    "mixedlm-rs",
    "lme-python",
    "glmm",
    "gpboost",
    "interlace",
    "statsmodels",
)
LIMIT = 100  # CPU seconds of a process
ROUND_LIMIT = 10.0  # a fit that takes longer is run once
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"),
    "1",
)


def install_peers() -> None:
    """Make the peers' environment, unless it is there."""
    stamp = PEERS / "complete"
    if stamp.exists() and stamp.read_text() == (HERE / "peers.txt").read_text():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", PEERS], check=True)
    pip = [PEERS / "bin" / "python", "-m", "pip", "install", "-qq", "--only-binary", ":all:"]
    subprocess.run([*pip, "-r", HERE / "peers.txt"], check=True)
    stamp.write_text((HERE / "peers.txt").read_text())


def available(engine: str) -> bool:
    """lme4 is timed where R has it."""
    if engine != "lme4":
        return True
    rscript = shutil.which("Rscript")
    return (
        rscript is not None
        and not subprocess.run([rscript, "-e", "library(lme4)"], capture_output=True, check=False).returncode
    )


def command(engine: str, workload: Workload) -> list[str]:
    """The process that times one fit."""
    if engine == "lme4":
        columns = [path.stem for path in sorted((CACHE / workload.data).glob("*.f64"))]
        factors = [*workload.groups, *workload.factors]
        script = [str(HERE / "lme4.R"), str(CACHE / workload.data), workload.formula]
        return ["Rscript", *script, ",".join(columns), ",".join(factors)]
    python = sys.executable if engine.startswith("lmmkit") else str(PEERS / "bin" / "python")
    return [python, str(HERE / "fit.py"), engine, workload.name]


def measure(engine: str, workload: Workload) -> Record:
    """One fit: what its process printed, or how it ended."""
    process = subprocess.Popen(
        command(engine, workload),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | ONE_THREAD,
        text=True,
    )
    return {"engine": engine, "workload": workload.name, **_outcome(process)}


def _outcome(process: subprocess.Popen[str]) -> Record:
    output, errors = _wait(process)
    if process.returncode == 0:
        return json.loads(output.splitlines()[-1])
    if process.returncode == -signal.SIGKILL:
        return {"status": "over limit"}
    return {"status": "failed", "reason": errors.strip().splitlines()[-1]}


def _wait(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process printed; it is killed when its CPU time is over the limit.

    The system's own limit (`ulimit -t`) is no use here: under it Linux counts a process's time in whole ticks
    of 4 ms, as long as a small fit takes.
    """
    while True:
        try:
            return process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            if _cpu_seconds(process.pid) > LIMIT:
                process.kill()


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process, from Linux's /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(engines: list[str], workloads: list[str], rounds: int) -> list[Record]:
    """All fits, the rounds interleaved; an engine that was slow or failed is not asked again.

    Who comes first changes with the round: after a rest a virtual machine pays for memory touched anew.
    """
    records: list[Record] = []
    settled: set[tuple[str, str]] = set()
    for turn in range(rounds):
        first = turn % len(engines)
        for name in workloads:
            for engine in engines[first:] + engines[:first]:
                if (engine, name) in settled:
                    continue
                record = measure(engine, WORKLOADS[name])
                print(json.dumps(record), flush=True)
                records.append(record)
                if record.get("seconds", ROUND_LIMIT) >= ROUND_LIMIT:
                    settled.add((engine, name))
    return records


@contextmanager
def pinned() -> Generator[None]:
    """Keep this process and its children on the last core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
