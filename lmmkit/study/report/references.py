"""The literature behind a run's methods, as it is cited and as it is listed: what a run uses and no more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lmmkit.study.pages.marks import MarkedText, fill, join
from lmmkit.study.report.numbers import Files

FILE, OF_POSTERIOR = "references.json", "posterior_references.json"


class Work(NamedTuple):
    """A work.

    Attributes:
        cited: As in running text.
        listed: As in a list, with its DOI.
    """

    cited: str
    listed: str


#: By what they are about.
WORKS: Mapping[str, Work] = {
    key: Work(**work)
    for key, work in json.loads(Path(__file__).with_name("works.json").read_text(encoding="utf-8")).items()
}
CHECKS = {  # of assumptions, by the work that one is from
    "spread": "variance between groups",
    "trend": "variance along fitted values",
    "normality": "normal residuals",
    "envelope": "quantiles of residuals",
}


def used(files: Files) -> dict[str, dict[str, str]]:
    """The works behind a run, by what they are about, for `references.json`.

    Args:
        files: The run, with its tables.
    """
    degrees = str(files.table("coefficients")["method"].iloc[0]).partition(":")[0]
    checks, choice = files.table("checks"), files.json("selection.json")
    made = set(checks.loc[checks["verdict"] != "not checked", "check"])
    random = bool((files.table("components")["group"] != "Residual").any())
    sensitivity: dict[str, Any] = files.json("study.json").get("missing_data") or {}
    gaps: list[str] = sensitivity.get("assumptions", [])
    based = any(each != "tipping-point" for each in gaps)
    mixtures = files.table("comparisons")["reference"].astype(str).str.contains("+", regex=False)
    asked = {
        "maximal": choice["rule"] == "maximal",
        "parsimonious": choice["rule"] == "parsimonious",
        "matched": choice["rule"] in ("backward", "forward"),
        "caic": choice["criterion"] == "caic",
        "model": random,
        "reml": files.json("summary.json")["method"] == "REML",
        degrees.removesuffix("-observed"): True,
        "r2": True,
        "r2 slopes": random,
        "d": len(files.table("effect_sizes")) > 0,
        "boundary": bool(mixtures.any()),
        **{work: check in made for work, check in CHECKS.items()},
        "table": len(made) > 1,
        **dict.fromkeys(("imputation", "imputation df", "conditional mean"), bool(gaps)),
        "controlled": "tipping-point" in gaps,
        **dict.fromkeys(("reference-based", "anchored"), based),
        "guide": True,
    }
    return {key: work._asdict() for key, work in WORKS.items() if asked.get(key)}


def cite(files: Files, *keys: str) -> MarkedText:
    """` (Kenward & Roger, 1997)`, or nothing where the run does not use the works."""
    found = files.json(FILE)
    marks = [files.entry(FILE, key, "cited") for key in keys if key in found]
    return fill(" ({})", join("; ", marks)) if marks else MarkedText()


def bibliography(files: Files) -> list[MarkedText]:
    """The works in the order of their authors."""
    names = [FILE, *([OF_POSTERIOR] if files.json("study.json")["posterior"] else [])]
    found = {(name, key): work["listed"] for name in names for key, work in files.json(name).items()}
    return [
        fill("{}", files.entry(*place, "listed")) for place in sorted(found, key=lambda place: found[place])
    ]
