"""Expressions over columns: read, checked against a closed list, evaluated without Python's `eval`.

An expression may hold columns, constants, arithmetic and the documented functions; a condition also
comparisons, `and`, `or`, `not` and lists. `^` is a power with R's precedence. Attributes, subscripts,
calls of anything else cannot be written, so nothing but the documented functions can ever run.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from lmmkit.errors import FormulaError
from lmmkit.model.formula.checker import Checker, Purpose
from lmmkit.model.formula.functions import FUNCTIONS
from lmmkit.model.formula.safe_expressions import CODINGS, MARKERS, call_name
from lmmkit.model.formula.tokens import Token, is_name, quote, tokenize

_OPERATORS = {"^": "**", "%%": "%", "%/%": "//"}
_LOGICAL = {"&": " and ", "&&": " and ", "|": " or ", "||": " or ", "!": " not ", "%in%": " in "}
_KEYWORDS = {"Boundary.knots": "boundary_knots", "intercept": "include_intercept"}
_CONSTANTS = {"TRUE": "True", "FALSE": "False", "NULL": "None"}
_WORDS = ("and", "or", "not", "in")


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Attributes:
        text: Canonical text, which names its columns in a design: `log(x)`, `I(x ** 2)`.
        variables: Names of the columns it uses, in order of appearance.
        tree: The checked tree, its columns written as `aliases`; None for a column alone.
        aliases: (identifier in the tree, column) pairs.
        purpose: What it was read for.
    """

    text: str
    variables: tuple[str, ...]
    tree: ast.expr | None = field(default=None, compare=False, repr=False)
    aliases: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)
    purpose: Purpose = field(default="formula", compare=False, repr=False)

    @property
    def is_column(self) -> bool:
        """Whether it is a column as it stands."""
        return self.tree is None

    def __str__(self) -> str:
        return quote(self.text) if self.is_column else self.spell(quote)

    def part(self, node: ast.expr) -> str:
        """Text of a part of its tree."""
        return _spell(node, self.aliases, str)

    def inner(self, node: ast.expr) -> Expression:
        """A part of its tree as an expression of its own."""
        columns = dict(self.aliases)
        if isinstance(node, ast.Name):
            return column(columns[node.id])
        used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        variables = tuple(name for alias, name in self.aliases if alias in used)
        return Expression(self.part(node), variables, node, self.aliases)

    def spell(self, write: Callable[[str], str]) -> str:
        """Its text with each column written by `write`."""
        assert self.tree is not None
        return _spell(self.tree, self.aliases, write)


def column(name: str, purpose: Purpose = "formula") -> Expression:
    """The expression that is one column."""
    return Expression(name, (name,), purpose=purpose)


def parse_expression(text: str, purpose: Purpose = "formula") -> Expression:
    """Read and check one expression.

    Args:
        text: The expression.
        purpose: formula (arithmetic and the formula's functions), derive (group_mean too) or
            exclude (a condition).

    Raises:
        FormulaError: It cannot be read, or asks for what is not offered.

    >>> parse_expression("log(Sepal.Length)^2").text
    'log(Sepal.Length) ** 2'
    """
    return read_expression(tokenize(text), text, purpose)


def check_expression(text: str, columns: Collection[str], purpose: Purpose = "exclude") -> Expression:
    """Read `text` and check that its columns are among `columns`.

    Raises:
        FormulaError: As `parse_expression`, or a column that does not exist.

    >>> check_expression("Days > 2 and Subject != '335'", ["Days", "Subject"]).variables
    ('Days', 'Subject')
    """
    expression = parse_expression(text, purpose)
    missing = [name for name in expression.variables if name not in columns]
    if missing:
        raise FormulaError(f"In `{text}`: {unknown_column(missing[0], columns)}")
    return expression


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


def read_expression(tokens: Sequence[Token], source: str, purpose: Purpose = "formula") -> Expression:
    """Read and check the expression that `tokens` of `source` spell."""
    if not tokens:
        raise FormulaError(f"An expression is empty in `{source}`.")
    if len(tokens) == 1 and is_name(tokens[0]):
        return column(tokens[0].text, purpose)
    text = source[tokens[0].start : tokens[-1].end]
    python, aliases = _as_python(tokens, text, purpose)
    tree = _parse(python, text)
    pairs = tuple((alias, name) for name, alias in aliases.items())
    checker = Checker(text, dict(pairs), purpose)
    checker.check(tree)
    return Expression(_spell(tree, pairs, str), tuple(checker.variables), tree, pairs, purpose)


def read_number(tokens: Sequence[Token], source: str) -> Expression:
    """Read an expression of a formula that must be numbers, such as the response or an offset."""
    expression = read_expression(tokens, source)
    if expression.tree is not None and call_name(expression.tree) in MARKERS:
        raise FormulaError(f"`{expression}` in `{source}` is a factor; numbers are expected there.")
    return expression


def _as_python(tokens: Sequence[Token], text: str, purpose: Purpose) -> tuple[str, dict[str, str]]:
    """The tokens as Python would write them, with identifiers for columns: {column: identifier}."""
    prefix = "c_"
    while prefix in text:
        prefix += "_"
    aliases: dict[str, str] = {}
    words = [
        _python_word(token, following, aliases, prefix, purpose)
        for token, following in zip(tokens, [*tokens[1:], None], strict=True)
    ]
    return "".join(words), aliases


def _python_word(
    token: Token, following: Token | None, aliases: dict[str, str], prefix: str, purpose: Purpose
) -> str:
    after = following.text if following is not None and following.kind == "operator" else ""
    if token.kind == "name":
        return _python_name(token, after, aliases, prefix, purpose)
    if token.kind == "number":
        return token.text.rstrip("L") + " "
    if token.kind == "operator":
        logical = _LOGICAL if purpose == "exclude" else {}
        return logical.get(token.text) or _OPERATORS.get(token.text, token.text)
    return token.text


def _python_name(token: Token, after: str, aliases: dict[str, str], prefix: str, purpose: Purpose) -> str:
    name = token.text
    if not token.quoted:
        if name in _WORDS and purpose == "exclude":
            return f" {name} "
        if after == "(":
            return _function_name(name, purpose)
        if after == "=":
            return _KEYWORDS.get(name, name)
        if not is_name(token):
            return _CONSTANTS.get(name, name)
    return f" {aliases.setdefault(name, f'{prefix}{len(aliases)}')} "


def _function_name(name: str, purpose: Purpose) -> str:
    known = [*FUNCTIONS, *MARKERS, *(("group_mean",) if purpose == "derive" else ())]
    if name in known or name == "c":
        return name
    coding = name.removeprefix("contr.").lower()
    if coding in CODINGS:
        return coding
    near = did_you_mean(name, known)
    raise FormulaError(
        f"`{name}()` is not a function of the formula language{near}. Offered: {', '.join(known)}, offset."
    )


def _parse(python: str, text: str) -> ast.expr:
    try:
        return ast.parse(python.strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError, ValueError):
        raise FormulaError(f"Cannot read `{text}` as an expression.") from None


def _spell(tree: ast.expr, aliases: tuple[tuple[str, str], ...], write: Callable[[str], str]) -> str:
    named = dict(aliases)
    if not named:
        return ast.unparse(tree)
    pattern = re.compile(r"\b(?:" + "|".join(named) + r")\b")
    return pattern.sub(lambda found: write(named[found.group()]), ast.unparse(tree))
