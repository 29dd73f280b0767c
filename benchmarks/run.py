"""All benchmarks in one run: `python benchmarks/run.py` writes results.json and docs/benchmarks.md.

With --engines lmmkit,lme4 or --workloads a,d some of the fits run alone, and benchmarks/.data/partial.md is
written instead; --rounds 5 says how often each fit is repeated. With --visits or --serial the repeated visits
or serial correlation alone are measured again, and everything else on the page stays as it was.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import first_fits
import fits
import methods
import startup
import sweeps
from page import page
from serial import SERIES
from visits import TRIALS
from workloads import CACHE, HERE, WORKLOADS, prepare

RESULTS, PAGE = HERE / "results.json", HERE.parent / "docs" / "benchmarks.md"


def arguments() -> argparse.Namespace:
    """What to run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(fits.ENGINES))
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--visits", action="store_true")
    parser.add_argument("--serial", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Measure, then write the figures and the page."""
    chosen = arguments()
    if chosen.visits or chosen.serial:
        figures = json.loads(RESULTS.read_text())
        with fits.pinned():
            if chosen.visits:
                figures["visits"] = first_fits.run(TRIALS.values(), chosen.rounds)
            if chosen.serial:
                figures["serial"] = first_fits.run(SERIES.values(), chosen.rounds)
        write(figures, RESULTS, PAGE)
        return
    whole = chosen.engines == list(fits.ENGINES) and chosen.workloads == list(WORKLOADS)
    prepare()
    fits.install_peers()
    engines = [engine for engine in chosen.engines if fits.available(engine)]
    figures: dict[str, Any] = {"machine": machine()}
    with fits.pinned():
        figures["fits"] = fits.run(engines, chosen.workloads, chosen.rounds)
        figures["visits"] = first_fits.run(TRIALS.values(), chosen.rounds) if whole else []
        figures["serial"] = first_fits.run(SERIES.values(), chosen.rounds) if whole else []
        figures["methods"] = methods.run(chosen.rounds) if whole else []
    if whole:
        figures |= {"startup": startup.run(chosen.rounds), "sweep": sweeps.run()}
    write(figures, *((RESULTS, PAGE) if whole else partial()))


def write(figures: dict[str, Any], results: Path, target: Path) -> None:
    """The figures, and the page made of them."""
    results.write_text(json.dumps(figures, indent=1) + "\n")
    target.write_text(page(figures))
    print(page(figures))


def partial() -> tuple[Path, Path]:
    """Where a part of the benchmarks is written."""
    return CACHE / "partial.json", CACHE / "partial.md"


def machine() -> str:
    """Processor, cores and system, in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.processor()
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
