"""How a file is written, told from its lines: each decision on both sides of where it turns."""

import codecs

import openpyxl
import pytest

from lmmkit.errors import DataError
from lmmkit.study.intake.sniff import sniff


@pytest.fixture
def sniffed(tmp_path):
    def call(content, name="d.csv", **given):
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return sniff(tmp_path / name, given)

    return call


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        # Where several separators fit all lines, the likelier one.
        ("a;b,c\n1;2,5\n3;4,5\n", {"sep": ";", "decimal": ","}),
        ("a|b,c\n1|2,5\n3|4,5\n", {"sep": "|", "decimal": ","}),
        ("a\tb|c\nx\tu|v\ny\tu|w\n", {"sep": "\t"}),
        ("a,b c\n1,u v\n3,u w\n", {}),
        ("a b\n1 2\n3 4\n", {"sep": " "}),
        ("y\n1\n2\n", {}),
        # Half of the lines must have one number of cells.
        ("a,b,c\n1,2,3\n4,5,6\n1,2\n1,2\n", {}),
        ("a,b,c,d\n1,2,3,4\n1,2\n1,2,3\n1\n1,2,3,4,5\n", {"decimal": ","}),
        # Lines that begin with a mark are comments where none of them is as wide as the table.
        ("% made\na,b\nu,2\nv,4\n", {"comment": "%"}),
        ("# made\na,b\nu,2\nv,4\n", {"comment": "#"}),
        ("a,b\n#1,2\n#2,4\n", {}),
        ("a,b\n#1,2\n# made\n#2,4\n", {}),
        # A title has few cells, however many separators stand behind it.
        ("Report;\ng;y\nu;2\nv;3\n", {"sep": ";", "header": 2}),
        ("Ward,2024x\n\na,b,c\nu,2,3\nv,5,6\n", {"header": 3}),
        # Numbers alone name columns only beside a column of text that they are not in.
        ("id,2019,2020\na,1,2\nb,3,4\n", {}),
        ("a,2019,2020\na,1,2\nb,3,4\n", {"header": 0}),
        ("id,2020,2019\na,1,2\nb,3,4\n", {"header": 0}),
        ("2019,2020\n1,2\n3,4\n", {"header": 0}),
        ("id,7\na,1\nb,3\n", {"header": 0}),
        ("1,2\n", {"header": 0}),
        ("a,b\n", {}),
        ("a,b\nu,v\n", {}),
        ('"sep=;"\na;b\nu;2\n', {}),
    ],
)
def test_separator_comment_and_header(sniffed, content, keys):
    assert sniffed(content).keys == keys


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a     b\n1     2\n3     4\n", "runs of blanks, which cannot be told from empty cells"),
        ("Ward,2024x\na,b,c\nu,2,3\nv,5,6\n", "line 1 has 2 names, the lines below have 3 cells, as R's"),
        ("g,y\nu,1,5\nu,2,5\n", "line 1 has 2 names, the lines below have 3 cells: are there decimal commas"),
        ("g,y\nu,1,5,6\nv,2,5,7\n", "line 1 has 2 names, the lines below have 4 cells: are there"),
        ("a,b\n1,2,\n3,4,\n", "the lines below line 1 end with a separator and nothing after it"),
        ("g,x\ns,ms\n1,2\n3,4\n", "line 2, below the header, holds 's', 'ms' where the lines below hold num"),
        ("a,b\nms,1\n2,3\n4,5\n", "line 2, below the header, holds 'ms'"),
        ("\n\n\n", "d.csv is empty; expected a header and at least one row of data"),
        ("sep=;\n", "d.csv is empty; expected a header and at least one row of data"),
    ],
)
def test_lines_that_are_no_table_are_refused(sniffed, content, message):
    with pytest.raises(DataError) as raised:
        sniffed(content)
    assert message in str(raised.value)


@pytest.mark.parametrize("content", ["g,x\ns,ms\n1,2\n", "a,b,c\nms,1,1\n2,3,3\n4,5,5\n"])
def test_one_odd_cell_among_several_columns_or_above_one_row_is_no_second_header(sniffed, content):
    assert sniffed(content).keys == {}


@pytest.mark.parametrize(
    ("line", "encoding"), [("J\u00fcrgen", "latin-1"), ("5 \u20ac", "cp1252"), ("\u201cx\u201d", "cp1252")]
)
def test_what_is_not_utf8_is_placed_and_read_in_what_its_bytes_fit(sniffed, line, encoding):
    found = sniffed(f"g,y\nu,1\n{line},2\nw,3\n".encode(encoding))
    assert found.keys == {"encoding": encoding}
    assert found.said[0] == (
        f"line 3 is not UTF-8, and every byte fits {encoding}; look at its letters below"
    )


def test_an_encoding_is_read_as_it_is_given_or_refused(sniffed):
    content = "J\u00fcrgen,y\nu,1\nv,2\n"
    assert sniffed(content.encode("cp850"), encoding="cp850").keys == {"encoding": "cp850"}
    with pytest.raises(
        DataError, match=r"no encoding zz; such as utf-8, utf-16, latin-1, cp1252, cp850, mac-r"
    ):
        sniffed(content, encoding="zz")
    with pytest.raises(DataError, match="there is no encoding uft-8; did you mean `utf-8`"):
        sniffed(content, encoding="uft-8")
    with pytest.raises(DataError, match=r"d\.csv is not in utf-8: .*; give another --encoding"):
        sniffed(content.encode("latin-1"), encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("g,y\nu,1\nv,2\n", ["cells are separated by commas"]),
        ("g\ty\nu\t1\nv\t2\n", ["cells are separated by tabs"]),
        ("g;y\nu;1\nv;2\n", ["cells are separated by semicolons"]),
        ("g|y\nu|1\nv|2\n", ["cells are separated by bars"]),
        ("g y\nu 1\nv 2\n", ["cells are separated by blanks"]),
        ("y\n1\n2\n", []),
        ("sep=;\ng;y\nu;1\n", ["the line sep=; at its beginning names the separator"]),
        (
            'g,y\n"u\nv",1\nw,2\n',
            ["cells are separated by commas", "cells in quotes span lines"],
        ),
        ("%\ng,y\nu,1\n", ["cells are separated by commas", "lines that begin with % are comments"]),
        (
            "Report\n\ng,y\nu,1\nv,2\n",
            [
                "cells are separated by commas",
                "the columns' names stand in line 3; what is above is no table",
            ],
        ),
        (
            "u,1\nv,2\n",
            [
                "cells are separated by commas",
                "line 1 holds data: there is no header, and the columns are column1 to column2 (give "
                "--header 1 if it names them)",
            ],
        ),
        (b"\xef\xbb\xbfg,y\nu,1\n", ["its byte-order mark says UTF-8", "cells are separated by commas"]),
        (
            "g,y\nu,1\n".encode("utf-16-le"),
            [
                "every other byte is zero: UTF-16-LE without a byte-order mark",
                "cells are separated by commas",
            ],
        ),
        (
            "g,y\nu,1\n".encode("utf-16-be"),
            [
                "every other byte is zero: UTF-16-BE without a byte-order mark",
                "cells are separated by commas",
            ],
        ),
    ],
)
def test_what_was_decided_is_said(sniffed, content, said):
    assert sniffed(content).said == said


def test_what_is_given_is_not_looked_for(sniffed):
    given = {"sep": ",", "header": 2, "comment": "#", "multiline": True, "thousands": "'"}
    found = sniffed("Report\ng,y\nu,1.234.567\n", **given)
    assert (found.keys, found.said, found.asked) == (given, [], [])
    found = sniffed("g,y\nu,1\n", header=0, decimal=",")
    assert found.keys == {"header": 0, "decimal": ","}
    assert sniffed("a,b\nms,1\n2,3\n4,5\n", header=2).keys == {"header": 2}


HEAD = "g;y\n"


@pytest.mark.parametrize(
    ("cells", "keys", "said"),
    [
        (["1.234,5"], (",", "."), "1.234,5 has a decimal comma, and points between thousands"),
        (["1,234.5"], (".", ","), "1,234.5 has a decimal point, and commas between thousands"),
        (["1 234,5"], (",", " "), "1 234,5 has ' ' between thousands"),
        (["1 234", "0,5"], (",", " "), "1 234 has ' ' between thousands"),
        (["1 234", "0.5"], (".", " "), "1 234 has ' ' between thousands"),
        (["1 234", "0.5", "0,5"], (".", " "), "1 234 has ' ' between thousands"),
        (["1 234", "12"], (".", " "), "1 234 has ' ' between thousands"),
        (["1'234.5"], (".", "'"), "1'234.5 has \"'\" between thousands"),
        (["1.234.567"], (",", "."), "1.234.567 has points between thousands"),
        (["1,234,567"], (".", ","), "1,234,567 has commas between thousands"),
        (
            ["1,5", "1.234"],
            (",", "."),
            "1,5 has a decimal comma, so that 1.234 has a point between thousands",
        ),
        (
            ["1.5", "1,234"],
            (".", ","),
            "1.5 has a decimal point, so that 1,234 has a comma between thousands",
        ),
        (["1,5"], (",", None), "1,5 has a decimal comma"),
        (["0,234"], (",", None), "0,234 has a decimal comma"),
        (["1.5"], (".", None), ""),
        (["1.234"], (".", None), ""),
        (["12"], (".", None), ""),
        (
            ["1.5", "2,5"],
            (".", None),
            "1.5 has a decimal point and 2,5 a decimal comma: which is meant?",
        ),
        (
            ["1,234"],
            (",", None),
            "1,234 is read with a decimal comma; or is it a comma between thousands?",
        ),
    ],
)
def test_marks_of_numbers(sniffed, cells, keys, said):
    found = sniffed(HEAD + "".join(f"u;{cell}\n" for cell in cells))
    assert (found.keys.get("decimal", "."), found.keys.get("thousands")) == keys
    told = found.said[1:] + found.asked
    assert told == ([said] if said else [])
    assert bool(found.asked) == said.endswith("?")


def test_a_comma_before_three_digits_stands_between_thousands_where_no_semicolon_separates(sniffed):
    found = sniffed("g\ty\nu\t1,234\n", "d.txt")
    assert found.keys == {"thousands": ","}
    assert found.asked == ["1,234 is read with a comma between thousands; or is it a decimal comma?"]


def test_marks_of_a_column_of_labels_say_nothing(sniffed):
    assert sniffed(HEAD + "1,5;1\nu;2\nv;3\n").keys == {"sep": ";"}


@pytest.fixture
def book(tmp_path):
    def call(*rows, **sheets):
        made = openpyxl.Workbook()
        for row in rows:
            made.active.append(row)
        for name, cells in sheets.items():
            sheet = made.create_sheet(name)
            for row in cells:
                sheet.append(row)
        made.save(tmp_path / "d.xlsx")
        return sniff(tmp_path / "d.xlsx", {})

    return call


ROWS = [["a", "b", "c", "d", "e"], *[[i, i + 1, i, i, 5] for i in range(4)]]


@pytest.mark.parametrize(
    ("above", "keys"),
    [
        ([], {}),
        ([["Report"]], {"header": 2}),
        ([["Report", "of", "May"]], {"header": 2}),
        ([["Report"], [None], ["Ward"]], {"header": 4}),
    ],
)
def test_a_table_of_a_sheet_begins_where_four_of_five_cells_are_filled(book, above, keys):
    assert book(*above, *ROWS).keys == keys


def test_a_header_of_a_sheet_may_lack_a_name(book):
    assert book(["a", "b", "c", "d", None], *ROWS[1:]).keys == {}


def test_the_fullest_sheet_is_said_and_an_empty_book_is_refused(book):
    found = book(["Notes"], Data=ROWS)
    assert found.keys == {"sheet": "Data"}
    assert found.said == [
        "the table is read from the sheet 'Data' of 'Sheet', 'Data' (--sheet takes another)"
    ]
    with pytest.raises(DataError, match=r"d\.xlsx is empty; expected a header"):
        book()


MARKED = "g,y\nu,1\nv,2\n"


@pytest.mark.parametrize(
    ("mark", "encoding", "said"),
    [
        (codecs.BOM_UTF8, "utf-8", "UTF-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
        (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
        (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    ],
)
def test_a_byte_order_mark_says_the_encoding_which_needs_no_key(sniffed, mark, encoding, said):
    found = sniffed(mark + MARKED.encode(encoding))
    assert (found.keys, found.said[0]) == ({}, f"its byte-order mark says {said}")


@pytest.mark.parametrize("gap", ["", "NA", "nan", "n/a", ".", "-", "null", "None", "?"])
def test_cells_that_mean_a_gap_are_neither_numbers_nor_words(sniffed, gap):
    lines = "".join(f"u,{cell}\n" for cell in ("1", "2", gap, gap, gap, gap))
    assert sniffed(f"v,5\n{lines}").keys == {"header": 0}
    assert sniffed(f"v,5\n{lines.replace(gap + chr(10), 'low' + chr(10)) if gap else lines}").keys == (
        {} if gap else {"header": 0}
    )
