"""What a sweep tells while it is made: cells done, time left, failures as they happen."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lmmkit.study.runs.progress import Log
from lmmkit.study.sweeps.cells import Cell
from lmmkit.study.sweeps.workers import Made


class SweepWatch:
    """The terminal's view of a sweep; one line per cell where nobody watches."""

    def __init__(self, cells: int, log: Log, console: Console | None = None):
        self.cells, self.log = cells, log
        self.console = console or Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task("cells", total=cells)
        self.failed = self.kept = 0

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def keep(self, cell: Cell) -> None:
        """A cell was there already, verified."""
        self.kept += 1
        self.progress.advance(self.task)

    def finish(self, made: Made) -> None:
        """A cell has been made, or has failed."""
        self.progress.advance(self.task)
        self.log(
            "cell failed" if made.error else "cell made",
            cell=made.cell.number,
            run=made.key,
            error=made.error,
        )
        head = f"cell {made.cell.number} of {self.cells}, {made.cell.label}"
        if made.error:
            self.failed += 1
            self.progress.update(self.task, description=f"cells, {self.failed} failed")
            self.say(f"{head}: failed: {made.error}", style="red")
        elif not self.console.is_terminal:
            self.say(head)

    def say(self, message: str, style: str | None = None) -> None:
        """A line above the bar."""
        self.console.print(escape(message), style=style, highlight=False, soft_wrap=True)
