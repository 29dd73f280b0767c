"""What moved between two runs, and why: each number's way from one to the other, a cause at a time.

One study is changed into the other in stages (code and versions, rows, parameters, seed), each stage is
executed, and what a number moves by in a stage is put down to that stage. Where only one cause is not the
same, nothing has to be executed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmmkit.errors import LmmkitError, RunError
from lmmkit.study.audit.integrity import RunFolder, open_run
from lmmkit.study.audit.rerun import RecordedStudy, find_data, run_again, study_of
from lmmkit.study.records.keys import package_digest, versions
from lmmkit.study.records.temporary import temporary_folder
from lmmkit.study.records.trusted_notebooks import trusted_notebooks
from lmmkit.study.records.values import same, tree_values

ROWS, PARAMETERS, SEED, VERSIONS, CODE = "rows", "parameters", "seed", "versions", "code"

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Change:
    """One thing that two runs were not made from alike: its cause, what it is, in one and in the other."""

    cause: str
    what: str
    one: str
    other: str


@dataclass(frozen=True)
class Move:
    """A number that is not the same in two runs.

    Attributes:
        name: Its name.
        one: Its value in the first run; NaN where it has none.
        other: Its value in the second.
        shares: What it moved by for each cause; empty where that was not found out.
    """

    name: str
    one: float
    other: float
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Difference:
    """What is not the same in two runs.

    Attributes:
        changes: In what they were made from.
        moves: In their numbers.
        note: Why numbers could not be attributed; empty where they were.
    """

    changes: tuple[Change, ...]
    moves: tuple[Move, ...]
    note: str = ""


def diff_runs(
    first: Path,
    second: Path,
    *,
    data: Sequence[Path] = (),
    notebooks: Path | None = None,
    execute: bool = True,
) -> Difference:
    """Compare two runs and attribute what moved.

    Args:
        first: A run folder.
        second: Another.
        data: Data files, when they are not where the studies had them.
        notebooks: The project's own notebooks, trusted, to be executed instead of the installed ones.
        execute: Whether studies may be executed.

    Raises:
        RunError: one is no run folder.
    """
    one, other = open_run(first), open_run(second)
    made = changes(one, other)
    start, end = numbers_of(one), numbers_of(other)
    causes = separable(made)
    stages: Mapping[str, tuple[Numbers, Numbers]] = {}
    note = ""
    if len(causes) == 1:
        stages = {causes[0]: (start, end)}
    elif causes and not execute:
        note = "several causes, and execution was not asked for"
    elif causes:
        try:
            stages = _executed_stages(one, other, data, notebooks, causes)
        except LmmkitError as error:
            note = f"not attributed: {error}"
    return Difference(tuple(made), moves(start, end, stages), note)


def numbers_of(run: RunFolder) -> dict[str, float]:
    """The named numbers of a run."""
    held = run.named_values()
    return {name: float(q.value) for name, q in held.items() if isinstance(q.value, int | float)}


def moves(start: Numbers, end: Numbers, stages: Mapping[str, tuple[Numbers, Numbers]]) -> tuple[Move, ...]:
    """The numbers that moved, each with its share per cause.

    Args:
        start: The numbers of the first run.
        end: Those of the second.
        stages: By cause, the numbers before and after its stage.
    """
    moved = list[Move]()
    for name in dict.fromkeys([*start, *end]):
        a, b = start.get(name, math.nan), end.get(name, math.nan)
        if same(a, b):
            continue
        sides = {cause: (x.get(name, math.nan), y.get(name, math.nan)) for cause, (x, y) in stages.items()}
        moved.append(Move(name, a, b, {cause: y - x for cause, (x, y) in sides.items() if not same(x, y)}))
    return tuple(moved)


def changes(one: RunFolder, other: RunFolder) -> list[Change]:
    """All that is not the same in what two runs were made from: settings, data file, versions, code."""
    settings = [_leaves(run.settings) for run in (one, other)]
    found = [Change(_cause(key), key, a, b) for key, a, b in _unequal(*settings)]
    records = [run.provenance for run in (one, other)]
    for cause, key, what in (
        (ROWS, "sha256", "data file"),
        (VERSIONS, "versions", ""),
        (CODE, "notebooks", ""),
        (CODE, "package", "source of lmmkit"),
    ):
        sides = [{what: record.get(key)} if what else record.get(key, {}) for record in records]
        found += [Change(cause, name, a[:12], b[:12]) for name, a, b in _unequal(*sides)]
    return found


def _unequal(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The keys whose values are not the same, with both as text."""
    pairs = {key: (one.get(key, "absent"), other.get(key, "absent")) for key in {**one, **other}}
    return [(key, str(a), str(b)) for key, (a, b) in pairs.items() if a != b]


def _leaves(settings: Mapping[str, Any]) -> dict[str, object]:
    places = tree_values(settings)
    return {f"{at.field}{at.row}": value for at, value in places if not at.field.endswith("length")}


def _cause(key: str) -> str:
    if key.startswith("data"):
        return ROWS
    return SEED if key == "seed" else PARAMETERS


def separable(made: Sequence[Change]) -> list[str]:
    """The causes that execution can tell apart: versions and code of one lmmkit come and go together."""
    causes = list(dict.fromkeys(change.cause for change in made))
    programme = [cause for cause in (VERSIONS, CODE) if cause in causes]
    others = [cause for cause in causes if cause not in programme]
    return [*others, " and ".join(programme)] if programme else others


def recipes(one: RecordedStudy, other: RecordedStudy) -> list[tuple[str, RecordedStudy]]:
    """From one study to the other, a cause at a time; only the causes in which they are not the same."""
    found = list[tuple[str, RecordedStudy]]()
    at = one
    rest = (set(one.settings) | set(other.settings)) - {"data", "seed"}
    for cause, keys in ((ROWS, {"data"}), (PARAMETERS, rest), (SEED, {"seed"})):
        settings = {**at.settings, **{key: other.settings[key] for key in keys if key in other.settings}}
        step = replace(at, settings=settings)
        if cause == ROWS:
            step = replace(step, source=other.source, sha256=other.sha256)
        if step != at:
            found.append((cause, step))
        at = step
    return found


def _executed_stages(
    one: RunFolder, other: RunFolder, data: Sequence[Path], notebooks: Path | None, causes: list[str]
) -> dict[str, tuple[Numbers, Numbers]]:
    """By cause, the numbers before and after its stage; what lies between the two runs is executed."""
    books = {book.name: book.digest for book in trusted_notebooks(notebooks)}
    first, last = study_of(one), study_of(other)
    programme = next((cause for cause in causes if cause not in (ROWS, PARAMETERS, SEED)), "")
    before, after = (_is_current(run.provenance, books) for run in (one, other))
    if programme and not (before or after):
        raise RunError("neither run was made by what is installed now; install the lmmkit of one of them")
    stages = dict[str, tuple[Numbers, Numbers]]()
    at = numbers_of(one)
    with temporary_folder() as folder:

        def executed(study: RecordedStudy) -> Numbers:
            # Between the two studies stands one that nobody locked.
            plain = replace(study, lock=None, overrides={})
            place = Path(folder) / str(len(stages))
            return numbers_of(
                run_again(plain, _data(study, (one, other), data), place, notebooks, cold=False)
            )

        # The installed code made the second run: the programme's stage comes first, else last.
        if programme and after:
            to = executed(first)
            stages[programme], at = (at, to), to
        way = recipes(first, last)
        for cause, study in way:
            done = study == way[-1][1] and (after or not programme)
            to = numbers_of(other) if done else executed(study)
            stages[cause], at = (at, to), to
        if programme and not after:
            stages[programme] = (at, numbers_of(other))
    return stages


def _is_current(provenance: Mapping[str, Any], notebooks: Mapping[str, str]) -> bool:
    """Whether a run was made by the code and versions that are installed now."""
    recorded = (provenance.get("package"), provenance.get("versions"), provenance.get("notebooks"))
    own = {name: notebooks.get(name) for name in provenance.get("notebooks", {})}
    return recorded == (package_digest(), versions(), own)


def _data(study: RecordedStudy, runs: tuple[RunFolder, RunFolder], files: Sequence[Path]) -> Path:
    for run in runs:
        for given in (*files, None):
            found = find_data(study, run.folder, given).path
            if found is not None:
                return found
    digest = study.sha256[:12]
    raise RunError(f"{study.source} (sha256 {digest}) was not found; name it with --data FILE")
