"""A design in words: its terms, their sizes, how its grouping factors relate, its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lmmkit.escape import html
from lmmkit.model.table.grouping import Relation

Table = list[tuple[str, ...]]


@dataclass(frozen=True)
class RandomPart:
    """A random-effects term as an overview shows it."""

    label: str
    factor: str
    levels: int
    names: tuple[str, ...]
    parameters: int


@dataclass(frozen=True)
class Overview:
    """What is said about a design.

    Attributes:
        formula: The formula.
        given: Number of rows of the table.
        used: Number of rows used.
        fixed: Each fixed term with the names of its columns.
        random: The random-effects terms.
        relations: How the grouping factors relate.
        notes: What the user should look at.
    """

    formula: str
    given: int
    used: int
    fixed: tuple[tuple[str, tuple[str, ...]], ...]
    random: tuple[RandomPart, ...]
    relations: tuple[Relation, ...]
    notes: tuple[str, ...]

    @property
    def factors(self) -> dict[str, int]:
        """The distinct grouping factors with their numbers of levels."""
        return {part.factor: part.levels for part in self.random}

    def text(self) -> str:
        """Plain text for a terminal."""
        parts = [self.formula, _rows_sentence(self)]
        parts += [f"{title}\n" + "\n".join(_aligned(table)) for title, table in _tables(self)]
        return "\n\n".join([*parts, *_sentences(self)])

    def html(self) -> str:
        """The same for a notebook."""
        parts = [f"<p><code>{html(self.formula)}</code></p><p>{html(_rows_sentence(self))}</p>"]
        for title, (head, *body) in _tables(self):
            rows = "".join(_html_row(row, "td") for row in body)
            parts.append(f"<table><caption>{html(title)}</caption>{_html_row(head, 'th')}{rows}</table>")
        return "".join([*parts, *(f"<p>{html(sentence)}</p>" for sentence in _sentences(self))])


def _html_row(row: Sequence[str], cell: str) -> str:
    return "<tr>" + "".join(f"<{cell}>{html(text)}</{cell}>" for text in row) + "</tr>"


def _aligned(table: Table) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _rows_sentence(overview: Overview) -> str:
    if overview.used == overview.given:
        return f"{overview.used:,} rows."
    lost = overview.given - overview.used
    return f"{overview.used:,} of {overview.given:,} rows; {lost:,} dropped for missing values."


def _tables(overview: Overview) -> list[tuple[str, Table]]:
    return [
        ("Fixed effects", _fixed_table(overview)),
        ("Random effects", _random_table(overview)),
        ("Blocks of the mixed model equations", _block_table(overview)),
    ]


def _fixed_table(overview: Overview) -> Table:
    rows: Table = [(term, str(len(names)), _shortened(names)) for term, names in overview.fixed]
    return [("term", "columns", "names"), *(rows or [("none", "0", "")])]


def _random_table(overview: Overview) -> Table:
    rows: Table = [
        (
            part.label,
            f"{part.levels:,}",
            _shortened(part.names),
            f"{part.levels * len(part.names):,}",
            str(part.parameters),
        )
        for part in overview.random
    ]
    return [("group", "levels", "columns", "effects", "parameters"), *rows]


def _shortened(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)})" if len(names) > most else "")


def _block_table(overview: Overview) -> Table:
    """Lower triangle by grouping factor, the fixed effects last."""
    names = list(overview.factors)
    kinds = {frozenset((r.fine, r.coarse)): r.kind for r in overview.relations}
    rows: Table = [
        (
            name,
            *(kinds[frozenset((name, other))] for other in names[:i]),
            _diagonal(overview, name),
            *[""] * (len(names) - i),
        )
        for i, name in enumerate(names)
    ]
    return [("", *names, "fixed"), *rows, ("fixed", *["dense"] * (len(names) + 1))]


def _diagonal(overview: Overview, factor: str) -> str:
    width = sum(len(part.names) for part in overview.random if part.factor == factor)
    return "diagonal" if width == 1 else f"{width} x {width} blocks"


def _sentences(overview: Overview) -> list[str]:
    sizes = overview.factors
    related = [_related(r, sizes[r.fine] * sizes[r.coarse]) for r in overview.relations]
    notes = [f"Note: {sentence}" for sentence in overview.notes]
    return (["\n".join(related)] if related else []) + notes


def _related(relation: Relation, possible: int) -> str:
    if relation.kind == "nested":
        return f"{relation.fine} is nested in {relation.coarse}."
    return (
        f"{relation.fine} and {relation.coarse} are crossed: {relation.cells:,} of {possible:,} cells occur."
    )
