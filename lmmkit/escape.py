"""One escape per target: text from data never becomes markup, mathematics or a formula of a spreadsheet."""

from __future__ import annotations

import html as _html
import re

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$&])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def html(text: object) -> str:
    """Text for an HTML element or a quoted attribute.

    >>> html('<a href="x">')
    '&lt;a href=&quot;x&quot;&gt;'
    """
    return _html.escape(str(text), quote=True)


def markdown(text: object) -> str:
    r"""Text for a Markdown paragraph or table cell, on one line.

    >>> print(markdown("a|b *c*"))
    a\|b \*c\*
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(str(text).split()))


def mathtext(text: object) -> str:
    r"""Text for a matplotlib label, where a pair of dollar signs would start mathematics.

    >>> print(mathtext("cost ($)"))
    cost (\$)
    """
    return str(text).replace("$", r"\$")


def csv_cell(text: str) -> str:
    """A text cell that no spreadsheet reads as a formula; `csv_text` gives the text back.

    >>> csv_cell("=1+1"), csv_cell("plain")
    ("'=1+1", 'plain')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_text(cell: str) -> str:
    """The text that `csv_cell` was given.

    >>> csv_text(csv_cell("-a")), csv_text("plain")
    ('-a', 'plain')
    """
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
