"""Pedigrees and matrices of a study: read with their labels, pinned, and refused in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError
from lmmkit.model.table.known import read_one
from lmmkit.study.data.known_files import pinned, read_known_files
from lmmkit.study.data.sources import Base, sha256_of
from lmmkit.study.files.schema import KnownFile, Settings

K = np.eye(3) + 0.5


def known(kind, name):
    return {"g": KnownFile(**{kind: name})}


def test_a_pedigree_is_read_with_its_unknown_parents(tmp_path):
    (tmp_path / "p.csv").write_text("animal,sire,dam\na,,\nb,0,NA\nc,a,b\n")
    read = read_one(read_known_files(known("pedigree", "p.csv"), Base(tmp_path))["g"], "g")
    assert read.words == "a pedigree of 3 animals, 2 founders"


@pytest.mark.parametrize("form", ["header alone", "first column", "parquet"])
def test_a_matrix_is_read_with_its_labels(tmp_path, form):
    frame = pd.DataFrame(K, list("abc"), list("abc"))
    name = "k.parquet" if form == "parquet" else "k.csv"
    if form == "parquet":
        frame.to_parquet(tmp_path / name)
    else:
        frame.to_csv(tmp_path / name, index=form == "first column")
    read = read_one(read_known_files(known("matrix", name), Base(tmp_path))["g"], "g")
    assert read.labels.tolist() == list("abc")
    np.testing.assert_allclose(read.dense(), K)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.csv", None, "the file none.csv does not exist"),
        ("k.csv", "a,b\n1,0\n0,1\n1,1\n", "k.csv has 3 rows and 2 columns; a square matrix is expected"),
        ("k.csv", "a,b\n1,x\n0,1\n", "k.csv has a cell that is no number"),
    ],
)
def test_files_that_are_no_matrix_are_refused(tmp_path, name, text, said):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read_known_files(known("matrix", name), Base(tmp_path))


def study(**known):
    data = {"source": "d.csv"}
    return Settings.model_validate(
        {"schema": 1, "data": data, "model": {"formula": "y ~ 1 + (1 | g)", "known": {"g": known}}}
    )


def test_the_digest_is_filled_in_and_another_one_refused(tmp_path):
    (tmp_path / "p.csv").write_text("animal,sire,dam\na,,\n")
    digest = sha256_of(tmp_path / "p.csv")
    assert pinned(study(pedigree="p.csv"), Base(tmp_path)).model.known["g"].sha256 == digest
    with pytest.raises(DataError, match=r"p\.csv has the sha256"):
        pinned(study(pedigree="p.csv", sha256="0" * 64), Base(tmp_path))
