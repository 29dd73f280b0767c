"""A fit as the first call in a process of its own, from a DataFrame and a formula, beside one peer in R.

CPU seconds of one thread; of the peer those of its call alone. It is asked once, where R has it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from fits import ONE_THREAD
from workloads import CACHE, HERE, peak_memory

Record = dict[str, Any]


class Study(ABC):
    """What is fitted; a script of its module's name in R asks the peer.

    Attributes:
        package: The peer's.
        module: The file that fits the study whose name it is called with.
        peer: Whether the peer is asked.
    """

    package: ClassVar[str]
    module: ClassVar[Path]
    peer: bool

    @property
    @abstractmethod
    def name(self) -> str:
        """In words."""

    @abstractmethod
    def frame(self) -> pd.DataFrame:
        """Its rows."""

    @property
    @abstractmethod
    def model(self) -> tuple[str, str]:
        """Formula and residual structure."""

    def peers_arguments(self) -> Sequence[str]:
        """What the script is told beside the table."""
        return ()

    def measure_ours(self) -> Record:
        """One fit, and its certificate."""
        import lmmkit

        (formula, residual), frame = self.model, self.frame()
        begin = time.process_time()
        fit = lmmkit.lmm(formula, frame, residual=residual)
        fitted = time.process_time()
        passed = fit.certificate.passed
        return {
            "seconds": fitted - begin,
            "certificate": time.process_time() - fitted,
            "passed": passed,
            "rows": fit.nobs,
            "deviance": fit.deviance,
            **({"range": float(fit.residual_params["range"])} if "range" in fit.residual_params else {}),
            "evaluations": fit.evaluations,
            "converged": fit.converged,
            "peak_mb": peak_memory(),
            "version": "lmmkit",
        }

    def measure(self, engine: str) -> Record:
        """One measurement, in a process."""
        command: list[str | Path] = [sys.executable, self.module, self.name]
        if engine == self.package:
            path = CACHE / f"{self.module.stem}.csv"
            CACHE.mkdir(exist_ok=True)
            self.frame().to_csv(path, index=False)
            command = ["Rscript", HERE / f"{self.module.stem}.R", path, *self.peers_arguments()]
        environment = os.environ | ONE_THREAD
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return {"trial": self.name, "engine": engine, **json.loads(done.stdout.splitlines()[-1])}


def has_packages(*packages: str) -> bool:
    """Whether R is there with some packages."""
    asked = ["Rscript", "-e", "; ".join(f"library({package})" for package in packages)]
    return (
        shutil.which("Rscript") is not None
        and subprocess.run(asked, capture_output=True, check=False).returncode == 0
    )


def run(studies: Iterable[Study], rounds: int) -> list[Record]:
    """Every study: ours several times, the peer once."""
    records: list[Record] = []
    for study in studies:
        asked = study.peer and has_packages(study.package)
        for engine in ["lmmkit"] * rounds + [study.package] * asked:
            records.append(study.measure(engine))
            print(json.dumps(records[-1]), flush=True)
    return records
