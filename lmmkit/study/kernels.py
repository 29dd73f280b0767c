"""Kernels for the notebooks: forked from a server that has imported the stack, or standard ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from lmmkit.errors import RunError
from lmmkit.study.plan import ALLOW_OUTSIDE

#: One BLAS thread and one order of sets in every kernel, so that equal inputs give equal bytes.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
#: Modules lying about in the working directory are not imported.
_ARGUMENTS = ["--IPKernelApp.ignore_cwd=True"]


class ForkServer:
    """The parent's end of `lmmkit.study.forkserver`."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", "lmmkit.study.forkserver"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def ask(self, **request: object) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            raise RunError("the process that makes kernels has died; try `lmmkit run --cold`") from None

    def close(self) -> None:
        """End the server, and with it its kernels."""
        self.process.terminate()
        self.process.communicate()


class ForkedProcess:
    """A forked kernel, with the manners of `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, server: ForkServer, pid: int):
        self.server, self.pid = server, pid
        self.code: int | None = None

    def poll(self) -> int | None:
        """The exit code, None while it lives."""
        if self.code is None:
            self.code = self.server.ask(poll=self.pid)["code"]
        return self.code

    def wait(self) -> int:
        """The exit code of a kernel that has ended."""
        return self.poll() or 0

    def send_signal(self, number: int) -> None:
        """Send a signal to the kernel and all that it started."""
        if self.poll() is None:
            os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class ForkedProvisioner(LocalProvisioner):
    """Launches kernels by the server instead of by a new interpreter."""

    server: ForkServer

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork a kernel; its arguments are those after the module's name."""
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        environment = kwargs.get("env") or dict(os.environ)
        folder = kwargs.get("cwd") or os.getcwd()  # noqa: PTH109  (as text, for JSON)
        pid = self.server.ask(arguments=arguments, environment=environment, folder=str(folder))["pid"]
        self.process = ForkedProcess(self.server, pid)
        self.pid = pid
        return self.connection_info


class SocketManager(AsyncKernelManager):
    """A kernel manager that talks by sockets in a private folder: no port is opened."""

    folder: Path

    def __init__(self, **options: Any):
        place = str(self.folder / uuid4().hex[:8])
        # A socket's path has a length limit, some 100 bytes; beyond it, the loopback's ports.
        sockets = {"transport": "ipc", "ip": place} if len(place) < 80 else {}
        super().__init__(connection_file=f"{place}.json", **sockets, **options)


class ForkingManager(SocketManager):
    """A kernel manager whose kernels come from a fork server."""

    server: ForkServer

    async def _async_pre_start_kernel(self, **options: Any) -> Any:
        if self.provisioner is None:
            provisioner = ForkedProvisioner(kernel_id=uuid4().hex, kernel_spec=self.kernel_spec, parent=self)
            provisioner.server = self.server
            self.provisioner = provisioner
        return await super()._async_pre_start_kernel(**options)

    pre_start_kernel = _async_pre_start_kernel  # pyright: ignore[reportAssignmentType]


@contextmanager
def kernels(*, cold: bool = False, allow_outside: bool = False) -> Generator[dict[str, Any]]:
    """Options that give papermill its kernels, while the context lasts.

    Args:
        cold: Standard kernels, each a new interpreter.
        allow_outside: Whether the data may lie outside the study's folder.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lmmkit-")))
        stack.enter_context(_environment(folder, allow_outside=allow_outside))
        members: dict[str, Any] = {"folder": folder}
        if not cold:
            members["server"] = ForkServer()
            stack.callback(members["server"].close)
        manager = type("Manager", (SocketManager if cold else ForkingManager,), members)
        yield {"extra_arguments": list(_ARGUMENTS), "kernel_manager_class": manager}


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
