"""Commands of which every error raised on purpose becomes its message and its exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from lmmkit.errors import LmmkitError
from lmmkit.study.runs.execute import StepError

P = ParamSpec("P")


def spoken(command: Callable[P, None]) -> Callable[P, None]:
    """A command of which every error raised on purpose becomes its message and its exit code."""

    @functools.wraps(command)
    def speaking(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            raise _end("Interrupted. Start it again to go on where it stopped.", 130) from None
        except StepError as error:
            raise _end(f"Error: {error}", 1) from None
        except LmmkitError as error:
            raise _end(f"Error: {error}", 2) from None

    return speaking


def _end(message: str, code: int) -> typer.Exit:
    sys.stderr.write(f"{message}\n")
    return typer.Exit(code)
