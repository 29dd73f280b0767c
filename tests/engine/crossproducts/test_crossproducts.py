"""From rows to sums, against dense algebra: preparation, order of elimination, cross-products, starts."""

from dataclasses import replace

import numpy as np
import pytest

from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.covariance.structures import Diagonal, Unstructured
from lmmkit.engine.criterion.elimination import eliminate
from lmmkit.engine.crossproducts import crossproducts
from lmmkit.engine.crossproducts import moment_start as module
from lmmkit.engine.crossproducts.crossproducts import absorb, collect
from lmmkit.engine.crossproducts.elimination_order import build_layout
from lmmkit.engine.crossproducts.moment_start import (
    _residual_start,
    equations,
    moment_start,
    scales,
    start_of,
    used_up,
)
from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.linalg.cross_blocks import Dense, Sparse
from lmmkit.engine.problem import Problem, Residual, Term
from lmmkit.engine.relations.pedigree import pedigree_of
from lmmkit.engine.setup import set_up
from lmmkit.engine.solve import solve
from lmmkit.errors import FitError

N = 60
FINE, COARSE, CROSSED = np.arange(N) % 15, np.arange(N) % 15 // 5, np.arange(N) * 7 % 11 % 4


def columns(seed=1):
    rng = np.random.default_rng(seed)
    return (np.broadcast_to(1.0, N), rng.normal(size=N) * 5 + 40, rng.normal(size=N))


def problem(*terms, weights=None, fixed=(0, 1), extra=()):
    rng = np.random.default_rng(3)
    return Problem((*columns(), *extra), fixed, rng.normal(size=N) * 2 + 100, terms, weights)


def term(factor, codes, width=1, structure=Unstructured, first=0):
    return Term(factor, codes, int(codes.max()) + 1, tuple(range(first, first + width)), structure(width))


ALL = (term(0, FINE, 2), term(1, COARSE), term(2, CROSSED, 2, Diagonal))


def dense(prepared, factor):
    """(J, n, k) Z of each level."""
    rows = prepared.rows[list(factor.rows)].T
    return np.array([rows * (factor.codes == level)[:, None] for level in range(factor.levels)])


# Preparation


@pytest.mark.parametrize("weighted", [False, True])
def test_prepared_rows_are_the_columns_through_their_basis(weighted):
    w = np.linspace(0.5, 2.0, N) if weighted else None
    given = problem(*ALL, weights=w)
    prepared, root = prepare(given), np.ones(N) if w is None else np.sqrt(w)
    X = np.column_stack([given.columns[c] for c in given.fixed]) * root[:, None]
    np.testing.assert_allclose(prepared.rows[list(prepared.fixed)].T, X @ prepared.basis, atol=1e-12)
    for t, mine, S in zip(given.terms, prepared.terms, prepared.term_bases, strict=True):
        Z = np.column_stack([given.columns[c] for c in t.columns]) * root[:, None]
        np.testing.assert_allclose(prepared.rows[list(mine)].T, Z @ S, atol=1e-12)
    y = (given.response - np.column_stack([given.columns[c] for c in (0, 1)]) @ prepared.beta) * root
    np.testing.assert_allclose(prepared.rows[-1] * prepared.scale, y, atol=1e-11)
    assert np.abs(X.T @ y).max() < 1e-8
    assert np.sqrt(np.mean(prepared.rows[-1] ** 2)) == pytest.approx(1.0)
    assert prepared.log_weights == (0.0 if w is None else pytest.approx(np.log(w).sum()))
    assert (prepared.unit is None) == weighted


def test_columns_are_centred_at_their_weighted_mean_and_have_unit_size():
    w = np.linspace(0.5, 2.0, N)
    prepared = prepare(problem(term(0, FINE, 2), weights=w))
    column = prepared.rows[prepared.fixed[1]] / np.sqrt(w)
    assert w @ column == pytest.approx(0.0, abs=1e-11)
    assert np.sqrt(np.mean(column**2)) == pytest.approx(1.0)


def test_nothing_is_centred_without_an_explicit_constant():
    halves = ((np.arange(N) % 2 == 0) * 1.0, (np.arange(N) % 2 == 1) * 1.0)  # they add up to one
    prepared = prepare(problem(term(0, FINE), fixed=(3, 4), extra=halves))
    np.testing.assert_array_equal(prepared.basis, np.diag(np.diag(prepared.basis)))


def test_an_aliased_column_is_left_out_and_the_first_kept():
    _, x, z = columns()
    given = problem(term(0, FINE), fixed=(0, 1, 3, 2), extra=(3 * x - 2,))
    assert prepare(given).kept == (0, 1, 3)
    near = problem(term(0, FINE), fixed=(0, 1, 3), extra=(x + 1e-5 * z,))  # not aliased, though nearly
    assert prepare(near).kept == (0, 1, 2)


def test_nearly_collinear_columns_are_orthogonalised():
    _, x, z = columns()
    given = problem(term(0, FINE), fixed=(0, 1, 3), extra=(x + 1e-4 * z,))
    X = (prepared := prepare(given)).rows[list(prepared.fixed)]
    np.testing.assert_allclose(X @ X.T, N * np.eye(3), atol=1e-8)
    raw = np.column_stack([given.columns[c] for c in (0, 1, 3)])
    np.testing.assert_allclose(raw @ prepared.basis, X.T, atol=1e-6)


@pytest.mark.parametrize("structure", [Unstructured, Diagonal])
def test_slanted_columns_of_a_term_are_straightened_where_its_structure_bears_it(structure):
    z = columns()[2]
    extra = (z + 0.05 * np.sin(np.arange(N)),)
    prepared = prepare(problem(term(0, FINE, 2, structure, first=2), extra=extra))
    Z = prepared.rows[list(prepared.terms[0])]
    square = (Z @ Z.T / N)[0, 1] == pytest.approx(0.0, abs=1e-10)
    assert square == (structure is Unstructured)


@pytest.mark.parametrize(
    ("response", "said"),
    [(np.full(N, 7.0), "response is constant"), (columns()[1] * 2 + 1, "reproduce the response exactly")],
)
def test_responses_without_variance_are_refused(response, said):
    with pytest.raises(FitError, match=said):
        prepare(replace(problem(term(0, FINE)), response=response))


def test_columns_of_a_term_have_one_scale_where_its_structure_bears_no_others():
    for structure, common in ((Diagonal(2), False), (structure_of("homcs", 2), True)):
        given = problem(Term(0, FINE, 15, (1, 2), structure))
        Z = prepare(given).rows[list(prepare(given).terms[0])]
        raw = np.stack([given.columns[1], given.columns[2]])
        sizes, known = np.sqrt(np.mean(Z**2, axis=1)), np.sqrt(np.mean(raw**2, axis=1))
        expected = known / np.sqrt(np.mean(known**2)) if common else np.ones(2)
        np.testing.assert_allclose(sizes, expected)


def new_share(columns):
    """The share of its norm that the last of some columns adds, all centred."""
    X = np.column_stack([c - c.mean() for c in columns])
    rest = X[:, -1] - X[:, :-1] @ np.linalg.lstsq(X[:, :-1], X[:, -1])[0]
    return np.linalg.norm(rest) / np.linalg.norm(X[:, -1])


def near(share):
    """A column of which that share is new beside the others."""
    _, x, z = columns()
    step = 1e-3
    return x + z * step * share / new_share((x, x + step * z))


@pytest.mark.parametrize(("share", "kept"), [(1.002e-7, 3), (0.998e-7, 2)])
def test_a_column_is_aliased_below_a_share_of_its_norm(share, kept):
    prepared = prepare(problem(term(0, FINE), fixed=(0, 1, 3), extra=(near(share),)))
    assert len(prepared.kept) == len(prepared.fixed) == kept


@pytest.mark.parametrize(("share", "turned"), [(1.1e-3, False), (0.9e-3, True)])
def test_columns_are_orthogonalised_below_a_share_of_new_norm(share, turned):
    prepared = prepare(problem(term(0, FINE), fixed=(0, 1, 3), extra=(near(share),)))
    X = prepared.rows[list(prepared.fixed)]
    assert np.allclose(X @ X.T, N * np.eye(3), atol=1e-6) == turned


@pytest.mark.parametrize(("share", "turned"), [(0.11, False), (0.09, True)])
def test_columns_of_a_term_are_straightened_below_a_tenth_of_new_norm(share, turned):
    given = problem(Term(0, FINE, 15, (0, 1, 3), Unstructured(3)), extra=(near(share),))
    Z = prepare(given).rows[list(prepare(given).terms[0])]
    assert np.allclose(Z @ Z.T, N * np.eye(3), atol=1e-6) == turned


def test_a_constant_column_is_any_number_but_zero():
    two, nothing = np.full(N, 2.0), np.zeros(N)
    given = problem(term(0, FINE), fixed=(3, 1), extra=(two,))
    X = np.column_stack([two, given.columns[1]])
    np.testing.assert_allclose(prepare(given).beta, np.linalg.lstsq(X, given.response)[0], rtol=1e-9)
    assert prepare(given).unit is not None
    other = problem(term(0, FINE), fixed=(3, 0, 1), extra=(nothing,))
    assert prepare(other).kept == (1, 2)


@pytest.mark.parametrize(("size", "exact"), [(5e-13, True), (1e-10, False)])
def test_a_response_is_reproduced_but_for_rounding(size, exact):
    y = columns()[1] * 2 + size * columns()[2]
    given = replace(problem(term(0, FINE)), response=y)
    if exact:
        with pytest.raises(FitError, match="reproduce the response exactly: no residual variance is left"):
            prepare(given)
    else:
        assert prepare(given).scale == pytest.approx(size * columns()[2].std(), rel=0.2)
    with pytest.raises(FitError, match=r"constant \(0\.1 in every row\)"):
        prepare(replace(given, response=np.full(N, 0.1)))


@pytest.mark.parametrize("weighted", [False, True])
def test_an_offset_is_taken_off_the_response(weighted):
    offset, w = np.linspace(-3.0, 5.0, N), np.linspace(0.5, 2.0, N) if weighted else None
    given = problem(*ALL, weights=w)
    one, other = (
        prepare(replace(given, offset=offset)),
        prepare(replace(given, response=given.response - offset)),
    )
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.beta, other.beta)
    assert one.scale == other.scale


# Order of elimination


def test_nested_factors_form_a_chain_and_crossed_ones_the_rest():
    given = problem(*ALL[::-1])
    layout = build_layout(given, prepare(given))
    assert [f.levels for f in layout.chain] == [15, 3]
    assert [f.levels for f in layout.rest] == [4]
    fine, coarse = layout.chain
    np.testing.assert_array_equal(layout.parents[0, 1][fine.codes], coarse.codes)
    assert (np.diff(layout.parents[0, 1]) >= 0).all()  # children of one parent are neighbours
    np.testing.assert_array_equal(layout.starts[0, 1], [0, 5, 10])
    np.testing.assert_array_equal(fine.order[fine.codes], FINE)
    np.testing.assert_allclose(layout.collect(0, 1, np.arange(15.0)), [10.0, 35.0, 60.0])
    assert (layout.size, layout.columns(0)) == (8, slice(0, 8))
    assert [f.structure.count for f in layout.factors] == [3, 1, 2]
    assert layout.cuts == (slice(0, 3), slice(3, 4), slice(4, 6))
    free = layout.free(np.array([1.0, 1.0, 0.0, 0.0, 0.0, 2.0]))
    assert free.tolist() == [True, True, False, False, False, True]


def test_a_factor_whose_nesting_breaks_late_is_crossed():
    n = 6_000  # beyond the rows that are looked at first
    inner = np.arange(n) % 600
    outer = inner % 20
    outer[-1] = (outer[-1] + 1) % 20
    rng = np.random.default_rng(1)
    terms = (term(0, inner), term(1, outer))
    given = Problem((np.broadcast_to(1.0, n),), (0,), rng.normal(size=n), terms)
    layout = build_layout(given, prepare(given))
    assert (len(layout.chain), len(layout.rest)) == (1, 1)


def test_terms_of_one_factor_are_eliminated_together_each_with_its_structure():
    given = problem(term(0, FINE, 2, Diagonal), term(0, FINE, first=2))
    (factor,) = build_layout(given, prepare(given)).factors
    assert factor.pieces == ((0, slice(0, 2), Diagonal(2)), (1, slice(2, 3), Unstructured(1)))
    assert factor.structure.parts == (((0, 1), Diagonal(2)), ((2,), Unstructured(1)))


def test_ways_to_grow_have_slopes_per_level():
    given = problem(*ALL)
    layout = build_layout(given, prepare(given))
    L = [np.eye(factor.width) for factor in layout.factors]
    D = [np.diag(np.arange(1.0, factor.width + 1)) for factor in layout.factors]
    scale = [np.ones(factor.width) for factor in layout.factors]
    found = layout.growths(L, D, scale)
    assert [f for f, _ in found] == [0, 1, 2, 2]
    assert [float(growth.slope) for _, growth in found] == pytest.approx([1 / 15, 1 / 3, 1 / 4, 2 / 4])


def test_a_row_may_meet_a_level_twice():
    half = np.full(N, 0.5)
    members = ((CROSSED, half), (np.where(np.arange(N) < 30, CROSSED, (CROSSED + 1) % 4), half))
    given = problem(Term(0, CROSSED, 4, (0,), Unstructured(1), members))
    (factor,) = build_layout(given, prepare(given)).rest
    assert factor.Z.nnz == 30 + 2 * 30
    np.testing.assert_array_equal(factor.Z.sum(axis=1), np.ones(N))


def test_beside_relatives_of_a_pedigree_nothing_is_a_chain():
    names = [str(i) for i in range(15)]
    animals = pedigree_of(names, ["", "", *["0"] * 13], ["", "", *["1"] * 13])
    related = Term(0, FINE, 15, (0,), Unstructured(1), (), animals)
    given = problem(related, term(1, COARSE))
    layout = build_layout(given, prepare(given))
    assert (len(layout.chain), len(layout.rest), layout.sparse) == (0, 2, True)
    given = problem(term(0, FINE), term(1, COARSE))
    assert len(build_layout(given, prepare(given)).chain) == 2


def test_rows_that_are_correlated_stay_in_one_level_of_a_chain():
    subjects, cells = np.repeat(np.arange(20), 3), np.tile(np.arange(3), 20)
    for name, chained in (("cs", 0), ("ident", 1)):  # rows of a subject are in several levels
        structure = one_correlation(name, (0, 1, 2), ("0", "1", "2"), heterogeneous=True)
        given = replace(problem(term(0, CROSSED)), residual=Residual(structure, cells, subjects))
        assert len(build_layout(given, prepare(given)).chain) == chained


def test_units_of_the_data_and_back():
    given = problem(*ALL)
    prepared = prepare(given)
    layout = build_layout(given, prepared)
    factors = (np.array([[2.0, 0.0], [-0.3, 0.1]]), np.array([[0.0]]), np.diag([0.5, 0.02]))
    L = layout.in_prepared_units(prepared.term_bases, factors)
    for factor, x in zip(layout.factors, L, strict=True):
        ((t, _, _),) = factor.pieces
        S = prepared.term_bases[t]
        np.testing.assert_allclose(S @ x @ x.T @ S.T, factors[t] @ factors[t].T, atol=1e-13)
    again = layout.in_data_units(prepared.term_bases, L)
    for one, other in zip(again, factors, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-13)
    many = layout.in_data_units(prepared.term_bases, [np.stack([x, 2 * x], axis=2) for x in L])
    np.testing.assert_allclose(many[0][..., 1], 2 * factors[0], atol=1e-13)


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ((), "0 starting factors were given for 3"),
        ((np.eye(2), np.eye(1), np.eye(2), np.eye(1)), "4 starting factors were given for 3"),
        ((np.eye(3), np.eye(1), np.eye(2)), r"shape \(3, 3\); a finite 2 x 2"),
        ((np.eye(2) * np.nan, np.eye(1), np.eye(2)), "a finite 2 x 2"),
        ((np.ones((2, 2)), np.eye(1), np.eye(2)), r"outside the cone.*\(unstructured\)"),
        ((np.eye(2), -np.eye(1), np.eye(2)), "no negative diagonal"),
        ((np.eye(2), np.eye(1), np.tril(np.ones((2, 2)))), r"outside the cone.*\(diagonal\)"),
    ],
)
def test_factors_that_are_none_are_refused(factors, said):
    given = problem(*ALL)
    prepared = prepare(given)
    with pytest.raises(FitError, match=said):
        build_layout(given, prepared).in_prepared_units(prepared.term_bases, factors)


# Cross-products


@pytest.fixture(params=["as chosen", "occurring pairs"])
def made(request, monkeypatch):
    """A problem with a chain of two and a crossed rest, its cross-products raw and absorbed."""
    if request.param == "occurring pairs":
        monkeypatch.setattr(crossproducts, "SMALL", 0)
        monkeypatch.setattr(crossproducts, "FILL", 10.0)
    given = problem(*ALL)
    prepared = prepare(given)
    layout = build_layout(given, prepared)
    raw = collect(prepared, layout)
    return prepared, layout, raw, absorb(raw, prepared, layout)


def as_matrix(coupling):
    """(k, J, q2) of a coupling."""
    k = len(coupling.values)
    size = coupling.values.shape[2] if coupling.values.ndim == 3 else coupling.size
    return coupling.times(np.eye(size)).transpose(0, 2, 1).reshape(k, -1, size)


def test_cross_products_are_those_of_the_dense_matrices(made):
    prepared, layout, raw, _ = made
    Z = [dense(prepared, factor) for factor in layout.factors]
    W = prepared.rows[[*prepared.fixed, -1]].T
    rest = np.concatenate(list(Z[2]), axis=1)
    parents = layout.parents[0, 1]
    for f in range(2):
        np.testing.assert_allclose(raw.own[f], np.einsum("jna,jnb->abj", Z[f], Z[f]), atol=1e-11)
        np.testing.assert_allclose(raw.fixed[f], np.einsum("jna,nq->aqj", Z[f], W), atol=1e-11)
        np.testing.assert_allclose(
            as_matrix(raw.coupling[f]), np.einsum("jna,nc->ajc", Z[f], rest), atol=1e-11
        )
    assert isinstance(raw.coupling[1], Dense)  # its values change at every evaluation
    np.testing.assert_allclose(raw.between[0, 1], np.einsum("jna,jnb->abj", Z[0], Z[1][parents]), atol=1e-11)
    np.testing.assert_allclose(raw.rest, rest.T @ rest, atol=1e-11)
    np.testing.assert_allclose(raw.rest_fixed, rest.T @ W, atol=1e-11)
    np.testing.assert_allclose(raw.total, W.T @ W, atol=1e-11)


def test_absorbed_cross_products_are_those_of_the_rows_less_their_fit(made):
    prepared, layout, _, absorbed = made
    Z = [dense(prepared, factor) for factor in layout.factors]
    W = prepared.rows[[*prepared.fixed, -1]].T
    rest = np.concatenate(list(Z[2]), axis=1)
    first = np.concatenate(list(Z[0]), axis=1)
    Q = np.eye(N) - first @ np.linalg.pinv(first)
    R = absorbed.own[0].transpose(2, 0, 1)
    np.testing.assert_allclose(R.transpose(0, 2, 1) @ R, np.einsum("jna,jnb->jab", Z[0], Z[0]), atol=1e-11)
    assert (R[:, 1, 0] == 0).all()
    np.testing.assert_allclose(
        np.einsum("jba,bqj->aqj", R, absorbed.fixed[0]), np.einsum("jna,nq->aqj", Z[0], W), atol=1e-11
    )
    np.testing.assert_allclose(absorbed.own[1], np.einsum("jna,nm,jmb->abj", Z[1], Q, Z[1]), atol=1e-11)
    np.testing.assert_allclose(absorbed.fixed[1], np.einsum("jna,nm,mq->aqj", Z[1], Q, W), atol=1e-11)
    np.testing.assert_allclose(
        as_matrix(absorbed.coupling[1]), np.einsum("jna,nm,mc->ajc", Z[1], Q, rest), atol=1e-11
    )
    np.testing.assert_allclose(absorbed.rest, rest.T @ Q @ rest, atol=1e-10)
    np.testing.assert_allclose(absorbed.rest_fixed, rest.T @ Q @ W, atol=1e-10)
    np.testing.assert_allclose(absorbed.total, W.T @ Q @ W, atol=1e-10)
    assert used_up(absorbed.own[0]) == np.linalg.matrix_rank(first)


def test_a_level_with_fewer_rows_than_columns_is_absorbed_by_what_it_has():
    codes = np.where(np.arange(N) == 0, 0, 1 + np.arange(N) % 7)  # level 0 has one row, for two columns
    given = problem(term(0, codes, 2))
    prepared = prepare(given)
    layout = build_layout(given, prepared)
    absorbed = absorb(collect(prepared, layout), prepared, layout)
    assert used_up(absorbed.own[0]) == 15
    first = np.concatenate(list(dense(prepared, layout.factors[0])), axis=1)
    W = prepared.rows[[*prepared.fixed, -1]].T
    Q = np.eye(N) - first @ np.linalg.pinv(first)
    np.testing.assert_allclose(absorbed.total, W.T @ Q @ W, atol=1e-10)


def test_the_absorbed_form_keeps_its_digits_at_a_high_intraclass_correlation():
    given = problem(term(0, FINE))
    setup = set_up(given, reml=True)
    theta = 1e7
    Z = dense(setup.prepared, setup.layout.factors[0])[:, :, 0].T
    W = setup.prepared.rows[[*setup.prepared.fixed, -1]].T
    weight = theta**2 / (1 + theta**2 * (Z**2).sum(axis=0))
    shrunk = W - Z @ ((Z.T @ W) / (Z**2).sum(axis=0)[:, None])
    exact = shrunk.T @ shrunk + (Z.T @ W).T @ (
        (Z.T @ W) * ((1 / (Z**2).sum(axis=0)) - weight)[:, None]
    )  # the second part is below 1e-14
    F = eliminate(setup.absorbed, setup.layout, [np.array([[theta]])]).F
    np.testing.assert_allclose(F, exact, atol=1e-12)


@pytest.mark.parametrize(("many", "kind"), [(120, Sparse), (121, Dense), (539, Dense), (540, Sparse)])
def test_occurring_pairs_are_kept_alone_unless_their_pairs_are_too_many_and_all_have_room(
    many, kind, monkeypatch
):
    """15 levels that meet 8 columns each, 120 in all, have 15 x 8 x 9 = 1080 ordered pairs of them."""
    monkeypatch.setattr(crossproducts, "SMALL", 0)
    monkeypatch.setattr(crossproducts, "FILL", 10.0)
    monkeypatch.setattr(crossproducts, "MANY", many)
    crossed = np.arange(N) // 15  # each fine level meets all four of its levels
    given = problem(term(0, FINE, 2), term(2, crossed, 2, Diagonal))
    prepared = prepare(given)
    raw = collect(prepared, build_layout(given, prepared))
    assert isinstance(raw.coupling[0], kind)


def test_few_or_full_couplings_are_kept_whole(monkeypatch):
    """60 rows are 120 entries of 15 x 8 cells, by two columns."""
    assert (crossproducts.SMALL, crossproducts.FILL, crossproducts.MANY) == (20_000, 0.15, 100_000_000)
    given = problem(term(0, FINE, 2), term(2, CROSSED, 2, Diagonal))
    prepared = prepare(given)
    layout = build_layout(given, prepared)
    for small, fill, kind in ((121, 10.0, Dense), (120, 10.0, Sparse), (0, 1.0, Sparse), (0, 0.99, Dense)):
        monkeypatch.setattr(crossproducts, "SMALL", small)
        monkeypatch.setattr(crossproducts, "FILL", fill)
        assert isinstance(collect(prepared, layout).coupling[0], kind)


# Starting values


def check_moment_equations(prepared, layout, raw):
    A, b = equations(raw, layout, N)
    X, y = prepared.rows[list(prepared.fixed)].T, prepared.rows[-1]
    Q = np.eye(N) - X @ np.linalg.pinv(X)
    V = [
        np.einsum("jna,ab,jmb->nm", Z, E, Z)
        for factor in layout.factors
        for Z in [dense(prepared, factor)]
        for E in factor.structure.span
    ] + [np.eye(N)]
    expected = np.array([[np.trace(Q @ one @ Q @ two) for two in V] for one in V])
    np.testing.assert_allclose(A, expected, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(b, [y @ Q @ one @ Q @ y for one in V], rtol=1e-10, atol=1e-9)


def test_the_moment_equations_are_those_of_traces(made):
    check_moment_equations(*made[:3])


def test_the_moment_equations_of_two_crossed_factors_are_those_of_traces():
    given = problem(*ALL, term(3, np.arange(N) * 11 % 13 % 5, 2))
    prepared = prepare(given)
    layout = build_layout(given, prepared)
    assert [factor.width for factor in layout.rest] == [2, 2]
    check_moment_equations(prepared, layout, collect(prepared, layout))


def test_the_scale_of_a_column_is_its_size_in_a_level(made):
    prepared, layout, raw, _ = made
    for factor, scale in zip(layout.factors, scales(raw, layout), strict=True):
        Z = dense(prepared, factor)
        np.testing.assert_allclose(scale, np.sqrt((Z**2).sum(axis=(0, 1)) / factor.levels))


def effects(spread):
    """A balanced problem with effects of that spread."""
    rng = np.random.default_rng(5)
    given = problem(term(0, FINE), fixed=(0,))
    return replace(given, response=spread * rng.normal(size=15)[FINE] + rng.normal(size=N))


def test_on_balanced_data_the_start_is_the_estimate():
    given = effects(2.0)
    setup = set_up(given, reml=True)
    (start,) = setup.layout.in_data_units(setup.prepared.term_bases, setup.layout.roots(setup.start()))
    np.testing.assert_allclose(start, solve(given).factors[0], rtol=1e-9)
    assert solve(given).evaluations == 1


@pytest.mark.parametrize(
    ("solved", "within", "expected"),
    [
        (0.5, 2.0, 0.5),
        (3.0, 2.0, 2.0),  # the rows within levels tell of less
        (-1.0, 2.0, 2.0),
        (0.5, 0.0, 0.5),  # the rows within levels tell nothing
        (-1.0, 0.0, 1.0),  # a tenth of the response's variance
        (0.5, 9e-24, 0.5),  # what rounding leaves within levels tells nothing either
        (0.5, 1.1e-23, 1.1e-23),
    ],
)
def test_the_residual_variance_of_a_start(solved, within, expected):
    setup = set_up(effects(1.0), reml=True)
    raw, absorbed = setup.raw, setup.absorbed
    raw.total[:] = [[N, 0.0], [0.0, 10.0 * N]]
    absorbed.total[:] = [[0.0, 0.0], [0.0, within * (N - 15 - 1)]]
    assert _residual_start(solved, raw, absorbed, N) == pytest.approx(expected)


def test_least_squares_lose_no_digits_to_nearly_collinear_columns():
    _, x, z = columns()
    given = problem(term(0, FINE), fixed=(0, 1, 3), extra=(x + 8e-3 * z,))
    prepared = prepare(replace(given, response=given.response + 1e7 * (x - given.columns[3])))
    left = prepared.rows[list(prepared.fixed)] @ prepared.rows[-1]
    assert np.abs(left).max() < 1e-8


def test_a_start_is_the_solution_of_the_equations_unless_a_factor_is_too_wide(monkeypatch):
    given = problem(term(0, FINE, 3))
    setup = set_up(given, reml=True)
    parts = setup.raw, setup.absorbed, setup.layout, N, 1e-4
    solved = levelwise.least_solved(*equations(setup.raw, setup.layout, N))
    s2 = _residual_start(solved[-1], setup.raw, setup.absorbed, N)
    expected = start_of(solved, s2, setup.layout, setup.scale, 1e-4)
    np.testing.assert_allclose(moment_start(*parts), expected)
    assert module.WIDEST == 30
    monkeypatch.setattr(module, "WIDEST", 3)
    np.testing.assert_allclose(moment_start(*parts), expected)
    monkeypatch.setattr(module, "WIDEST", 2)
    (L,) = setup.layout.roots(moment_start(*parts))
    np.testing.assert_allclose(L, np.diag(1.0 / setup.scale[0]))
    zero = start_of(solved, 0.0 * s2, setup.layout, setup.scale, 0.25)  # no residual variance: the least one
    (L,) = setup.layout.roots(zero)
    np.testing.assert_allclose(np.linalg.eigvalsh(L @ L.T * np.outer(*[setup.scale[0]] * 2)), 0.25)


def test_a_start_is_never_at_zero():
    setup = set_up(effects(0.0), reml=True)
    (L,) = setup.layout.roots(moment_start(setup.raw, setup.absorbed, setup.layout, N, 0.25))
    assert L[0, 0] ** 2 * setup.scale[0][0] ** 2 >= 0.25 * (1 - 1e-12)
