"""How the notebooks are written: prose before code, short cells, three parameters, no outputs."""

from __future__ import annotations

import ast
import json
import re
import statistics
from pathlib import Path

import pytest

from lmmkit.study.files.schema import Settings

ROOT = Path(__file__).parents[2]
STEPS = ["01_data_prep", "02_random_effects", "03_fit", "05_posterior", "04_report"]
DERIVED = {"model.response_column", "model.groups", "model.predictor_columns", "simulation"}
PARAMETERS = {"study": "params/sleepstudy.yaml", "run": "", "overrides": {}}


@pytest.fixture(params=STEPS)
def notebook(request):
    return json.loads((ROOT / f"notebooks/{request.param}.ipynb").read_bytes()) | {"name": request.param}


def text(cell):
    return "".join(cell["source"])


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def prose(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def lines(cell):
    return [line for line in text(cell).splitlines() if line.strip()]


def calls(tree):
    return [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_title_says_what_it_asks_reads_and_writes(notebook):
    title = text(notebook["cells"][0])
    assert title.startswith("# ")
    assert all(word in title for word in ("*Asks*", "*Reads*", "*Writes*"))


def test_parameters_are_three_and_have_these_defaults(notebook):
    (cell,) = [cell for cell in code(notebook) if "parameters" in cell["metadata"].get("tags", [])]
    assert code(notebook)[0] is cell
    named = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(text(cell)).body}
    own = {"study": "params/sleepstudy_posterior.yaml"} if notebook["name"] == "05_posterior" else {}
    assert named == PARAMETERS | own


def test_open_step_is_the_first_code_after_the_imports(notebook):
    _, imports, opening, *_ = code(notebook)
    assert all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.parse(text(imports)).body)
    assert text(opening).startswith(f'step = open_step("{notebook["name"]}", study, run, overrides)')


def test_every_code_cell_follows_prose(notebook):
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert all(kinds[i - 1] == "markdown" for i, kind in enumerate(kinds) if kind == "code")


def test_code_cells_are_short(notebook):
    sizes = [len(lines(cell)) for cell in code(notebook)]
    assert max(sizes) <= 15
    assert statistics.median(sizes) <= 4


def test_there_is_more_prose_than_code(notebook):
    words = sum(len(text(cell).split()) for cell in prose(notebook))
    assert words >= 8 * sum(len(lines(cell)) for cell in code(notebook))


def test_nothing_is_defined_in_a_notebook(notebook):
    for cell in code(notebook):
        for node in ast.walk(ast.parse(text(cell))):
            assert not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.AsyncFunctionDef))
            assert not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*")


def test_each_figure_has_a_cell_of_its_own_with_one_plotting_call(notebook):
    for cell in code(notebook):
        functions = [ast.unparse(function) for function in calls(ast.parse(text(cell)))]
        drawn = sum(function.startswith("plots.") for function in functions)
        assert drawn == functions.count("step.save_figure") <= 1


def test_every_figure_has_words(notebook):
    for cell in code(notebook):
        if "save_figure" in text(cell):
            assert re.search(r"\*\*captions\.\w+\(", text(cell))


def test_it_ends_with_what_comes_next(notebook):
    assert notebook["cells"][-1]["cell_type"] == "markdown"
    assert any(re.search(r"## What the (next step|reader) receives", text(cell)) for cell in prose(notebook))


def test_it_keeps_no_outputs_and_says_nothing_of_where_it_ran(notebook):
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code(notebook))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert re.search(r"/home/|/Users/|/tmp/|https?://", json.dumps(notebook)) is None


def test_cells_have_ids_that_do_not_change_by_themselves(notebook):
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z-]+-\d\d", each) for each in ids)


def test_it_declares_its_step_and_known_settings(notebook):
    declared = notebook["metadata"]["lmmkit"]
    assert declared["step"] == notebook["name"]
    for key in set(declared["reads"]) - {"provenance", *DERIVED}:
        section, *rest = key.split(".")
        model = Settings.model_fields[section].annotation
        assert not rest or rest[0] in model.model_fields
