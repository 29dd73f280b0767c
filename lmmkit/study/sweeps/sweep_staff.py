"""Worker processes that are hired when needed, kept when idle, replaced when dead."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

#: How often a cell is begun again whose worker died.
TRIES = 3
#: Seconds after which the kernel of a dead worker has noticed that it is alone, and has ended.
KERNEL_ENDS = 2.0


class DeadWorkerError(Exception):
    """A worker process ended without an answer."""


class Worker:
    """One worker process."""

    def __init__(self, options: dict[str, Any], folder: Path | None = None):
        command = [sys.executable, "-P", "-m", "lmmkit.study.sweeps.worker_process"]
        # In a session of its own: Ctrl-C reaches the parent alone, which then ends its workers in order.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            start_new_session=True,
        )
        with suppress(OSError):  # one that died at once is noticed when it is asked
            self._say(options)

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """The answer to an order.

        Raises:
            DeadWorkerError: there is none.
        """
        assert self.process.stdout is not None
        try:
            self._say(order)
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            raise DeadWorkerError from None

    def end(self) -> None:
        """End the process; a cell that it is making says that it was interrupted."""
        self.process.terminate()

    def wait(self) -> None:
        """Wait until it has ended."""
        self.process.wait()

    def _say(self, line: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()


class Staff:
    """Workers that are hired when needed, kept when idle, replaced when dead."""

    def __init__(self, options: dict[str, Any], folder: Path | None = None):
        self.options, self.folder = options, folder
        self.idle = queue.SimpleQueue[Worker]()
        self.hired: list[Worker] = []
        self.closed = False

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """An order carried out; one whose worker dies is given to another, three times at most."""
        for attempt in range(TRIES):
            worker = self._worker()
            try:
                answer = worker.ask(order)
            except DeadWorkerError:
                if self.closed:
                    break
                time.sleep(KERNEL_ENDS * (attempt < TRIES - 1))
                continue
            self.idle.put(worker)
            return answer
        return {
            "key": None,
            "error": f"the process that ran it died {TRIES} times, perhaps for want of memory",
        }

    def close(self) -> None:
        """End all workers."""
        self.closed = True
        for worker in self.hired:
            worker.end()
        for worker in self.hired:
            worker.wait()

    def _worker(self) -> Worker:
        try:
            return self.idle.get_nowait()
        except queue.Empty:
            worker = Worker(self.options, self.folder)
            self.hired.append(worker)
            return worker
