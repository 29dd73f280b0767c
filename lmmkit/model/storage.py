"""A fit as a folder of JSON and Parquet, and back: exact, without pickles, without fitting again.

fit.json         the numbers, in full precision
data.parquet     the columns that the model uses, all rows, and the response as fitted
effects-0.parquet, effects-1.parquet, ...   the random effects of each term
known-0.parquet, ...   the known covariances between levels: a matrix with labels, or animal, sire and dam
digests.json     SHA-256 of each of these
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import DataError, LmmkitError
from lmmkit.model.design.design import Design, design_from_dict
from lmmkit.model.estimates import Estimates, estimates_from_dict

FORMAT = "lmmkit fit"
VERSION = 2
READ = (1, 2)  # version 1 knew no residual structures
NUMBERS, DATA, DIGESTS = "fit.json", "data.parquet", "digests.json"
EFFECTS, KNOWN = "effects-{}.parquet", "known-{}.parquet"
RESPONSE = "(response)"


def save(estimates: Estimates, path: str | os.PathLike[str]) -> Path:
    """Write a fit into a folder, whole or not at all; a fit saved there before is replaced.

    Args:
        estimates: The fit.
        path: The folder.

    Raises:
        DataError: The folder holds something else, or cannot be written.
    """
    target = Path(path)
    _refuse_other(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            _write(estimates, fresh)
            _put(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as fault:
        raise DataError(f"The fit cannot be saved to {target}: {fault.strerror or fault}.") from None
    return target


def load(path: str | os.PathLike[str]) -> Estimates:
    """Read a fit that `save` wrote.

    Args:
        path: The folder.

    Raises:
        DataError: There is no such folder, it holds no fit, or what it holds is damaged.
    """
    folder = Path(path)
    numbers = _read_numbers(folder)
    _check_digests(folder)
    try:
        return _rebuilt(folder, numbers)
    except LmmkitError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError) as fault:
        raise DataError(
            f"{folder}: the saved fit cannot be read ({type(fault).__name__}: {fault})."
        ) from None


def _refuse_other(target: Path) -> None:
    """Only a folder that is new, empty or a saved fit is written to."""
    if target.is_dir() and any(target.iterdir()) and not (target / DIGESTS).is_file():
        raise DataError(f"{target} holds other files; give a new folder to save the fit to.")
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file; give a folder to save the fit to.")


def _put(fresh: Path, target: Path) -> None:
    """The new folder in place of the old one."""
    if target.exists():
        old = Path(mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        target.rename(old / "old")
        fresh.rename(target)
        shutil.rmtree(old)
    else:
        fresh.rename(target)


def _write(estimates: Estimates, folder: Path) -> None:
    folder.chmod(0o755)
    numbers = {"format": FORMAT, "version": VERSION, "lmmkit": version("lmmkit"), **estimates.to_dict()}
    text = json.dumps(_plain(numbers), ensure_ascii=False, allow_nan=False, indent=1)
    (folder / NUMBERS).write_text(text + "\n", encoding="utf-8")
    _data(estimates.design).to_parquet(folder / DATA)
    for t, (b, v) in enumerate(zip(estimates.b, estimates.conditional_variances, strict=True)):
        _effects_frame(b, v).to_parquet(folder / EFFECTS.format(t))
    for i, known in enumerate(estimates.design.request.known.values()):
        known.frame().to_parquet(folder / KNOWN.format(i))
    digests = {file.name: _digest(file) for file in sorted(folder.iterdir())}
    (folder / DIGESTS).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")


def _data(design: Design) -> pd.DataFrame:
    """The columns that the model uses on all rows, and the response on the rows used."""
    source = design.source
    response = np.full(source.table.rows, np.nan)
    response[design.rows] = design.problem.response
    names = list(dict.fromkeys(design.request.columns()))
    return source.table.frame[names].assign(**source.vectors, **{RESPONSE: response})


def _effects_frame(b: Floats, variances: Floats) -> pd.DataFrame:
    """One row per level: b, then its covariance matrix row by row."""
    k = b.shape[1]
    columns = [f"b{i}" for i in range(k)] + [f"v{i},{j}" for i in range(k) for j in range(k)]
    return pd.DataFrame(np.hstack([b, variances.reshape(len(b), k * k)]), columns=columns)


def _read_numbers(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; give the folder that Fit.save wrote.")
    try:
        found: Any = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder} holds no saved fit: {NUMBERS} is missing.") from None
    except (OSError, ValueError) as fault:
        raise DataError(f"{folder / NUMBERS} cannot be read ({fault}); save the fit again.") from None
    numbers = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if numbers.get("format") != FORMAT:
        raise DataError(f"{folder / NUMBERS} is not a fit of lmmkit: its format is not {FORMAT!r}.")
    if numbers.get("version") not in READ:
        raise DataError(
            f"{folder} was written in version {numbers.get('version')} of the format and this lmmkit reads "
            f"versions {' and '.join(map(str, READ))}: use the lmmkit that wrote it "
            f"({numbers.get('lmmkit')}), or fit again."
        )
    return numbers


def _check_digests(folder: Path) -> None:
    """Every file as it was written."""
    try:
        digests: dict[str, str] = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
        wrong = [name for name in (NUMBERS, DATA) if name not in digests]
        wrong += [name for name, digest in digests.items() if _digest(folder / Path(name).name) != digest]
    except (OSError, ValueError, AttributeError, TypeError) as fault:
        raise DataError(f"{folder}: the saved fit is incomplete ({fault}); save the fit again.") from None
    if wrong:
        raise DataError(f"{folder}: {', '.join(wrong)} changed since the fit was saved; save the fit again.")


def _rebuilt(folder: Path, numbers: Mapping[str, Any]) -> Estimates:
    data = pd.read_parquet(folder / DATA)
    known = {
        group: pd.read_parquet(folder / KNOWN.format(i))
        for i, group in enumerate(numbers["design"].get("known", ()))
    }
    design = design_from_dict(numbers["design"], data.drop(columns=RESPONSE), known)
    response = data[RESPONSE].to_numpy()[design.rows]
    design = replace(design, problem=replace(design.problem, response=response))
    effects = [
        _effects(folder / EFFECTS.format(t), term.levels, len(term.columns))
        for t, term in enumerate(design.problem.terms)
    ]
    return estimates_from_dict(numbers, design, tuple(b for b, _ in effects), tuple(v for _, v in effects))


def _effects(file: Path, levels: int, k: int) -> tuple[Floats, Floats]:
    values = pd.read_parquet(file).to_numpy(dtype=np.float64)
    if values.shape != (levels, k + k * k):
        raise ValueError(f"{file.name} has the shape {values.shape}, not {(levels, k + k * k)}")
    return values[:, :k].copy(), values[:, k:].reshape(levels, k, k)


def _plain(value: Any) -> Any:
    """As JSON holds it; a number that JSON has no word for becomes text that `float` reads."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
