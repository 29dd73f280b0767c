"""Known covariances between levels, as `lmm(..., known=)` takes them: faces, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from reference.cases import DATA

import lmmkit
from lmmkit.errors import DataError, FitError, FormulaError
from lmmkit.model.report_tables import about_design

MODEL = "y ~ sex + gen + x + (1 | animal)"


def pedigree_open(*, dense=False, extra="", **options):
    """The simulated pedigree, fitted."""
    data = pd.read_csv(DATA / "pedigree_open.csv")
    known = pd.read_csv(DATA / "pedigree_open_pedigree.csv")
    if dense:
        known = kinship(known)
    return lmmkit.lmm(MODEL + extra, data, known={"animal": known}, **options)


def kinship(pedigree):
    """The relationship matrix by its definition, with labels."""
    names = pedigree["animal"].tolist()
    number, A = {name: i for i, name in enumerate(names)}, np.zeros((len(names),) * 2)
    for i, parents in enumerate(pedigree[["sire", "dam"]].to_numpy()):
        known = [number[p] for p in parents if isinstance(p, str)]
        A[i, :i] = A[:i, i] = 0.5 * A[known, :i].sum(axis=0)
        A[i, i] = 1 + (0.5 * A[known[0], known[1]] if len(known) == 2 else 0)
    return pd.DataFrame(A, index=names, columns=names)


REFERENCE = json.loads((DATA / "pedigree_open.json").read_text())


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("number", range(4))
def test_pedigree_open_equals_its_reference(number, dense):
    known = REFERENCE["models"][number]
    litter = " + (1 | litter)" if "litter" in known["model"] else ""
    fit = pedigree_open(dense=dense, extra=litter, reml=known["criterion"] == "REML")
    assert fit.deviance <= known["deviance"] + 1e-8
    variances = dict(zip(fit.varcorr["group"], fit.varcorr["vcov"], strict=True))
    assert variances["animal"] == pytest.approx(known["variances"]["animal"], rel=1e-6)
    assert variances["Residual"] == pytest.approx(known["variances"]["residual"], rel=1e-6)
    if litter:
        assert variances["litter"] == 0.0
        assert fit.is_singular
    values = list(REFERENCE["models"][number % 2]["ebv"].values())  # without the litter, whose variance is 0
    np.testing.assert_allclose(fit.ranef["animal"]["Intercept"], values, atol=1e-7)
    assert fit.certificate.passed


def dense_errors(fit):
    """V and its parts by dense algebra."""
    K = kinship(pd.read_csv(DATA / "pedigree_open_pedigree.csv")).to_numpy()
    codes = fit.design.random[0].grouping.codes
    ZKZ, s2 = K[np.ix_(codes, codes)], fit.varcorr["vcov"].to_numpy()
    return K, codes, ZKZ, s2[0] * ZKZ + s2[-1] * np.eye(fit.nobs)


@pytest.mark.parametrize("dense", [False, True])
def test_prediction_errors_and_reliability_equal_dense_algebra(dense):
    fit = pedigree_open(dense=dense)
    K, codes, _, V = dense_errors(fit)
    X, G = fit.estimates.X, fit.varcorr["vcov"].iloc[0]
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    C = G * K[:, codes]
    pev = np.diag(G * K - C @ P @ C.T)
    found = fit.ranef_table(error="prediction")["se"].to_numpy()
    np.testing.assert_allclose(found**2, pev, rtol=1e-8)
    conditional = np.diag(G * K - C @ inverse @ C.T)
    np.testing.assert_allclose(fit.ranef_se["animal"]["Intercept"] ** 2, conditional, rtol=1e-8)
    reliability = fit.reliability["animal"]["Intercept"]
    np.testing.assert_allclose(reliability, 1 - pev / (G * np.diag(K)), atol=1e-9)
    assert len(reliability) == 300  # of those without rows too


def test_kenward_roger_equals_dense_algebra():
    fit = pedigree_open()
    _, _, ZKZ, V = dense_errors(fit)
    X, parts = fit.estimates.X, (ZKZ, np.eye(fit.nobs))
    inverse = np.linalg.inv(V)
    Phi = np.linalg.inv(X.T @ inverse @ X)
    P = inverse - inverse @ X @ Phi @ X.T @ inverse
    W = np.linalg.inv([[0.5 * np.trace(P @ a @ P @ b) for b in parts] for a in parts])
    Pi = [-X.T @ inverse @ a @ inverse @ X for a in parts]
    Q = [[X.T @ inverse @ a @ inverse @ b @ inverse @ X for b in parts] for a in parts]
    inner = sum(W[i, j] * (Q[i][j] - Pi[i] @ Phi @ Pi[j]) for i in range(2) for j in range(2))
    table = fit.coef_table("kenward-roger")
    np.testing.assert_allclose(table["se"] ** 2, np.diag(Phi + 2 * Phi @ inner @ Phi), rtol=1e-6)
    for k in range(4):
        slope = np.array([(Phi @ p @ Phi)[k, k] for p in Pi])
        assert table["df"].iloc[k] == pytest.approx(2 * Phi[k, k] ** 2 / (slope @ W @ slope), rel=1e-5)


def test_faces_of_a_fit_with_relatives(tmp_path):
    fit = pedigree_open()
    assert "animal is a pedigree of 300 animals, 40 founders, 146 inbred; 275 with rows" in str(fit.summary())
    h2 = fit.h2()
    assert h2.loc["animal", "estimate"] == pytest.approx(REFERENCE["models"][0]["h2"], rel=1e-7)
    assert h2.loc["animal", "low"] < 0.4669 < h2.loc["animal", "high"]
    again = lmmkit.load(fit.save(tmp_path / "fit"))
    pd.testing.assert_frame_equal(again.ranef["animal"], fit.ranef["animal"])
    pd.testing.assert_frame_equal(again.reliability["animal"], fit.reliability["animal"], rtol=1e-9)
    new = fit.design.frame.iloc[[3]].assign(animal="i299")
    predicted = fit.predict(new)["fit"].item()
    X = fit.design.fixed_matrix(new)[0]
    assert predicted == pytest.approx(X @ fit.params + fit.ranef["animal"].loc["i299", "Intercept"])
    assert fit.update(". ~ . - x").design.has_relatives
    assert fit.refit(fit.simulate(1, seed=1)[:, 0]).design.has_relatives


def test_draws_go_down_the_pedigree():
    fit = pedigree_open()
    _, _, _, V = dense_errors(fit)
    draws = fit.simulate(4_000, seed=3) - fit.estimates.marginal_fit[:, None]
    rows = [0, 50, 120, 200, 274]
    np.testing.assert_allclose(np.cov(draws[rows]), V[np.ix_(rows, rows)], atol=0.12 * V.max())


def test_shares_of_variance_count_inbreeding():
    fit = pedigree_open()
    _, _, ZKZ, _ = dense_errors(fit)
    s2, fixed = fit.varcorr["vcov"].to_numpy(), np.var(fit.estimates.X @ fit.params, ddof=1)
    animal = s2[0] * np.trace(ZKZ) / fit.nobs
    expected = (fixed + animal) / (fixed + animal + s2[1])
    assert fit.r2().loc["conditional", "estimate"] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("df", ["containment", "inner-outer", "between-within", "unbounded"])
def test_rules_about_independent_levels_are_refused(df):
    with pytest.raises(FitError, match=r"related|relates"):
        pedigree_open().coef_table(df)


def test_unrelated_relatives_are_the_plain_model():
    rng = np.random.default_rng(4)
    g = np.repeat([f"g{i}" for i in range(12)], 4)
    data = pd.DataFrame({"y": rng.normal(size=48) + np.repeat(rng.normal(size=12), 4), "g": g})
    plain = lmmkit.lmm("y ~ 1 + (1 | g)", data)
    names = sorted(set(g))
    founders = pd.DataFrame({"g": names, "sire": "", "dam": "0"})
    for known in (founders, pd.DataFrame(np.eye(12), names, names)):
        fit = lmmkit.lmm("y ~ 1 + (1 | g)", data, known={"g": known})
        assert fit.deviance == pytest.approx(plain.deviance, abs=1e-10)
        np.testing.assert_allclose(fit.ranef["g"], plain.ranef["g"].loc[fit.ranef["g"].index], atol=1e-8)


# Variances that are given

MRODE = json.loads((DATA / "mrode31.json").read_text())


def mrode(**variances):
    data, known = (pd.read_csv(DATA / f"mrode31{part}.csv") for part in ("", "_pedigree"))
    return lmmkit.lmm("wwg ~ 0 + sex + (1 | animal)", data, known={"animal": known}, variances=variances)


def test_mrode_example_3_1_at_given_variances():
    fit = mrode(animal=20, Residual=40)
    np.testing.assert_allclose(fit.params[["sex[male]", "sex[female]"]], MRODE["fixef"], rtol=1e-9)
    np.testing.assert_allclose(fit.ranef["animal"]["Intercept"], MRODE["ebv"], atol=1e-12)
    np.testing.assert_allclose(fit.ranef_table(error="prediction")["se"] ** 2, MRODE["pev"], rtol=1e-9)
    reliability = 1 - np.array(MRODE["pev"]) / MRODE["sigma2_a"]
    np.testing.assert_allclose(fit.reliability["animal"]["Intercept"], reliability, atol=1e-12)
    assert (fit.scale, fit.npar) == (pytest.approx(40.0), 2)
    assert fit.certify(full=True).passed
    assert "Variances are held as given" in str(fit.summary())
    assert np.isinf(fit.coef_table()["df"]).all()
    with pytest.raises(FitError, match="those of this fit are given"):
        fit.bootstrap(2, seed=1)


@pytest.mark.parametrize(
    ("variances", "said"),
    [
        ({"animal": 20}, "Residual is absent"),
        ({"animal": 20, "Residual": 0}, "a positive residual variance is expected"),
        ({"animal": -1, "Residual": 4}, "least eigenvalue -1"),
        ({"anmal": 2, "Residual": 4}, "no `anmal`; did you mean `animal`"),
        ({"animal": [[1, 2], [2, 1]], "Residual": 4}, "1 x 1 covariance matrix is expected"),
        ({"animal": "much", "Residual": 4}, "a number is expected"),
    ],
)
def test_variances_that_cannot_be_held_are_refused(variances, said):
    with pytest.raises(FitError, match=said):
        mrode(**variances)


@pytest.mark.parametrize(
    "ask",
    [
        lambda fit: lmmkit.compare(fit, mrode(animal=10, Residual=40)),
        lambda fit: lmmkit.compare(fit, fit.update(". ~ 1 + (1 | animal)"), method="bootstrap", n=2),
        lambda fit: lmmkit.compare(fit, "wwg ~ 0 + sex"),
        lambda fit: fit.ranova(),
        lambda fit: fit.drop1(test="lrt"),
        lambda fit: fit.rlrt(),
    ],
)
def test_likelihood_ratios_of_given_variances_are_refused(ask):
    with pytest.raises(FitError, match=r"`wwg ~ 0 \+ sex \+ \(1 \| animal\)` are given"):
        ask(mrode(animal=20, Residual=40))


def test_terms_left_out_at_given_variances_have_the_test_of_known_variances():
    fit = mrode(animal=20, Residual=40)
    left, whole = fit.drop1().loc["sex"], fit.anova().loc["sex"]
    assert np.isinf(left["den_df"])
    assert (left["stat"], left["p"]) == (pytest.approx(whole["F"]), pytest.approx(whole["p"]))


# Several effects of an animal

TAGS = ["(x | animal)", "(x || animal)", "cs(1 + x | animal)"]


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("term", TAGS)
def test_several_effects_of_relatives_equal_dense_algebra(term, dense):
    rng = np.random.default_rng(8)
    known = pd.read_csv(DATA / "pedigree_open_pedigree.csv").iloc[:90]
    K = kinship(known)
    u = np.linalg.cholesky(K) @ rng.normal(size=(90, 2)) @ np.array([[1.2, 0.4], [0.0, 0.8]])
    who = np.repeat(np.arange(10, 90), 2)  # the first have no rows
    x = rng.normal(size=len(who))
    y = 2 + x + u[who, 0] + x * u[who, 1] + 0.7 * rng.normal(size=len(who))
    data = pd.DataFrame({"y": y, "x": x, "animal": K.index[who]})
    fit = lmmkit.lmm(f"y ~ x + {term}", data, known={"animal": K if dense else known})
    X, Z = np.column_stack([np.ones(len(x)), x]), np.hstack([np.eye(90)[who], x[:, None] * np.eye(90)[who]])
    G, s2 = np.zeros((2, 2)), fit.scale
    place = {"Intercept": 0, "x": 1}
    for row in fit.varcorr.itertuples():
        if row.group.startswith("animal"):
            i, j = place[row.var1], place[row.var2 or row.var1]
            G[i, j] = G[j, i] = row.vcov
    big = np.kron(G, K)

    def deviance(G, s2):
        V = Z @ np.kron(G, K) @ Z.T + s2 * np.eye(len(y))
        inverse = np.linalg.inv(V)
        XVX = X.T @ inverse @ X
        r = y - X @ np.linalg.solve(XVX, X.T @ inverse @ y)
        logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1]
        return r @ inverse @ r + logs + (len(y) - 2) * np.log(2 * np.pi)

    assert fit.deviance == pytest.approx(deviance(G, s2), abs=1e-7)
    shift = np.array([[1.01, 1.0], [1.0, 1.01]])
    for other in (deviance(1.02 * G, s2), deviance(G, 1.01 * s2), deviance(G * shift, s2)):
        assert other > fit.deviance
    inverse = np.linalg.inv(Z @ big @ Z.T + s2 * np.eye(len(y)))
    cov = np.linalg.inv(X.T @ inverse @ X)
    np.testing.assert_allclose(fit.cov_params(), cov, rtol=1e-7)
    P = inverse - inverse @ X @ cov @ X.T @ inverse
    C = big @ Z.T
    b, pev = (C @ P @ y).reshape(2, 90), np.diag(big - C @ P @ C.T).reshape(2, 90)
    found = fit.ranef["animal"].loc[K.index]
    table = fit.ranef_table(error="prediction").set_index(["term", "level"])["se"]
    for name, i in place.items():
        np.testing.assert_allclose(found[name], b[i], atol=1e-7)
        np.testing.assert_allclose(table[name].loc[list(K.index)] ** 2, pev[i], rtol=1e-7)
    assert fit.certificate.passed


# Bootstrap


@pytest.mark.parametrize("dense", [False, True])
def test_bootstrap_intervals_of_relatives(dense):
    fit = pedigree_open(dense=dense)
    found = fit.conf_int(method="bootstrap", n=10, seed=1)
    assert found.attrs["replicates"]["failed"] == 0
    estimates = [*fit.params, *np.sqrt(fit.varcorr["vcov"])]
    assert ((found["low"] < estimates) & (estimates < found["high"])).all()
    with pytest.raises(FitError, match="the levels of animal are related by a known covariance"):
        fit.conf_int(method="bootstrap", n=20, seed=1, kind="bca")


# Bad input

PEDIGREE = pd.DataFrame(
    {"animal": list("abcdef"), "sire": ["", "", "a", "a", "c", "c"], "dam": ["", "", "b", "", "d", "d"]}
)
TABLE = pd.DataFrame({"animal": list("cdefcdef"), "y": [1.0, 3, 2, 5, 2, 2, 4, 4]})


def fit_with(known):
    return lmmkit.lmm("y ~ 1 + (1 | animal)", TABLE, known={"animal": known})


def changed(column, row, value):
    return PEDIGREE.assign(**{column: [value if i == row else x for i, x in enumerate(PEDIGREE[column])]})


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (changed("animal", 4, "d"), "lists d more than once, in rows 4, 5"),
        (changed("animal", 4, "NA"), "names no animal in 1 of its rows, first in row 5"),
        (changed("dam", 4, "c"), "gives e the same animal, c, as sire and dam"),
        (changed("sire", 0, "e"), "its own ancestor: a has the parent e, that c, that a"),
        (PEDIGREE.iloc[:5], "1 level in the rows used that a pedigree of 5 animals, 2 founders.*: f"),
        (PEDIGREE.rename(columns={"dam": "mum"}), "has the columns animal, sire, mum"),
        (np.eye(6), "given as ndarray, which says nothing about the levels"),
        (7, "given as int"),
    ],
)
def test_pedigrees_that_cannot_be_used_are_refused_with_labels(known, said):
    with pytest.raises(DataError, match=said):
        fit_with(known)


def test_what_is_odd_in_a_pedigree_is_said():
    added = fit_with(changed("sire", 3, "z"))
    assert "z is a parent that it does not list: it is added as a founder" in " ".join(added.design.warnings)
    assert "z" in added.ranef["animal"].index
    both = fit_with(changed("dam", 5, "a"))
    assert "a is a sire here and a dam there" in " ".join(both.design.warnings)


def matrix(change=None, labels="cdef"):
    K = np.eye(4) + 0.25
    if change:
        K[change[0]] = change[1]
    return pd.DataFrame(K, list(labels), list(labels))


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (matrix(((0, 1), 0.9)), "not symmetric: 0.9 at row c, column d, but 0.25 at row d, column c"),
        (matrix() - 2.0, "negative variance -0.75 at c"),
        (
            matrix() - np.where(np.eye(4), 0, 1.0),
            r"not positive semidefinite: its least eigenvalue is -1,",
        ),
        (matrix(labels="cdee"), "column labels e more than once"),
        (matrix().rename(index={"c": "q"}), "c among the columns alone, q among the rows alone"),
        (matrix(((0, 0), np.nan)), "no finite number at row c, column c"),
        (matrix().iloc[:3], "3 rows and 4 columns"),
        (matrix().iloc[:3, :3], "f"),
    ],
)
def test_matrices_that_cannot_be_used_are_refused_with_labels(known, said):
    with pytest.raises(DataError, match=said):
        fit_with(known)


def test_known_of_no_factor_of_the_model_is_refused():
    with pytest.raises(
        FormulaError, match="`anmal` is no grouping factor of the model; did you mean `animal`"
    ):
        lmmkit.lmm("y ~ 1 + (1 | animal)", TABLE, known={"anmal": PEDIGREE})


def test_unrelated_animals_with_a_row_each_are_refused():
    data = pd.DataFrame({"animal": list("ab"), "y": [1.0, 2]})
    with pytest.raises(DataError, match="cannot be told from the residual's"):
        lmmkit.lmm("y ~ 1 + (1 | animal)", data, known={"animal": PEDIGREE})


def test_unknown_parents_are_written_in_many_ways():
    ways = PEDIGREE.assign(sire=["0", None, "a", "a", "c", "c"], dam=[".", "NA", "b", "*", "d", "d"])
    assert fit_with(ways).deviance == fit_with(PEDIGREE).deviance


def test_numbers_match_labels_as_text():
    data = pd.DataFrame({"animal": [3, 4, 5, 6] * 2, "y": TABLE["y"]})
    numbers = pd.DataFrame({"id": [1, 2, 3, 4, 5, 6], "sire": [0, 0, 1, 1, 3, 3], "dam": [0, 0, 2, 0, 4, 4]})
    fit = lmmkit.lmm("y ~ 1 + (1 | animal)", data, known={"animal": numbers})
    assert fit.deviance == pytest.approx(fit_with(PEDIGREE).deviance, abs=1e-12)
    assert fit.ranef["animal"].index.tolist() == list("123456")


# What is drawn


@pytest.mark.parametrize("dense", [False, True])
def test_a_relationship_matrix_is_drawn_whole_with_its_eigenvalues(dense):
    fit = pedigree_open(dense=dense)
    (drawn,) = about_design.relatives(fit.design)
    K = kinship(pd.read_csv(DATA / "pedigree_open_pedigree.csv")).to_numpy()
    np.testing.assert_allclose(drawn.matrix, K, atol=1e-12)
    np.testing.assert_allclose(drawn.eigenvalues, np.linalg.eigvalsh(K)[::-1], atol=1e-10)
    row = about_design.relationships([drawn]).iloc[0]
    pairs = K[np.tril_indices(300, -1)]
    assert (row["levels"], row["pairs"], row["related"]) == (300, 44_850, np.count_nonzero(pairs))
    assert row[["closest", "diagonal"]].tolist() == pytest.approx([pairs.max(), np.diag(K).mean()])
    assert about_design.relatives(lmmkit.lmm("y ~ x + (1 | gen)", fit.design.frame).design) == []


def test_a_large_pedigree_is_told_by_some_of_its_pairs():
    names = [f"a{i}" for i in range(900)]
    sires = ["" if i < 30 else f"a{(7 * i) % 30}" for i in range(900)]
    known = pd.DataFrame({"animal": names, "sire": sires, "dam": ""})
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"animal": np.repeat(names[:60], 2), "y": rng.normal(size=120)})
    fit = lmmkit.lmm("y ~ 1 + (1 | animal)", data, known={"animal": known})
    (drawn,) = about_design.relatives(fit.design)
    assert (drawn.matrix.shape, len(drawn.diagonal), drawn.eigenvalues) == ((100, 100), 900, None)
    row = about_design.relationships([drawn]).iloc[0]
    assert (row["pairs"], row["closest"], row["diagonal"]) == (4_950, pytest.approx(0.5), pytest.approx(1.0))
    assert np.isnan(row["largest"])
