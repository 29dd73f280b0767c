"""What the rows can tell of a residual structure, asked before any search: where they cannot, it says so."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.residual_structure import CellBlock
from lmmkit.engine.crossproducts.elimination_order import same_groups
from lmmkit.engine.crossproducts.patterns import pairs_of
from lmmkit.engine.crossproducts.product_sources import Patterned
from lmmkit.engine.problem import Problem, Residual, Term
from lmmkit.errors import FitError, first_of

NO_RANK = 1e-10  # share of the largest eigenvalue of a matrix of cross-products that is none
EXACT_VISIT = 1e-24  # mean square of a visit's residuals, beside that of all, that is rounding
ALIKE = 1e-8  # effect on R beside the largest, or singular value of all, each of length one, that is zero
SHOWN = 3  # names in a list before "and 5 more"
SIMPLER = "Take a structure with fewer parameters (cs, ar1, toep)"


def refuse_unidentified(source: Patterned, p: int) -> None:
    """The rows tell of every parameter of R.

    Raises:
        FitError: A variance has too few rows, a pair of visits is never seen together, there are too few
            subjects, or some parameters cannot be told apart.
    """
    if not source.structure.count:
        raise FitError(
            f"The residual structure has one cell, {source.structure.labels[0]}, and so no parameter: two "
            "visits, or two levels of ident(f), are needed at least. Leave it out for independent residuals."
        )
    _refuse_two_groups(source)
    sums, pairs = source.products()
    _refuse_single_rows(source, sums, pairs, p)
    structure = source.structure
    asked = any(block.correlation != "ident" and block.family.size > 1 for block in structure.blocks)
    if asked and all(group.patterns.cells.shape[1] == 1 for group in source.groups):
        raise FitError(
            "Every subject has one row, so no correlation between rows of a subject can be estimated. Name "
            "the column that says which rows are of one subject, or leave the correlation out: ident(f), iid."
        )
    for block in structure.blocks:
        if block.family.own_variances:
            _refuse_unseen(source, block, pairs)
            _refuse_few_subjects(source, block)
    _refuse_alike(source, pairs)


def _refuse_two_groups(source: Patterned) -> None:
    """Every subject is in one group."""
    residual, blocks = source.residual, source.structure.blocks
    for group in source.groups:
        of = source.structure.groups[group.patterns.cells]
        first, last = of.min(axis=1), of.max(axis=1)
        for at in np.flatnonzero(first < last)[:1]:
            row = group.patterns.rows[group.patterns.starts[at], 0]
            one, two = blocks[int(first[at])].prefix.rstrip("."), blocks[int(last[at])].prefix.rstrip(".")
            subject = residual.named(int(residual.subjects[row]))
            raise FitError(
                f"Subject {subject} has rows in two groups of the residual structure, {one} and {two}: what "
                "stands behind by= is constant within a subject. Correct the rows, or give the two subjects "
                "two names."
            )


def _refuse_single_rows(source: Patterned, sums: Floats, pairs: Floats, p: int) -> None:
    """Every variance of its own has rows, and they vary about the fixed effects."""
    structure, counts, squares = source.structure, pairs.diagonal(), sums.diagonal()
    for cells in structure.variances:
        rows, said = int(counts[cells].sum()), first_of([structure.labels[c] for c in cells], SHOWN)
        if rows < 2:
            raise FitError(
                f"There is {rows} row at {said}, and it has a variance of its own, which needs 2 at least. "
                f"Leave the visit out, or {SIMPLER[0].lower()}{SIMPLER[1:]}."
            )
        if squares[cells].sum() <= EXACT_VISIT * rows * squares.sum() / counts.sum():
            raise FitError(
                f"The fixed effects reproduce the response at {said} exactly ({rows} rows), and it has a "
                "variance of its own, which would be zero. Leave the visit out, or take fixed effects out."
            )
    rows, needed = int(counts.sum()), p + structure.count + 1
    if rows < needed:
        raise FitError(
            f"{rows} rows cannot estimate {p} fixed effects, a residual variance and {structure.count} "
            f"parameters of the residual structure: at least {needed} are needed. {SIMPLER}."
        )


def _refuse_unseen(source: Patterned, block: CellBlock, pairs: Floats) -> None:
    """Of an unstructured block every pair of visits is seen together in some subject."""
    seen = np.zeros((block.family.size, block.family.size))
    np.add.at(seen, np.ix_(block.places, block.places), pairs[block.here])
    never = [(a, b) for a, b in zip(*np.nonzero(seen == 0), strict=True) if a < b]
    if never:
        said = first_of([f"{block.visits[a]} and {block.visits[b]}" for a, b in never], SHOWN)
        of = f" of {block.prefix.rstrip('.')}" if block.prefix else ""
        raise FitError(
            f"No subject{of} has a row at both of the visits {said}: nothing is known of their covariance, "
            f"which un leaves free. {SIMPLER}, or leave one of the visits out."
        )


def _refuse_few_subjects(source: Patterned, block: CellBlock) -> None:
    """Of an unstructured block the subjects left by the fixed effects are no fewer than the visits.

    With fewer there is a combination of visits that the fixed effects reproduce in every subject, and along
    it the likelihood grows without bound.
    """
    subjects, rank, size = 0, 0, block.family.size
    gram = source.grams()
    for group in source.groups:
        patterns = group.patterns
        subjects += int(patterns.counts[np.isin(patterns.cells[:, 0], block.cells)].sum())
    for cell in block.cells:
        values = np.linalg.eigvalsh(gram[cell, :-1, :-1])
        rank = max(rank, int((values > NO_RANK * max(values[-1:], default=0.0)).sum()))
    if subjects - rank < size:
        of = f" of {block.prefix.rstrip('.')}" if block.prefix else ""
        raise FitError(
            f"There are {subjects} subjects{of} for {size} visits, and at each visit the fixed effects take "
            f"up {rank} of them: an unstructured covariance matrix needs at least {size + rank} subjects. "
            f"{SIMPLER}, or leave fixed effects out."
        )


def refuse_absorbed(problem: Problem, residual: Residual) -> None:
    """No random-effects term of the subjects adds what the residual structure has in any case.

    un has every covariance within a subject, cs and toep have that of a random intercept.

    Raises:
        FitError: A term's covariance, a function of the cells, is a change of R's parameters.
    """
    structure, pairs = residual.structure, pairs_of(residual)
    rho = 0.3 + 0.1 * np.sin(np.arange(structure.count) + 1.0)  # as in `_refuse_alike`
    own = np.concatenate([structure.jacobian(rho), structure.matrix(rho)[None]])
    for term in problem.terms:
        Z = over_cells(problem, term, residual)
        if Z is None:
            continue
        added = np.einsum("ka,ikl,lb->iab", Z, term.structure.span, Z)
        effects = np.concatenate([own, added])[:, pairs > 0]
        effects /= np.maximum(np.linalg.norm(effects, axis=1, keepdims=True), 1e-300)
        values = np.linalg.svd(effects.T, full_matrices=False)[1]
        if len(values) < len(effects) or values[-1] < ALIKE:
            name = next((b.correlation for b in structure.blocks if b.correlation != "ident"), "ident")
            raise FitError(
                f"A random-effects term of the subjects and the residual structure {name} cannot be told "
                "apart: the covariances that the term gives the rows of a subject are among those that "
                f"{name} allows in any case. Leave the term out, or take a structure that fades with the "
                "distance between visits (ar1, car1), or random effects of another factor."
            )


def by_cell(values: Floats | Ints, residual: Residual) -> Floats | None:
    """(T,) a column as a function of the cells, or None where it is none."""
    out = np.zeros(residual.structure.size)
    out[residual.cells] = values
    return out if np.array_equal(out[residual.cells], values) else None


def over_cells(problem: Problem, term: Term, residual: Residual) -> Floats | None:
    """(k, T) the columns of a term whose levels are the subjects, as functions of the cells; else None."""
    if not term.plain or not same_groups(term.codes, residual.subjects):
        return None
    columns = [by_cell(problem.columns[c], residual) for c in term.columns]
    known = [column for column in columns if column is not None]
    return np.array(known) if len(known) == len(columns) else None


def _refuse_alike(source: Patterned, pairs: Floats) -> None:
    """No change of the parameters, as they are printed, and of sigma leaves R as it is, where it is seen."""
    structure = source.structure
    rho = 0.3 + 0.1 * np.sin(np.arange(structure.count) + 1.0)  # no place where a slope happens to be zero
    slopes = np.tensordot(np.linalg.inv(structure.natural_jacobian(rho)).T, structure.jacobian(rho), axes=1)
    effects = np.concatenate([slopes, structure.matrix(rho)[None]])
    effects = (effects * np.sqrt(pairs))[:, pairs > 0]
    lengths = np.linalg.norm(effects, axis=1)
    unseen = lengths < ALIKE * lengths.max()
    lost = [name for name, not_there in zip(structure.names, unseen, strict=False) if not_there]
    if lost:
        what = "a parameter" if len(lost) == 1 else "parameters"
        raise FitError(
            f"No two rows of a subject tell of {first_of(lost, SHOWN)}, {what} of the residual structure: "
            f"such a distance or pair of visits never occurs within a subject. {SIMPLER}, or number the "
            "visits 1, 2, 3, ..."
        )
    _, values, rotation = np.linalg.svd((effects / lengths[:, None]).T, full_matrices=False)
    if len(values) <= structure.count or values[-1] < ALIKE:
        weights = np.abs(rotation[-1][:-1])
        names = [n for n, w in zip(structure.names, weights, strict=True) if w > 0.01 * weights.max()]
        raise FitError(
            f"The rows do not tell the parameters {first_of(names, SHOWN)} of the residual structure apart: "
            "too few pairs of visits occur within a subject, or two variances are of the same rows. "
            f"{SIMPLER}."
        )
