"""Rows that lack a member of mm() stay in the table, and the ledger says so."""

from __future__ import annotations

from lmmkit.study.data.load_table import load_table
from lmmkit.study.data.sources import Base
from lmmkit.study.files.study import load_study

STUDY = """schema: 1
data: {source: d.csv}
model: {formula: "y ~ x + (1 | mm(t1, t2, weights=cbind(w1, w2)))"}
"""
ROWS = """y,x,t1,t2,w1,w2
1,1,a,b,1,1
2,,a,c,1,1
3,3,b,,1,
4,4,,,,
5,2,c,a,2,1
"""


def test_rows_without_a_member_are_kept_and_ledgered(tmp_path):
    (tmp_path / "s.yaml").write_text(STUDY)
    (tmp_path / "d.csv").write_text(ROWS)
    settings = load_study(tmp_path / "s.yaml").settings
    assert settings.data.columns["t1"].role == "member"
    assert settings.data.columns["w1"].role == "member weight"
    table = load_table(settings.data, Base(tmp_path))
    assert table.rows["status"].tolist() == ["kept", "dropped", "kept", "kept", "kept"]
    assert table.rows["reason"].tolist() == ["", "missing x", "no member in t2", "no member in t1, t2", ""]
