"""One escape per target: no text of the data becomes markup, mathematics, a formula or an order."""

from __future__ import annotations

import html as _html
import re

#: Characters without ink beyond those that `str.isprintable` knows: fillers, joiners, variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def terminal(text: object) -> str:
    r"""Text on one line of a terminal: what moves the cursor, hides or turns the reading is spelled out.

    Every message goes through here: errors and warnings of lmmkit, what its commands and summaries print.

    >>> print(terminal("a\x1b[2Jb\nc\u202e"))
    a\x1b[2Jb\nc\u202e
    """
    text = str(text)
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(map(_shown, text))


def _shown(letter: str) -> str:
    if letter.isprintable() and not _UNSEEN.match(letter):
        return letter
    return letter.encode("unicode_escape").decode()


def html(text: object) -> str:
    """Text for an HTML element or a quoted attribute.

    >>> html('<a href="x">')
    '&lt;a href=&quot;x&quot;&gt;'
    """
    return _html.escape(str(text), quote=True)


def mathtext(text: object) -> str:
    r"""Text for a matplotlib label on one line, where a pair of dollar signs would start mathematics.

    >>> print(mathtext("cost ($)"))
    cost (\$)
    """
    return terminal(text).replace("$", r"\$")


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
