"""Errors: their lines, what they are about, and several said at once."""

import pytest

from lmmkit.errors import (
    DataError,
    Findings,
    FitError,
    LmmkitError,
    PartialResult,
    RunError,
    StudyError,
    concerning,
    did_you_mean,
    first_of,
    unknown_column,
)


def test_a_message_has_its_lines_and_none_reaches_beyond_its_own():
    assert str(StudyError("a\nb", "c\x1b[2J")) == "a\\nb\nc\\x1b[2J"
    assert str(PartialResult("x", "y")) == "x\ny"
    assert issubclass(PartialResult, UserWarning)
    assert not issubclass(PartialResult, LmmkitError)


def test_what_is_raised_is_about_its_places_from_the_outside_in():
    with pytest.raises(DataError) as raised, concerning("data"), concerning("columns", "x"):
        raise DataError("x is empty")
    assert raised.value.about == ("data", "columns", "x")
    assert raised.value.parts == (raised.value,)
    with pytest.raises(KeyError), concerning("data"):
        raise KeyError("x")


def test_findings_are_kept_and_raised_as_one():
    found = Findings()
    found.raise_found()
    with found.part("columns", "x"):
        raise DataError("x is empty")
    with pytest.raises(DataError) as one:
        found.raise_found()
    assert (str(one.value), one.value.several) == ("x is empty", ())
    with found.part("model"):
        raise FitError("no rows", "at all")
    with found.part("again"):
        raise StudyError("x is empty")  # what is said already is said once
    with found.part("fine"):
        pass
    with pytest.raises(ZeroDivisionError), found.part("bad"):
        raise ZeroDivisionError
    assert [error.about for error in found.errors] == [("columns", "x"), ("model",)]
    joined = found.joined()
    assert type(joined) is DataError
    assert str(joined) == "2 things are to be mended:\n- x is empty\n- no rows\nat all"
    assert joined.parts == tuple(found.errors)


def test_several_errors_that_come_as_one_are_kept_as_several():
    inner, outer = Findings(), Findings()
    for name in ("x", "z"):
        with inner.part(name):
            raise RunError(f"{name} is empty")
    with outer.part("data"):
        inner.raise_found()
    assert [error.about for error in outer.errors] == [("data", "x"), ("data", "z")]


@pytest.mark.parametrize(
    ("parts", "most", "separator", "said"),
    [
        (["a", "b", "c"], 2, ", ", "a, b and 1 more"),
        (["a", "b"], 2, ", ", "a, b"),
        (["a = 1", "b = 2", "c"], 1, "; ", "a = 1; and 2 more"),
        ([], 2, ", ", ""),
        (["a"] * 1501, 1, ", ", "a and 1,500 more"),
    ],
)
def test_the_first_of_a_list_and_how_many_more(parts, most, separator, said):
    assert first_of(parts, most, separator) == said


def test_the_nearest_name_is_asked_about():
    assert unknown_column("Age", ["age", "y"]) == (
        "there is no column `Age`; did you mean `age`? Columns: age, y."
    )
    names = [f"c{k}" for k in range(12)]
    assert unknown_column("zz", names) == f"there is no column `zz`. Columns: {', '.join(names)}."
    assert unknown_column("zz", [*names, "d"]).endswith("c11, ....")
    assert did_you_mean("WIEGHT", ["Weight", "height"]) == "; did you mean `Weight`?"
    assert did_you_mean("xyz", ["Weight"]) == did_you_mean("x", []) == ""
