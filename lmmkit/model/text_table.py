"""A titled table of text, for a terminal and for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lmmkit.escape import html, terminal

Cells = list[tuple[str, ...]]


@dataclass(frozen=True)
class TextTable:
    """A titled table of text; its first row is the head.

    Attributes:
        title: What stands above it.
        cells: Its rows.
        numbers_right: Whether columns of numbers are aligned to the right, in plain text.
    """

    title: str
    cells: Cells
    numbers_right: bool = False

    def text(self) -> str:
        """Aligned columns below the title."""
        cells = [tuple(map(terminal, row)) for row in self.cells]
        columns = list(zip(*cells, strict=True))
        widths = [max(map(len, column)) for column in columns]
        right = [self.numbers_right and any(map(_is_number, column[1:])) for column in columns]
        lines = [
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(row, widths, right, strict=True)
            )
            for row in cells
        ]
        return "\n".join([terminal(self.title), *(f"  {line}".rstrip() for line in lines)])

    def html(self) -> str:
        """The same as an HTML table."""
        head, *body = self.cells
        rows = "".join(_html_row(row, "td") for row in body)
        return (
            f"<table><caption>{html(self.title)}</caption><thead>{_html_row(head, 'th')}</thead>"
            f"<tbody>{rows}</tbody></table>"
        )


class TablesAndParagraphs:
    """What shows itself as tables and paragraphs of lines, in a terminal and in a notebook."""

    def _blocks(self) -> list[TextTable | Sequence[str]]:
        """Tables and paragraphs from top to bottom; empty ones and empty lines are left out."""
        raise NotImplementedError

    def __str__(self) -> str:
        return "\n\n".join(
            block.text() if isinstance(block, TextTable) else "\n".join(map(terminal, block))
            for block in self._told()
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(
            block.html() if isinstance(block, TextTable) else f"<p>{'<br>'.join(map(html, block))}</p>"
            for block in self._told()
        )

    def _told(self) -> list[TextTable | list[str]]:
        blocks = [b if isinstance(b, TextTable) else [line for line in b if line] for b in self._blocks()]
        return [block for block in blocks if block]


def _is_number(cell: str) -> bool:
    return cell.removeprefix("-")[:1].isdigit()


def _html_row(row: tuple[str, ...], cell: str) -> str:
    return "<tr>" + "".join(f"<{cell}>{html(text)}</{cell}>" for text in row) + "</tr>"
