"""The walls of the house: imports go one way, the engine stays pure, `import lmmkit` stays light."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "lmmkit").rglob("*.py"))
}
LAYERS = ["engine", "model", "plots", "study"]
# Heavy packages, imported where they are used: the only ones that a function may import.
HEAVY = {
    "distributed",
    "formulaic",
    "ipykernel",
    "matplotlib",
    "narwhals",
    "papermill",
    "polars",
    "pyarrow",
    "seaborn",
    "statsmodels",
}


def imported(tree: ast.AST) -> set[str]:
    """The modules that the import statements anywhere in a tree name."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions() -> list[tuple[str, ast.FunctionDef]]:
    return [
        (f"{module}.{node.name}", node)
        for module, path in MODULES.items()
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef)
    ]


def length(function: ast.FunctionDef) -> int:
    """Lines of the body, its docstring apart."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def layer(module: str) -> int:
    """Position of a module's layer: the face of the package is at the model's, what all share lies below."""
    part = module.removeprefix("lmmkit").strip(".").split(".")[0] or "model"
    return LAYERS.index("study" if part == "__main__" else part) if part in [*LAYERS, "__main__"] else -1


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    targets = {name for name in imported(parse(MODULES[module])) if name in MODULES and "." in name}
    assert {name for name in targets if layer(name) > layer(module)} == set()


def test_imports_have_no_cycle():
    graph = {module: imported(parse(path)) & set(MODULES) - {module} for module, path in MODULES.items()}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("lmmkit.engine")])
def test_engine_knows_numpy_and_scipy_alone(module):
    packages = {name.split(".")[0] for name in imported(parse(MODULES[module]))}
    assert packages - set(sys.stdlib_module_names) <= {"numpy", "scipy", "threadpoolctl", "lmmkit"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("lmmkit.plots")])
def test_plots_compute_nothing(module):
    packages = {name.split(".")[0] for name in imported(parse(MODULES[module]))}
    assert packages & {"scipy", "statsmodels"} == set()


@pytest.mark.parametrize("module", MODULES)
def test_functions_import_heavy_packages_only(module):
    inside = {
        name.split(".")[0]
        for node in ast.walk(parse(MODULES[module]))
        if isinstance(node, ast.FunctionDef)
        for name in imported(node)
    }
    # A command of the study's command line imports what it needs, so that the others start at once.
    assert inside <= HEAVY | ({"lmmkit"} if module.startswith("lmmkit.study.") else set())


def test_import_loads_no_heavy_package():
    script = "import sys, lmmkit; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert (HEAVY - {"narwhals", "pyarrow"}) & set(loaded.split()) == set()


def test_functions_are_short():
    lengths = sorted(length(function) for _, function in functions())
    assert statistics.median(lengths) < 6
    long = [name for name, function in functions() if length(function) >= 25]
    assert len(long) <= len(lengths) / 10, long


def test_modules_are_small():
    sizes = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: size for module, size in sizes.items() if size > 400} == {}
    assert statistics.median(sizes.values()) <= 200


@pytest.mark.parametrize("package", ["engine", "model", "study"])
def test_a_package_says_in_which_order_its_modules_are_read(package):
    files = [path.stem for path in (ROOT / "lmmkit" / package).glob("*.py") if path.stem != "__init__"]
    order = re.findall(r"`(\w+)`", ast.get_docstring(parse(ROOT / "lmmkit" / package / "__init__.py")))
    assert sorted(set(order)) == sorted(files)
