"""Named families of contrasts among some means, as the R package emmeans has them.

Each gives its labels, its weights (m, means) and the adjustment that goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import combinations, product
from math import comb, gcd, lcm
from typing import Any, cast

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError, did_you_mean

POWERS = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")
PAIRS = ("pairwise", "revpairwise")


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Linear combinations of some means.

    Attributes:
        labels: For each its label, or labels by factor.
        C: (m, means) weights.
        names: Names of the labels' columns.
    """

    labels: list[tuple[str, ...]]
    C: Floats
    names: tuple[str, ...] = ("contrast",)


def _differences(names: Sequence[str], pairs: Sequence[tuple[int, int]], sign: str) -> Contrasts:
    """The first less the second of each pair."""
    eye = np.eye(len(names))
    C = np.array([eye[i] - eye[j] for i, j in pairs]).reshape(-1, len(names))
    return Contrasts([(f"{names[i]} {sign} {names[j]}",) for i, j in pairs], C)


def _pairwise(names: Sequence[str], sign: str) -> Contrasts:
    return _differences(names, list(combinations(range(len(names)), 2)), sign)


def _revpairwise(names: Sequence[str], sign: str) -> Contrasts:
    return _differences(names, [(j, i) for j in range(len(names)) for i in range(j)], sign)


def _consec(names: Sequence[str], sign: str) -> Contrasts:
    return _differences(names, [(i + 1, i) for i in range(len(names) - 1)], sign)


def _effects(names: Sequence[str], *, of_others: bool) -> Contrasts:
    """Each less the mean of all, or of the others."""
    k = len(names)
    C = np.eye(k) - 1.0 / k
    return Contrasts([(f"{name} effect",) for name in names], C * k / (k - 1.0) if of_others else C)


def _mean_chg(names: Sequence[str], _sign: str) -> Contrasts:
    k = len(names)
    rows = [np.repeat([-1.0 / i, 1.0 / (k - i)], [i, k - i]) for i in range(1, k)]
    return Contrasts([(f"{names[i - 1]}|{names[i]}",) for i in range(1, k)], np.array(rows))


def _poly(names: Sequence[str], _sign: str) -> Contrasts:
    """Orthogonal polynomials of equally spaced levels, in the least whole numbers."""
    k = len(names)
    degrees = range(1, min(k, len(POWERS) + 1))
    rows = [_whole_polynomial(k, degree) for degree in degrees]
    return Contrasts([(POWERS[degree - 1],) for degree in degrees], np.array(rows))


def _whole_polynomial(k: int, degree: int) -> Floats:
    """Gram's polynomial: sum_j (-1)^(d + j) C(d, j) C(d + j, j) C(x, j) / C(k - 1, j), x = 0, ..., k - 1."""

    def term(x: int, j: int) -> Fraction:
        return Fraction(
            (-1) ** (degree + j) * comb(degree, j) * comb(degree + j, j) * comb(x, j), comb(k - 1, j)
        )

    values = [sum((term(x, j) for j in range(degree + 1)), Fraction()) for x in range(k)]
    whole = [int(value * lcm(*(v.denominator for v in values))) for value in values]
    return np.array(whole, np.float64) / gcd(*whole)


def _control(names: Sequence[str], sign: str, ref: Any = None) -> Contrasts:
    """Each of the others less the control, or less the mean of several."""
    many = isinstance(ref, (list, tuple, set))
    given: list[Any] = list(cast("Sequence[Any]", ref)) if many else [names[0] if ref is None else ref]
    controls = list(dict.fromkeys(_place(str(one), names) for one in given))
    others = [i for i in range(len(names)) if i not in controls]
    if not controls or not others:
        raise FitError(
            "ref: one mean or more is expected as the control, and at least one other to compare with it."
        )
    base = np.zeros(len(names))
    base[controls] = 1.0 / len(controls)
    told = names[controls[0]] if len(controls) == 1 else f"avg({','.join(names[i] for i in controls)})"
    return Contrasts([(f"{names[i]} {sign} {told}",) for i in others], np.eye(len(names))[others] - base)


def _place(label: str, names: Sequence[str]) -> int:
    if label not in names:
        raise FitError(
            f"ref={label!r} is none of the means{did_you_mean(label, names) or '.'} They are: "
            f"{', '.join(names)}."
        )
    return list(names).index(label)


FAMILIES: dict[str, tuple[Callable[[Sequence[str], str], Contrasts], str]] = {
    "pairwise": (_pairwise, "tukey"),
    "revpairwise": (_revpairwise, "tukey"),
    "consec": (_consec, "mvt"),
    "poly": (_poly, "none"),
    "eff": (lambda names, _: _effects(names, of_others=False), "BH"),
    "del.eff": (lambda names, _: _effects(names, of_others=True), "BH"),
    "mean_chg": (_mean_chg, "mvt"),
    "trt.vs.ctrl": (_control, "dunnett"),
    "trt.vs.ctrlk": (lambda names, sign: _control(names, sign, names[-1]), "dunnett"),
    "identity": (lambda names, _: Contrasts([(name,) for name in names], np.eye(len(names))), "none"),
}


def check_family(method: str) -> None:
    """Refuse a family that is not offered.

    Raises:
        FitError: It is none of `FAMILIES`.
    """
    if method not in FAMILIES:
        near = did_you_mean(method, list(FAMILIES))
        raise FitError(
            f"contrasts {method!r} are not known{near or '.'} Families: "
            f"{', '.join(map(repr, FAMILIES))}; or give numbers, one for each mean."
        )


def named_contrasts(method: str, names: Sequence[str], ref: Any = None, sign: str = "-") -> Contrasts:
    """A family among means.

    Args:
        method: A key of `FAMILIES`.
        names: Of the means.
        ref: The control, or several, for "trt.vs.ctrl"; by default the first.
        sign: What stands between two means in a label: "/" for ratios.

    Raises:
        FitError: One mean only, or a control that is none of them.

    >>> named_contrasts("poly", list("abcd")).C.astype(int).tolist()
    [[-3, -1, 1, 3], [1, -1, -1, 1], [-1, 3, -3, 1]]
    """
    if len(names) < 2 and method != "identity":
        raise FitError("Contrasts need two means or more; this table has one per group.")
    return _control(names, sign, ref) if method == "trt.vs.ctrl" else FAMILIES[method][0](names, sign)


def interaction_contrasts(
    methods: Sequence[str], levels: Mapping[str, Sequence[str]], sign: str = "-"
) -> Contrasts:
    """Products of a family for each factor: the means' combinations with the last factor varying fastest.

    Args:
        methods: A family for each factor.
        levels: Names of each factor's levels.
        sign: As for `named_contrasts`.
    """
    parts = [
        named_contrasts(method, names, sign=sign)
        for method, names in zip(methods, levels.values(), strict=True)
    ]
    C = np.asarray(reduce(np.kron, [part.C for part in parts]), np.float64)
    labels = [tuple(label for (label,) in row) for row in product(*(part.labels for part in parts))]
    return Contrasts(
        labels, C, tuple(f"{name}_{method}" for name, method in zip(levels, methods, strict=True))
    )


def given_contrasts(weights: Any, names: Sequence[str]) -> Contrasts:
    """Numbers as a user gives them: one per mean, or such by label.

    Raises:
        FitError: Not as many numbers as means, or not finite, or all zero.
    """
    given = cast("Mapping[Any, Any]", weights) if isinstance(weights, Mapping) else {"contrast": weights}
    if not given:
        raise FitError("contrast() was given no combination: one or more are expected.")
    rows = [_row(str(label), row, len(names)) for label, row in given.items()]
    return Contrasts([(str(label),) for label in given], np.array(rows))


def _row(label: str, given: Any, count: int) -> Floats:
    """One combination's weights, checked."""
    try:
        row = np.array(list(given), dtype=np.float64)
    except (TypeError, ValueError):
        raise FitError(
            f"contrast `{label}`: {count} numbers are expected, one for each mean, not {given!r:.60}."
        ) from None
    if len(row) != count:
        raise FitError(f"contrast `{label}` has {len(row)} weights for {count} means: give one for each.")
    if not np.isfinite(row).all() or not row.any():
        raise FitError(f"contrast `{label}` needs finite weights that are not all zero.")
    return row
