"""The process that kernels are forked from, and what all kernels of a run share."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lmmkit.errors import RunError
from lmmkit.study.kernels.environment import kernel_environment
from lmmkit.study.kernels.shortages import START_SECONDS, shortage
from lmmkit.study.records.temporary import remove_abandoned, temporary_folder

_COMMAND = [sys.executable, "-P", "-m", "lmmkit.study.kernels.fork_server"]


@dataclass(frozen=True)
class KernelPlace:
    """What kernels share.

    Attributes:
        folder: A private folder for their sockets, IPython's own files and temporary files.
        allow_outside: Whether the data may lie outside the study's folder.
    """

    folder: Path
    allow_outside: bool

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a kernel that starts now."""
        return kernel_environment(self.folder, allow_outside=self.allow_outside)

    @property
    def messages(self) -> Path:
        """The file to which kernels and their server write what they have to say of themselves."""
        return self.folder / "messages.txt"

    def note(self, message: str) -> None:
        """Add a message."""
        with self.messages.open("a", encoding="utf-8") as stream:
            stream.write(f"{message}\n")

    def why(self) -> str:
        """Returns why a kernel died, after a colon; nothing where its messages do not tell."""
        with suppress(OSError):
            scarce = shortage(self.messages.read_text(encoding="utf-8", errors="replace"))
            return f": {scarce}" if scarce else ""
        return ""


class ForkServer:
    """The parent's end of `lmmkit.study.kernels.fork_server`."""

    def __init__(self, place: KernelPlace) -> None:
        self.place = place
        with place.messages.open("a", encoding="utf-8") as messages:
            self.process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
                cwd=place.folder,
                env=place.environment,
                start_new_session=True,
            )

    def fork(self, folder: str, arguments: Sequence[str], environment: Mapping[str, str]) -> ForkedProcess:
        """A new kernel; it is waited for until the server has imported what it forks.

        Args:
            folder: Its working directory.
            arguments: Those of ipykernel.
            environment: Its environment variables.

        Raises:
            RunError: the server has died, or does not answer.
        """
        request = {"folder": folder, "arguments": arguments, "environment": environment}
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            return ForkedProcess(int(self._answer()), self.process)
        except (OSError, ValueError):
            raise RunError(
                f"the process that makes kernels has died{self.place.why()}; try `lmmkit run --cold`"
            ) from None

    def _answer(self) -> str:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], START_SECONDS)[0]:
            self.process.kill()
            raise RunError(
                f"the process that makes kernels did not answer in {START_SECONDS} s{self.place.why()}; "
                "try `lmmkit run --cold`"
            )
        return self.process.stdout.readline()

    def close(self) -> None:
        """End the server, and with it its kernels."""
        self.process.terminate()
        with suppress(OSError):  # what it was never told, because it had died
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
        place: What they share.
        server: The process to fork them from; None for new interpreters.
    """

    place: KernelPlace
    server: ForkServer | None


@contextmanager
def serving(*, cold: bool = False, allow_outside: bool = False) -> Generator[Serving]:
    """The place of kernels and, unless they are to be cold, their server, which starts its imports.

    Args:
        cold: Kernels that are new interpreters each.
        allow_outside: Whether the data may lie outside the study's folder.
    """
    remove_abandoned()
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        place = KernelPlace(folder, allow_outside)
        server = None if cold else ForkServer(place)
        if server:
            stack.callback(server.close)
        yield Serving(place, server)
