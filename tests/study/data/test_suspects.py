"""Values that look like codes of a missing value."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lmmkit.study.data.raw_table import RawColumn, RawTable
from lmmkit.study.data.suspects import suspected_codes, suspected_totals

NEAR = [60.0, 71, 64.5, 68, 73, 59, 66]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([*NEAR, -999, -999], "-999 (2 cells) stands far off: if it means"),
        ([*NEAR, -999], "-999 (1 cell) stands far off: if it means"),
        ([*NEAR, -9, 999, 999], "-9 (1 cell) and 999 (2 cells) stand far off: if they mean"),
        ([*NEAR, np.nan, 99], ""),  # one value not so far off may be what it says
        ([*NEAR, 99, 99], "99 (2 cells) stands far off"),
        ([0, 60, 65, 99, 99], "99 (2 cells) stands far off"),  # by more than half of 65
        ([0, 60, 67, 99, 99], ""),
        ([*NEAR, 97, 97], "97 (2 cells) stands far off"),
        ([*NEAR, 22, 22], ""),  # 8 and 7 are codes twice over, 2 is none
        ([*NEAR, 500], ""),  # nobody's code
        ([95.0, 96, 97, 98, 99], ""),
        ([], ""),
    ],
)
def test_codes_are_noticed_where_they_stand_far_off(values, said):
    found = suspected_codes(np.array(values, dtype=float))
    assert (found.startswith(said), bool(found)) == (True, bool(said)), found


def totals(cells, times=1, name="g"):
    column = RawColumn(name, pa.array(cells, pa.string()))
    return list(suspected_totals(RawTable({name: column}, len(cells)), times))


@pytest.mark.parametrize(("last", "found"), [(0, True), (7, True), (8, False)])
def test_a_row_of_totals_stands_among_the_last_eight(last, found):
    cells = [f"g{i}" for i in range(20)]
    cells[19 - last] = " Total "
    said = totals(cells)
    assert bool(said) == found
    if found:
        words = (
            f"row {20 - last}, near the end, says 'Total' in g: if it sums up others, take it out of the "
            "file, or write exclude: [\"g == 'Total'\"]"
        )
        assert said[0] == (19 - last, words)


def test_a_label_of_several_rows_is_none_of_totals_and_each_row_of_a_wide_file_counts_once():
    assert totals(["a", "all", "all"]) == []
    assert totals(["all"]) == []  # the only row
    wide = totals(["a", "a", "b", "b", "sum", "sum"], times=2, name="my group")
    assert [at for at, _ in wide] == [4]
    assert "row 3, near the end" in wide[0][1]
    assert "`my group` == 'sum'" in wide[0][1]
    assert totals(["a", "b", "totality"]) == []


def test_the_codes_are_nines_eights_and_sevens_and_what_is_one_or_two_less_than_nines():
    digits = [(number, int(str(number) * times)) for number in (9, 8, 7) for times in range(1, 6)]
    less = [(0, value - k) for number, value in digits if number == 9 for k in (1, 2)]
    codes = {sign * value for _, value in [*digits, *less] for sign in (1, -1)} | {-1}
    far = 1e6 + np.arange(5.0)  # far from the codes, and no codes themselves

    def noticed(value):
        return suspected_codes(np.array([*(far if value < 0 else -far), value, value])) != ""

    tried = {*codes, 1, 0, 2, -2, 5, 66, 89, 96, -96, 100, 996, 555, -6666, 99996, 999999, -888888}
    assert {value for value in tried if noticed(float(value))} == codes


def test_words_of_totals_in_three_languages():
    words = (
        "total", "Totals:", "grand total", "GrandTotal", "sub-total", "subtotal:", "all", "overall", "sum",
        "Sum:", "summe", "Summe:", "gesamt", "insgesamt:", "mean", "Mean:", "average", "Average:",
        "mittelwert", "somme", "moyenne:", "suma", "media", "\u03a3",
    )  # fmt: skip
    assert [word for word in words if not totals(["a", "b", word])] == []
    assert [word for word in ("summary", "meant", "alls", "in total", "") if totals(["a", "b", word])] == []
