"""Who makes the cells of a sweep: the contract of all workers, and worker processes on this machine."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from lmmkit.study.kernels.environment import worker_environment
from lmmkit.study.sweeps.cells import Cell

#: A worker process.
COMMAND = [sys.executable, "-P", "-m", "lmmkit.study.sweeps.worker_process"]
#: How often a cell is begun whose worker dies.
TRIES = 3
#: Seconds after which the kernel of a dead worker has noticed that it is alone, and has ended.
KERNEL_ENDS = 2.0


@dataclass(frozen=True)
class CellOptions:
    """How cells are made.

    Attributes:
        reports: Folder of the run folders.
        again: Steps to make even though they are there.
        cold: Standard kernels instead of forked ones.
        allow_outside: Whether data may lie outside the study's folder.
    """

    reports: Path
    again: tuple[str, ...] = ()
    cold: bool = False
    allow_outside: bool = False

    def order(self, cell: Cell) -> dict[str, Any]:
        """What a worker process is told of a cell, as plain data."""
        return {
            "study": str(cell.plan.study.path),
            "overrides": dict(cell.plan.overrides),
            "reports": str(self.reports),
            "again": list(self.again),
        }

    def kernel(self) -> dict[str, Any]:
        """What a worker process is told before its first cell."""
        return {"cold": self.cold, "allow_outside": self.allow_outside}


@dataclass(frozen=True)
class CellRun:
    """What became of a cell.

    Attributes:
        cell: The cell.
        key: The key of its run; None when it had none.
        error: What went wrong.
    """

    cell: Cell
    key: str | None
    error: str | None


class Workers(ABC):
    """Workers that make cells, as a context; their tasks are futures, of this process or of a cluster."""

    def __init__(self, options: CellOptions):
        self.options = options
        self.tasks: dict[Any, Cell] = {}
        self.stopped = False

    @abstractmethod
    def submit(self, cells: Sequence[Cell]) -> dict[Any, Cell]:
        """Hand out the cells; each cell by its future."""

    @abstractmethod
    def completed(self) -> Iterable[Any]:
        """The futures as they end."""

    @abstractmethod
    def collect(self, future: Any, cell: Cell) -> CellRun:
        """What became of a cell whose future has ended."""

    @abstractmethod
    def close(self) -> None:
        """Let the workers go."""

    def make(self, cells: Sequence[Cell]) -> Iterator[CellRun]:
        """Each cell as it is made."""
        self.tasks = self.submit(cells)
        for future in self.completed():
            if not (self.stopped and future.cancelled()):
                yield self.collect(future, self.tasks[future])

    def stop(self) -> None:
        """Begin no other cell."""
        self.stopped = True
        for future in self.tasks:
            if not future.done():
                future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self.close()


class LocalWorkers(Workers):
    """Worker processes on this machine, each with its own kernels."""

    def __init__(self, count: int, options: CellOptions):
        super().__init__(options)
        self.pool = WorkerPool(options.kernel())
        self.threads = ThreadPoolExecutor(count)

    def submit(self, cells: Sequence[Cell]) -> dict[Any, Cell]:
        """A thread asks a worker process for each cell."""
        return {self.threads.submit(self.pool.ask, self.options.order(cell)): cell for cell in cells}

    def completed(self) -> Iterable[Any]:
        """The futures as they end."""
        return as_completed(self.tasks)

    def collect(self, future: Future[dict[str, Any]], cell: Cell) -> CellRun:
        """The answer of the worker process."""
        answer = future.result()
        return CellRun(cell, answer["key"], answer["error"])

    def close(self) -> None:
        """End the worker processes; a cell that one is making says that it was interrupted."""
        self.pool.close()
        self.threads.shutdown()


class WorkerPool:
    """Worker processes that are started when needed, kept when idle, replaced when dead."""

    def __init__(
        self,
        kernel: dict[str, Any],
        folder: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ):
        self.kernel, self.folder, self.environment = kernel, folder, environment
        self.idle = queue.SimpleQueue[subprocess.Popen[str]]()
        self.started: list[subprocess.Popen[str]] = []
        self.closed = False

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """The key and the error of a cell; one whose worker dies is given to another, three times at most."""
        for attempt in range(TRIES):
            process = self._process()
            try:
                send(process, order)
                assert process.stdout is not None
                answer = json.loads(process.stdout.readline())
            except (OSError, ValueError):  # it ended without an answer
                if self.closed:
                    break
                time.sleep(KERNEL_ENDS * (attempt < TRIES - 1))
                continue
            self.idle.put(process)
            return answer
        error = f"the process that ran it died {TRIES} times, perhaps for want of memory"
        return {"key": None, "error": error}

    def close(self) -> None:
        """End all worker processes, which end with their input."""
        self.closed = True
        for process in self.started:
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
        for process in self.started:
            with suppress(OSError), process:  # its pipes are closed too
                process.wait()

    def _process(self) -> subprocess.Popen[str]:
        """An idle worker process, or a new one."""
        with suppress(queue.Empty):
            return self.idle.get_nowait()
        # In a session of its own: Ctrl-C reaches the parent alone, which then ends its workers in order.
        process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**worker_environment(), **self.environment},
            start_new_session=True,
        )
        self.started.append(process)
        with suppress(OSError):  # one that died at once is noticed when it is asked
            send(process, self.kernel)
        return process


def send(process: subprocess.Popen[str], line: dict[str, Any]) -> None:
    """Write a line of JSON to a process."""
    assert process.stdin is not None
    process.stdin.write(json.dumps(line) + "\n")
    process.stdin.flush()
