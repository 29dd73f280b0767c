"""Kernels for the notebooks: forked from a server that has imported the stack, or standard ones."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from lmmkit.study.kernels.fork_client import ForkServer, Serving, serving

#: Modules lying about in the working directory are not imported.
_ARGUMENTS = ["--IPKernelApp.ignore_cwd=True"]


class ForkedProvisioner(LocalProvisioner):
    """Launches kernels by the server instead of by a new interpreter."""

    server: ForkServer

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork a kernel; its arguments are those after the module's name."""
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        environment = kwargs.get("env") or dict(os.environ)
        folder = kwargs.get("cwd") or os.getcwd()  # noqa: PTH109  (as text, for JSON)
        self.process = self.server.fork(arguments, environment, str(folder))
        self.pid = self.process.pid
        return self.connection_info


class StudyKernelManager(AsyncKernelManager):
    """A kernel manager that talks by sockets in a private folder and forks where there is a server."""

    folder: Path
    server: ForkServer | None

    def __init__(self, **options: Any):
        place = str(self.folder / uuid4().hex[:8])
        # A socket's path has a length limit, some 100 bytes; beyond it, the loopback's ports.
        sockets = {"transport": "ipc", "ip": place} if len(place) < 80 else {}
        super().__init__(connection_file=f"{place}.json", **sockets, **options)
        if self.server:
            self.provisioner = ForkedProvisioner(
                kernel_id=uuid4().hex, kernel_spec=self.kernel_spec, parent=self
            )
            self.provisioner.server = self.server


@contextmanager
def kernels(*, cold: bool = False, allow_outside: bool = False) -> Generator[dict[str, Any]]:
    """Options that give papermill its kernels, while the context lasts; arguments as for `serving`."""
    with serving(cold=cold, allow_outside=allow_outside) as served:
        yield kernel_options(served)


def kernel_options(served: Serving) -> dict[str, Any]:
    """Returns the options that give papermill its kernels."""
    manager = type("Manager", (StudyKernelManager,), {"folder": served.folder, "server": served.server})
    return {"extra_arguments": list(_ARGUMENTS), "kernel_manager_class": manager}
