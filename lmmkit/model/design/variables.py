"""What a factor of a term is in these data (numbers, a basis, coded levels), and the columns it makes."""

from __future__ import annotations

import ast
import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from lmmkit.errors import DataError, FormulaError
from lmmkit.model.formula.expression import (
    CODINGS,
    MARKERS,
    CodingRequest,
    Expression,
    call_name,
    coding_request,
)
from lmmkit.model.formula.formula import Term
from lmmkit.model.formula.functions import Basis
from lmmkit.model.table.columns import CodedColumn, Floats, Ints, of_rows
from lmmkit.model.table.evaluate import Evaluator
from lmmkit.model.table.labels import label_of

MOST_MARGINS = 2_048  # of a term that are still sorted out
MOST_PRODUCTS = 10_000  # columns of an interaction that are still made
MOST_VALUES = 1_000_000_000  # of all columns of one factor together


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


Column = tuple[str, Floats]


@dataclass(frozen=True, eq=False)
class Variable:
    """One factor of the formula's terms as these data have it.

    Attributes:
        expression: Its expression, whose text names it.
        kind: number, basis or factor.
        levels: Names of the levels of a factor, in order.
        coding: Its columns beside an intercept.
        labels: Labels of the columns of a basis.
        spare: The column of a basis left out beside an intercept, or None.
    """

    expression: Expression
    kind: str
    levels: tuple[str, ...] = ()
    coding: Coding | None = None
    labels: tuple[str, ...] = ()
    spare: str | None = None

    @property
    def spans_intercept(self) -> bool:
        """Whether its columns, all of them, add up to the intercept."""
        return self.kind == "factor" or self.spare is not None

    def names(self, *, reduced: bool) -> tuple[str, ...]:
        """Names of its columns, all or beside an intercept."""
        text = self.expression.text
        if self.kind == "number":
            return (text,)
        if self.kind == "basis":
            return tuple(f"{text}[{label}]" for label in self.labels if not (reduced and label == self.spare))
        assert self.coding is not None
        return tuple(f"{text}[{label}]" for label in (self.coding.labels if reduced else self.levels))


@dataclass(eq=False)
class Values:
    """A variable with its values on some rows, from which columns are made."""

    variable: Variable
    numbers: Floats
    codes: Ints

    def columns(self, *, reduced: bool) -> list[Column]:
        """Named columns, all or beside an intercept."""
        variable = self.variable
        names = variable.names(reduced=reduced)
        if variable.kind == "number":
            return [(names[0], self.numbers)]
        if variable.kind == "basis":
            kept = [j for j, label in enumerate(variable.labels) if not (reduced and label == variable.spare)]
            return [(name, self.numbers[:, j]) for name, j in zip(names, kept, strict=True)]
        return [(name, self._coded(j, reduced=reduced)) for j, name in enumerate(names)]

    def _coded(self, j: int, *, reduced: bool) -> Floats:
        if not reduced:
            return (self.codes == j).astype(float)
        assert self.variable.coding is not None
        weights = self.variable.coding.matrix[:, j]
        marked = np.flatnonzero(weights)
        if len(marked) == 1 and weights[marked[0]] == 1:
            return (self.codes == marked[0]).astype(float)
        return weights[self.codes]


def is_factor(expression: Expression, evaluator: Evaluator) -> bool:
    """Whether an expression stands for a factor: text, a Categorical, or `C()` and `factor()`."""
    if expression.tree is not None:
        return call_name(expression.tree) in MARKERS
    return evaluator.table.kind(expression.text) == "text"


def marked_column(expression: Expression) -> tuple[Expression, CodingRequest]:
    """What `C(x, ...)` marks, and how it is to be coded."""
    tree = expression.tree
    if tree is None:
        return expression, CodingRequest()
    assert isinstance(tree, ast.Call)
    return expression.inner(tree.args[0]), coding_request(tree, dict(expression.aliases))


def learn(
    expression: Expression, evaluator: Evaluator, rows: Ints | None, contrasts: Mapping[str, Any]
) -> Values:
    """Read an expression on the rows used and settle its kind, levels and coding.

    Raises:
        DataError: A factor with fewer than two levels, or what its column cannot give.
    """
    if is_factor(expression, evaluator):
        return _learn_factor(expression, evaluator, rows, contrasts)
    made = evaluator.columns(expression)
    none = np.empty(0, np.intp)
    if isinstance(made, Basis):
        variable = Variable(expression, "basis", labels=made.labels, spare=made.spare)
        return Values(variable, of_rows(made.values, rows), none)
    return Values(Variable(expression, "number"), of_rows(made, rows), none)


def factor_of(expression: Expression, evaluator: Evaluator) -> CodedColumn:
    """The factor that an expression marks, on all rows."""
    inner, request = marked_column(expression)
    if inner.is_column:
        factor = evaluator.table.factor(inner.text)
    else:
        values = evaluator.numbers(inner)
        levels, codes = np.unique(values[~np.isnan(values)], return_inverse=True)
        whole = np.full(len(values), -1, np.intp)
        whole[~np.isnan(values)] = codes
        factor = CodedColumn(whole, levels)
    return factor if request.levels is None else _reordered(factor, request.levels, expression)


def _reordered(factor: CodedColumn, levels: Sequence[Any], expression: Expression) -> CodedColumn:
    known = {label_of(level): code for code, level in enumerate(factor.levels)}
    order = [known.get(label_of(level), -1) for level in levels]
    absent = [label_of(level) for code, level in enumerate(factor.levels) if code not in order]
    if absent or len(set(map(label_of, levels))) < len(levels):
        raise DataError(
            f"`{expression}` must list each level once; not listed: {', '.join(absent[:6]) or 'none'}."
        )
    rank = np.full(len(factor.levels) + 1, -1, np.intp)
    rank[[code for code in order if code >= 0]] = [new for new, code in enumerate(order) if code >= 0]
    return CodedColumn(rank[factor.codes], [label_of(level) for level in levels])


def _learn_factor(
    expression: Expression, evaluator: Evaluator, rows: Ints | None, contrasts: Mapping[str, Any]
) -> Values:
    factor = factor_of(expression, evaluator)
    codes, present = factor.used(rows)
    levels = tuple(label_of(factor.levels[code]) for code in present.tolist())
    if len(levels) == 1:
        raise DataError(
            f"The factor `{expression}` has one level only ({levels[0]}) in the {len(codes):,} rows used; at "
            "least two are expected: leave it out of the formula."
        )
    if len(levels) * len(codes) > MOST_VALUES:
        raise DataError(
            f"`{expression}` has {len(levels):,} levels, each of which would be a fixed effect: write "
            f"`(1 | {expression})` for a random one, or convert it if it holds numbers."
        )
    variable = Variable(expression, "factor", levels)
    return Values(replace(variable, coding=_coding(expression, levels, contrasts)), np.empty(0), codes)


def _coding(expression: Expression, levels: Sequence[str], contrasts: Mapping[str, Any]) -> Coding:
    inner, request = marked_column(expression)
    if request.kind is not None:
        base = None if request.base is None else label_of(request.base)
        return coding(request.kind, levels, base, inner.text)
    if inner.text in contrasts:
        return given_coding(contrasts[inner.text], levels, inner.text)
    return coding("treatment", levels, None, inner.text)


def _known(level: Any, known: Mapping[str, int]) -> int:
    """Code of a level, -2 when it is unknown; a whole number is found as 1 and as 1.0."""
    texts = [str(level)]
    if not isinstance(level, str) and texts[0].removesuffix(".0").lstrip("-").isdigit():
        texts += [texts[0].removesuffix(".0"), f"{texts[0].removesuffix('.0')}.0"]
    return next((known[text] for text in texts if text in known), -2)


def reread(variable: Variable, evaluator: Evaluator, rows: Ints | None = None) -> Values:
    """The values of a learned variable on new rows, in its own levels and coding; of all rows or of some.

    Raises:
        DataError: A level that the fit has not seen.
    """
    none = np.empty(0, np.intp)
    if variable.kind != "factor":
        made = evaluator.columns(variable.expression)
        numbers = made.values if isinstance(made, Basis) else made
        return Values(variable, of_rows(numbers, rows), none)
    factor = factor_of(variable.expression, evaluator)
    known = {level: code for code, level in enumerate(variable.levels)}
    table = np.array([*(_known(level, known) for level in factor.levels), -1], np.intp)
    unseen = [str(level) for level, code in zip(factor.levels, table, strict=False) if code == -2]
    codes = table[of_rows(factor.codes, rows)]
    if (codes == -2).any():
        raise DataError(
            f"`{variable.expression}` has levels that the fit has not seen: {', '.join(unseen[:6])}; known: "
            f"{', '.join(variable.levels[:12])}."
        )
    return Values(variable, np.empty(0), codes)


Scoped = tuple[tuple[Expression, bool], ...]


def coded_products(
    terms: Sequence[Term], variables: Mapping[Expression, Variable]
) -> tuple[tuple[Scoped, ...], ...]:
    """For each term the products that code it: factors of the formula, each in full or reduced."""
    spanned: set[frozenset[tuple[Expression, bool]]] = set()
    coded: list[tuple[Scoped, ...]] = []
    for term in terms:
        span = [scoped for scoped in _span(term, variables) if frozenset(scoped) not in spanned]
        coded.append(tuple(_simplified(span)))
        spanned.update(map(frozenset, span))
    return tuple(coded)


def _span(term: Term, variables: Mapping[Expression, Variable]) -> list[Scoped]:
    """The margins that a term spans: each factor reduced or absent, numbers always there."""
    choices = [
        ((factor, True), None) if variables[factor].spans_intercept else ((factor, False),) for factor in term
    ]
    if math.prod(map(len, choices)) > MOST_MARGINS:
        raise FormulaError(
            f"`{':'.join(factor.text for factor in term)}` has more than {MOST_MARGINS:,} margins to be "
            "coded: name the interactions that are wanted, of fewer factors each."
        )
    return [tuple(filter(None, chosen)) for chosen in itertools.product(*choices)]


def _simplified(span: Iterable[Scoped]) -> list[Scoped]:
    """Fewest products with the same span: `m:reduced + m` becomes `m:full`."""
    products: dict[frozenset[tuple[Expression, bool]], tuple[int, Scoped]] = {}
    for number, scoped in enumerate(sorted(span, key=len)):
        parts = frozenset(scoped)
        margins = {parts - {part} for part in scoped if part[1]}
        partner = min(margins & products.keys(), key=lambda margin: products[margin][0], default=None)
        if partner is None:
            products.setdefault(parts, (number, scoped))
            continue
        (grown,) = parts - partner
        full = tuple((grown[0], False) if part == grown else part for part in scoped)
        others = [other for margin, (_, other) in products.items() if margin != partner]
        again = _simplified([*others, full])
        products = {frozenset(other): (place - len(again), other) for place, other in enumerate(again)}
    return [scoped for _, scoped in products.values()]


def product_columns(scoped: Scoped, values: Mapping[Expression, Values], rows: int) -> list[Column]:
    """Named columns of one product, its first factor varying fastest; the intercept takes no memory."""
    if not scoped:
        return [("Intercept", np.broadcast_to(np.float64(1.0), rows))]
    parts = [values[factor].columns(reduced=reduced) for factor, reduced in scoped]
    if len(parts) == 1:
        return parts[0]
    count = math.prod(map(len, parts))
    if count > MOST_PRODUCTS:
        raise FormulaError(
            f"`{':'.join(factor.text for factor, _ in scoped)}` has {count:,} columns, more than "
            f"{MOST_PRODUCTS:,}: leave factors out, or join levels."
        )
    return [_multiplied(chosen[::-1]) for chosen in itertools.product(*parts[::-1])]


def _multiplied(columns: Sequence[Column]) -> Column:
    name = ":".join(name for name, _ in columns)
    return name, functools.reduce(np.multiply, (values for _, values in columns))
