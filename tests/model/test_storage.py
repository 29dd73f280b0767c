"""A saved fit comes back whole and exact; a damaged or foreign folder is refused with words."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest
from reference.cases import table
from support.models import NAMES, crossed, fit

import lmmkit
from lmmkit import DataError


@pytest.mark.parametrize("name", NAMES)
def test_loaded_fit_is_the_saved_one(name, tmp_path):
    saved = fit(name)
    loaded = lmmkit.load(saved.save(tmp_path / "fit"))
    assert loaded.to_dict() == saved.to_dict()
    assert loaded.params.equals(saved.params)
    assert loaded.cov_params().equals(saved.cov_params())
    assert loaded.theta.equals(saved.theta)
    for factor, frame in saved.ranef.items():
        pd.testing.assert_frame_equal(loaded.ranef[factor], frame, check_exact=True)
        pd.testing.assert_frame_equal(loaded.ranef_se[factor], saved.ranef_se[factor], check_exact=True)
    pd.testing.assert_series_equal(loaded.fittedvalues, saved.fittedvalues, check_exact=True)
    pd.testing.assert_frame_equal(loaded.trace, saved.trace, check_exact=True)
    assert str(loaded.summary()) == str(saved.summary())


def test_loaded_fit_predicts_simulates_refits_and_is_checked(tmp_path):
    saved = fit("crossed")
    loaded = lmmkit.load(saved.save(tmp_path / "fit"))
    rows = crossed().iloc[:7]
    pd.testing.assert_frame_equal(loaded.predict(rows), saved.predict(rows), rtol=1e-14)
    assert np.array_equal(loaded.simulate(2, seed=4), saved.simulate(2, seed=4))
    assert loaded.refit(saved.simulate(1, seed=4)[:, 0]).deviance == pytest.approx(
        saved.refit(saved.simulate(1, seed=4)[:, 0]).deviance, rel=1e-14
    )
    pd.testing.assert_frame_equal(
        loaded.conf_int("wald", df="normal"), saved.conf_int("wald", df="normal"), rtol=1e-10
    )
    assert loaded.certify(full=True).passed


@pytest.mark.parametrize("given", ["matrix", "pedigree"])
def test_known_covariances_of_several_factors_come_back(given, tmp_path):
    frame = crossed().assign(g=lambda d: "g" + d["g"].astype(str))
    levels = [sorted(frame[name].unique()) for name in ("g", "h")]
    known = {
        name: pd.DataFrame(0.3 + 0.7 * np.eye(len(own)), index=own, columns=own)
        for name, own in zip(("g", "h"), levels, strict=True)
    }
    if given == "pedigree":
        first, *others = levels[0]
        known["g"] = pd.DataFrame({"animal": levels[0], "sire": ["", *[first] * len(others)], "dam": ""})
    saved = lmmkit.lmm("y ~ f + (1 | g) + (1 | h)", frame, known=known)
    folder = saved.save(tmp_path / "fit")
    loaded = lmmkit.load(folder)
    assert {"known-0.parquet", "known-1.parquet"} <= {file.name for file in folder.iterdir()}
    assert loaded.to_dict() == saved.to_dict()
    assert loaded.refit(saved.design.problem.response).deviance == pytest.approx(saved.deviance, rel=1e-12)


def test_dropped_rows_come_back(tmp_path):
    saved = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", table("sleep_miss"))
    loaded = lmmkit.load(saved.save(tmp_path / "fit"))
    pd.testing.assert_frame_equal(loaded.design.dropped, saved.design.dropped)
    assert "40 of 180 dropped" in str(loaded.summary())
    assert loaded.certify(full=True).passed


def test_levels_of_dropped_rows_alone_do_not_matter(tmp_path):
    frame = crossed().assign(f=lambda d: d.f.where(d.index > 2, "other"), y=lambda d: d.y.where(d.index > 2))
    saved = lmmkit.lmm("y ~ f + poly(x, 2) + (1 | g)", frame)
    loaded = lmmkit.load(saved.save(tmp_path / "fit"))
    assert loaded.to_dict() == saved.to_dict()


def test_refitted_response_is_what_is_saved(tmp_path):
    saved = fit("sleep").refit(fit("sleep").simulate(1, seed=2)[:, 0])
    loaded = lmmkit.load(saved.save(tmp_path / "fit"))
    assert loaded.to_dict() == saved.to_dict()
    pd.testing.assert_series_equal(loaded.resid, saved.resid, check_exact=True)


def test_vectors_of_weights_and_offset_come_back(tmp_path):
    frame = crossed()
    saved = lmmkit.lmm(
        "y ~ x + (x | g)", frame, weights=frame.w.to_numpy(), offset=frame.o.to_numpy(), contrasts=None
    )
    loaded = lmmkit.load(saved.save(tmp_path / "fit"))
    assert loaded.certify(full=True).passed
    assert loaded.to_dict() == saved.to_dict()


def test_learned_columns_and_contrasts_come_back(tmp_path):
    frame = table("machines_vector").assign(t=np.arange(54.0))
    saved = lmmkit.lmm(
        "score ~ Machine + bs(t, df=4) + scale(t) + (1 | Worker)", frame, contrasts={"Machine": "sum"}
    )
    loaded = lmmkit.load(saved.save(tmp_path / "fit"))
    rows = frame.iloc[[3, 30, 7]]
    pd.testing.assert_frame_equal(loaded.predict(rows), saved.predict(rows), rtol=1e-14)


def test_folder_holds_json_and_parquet_alone(tmp_path):
    folder = fit("sleep").save(tmp_path / "fit")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["data.parquet", "digests.json", "effects-0.parquet", "fit.json"]


def test_saving_twice_writes_the_same_bytes(tmp_path):
    one, two = fit("crossed").save(tmp_path / "one"), fit("crossed").save(tmp_path / "two")
    assert (one / "digests.json").read_bytes() == (two / "digests.json").read_bytes()


def test_saving_again_replaces_the_fit_and_leaves_nothing_else(tmp_path):
    fit("sleep").save(tmp_path / "fit")
    fit("crossed").save(tmp_path / "fit")
    assert lmmkit.load(tmp_path / "fit").formula == fit("crossed").formula
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]


def test_other_files_are_not_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="other files"):
        fit("sleep").save(tmp_path)
    with pytest.raises(DataError, match="is a file"):
        fit("sleep").save(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_folder_that_cannot_be_written_is_an_error_with_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be saved"):
        fit("sleep").save(tmp_path / "file" / "fit")


@pytest.fixture
def folder(tmp_path):
    """A saved fit to be damaged."""
    return fit("sleep").save(tmp_path / "fit")


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        lmmkit.load(tmp_path / "nowhere")


def test_folder_without_a_fit(tmp_path):
    with pytest.raises(DataError, match="no saved fit"):
        lmmkit.load(tmp_path)


def test_json_of_something_else(tmp_path):
    (tmp_path / "fit.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="not a fit of lmmkit"):
        lmmkit.load(tmp_path)


def test_text_that_is_no_json(folder):
    (folder / "fit.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        lmmkit.load(folder)


def test_format_of_another_version(folder):
    numbers = json.loads((folder / "fit.json").read_text())
    (folder / "fit.json").write_text(json.dumps(numbers | {"version": 99}))
    with pytest.raises(DataError, match="version 99"):
        lmmkit.load(folder)


@pytest.mark.parametrize("name", ["data.parquet", "effects-0.parquet"])
def test_file_that_is_missing(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError, match="incomplete"):
        lmmkit.load(folder)


@pytest.mark.parametrize("name", ["data.parquet", "effects-0.parquet", "fit.json"])
def test_single_byte_that_changed_is_noticed(folder, name):
    content = bytearray((folder / name).read_bytes())
    at = content.find(b"0.", len(content) // 2) if name == "fit.json" else len(content) // 2
    content[at + 2] = ord("7") if content[at + 2] != ord("7") else ord("3")
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match="changed since"):
        lmmkit.load(folder)


def test_numbers_that_do_not_fit_the_data_are_refused(folder):
    numbers = json.loads((folder / "fit.json").read_text())
    for key, value in (("beta", [1.0]), ("factors", []), ("design", {"formula": "y ~ x"}), ("trace", 3)):
        rewritten = json.dumps(numbers | {key: value})
        (folder / "fit.json").write_text(rewritten)
        digests = json.loads((folder / "digests.json").read_text())
        digests["fit.json"] = _digest(folder / "fit.json")
        (folder / "digests.json").write_text(json.dumps(digests))
        with pytest.raises(DataError):
            lmmkit.load(folder)


def _digest(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_digest_of_a_file_outside_the_folder_is_not_followed(folder):
    digests = json.loads((folder / "digests.json").read_text())
    digests["../outside"] = "0"
    (folder / "digests.json").write_text(json.dumps(digests))
    with pytest.raises(DataError):
        lmmkit.load(folder)


def test_paths_may_be_text(tmp_path):
    fit("sleep").save(os.fspath(tmp_path / "fit"))
    assert lmmkit.load(os.fspath(tmp_path / "fit")).nobs == 180


@pytest.mark.parametrize("name", ["fit.json", "data.parquet"])
def test_a_file_that_the_digests_do_not_list_is_no_part_of_the_fit(folder, name):
    digests = json.loads((folder / "digests.json").read_text())
    (folder / "digests.json").write_text(json.dumps({k: v for k, v in digests.items() if k != name}))
    with pytest.raises(DataError, match=f"{name} changed since the fit was saved"):
        lmmkit.load(folder)


def test_effects_that_do_not_fit_the_design_are_refused(folder):
    effects = folder / "effects-0.parquet"
    whole = pd.read_parquet(effects)
    whole.iloc[:-1].to_parquet(effects)
    digests = json.loads((folder / "digests.json").read_text())
    (folder / "digests.json").write_text(json.dumps(digests | {effects.name: _digest(effects)}))
    rows, columns = whole.shape
    with pytest.raises(DataError) as caught:
        lmmkit.load(folder)
    assert f"has the shape {(rows - 1, columns)}, not {(rows, columns)}" in str(caught.value)


def test_others_may_read_a_saved_fit(tmp_path):
    assert fit("sleep").save(tmp_path / "fit").stat().st_mode & 0o777 == 0o755
