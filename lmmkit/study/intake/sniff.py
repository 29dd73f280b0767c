"""How a file is written, found by looking: encoding, separator, header, sheet, marks of its numbers."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmmkit.errors import DataError, did_you_mean
from lmmkit.study.data.sheet_file import sheet_names, sheet_rows
from lmmkit.study.data.sources import check_kind, ending_of
from lmmkit.study.data.text_file import unpacked
from lmmkit.study.files.schema import Data

Rows = Sequence[Sequence[str]]

#: What separates cells, the likelier first where several fit equally well.
SEPARATORS = ("\t", ";", "|", ",", " ")
_NAMES = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "blanks"}
_TEXT = {"csv": ",", "txt": "\t", "tsv": "\t"}
_LOOKED_AT = 2_000  # lines, or rows of a sheet
_BYTES = 1 << 24
_EMPTY = {"", "na", "nan", "n/a", ".", "-", "null", "none", "?"}
_NUMBER = re.compile(r"[+-]?(?:\d[\d.,' \u00a0\u202f\u2019]*|[.,]\d+)(?:[eE][+-]?\d+)?%?")


@dataclass
class FileForm:
    """How a file is written.

    Attributes:
        keys: The keys of a study's `data` that say so, where they are not the defaults.
        said: What was decided and why, a sentence each.
        asked: What cannot be decided by looking, a sentence each.
    """

    keys: dict[str, Any] = field(default_factory=dict[str, Any])
    said: list[str] = field(default_factory=list[str])
    asked: list[str] = field(default_factory=list[str])


def sniff(path: Path, given: Mapping[str, Any]) -> FileForm:
    """How a file is written.

    Args:
        path: The file.
        given: Keys of a study's `data` that the user has decided; they are not looked for.

    Raises:
        DataError: It cannot be read, is empty, or its lines are no table; the message says what to do.
    """
    layout = FileForm(dict(given))
    check_kind(path)
    ending = ending_of(path)
    if ending in _TEXT:
        _sniff_text(path, layout, given, _TEXT[ending])
    elif ending in ("xlsx", "xlsm"):
        _sniff_sheet(path, layout, given)
    return layout


# Text.


def _sniff_text(path: Path, layout: FileForm, given: Mapping[str, Any], usual: str) -> None:
    content = unpacked(path, Data(source=path.name))
    if not content.strip(b"\0\r\n\t \xef\xbb\xbf\xff\xfe"):
        raise DataError(f"{path.name} is empty; expected a header and at least one row of data")
    encoding = given.get("encoding") or _encoding(content, path.name, layout)
    text = _decoded(content[:_BYTES], encoding, path.name).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n", _LOOKED_AT)[:_LOOKED_AT]
    declared = re.fullmatch(r'"?sep=(.)"?\s*', lines[0], re.IGNORECASE)
    first = 1 if declared else 0
    if declared:
        layout.said.append(f"the line sep={declared[1]} at its beginning names the separator")
    found = _separated(lines, first, given.get("sep") or (declared and declared[1]), path.name)
    if "sep" not in given and not declared:
        if found.separator not in ("", usual):
            layout.keys["sep"] = found.separator
        if found.separator:
            layout.said.append(f"cells are separated by {_NAMES.get(found.separator, found.separator)}")
    if found.multiline and "multiline" not in given:
        layout.keys["multiline"] = True
        layout.said.append("cells in quotes span lines")
    if found.comment and "comment" not in given:
        layout.keys["comment"] = found.comment
        layout.said.append(f"lines that begin with {found.comment} are comments")
    rows = _sniff_header(found.rows, found.lines, layout, given, path.name)
    _sniff_marks(rows, found.separator, layout, given)


def _encoding(content: bytes, name: str, layout: FileForm) -> str:
    """The encoding that the bytes themselves show; Latin-1 where nothing else fits."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            layout.said.append(f"its byte-order mark says {encoding.removesuffix('-sig').upper()}")
            return encoding
    if content.count(b"\0") * 3 > len(content):
        encoding = "utf-16-le" if content.find(b"\0") % 2 else "utf-16-be"
        layout.said.append(f"every other byte is zero: {encoding.upper()} without a byte-order mark")
    else:
        try:
            content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            encoding = "cp1252" if re.search(rb"[\x80-\x9f]", content) else "latin-1"
            layout.said.append(
                f"line {line} is not UTF-8, and every byte fits {encoding}; look at its letters below"
            )
        else:
            return "utf-8"
    layout.keys["encoding"] = encoding
    return encoding


def _decoded(content: bytes, encoding: str, name: str) -> str:
    try:
        # What a cut at the end leaves of a letter is passed over.
        return codecs.getincrementaldecoder(encoding)().decode(content)
    except LookupError:
        known = ["utf-8", "utf-16", "latin-1", "cp1252", "cp850", "mac-roman"]
        near = did_you_mean(encoding, known) or f"; such as {', '.join(known)}"
        raise DataError(f"there is no encoding {encoding}{near}") from None
    except UnicodeError as error:
        raise DataError(f"{name} is not in {encoding}: {error}; give another --encoding") from None


@dataclass(frozen=True)
class _Separated:
    separator: str
    rows: Rows
    lines: Sequence[int]
    multiline: bool = False
    comment: str = ""


def _separated(lines: Sequence[str], first: int, given: str | None, name: str) -> _Separated:
    """The lines as cells, by the separator that is given or that gives most lines one number of cells."""
    body = [(number, line) for number, line in enumerate(lines, 1) if number > first and line.strip()]
    if not body:
        raise DataError(f"{name} is empty; expected a header and at least one row of data")
    tried = [_split(body, separator) for separator in ((given,) if given else SEPARATORS)]
    able = [(share, split) for share, split in tried if split is not None]
    if not able:
        return _single(body, name, given)
    best = max(share for share, _ in able)
    return next(split for share, split in able if share == best)


def _split(body: Sequence[tuple[int, str]], separator: str) -> tuple[float, _Separated | None]:
    """The lines split at a separator, and the share of them that have the commonest number of cells."""
    rows = [_cells(line, separator) for _, line in body]
    share, width = _evenness(rows)
    numbers = [number for number, _ in body]
    comment = next((mark for mark in "#%" if _only_odd_lines(rows, width, mark)), "")
    if comment:
        kept = [i for i, row in enumerate(rows) if not row[0].startswith(comment)]
        rows, numbers = [rows[i] for i in kept], [numbers[i] for i in kept]
        share, width = _evenness(rows)
    if share < 1.0:
        whole = _whole_records(body, separator)
        if whole and _evenness(whole[0])[0] == 1.0 and len(whole[0]) > 1:
            even, width = _evenness(whole[0])
            return (even, _Separated(separator, *whole, multiline=True)) if width > 1 else (0.0, None)
    runs = separator == " " and any("" in row for row in rows)
    if width < 2 or share < 0.5 or runs:
        return 0.0, None
    return share, _Separated(separator, rows, numbers, comment=comment)


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except (csv.Error, StopIteration):
        return line.split(separator)


def _evenness(rows: Rows) -> tuple[float, int]:
    counts = Counter(map(len, rows))
    width, count = max(counts.items(), key=lambda item: (item[1], item[0])) if counts else (0, 0)
    return count / max(len(rows), 1), width


def _only_odd_lines(rows: Rows, width: int, mark: str) -> bool:
    marked = [row for row in rows if row[0].startswith(mark)]
    return bool(marked) and all(len(row) != width for row in marked)


def _whole_records(body: Sequence[tuple[int, str]], separator: str) -> tuple[Rows, Sequence[int]] | None:
    """The records when quotes may span lines, and the line on which each begins."""
    reader = csv.reader(io.StringIO("\n".join(line for _, line in body)), delimiter=separator, strict=True)
    rows, numbers, at = list[list[str]](), list[int](), 0
    try:
        for row in reader:
            rows.append(row)
            numbers.append(body[at][0])
            at = reader.line_num
    except csv.Error:
        return None
    return rows, numbers


def _single(body: Sequence[tuple[int, str]], name: str, given: str | None) -> _Separated:
    """A file of one column; columns that stand below each other by runs of blanks are refused."""
    widths = Counter(len(line.split()) for _, line in body)
    width, count = widths.most_common(1)[0]
    if given is None and width > 1 and 2 * count > len(body):
        raise DataError(
            f"{name}: its columns seem to be kept apart by runs of blanks, which cannot be told from empty "
            "cells; save it with commas, semicolons or tabs, or give --sep"
        )
    return _Separated("", [[line] for _, line in body], [number for number, _ in body])


# The header, in text and in sheets.


def _sniff_header(
    rows: Rows, lines: Sequence[int], layout: FileForm, given: Mapping[str, Any], name: str
) -> Rows:
    """The rows below the header, which is found unless it is given."""
    width = _evenness(rows)[1]
    # A title above the table has few cells, however many separators a spreadsheet writes after it.
    usual = sorted(_filled(row) for row in rows)[len(rows) // 2]
    start = next((i for i, row in enumerate(rows) if len(row) == width and 2 * _filled(row) > usual), 0)
    if "header" in given:
        start = next((i for i, line in enumerate(lines) if line >= given["header"]), len(rows))
        below = rows[start + bool(given["header"]) :]
        if given["header"] and start < len(rows):
            _refuse_second_header(rows[start], below, lines[start + 1 :], name)
        return below
    _refuse_short_header(rows[:start], rows[start:], lines[: start + 1], name)
    below = rows[start + 1 :]
    if not _is_header(rows[start], below):
        layout.keys["header"] = 0
        layout.said.append(
            f"line {lines[start]} holds data: there is no header, and the columns are column1 to "
            f"column{width} (give --header 1 if it names them)"
        )
        return rows[start:]
    if start:
        layout.keys["header"] = lines[start]
        layout.said.append(f"the columns' names stand in line {lines[start]}; what is above is no table")
    _refuse_second_header(rows[start], below, lines[start + 1 :], name)
    return below


def _filled(row: Sequence[str]) -> int:
    """How many of a row's cells hold something."""
    return sum(bool(cell.strip()) for cell in row)


def _refuse_short_header(above: Rows, below: Rows, lines: Sequence[int], name: str) -> None:
    """Refuse a header that lacks names, right above the rows."""
    width = len(below[0])
    if not above or lines[-1] - lines[-2] > 1 or not 1 < len(above[-1]) < width or not _all_names(above[-1]):
        return
    if len(above[-1]) == width - 1 and not any(row[-1].strip() for row in below if len(row) == width):
        raise DataError(
            f"{name}: the lines below line {lines[-2]} end with a separator and nothing after it, which "
            "that line "
            "with the names does not: end it with one too, or take the last one out of each line"
        )
    first = [row[0] for row in below]
    if len(above[-1]) < width - 1 or len(set(first)) < len(first):
        raise DataError(
            f"{name}: line {lines[-2]} has {len(above[-1])} names, the lines below have {width} cells: are "
            "there decimal commas, or text with the separator in it, that should stand in quotes? Save the "
            "file with another separator, or give --sep"
        )
    if len(above[-1]) == width - 1:
        raise DataError(
            f"{name}: line {lines[-2]} has {width - 1} names, the lines below have {width} cells, as "
            "R's write.table writes row names; write it with row.names = FALSE or col.names = NA, or put a "
            "name for the first column in front"
        )


def _is_header(head: Sequence[str], below: Rows) -> bool:
    """Whether a row names columns: it has text where the rows below have numbers, or could be no data."""
    if not below:
        return not any(map(_is_number, head))
    columns = [[row[j] for row in below if j < len(row)] for j in range(len(head))]
    numeric = [j for j, cells in enumerate(columns) if _mostly_numbers(cells)]
    if any(not _is_number(head[j]) and not _is_empty(head[j]) for j in numeric):
        return True
    if not numeric:
        return True
    values = [head[j] for j in numeric]
    if all(text.isdigit() for text in values) and values == sorted(set(values), key=int) and len(values) > 1:
        others = [j for j in range(len(head)) if j not in numeric]
        return bool(others) and not any(head[j] in columns[j] for j in others)
    return False


def _refuse_second_header(head: Sequence[str], below: Rows, lines: Sequence[int], name: str) -> None:
    """Refuse text under the header where every later row has numbers: units, or names once more."""
    if len(below) < 3:
        return
    rest = below[1:]
    numeric = [
        j
        for j in range(len(head))
        if _mostly_numbers(cells := [row[j] for row in rest if j < len(row)])
        and sum(map(_is_number, cells)) > 1
    ]
    odd = [below[0][j] for j in numeric if j < len(below[0]) and not _is_number(below[0][j])]
    odd = [text for text in odd if not _is_empty(text)]
    if odd and 2 * len(odd) >= len(numeric):
        raise DataError(
            f"{name}: line {lines[0]}, below the header, holds {', '.join(map(repr, odd[:3]))} where "
            "the lines below hold numbers: is it a second header? Take it out of the file, or take the names "
            f"from it (--header {lines[0]})"
        )


def _all_names(cells: Sequence[str]) -> bool:
    return all(cell.strip() and not _is_number(cell) for cell in cells)


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text.strip()) is not None


def _is_empty(text: str) -> bool:
    return text.strip().lower() in _EMPTY


def _mostly_numbers(cells: Iterable[str]) -> bool:
    filled = [cell for cell in cells if not _is_empty(cell)]
    return bool(filled) and 2 * sum(map(_is_number, filled)) > len(filled)


# The marks of numbers.

_GROUPED_DOT = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+")
_GROUPED_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_DOT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_DOTS_COMMA = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+,\d+")
_COMMAS_DOT = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+\.\d+")
_OTHER_MARKS = {" ": re.compile(r"[+-]?\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:[.,]\d+)?"),
                "'": re.compile(r"[+-]?\d{1,3}(?:['\u2019]\d{3})+(?:[.,]\d+)?")}  # fmt: skip


def _sniff_marks(rows: Rows, separator: str, layout: FileForm, given: Mapping[str, Any]) -> None:
    """The decimal mark and the mark between thousands, from the cells of columns of numbers."""
    width = _evenness(rows)[1]
    cells = [cell for j in range(width) for cell in _numeric_cells(rows, j)]
    decimal, thousands, why = _marks(cells, separator)
    if "decimal" in given or "thousands" in given:
        return
    if decimal == ",":
        layout.keys["decimal"] = ","
    if thousands:
        layout.keys["thousands"] = thousands
    if "?" in why:
        layout.asked.append(why)
    elif why:
        layout.said.append(why)


def _numeric_cells(rows: Rows, j: int) -> list[str]:
    cells = [row[j].strip() for row in rows if j < len(row)]
    return [cell for cell in cells if _is_number(cell)] if _mostly_numbers(cells) else []


def _marks(cells: Sequence[str], separator: str) -> tuple[str, str | None, str]:
    """Decimal mark, mark between thousands, and why."""

    def first(pattern: re.Pattern[str]) -> str | None:
        return next((cell for cell in cells if pattern.fullmatch(cell)), None)

    if both := first(_DOTS_COMMA):
        return ",", ".", f"{both} has a decimal comma, and points between thousands"
    if both := first(_COMMAS_DOT):
        return ".", ",", f"{both} has a decimal point, and commas between thousands"
    for mark, pattern in _OTHER_MARKS.items():
        if spaced := first(pattern):
            decimal = "," if "," in spaced or (first(_COMMA) and not first(_DOT)) else "."
            return decimal, mark, f"{spaced} has {mark!r} between thousands"
    commas = [cell for cell in cells if _COMMA.fullmatch(cell) or _GROUPED_COMMA.fullmatch(cell)]
    dots = [cell for cell in cells if _DOT.fullmatch(cell) or _GROUPED_DOT.fullmatch(cell)]
    many_dots, many_commas = (
        next((cell for cell in found if cell.count(mark) > 1), None)
        for found, mark in ((dots, "."), (commas, ","))
    )
    if many_dots:
        return ",", ".", f"{many_dots} has points between thousands"
    if many_commas:
        return ".", ",", f"{many_commas} has commas between thousands"
    return _single_marks(commas, dots, separator)


def _single_marks(commas: Sequence[str], dots: Sequence[str], separator: str) -> tuple[str, str | None, str]:
    """The same where no number has two marks: a mark before anything but three digits is the decimal one."""
    plain_comma = next((cell for cell in commas if not _GROUPED_COMMA.fullmatch(cell)), None)
    plain_dot = next((cell for cell in dots if not _GROUPED_DOT.fullmatch(cell)), None)
    if plain_comma and plain_dot:
        why = f"{plain_dot} has a decimal point and {plain_comma} a decimal comma: which is meant?"
        return ".", None, why
    if plain_comma and dots:
        return ",", ".", f"{plain_comma} has a decimal comma, so that {dots[0]} has a point between thousands"
    if plain_comma:
        return ",", None, f"{plain_comma} has a decimal comma"
    if plain_dot and commas:
        return ".", ",", f"{plain_dot} has a decimal point, so that {commas[0]} has a comma between thousands"
    if commas and separator == ";":
        return ",", None, f"{commas[0]} is read with a decimal comma; or is it a comma between thousands?"
    if commas:
        return ".", ",", f"{commas[0]} is read with a comma between thousands; or is it a decimal comma?"
    return ".", None, ""


# Sheets.


def _sniff_sheet(path: Path, layout: FileForm, given: Mapping[str, Any]) -> None:
    names = sheet_names(path)
    if "sheet" not in given and len(names) > 1:
        filled = max(names, key=lambda name: sum(len(cells) for _, cells in _sheet(path, name)))
        layout.keys["sheet"] = filled
        listed = ", ".join(map(repr, names))
        layout.said.append(f"the table is read from the sheet {filled!r} of {listed} (--sheet takes another)")
    rows = _sheet(path, layout.keys.get("sheet"))
    filled_rows = [(number, cells) for number, cells in rows if any(cells)]
    if not filled_rows:
        raise DataError(f"{path.name} is empty; expected a header and at least one row of data")
    width = max(len(cells) for _, cells in filled_rows)
    # A row of a sheet ends with its last cell; a title above the table or a total below has few.
    common = sorted(sum(map(bool, cells)) for _, cells in filled_rows)[len(filled_rows) // 2]
    start = next(
        (i for i, (_, cells) in enumerate(filled_rows) if sum(map(bool, cells)) >= max(0.8 * common, 1)), 0
    )
    padded = [[*cells, *[""] * (width - len(cells))] for _, cells in filled_rows]
    titles = [["title"]] * start
    _sniff_header([*titles, *padded[start:]], [number for number, _ in filled_rows], layout, given, path.name)


def _sheet(path: Path, sheet: str | None) -> list[tuple[int, list[str]]]:
    return sheet_rows(path, sheet, _LOOKED_AT)
