"""Modules of lmmkit executed by forks of one interpreter that has imported the stack.

Where the start of an interpreter is not the claim, this stands for `python -P -m`: a run starts one for the
command and one for its kernels, of some seconds' imports each, for which a run of tests then pays once. What
is forked is the module's own `main` with the arguments, streams, folder, environment and limits (of a file's
size, of open files) of whoever starts it. Interpreters that start cold, with the settings of their
environment, are in tests/study/runs (`test_hostile_environment.py`, `test_strangers_files.py`,
`test_run.py`), tests/study/kernels, tests/notebooks and tests/test_wheel.py.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIMITS = (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
#: Modules that are executed rather than imported, and what only a cluster needs.
NOT_IMPORTED = {"__main__", "fork_server", "worker_process", "earlier_steps", "cluster"}


#: The variable under which a run makes its pictures and does not draw them, which takes half of its time: for
#: tests of what it says in words and numbers. What is drawn is tests/plots' claim, and other runs' draw all.
UNDRAWN = {"LMMKIT_TESTS_UNDRAWN": "1"}


def command(module: str, *arguments: str) -> list[str]:
    """What stands for `python -P -m module arguments`; a signal for it reaches the module."""
    return [*_relaying(_server().address, module), *arguments]


#: Where the package holds the command of a process that it starts, and what the process executes.
_PROCESSES = [
    ("lmmkit.study.kernels.fork_client", "_COMMAND", "lmmkit.study.kernels.fork_server"),
    ("lmmkit.study.kernels.jupyter", "_COMMAND", "lmmkit.study.kernels.kernel"),
    ("lmmkit.study.steps.open_step", "_EARLIER", "lmmkit.study.runs.earlier_steps"),
    ("lmmkit.study.sweeps.cell_workers", "COMMAND", "lmmkit.study.sweeps.worker_process"),
]


def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what this process starts of the package be forked too."""
    for place, name, module in _PROCESSES:
        monkeypatch.setattr(f"{place}.{name}", command(module))


def lmmkit(
    folder: str | os.PathLike[str], *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command line, called in a folder, as it is installed: the folder is not on its path.

    Args:
        folder: The folder.
        arguments: Its arguments.
        environment: Variables beside those of this process.
    """
    return subprocess.run(
        command("lmmkit.study.cli", *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def _relaying(address: str, module: str) -> list[str]:
    return [sys.executable, "-I", "-S", __file__, "relay", address, module]


class Server:
    """The interpreter that has imported the stack; it ends with this process."""

    def __init__(self) -> None:
        from lmmkit.study.kernels.environment import worker_environment

        self.folder = tempfile.TemporaryDirectory(prefix="lmmkit-warm-")
        self.address = os.path.join(self.folder.name, "socket")  # noqa: PTH118
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, "serve", self.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=worker_environment(),
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"


@functools.cache
def _server() -> Server:
    return Server()


def serve(address: str) -> None:
    """Import the stack, then fork a module for every request until the input ends."""
    _import_stack(address)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    os.write(1, b"ready\n")

    while True:
        readable, _, _ = select.select([listener, 0], [], [])
        if 0 in readable:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _guard(connection)
        connection.close()


def _import_stack(address: str) -> None:
    """Import all that commands and kernels import, and let them start each other as they are started."""
    import gc
    import importlib
    import pkgutil
    from pathlib import Path

    import lmmkit
    from lmmkit.study.kernels import environment

    configuration = Path(f"{address}-matplotlib")
    configuration.mkdir()
    environment.import_matplotlib(configuration)
    from lmmkit.study.kernels import fork_server

    for name in (*fork_server._PRELOADED, *fork_server._LATER):
        importlib.import_module(name)
    fork_server.know_versions()
    # Executed anew in each process: the one is what it does, the other reads then who its parent is.
    for name in (fork_server.__name__, "ipykernel.kernelapp"):
        del sys.modules[name]
    for found in pkgutil.walk_packages(lmmkit.__path__, "lmmkit."):
        if not NOT_IMPORTED.intersection(found.name.split(".")):
            importlib.import_module(found.name)
    for place, name, module in _PROCESSES:
        setattr(importlib.import_module(place), name, _relaying(address, module))
    _keep_what_is_made_once()
    gc.collect()
    gc.freeze()


def _keep_what_is_made_once() -> None:
    """What a process makes when it is first asked for, and then keeps."""
    import nbformat
    from nbformat.validator import get_validator

    from lmmkit.study.pages import templates

    get_validator(nbformat.current_nbformat, nbformat.current_nbformat_minor)
    for name in templates._TEMPLATES.list_templates(["html"]):
        templates._TEMPLATES.get_template(name)


def _guard(connection: socket.socket) -> None:
    """Fork what is asked for, tell its process id and, when it has ended, its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 4)
    asked = connection.makefile()
    request = json.loads(asked.readline())
    pid = os.fork()
    if pid == 0:
        asked.close()
        connection.close()
        os._exit(_ended(functools.partial(_become, *streams, **request)))
    for stream in streams:
        os.close(stream)
    connection.sendall(f"{pid}\n".encode())
    ended = threading.Event()
    threading.Thread(target=_tell_end, args=(connection, pid, ended), daemon=True).start()
    asked.readline()  # nothing more is written: whoever asked has ended, killed where this was not told
    if not ended.is_set():
        os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _tell_end(connection: socket.socket, pid: int, ended: threading.Event) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    ended.set()
    connection.sendall(f"{code}\n".encode())


def _ended(execute: Callable[[], None]) -> int:
    """The exit code of an interpreter that has executed something.

    It ends as any other, but that it does not take down what it has imported: that costs more than all else.
    """
    code = 0
    try:
        execute()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        sys.excepthook(*sys.exc_info())  # pyright: ignore[reportArgumentType]
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 120
    return code


def _become(
    *streams: int,
    module: str,
    arguments: list[str],
    environment: dict[str, str],
    limits: list[tuple[int, list[int]]],
) -> None:
    import runpy

    os.setsid()
    for kind, (now, at_most) in limits:
        resource.setrlimit(kind, (now, at_most))
    for number, stream in enumerate(streams[:3]):
        os.dup2(stream, number)
    os.fchdir(streams[3])
    for stream in streams:
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, "w" if number else "r", closefd=False, buffering=1 if number == 2 else -1)  # noqa: SIM115
        for number in range(3)
    )
    os.environ.clear()
    os.environ.update(environment)
    if UNDRAWN.items() <= environment.items():
        sys.modules["lmmkit.plots"].svg_bytes = _undrawn  # pyright: ignore[reportAttributeAccessIssue]
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _undrawn(axes: object) -> bytes:
    """A picture's texts in place of the picture."""
    from matplotlib.text import Text

    from lmmkit.escape import html
    from lmmkit.plots.style import figure_of

    texts = " ".join(text.get_text() for text in figure_of(axes).findobj(Text))  # pyright: ignore
    return f'<svg xmlns="http://www.w3.org/2000/svg"><desc>{html(texts)}</desc></svg>'.encode()


def relay(address: str, module: str, *arguments: str) -> None:
    """Ask for a module, pass signals on to it, and end as it ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    limits = [(kind, resource.getrlimit(kind)) for kind in LIMITS]
    request = {"module": module, "arguments": arguments, "environment": dict(os.environ), "limits": limits}
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    here = os.open(".", os.O_RDONLY)
    socket.send_fds(connection, [b" "], [0, 1, 2, here])
    connection.sendall(f"{json.dumps(request)}\n".encode())
    told = connection.makefile()
    pid = int(told.readline())
    for number in SIGNALS:
        signal.signal(number, lambda number, _: os.kill(pid, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    code = int(told.readline())
    if -code in SIGNALS:
        signal.signal(-code, signal.SIG_DFL)
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    {"serve": serve, "relay": relay}[sys.argv[1]](*sys.argv[2:])
