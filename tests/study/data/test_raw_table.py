"""Names of the columns of a file."""

import pytest

from lmmkit.errors import DataError
from lmmkit.study.data.raw_table import column_names, no_rows


def test_names_are_composed_and_those_that_are_empty_have_their_place():
    assert column_names(["y", " x ", "", None, 5, "e\u0301"], "d.csv") == [
        "y", "x", "column3", "column4", "5", "\u00e9",
    ]  # fmt: skip
    assert str(no_rows("d.csv")) == "d.csv has no rows; expected a header and at least one row of data"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["y", "g", "y"], "d.csv has two columns called y; rename one"),
        (
            ["g", "y", "x", " y"],
            "d.csv has two columns called y (columns 2 and 4), whose names differ only in blanks or in how "
            "Unicode composes their letters; rename one",
        ),
    ],
)
def test_two_columns_of_one_name_are_refused(names, message):
    with pytest.raises(DataError) as raised:
        column_names(names, "d.csv")
    assert str(raised.value) == message
