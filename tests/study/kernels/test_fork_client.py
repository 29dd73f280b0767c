"""The parent's end of the server of kernels, and what kernels share: nothing is started."""

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from types import SimpleNamespace

import pytest

from lmmkit.errors import RunError
from lmmkit.study.kernels import fork_client as module
from lmmkit.study.kernels.fork_client import ForkedProcess, ForkServer, KernelPlace, serving


@pytest.fixture
def place(tmp_path):
    return KernelPlace(tmp_path, allow_outside=True)


def test_why_a_kernel_died_is_read_from_its_messages(place):
    assert place.why() == ""  # it has said nothing
    place.note("ValueError: x")
    assert place.why() == ""
    place.note("MemoryError")
    assert place.why().startswith(": too little memory (ulimit -v: ")
    assert place.messages.read_text() == "ValueError: x\nMemoryError\n"
    assert place.environment["LMMKIT_ALLOW_OUTSIDE"] == "1"


def server(place, answer=""):
    made = object.__new__(ForkServer)
    made.place = place
    made.killed = []
    made.process = SimpleNamespace(
        stdin=StringIO(), stdout=StringIO(answer), kill=lambda: made.killed.append(True)
    )
    return made


def test_a_kernel_is_asked_for_in_a_line_and_told_by_its_number(monkeypatch, place):
    monkeypatch.setattr(module.select, "select", lambda *_: ([1], [], []))
    made = server(place, "123\n")
    forked = made.fork("there", ["-f", "x"], {"A": "b"})
    assert (forked.pid, forked.server) == (123, made.process)
    asked = {"folder": "there", "arguments": ["-f", "x"], "environment": {"A": "b"}}
    assert json.loads(made.process.stdin.getvalue()) == asked


def test_a_server_that_has_died_is_told_with_what_it_said(monkeypatch, place):
    monkeypatch.setattr(module.select, "select", lambda *_: ([1], [], []))
    place.note("MemoryError")
    with pytest.raises(RunError) as raised:
        server(place).fork("there", [], {})
    text = str(raised.value)
    assert text.startswith("the process that makes kernels has died: too little memory (ulimit -v: ")
    assert text.endswith("; try `lmmkit run --cold`")


def test_a_server_that_does_not_answer_is_ended(monkeypatch, place):
    waited = []
    monkeypatch.setattr(module.select, "select", lambda *args: waited.append(args[3]) or ([], [], []))
    made = server(place)
    with pytest.raises(
        RunError, match="the process that makes kernels did not answer in 300 s; try `lmmkit run"
    ):
        made.fork("there", [], {})
    assert (waited, made.killed) == ([300], [True])


def test_a_kernel_lives_as_long_as_it_and_its_server_are_there(monkeypatch):
    own = os.getpid()
    for ended, code in ((None, None), (0, 0), (1, 0)):
        assert ForkedProcess(own, SimpleNamespace(poll=lambda ended=ended: ended)).poll() == code

    def gone(*_):
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", gone)
    assert ForkedProcess(own, SimpleNamespace(poll=lambda: None)).poll() == 0


def test_signals_go_to_all_that_a_kernel_started(monkeypatch):
    sent = []
    monkeypatch.setattr(os, "killpg", lambda *args: sent.append(args))
    kernel = ForkedProcess(123, None)
    kernel.terminate()
    kernel.kill()
    kernel.send_signal(signal.SIGINT)
    assert sent == [(123, signal.SIGTERM), (123, signal.SIGKILL), (123, signal.SIGINT)]
    assert kernel.wait() == 0


def test_a_server_is_an_interpreter_in_the_private_folder(monkeypatch):
    started = []

    class Popen(SimpleNamespace):
        def __init__(self, command, **options):
            super().__init__(ended=[])
            started.append((command, options, self))

        def terminate(self):
            self.ended.append("terminated")

        def communicate(self):
            raise OSError("it had died")

    monkeypatch.setattr(subprocess, "Popen", Popen)
    with serving() as served:
        folder = served.place.folder
        assert folder.is_dir()
        assert not served.place.allow_outside
    ((command, options, process),) = started
    assert command == [sys.executable, "-P", "-m", "lmmkit.study.kernels.fork_server"]
    assert (options["cwd"], options["start_new_session"]) == (folder, True)
    assert options["env"]["IPYTHONDIR"] == str(folder)
    assert process.ended == ["terminated"]
    assert not folder.exists()
    with serving(cold=True, allow_outside=True) as served:
        assert (served.server, served.place.allow_outside, len(started)) == (None, True, 1)
