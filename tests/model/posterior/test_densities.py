"""Log densities of rows and of levels under draws that are made up, by normal distributions written out."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from model.posterior.test_posterior import table
from scipy import stats

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.posterior import densities as module
from lmmkit.model.posterior.densities import Densities, levels_of, nested_terms, rows_by_level

FORMULAS = {
    "nested": "y ~ x + (x | g) + (1 | k:g) + (1 | h) + offset(w)",
    "members": "y ~ x + (1 | g) + (1 | mm(h, j))",
}


@cache
def frame():
    rng = np.random.default_rng(3)
    rows = table().sample(frac=1, random_state=4).reset_index(drop=True)
    return rows.assign(k=rng.integers(0, 2, 48), j=[f"h{i}" for i in rng.permutation(48) % 6])


@cache
def estimates(name):
    return lmmkit.lmm(FORMULAS[name], frame(), weights="w").estimates


@cache
def made_up(name):
    """Three draws in no special place."""
    e, rng = estimates(name), np.random.default_rng(5)
    sizes = [(term.levels, len(term.columns)) for term in e.problem.terms]
    return Densities(
        e,
        rng.normal(size=(3, 2)),
        [np.tril(rng.uniform(0.3, 1.2, (3, k, k))) for _, k in sizes],
        rng.uniform(0.6, 1.5, 3),
        np.empty((3, 0)),
        [rng.normal(size=(3, J, k)) for J, k in sizes],
    )


def on_rows(e, number):
    """(n, J, k) Z of a term, by its names in the table."""
    term, rows = e.random[number], frame()
    columns = np.column_stack([np.ones(48) if name == "Intercept" else rows[name] for name in term.names])
    levels = {
        "g": [rows["g"]], "h": [rows["h"]], "k:g": [rows["k"].astype(str) + ":" + rows["g"]],
        "mm(h, j)": [rows["h"], rows["j"]],
    }[term.factor]  # fmt: skip
    names = [str(level) for level in term.levels]
    share = [np.array([[own == name for name in names] for own in of]) / len(levels) for of in levels]
    return sum(share)[:, :, None] * columns[:, None]


def written_out(name, inside, draw):
    """Means of the rows, the effects of the terms inside left out, and their covariance matrix with these."""
    e, at, w = estimates(name), made_up(name), frame()["w"].to_numpy()
    mean = at.beta[draw] @ [np.ones(48), frame()["x"]] + (w if name == "nested" else 0.0)
    V = at.sigma[draw] ** 2 * np.diag(1.0 / w)
    for number in range(len(e.random)):
        Z = on_rows(e, number)
        if number in inside:
            A = Z @ (at.sigma[draw] * at.factors[number][draw])
            V = V + np.einsum("iak,jak->ij", A, A)
        else:
            mean = mean + np.einsum("iak,ak->i", Z, at.effects[number][draw])
    return mean, V


@pytest.mark.parametrize("name", FORMULAS)
def test_rows_have_the_densities_of_their_own_normal_distributions(monkeypatch, name):
    y = frame()["y"].to_numpy()
    whole = next(made_up(name).rows())
    for draw in range(3):
        mean, V = written_out(name, (), draw)
        np.testing.assert_allclose(whole[draw], stats.norm.logpdf(y, mean, np.sqrt(np.diag(V))))
    monkeypatch.setattr(module, "NUMBERS", 3 * 20)
    parts = list(made_up(name).rows())
    assert [part.shape for part in parts] == [(3, 20), (3, 20), (3, 8)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize(
    ("name", "group", "nested"),
    [
        ("nested", "g", ["g", "k:g"]),
        ("nested", "h", ["h"]),
        ("nested", "k:g", ["k:g"]),
        ("members", "g", ["g"]),
    ],
)
def test_levels_have_the_joint_density_of_their_rows_with_nested_effects_integrated_out(
    monkeypatch, name, group, nested
):
    e, at, y = estimates(name), made_up(name), frame()["y"].to_numpy()
    order = {e.random[i].factor: i for i in range(len(e.random))}
    inside = [order[factor] for factor in nested]
    codes, names = levels_of(e, group)
    assert sorted(nested_terms(e, codes)) == sorted(inside)
    assert names == [str(level) for level in e.random[order[group]].levels]
    monkeypatch.setattr(module, "NUMBERS", 1)  # draw by draw
    joint = np.concatenate(list(at.levels(codes, inside)), axis=1)
    within = np.concatenate(list(at.rows_within(codes, inside)), axis=1)
    where = rows_by_level(codes)
    assert [codes[rows].tolist() for rows in where] == [[i] * len(rows) for i, rows in enumerate(where)]
    for draw in (0, 2):
        mean, V = written_out(name, inside, draw)
        for level in (0, len(names) - 1):
            rows = where[level]
            own = stats.multivariate_normal(mean[rows], V[np.ix_(rows, rows)]).logpdf(y[rows])
            assert joint[draw, level] == pytest.approx(own)
            first, rest = within[draw, sum(map(len, where[:level]))], rows[1:]
            if len(rest):
                own -= stats.multivariate_normal(mean[rest], V[np.ix_(rest, rest)]).logpdf(y[rest])
            assert first == pytest.approx(own)


def test_a_factor_that_the_model_has_not_or_whose_rows_have_several_levels_is_refused():
    with pytest.raises(FitError) as refused:
        levels_of(estimates("nested"), "f")
    assert str(refused.value).startswith("group='f' is no grouping factor of the model; there are ")
    assert set(str(refused.value).partition("there are ")[2][:-1].split(", ")) == {"g", "k:g", "h"}
    with pytest.raises(
        FitError, match=r"Levels of mm\(h, j\) cannot be left out one by one: their rows belong"
    ):
        levels_of(estimates("members"), "mm(h, j)")


def test_residuals_that_are_correlated_within_a_level_are_no_matter_and_their_subjects_are_levels():
    fit = lmmkit.lmm("y ~ x + (1 | f)", table(), residual="ar1(t | g)")
    codes, names = levels_of(fit.estimates, "g")
    assert names == [f"g{i}" for i in range(8)]
    assert [names[i] for i in codes] == table()["g"].tolist()
    at = Densities(fit.estimates, np.zeros((1, 2)), [np.eye(1)[None]], np.ones(1), np.zeros((1, 1)), [])
    with pytest.raises(FitError, match="no log density of their own: waic takes them one by one; take loo"):
        next(at.rows())
    with pytest.raises(
        FitError, match=r"across the levels of f; leave out the levels of the residual structure's"
    ):
        levels_of(fit.estimates, "f")
    inside = lmmkit.lmm("y ~ x + (1 | g)", table(), residual="ar1(t | g)")
    assert levels_of(inside.estimates, "g")[1] == names
