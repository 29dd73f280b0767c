"""Arguments that many verbs have: a choice, a number, a level, a seed; one wording for every refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import index
from typing import cast

import numpy as np

from lmmkit.errors import FitError

Seed = int | np.random.Generator
Progress = Callable[[int, int], None]  # called with what is done and what there is in all


def check_option(name: str, value: object, offered: Sequence[object]) -> None:
    """Refuse a value that is not offered.

    Raises:
        FitError: It is none of those offered.
    """
    if not any(value is option or value == option for option in offered):
        raise FitError(f"{name}={value!r} is not known. Choose one of: {', '.join(map(repr, offered))}.")


def whole(name: str, value: object, what: str) -> int:
    """A number of things.

    Raises:
        FitError: Not a whole number from 1 up.
    """
    try:
        number = 0 if isinstance(value, bool) else index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        number = 0
    if number < 1:
        raise FitError(f"{name}={value!r}: the number of {what} is a whole number from 1 up.")
    return number


def seed_of(seed: Seed) -> int:
    """A whole number to seed streams with; a generator gives its next one.

    Raises:
        FitError: Neither a whole number from 0 up nor a generator.
    """
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63))
    try:
        number = index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise FitError(f"seed={seed!r}: a whole number from 0 up is expected.")
    return number


def names_of(what: str, given: object) -> list[str]:
    """One name or several, as a list.

    Raises:
        FitError: It is no text, and no list of texts.
    """
    several = list(cast("Iterable[object]", given)) if isinstance(given, Iterable) else [None]
    found = [given] if isinstance(given, str) else several
    if not all(isinstance(name, str) for name in found):
        raise FitError(f"{what}={given!r:.60}: a name is expected, or a list of names.")
    return [str(name) for name in found]


def check_level(name: str, value: object, usual: float = 0.95) -> None:
    """Refuse what is no probability between 0 and 1.

    Raises:
        FitError: Not a number, or not between 0 and 1.
    """
    if not isinstance(value, (int, float)) or not 0.0 < value < 1.0:
        raise FitError(f"{name}={value!r}: a number between 0 and 1 is expected, such as {usual:g}.")
