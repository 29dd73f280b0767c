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


@pytest.mark.parametrize("form", ["header alone", "first column", "last column", "numbers", "parquet"])
def test_a_matrix_is_read_with_its_labels(tmp_path, form):
    labels = ["3", "1", "2"] if form == "numbers" else list("abc")
    frame = pd.DataFrame(K, labels, labels)
    name = "k.parquet" if form == "parquet" else "k.csv"
    if form == "parquet":
        frame.to_parquet(tmp_path / name)
    elif form == "last column":
        frame.assign(label=labels).to_csv(tmp_path / name, index=False)
    else:
        frame.to_csv(tmp_path / name, index=form != "header alone")
    read = read_one(read_known_files(known("matrix", name), Base(tmp_path))["g"], "g")
    assert read.labels.tolist() == labels
    np.testing.assert_allclose(read.dense(), K)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.csv", None, "^the file none.csv does not exist"),
        (
            "k.csv",
            "a,b\n1,0\n0,1\n1,1\n",
            "^k.csv has 3 rows and 2 columns; a square matrix is expected, its labels as the header and, if "
            "they stand beside the rows, in a first column$",
        ),
        (
            "k.csv",
            "a,b\n1,x\n0,1\n",
            "^k.csv has a cell that is no number: could not convert string to float: 'x'$",
        ),
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
    (tmp_path / "d.csv").write_text("y,g\n1,a\n")
    plain = Settings.model_validate({"schema": 1, "data": {"source": "d.csv"}, "model": {"formula": "y ~ 1"}})
    assert pinned(plain, Base(tmp_path)) is plain
    assert pinned(study(pedigree="p.csv"), Base(tmp_path)).model.known["g"].sha256 == digest
    with pytest.raises(DataError, match=r"p\.csv has the sha256"):
        pinned(study(pedigree="p.csv", sha256="0" * 64), Base(tmp_path))
