"""Who makes the cells of a sweep, and worker processes on this machine that do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from lmmkit.study.sweeps.cells import Cell
from lmmkit.study.sweeps.sweep_staff import Staff


@dataclass(frozen=True)
class Making:
    """How cells are made.

    Attributes:
        reports: Folder of the run folders.
        again: Steps to make even though they are there.
        cold: Standard kernels instead of forked ones.
        allow_outside: Whether data may lie outside the study's folder.
    """

    reports: Path
    again: tuple[str, ...] = ()
    cold: bool = False
    allow_outside: bool = False

    def order(self, cell: Cell) -> dict[str, Any]:
        """What a worker is told of a cell."""
        return {
            "study": str(cell.plan.study.path),
            "overrides": dict(cell.plan.overrides),
            "reports": str(self.reports),
            "again": list(self.again),
        }

    def options(self) -> dict[str, Any]:
        """What a worker is told before its first cell."""
        return {"cold": self.cold, "allow_outside": self.allow_outside}


@dataclass(frozen=True)
class Made:
    """A cell that has been made, or why not.

    Attributes:
        cell: The cell.
        key: The key of its run; None when it had none.
        error: What went wrong.
    """

    cell: Cell
    key: str | None
    error: str | None


class Workers(Protocol):
    """Whoever makes cells: processes on this machine, or a cluster."""

    def make(self, cells: Sequence[Cell]) -> Iterator[Made]:
        """Each cell as it is made."""
        ...

    def stop(self) -> None:
        """Begin no other cell."""
        ...


class LocalWorkers:
    """Worker processes on this machine, each with its own kernels."""

    def __init__(self, count: int, making: Making):
        self.making = making
        self.staff = Staff(making.options())
        self.threads = ThreadPoolExecutor(count)
        self.futures: dict[Future[dict[str, Any]], Cell] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.staff.close()
        self.threads.shutdown()

    def make(self, cells: Sequence[Cell]) -> Iterator[Made]:
        """Each cell as it is made."""
        self.futures = {self.threads.submit(self.staff.ask, self.making.order(cell)): cell for cell in cells}
        for future in as_completed(self.futures):
            if not future.cancelled():
                answer = future.result()
                yield Made(self.futures[future], answer["key"], answer["error"])

    def stop(self) -> None:
        """Begin no other cell."""
        for future in self.futures:
            future.cancel()
