"""The cells of a sweep: the runs that they are, and every fault at its place."""

import pytest

from lmmkit.errors import StudyError
from lmmkit.study.files.faults import NOWHERE
from lmmkit.study.files.sweep_file import read_sweep
from lmmkit.study.files.yaml12 import Fault, Position
from lmmkit.study.sweeps.cells import _placed, listing, plan_sweep

BASE = "base: small.yaml\n"


def written(project, text):
    path = project / "params/s.sweep.yaml"
    path.write_text(BASE + text)
    return path


def test_the_last_key_varies_fastest_and_added_cells_come_last(project):
    text = (
        "grid: {model.method: [REML, ML], inference.level: [0.9, 0.8]}\n"
        "zip: {seed: [1, 2], title: [a, b]}\nadd: [{seed: 9}]\n"
    )
    cells = plan_sweep(written(project, text)).cells
    first = [tuple(cell.overrides.values()) for cell in cells[:3]]
    assert first == [("REML", 0.9, 1, "a"), ("REML", 0.9, 2, "b"), ("REML", 0.8, 1, "a")]
    assert (len(cells), dict(cells[-1].overrides)) == (9, {"seed": 9})


def test_a_cell_is_the_run_of_its_settings_however_it_was_asked_for(project):
    (cell,) = plan_sweep(written(project, "add: [{model.method: REML, seed: 4}]")).cells
    assert dict(cell.plan.overrides) == {"seed": 4}
    assert cell.plan.provenance()["command"] == "lmmkit run params/small.yaml --set=seed=4"


def test_a_dry_run_lists_the_cells(project):
    lines = list(listing(plan_sweep(written(project, "grid: {seed: [3, 4]}")), project / "reports"))
    assert [line.split() for line in lines[:-1]] == [
        [str(number), cell.key, "to", "do", f"seed={seed}"]
        for number, cell, seed in zip(
            (1, 2), plan_sweep(project / "params/s.sweep.yaml").cells, (3, 4), strict=True
        )
    ]
    assert lines[-1] == "2 cells; nothing was run"
    assert not (project / "reports").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gird: {seed: [1]}", "s.sweep.yaml:2:1: gird: unknown key - did you mean grid?"),
        ("", "has no cells; give `grid:`, `zip:` or `add:`"),
        ("grid: {}", "s.sweep.yaml:2:7: grid: is empty"),
        ("grid: {seed: []}", "s.sweep.yaml:2:14: grid.seed: is empty"),
        ("grid: {seed: 3}", "grid.seed: expected a list, found 3"),
        ("grid: {model.metod: [ML]}", "s.sweep.yaml:2:22: model.metod: unknown key - did you mean method?"),
        (
            "grid:\n  model.method:\n    - REML\n    - ML\n    - MLL",
            "s.sweep.yaml:6:7: model.method: text 'MLL'",
        ),
        ("grid: {seed: [1, 1]}", "s.sweep.yaml:2:18: grid.seed[1]: stands twice"),
        ("zip: {seed: [1, 2], title: [a]}", "lists of different lengths: seed has 2, title has 1"),
        ("grid: {seed: [1]}\nzip: {seed: [2]}", "stands in `grid` too"),
        ("add: [{seed: x}]", "s.sweep.yaml:2:14: seed: expected a whole number, found text 'x'"),
        ("add: []", "s.sweep.yaml:2:6: add: is empty"),
        ("grid: {seed: [2, 3]}\nadd: [{seed: 3}]", "cell 3 (seed=3) repeats cell 2: it would count twice"),
        (
            "add: [{data.source: none.csv}, {data.source: none.csv}]",
            "cell 2 (data.source=none.csv) repeats cell 1",
        ),
        ("grid: {model.formula: [y ~ x | g]}", "s.sweep.yaml:2:24: model.formula"),
        ("add: [{data.columns.y.min: 3.0, data.columns.y.max: 1.0}]", "max 1 is below min 3"),
        ("grid: {seed: [2]}\non_error: ignore", "'ignore' is not one of continue, stop"),
        ("grid: {seed: [2]}\nseed: 1", "unknown key"),
        ("grid: {title.x: [2]}", "title is no mapping"),
        ("grid: {seed: [!!int 2]}", "a tag"),
    ],
)
def test_faults_are_told_with_their_place(project, text, message):
    path = written(project, text)
    with pytest.raises(StudyError) as caught:
        plan_sweep(path)
    assert message in str(caught.value)


def test_a_fault_that_no_setting_names_is_told_with_the_settings_of_its_cell(project):
    fault = Fault(NOWHERE, ("model", "formula"), "it is wrong")
    (choice,) = read_sweep(path := written(project, "add: [{model.method: ML, seed: 4}]")).choices()
    assert _placed(fault, choice, read_sweep(path)) == Fault(
        Position(2, 22), ("model", "formula"), "it is wrong (under model.method=ML, seed=4)"
    )
    own = fault._replace(key=("seed",))
    assert _placed(own, choice, read_sweep(path)) == own._replace(place=Position(2, 32))
    for key in ((), ("data",)):  # of no key, and of a section that no setting is in
        said = "it is wrong" if not key else "it is wrong (under model.method=ML, seed=4)"
        assert _placed(fault._replace(key=key), choice, read_sweep(path)) == Fault(Position(2, 22), key, said)
    whole = fault._replace(key=("model",))  # the section that a setting lies in
    assert _placed(whole, choice, read_sweep(path)).message == "it is wrong"


def test_too_many_cells_need_a_yes(project):
    many = ", ".join(map(str, range(101)))
    path = written(project, f"grid: {{seed: [{many}], inference.level: [{many}]}}")
    with pytest.raises(StudyError, match=r"10,201 cells, more than 10,000; give --yes"):
        plan_sweep(path)


def test_a_base_study_that_is_not_there_is_told(project):
    path = written(project, "grid: {seed: [2]}")
    path.write_text(path.read_text().replace("small.yaml", "none.yaml"))
    with pytest.raises(StudyError, match="no study file at"):
        plan_sweep(path)
