# ruff: noqa: E501  (a case stands on a line)
"""Reading a report back: marks are held against their files, numbers without a mark are found out."""

from __future__ import annotations

import pandas as pd
import pytest
from markupsafe import Markup

from lmmkit.escape import page as on_page
from lmmkit.study.pages.marks import Mark, Name, fill, join
from lmmkit.study.records.artifacts import csv_bytes, json_bytes, read_csv
from lmmkit.study.report import captions
from lmmkit.study.report.numbers import TABLES
from lmmkit.study.report.read_back import prove

EFFECTS = pd.DataFrame(
    [("g: x2", "a", 1.0, 2.0), ("g: x2", "b", -1.0, 1.0), ("h", "a", -3.0, -2.0)],
    columns=["term", "level", "low", "high"],
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with a table whose rows have names, one whose rows have none, and JSON files."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tables").mkdir()
    coefficients = pd.DataFrame(
        {
            "coefficient": ["Intercept", "x1"],
            "estimate": [251.40510484848483, -10.467285959596],
            "p": [1e-9, 0.0371],
            "df": [17.0, float("inf")],
            "low": [1234567.25, float("nan")],
            "note": ["", "1 of 3"],
        }
    )
    (folder / "tables/coefficients.csv").write_bytes(csv_bytes(coefficients))
    (folder / "tables/effects.csv").write_bytes(csv_bytes(EFFECTS))
    facts = {
        "level": 0.95,
        "n": 180,
        "ok": True,
        "deep": {"list": [5, {"x": 7.5}]},
        "odd": "=1+1",
        "none": None,
        "half": 0.125,
        "sha256": "0a1b2c3d4e5f" * 5,
    }
    (folder / "facts.json").write_bytes(json_bytes(facts))
    (folder / "note.txt").write_text("w9")
    (folder / "link.json").symlink_to(tmp_path_factory.mktemp("beside") / "other.json")
    (folder / "link.json").resolve().write_text('"w8"')
    (folder / "study.json").write_bytes(json_bytes({"inference": {"level": 0.95}}))
    return folder


C, F = "tables/coefficients.csv", "facts.json"


@pytest.mark.parametrize(
    "mark",
    [
        Mark(251.40510484848483, C, "Intercept.estimate", "251.41"),
        Mark(251.40510484848483, C, "Intercept.estimate", "251"),
        Mark(-10.467285959596, C, "x1.estimate", "−10.467"),
        Mark(-10.467285959596, C, "x1.estimate", "-1.0e+01"),
        Mark(-10.467285959596, C, "x1.estimate", "−1.0e+01"),
        Mark(1e-9, C, "Intercept.p", "< 0.001"),
        Mark(0.0371, C, "x1.p", "0.037"),
        Mark(float("inf"), C, "x1.df", "infinite"),
        Mark(float("nan"), C, "x1.low", "none"),
        Mark(1234567.25, C, "Intercept.low", "1,234,567"),
        Mark("1 of 3", C, "x1.note", "1 of 3"),
        Mark(-3.0, "tables/effects.csv", "2.low", "-3"),
        Mark(1, "tables/effects.csv", "=g: x2: exclude zero", "1"),
        Mark(2, "tables/effects.csv", "=g: x2: levels", "2"),
        Mark(0.95, F, "level", "95 %"),
        Mark(180, F, "n", "180"),
        Mark(True, F, "ok", "yes"),
        Mark(5, F, "deep/list/0", "5"),
        Mark(7.5, F, "deep/list/1/x", "7.5"),
        Mark(0.125, F, "half", "0.12"),  # a half is rounded either way
        Mark(0.125, F, "half", "0.13"),
        Mark(0.125, F, "half", "1.2e-01"),
        Mark(0.125, F, "half", "12.5 %"),
        Mark(0.125, F, "half", ".125"),
        Mark(0.95, F, "level", "> 0.9"),
        Mark(1e-9, C, "Intercept.p", "1.0e−09"),
        Mark("0a1b2c3d4e5f" * 5, F, "sha256", "0a1b2c3d4e5f"),
    ],
)
def test_a_mark_that_holds(run, mark):
    proof = prove(f"<p>{mark.__html__()}</p>", run)
    assert proof.loose == []
    assert len(proof.proven) == 1


@pytest.mark.parametrize(
    "mark",
    [
        Mark(251.40510484848483, C, "Intercept.estimate", "251.40"),
        Mark(251.40510484848483, C, "Intercept.estimate", "251.42"),
        Mark(251.40510484848483, C, "Intercept.estimate", "252"),
        Mark(251.40510484848483, C, "Intercept.estimate", "25,141"),
        Mark(251.40510484848483, C, "x1.estimate", "251.41"),
        Mark(251.5, C, "Intercept.estimate", "251.41"),
        Mark(251.4051, C, "Intercept.estimate", "251.41"),
        Mark(-10.467285959596, C, "x1.estimate", "10.467"),
        Mark(0.0371, C, "x1.p", "< 0.001"),
        Mark(0.0371, C, "x1.p", "3.71"),
        Mark(float("inf"), C, "x1.df", "none"),
        Mark(17.0, C, "Intercept.df", "infinite"),
        Mark("1 of 3", C, "x1.note", "2 of 3"),
        Mark(2, "tables/effects.csv", "=g: x2: exclude zero", "2"),
        Mark(1, "tables/effects.csv", "=g: x2: nothing", "1"),
        Mark(1, "facts.json", "=n", "1"),
        Mark(0.95, F, "level", "17 %"),
        Mark(0.95, F, "level", "95"),
        Mark(0.95, F, "level", "0.95 %"),
        Mark(0.17, F, "level", "17 %"),
        Mark(180, F, "n", "18,000 %a"),
        Mark(180, F, "n", "many"),
        Mark(True, F, "ok", "1"),
        Mark(True, F, "ok", "no"),
        Mark(5, F, "deep/list/7", "5"),
        Mark(5, F, "deep/list/x", "5"),
        Mark(5, F, "absent", "5"),
        Mark(5, "absent.json", "n", "5"),
        Mark(5, "../facts.json", "n", "5"),
        Mark(5, "tables/absent.csv", "x.n", "5"),
        Mark("=1+1", F, "odd", "=1+2"),
        Mark(0.125, F, "half", "0.14"),
        Mark(0.125, F, "half", "0.11"),
        Mark(0.125, F, "half", "1.4e-01"),
        Mark(0.95, F, "level", "> 0.95"),
        Mark(0.95, F, "level", "< 0.95"),
        Mark(0.95, F, "level", "< 0.9"),
        Mark(1e-9, C, "Intercept.p", "2e−09"),
        Mark("0a1b2c3d4e5f" * 5, F, "sha256", "0a1b2c3d4e5"),
        Mark("0a1b2c3d4e5f" * 5, F, "sha256", "1b2c3d4e5f0a"),
    ],
)
def test_a_mark_that_does_not_hold(run, mark):
    proof = prove(f"<p>{mark.__html__()}</p>", run)
    assert proof.loose == [f"{mark.text} ({mark.file} {mark.place})"]
    assert proof.proven == []


@pytest.mark.parametrize(
    ("page", "loose"),
    [
        ("<p>no number</p>", []),
        ("<p>180 rows</p>", ["180"]),
        ("<h1>A 7</h1><p>7 and 8.5</p>", ["7", "8.5"]),
        ("<table><tr><th>x1</th><td>2</td></tr></table>", ["1", "2"]),
        ("<p>R2, 1e-5 and 1,234.5.</p>", ["2", "1", "5", "1,234.5"]),
        ("<p><code>n = 3</code> <em>4</em></p>", ["3", "4"]),
        ('<div aria-label="5 rows"></div>', ["5"]),
        ("<p>7 residuals lie beyond 2, where a normal distribution</p>", ["7", "2"]),
        ("<p>they lie beyond 3, where a normal distribution</p>", ["3"]),
        ("<p>least for x; 1 is a straight line.</p>", []),
        ("<p>1 is a straight line.</p>", ["1"]),
        ("<p>SD 3 (of a row with weight 1), of a row with weight 1</p>", ["3", "1"]),
        ('<p><span class="name">w9</span> <span class="name">w8</span></p>', ["w9", "w8"]),
        ('<p><span class="name">x1</span></p>', []),
        ('<p><span class="name">x12</span></p>', ["x12"]),
        ('<p><span class="name">facts.json</span></p>', ["facts.json"]),
        ('<p><span class="name">=1+1</span> <span class="name">deep</span></p>', []),
        ('<p><span class="file">x1</span></p>', ["1"]),
        ("<head><title>Run 5</title></head><pre>x = 6</pre><style>a{b:7}</style>", []),
        ('<math aria-label="8"><mn>9</mn></math><script>10</script><!-- 11 -->', []),
        ('<img alt="A picture" src="data:12">', []),
        ('<img alt="13 bars">', ["13"]),
        ('<img alt="14 bars" data-parts="[&quot;15 bars&quot;]">', ["14"]),
        ('<img alt="16 bars" data-parts="damaged">', ["16"]),
        ('<img alt="17 bars" data-parts="[&quot;17 bars&quot;]">', ["17"]),
    ],
)
def test_a_number_without_a_mark_is_found_out(run, page, loose):
    assert prove(page, run).loose == loose


def image(alt, shown=None):
    parts = alt.to_json().replace('"', "&quot;")
    return f'<img alt="{alt if shown is None else shown}" data-parts="{parts}">'


def test_numbers_of_alt_texts_are_marks(run):
    alt = fill("{} rows of {}", Mark(180, F, "n", "180"), Name("x1"))
    assert prove(image(alt), run).loose == []
    assert prove(image(alt, "181 rows of x1"), run).loose == ["181", "1"]
    wrong = fill("{} rows", Mark(181, F, "n", "181"))
    assert prove(image(wrong), run).loose == ["181 (facts.json n)"]


@pytest.mark.parametrize(
    ("level", "table", "holds"),
    [(0.95, EFFECTS, True), (0.17, EFFECTS, False), (0.95, EFFECTS.assign(low=1.0), False)],
)
def test_captions_do_not_prove_themselves(run, level, table, holds):
    caption = captions.effects(table, level)["caption"]
    assert (prove(f"<p>{caption.__html__()}</p>", run).loose == []) == holds


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("candidates", [{"singular": False, "error": ""}, {"singular": True, "error": ""}]),
        ("candidates", [{"singular": False, "error": ""}, {"singular": True, "error": "too many"}]),
        ("candidates", [{"singular": True, "error": None}]),
        ("missing", [{"rows": 5, "y": 0, "x": 1}, {"rows": 2, "y": 1, "x": 0}]),
        ("design_parts", [{"rows": 3, "columns": 2, "entries": 5}]),
        ("path", [{"deviance": 237747.36577224132}, {"deviance": 237733.83412751908}]),
        ("algorithms", [{"iterations": 5, "above": 1e-9, "converged": True}, {"iterations": 7, "above": 2.0, "converged": False}]),
        ("coefficients", [{"coefficient": "Intercept"}, {"coefficient": "x"}]),
        ("coefficients", [{"coefficient": "Intercept"}]),
        ("pairs", [{"low": 1.0, "high": 2.0}]),
        ("lines", [{"panel": "a"}, {"panel": "a"}, {"panel": "b"}]),
        ("effect_pairs", [{"level": "a", "g: x": 1.0, "normal:g: x": 0.5}, {"level": "b", "g: x": 2.5, "normal:g: x": 0.75}]),
        ("effects", EFFECTS.to_dict("records")),
    ],
)  # fmt: skip
def test_facts_are_the_same_before_and_after_the_file(tmp_path, name, rows):
    table = pd.DataFrame(rows)
    (tmp_path / "t.csv").write_bytes(csv_bytes(table))
    assert TABLES[name].facts(read_csv(tmp_path / "t.csv")) == pytest.approx(TABLES[name].facts(table))
    assert TABLES[name].facts(table)


def test_a_name_that_turns_the_reading_is_proven_as_the_page_spells_it(tmp_path):
    name = "g\u202e1"
    csv = pd.DataFrame({"level": [name], "n": ["7 of 9"]})
    (tmp_path / "t.csv").write_bytes(csv_bytes(csv))
    marked = join(" ", [Name(name), Mark("7 of 9", "t.csv", f"{name}.n", "7 of 9")])
    image = Markup('<img alt="{}" data-parts="{}"><p>{}</p>').format(str(marked), marked.to_json(), marked)
    proof = prove(on_page(image), tmp_path)
    assert "\u202e" not in on_page(image)
    assert not proof.loose
    assert len(proof.proven) == 2
