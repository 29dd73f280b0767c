"""Every error raised on purpose becomes its message and the exit code of its kind."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from lmmkit.errors import LmmkitError
from lmmkit.study.files.words import in_study_words
from lmmkit.study.runs.execute import StepError

#: The analysis failed, or cells of a sweep did.
FAILED = 1
#: Refused before it began: a bad study file, data file or usage.
REFUSED = 2
#: An audit or a reproduction differs.
DIFFERENT = 3
INTERRUPTED = 130

P = ParamSpec("P")


def with_exit_codes(command: Callable[P, None]) -> Callable[P, None]:
    """Returns a command that ends in a message and an exit code where it raises an error of lmmkit."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            message, code = "Interrupted. Start it again to go on where it stopped.", INTERRUPTED
        except LmmkitError as error:
            message, code = (
                f"Error: {in_study_words(str(error))}",
                FAILED if isinstance(error, StepError) else REFUSED,
            )
        else:
            return
        print(message, file=sys.stderr)
        raise typer.Exit(code)

    return wrapped
