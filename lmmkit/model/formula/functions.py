"""The documented functions of formulas: what each takes, and what it makes of a column.

A transformation that learns from the data (a mean, knots) writes what it learned into a state, and
on new data reads it from there. `bs` and `ns` are the bases of R's splines package, `cr` and `cc`
those of mgcv, `poly` that of R's stats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.interpolate import BSpline, CubicSpline

Floats = NDArray[np.float64]
State = dict[str, Any]


@dataclass(frozen=True)
class Basis:
    """Several columns made of one.

    Attributes:
        labels: Labels of the columns.
        values: (n, k) the columns.
        spare: Label of the column left out beside an intercept; None when they do not span it.
    """

    labels: tuple[str, ...]
    values: Floats
    spare: str | None = None


@dataclass(frozen=True)
class Function:
    """A documented function.

    Attributes:
        options: Name and default of each argument after the first, in order.
        apply: From the column, the options and the state to a column or a basis.
        learns: Whether it keeps a state.
        wide: Whether it makes several columns.
    """

    apply: Callable[[Floats, Mapping[str, Any], State], Floats | Basis]
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    learns: bool = False
    wide: bool = False


def _plain(ufunc: Callable[[Floats], Floats]) -> Function:
    return Function(lambda x, _options, _state: ufunc(x))


def _log(x: Floats, options: Mapping[str, Any], _state: State) -> Floats:
    base = options["base"]
    return np.log(x) if base is None else np.log(x) / np.log(base)


def _center(x: Floats, _options: Mapping[str, Any], state: State) -> Floats:
    center = state.setdefault("center", float(np.mean(x)))
    return x - center


def _scale(x: Floats, options: Mapping[str, Any], state: State) -> Floats:
    center = state.setdefault("center", _given(options["center"], lambda: float(np.mean(x)), 0.0))
    moved = x - center
    spread = state.setdefault("scale", _given(options["scale"], lambda: _root_mean_square(moved), 1.0))
    return moved / spread


def _given(option: bool | float, learn: Callable[[], float], neutral: float) -> float:
    if isinstance(option, bool):
        return learn() if option else neutral
    return float(option)


def _root_mean_square(x: Floats) -> float:
    return float(np.sqrt(np.sum(x**2) / (len(x) - 1)))


def _poly(x: Floats, options: Mapping[str, Any], state: State) -> Basis:
    """Powers of x, or polynomials orthonormal over the rows learned from (three-term recurrence)."""
    degree: int = options["degree"]
    powers = range(1, degree + 1)
    if options["raw"]:
        return Basis(tuple(str(k - 1) for k in powers), x[:, None] ** np.array(powers))
    learning = not state
    if learning and len(np.unique(x)) <= degree:
        raise ValueError(f"a polynomial of degree {degree} needs more than {degree} distinct values")
    alpha: dict[int, float] = state.setdefault("alpha", {})
    norms2: dict[int, float] = state.setdefault("norms2", {})
    P = [np.ones(len(x))]
    for k in range(degree + 1):
        if learning:
            norms2[k] = float(P[k] @ P[k])
        if k == degree:
            break
        if learning:
            alpha[k] = float(x @ P[k] ** 2) / norms2[k]
        P.append((x - alpha[k]) * P[k] - (norms2[k] / norms2[k - 1] * P[k - 1] if k else 0.0))
    return Basis(tuple(map(str, powers)), np.column_stack([P[k] / np.sqrt(norms2[k]) for k in powers]))


def _b_spline(x: Floats, options: Mapping[str, Any], state: State) -> Basis:
    """B-splines, the basis of R's `splines::bs`."""
    degree, whole = options["degree"], bool(options["include_intercept"])
    low, high = _bounds(x, options, state)
    outside, beyond = (x < low) | (x > high), options["extrapolation"]
    if beyond not in ("raise", "clip", "na", "zero", "extend"):
        raise ValueError(f"extrapolation={beyond!r}: raise, clip, na, zero or extend is expected")
    if beyond == "raise" and outside.any():
        raise ValueError("values lie outside its bounds; `extrapolation` says what becomes of them")
    if "knots" not in state:
        count = None if options["df"] is None else options["df"] - degree - whole
        inner = _inner_knots(x if beyond == "extend" else x[~outside], options, count or 0)
        state["knots"] = [low] * (degree + 1) + inner + [high] * (degree + 1)
    if beyond == "na":
        x = np.where(outside, np.nan, x)
    values = _b_splines(state["knots"], degree)(np.clip(x, low, high) if beyond == "clip" else x)
    if beyond == "zero":
        values[outside] = 0.0
    labels = tuple(str(j) for j in range(not whole, values.shape[1]))
    return Basis(labels, values if whole else values[:, 1:], "0" if whole else None)


def _bounds(x: Floats, options: Mapping[str, Any], state: State) -> tuple[float, float]:
    """The domain of a spline: learned, given, or that of the data."""
    for edge, extreme in (("lower_bound", np.min), ("upper_bound", np.max)):
        if edge not in state:
            state[edge] = float(extreme(x) if options[edge] is None else options[edge])
    return state["lower_bound"], state["upper_bound"]


def _inner_knots(x: Floats, options: Mapping[str, Any], count: int) -> list[float]:
    """The knots given, or `count` of them at quantiles of x."""
    if options["knots"] is not None:
        if options["df"] is not None:
            raise ValueError("`df` and `knots` exclude each other")
        return sorted(map(float, options["knots"]))
    if count < 0:
        raise ValueError(f"`df` is at least {options['df'] - count} here")
    if count and not len(x):
        raise ValueError("no value lies within its bounds")
    return np.quantile(x, np.linspace(0, 1, count + 2)[1:-1]).tolist() if count else []


def _b_splines(knots: list[float], degree: int) -> BSpline:
    """All B-splines on these knots, as one function of x and of a derivative's order."""
    from scipy.interpolate import BSpline  # slow to import, and seldom needed

    count = len(knots) - degree - 1
    # Inner knots on the upper bound make splines that are zero, and scipy wrong at the bound: left out.
    idle = max(knots.count(knots[-1]) - degree - 1, 0)
    return BSpline(np.array(knots[: len(knots) - idle]), np.eye(count - idle, count), degree)


def _straight_beyond(spline: BSpline | CubicSpline, x: Floats, low: float, high: float) -> Floats:
    """The spline between its boundary knots, its tangents outside."""
    inside = np.clip(x, low, high)
    values = spline(inside)
    outside = x != inside
    if outside.any():
        values[outside] += spline(inside[outside], 1) * (x - inside)[outside, None]
    return values


def _natural_spline(x: Floats, options: Mapping[str, Any], state: State) -> Basis:
    """Natural cubic splines: linear beyond the boundary knots; the basis of R's `splines::ns`."""
    whole = bool(options["include_intercept"])
    if "knots" not in state:
        given = options["boundary_knots"]
        low, high = (float(x.min()), float(x.max())) if given is None else sorted(map(float, given))
        count = 0 if options["knots"] is not None else max((options["df"] or 1) - 1 - whole, 0)
        inner = _inner_knots(x[(x >= low) & (x <= high)], {**options, "df": None}, count)
        state |= {"knots": inner, "bounds": [low, high]}
    low, high = state["bounds"]
    splines = _b_splines([low] * 4 + list(state["knots"]) + [high] * 4, 3)
    # The combinations whose second derivative is zero at both boundary knots.
    bend, values = splines(np.array([low, high]), 2), _straight_beyond(splines, x, low, high)
    first = 0 if whole else 1
    turn = np.linalg.qr(bend[:, first:].T, mode="complete")[0]
    basis = values[:, first:] @ turn[:, 2:]
    return Basis(tuple(str(j + 1) for j in range(basis.shape[1])), basis)


def _cubic_spline(x: Floats, options: Mapping[str, Any], state: State, *, cyclic: bool) -> Basis:
    """Cubic regression splines by their values at the knots (Wood 2006, 4.1.2), natural or cyclic."""
    low, high = _bounds(x, options, state)
    constraints = state.setdefault("constraints", options["constraints"])
    state["cyclic"] = cyclic
    if "knots" not in state:
        rows = (
            None if constraints is None else 1 if constraints == "center" else len(np.atleast_2d(constraints))
        )
        state["knots"] = _cubic_knots(x, options, low, high, cyclic=cyclic, constraints=rows or 0)
        if constraints is not None:
            free = _at_knots(x, state["knots"], cyclic=cyclic)
            given = free.mean(axis=0) if constraints == "center" else np.array(constraints, float)
            state["constraints"] = np.atleast_2d(given)
    basis = _at_knots(x, state["knots"], cyclic=cyclic)
    if (C := state["constraints"]) is not None:
        basis = basis @ np.linalg.qr(np.transpose(C), mode="complete")[0][:, len(C) :]
    return Basis(tuple(str(j + 1) for j in range(basis.shape[1])), basis)


def _cubic_knots(
    x: Floats, options: Mapping[str, Any], low: float, high: float, *, cyclic: bool, constraints: int
) -> list[float]:
    """The bounds and what lies between them."""
    if options["df"] is None and options["knots"] is None:
        raise ValueError("`df` or `knots` is needed")
    count = 0 if options["df"] is None else options["df"] - 2 + constraints + cyclic
    inner = set(_inner_knots(np.unique(x[(x >= low) & (x <= high)]), options, count))
    wanted = 2 + (len(inner) if options["df"] is None else count)
    knots = sorted({low, high} | inner)
    if not low < high or (knots[0], knots[-1], len(knots)) != (low, high, wanted):
        raise ValueError(f"there are no {wanted} distinct knots from {low:g} to {high:g}")
    return knots


def _at_knots(x: Floats, knots: list[float], *, cyclic: bool) -> Floats:
    """(n, k) the cubic splines that are 1 at one knot and 0 at the others."""
    from scipy.interpolate import CubicSpline

    free = len(knots) - cyclic
    heights = np.eye(free)[np.arange(len(knots)) % free]  # cyclic: the last knot is the first again
    spline = CubicSpline(np.array(knots), heights, bc_type="periodic" if cyclic else "natural")
    return spline(x) if cyclic else _straight_beyond(spline, x, knots[0], knots[-1])


def _several(apply: Callable[[Floats, Mapping[str, Any], State], Basis], **options: Any) -> Function:
    return Function(apply, options, learns=True, wide=True)


_KNOTS = {"df": None, "knots": None}
_BOUNDS = {"lower_bound": None, "upper_bound": None}
_B_SPLINE = {"degree": 3, "include_intercept": False, **_BOUNDS, "extrapolation": "raise"}

FUNCTIONS: Mapping[str, Function] = {
    "log": Function(_log, {"base": None}),
    "log2": _plain(np.log2),
    "log10": _plain(np.log10),
    "log1p": _plain(np.log1p),
    "exp": _plain(np.exp),
    "sqrt": _plain(np.sqrt),
    "abs": _plain(np.abs),
    "sin": _plain(np.sin),
    "cos": _plain(np.cos),
    "I": _plain(lambda x: x),
    "center": Function(_center, learns=True),
    "scale": Function(_scale, {"center": True, "scale": True}, learns=True),
    "poly": _several(_poly, degree=1, raw=False),
    "bs": _several(_b_spline, **_KNOTS, **_B_SPLINE),
    "cr": _several(partial(_cubic_spline, cyclic=False), **_KNOTS, **_BOUNDS, constraints=None),
    "cc": _several(partial(_cubic_spline, cyclic=True), **_KNOTS, **_BOUNDS, constraints=None),
    "ns": _several(_natural_spline, **_KNOTS, include_intercept=False, boundary_knots=None),
}
