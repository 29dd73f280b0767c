"""Nothing of whoever starts a run, or of the folders that it works in, is in it.

Their settings, start-up files, locale and limits of display; modules and configuration lying about.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from study.audit.conftest import make_runs
from study.conftest import call as lmmkit
from study.conftest import make_project
from support import projects
from support.once import made_once, run_of
from support.tiny import trust_project, write_notebook

from lmmkit import plots
from lmmkit.plots import svg_bytes

pytestmark = pytest.mark.slow

NOISY = {"log.jsonl", "ro-crate-metadata.json"}
#: Cells that show what settings would change: tables, numbers, pictures, sets, warnings, the locale.
SHOWING = [
    "import locale, os, sys, time, warnings\nimport numpy as np\nimport pandas as pd",
    "table = load_table(step.settings.data, step.base)\nstep.save_data(table)",
    "table.frame.head(12).assign(z=1 / 3)",
    "np.array([1 / 3, 1e-20, 123456.789])",
    "print({'a', 'b', 'c'}, f'{1234.5:n}', locale.localeconv()['decimal_point'], time.tzname)",
    "warnings.warn('said once', DeprecationWarning, stacklevel=1)\nprint(__debug__, sys.flags.optimize)",
    "print(sorted(name for name in globals() if name.startswith('leaked')))\n['word' * 5] * 20",
    "from lmmkit import plots\n"
    "bins = pd.DataFrame({'left': [0.0, 1], 'right': [1.0, 2], 'rows': [3, 4]})\n"
    "drawn = plots.response(bins, (0.5, 1, 1.5), label='y')\n"
    "step.save_figure('drawn', drawn, alt='a picture', caption='A picture.')",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.title('plain $x^2$');",
    "import seaborn as sns\nsns.histplot(table.frame, x='y');",
]
#: What a matplotlibrc may say.
STYLE = "lines.linewidth: 9\nfont.family: cursive\naxes.facecolor: red\nsavefig.dpi: 31\ntext.usetex: True\n"
#: A start-up file.
STARTUP = """
import locale, numpy, pandas, warnings
leaked = 1
pandas.set_option("display.max_rows", 4, "display.precision", 1, "display.max_columns", 2)
numpy.set_printoptions(precision=1)
warnings.simplefilter("error")
"""
IPYTHON = (
    "c.InteractiveShellApp.exec_lines = ['leaked_too = 1']\n"
    "c.InteractiveShell.ast_node_interactivity = 'all'\n"
)
JUPYTER = "c.KernelManager.transport = 'tcp'\nc.NotebookClient.timeout = 1\nraise SystemExit('read')\n"


#: Modules that notebooks and Jupyter import, and files that Python, IPython and Jupyter would read.
MODULES = [
    "pandas", "numpy", "lmmkit", "papermill", "nbclient", "nbformat", "ipykernel", "ipykernel_launcher",
    "IPython", "matplotlib", "seaborn", "sitecustomize", "usercustomize", "json", "zmq", "tornado",
    "traitlets",
    "jupyter_client", "statsmodels", "pyarrow", "jupyterlab", "helper",
]  # fmt: skip
CONFIGURATION = [
    "ipython_config.py", "ipython_kernel_config.py", "jupyter_config.py", "jupyter_server_config.py",
    "jupyter_notebook_config.py", "jupyter_nbclient_config.py", "startup/00.py",
    ".ipython/profile_default/startup/00.py", "profile_default/startup/00.py", "conftest.py",
    "__init__.py", "_distutils_hack.py",
]  # fmt: skip
KERNEL = '{"argv": ["touch", %s], "display_name": "x", "language": "python"}'


def litter(folder: Path, mark: Path) -> None:
    """All that a stranger would leave for Python and Jupyter to find."""
    folder.mkdir(parents=True, exist_ok=True)
    line = f"import pathlib; pathlib.Path({str(mark)!r}).touch()"
    for name in MODULES:
        (folder / f"{name}.py").write_text(line)
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "__init__.py").write_text(line)
    for name in CONFIGURATION:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(line)
    for name in ("kernels", "share/jupyter/kernels", ".local/share/jupyter/kernels"):
        (folder / name / "python3").mkdir(parents=True)
        (folder / name / "python3/kernel.json").write_text(KERNEL % f'"{mark}"')


def hostile(home: Path) -> dict[str, str]:
    """The environment of somebody with settings for everything."""
    files = {
        ".config/matplotlib/matplotlibrc": STYLE,
        "rc/matplotlibrc": STYLE,
        "mpl/matplotlibrc": STYLE,
        "ipython/profile_default/startup/00.py": STARTUP,
        ".ipython/profile_default/startup/00.py": STARTUP,
        "ipython/profile_default/ipython_config.py": IPYTHON,
        "ipython/profile_default/ipython_kernel_config.py": IPYTHON,
        "jupyter/jupyter_config.py": JUPYTER,
        "jupyter/jupyter_client_config.py": JUPYTER,
        "share/kernels/python3/kernel.json": json.dumps(
            {"argv": ["false"], "display_name": "x", "language": "x"}
        ),
        "startup.py": STARTUP,
        "tmp/empty": "",
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    settings = {
        "HOME": home, "MATPLOTLIBRC": home / "rc", "MPLCONFIGDIR": home / "mpl", "MPLBACKEND": "pdf",
        "IPYTHONDIR": home / "ipython", "JUPYTER_CONFIG_DIR": home / "jupyter",
        "JUPYTER_CONFIG_PATH": home / "jupyter", "JUPYTER_PATH": home / "share",
        "JUPYTER_DATA_DIR": home / "share", "JUPYTER_RUNTIME_DIR": home / "startup.py/none",
        "JUPYTER_DEFAULT_PROVISIONER_NAME": "none", "JPY_PARENT_PID": "1", "JPY_SESSION_NAME": "x",
        "PYTHONSTARTUP": home / "startup.py", "PYTHONHASHSEED": "77", "PYTHONWARNINGS": "error",
        "PYTHONOPTIMIZE": "2", "PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": "1", "TMPDIR": home / "tmp",
        "COLUMNS": "20", "LINES": "5", "NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "dumb",
        "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3", "MKL_NUM_THREADS": "3",
        "OPENBLAS_CORETYPE": "Prescott", "ARROW_USER_SIMD_LEVEL": "NONE",
        "LC_ALL": "de_DE.UTF-8", "LANG": "C", "LANGUAGE": "de", "TZ": "Pacific/Kiritimati",
    }  # fmt: skip
    return {**os.environ, **{name: str(value) for name, value in settings.items()}}


#: The command line, in whose environment is what an interpreter of its own without optimisation is not.
UNOPTIMISED = "import os, runpy\nos.environ['PYTHONOPTIMIZE'] = '2'\nrunpy.run_module('lmmkit.study.cli')"


def call(
    folder: Path, environment: dict[str, str], *arguments: str, optimised: bool
) -> subprocess.CompletedProcess[str]:
    """The command line, called in a folder; it may write files for its user alone.

    For an optimised interpreter most modules are compiled anew, which takes many seconds.
    """
    how = ["-m", "lmmkit.study.cli"] if optimised else ["-c", UNOPTIMISED]
    given = {name: value for name, value in environment.items() if optimised or name != "PYTHONOPTIMIZE"}
    return subprocess.run(
        [sys.executable, "-P", *how, *arguments],
        cwd=folder, env=given, umask=0o077, capture_output=True, text=True, check=False,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that is to be the same on every run."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NOISY
    }


def unsettle(folder: Path, mark: Path) -> Path:
    """A folder with modules, configuration and settings lying about in it; what is imported leaves a mark."""
    litter(folder, mark)
    (folder / "matplotlibrc").write_text(STYLE)
    (folder / "ipython_config.py").write_text(IPYTHON)
    (folder / "jupyter_config.py").write_text(JUPYTER)
    return folder


@pytest.fixture(scope="module")
def mark(tmp_path_factory):
    """A file that is there as soon as a module that lies about has been imported."""
    return tmp_path_factory.mktemp("mark") / "executed"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """One home for all: what matplotlib finds out of the fonts of a machine it keeps there."""
    return hostile(tmp_path_factory.mktemp("home"))


@pytest.fixture
def working(tmp_path, mark):
    """A working directory with settings in it."""
    return unsettle(tmp_path / "working", mark)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, mark):
    """A project that shows what settings would change, and its run before its folders are unsettled."""
    project = make_project(tmp_path_factory.mktemp("plain"))
    write_notebook(project / "notebooks", "01_data_prep", ["title", "data"], SHOWING)
    done = lmmkit(project, "run", "params/tiny.yaml")
    assert done.returncode == 0, done.stderr
    for folder in (project, project / "params", project / "notebooks"):
        unsettle(folder, mark)
    return project


@pytest.mark.parametrize(
    ("options", "made"),
    [(("--reports", "here"), 4), (("--cold", "--reports", "here"), 1)],
    ids=["forked", "cold"],
)
def test_a_run_among_hostile_settings_is_byte_identical(plain, working, environment, mark, options, made):
    if "--cold" in options:  # in the project itself
        working = plain
    steps = sorted((plain / "reports/.steps").iterdir())
    for step in steps[made:]:  # a cold kernel takes seconds: one shows all; the others' inputs are its files
        shutil.copytree(step, working / "here/.steps" / step.name)
    asked = ("run", str(plain / "params/tiny.yaml"), *options)
    done = call(working, environment, *asked, optimised=made == 4)
    assert (done.returncode, done.stderr.count("made before, copied")) == (0, 4 - made), done.stderr
    assert not mark.exists()
    assert contents(working / "here") == contents(plain / "reports")
    book = (working / done.stdout.strip()).with_name("01_data_prep.ipynb").read_text()
    assert "image/png" in book
    assert "leaked" not in book.replace("startswith('leaked')", "")


def test_an_audit_among_hostile_settings_finds_the_same(
    tmp_path, tmp_path_factory, working, environment, mark
):
    project = tmp_path / "project"
    trust_project(Path(shutil.copytree(made_once(tmp_path_factory, "sleep", make_runs), project)))
    folder = run_of(project)
    options = ["--notebooks", str(project / "notebooks"), "--out"]
    plain = projects.lmmkit(project, "audit", str(folder), *options, "plain")
    assert plain.returncode == 0, plain.stdout
    asked = {**environment, "PATH": os.devnull}
    done = call(working, asked, "audit", str(folder), *options, "here", optimised=False)
    assert (done.returncode, done.stderr, mark.exists()) == (0, "", False)
    assert verdicts(working / "here") == verdicts(project / "plain")


def verdicts(folder: Path) -> list[tuple[str, str, str]]:
    """What an audit says of each thing; its own rounding is that of the BLAS in use."""
    findings = json.loads((folder / "audit.json").read_bytes())["findings"]
    return [(found["part"], found["what"], found["verdict"]) for found in findings]


def test_pictures_leave_the_settings_of_their_user_alone():
    def drawn():
        bins = pd.DataFrame({"left": [0.0, 1], "right": [1.0, 2], "rows": [3, 4]})
        return svg_bytes(plots.response(bins, (0.5, 1, 1.5), label="y"))

    plain = drawn()
    with mpl.rc_context({"patch.linewidth": 9, "axes.facecolor": "red", "text.usetex": True}):
        before = dict(mpl.rcParams)
        assert drawn() == plain
        assert dict(mpl.rcParams) == before
