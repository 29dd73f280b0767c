"""Calls in expressions: their constants and options, as in `poly(x, 2, raw=TRUE)` and `C(x, sum)`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from lmmkit.model.formula.functions import FUNCTIONS

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
            if abs(node.value) > 1e300:  # type: ignore[arg-type]
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
