"""What a run tells the terminal while it is made, by rich."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from lmmkit.escape import terminal


def line(text: object, style: str = "") -> Text:
    """One line for rich, nothing in which is markup or reaches the terminal as an order."""
    return Text(terminal(text), style)


class Watch:
    """The terminal's view of a run: step, cell, elapsed; one line per step where nobody watches."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("cells"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task("", total=None, visible=False)
        self.began = monotonic()
        self.step = ""

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def begin(self, step: str, cells: int) -> None:
        """A step begins."""
        self.began, self.step = monotonic(), step
        self.progress.remove_task(self.task)
        self.task = self.progress.add_task(terminal(step), total=cells)

    def cell(self, index: int) -> None:
        """Cell number `index`, from 0, begins."""
        self.progress.update(self.task, completed=index)

    def end(self) -> float:
        """The step has finished; its seconds."""
        seconds = monotonic() - self.began
        self.progress.update(self.task, visible=False)
        self._say(self.step, f"{seconds:6.1f} s")
        return seconds

    def reused(self, step: str) -> None:
        """A step was there already, verified."""
        self._say(step, "verified, kept")

    def copied(self, step: str) -> None:
        """A step had been made before, and was copied from the store."""
        self._say(step, "made before, copied")

    def _say(self, step: str, what: str) -> None:
        self.console.print(line(f"{step:<24} {what}"))
