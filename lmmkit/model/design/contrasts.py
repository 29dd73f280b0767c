"""Codings of a factor: its contrast matrix and the names of its columns, as formulaic has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lmmkit.errors import FormulaError
from lmmkit.model.formula.safe_expressions import CODINGS

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Coding:
    """Columns that code a factor beside an intercept.

    Attributes:
        labels: What stands in brackets after the factor's name: `T.b`, `S.a`, `.L`.
        matrix: (levels, k) contrast matrix.
    """

    labels: tuple[str, ...]
    matrix: Floats


def coding(kind: str, levels: Sequence[str], base: str | None = None, factor: str = "") -> Coding:
    """Coding of a factor with `levels` in order.

    Args:
        kind: treatment, sum, helmert, poly, diff or sas.
        levels: Names of the levels.
        base: Reference level of a treatment coding; the first (sas: the last) by default.
        factor: Name of the factor, for messages.

    Raises:
        FormulaError: An unknown coding or base.

    >>> coding("sum", ["a", "b", "c"]).labels
    ('S.a', 'S.b')
    """
    n = len(levels)
    if kind in ("treatment", "sas"):
        return _treatment(kind, levels, base, factor)
    if base is not None:
        raise FormulaError(f"A {kind} coding of `{factor}` has no base level.")
    if kind == "sum":
        return Coding(_labels("S", levels[:-1]), np.vstack([np.eye(n - 1), np.full((1, n - 1), -1.0)]))
    if kind == "helmert":
        return Coding(_labels("H", levels[1:]), _helmert(n))
    if kind == "diff":
        below = np.tri(n, n - 1, -1)
        return Coding(_labels("D", levels[1:]), below - np.arange(n - 1, 0, -1) / n)
    if kind == "poly":
        return Coding(tuple((".L", ".Q", ".C")[: n - 1]) + tuple(f"^{d}" for d in range(4, n)), _poly(n))
    raise FormulaError(f"`{kind}` is no coding of a factor; offered: {', '.join(CODINGS)}.")


def _labels(letter: str, levels: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{letter}.{level}" for level in levels)


def _treatment(kind: str, levels: Sequence[str], base: str | None, factor: str) -> Coding:
    at = 0 if kind == "treatment" else len(levels) - 1
    if base is not None:
        if str(base) not in levels:
            raise FormulaError(f"`{base}` is no level of `{factor}`; its levels: {', '.join(levels[:12])}.")
        at = levels.index(str(base))
    kept = [j for j in range(len(levels)) if j != at]
    return Coding(_labels("T", [levels[j] for j in kept]), np.eye(len(levels))[:, kept])


def _helmert(n: int) -> Floats:
    matrix = np.triu(np.full((n, n - 1), -1.0))
    matrix[np.arange(1, n), np.arange(n - 1)] = np.arange(1, n)
    return matrix


def _poly(n: int) -> Floats:
    """Orthonormal polynomials of 0 to n - 1, their signs those of rising powers."""
    scores = np.arange(n) - (n - 1) / 2
    q, r = np.linalg.qr(np.vander(scores, n, increasing=True))
    return (q * np.sign(np.diag(r)))[:, 1:]


def given_coding(request: Any, levels: Sequence[str], factor: str) -> Coding:
    """Coding from what a user passes in `contrasts`: a name, a matrix, or {label: weights}.

    Raises:
        FormulaError: None of these, or of the wrong size.
    """
    if isinstance(request, str):
        return coding(request.removeprefix("contr.").lower(), levels, None, factor)
    if isinstance(request, Mapping):
        weights = cast("Mapping[str, Sequence[float]]", request)
        columns = _numbers(list(weights.values()), factor)
        return _matrix_coding(columns.T, tuple(map(str, weights)), levels, factor)
    matrix = _numbers(request, factor)
    return _matrix_coding(matrix, tuple(str(j + 1) for j in range(matrix.shape[-1])), levels, factor)


def _numbers(given: Any, factor: str) -> Floats:
    try:
        return np.atleast_1d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError):
        raise FormulaError(
            f"contrasts of `{factor}`: a name ({', '.join(CODINGS)}) or a matrix is expected."
        ) from None


def _matrix_coding(matrix: Floats, labels: tuple[str, ...], levels: Sequence[str], factor: str) -> Coding:
    n = len(levels)
    if matrix.ndim != 2 or matrix.shape[0] != n or not 0 < matrix.shape[1] < n:
        raise FormulaError(
            f"contrasts of `{factor}`: a matrix of {n} rows (levels {', '.join(levels[:6])}) and at most "
            f"{n - 1} columns is expected, not {matrix.shape}."
        )
    if np.linalg.matrix_rank(np.column_stack([np.ones(n), matrix])) <= matrix.shape[1]:
        raise FormulaError(
            f"contrasts of `{factor}`: the columns are not independent of each other and of 1."
        )
    return Coding(labels, matrix)
