"""The scales on which intervals of covariance parameters are symmetric: the log, Fisher's z, the logit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Scale(NamedTuple):
    """A working scale: there, back, d value / d t, and what it is called."""

    there: Callable[[float], float]
    back: Callable[[float], float]
    slope: Callable[[float], float]
    name: str = ""


def _one(_: float) -> float:
    return 1.0


def _exp(t: float) -> float:
    """e^t, infinite where it overflows."""
    return math.exp(t) if t < 709.0 else math.inf


def _sech2(t: float) -> float:
    return float(np.cosh(min(abs(t), 350.0))) ** -2


def _logistic(t: float) -> float:
    return 1.0 / (1.0 + _exp(-t))


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def _bell(t: float) -> float:
    return _logistic(t) * _logistic(-t)


PLAIN = Scale(float, float, _one, "as it is")
LOG = Scale(math.log, _exp, _exp, "on the log")
FISHER = Scale(math.atanh, math.tanh, _sech2, "on Fisher's z")
LOGIT = Scale(_logit, _logistic, _bell, "on the logit")
#: Of each kind of natural parameter.
SCALES = {"sd": LOG, "range": LOG, "cor": FISHER, "share": LOGIT, "exponent": PLAIN}
ENDS = {"sd": (0.0, math.inf), "range": (0.0, math.inf), "cor": (-1.0, 1.0), "share": (0.0, 1.0)}


def ends(kind: str) -> tuple[float, float]:
    """Between which numbers a parameter of a kind lies: an exponent, or a coefficient, anywhere."""
    return ENDS.get(kind, (-math.inf, math.inf))


def stretched(low: float, high: float) -> Scale:
    """Fisher's z of a parameter between two other values than -1 and 1."""
    middle, half = (low + high) / 2.0, (high - low) / 2.0

    def there(value: float) -> float:
        return math.atanh((value - middle) / half)

    def back(t: float) -> float:
        return middle + half * math.tanh(t)

    def slope(t: float) -> float:
        return half * _sech2(t)

    return Scale(there, back, slope)
