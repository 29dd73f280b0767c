"""What a design is refused for: models whose parameters the data cannot tell apart, values that cannot be."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.covariance.patterned import PatternedStructure
from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.covariance.structures import Structure
from lmmkit.engine.relations.pedigree import Pedigree
from lmmkit.errors import DataError, Findings, FormulaError
from lmmkit.model.formula.groups import Group
from lmmkit.model.table.columns import Floats, Ints
from lmmkit.model.table.grouping import Grouping, weight_matrix

SAMPLE = 5_000
DEPENDENT = 1e-8
WIDEST = 20
FURTHEST = 1e140  # size of a number, or of a ratio of two, whose square still has room for a sum
LEVELS = 5_000  # at most, of which the cross-products are looked at,
ENTRIES = 2_000_000  # and of those, together
PAIRS = 20_000  # of rows within levels that are looked at, about, for a term with a pattern


@dataclass(frozen=True, eq=False)
class Draft:
    """A random-effects term before it has its place in the order.

    Attributes:
        text: As written.
        grouping: Its grouping factor.
        names: Names of its columns.
        columns: The columns, each (n,).
        places: Their positions among the problem's columns.
        structure: What the covariance matrix of its effects may be.
    """

    text: str
    grouping: Grouping
    names: tuple[str, ...]
    columns: tuple[Floats, ...]
    places: tuple[int, ...]
    structure: Structure

    @property
    def patterned(self) -> bool:
        """Whether its covariance matrix has a pattern."""
        return isinstance(self.structure, PatternedStructure)

    def each(self) -> list[Draft]:
        """Its columns, each a term of its own."""
        return [self._of((column,)) for column in range(len(self.names))]

    def blocks(self) -> list[Draft]:
        """Its columns in sets that have covariances with each other, but with no other column."""
        if self.patterned:
            return [self]
        linked: NDArray[np.bool_] = np.any(self.structure.span, axis=0)
        sets = dict.fromkeys(tuple(np.flatnonzero(row).tolist()) for row in linked)
        return [self] if len(sets) == 1 else [self._of(columns) for columns in sets]

    def _of(self, columns: tuple[int, ...]) -> Draft:
        names, places = tuple(self.names[c] for c in columns), tuple(self.places[c] for c in columns)
        arrays = tuple(self.columns[c] for c in columns)
        return Draft(self.text, self.grouping, names, arrays, places, structure_of("", len(names)))


def check_response(response: Floats, name: str) -> None:
    """Refuse a response that does not vary.

    Raises:
        DataError: Every value is the same.
    """
    if response[0] == response[-1] and response.min() == response.max():
        raise DataError(
            f"The response `{name}` is {response[0]:g} in all {len(response):,} rows used; values that vary "
            "are expected."
        )


def check_sizes(response: Floats, columns: Iterable[tuple[str, Floats]]) -> None:
    """Refuse numbers whose squares, or those of their ratios, are beyond what a double holds.

    Raises:
        DataError: The response or a column is too large or too small, by itself or beside the other.
    """
    y = _size(response)
    for name, size in (("the response", y), *((f"`{name}`", _size(x)) for name, x in columns)):
        beside = y / size if size else 0.0
        for what, value in ((name, size), (f"the response beside {name}", beside)):
            if value and not 1.0 / FURTHEST < value < FURTHEST:
                raise DataError(
                    f"The size of {what} is {value:.3g}; sizes from {1.0 / FURTHEST:g} to {FURTHEST:g} are "
                    "expected, whose squares can be computed: take another unit."
                )


def _size(x: Floats) -> float:
    """The largest absolute value."""
    return max(float(x.max()), -float(x.min()))


def check_weights(weights: Floats | None) -> None:
    """Refuse weights that are not positive.

    Raises:
        DataError: A weight is zero or negative.
    """
    if weights is not None and not weights.min() > 0:
        bad = np.flatnonzero(weights <= 0)
        raise DataError(
            f"weights: {len(bad):,} of the rows used have a weight that is not positive, first "
            f"{weights[bad[0]]:g}; prior weights are positive: leave such rows out instead."
        )


def check_groupings(groupings: Mapping[str, Grouping], rows: int, series: Container[str] = ()) -> None:
    """Refuse grouping factors that cannot carry a variance.

    Args:
        groupings: By label.
        rows: Rows used.
        series: Labels of those that may have one level: of it there are effects enough, with one variance.

    Raises:
        DataError: One level, or as many levels as rows, or two factors that are the same.
    """
    found = Findings()
    for grouping in groupings.values():
        with found.part():
            _check_grouping(grouping, rows, least=1 if grouping.name in series else 2)
    found.raise_found()


def _check_grouping(grouping: Grouping, rows: int, least: int) -> None:
    if grouping.size < least:
        raise DataError(
            f"The grouping factor `{grouping.name}` has one level only in the {rows:,} rows used; a "
            "variance between levels needs at least two."
        )
    if grouping.plain and grouping.size >= rows:
        raise DataError(
            f"The grouping factor `{grouping.name}` has {grouping.size:,} levels in {rows:,} rows, one "
            "row each: its variance cannot be told from the residual's; a factor with repeated rows is "
            "expected."
        )


def check_same(names: tuple[str, str] | None) -> None:
    """Refuse two grouping factors that divide the rows alike.

    Raises:
        DataError: There are such factors.
    """
    if names is not None:
        raise DataError(
            f"The grouping factors `{names[0]}` and `{names[1]}` divide the rows alike, so their variances "
            "cannot be told apart; keep one of them."
        )


def check_terms(drafts: Sequence[Draft], weights: Floats | None) -> None:
    """Refuse random-effects terms whose variances cannot be told apart.

    Raises:
        FormulaError: Columns of a term, or of two terms of one grouping factor, depend on each other.
        DataError: A term explains each row by itself.
    """
    by_factor, found = dict[str, list[Draft]](), Findings()
    for draft in drafts:
        with found.part("formula"):
            _check_width(draft)
        by_factor.setdefault(draft.grouping.name, []).extend(draft.blocks())
    for blocks in by_factor.values():
        with found.part("formula"):
            _check_blocks(blocks)
    found.raise_found()
    for draft in drafts:
        with found.part("formula"):
            if not draft.grouping.plain:
                check_told_apart(draft.text, draft.grouping, draft.columns, weights)
            elif draft.grouping.size * len(draft.columns) >= len(draft.grouping.codes):
                _check_residual(draft, weights)
    found.raise_found()


def _check_width(draft: Draft) -> None:
    width, rows, count = len(draft.columns), len(draft.grouping.codes), draft.structure.count
    if draft.structure.pairs and width > 2 and count >= rows:
        raise DataError(
            f"`{draft.text}` has {width} columns and so {count:,} variances and "
            f"covariances, which {rows:,} rows cannot tell apart; leave columns out, or write `||` for "
            "variances alone."
        )


def _check_blocks(blocks: Sequence[Draft]) -> None:
    columns = [column for block in blocks for column in block.columns]
    if _plainly_independent(columns) or not len(_dependent(_sampled(columns))):
        return
    for block in blocks:
        bad = _dependent(block.columns)
        if len(bad):
            raise FormulaError(_dependent_text(block, bad[0]))
    for first, second in combinations(blocks, 2):
        if (first.patterned or second.patterned) and not _undetermined([first, second]):
            continue
        bad = _dependent((*first.columns, *second.columns))
        if len(bad):
            raise FormulaError(_overlap_text(first, second, bad[0] - len(first.columns)))


def _plainly_independent(columns: Sequence[Floats]) -> bool:
    """Whether it takes no algebra to see: one column, or an intercept and one that varies."""
    last = columns[-1][:SAMPLE]
    if len(columns) == 1:
        return bool(last.any())
    return (
        len(columns) == 2
        and columns[0].strides == (0,)
        and bool(np.ptp(last) > DEPENDENT * np.abs(last).max())
    )


def _dependent_text(block: Draft, bad: int) -> str:
    name = block.names[bad]
    if not np.any(block.columns[bad]):
        return f"`{block.text}`: the column `{name}` is zero in every row used; leave it out of the term."
    others = ", ".join(f"`{other}`" for other in block.names[:bad])
    return (
        f"`{block.text}`: the column `{name}` follows from {others}, so their variances cannot be told "
        "apart; leave one of them out of the term."
    )


def _overlap_text(first: Draft, second: Draft, bad: int) -> str:
    name = second.names[max(bad, 0)]
    if first.text == second.text:
        return f"`{first.text}`: `{first.names[0]}` and `{name}` are the same up to scale; leave one out."
    hint = ""
    if name == "Intercept":
        hint = " Write (x | g) alone, or (1 | g) + (0 + x | g) for no covariance between them."
    return (
        f"`{first.text}` and `{second.text}`: both let `{name}` vary over `{second.grouping.name}`, so the "
        f"split of its variance cannot be estimated; keep it in one of them.{hint}"
    )


def _sampled(columns: Sequence[Floats]) -> list[Floats]:
    """Some of the rows: columns that are independent there are independent."""
    step = max(len(columns[0]) // SAMPLE, 1)
    return [column[::step] for column in columns]


def _dependent(columns: Sequence[Floats]) -> Ints:
    """Positions of the columns that follow from earlier ones (and are not zero up to rounding)."""
    matrix = np.column_stack(columns)
    constant = np.flatnonzero((matrix == matrix[0]).all(axis=0) & (matrix[0] != 0))
    if len(constant):
        base = matrix[:, constant[0]].copy()
        matrix -= matrix.mean(axis=0)
        matrix[:, constant[0]] = base
    scale = np.linalg.norm(matrix, axis=0)
    largest = np.array([np.abs(column).max() for column in columns])
    matrix /= np.where(scale > 1e-12 * largest * np.sqrt(len(matrix)), scale, np.inf)
    return np.flatnonzero(np.abs(np.diag(np.linalg.qr(matrix, mode="r"))) < DEPENDENT)


def between_only(drafts: Sequence[Draft]) -> tuple[list[str], list[str]]:
    """Sentences about columns of random-effects terms that never vary within a level of their factor.

    Returns:
        What is estimable and seldom meant; and what is not: where such a column takes too few values, other
        variances and covariances of the term give the same model.
    """
    seldom, never = list[str](), list[str]()
    by_factor: dict[str, list[Draft]] = {}
    for draft in drafts:
        if draft.grouping.plain:  # others show their variances between levels too
            by_factor.setdefault(draft.grouping.name, []).append(draft)
    for same in by_factor.values():
        constant = [(draft, name) for draft in same for name in _constant_within(draft)]
        if constant and _undetermined(same):
            never.append(_undetermined_text(*constant[0]))
        else:
            seldom += [_constant_text(draft, name) for draft, name in constant]
    return seldom, never


def _constant_within(draft: Draft) -> list[str]:
    """The columns, other than an intercept, that have one value in each level with several rows."""
    codes = draft.grouping.codes
    pairs = zip(draft.names, draft.columns, strict=True)
    return [
        name
        for name, values in pairs
        if values.strides != (0,)
        and np.ptp(values) > 0
        and _same_within(codes[:SAMPLE], values[:SAMPLE], draft.grouping.size)
        and _same_within(codes, values, draft.grouping.size)
    ]


def _same_within(codes: Ints, values: Floats, size: int) -> bool:
    one = np.empty(size)
    one[codes] = values
    return bool((one[codes] == values).all())


def _undetermined(drafts: Sequence[Draft]) -> bool:
    """Whether Z_j T Z_j' of all levels j leave a direction of the matrices T of one factor open.

    With C_j = Z_j' Z_j, which has the rows of Z_j, C_j T C_j is looked at instead.
    """
    blocks = [block for draft in drafts for block in draft.blocks()]
    columns = [column for block in blocks for column in _scaled(block)]
    codes, size = blocks[0].grouping.codes, blocks[0].grouping.size
    k = len(columns)
    chosen = np.linspace(0, size - 1, min(size, LEVELS, max(ENTRIES // k**2, 10))).astype(np.intp)
    C = np.empty((len(chosen), k, k))
    for a, b in combinations_with_replacement(range(k), 2):
        C[:, a, b] = C[:, b, a] = np.bincount(codes, columns[a] * columns[b], size)[chosen]
    C /= np.maximum(np.einsum("jaa->j", C), np.finfo(float).tiny)[:, None, None]
    directions, start = list[Floats](), 0
    for block in blocks:
        width = len(block.columns)
        for inner in block.structure.generic:
            S = np.zeros((k, k))
            S[start : start + width, start : start + width] = inner
            directions.append((C @ S @ C).ravel())
        start += width
    moved = np.column_stack(directions)
    norms = np.linalg.norm(moved, axis=0)
    return not norms.all() or bool(np.linalg.svd(moved / norms, compute_uv=False)[-1] < DEPENDENT)


def _scaled(block: Draft) -> list[Floats]:
    """Columns of unit size, centred beside an intercept with which they covary: the model is the same."""
    intercept = any(column.strides == (0,) for column in block.columns)
    moved = [c if c.strides == (0,) or not intercept else c - c.mean() for c in block.columns]
    sizes = [float(np.abs(column).max()) or 1.0 for column in moved]
    return [column / size for column, size in zip(moved, sizes, strict=True)]


def _constant_text(draft: Draft, name: str) -> str:
    group = draft.grouping.name
    return (
        f"`{draft.text}`: `{name}` has one value in each level of `{group}`, so no level shows a slope of "
        f"its own; the variance of the slopes rests on how the levels spread. (1 | {group}) is mostly meant."
    )


def _undetermined_text(draft: Draft, name: str) -> str:
    group = draft.grouping.name
    return (
        f"`{draft.text}`: `{name}` has one value in each level of `{group}`, and too few values for the "
        f"variances and covariances of the term to be told apart; write (1 | {group})."
    )


def _check_residual(draft: Draft, weights: Floats | None) -> None:
    """Refuse a term that can take the residual's place: Z_j S Z_j' = W_j^-1 for one S and every level j."""
    codes = draft.grouping.codes
    width = len(draft.columns)
    if np.bincount(codes).max() > width:
        return
    if width > WIDEST and not draft.patterned:
        raise DataError(_confounded(draft))
    first, second = _pairs(codes)
    if draft.patterned and len(first) > PAIRS + len(codes):  # each row with itself, and some of the others
        some = np.append(np.arange(len(codes)), np.arange(len(codes), len(first), len(first) // PAIRS))
        first, second = first[some], second[some]
    Z = np.column_stack(draft.columns)
    products: Floats = np.column_stack(
        [np.einsum("nb,nb->n", Z[first] @ way, Z[second]) for way in draft.structure.generic]
    )
    noise = np.ones(len(codes)) if weights is None else 1 / weights
    target = np.where(first == second, noise[first], 0.0)
    solution = np.linalg.lstsq(products, target, rcond=None)[0]
    if np.linalg.norm(products @ solution - target) < DEPENDENT * np.linalg.norm(target):
        raise DataError(_confounded(draft))


def _confounded(draft: Draft) -> str:
    return (
        f"`{draft.text}` has {len(draft.columns)} effects for each of {draft.grouping.size:,} levels, and no "
        f"level has more rows than that ({len(draft.grouping.codes):,} rows): its variances cannot be told "
        "from the residual's; leave effects out, or use a grouping factor with more rows for each level."
    )


def _pairs(codes: Ints) -> tuple[Ints, Ints]:
    """All pairs of rows (each with itself too) within one level, as positions."""
    order = np.argsort(codes, kind="stable")
    sorted_codes = codes[order]
    firsts, seconds = [order], [order]
    for lag in range(1, int(np.bincount(codes).max())):
        alike = np.flatnonzero(sorted_codes[lag:] == sorted_codes[:-lag])
        firsts.append(order[alike])
        seconds.append(order[alike + lag])
    return np.concatenate(firsts), np.concatenate(seconds)


# Several memberships and known covariances: their variance cannot be told from the residual's where Z K Z' is
# a multiple of the residuals' covariance matrix W^-1: unrelated rows, each with a variance in proportion.

PROPORTIONAL = 1e-8


def check_told_apart(
    text: str, grouping: Grouping, columns: Sequence[Floats], weights: Floats | None
) -> None:
    """Refuse a term of one column whose variance cannot be told from the residual's.

    Raises:
        DataError: Z K Z' is a multiple of W^-1.
    """
    if len(columns) > 1:
        return
    noise = np.ones(len(grouping.codes)) if weights is None else 1.0 / weights
    variances = _unrelated(grouping, columns[0])
    if variances is None:
        return
    ratio = variances / noise
    if ratio.max() - ratio.min() <= PROPORTIONAL * ratio.max():
        known = f", and {grouping.known.words} relates none of them" if grouping.known else ""
        raise DataError(
            f"`{text}`: each of the {len(noise):,} rows has an effect of its own{known}: the variance cannot "
            "be told from the residual's; give relatives, or more rows for each level, or leave the term out."
        )


def _unrelated(grouping: Grouping, column: Floats) -> Floats | None:
    """(n,) variances of the rows' effects where no two rows are correlated, else None."""
    Z = weight_matrix(grouping)
    known = grouping.known
    if known is None:
        V = (Z @ Z.T).tocoo()
        return None if (V.data[V.row != V.col] != 0).any() else (Z.power(2).sum(axis=1)) * column**2
    if len(np.unique(grouping.codes)) < len(grouping.codes) and not grouping.members:
        return None  # two rows of one level
    if known.pedigree is not None:
        seen = np.flatnonzero(grouping.observed)
        return None if _have_common_ancestors(known.pedigree, seen) else column**2
    V = Z @ known.dense() @ Z.T
    diagonal = np.diag(V).copy()
    np.fill_diagonal(V, 0.0)
    return None if np.abs(V).max() > PROPORTIONAL * diagonal.max() else diagonal * column**2


def _have_common_ancestors(pedigree: Pedigree, animals: Ints) -> bool:
    """Whether two of some animals have an ancestor in common, or one is an ancestor of another.

    One who is inbred counts as well: its variance is not that of the others.
    """
    owner: dict[int, int] = {}
    for animal in animals.tolist():
        ways = [animal]
        while ways:
            at = ways.pop()
            if at in owner:
                return True
            owner[at] = animal
            ways += [int(parent[at]) for parent in (pedigree.sire, pedigree.dam) if parent[at] >= 0]
    return False


def said(groupings: Mapping[str, Grouping], groups: Mapping[str, Group]) -> list[str]:
    """Sentences about members that are missing and levels without rows."""
    notices = list[str]()
    for label, grouping in groupings.items():
        if grouping.known is not None:
            notices += grouping.known.notices
        if grouping.members:
            notices += _missing_members(label, grouping)
            notices += _beside(groups[label], groups)
    return notices


def _missing_members(label: str, grouping: Grouping) -> list[str]:
    present = np.column_stack([weights != 0 for _, weights in grouping.members])
    count, most = present.sum(axis=1), present.shape[1]
    none, fewer = int((count == 0).sum()), int(((count > 0) & (count < most)).sum())
    notices = list[str]()
    if fewer:
        notices.append(
            f"`{label}`: {fewer:,} row{'s have' if fewer > 1 else ' has'} fewer than {most} members with a "
            "weight; what is missing is left out."
        )
    if none:
        notices.append(
            f"`{label}`: {none:,} row{'s have' if none > 1 else ' has'} no member, and "
            f"{'keep' if none > 1 else 'keeps'} the fixed part without an effect of `{label}`."
        )
    return notices


def _beside(group: Group, groups: Mapping[str, Group]) -> list[str]:
    """What a plain term of a member's column means beside the memberships."""
    return [
        f"`(... | {other})` beside `{group}`: a level of `{other}` has an effect of its own there, beside "
        f"its share as a member; leave (... | {other}) out unless that is meant."
        for other, plain in groups.items()
        if plain.members is None and set(plain.names) & set(group.names)
    ]
