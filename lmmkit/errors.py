"""Every error that lmmkit raises on purpose.

A message says what was found, what was expected, and what to do next.

    LmmkitError
    ├── FormulaError      the formula cannot be read, or asks for what is not offered
    ├── DataError         the data cannot be used: a column, a value, a level, a file
    ├── FitError          the model cannot be estimated from these data: refused, not guessed
    ├── StudyError        a study file is wrong; carries file, line and column of every fault
    └── RunError          a run, its folder or one of its steps cannot go on

and the one warning it gives on purpose: a `PartialResult` is NaN somewhere, and says where and why.
"""

import difflib
from collections.abc import Collection


class LmmkitError(Exception):
    """Base of all errors raised on purpose; catching it catches nothing else."""


class PartialResult(UserWarning):
    """Part of what was asked for could not be found; it is NaN in the result."""


class FormulaError(LmmkitError):
    """The formula cannot be read, or names something that is not offered."""


class DataError(LmmkitError):
    """The data cannot be used as the model asks."""


class FitError(LmmkitError):
    """The model cannot be estimated from these data."""


class StudyError(LmmkitError):
    """A study file is wrong."""


class RunError(LmmkitError):
    """A run, its folder or one of its steps cannot go on."""


def unknown_column(name: str, columns: Collection[str]) -> str:
    """The sentence about a column that does not exist, with the nearest names."""
    near = did_you_mean(name, [str(known) for known in columns])
    listed = ", ".join(map(str, list(columns)[:12])) + (", ..." if len(columns) > 12 else "")
    return f"there is no column `{name}`{near or '.'} Columns: {listed}."


def did_you_mean(word: str, words: Collection[str]) -> str:
    """The question whether the nearest of `words` was meant, or nothing."""
    lowered = {known.lower(): known for known in words}
    near = difflib.get_close_matches(word.lower(), list(lowered), 1, 0.6)
    return f"; did you mean `{lowered[near[0]]}`?" if near else ""
