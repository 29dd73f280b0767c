"""Expressions over columns: read, checked against a closed list, evaluated without Python's `eval`.

An expression may hold columns, constants, arithmetic and the documented functions; a condition also
comparisons, `and`, `or`, `not` and lists. `^` is a power with R's precedence. Attributes, subscripts,
calls of anything else cannot be written, so nothing but the documented functions can ever run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, cast

from lmmkit.errors import FormulaError, did_you_mean, unknown_column
from lmmkit.model.formula.functions import FUNCTIONS

LONGEST = 10_000
DEEPEST_BRACKETS = 40

_TOKENS = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L?(?![\w.]))
      | (?P<name>`(?:[^`\\]|\\.)+`|(?:[^\W\d]|\.(?!\d))[\w.]*)
      | (?P<string>"[^"\\]*"|'[^'\\]*')
      | (?P<operator>%in%|%/%|%%|\|\||&&|\*\*|<=|>=|==|!=|[-+*/:^|~<>!&=%,()\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_BARE = re.compile(r"(?:[^\W\d]|\.(?!\d))[\w.]*\Z")
_CONSTANTS = frozenset(("TRUE", "FALSE", "NULL", "True", "False", "None"))
_WORDS = ("and", "or", "not", "in")
#: Words that are no column unless they stand in back-quotes.
_RESERVED = _CONSTANTS | {".", *_WORDS}


@dataclass(frozen=True, slots=True)
class Token:
    """One word: its kind (number, name, string, operator), its text without back-quotes, its place."""

    kind: str
    text: str
    start: int
    end: int
    quoted: bool = False


def tokenize(text: str) -> list[Token]:
    """Words of `text`, in order.

    Raises:
        FormulaError: A character that no word begins with, brackets that do not match, or a text
            beyond the bounds (10,000 characters, brackets 40 deep).
    """
    if len(text) > LONGEST:
        raise FormulaError(f"The text has {len(text):,} characters; at most {LONGEST:,} are read.")
    tokens = list(_scan(text))
    _check_brackets(tokens, text)
    return tokens


def _scan(text: str):
    place = 0
    while place < len(text):
        found = _TOKENS.match(text, place)
        if found is None:
            raise FormulaError(_unreadable(text, place))
        if found.lastgroup != "space":
            yield _token(found)
        place = found.end()


def _token(found: re.Match[str]) -> Token:
    kind, text = str(found.lastgroup), found.group()
    quoted = text.startswith("`")
    return Token(kind, _unquoted(text) if quoted else text, found.start(), found.end(), quoted)


def _unreadable(text: str, place: int) -> str:
    return (
        f"Cannot read `{text[place]}` at character {place + 1} of `{text}`. "
        "Column names with special characters go between back-quotes, where \\` is a back-quote and "
        "\\\\ a back-slash."
    )


def _check_brackets(tokens: list[Token], text: str) -> None:
    opened: list[str] = []
    for token in tokens:
        if token.kind != "operator":
            continue
        if token.text in "([":
            opened.append(")" if token.text == "(" else "]")
        elif token.text in ")]" and (not opened or opened.pop() != token.text):
            raise FormulaError(f"`{token.text}` at character {token.start + 1} of `{text}` closes nothing.")
        if len(opened) > DEEPEST_BRACKETS:
            raise FormulaError(f"Brackets are more than {DEEPEST_BRACKETS} deep in `{text[:60]}...`.")
    if opened:
        raise FormulaError(f"`{opened[-1]}` is missing in `{text}`.")


def is_name(token: Token) -> bool:
    """Whether the word names a column (constants such as TRUE, and the dot, do not unless back-quoted)."""
    return token.kind == "name" and (token.quoted or token.text not in {*_CONSTANTS, "."})


def quote(name: str) -> str:
    r"""`name` as a formula must write it: in back-quotes, as R does it, unless it reads as one word.

    >>> print(quote("dose"), quote("dose (mg)"), quote("a`b"))
    dose `dose (mg)` `a\`b`
    """
    return name if _BARE.match(name) and name not in _RESERVED else _quoted(name)


def _quoted(name: str) -> str:
    escaped = name.replace("\\", r"\\").replace("`", r"\`")
    return f"`{escaped}`"


def named_column(text: str) -> str:
    """The column that a word of a formula names: what stands in back-quotes, and any other text itself.

    >>> named_column("`dose (mg)`"), named_column("dose (mg)")
    ('dose (mg)', 'dose (mg)')
    """
    found = _TOKENS.fullmatch(text)
    return _unquoted(text) if found and text.startswith("`") else text


def _unquoted(text: str) -> str:
    """What stands between back-quotes; a back-slash hides one of the two, all else is itself."""
    return re.sub(r"\\([`\\])", r"\1", text[1:-1])


# Lists of words between operators, for readers of small languages such as that of residual structures


def closing(tokens: Sequence[Token]) -> int:
    """Place of the bracket that closes the one at place 1, or -1."""
    depth = 0
    for place, token in enumerate(tokens):
        if token.kind == "operator":
            depth += (token.text in "([") - (token.text in ")]")
            if place and depth == 0:
                return place
    return -1


def split(tokens: Sequence[Token], operator: str) -> list[list[Token]]:
    """The words between the operators of one kind that stand outside brackets."""
    parts, depth = [list[Token]()], 0
    for token in tokens:
        if token.kind == "operator":
            depth += (token.text in "([") - (token.text in ")]")
            if depth == 0 and token.text == operator:
                parts.append([])
                continue
        parts[-1].append(token)
    return parts


def spelled(tokens: Sequence[Token], source: str) -> str:
    """The words as typed."""
    quoted = [f"`{token.text}`" if token.quoted else token.text for token in tokens]
    return "".join(f" {word} " if word in ("|", "+") else word for word in quoted) or source


def inside_brackets(tokens: Sequence[Token]) -> list[Token]:
    """What stands in the brackets that begin at place 1; nothing where there are none."""
    opened = len(tokens) > 2 and tokens[1].text == "("
    return list(tokens[2 : closing(tokens)]) if opened else []


# Calls and their options

LONGEST_LIST = 1_000
MOST_COLUMNS = 100
CODINGS = ("treatment", "sum", "helmert", "poly", "diff", "sas")
MARKERS = ("C", "factor")


def call_name(node: ast.expr) -> str | None:
    """Name of the function that `node` calls, or None."""
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return name
        case _:
            return None


def constant(node: ast.expr) -> Any:
    """The constant that `node` spells: a number, text, True, False, None or a list of them.

    Raises:
        ValueError: It is no constant, or beyond the bounds.
    """
    match node:
        case ast.Constant(value=bool() | str() | None):
            return node.value
        case ast.Constant(value=int() | float()):
            if abs(node.value) > LARGEST:  # type: ignore[arg-type]
                raise ValueError("a number is too large")
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            return -constant(node.operand)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return _constants(items)
        case ast.Call(func=ast.Name(id="c"), args=items, keywords=[]):
            return _constants(items)
        case _:
            raise ValueError(f"`{ast.unparse(node)}` must be a constant")


def _constants(items: list[ast.expr]) -> list[Any]:
    if len(items) > LONGEST_LIST:
        raise ValueError(f"a list holds at most {LONGEST_LIST:,} values")
    return [constant(item) for item in items]


def bind(call: ast.Call) -> dict[str, Any]:
    """Options of a call of a documented function, defaults filled in.

    Raises:
        ValueError: An option that is unknown, given twice, or out of bounds.
    """
    name = str(call_name(call))
    options = dict(FUNCTIONS[name].options)
    given = _given(call, list(options))
    unknown = [word for word in given if word not in options]
    if unknown:
        offered = ", ".join(options) or "none"
        raise ValueError(f"`{name}()` has no option `{unknown[0]}` (options: {offered})")
    for word in ("df", "degree"):
        value = given.get(word)
        if value is not None and not (isinstance(value, int) and 0 < value <= MOST_COLUMNS):
            raise ValueError(f"`{word}` of `{name}()` is a whole number from 1 to {MOST_COLUMNS}")
    knots = given.get("knots")
    if isinstance(knots, list) and len(cast("list[Any]", knots)) > MOST_COLUMNS:
        raise ValueError(f"`knots` of `{name}()` are at most {MOST_COLUMNS}")
    return options | given


def _given(call: ast.Call, positions: list[str]) -> dict[str, Any]:
    values = [constant(node) for node in call.args[1:]]
    if len(values) > len(positions):
        raise ValueError(f"`{call_name(call)}()` takes at most {len(positions) + 1} arguments")
    given = dict(zip(positions, values, strict=False))
    for word in call.keywords:
        if word.arg is None or word.arg in given:
            raise ValueError(f"`{word.arg}` is given twice")
        given[word.arg] = constant(word.value)
    return given


@dataclass(frozen=True)
class CodingRequest:
    """What `C()` or `factor()` asks for: a coding by name, its base level, the levels in order."""

    kind: str | None = None
    base: Any = None
    levels: tuple[Any, ...] | None = None


def coding_request(call: ast.Call, columns: Mapping[str, str]) -> CodingRequest:
    """Read the options of `C(x, sum)`, `C(x, treatment("b"))`, `factor(x, levels=["b", "a"])`.

    Raises:
        ValueError: An option that is not offered.
    """
    words = {word.arg: word.value for word in call.keywords}
    coding = words.pop("contrasts", None) or (call.args[1] if len(call.args) > 1 else None)
    levels = words.pop("levels", None)
    if words or len(call.args) > 2:
        raise ValueError(f"`{call_name(call)}()` takes a column, a coding and `levels`")
    kind, base = (None, None) if coding is None else _coding(coding, columns)
    return CodingRequest(kind, base, None if levels is None else tuple(constant(levels)))


def _coding(node: ast.expr, columns: Mapping[str, str]) -> tuple[str, Any]:
    base = None
    match node:
        case ast.Constant(value=str(word)):
            pass
        case ast.Name(id=alias):
            word = columns.get(alias, alias)
        case ast.Call(func=ast.Name(id=word), args=args, keywords=words) if len(args) + len(words) <= 1:
            base = next((constant(item) for item in [*args, *(w.value for w in words)]), None)
        case _:
            word = "?"
    kind = word.removeprefix("contr.").lower()
    if kind not in CODINGS:
        raise ValueError(f"the coding of a factor is one of {', '.join(CODINGS)}")
    return kind, base


Purpose = Literal["formula", "derive", "exclude"]

DEEPEST = 100
LARGEST = 1e300
LARGEST_POWER = 100

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.Mod, ast.FloorDiv)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)


@dataclass
class _Checker:
    """One pass over a tree; `variables` are the columns found, in order.

    Attributes:
        text: The expression as typed, for messages.
        columns: {identifier in the tree: column}.
        purpose: What the expression is for, which decides what it may hold.
    """

    text: str
    columns: Mapping[str, str]
    purpose: Purpose
    variables: list[str] = field(default_factory=list[str])

    def check(self, tree: ast.expr) -> None:
        """Check a whole expression.

        Raises:
            FormulaError: At the first thing that is not offered.
        """
        try:
            self._check_depth(tree)
            if self.purpose == "exclude":
                self._condition(tree)
            elif self.purpose == "formula" and isinstance(tree, ast.Call) and call_name(tree) in MARKERS:
                self._value(self._first(tree))
                coding_request(tree, self.columns)
            else:
                self._value(tree, top=self.purpose == "formula")
            if not self.variables:
                raise ValueError("it uses no column")
        except ValueError as fault:
            raise FormulaError(f"`{self.text}` cannot be used: {fault}.") from None

    def _check_depth(self, tree: ast.expr) -> None:
        layer: list[ast.AST] = [tree]
        for _ in range(DEEPEST + 2):
            layer = [node for parent in layer for node in ast.iter_child_nodes(parent)]
            if not layer:
                return
        raise ValueError(f"it is nested more than {DEEPEST} deep")

    def _condition(self, node: ast.expr) -> None:
        match node:
            case ast.BoolOp(values=values):
                for value in values:
                    self._condition(value)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self._condition(operand)
            case ast.Compare(left=left, ops=ops, comparators=others):
                self._comparison(left, ops, others)
            case ast.Name():
                self._column(node)
            case _:
                raise ValueError(
                    "a condition compares columns: `Days > 2`, `site in ['a', 'b']`, joined by and, or, not"
                )

    def _comparison(self, left: ast.expr, ops: list[ast.cmpop], others: list[ast.expr]) -> None:
        if not all(isinstance(op, _COMPARISONS) for op in ops):
            raise ValueError("only ==, !=, <, <=, >, >=, in and not in compare")
        for op, side in zip((None, *ops), (left, *others), strict=True):
            if isinstance(op, (ast.In, ast.NotIn)):
                constant(side)
            elif not (isinstance(side, ast.Constant) and isinstance(side.value, str)):
                self._value(side)

    def _value(self, node: ast.expr, *, top: bool = False) -> None:
        match node:
            case ast.Constant():
                self._number(node.value)
            case ast.Name():
                self._column(node)
            case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
                self._value(operand)
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _ARITHMETIC):
                size = right.operand if isinstance(right, ast.UnaryOp) else right
                exponent = size.value if isinstance(size, ast.Constant) else 1
                if isinstance(op, ast.Pow) and abs(self._number(exponent)) > LARGEST_POWER:
                    raise ValueError(f"a power is at most {LARGEST_POWER}")
                self._value(left)
                self._value(right)
            case ast.Call(func=ast.Name(id=name)):
                self._call(node, name, top=top)
            case _:
                raise ValueError(
                    "an expression holds columns, numbers, + - * / ^ and the documented functions"
                )

    def _number(self, value: object) -> float:
        if not isinstance(value, (int, float)) or abs(value) > LARGEST:
            raise ValueError(f"{value!r} is not a number to calculate with")
        return value

    def _column(self, node: ast.Name) -> None:
        name = self.columns.get(node.id)
        if name is None:
            raise ValueError(f"`{node.id}` needs brackets and an argument")
        if name not in self.variables:
            self.variables.append(name)

    def _call(self, node: ast.Call, name: str, *, top: bool) -> None:
        if name == "group_mean":
            if len(node.args) != 2 or node.keywords or not isinstance(node.args[1], ast.Name):
                raise ValueError("group_mean takes a column and a grouping column: group_mean(x, g)")
            self._value(node.args[0])
            self._column(node.args[1])
            return
        if name in MARKERS:
            raise ValueError(f"`{name}()` makes a factor: it stands alone, in a formula")
        if name not in FUNCTIONS:
            raise ValueError(f"`{name}()` has no meaning here")
        if FUNCTIONS[name].wide and not top:
            raise ValueError(f"`{name}()` makes several columns: it stands alone, in a formula")
        self._value(self._first(node))
        bind(node)

    def _first(self, node: ast.Call) -> ast.expr:
        if not node.args or isinstance(node.args[0], ast.Starred):
            raise ValueError(f"`{call_name(node)}()` takes a column first")
        return node.args[0]


_OPERATORS = {"^": "**", "%%": "%", "%/%": "//"}
_LOGICAL = {"&": " and ", "&&": " and ", "|": " or ", "||": " or ", "!": " not ", "%in%": " in "}
_KEYWORDS = {"Boundary.knots": "boundary_knots", "intercept": "include_intercept"}
_PYTHON_CONSTANTS = {"TRUE": "True", "FALSE": "False", "NULL": "None"}


@dataclass(frozen=True)
class Expression:
    """A checked expression; two are equal when they mean the same, however they are spelled.

    Attributes:
        text: As it was written, which names its columns in a design: `log(x)`, `I(x^2)`.
        variables: Names of the columns it uses, in order of appearance.
        canonical: The one spelling of its tree: `I(x ** 2)`.
        source: Its text with odd column names in back-quotes, to be read again.
        tree: The checked tree, its columns written as `aliases`; None for a column alone.
        aliases: (identifier in the tree, column) pairs.
        purpose: What it was read for.
    """

    text: str = field(compare=False)
    variables: tuple[str, ...]
    canonical: str
    source: str = field(compare=False, repr=False)
    tree: ast.expr | None = field(default=None, compare=False, repr=False)
    aliases: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)
    purpose: Purpose = field(default="formula", compare=False, repr=False)

    @property
    def is_column(self) -> bool:
        """Whether it is a column as it stands."""
        return self.tree is None

    def __str__(self) -> str:
        return self.source

    def column(self, node: ast.Name) -> str:
        """The column that an identifier of its tree stands for."""
        return dict(self.aliases)[node.id]

    def part(self, node: ast.expr) -> str:
        """Canonical text of a part of its tree."""
        return _spell(node, self.aliases, str)

    def inner(self, node: ast.expr) -> Expression:
        """A part of its tree as an expression of its own."""
        if isinstance(node, ast.Name):
            return column(self.column(node))
        used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        variables = tuple(name for alias, name in self.aliases if alias in used)
        text, source = self.part(node), _spell(node, self.aliases, quote)
        return Expression(text, variables, text, source, node, self.aliases)


def column(name: str, purpose: Purpose = "formula") -> Expression:
    """The expression that is one column."""
    return Expression(name, (name,), name, quote(name), purpose=purpose)


def parse_expression(text: str, purpose: Purpose = "formula") -> Expression:
    """Read and check one expression.

    Args:
        text: The expression.
        purpose: formula (arithmetic and the formula's functions), derive (group_mean too) or
            exclude (a condition).

    Raises:
        FormulaError: It cannot be read, or asks for what is not offered.

    >>> expression = parse_expression("log(Sepal.Length)^2")
    >>> expression.text, expression.canonical
    ('log(Sepal.Length)^2', 'log(Sepal.Length) ** 2')
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
    checker = _Checker(text, dict(pairs), purpose)
    checker.check(tree)
    named, quoted = (_written(tokens, back_quotes=quotes) for quotes in (False, True))
    canonical = _spell(tree, pairs, str)
    return Expression(named, tuple(checker.variables), canonical, quoted, tree, pairs, purpose)


def _written(tokens: Sequence[Token], *, back_quotes: bool) -> str:
    """The words as they were typed, runs of white space as one blank."""
    texts = [_quoted(token.text) if token.quoted and back_quotes else token.text for token in tokens]
    gaps = ["", *(" " * (token.start > before.end) for before, token in pairwise(tokens))]
    return "".join(gap + text for gap, text in zip(gaps, texts, strict=True))


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
    logical = _LOGICAL if purpose == "exclude" else {}

    def word(token: Token, after: str) -> str:
        if token.kind == "number":
            return token.text.rstrip("L") + " "
        if token.kind == "operator":
            return logical.get(token.text) or _OPERATORS.get(token.text, token.text)
        if token.kind == "name" and not token.quoted:
            if token.text in _WORDS and purpose == "exclude":
                return f" {token.text} "
            if after == "(":
                return _function_name(token.text, purpose)
            if after == "=":
                return _KEYWORDS.get(token.text, token.text)
            if not is_name(token):
                return _PYTHON_CONSTANTS.get(token.text, token.text)
        if token.kind == "name":
            return f" {aliases.setdefault(token.text, f'{prefix}{len(aliases)}')} "
        return token.text

    following = [token.text if token.kind == "operator" else "" for token in tokens[1:]]
    return "".join(map(word, tokens, [*following, ""])), aliases


def _function_name(name: str, purpose: Purpose) -> str:
    known = [*FUNCTIONS, *MARKERS, *(("group_mean",) if purpose == "derive" else ())]
    if name in known or name == "c":
        return name
    coding = name.removeprefix("contr.").lower()
    if coding in CODINGS:
        return coding
    near = did_you_mean(name, known)
    raise FormulaError(
        f"`{name}()` is not a function of the formula language{near or '.'} Offered: {', '.join(known)}, "
        "offset."
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
