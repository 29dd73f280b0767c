"""The process that kernels are forked from: it makes them; whether they live is seen without it."""

import json
import os
import signal

import pytest
from support.processes import wait_for_end, wait_until

from lmmkit.errors import RunError
from lmmkit.study.kernels.fork_client import serving

pytestmark = pytest.mark.slow


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
