"""How kernels are reached and started, and one that does nothing ended: no kernel is made."""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from lmmkit.study.kernels import jupyter as module
from lmmkit.study.kernels.fork_client import KernelPlace, Serving
from lmmkit.study.kernels.jupyter import StudyProvisioner, kernel_options, place_of


def served(folder, server=None):
    return Serving(KernelPlace(folder, allow_outside=False), server)


def manager(folder):
    return kernel_options(served(folder))["kernel_manager_class"]()


@pytest.mark.parametrize(("length", "transport"), [(79, "ipc"), (80, "tcp")])
def test_sockets_lie_in_the_private_folder_where_their_path_is_short_enough(length, transport):
    made = manager(Path("/" + "f" * (length - 10)))
    assert made.transport == transport
    place = made.connection_file.removesuffix(".json")
    assert len(place) == length
    assert (made.ip == place) == (transport == "ipc")


def test_a_kernel_is_one_of_this_interpreter_whatever_is_installed(tmp_path):
    made = manager(tmp_path)
    assert made.kernel_spec.argv == [
        sys.executable, "-P", "-m", "lmmkit.study.kernels.kernel", "-f", "{connection_file}",
    ]  # fmt: skip
    options = kernel_options(served(tmp_path))
    assert options["extra_arguments"] == ["--IPKernelApp.ignore_cwd=True"]
    assert place_of(options).folder == tmp_path


@pytest.fixture
def provisioner(tmp_path):
    made = manager(tmp_path).provisioner
    made.process = SimpleNamespace(pid=123)
    return made


def polled(monkeypatch, provisioner, code, *, found):
    """What is seen of a kernel whose process has a code, and whether it was ended."""
    ended = []

    async def poll(self):
        return code

    async def kill(self):
        ended.append(True)

    monkeypatch.setattr(LocalProvisioner, "poll", poll)
    monkeypatch.setattr(StudyProvisioner, "kill", kill)
    watch = SimpleNamespace(found=lambda: found, patience=60)
    monkeypatch.setattr(module, "Stall", lambda pid: watch)
    return asyncio.run(provisioner.poll()), bool(ended)


def test_a_kernel_that_stopped_working_is_ended_and_noted(monkeypatch, provisioner):
    assert polled(monkeypatch, provisioner, None, found=True) == (None, True)
    assert provisioner.served.place.messages.read_text() == "the kernel did nothing for 60 s\n"


def test_a_kernel_that_works_or_has_ended_is_let_be(monkeypatch, provisioner):
    assert polled(monkeypatch, provisioner, None, found=False) == (None, False)
    provisioner.stall = None
    assert polled(monkeypatch, provisioner, 1, found=True) == (1, False)
    assert provisioner.stall is None


COMMAND = ["python", "-P", "-m", "lmmkit.study.kernels.kernel", "-f", "x.json"]


def test_a_kernel_is_forked_for_the_present_folder(monkeypatch, tmp_path, provisioner):
    asked = []

    def fork(folder, arguments, environment):
        asked.append((folder, arguments, environment))
        return SimpleNamespace(pid=7)

    monkeypatch.chdir(tmp_path)
    provisioner.served = served(tmp_path / "private", SimpleNamespace(fork=fork))
    asyncio.run(provisioner.launch_kernel(COMMAND, env={"A": "b"}))
    assert asked == [(str(tmp_path), ["-f", "x.json"], {"A": "b"})]
    assert provisioner.pid == 7


def test_a_cold_kernel_starts_in_the_private_folder_and_is_told_where_to_work(
    monkeypatch, tmp_path, provisioner
):
    asked = []

    async def launch(self, command, **options):
        asked.append((command, options["cwd"], options["stderr"].name))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LocalProvisioner, "launch_kernel", launch)
    (tmp_path / "private").mkdir()
    provisioner.served = served(tmp_path / "private")
    asyncio.run(provisioner.launch_kernel(COMMAND, env={}))
    private = tmp_path / "private"
    assert asked == [
        ([*COMMAND[:4], str(tmp_path), *COMMAND[4:]], str(private), str(private / "messages.txt"))
    ]


def test_a_kernel_is_given_the_environment_of_kernels(monkeypatch, provisioner):
    async def before(self, **options):
        return options

    monkeypatch.setattr(LocalProvisioner, "pre_launch", before)
    given = asyncio.run(provisioner.pre_launch(env={"SECRET": "x"}, other=1))
    assert given == {"env": provisioner.served.place.environment, "other": 1}
    assert "SECRET" not in given["env"]
