"""The standard streams, and what a command says: all of it, the option parser's too, by way of one escape."""

from __future__ import annotations

import os
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


def standard_streams() -> None:
    """Streams that were closed by whoever started the process lead nowhere.

    Else the next file that is opened takes the number of one, and what is printed lands in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
