# ruff: noqa: E501  (a case stands on a line)
"""Sweep files: which cells they mean, and each fault of theirs at its place."""

from types import SimpleNamespace

import pytest

from lmmkit.errors import StudyError
from lmmkit.study.files.sweep_file import check_size, read_sweep


def sweep(folder, text):
    path = folder / "p.sweep.yaml"
    path.write_text(f"base: sub/small.yaml\n{text}\n")
    return read_sweep(path)


def cells(found):
    return [tuple(choice.overrides.values()) for choice in found.choices()]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("grid: {a: [1, 2], b: [x, y]}", [(1, "x"), (1, "y"), (2, "x"), (2, "y")]),
        ("zip: {a: [1, 2], b: [x, y]}", [(1, "x"), (2, "y")]),
        ("grid: {a: [1, 2]}\nzip: {b: [x, y]}", [(1, "x"), (1, "y"), (2, "x"), (2, "y")]),
        ("add: [{a: 1, b: x}, {a: 1}]", [(1, "x"), (1,)]),
        ("grid: {a: [1, 2]}\nadd: [{b: 1}]", [(1,), (2,), (1,)]),
        ("zip: {a: [1, 2]}\nadd: [{b: 3}]", [(1,), (2,), (3,)]),
    ],
)
def test_the_cells_are_the_grid_times_the_zip_and_then_the_added_ones(tmp_path, text, meant):
    found = sweep(tmp_path, text)
    assert cells(found) == meant
    assert found.count == len(meant)


def test_a_cell_knows_where_each_of_its_settings_stands(tmp_path):
    found = sweep(tmp_path, "grid: {a: [1, 2]}\nzip: {b: [3, 4]}\nadd: [{c: 5}]")
    choices = list(found.choices())
    assert choices[1].overrides == {"a": 1, "b": 4}
    assert choices[1].origins == {"a": ("grid", "a", 0), "b": ("zip", "b", 1)}
    assert choices[4].origins == {"c": ("add", 0, "c")}
    assert [found.place(key) for key in choices[1].origins.values()] == [(2, 12), (3, 14)]
    assert found.place(("grid", "z")) == (1, 1)


def test_a_sweep_file_has_a_name_a_base_and_settings(tmp_path):
    found = sweep(tmp_path, "grid: {a: [1]}")
    assert (found.name, found.base) == ("p.sweep", tmp_path / "sub/small.yaml")
    assert (found.settings.on_error, found.settings.summary, found.settings.title) == ("continue", [], None)
    assert found.settings.version == 1
    given = sweep(tmp_path, "schema: 1\ngrid: {a: [1]}\non_error: stop\nsummary: [x]\ntitle: t").settings
    assert (given.on_error, given.summary, given.title) == ("stop", ["x"], "t")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["1:1: has no cells; give `grid:`, `zip:` or `add:`"]),
        ("gird: {a: [1]}", ["2:1: gird: unknown key - did you mean grid?"]),
        ("zzz: 1", ["2:1: zzz: unknown key; known here: schema, title, base, grid, zip, add, on_error, summary"]),
        ("grid: {}", ["2:7: grid: is empty; list at least one, or take the key away"]),
        ("zip: {a: []}", ["2:10: zip.a: is empty; list at least one, or take the key away"]),
        ("add: []", ["2:6: add: is empty; list at least one, or take the key away"]),
        ("grid: {a: 3}", ["2:11: grid.a: expected a list, found 3"]),
        ("grid: [a]", ["2:7: grid: expected a mapping, found a list"]),
        ("grid: {a: [1, 2, 1]}", ["2:18: grid.a[2]: stands twice; each value makes its own cells"]),
        ("grid: {a: [{x: 1, y: 2}, {y: 2, x: 1}]}", ["2:26: grid.a[1]: stands twice; each value makes its own cells"]),
        ("grid: {a: [1, 1.0, '1', true]}", []),
        ("zip: {a: [1, 1], b: [2, 3]}", []),
        ("zip: {a: [1, 2], b: [3]}", ["2:1: zip: lists of different lengths: a has 2, b has 1"]),
        ("grid: {a: [1]}\nzip: {b: [2], a: [3]}", ["3:15: zip.a: stands in `grid` too; vary it in one place"]),
        (
            "grid: {a: [1, 1]}\nzip: {a: [1], b: [2, 3]}",
            [
                "2:15: grid.a[1]: stands twice; each value makes its own cells",
                "3:1: zip: lists of different lengths: a has 1, b has 2",
                "3:7: zip.a: stands in `grid` too; vary it in one place",
            ],
        ),
        ("grid: {a: [1]}\nschema: 2", ["3:9: schema: 2 is not one of 1"]),
        ("grid: {a: [1]}\nsummary: x", ["3:10: summary: expected a list, found text 'x'"]),
    ],
)  # fmt: skip
def test_each_fault_is_told_at_its_place(tmp_path, text, said):
    if not said:
        assert cells(sweep(tmp_path, text))
        return
    with pytest.raises(StudyError) as caught:
        sweep(tmp_path, text)
    assert str(caught.value).split("\n") == [f"p.sweep.yaml:{line}" for line in said]


def test_a_sweep_needs_a_base_and_a_mapping(tmp_path):
    path = tmp_path / "s.yaml"
    for text, said in (
        ("grid: {a: [1]}", "s.yaml:1:1: base: is missing, and there is no default for it"),
        ("- 1", "s.yaml:1:1: expected keys such as `base:` and `grid:`"),
    ):
        path.write_text(text)
        with pytest.raises(StudyError) as caught:
            read_sweep(path)
        assert str(caught.value) == said


@pytest.mark.parametrize(("count", "yes", "refused"), [
    (10_000, False, False), (10_001, False, True), (10_001, True, False),
])  # fmt: skip
def test_more_than_ten_thousand_cells_need_a_yes(tmp_path, count, yes, refused):
    asked = SimpleNamespace(count=count, path=tmp_path / "s.yaml")
    if not refused:
        check_size(asked, yes=yes)
        return
    with pytest.raises(StudyError) as caught:
        check_size(asked, yes=yes)
    assert str(caught.value) == "s.yaml: 10,001 cells, more than 10,000; give --yes if all are meant"
