"""A design in words: its terms, their sizes, how its grouping factors relate, its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmmkit.escape import html

if TYPE_CHECKING:
    from lmmkit.model.design import Design, RandomTerm

Table = list[tuple[str, ...]]


def design_text(design: Design) -> str:
    """Plain text for a terminal."""
    parts = [design.formula, _rows_sentence(design)]
    for title, table in _tables(design):
        parts.append(f"{title}\n" + "\n".join(_aligned(table)))
    parts += _sentences(design)
    return "\n\n".join(parts)


def design_html(design: Design) -> str:
    """The same for a notebook."""
    parts = [f"<p><code>{html(design.formula)}</code></p><p>{html(_rows_sentence(design))}</p>"]
    for title, table in _tables(design):
        head, *body = table
        rows = "".join(_html_row(row, "td") for row in body)
        parts.append(f"<table><caption>{html(title)}</caption>{_html_row(head, 'th')}{rows}</table>")
    parts += [f"<p>{html(sentence)}</p>" for sentence in _sentences(design)]
    return "".join(parts)


def _html_row(row: Sequence[str], cell: str) -> str:
    return "<tr>" + "".join(f"<{cell}>{html(text)}</{cell}>" for text in row) + "</tr>"


def _aligned(table: Table) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]


def _rows_sentence(design: Design) -> str:
    used, given = len(design.problem.response), design.source.table.rows
    if used == given:
        return f"{used:,} rows."
    return f"{used:,} of {given:,} rows; {given - used:,} dropped for missing values."


def _tables(design: Design) -> list[tuple[str, Table]]:
    return [
        ("Fixed effects", _fixed_table(design)),
        ("Random effects", _random_table(design)),
        ("Blocks of the system", _block_table(design)),
    ]


def _fixed_table(design: Design) -> Table:
    rows = [
        (term.name, str(len(term.columns)), _shortened([design.fixed_names[j] for j in term.columns]))
        for term in design.fixed_terms
    ]
    return [("term", "columns", "names"), *(rows or [("none", "0", "")])]


def _random_table(design: Design) -> Table:
    rows = [
        (term.group, f"{term.grouping.size:,}", _shortened(term.names), f"{_effects(term):,}", str(_parameters(term)))
        for term in design.random
    ]
    return [("group", "levels", "columns", "effects", "parameters"), *rows]


def _effects(term: RandomTerm) -> int:
    return term.grouping.size * len(term.names)


def _parameters(term: RandomTerm) -> int:
    k = len(term.names)
    return k * (k + 1) // 2 if term.correlated else k


def _shortened(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)})" if len(names) > most else "")


def _block_table(design: Design) -> Table:
    """Lower triangle of the mixed model equations by grouping factor, the fixed effects last."""
    names = [grouping.name for grouping in design.groupings]
    kinds = {(r.fine, r.coarse): r.kind for r in design.relations}
    rows = [
        (name, *(_block(kinds, other, name) for other in names[:i]), _diagonal(design, name), *[""] * (len(names) - i))
        for i, name in enumerate(names)
    ]
    return [("", *names, "fixed"), *rows, ("fixed", *["dense"] * (len(names) + 1))]


def _block(kinds: dict[tuple[str, str], str], fine: str, coarse: str) -> str:
    return kinds.get((fine, coarse)) or kinds.get((coarse, fine), "")


def _diagonal(design: Design, name: str) -> str:
    width = sum(len(term.names) for term in design.random if term.factor == name)
    return "diagonal" if width == 1 else f"blocks {width} x {width}"


def _sentences(design: Design) -> list[str]:
    sizes = {grouping.name: grouping.size for grouping in design.groupings}
    related = [
        f"{r.fine} is nested in {r.coarse}."
        if r.kind == "nested"
        else f"{r.fine} and {r.coarse} are crossed: {r.cells:,} of {sizes[r.fine] * sizes[r.coarse]:,} cells occur."
        for r in design.relations
    ]
    notes = [f"Note: {sentence}" for sentence in design.warnings]
    return (["\n".join(related)] if related else []) + notes
