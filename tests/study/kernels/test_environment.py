"""What a kernel is given of its user's environment, and what it is given instead."""

import os

import pytest

from lmmkit.study.kernels.environment import import_matplotlib, kernel_environment, worker_environment

#: Where programs, packages and the user's own folders are.
KEPT = (
    "PATH HOME USER LOGNAME VIRTUAL_ENV CONDA_PREFIX LD_LIBRARY_PATH LD_PRELOAD DYLD_LIBRARY_PATH "
    "DYLD_FALLBACK_LIBRARY_PATH PYTHONPATH PYTHONHOME PYTHONNOUSERSITE PYTHONUSERBASE PYTHONPLATLIBDIR "
    "PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME "
    "LMMKIT_ANYTHING"
)
#: What would change numbers, texts or pictures.
LEFT_OUT = (
    "LANG LANGUAGE COLUMNS PYTHONSTARTUP PYTHONWARNINGS PYTHONOPTIMIZE MATPLOTLIBRC MPLCONFIGDIR "
    "JUPYTER_PATH OPENBLAS_CORETYPE"
)
FIXED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_IO_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C",
    "PYTHONUTF8": "1",
    "TZ": "UTC",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


@pytest.fixture
def users(monkeypatch):
    """Everything is set, what is fixed too; the part of it that reaches a kernel."""
    monkeypatch.setattr(os, "environ", {})
    for name in (*KEPT.split(), *LEFT_OUT.split(), *FIXED, "TMPDIR", "IPYTHONDIR"):
        os.environ[name] = f"my {name}"
    return {**{name: f"my {name}" for name in KEPT.split()}, **FIXED}


@pytest.mark.parametrize("outside", [False, True])
def test_a_kernel_is_given_what_is_named_and_nothing_else(users, tmp_path, outside):
    own = {"IPYTHONDIR": str(tmp_path), "TMPDIR": str(tmp_path), "LMMKIT_ALLOW_OUTSIDE": "01"[outside]}
    assert kernel_environment(tmp_path, allow_outside=outside) == users | own


def test_a_process_that_starts_kernels_keeps_the_users_place_for_temporary_files(users):
    assert worker_environment() == users | {"TMPDIR": "my TMPDIR"}
    del os.environ["TMPDIR"]
    assert worker_environment() == users


def test_matplotlib_is_imported_without_its_users_settings_which_stay(monkeypatch, tmp_path):
    import matplotlib as mpl

    seen = []
    monkeypatch.setattr(mpl, "get_configdir", lambda: seen.append((os.getcwd(), dict(os.environ))))  # noqa: PTH109
    monkeypatch.setenv("MATPLOTLIBRC", "mine")
    users = str(tmp_path / "the user's")
    monkeypatch.setenv("MPLCONFIGDIR", users)
    import_matplotlib(tmp_path)
    ((folder, environment),) = seen
    assert (folder, environment["MPLCONFIGDIR"]) == (str(tmp_path), str(tmp_path))
    assert "MATPLOTLIBRC" not in environment
    assert (os.environ["MATPLOTLIBRC"], os.environ["MPLCONFIGDIR"]) == ("mine", users)
    from matplotlib import font_manager

    folders = {os.path.dirname(font.fname) for font in font_manager.fontManager.ttflist}  # noqa: PTH120
    assert folders == {os.path.join(mpl.get_data_path(), "fonts", "ttf")}  # noqa: PTH118
