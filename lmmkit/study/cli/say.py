"""What a command says: every line of it, and every message of the option parser, by way of one escape."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from lmmkit.escape import terminal


def say(*lines: object, error: bool = False) -> None:
    """Print lines; a line break within one is spelled out.

    Args:
        lines: The lines.
        error: Whether they go to standard error.
    """
    stream = sys.stderr if error else sys.stdout
    stream.write("".join(f"{terminal(line)}\n" for line in lines))
    stream.flush()


#: What the option parser raises on a bad argument, whichever parser Typer stands on.
_UsageError: Any = typer.BadParameter.__base__


class Commands(TyperGroup):
    """The commands, whose complaints about arguments quote what was typed."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Reads the arguments up to the command's name."""
        with _escaped():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Reads the command's own arguments and calls it."""
        with _escaped():
            return super().invoke(ctx)


@contextmanager
def _escaped() -> Generator[None]:
    try:
        yield
    except _UsageError as error:
        error.message = terminal(error.message)
        raise
