"""What is said when a notebook stops: its step, its cell, what ran out; papermill is stood in for."""

import json
import sys
from io import StringIO
from types import SimpleNamespace

import nbformat
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from lmmkit.errors import RunError
from lmmkit.study.kernels.fork_client import KernelPlace, Serving
from lmmkit.study.kernels.jupyter import kernel_options
from lmmkit.study.records.notebooks import Notebook
from lmmkit.study.runs import execute as module
from lmmkit.study.runs.execute import StepError, execute


def failure(name, value, traceback=(), cell=2):
    return PapermillExecutionError(
        cell_index=cell, exec_count=1, source="x", ename=name, evalue=value, traceback=list(traceback)
    )


@pytest.fixture
def book(tmp_path):
    return Notebook(tmp_path / "03_fit.ipynb", nbformat.writes(nbformat.v4.new_notebook()).encode())


@pytest.fixture
def stopped(monkeypatch, tmp_path, book):
    """The message of a step whose execution ends in an error; what the kernel had said of itself before."""

    def call(error, said=""):
        def stop(source, executed, *_, **__):
            nbformat.write(nbformat.v4.new_notebook(metadata={"half": 1}), executed)
            raise error

        monkeypatch.setattr("papermill.execute_notebook", stop)
        place = KernelPlace(tmp_path, allow_outside=False)
        place.messages.write_text(said)
        with pytest.raises(StepError) as raised:
            execute(book, {}, lambda cell: None, **kernel_options(Serving(place, None)))
        return str(raised.value), raised.value.notebook

    return call


def test_an_error_raised_on_purpose_is_its_message(stopped):
    for name in ("FitError", "StudyError", "LmmkitError"):
        said, notebook = stopped(failure(name, "no optimum", ["a", "b"]))
        assert said == "03_fit, cell 3: no optimum"
        assert notebook["metadata"] == {"half": 1}


def test_of_any_other_error_the_last_twelve_lines_are_told():
    traceback = ["\x1b[31mfirst\x1b[0m", *(f"line {k}" for k in range(1, 13))]
    said = module._failure_message(SimpleNamespace(name="03_fit"), failure("KeyError", "x", traceback, 0))
    head, *lines = said.split("\n")
    assert head == "03_fit, cell 1: KeyError: x"
    assert lines == [f"line {k}" for k in range(1, 13)]
    # What errors has beside errors is no error of ours.
    for name in ("terminal", "Findings", "PartialResult"):
        said = module._failure_message(SimpleNamespace(name="s"), failure(name, "x", ["there"]))
        assert said == f"s, cell 3: {name}: x\nthere"
    coloured = failure("KeyError", "x", ["\x1b[31mred\x1b[0m"])
    assert module._failure_message(SimpleNamespace(name="s"), coloured).endswith("\nred")


def test_what_ran_out_in_a_cell_is_told(stopped):
    said, _ = stopped(failure("MemoryError", "", ["there"]))
    assert said.startswith("03_fit, cell 3: MemoryError:  (too little memory (ulimit -v: ")
    assert said.endswith("))\nthere")
    said, _ = stopped(failure("FitError", "Too many open files"))
    assert said.startswith("03_fit, cell 3: Too many open files (too few open files allowed (ulimit -n: ")


@pytest.mark.parametrize("error", [DeadKernelError("Kernel died"), CellTimeoutError("x"), RuntimeError("x")])
def test_a_kernel_that_died_is_told_with_what_it_said_or_a_guess(stopped, error):
    said, notebook = stopped(error)
    assert said.startswith("03_fit: the kernel died, perhaps: too little memory (ulimit -v: ")
    assert said.endswith(f": {error}")
    assert notebook is None
    assert stopped(error, "No space left on device\n")[0] == (
        f"03_fit: the kernel died: no space left on the disk: {error}"
    )


def test_what_ran_out_here_is_told_before_what_the_kernel_said(stopped):
    said, _ = stopped(OSError("No space left on device"), "MemoryError")
    assert (
        said == "03_fit: the kernel could not be served: no space left on the disk: No space left on device"
    )
    said, _ = stopped(KeyError("x"), "Too many open files")
    assert said.startswith("03_fit: the kernel could not be served: too few open files allowed (ulimit -n: ")


def test_other_errors_keep_their_kind(monkeypatch, tmp_path, book):
    place = KernelPlace(tmp_path, allow_outside=False)
    for error in (KeyError("x"), RunError("in use")):

        def stop(*_, error=error, **__):
            raise error

        monkeypatch.setattr("papermill.execute_notebook", stop)
        with pytest.raises(type(error)) as raised:
            execute(book, {}, lambda cell: None, **kernel_options(Serving(place, None)))
        assert raised.value is error


def test_a_kernel_that_could_not_open_its_files_is_not_started(monkeypatch, book):
    monkeypatch.setattr(module, "too_few_files", lambda: "too few open files allowed")
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **__: pytest.fail("it is not"))
    with pytest.raises(
        StepError, match=r"^03_fit: the kernel could not be served: too few open files allowed$"
    ):
        execute(book, {}, lambda cell: None)


def test_what_is_executed_is_what_was_read_by_our_kernel_with_its_parameters(monkeypatch, book):
    asked, cells = [], []

    def run(source, path, parameters, *, on_cell_start, **options):
        on_cell_start(cell=None, cell_index=4)
        asked.append((nbformat.writes(source), parameters, options))
        return source

    monkeypatch.setattr("papermill.execute_notebook", run)
    found = execute(book, {"study": "s.yaml"}, cells.append, extra=1)
    ((source, parameters, options),) = asked
    assert json.loads(source) == book.content == found
    assert (parameters, cells) == ({"study": "s.yaml"}, [4])
    assert (options["kernel_name"], options["language"], options["extra"]) == ("python3", "python", 1)
    assert (options["progress_bar"], options["request_save_on_cell_execute"]) == (False, False)
    assert options["shutdown_kernel"] == "immediate"


def test_earlier_steps_that_cannot_be_made_end_in_a_message(monkeypatch):
    import runpy

    order = {"study": "none.yaml", "overrides": {}, "allow_outside": False, "folder": "f", "before": "03_fit"}
    monkeypatch.setattr(sys, "stdin", StringIO(json.dumps(order)))
    monkeypatch.delitem(sys.modules, "lmmkit.study.runs.earlier_steps", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("lmmkit.study.runs.earlier_steps", run_name="__main__")
    assert str(ended.value.code).startswith("Error: no study file at none.yaml")
