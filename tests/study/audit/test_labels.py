"""Labels, levels and titles from a stranger, through the shipped notebooks: text and nothing else."""

import csv
import json

import pytest
from support.once import made_once, run_of
from support.projects import ROOT, lmmkit

pytestmark = pytest.mark.slow
HOSTILE = ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "$x_{$", "</style><b>", "@SUM(1)", "`rm`"]
STUDY = """\
schema: 1
title: "<script>alert('title')</script> $t$"
data:
  source: data.csv
  columns:
    Reaction: {type: number, unit: "<i>ms</i> $"}
    Days: {type: number, unit: "=d"}
    Subject: {type: factor}
model:
  formula: Reaction ~ Days + (Days | Subject)
"""


def run_hostile(project):
    with (ROOT / "params/data/sleepstudy.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    names = sorted({row["Subject"] for row in rows})
    hostile = dict(zip(names, HOSTILE, strict=False))
    for row in rows:
        row["Subject"] = hostile.get(row["Subject"], row["Subject"])
    with (project / "data.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (project / "study.yaml").write_text(STUDY)
    done = lmmkit(project, "run", "study.yaml")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_of(made_once(tmp_path_factory, "hostile-labels", run_hostile))


def test_the_report_holds_them_as_text(folder):
    page = (folder / "report.html").read_text()
    assert "<script>alert" not in page
    assert "</style><b>" not in page
    assert "<i>ms</i>" not in page
    assert "&lt;script&gt;alert(" in page


def test_pictures_hold_no_markup_of_theirs(folder):
    for path in folder.glob("figures/*.svg"):
        text = path.read_text()
        assert "<script" not in text
        assert "<b>" not in text


def test_no_cell_of_a_table_is_a_formula(folder):
    for path in [*folder.glob("tables/*.csv"), folder / "rows.csv"]:
        with path.open(newline="") as stream:
            for row in csv.reader(stream):
                for cell in row:
                    assert not cell.startswith(("=", "@", "+", "\t"))


def test_executed_notebooks_hold_them_escaped(folder):
    for path in folder.glob("*.ipynb"):
        for cell in json.loads(path.read_bytes())["cells"]:
            for output in cell.get("outputs", ()):
                shown = output.get("data", {})
                for kind in ("text/html", "text/markdown", "image/svg+xml"):
                    assert "<script>alert" not in "".join(shown.get(kind, ""))
