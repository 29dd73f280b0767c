"""Delimited text: its encoding, its lines and its cells, each told whole."""

import codecs
import gzip

import pytest

from lmmkit.errors import DataError
from lmmkit.study.data.text_file import read_text
from lmmkit.study.files.schema import Data, Limits


@pytest.fixture
def read(tmp_path):
    def call(content, separator=",", name="d.csv", **settings):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_text(tmp_path / name, Data(source=name, **settings), separator)

    return call


def cells(table):
    return {name: column.cells.to_pylist() for name, column in table.columns.items()}


def said(read, content, **settings):
    with pytest.raises(DataError) as raised:
        read(content, **settings)
    return str(raised.value)


TEXT = "y,g\n1,\u00e9\n"
READ_AS = "d.csv is read as UTF-{}, by its byte-order mark"


@pytest.mark.parametrize(
    ("mark", "encoding", "declared", "notices"),
    [
        (codecs.BOM_UTF8, "utf-8", "utf-8", ()),
        (codecs.BOM_UTF8, "utf-8", "utf-8-sig", ()),
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-8", (READ_AS.format(16),)),
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-8", (READ_AS.format(16),)),
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16", (READ_AS.format(16),)),
        (codecs.BOM_UTF32_LE, "utf-32-le", "utf-8", (READ_AS.format(32),)),
        (codecs.BOM_UTF32_BE, "utf-32-be", "utf-8", (READ_AS.format(32),)),
        (b"", "utf-8", "utf-8", ()),
        (b"", "latin-1", "latin-1", ()),
        (b"", "utf-16-be", "utf-16-be", ()),
    ],
)
def test_the_encoding_is_that_of_the_mark_or_the_study(read, mark, encoding, declared, notices):
    table = read(mark + TEXT.encode(encoding), encoding=declared)
    assert (cells(table), table.notices) == ({"y": ["1"], "g": ["\u00e9"]}, notices)


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (
            codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
            "latin-1",
            "d.csv begins with the byte-order mark of UTF-16, the study says data.encoding: latin-1; "
            "take that key out",
        ),
        (
            codecs.BOM_UTF8 + TEXT.encode(),
            "cp1252",
            "d.csv begins with the byte-order mark of UTF-8, the study says data.encoding: cp1252; "
            "take that key out",
        ),
        (
            TEXT.encode("latin-1"),
            "utf-8",
            "d.csv cannot be read: line 2 is not in UTF-8 (byte 0xe9); if it is in another encoding, say so: "
            "data.encoding: latin-1, or cp1252 for Windows",
        ),
        (
            TEXT.encode("latin-1"),
            "ascii",
            "d.csv is not in ascii: line 2 holds the byte 0xe9; name its encoding under data.encoding",
        ),
        (
            "y,g\n1,\u20ac\n".encode("cp1252"),
            "latin-1",
            "d.csv holds the control character U+0080 in line 2 when read as latin-1: it is written in "
            "another encoding, such as data.encoding: cp1252",
        ),
        (
            "y,g\n1,ab\n".encode("utf-16-be"),
            "utf-8",
            "d.csv seems to be in UTF-16 without a byte-order mark; say data.encoding: utf-16-be",
        ),
        (
            b"y,g\n1,a\n2,b\0\n",
            "utf-8",
            "d.csv holds a NUL byte in line 3; expected text: the file is damaged or no text file",
        ),
    ],
)
def test_bytes_in_another_encoding_are_refused_with_their_line(read, content, encoding, message):
    assert said(read, content, encoding=encoding) == message


def test_an_encoding_is_one_of_characters(read):
    end = "; such as utf-8, utf-16, latin-1, cp1252"
    assert said(read, TEXT, encoding="nonsense") == f"data.encoding: unknown encoding: nonsense{end}"
    for name in ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "rot13", "hex"):
        assert said(read, TEXT, encoding=name) == f"data.encoding: no encoding of characters: {name}{end}"


KINDS = ("header", "above the header", "rows", "blank", "comment", "continuation")


@pytest.mark.parametrize(
    ("text", "settings", "columns", "lines"),
    [
        ("y,g\n1,a\n", {"header": 0}, {"column1": ["y", "1"], "column2": ["g", "a"]}, (0, 0, 2, 0, 0, 0)),
        ("y,g\n1,a\n", {}, {"y": ["1"], "g": ["a"]}, (1, 0, 1, 0, 0, 0)),
        ('"SEP=;" \ny;g\n1;a', {}, {"y": ["1"], "g": ["a"]}, (1, 1, 1, 0, 0, 0)),
        ("sep=;\ny;g\n1;a", {"sep": ";"}, {"y": ["1"], "g": ["a"]}, (1, 1, 1, 0, 0, 0)),
        ("t\n#u\n\ny,g\n1,a\n", {"header": 4, "comment": "#"}, {"y": ["1"], "g": ["a"]}, (1, 3, 1, 0, 0, 0)),
        (
            "y,g\n#a\n1,a\n#b,c\n \t\n\n2,b\n#d",
            {"comment": "#"},
            {"y": ["1", "2"], "g": ["a", "b"]},
            (1, 0, 2, 2, 3, 0),
        ),
        (
            "y\tg\n1\ta\n\t\n  \n2\tb\n",
            {"sep": "\t"},
            {"y": ["1", "", "2"], "g": ["a", "", "b"]},
            (1, 0, 3, 1, 0, 0),
        ),
        (
            "y g\n1 a\n \n\t\n2 b",
            {"sep": " "},
            {"y": ["1", "", "2"], "g": ["a", "", "b"]},
            (1, 0, 3, 1, 0, 0),
        ),
        (
            '#"\ny,g\n1,"a\n#b\n\nc"\n2,"d"\n#"x\n',
            {"comment": "#", "multiline": True},
            {"y": ["1", "2"], "g": ["a\n#b\n\nc", "d"]},
            (1, 0, 2, 0, 2, 3),
        ),
        (
            'y,g\n"1","a ""b"""\n2,x"y\n3,"c,"',
            {},
            {"y": ["1", "2", "3"], "g": ['a "b"', 'x"y', "c,"]},
            (1, 0, 3, 0, 0, 0),
        ),
    ],
)
def test_every_line_is_read_or_counted(read, text, settings, columns, lines):
    table = read(text, **settings)
    assert (cells(table), table.rows) == (columns, lines[2])
    assert table.lines == dict(zip(KINDS, lines, strict=True))


QUOTE = "has a cell that begins with a quote and does not end with one in that line:"
NO_MARK = "cannot separate cells; expected one character of ASCII"


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("", {}, "d.csv cannot be read: it is empty; expected a header and rows"),
        (" \n", {}, "d.csv cannot be read: it is empty; expected a header and rows"),
        ("y,g\n1,a\n", {"header": 3}, "d.csv has 2 lines; data.header says that the names stand in 3"),
        ("y,g\n1,a\n", {"header": 2}, "d.csv has no rows; expected a header and at least one row of data"),
        (
            "sep=;\ny;g\n1;a\n",
            {"sep": ","},
            "d.csv begins with the line sep=;, the study says data.sep: ','; take one out",
        ),
        (
            "y,g\n1,a\r2,b\n",
            {},
            "d.csv holds a carriage return inside line 2; end every line in one way",
        ),
        (
            "y,g\n1\n",
            {},
            "d.csv: row 1 (line 2) has 1 cells, the header 2: '1'; check the "
            "separator, and quotes around cells that hold it",
        ),
        (
            "y,g\n\n1,a\n2,a,b\n",
            {},
            "d.csv: row 2 (line 4) has 3 cells, the header 2: '2,a,b'; check the "
            "separator, and quotes around cells that hold it",
        ),
        (
            "y,g\n1,a,\n",
            {},
            "d.csv: row 1 (line 2) has 3 cells, the header 2: '1,a,'; its last separator "
            "has nothing after it, which the header lacks: end the header with one too",
        ),
        (
            "y,g\n1;,a,,\n",
            {},
            "d.csv: row 1 (line 2) has 4 cells, the header 2: '1;,a,,'; check the "
            "separator, and quotes around cells that hold it",
        ),
        *(
            (
                f"y\n1{mark}2,3\n",
                {},
                f"d.csv: row 1 (line 2) has 2 cells, the header 1: {f'1{mark}2,3'!r}; if {mark!r} "
                f"separates cells, say data.sep: {mark!r}",
            )
            for mark in (";", "\t", "|")
        ),
        (
            'y,g\n1,"a"b\n',
            {},
            f"d.csv: line 2 {QUOTE} '1,\"a\"b'; mend the file, or say data.multiline: true if cells in "
            "quotes span lines",
        ),
        (
            'y,g\n1,"a"b\n2,c\n',
            {"multiline": True},
            f"d.csv: line 2 {QUOTE} '1,\"a\"b'; double a quote inside a cell in quotes, and put the cell in "
            "quotes",
        ),
        ("y\u00e9g\n1\u00e92\n", {"sep": "\u00e9"}, f"data.sep: '\u00e9' {NO_MARK}"),
        ('y"g\n', {"sep": '"', "header": 0}, f"data.sep: '\"' {NO_MARK}"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(read, text, settings, message):
    assert said(read, text, **settings) == message


def test_a_packed_file_is_read_to_its_end_and_to_the_limit(read):
    once = gzip.compress(b"y,g\n1,a\n")  # 8 bytes
    assert cells(read(once, name="d.csv.gz", limits=Limits(bytes=8))) == {"y": ["1"], "g": ["a"]}
    twice = once + gzip.compress(b"2,b\n")
    assert cells(read(twice, name="d.csv.gz", limits=Limits(bytes=12)))["y"] == ["1", "2"]
    for content, limit, found in ((once, 7, 8), (twice, 11, 12)):
        message = said(read, content, name="d.csv.gz", limits=Limits(bytes=limit))
        assert message.startswith(f"d.csv.gz has {found} bytes, unpacked; the limit is {limit}.")
    assert "d.csv has 8 bytes, unpacked; the limit is 7" in said(read, "y,g\n1,a\n", limits=Limits(bytes=7))
    assert said(read, "y,g\n1,a\n", name="d.csv.gz") == (
        "d.csv.gz cannot be read: it is not packed by gzip, as its name says"
    )
    assert said(read, once[:-8], name="d.csv.gz", limits=Limits(bytes=2**40)) == (
        "d.csv.gz cannot be read: Compressed file ended before the end-of-stream marker was reached"
    )


def test_a_text_beyond_a_limit_is_refused(read):
    text = "y,g\n1,a\n2,b\n"
    for limits, found in (
        (Limits(rows=1), "2 rows; the limit is 1"),
        (Limits(columns=1), "2 columns; the limit is 1"),
        (Limits(cells=3), "4 cells (2 rows of 2); the limit is 3"),
    ):
        assert said(read, text, limits=limits).startswith(f"d.csv has {found}.")
    assert read(text, limits=Limits(rows=2, columns=2, cells=4)).rows == 2


def test_a_quote_within_a_cell_is_text_also_beside_cells_in_quotes(read):
    found = read('y,g,h\n1,"a",5" pipe\n2,7" pipe,"b, ""c"""\n')
    assert cells(found) == {"y": ["1", "2"], "g": ["a", '7" pipe'], "h": ['5" pipe', 'b, "c"']}
