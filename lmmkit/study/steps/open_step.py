"""`open_step`: the first line of every notebook of a run."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmmkit.errors import RunError, StudyError
from lmmkit.escape import terminal
from lmmkit.study.records.file_lock import refuse_links
from lmmkit.study.records.manifest import BY_HAND, Manifest, load_manifest
from lmmkit.study.records.trusted_notebooks import telling
from lmmkit.study.runs.plan import Plan, find_study, make_plan, reports_folder
from lmmkit.study.steps.step import Declared, Step

_PARAMETERS = ("study", "run", "overrides")
_EARLIER = [sys.executable, "-P", "-m", "lmmkit.study.runs.earlier_steps"]


def open_step(name: str, study: str, run: str = "", overrides: Mapping[str, object] | None = None) -> Step:
    """Open one step of a study's run, making the steps before it when the notebook is run by hand.

    Args:
        name: The step, such as `03_fit`.
        study: Path of the study file, from the working directory (or beside `notebooks/`).
        run: A run folder; empty to work by hand, in `reports/<study>/by-hand`.
        overrides: Settings to change, by dotted key.

    Raises:
        StudyError: the study file, an override or an injected parameter is wrong.
        RunError: the run folder belongs to another study, or an earlier step cannot be made.
    """
    _check_parameters(study, run, overrides)
    plan = make_plan(find_study(study), overrides)
    notebook = next((book for book in plan.notebooks if book.name == name), None)
    if notebook is None:
        raise RunError(plan.why_absent(name))
    folder = Path(run) if run else reports_folder(plan.study.path) / plan.study.name / "by-hand"
    if not run:
        refuse_links(folder, folder.parent)
    _prepare(plan, name, folder.resolve())
    return Step(name, plan, folder.resolve(), Declared(plan.study.settings, frozenset(notebook.reads), name))


def _prepare(plan: Plan, name: str, folder: Path) -> None:
    """See that the earlier steps are there: made by the run, or, by hand, now."""
    manifest = load_manifest(folder)
    if manifest is None or manifest.status == BY_HAND:
        _make_earlier(plan, name, folder, manifest)
        return
    if manifest.key != plan.key:
        raise RunError(
            f"{folder} has the key {manifest.key}, the study now {plan.key}: the study, its data, the "
            "notebooks or the package are not those it was started with; start `lmmkit run` again"
        )
    missing = [book.name for book in plan.earlier(name) if manifest.step(book.name) is None]
    if missing:
        raise RunError(f"{folder} lacks {', '.join(missing)}; start `lmmkit run` again to finish it")


def _make_earlier(plan: Plan, name: str, folder: Path, manifest: Manifest | None) -> None:
    if manifest is None and folder.is_dir() and any(folder.iterdir()):
        raise RunError(f"{folder} holds files and is no run folder; name another, or leave `run` empty")
    earlier = plan.earlier(name)
    done = plan.done(manifest, folder) if manifest else ()
    if manifest is None or len(done) < len(earlier):
        _run_before(plan, name, folder)
    else:
        Manifest(plan.study.name, plan.key, BY_HAND, steps=(plan.write_head(folder), *done)).save(folder)
    after = f", after {', '.join(book.name for book in earlier)}" if earlier else ""
    sys.stdout.write(f"{terminal(f'By hand in {_shown(folder)}{after}')}\n")


def _run_before(plan: Plan, name: str, folder: Path) -> None:
    """Make the earlier steps in a process of their own: a kernel cannot drive another undisturbed."""
    order = {
        "study": str(plan.study.path),
        "overrides": dict(plan.overrides),
        "allow_outside": plan.base.allow_outside,
        "folder": str(folder),
        "before": name,
    }
    with telling(plan.found):
        done = subprocess.run(_EARLIER, input=json.dumps(order), capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip().removeprefix("Error: ") or f"the steps before {name} could not be made"
        raise RunError(*told.split("\n"))


def _shown(folder: Path) -> str:
    here = Path.cwd().resolve()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else folder.name


def _check_parameters(study: object, run: object, overrides: object) -> None:
    strange = [name for name in _injected() if name not in _PARAMETERS]
    if strange:
        raise StudyError(
            f"unknown parameter {', '.join(strange)}: a notebook takes study, run and overrides; "
            "settings are changed by overrides, such as {model.method: ML}"
        )
    if not isinstance(study, str) or not isinstance(run, str):
        raise StudyError("the parameters study and run are paths, given as text")
    if not isinstance(overrides, Mapping | None):
        raise StudyError("the parameter overrides maps dotted keys to values, such as {model.method: ML}")


def _injected() -> list[str]:
    """Names assigned by cells that papermill put in, which lets unknown ones pass with a log line."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython else None
    cells: list[str] = shell.user_ns.get("In", []) if shell else []
    return [name for cell in cells if cell.startswith("# Parameters\n") for name in _assigned(cell)]


def _assigned(cell: str) -> list[str]:
    return [
        target.id
        for line in ast.parse(cell).body
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name)
    ]
