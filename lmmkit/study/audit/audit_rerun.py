"""A run against its own repetition: every number of every artefact."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lmmkit.errors import LmmkitError
from lmmkit.study.audit.findings import DIFFERS, IDENTICAL, UNCHECKED, WITHIN, Finding
from lmmkit.study.audit.integrity import Opened, open_run
from lmmkit.study.audit.rerun import Recipe, find_data, recipe_of, run_again
from lmmkit.study.records.plan_lock import LOCK
from lmmkit.study.records.values import Comparison, Place, compare, tolerances

PART = "re-execution"
SHOWN = 3
#: Where other versions may leave other words and drawings; their numbers stand in the tables.
_WORDED = (".html", ".ipynb", ".svg", "provenance.json", ".md", ".txt")


def check_rerun(
    run: Opened, *, data: Path | None, notebooks: Path | None, exact: bool, keep: Path
) -> Iterator[Finding]:
    """Execute the run's study in a new folder and compare.

    Args:
        run: The run.
        data: The data file, when the user names it.
        notebooks: The project's own notebooks, when the user names them.
        exact: Whether code and versions are the run's, so that words and pictures are compared too.
        keep: Where the new run is left if anything differs.
    """
    try:
        recipe = recipe_of(run.settings, run.provenance, run.content(LOCK))
        found = find_data(recipe, run.folder, data)
    except LmmkitError as error:
        yield Finding(PART, "re-execution", UNCHECKED, found=str(error))
        return
    yield _data_finding(recipe, found.path, found.others)
    if found.path is not None:
        yield from _repeated(run, recipe, found.path, notebooks, exact=exact, keep=keep)


def _data_finding(recipe: Recipe, path: Path | None, others: tuple[Path, ...]) -> Finding:
    what, expected = f"data file {recipe.source}", f"sha256 {recipe.sha256[:12]}"
    if path is not None:
        return Finding(PART, what, IDENTICAL, expected, expected)
    if others:
        return Finding(PART, what, DIFFERS, f"{others[0].name} has another sha256", expected)
    return Finding(PART, what, UNCHECKED, "not found; name it with --data FILE", expected)


def _repeated(
    run: Opened, recipe: Recipe, data: Path, notebooks: Path | None, *, exact: bool, keep: Path
) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(prefix="lmmkit-") as place:
        try:
            again = open_run(run_again(recipe, data, Path(place), notebooks))
        except LmmkitError as error:
            yield Finding(PART, "re-execution", DIFFERS, found=str(error), expected="a run that ends well")
            return
        findings = list(compared(run, again, exact=exact))
        if any(finding.verdict == DIFFERS for finding in findings):
            shutil.rmtree(keep, ignore_errors=True)
            shutil.copytree(again.folder, keep)
        yield from findings


def compared(run: Opened, again: Opened, *, exact: bool) -> Iterator[Finding]:
    """One finding per artefact of either run."""
    for path in dict.fromkeys([*run.paths, *again.paths]):
        one, other = run.content(path), again.content(path)
        if not exact and path not in run.paths:
            yield Finding(PART, path, UNCHECKED, "other code or versions, which make this file too")
        elif one is None or other is None:
            found, expected = ("missing" if content is None else "there" for content in (one, other))
            yield Finding(PART, path, DIFFERS, found=found, expected=f"{expected} in the new run")
        elif one == other:
            yield Finding(PART, path, IDENTICAL, found="byte for byte")
        elif not exact and (path.endswith(_WORDED) or path.startswith("figures/")):
            yield Finding(
                PART, path, UNCHECKED, found="other code or versions; its numbers stand in the tables"
            )
        else:
            yield _judged(compare(path, one, other, exact=exact))


def _judged(comparison: Comparison) -> Finding:
    total = f"{comparison.values:,} values"
    if not comparison.moved:
        found = f"{comparison.within:,} of {total} differ, none by more than its kind may"
        return Finding(PART, comparison.path, WITHIN, found=found, expected=tolerances(comparison.path))
    shown = "; ".join(_shown(*moved) for moved in comparison.moved[:SHOWN])
    more = len(comparison.moved) - SHOWN
    found = f"{shown}; and {more:,} more" if more > 0 else shown
    return Finding(PART, comparison.path, DIFFERS, found=found, expected=f"the same {total}")


def _shown(place: Place, one: object, other: object) -> str:
    where = f"{place.field} {place.row}".strip()
    return f"{where}: {_short(one)}, again {_short(other)}"


def _short(value: object) -> str:
    text = repr(value) if not isinstance(value, str) else " ".join(value.split())
    return text if len(text) <= 40 else f"{text[:37]}..."
