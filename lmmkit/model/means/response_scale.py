"""Transformed responses, and the way back from the scale of the model to that of the response."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.model.formula.expression import Expression, bind, call_name, constant

LOGS = {"log": np.e, "log1p": np.e, "log2": 2.0, "log10": 10.0}


class Back(NamedTuple):
    """Of values eta of the model's scale: h(eta) and its slope."""

    value: Floats
    slope: Floats


@dataclass(frozen=True)
class ResponseScale:
    """h of a response eta = log_b(y + shift), or sqrt(y + shift): y = h(eta).

    Attributes:
        text: The response as the formula has it.
        base: Of the logarithm; None for a square root.
        shift: What was added before it was taken.
    """

    text: str
    base: float | None
    shift: float = 0.0

    @property
    def is_log(self) -> bool:
        """Whether differences are logarithms of ratios: of the response, which was not shifted."""
        return self.base is not None

    def back(self, eta: Floats, variance: float = 0.0) -> Back:
        """h(eta) + variance / 2 h''(eta) and its slope: the mean of h(eta + e) to second order in e.

        A square root has no values below zero: what lies there (a bound) goes back to h(0).

        >>> ResponseScale("log(y)", np.e).back(np.array([0.0, np.log(2.0)]), 0.1).value.round(3).tolist()
        [1.05, 2.1]
        """
        if self.base is None:
            root = np.maximum(eta, 0.0)
            return Back(root**2 + variance - self.shift, 2.0 * root)
        rate = float(np.log(self.base))
        y = np.exp(eta * rate) * (1.0 + variance * rate**2 / 2.0)
        return Back(y - self.shift, y * rate)

    def ratio(self, difference: Floats) -> Back:
        """What a difference of logarithms is a logarithm of."""
        rate = float(np.log(self.base or 1.0))
        y = np.exp(difference * rate)
        return Back(y, y * rate)


def response_scale(response: Expression) -> ResponseScale | None:
    """The transformation of a response, None where it is a column as it stands.

    Raises:
        FitError: A response that is made in another way.
    """
    if response.tree is None:
        return None
    node = response.tree
    while call_name(node) == "I" and isinstance(node, ast.Call):
        node = node.args[0]
    if isinstance(node, ast.Name):
        return None
    name = call_name(node)
    if isinstance(node, ast.Call) and name in (*LOGS, "sqrt"):
        shift = _shift(node.args[0])
        if shift is not None:
            base = (
                None if name == "sqrt" else float(bind(node)["base"] or np.e) if name == "log" else LOGS[name]
            )
            return ResponseScale(response.text, base, shift + (name == "log1p"))
    raise FitError(
        f"type='response' is offered for log, log1p, log2, log10 and sqrt of a column, or of a column plus a "
        f"number; the response is `{response.text}`: leave type out, which gives means of that."
    )


def _shift(node: ast.expr) -> float | None:
    """What is added to a column, None where the node is anything else."""
    match node:
        case ast.Name():
            return 0.0
        case ast.Call(func=ast.Name(id="I"), args=[inner]):
            return _shift(inner)
        case ast.BinOp(left=ast.Name(), op=ast.Add() | ast.Sub(), right=ast.Constant()):
            return float(constant(node.right)) * (1.0 if isinstance(node.op, ast.Add) else -1.0)
        case ast.BinOp(left=ast.Constant(), op=ast.Add(), right=ast.Name()):
            return float(constant(node.left))
        case _:
            return None
