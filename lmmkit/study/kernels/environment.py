"""The environment of kernels: what is named here, and nothing else of whoever starts a run.

Equal inputs give equal bytes only where no setting of the user's reaches a kernel: threads, locale, time
zone, hash seed, warnings, configuration of IPython, Jupyter and matplotlib.
"""

from __future__ import annotations

import logging
import os
from contextlib import chdir
from pathlib import Path
from typing import Any

from lmmkit.study.data.sources import ALLOW_OUTSIDE

#: What a kernel is given of the user's: where programs, packages and the user's own folders are.
_KEPT = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "VIRTUAL_ENV", "CONDA_PREFIX",
        "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
        "PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONUSERBASE", "PYTHONPLATLIBDIR",
        "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX",
        "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
    }
)  # fmt: skip
_OURS = "LMMKIT_"
_FIXED = {
    # One BLAS thread and one order of sets.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Threads that only read files, and memory set aside for each thread: little is enough.
    "ARROW_IO_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONHASHSEED": "0",
    # Every system has the locale C; Python's text is UTF-8 all the same.
    "LC_ALL": "C",
    "PYTHONUTF8": "1",
    "TZ": "UTC",
    # Set by ipykernel else, too late for a kernel whose imports are there already.
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


def worker_environment() -> dict[str, str]:
    """Returns the environment variables of a process that starts kernels for another one."""
    return {**_kept(), **_FIXED, **{name: os.environ[name] for name in ("TMPDIR",) if name in os.environ}}


def _kept() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_OURS)}


def kernel_environment(folder: Path, *, allow_outside: bool) -> dict[str, str]:
    """Returns the environment variables of kernels.

    Args:
        folder: A private folder; IPython's own files and temporary files go there.
        allow_outside: Whether the data may lie outside the study's folder.
    """
    own = {"IPYTHONDIR": str(folder), "TMPDIR": str(folder)}
    return {**_kept(), **_FIXED, **own, ALLOW_OUTSIDE: "1" if allow_outside else "0"}


def import_matplotlib(folder: Path) -> None:
    """Import matplotlib with its own defaults and its own fonts, not those of the user or the machine.

    It reads `matplotlibrc` from the working directory and from the user's folders once, when it is imported.

    Args:
        folder: An empty folder.
    """
    names = ("MATPLOTLIBRC", "MPLCONFIGDIR")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ["MPLCONFIGDIR"] = str(folder)
    try:
        with chdir(folder):
            import matplotlib as mpl

            mpl.get_configdir()  # kept from now on
    finally:
        del os.environ["MPLCONFIGDIR"]
        os.environ.update(before)
    # The list of fonts is read from the user's cache, where there is one: making it anew takes seconds.
    logger = logging.getLogger("matplotlib")
    logger.setLevel(logging.ERROR)  # it would speak of a cache that cannot be written
    from matplotlib import font_manager

    logger.setLevel(logging.NOTSET)
    manager: Any = font_manager.fontManager
    fonts = Path(mpl.get_data_path(), "fonts", "ttf")
    manager.ttflist = []
    for path in sorted(fonts.glob("*.ttf")):
        manager.addfont(path)
