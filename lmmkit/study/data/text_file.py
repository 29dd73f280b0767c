"""Delimited text as columns of text, with an account of every line; nothing is mended in silence."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from lmmkit.errors import DataError
from lmmkit.study.data.limits import check_bytes, check_shape
from lmmkit.study.data.raw_table import RawColumn, RawTable, column_names, no_rows
from lmmkit.study.files.schema import Data

Places = NDArray[np.intp]
Mask = NDArray[np.bool_]

_LF, _QUOTE, _SPACE, _TAB = b'\n" \t'
_BLOCK = 1 << 22
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?[ \t]*(?:\n|\Z)', re.IGNORECASE)


def read_text(path: Path, data: Data, separator: str) -> RawTable:
    """Every column of a text file as text.

    Raises:
        DataError: the file is too large, in another encoding, or its lines are no table: a row with more
            or fewer cells than the header, a quote that does not end, a NUL.
    """
    content, notices = as_utf8(unpacked(path, data), data, path.name)
    content = _with_plain_line_ends(content, path.name)
    first, declared = _separator_line(content, data, path.name)
    separator = data.sep or declared or separator
    lines = _sort_lines(content, data, separator, first, path.name)
    names, start = _header(content, lines, data, separator, path.name)
    body = lines.rows[start:]
    if not len(body):
        raise no_rows(path.name)
    check_shape(len(body), len(names), data.limits, path.name)
    table = _parsed(
        _joined(content, lines, body, start), names, separator, lines.longest, data, body, path.name
    )
    counts = {
        "header": int(start),
        "above the header": lines.above,
        "rows": len(body),
        "blank": len(lines.blank),
        "comment": len(lines.comment),
        "continuation": lines.total - lines.above - len(lines.rows) - len(lines.blank) - len(lines.comment),
    }
    columns = {name: RawColumn(name, table.column(i)) for i, name in enumerate(names)}
    return RawTable(columns, len(body), counts, tuple(notices))


def unpacked(path: Path, data: Data) -> bytes:
    """The bytes of a text file; a packed one is unpacked up to the limit.

    Raises:
        DataError: there are more bytes than the limit.
    """
    if not path.name.lower().endswith(".gz"):
        check_bytes(path.stat().st_size, data.limits, path.name)
        return path.read_bytes()
    with path.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            raise DataError(f"{path.name} cannot be read: it is not packed by gzip, as its name says")
        stream.seek(-4, io.SEEK_END)
        # The last member's size modulo 2^32: what it claims is refused before it is unpacked.
        check_bytes(int.from_bytes(stream.read(4), "little"), data.limits, path.name)
    parts: list[bytes] = []
    size = 0
    try:
        with gzip.open(path) as stream:
            while part := stream.read(1 << 24):
                size += len(part)
                check_bytes(size, data.limits, path.name)
                parts.append(part)
    except (OSError, EOFError) as error:
        raise DataError(f"{path.name} cannot be read: {str(error).rstrip('.')}") from None
    return b"".join(parts)


def as_utf8(content: bytes, data: Data, name: str) -> tuple[bytes, list[str]]:
    """The content in UTF-8 without a byte-order mark, and what was settled about its encoding.

    Raises:
        DataError: it is not in the encoding that its mark or the study says.
    """
    mark, marked = next(((m, e) for m, e in _MARKS if content.startswith(m)), (b"", ""))
    declared = _codec(data.encoding)
    if marked == "utf-8" and declared.startswith("utf-8"):
        content = content[len(mark) :]
    elif marked and declared != "utf-8" and not declared.startswith(marked):
        raise DataError(
            f"{name} begins with the byte-order mark of {marked.upper()}, the study says data.encoding: "
            f"{data.encoding}; take that key out"
        )
    elif marked or declared != "utf-8":
        encoding = marked if marked and marked != "utf-8" else data.encoding
        content = _transcoded(content, encoding, name)
    _check_nul(content, name)
    if not content.isascii():
        _check_utf8(content, name)
    told = marked not in ("", "utf-8")
    notices = [f"{name} is read as {marked.upper()}, by its byte-order mark"] if told else []
    return content, notices


def _line_at(content: bytes, place: int) -> int:
    return content.count(b"\n", 0, place) + 1


#: What Python lists among its encodings of text, and what is none.
_NO_CHARACTERS = ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape")


def _codec(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding)
    except (LookupError, ValueError):
        found = None
    if found is None or found.name in _NO_CHARACTERS or not getattr(found, "_is_text_encoding", True):
        what = "unknown encoding" if found is None else "no encoding of characters"
        raise DataError(f"data.encoding: {what}: {encoding}; such as utf-8, utf-16, latin-1, cp1252")
    return found.name


def _transcoded(content: bytes, encoding: str, name: str) -> bytes:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = _line_at(content, error.start)
        raise DataError(
            f"{name} is not in {encoding}: line {line} holds the byte 0x{content[error.start]:02x}; "
            "name its encoding under data.encoding"
        ) from None
    odd = re.search("[\x80-\x9f]", text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        raise DataError(
            f"{name} holds the control character U+{ord(odd.group()):04X} in line {line} when read as "
            f"{encoding}: it is written in another encoding, such as data.encoding: cp1252"
        )
    return text.removeprefix("\ufeff").encode()


def _check_utf8(content: bytes, name: str) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = _line_at(content, error.start)
        raise DataError(
            f"{name} cannot be read: line {line} is not in UTF-8 (byte 0x{content[error.start]:02x}); if it "
            "is in another encoding, say so: data.encoding: latin-1, or cp1252 for Windows"
        ) from None


def _check_nul(content: bytes, name: str) -> None:
    at = content.find(b"\0")
    if at < 0:
        return
    if content.count(b"\0") * 3 > len(content):
        order = "le" if at % 2 else "be"
        raise DataError(
            f"{name} seems to be in UTF-16 without a byte-order mark; say data.encoding: utf-16-{order}"
        )
    raise DataError(
        f"{name} holds a NUL byte in line {_line_at(content, at)}; expected text: the file is damaged or no "
        "text file"
    )


def _with_plain_line_ends(content: bytes, name: str) -> bytes:
    """The content with LF at the end of every line."""
    while b"\r\n" in content:
        content = content.replace(b"\r\n", b"\n")
    at = content.find(b"\r")
    if at >= 0 and b"\n" not in content:
        return content.replace(b"\r", b"\n")
    if at >= 0:
        raise DataError(
            f"{name} holds a carriage return inside line {_line_at(content, at)}; end every line in one way"
        )
    return content


def _separator_line(content: bytes, data: Data, name: str) -> tuple[int, str]:
    """Number of lines before the table that only name its separator, and the separator."""
    found = _SEPARATOR_LINE.match(content)
    if not found:
        return 0, ""
    separator = found.group(1).decode("utf-8", "replace")
    if data.sep and data.sep != separator:
        raise DataError(
            f"{name} begins with the line sep={separator}, the study says data.sep: {data.sep!r}; take one "
            "out"
        )
    return 1, separator


@dataclass(frozen=True)
class _Lines:
    """The lines of a text: where each begins and ends, and which are what.

    Attributes:
        starts: (L,) offset of each line's first byte.
        ends: (L,) offset of its end, its LF not counted.
        above: Number of lines above the table.
        rows: Lines on which the header and the rows begin.
        blank: Lines that hold nothing.
        comment: Lines that begin with the comment mark.
        kept: (L,) whether a line belongs to the table.
        longest: Bytes of the longest.
    """

    starts: Places
    ends: Places
    above: int
    rows: Places
    blank: Places
    comment: Places
    kept: Mask
    longest: int

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.starts)


def _sort_lines(content: bytes, data: Data, separator: str, first: int, name: str) -> _Lines:
    if not content or content.isspace():
        raise DataError(f"{name} cannot be read: it is empty; expected a header and rows")
    buffer = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(buffer == _LF)
    if content[-1] != _LF:
        ends = np.append(ends, len(content))
    starts = np.concatenate([[0], ends[:-1] + 1])
    above = max(data.header - 1, first)
    if above >= len(starts):
        raise DataError(
            f"{name} has {len(starts)} lines; data.header says that the names stand in {data.header}"
        )
    inside = _checked_quotes(content, buffer, starts, ends, above, data, separator, name)
    table = np.arange(len(starts)) >= above
    blank = _blank(content, buffer, starts, ends, separator) & table & ~inside
    comment = _beginning_with(content, starts, ends, data.comment) & table & ~inside & ~blank
    begin = table & ~inside & ~blank & ~comment
    return _Lines(
        starts,
        ends,
        above,
        np.flatnonzero(begin),
        np.flatnonzero(blank),
        np.flatnonzero(comment),
        begin | (table & inside),
        int((ends - starts).max()),
    )


def _blank(content: bytes, buffer: NDArray[np.uint8], starts: Places, ends: Places, separator: str) -> Mask:
    """Lines without a character other than blanks that do not separate."""
    blanks = bytes({_SPACE, _TAB} - set(separator.encode()))
    found = starts == ends
    heads = buffer[np.minimum(starts, len(buffer) - 1)]
    for at in np.flatnonzero(~found & np.isin(heads, list(blanks))).tolist():
        found[at] = not content[starts[at] : ends[at]].strip(blanks)
    return found


def _beginning_with(content: bytes, starts: Places, ends: Places, mark: str | None) -> Mask:
    found = np.zeros(len(starts), bool)
    if mark is not None:
        prefix = mark.encode()
        found[:] = [
            content.startswith(prefix, at, to) for at, to in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
    return found


def _checked_quotes(
    content: bytes,
    buffer: NDArray[np.uint8],
    starts: Places,
    ends: Places,
    above: int,
    data: Data,
    separator: str,
    name: str,
) -> Mask:
    """Where a line begins inside a cell in quotes.

    A quote opens a cell at its start and closes it at its end; between the two it is doubled. In order of
    the text the quotes take turns: each odd one opens, or follows the one before (a doubled quote); each
    even one closes, or is followed by the next. A line in which they do not is looked at by itself.
    """
    inside = np.zeros(len(starts), bool)
    quotes = np.flatnonzero(buffer[starts[above] :] == _QUOTE) + starts[above]
    if not len(quotes):
        return inside
    line = np.searchsorted(starts, quotes, "right") - 1
    comments = _beginning_with(content, starts, ends, data.comment)
    quotes, line = quotes[~comments[line]], line[~comments[line]]
    if not len(quotes):
        return inside
    if data.multiline:
        order = np.arange(len(quotes))
    else:
        order = np.arange(len(quotes)) - np.searchsorted(line, line, "left")
    separators = list(separator.encode())[:1]
    before = buffer[np.maximum(quotes - 1, 0)]
    after = buffer[np.minimum(quotes + 1, len(buffer) - 1)]
    opens = (quotes == starts[line]) | np.isin(before, separators) | (before == _QUOTE)
    closes = (quotes == ends[line] - 1) | np.isin(after, separators) | (after == _QUOTE)
    good = np.where(order % 2 == 0, opens, closes)
    if data.multiline:
        if not good.all() or len(quotes) % 2:
            at = int(line[~good][0]) if not good.all() else int(line[-1])
            raise _stray_quote(content, starts, ends, at, name, multiline=True)
        inside[:] = np.searchsorted(quotes, starts, "left") % 2 == 1
        return inside
    odd = np.bincount(line, minlength=len(starts)) % 2 == 1
    odd[line[~good]] = True
    for at in np.flatnonzero(odd).tolist():
        if not _is_whole(content[starts[at] : ends[at]].decode(), separator):
            raise _stray_quote(content, starts, ends, at, name, multiline=False)
    return inside


def _is_whole(line: str, separator: str) -> bool:
    """Whether every cell that begins with a quote ends with one, in its line; others may hold quotes."""
    place, size = 0, len(line)
    while place < size:
        if line[place] != '"':
            place = line.find(separator, place) + 1 or size + 1
            continue
        place += 1
        while True:
            place = line.find('"', place) + 1
            if not place:
                return False
            if place < size and line[place] == '"':
                place += 1
                continue
            break
        if place < size and line[place] != separator:
            return False
        place += 1
    return True


def _stray_quote(
    content: bytes, starts: Places, ends: Places, at: int, name: str, *, multiline: bool
) -> DataError:
    shown = content[starts[at] : ends[at]].decode("utf-8", "replace")[:60]
    way = (
        "double a quote inside a cell in quotes, and put the cell in quotes"
        if multiline
        else "mend the file, or say data.multiline: true if cells in quotes span lines"
    )
    return DataError(
        f"{name}: line {at + 1} has a cell that begins with a quote and does not end with one in that line: "
        f"{shown!r}; {way}"
    )


def _header(content: bytes, lines: _Lines, data: Data, separator: str, name: str) -> tuple[list[str], int]:
    """Names of the columns, and how many of the table's lines hold them (0 or 1)."""
    if not len(lines.rows):
        raise no_rows(name)
    stop = lines.starts[lines.rows[1]] if len(lines.rows) > 1 else len(content)
    text = content[lines.starts[lines.rows[0]] : stop].decode()
    cells = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    if not data.header:
        return [f"column{i + 1}" for i in range(len(cells))], 0
    check_shape(0, len(cells), data.limits, name)
    return column_names(cells, name), 1


def _joined(content: bytes, lines: _Lines, body: Places, start: int) -> Any:
    """The lines of the rows as one buffer: the content from the first row, what is no row left out."""
    begin = int(lines.starts[body[0]])
    gone = ~lines.kept
    gone[: body[0]] = False
    if not gone.any():
        return memoryview(content)[begin:]
    edges = np.flatnonzero(np.diff(np.concatenate([[True], gone[body[0] :], [True]]).astype(int))) + body[0]
    pieces = [
        memoryview(content)[lines.starts[a] : lines.starts[b] if b < lines.total else len(content)]
        for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]
    return b"".join(pieces)


def _parsed(
    rows: Any, names: Sequence[str], separator: str, longest: int, data: Data, body: Places, name: str
) -> Any:
    """An Arrow table of text; a row with another number of cells than the header is refused."""
    uneven: list[Any] = []

    def refuse(row: Any) -> str:
        uneven.append(row)
        return "error"

    if len(separator.encode()) > 1 or separator in '"\n\r':
        raise DataError(f"data.sep: {separator!r} cannot separate cells; expected one character of ASCII")
    labels = [str(i) for i in range(len(names))]
    options = pcsv.ReadOptions(
        use_threads=False, block_size=max(_BLOCK, 2 * longest + 2), column_names=labels
    )
    parse = pcsv.ParseOptions(
        delimiter=separator, newlines_in_values=data.multiline, invalid_row_handler=refuse
    )
    convert = pcsv.ConvertOptions(
        column_types=dict.fromkeys(labels, pa.string()), strings_can_be_null=False, check_utf8=False
    )
    try:
        table = pcsv.read_csv(pa.BufferReader(pa.py_buffer(rows)), options, parse, convert)
    except pa.ArrowInvalid:
        if not uneven:
            raise
        raise _uneven(uneven[0], len(names), body, name) from None
    if table.num_rows != len(body):
        raise DataError(
            f"{name} has {len(body):,} lines of data, but {table.num_rows:,} rows were read from them; this "
            "is a fault of the reader: please report the file"
        )
    return table


def _uneven(row: Any, columns: int, body: Places, name: str) -> DataError:
    number = int(row.number)
    hint = "check the separator, and quotes around cells that hold it"
    mark = next((mark for mark in (";", "\t", "|") if mark in str(row.text)), None)
    if columns == 1 and mark:
        hint = f"if {mark!r} separates cells, say data.sep: {mark!r}"
    if row.actual_columns == columns + 1 and str(row.text).rstrip()[-1:] in ",;\t":
        hint = "its last separator has nothing after it, which the header lacks: end the header with one too"
    return DataError(
        f"{name}: row {number} (line {body[number - 1] + 1}) has {row.actual_columns} cells, the header "
        f"{columns}: {str(row.text)[:60]!r}; {hint}"
    )
