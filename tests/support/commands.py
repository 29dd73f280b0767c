"""The command line called in this process; what reads its arguments is built once, which takes its time."""

from __future__ import annotations

import functools
from typing import Any

import typer.main
import typer.testing

from lmmkit.study.cli.app import app

# Typer's own runner builds the command anew each time it is asked for one.
typer.testing._get_command = functools.cache(typer.main.get_command)


def invoke(*arguments: str, **environment: str) -> Any:
    """The result of a command: `exit_code`, `exception`, `stdout`, `stderr` and both as `output`."""
    runner = typer.testing.CliRunner()
    return runner.invoke(app, list(arguments), env={"COLUMNS": "200", **environment})
