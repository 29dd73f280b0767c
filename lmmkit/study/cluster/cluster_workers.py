"""A sweep on an existing dask.distributed cluster, without a shared file system.

A worker needs lmmkit and nothing else of the machine that asks: the project travels to it, the run's files
travel back.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Self

from lmmkit.errors import RunError
from lmmkit.study.cluster.project_archive import (
    ProjectArchive,
    archive_project,
    check_files,
    install_run,
    take_files,
    write_files,
)
from lmmkit.study.records.keys import package_digest
from lmmkit.study.records.notebooks import read_notebook
from lmmkit.study.records.trusted_notebooks import FOLDER, STEPS, checked
from lmmkit.study.runs.execute import StepError
from lmmkit.study.sweeps.cell_workers import CellOptions, CellRun, WorkerPool, Workers
from lmmkit.study.sweeps.cells import Cell

_KEY = re.compile(r"[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True)
class Scheduler:
    """Where a cluster is, and how to prove who asks.

    Attributes:
        address: Such as tcp://10.0.0.1:8786, or tls://...
        ca: Authority behind the cluster's certificates, a file in PEM; left out, dask's configuration says.
        cert: Our certificate.
        key: Its key.
    """

    address: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class RemoteRun:
    """What a worker of a cluster answers.

    Attributes:
        package: Digest of its source; another than the asking side's, and it has made nothing.
        key: The key of the run.
        error: What went wrong.
        files: The run folder, by path.
    """

    package: str
    key: str | None = None
    error: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)


class ClusterWorkers(Workers):
    """The workers of a cluster."""

    def __init__(self, scheduler: Scheduler, options: CellOptions, say: Callable[[str], None]):
        super().__init__(options)
        self.scheduler, self.say = scheduler, say

    def __enter__(self) -> Self:
        self.client = connect(self.scheduler)
        try:
            self.admitted = admitted(self.client, self.say)
        except BaseException:
            self.client.close()
            raise
        return self

    def submit(self, cells: Sequence[Cell]) -> dict[Any, Cell]:
        """A task for each cell; an archive is a task of its own, so that it travels to each worker once."""

        def submitted(task: Callable[..., Any], *arguments: Any) -> Any:
            return self.client.submit(task, *arguments, pure=False, workers=self.admitted)

        archives = {archive.digest: archive for archive in (archive_project(cell.plan) for cell in cells)}
        sent = {name: submitted(same, archive) for name, archive in archives.items()}
        rest = (self.options.kernel(), package_digest())
        return {
            submitted(
                make_remotely, sent[archive_project(cell.plan).digest], self.options.order(cell), *rest
            ): cell
            for cell in cells
        }

    def completed(self) -> Iterable[Any]:
        """The futures as they end."""
        from distributed import as_completed

        return as_completed(list(self.tasks), loop=self.client.loop)

    def collect(self, future: Any, cell: Cell) -> CellRun:
        """What became of a cell; its run is put in its place.

        Raises:
            StepError: the scheduler is gone, or a worker has another source.
        """
        from distributed.scheduler import KilledWorker

        try:
            answer = future.result()
        except KilledWorker as error:
            return CellRun(cell, None, f"the worker that ran it died {error.allowed_failures + 1} times")
        except Exception as error:  # whatever dask raises when its scheduler has gone
            raise StepError(
                f"the scheduler at {self.scheduler.address} is gone ({type(error).__name__}); what is "
                "finished is kept: start the sweep again, and it goes on where it stopped"
            ) from None
        future.release()
        try:
            run = checked_answer(answer)
            if run.package == package_digest() and run.key:
                install_run(run.files, cell.plan, run.key, self.options.reports, whole=run.error is None)
        except RunError as error:
            return CellRun(cell, None, f"what a worker of the cluster returned is refused: {error}")
        if run.package != package_digest():
            raise StepError(_other_source("a worker that joined", run.package))
        return CellRun(cell, run.key, run.error)

    def close(self) -> None:
        """Leave the cluster."""
        self.client.close()


def connect(scheduler: Scheduler) -> Any:
    """A client of a cluster; dask's `distributed.comm.timeouts.connect` says how long an answer may take.

    Raises:
        RunError: dask.distributed is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
        from distributed.security import Security
    except ImportError:
        raise RunError("--scheduler needs dask.distributed: pip install 'lmmkit[cluster]'") from None
    files = {"tls_ca_file": scheduler.ca, "tls_client_cert": scheduler.cert, "tls_client_key": scheduler.key}
    given = {name: str(path) for name, path in files.items() if path}
    try:
        security = Security(require_encryption=True, **given) if given else None  # else by its configuration
        return Client(scheduler.address, security=security, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise RunError(
            f"no scheduler answers at {scheduler.address} ({_first_line(error)}); is it running, is the "
            "address right, and for tls:// are the certificates?"
        ) from None


def admitted(client: Any, say: Callable[[str], None]) -> list[str] | None:
    """The workers whose source is ours; None when nobody has to be left out.

    Raises:
        RunError: all workers have another source.
    """
    found: Mapping[str, Any] = client.run(package_digest, on_error="return")
    refused = {address: digest for address, digest in found.items() if digest != package_digest()}
    for address, digest in refused.items():
        say(_other_source(f"worker {address}", digest))
    if found and len(refused) == len(found):
        raise RunError(
            f"no worker of {len(found)} has this source: {_other_source(*next(iter(refused.items())))}"
        )
    if not found:
        say("the cluster has no workers yet; waiting for them")
    return [address for address in found if address not in refused] if refused else None


def checked_answer(answer: Any) -> RemoteRun:
    """What a worker answered, when it is an answer: before anything in it is used.

    Raises:
        RunError: it is none.
    """
    held: dict[str, Any] = vars(answer) if type(answer) is RemoteRun else {}
    package, key, error, files = (held.get(name) for name in ("package", "key", "error", "files"))
    if not isinstance(package, str):
        raise RunError("it is no answer of lmmkit")
    if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise RunError(f"its key is {str(key)[:40]!r}; expected twelve hexadecimal digits")
    if not isinstance(error, str | None) or (key is None and error is None and package == package_digest()):
        raise RunError("it is neither a run nor an error in words")
    check_files(files)
    return answer


def _other_source(who: str, digest: object) -> str:
    reported = digest[:12] if isinstance(digest, str) else f"no digest ({_first_line(digest)})"
    return (
        f"{who} is refused: it reports the source {reported}, here it is {package_digest()[:12]}; "
        "install the same lmmkit"
    )


def _first_line(error: object) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


# What follows is called on a worker of the cluster.

#: By archive and kernel options: the worker processes of a project, and the folder where it is laid out.
_POOLS: dict[str, tuple[WorkerPool, Path]] = {}
_POOLS_LOCK = Lock()


def same(archive: ProjectArchive) -> ProjectArchive:
    """The archive itself: dask sends the result of a task to each worker once, again when one is lost."""
    return archive


def make_remotely(
    archive: ProjectArchive, order: dict[str, Any], kernel: dict[str, Any], package: str
) -> RemoteRun:
    """Make one cell.

    Args:
        archive: The project.
        order: What the cell is.
        kernel: How kernels are made.
        package: Digest of the source that the asking side has.
    """
    if package_digest() != package:
        return RemoteRun(package_digest())
    pool, folder = _pool(archive, kernel)
    reports = folder / "reports"
    answer = pool.ask({**order, "study": str(folder / archive.study), "reports": str(reports)})
    key = answer["key"]
    files = take_files(reports / Path(archive.study).stem / key) if key else {}
    return RemoteRun(package, key, answer["error"], files)


def _pool(archive: ProjectArchive, kernel: dict[str, Any]) -> tuple[WorkerPool, Path]:
    """The worker processes of a project, in a folder of their own that goes with the cluster's worker."""
    from distributed import get_worker

    name = f"{archive.digest} {sorted(kernel.items())}"
    with _POOLS_LOCK:
        if name not in _POOLS:
            folder = Path(tempfile.mkdtemp(prefix="lmmkit-", dir=get_worker().local_directory))
            write_files(archive.files, folder)
            # They are those that the asking side has checked.
            books = [read_notebook(path) for path in sorted((folder / FOLDER).glob(STEPS))]
            _POOLS[name] = WorkerPool(kernel, folder, checked(books)), folder
        return _POOLS[name]
