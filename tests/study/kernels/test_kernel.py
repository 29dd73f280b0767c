"""A kernel that fails itself ends, with a last message; what a notebook does wrong ends nothing."""

import logging
import os
import sys
import threading

import pytest

from lmmkit.study.kernels import kernel


def logged(name, error):
    info = (type(error), error, None) if error else None
    return logging.LogRecord(name, logging.ERROR, "f.py", 1, "no", None, info)


@pytest.mark.parametrize(
    ("name", "error", "ends"),
    [
        ("traitlets", ValueError("x"), True),
        ("tornado", ValueError("x"), True),
        ("asyncio", ValueError("x"), False),
        ("asyncio", MemoryError(), True),
        ("tornado", None, False),
    ],
)
def test_an_error_that_the_kernel_logs_ends_it(name, error, ends):
    ended = []
    handler = kernel._EndWithError(ended.append)
    handler.emit(logged(name, error))
    assert ended == ([error] if ends else [])
    assert handler.level == logging.ERROR


def thread_of(module, name="t"):
    kind = type("Own", (threading.Thread,), {"__module__": module})
    return kind(name=name)


@pytest.mark.parametrize(
    ("module", "name", "ends"),
    [
        ("ipykernel.heartbeat", "t", True),
        ("zmq.utils", "t", True),
        ("tornado.platform", "t", True),
        ("threading", "IOPub", True),
        ("threading", "t", False),
        ("__main__", "zmq", False),
    ],
)
def test_a_thread_of_the_kernel_that_dies_ends_it(monkeypatch, module, name, ends):
    ended, told = [], []
    monkeypatch.setattr(threading, "__excepthook__", told.append)
    error = ValueError("x")
    failed = threading.ExceptHookArgs((ValueError, error, None, thread_of(module, name)))
    kernel._end_with_thread(ended.append, failed)
    assert ended == ([error] if ends else [])
    assert told == [failed]


def test_a_thread_that_is_gone_already_is_nobodys(monkeypatch):
    monkeypatch.setattr(threading, "__excepthook__", lambda failed: None)
    failed = threading.ExceptHookArgs((ValueError, ValueError("x"), None, None))
    kernel._end_with_thread(pytest.fail, failed)


def test_the_last_message_and_the_exit_code(monkeypatch):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    reading, writing = os.pipe()
    kernel._end(writing, MemoryError("of it all"))
    os.close(writing)
    with os.fdopen(reading) as stream:
        assert stream.read() == "MemoryError: of it all\n"
    assert codes == [70]


def test_a_kernel_works_in_its_folder_under_no_settings_of_the_machine(monkeypatch, tmp_path):
    """Up to where ipykernel would begin."""
    from ipykernel.kernelapp import IPKernelApp
    from IPython.core import application

    asked = []

    class App:
        log = logging.getLogger("of the kernel")

        def initialize(self, arguments):
            asked.append((arguments, os.getcwd()))  # noqa: PTH109

        def start(self):
            asked.append("started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(IPKernelApp, "instance", App)
    monkeypatch.setattr(application, "SYSTEM_CONFIG_DIRS", ["/etc/ipython"])
    monkeypatch.setattr(application, "ENV_CONFIG_DIRS", ["/etc/elsewhere/ipython"])
    monkeypatch.setattr(threading, "excepthook", sys.excepthook)
    (tmp_path / "there").mkdir()
    loggers = [App.log, logging.getLogger("tornado"), logging.getLogger("asyncio")]
    before = [list(each.handlers) for each in loggers]
    try:
        kernel.run_kernel(str(tmp_path / "there"), ["-f", "x.json"])
        found = [
            [type(h).__name__ for h in each.handlers if h not in old]
            for each, old in zip(loggers, before, strict=True)
        ]
    finally:
        for each, old in zip(loggers, before, strict=True):
            each.handlers[:] = old
    assert asked == [(["-f", "x.json"], str(tmp_path / "there")), "started"]
    assert found == [["_EndWithError"]] * 3
    assert (application.SYSTEM_CONFIG_DIRS, application.ENV_CONFIG_DIRS) == ([], [])
    assert threading.excepthook.func is kernel._end_with_thread
    # Its last message goes where standard error went before ipykernel took it.
    (messages,) = threading.excepthook.args[0].args
    assert messages > 2
    assert os.fstat(messages).st_ino == os.fstat(2).st_ino
    os.close(messages)
