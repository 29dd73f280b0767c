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
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lmmkit.escape import terminal

Subject = tuple[str | int, ...]


class _LineByLine(Exception):  # noqa: N818  (no error by itself: what errors and warnings have in common)
    """Its arguments are the lines of its message; nothing in a line reaches beyond it."""

    def __str__(self) -> str:
        return "\n".join(map(terminal, self.args))


class LmmkitError(_LineByLine):
    """Base of all errors raised on purpose; catching it catches nothing else.

    Attributes:
        about: What it is about, such as ("weights",) or ("columns", "age"); (): nothing in particular.
        several: The single errors, where several are said at once.
    """

    about: Subject = ()
    several: tuple["LmmkitError", ...] = ()

    @property
    def parts(self) -> tuple["LmmkitError", ...]:
        """The single errors: itself, where it is one."""
        return self.several or (self,)

    def place(self, about: Subject) -> None:
        """Say what it and its parts are about, before what they are about within that."""
        for part in self.parts:
            part.about = (*about, *part.about)


class PartialResult(_LineByLine, UserWarning):
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


class Findings:
    """Errors kept until all of them can be said at once.

    >>> found = Findings()
    >>> for column in ("x", "z"):
    ...     with found.part(column):
    ...         raise DataError(f"{column} is empty")
    >>> [error.about for error in found.errors]
    [('x',), ('z',)]
    """

    def __init__(self) -> None:
        self.errors: list[LmmkitError] = []

    def part(self, *about: str | int) -> "_Part":
        """Keep what is raised within, and what it is about; the lines after it are run all the same."""
        return _Part(self, about)

    def raise_found(self) -> None:
        """Raise what was found, as one error, or do nothing.

        Raises:
            LmmkitError: of the kind of the first one found.
        """
        if self.errors:
            raise self.joined()

    def joined(self) -> LmmkitError:
        """What was found, as one error."""
        if len(self.errors) == 1:
            return self.errors[0]
        lines = "\n".join(f"- {error}" for error in self.errors).split("\n")
        joined = type(self.errors[0])(f"{len(self.errors)} things are to be mended:", *lines)
        joined.several = tuple(self.errors)
        return joined


@contextmanager
def concerning(*about: str | int) -> Generator[None]:
    """What is raised within is about this.

    >>> try:
    ...     with concerning("columns", "x"):
    ...         raise DataError("x is empty")
    ... except DataError as error:
    ...     error.about
    ('columns', 'x')
    """
    try:
        yield
    except LmmkitError as error:
        error.place(about)
        raise


@dataclass(frozen=True)
class _Part:
    """Keeps the errors raised within a `with`."""

    findings: Findings
    about: Subject

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, LmmkitError):
            return False
        error.place(self.about)
        known = {str(other) for other in self.findings.errors}
        self.findings.errors += [part for part in error.parts if str(part) not in known]
        return True


def first_of(parts: Sequence[str], most: int, separator: str = ", ") -> str:
    """The first of some parts of a list, and how many more there are.

    >>> first_of(["a", "b", "c"], 2), first_of(["a = 1", "b = 2"], 1, "; ")
    ('a, b and 1 more', 'a = 1; and 1 more')
    """
    left = len(parts) - most
    more = f"{separator.strip(', ')} and {left:,} more" if left > 0 else ""
    return separator.join(parts[:most]) + more


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
