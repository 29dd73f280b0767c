"""What a run tells: a line for each step where nobody watches, a bar where somebody does."""

from io import StringIO

import pytest
from rich.console import Console

from lmmkit.study.runs import progress as module
from lmmkit.study.runs.progress import Watch, line


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


def test_a_line_for_each_step(clock):
    console = Console(file=StringIO(), width=80)
    with Watch(console) as watch:
        watch.reused("01_data_prep")
        watch.copied("02_random_effects")
        watch.begin("03_fit", 7)
        watch.cell(0)
        clock[0] += 12.34
        assert watch.end() == pytest.approx(12.34)
        watch.begin("04_report", 7)
        clock[0] += 1
        assert watch.end() == 1.0
    assert console.file.getvalue().splitlines() == [
        "01_data_prep             verified, kept",
        "02_random_effects        made before, copied",
        "03_fit                     12.3 s",
        "04_report                   1.0 s",
    ]


def test_a_bar_counts_the_cells_of_the_step_at_work(clock):
    with Watch(Console(quiet=True)) as watch:
        watch.begin("03_fit\x1b", 7)
        watch.cell(3)
        (task,) = watch.progress.tasks
        assert (task.description, task.completed, task.total, task.visible) == (r"03_fit\x1b", 3, 7, True)
        watch.end()
        assert not watch.progress.tasks[0].visible
        watch.begin("04_report", 2)
        (task,) = watch.progress.tasks
        assert (task.description, task.completed, task.total) == ("04_report", 0, 2)


def test_nothing_in_a_line_is_markup_or_an_order():
    assert line("[red]x[/red]\x1b[2J\n").plain == r"[red]x[/red]\x1b[2J\n"
