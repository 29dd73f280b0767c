"""A sweep on an existing dask.distributed cluster, without a shared file system."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lmmkit.errors import RunError
from lmmkit.study.cluster import tasks as cluster_work
from lmmkit.study.cluster.project_archive import parcel_of, receive
from lmmkit.study.cluster.tasks import Delivery
from lmmkit.study.records.keys import package_digest
from lmmkit.study.records.step_store import Store
from lmmkit.study.runs.execute import StepError
from lmmkit.study.sweeps.cells import Cell
from lmmkit.study.sweeps.workers import Made, Making

#: Seconds to wait for the scheduler's first answer.
PATIENCE = 10


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


class ClusterWorkers:
    """The workers of a cluster as makers of cells."""

    def __init__(self, scheduler: Scheduler, making: Making, say: Callable[[str], None]):
        self.scheduler, self.making, self.say = scheduler, making, say
        self.cells: dict[Any, Cell] = {}
        self.stopped = False

    def __enter__(self) -> Self:
        self.client = connected(self.scheduler)
        try:
            self.admitted = admitted(self.client, self.say)
        except BaseException:
            self.client.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.client.close()

    def make(self, cells: Sequence[Cell]) -> Iterator[Made]:
        """Each cell as it is made.

        Raises:
            StepError: the scheduler is gone.
        """
        from distributed import as_completed

        self.cells = self._submitted(cells)
        for future in as_completed(list(self.cells), loop=self.client.loop):
            if not (self.stopped and future.cancelled()):
                yield self._made(future, self.cells[future])
            future.release()

    def stop(self) -> None:
        """Begin no other cell."""
        self.stopped = True
        self.client.cancel([future for future in self.cells if not future.done()])

    def _submitted(self, cells: Sequence[Cell]) -> dict[Any, Cell]:
        parcels = {parcel.digest: parcel for parcel in (parcel_of(cell.plan) for cell in cells)}
        sent = {name: self._submit(cluster_work.same, parcel) for name, parcel in parcels.items()}
        rest = (self.making.options(), package_digest())
        return {
            self._submit(
                cluster_work.make, sent[parcel_of(cell.plan).digest], self.making.order(cell), *rest
            ): cell
            for cell in cells
        }

    def _submit(self, task: Callable[..., Any], *arguments: Any) -> Any:
        return self.client.submit(task, *arguments, pure=False, workers=self.admitted)

    def _made(self, future: Any, cell: Cell) -> Made:
        """What became of a cell; its run is put in its place."""
        from distributed.scheduler import KilledWorker

        try:
            delivery: Delivery = future.result()
        except KilledWorker as error:
            return Made(cell, None, f"the worker that ran it died {error.allowed_failures + 1} times")
        except Exception as error:  # whatever dask raises when its scheduler has gone
            raise StepError(
                f"the scheduler at {self.scheduler.address} is gone ({type(error).__name__}); what is "
                "finished is kept: start the sweep again, and it goes on where it stopped"
            ) from None
        if delivery.package != package_digest():
            raise StepError(_other_source("a worker that joined", delivery.package))
        if delivery.key:
            reports = self.making.reports
            receive(delivery.files, reports / cell.plan.study.name / delivery.key, Store.of(reports))
        return Made(cell, delivery.key, delivery.error)


def connected(scheduler: Scheduler) -> Any:
    """A client of a cluster.

    Raises:
        RunError: dask.distributed is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise RunError("--scheduler needs dask.distributed: pip install 'lmmkit[cluster]'") from None
    try:
        return Client(
            scheduler.address, timeout=PATIENCE, security=_security(scheduler), set_as_default=False
        )
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise RunError(
            f"no scheduler answers at {scheduler.address} ({_line(error)}); is it running, is the address "
            "right, and for tls:// are the certificates?"
        ) from None


def _security(scheduler: Scheduler) -> Any:
    """Dask's security object; None takes its configuration."""
    from distributed.security import Security

    files = {"tls_ca_file": scheduler.ca, "tls_client_cert": scheduler.cert, "tls_client_key": scheduler.key}
    given = {name: str(path) for name, path in files.items() if path}
    return Security(require_encryption=True, **given) if given else None


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


def _other_source(who: str, digest: object) -> str:
    reported = digest[:12] if isinstance(digest, str) else f"no digest ({_line(digest)})"
    return (
        f"{who} is refused: it reports the source {reported}, here it is {package_digest()[:12]}; "
        "install the same lmmkit"
    )


def _line(error: object) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
