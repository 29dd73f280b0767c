"""The command `lmmkit sweep`."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from lmmkit.study.cli.arguments import Cold, Force, Outside, Reports, Since
from lmmkit.study.cli.exit_codes import FAILED, with_exit_codes
from lmmkit.study.cli.say import say


@with_exit_codes
def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The sweep file, such as params/sleepstudy.sweep.yaml.")
    ],
    reports: Reports = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells, and make none.")] = False,
    workers: Annotated[
        int, typer.Option(min=1, help="Worker processes; as many as processors when left out.")
    ] = os.cpu_count() or 1,
    inference: Annotated[
        int, typer.Option(min=0, metavar="N", help="Test the curve by N replicates under the null.")
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Make more than 10,000 cells.")] = False,
    force: Force = False,
    since: Since = "",
    allow_outside: Outside = False,
    cold: Cold = False,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A dask.distributed scheduler, such as tcp://10.0.0.1:8786."),
    ] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="Authority behind a tls:// cluster's certificates, in PEM.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Your certificate, in PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, in PEM.")] = None,
) -> None:
    """Rerun a study over a grid of settings: cached, in parallel, with the specification curve."""
    from lmmkit.study.kernels.environment import import_matplotlib
    from lmmkit.study.records.temporary import temporary_folder

    with temporary_folder() as empty:
        import_matplotlib(empty)  # before anything else of this process does

    from lmmkit.study.runs.plan import reports_folder
    from lmmkit.study.sweeps.cell_workers import CellOptions, LocalWorkers, Workers
    from lmmkit.study.sweeps.cells import listing, plan_sweep
    from lmmkit.study.sweeps.make_sweep import make_sweep

    planned = plan_sweep(file, replicates=inference, yes=yes, allow_outside=allow_outside)
    place = (reports or reports_folder(planned.file.base)).resolve()
    if dry_run:
        say(*listing(planned, place))
        return
    again = tuple(sorted(planned.base.since(since))) if force or since else ()
    options = CellOptions(place, again, cold, allow_outside)

    def start() -> AbstractContextManager[Workers]:
        if scheduler is None:
            return LocalWorkers(workers, options)
        from lmmkit.study.cluster.cluster_workers import ClusterWorkers, Scheduler

        return ClusterWorkers(Scheduler(scheduler, tls_ca, tls_cert, tls_key), options, _warn)

    folder, failed = make_sweep(planned, start, options, workers)
    say(folder / "sweep.html")
    if failed:
        _warn(f"{failed} of {len(planned.cells)} cells failed or were not run; results.csv says why")
        raise typer.Exit(FAILED)


def _warn(message: str) -> None:
    say(message, error=True)
