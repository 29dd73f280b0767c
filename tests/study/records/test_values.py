"""Numbers of a run: by name, by place, and when two versions of one agree."""

import io
import math

import pandas as pd
import pytest

from lmmkit.study.records.quantities import Quantity, quantities
from lmmkit.study.records.values import (
    AS_WRITTEN,
    RECOMPUTED,
    Place,
    agree,
    compare,
    count_numbers,
    kind_of,
    moved_numbers,
    tolerances,
    tree_values,
    values_of,
)


@pytest.mark.parametrize(
    ("path", "column", "kind"),
    [
        ("data.parquet", "y", "data"),
        ("rows.csv", "reason", "data"),
        ("fit/data.parquet", "y", "data"),
        ("trace.csv", "deviance", "deviance on the way"),
        ("trace.csv", "gradient", "the search's own path"),
        ("tables/certificate.csv", "value", "residual of a check"),
        ("certificate.json", "sentence", "residual of a check"),
        ("tables/certificate.csv", "threshold", "estimate"),
        ("fit.json", "evidence.checks.value", "residual of a check"),
        ("tables/path.csv", "theta", "the search's own path"),
        ("fit.json", "evaluations", "the search's own path"),
        ("fit.json", "deviance", "deviance"),
        ("tables/candidates.csv", "aic", "deviance"),
        ("figures/rows.svg", "number", "picture"),
        ("report.html", "number", "printed"),
        ("tables/coefficients.csv", "p", "p value"),
        ("tables/coefficients.csv", "p2", "estimate"),
        ("tables/coefficients.csv", "se", "estimate"),
    ],
)
def test_each_number_has_a_kind(path, column, kind):
    assert kind_of(path, column).name == kind


@pytest.mark.parametrize(
    ("path", "column", "a", "b", "scale", "same"),
    [
        ("t.csv", "se", 1.0, 1 + 9e-7, 0.0, True),
        ("t.csv", "se", 1.0, 1 + 2e-6, 0.0, False),
        ("t.csv", "se", 0.0, 9e-8, 1.0, True),
        ("t.csv", "se", 0.0, 2e-7, 1.0, False),
        ("t.csv", "p", 0.5, 0.5 * (1 + 9e-5), 0.0, True),
        ("t.csv", "p", 0.5, 0.5 * (1 + 2e-4), 0.0, False),
        ("t.csv", "deviance", 1000.0, 1000 + 9e-7, 0.0, True),
        ("t.csv", "deviance", 1000.0, 1000 + 9e-6, 0.0, False),
        ("rows.csv", "y", 1.0, 1 + 1e-15, 1.0, False),
        ("trace.csv", "theta", 1.0, 1 + 9e-4, 0.0, True),
        ("trace.csv", "theta", 1.0, 1 + 2e-3, 0.0, False),
        ("trace.csv", "gradient", 1e-14, 9e-7, 0.0, True),
        ("trace.csv", "theta", 1.0, None, 0.0, False),
        ("trace.csv", "evaluations", 5, 8, 0.0, True),
        ("trace.csv", "evaluations", 5, 9, 0.0, False),
        ("trace.csv", "evaluations", 100, 110, 0.0, True),
        ("tables/certificate.csv", "value", 1e-14, 1e-9, 0.0, True),
        ("t.csv", "note", "from 1.234 on", "from 1.235 on", 0.0, True),
        ("t.csv", "note", "from 1.234 on", "from 1.244 on", 0.0, False),
        ("t.csv", "note", "from 1.234 on", "from 1.236 on", 0.0, False),
        ("t.csv", "note", "from 1e-9 on", "from 2e-9 on", 0.0, False),
        ("t.csv", "note", "from 1.234 on", "up to 1.234", 0.0, False),
        ("t.csv", "note", "18 groups", "19 groups", 0.0, False),
        ("t.csv", "note", "version 1.2.3", "version 1.2.4", 0.0, False),
        ("rows.csv", "reason", "x is 1.234", "x is 1.235", 0.0, False),
        ("t.csv", "deviance", 0.0, 9e-7, 1.0, True),
        ("t.csv", "deviance", 0.0, 2e-6, 1.0, False),
        ("trace.csv", "deviance", 5.0, 5 * (1 + 9e-7), 0.0, True),
        ("trace.csv", "deviance", 5.0, 5 * (1 + 2e-6), 0.0, False),
        ("trace.csv", "deviance", 0.0, 9e-7, 0.0, True),
        ("trace.csv", "deviance", 0.0, 3e-6, 2.0, False),
        ("trace.csv", "theta", 0.0, 1.5e-6, 2.0, True),
        ("trace.csv", "theta", 0.0, 3e-6, 2.0, False),
        ("figures/a.svg", "number", 5.0, 5 * (1 + 9e-5), 0.0, True),
        ("figures/a.svg", "number", 5.0, 5 * (1 + 2e-4), 0.0, False),
        ("figures/a.svg", "number", 0.0, 9e-5, 1.0, True),
        ("figures/a.svg", "number", 0.0, 2e-4, 1.0, False),
        ("report.html", "number", 5.0, 5 * (1 + 9e-5), 0.0, True),
        ("report.html", "number", 5.0, 5 * (1 + 2e-4), 0.0, False),
        ("report.html", "number", 0.0, 9e-7, 0.0, True),
        ("report.html", "number", 0.0, 2e-6, 9.0, False),
        ("t.csv", "p", 0.0, 9e-10, 1.0, True),
        ("t.csv", "p", 0.0, 2e-9, 1.0, False),
        ("t.csv", "n", 3, 4, 100.0, False),
        ("t.csv", "singular", True, 1.0, 1.0, False),
        ("t.csv", "se", "a", 1.0, 1.0, False),
    ],
)
def test_two_numbers_agree_within_what_their_kind_allows(path, column, a, b, scale, same):
    assert agree(a, b, kind_of(path, column), scale) is same


@pytest.mark.parametrize(
    ("kind", "a", "b", "same"),
    [
        (AS_WRITTEN, 5.0, 5 * (1 + 9e-10), True),
        (AS_WRITTEN, 5.0, 5 * (1 + 2e-9), False),
        (AS_WRITTEN, 0.0, 1e-12, False),
        (RECOMPUTED, 5.0, 5 * (1 + 9e-7), True),
        (RECOMPUTED, 5.0, 5 * (1 + 2e-6), False),
        (RECOMPUTED, 0.0, 9e-10, True),
        (RECOMPUTED, 0.0, 2e-9, False),
        (RECOMPUTED, 3, 4, False),
    ],
)
def test_a_number_agrees_with_itself_before_it_was_written_or_made_again(kind, a, b, same):
    assert agree(a, b, kind) is same


def test_a_search_of_one_step_more_is_the_same_search():
    one, longer = b"theta,note\n1.0,a\n2.0,b\n", b"theta,note\n1.0,a\n2.0,b\n3.0,c\n"
    found = compare("trace.csv", one, longer)
    assert (found.values, found.within, found.moved) == (5, 3, ())
    assert len(compare("trace.csv", one, longer, exact=True).moved) == 3
    assert len(compare("t.csv", one, longer).moved) == 3
    changed = compare("trace.csv", one, b"theta,note\n1.0,a\n2.5,b\n3.0,c\n")
    assert changed.moved == ((Place("theta", "2"), 2.0, 2.5),)


def test_numbers_that_are_not_finite_are_no_scale_and_cells_without_a_title_have_a_place():
    found = compare("t.csv", b"se\ninf\n0.001\n0.0\n", b"se\ninf\n0.001\n0.00000005\n")
    assert found.moved == ((Place("se", "3"), 0.0, 5e-8),)
    assert values_of("t.csv", b"a\n1,2\n") == {
        Place("a", "1"): 1.0,
        Place("1", "1"): 2.0,
        Place("rows", ""): 2,
    }
    assert values_of("t.csv", b"") == {Place("rows", ""): 0}
    for path in ("t.parquet", "t.json"):
        assert values_of(path, b"none") == {Place("unreadable", ""): b"none"}


def test_versions_are_compared_value_by_value():
    one = b"name,se,p\na,1.5,0.25\nb,100,0.5\n"
    found = compare("t.csv", one, b"name,se,p\na,1.500001,0.25\nb,101,0.5\n")
    # 1e-6 lies within 1e-7 of the largest number beside it, 100.
    assert (found.values, found.within) == (7, 1)
    assert found.moved == ((Place("se", "2"), 100.0, 101.0),)
    least = compare("t.csv", b"se\n0.001\n0.0\n", b"se\n0.001\n0.00000005\n")
    assert least.moved == ((Place("se", "2"), 0.0, 5e-8),)  # the largest beside it is 0.001, not 1
    assert compare("t.csv", b"se\n-1.0\n0.0\n", b"se\n-1.0\n0.00000005\n").moved == ()
    assert compare("t.csv", one, one + b"c,1,1\n").moved[0] == (Place("rows", ""), 3, 4)
    assert compare("t.json", b'{"a": NaN}', b'{"a": NaN}').moved == ()
    assert compare("t.json", b"{", b'{"a": 1}').moved[0][0] == Place("unreadable", "")


def test_under_the_same_code_and_machine_no_number_may_differ():
    one, other = b"theta\n1.0\n", b"theta\n1.0001\n"
    assert compare("trace.csv", one, other).moved == ()
    assert len(compare("trace.csv", one, other, exact=True).moved) == 1


def test_values_have_places():
    assert dict(tree_values({"a": [{"b": 1}, {"b": 2}]})) == {
        Place("a.b", "[0]"): 1,
        Place("a.b", "[1]"): 2,
        Place("a.length", ""): 2,
    }
    assert values_of("t.csv", b"x,g\n1.5,a\n") == {
        Place("x", "1"): 1.5,
        Place("g", "1"): "a",
        Place("rows", ""): 2,
    }
    text = values_of("t.txt", "df = 17, t = −3.5e-2 (p2)".encode())
    assert [value for place, value in text.items() if place.field == "number"] == [17, -0.035]
    buffer = io.BytesIO()
    pd.DataFrame({"x": [1.5, math.nan]}).to_parquet(buffer)
    assert values_of("t.parquet", buffer.getvalue())[Place("x", "2")] is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("trace.csv", "the search's own path: 0.001 of the number, 1e-06 of the largest beside it"),
        ("rows.csv", "data: 0 of the number, 0 of the largest beside it"),
        ("tables/a.csv", "estimate: 1e-06 of the number, 1e-07 of the largest beside it"),
    ],
)
def test_tolerances_are_told(path, words):
    assert tolerances(path) == words


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a_shapes.csv").write_text("name,estimate,note\nx,7,far\nrows,9,far\n")
    (folder / "b_facts.csv").write_text("quantity,value\nsigma,2.5\nsingular,False\nmethod,REML\n")
    (folder / "coefficients.csv").write_text("coefficient,estimate,se\nIntercept,1.5,0.5\nx,2,0.25\n")
    (folder / "z_counts.csv").write_text("number,estimate\n1,3\n")
    return tmp_path


def test_numbers_have_names_and_the_coefficients_come_first(tables):
    found = quantities(tables)
    assert found["x.estimate"] == Quantity(2, "tables/coefficients.csv")
    assert found["rows.estimate"] == Quantity(9, "tables/a_shapes.csv")
    assert [found[name].value for name in ("sigma", "singular", "method")] == [2.5, False, "REML"]
    assert found.coefficients() == ["Intercept", "x"]
    (tables / "tables/coefficients.csv").write_text("coefficient,estimate\nIntercept,1.5\n")
    assert quantities(tables).coefficients() == []
    assert len(found) == 8
    assert "x.note" not in found
    with pytest.raises(KeyError):
        found["none"]


def test_of_a_name_that_stands_twice_coefficients_come_first_then_single_values(tables):
    (tables / "tables/a_shapes.csv").write_text("name,se,sd\nx,7,8\nz,9,10\n")
    (tables / "tables/b_facts.csv").write_text("quantity,value\nx.se,5\nz.se,6\nyes,True\nno,FALSE\n")
    found = quantities(tables)
    assert {name: found[name].value for name in ("x.se", "z.se", "z.sd")} == {
        "x.se": 0.25,
        "z.se": 6,
        "z.sd": 10,
    }
    assert (found["yes"].value, found["no"].value) == (True, False)
    assert found["z.sd"].path == "tables/a_shapes.csv"


def test_a_name_is_found_under_every_spelling_and_a_link_is_no_table(tables):
    (tables / "tables/coefficients.csv").write_text("coefficient,estimate,se\nI(x^2),1.5,0.5\n")
    (tables / "other.csv").write_text("name,estimate\nw,1\n")
    (tables / "tables/link.csv").symlink_to(tables / "other.csv")
    found = quantities(tables)
    assert found["I(x ** 2).se"].value == 0.5
    assert "w.estimate" not in found


def test_a_coefficient_has_both_numbers_in_a_table_of_coefficients(tables):
    (tables / "tables/coefficients.csv").write_text("coefficient,estimate\nx,1.5\n")
    (tables / "tables/a_shapes.csv").write_text("name,se\nx,7\n")
    found = quantities(tables)
    assert (found["x.estimate"].value, found["x.se"].value) == (1.5, 7)
    assert found.coefficients() == []


def test_a_table_is_read_when_it_is_needed(tables):
    found = quantities(tables)
    (tables / "tables/z_counts.csv").write_bytes(b"\xff")
    assert found["sigma"].value == 2.5


@pytest.mark.parametrize(
    ("one", "other", "moved"),
    [
        ("a 10.467", "a 10.467", []),
        ("a 10.467", "a 10.468", []),
        ("a 10.467", "a 10.469", [("10.467", "10.469")]),
        ("a −10.467", "a 10.467", [("−10.467", "10.467")]),
        ("n = 18", "n = 19", [("18", "19")]),
        ("n = 1,800.5", "n = 1,800.6", []),
        ("a 1.5e-05", "a 1.6e-05", []),
        ("a 1", "b 1", None),
        ("a 1", "a 1 2", None),
        ("2020.1.1", "2020.1.2", [("2020.1.1", "2020.1.2")]),
    ],
)
def test_moved_numbers(one, other, moved):
    assert moved_numbers(one, other) == moved


@pytest.mark.parametrize(("text", "count"), [("", 0), ("a", 0), ("a 1", 1), ("1,234.5 and −2e-05, x3", 2)])
def test_count_numbers(text, count):
    assert count_numbers(text) == count
