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
