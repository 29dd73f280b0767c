"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StudyFile = Annotated[
    Path, typer.Argument(metavar="STUDY", help="The study file, such as params/sleepstudy.yaml.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, wherever it lies.")]
Reports = Annotated[Path | None, typer.Option(help="Folder of the run folders; `reports` when left out.")]
Force = Annotated[bool, typer.Option("--force", help="Make every step again.")]
Since = Annotated[
    str, typer.Option("--from", metavar="STEP", help="Make a step, such as 03, and the later ones again.")
]
Cold = Annotated[bool, typer.Option("--cold", help="A standard Jupyter kernel per notebook.")]
Outside = Annotated[bool, typer.Option("--allow-outside", help="Let the study read data outside its folder.")]
DataFile = Annotated[Path | None, typer.Option(help="The data file, when it is not where the study had it.")]
Notebooks = Annotated[
    Path | None,
    typer.Option(help="Notebooks to execute instead of the installed ones: your project's, which you trust."),
]
