"""The process that kernels are forked from, and the environment that all kernels share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lmmkit.errors import RunError
from lmmkit.study.data.sources import ALLOW_OUTSIDE

#: One BLAS thread and one order of sets in every kernel, so that equal inputs give equal bytes.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


class ForkServer:
    """The parent's end of `lmmkit.study.kernels.fork_server`."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", "lmmkit.study.kernels.fork_server"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], folder: str) -> ForkedProcess:
        """A new kernel; it is waited for until the server has imported what it forks.

        Args:
            arguments: Those of `ipykernel_launcher`.
            environment: Its environment variables.
            folder: Its working directory.

        Raises:
            RunError: the server has died.
        """
        request = {"arguments": arguments, "environment": environment, "folder": folder}
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            pid = int(self.process.stdout.readline() if self.process.stdout else "")
            return ForkedProcess(pid, self.process)
        except (OSError, ValueError):
            raise RunError("the process that makes kernels has died; try `lmmkit run --cold`") from None

    def close(self) -> None:
        """End the server, and with it its kernels."""
        self.process.terminate()
        self.process.communicate()


class ForkedProcess:
    """A forked kernel, with the part of `subprocess.Popen`'s interface that jupyter_client uses."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, server: subprocess.Popen[str]):
        self.pid, self.server = pid, server

    def poll(self) -> int | None:
        """None while it lives, then 0: its exit code is not kept.

        Kernels end with their server. One that has ended then, and that nobody waits for, keeps its number.
        """
        try:
            os.kill(self.pid, 0)
            return None if self.server.poll() is None else 0
        except ProcessLookupError:
            return 0

    def wait(self) -> int:
        """The exit code of a kernel that has ended."""
        return 0

    def send_signal(self, number: int) -> None:
        """Send a signal to the kernel and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


@dataclass(frozen=True)
class Serving:
    """What kernels need while a run lasts.

    Attributes:
        folder: A private folder for their sockets.
        server: The process to fork them from; None for new interpreters.
    """

    folder: Path
    server: ForkServer | None


@contextmanager
def serving(*, cold: bool = False, allow_outside: bool = False) -> Generator[Serving]:
    """The environment of kernels and, unless they are to be cold, their server, which starts its imports.

    Args:
        cold: Standard kernels, each a new interpreter.
        allow_outside: Whether the data may lie outside the study's folder.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lmmkit-")))
        stack.enter_context(_environment(folder, allow_outside=allow_outside))
        server = None if cold else ForkServer()
        if server:
            stack.callback(server.close)
        yield Serving(folder, server)


@contextmanager
def _environment(folder: Path, *, allow_outside: bool) -> Generator[None]:
    """What kernels inherit: fixed threads and hashes, and none of the user's IPython."""
    before = dict(os.environ)
    os.environ.update(_ENVIRONMENT, IPYTHONDIR=str(folder), **{ALLOW_OUTSIDE: "1" if allow_outside else "0"})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
