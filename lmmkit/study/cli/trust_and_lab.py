"""The commands `lmmkit trust` and `lmmkit lab`: a project's own notebooks, trusted and edited."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from lmmkit.errors import RunError
from lmmkit.study.cli.exit_codes import with_exit_codes
from lmmkit.study.cli.say import say

Project = Annotated[
    Path, typer.Argument(metavar="PROJECT", help="The project's folder, the one that holds `notebooks`.")
]


@with_exit_codes
def trust(
    project: Project = Path(),
    revoke: Annotated[bool, typer.Option("--revoke", help="Trust them no longer.")] = False,
) -> None:
    """Let a project's own notebooks be executed, as they are now: you have read them, and say so."""
    from lmmkit.study.records import trusted_notebooks as trusted

    folder = trusted.notebooks_folder(project)
    books = trusted.own_notebooks(folder)
    change, done = (trusted.revoke, "not trusted any more") if revoke else (trusted.trust, "trusted")
    change(books)
    for book in books:
        say(f"{book.digest[:12]}  {book.path.name}")
    say(f"{len(books)} notebooks in {folder} are {done}.")
    if trusted.anyone_can_write(folder, books):
        say(f"Anyone on this machine can write in {folder}: they may not be what you read.", error=True)


@with_exit_codes
def lab(project: Project = Path()) -> None:
    """Open JupyterLab on a project's notebooks, on this machine alone; one without gets copies to edit."""
    from lmmkit.study.cli import lab_session
    from lmmkit.study.records import trusted_notebooks as trusted

    if find_spec("jupyterlab") is None:
        raise RunError("JupyterLab is not installed: pip install 'lmmkit[lab]', or `make lab` in a clone")
    folder = trusted.notebooks_folder(project)
    if trusted.has_notebooks(folder.parent):
        trusted.trusted_notebooks(folder)
    else:
        trusted.write_copies(folder)
        say(f"{folder} written: copies of the installed notebooks, for you to edit.", error=True)
    # Nothing beside a notebook is taken for a module of that name.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-P", "-m", "jupyterlab", "--ip=127.0.0.1", *lab_session.OPTIONS, str(folder)]
    raise typer.Exit(subprocess.call(command, env=environment))
