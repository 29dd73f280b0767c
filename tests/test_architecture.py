"""The walls of the house: imports go one way, the engine stays pure, `import lmmkit` stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "lmmkit").rglob("*.py"))
}
LAYERS = ["engine", "model", "plots", "study"]
# Heavy packages, imported where they are used: the only ones that a function may import.
HEAVY = {
    "IPython",
    "distributed",
    "ipykernel",
    "jupyter_core",
    "matplotlib",
    "narwhals",
    "nbclient",
    "nbformat",
    "openpyxl",
    "papermill",
    "polars",
    "pyarrow",
    "scipy.interpolate",
    "seaborn",
    "sklearn",
    "statsmodels",
    "cryptography",
}


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """The modules that the import statements among some nodes name."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def within(node: ast.AST) -> Iterable[ast.AST]:
    """A node and the statements in it, however deep; the expressions of these are left out."""
    yield node
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, part, ())
        for statement in inner if isinstance(inner, list) else ():
            yield from within(statement)


@cache
def tree_of(module: str) -> ast.Module:
    """The tree of a module."""
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@cache
def statements_of(module: str) -> list[ast.AST]:
    """Every statement of a module."""
    return list(within(tree_of(module)))


@cache
def imports_of(module: str) -> set[str]:
    """The modules that a module imports."""
    return imported(statements_of(module))


def offenders(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """The modules in which something was found that is not allowed."""
    return {module: names for module, names in found.items() if names}


def layer(module: str) -> int:
    """Position of a module's layer: the face of the package is at the model's, what all share lies below."""
    part = module.removeprefix("lmmkit").strip(".").split(".")[0] or "model"
    return LAYERS.index("study" if part == "__main__" else part) if part in [*LAYERS, "__main__"] else -1


def test_imports_go_one_way():
    upwards = {
        module: {name for name in targets if "." in name and layer(name) > layer(module)}
        for module, targets in arrows().items()
    }
    assert offenders(upwards) == {}


def arrows() -> dict[str, set[str]]:
    """The modules that each module imports; a name taken from a package's face counts as the package."""
    return {module: imports_of(module) & set(MODULES) - {module} for module in MODULES}


def folder(module: str) -> str:
    """The folder of a module; what stands beside folders, and the face of a package, stand for themselves."""
    path = MODULES[module]
    alone = path.name == "__init__.py" or any(other.is_dir() for other in path.parent.glob("[a-z]*"))
    return module if alone else module.rpartition(".")[0] + "/"


def test_imports_between_modules_have_no_cycle():
    TopologicalSorter(arrows()).prepare()


def test_imports_between_folders_have_no_cycle():
    graph: dict[str, set[str]] = {}
    for module, targets in arrows().items():
        graph.setdefault(folder(module), set()).update({folder(name) for name in targets} - {folder(module)})
    TopologicalSorter(graph).prepare()


def test_engine_knows_numpy_and_scipy_alone():
    known = {*sys.stdlib_module_names, "numpy", "scipy", "threadpoolctl", "lmmkit"}
    packages = {
        module: {name.split(".")[0] for name in imports_of(module)} - known
        for module in MODULES
        if module.startswith("lmmkit.engine")
    }
    assert len(packages) > 50
    assert offenders(packages) == {}


# What would make a number of its own; `tests/plots` holds what is drawn against the tables.
STATISTICS = {
    *(
        "quantile",
        "percentile",
        "ppf",
        "ndtri",
        "isf",
        "std",
        "sem",
        "var",
        "mean",
        "median",
        "cumsum",
        "corr",
    ),
    *("cov", "polyfit", "describe", "pivot_table", "pointplot", "barplot", "regplot", "lmplot", "kdeplot"),
}


def test_plots_compute_nothing():
    plots = [module for module in MODULES if module.startswith("lmmkit.plots")]
    assert len(plots) > 10
    packages = {module: {name.split(".")[0] for name in imports_of(module)} for module in plots}
    assert offenders({module: names & {"scipy", "statsmodels"} for module, names in packages.items()}) == {}
    called = {
        module: {
            ast.unparse(node.func).split(".")[-1]
            for node in ast.walk(tree_of(module))
            if isinstance(node, ast.Call)
        }
        for module in plots
    }
    assert offenders({module: names & STATISTICS for module, names in called.items()}) == {}
    # seaborn's lines average over equal x unless they are told not to.
    functions = [
        ast.unparse(node)
        for module in plots
        for node in statements_of(module)
        if isinstance(node, ast.FunctionDef)
    ]
    assert all("estimator" in text for text in functions if ".lineplot(" in text)


def test_functions_import_heavy_packages_only():
    inside = {
        module: {
            next((heavy for heavy in HEAVY if f"{name}.".startswith(f"{heavy}.")), name.split(".")[0])
            for node in statements_of(module)
            if isinstance(node, ast.FunctionDef)
            for name in imported(within(node))
        }
        for module in MODULES
        if any(
            isinstance(node, ast.Import | ast.ImportFrom) and node.col_offset
            for node in statements_of(module)
        )
    }
    # A command of the study's command line imports what it needs, so that the others start at once.
    allowed = {
        module: HEAVY | ({"lmmkit"} if module.startswith("lmmkit.study.") else set()) for module in inside
    }
    assert len(inside) > 10
    assert offenders({module: names - allowed[module] for module, names in inside.items()}) == {}


def test_import_loads_no_heavy_package_and_plain_columns_neither_splines_nor_narwhals():
    script = (
        "import sys, lmmkit; print(*sys.modules)\n"
        "import pandas as pd; from lmmkit.model.design.design import build_design\n"
        "frame = pd.DataFrame({'y': [1., 2, 4, 3, 5, 9], 'x': [0, 1, 2] * 2})\n"
        "frame = frame.assign(a=[*'uvuvuv'], g=[*'aaabbb'])\n"
        "build_design('y ~ x * a + scale(x) + log(x + 1) + (x | g)', frame); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    imported, used = (set(line.split()) for line in done.stdout.splitlines())
    assert (HEAVY - {"narwhals", "pyarrow"}) & imported == set()
    assert {"scipy.interpolate", "narwhals", "polars"} & used == set()


def test_the_page_on_the_house_names_what_is_there():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:engine|model|study|plots|tests|docs|lmmkit)/[\w/.]*)(?:: ([\w.]+))?`", page)
    assert len(named) > 30
    for path, function in named:
        place = ROOT / path if path.split("/")[0] in {"tests", "docs", "lmmkit"} else ROOT / "lmmkit" / path
        assert place.exists(), path
        if function:
            assert f"def {function.rpartition('.')[2]}(" in place.read_text(encoding="utf-8"), function


def test_a_folder_holds_about_a_dozen_modules():
    modules = Counter(path.parent for path in MODULES.values())
    assert max(modules.values()) <= 14


def test_names_have_one_meaning():
    nodes = (node for module in MODULES for node in statements_of(module))
    classes = Counter(node.name for node in nodes if isinstance(node, ast.ClassDef))
    files = Counter(path.stem for path in MODULES.values() if not path.stem.startswith("__"))
    assert [name for found in (classes, files) for name, count in found.items() if count > 1] == []
