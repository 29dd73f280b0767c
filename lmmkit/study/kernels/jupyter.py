"""Kernels for the notebooks: forked from a server that has imported the stack, or new interpreters."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from lmmkit.study.kernels.fork_client import KernelPlace, Serving, serving
from lmmkit.study.kernels.shortages import STALLED, Stall

#: Modules lying about in the working directory are not imported.
_ARGUMENTS = ["--IPKernelApp.ignore_cwd=True"]
_MODULE = "lmmkit.study.kernels.kernel"
_COMMAND = [sys.executable, "-P", "-m", _MODULE]


class StudyProvisioner(LocalProvisioner):
    """Launches kernels in the environment of the run, by the server where there is one."""

    served: Serving
    stall: Stall | None = None

    async def poll(self) -> int | None:
        """None while the kernel lives; one that has stopped working is ended."""
        code = await super().poll()
        if code is None:
            self.stall = self.stall or Stall(self.process.pid)
            if self.stall.found():
                self.served.place.note(f"{STALLED} for {self.stall.patience} s")
                await self.kill()
        return code

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """The command and the options of the process."""
        return await super().pre_launch(**{**kwargs, "env": self.served.place.environment})

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork a kernel, or start one; it works in the present folder, whatever it starts in."""
        place, server, folder = self.served.place, self.served.server, str(Path.cwd())
        head, arguments = cmd[: cmd.index(_MODULE) + 1], cmd[cmd.index(_MODULE) + 1 :]
        if server is None:
            with place.messages.open("a", encoding="utf-8") as messages:
                options = {**kwargs, "cwd": str(place.folder), "stderr": messages}
                return await super().launch_kernel([*head, folder, *arguments], **options)
        self.process = server.fork(folder, arguments, kwargs["env"])
        self.pid = self.process.pid
        return self.connection_info


class StudyKernelManager(AsyncKernelManager):
    """A kernel manager that talks by sockets in a private folder and starts kernels of this interpreter."""

    served: Serving

    def __init__(self, **options: Any):
        place = str(self.served.place.folder / uuid4().hex[:8])
        # A socket's path has a length limit, some 100 bytes; beyond it, the loopback's ports.
        sockets = {"transport": "ipc", "ip": place} if len(place) < 80 else {}
        super().__init__(connection_file=f"{place}.json", **sockets, **options)
        self.provisioner = StudyProvisioner(kernel_id=uuid4().hex, kernel_spec=self.kernel_spec, parent=self)
        self.provisioner.served = self.served

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel: never one of that name that lies in a folder of the user's or of the machine."""
        command = [*_COMMAND, "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")


@contextmanager
def kernels(*, cold: bool = False, allow_outside: bool = False) -> Generator[dict[str, Any]]:
    """Options that give papermill its kernels, while the context lasts; arguments as for `serving`."""
    with serving(cold=cold, allow_outside=allow_outside) as served:
        yield kernel_options(served)


def kernel_options(served: Serving) -> dict[str, Any]:
    """Returns the options that give papermill its kernels."""
    manager = type("Manager", (StudyKernelManager,), {"served": served})
    return {"extra_arguments": list(_ARGUMENTS), "kernel_manager_class": manager}


def place_of(options: dict[str, Any]) -> KernelPlace:
    """Returns the place of the kernels that `kernel_options` gave."""
    manager: type[StudyKernelManager] = options["kernel_manager_class"]
    return manager.served.place
