"""The process that kernels are forked from: it makes them; whether they live is seen without it."""

import importlib.util
import io
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from support.processes import wait_for_end, wait_until

from lmmkit.errors import RunError
from lmmkit.study.kernels import fork_server as module
from lmmkit.study.kernels.fork_client import serving


@pytest.fixture
def server():
    with serving() as served:
        yield served.server


def forked(server, folder):
    """A kernel that talks by sockets in a folder."""
    ports = {f"{name}_port": i for i, name in enumerate(("shell", "iopub", "stdin", "control", "hb"), 1)}
    connection = {"transport": "ipc", "ip": str(folder / "kernel"), "key": "", **ports}
    (folder / "kernel.json").write_text(json.dumps(connection))
    return server.fork(str(folder), ["-f", str(folder / "kernel.json")], dict(os.environ))


@pytest.mark.slow
def test_a_kernel_is_seen_to_live_and_die_while_the_server_answers_nobody_and_ends_with_it(server, tmp_path):
    kernel = forked(server, tmp_path)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        assert kernel.poll() is None
        wait_until((tmp_path / "kernel-1").exists)
        kernel.kill()
        wait_for_end(kernel.pid)
        assert kernel.poll() == kernel.wait() == 0
        kernel.terminate()  # of one that is gone, nothing
    finally:
        os.kill(server.process.pid, signal.SIGCONT)

    (tmp_path / "second").mkdir()
    kernel = forked(server, tmp_path / "second")
    wait_until((tmp_path / "second/kernel-1").exists)
    server.close()
    wait_for_end(kernel.pid)
    with pytest.raises(RunError, match="has died; try `lmmkit run --cold`"):
        forked(server, tmp_path)


# What the server does, in this process: nothing is forked.


@pytest.fixture
def signals(monkeypatch):
    found = []
    monkeypatch.setattr(signal, "signal", lambda *args: found.append(args))
    return found


def test_each_line_asks_for_a_kernel_and_what_later_steps_need_comes_after(monkeypatch, signals, tmp_path):
    done, pids = [], iter([11, 12])
    monkeypatch.setattr(module, "import_matplotlib", lambda folder: done.append(folder))
    monkeypatch.setattr(module, "_import", lambda names: done.append(tuple(names)))
    monkeypatch.setattr(os, "fork", lambda: next(pids))
    monkeypatch.setattr(module, "_become_kernel", lambda **_: pytest.fail("this is no kernel"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("{}\n{}\n"))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    module.serve()
    assert done == [Path(tmp_path), module._PRELOADED, module._LATER, module._LATER]
    assert sys.stdout.getvalue() == "11\n12\n"
    assert os.environ["JPY_PARENT_PID"] == str(os.getpid())
    assert signals == [(signal.SIGCHLD, signal.SIG_IGN)]


class Ended(BaseException):
    """In place of the end of a process."""


@pytest.fixture
def become(monkeypatch, signals):
    """The exit code of what becomes a kernel, and what it did on the way."""
    done = []

    def end(code):
        done.append(code)
        raise Ended

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(os, "setsid", lambda: done.append("session"))
    monkeypatch.setattr(module, "_detach", lambda: done.append("detached"))
    monkeypatch.setattr(os, "environ", {"JPY_PARENT_PID": "7", "SECRET": "x"})

    def call(run):
        monkeypatch.setattr(module, "run_kernel", run)
        with pytest.raises(Ended):
            module._become_kernel("there", ["-f", "x"], {"A": "b"})
        return done

    return call


def test_a_kernel_has_its_own_session_and_environment_and_ends_well(become, signals):
    asked = []
    assert become(lambda *args: asked.append((args, dict(os.environ)))) == ["session", "detached", 0]
    assert asked == [(("there", ["-f", "x"]), {"A": "b", "JPY_PARENT_PID": "7"})]
    assert signals == [(signal.SIGINT, signal.default_int_handler), (signal.SIGCHLD, signal.SIG_DFL)]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(0), KeyboardInterrupt()])
def test_a_kernel_that_fails_ends_with_1_and_its_traceback(become, capsys, error):
    def fail(*_):
        raise error

    assert become(fail)[-1] == 1
    assert type(error).__name__ in capsys.readouterr().err


def test_the_servers_talk_is_no_kernels(tmp_path):
    """In a child: what it would read and print leads nowhere."""
    child = os.fork()
    if child == 0:
        try:
            module._detach()
            nowhere = [os.fstat(number).st_rdev == Path(os.devnull).stat().st_rdev for number in (0, 1)]
            (tmp_path / "found").write_text(f"{nowhere} {sys.stdin.read()!r}")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "found").read_text() == "[True, True] ''"


def test_all_that_is_imported_before_a_fork_is_there():
    for name in (*module._PRELOADED, *module._LATER):
        assert importlib.util.find_spec(name) is not None
