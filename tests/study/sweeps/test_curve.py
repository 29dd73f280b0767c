"""The curve's inference: what it means for one cell, and that cells share their luck."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lmmkit import lmm
from lmmkit.errors import FitError
from lmmkit.model.resampling.null_draws import NullDraws, keys, normals, null_draws
from lmmkit.study.records.artifacts import sha256
from lmmkit.study.records.manifest import File, Manifest, Record
from lmmkit.study.records.step_store import Store
from lmmkit.study.sweeps import specification_curve
from lmmkit.study.sweeps.specification_curve import NullOptions, draws_of, joint_tests

SLEEP = pd.read_csv(Path(__file__).parents[3] / "params/data/sleepstudy.csv")
ROWS = np.arange(len(SLEEP))


def draws(formula, n=200, seed=3, data=SLEEP, rows=ROWS):
    return null_draws(lmm(formula, data).estimates, "Days", rows=rows, n=n, seed=seed)


def test_streams_are_standard_normal_and_independent():
    u = normals(keys(map(str, range(400)), 1), 0, 500)
    assert stats.kstest(u.ravel(), "norm").pvalue > 1e-3
    between = np.corrcoef(u)[np.triu_indices(400, 1)]
    assert abs(np.mean(between**2) * 500 - 1) < 0.05


def test_under_the_null_the_estimate_has_mean_zero_and_its_own_standard_error():
    found = draws("Reaction ~ Days + (Days | Subject)", n=2000)
    assert abs(found.estimate.mean()) < 4 * found.se.mean() / np.sqrt(2000)
    assert found.estimate.std() == pytest.approx(found.se.mean(), rel=0.05)


def test_each_replicate_is_what_an_ordinary_fit_finds():
    from lmmkit.model.resampling.null_draws import _NullSource

    fit = lmm("Reaction ~ Days + (Days | Subject)", SLEEP)
    found = draws("Reaction ~ Days + (Days | Subject)", n=3)
    for i, y in enumerate(_NullSource(fit.estimates, np.array([0.0, 1.0]), ROWS, 3).draw(0, 3).T):
        again = fit.refit(y)
        assert again.params["Days"] == pytest.approx(found.estimate[i], rel=1e-8)
        assert again.bse["Days"] == pytest.approx(found.se[i], rel=1e-6)


def test_cells_share_their_luck_by_row_and_by_level():
    whole = draws("Reaction ~ Days + (Days | Subject)")
    kept = SLEEP["Days"] > 0
    fewer = draws("Reaction ~ Days + (Days | Subject)", data=SLEEP[kept], rows=ROWS[kept])
    plain = draws("Reaction ~ Days + (Days || Subject)")
    assert np.corrcoef(whole.estimate, fewer.estimate)[0, 1] > 0.8
    assert np.corrcoef(whole.estimate, plain.estimate)[0, 1] > 0.99
    assert np.array_equal(whole.estimate[:50], draws("Reaction ~ Days + (Days | Subject)", n=50).estimate)


def test_a_coefficient_that_is_not_there_is_refused():
    with pytest.raises(FitError, match="no coefficient x; it has Intercept, Days"):
        null_draws(lmm("Reaction ~ Days + (1 | Subject)", SLEEP).estimates, "x", rows=ROWS, n=2, seed=1)


def test_the_joint_tests_of_one_cell_are_its_own_test():
    rng = np.random.default_rng(1)
    null = rng.standard_normal((1, 999))
    tests, used = joint_tests((np.array([2.5]), np.array([1.0])), (null, np.ones((1, 999))), 0.05)
    p = (1 + (np.abs(null) >= 2.5).sum()) / 1000
    significant = (1 + (np.abs(null) > stats.norm.ppf(0.975)).sum()) / 1000
    assert used == 999
    assert [test.p for test in tests] == pytest.approx([p, significant, p])


def test_the_draws_of_a_run_are_by_the_rows_of_its_file(tmp_path):
    fit = lmm("Reaction ~ Days + (1 | Subject)", SLEEP[20:80])
    fit.save(tmp_path / "fit")
    status = ["kept" if 20 <= row < 80 else "dropped" for row in range(180)]
    pd.DataFrame({"row": ROWS + 1, "status": status}).to_csv(tmp_path / "rows.csv", index=False)
    found = specification_curve._drawn(tmp_path, "Days", NullOptions("the slope", 3, 5))
    expected = null_draws(fit.estimates, "Days", rows=np.arange(21, 81), n=3, seed=5)
    np.testing.assert_allclose(found.estimate, expected.estimate, rtol=1e-9)
    np.testing.assert_allclose(found.se, expected.se, rtol=1e-9)


def test_draws_are_made_again_where_the_fit_or_its_rows_are_others(tmp_path, monkeypatch):
    made = list[int]()

    def drawn(*_):
        made.append(len(made))
        return NullDraws(np.array([0.5]), np.array([float(len(made))]))

    monkeypatch.setattr(specification_curve, "_drawn", drawn)
    options, store = NullOptions("the slope", 1, 3), Store(tmp_path / "store")

    def asked(of="x", options=options, **contents):
        files = {"fit/fit.json": "f", "rows.csv": "r", "tables/a.csv": "t"} | contents
        listed = tuple(File(path, 1, sha256(text.encode())) for path, text in files.items())
        Manifest("s", "k", steps=(Record("03_fit", "k", listed),)).save(tmp_path)
        draws_of((tmp_path, of), options, store)
        return len(made)

    assert asked() == asked() == 1
    assert asked(**{"tables/a.csv": "u"}) == 1  # no input
    assert asked(**{"rows.csv": "s"}) == 2
    assert asked(**{"fit/fit.json": "g"}) == 3
    assert asked(of="z") == 4
    assert asked(of=np.array([0.0, 1.0])) == 5
    assert asked(options=options._replace(n=2)) == 6
    assert asked(options=options._replace(seed=4)) == 7
    assert asked() == 7


def test_failed_replicates_are_judged_by_the_other_cells():
    null = np.array([[0.1, np.nan, np.nan], [0.2, 3.0, np.nan]])
    tests, used = joint_tests((np.array([1.0, 1.0]), np.ones(2)), (null, np.ones((2, 3))), 0.05)
    assert used == 2
    assert tests[0].p == pytest.approx(2 / 3)
