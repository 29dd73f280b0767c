"""The documented functions of formulas: what each takes, and what it makes of a column.

A transformation that learns from the data (a mean, knots) writes what it learned into a state, and
on new data reads it from there. Splines and polynomials are formulaic's, loaded when first asked
for; `ns` is the basis of R's splines package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

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


def _borrowed(name: str) -> Callable[[Floats, Mapping[str, Any], State], Basis]:
    """A basis of formulaic, its state included."""

    def apply(x: Floats, options: Mapping[str, Any], state: State) -> Basis:
        from formulaic import transforms  # pyright: ignore[reportMissingTypeStubs]

        make = cast("Callable[..., Any]", getattr(transforms, name))
        return _as_basis(make(x, **options, _state=state))

    return apply


def _poly(x: Floats, options: Mapping[str, Any], state: State) -> Basis:
    degree = options["degree"]
    if not state and not options["raw"] and len(np.unique(x)) <= degree:
        raise ValueError(f"a polynomial of degree {degree} needs more than {degree} distinct values")
    return _borrowed("poly")(x, options, state)


def _as_basis(made: Any) -> Basis:
    facts: Any = getattr(made, "__formulaic_metadata__", None)
    if isinstance(getattr(made, "__wrapped__", made), dict):
        labels = tuple(str(label) for label in made)
        values = np.column_stack([np.asarray(made[label], float) for label in made])
    else:
        values = np.asarray(made, float)
        names = facts.column_names if facts is not None else None
        labels = tuple(names or (str(j) for j in range(values.shape[1])))
    spare = str(facts.drop_field) if facts is not None and facts.spans_intercept else None
    return Basis(labels, values, spare)


def _natural_spline(x: Floats, options: Mapping[str, Any], state: State) -> Basis:
    """Natural cubic splines: linear beyond the boundary knots; the basis of R's `splines::ns`."""
    if "knots" not in state:
        state.update(_natural_knots(x, options))
    low, high = state["bounds"]
    knots = np.array([low] * 4 + list(state["knots"]) + [high] * 4)
    bend = _cubic(np.array([low, high]), knots, 2)
    values = _extended(x, knots, low, high)
    if not options["include_intercept"]:
        bend, values = bend[:, 1:], values[:, 1:]
    turn = np.linalg.qr(bend.T, mode="complete")[0]
    basis = values @ turn[:, 2:]
    return Basis(tuple(str(j + 1) for j in range(basis.shape[1])), basis)


def _natural_knots(x: Floats, options: Mapping[str, Any]) -> State:
    bounds = options["boundary_knots"]
    low, high = (float(x.min()), float(x.max())) if bounds is None else sorted(map(float, bounds))
    if options["knots"] is not None:
        return {"knots": sorted(map(float, options["knots"])), "bounds": [low, high]}
    inner = max((options["df"] or 1) - 1 - bool(options["include_intercept"]), 0)
    inside = x[(x >= low) & (x <= high)]
    return {"knots": np.quantile(inside, np.linspace(0, 1, inner + 2)[1:-1]).tolist(), "bounds": [low, high]}


def _cubic(x: Floats, knots: Floats, derivative: int, degree: int = 3) -> Floats:
    """(n, len(knots) - degree - 1) B-splines at x inside the knots, or a derivative (de Boor 1978, ch. X)."""
    if derivative:
        below = _cubic(x, knots, derivative - 1, degree - 1) * degree
        rise, fall = _widths(knots, degree)
        return below[:, :-1] * rise - below[:, 1:] * fall
    if degree == 0:
        last = np.flatnonzero(knots[:-1] < knots[1:])[-1]
        place = np.minimum(np.searchsorted(knots, x, side="right") - 1, last)
        return (place[:, None] == np.arange(len(knots) - 1)).astype(float)
    below = _cubic(x, knots, 0, degree - 1)
    rise, fall = _widths(knots, degree)
    left = (x[:, None] - knots[: -degree - 1]) * rise
    right = (knots[degree + 1 :] - x[:, None]) * fall
    return left * below[:, :-1] + right * below[:, 1:]


def _widths(knots: Floats, degree: int) -> tuple[Floats, Floats]:
    """One over the support of the two B-splines of one degree less, 0 for an empty support."""
    spans = knots[degree:] - knots[:-degree]
    inverse = np.divide(1.0, spans, out=np.zeros_like(spans), where=spans > 0)
    return inverse[:-1], inverse[1:]


def _extended(x: Floats, knots: Floats, low: float, high: float) -> Floats:
    """Cubic B-splines inside the boundary knots, their tangents outside."""
    inside = np.clip(x, low, high)
    values = _cubic(inside, knots, 0)
    outside = x != inside
    if outside.any():
        values[outside] += _cubic(inside[outside], knots, 1) * (x - inside)[outside, None]
    return values


_BOUNDS = {"lower_bound": None, "upper_bound": None}

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
    "poly": Function(_poly, {"degree": 1, "raw": False}, learns=True, wide=True),
    "bs": Function(
        _borrowed("basis_spline"),
        {
            "df": None,
            "knots": None,
            "degree": 3,
            "include_intercept": False,
            **_BOUNDS,
            "extrapolation": "raise",
        },
        learns=True,
        wide=True,
    ),
    "cr": Function(
        _borrowed("natural_cubic_spline"),
        {"df": None, "knots": None, **_BOUNDS, "constraints": None},
        learns=True,
        wide=True,
    ),
    "cc": Function(
        _borrowed("cyclic_cubic_spline"),
        {"df": None, "knots": None, **_BOUNDS, "constraints": None},
        learns=True,
        wide=True,
    ),
    "ns": Function(
        _natural_spline,
        {"df": None, "knots": None, "include_intercept": False, "boundary_knots": None},
        learns=True,
        wide=True,
    ),
}
