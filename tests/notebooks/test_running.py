"""Each notebook runs: in a run, by plain papermill, by hand; and the report holds what the run found."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest
from support.tiny import trust_project

from lmmkit.study.records.notebooks import normalised
from lmmkit.study.report.read_back import prove

STEPS = ["01_data_prep", "02_random_effects", "03_fit", "04_report"]


def call(project, *command):
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def report(run):
    return (run / "report.html").read_text(encoding="utf-8")


def outputs(path):
    cells = json.loads(path.read_bytes())["cells"]
    return [output for cell in cells for output in cell.get("outputs", [])]


def test_plain_papermill_runs_every_notebook_by_hand(run, tmp_path):
    """The last notebook makes the three before it, here of what the run has kept, then runs itself."""
    project = shutil.copytree(run.parents[2], tmp_path / "project")
    trust_project(project)
    options = ["--cwd", str(project), "--no-progress-bar"]
    notebook = "notebooks/04_report.ipynb"
    command = [sys.executable, "-m", "papermill", notebook, "out.ipynb", "-p", "study", "params/tiny.yaml"]
    call(project, *command, *options)
    made = project / "reports/tiny/by-hand"
    assert (made / "report.html").read_bytes() == (run / "report.html").read_bytes()


def test_no_cell_of_a_run_warns_or_fails(run):
    for name in STEPS:
        kinds = {output["output_type"] for output in outputs(run / f"{name}.ipynb")}
        assert kinds <= {"execute_result", "display_data"}


def test_every_number_of_the_report_stands_in_a_file_of_the_run(run, report):
    proof = prove(report, run)
    assert proof.loose == []
    assert len(proof.proven) > 80


def test_a_number_that_was_changed_is_found_out(run, report):
    decimal = re.compile(r">(\d)(\d*\.\d\d)</data>")
    changed = decimal.sub(lambda found: f">{(int(found[1]) + 1) % 10}{found[2]}</data>", report, count=1)
    assert len(prove(changed, run).loose) == 1


def test_a_number_that_was_typed_is_found_out(run, report):
    typed = report.replace("</h1>", " 98765.4321</h1>")
    assert prove(typed, run).loose == ["98765.4321"]


def test_dropped_rows_are_told(run, report):
    assert "missing y" in report
    assert (run / "rows.csv").read_text().count("dropped") == 1


class Outline(HTMLParser):
    """Headings, pictures, tables and addresses of a page."""

    def __init__(self):
        super().__init__()
        self.headings, self.images, self.addresses, self.ids, self.scopes = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.images.append(found)
        if tag == "th":
            self.scopes.append(found.get("scope"))
        self.addresses += [found[name] for name in ("href", "src") if name in found]
        self.ids += [found["id"]] if "id" in found else []


@pytest.fixture(scope="session")
def outline(report):
    page = Outline()
    page.feed(report)
    return page


def test_the_report_needs_nothing_outside_itself(report, outline):
    assert all(address.startswith(("#", "data:image/")) for address in outline.addresses)
    assert {address[1:] for address in outline.addresses if address.startswith("#")} <= set(outline.ids)
    assert "http" not in re.sub(r'"data:image/[^"]*"', "", report)
    assert re.findall(r"<script(?! type=\"application/json\")", report) == []


def test_the_report_can_be_heard(outline):
    assert outline.headings[0] == 1
    steps = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(after - before <= 1 for before, after in steps)
    assert outline.headings.count(1) == 1
    assert all(image.get("alt") for image in outline.images)
    assert set(outline.scopes) == {"row", "col"}


def test_the_report_answers_first(report):
    order = [
        "answer",
        "model",
        "data",
        "choice",
        "fixed",
        "components",
        "pictures",
        "convergence",
        "certificate",
    ]
    places = [report.index(f'<section id="{name}"') for name in [*order, "methods", "code", "provenance"]]
    assert places == sorted(places)
    assert re.search(r"y increases with x: the slope is <strong><data [^>]*>", report)


def test_every_estimate_names_its_method(run):
    for name, column in {"coefficients": "method", "intervals": "interval", "anova": "method"}.items():
        table = pd.read_csv(run / f"tables/{name}.csv")
        assert len(table)
        assert table[column].notna().all()
    assert set(pd.read_csv(run / "tables/comparisons.csv")["reference"].dropna())


def test_a_model_without_factors_says_why_it_has_no_marginal_means(run, report):
    assert "there are no marginal means" in report
    assert not (run / "figures/means.svg").exists()


def test_names_from_a_study_and_its_data_cannot_become_markup(run, report):
    title = "Tiny &lt;script&gt;alert(&#39;title&#39;)&lt;/script&gt; $x$ &amp; co"
    assert f"<title>{title}</title>" in report
    assert "<script>alert" not in report
    assert "&lt;script&gt;alert(1)" in report
    assert "</style><b>" not in report
    assert "<i>ms</i>" not in report
    assert "&lt;data" not in report


def test_pictures_hold_no_markup_of_theirs(run):
    pictures = [path.read_text() for path in run.glob("figures/*.svg")]
    assert pictures
    assert not any("<script" in text or "<b>" in text for text in pictures)


def test_no_cell_of_a_table_is_a_formula(run):
    for path in [*run.glob("tables/*.csv"), run / "rows.csv"]:
        with path.open(newline="") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        assert cells
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+", "\t"))]


def test_executed_notebooks_hold_them_escaped(run):
    for name in STEPS:
        for output in outputs(run / f"{name}.ipynb"):
            shown = output.get("data", {})
            for kind in ("text/html", "text/markdown", "image/svg+xml"):
                assert "<script>alert" not in "".join(shown.get(kind, ""))


def test_a_failed_notebook_has_no_ids_by_chance():
    mark = {"cell_type": "markdown", "metadata": {"tags": ["papermill-error-cell-tag"]}, "source": "failed"}
    one, other = (
        normalised({"cells": [{**mark, "id": name}], "metadata": {}}, "s.yaml", {})
        for name in ("b7aad6f7", "36362acf")
    )
    assert one == other
