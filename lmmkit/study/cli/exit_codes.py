"""Every error raised on purpose becomes its message and the exit code of its kind."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import ParamSpec

import typer

from lmmkit.errors import LmmkitError
from lmmkit.model.dialects.study_words import in_study_words
from lmmkit.study.cli.say import say
from lmmkit.study.kernels.shortages import shortage
from lmmkit.study.runs.execute import StepError

#: The analysis failed, or cells of a sweep did.
FAILED = 1
#: Refused before it began: a bad study file, data file or usage.
REFUSED = 2
#: An audit or a reproduction differs.
DIFFERENT = 3
#: `audit --strict` could not check all.
UNCHECKED = 4
INTERRUPTED = 130

P = ParamSpec("P")


def with_exit_codes(command: Callable[P, None]) -> Callable[P, None]:
    """Returns a command that ends in a message and an exit code where it raises an error of lmmkit."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            lines, code = ["Interrupted. Start it again to go on where it stopped."], INTERRUPTED
        except LmmkitError as error:
            lines = f"Error: {in_study_words(str(error))}".split("\n")
            code = FAILED if isinstance(error, StepError) else REFUSED
        except (OSError, MemoryError, ImportError, RuntimeError) as error:
            scarce = shortage("".join(f"{type(e).__name__}: {e}\n" for e in _chain(error)))
            if scarce is not None:
                lines, code = [f"Error: {scarce}; raise the limit and start it again"], FAILED
            elif isinstance(error, OSError):
                lines, code = [f"Error: {error.filename or _nowhere()}: {error.strerror or error}"], REFUSED
            else:
                raise
        else:
            return
        say(*lines, error=True)
        raise typer.Exit(code)

    return wrapped


def _nowhere() -> str:
    """What an error without a file's name is about."""
    try:
        os.getcwd()  # noqa: PTH109  (the question is whether there is one)
    except OSError:
        return "the working directory is gone; cd to one that is there"
    return "a file"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
