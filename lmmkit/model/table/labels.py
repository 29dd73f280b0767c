"""Labels of levels: the shortest text of a value, and the order in which levels stand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_WHOLE = re.compile(r"(?:(?:0|-?[1-9][0-9]{0,399})\n)*")
#: Whole floating numbers up to here are each one number and no other.
EXACT = 2.0**53


def label_of(value: Any) -> str:
    """The shortest text of a value: 308 for 308.0, every digit of an integer, the date of a midnight.

    >>> [label_of(value) for value in (308.0, 0.1, Decimal("1.50"), 9007199254740993, "007", True)]
    ['308', '0.1', '1.5', '9007199254740993', '007', 'True']
    """
    if isinstance(value, (float, np.floating)):
        return _of_float(cast("float | np.floating[Any]", value))
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def _of_float(value: float | np.floating[Any]) -> str:
    """Shortest digits that give the value back in its own precision; whole ones without point or exponent."""
    if np.isfinite(value) and float(value).is_integer() and abs(value) < 1e17:
        return str(int(value))
    return str(value)


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels by value where every one is a plainly written whole number, else by their bytes.

    >>> in_order(["10", "9", "-1"]), in_order(["10", "9", "a"])
    (['-1', '9', '10'], ['10', '9', 'a'])
    """
    known = list(labels)
    lines = "".join([f"{label}\n" for label in known])
    whole = _WHOLE.fullmatch(lines) and lines.count("\n") == len(known)  # a label may hold line ends
    return sorted(known, key=int) if whole else sorted(known)


def level_texts(levels: Any) -> NDArray[Any]:
    """Levels as text: whole numbers without a decimal point, others by their shortest digits."""
    values = pd.Index(levels)
    single = values.to_numpy() if pd.api.types.is_float_dtype(values.dtype) else values.tolist()
    return np.array([label_of(level) for level in single], object)
