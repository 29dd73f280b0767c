"""One escape per target: no text of the data becomes markup, mathematics, a formula or an order."""

from __future__ import annotations

import base64
import html as _html
import re

#: Characters without ink beyond those that `str.isprintable` knows: fillers, joiners, variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
#: What turns the reading of all that follows it, what HTML has no letter for, and halves of letters.
_TURNS = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# What a spreadsheet takes for the beginning of a formula, at the beginning of a cell or behind what it may
# take for a separator, with quotes and letters without ink before it or not; also in full width. Apostrophes
# before it are kept: `csv_cell` puts one more.
_BLANK = '[\\s"\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*'
_BEGINNING, _SIGN = f"((?:^|[,;|\t\r\n]){_BLANK})", "[=+@\uff1d\uff0b\uff0d\uff20-]"
_FORMULA = re.compile(f"{_BEGINNING}('*{_SIGN})")
_GUARDED = re.compile(f"{_BEGINNING}'('*{_SIGN})")


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


def page(text: str) -> str:
    r"""Text of a page, in which nothing turns the reading of what follows: such letters are spelled out.

    Joiners stay, which scripts need: they reach no further than their word.

    >>> print(page("a\u202eb\x1b[2J"))
    a\u202eb\x1b[2J
    """
    return _TURNS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def html_figure(address: str, alt: object, caption: object) -> str:
    """A picture with its caption, as a notebook shows it: in its dark theme too its ink is on white.

    >>> html_figure("data:,", "a > b", "A & B")[:51]
    '<figure><img style="background: #fff" alt="a &gt; b'
    """
    picture = f'<img style="background: #fff" alt="{html(alt)}" src="{html(address)}">'
    return f"<figure>{picture}<figcaption>{html(caption)}</figcaption></figure>"


def image_address(content: bytes, kind: str = "svg+xml") -> str:
    """A picture (`svg+xml` or `png`) as an address that holds the picture itself.

    >>> image_address(b"<svg/>")
    'data:image/svg+xml;base64,PHN2Zy8+'
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def mathtext(text: object) -> str:
    r"""Text for a matplotlib label on one line, where a pair of dollar signs would start mathematics.

    >>> print(mathtext("cost ($)"))
    cost (\$)
    """
    return terminal(text).replace("$", r"\$")


def csv_cell(text: str) -> str:
    """A text cell in which no spreadsheet finds a formula, whichever separator it cuts at.

    `csv_text` gives the text back.

    >>> csv_cell("=1+1"), csv_cell("x;=1+1"), csv_cell("plain - text")
    ("'=1+1", "x;'=1+1", 'plain - text')
    """
    return _FORMULA.sub(r"\1'\2", text)


def csv_text(cell: str) -> str:
    """The text that `csv_cell` was given.

    >>> csv_text(csv_cell("-a;'=b")), csv_text("plain")
    ("-a;'=b", 'plain')
    """
    return _GUARDED.sub(r"\1\2", cell)


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': "''"}
_LATEX |= {letter: f"\\{letter}" for letter in "&%$#_{}"} | {"<": r"\textless{}", ">": r"\textgreater{}"}
_LATEX |= {"|": r"\textbar{}", "[": "{[}"}
_MARK = re.compile(r"[\\`*_{}\[\]|~$^:@]|(?<=www)\.")


def latex(text: object) -> str:
    r"""Text for LaTeX on one line, where no letter of it is an order, an option or half of a dash.

    >>> print(latex("a_b & 50 % -- {x}"))
    a\_b \& 50 \% -{}- \{x\}
    """
    return "".join(_LATEX.get(letter, letter) for letter in terminal(text)).replace("--", "-{}-")


def markdown(text: object) -> str:
    r"""Text for a cell of a Markdown table, in which nothing is markup, mathematics or an address.

    >>> print(markdown("x|g *1* <b>"))
    x\|g \*1\* &lt;b&gt;
    """
    plain = terminal(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARK.sub(r"\\\g<0>", plain)


def picture_at(address: str) -> bytes | None:
    """The picture that an address holds; None where it holds none.

    >>> picture_at(image_address(b"<svg/>")), picture_at("x.png")
    (b'<svg/>', None)
    """
    head, _, content = address.partition(";base64,")
    if not head.startswith("data:image/"):
        return None
    try:
        return base64.b64decode(content, validate=True)
    except ValueError:
        return None
