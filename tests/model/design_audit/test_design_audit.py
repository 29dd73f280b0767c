"""The verdicts of a design audit, each held against matrices that are written out in full."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
import pytest

from lmmkit import design_audit
from lmmkit.errors import DataError, FormulaError
from lmmkit.model.design.design import build_design
from lmmkit.model.formula.formula import parse_formula


def crossed(levels, *, rows=1, **values):
    """Every combination of some values within each of some levels, several rows each."""
    grid = pd.MultiIndex.from_product(
        [range(1, levels + 1), *values.values(), range(rows)], names=["g", *values, "row"]
    ).to_frame(index=False)
    return with_response(grid)


def with_response(frame):
    return frame.assign(g=frame["g"].astype(str), y=np.random.default_rng(1).normal(size=len(frame)))


A = ["a1", "a2", "a3"]
B = ["b1", "b2"]
TIMES = [0.0, 1.0, 2.5, 4.0]
VISITS = [1.0, 2.0, 3.0, 4.0]


def between(frame, name="z", values=("low", "high")):
    number = frame["g"].astype(int).to_numpy() % len(values)
    return frame.assign(**{name: np.array(values, object)[number]})


def nested(schools=6, classes=3, pupils=4):
    rows = pd.MultiIndex.from_product([range(schools), range(1, classes + 1), range(pupils)])
    frame = rows.to_frame(index=False, name=["s", "g", "row"])
    return with_response(frame).assign(s=frame["s"].map("s{}".format), x=np.arange(len(frame)) % 5)


def pairs_unseen():
    """Each level sees a1 and a2, or a3 and a4, several times."""
    frame = crossed(10, rows=3, f=["one", "two"])
    odd = frame["g"].astype(int) % 2 == 1
    return frame.assign(
        f=np.where(odd, frame["f"].map({"one": "a1", "two": "a2"}), frame["f"]).astype(object)
    ).replace({"f": {"one": "a3", "two": "a4"}})


def some_dropped():
    frame = crossed(9, rows=2, a=A)
    frame.loc[frame["g"].isin(["1", "2", "3"]) & (frame["a"] != "a1"), "y"] = np.nan
    return frame


CASES = {
    "one row a cell": ("y ~ a + (1 | g)", crossed(12, a=A), {}, "(1 | g)"),
    "two rows a cell": ("y ~ a + (1 | g)", crossed(12, rows=2, a=A), {}, "(1 + a | g)"),
    "a number at four values": ("y ~ t + (1 | g)", crossed(12, t=TIMES), {}, "(1 + t | g)"),
    "a curve at four values": ("y ~ t + I(t^2) + (1 | g)", crossed(12, t=TIMES), {}, "(1 + t + I(t^2) | g)"),
    "a cubic at four values": (
        "y ~ t + I(t^2) + I(t^3) + (1 | g)",
        crossed(12, t=TIMES),
        {},
        "(1 + t + I(t^2) | g)",
    ),
    "poly at four values": ("y ~ poly(t, 3) + (1 | g)", crossed(12, t=TIMES), {}, "(1 | g)"),
    "years": (
        "y ~ t + I(t^2) + (1 | g)",
        crossed(12, t=[2019.0, 2020.0, 2021.0, 2024.0]),
        {},
        "(1 + t + I(t^2) | g)",
    ),
    "both within": ("y ~ a * b + (1 | g)", crossed(12, rows=2, a=A, b=B), {}, "(1 + a + b + a:b | g)"),
    "both within, one row": ("y ~ a * b + (1 | g)", crossed(12, a=A, b=B), {}, "(1 + a + b | g)"),
    "one of two within": ("y ~ a * z + (1 | g)", between(crossed(12, rows=2, a=A)), {}, "(1 + a | g)"),
    "interaction alone": ("y ~ t:z + (1 | g)", between(crossed(12, t=TIMES)), {}, "(1 + t | g)"),
    "no factor within": ("y ~ z + (1 | g)", between(crossed(12, rows=3)), {}, "(1 | g)"),
    "cell means": ("y ~ 0 + a + (1 | g)", crossed(12, rows=2, a=A), {}, "(1 + a | g)"),
    "pairs unseen": ("y ~ f + (1 | g)", pairs_unseen(), {}, "(1 + f || g)"),
    "few levels": ("y ~ a + (1 | g)", crossed(3, rows=4, a=A), {}, "(1 + a || g)"),
    "implied by a wider one": ("y ~ a + (1 | g/a)", crossed(8, rows=3, a=A), {}, "(1 + a | g)"),
    "nested": ("y ~ x + (1 | s/g)", nested(), {}, "(1 + x | g:s) + (1 + x | s)"),
    "fixed by the mean": ("y ~ g + (1 | g)", crossed(8, rows=3), {}, ""),
    "levels of one row": ("y ~ t + (1 | g)", crossed(30).assign(t=np.arange(30) % 7), {}, ""),
    "two that are one": (
        "y ~ 1 + (1 | g) + (1 | h)",
        crossed(8, rows=3).assign(h=lambda d: "h" + d["g"]),
        {},
        "(1 | g)",
    ),
    "missing rows": ("y ~ a + (1 | g)", some_dropped(), {}, "(1 + a | g)"),
    "weights": (
        "y ~ a + (1 | g)",
        crossed(9, rows=2, a=A).assign(w=np.arange(54) % 3 + 1.0),
        {"weights": "w"},
        "(1 + a | g)",
    ),
    "un": ("y ~ t + (1 | g)", crossed(12, t=VISITS), {"residual": "un(t | g)"}, ""),
    "cs": ("y ~ 1 + (1 | g)", crossed(12, t=VISITS), {"residual": "cs(t | g)"}, ""),
    "ar1": ("y ~ t + (1 | g)", crossed(12, t=VISITS), {"residual": "ar1(t | g)"}, "(1 + t | g)"),
    "a pattern": ("y ~ a + cs(0 + a | g)", crossed(12, rows=2, a=A), {}, "cs(0 + a | g)"),
}


def effects(frame, bar_text):
    """The columns of Z of one bar, by effect, each (n, J)."""
    design = build_design(f"y ~ 1 + {bar_text}", frame)
    for term in design.random:
        Z = np.eye(term.grouping.size)[term.grouping.codes]
        yield [
            design.problem.columns[i][:, None] * Z
            for i in design.problem.terms[design.random.index(term)].columns
        ]


def gram(formula, frame):
    """tr(M V_i M V_j) of all variance parameters, each matrix of unit size."""
    parsed = parse_formula(formula)
    frame = frame.dropna()
    X = build_design(formula, frame).problem
    X = np.column_stack([X.columns[i] for i in X.fixed])
    M = np.eye(len(X)) - X @ np.linalg.pinv(X)
    V = [np.eye(len(X))]
    for bar in parsed.random:
        for Z in effects(frame, str(bar)):
            V += [Z[a] @ Z[b].T + Z[b] @ Z[a].T for a, b in combinations_with_replacement(range(len(Z)), 2)]
    flat = np.array([(M @ v @ M).ravel() for v in V])
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


@pytest.mark.parametrize("name", CASES)
def test_maximal(name):
    formula, frame, options, random = CASES[name]
    audit = design_audit(formula, frame, **options)
    assert " + ".join(map(str, audit.maximal.random)) == random
    assert str(audit)
    assert audit._repr_html_()
    assert audit.maximal.fixed == audit.formula.fixed


OTHERWISE = {"un", "cs", "ar1", "weights", "a pattern", "years", "pairs unseen", "few levels"}


@pytest.mark.parametrize("name", sorted(set(CASES) - OTHERWISE))
def test_the_maximal_part_is_identified(name):
    formula, frame, _, random = CASES[name]
    audit = design_audit(formula, frame)
    if random:
        assert np.linalg.svd(gram(str(audit.maximal), frame), compute_uv=False)[-1] > 1e-5


@pytest.mark.parametrize(
    ("formula", "name"),
    [
        ("y ~ a + (1 | g) + (1 | g:a) + (0 + a | g)", "two rows a cell"),
        ("y ~ f + (1 + f | g)", "pairs unseen"),
    ],
)
def test_what_is_left_out_is_singular(formula, name):
    frame = CASES[name][1]
    with np.errstate(all="ignore"):
        parts = [str(bar) for bar in parse_formula(formula).random]
    V = [np.eye(len(frame))]
    for part in parts:
        for Z in effects(frame, part):
            V += [Z[a] @ Z[b].T + Z[b] @ Z[a].T for a, b in combinations_with_replacement(range(len(Z)), 2)]
    flat = np.array([v.ravel() for v in V if v.any()])
    assert len(flat) < len(V) or np.linalg.svd(flat, compute_uv=False)[-1] < 1e-8


def test_the_table_of_verdicts():
    frame = between(crossed(6, rows=2, a=A, t=[0.0, 1.0]))
    table = design_audit("y ~ a * z + t + (a | g)", frame).table.set_index("term")
    assert table["varies"].to_dict() == {
        "Intercept": "",
        "a": "within",
        "z": "between",
        "t": "within",
        "a:z": "within",
    }
    assert table["effect"].to_dict() == {"Intercept": "Intercept", "a": "a", "z": "", "t": "t", "a:z": "a"}
    assert table["in_formula"].tolist() == [True, True, False, False, True]
    assert table[["rows_least", "levels"]].drop_duplicates().to_numpy().tolist() == [[12, 6]]
    assert table["cell_rows_most"].tolist() == [12, 4, 12, 6, 4]
    assert table["cells_median"].tolist() == [1, 3, 1, 2, 3]
    assert table["between_share"].dropna().to_dict() == {"t": 0.0}


def test_a_term_that_varies_in_some_levels():
    frame = some_dropped()
    row = design_audit("y ~ a + (1 | g)", frame).table.iloc[1]
    assert (row["varies"], row["varying"], row["levels"]) == ("mixed", 6, 9)
    assert row["replicated"] == 9
    assert row["reason"].endswith("; 6 of 9 levels show `a`")


def test_a_slope_that_no_more_levels_show_than_it_has_columns():
    frame = crossed(9, rows=2, a=A)
    few = frame[frame["g"].isin(["4", "7"]) | (frame["a"] == "a1")]
    row = design_audit("y ~ a + (1 | g)", few).table.iloc[1]
    assert row["reason"].startswith("2 levels alone of `g` show `a`")
    assert row["verdict"] == "too few levels"


def test_a_slope_that_one_level_alone_shows():
    frame = crossed(8, rows=4).assign(x=lambda d: np.where(d["g"] == "3", np.arange(32) % 2, 0.0))
    audit = design_audit("y ~ x + (x | g)", frame)
    assert str(audit.maximal) == "y ~ 1 + x + (1 | g)"
    assert any("one level alone" in said for said in audit.notices)


def test_known_relations_tell_a_variance_from_the_residual():
    names = [f"a{i}" for i in range(8)]
    K = pd.DataFrame(np.eye(8) + 0.4 * (np.add.outer(range(8), range(8)) % 3 == 0), names, names)
    K = (K + K.T) / 2 + np.eye(8)
    frame = pd.DataFrame({"g": names, "y": np.arange(8.0) ** 2})
    assert str(design_audit("y ~ 1 + (1 | g)", frame, known={"g": K}).maximal) == "y ~ 1 + (1 | g)"
    assert not design_audit("y ~ 1 + (1 | g)", frame).maximal.random


def test_members():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"t1": rng.integers(8, size=60), "t2": rng.integers(8, size=60), "x": rng.normal(size=60)}
    )
    frame = frame.assign(y=rng.normal(size=60), t2=(frame["t1"] + 1 + frame["t2"] % 7) % 8)
    audit = design_audit("y ~ x + (1 | mm(t1, t2))", frame)
    assert str(audit.maximal) == "y ~ 1 + x + (1 + x | mm(t1, t2))"
    assert audit.table["rows_most"].iloc[0] == (frame[["t1", "t2"]].stack().value_counts()).max()


def test_relations_and_reused_labels():
    frame = nested()
    audit = design_audit("y ~ x + (1 | s) + (1 | g)", frame)
    assert audit.relations["kind"].tolist() == ["fully crossed"]
    assert any("`g` has 3 levels, but 18 within `s`" in said for said in audit.notices)
    assert design_audit("y ~ x + (1 | s/g)", frame).relations["kind"].tolist() == ["nested"]


def test_labels_that_begin_anew_within_an_arm():
    frame = with_response(
        pd.DataFrame(
            {"arm": ["a"] * 20 + ["b"] * 16, "g": [*np.repeat(range(1, 11), 2), *np.repeat(range(1, 9), 2)]}
        )
    )
    notices = design_audit("y ~ arm + (1 | g)", frame).notices
    assert any("`g` has 10 levels, but 18 within `arm`" in said and "(1 | arm/g)" in said for said in notices)
    assert not any(
        "within `a`" in said for said in design_audit("y ~ a + (1 | g)", crossed(10, rows=2, a=A)).notices
    )


def test_what_is_asked_in_vain_is_said_and_what_is_fine_is_not():
    audit = design_audit("y ~ a + (a | g)", crossed(12, a=A))
    assert any(
        said.startswith("`(a | g)`: `a` is not justified by the design: no level") for said in audit.notices
    )
    assert not design_audit("y ~ a + (a | g)", crossed(12, rows=2, a=A)).notices


@pytest.mark.parametrize(
    ("formula", "name", "said"),
    [
        ("y ~ g + (1 | g)", "fixed by the mean", "of `(1 | g)` cannot"),
        (
            "y ~ a + (1 | g) + (1 | g:a) + (0 + a | g)",
            "two rows a cell",
            "of `(1 | g)` and `(0 + a | g)` and `(1 | g:a)`",
        ),
        ("y ~ f + (f | g)", "pairs unseen", "of `(f | g)` cannot"),
    ],
)
def test_variances_of_the_formula_that_cannot_be_told_apart_are_said(formula, name, said):
    notices = design_audit(formula, CASES[name][1]).notices
    assert any(said in one for one in notices)


def test_the_incidence_of_nested_and_crossed_factors():
    table = design_audit("y ~ x + (1 | s/g)", nested()).incidence
    tile = table[(table["group"] == "g:s") & (table["against"] == "s")]
    assert tile["column"].tolist() == (tile["row"] // 3).tolist() == np.repeat(range(6), 3).tolist()
    assert set(tile["share"]) == {1.0}
    assert set(table.loc[table["against"] == "x", "values"]) == {5}


def test_the_response_is_not_looked_at():
    frame = crossed(12, rows=2, a=A)
    assert str(design_audit("y ~ a + (1 | g)", frame.assign(y=1.0)).maximal).endswith("(1 + a | g)")


def test_rows_in_any_order_and_levels_of_any_name():
    frame = nested()
    shuffled = frame.sample(frac=1, random_state=1).assign(
        s=lambda d: d["s"].map(lambda s: f"z{9 - int(s[1])}")
    )
    one, two = (design_audit("y ~ x + (1 | s/g)", table) for table in (frame, shuffled))
    pd.testing.assert_frame_equal(one.table, two.table)
    assert one.maximal == two.maximal


@pytest.mark.parametrize(
    ("formula", "error", "word"),
    [
        ("y ~ nothing + (1 | g)", DataError, "nothing"),
        ("y ~ a + (1 | nowhere)", DataError, "nowhere"),
        ("y ~ a + 1 | g", FormulaError, "bar outside brackets"),
    ],
)
def test_errors_in_words(formula, error, word):
    with pytest.raises(error, match=word):
        design_audit(formula, crossed(4, rows=2, a=A))


def test_a_formula_without_groups():
    audit = design_audit("y ~ a", crossed(4, rows=2, a=A))
    assert not len(audit.table)
    assert not audit.maximal.random
    assert any("names no grouping factor" in said for said in audit.notices)
    assert "names no grouping factor" in str(audit)
    assert audit.to_dict()["maximal"] == "y ~ 1 + a"
