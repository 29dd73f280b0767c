"""The one place where a column becomes numbers, levels or times: by its declaration, else by its role."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NoReturn, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmkit.errors import DataError, did_you_mean
from lmmkit.model.table.labels import in_order, label_of
from lmmkit.study.data.cell_text import (
    TRUTH,
    Marks,
    all_numbers,
    are_dates,
    as_numpy,
    common_unit,
    days_told,
    is_date,
    looks_like_bound,
    looks_like_date,
    looks_like_number,
    moments_of,
    number_hint,
    seconds_of,
    trimmed,
    which_numbers,
)
from lmmkit.study.data.missing_codes import Sieve, codes_of, marks_of
from lmmkit.study.data.raw_table import RawColumn
from lmmkit.study.files.schema import Column, Data

Values: TypeAlias = "pd.Series[Any]"
Mask = NDArray[np.bool_]

#: Seconds in the units in which dates are counted.
UNITS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_SHOWN = 5
#: Roles of columns that must be numbers, and of those that are numbers and group.
_NUMBERS = ("number", "number and group", "member weight")
_BOTH = ("number and group", "predictor and group")
_CLOCK = "times of day or spans of time"
#: Dates that stand for a missing one in records and spreadsheets, by year, month and day.
_FAR_DATES = ((1, 1, 1), (1111, 11, 11), (1800, 1, 1), (1899, 12, 30), (1899, 12, 31), (1900, 1, 1),
              (1901, 1, 1), (1960, 1, 1), (1970, 1, 1), (2099, 12, 31), (2100, 1, 1),
              (2999, 12, 31))  # fmt: skip


@dataclass(frozen=True)
class Typed:
    """A column with its type.

    Attributes:
        values: (n,) int64, uint64 or float64 with NaN; bool; or a Categorical of text.
        type: number, factor, time or yes/no.
        why: What decided the type, as a clause.
        unit: Unit in which a time is counted.
        codes: Cells in which each code of a missing value was found, by the code's text.
        notices: What a user should know, a sentence each.
    """

    values: Values
    type: str
    why: str
    unit: str = ""
    codes: Mapping[str, int] = field(default_factory=dict[str, int])
    notices: tuple[str, ...] = ()


def typed(raw: RawColumn, spec: Column | None, data: Data) -> Typed:
    """A column with the type that the study declares, else with the one that its role and cells decide.

    Args:
        raw: The column as the file has it.
        spec: What the study says of it, its role included; None where it does not use it, and then any
            cells make a factor.
        data: How the file's cells are written.

    Raises:
        DataError: Cells are not as declared, or leave open what the column is; the message names rows.
    """
    return _Reading(raw, spec or Column(), data, used=spec is not None).typed()


@dataclass(frozen=True, eq=False)
class _Reading:
    """One column being read."""

    raw: RawColumn
    spec: Column
    data: Data
    used: bool
    notices: list[str] = field(default_factory=list[str])

    @property
    def name(self) -> str:
        return self.raw.name

    @cached_property
    def sieve(self) -> Sieve:
        return Sieve(codes_of(self.data))

    @cached_property
    def marks(self) -> Marks:
        return marks_of(self.data)

    @cached_property
    def kind(self) -> str:
        """What the file holds: text, labels, numbers, truth, moments or spans."""
        kind = self.raw.cells.type
        if pa.types.is_dictionary(kind):
            return "labels"
        if pa.types.is_boolean(kind):
            return "truth"
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return "numbers"
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return "moments"
        return "spans" if pa.types.is_duration(kind) else "text"

    @cached_property
    def text(self) -> Any:
        """Cells of text without outer blanks, null where a code means a missing value."""
        self.count_gaps()
        return self.sieve.texts(trimmed(self.raw.cells))

    def count_gaps(self) -> None:
        self.sieve.empty(self.raw.cells.null_count, self.raw.gaps)

    def typed(self) -> Typed:
        if self.used and self.raw.faults:
            raise DataError(self.raw.faults[0])
        declared = self.spec.type or (
            "number" if self.spec.min is not None or self.spec.max is not None else None
        )
        if declared == "factor" and self.spec.role in _NUMBERS:
            raise DataError(
                f"{self.name} is declared a factor, but the model uses it as a number; declare `type: number`"
            )
        if declared == "factor" or (declared is None and self.spec.role in ("group", "member")):
            return self.factor("it is declared" if declared else "it only groups rows")
        if declared == "time":
            return self.time("it is declared")
        made = self.number("it is declared") if declared else self.sensible()
        if made.type != "factor" and self.spec.role in _BOTH:
            self.check_one_label(made.values)
        return made

    def made(self, values: Any, kind: str, why: str, unit: str = "") -> Typed:
        series = values if isinstance(values, pd.Series) else pd.Series(values)
        codes = {code: count for code, count in self.sieve.counts.items() if count}
        return Typed(series.rename(self.name), kind, why, unit, codes, tuple(self.notices))

    # What a column is, where the study does not say.

    def sensible(self) -> Typed:
        """A number, truth value, time or factor, by its cells; a factor is refused where a number is due."""
        if self.kind == "truth":
            return self.truth("its cells are true or false")
        if self.kind == "numbers":
            return self.number("the file stores numbers")
        if self.kind in ("moments", "spans"):
            return self.time(
                "the file stores dates" if self.kind == "moments" else "the file stores spans of time"
            )
        return self.labelled() if self.kind == "labels" else self.from_text()

    def labelled(self) -> Typed:
        if self.spec.role in _NUMBERS:
            way = (
                ", or declare `type: number` to take the codes behind the labels"
                if self.raw.stored is not None
                else ""
            )
            labels = self.raw.cells.unique().drop_null().to_pylist()
            raise DataError(
                f"{self.name} holds labels, such as {labels[0] if labels else ''!r}, and the model uses it "
                f"as a number{way}"
            )
        return self.factor("the file stores labels")

    def from_text(self) -> Typed:
        cells = self.raw.cells
        values = None if self.raw.stored is not None else all_numbers(cells, self.marks)
        if values is not None:
            self.count_gaps()
        else:
            cells = self.text
            if not self.text_count:
                return self.nothing()
            values = None if self.raw.stored is not None else all_numbers(cells, self.marks)
        if values is None:
            return self.mixed()
        # What the study does not use is looked at only where it is cheap.
        if (self.used or values.dtype.kind == "i") and self.padded(cells):
            return self.factor("its numbers begin with zeros")
        values = self.sieve.numbers(values)
        self.notice_dates(values)
        self.notice_groups(cells, values)
        return self.made(values, "number", "every cell is a number")

    @cached_property
    def text_count(self) -> int:
        return len(self.text) - self.text.null_count

    def nothing(self) -> Typed:
        if self.used:
            raise DataError(f"{self.name} holds no value in any row; expected data, or leave the column out")
        return self.factor("it holds no value")

    def padded(self, cells: Any) -> bool:
        """Whether numbers begin with zeros, as codes do; refused where the model may take them for either."""
        if self.spec.role in _NUMBERS:
            return False
        some = pc.filter(cells, pc.fill_null(pc.starts_with(cells, "0"), False))
        found = pc.filter(some, pc.match_substring_regex(some, "^0[0-9]"))
        if not len(found):
            return False
        if self.spec.role is not None:
            row = _first(pc.equal(cells, found[0]))
            raise DataError(
                f"{self.name}: row {row + 1} holds {found[0].as_py()!r}, a number with a leading zero, which "
                "may be a code: declare `type: factor` if it is one, `type: number` if it is a number"
            )
        return True

    def mixed(self) -> Typed:
        """Text that is not all numbers: truth, dates, or labels; a few odd cells among others are refused."""
        counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(self.text).to_pylist()}
        counts.pop(None, None)
        spelled, _ = self.numbers_in_text()
        numeric = set(pc.unique(pc.filter(self.text, pa.array(spelled))).to_pylist())
        kinds: dict[str, set[str]] = {
            "numbers": numeric,
            "true or false": {text for text in counts if text in TRUTH},
            "dates": {text for text in counts if is_date(text)},
            _CLOCK: {text for text in counts if seconds_of(text) is not None},
        }
        for kind, members in kinds.items():
            if len(members) == len(counts):
                return self.of_kind(kind)
        if self.used:
            loose = {
                "dates": kinds["dates"] | {text for text in counts if looks_like_date(text)},
                "true or false": kinds["true or false"],
                _CLOCK: kinds[_CLOCK],
                "numbers": numeric
                | {text for text in counts if looks_like_number(text) and not looks_like_date(text)}
                # <65 and >=65 alone are labels; among numbers they are numbers that were not measured.
                | ({text for text in counts if looks_like_bound(text)} if numeric else set()),
            }
            for kind, members in loose.items():
                if 2 * sum(counts[text] for text in members) >= self.text_count:
                    self.refuse_odd(kind, kinds[kind], counts)
            if self.spec.role in _NUMBERS:
                self.refuse_odd("numbers", numeric, counts)
            self.notice_units(list(counts))
        return self.factor("its cells are text")

    def of_kind(self, kind: str) -> Typed:
        if kind == "true or false":
            return self.truth("its cells are true or false")
        if kind == "numbers":
            return self.number("every cell is a number")
        return self.time(f"its cells are {kind}")

    def notice_units(self, labels: Sequence[str]) -> None:
        """Say where labels are numbers with one unit, which the model may want as numbers."""
        unit = common_unit(labels)
        if unit:
            self.notices.append(
                f"{self.name}: every cell is a number followed by {unit!r}, such as {labels[0]!r}, and is "
                f"read as one of {len(labels):,} labels; if numbers are meant, write them alone, and "
                f"{unit.strip()!r} under `unit`"
            )

    def refuse_odd(self, kind: str, good: set[str], counts: Mapping[str, int]) -> NoReturn:
        """Refuse a column of mostly one kind, naming the cells that are not."""
        odd = [text for text in counts if text not in good]
        known = self.text_count - sum(counts[text] for text in odd)
        must = self.spec.role in _NUMBERS
        what = (
            f"{known:,} of its {self.text_count:,} cells are {kind}, but" if known else f"it holds no {kind}:"
        )
        ways = ["list such cells under data.na if they mean a missing value"] if known else list[str]()
        ways += [] if must else [f"declare `{self.name}: {{type: factor}}` if the cells are labels"]
        told = "; ".join(filter(None, (", or ".join(ways), self.hint(kind, odd)))) or "expected numbers"
        raise DataError(
            f"{self.name}: {what} {self.with_rows(odd)}{'; the model uses it as a number' if must else ''}. "
            f"{told[:1].upper()}{told[1:]}"
        )

    def hint(self, kind: str, odd: Sequence[str]) -> str:
        """What else may be the matter with cells that are not of the kind of the others."""
        if self.name in odd:
            return f"a cell that holds {self.name!r} stands in a header that is repeated: take its line out"
        if kind == "numbers":
            return number_hint([text for text in odd if looks_like_number(text)][:_SHOWN], self.marks)
        if kind == "dates":
            return "declare `type: time` with the `format` of its dates, such as %d/%m/%Y, if they are dates"
        return "declare `type: time` with a `unit` if they are" if kind == _CLOCK else ""

    def with_rows(self, texts: Sequence[str], cells: Any = None) -> str:
        """The first rows that hold some texts, and how many more there are."""
        cells = self.text if cells is None else cells
        found = pc.index_in(cells, value_set=pa.array(list(texts), pa.string()))
        rows = np.flatnonzero(as_numpy(pc.is_valid(found)))
        parts = [f"row {row + 1} holds {_shown(cells[int(row)].as_py())}" for row in rows[:_SHOWN].tolist()]
        return ", ".join(parts) + _and_more(len(rows) - _SHOWN)

    # Numbers.

    def numbers_in_text(self) -> tuple[Mask, NDArray[np.float64]]:
        """Where cells of text are numbers, and the numbers; cells that a sheet stores as numbers are."""
        good, values = which_numbers(self.text, self.marks)
        if self.raw.stored is not None:
            stored = ~np.isnan(self.raw.stored) & as_numpy(pc.is_valid(self.text))
            good, values = good | stored, np.where(stored, self.raw.stored, values)
        return good, values

    def number(self, why: str) -> Typed:
        """Finite numbers; truth is 0 and 1, labels are the codes behind them."""
        if self.kind == "truth":
            values = as_numpy(pc.cast(self.raw.cells, pa.int64()))
        elif self.kind == "numbers":
            values = self.stored_numbers()
        elif self.kind == "labels" and self.raw.stored is not None:
            values = np.asarray(self.raw.stored, np.float64)
        elif self.kind == "text":
            values = self.spelled_numbers()
        else:
            raise DataError(
                f"{self.name} is declared a number, but holds {_HELD[self.kind]}; declare {_WAY[self.kind]}"
            )
        if self.kind != "text":
            self.count_gaps()
        values = self.sieve.numbers(values)
        if values.dtype.kind == "f" and np.isnan(values).all():
            return self.nothing() if self.used else self.made(values, "number", why)
        self.notice_dates(values)
        if self.kind == "text":
            self.notice_groups(self.text, values)
        return self.made(values, "number", why)

    def notice_groups(self, cells: Any, values: NDArray[Any]) -> None:
        """Say where the decimal mark always has three digits after it, as marks between thousands have."""
        if not self.used or self.data.thousands or self.raw.stored is not None or values.dtype.kind != "f":
            return
        mark, other = self.marks.decimal, ",."[self.marks.decimal == ","]
        grouped = rf"^[+-]?[1-9][0-9]{{0,2}}(?:{re.escape(mark)}[0-9]{{3}})?$"
        for part in (cells[:100], cells):
            if not pc.all(pc.match_substring_regex(part, grouped), min_count=0).as_py():
                return
        marked = pc.match_substring(cells, mark)
        if not pc.any(marked, min_count=0).as_py():
            return
        row = _first(marked)
        self.notices.append(
            f"{self.name}: every number has three digits after its {mark!r}, such as "
            f"{cells[row].as_py()!r}, or is a "
            f"whole number below 1000; if {mark!r} stands between thousands, say data.decimal: {other!r} and "
            f"data.thousands: {mark!r}"
        )

    def notice_dates(self, values: NDArray[Any]) -> None:
        """Say where all numbers are dates without marks, whose differences are no days."""
        if self.used and self.spec.type is None and are_dates(values):
            self.notices.append(
                f"{self.name}: every number reads as a date, such as {values[~np.isnan(values)][0]:.0f}; "
                "if dates "
                f'are meant, declare `{self.name}: {{type: time, format: "%Y%m%d"}}`'
            )

    def stored_numbers(self) -> NDArray[Any]:
        """Numbers that the file stores: exact integers where none is missing, else float64."""
        cells = self.raw.cells
        if pa.types.is_decimal(cells.type):
            values = np.array([np.nan if item is None else float(item) for item in cells.to_pylist()])
        else:
            values = as_numpy(cells)
        if values.dtype.kind in "iu":
            return (
                values
                if values.dtype == np.uint64 and (values > np.iinfo(np.int64).max).any()
                else values.astype(np.int64)
            )
        values = values.astype(np.float64)
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):
            self.refuse_infinite(infinite, values)
        return values

    def refuse_infinite(self, rows: NDArray[np.intp], values: NDArray[Any]) -> None:
        if self.used:
            more = _and_more(len(rows) - 1)
            raise DataError(
                f"{self.name}: row {rows[0] + 1} holds {values[rows[0]]:g}{more}; expected finite numbers. "
                "Correct the data, or list the value under data.na"
            )

    def spelled_numbers(self) -> NDArray[Any]:
        values = None if self.raw.stored is not None else all_numbers(self.text, self.marks)
        if values is not None:
            return values
        truth = self.truth_in_text()
        if truth is not None:
            return truth.to_numpy(np.float64, na_value=np.nan)
        good, values = self.numbers_in_text()
        odd = ~good & as_numpy(pc.is_valid(self.text))
        if odd.any():
            texts = pc.unique(pc.filter(self.text, pa.array(odd))).to_pylist()
            hint = self.hint("numbers", texts)
            raise DataError(
                f"{self.name} is declared a number, but {self.with_rows(texts)}; expected numbers. List such "
                f"cells under data.na if they mean a missing value{'; ' + hint if hint else ''}"
            )
        return values

    def check_one_label(self, values: Values) -> None:
        """Refuse a column that groups and is a number where one number has several labels."""
        labels = self.labels_of_rows()
        pairs = pd.DataFrame(
            {"value": values.to_numpy(np.float64, na_value=np.nan), "label": labels}
        ).dropna()
        distinct = pairs.drop_duplicates()
        twice = distinct[distinct["value"].duplicated(keep=False)]
        if len(twice):
            same = twice[twice["value"] == twice["value"].iloc[0]].iloc[:2]
            (a, b), (i, j) = same["label"], same.index
            raise DataError(
                f"{self.name}: {a!r} in row {i + 1} and {b!r} in row {j + 1} are one number but two labels, "
                "and the formula uses the column both as a number and for groups. Write equal numbers alike, "
                "or keep the groups in a column of their own"
            )

    # Truth.

    def truth_in_text(self) -> Values | None:
        """Truth values that all cells of text spell, or None."""
        words = pc.unique(self.text).to_pylist()
        if not all(word is None or word in TRUTH for word in words) or words in ([], [None]):
            return None
        return self.truth_series([TRUTH.get(word) for word in self.text.to_pylist()])

    def truth_series(self, items: Sequence[bool | None]) -> Values:
        gaps = any(item is None for item in items)
        return pd.Series(np.array(items, object), dtype="boolean" if gaps else "bool")

    def truth(self, why: str) -> Typed:
        if self.kind == "truth":
            self.count_gaps()
            return self.made(self.truth_series(self.raw.cells.to_pylist()), "yes/no", why)
        values = self.truth_in_text()
        assert values is not None
        return self.made(values, "yes/no", why)

    # Levels.

    def factor(self, why: str) -> Typed:
        """Levels as text, byte for byte but for outer blanks, in their order."""
        self.sieve.counts.clear()  # what was counted to see that it is no column of another type
        codes, labels = self.coded_labels()
        distinct = dict.fromkeys(label for label in labels if label is not None)
        levels = list(distinct) if self.raw.labelled else in_order(distinct)
        if self.used:
            if not levels:
                return self.nothing()
            self.notice_alike(levels)
            self.notice_made_dates(levels)
        place: dict[str | None, int] = {label: i for i, label in enumerate(levels)}
        table = np.fromiter((place.get(label, -1) for label in (*labels, None)), np.intp, len(labels) + 1)
        made = pd.Categorical.from_codes(table[codes], pd.Index(np.array(levels, object), dtype="str"))
        column = pd.Series(made)
        return self.made(self.leveled(column, levels) if self.used else column, "factor", why)

    def coded_labels(self) -> tuple[NDArray[np.intp], list[str | None]]:
        """(n,) number of each cell's distinct value, -1 where null, and the labels of the distinct values."""
        cells = self.raw.cells
        if isinstance(cells, pa.ChunkedArray):
            cells = cells.unify_dictionaries() if self.kind == "labels" else cells
            cells = cells.combine_chunks()
        encoded = cells if self.kind == "labels" else pc.dictionary_encode(cells)
        codes = as_numpy(pc.fill_null(encoded.indices.cast(pa.int64()), -1)).astype(np.intp)
        self.count_gaps()
        counts = np.bincount(codes[codes >= 0], minlength=len(encoded.dictionary))
        labels = self.texts_of(encoded.dictionary)
        return codes, self.without_codes(labels, counts)

    def texts_of(self, distinct: Any) -> list[str]:
        """Each distinct value as the text of a level."""
        if self.kind in ("text", "labels"):
            return distinct.to_pylist()
        if self.kind == "moments":
            moments = pd.DatetimeIndex(distinct.to_pandas())
            whole = bool((moments == moments.normalize()).all())
            return [str(moment.date()) if whole else moment.isoformat() for moment in moments]
        if pa.types.is_floating(distinct.type):
            values = distinct.to_numpy(zero_copy_only=False)
            self.check_exact(values)
            return ["NaN" if np.isnan(value) else label_of(value) for value in values]
        return [label_of(item) for item in distinct.to_pylist()]

    def check_exact(self, values: NDArray[Any]) -> None:
        """Refuse ids that floating numbers cannot tell apart, unless the study takes them as they are."""
        with np.errstate(invalid="ignore"):
            beyond = np.abs(values) >= 2.0 ** (np.finfo(values.dtype).nmant + 1)
        if beyond.any() and self.used and self.spec.type != "factor":
            value = values[beyond][0]
            row = _first(pc.equal(self.raw.cells, pa.scalar(value, self.raw.cells.type)))
            raise DataError(
                f"{self.name}: row {row + 1} holds {value}, a floating number beyond those that are told "
                "apart: ids may have been merged when the file was written. Write the ids as text or as "
                "integers, or declare `type: factor` to take them as they are"
            )

    def without_codes(self, labels: list[str], counts: NDArray[np.intp]) -> list[str | None]:
        """Labels without outer blanks, None where a code means a missing value; both are counted."""
        known = {code.text for code in self.sieve.codes}
        known |= {"NaN"} if self.kind == "numbers" else set[str]()
        whole, padded = "".join(labels), 0
        blank = whole.strip() != whole or len(whole.split(maxsplit=1)) > 1
        made: list[str | None] = [label.strip() for label in labels] if blank else list(labels)
        if made != labels:
            cells = zip(labels, made, counts.tolist(), strict=True)
            padded = sum(count for label, plain, count in cells if plain and label != plain)
        if not known.isdisjoint(made):
            for at, plain in enumerate(made):
                if plain in known:
                    self.sieve.counts[str(plain)] += int(counts[at])
                    made[at] = None
        if padded and self.used:
            self.notices.append(f"{self.name}: blanks around the text of {padded:,} cells are taken off")
        return made

    def labels_of_rows(self) -> list[str | None]:
        codes, labels = self.coded_labels()
        return [labels[code] if code >= 0 else None for code in codes.tolist()]

    def notice_alike(self, levels: Sequence[str]) -> None:
        """Say where labels look alike to a reader."""
        if _differ_visibly(levels):
            return
        seen: dict[str, str] = {}
        for label in levels:
            plain = _visible(label)
            other = seen.setdefault(plain.casefold(), label)
            if other != label:
                unseen = "in blanks, unseen characters or the composition of letters"
                what = unseen if plain == _visible(other) else "in capitals"
                self.notices.append(
                    f"{self.name}: the labels {other!a} and {label!a} are two levels, and differ only {what}"
                )
                return

    def notice_made_dates(self, levels: Sequence[str]) -> None:
        """Say where some labels are dates, which spreadsheet programs make of labels such as 1-2."""
        dates = [label for label in levels if len(label) in (10, 19) and label[4] == "-" and is_date(label)]
        if dates and len(dates) < len(levels):
            self.notices.append(
                f"{self.name}: {len(dates):,} of its {len(levels):,} labels are dates, such as "
                f"{dates[0]!r}; a "
                "spreadsheet program may have made them of other labels, such as 1-2"
            )

    def leveled(self, column: Values, known: list[str]) -> Values:
        """The factor with the declared levels, order and reference."""
        spec = self.spec
        if not (spec.levels or spec.order or spec.labels or spec.reference):
            return column
        levels = list(spec.levels or known)
        declared = set(levels)
        strange = next((level for level in known if level not in declared), None)
        if strange is not None:
            row = int(np.flatnonzero(column == strange)[0]) + 1
            raise DataError(
                f"{self.name}: row {row} holds {strange!r}, which is not among its levels {_listed(levels)}"
            )
        for level in spec.order or ():
            self.check_level(level, levels, "order")
        for level in spec.labels:
            self.check_level(level, levels, "labels")
        if spec.order:
            levels = list(dict.fromkeys([*spec.order, *levels]))
        if spec.reference is not None:
            self.check_level(spec.reference, levels, "reference")
            levels = list(dict.fromkeys([spec.reference, *levels]))
        return column.cat.set_categories(levels)

    def check_level(self, level: str, levels: Sequence[str], key: str) -> None:
        if level not in levels:
            near = did_you_mean(level, levels) if len(levels) < 2_000 else ""
            raise DataError(
                f"{self.name}: its {key} {level!r} is not among its levels {_listed(levels)}{near}"
            )

    # Times.

    def time(self, why: str) -> Typed:
        """Numbers as they are; dates as units since the earliest."""
        if self.kind == "numbers" and not self.spec.format:
            return replace(self.number(why), type="time", unit=self.spec.unit or "")
        if self.kind == "spans":
            return self.spans(why)
        if self.kind == "moments":
            moments, timed = self.stored_moments()
        elif self.kind == "numbers":
            moments, timed = self.spelled_moments(self.digits())
        elif self.kind == "text":
            measured = None if self.spec.format else self.measured(why)
            if measured is not None:
                return measured
            moments, timed = self.spelled_moments(self.text)
        else:
            raise DataError(
                f"{self.name} is declared a time, but holds {_HELD[self.kind]}; expected numbers or dates"
            )
        if moments.isna().all():
            return self.nothing()
        dated = self.spec.format is None or days_told(self.spec.format)
        if dated:
            self.notice_far(moments)
        unit = self.unit_of(timed)
        since: Values = moments - (moments.min() if dated else pd.Timestamp("1900-01-01"))
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[str(since.dt.unit)]
        counts = since.to_numpy().astype(np.int64).astype(np.float64) / (per_second * UNITS[unit])
        elapsed = np.where(since.isna(), np.nan, counts)
        return self.made(elapsed, "time", why, unit)

    def measured(self, why: str) -> Typed | None:
        """Numbers, times of day and spans of time in text, if every cell is one."""
        values = None if self.raw.stored is not None else all_numbers(self.text, self.marks)
        if values is not None and self.text_count:
            return self.made(self.sieve.numbers(values), "time", why, self.spec.unit or "")
        texts = [text for text in pc.unique(self.text).to_pylist() if text is not None]
        seconds = {text: value for text in texts if (value := seconds_of(text)) is not None}
        if not texts or len(seconds) < len(texts):
            return None
        unit = self.spec.unit
        if unit not in UNITS:
            raise DataError(
                f"{self.name} holds {_CLOCK}, such as {texts[0]!r}, and the study does not say in which "
                "unit they "
                f"are counted: declare `{self.name}: {{type: time, unit: h}}`, or s, min, d (counted from "
                'midnight, hours before the colon; spans of minutes and seconds need `format: "%M:%S"`)'
                + ("" if self.spec.role in _NUMBERS else ", or `type: factor` if they are labels")
            )
        counts = [np.nan if text is None else seconds[text] / UNITS[unit] for text in self.text.to_pylist()]
        return self.made(np.array(counts), "time", why, unit)

    def digits(self) -> Any:
        """Stored numbers as the text of their digits, null where missing."""
        self.count_gaps()
        values = self.sieve.numbers(self.stored_numbers())
        return pa.array(
            [None if value != value else label_of(value) for value in values.tolist()], pa.string()
        )

    def notice_far(self, moments: Values) -> None:
        """Say where the first or the last date stands far off and is one that often means a missing date."""
        for last in (False, True):
            far = moments.max() if last else moments.min()
            rest = moments[moments != far].dropna()
            if not len(rest) or not (far.year == 9999 or (far.year, far.month, far.day) in _FAR_DATES):
                continue
            gap = far - rest.max() if last else rest.min() - far
            if gap > 2 * (rest.max() - rest.min()):
                count = int((moments == far).sum())
                self.notices.append(
                    f"{self.name}: {far.date()} ({count:,} cell{'s' * (count > 1)}) stands far off: if it "
                    "means a missing date, list it under data.na"
                )

    def unit_of(self, timed: bool) -> str:
        """The unit in which dates are counted: days for dates; where they have a time of day, as declared."""
        unit = self.spec.unit
        if unit in UNITS:
            return unit
        if unit is not None:
            raise DataError(f"{self.name}: dates are counted in s, min, h or d; its unit is {unit}")
        if timed and self.used and self.spec.type is None:
            raise DataError(
                f"{self.name} holds dates with times of day, and the study does not say in which unit time "
                f"is counted: declare {self.name}: {{type: time, unit: h}}, or s, min, d"
            )
        return "d"

    def stored_moments(self) -> tuple[Values, bool]:
        self.count_gaps()
        cells = self.raw.cells
        if pa.types.is_date(cells.type):
            cells = pc.cast(cells, pa.timestamp("s" if pa.types.is_date32(cells.type) else "ms"))
        moments = self.sieve.moments(pd.Series(cells.to_pandas()))
        known = moments.dropna()
        return moments, bool((known != known.dt.normalize()).any())

    def spelled_moments(self, cells: Any) -> tuple[Values, bool]:
        text = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
        encoded = pc.dictionary_encode(text)
        texts = encoded.dictionary.to_pylist()
        found = moments_of(texts, self.spec.format)
        bad = [text for text, moment in zip(texts, found.values, strict=True) if pd.isna(moment)]
        if bad:
            expected = (
                f"in the form {self.spec.format}"
                if self.spec.format
                else "such as 2024-01-31 or 2024-01-31T12:30"
            )
            hint = (
                "; say how dates are written under `format`, such as %d/%m/%Y"
                if any(map(looks_like_date, bad)) and not self.spec.format
                else ""
            )
            what = "is declared a time" if self.spec.type else "holds dates"
            raise DataError(
                f"{self.name} {what}, but {self.with_rows(bad, text)}; expected numbers or dates "
                f"{expected}{hint}"
            )
        if found.zones == "some":
            raise DataError(
                f"{self.name} holds dates with an offset from UTC and dates without one, which cannot be "
                "compared; write all of them in one way"
            )
        codes = as_numpy(pc.fill_null(encoded.indices.cast(pa.int64()), -1))
        return pd.Series(found.values.take(np.where(codes < 0, 0, codes))).mask(codes < 0), found.timed

    def spans(self, why: str) -> Typed:
        if self.spec.unit not in UNITS:
            raise DataError(
                f"{self.name} holds spans of time, and the study does not say in which unit they are "
                f"counted: declare {self.name}: {{type: time, unit: h}}, or s, min, d"
            )
        self.count_gaps()
        spans = pd.Series(self.raw.cells.to_pandas())
        return self.made(spans.dt.total_seconds() / UNITS[self.spec.unit], "time", why, self.spec.unit)


_HELD = {"moments": "dates", "spans": "spans of time", "labels": "labels", "truth": "true and false"}
_WAY = {"moments": "`type: time`", "spans": "`type: time` and a `unit`", "labels": "`type: factor`"}


def _first(mask: Any) -> int:
    return int(np.flatnonzero(as_numpy(pc.fill_null(mask, False)))[0])


def _and_more(rows: int) -> str:
    return f" (and {rows:,} row{'s' * (rows > 1)} more)" if rows > 0 else ""


def _shown(text: str) -> str:
    return repr(" ".join(text.split())[:60])


def _differ_visibly(labels: Sequence[str]) -> bool:
    """Whether labels differ in more than capitals and hold nothing that cannot be seen."""
    whole = "".join(labels)
    if whole.isdigit() and whole.isascii():
        return True
    plain = whole.isascii() and whole.isprintable() and "  " not in "\n".join(labels)
    return plain and len({label.casefold() for label in labels}) == len(labels)


def _visible(label: str) -> str:
    """A label as a reader sees it: composed, blanks as one space, without characters that have no form."""
    if label.isascii():
        return " ".join(label.split())
    kept = "".join(letter for letter in label if unicodedata.category(letter) != "Cf")
    return " ".join(unicodedata.normalize("NFC", kept).split())


def _listed(levels: Sequence[str]) -> str:
    return ", ".join(levels[:12]) + (", ..." if len(levels) > 12 else "")
